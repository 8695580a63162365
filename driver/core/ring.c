/*
 * Rings. A record takes its n under the lock, after the filters, and burns it when
 * there is no room. A gap record then takes the place of what was lost as soon as
 * there is room for it, so that a reader sees 1, 2, gap through 7, 8. Reading moves
 * the cursor; only an acknowledgement frees. The lock is held for one record.
 */
#include "core.h"

static void Put(struct core_ring *ring, const void *from, uint32_t bytes) {
    uint64_t place = ring->head % ring->size, first = ring->size - place;

    if (first > bytes)
        first = bytes;
    memcpy(ring->memory + place, from, (size_t)first);
    memcpy(ring->memory, (const uint8_t *)from + first, (size_t)(bytes - first));
    ring->head += bytes;
}

static void Get(const struct core_ring *ring, uint64_t at, void *to, uint32_t bytes) {
    uint64_t place = at % ring->size, first = ring->size - place;

    if (first > bytes)
        first = bytes;
    memcpy(to, ring->memory + place, (size_t)first);
    memcpy((uint8_t *)to + first, ring->memory, (size_t)(bytes - first));
}

void core_ring_start(struct core_ring *ring, uint32_t class, void *memory, uint64_t size, uint64_t boot, uint64_t load) {
    memset(ring, 0, sizeof *ring);
    core_lock_start(&ring->lock);
    ring->memory = memory;
    ring->size = size;
    ring->boot = boot;
    ring->load = load;
    ring->class = class;
}

#define GAP_SIZE ((uint32_t)(sizeof(struct assay_header) + sizeof(struct assay_gap)))

static uint64_t Free(const struct core_ring *ring) {
#ifdef PLANT_5 /* 8 bytes more than there are */
    return ring->size - (ring->head - ring->tail) + 8u;
#else
    return ring->size - (ring->head - ring->tail);
#endif
}

static void Lose(struct core_ring *ring, uint64_t system_time, uint64_t interrupt_time) {
#ifndef PLANT_18 /* a gap without a time */
    ring->gap_system_time = system_time;
    ring->gap_interrupt_time = interrupt_time;
#else
    (void)system_time;
    (void)interrupt_time;
#endif
#ifdef PLANT_6 /* a loss burns no number */
    ring->lost++;
#else
    ring->posted++;
    ring->lost++;
    if (ring->gap_count == 0)
        ring->gap_first = ring->posted;
    ring->gap_count++;
#endif
}

/* Tells of what was lost, when there is room for that and for `more`. */
static void Settle(struct core_ring *ring, uint64_t more) {
    struct {
        struct assay_header header;
        struct assay_gap gap;
    } record;

    if (ring->gap_count == 0 || Free(ring) < GAP_SIZE + more)
        return;
    memset(&record, 0, sizeof record);
    record.header.size = GAP_SIZE;
    record.header.kind = ASSAY_GAP;
    record.header.version = ASSAY_ABI_VERSION;
    record.header.class = (uint8_t)ring->class;
    record.header.body_size = sizeof record.gap;
    record.header.boot = ring->boot;
    record.header.load = ring->load;
    record.header.n = ring->gap_first + ring->gap_count - 1u;
    record.header.lost_before = ring->lost;
    record.header.system_time = ring->gap_system_time;
    record.header.interrupt_time = ring->gap_interrupt_time;
    record.gap.first = ring->gap_first;
    record.gap.count = ring->gap_count;
    record.gap.lost_class = ring->class;
    Put(ring, &record, GAP_SIZE);
    ring->gap_count = 0;
}

core_bool core_ring_post(struct core_ring *ring, void *record) {
    struct assay_header *header = record;
    core_bool kept;
    uint64_t level = core_lock_take(&ring->lock);

    Settle(ring, header->size);
    /* While a loss is untold, a record that would go before its gap is lost as well. */
    kept = ring->gap_count == 0 && header->size <= Free(ring);
    if (kept) {
        header->boot = ring->boot;
        header->load = ring->load;
        header->n = ++ring->posted;
        header->lost_before = ring->lost;
        Put(ring, record, header->size);
    } else
        Lose(ring, header->system_time, header->interrupt_time);
    core_lock_give(&ring->lock, level);
    return kept;
}

void core_ring_lose(struct core_ring *ring, uint64_t system_time, uint64_t interrupt_time) {
    uint64_t level = core_lock_take(&ring->lock);

    Lose(ring, system_time, interrupt_time);
    Settle(ring, 0);
    core_lock_give(&ring->lock, level);
}

void core_ring_filter(struct core_ring *ring) { __atomic_fetch_add(&ring->filtered, 1u, __ATOMIC_RELAXED); }

uint32_t core_ring_read(struct core_ring *ring, void *out, uint32_t room, uint32_t *records) {
    uint32_t used = 0;
    core_bool more = 1;

    while (more) {
        struct assay_header header;
        uint64_t level = core_lock_take(&ring->lock);

        more = ring->cursor < ring->head;
        if (more) {
            Get(ring, ring->cursor, &header, sizeof header);
            more = header.size <= room - used;
        }
        if (more) {
            Get(ring, ring->cursor, (uint8_t *)out + used, header.size);
            ring->cursor += header.size;
#ifdef PLANT_16 /* what was given before a resume is forgotten */
            ring->read_n = header.n;
#else
            if (ring->read_n < header.n) /* a resume goes back, and what was given stays given */
                ring->read_n = header.n;
#endif
            used += header.size;
            ++*records;
        }
        core_lock_give(&ring->lock, level);
    }
    return used;
}

