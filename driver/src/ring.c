/*
 * The rings: one of each class, so that a storm of files cannot blind the starts of
 * processes. A record takes its sequence after the filters, and keeps it when there
 * is no room: the reader sees a gap and the count. Only an acknowledgement frees
 * space; what was read and not acknowledged is given again to the next reader.
 */
#include "ring.h"

static VOID Put(RING *ring, ULONG64 at, const VOID *from, ULONG bytes) {
    ULONG offset = (ULONG)(at % ring->size), first = ring->size - offset;

    if (first > bytes)
        first = bytes;
    RtlCopyMemory(ring->memory + offset, from, first);
    RtlCopyMemory(ring->memory, (const UCHAR *)from + first, bytes - first);
}

static VOID Get(const RING *ring, ULONG64 at, VOID *to, ULONG bytes) {
    ULONG offset = (ULONG)(at % ring->size), first = ring->size - offset;

    if (first > bytes)
        first = bytes;
    RtlCopyMemory(to, ring->memory + offset, first);
    RtlCopyMemory((UCHAR *)to + first, ring->memory, bytes - first);
}

NTSTATUS RingStart(RING *ring, ULONG class, ULONG size) {
    RtlZeroMemory(ring, sizeof *ring);
    KeInitializeSpinLock(&ring->lock);
    ring->class = class;
    ring->size = size;
    ring->memory = MemoryAllocate(size);
    return ring->memory == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID RingStop(RING *ring) {
    MemoryFree(ring->memory);
    ring->memory = NULL;
}

static ULONG Room(const RING *ring) { return ring->size - (ULONG)(ring->head - ring->tail); }

typedef struct {
    struct assay_header head;
    struct assay_gap body;
} GAP;
_Static_assert(sizeof(GAP) == 104, "a gap record");

static VOID Lose(RING *ring) {
    ring->n++;
    ring->lost++;
    if (ring->gap_count++ == 0)
        ring->gap_first = ring->n;
}

/* Tells the losses so far, in their place; its n is that of the last of them. */
static BOOLEAN TellGap(RING *ring) {
    GAP gap;

    if (ring->gap_count == 0)
        return TRUE;
    if (Room(ring) < sizeof gap)
        return FALSE;
    HeaderFill(&gap.head, ASSAY_GAP, ring->class, sizeof gap.body);
    gap.head.size = sizeof gap;
    gap.head.n = ring->gap_first + ring->gap_count - 1;
    gap.head.lost_before = ring->lost;
    gap.body.first = ring->gap_first;
    gap.body.count = ring->gap_count;
    gap.body.lost_class = ring->class;
    gap.body.reserved = 0;
    Put(ring, ring->head, &gap, sizeof gap);
    ring->head += sizeof gap;
    ring->gap_count = 0;
    return TRUE;
}

VOID RingPost(RING *ring, struct assay_header *record) {
    ULONG gap = sizeof(GAP);
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    if (record->size + (ring->gap_count != 0 ? gap : 0) > Room(ring) || !TellGap(ring))
        Lose(ring);
    else {
        record->n = ++ring->n;
        record->lost_before = ring->lost;
        Put(ring, ring->head, record, record->size);
        ring->head += record->size;
    }
    KeReleaseSpinLock(&ring->lock, irql);
}

VOID RingLose(RING *ring) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    Lose(ring);
    KeReleaseSpinLock(&ring->lock, irql);
}

VOID RingFiltered(RING *ring) { InterlockedIncrement64(&ring->filtered); }

/* Copies whole records from where reading stands. The lock is held for one record at a time. */
ULONG RingRead(RING *ring, UCHAR *out, ULONG room, ULONG *records) {
    ULONG used = 0;
    BOOLEAN more = TRUE;

    while (more) {
        struct assay_header head;
        KIRQL irql;

        KeAcquireSpinLock(&ring->lock, &irql);
        if (ring->cursor == ring->head)
            TellGap(ring);
        more = ring->cursor < ring->head;
        if (more) {
            Get(ring, ring->cursor, &head, sizeof head);
            more = head.size <= room - used;
        }
        if (more) {
            Get(ring, ring->cursor, out + used, head.size);
            ring->cursor += head.size;
            ring->given = head.n > ring->given ? head.n : ring->given;
            used += head.size;
            ++*records;
        }
        KeReleaseSpinLock(&ring->lock, irql);
    }
    return used;
}

/* Frees through a number that was given; of what was not given it frees nothing and says so. */
BOOLEAN RingAck(RING *ring, ULONG64 through) {
    BOOLEAN more = TRUE, sane;
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    sane = through <= ring->given;
    KeReleaseSpinLock(&ring->lock, irql);
    while (sane && more) {
        struct assay_header head;

        KeAcquireSpinLock(&ring->lock, &irql);
        more = ring->tail < ring->cursor;
        if (more) {
            Get(ring, ring->tail, &head, sizeof head);
            more = head.n <= through;
        }
        if (more) {
            ring->tail += head.size;
            ring->delivered += head.kind != ASSAY_GAP;
        }
        KeReleaseSpinLock(&ring->lock, irql);
    }
    return sane;
}

VOID RingRewind(RING *ring) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    ring->cursor = ring->tail;
    KeReleaseSpinLock(&ring->lock, irql);
}

ULONG64 RingUnread(RING *ring) {
    ULONG64 bytes;
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    bytes = ring->head - ring->cursor;
    KeReleaseSpinLock(&ring->lock, irql);
    return bytes;
}

VOID RingCounts(RING *ring, struct assay_ring_counts *out) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    out->posted = ring->n;
    out->delivered = ring->delivered;
    out->lost = ring->lost;
    out->queued = ring->n - ring->lost - ring->delivered;
    out->filtered = (ULONG64)ring->filtered;
    out->held = ring->head - ring->tail;
    out->size = ring->size;
    KeReleaseSpinLock(&ring->lock, irql);
}
