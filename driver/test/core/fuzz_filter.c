/* Filter sets: as they came, and sane ones of the bytes' making, held against the plain rule. */
#include "fuzz.h"

#include "blob.h"

static struct core_filters filters;

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

/* A set in force that every hostile one must leave as it is. */
static void Known(void) {
    static struct blob blob;

    BlobStart(&blob, 1, 1ull << ASSAY_FILE_CREATED);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, 1ull << ASSAY_FILE_CREATED);
    BlobEntry(&blob, "\\known\\");
    MUST(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
}

static void StillKnown(void) {
    uint16_t path[16];
    uint32_t chars = Wide(path, "\\KNOWN\\x");

    MUST(core_filters_generation(&filters) == 1 && core_filters_wants(&filters, ASSAY_FILE_CREATED));
    MUST(core_filters_match(&filters, ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, path, chars * 2u));
    MUST(!core_filters_wants(&filters, ASSAY_FILE_WRITTEN) && core_filters_wants(&filters, ASSAY_TAMPER));
}

/* A set that was taken, read anew: what it wants, and that each of its prefixes is found in its section's kinds. */
static void Walk(const uint8_t *data, uint32_t size) {
    const uint64_t control = 1ull << ASSAY_STARTED | 1ull << ASSAY_TAMPER | 1ull << ASSAY_GAP | 1ull << ASSAY_VOLUME_ARRIVED | 1ull << ASSAY_VOLUME_LEFT;
    const struct assay_filters *head = (const void *)data;
    uint32_t at = sizeof *head;

    MUST(size >= at && head->size == size && head->generation != 0 && core_filters_generation(&filters) == head->generation);
    MUST(core_filters_payload(&filters) == (head->flags & ASSAY_FILTERS_PAYLOAD));
    for (uint32_t kind = 0; kind < 80; kind++)
        MUST(core_filters_wants(&filters, kind) == (kind < 64 && ((head->kinds | control) >> kind & 1u) != 0));
    for (uint32_t i = 0; i < head->sections; i++) {
        const struct assay_filter_section *section = (const void *)(data + at);

        at += (uint32_t)sizeof *section;
        MUST(at <= size && section->class != ASSAY_CONTROL && section->kinds != 0);
        for (uint32_t k = 0; k < section->entries; k++) {
            const struct assay_filter_entry *entry = (const void *)(data + at);

            at += (uint32_t)sizeof *entry;
            MUST(at <= size && entry->chars >= 1 && entry->chars <= ASSAY_FILTERS_CHARS && entry->chars * 2u <= size - at);
            for (uint32_t kind = 0; kind < 64; kind++)
                MUST((section->kinds >> kind & 1u) == 0 || core_filters_match(&filters, kind, section->match, data + at, entry->chars * 2u));
            at += (entry->chars * 2u + 7u) & ~7u;
        }
    }
    MUST(at == size);
}

void FuzzFilters(const uint8_t *data, uint32_t size) {
    uint64_t refused;

    Known();
    refused = core_filters_refused(&filters);
    if (core_filters_set(&filters, data, size) == CORE_OK)
        Walk(data, size);
    else {
        MUST(core_filters_refused(&filters) == refused + 1u);
        StillKnown();
    }
}

/* A sane set of the bytes' making. */
static void Sane(struct blob *blob, const uint8_t *data, uint32_t size) {
    static const char units[] = "aAbz{[@\\\xE0\xC0\xF7\xFF";
    char text[64];

    BlobStart(blob, 1, ~0ull);
    for (uint32_t at = 0; at + 1u < size && at < 1024u;) {
        uint32_t chars = 1u + data[at] % 20u, k;

        if (at == 0 || (data[at] >> 7 != 0 && ((struct assay_filters *)(void *)blob->bytes)->sections < ASSAY_FILTERS_SECTIONS))
            BlobSection(blob, ASSAY_FILE, ASSAY_MATCH_PATH + (data[at] >> 5) % 3u, 1ull << (data[at] & 1u ? ASSAY_FILE_CREATED : ASSAY_FILE_WRITTEN));
        for (k = 0, at++; k < chars && at < size; k++, at++)
            text[k] = units[data[at] % (sizeof units - 1u)];
        text[k] = 0;
        if (k != 0)
            BlobEntry(blob, text);
    }
}

/* With one number of it changed, here and there: taken and so what it says, or refused and so without effect. */
static void Spoil(const struct blob *blob, const uint8_t *data, uint32_t size) {
    uint8_t *copy = malloc(blob->size);

    MUST(copy != NULL);
    for (uint32_t i = 0; i + 3u < size && i < 32; i += 4u) {
        uint32_t value = (uint32_t)data[i + 2u] << (8u * (data[i + 3u] & 3u));

        memcpy(copy, blob->bytes, blob->size);
        memcpy(copy + (data[i] | (uint32_t)data[i + 1u] << 8) * 4u % blob->size, &value, sizeof value);
        FuzzFilters(copy, blob->size);
    }
    free(copy);
}

/* A look-up of each of its prefixes with something cut, changed or added; then the set itself, spoilt. */
void FuzzTree(const uint8_t *data, uint32_t size) {
    static struct blob blob;

    Sane(&blob, data, size);
    MUST(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
    for (uint32_t i = 0; i < filters.table[filters.active].prefixes; i++) {
        const struct core_table *table = &filters.table[filters.active];
        uint16_t path[64] = {0};
        uint32_t chars = table->prefix[i].chars;

        memcpy(path, table->text + table->prefix[i].text, chars * 2u);
        path[i % chars] ^= (uint16_t)((i & 3u) == 3u ? 32u : 0); /* the other case, or another unit */
        chars += (i & 12u) == 0 ? i % 5u : (i & 12u) == 4u ? (uint32_t)-1 : 0;
        for (uint32_t kind = ASSAY_FILE_CREATED; kind <= ASSAY_FILE_DELETED; kind++)
            for (uint32_t match = ASSAY_MATCH_PATH; match <= ASSAY_MATCH_OWN; match++)
                MUST(core_filters_match(&filters, kind, match, path, chars * 2u) == Plain(table, kind, match, path, chars));
    }
    Spoil(&blob, data, size);
}
