/* The body of each kind of record, as ../abi.h lays it out, from an event's fields. */
#include "encode.h"

typedef struct {
    struct assay_header *header;
    ULONG at;
} WRITER;

/* Appends a text. unknown is said where there is none and there ought to be one. */
static VOID Ref(WRITER *w, struct assay_ref *ref, TEXT text, ULONG most, BOOLEAN unknown) {
    UCHAR *record = (UCHAR *)w->header;

    RtlZeroMemory(ref, sizeof *ref);
    if (text.at == NULL || text.bytes == 0) {
        ref->flags = unknown && text.at == NULL ? ASSAY_REF_UNKNOWN : 0;
        return;
    }
    ref->offset = w->at;
    ref->whole = text.bytes;
    ref->size = text.bytes < most ? text.bytes : most;
    if (ref->size < ref->whole) {
        ref->flags = ASSAY_REF_TRUNCATED;
        w->header->flags |= ASSAY_RECORD_TRUNCATED;
    }
    RtlCopyMemory(record + w->at, text.at, ref->size);
    w->at += ref->size;
    RtlZeroMemory(record + w->at, -w->at & 7u); /* the buffer held another record before */
    w->at = (w->at + 7) & ~7u;
}

static PVOID Body(WRITER *w, ULONG size) {
    PVOID body = w->header + 1;

    w->header->body_size = size;
    w->at = sizeof *w->header + size;
    RtlZeroMemory(body, size);
    return body;
}

static VOID Process(WRITER *w, const EVENT *event) {
    struct assay_process *body = Body(w, sizeof *body);
    PROCESS parent = {0, 0, 0};

    body->pid = (ULONG)event->number[0];
    body->created = event->number[1];
    body->parent_pid = (ULONG)event->number[2];
    body->parent_created = TableFind(body->parent_pid, &parent) ? (ULONG64)parent.created : 0;
    body->creator_pid = (ULONG)event->number[3];
    body->creator_tid = (ULONG)event->number[4];
    body->session = (ULONG)event->number[5];
    body->integrity = 0xFFFFFFFFu;
    Ref(w, &body->image, event->text[0], ASSAY_MOST_PATH, TRUE);
    Ref(w, &body->command_line, event->text[1], ASSAY_MOST_COMMAND_LINE, TRUE);
    Ref(w, &body->user, event->data, ASSAY_MOST_SID, TRUE);
}

static VOID Exit(WRITER *w, const EVENT *event) {
    struct assay_exit *body = Body(w, sizeof *body);

    body->pid = (ULONG)event->number[0];
    body->created = event->number[1];
    body->status = (LONG)event->number[2];
    body->status_known = (ULONG)event->number[3];
}

static VOID Image(WRITER *w, const EVENT *event) {
    struct assay_image *body = Body(w, sizeof *body);
    ULONG properties = (ULONG)event->number[4];

    body->process = (ULONG)event->number[0];
    body->process_created = event->number[1];
    body->base = event->number[2];
    body->size = event->number[3];
    body->driver = NT_IMAGE_SYSTEM_MODE(properties);
    body->signature_level = NT_IMAGE_SIGNATURE_LEVEL(properties);
    body->signature_type = NT_IMAGE_SIGNATURE_TYPE(properties);
    Ref(w, &body->path, event->text[0], ASSAY_MOST_PATH, TRUE);
}

static VOID Thread(WRITER *w, const EVENT *event) {
    struct assay_thread *body = Body(w, sizeof *body);

    body->target_pid = (ULONG)event->number[0];
    body->target_created = event->number[1];
    body->target_tid = (ULONG)event->number[2];
}

static VOID Open(WRITER *w, const EVENT *event) {
    struct assay_open *body = Body(w, sizeof *body);

    body->target_pid = (ULONG)event->number[0];
    body->target_created = event->number[1];
    body->desired = (ULONG)event->number[2];
    body->duplicated = (ULONG)event->number[3];
    body->original = (ULONG)event->number[4];
    body->source_pid = (ULONG)event->number[5];
}

static VOID Key(WRITER *w, const EVENT *event) {
    struct assay_key *body = Body(w, sizeof *body);

    body->type = (ULONG)event->number[0];
    body->data_size = (ULONG)event->number[1];
    Ref(w, &body->key, event->text[0], ASSAY_MOST_PATH, TRUE);
    Ref(w, &body->name, event->text[1], ASSAY_MOST_NAME, FALSE);
    Ref(w, &body->data, event->data, ASSAY_MOST_DATA, FALSE);
}

/* \Device\HarddiskVolume3 and the rest: where the third backslash stands. */
static ULONG VolumeBytes(TEXT path) {
    const WCHAR *at = path.at;
    ULONG chars = path.bytes / sizeof(WCHAR), i, slashes = 0;

    for (i = 0; i < chars; i++)
        if (at[i] == '\\' && ++slashes == 3)
            return i * (ULONG)sizeof(WCHAR);
    return slashes == 2 ? path.bytes : 0;
}

static VOID File(WRITER *w, const EVENT *event) {
    struct assay_file *body = Body(w, sizeof *body);
    ULONG volume = VolumeBytes(event->text[0]);
    TEXT none = {NULL, 0}, head = {event->text[0].at, volume};
    TEXT rest = {(const UCHAR *)event->text[0].at + volume, event->text[0].bytes - volume};

    body->holes = (ULONG)event->number[0];
    body->route = (ULONG)event->number[1];
    body->disposition = (ULONG)event->number[2];
    body->access = (ULONG)event->number[3];
    if (body->holes != 0)
        w->header->flags |= ASSAY_RECORD_HOLES;
    Ref(w, &body->volume, head, ASSAY_MOST_NAME, TRUE);
    Ref(w, &body->path, rest, ASSAY_MOST_PATH, TRUE);
    Ref(w, &body->new_path, event->text[1], ASSAY_MOST_PATH, FALSE);
    Ref(w, &body->image, none, 0, TRUE);
}

