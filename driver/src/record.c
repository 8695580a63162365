/*
 * From an event to a record in its ring. A record is put together in a scratch
 * buffer that is not paged, because the texts may be paged and a ring is written
 * under a spin lock. No buffer free, no room: the sequence is burnt and counted.
 */
#include "ring.h"

#define SCRATCHES 32u

static struct {
    RING ring[WIRE_CLASSES];
    UCHAR *scratch;
    volatile LONG busy[SCRATCHES];
    ULONG64 load, boot;
} records;

static const ULONG sizes[WIRE_CLASSES] = {256u << 10, 1024u << 10, 512u << 10, 1024u << 10, 2048u << 10, 2048u << 10};

static ULONG ClassOf(ULONG kind) {
    switch (kind) {
    case EVENT_PROCESS_STARTED:
    case EVENT_PROCESS_FOUND:
    case EVENT_PROCESS_EXITED:
        return WIRE_PROCESS;
    case EVENT_IMAGE:
    case EVENT_THREAD_REMOTE:
    case EVENT_PROCESS_OPENED:
        return WIRE_CODE;
    case EVENT_KEY_SET:
    case EVENT_KEY_VALUE_DELETED:
    case EVENT_KEY_DELETED:
    case EVENT_KEY_CREATED:
    case EVENT_KEY_RENAMED:
        return WIRE_REGISTRY;
    case EVENT_FILE_CREATED:
    case EVENT_FILE_WRITTEN:
    case EVENT_FILE_RENAMED:
    case EVENT_FILE_LINKED:
    case EVENT_FILE_DELETED:
        return WIRE_FILE;
    case EVENT_VOLUME_ARRIVED:
    case EVENT_VOLUME_LEFT:
    case EVENT_TAMPER:
        return WIRE_CONTROL;
    default:
        return WIRE_FLOW;
    }
}

