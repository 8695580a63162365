/*
 * Filters: prefixes of a group (class and match), sorted, each with the longest other
 * prefix that it extends. All prefixes of a text lie on one path: from the greatest
 * prefix not above the text, up through its parents. So a look-up is a binary search
 * and a walk as long as prefixes are nested, however many there are.
 *
 * A set is compiled into the table that is not in force and takes its place in one
 * step; a set that is not sane in every part changes nothing. Look-ups take no lock:
 * they count themselves in at a table, and that table is not written while any is in.
 */
#include "core.h"

#define ALL_BUT_RARE (~(1ull << ASSAY_KEY_CREATED | 1ull << ASSAY_KEY_RENAMED))
#define ALWAYS (1ull << ASSAY_STARTED | 1ull << ASSAY_TAMPER | 1ull << ASSAY_GAP | 1ull << ASSAY_VOLUME_ARRIVED | 1ull << ASSAY_VOLUME_LEFT)

void core_filters_start(struct core_filters *filters) {
    memset(filters, 0, sizeof *filters);
    filters->table[0].kinds = ALL_BUT_RARE;
    filters->table[0].flags = ASSAY_FILTERS_PAYLOAD;
}

/* Counts a look-up in; the table stays as it is until Leave. */
static uint32_t Enter(struct core_filters *filters) {
    for (;;) {
        uint32_t active = __atomic_load_n(&filters->active, __ATOMIC_SEQ_CST);

        __atomic_fetch_add(&filters->readers[active], 1u, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&filters->active, __ATOMIC_SEQ_CST) == active)
            return active;
        __atomic_fetch_sub(&filters->readers[active], 1u, __ATOMIC_SEQ_CST); /* swapped meanwhile: at most once a set */
    }
}

static void Leave(struct core_filters *filters, uint32_t active) {
    __atomic_fetch_sub(&filters->readers[active], 1u, __ATOMIC_SEQ_CST);
}

/* Compares what follows *same equal units, and leaves in it how many are equal. right is in upper case, as a table's texts are. */
static int32_t Compare(const uint16_t *left, uint32_t left_chars, const uint16_t *right, uint32_t right_chars, uint32_t *same) {
    uint32_t chars = left_chars < right_chars ? left_chars : right_chars, i = *same;

    while (i < chars && core_upper(left[i]) == right[i])
        i++;
    *same = i;
    if (i < chars)
        return core_upper(left[i]) < right[i] ? -1 : 1;
    return left_chars == right_chars ? 0 : left_chars < right_chars ? -1 : 1;
}

static const uint16_t *TextOf(const struct core_table *table, const struct core_prefix *prefix) { return table->text + prefix->text; }

static core_bool Before(const struct core_table *table, const struct core_prefix *left, const struct core_prefix *right) {
    uint32_t same = 0;

    if (left->group != right->group)
        return left->group < right->group;
    return Compare(TextOf(table, left), left->chars, TextOf(table, right), right->chars, &same) < 0;
}

static void Sink(struct core_table *table, uint32_t at, uint32_t count) {
    struct core_prefix *prefix = table->prefix, moved = prefix[at];

    for (;;) {
        uint32_t child = 2u * at + 1u;

        if (child >= count)
            break;
        if (child + 1u < count && Before(table, &prefix[child], &prefix[child + 1u]))
            child++;
        if (!Before(table, &moved, &prefix[child]))
            break;
        prefix[at] = prefix[child];
        at = child;
    }
    prefix[at] = moved;
}

static void Sort(struct core_table *table) { /* a heap: no recursion, and no order of input that makes it slow */
    uint32_t at;

    for (at = table->prefixes / 2u; at > 0; at--)
        Sink(table, at - 1u, table->prefixes);
    for (at = table->prefixes; at > 1u; at--) {
        struct core_prefix last = table->prefix[at - 1u];

        table->prefix[at - 1u] = table->prefix[0];
        table->prefix[0] = last;
        Sink(table, 0, at - 1u);
    }
}

static core_bool Extends(const struct core_table *table, const struct core_prefix *longer, const struct core_prefix *shorter) {
    return longer->group == shorter->group && core_prefix(TextOf(table, longer), longer->chars, TextOf(table, shorter), shorter->chars);
}

