/* One fuzzer for the core: the first byte of an input says which harness takes the rest. */
#include "fuzz.h"

/* The places are those of test/core/seeds.c. */
static void (*const harness[])(const uint8_t *data, uint32_t size) = {FuzzFilters, FuzzTree,    FuzzCheck, FuzzEncode, FuzzRing,
                                                                     FuzzRings,   FuzzRequest, FuzzDisk,  FuzzGuard,  FuzzPayload};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint8_t *copy;

    if (bytes == 0 || bytes > ASSAY_FILTERS_MOST)
        return 0;
    copy = malloc(bytes == 1 ? 1 : bytes - 1); /* aligned, and exactly as long: a step beyond is seen */
    MUST(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    harness[data[0] % (sizeof harness / sizeof harness[0])](copy, (uint32_t)bytes - 1u);
    free(copy);
    return 0;
}
