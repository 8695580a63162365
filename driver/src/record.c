/*
 * From an event to a record in its ring. The core decides, encodes and keeps; here
 * are its memory, the clocks, and a scratch buffer that is not paged for each record
 * in the making, because texts may be paged and a ring is written under a spin lock.
 * No buffer free, no room: the number is burnt and counted.
 */
#include "driver.h"

#define SCRATCHES 32u

static struct {
    struct core_rings rings;
    struct core_filters *filters;
    UCHAR *scratch;
    volatile LONG busy[SCRATCHES];
    volatile LONG64 events[ASSAY_SOURCES];
    ULONG64 boot, load;
} records;

static const ULONG sizes[ASSAY_CLASSES] = {256u << 10,  1024u << 10, 512u << 10,  512u << 10,
                                           1024u << 10, 2048u << 10, 1024u << 10, 1024u << 10};

/* The source that counts a kind; ASSAY_SOURCES: none. */
static ULONG SourceOf(ULONG kind) {
    static const UCHAR of_class[ASSAY_CLASSES] = {
        [ASSAY_CONTROL] = ASSAY_SOURCES,          [ASSAY_PROCESS] = ASSAY_SOURCE_PROCESS, [ASSAY_IMAGE] = ASSAY_SOURCE_IMAGE,
        [ASSAY_OBJECT] = ASSAY_SOURCE_OPEN,       [ASSAY_REGISTRY] = ASSAY_SOURCE_REGISTRY, [ASSAY_FILE] = ASSAY_SOURCE_FILE,
        [ASSAY_NETWORK] = ASSAY_SOURCE_FLOW,      [ASSAY_PAYLOAD] = ASSAY_SOURCE_PAYLOAD};

    if (kind == ASSAY_THREAD_REMOTE)
        return ASSAY_SOURCE_THREAD;
    if (kind == ASSAY_VOLUME_ARRIVED || kind == ASSAY_VOLUME_LEFT)
        return ASSAY_SOURCE_VOLUME;
    return of_class[core_shape_of(kind)->class];
}

ULONG64 LoadTime(VOID) { return records.load; }
ULONG64 InterruptTime(VOID) {
    ULONG64 counter;

    return KeQueryInterruptTimePrecise(&counter);
}

static ULONG64 SystemTime(VOID) {
    LARGE_INTEGER now;

    KeQuerySystemTimePrecise(&now);
    return (ULONG64)now.QuadPart;
}

