/* Builds filter sets, for the tests and the bench. */
#pragma once

#include <string.h>

#include "../../abi.h"

struct blob {
    _Alignas(8) uint8_t bytes[ASSAY_FILTERS_MOST + 64];
    uint32_t size, section;
};

static inline uint32_t Wide(uint16_t *out, const char *text) {
    uint32_t chars = 0;

    for (; text[chars] != 0; chars++)
        out[chars] = (uint16_t)(unsigned char)text[chars];
    return chars;
}

static inline void BlobStart(struct blob *blob, uint64_t generation, uint64_t kinds) {
    struct assay_filters head = {.version = ASSAY_ABI_VERSION, .size = sizeof head, .generation = generation, .kinds = kinds};

    memcpy(blob->bytes, &head, sizeof head);
    blob->size = sizeof head;
}

static inline void BlobSection(struct blob *blob, uint32_t class, uint32_t match, uint64_t kinds) {
    struct assay_filter_section section = {.class = class, .match = match, .kinds = kinds};
    struct assay_filters *head = (void *)blob->bytes;

    memcpy(blob->bytes + blob->size, &section, sizeof section);
    blob->section = blob->size;
    head->size = blob->size += (uint32_t)sizeof section;
    head->sections++;
}

static inline void BlobEntry(struct blob *blob, const char *text) {
    struct assay_filter_entry *entry = (void *)(blob->bytes + blob->size);
    struct assay_filter_section *section = (void *)(blob->bytes + blob->section);
    struct assay_filters *head = (void *)blob->bytes;
    uint32_t bytes = (2u * (uint32_t)strlen(text) + 7u) & ~7u;

    memset(entry, 0, sizeof *entry + bytes);
    entry->chars = Wide((uint16_t *)(entry + 1), text);
    head->size = blob->size += (uint32_t)sizeof *entry + bytes;
    section->entries++;
}
