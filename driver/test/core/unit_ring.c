/* Rings: what is lost is counted and told of, and only an acknowledgement frees. */
#include <pthread.h>

#include "unit.h"

#define EACH 112u /* bytes of Small */
static _Alignas(8) uint8_t memory[ASSAY_CLASSES][1024], record[4096], got[ASSAY_READ_LEAST * 2];
static struct core_ring ring;
static struct core_rings rings;

static void Start(uint64_t size) { core_ring_start(&ring, ASSAY_OBJECT, memory[0], size, 5, 6); }
static core_bool Post(uint32_t pid) {
    CHECK(Small(pid, record) == EACH);
    return core_ring_post(&ring, record);
}
static const struct assay_header *At(uint32_t i) { return (const void *)(got + i * EACH); }

static void Reconcile(void) {
    struct assay_ring_counts counts;

    core_ring_counts(&ring, &counts);
    CHECK(counts.posted == counts.delivered + counts.queued + counts.lost && counts.held <= counts.size);
}

static void Crash(void) {
    uint32_t records = 0;

    Start(1000);
    CHECK(!core_ring_waiting(&ring) && Post(1) && Post(2) && Post(3) && core_ring_waiting(&ring));
    CHECK(core_ring_read(&ring, got, 2 * EACH, &records) == 2 * EACH && records == 2);
    CHECK(At(1)->n == 2 && At(1)->boot == 5 && At(1)->load == 6 && At(1)->class == ASSAY_OBJECT && At(1)->lost_before == 0);
    CHECK(core_ring_ack(&ring, 3) == CORE_INVALID); /* was never given */
    CHECK(core_ring_ack(&ring, 1) == CORE_OK);
    core_ring_resume(&ring);
    CHECK(core_ring_read(&ring, got, sizeof got, &records) == 2 * EACH && At(0)->n == 2 && At(1)->n == 3);
    CHECK(core_ring_ack(&ring, 3) == CORE_OK && ring.tail == ring.head);
    Reconcile();
    Start(1000); /* a reader that starts anew and has not caught up may still acknowledge all that was given */
    CHECK(Post(1) && Post(2) && core_ring_read(&ring, got, sizeof got, &records) == 2 * EACH);
    core_ring_resume(&ring);
    CHECK(core_ring_read(&ring, got, EACH, &records) == EACH && core_ring_ack(&ring, 2) == CORE_OK && ring.tail == ring.head);
}

static void Loss(void) {
    const struct assay_gap *gap = (const void *)(At(1) + 1);
    struct assay_ring_counts counts;
    uint32_t records = 0, i;

    Start(4 * EACH - 8);
    CHECK(Post(1) && Post(2) && Post(3) && !Post(4)); /* 8 bytes short */
    Start(4 * EACH);
    for (i = 1; i <= 4; i++)
        CHECK(Post(i));
    CHECK(!Post(5) && !Post(6)); /* exactly full */
    core_ring_lose(&ring, 70, 71);
    core_ring_filter(&ring);
    core_ring_read(&ring, got, sizeof got, &records);
    CHECK(records == 4 && core_ring_ack(&ring, 1) == CORE_OK); /* frees the room that the gap takes at once */
    CHECK(!Post(8)); /* less room than a record; of no time of its own */
    CHECK(core_ring_ack(&ring, 3) == CORE_OK && Post(9));
    CHECK(core_ring_read(&ring, got, sizeof got, &records) > 0 && At(0)->kind == ASSAY_GAP && At(0)->n == 7 && core_record_check(At(0), 104) == CORE_OK);
    gap = (const void *)(At(0) + 1);
    CHECK(gap->first == 5 && gap->count == 3 && gap->lost_class == ASSAY_OBJECT && At(0)->lost_before == 3);
    CHECK(At(0)->system_time == 70 && At(0)->interrupt_time == 71); /* of the last of them */
    core_ring_counts(&ring, &counts);
    CHECK(counts.posted == 9 && counts.lost == 4 && counts.filtered == 1 && counts.delivered == 3 && counts.queued == 2);
    Reconcile();
    CHECK(core_ring_ack(&ring, 9) == CORE_OK && ring.delivered == 5 && ring.tail == ring.head);
    core_ring_lose(&ring, 0, 0); /* there is room: told at once */
    CHECK(core_ring_read(&ring, got, sizeof got, &records) == 104 && ((const struct assay_gap *)(const void *)(At(0) + 1))->first == 10);
}

