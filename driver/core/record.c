/*
 * Records: one table says what each kind looks like, one encoder writes them all,
 * and one check, which shares nothing with the encoder but the table, is the oracle
 * of the tests and of the reader. A record is written whole: no byte of the buffer
 * before it is left in it.
 */
#include "core.h"

#define AT(type, field) (uint16_t)offsetof(struct type, field)
#define PATH ASSAY_MOST_PATH
#define NAME ASSAY_MOST_NAME
#define KEY {sizeof(struct assay_key), ASSAY_REGISTRY, 3, {AT(assay_key, key), AT(assay_key, name), AT(assay_key, data)}, {PATH, PATH, ASSAY_MOST_DATA}, 3}
#define FILE_ \
    {sizeof(struct assay_file), ASSAY_FILE, 4, {AT(assay_file, volume), AT(assay_file, path), AT(assay_file, new_path), AT(assay_file, image)}, \
     {NAME, PATH, PATH, PATH}, 15}
#define FLOW {sizeof(struct assay_flow), ASSAY_NETWORK, 1, {AT(assay_flow, image)}, {PATH}, 1}
#define PROCESS \
    {sizeof(struct assay_process), ASSAY_PROCESS, 3, {AT(assay_process, image), AT(assay_process, command_line), AT(assay_process, user)}, \
     {PATH, ASSAY_MOST_COMMAND_LINE, ASSAY_MOST_SID}, 3}
#define VOLUME \
    {sizeof(struct assay_volume), ASSAY_CONTROL, 6, \
     {AT(assay_volume, guid), AT(assay_volume, device), AT(assay_volume, vendor), AT(assay_volume, product), AT(assay_volume, serial), AT(assay_volume, label)}, \
     {NAME, NAME, NAME, NAME, NAME, NAME}, 63}

static const struct core_shape shapes[ASSAY_KINDS] = {
    [ASSAY_STARTED] = {sizeof(struct assay_started), ASSAY_CONTROL, 0, {0}, {0}, 0},
    [ASSAY_TAMPER] = {sizeof(struct assay_tamper), ASSAY_CONTROL, 1, {AT(assay_tamper, target)}, {PATH}, 1},
    [ASSAY_GAP] = {sizeof(struct assay_gap), ASSAY_CONTROL, 0, {0}, {0}, 0},
    [ASSAY_VOLUME_ARRIVED] = VOLUME,
    [ASSAY_VOLUME_LEFT] = VOLUME,
    [ASSAY_PROCESS_CREATED] = PROCESS,
    [ASSAY_PROCESS_FOUND] = PROCESS,
    [ASSAY_PROCESS_EXITED] = {sizeof(struct assay_exit), ASSAY_PROCESS, 0, {0}, {0}, 0},
    [ASSAY_IMAGE_LOADED] = {sizeof(struct assay_image), ASSAY_IMAGE, 1, {AT(assay_image, path)}, {PATH}, 1},
    [ASSAY_THREAD_REMOTE] = {sizeof(struct assay_thread), ASSAY_OBJECT, 0, {0}, {0}, 0},
    [ASSAY_PROCESS_OPENED] = {sizeof(struct assay_open), ASSAY_OBJECT, 0, {0}, {0}, 0},
    [ASSAY_KEY_SET] = KEY,
    [ASSAY_KEY_VALUE_DELETED] = KEY,
    [ASSAY_KEY_DELETED] = KEY,
    [ASSAY_KEY_CREATED] = KEY,
    [ASSAY_KEY_RENAMED] = KEY,
    [ASSAY_FILE_CREATED] = FILE_,
    [ASSAY_FILE_WRITTEN] = FILE_,
    [ASSAY_FILE_RENAMED] = FILE_,
    [ASSAY_FILE_DELETED] = FILE_,
    [ASSAY_FILE_LINKED] = FILE_,
    [ASSAY_FILE_TIMES_SET] = FILE_,
    [ASSAY_FILE_STREAM_CREATED] = FILE_,
    [ASSAY_FILE_MAPPED] = FILE_,
    [ASSAY_FLOW_CONNECTED] = FLOW,
    [ASSAY_FLOW_ACCEPTED] = FLOW,
    [ASSAY_FLOW_LISTENING] = FLOW,
    [ASSAY_FLOW_REFUSED] = FLOW,
    [ASSAY_FLOW_ENDED] = FLOW,
    [ASSAY_PAYLOAD_COPIED] = {sizeof(struct assay_payload), ASSAY_PAYLOAD, 1, {AT(assay_payload, data)}, {ASSAY_MOST_DATA}, 0},
};

const struct core_shape *core_shape_of(uint32_t kind) {
    return kind < ASSAY_KINDS && shapes[kind].body_size != 0 ? &shapes[kind] : NULL;
}

static uint32_t Up8(uint32_t bytes) { return (bytes + 7u) & ~7u; }

/* What of a text goes into a record; UTF-16 is never cut within a code unit. */
static uint32_t Kept(const struct core_shape *shape, uint32_t i, const struct core_text *text) {
    uint32_t size = text->at == NULL ? 0 : text->size;

    if (size > shape->most[i])
        size = shape->most[i];
    return (shape->text >> i & 1u) != 0 ? size & ~1u : size;
}

uint32_t core_record_size(const struct core_event *event) {
    const struct core_shape *shape = core_shape_of(event->kind);
    uint32_t size, i;

    if (shape == NULL)
        return 0;
    size = (uint32_t)sizeof(struct assay_header) + shape->body_size;
    for (i = 0; i < shape->refs; i++)
        size += Up8(Kept(shape, i, &event->text[i]));
    return size;
}

