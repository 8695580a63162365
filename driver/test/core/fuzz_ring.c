/* Rings: one against a model that keeps its records in a list, and all of them with batches. */
#include "fuzz.h"

#define RING 1024u
#define GAP 104u
#define MODELLED 4096u

struct held {
    uint64_t n, time;
    uint32_t size, gap; /* gap: how many it tells of; 0 for a record */
};
static struct {
    struct held held[MODELLED]; /* all that ever got there */
    uint32_t head, cursor, tail;
    uint32_t bytes;
    uint64_t posted, lost, delivered, given, gap, gap_time;
} model;
static uint8_t text[ASSAY_MOST_COMMAND_LINE];

static void Hold(uint64_t n, uint64_t time, uint32_t size, uint32_t gap) {
    model.held[model.head++] = (struct held){n, time, size, gap};
    model.bytes += size;
}

static void Settle(uint32_t more) {
    if (model.gap == 0 || RING - model.bytes < GAP + more)
        return;
    Hold(model.posted, model.gap_time, GAP, (uint32_t)model.gap);
    model.gap = 0;
}

static void Lost(uint64_t time) {
    model.posted++;
    model.lost++;
    model.gap++;
    model.gap_time = time;
}

static void Post(struct core_ring *ring, uint32_t chars, uint64_t time) {
    static _Alignas(8) uint8_t record[8192];
    struct assay_image body = {.base = time};
    struct core_event event = {.kind = ASSAY_IMAGE_LOADED, .system_time = time, .interrupt_time = time, .body = &body, .text = {{text, chars * 2u, 0}}};
    uint32_t size = core_record_encode(&event, record, sizeof record);
    core_bool kept;

    MUST(size != 0);
    Settle(size);
    kept = model.gap == 0 && size <= RING - model.bytes;
    if (kept)
        Hold(++model.posted, time, size, 0);
    else
        Lost(time);
    MUST(core_ring_post(ring, record) == kept);
}

/* The text of a record that takes all the room there is, or 8 bytes more. */
static uint32_t Edge(core_bool beyond) {
    const uint32_t least = sizeof(struct assay_header) + sizeof(struct assay_image), room = RING - model.bytes + beyond * 8u;

    return room < least ? 0 : (room - least) / 2u;
}

static void Read(struct core_ring *ring, uint32_t room) {
    uint8_t *got = malloc(room == 0 ? 1 : room);
    uint32_t records = 0, used = core_ring_read(ring, got, room, &records), at = 0;

    MUST(got != NULL);
    for (; at < used; records--, model.cursor++) {
        const struct held *held = &model.held[model.cursor];
        const struct assay_header *header = (const void *)(got + at);
        const struct assay_gap *gap = (const void *)(header + 1);

        MUST(model.cursor < model.head && header->size == held->size && held->size <= used - at);
        MUST(core_record_check(header, header->size) == CORE_OK && header->n == held->n && header->boot == 1 && header->load == 2);
        MUST(header->system_time == held->time && header->interrupt_time == held->time);
        MUST(header->kind == (held->gap != 0 ? ASSAY_GAP : ASSAY_IMAGE_LOADED));
        MUST(held->gap == 0 || (gap->count == held->gap && gap->first == held->n - held->gap + 1u && gap->lost_class == ASSAY_IMAGE));
        model.given = held->n > model.given ? held->n : model.given;
        at += held->size;
    }
    MUST(records == 0 && (model.cursor == model.head || model.held[model.cursor].size > room - used));
    free(got);
}

/* Of what was given at any time, however often the reader lost its place since. */
static void Ack(struct core_ring *ring, uint64_t through) {
    MUST(core_ring_ack(ring, through) == (through <= model.given ? CORE_OK : CORE_INVALID));
    while (through <= model.given && model.tail < model.head && model.held[model.tail].n <= through) {
        model.bytes -= model.held[model.tail].size;
        model.delivered += model.held[model.tail++].gap == 0;
        model.cursor = model.cursor < model.tail ? model.tail : model.cursor;
        Settle(0);
    }
    if (through <= model.given) /* as the first that is not freed leaves it */
        Settle(0);
}

static void Counts(struct core_ring *ring) {
    struct assay_ring_counts counts;

    core_ring_counts(ring, &counts);
    MUST(counts.posted == model.posted && counts.lost == model.lost && counts.delivered == model.delivered);
    MUST(counts.queued == model.posted - model.lost - model.delivered && counts.held == model.bytes && counts.size == RING);
    MUST(core_ring_waiting(ring) == (model.cursor < model.head));
}

void FuzzRing(const uint8_t *data, uint32_t size) {
    struct choices from = {data, size, 0};
    uint8_t *memory = malloc(RING);
    struct core_ring ring;

    MUST(memory != NULL);
    memset(&model, 0, sizeof model);
    core_ring_start(&ring, ASSAY_IMAGE, memory, RING, 1, 2);
    for (uint32_t i = 1; Left(&from) && model.head < MODELLED - 4u; i++) {
        uint32_t what = Byte(&from);

        switch (what & 7u) {
        case 0:
            core_ring_resume(&ring);
            model.cursor = model.tail;
            break;
        case 1:
            Read(&ring, Short(&from) % 2048u);
            break;
        case 2:
            Read(&ring, RING);
            break;
        case 3: /* up to what was given, and beyond */
            Ack(&ring, model.given + 2u - (what >> 3 < model.given + 2u ? what >> 3 : model.given + 2u));
            break;
        case 4:
            core_ring_lose(&ring, i, i);
            Lost(i);
            Settle(0);
            break;
        default:
            Post(&ring, what >> 3 < 30u ? what >> 3 << 4 : Edge(what >> 3 == 31u), i);
        }
        Counts(&ring);
    }
    free(memory);
}

