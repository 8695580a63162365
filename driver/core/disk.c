/*
 * What a disk says of itself. Its answer is the device's word, or that of whoever
 * built the device: every offset is looked at, and no text runs beyond the answer.
 */
#include "core.h"

uint32_t core_disk_text(const uint8_t *answer, uint32_t size, uint32_t offset, uint16_t *out, uint32_t most) {
    uint32_t chars = 0, kept = 0;

    if (offset == 0) /* it says nothing */
        return 0;
    while (offset < size && answer[offset] == ' ')
        offset++;
#ifdef PLANT_22 /* a text without an end runs on */
    for (; chars < most && answer[offset] != 0; chars++, offset++) {
#else
    for (; chars < most && offset < size && answer[offset] != 0; chars++, offset++) {
#endif
        out[chars] = answer[offset];
        if (answer[offset] != ' ')
            kept = chars + 1u;
    }
    return kept;
}