static void Link(struct core_table *table) {
    uint32_t i, group = 0;

    for (i = 0; i < table->prefixes; i++) {
        struct core_prefix *prefix = &table->prefix[i];
        uint32_t parent = i == 0 ? CORE_NONE : i - 1u;

        while (parent != CORE_NONE && !Extends(table, prefix, &table->prefix[parent]))
            parent = table->prefix[parent].parent;
        prefix->parent = parent;
#ifndef PLANT_12 /* what a parent excludes is forgotten */
        if (parent != CORE_NONE)
            prefix->kinds |= table->prefix[parent].kinds;
#endif
        for (; group <= prefix->group; group++)
            table->first[group] = i;
    }
    for (; group <= CORE_GROUPS; group++)
        table->first[group] = table->prefixes;
}

struct cursor { /* in a blob that is not to be trusted */
    const uint8_t *bytes;
    uint32_t at, size, text;
};

static core_bool Take(struct cursor *from, void *to, uint32_t bytes) {
    if (bytes > from->size - from->at)
        return 0;
    memcpy(to, from->bytes + from->at, bytes);
    from->at += bytes;
    return 1;
}

static uint64_t KindsOf(uint32_t class) {
    uint64_t kinds = 0;
    uint32_t kind;

    for (kind = 0; kind < ASSAY_KINDS; kind++) {
        const struct core_shape *shape = core_shape_of(kind);

        if (shape != NULL && shape->class == class)
            kinds |= 1ull << kind;
    }
    return kinds;
}

static core_bool Entry(struct core_table *table, struct cursor *from, const struct assay_filter_section *section) {
    struct core_prefix *prefix = &table->prefix[table->prefixes];
    struct assay_filter_entry entry;
    uint32_t bytes, padding;
    uint64_t zeros = 0;
    uint32_t i;

    if (table->prefixes == ASSAY_FILTERS_ENTRIES || !Take(from, &entry, sizeof entry))
        return 0;
#ifdef PLANT_13 /* a length is believed */
    if (entry.chars == 0 || entry.reserved != 0)
        return 0;
    bytes = entry.chars * 2u;
    memcpy(table->text + from->text, from->bytes + from->at, bytes);
    from->at += bytes;
#else
    if (entry.chars == 0 || entry.chars > ASSAY_FILTERS_CHARS || entry.reserved != 0)
        return 0;
    bytes = entry.chars * 2u;
    if (!Take(from, table->text + from->text, bytes)) /* as big as the largest blob, so it fits */
        return 0;
#endif
    padding = (8u - bytes % 8u) % 8u;
    if (!Take(from, &zeros, padding) || zeros != 0)
        return 0;
    for (i = 0; i < entry.chars; i++)
        table->text[from->text + i] = core_upper(table->text[from->text + i]);
    prefix->group = section->class * 4u + section->match;
    prefix->chars = entry.chars;
    prefix->text = from->text;
    prefix->kinds = section->kinds;
    from->text += entry.chars;
    table->prefixes++;
    return 1;
}

static core_bool Section(struct core_table *table, struct cursor *from) {
    struct assay_filter_section section;
    uint32_t i;

    if (!Take(from, &section, sizeof section))
        return 0;
    if (section.class >= ASSAY_CLASSES || section.match < ASSAY_MATCH_PATH || section.match > ASSAY_MATCH_OWN || section.reserved != 0)
        return 0;
    /* Nothing of the control class can be excluded, and no kind from another class. */
    if (section.class == ASSAY_CONTROL || section.kinds == 0 || (section.kinds & ~KindsOf(section.class)) != 0)
        return 0;
    for (i = 0; i < section.entries; i++)
        if (!Entry(table, from, &section))
            return 0;
    return 1;
}

static enum core_result Compile(struct core_table *table, const void *blob, uint32_t size) {
    struct cursor from = {blob, 0, size, 0};
    struct assay_filters head;
    uint32_t i;

