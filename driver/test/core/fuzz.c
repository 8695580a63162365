/*
 * One harness for the core's inputs; the first byte says which: a filter set and a
 * look-up, a request, a record to check, a path and what a disk says, a set held against
 * the plain rule, or a ring held against a model.
 */
#include <stdlib.h>
#include <string.h>

#include "../../core/core.h"
#include "blob.h"

static struct core_filters filters;

static void Must(int held) {
    if (!held)
        abort();
}

/* The plain rule: any prefix of the group and the kind. */
static core_bool Plain(const struct core_table *table, uint32_t kind, uint32_t match, const uint16_t *text, uint32_t chars) {
    for (uint32_t i = 0; i < table->prefixes; i++) {
        const struct core_prefix *prefix = &table->prefix[i];

        if (prefix->group == core_shape_of(kind)->class * 4u + match && (prefix->kinds >> kind & 1u) != 0 &&
            core_prefix(text, chars, table->text + prefix->text, prefix->chars))
            return 1;
    }
    return 0;
}

static void FuzzFilters(const uint8_t *data, uint32_t size) {
    uint64_t before;

    if (filters.table[0].kinds == 0 && filters.table[1].kinds == 0)
        core_filters_start(&filters);
    before = core_filters_generation(&filters);
    if (core_filters_set(&filters, data, size) != CORE_OK)
        Must(core_filters_generation(&filters) == before);
    Must(core_filters_wants(&filters, ASSAY_TAMPER) == 1);
    core_filters_match(&filters, ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, data, size);
}

/* A sane set of the bytes' making, and a look-up of each of its prefixes with something cut, changed or added. */
static void FuzzTree(const uint8_t *data, uint32_t size) {
    static const char units[] = "aAbz{[@\\\xE0\xC0\xF7\xFF";
    static struct blob blob;
    char text[64];

    BlobStart(&blob, 1, ~0ull);
    for (uint32_t at = 0; at + 1u < size && at < 1024u;) {
        uint32_t chars = 1u + data[at] % 20u, k;

        if (at == 0 || (data[at] >> 7 != 0 && ((struct assay_filters *)(void *)blob.bytes)->sections < ASSAY_FILTERS_SECTIONS))
            BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH + (data[at] >> 5) % 3u, 1ull << (data[at] & 1u ? ASSAY_FILE_CREATED : ASSAY_FILE_WRITTEN));
        for (k = 0, at++; k < chars && at < size; k++, at++)
            text[k] = units[data[at] % (sizeof units - 1u)];
        text[k] = 0;
        if (k != 0)
            BlobEntry(&blob, text);
    }
    Must(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
    for (uint32_t i = 0; i < filters.table[filters.active].prefixes; i++) {
        const struct core_table *table = &filters.table[filters.active];
        uint16_t path[64] = {0};
        uint32_t chars = table->prefix[i].chars;

        memcpy(path, table->text + table->prefix[i].text, chars * 2u);
        path[i % chars] ^= (uint16_t)((i & 3u) == 3u ? 32u : 0); /* the other case, or another unit */
        chars += (i & 12u) == 0 ? i % 5u : (i & 12u) == 4u ? (uint32_t)-1 : 0;
        for (uint32_t kind = ASSAY_FILE_CREATED; kind <= ASSAY_FILE_DELETED; kind++)
            for (uint32_t match = ASSAY_MATCH_PATH; match <= ASSAY_MATCH_OWN; match++)
                Must(core_shape_of(kind) == NULL ||
                     core_filters_match(&filters, kind, match, path, chars * 2u) == Plain(table, kind, match, path, chars));
    }
}

/* Operations on a small ring: sizes at its edges, numbers without a hole, and no byte held beyond its size. */
static void FuzzRing(const uint8_t *data, uint32_t size) {
    static _Alignas(8) uint8_t record[4096], got[8192];
    uint8_t *memory = malloc(1024);
    struct core_ring ring;
    uint64_t expected = 0;
    uint32_t records = 0;

    Must(memory != NULL);
    core_ring_start(&ring, ASSAY_IMAGE, memory, 1024, 1, 1);
    for (uint32_t i = 0; i < size; i++) {
        struct assay_image body = {.base = i};
        struct core_event event = {.kind = ASSAY_IMAGE_LOADED, .body = &body, .text = {{data, (data[i] & 127u) * 8u < size ? (data[i] & 127u) * 8u : size, 0}}};
        uint32_t used;

        switch (data[i] >> 6 & 3u) {
        case 0:
        case 1:
            Must(core_record_encode(&event, record, sizeof record) != 0);
            core_ring_post(&ring, record);
            break;
        case 2:
            used = core_ring_read(&ring, got, sizeof got, &records);
            for (uint32_t at = 0; at < used;) {
                const struct assay_header *header = (const void *)(got + at);

                Must(header->size <= used - at && core_record_check(header, header->size) == CORE_OK);
                Must(header->kind == ASSAY_GAP ? header->n > expected : header->n == expected + 1);
                expected = header->n;
                at += header->size;
            }
            break;
        default:
            if ((data[i] & 1u) != 0) {
                core_ring_resume(&ring);
                expected = ring.posted - ring.gap_count; /* what is unacknowledged comes again */
                if (ring.tail < ring.head) {
                    struct assay_header header;

                    for (uint32_t k = 0; k < sizeof header; k++)
                        ((uint8_t *)&header)[k] = memory[(ring.tail + k) % 1024u];
                    expected = header.n - 1;
                }
            } else {
                uint64_t through = ring.posted == 0 ? 0 : ring.posted - (data[i] >> 1 & 3u) % ring.posted;

                if (core_ring_ack(&ring, through) == CORE_OK && through > expected)
                    expected = through; /* given before a resume, and not again */
            }
        }
        Must(ring.head - ring.tail <= 1024 && ring.tail <= ring.cursor && ring.posted >= ring.lost + ring.delivered);
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint32_t size = bytes == 0 || bytes > 65536 ? 0 : (uint32_t)bytes - 1;
    uint64_t *copy = malloc(size + 1u); /* aligned, and exactly as long */

    Must(copy != NULL);
    if (bytes != 0)
        memcpy(copy, data + 1, size);
    switch (bytes == 0 ? 0 : data[0] % 6) {
    case 0:
        FuzzFilters((uint8_t *)copy, size);
        break;
    case 1:
        if (size >= 4)
            core_request_check(copy, size, ASSAY_IOCTL_DESCRIBE + 4u * (data[1] & 7u) + (data[1] >> 6 & 2u), ASSAY_READ_LEAST, 1);
        core_request_check(copy, size, ASSAY_IOCTL_READ, ASSAY_READ_LEAST, 1);
        break;
    case 2:
        core_record_check(copy, size);
        break;
    case 3:
        Must(core_path_volume((uint16_t *)(void *)copy, size / 2) <= size / 2);
        if (size >= 4) {
            uint16_t text[128];
            uint32_t offset, chars;

            memcpy(&offset, copy, sizeof offset);
            chars = core_disk_text((uint8_t *)copy, size, (data[1] & 1u) != 0 ? offset : offset % (size + 8u), text, 128);
            Must(chars <= 128 && (chars == 0 || (text[0] != ' ' && text[chars - 1u] != ' ')));
        }
        break;
    case 4:
        FuzzTree((uint8_t *)copy, size);
        break;
    default:
        FuzzRing((uint8_t *)copy, size);
    }
    free(copy);
    return 0;
}