/* boot 0: which boot this is could not be had, and each load has one of its own. */
NTSTATUS INITIAL RecordStart(ULONG64 boot) {
    ULONG i;

    records.load = SystemTime();
    records.boot = boot != 0 ? boot : records.load;
    records.scratch = MemoryAllocate((SIZE_T)SCRATCHES * ASSAY_RECORD_MOST);
    records.filters = MemoryAllocate(sizeof *records.filters);
    if (records.scratch == NULL || records.filters == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    core_filters_start(records.filters);
    for (i = 0; i < ASSAY_CLASSES; i++) {
        PVOID memory = MemoryAllocate(sizes[i]);

        core_ring_start(&records.rings.ring[i], i, memory, sizes[i], records.boot, records.load);
        if (memory == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_SUCCESS;
}

VOID PAGED RecordStop(VOID) {
    ULONG i;

    for (i = 0; i < ASSAY_CLASSES; i++) {
        MemoryFree(records.rings.ring[i].memory);
        records.rings.ring[i].memory = NULL;
    }
    MemoryFree(records.filters);
    records.filters = NULL;
    MemoryFree(records.scratch);
    records.scratch = NULL;
}

static UCHAR *ScratchTake(ULONG *which) {
    ULONG i;

    for (i = 0; i < SCRATCHES; i++)
        if (records.busy[i] == 0 && InterlockedExchange(&records.busy[i], 1) == 0) {
            *which = i;
            return records.scratch + (SIZE_T)i * ASSAY_RECORD_MOST;
        }
    return NULL;
}

VOID EventOf(EVENT *event, ULONG kind, ULONG pid, ULONG tid, ULONG64 created) {
    RtlZeroMemory(event, sizeof *event);
    event->told.kind = kind;
    event->told.pid = pid;
    event->told.tid = tid;
    event->told.pid_created = created;
}

VOID EventActor(EVENT *event, ULONG kind) {
    ULONG pid = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();

    EventOf(event, kind, pid, (ULONG)(ULONG_PTR)PsGetCurrentThreadId(), TableCreated(pid));
}

VOID EventPath(EVENT *event, struct core_text path) {
    ULONG volume = 2u * core_path_volume(path.at, path.size / 2u);

    event->path = path;
    event->told.text[0] = TextAt(volume == 0 ? NULL : path.at, volume);
    event->told.text[1] = path;
    if (path.at == NULL)
        return;
    event->told.text[1].at = (const UCHAR *)path.at + volume;
    event->told.text[1].size -= volume;
    event->told.text[1].whole -= path.whole == 0 ? 0 : volume;
}

BOOLEAN Wanted(ULONG kind) { return core_filters_wants(records.filters, kind) != 0; }
BOOLEAN IsOurs(ULONG kind, struct core_text text) {
    return core_filters_match(records.filters, kind, ASSAY_MATCH_OWN, text.at, text.size) != 0;
}
BOOLEAN PayloadWanted(VOID) { return core_filters_payload(records.filters) != 0 && Wanted(ASSAY_PAYLOAD_COPIED); }

static BOOLEAN Matches(const EVENT *event, ULONG match, struct core_text text) {
    return text.at != NULL && core_filters_match(records.filters, event->told.kind, match, text.at, text.size) != 0;
}

static VOID Post(struct core_ring *ring, EVENT *event) {
    ULONG which;
    UCHAR *scratch = ScratchTake(&which);

    event->told.body = &event->body;
    event->told.system_time = SystemTime();
    event->told.interrupt_time = InterruptTime();
    if (scratch == NULL) {
        core_ring_lose(ring, event->told.system_time, event->told.interrupt_time);
        return;
    }
    core_record_encode(&event->told, scratch, ASSAY_RECORD_MOST);
    core_ring_post(ring, scratch);
    InterlockedExchange(&records.busy[which], 0);
}
_Static_assert(sizeof(struct assay_header) + sizeof(struct assay_process) + ASSAY_MOST_PATH + ASSAY_MOST_COMMAND_LINE + 80 <=
                   ASSAY_RECORD_MOST,
               "the longest record fits a scratch buffer");

/* The image of whoever did it, where the record has a place for it. */
static IMAGE *ActorImage(EVENT *event, ULONG class) {
    IMAGE *image = class == ASSAY_FILE || class == ASSAY_NETWORK ? TableImage(event->told.pid) : NULL;

    if (image != NULL)
        event->image = event->told.text[class == ASSAY_FILE ? 3 : 0] = image->name;
    return image;
}

VOID Record(EVENT *event) {
    ULONG class = core_shape_of(event->told.kind)->class, source = SourceOf(event->told.kind);
    struct core_ring *ring = &records.rings.ring[class];
    IMAGE *image;

    if (!Wanted(event->told.kind) || Matches(event, ASSAY_MATCH_PATH, event->path)) {
        core_ring_filter(ring);
        return;
    }
    image = ActorImage(event, class);
    if (Matches(event, ASSAY_MATCH_IMAGE, event->image))
        core_ring_filter(ring);
    else {
        Post(ring, event);
        if (source < ASSAY_SOURCES)
            InterlockedIncrement64(&records.events[source]);
        WorkerWake();
    }
    ImageRelease(image);
}

VOID RecordBlind(ULONG kind) {
    core_ring_lose(&records.rings.ring[core_shape_of(kind)->class], SystemTime(), InterruptTime());
    WorkerWake(); /* to the gap that tells of it */
}

enum core_result RecordAck(const struct assay_read *read) { return core_rings_ack(&records.rings, read); }
ULONG RecordRead(VOID *out, ULONG room) { return core_rings_read(&records.rings, out, room); }
ULONG64 RecordUnread(VOID) { return core_rings_unread(&records.rings); }
enum core_result RecordFilter(const VOID *set, ULONG bytes) { return core_filters_set(records.filters, set, bytes); }

VOID RecordDescribe(struct assay_description *out) {
    ULONG i;

    out->boot = records.boot;
    out->load = records.load;
    out->filters_generation = core_filters_generation(records.filters);
    out->filters_refused = core_filters_refused(records.filters);
    for (i = 0; i < ASSAY_CLASSES; i++)
        core_ring_counts(&records.rings.ring[i], &out->ring[i]);
    for (i = 0; i < ASSAY_SOURCES; i++)
        out->source[i].events = (ULONG64)records.events[i];
}
