/*
 * Filters: which kinds are recorded, which prefixes are left out, and which are the
 * agent's own. A new set is checked in full in a buffer of its own and then takes
 * the old one's place in one step; a set that is not sane in every part changes
 * nothing. Two buffers, taken at load; whoever looks holds the one it looks at, and
 * a buffer that is held is not staged into.
 */
#include "ring.h"

#define BIT(kind) (1ull << (kind))
/* All but keys created and renamed, which are many and are asked for by whoever wants them. */
#define DEFAULT_KINDS (~(BIT(ASSAY_KEY_CREATED) | BIT(ASSAY_KEY_RENAMED)))
#define ALWAYS (BIT(ASSAY_STARTED) | BIT(ASSAY_TAMPER) | BIT(ASSAY_GAP) | BIT(ASSAY_VOLUME_ARRIVED) | BIT(ASSAY_VOLUME_LEFT))

static struct {
    UCHAR *buffer[2];
    volatile LONG holders[2];
    volatile LONG active;
    volatile LONG setting; /* one FILTERS at a time */
    volatile LONG64 kinds;
    volatile LONG payload;
    volatile LONG64 generation;
    volatile LONG64 refused;
} filters;

NTSTATUS FilterStart(VOID) {
    RtlZeroMemory(&filters, sizeof filters);
    filters.kinds = (LONG64)DEFAULT_KINDS;
    filters.payload = 1;
    filters.buffer[0] = MemoryAllocate(ASSAY_FILTERS_MOST); /* zero: no sections */
    filters.buffer[1] = MemoryAllocate(ASSAY_FILTERS_MOST);
    return filters.buffer[0] == NULL || filters.buffer[1] == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID FilterStop(VOID) {
    MemoryFree(filters.buffer[0]);
    MemoryFree(filters.buffer[1]);
    filters.buffer[0] = filters.buffer[1] = NULL;
}

static ULONG EntryBytes(ULONG chars) { return (ULONG)((sizeof(struct assay_filter_entry) + chars * 2 + 7) & ~7ull); }

/* One section from at on; the place after it, or 0 when it is not sane. */
static ULONG SaneSection(const UCHAR *given, ULONG at, ULONG bytes, ULONG *entries) {
    const struct assay_filter_section *section = (const struct assay_filter_section *)(given + at);
    ULONG i;

    if (bytes - at < sizeof *section || section->class >= ASSAY_CLASSES || section->match < ASSAY_MATCH_PATH ||
        section->match > ASSAY_MATCH_OWN || section->reserved != 0 || section->entries > ASSAY_FILTERS_ENTRIES - *entries)
        return 0;
    *entries += section->entries;
    at += sizeof *section;
    for (i = 0; i < section->entries; i++) {
        const struct assay_filter_entry *entry = (const struct assay_filter_entry *)(given + at);

        if (bytes - at < sizeof *entry || entry->chars == 0 || entry->chars > ASSAY_FILTERS_CHARS || entry->reserved != 0 ||
            EntryBytes(entry->chars) > bytes - at)
            return 0;
        at += EntryBytes(entry->chars);
    }
    return at;
}

static BOOLEAN Sane(const UCHAR *given, ULONG bytes) {
    const struct assay_filters *head = (const struct assay_filters *)given;
    ULONG at = sizeof *head, entries = 0, i;

    if (bytes < sizeof *head || head->size != bytes || head->generation == 0 || head->sections > ASSAY_FILTERS_SECTIONS ||
        (head->flags & ~ASSAY_FILTERS_PAYLOAD) != 0)
        return FALSE;
    for (i = 0; i < head->sections && at != 0; i++)
        at = SaneSection(given, at, bytes, &entries);
    return at == bytes;
}

static NTSTATUS Stage(const VOID *given, ULONG bytes, ULONG staged) {
    const struct assay_filters *head = (const struct assay_filters *)filters.buffer[staged];

    if (bytes < sizeof *head || bytes > ASSAY_FILTERS_MOST)
        return STATUS_INVALID_PARAMETER;
    if (filters.holders[staged] != 0)
        return STATUS_DEVICE_BUSY; /* somebody still looks at the set before last */
    RtlCopyMemory(filters.buffer[staged], given, bytes); /* checked where it will be used */
    if (head->version != ASSAY_ABI_VERSION)
        return STATUS_REVISION_MISMATCH;
    return Sane(filters.buffer[staged], bytes) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

NTSTATUS FilterSet(const VOID *given, ULONG bytes) {
    const struct assay_filters *head;
    NTSTATUS status;
    ULONG staged;

    if (InterlockedExchange(&filters.setting, 1) != 0)
        return STATUS_DEVICE_BUSY;
    staged = 1u - (ULONG)filters.active;
    status = Stage(given, bytes, staged);
    if (NT_SUCCESS(status)) {
        head = (const struct assay_filters *)filters.buffer[staged];
        InterlockedExchange(&filters.active, (LONG)staged);
        InterlockedExchange64(&filters.kinds, (LONG64)(head->kinds | ALWAYS));
        InterlockedExchange(&filters.payload, (LONG)(head->flags & ASSAY_FILTERS_PAYLOAD));
        InterlockedExchange64(&filters.generation, (LONG64)head->generation);
    } else if (status != STATUS_DEVICE_BUSY)
        InterlockedIncrement64(&filters.refused);
    InterlockedExchange(&filters.setting, 0);
    return status;
}

/* Letters of A-Z and of U+00E0..U+00FE; a doubtful match records rather than excludes. */
static WCHAR Fold(WCHAR c) {
    if ((c >= 'a' && c <= 'z') || (c >= 0xE0 && c <= 0xFE && c != 0xF7))
        return (WCHAR)(c - 32);
    return c;
}

static BOOLEAN Prefix(const struct assay_filter_entry *entry, const WCHAR *text, ULONG bytes) {
    const WCHAR *prefix = (const WCHAR *)(entry + 1);
    ULONG i;

    if (entry->chars > bytes / 2)
        return FALSE;
    for (i = 0; i < entry->chars && Fold(prefix[i]) == Fold(text[i]); i++)
        ;
    return i == entry->chars;
}

static BOOLEAN Search(const UCHAR *at, ULONG class, ULONG kind, ULONG match, const WCHAR *text, ULONG bytes) {
    const struct assay_filters *head = (const struct assay_filters *)at;
    ULONG i, k;

    at += sizeof *head;
    for (i = 0; i < head->sections; i++) {
        const struct assay_filter_section *section = (const struct assay_filter_section *)at;
        BOOLEAN applies = section->class == class && section->match == match && (section->kinds >> kind & 1) != 0;

        at += sizeof *section;
        for (k = 0; k < section->entries; k++) {
            const struct assay_filter_entry *entry = (const struct assay_filter_entry *)at;

            if (applies && Prefix(entry, text, bytes))
                return TRUE;
            at += EntryBytes(entry->chars);
        }
    }
    return FALSE;
}

BOOLEAN FilterMatches(ULONG class, ULONG kind, ULONG match, const VOID *text, ULONG bytes) {
    BOOLEAN found;
    LONG held;

    for (;;) {
        held = filters.active;
        InterlockedIncrement(&filters.holders[held]);
        if (held == filters.active)
            break;
        InterlockedDecrement(&filters.holders[held]); /* it was swapped meanwhile: the new one is looked at */
    }
    found = Search(filters.buffer[held], class, kind, match, text, bytes);
    InterlockedDecrement(&filters.holders[held]);
    return found;
}

BOOLEAN KindWanted(ULONG kind) { return ((ULONG64)filters.kinds >> kind & 1) != 0; }
BOOLEAN PayloadWanted(const FLOW *flow) {
    return filters.payload != 0 && !flow->loopback && KindWanted(ASSAY_PAYLOAD_COPIED);
}

VOID FilterCounts(struct assay_description *out) {
    out->filters_generation = (ULONG64)filters.generation;
    out->filters_refused = (ULONG64)filters.refused;
}