/* Appends text i at a place, and gives the place after it. */
static uint32_t Append(uint8_t *out, uint32_t at, const struct core_shape *shape, uint32_t i, const struct core_text *text) {
    struct assay_ref ref = {0, 0, 0, 0};
    uint32_t end;

    ref.size = Kept(shape, i, text);
    if (text->at == NULL)
        ref.flags = ASSAY_REF_UNKNOWN;
    else
#ifdef PLANT_19 /* what the caller cut is taken for all of it */
        ref.whole = text->size;
#else
        ref.whole = text->whole > text->size ? text->whole : text->size;
#endif
    if (ref.size < ref.whole)
        ref.flags = ASSAY_REF_TRUNCATED;
    end = Up8(at + ref.size);
    if (ref.size != 0) {
        ref.offset = at;
        memcpy(out + at, text->at, ref.size);
#ifndef PLANT_1 /* bytes of an older record stay in the padding */
        memset(out + at + ref.size, 0, end - at - ref.size);
#endif
    }
    memcpy(out + sizeof(struct assay_header) + shape->at[i], &ref, sizeof ref);
#ifdef PLANT_2 /* a cut text does not say so */
    return end;
#else
    if (ref.flags == ASSAY_REF_TRUNCATED)
        ((struct assay_header *)(void *)out)->flags |= ASSAY_RECORD_TRUNCATED;
    return end;
#endif
}

uint32_t core_record_encode(const struct core_event *event, void *out, uint32_t room) {
    const struct core_shape *shape = core_shape_of(event->kind);
    uint32_t size = core_record_size(event), at, i;
    struct assay_header *header = out;

#ifdef PLANT_3 /* the room is not looked at */
    if (shape == NULL)
        return 0;
    (void)room;
#else
    if (shape == NULL || size > room)
        return 0;
#endif
    memset(header, 0, sizeof *header);
    header->size = size;
    header->kind = (uint16_t)event->kind;
    header->version = ASSAY_ABI_VERSION;
    header->class = (uint8_t)shape->class;
    header->flags = event->flags & ASSAY_RECORD_UNSURE;
    header->body_size = shape->body_size;
    header->system_time = event->system_time;
    header->interrupt_time = event->interrupt_time;
    header->pid = event->pid;
    header->tid = event->tid;
    header->pid_created = event->pid_created;
    memcpy(header + 1, event->body, shape->body_size);
    at = (uint32_t)sizeof *header + shape->body_size;
    for (i = 0; i < shape->refs; i++)
        at = Append(out, at, shape, i, &event->text[i]);
    if (shape->class == ASSAY_FILE && ((const struct assay_file *)(const void *)(header + 1))->holes != 0)
        header->flags |= ASSAY_RECORD_HOLES;
    return size;
}

/* A reference that stands at `at`, when it has bytes; gives the place after it, or 0 when it is not sane. */
static uint32_t CheckRef(const struct assay_ref *ref, const struct core_shape *shape, uint32_t i, uint32_t at, uint32_t size) {
    uint32_t cut = ref->size < ref->whole ? ASSAY_REF_TRUNCATED : 0;

    if (ref->size > shape->most[i] || ref->size > ref->whole || (ref->size & (shape->text >> i & 1u)) != 0)
        return 0;
    if (ref->flags != cut && (ref->flags != ASSAY_REF_UNKNOWN || ref->whole != 0))
        return 0;
    if (ref->size == 0)
        return ref->offset == 0 ? at : 0;
#ifdef PLANT_4 /* an offset beyond the record is taken */
    (void)size;
    return ref->offset == at ? Up8(at + ref->size) : 0;
#else
    return ref->offset == at && ref->size <= size - at ? Up8(at + ref->size) : 0;
#endif
}

enum core_result core_record_check(const void *record, uint32_t size) {
    const uint8_t *bytes = record;
    struct assay_header header;
    const struct core_shape *shape;
    uint32_t at, i, flags = 0;

    if (size < sizeof header)
        return CORE_TOO_SMALL;
    memcpy(&header, record, sizeof header);
    shape = core_shape_of(header.kind);
    if (shape == NULL || header.size != size || size % 8u != 0 || size > ASSAY_RECORD_MOST)
        return CORE_INVALID;
    if (header.version < ASSAY_ABI_OLDEST || header.version > ASSAY_ABI_VERSION)
        return CORE_REVISION;
    if (header.body_size != shape->body_size || size - (uint32_t)sizeof header < shape->body_size)
        return CORE_INVALID;
    if (header.class >= ASSAY_CLASSES || (header.kind != ASSAY_GAP && header.class != shape->class))
        return CORE_INVALID;
    at = (uint32_t)sizeof header + shape->body_size;
    for (i = 0; i < shape->refs; i++) {
        struct assay_ref ref;
        uint32_t end;

        memcpy(&ref, bytes + sizeof header + shape->at[i], sizeof ref);
        end = CheckRef(&ref, shape, i, at, size);
        if (end == 0)
            return CORE_INVALID;
        for (at = ref.size == 0 ? end : at + ref.size; at < end; at++)
            if (bytes[at] != 0)
                return CORE_INVALID;
        flags |= ref.flags == ASSAY_REF_TRUNCATED ? ASSAY_RECORD_TRUNCATED : 0u;
    }
    return at == size && (header.flags & ASSAY_RECORD_TRUNCATED) == flags ? CORE_OK : CORE_INVALID;
}