static void Batch(void) {
    struct assay_read read = {.version = 1, .load = 6};
    const struct assay_batch *batch = (const void *)got;
    uint32_t i, kept = 0;

    for (i = 0; i < ASSAY_CLASSES; i++)
        core_ring_start(&rings.ring[i], i, memory[i], sizeof memory[i], 5, 6);
    for (i = 0; i < 9; i++) {
        Small(i, record);
        kept += core_ring_post(&rings.ring[ASSAY_FILE], record); /* a storm */
    }
    core_ring_post(&rings.ring[ASSAY_PROCESS], record);
    CHECK(core_rings_read(&rings, got, ASSAY_READ_LEAST - 1) == 0);
    CHECK(core_rings_read(&rings, got, ASSAY_READ_LEAST) == sizeof *batch + (kept + 1) * EACH && batch->records == kept + 1);
    CHECK(core_rings_unread(&rings) == 0 && rings.ring[ASSAY_FILE].tail == 0); /* given, and not yet acknowledged */
    CHECK(batch->magic == ASSAY_MAGIC && batch->boot == 5 && batch->load == 6 && batch->size == sizeof *batch + (kept + 1) * EACH);
    CHECK(((const struct assay_header *)(const void *)(batch + 1))->n == 1);
    read.ack_through[ASSAY_PROCESS] = 1;
    read.ack_through[ASSAY_PAYLOAD] = 1; /* never given: nothing at all is freed */
    CHECK(core_rings_ack(&rings, &read) == CORE_INVALID && rings.ring[ASSAY_PROCESS].tail == 0);
    read.load = 7; /* of another load: frees nothing, and resumes */
    read.resume = 1;
    CHECK(core_rings_ack(&rings, &read) == CORE_OK && rings.ring[ASSAY_PROCESS].tail == 0 && rings.ring[ASSAY_PROCESS].cursor == 0);
    read.load = 6;
    read.resume = 0;
    read.ack_through[ASSAY_PAYLOAD] = 0;
    CHECK(core_rings_ack(&rings, &read) == CORE_OK && rings.ring[ASSAY_PROCESS].delivered == 1);
}

/* A record longer than a share, in a storm that never lets up: its class has its turn. */
static void Turn(void) {
    static _Alignas(8) uint8_t room[ASSAY_CLASSES][1u << 17], longest[ASSAY_RECORD_MOST], line[ASSAY_MOST_COMMAND_LINE];
    struct assay_process body = {.pid = 7};
    struct core_event event = {.kind = ASSAY_PROCESS_CREATED, .body = &body, .text = {{NULL, 0, 0}, {line, sizeof line, 0}}};
    struct assay_read read = {.version = 1, .load = 6};
    uint32_t i, batch;

    memset(&rings, 0, sizeof rings);
    for (i = 0; i < ASSAY_CLASSES; i++)
        core_ring_start(&rings.ring[i], i, room[i], sizeof room[i], 5, 6);
    CHECK(core_rings_unread(&rings) == 0 && core_record_encode(&event, longest, sizeof longest) > (ASSAY_READ_LEAST / 2u));
    CHECK(core_ring_post(&rings.ring[ASSAY_PROCESS], longest));
    for (batch = 0; batch < ASSAY_CLASSES && rings.ring[ASSAY_PROCESS].delivered == 0; batch++) {
        for (i = 0; i < ASSAY_CLASSES; i++)
            while (i != ASSAY_PROCESS && Small(i, record) != 0 && core_ring_post(&rings.ring[i], record))
                ;
        CHECK(core_rings_unread(&rings) > 7u * sizeof room[0] - ASSAY_CLASSES * 2u * EACH);
        CHECK(core_rings_read(&rings, got, ASSAY_READ_LEAST) > ASSAY_READ_LEAST - 8u * EACH - ((batch & 7u) == ASSAY_PROCESS ? 8192u : 0));
        for (i = 0; i < ASSAY_CLASSES; i++)
            read.ack_through[i] = rings.ring[i].read_n;
        CHECK(core_rings_ack(&rings, &read) == CORE_OK);
    }
    CHECK(rings.ring[ASSAY_PROCESS].delivered == 1);
}

#define PRODUCERS 4u
#define POSTS 4000u
static uint8_t shared[65536];
static uint32_t running;

static void *Produce(void *which) {
    _Alignas(8) uint8_t mine[256];

    for (uint32_t i = 0; i < POSTS; i++) {
        Small((uint32_t)(uintptr_t)which << 16 | i, mine);
        core_ring_post(&ring, mine);
    }
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Four producers and a reader that loses its place now and then: each n once, in order, or in a gap. */
static void Threads(void) {
    static _Alignas(8) uint8_t batch[8192];
    pthread_t thread[PRODUCERS];
    uint64_t seen = 0, lost = 0;
    uint32_t round = 0;

    core_ring_start(&ring, ASSAY_OBJECT, shared, sizeof shared, 5, 6);
    running = PRODUCERS;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_create(&thread[i], NULL, Produce, (void *)(uintptr_t)i) == 0);
    for (;;) {
        core_bool last = __atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0;
        uint32_t records = 0, used = core_ring_read(&ring, batch, sizeof batch, &records);
        const struct assay_header *header;

        if (used == 0 && last)
            break;
        if (used != 0 && ++round % 8 == 0) { /* a crash before it acted */
            core_ring_resume(&ring);
            continue;
        }
        for (uint32_t at = 0; at < used; at += header->size) {
            header = (const void *)(batch + at);
            CHECK(core_record_check(header, header->size) == CORE_OK);
            if (header->kind == ASSAY_GAP) {
                const struct assay_gap *gap = (const void *)(header + 1);

                CHECK(gap->first == seen + 1 && header->n == seen + gap->count);
                lost += gap->count;
            } else
                CHECK(header->n == seen + 1);
            seen = header->n;
        }
        CHECK(core_ring_ack(&ring, seen) == CORE_OK);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(thread[i], NULL);
    CHECK(seen == PRODUCERS * POSTS && ring.lost == lost && ring.delivered == seen - lost);
}

void RingTests(void) {
    Crash();
    Loss();
    Batch();
    Turn();
    Threads();
}
