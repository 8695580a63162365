/*
 * From an event to a record in its ring. A record is put together in a scratch
 * buffer that is not paged, because the texts may be paged and a ring is written
 * under a spin lock. No buffer free, no room: the number is burnt and counted.
 */
#include "encode.h"

#define SCRATCHES 32u

static struct {
    RING ring[ASSAY_CLASSES];
    UCHAR *scratch;
    volatile LONG busy[SCRATCHES];
    volatile LONG turn;
    volatile LONG64 events[ASSAY_SOURCES];
    ULONG64 load, boot;
} records;

static const ULONG sizes[ASSAY_CLASSES] = {256u << 10,  1024u << 10, 512u << 10,  512u << 10,
                                           1024u << 10, 2048u << 10, 1024u << 10, 1024u << 10};

/* Of each kind of event: the kind and class of its record, and the source that counts it. */
static const struct {
    UCHAR kind, class, source;
} kinds[EVENT_KINDS] = {
    [EVENT_STARTED] = {ASSAY_STARTED, ASSAY_CONTROL, ASSAY_SOURCES},
    [EVENT_PROCESS_STARTED] = {ASSAY_PROCESS_CREATED, ASSAY_PROCESS, ASSAY_SOURCE_PROCESS},
    [EVENT_PROCESS_FOUND] = {ASSAY_PROCESS_FOUND, ASSAY_PROCESS, ASSAY_SOURCE_PROCESS},
    [EVENT_PROCESS_EXITED] = {ASSAY_PROCESS_EXITED, ASSAY_PROCESS, ASSAY_SOURCE_PROCESS},
    [EVENT_IMAGE] = {ASSAY_IMAGE_LOADED, ASSAY_IMAGE, ASSAY_SOURCE_IMAGE},
    [EVENT_THREAD_REMOTE] = {ASSAY_THREAD_REMOTE, ASSAY_OBJECT, ASSAY_SOURCE_THREAD},
    [EVENT_PROCESS_OPENED] = {ASSAY_PROCESS_OPENED, ASSAY_OBJECT, ASSAY_SOURCE_OPEN},
    [EVENT_KEY_SET] = {ASSAY_KEY_SET, ASSAY_REGISTRY, ASSAY_SOURCE_REGISTRY},
    [EVENT_KEY_VALUE_DELETED] = {ASSAY_KEY_VALUE_DELETED, ASSAY_REGISTRY, ASSAY_SOURCE_REGISTRY},
    [EVENT_KEY_DELETED] = {ASSAY_KEY_DELETED, ASSAY_REGISTRY, ASSAY_SOURCE_REGISTRY},
    [EVENT_KEY_CREATED] = {ASSAY_KEY_CREATED, ASSAY_REGISTRY, ASSAY_SOURCE_REGISTRY},
    [EVENT_KEY_RENAMED] = {ASSAY_KEY_RENAMED, ASSAY_REGISTRY, ASSAY_SOURCE_REGISTRY},
    [EVENT_FILE_CREATED] = {ASSAY_FILE_CREATED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_WRITTEN] = {ASSAY_FILE_WRITTEN, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_MAPPED] = {ASSAY_FILE_MAPPED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_STREAM] = {ASSAY_FILE_STREAM_CREATED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_RENAMED] = {ASSAY_FILE_RENAMED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_LINKED] = {ASSAY_FILE_LINKED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_FILE_DELETED] = {ASSAY_FILE_DELETED, ASSAY_FILE, ASSAY_SOURCE_FILE},
    [EVENT_VOLUME_ARRIVED] = {ASSAY_VOLUME_ARRIVED, ASSAY_CONTROL, ASSAY_SOURCE_VOLUME},
    [EVENT_VOLUME_LEFT] = {ASSAY_VOLUME_LEFT, ASSAY_CONTROL, ASSAY_SOURCE_VOLUME},
    [EVENT_CONNECT] = {ASSAY_FLOW_CONNECTED, ASSAY_NETWORK, ASSAY_SOURCE_FLOW},
    [EVENT_ACCEPT] = {ASSAY_FLOW_ACCEPTED, ASSAY_NETWORK, ASSAY_SOURCE_FLOW},
    [EVENT_LISTEN] = {ASSAY_FLOW_LISTENING, ASSAY_NETWORK, ASSAY_SOURCE_FLOW},
    [EVENT_REFUSED] = {ASSAY_FLOW_REFUSED, ASSAY_NETWORK, ASSAY_SOURCE_FLOW},
    [EVENT_FLOW_ENDED] = {ASSAY_FLOW_ENDED, ASSAY_NETWORK, ASSAY_SOURCE_FLOW},
    [EVENT_PAYLOAD] = {ASSAY_PAYLOAD_COPIED, ASSAY_PAYLOAD, ASSAY_SOURCE_PAYLOAD},
    [EVENT_DATAGRAM] = {ASSAY_PAYLOAD_COPIED, ASSAY_PAYLOAD, ASSAY_SOURCE_PAYLOAD},
    [EVENT_TAMPER] = {ASSAY_TAMPER, ASSAY_CONTROL, ASSAY_SOURCES},
};

