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

NTSTATUS RingStart(RING *ring, ULONG size) {
    RtlZeroMemory(ring, sizeof *ring);
    KeInitializeSpinLock(&ring->lock);
    ring->size = size;
    ring->memory = MemoryAllocate(size);
    return ring->memory == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID RingStop(RING *ring) {
    MemoryFree(ring->memory);
    ring->memory = NULL;
}

VOID RingPost(RING *ring, struct wire_record *record) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    record->sequence = ++ring->counts.posted;
    if (record->bytes > ring->size - (ring->head - ring->tail))
        ring->counts.lost++;
    else {
        Put(ring, ring->head, record, record->bytes);
        ring->head += record->bytes;
    }
    KeReleaseSpinLock(&ring->lock, irql);
}

VOID RingLose(RING *ring) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    ring->counts.posted++;
    ring->counts.lost++;
    ring->counts.blind++;
    KeReleaseSpinLock(&ring->lock, irql);
}

VOID RingFiltered(RING *ring) { InterlockedIncrement64((volatile LONG64 *)&ring->counts.filtered); }

/* Copies whole records from where reading stands. The lock is held for one record at a time. */
ULONG RingRead(RING *ring, UCHAR *out, ULONG room, ULONG *records) {
    ULONG used = 0;
    BOOLEAN more = TRUE;

    while (more) {
        struct wire_record head;
        KIRQL irql;

        KeAcquireSpinLock(&ring->lock, &irql);
        more = ring->cursor < ring->head;
        if (more) {
            Get(ring, ring->cursor, &head, 16);
            more = head.bytes <= room - used;
        }
        if (more) {
            Get(ring, ring->cursor, out + used, head.bytes);
            ring->cursor += head.bytes;
            used += head.bytes;
            ++*records;
        }
        KeReleaseSpinLock(&ring->lock, irql);
    }
    return used;
}

/* Frees through a sequence, and never what was not read: an acknowledgement of it is refused as nonsense. */
BOOLEAN RingAck(RING *ring, ULONG64 through) {
    BOOLEAN more = TRUE, sane;
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    sane = through <= ring->counts.posted;
    KeReleaseSpinLock(&ring->lock, irql);
    while (sane && more) {
        struct wire_record head;

        KeAcquireSpinLock(&ring->lock, &irql);
        more = ring->tail < ring->cursor;
        if (more) {
            Get(ring, ring->tail, &head, 32);
            more = head.sequence <= through;
        }
        if (more) {
            ring->tail += head.bytes;
            ring->counts.acked = head.sequence;
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

VOID RingCounts(RING *ring, struct wire_counts *out) {
    KIRQL irql;

    KeAcquireSpinLock(&ring->lock, &irql);
    *out = ring->counts;
    out->held = ring->head - ring->tail;
    KeReleaseSpinLock(&ring->lock, irql);
}
