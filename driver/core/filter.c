/*
 * Filters: the prefixes of a group (class and match) as a tree, each node a run of
 * units that what is below it shares. A look-up walks down from the group's root,
 * folds each unit of the text once, and ends at the first prefix of its kind: it
 * costs what the prefix is long, however many there are.
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

static const uint16_t *TextOf(const struct core_table *table, const struct core_prefix *prefix) { return table->text + prefix->text; }

/* How many units from `from` on two prefixes share. */
static uint32_t Shared(const struct core_table *table, const struct core_prefix *left, const struct core_prefix *right, uint32_t from) {
    const uint16_t *left_text = TextOf(table, left), *right_text = TextOf(table, right);
    uint32_t chars = left->chars < right->chars ? left->chars : right->chars, i = from;

    while (i < chars && left_text[i] == right_text[i])
        i++;
    return i - from;
}

static core_bool Before(const struct core_table *table, const struct core_prefix *left, const struct core_prefix *right) {
    uint32_t same;

    if (left->group != right->group)
        return left->group < right->group;
    same = Shared(table, left, right, 0);
    if (same == left->chars || same == right->chars)
        return left->chars < right->chars;
    return TextOf(table, left)[same] < TextOf(table, right)[same];
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

/* A node for the sorted prefixes first to end, which share `from` units and one more. */
static void Node(struct core_table *table, uint32_t first, uint32_t end, uint32_t from) {
    struct core_node *node = &table->node[table->nodes];
    const struct core_prefix *prefix = &table->prefix[first];
    uint32_t chars = Shared(table, prefix, &table->prefix[end - 1u], from); /* of sorted ones, first and last differ most */

    node->text = (uint16_t)(prefix->text + from);
    node->chars = (uint16_t)chars;
    node->depth = (uint16_t)(from + chars);
    node->child = (uint16_t)first; /* for now: Branch makes children of the range */
    node->children = (uint16_t)(end - first);
    node->kinds = 0;
    table->unit[table->nodes++] = TextOf(table, prefix)[from];
}

/* What ends at the node is its own; the rest is shared out by its next unit, in order. */
static void Branch(struct core_table *table, struct core_node *node) {
    uint32_t first = node->child, end = first + node->children, next;

    for (; first < end && table->prefix[first].chars == node->depth; first++)
        node->kinds |= table->prefix[first].kinds;
    node->child = (uint16_t)table->nodes;
    for (; first < end; first = next) {
        uint16_t unit = TextOf(table, &table->prefix[first])[node->depth];

        for (next = first + 1u; next < end && TextOf(table, &table->prefix[next])[node->depth] == unit;)
            next++;
        Node(table, first, next, node->depth);
    }
    node->children = (uint16_t)(table->nodes - node->child);
}

/*
 * Breadth first, so that the children of a node stand together. Every node but the
 * roots ends a prefix or parts two of them: there are fewer than twice the prefixes.
 */
static void Grow(struct core_table *table) {
    uint32_t group, i, first = 0;

    memset(table->node, 0, sizeof table->node[0] * CORE_GROUPS);
    for (group = 0; group < CORE_GROUPS; group++) {
        table->node[group].child = (uint16_t)first;
        while (first < table->prefixes && table->prefix[first].group == group)
            first++;
        table->node[group].children = (uint16_t)(first - table->node[group].child);
    }
    table->nodes = CORE_GROUPS;
    for (i = 0; i < table->nodes; i++)
        Branch(table, &table->node[i]);
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
    Grow(table);
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

/* The child that begins with this unit, or CORE_NONE: of those that stand together in order, by halves. */
static uint32_t Child(const struct core_table *table, const struct core_node *node, uint16_t unit) {
    uint32_t low = node->child, count = node->children;

    while (count > 1u) {
        uint32_t half = count / 2u;

        low += table->unit[low + half] <= unit ? half : 0;
        count -= half;
    }
    return count != 0 && table->unit[low] == unit ? low : CORE_NONE;
}

#define LANES(unit) ((uint64_t)(unit) * 0x0001000100010001ull)

/* Four units in upper case at once; all are below 0x80, so no lane reaches into the next. */
static uint64_t Upper4(uint64_t units) {
    uint64_t from_a = units + LANES(0x80u - 'a'), past_z = units + LANES(0x80u - 'z' - 1u);

    return units - ((from_a & ~past_z & LANES(0x80u)) >> 2);
}

/* Whether text begins with these units, which are in upper case. text has that many. */
static core_bool Begins(const uint16_t *text, const uint16_t *upper, uint32_t chars) {
    uint32_t i = 0;

    for (; chars - i >= 4u; i += 4u) {
        uint64_t four, wanted;

        memcpy(&four, text + i, sizeof four);
        memcpy(&wanted, upper + i, sizeof wanted);
        if ((four & LANES(0xFF80u)) != 0)
            break;
        if (Upper4(four) != wanted)
            return 0;
    }
    for (; i < chars; i++)
        if (core_upper(text[i]) != upper[i])
            return 0;
    return 1;
}

static core_bool Find(const struct core_table *table, uint32_t group, uint32_t kind, const uint16_t *text, uint32_t chars) {
    const struct core_node *node = &table->node[group];
    uint32_t at = 0, child;

    for (;;) {
#ifdef PLANT_12 /* what a shorter prefix excludes is forgotten */
        if ((node->kinds >> kind & 1u) != 0 && node->children == 0)
#else
        if ((node->kinds >> kind & 1u) != 0)
#endif
            return 1;
        if (at == chars)
            return 0;
        child = Child(table, node, core_upper(text[at]));
        if (child == CORE_NONE)
            return 0;
        node = &table->node[child];
        if (node->chars > chars - at || !Begins(text + at, table->text + node->text, node->chars))
            return 0;
        at += node->chars;
    }
}

core_bool core_filters_match(struct core_filters *filters, uint32_t kind, uint32_t match, const void *text, uint32_t size) {
    const struct core_shape *shape = core_shape_of(kind);
    core_bool found;
    uint32_t active;

    if (shape == NULL || match < ASSAY_MATCH_PATH || match > ASSAY_MATCH_OWN)
        return 0;
    active = Enter(filters);
    found = Find(&filters->table[active], shape->class * 4u + match, kind, text, size / 2u);
    Leave(filters, active);
    return found;
}

core_bool core_filters_payload(struct core_filters *filters) {
    uint32_t active = Enter(filters);
    core_bool payload = (filters->table[active].flags & ASSAY_FILTERS_PAYLOAD) != 0;

    Leave(filters, active);
    return payload;
}

uint64_t core_filters_refused(struct core_filters *filters) { return __atomic_load_n(&filters->refused, __ATOMIC_SEQ_CST); }

uint64_t core_filters_generation(struct core_filters *filters) {
    uint32_t active = Enter(filters);
    uint64_t generation = filters->table[active].generation;

    Leave(filters, active);
    return generation;
}
