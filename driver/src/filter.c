/*
 * Filters: which kinds are recorded, which prefixes of paths and keys are left out,
 * and which are the agent's own. A new set is checked in full in a buffer of its
 * own and then takes the old one's place in one step; a set that is not sane in
 * every part changes nothing. Two buffers, taken at load.
 */
#include "ring.h"

/* All but keys created and renamed, which are many and are asked for by whoever wants them. */
#define DEFAULT_KINDS (~(1ull << EVENT_KEY_CREATED | 1ull << EVENT_KEY_RENAMED))
#define ALWAYS (1ull << EVENT_TAMPER)

static struct {
    KSPIN_LOCK lock;
    UCHAR *buffer[2];
    volatile LONG setting; /* one FILTER at a time */
    ULONG active;
    volatile ULONG64 kinds;
    volatile LONG payload;
    volatile LONG set;
    volatile LONG refused;
} filters;

NTSTATUS FilterStart(VOID) {
    RtlZeroMemory(&filters, sizeof filters);
    KeInitializeSpinLock(&filters.lock);
    filters.kinds = DEFAULT_KINDS;
    filters.payload = 1;
    filters.buffer[0] = MemoryAllocate(WIRE_FILTER_BYTES);
    filters.buffer[1] = MemoryAllocate(WIRE_FILTER_BYTES);
    return filters.buffer[0] == NULL || filters.buffer[1] == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID FilterStop(VOID) {
    MemoryFree(filters.buffer[0]);
    MemoryFree(filters.buffer[1]);
    filters.buffer[0] = filters.buffer[1] = NULL;
}

static ULONG RuleBytes(ULONG chars) { return (ULONG)((sizeof(struct wire_rule_head) + chars * 2 + 7) & ~7ull); }

static BOOLEAN Sane(const UCHAR *given, ULONG bytes) {
    const struct wire_filter *head = (const struct wire_filter *)given;
    ULONG at = sizeof *head, i;

    if (bytes < sizeof *head || bytes > WIRE_FILTER_BYTES || head->version != WIRE_VERSION || head->bytes != bytes ||
        head->rules > WIRE_FILTER_RULES || head->payload > 1 || head->payload_ports_low != 0)
        return FALSE;
    for (i = 0; i < head->rules; i++) {
        const struct wire_rule_head *rule = (const struct wire_rule_head *)(given + at);

        if (bytes - at < sizeof *rule)
            return FALSE;
        if (rule->rule < WIRE_EXCLUDE_PATH || rule->rule > WIRE_OWN_KEY || rule->chars == 0 || rule->chars > WIRE_FILTER_CHARS ||
            rule->pad != 0 || RuleBytes(rule->chars) > bytes - at)
            return FALSE;
        at += RuleBytes(rule->chars);
    }
    return at == bytes;
}

NTSTATUS FilterSet(const VOID *given, ULONG bytes) {
    const struct wire_filter *head;
    ULONG staged;
    KIRQL irql;

    if (InterlockedExchange(&filters.setting, 1) != 0)
        return STATUS_DEVICE_BUSY;
    staged = 1 - filters.active;
    if (bytes <= WIRE_FILTER_BYTES)
        RtlCopyMemory(filters.buffer[staged], given, bytes); /* checked where it will be used */
    if (bytes > WIRE_FILTER_BYTES || !Sane(filters.buffer[staged], bytes)) {
        InterlockedIncrement(&filters.refused);
        InterlockedExchange(&filters.setting, 0);
        return STATUS_INVALID_PARAMETER;
    }
    head = (const struct wire_filter *)filters.buffer[staged];
    KeAcquireSpinLock(&filters.lock, &irql);
    filters.active = staged;
    filters.kinds = head->kinds | ALWAYS;
    filters.payload = (LONG)head->payload;
    KeReleaseSpinLock(&filters.lock, irql);
    InterlockedIncrement(&filters.set);
    InterlockedExchange(&filters.setting, 0);
    return STATUS_SUCCESS;
}

static WCHAR Upper(WCHAR c) { return c >= 'a' && c <= 'z' ? (WCHAR)(c - 32) : c; }

/* Whether a rule of this sort is a prefix of text, without regard to the case of a-z. text is not paged. */
static BOOLEAN Rule(ULONG sort, const WCHAR *text, ULONG bytes) {
    const struct wire_filter *head;
    const UCHAR *at;
    BOOLEAN found = FALSE;
    KIRQL irql;
    ULONG i, k;

    KeAcquireSpinLock(&filters.lock, &irql);
    head = (const struct wire_filter *)filters.buffer[filters.active];
    at = (const UCHAR *)(head + 1);
    for (i = 0; i < head->rules && !found; i++) {
        const struct wire_rule_head *rule = (const struct wire_rule_head *)at;
        const WCHAR *prefix = (const WCHAR *)(rule + 1);

        at += RuleBytes(rule->chars);
        if (rule->rule != sort || rule->chars > bytes / 2)
            continue;
        for (k = 0; k < rule->chars && Upper(prefix[k]) == Upper(text[k]); k++)
            ;
        found = k == rule->chars;
    }
    KeReleaseSpinLock(&filters.lock, irql);
    return found;
}

BOOLEAN Wanted(EVENT_KIND kind) { return (filters.kinds >> kind & 1) != 0; }
BOOLEAN PayloadWanted(const FLOW *flow) { return filters.payload != 0 && !flow->loopback && Wanted(EVENT_PAYLOAD); }
BOOLEAN PathIsOurs(const VOID *path, ULONG bytes) { return Rule(WIRE_OWN_PATH, path, bytes); }
BOOLEAN KeyIsOurs(PCUNICODE_STRING key) {
    WCHAR copy[WIRE_FILTER_CHARS / 2]; /* the name may be paged; a rule that is longer cannot be the key's prefix here */
    ULONG bytes;

    if (key == NULL || key->Buffer == NULL)
        return FALSE;
    bytes = key->Length < sizeof copy ? key->Length : sizeof copy;
    RtlCopyMemory(copy, key->Buffer, bytes);
    return Rule(WIRE_OWN_KEY, copy, bytes);
}

BOOLEAN FilterExcludes(const struct wire_record *record) {
    const WCHAR *text = (const WCHAR *)((const UCHAR *)record + record->text[0].offset);

    if (!Wanted(record->kind))
        return TRUE;
    if (record->kind == EVENT_TAMPER || record->text[0].bytes == 0)
        return FALSE;
    if (record->class == WIRE_FILE)
        return Rule(WIRE_EXCLUDE_PATH, text, record->text[0].bytes);
    if (record->class == WIRE_REGISTRY)
        return Rule(WIRE_EXCLUDE_KEY, text, record->text[0].bytes);
    return FALSE;
}

VOID FilterCounts(struct wire_describe *out) {
    out->filters = (ULONG)filters.set;
    out->refused = (ULONG)filters.refused;
}
