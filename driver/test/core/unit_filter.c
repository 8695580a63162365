/* Filters: they exclude exactly what they say, and what is not sane changes nothing. */
#include <pthread.h>

#include "blob.h"
#include "unit.h"

static struct core_filters filters;
static struct blob blob;

static core_bool Match(uint32_t kind, uint32_t match, const char *path) {
    uint16_t text[600];
    uint32_t chars = Wide(text, path);

    return core_filters_match(&filters, kind, match, text, chars * 2u);
}

#define CREATED (1ull << ASSAY_FILE_CREATED)
#define WRITTEN (1ull << ASSAY_FILE_WRITTEN)

static void Excludes(void) {
    core_filters_start(&filters);
    CHECK(core_filters_wants(&filters, ASSAY_FILE_CREATED) && !core_filters_wants(&filters, ASSAY_KEY_CREATED) && !core_filters_wants(&filters, 64));
    CHECK(!Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\x") && core_filters_payload(&filters) && core_filters_generation(&filters) == 0);
    BlobStart(&blob, 7, 0);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED);
    BlobEntry(&blob, "\\Windows\\");
    BlobEntry(&blob, "\\temp\\a\\");
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, WRITTEN);
    BlobEntry(&blob, "\\Windows\\Temp\\");
    BlobEntry(&blob, "\\windows\\");
    BlobEntry(&blob, "\\Windows\\Logs\\");
    BlobSection(&blob, ASSAY_REGISTRY, ASSAY_MATCH_OWN, 1ull << ASSAY_KEY_SET);
    BlobEntry(&blob, "\\REGISTRY\\MACHINE\\SYSTEM\\Assay");
    CHECK(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK && core_filters_generation(&filters) == 7);
    CHECK(!core_filters_wants(&filters, ASSAY_FILE_CREATED) && core_filters_wants(&filters, ASSAY_TAMPER) && !core_filters_payload(&filters));
    CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\WINDOWS\\x") && Match(ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, "\\Windows\\y"));
    CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\Windows\\Temp\\z") && Match(ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, "\\Windows\\zz\\z"));
    CHECK(!Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\Windows") && !Match(ASSAY_FILE_WRITTEN, ASSAY_MATCH_PATH, "\\temp\\a\\b"));
    CHECK(!Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\") && !Match(ASSAY_FILE_CREATED, ASSAY_MATCH_IMAGE, "\\Windows\\x"));
    CHECK(!Match(ASSAY_FILE_DELETED, ASSAY_MATCH_PATH, "\\Windows\\x") && !Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\zzz"));
    CHECK(Match(ASSAY_KEY_SET, ASSAY_MATCH_OWN, "\\Registry\\Machine\\System\\Assay\\Parameters"));
    CHECK(!Match(63, 1, "") && !Match(ASSAY_KEY_SET, 0, "") && !Match(ASSAY_KEY_SET, 4, ""));
}

static void Refuse(enum core_result result) {
    uint8_t *exact = malloc(blob.size); /* so that the sanitizer sees a step beyond */

    CHECK(exact != NULL);
    memcpy(exact, blob.bytes, blob.size);
    CHECK(core_filters_set(&filters, exact, blob.size) == result);
    free(exact);
    CHECK(core_filters_generation(&filters) == 7 && Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\WINDOWS\\x")); /* the last good one */
}

#define HOSTILE(place, value) \
    do { \
        BlobStart(&blob, 8, 0); \
        BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED); \
        BlobEntry(&blob, "abc"); \
        place = value; \
        Refuse(CORE_INVALID); \
    } while (0)

static void Hostile(void) {
    struct assay_filters *head = (void *)blob.bytes;
    struct assay_filter_section *section = (void *)(head + 1);
    struct assay_filter_entry *entry = (void *)(section + 1);

    HOSTILE(head->size, 8);
    HOSTILE(head->generation, 0);
    HOSTILE(head->sections, 17);
    HOSTILE(head->sections, 2);
    HOSTILE(head->sections, 0); /* bytes that nothing speaks of */
    HOSTILE(head->flags, 2);
    HOSTILE(section->class, 8);
    HOSTILE(section->class, ASSAY_CONTROL);
    HOSTILE(section->match, 0);
    HOSTILE(section->match, 4);
    HOSTILE(section->reserved, 1);
    HOSTILE(section->kinds, 0);
    HOSTILE(section->kinds, 1ull << ASSAY_KEY_SET);
    HOSTILE(section->entries, 2);
    HOSTILE(entry->chars, 0);
    HOSTILE(entry->chars, 513);
    HOSTILE(entry->chars, 0x80000001u);
    HOSTILE(entry->chars, 400);
    HOSTILE(entry->reserved, 1);
    HOSTILE(((uint16_t *)(entry + 1))[3], 'x'); /* padding */
    HOSTILE(head->size, blob.size -= 2); /* padding cut off */
    BlobStart(&blob, 8, 0);
    head->version = 9;
    Refuse(CORE_REVISION);
    head->version = 0;
    Refuse(CORE_REVISION);
    blob.size = 31;
    Refuse(CORE_TOO_SMALL);
    blob.size = ASSAY_FILTERS_MOST + 8;
    Refuse(CORE_TOO_BIG);
    BlobStart(&blob, 8, 0);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED);
    for (uint32_t i = 0; i <= ASSAY_FILTERS_ENTRIES; i++)
        BlobEntry(&blob, "abc");
    Refuse(CORE_INVALID);
    filters.setting = 1;
    Refuse(CORE_BUSY);
    filters.setting = 0;
    filters.readers[1 - filters.active] = 1; /* a look-up that is still in */
    Refuse(CORE_BUSY);
    filters.readers[1 - filters.active] = 0;
    CHECK(filters.setting == 0 && core_filters_refused(&filters) > 20);
}

/* Against the plain rule, over many nested and equal prefixes. */
static void Plain(void) {
    static char prefix[300][16];
    static uint64_t kinds[300];
    uint32_t seed = 1, n;

    BlobStart(&blob, 9, ~0ull);
    for (n = 0; n < 300; n++) {
        if (n % 30 == 0)
            BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, n % 60 == 0 ? CREATED : WRITTEN);
        kinds[n] = n % 60 < 30 ? CREATED : WRITTEN;
        for (uint32_t k = 0, length = 1 + (seed >> 16) % 7; k < length; k++, seed = seed * 1103515245u + 12345u)
            prefix[n][k] = (char)("abB\\"[seed >> 16 & 3]);
        BlobEntry(&blob, prefix[n]);
    }
    CHECK(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
    for (uint32_t round = 0; round < 20000; round++) {
        char path[16] = {0};
        uint16_t wide[16], other[16];
        core_bool expected = 0;

        for (uint32_t k = 0; k < round % 9; k++, seed = seed * 1103515245u + 12345u)
            path[k] = (char)("aAb\\"[seed >> 16 & 3]);
        for (n = 0; n < 300; n++)
            expected |= (kinds[n] & CREATED) != 0 && core_prefix(wide, Wide(wide, path), other, Wide(other, prefix[n]));
        CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, path) == expected);
    }
}