NTSTATUS INITIAL RecordStart(VOID) {
    LARGE_INTEGER now, frequency, since;
    NTSTATUS status = STATUS_SUCCESS;
    ULONG i;

    KeQuerySystemTimePrecise(&now);
    since = KeQueryPerformanceCounter(&frequency);
    records.load = (ULONG64)now.QuadPart;
    records.boot = (ULONG64)now.QuadPart - (ULONG64)since.QuadPart / (ULONG64)frequency.QuadPart * 10000000u;
    records.scratch = MemoryAllocate((SIZE_T)SCRATCHES * WIRE_RECORD_BYTES);
    if (records.scratch == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (i = 0; i < WIRE_CLASSES && NT_SUCCESS(status); i++)
        status = RingStart(&records.ring[i], sizes[i]);
    return NT_SUCCESS(status) ? FilterStart() : status;
}

VOID PAGED RecordStop(VOID) {
    ULONG i;

    FilterStop();
    for (i = 0; i < WIRE_CLASSES; i++)
        RingStop(&records.ring[i]);
    MemoryFree(records.scratch);
    records.scratch = NULL;
}

static UCHAR *ScratchTake(ULONG *which) {
    ULONG i;

    for (i = 0; i < SCRATCHES; i++)
        if (InterlockedExchange(&records.busy[i], 1) == 0) {
            *which = i;
            return records.scratch + (SIZE_T)i * WIRE_RECORD_BYTES;
        }
    return NULL;
}

VOID EventActor(EVENT *event, EVENT_KIND kind) {
    PROCESS process = {0, 0, 0};

    RtlZeroMemory(event, sizeof *event);
    event->kind = kind;
    event->pid = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();
    event->tid = (ULONG)(ULONG_PTR)PsGetCurrentThreadId();
    if (TableFind(event->pid, &process))
        event->created = process.created;
}

static ULONG Append(struct wire_record *record, ULONG at, ULONG n, const TEXT *text, ULONG most) {
    struct wire_text *out = &record->text[n];

    out->offset = at;
    out->whole = text->bytes;
    out->bytes = text->bytes < most ? text->bytes : most;
    if (out->bytes < out->whole)
        record->flags |= WIRE_CUT_TEXT0 << n;
    RtlCopyMemory((UCHAR *)record + at, text->at, out->bytes);
    at += out->bytes;
    RtlZeroMemory((UCHAR *)record + at, -at & 7u); /* the buffer held another record before */
    return (at + 7) & ~7u;
}

static VOID Encode(struct wire_record *record, const EVENT *event) {
    LARGE_INTEGER now;
    ULONG at = sizeof *record;

    RtlZeroMemory(record, sizeof *record);
    KeQuerySystemTimePrecise(&now);
    record->class = (USHORT)ClassOf(event->kind);
    record->kind = (USHORT)event->kind;
    record->pid = event->pid;
    record->tid = event->tid;
    record->time = (ULONG64)now.QuadPart;
    record->created = (ULONG64)event->created;
    RtlCopyMemory(record->number, event->number, sizeof record->number);
    if (event->flow != NULL) {
        record->flags |= WIRE_HAS_FLOW;
        RtlCopyMemory(&record->flow, event->flow, sizeof record->flow);
    }
    at = Append(record, at, 0, &event->text[0], WIRE_TEXT0_BYTES);
    at = Append(record, at, 1, &event->text[1], WIRE_TEXT1_BYTES);
    at = Append(record, at, 2, &event->data, WIRE_DATA_BYTES);
    record->bytes = at;
}
_Static_assert(sizeof(FLOW) == sizeof(struct wire_flow), "FLOW is what goes over the wire");
_Static_assert(sizeof(struct wire_record) + WIRE_TEXT0_BYTES + WIRE_TEXT1_BYTES + WIRE_DATA_BYTES + 24 <= WIRE_RECORD_BYTES,
               "the longest record fits a scratch buffer");

VOID Record(const EVENT *event) {
    RING *ring = &records.ring[ClassOf(event->kind)];
    struct wire_record *record;
    ULONG which;

    if (!Wanted(event->kind)) {
        RingFiltered(ring);
        return;
    }
    record = (struct wire_record *)ScratchTake(&which);
    if (record == NULL) {
        RingLose(ring);
        return;
    }
    Encode(record, event);
    if (FilterExcludes(record))
        RingFiltered(ring);
    else
        RingPost(ring, record);
    InterlockedExchange(&records.busy[which], 0);
    WorkerWake();
}

VOID RecordBlind(EVENT_KIND kind) { RingLose(&records.ring[ClassOf(kind)]); }

/* An acknowledgement of another load speaks of records that are gone, and frees nothing. */
BOOLEAN RecordAck(const struct wire_read *read) {
    BOOLEAN sane = TRUE;
    ULONG i;

    if (read->load == records.load)
        for (i = 0; i < WIRE_CLASSES; i++)
            sane = RingAck(&records.ring[i], read->ack_through[i]) && sane;
    if (read->resume)
        for (i = 0; i < WIRE_CLASSES; i++)
            RingRewind(&records.ring[i]);
    return sane;
}

/* A batch: control first, then each class its share of the room, then whoever has more. */
ULONG RecordRead(UCHAR *out, ULONG room) {
    struct wire_batch *batch = (struct wire_batch *)out;
    ULONG used = sizeof *batch, share = (room - used) / WIRE_CLASSES, i;
    ULONG count = 0;
    struct wire_counts counts;

    RtlZeroMemory(batch, sizeof *batch);
    batch->magic = WIRE_MAGIC;
    batch->version = WIRE_VERSION;
    batch->boot = records.boot;
    batch->load = records.load;
    for (i = 0; i < WIRE_CLASSES; i++)
        used += RingRead(&records.ring[i], out + used, share, &count);
    for (i = 0; i < WIRE_CLASSES; i++)
        used += RingRead(&records.ring[i], out + used, room - used, &count);
    for (i = 0; i < WIRE_CLASSES; i++) {
        RingCounts(&records.ring[i], &counts);
        batch->posted[i] = counts.posted;
        batch->lost[i] = counts.lost;
    }
    batch->records = count;
    batch->bytes = used;
    return used;
}

ULONG64 RecordUnread(VOID) {
    ULONG64 bytes = 0;
    ULONG i;

    for (i = 0; i < WIRE_CLASSES; i++)
        bytes += RingUnread(&records.ring[i]);
    return bytes;
}

VOID RecordCounts(struct wire_counts *out) {
    ULONG i;

    for (i = 0; i < WIRE_CLASSES; i++)
        RingCounts(&records.ring[i], &out[i]);
}

ULONG64 LoadTime(VOID) { return records.load; }
ULONG64 BootTime(VOID) { return records.boot; }