enum core_result core_ring_ack(struct core_ring *ring, uint64_t through) {
    uint64_t level = core_lock_take(&ring->lock);
#ifdef PLANT_7 /* frees what was never read */
    core_bool more = 1, sane = more;
#else
    core_bool more = through <= ring->read_n, sane = more;
#endif

    core_lock_give(&ring->lock, level);
    while (more) {
        struct assay_header header;

        level = core_lock_take(&ring->lock);
        more = ring->tail < ring->head;
        if (more) {
            Get(ring, ring->tail, &header, sizeof header);
            more = header.n <= through;
        }
        if (more) {
            ring->tail += header.size;
            if (ring->cursor < ring->tail) /* given to a reader before this one */
                ring->cursor = ring->tail;
            ring->delivered += header.kind != ASSAY_GAP;
        }
        Settle(ring, 0);
        core_lock_give(&ring->lock, level);
    }
    return sane ? CORE_OK : CORE_INVALID;
}

void core_ring_resume(struct core_ring *ring) {
    uint64_t level = core_lock_take(&ring->lock);

#ifndef PLANT_8 /* what a crashed reader had is not given again */
    ring->cursor = ring->tail;
#endif
    core_lock_give(&ring->lock, level);
}

core_bool core_ring_waiting(struct core_ring *ring) {
    uint64_t level = core_lock_take(&ring->lock);
    core_bool waiting = ring->cursor < ring->head;

    core_lock_give(&ring->lock, level);
    return waiting;
}

void core_ring_counts(struct core_ring *ring, struct assay_ring_counts *out) {
    uint64_t level = core_lock_take(&ring->lock);

    out->posted = ring->posted;
    out->delivered = ring->delivered;
    out->lost = ring->lost;
    out->queued = ring->posted - ring->lost - ring->delivered;
    out->filtered = __atomic_load_n(&ring->filtered, __ATOMIC_RELAXED);
    out->held = ring->head - ring->tail;
    out->size = ring->size;
    core_lock_give(&ring->lock, level);
}

enum core_result core_rings_ack(struct core_rings *rings, const struct assay_read *read) {
    uint32_t i;

    if (read->load == rings->ring[0].load) {
        for (i = 0; i < ASSAY_CLASSES; i++) {
            struct core_ring *ring = &rings->ring[i];
            uint64_t level = core_lock_take(&ring->lock);
            core_bool sane = read->ack_through[i] <= ring->read_n;

            core_lock_give(&ring->lock, level);
            if (!sane)
                return CORE_INVALID;
        }
        for (i = 0; i < ASSAY_CLASSES; i++) /* what was given stays given: this cannot fail any more */
            core_ring_ack(&rings->ring[i], read->ack_through[i]);
    }
    if (read->resume != 0)
        for (i = 0; i < ASSAY_CLASSES; i++)
            core_ring_resume(&rings->ring[i]);
    return CORE_OK;
}

uint32_t core_rings_read(struct core_rings *rings, void *out, uint32_t room) {
    struct assay_batch *batch = out;
    uint32_t used = sizeof *batch, records = 0, share, i, turn;

    if (room < ASSAY_READ_LEAST)
        return 0;
    /* What is longer than a share would wait for as long as the other classes have records. */
    turn = __atomic_fetch_add(&rings->turn, 1u, __ATOMIC_RELAXED) % ASSAY_CLASSES;
#ifndef PLANT_17 /* a long record waits for a storm to end */
    used += core_ring_read(&rings->ring[turn], (uint8_t *)out + used, ASSAY_RECORD_MOST, &records);
#else
    (void)turn;
#endif
    share = (room - used) / ASSAY_CLASSES;
    for (i = 0; i < ASSAY_CLASSES; i++)
        used += core_ring_read(&rings->ring[i], (uint8_t *)out + used, share, &records);
    for (i = 0; i < ASSAY_CLASSES; i++)
        used += core_ring_read(&rings->ring[i], (uint8_t *)out + used, room - used, &records);
    memset(batch, 0, sizeof *batch);
    batch->magic = ASSAY_MAGIC;
    batch->version = ASSAY_ABI_VERSION;
    batch->size = used;
    batch->records = records;
    batch->boot = rings->ring[0].boot;
    batch->load = rings->ring[0].load;
    return used;
}
_Static_assert(ASSAY_READ_LEAST >= sizeof(struct assay_batch) + ASSAY_RECORD_MOST, "every record fits the smallest read");

uint64_t core_rings_unread(struct core_rings *rings) {
    uint64_t bytes = 0;
    uint32_t i;

    for (i = 0; i < ASSAY_CLASSES; i++) {
        struct core_ring *ring = &rings->ring[i];
        uint64_t level = core_lock_take(&ring->lock);

#ifdef PLANT_20 /* what was given counts as unread */
        bytes += ring->head - ring->tail;
#else
        bytes += ring->head - ring->cursor;
#endif
        core_lock_give(&ring->lock, level);
    }
    return bytes;
}