/* Long prefixes against the plain rule: units on every side of what folds, four at a time and one at a time, near misses. */
static void Folded(void) {
    static const char units[] = "@AZ[`az{09\\\xDF\xE0\xF7\xF6\xFE\xFF\xC0\xDE\x80\x7F";
    static char prefix[100][40];
    uint32_t seed = 7, matched = 0;

    BlobStart(&blob, 10, ~0ull);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED);
    for (uint32_t n = 0; n < 100; n++) {
        for (uint32_t k = 0, length = 1 + n % 30; k < length; k++, seed = seed * 1103515245u + 12345u)
            prefix[n][k] = units[n % 2 == 0 ? (seed >> 16) % 10 : (seed >> 16) % (sizeof units - 1)];
        BlobEntry(&blob, prefix[n]);
    }
    CHECK(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
    for (uint32_t round = 0; round < 20000; round++, seed = seed * 1103515245u + 12345u) {
        char path[48] = {0};
        uint16_t wide[48], other[48];
        core_bool expected = 0;
        uint32_t length, at;

        strcpy(path, prefix[(seed >> 16) % 100]);
        length = (uint32_t)strlen(path);
        for (uint32_t k = 0; k < length; k++) /* in the other case */
            if (round % 2 == 0 && path[k] != 'z' + 1)
                path[k] = (char)(core_upper((uint16_t)(unsigned char)path[k]));
        at = (seed >> 8) % length;
        if (round % 3 == 0)
            path[at] = units[(seed >> 20) % (sizeof units - 1)];
        if (round % 5 == 0)
            path[at] = 0;
        for (uint32_t n = 0; n < 100; n++)
            expected |= core_prefix(wide, Wide(wide, path), other, Wide(other, prefix[n]));
        matched += expected;
        CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, path) == expected);
    }
    CHECK(matched > 5000 && matched < 19900);
}

/* As many as there may be, each ending where another goes on: the tree has room for its largest. */
static void Most(void) {
    char text[80];

    BlobStart(&blob, 11, ~0ull);
    BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED);
    for (uint32_t n = 0; n < ASSAY_FILTERS_ENTRIES; n++) {
        snprintf(text, sizeof text, "\\%c%c%c%c%c%c%c%c%c%c%c%s", n >> 10 & 1 ? 'x' : 'y', n >> 9 & 1 ? 'x' : 'y', n >> 8 & 1 ? 'x' : 'y',
                 n >> 7 & 1 ? 'x' : 'y', n >> 6 & 1 ? 'x' : 'y', n >> 5 & 1 ? 'x' : 'y', n >> 4 & 1 ? 'x' : 'y', n >> 3 & 1 ? 'x' : 'y',
                 n >> 2 & 1 ? 'x' : 'y', n >> 1 & 1 ? 'x' : 'y', n & 1 ? 'x' : 'y', "\\");
        BlobEntry(&blob, text);
    }
    CHECK(core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK);
    CHECK(filters.table[filters.active].nodes > 2u * ASSAY_FILTERS_ENTRIES - 2u && filters.table[filters.active].nodes <= CORE_NODES);
    CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\XYXYXYXYXYX\\z") && !Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\XYXYXYXYXY\\z"));
}

static uint32_t stop;
static void *Look(void *unused) {
    while (__atomic_load_n(&stop, __ATOMIC_SEQ_CST) == 0) /* in both sets, and so at every moment */
        CHECK(Match(ASSAY_FILE_CREATED, ASSAY_MATCH_PATH, "\\both\\x") && core_filters_wants(&filters, ASSAY_TAMPER));
    return unused;
}

static void Swapped(void) {
    pthread_t thread[2];
    uint32_t sets = 0;

    for (uint32_t i = 0; sets < 400; i++) {
        BlobStart(&blob, 10 + i, 0);
        BlobSection(&blob, ASSAY_FILE, ASSAY_MATCH_PATH, CREATED);
        BlobEntry(&blob, i % 2 == 0 ? "\\a\\" : "\\z\\");
        BlobEntry(&blob, "\\both\\");
        sets += core_filters_set(&filters, blob.bytes, blob.size) == CORE_OK;
        if (i == 0)
            for (uint32_t k = 0; k < 2; k++)
                CHECK(pthread_create(&thread[k], NULL, Look, NULL) == 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
}

void FilterTests(void) {
    Excludes();
    Hostile();
    Plain();
    Folded();
    Most();
    Swapped();
}
