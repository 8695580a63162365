/* Paths, requests, the boot guard, and which flows are copied. */
#include "blob.h"
#include "unit.h"

static uint32_t Volume(const char *path) {
    uint32_t chars = (uint32_t)strlen(path), volume;
    uint16_t *text = malloc(chars * 2u + 1u); /* exactly as long, so that the sanitizer sees a step too far */

    CHECK(text != NULL);
    volume = core_path_volume(text, Wide(text, path));
    free(text);
    return volume;
}

static void Paths(void) {
    CHECK(core_upper('z') == 'Z' && core_upper('{') == '{' && core_upper('`') == '`' && core_upper(0xE9) == 0xC9 && core_upper(0xF7) == 0xF7);
    CHECK(core_upper(0xFF) == 0xFF && core_upper(0xDF) == 0xDF && core_upper(0x431) == 0x431);
    CHECK(Volume("\\Device\\HarddiskVolume3\\a") == 23 && Volume("\\device\\HarddiskVolume3") == 23 && Volume("\\Device\\") == 0);
    CHECK(Volume("\\Device\\\\a") == 0 && Volume("\\Device\\Mup\\server\\share") == 11 && Volume("\\Device\\Mup") == 11);
    CHECK(Volume("\\Device\\Mupx\\a") == 12 && Volume("\\??\\C:\\a") == 6 && Volume("\\??\\") == 0 && Volume("\\??\\\\") == 0);
    CHECK(Volume("\\SystemRoot\\a") == 11 && Volume("\\SystemRoot") == 0 && Volume("") == 0 && Volume("C:\\a") == 0);
    CHECK(Volume("\\??\\Volume{12}\\a") == 14);
}

static int Disk(const char *bytes, uint32_t size, uint32_t offset, uint32_t most, const char *want) {
    uint32_t chars, wanted = (uint32_t)strlen(want);
    uint8_t *answer = malloc(size); /* exactly as long */
    uint16_t out[16], expected[16];

    CHECK(answer != NULL);
    memcpy(answer, bytes, size);
    chars = core_disk_text(answer, size, offset, out, most);
    free(answer);
    Wide(expected, want);
    return chars == wanted && memcmp(out, expected, 2u * chars) == 0;
}

/* Blanks go, nothing is read beyond the answer, and a text of blanks is none. */
static void Disks(void) {
    CHECK(Disk("hd  Kings ton  \0", 16, 2, 16, "Kings ton") && Disk("hdKing", 6, 2, 16, "King") && Disk("hdKing", 6, 2, 2, "Ki"));
    CHECK(Disk("hdKing", 6, 0, 16, "") && Disk("hdKing", 6, 6, 16, "") && Disk("hdKing", 6, 0xFFFFFFFFu, 16, "") && Disk("hd   ", 5, 2, 16, ""));
    CHECK(Disk("hd\xE9t\xE9", 5, 2, 16, "\xE9t\xE9"));
}

static enum core_result Request(const void *in, uint32_t in_size, uint32_t code, uint32_t out_size) {
    void *copy = malloc(in_size == 0 ? 1 : in_size);
    enum core_result result;

    CHECK(copy != NULL);
    memcpy(copy, in, in_size);
    result = core_request_check(copy, in_size, code, out_size, 6);
    free(copy);
    return result;
}

static void Requests(void) {
    struct assay_request order = {.version = 1, .load = 6};
    struct assay_read read = {.version = 1, .resume = 1};

    CHECK(Request(&order, 0, ASSAY_IOCTL_DESCRIBE, 656) == CORE_OK && Request(&order, 0, ASSAY_IOCTL_DESCRIBE, 655) == CORE_TOO_SMALL);
    CHECK(Request(&read, sizeof read, ASSAY_IOCTL_READ, ASSAY_READ_LEAST) == CORE_OK && Request(&read, 3, ASSAY_IOCTL_READ, ASSAY_READ_LEAST) == CORE_INVALID);
    CHECK(Request(&read, sizeof read, ASSAY_IOCTL_READ, ASSAY_READ_LEAST - 1) == CORE_TOO_SMALL);
    CHECK(Request(&read, sizeof read, ASSAY_IOCTL_READ, ASSAY_READ_MOST + 1) == CORE_TOO_BIG);
    read.resume = 2;
    CHECK(Request(&read, sizeof read, ASSAY_IOCTL_READ, ASSAY_READ_LEAST) == CORE_INVALID);
    read.version = 2;
    CHECK(Request(&read, sizeof read, ASSAY_IOCTL_READ, ASSAY_READ_LEAST) == CORE_REVISION);
    CHECK(core_request_check(NULL, 0, ASSAY_IOCTL_FILTERS, 0, 6) == CORE_OK); /* core_filters_set's to refuse */
    CHECK(Request(&order, sizeof order, ASSAY_IOCTL_HEALTHY, 0) == CORE_OK && Request(&order, 8, ASSAY_IOCTL_UNLOAD, 0) == CORE_INVALID);
    order.load = 5;
    CHECK(Request(&order, sizeof order, ASSAY_IOCTL_UNLOAD, 0) == CORE_STALE);
    order.reserved = 1;
    CHECK(Request(&order, sizeof order, ASSAY_IOCTL_UNLOAD, 0) == CORE_INVALID);
    order.version = 0;
    CHECK(Request(&order, sizeof order, ASSAY_IOCTL_UNLOAD, 0) == CORE_REVISION && Request(&order, sizeof order, 0x222000u, 0) == CORE_INVALID);
}

