/* Records: what the check takes is walked, and what the encoder writes is read back and then spoilt. */
#include "fuzz.h"

static uint8_t text[1u << 16];

/* What a reader does with a record that the check took: it reads every text, where it must stand. */
static void Walk(const uint8_t *record, uint32_t size) {
    const struct assay_header *header = (const void *)record;
    const struct core_shape *shape = core_shape_of(header->kind);
    uint32_t at, cut = 0;
    volatile uint8_t sum = 0;

    MUST(shape != NULL && header->size == size && size <= ASSAY_RECORD_MOST && header->version == ASSAY_ABI_VERSION);
    at = (uint32_t)sizeof *header + shape->body_size;
    for (uint32_t i = 0; i < shape->refs; i++) {
        const struct assay_ref *ref = (const void *)(record + sizeof *header + shape->at[i]);

        for (uint32_t k = 0; k < ref->size; k++)
            sum = (uint8_t)(sum + record[ref->offset + k]);
        MUST(ref->size <= ref->whole && ref->size <= shape->most[i] && (ref->size % 2u == 0 || (shape->text >> i & 1u) == 0));
        MUST(ref->size == 0 ? ref->offset == 0 : ref->offset == at && ref->size <= size - at);
        MUST(ref->size < ref->whole ? ref->flags == ASSAY_REF_TRUNCATED : (ref->flags & ~ASSAY_REF_UNKNOWN) == 0);
        cut |= ref->flags & ASSAY_REF_TRUNCATED;
        for (at += ref->size; at % 8u != 0; at++)
            MUST(record[at] == 0);
    }
    MUST(at == size && (header->flags & ASSAY_RECORD_TRUNCATED) == cut);
}

void FuzzCheck(const uint8_t *data, uint32_t size) {
    if (core_record_check(data, size) == CORE_OK)
        Walk(data, size);
}

/* Of kind and text sizes of the bytes' making; gives the size that the record must have. */
static uint32_t Event(struct core_event *event, const struct core_shape *shape, struct choices *from) {
    uint32_t size = (uint32_t)sizeof(struct assay_header) + shape->body_size;

    for (uint32_t i = 0; i < shape->refs; i++) {
        struct core_text *ref = &event->text[i];
        uint32_t how = Byte(from), kept;

        ref->size = (how & 1u) != 0 ? Short(from) : Byte(from);
        ref->at = (how & 6u) == 6u ? NULL : text;
        ref->whole = (how & 24u) == 24u ? ref->size + Byte(from) : Byte(from);
        kept = ref->at == NULL ? 0 : ref->size < shape->most[i] ? ref->size : shape->most[i];
        kept -= (shape->text >> i & 1u) != 0 ? kept % 2u : 0;
        size += (kept + 7u) & ~7u;
    }
    return size;
}

/* What was written says all of what it was made of, and where something is missing. */
static void Compare(const uint8_t *record, const struct core_event *event, const struct core_shape *shape) {
    const struct assay_header *header = (const void *)record;
    uint32_t flags = 0;

    for (uint32_t i = 0; i < shape->refs; i++) {
        const struct assay_ref *ref = (const void *)(record + sizeof *header + shape->at[i]);
        const struct core_text *given = &event->text[i];
        uint32_t whole = given->at == NULL ? 0 : given->whole > given->size ? given->whole : given->size;

        MUST(ref->whole == whole && ((ref->flags & ASSAY_REF_UNKNOWN) != 0) == (given->at == NULL));
        MUST(ref->size <= given->size && memcmp(record + ref->offset, text, ref->offset == 0 ? 0 : ref->size) == 0);
        MUST(ref->size + 1u >= given->size || ref->size == shape->most[i] || given->at == NULL);
        flags |= ref->size < whole ? ASSAY_RECORD_TRUNCATED : 0;
    }
    if (shape->class == ASSAY_FILE && ((const struct assay_file *)event->body)->holes != 0)
        flags |= ASSAY_RECORD_HOLES;
    MUST(header->flags == flags && header->kind == event->kind && header->class == shape->class && header->pid == event->pid);
}

/* Changes of a sane record: a number anywhere, or a text's size, its whole, and both alike. */
static void Spoil(uint8_t *record, uint32_t size, const struct core_shape *shape, struct choices *from) {
    while (Left(from)) {
        uint32_t how = Byte(from), value = Byte(from), at = (uint32_t)sizeof(struct assay_header);

        value = (how & 4u) != 0 ? value << (8u * (how >> 6)) : value;
        if ((how & 3u) == 0 || shape->refs == 0) {
            at = Short(from) * 4u % size;
            memcpy(record + at, &value, sizeof value);
        } else {
            struct assay_ref *ref = (void *)(record + at + shape->at[(how >> 3 & 7u) % shape->refs]);

            ref->size = (how & 1u) != 0 ? value : ref->size;
            ref->whole = (how & 2u) != 0 ? value : ref->whole;
        }
        if (core_record_check(record, size) == CORE_OK)
            Walk(record, size);
    }
}

void FuzzEncode(const uint8_t *data, uint32_t size) {
    struct choices from = {data, size, 0};
    _Alignas(8) uint8_t body[128];
    struct core_event event = {.kind = Byte(&from), .pid = 7, .body = body};
    const struct core_shape *shape;
    uint32_t expected, room;
    uint8_t *record;

    for (uint32_t i = 0; text[0] == 0 && i < sizeof text; i++)
        text[i] = (uint8_t)(i % 251u + 1u);
    event.kind %= 64u;
    shape = core_shape_of(event.kind);
    memset(body, (int)Byte(&from), sizeof body);
    if (shape == NULL) {
        MUST(core_record_size(&event) == 0 && core_record_encode(&event, body, sizeof body) == 0);
        return;
    }
    expected = Event(&event, shape, &from);
    room = Byte(&from) % 4u == 0 ? expected - 1u - Short(&from) % expected : expected; /* too small by one, or by more */
    record = malloc(room == 0 ? 1 : room);
    MUST(record != NULL && core_record_size(&event) == expected);
    memset(record, 0xEE, room);
    MUST(core_record_encode(&event, record, room) == (room < expected ? 0 : expected));
    for (uint32_t i = 0; room < expected && i < room; i++)
        MUST(record[i] == 0xEE);
    if (room == expected) {
        MUST(core_record_check(record, room) == CORE_OK);
        Walk(record, room);
        Compare(record, &event, shape);
        Spoil(record, room, shape, &from);
    }
    free(record);
}