    if (size > ASSAY_FILTERS_MOST)
        return CORE_TOO_BIG;
    if (!Take(&from, &head, sizeof head))
        return CORE_TOO_SMALL;
    if (head.version < ASSAY_ABI_OLDEST || head.version > ASSAY_ABI_VERSION)
        return CORE_REVISION;
    if (head.size != size || head.generation == 0 || head.sections > ASSAY_FILTERS_SECTIONS || (head.flags & ~ASSAY_FILTERS_PAYLOAD) != 0)
        return CORE_INVALID;
    table->prefixes = 0;
    for (i = 0; i < head.sections; i++)
        if (!Section(table, &from))
            return CORE_INVALID;
    if (from.at != size)
        return CORE_INVALID;
    table->generation = head.generation;
#ifdef PLANT_14 /* tampering can be switched off */
    table->kinds = head.kinds;
#else
    table->kinds = head.kinds | ALWAYS;
#endif
    table->flags = head.flags;
    Sort(table);
    Link(table);
    return CORE_OK;
}

enum core_result core_filters_set(struct core_filters *filters, const void *blob, uint32_t size) {
    enum core_result result = CORE_BUSY;
    uint32_t staged;

    if (__atomic_exchange_n(&filters->setting, 1u, __ATOMIC_SEQ_CST) != 0)
        return CORE_BUSY;
    staged = 1u - __atomic_load_n(&filters->active, __ATOMIC_SEQ_CST);
    /* A look-up that began before the last swap may still be in: it is short, and the caller asks again. */
    if (__atomic_load_n(&filters->readers[staged], __ATOMIC_SEQ_CST) == 0) {
        result = Compile(&filters->table[staged], blob, size);
#ifdef PLANT_15 /* the last good set is not kept */
        __atomic_store_n(&filters->active, staged, __ATOMIC_SEQ_CST);
#else
        if (result == CORE_OK)
            __atomic_store_n(&filters->active, staged, __ATOMIC_SEQ_CST);
#endif
        if (result != CORE_OK)
            __atomic_fetch_add(&filters->refused, 1u, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&filters->setting, 0u, __ATOMIC_SEQ_CST);
    return result;
}

core_bool core_filters_wants(struct core_filters *filters, uint32_t kind) {
    uint32_t active = Enter(filters);
    core_bool wants = kind < ASSAY_KINDS && (filters->table[active].kinds >> kind & 1u) != 0;

    Leave(filters, active);
    return wants;
}

/*
 * The last prefix of the group that is not above the text, or CORE_NONE; *same is how
 * much of the text it shares. What stands between two prefixes shares at least what
 * both share with the text, so each comparison goes on where the others ended.
 */
static uint32_t Find(const struct core_table *table, uint32_t group, const uint16_t *text, uint32_t chars, uint32_t *same) {
    uint32_t low = table->first[group], high = table->first[group + 1u], first = low;
    uint32_t same_low = 0, same_high = 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2u, both = same_low < same_high ? same_low : same_high;
        const struct core_prefix *prefix = &table->prefix[middle];

        if (Compare(text, chars, TextOf(table, prefix), prefix->chars, &both) >= 0) {
            low = middle + 1u;
            same_low = both;
        } else {
            high = middle;
            same_high = both;
        }
    }
    *same = same_low;
    return low == first ? CORE_NONE : low - 1u;
}

core_bool core_filters_match(struct core_filters *filters, uint32_t kind, uint32_t match, const void *text, uint32_t size) {
    const struct core_shape *shape = core_shape_of(kind);
    const struct core_table *table;
    core_bool found = 0;
    uint32_t active, at, same;

    if (shape == NULL || match < ASSAY_MATCH_PATH || match > ASSAY_MATCH_OWN)
        return 0;
    active = Enter(filters);
    table = &filters->table[active];
    at = Find(table, shape->class * 4u + match, text, size / 2u, &same);
    while (at != CORE_NONE && table->prefix[at].chars > same) /* a parent is a prefix of what was compared: its length decides */
        at = table->prefix[at].parent;
    if (at != CORE_NONE)
        found = (table->prefix[at].kinds >> kind & 1u) != 0;
    Leave(filters, active);
    return found;
}

core_bool core_filters_payload(struct core_filters *filters) {
    uint32_t active = Enter(filters);
    core_bool payload = (filters->table[active].flags & ASSAY_FILTERS_PAYLOAD) != 0;

    Leave(filters, active);
    return payload;
}

uint64_t core_filters_generation(struct core_filters *filters) {
    uint32_t active = Enter(filters);
    uint64_t generation = filters->table[active].generation;

    Leave(filters, active);
    return generation;
}