NTSTATUS INITIAL RecordStart(VOID) {
    LARGE_INTEGER now, frequency, since;
    NTSTATUS status = STATUS_SUCCESS;
    ULONG i;

    KeQuerySystemTimePrecise(&now);
    since = KeQueryPerformanceCounter(&frequency);
    records.load = (ULONG64)now.QuadPart;
    records.boot = (ULONG64)now.QuadPart - (ULONG64)since.QuadPart / (ULONG64)frequency.QuadPart * 10000000u;
    records.scratch = MemoryAllocate((SIZE_T)SCRATCHES * ASSAY_RECORD_MOST);
    if (records.scratch == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (i = 0; i < ASSAY_CLASSES && NT_SUCCESS(status); i++)
        status = RingStart(&records.ring[i], i, sizes[i]);
    return NT_SUCCESS(status) ? FilterStart() : status;
}

VOID PAGED RecordStop(VOID) {
    ULONG i;

    FilterStop();
    for (i = 0; i < ASSAY_CLASSES; i++)
        RingStop(&records.ring[i]);
    MemoryFree(records.scratch);
    records.scratch = NULL;
}

static UCHAR *ScratchTake(ULONG *which) {
    ULONG i;

    for (i = 0; i < SCRATCHES; i++)
        if (InterlockedExchange(&records.busy[i], 1) == 0) {
            *which = i;
            return records.scratch + (SIZE_T)i * ASSAY_RECORD_MOST;
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

VOID HeaderFill(struct assay_header *header, ULONG kind, ULONG class, ULONG body_size) {
    LARGE_INTEGER now, frequency, counter;

    RtlZeroMemory(header, sizeof *header);
    KeQuerySystemTimePrecise(&now);
    counter = KeQueryPerformanceCounter(&frequency);
    header->kind = (USHORT)kind;
    header->version = ASSAY_ABI_VERSION;
    header->class = (UCHAR)class;
    header->body_size = body_size;
    header->boot = records.boot;
    header->load = records.load;
    header->system_time = (ULONG64)now.QuadPart;
    /* Seconds and the rest apart, so that the product cannot overflow. */
    header->interrupt_time = (ULONG64)(counter.QuadPart / frequency.QuadPart) * 10000000u +
                             (ULONG64)(counter.QuadPart % frequency.QuadPart) * 10000000u / (ULONG64)frequency.QuadPart;
}

static VOID Encode(struct assay_header *header, const EVENT *event) {
    HeaderFill(header, kinds[event->kind].kind, kinds[event->kind].class, 0);
    header->pid = event->pid;
    header->tid = event->tid;
    header->pid_created = (ULONG64)event->created;
    EncodeBody(header, event);
}

/* By the filters in force: the path, the key or the image of what the record speaks of. */
static BOOLEAN Excluded(const struct assay_header *header, const EVENT *event) {
    ULONG match = header->class == ASSAY_PROCESS ? ASSAY_MATCH_IMAGE : ASSAY_MATCH_PATH;

    if (event->kind == EVENT_TAMPER || event->text[0].bytes == 0 || header->class == ASSAY_CONTROL)
        return FALSE;
    return FilterMatches(header->class, header->kind, match, event->text[0].at, event->text[0].bytes);
}

VOID Record(const EVENT *event) {
    RING *ring = &records.ring[kinds[event->kind].class];
    struct assay_header *header;
    ULONG which;

    if (!Wanted(event->kind)) {
        RingFiltered(ring);
        return;
    }
    header = (struct assay_header *)ScratchTake(&which);
    if (header == NULL) {
        RingLose(ring);
        return;
    }
    Encode(header, event);
    if (Excluded(header, event))
        RingFiltered(ring);
    else {
        RingPost(ring, header);
        if (kinds[event->kind].source < ASSAY_SOURCES)
            InterlockedIncrement64(&records.events[kinds[event->kind].source]);
    }
    InterlockedExchange(&records.busy[which], 0);
    WorkerWake();
}

VOID RecordBlind(EVENT_KIND kind) { RingLose(&records.ring[kinds[kind].class]); }
BOOLEAN Wanted(EVENT_KIND kind) { return KindWanted(kinds[kind].kind); }

static BOOLEAN Own(EVENT_KIND kind, const VOID *text, ULONG bytes) {
    return FilterMatches(kinds[kind].class, kinds[kind].kind, ASSAY_MATCH_OWN, text, bytes);
}
BOOLEAN PathIsOurs(EVENT_KIND kind, const VOID *path, ULONG bytes) { return Own(kind, path, bytes); }

/* A key's name may be paged: it is compared at PASSIVE_LEVEL, where that may be. */
BOOLEAN KeyIsOurs(EVENT_KIND kind, PCUNICODE_STRING key) {
    return key != NULL && key->Buffer != NULL && Own(kind, key->Buffer, key->Length);
}

/* An acknowledgement of another load speaks of records that are gone, and frees nothing. */
BOOLEAN RecordAck(const struct assay_read *read) {
    BOOLEAN sane = TRUE;
    ULONG i;

    if (read->load == records.load)
        for (i = 0; i < ASSAY_CLASSES; i++)
            sane = RingAck(&records.ring[i], read->ack_through[i]) && sane;
    if (read->resume)
        for (i = 0; i < ASSAY_CLASSES; i++)
            RingRewind(&records.ring[i]);
    return sane;
}

/*
 * A batch. One class, by turns, may fill it up to the longest record, so that a long
 * record is not kept back for ever; then each class has its share; then whoever has more.
 */
ULONG RecordRead(UCHAR *out, ULONG room) {
    struct assay_batch *batch = (struct assay_batch *)out;
    ULONG used = sizeof *batch, share, i, count = 0;
    ULONG turn = (ULONG)InterlockedIncrement(&records.turn) % ASSAY_CLASSES;

    used += RingRead(&records.ring[turn], out + used, ASSAY_RECORD_MOST, &count);
    share = (room - used) / ASSAY_CLASSES;
    for (i = 0; i < ASSAY_CLASSES; i++)
        used += RingRead(&records.ring[i], out + used, share, &count);
    for (i = 0; i < ASSAY_CLASSES; i++)
        used += RingRead(&records.ring[i], out + used, room - used, &count);
    RtlZeroMemory(batch, sizeof *batch);
    batch->magic = ASSAY_MAGIC;
    batch->version = ASSAY_ABI_VERSION;
    batch->boot = records.boot;
    batch->load = records.load;
    batch->records = count;
    batch->size = used;
    return used;
}
_Static_assert(ASSAY_READ_LEAST >= sizeof(struct assay_batch) + ASSAY_RECORD_MOST, "every record fits the smallest read");

ULONG64 RecordUnread(VOID) {
    ULONG64 bytes = 0;
    ULONG i;

    for (i = 0; i < ASSAY_CLASSES; i++)
        bytes += RingUnread(&records.ring[i]);
    return bytes;
}

VOID RecordCounts(struct assay_description *out) {
    ULONG i;

    for (i = 0; i < ASSAY_CLASSES; i++)
        RingCounts(&records.ring[i], &out->ring[i]);
    for (i = 0; i < ASSAY_SOURCES; i++)
        out->source[i].events = (ULONG64)records.events[i];
}

ULONG64 LoadTime(VOID) { return records.load; }
ULONG64 BootTime(VOID) { return records.boot; }
