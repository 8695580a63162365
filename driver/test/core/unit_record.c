/* Records: what is written is what the check and the reader find, and nothing else is in them. */
#include "unit.h"

static _Alignas(8) uint8_t out[ASSAY_RECORD_MOST], again[ASSAY_RECORD_MOST], text[70000];

static void Whole(void) {
    struct assay_process body = {.pid = 7}, *got = (void *)(out + sizeof(struct assay_header));
    struct core_event event = {.kind = ASSAY_PROCESS_CREATED, .body = &body, .text = {{text, 5, 0}, {text, 65535, 0}, {text, 12, 9}}};
    struct assay_header *header = (void *)out;
    uint32_t size;

    memset(out, 0xEE, sizeof out);
    memset(text, 'a', sizeof text);
    size = core_record_encode(&event, out, sizeof out);
    CHECK(size == core_record_size(&event) && core_record_check(out, size) == CORE_OK);
    CHECK(header->flags == ASSAY_RECORD_TRUNCATED && got->pid == 7);
    CHECK(got->image.size == 4 && got->image.whole == 5 && got->image.flags == ASSAY_REF_TRUNCATED); /* no half of a code unit */
    CHECK(got->command_line.size == ASSAY_MOST_COMMAND_LINE && got->command_line.whole == 65535);
    CHECK(got->user.size == 12 && got->user.flags == 0 && memcmp(out + got->user.offset, text, 12) == 0);
    memset(again, 0x11, sizeof again);
    CHECK(core_record_encode(&event, again, sizeof again) == size && memcmp(out, again, size) == 0); /* nothing of the buffer is left */
    CHECK(core_record_encode(&event, again, size - 1) == 0);
    event.kind = 63;
    CHECK(core_record_encode(&event, again, sizeof again) == 0 && core_record_size(&event) == 0 && core_shape_of(64) == NULL);
}

static void Empty(void) {
    struct assay_file body = {.holes = ASSAY_HOLE_REMOTE}, *got = (void *)(out + sizeof(struct assay_header));
    struct core_event event = {.kind = ASSAY_FILE_WRITTEN, .body = &body, .text = {{text, 0, 0}, {NULL, 0, 0}, {text, 12, 99}}};
    uint32_t size = core_record_encode(&event, out, sizeof out);

    CHECK(core_record_check(out, size) == CORE_OK && ((struct assay_header *)(void *)out)->flags == (ASSAY_RECORD_HOLES | ASSAY_RECORD_TRUNCATED));
    CHECK(got->new_path.size == 12 && got->new_path.whole == 99 && got->new_path.flags == ASSAY_REF_TRUNCATED); /* cut before it came here */
    CHECK(got->volume.flags == 0 && got->path.flags == ASSAY_REF_UNKNOWN && got->path.offset == 0);
    body.holes = 0;
    event.text[2].whole = 0;
    core_record_encode(&event, out, sizeof out);
    CHECK(((struct assay_header *)(void *)out)->flags == 0);
    event.flags = ~0u; /* the others are the encoder's to say */
    CHECK(core_record_check(out, core_record_encode(&event, out, sizeof out)) == CORE_OK);
    CHECK(((struct assay_header *)(void *)out)->flags == ASSAY_RECORD_UNSURE);
}

/* Every way in which a record can be wrong is seen. */
static void Wrong(void) {
    struct assay_key body = {.type = 1};
    struct core_event event = {.kind = ASSAY_KEY_SET, .body = &body, .text = {{text, 10, 0}, {text, 4, 0}, {text, 3, 0}}};
    struct assay_header *header = (void *)out;
    struct assay_key *got = (void *)(out + sizeof *header);
    uint32_t size = core_record_encode(&event, out, sizeof out);
    void *exact;

#define WRONG(place, value, result) \
    do { \
        memcpy(again, out, size); \
        place = value; \
        exact = malloc(size); /* so that the sanitizer sees a step beyond */ \
        CHECK(exact != NULL); \
        memcpy(exact, out, size); \
        CHECK(core_record_check(exact, size) == (result)); \
        free(exact); \
        memcpy(out, again, size); \
    } while (0)
    CHECK(core_record_check(out, size) == CORE_OK && core_record_check(out, 79) == CORE_TOO_SMALL);
    WRONG(header->kind, 63, CORE_INVALID);
    WRONG(header->size, size + 8, CORE_INVALID);
    WRONG(header->version, 0, CORE_REVISION);
    WRONG(header->version, 2, CORE_REVISION);
    WRONG(header->body_size, 48, CORE_INVALID);
    WRONG(header->class, ASSAY_FILE, CORE_INVALID);
    WRONG(header->class, 8, CORE_INVALID);
    WRONG(header->flags, ASSAY_RECORD_TRUNCATED, CORE_INVALID);
    WRONG(got->key.offset, 8, CORE_INVALID);
    WRONG(got->key.size, 9, CORE_INVALID);
    WRONG(got->key.size, ASSAY_MOST_PATH + 2, CORE_INVALID);
    WRONG(got->key.whole, 9, CORE_INVALID);
    WRONG(got->key.flags, ASSAY_REF_TRUNCATED, CORE_INVALID);
    WRONG(got->key.flags, ASSAY_REF_UNKNOWN, CORE_INVALID);
    WRONG(out[got->key.offset + 10], 1, CORE_INVALID);
    WRONG(got->data.size = got->data.whole, 1001, CORE_INVALID); /* beyond the record */
    WRONG(got->key.size = got->key.whole, 0, CORE_INVALID);
    WRONG(got->data.size = got->data.whole = got->data.offset, 0, CORE_INVALID); /* bytes that nothing speaks of */
    CHECK(core_record_check(out, size - 4) == CORE_INVALID);
    header->size = size - 4;
    CHECK(core_record_check(out, size - 4) == CORE_INVALID);
    header->size = ASSAY_RECORD_MOST + 8;
    CHECK(core_record_check(out, ASSAY_RECORD_MOST + 8) == CORE_INVALID);
    header->size = 88;
    CHECK(core_record_check(out, 88) == CORE_INVALID);
}

void RecordTests(void) {
    Whole();
    Empty();
    Wrong();
}