static VOID Volume(WRITER *w, const EVENT *event) {
    struct assay_volume *body = Body(w, sizeof *body);
    TEXT none = {NULL, 0};

    body->bus_type = (ULONG)event->number[0];
    body->characteristics = (ULONG)event->number[1];
    body->file_system = (ULONG)event->number[2];
    body->removable = (ULONG)event->number[3];
    Ref(w, &body->guid, event->text[1], ASSAY_MOST_NAME, TRUE);
    Ref(w, &body->device, event->text[0], ASSAY_MOST_NAME, TRUE);
    Ref(w, &body->vendor, none, 0, TRUE);
    Ref(w, &body->product, none, 0, TRUE);
    Ref(w, &body->serial, none, 0, TRUE);
    Ref(w, &body->label, none, 0, TRUE);
}

static VOID Flow(WRITER *w, const EVENT *event) {
    struct assay_flow *body = Body(w, sizeof *body);
    const FLOW *flow = event->flow;
    TEXT none = {NULL, 0};

    body->flow = event->kind == EVENT_REFUSED || event->kind == EVENT_LISTEN ? 0 : event->number[0];
    body->endpoint = event->number[1];
    RtlCopyMemory(body->local, flow->local, sizeof body->local);
    RtlCopyMemory(body->remote, flow->remote, sizeof body->remote);
    body->local_port = flow->local_port;
    body->remote_port = flow->remote_port;
    body->family = flow->v6 ? 6 : 4;
    body->protocol = flow->protocol;
    body->inbound = flow->inbound;
    body->loopback = flow->loopback;
    if (event->kind == EVENT_REFUSED)
        body->refused = event->number[2] == EVENT_CONNECT  ? ASSAY_FLOW_CONNECTED
                        : event->number[2] == EVENT_ACCEPT ? ASSAY_FLOW_ACCEPTED
                                                           : ASSAY_FLOW_LISTENING;
    Ref(w, &body->image, none, 0, TRUE);
}

static UCHAR Hint(const FLOW *flow) {
    USHORT port = flow->inbound ? flow->local_port : flow->remote_port, other = flow->inbound ? flow->remote_port : flow->local_port;

    if (port == 53 || port == 5353 || port == 5355 || other == 53)
        return ASSAY_HINT_DNS;
    if (port == 80 || port == 8080)
        return ASSAY_HINT_HTTP;
    return port == 443 || port == 8443 ? ASSAY_HINT_TLS : ASSAY_HINT_NONE;
}

static VOID Payload(WRITER *w, const EVENT *event) {
    struct assay_payload *body = Body(w, sizeof *body);
    const FLOW *flow = event->flow;

    body->flow = event->number[0];
    body->endpoint = event->number[1];
    body->offset = event->number[2];
    body->whole = event->number[4];
    RtlCopyMemory(body->local, flow->local, sizeof body->local);
    RtlCopyMemory(body->remote, flow->remote, sizeof body->remote);
    body->local_port = flow->local_port;
    body->remote_port = flow->remote_port;
    body->family = flow->v6 ? 6 : 4;
    body->protocol = flow->protocol;
    body->inbound = (UCHAR)event->number[3]; /* of the data, which goes both ways in one flow */
    body->hint = Hint(flow);
    Ref(w, &body->data, event->data, ASSAY_MOST_DATA, FALSE);
}

static VOID Tamper(WRITER *w, const EVENT *event) {
    struct assay_tamper *body = Body(w, sizeof *body);

    body->what = (ULONG)event->number[0];
    body->target_pid = (ULONG)event->number[1];
    body->access = (ULONG)event->number[2];
    body->target_created = event->number[3];
    body->status = (LONG)event->number[4];
    Ref(w, &body->target, event->text[0], ASSAY_MOST_PATH, FALSE);
}

static VOID Started(WRITER *w, const EVENT *event) {
    struct assay_started *body = Body(w, sizeof *body);

    body->driver_version = DRIVER_VERSION;
    body->abi_version = ASSAY_ABI_VERSION;
    body->passive = (ULONG)event->number[0];
    body->why = (ULONG)event->number[1];
    body->starts = (ULONG)event->number[2];
}

static VOID(*const bodies[ASSAY_CLASSES])(WRITER *, const EVENT *) = {
    [ASSAY_PROCESS] = Process, [ASSAY_IMAGE] = Image,  [ASSAY_OBJECT] = Open,     [ASSAY_REGISTRY] = Key,
    [ASSAY_FILE] = File,       [ASSAY_NETWORK] = Flow, [ASSAY_PAYLOAD] = Payload, [ASSAY_CONTROL] = Volume,
};

VOID EncodeBody(struct assay_header *header, const EVENT *event) {
    WRITER w = {header, 0};

    switch (event->kind) {
    case EVENT_STARTED:
        Started(&w, event);
        break;
    case EVENT_TAMPER:
        Tamper(&w, event);
        break;
    case EVENT_PROCESS_EXITED:
        Exit(&w, event);
        break;
    case EVENT_THREAD_REMOTE:
        Thread(&w, event);
        break;
    default:
        bodies[header->class](&w, event);
        break;
    }
    header->size = w.at;
}
_Static_assert(sizeof(struct assay_header) + sizeof(struct assay_process) + ASSAY_MOST_PATH + ASSAY_MOST_COMMAND_LINE + 80 <=
                   ASSAY_RECORD_MOST,
               "the longest record fits a scratch buffer");