#define ROOM 49152u
static const uint32_t kind_of[ASSAY_CLASSES] = {ASSAY_TAMPER,  ASSAY_PROCESS_CREATED, ASSAY_IMAGE_LOADED,   ASSAY_PROCESS_OPENED,
                                                ASSAY_KEY_SET, ASSAY_FILE_WRITTEN,    ASSAY_FLOW_CONNECTED, ASSAY_PAYLOAD_COPIED};
static uint64_t given[ASSAY_CLASSES]; /* the last n of each class; a resume takes it back to what was acknowledged */

/* A record of that class with texts of so many bytes each. */
static void Fill(struct core_ring *ring, uint32_t class, uint32_t bytes, uint32_t times) {
    static _Alignas(8) uint8_t record[ASSAY_RECORD_MOST], body[128];
    struct core_event event = {.kind = kind_of[class], .body = body};

    for (uint32_t i = 0; i < 3; i++)
        event.text[i] = (struct core_text){text, bytes, 0};
    MUST(core_record_encode(&event, record, sizeof record) != 0);
    while (times-- > 0 && core_ring_post(ring, record))
        MUST(ring->head - ring->tail <= ROOM);
}

/* A batch; gives the bytes of its records. */
static uint32_t Batch(struct core_rings *rings, uint32_t room, uint32_t *seen) {
    uint8_t *got = malloc(room);
    uint32_t used = core_rings_read(rings, got, room), at = sizeof(struct assay_batch), records = 0;
    const struct assay_batch *batch = (const void *)got;

    MUST(got != NULL && used >= at && used <= room && batch->size == used && batch->magic == ASSAY_MAGIC && batch->load == 2);
    for (; at < used; records++) {
        const struct assay_header *header = (const void *)(got + at);
        const struct assay_gap *gap = (const void *)(header + 1);
        uint64_t before = header->n - (header->kind == ASSAY_GAP ? gap->count : 1u);

        MUST(header->size <= used - at && core_record_check(header, header->size) == CORE_OK && before == given[header->class]);
        given[header->class] = header->n;
        *seen |= 1u << header->class;
        at += header->size;
    }
    MUST(at == used && batch->records == records);
    free(got);
    return used - (uint32_t)sizeof *batch;
}

static void Acknowledge(struct core_rings *rings, uint32_t classes) {
    struct assay_read read = {.version = ASSAY_ABI_VERSION, .load = 2};

    for (uint32_t i = 0; i < ASSAY_CLASSES; i++)
        read.ack_through[i] = (classes >> i & 1u) != 0 ? given[i] : 0;
    MUST(core_rings_ack(rings, &read) == CORE_OK);
}

/* A storm in every class that does not let up: as many batches as there are classes give something of each. */
static void Storm(struct core_rings *rings, struct choices *from) {
    uint32_t bytes[ASSAY_CLASSES], waiting = 0, seen = 0;

    for (uint32_t i = 0; i < ASSAY_CLASSES; i++)
        bytes[i] = Byte(from) * 128u % sizeof text;
    for (uint32_t batch = 0; batch < ASSAY_CLASSES; batch++) {
        for (uint32_t i = 0; i < ASSAY_CLASSES; i++) {
            Fill(&rings->ring[i], i, bytes[i], ROOM);
            waiting |= batch == 0 && core_ring_waiting(&rings->ring[i]) ? 1u << i : 0;
        }
        Batch(rings, ASSAY_READ_LEAST, &seen);
        Acknowledge(rings, ~0u);
    }
    MUST((waiting & ~seen) == 0);
}

/* What is unread is what the next batches give. */
static void Drain(struct core_rings *rings) {
    uint64_t unread = core_rings_unread(rings);
    uint32_t got, seen = 0;

    while ((got = Batch(rings, ASSAY_READ_LEAST, &seen)) != 0) {
        MUST(got <= unread);
        unread -= got;
    }
    MUST(unread == 0 && core_rings_unread(rings) == 0);
}

void FuzzRings(const uint8_t *data, uint32_t size) {
    static uint8_t memory[ASSAY_CLASSES][ROOM];
    static struct core_rings rings;
    struct choices from = {data, size, 0};
    uint32_t seen = 0, storms = 0;

    memset(&rings, 0, sizeof rings);
    memset(given, 0, sizeof given);
    for (uint32_t i = 0; i < ASSAY_CLASSES; i++)
        core_ring_start(&rings.ring[i], i, memory[i], ROOM, 1, 2);
    for (uint32_t i = 0; Left(&from) && i < 64; i++) {
        uint32_t what = Byte(&from), class = what >> 3 & 7u;

        switch (what & 7u) {
        case 0:
            Acknowledge(&rings, Byte(&from));
            break;
        case 1:
            Drain(&rings);
            break;
        case 2:
            Batch(&rings, ASSAY_READ_LEAST + Byte(&from) * 8u, &seen);
            break;
        case 3:
            if (storms++ == 0)
                Storm(&rings, &from);
            break;
        default:
            Fill(&rings.ring[class], class, Byte(&from) * 16u, 1u + (what >> 6));
        }
    }
}