static void Guard(void) {
    const uint64_t minute = 600000000u;
    struct core_guard guard;
    uint64_t at;

    CHECK(core_guard_start(&guard, 1, 0) == 1 && guard.why == ASSAY_WHY_NONE && core_guard_start(&guard, 1, 1) == 2 && guard.why == ASSAY_WHY_NONE);
    CHECK(core_guard_start(&guard, 1, 2) == 3 && guard.why == ASSAY_WHY_STARTS && core_guard_start(&guard, 1, 0xFFFFFFFFu) == 3 && guard.why == ASSAY_WHY_STARTS);
    CHECK(core_guard_start(&guard, 0, 0) == 1 && guard.why == ASSAY_WHY_GUARD_UNREADABLE);
    core_guard_start(&guard, 1, 0);
    for (at = 1 * minute; at < 6 * minute; at += minute)
        CHECK(!core_guard_healthy(&guard, at));
    CHECK(core_guard_healthy(&guard, at) && !core_guard_healthy(&guard, at + minute)); /* once */
    core_guard_start(&guard, 1, 0);
    CHECK(!core_guard_healthy(&guard, minute) && !core_guard_healthy(&guard, 7 * minute) && !core_guard_healthy(&guard, 5 * minute)); /* silent for long; backwards */
    core_guard_unwritten(&guard);
    CHECK(guard.why == ASSAY_WHY_GUARD_UNREADABLE);
}

static void Payload(void) {
    struct core_payload_pick pick = {0, 0};
    uint32_t i, picked = 0;

    CHECK(core_payload_hint(17, 53, 4000) == ASSAY_HINT_DNS && core_payload_hint(17, 4000, 5353) == ASSAY_HINT_DNS && core_payload_hint(6, 1, 5355) == ASSAY_HINT_NONE);
    CHECK(core_payload_hint(6, 1, 80) == ASSAY_HINT_HTTP && core_payload_hint(17, 1, 80) == ASSAY_HINT_NONE && core_payload_hint(6, 8443, 1) == ASSAY_HINT_TLS);
    CHECK(core_payload_hint(17, 1, 443) == ASSAY_HINT_NONE && core_payload_hint(6, 1, 853) == ASSAY_HINT_TLS && core_payload_hint(6, 1, 443) == ASSAY_HINT_TLS);
    CHECK(core_payload_hint(6, 1, 8080) == ASSAY_HINT_HTTP && core_payload_hint(17, 1, 5355) == ASSAY_HINT_DNS);
    CHECK(core_payload_select(&pick, 6, 1, 80, 1, 5) == CORE_PICK_NO && core_payload_select(&pick, 17, 1, 4000, 0, 5) == CORE_PICK_NO);
    CHECK(core_payload_select(&pick, 17, 1, 53, 0, 5) == CORE_PICK_YES);
    for (i = 0; i < 2 * CORE_PAYLOAD_PER_SECOND; i++)
        picked += core_payload_select(&pick, 6, 1, 80, 0, 6) == CORE_PICK_YES;
    CHECK(picked == CORE_PAYLOAD_PER_SECOND - 1 && core_payload_select(&pick, 6, 1, 80, 0, 6) == CORE_PICK_LOST);
    CHECK(core_payload_select(&pick, 6, 1, 80, 0, 10000000u) == CORE_PICK_YES);
}

void SmallTests(void) {
    Paths();
    Disks();
    Requests();
    Guard();
    Payload();
}
