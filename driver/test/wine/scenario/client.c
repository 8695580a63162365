/* The two devices: the double's, which is told what happens, and the driver's, which tells what it saw. */
#include "scenario.h"

HANDLE double_device = INVALID_HANDLE_VALUE, assay_device = INVALID_HANDLE_VALUE;
static struct double_command command;

bool DoubleOpen(void) {
    if (double_device == INVALID_HANDLE_VALUE)
        double_device = CreateFileW(DOUBLE_DEVICE, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    return double_device != INVALID_HANDLE_VALUE;
}

void DoubleClose(void) {
    if (double_device != INVALID_HANDLE_VALUE)
        CloseHandle(double_device);
    double_device = INVALID_HANDLE_VALUE;
}

static void SetText(uint16_t *out, const wchar_t *text) {
    for (unsigned i = 0; text != NULL && text[i] != 0 && i < DOUBLE_TEXT - 1; i++)
        out[i] = text[i];
}

struct double_command *Command(enum double_op op, const wchar_t *text0, const wchar_t *text1) {
    memset(&command, 0, sizeof command);
    command.op = op;
    command.pid = ACTOR;
    command.tid = ACTOR + 4;
    SetText(command.text[0], text0);
    SetText(command.text[1], text1);
    return &command;
}

bool Play(struct double_command *c) {
    DWORD got;

    if (!DeviceIoControl(double_device, DOUBLE_IOCTL, c, sizeof *c, c, sizeof *c, &got, NULL) || got != sizeof *c)
        return false;
    return c->status >= 0;
}

uint64_t Status(enum double_status which) {
    struct double_command *c = Command(OP_STATUS, NULL, NULL);

    return Play(c) ? c->out[which] : UINT64_MAX;
}

/* Until the background threads are done; the double's answer is the signal. */
void WaitIdle(void) {
    while (Status(STATUS_RUNNING) != 0)
        SwitchToThread();
}

bool AssayOpen(void) {
    assay_device = CreateFileW(L"\\\\.\\Assay", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    return assay_device != INVALID_HANDLE_VALUE;
}

/* Wine sends no cleanup: what waits is cancelled first, as the agent does. */
void AssayClose(void) {
    if (assay_device == INVALID_HANDLE_VALUE)
        return;
    CancelIoEx(assay_device, NULL);
    CloseHandle(assay_device);
    assay_device = INVALID_HANDLE_VALUE;
}

DWORD Ioctl(uint32_t code, const void *in, DWORD in_bytes, void *out, DWORD out_bytes, DWORD *got) {
    OVERLAPPED o = {0};
    DWORD error = 0, n = 0;

    o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!DeviceIoControl(assay_device, code, (void *)in, in_bytes, out, out_bytes, &n, &o)) {
        error = GetLastError();
        if (error == ERROR_IO_PENDING)
            error = GetOverlappedResult(assay_device, &o, &n, TRUE) ? 0 : GetLastError();
    }
    CloseHandle(o.hEvent);
    if (got != NULL)
        *got = n;
    return error;
}

bool Describe(struct assay_description *out) {
    DWORD got;

    return Ioctl(ASSAY_IOCTL_DESCRIBE, NULL, 0, out, sizeof *out, &got) == 0 && got == sizeof *out && out->magic == ASSAY_MAGIC;
}

DWORD Request(uint32_t code) {
    struct assay_description now;
    struct assay_request request = {ASSAY_ABI_VERSION, 0, 0};

    if (!Describe(&now))
        return ERROR_INVALID_DATA;
    request.load = now.load;
    return Ioctl(code, &request, sizeof request, NULL, 0, NULL);
}

DWORD FiltersPut(uint64_t generation, uint64_t kinds, uint32_t flags, unsigned rules, const struct rule *rule) {
    static uint64_t room[ASSAY_FILTERS_MOST / 8];
    struct assay_filters *head = (struct assay_filters *)room;
    uint8_t *at = (uint8_t *)(head + 1);

    memset(room, 0, sizeof room);
    for (unsigned i = 0; i < rules; i++) {
        struct assay_filter_section *section = (struct assay_filter_section *)at;
        struct assay_filter_entry *entry = (struct assay_filter_entry *)(section + 1);

        section->class = rule[i].class;
        section->match = rule[i].match;
        section->kinds = rule[i].kinds;
        section->entries = 1;
        entry->chars = (uint32_t)wcslen(rule[i].prefix);
        memcpy(entry + 1, rule[i].prefix, entry->chars * 2);
        at = (uint8_t *)entry + ((sizeof *entry + entry->chars * 2 + 7) & ~7u);
    }
    head->version = ASSAY_ABI_VERSION;
    head->size = (uint32_t)(at - (uint8_t *)room);
    head->generation = generation;
    head->kinds = kinds;
    head->sections = rules;
    head->flags = flags;
    return Ioctl(ASSAY_IOCTL_FILTERS, room, head->size, NULL, 0, NULL);
}

void ReaderStart(struct reader *r, bool acknowledge, bool resume) {
    memset(r, 0, sizeof *r);
    r->room = 64u << 20;
    r->memory = malloc(r->room);
    r->acknowledge = acknowledge;
    r->resume = resume;
}

void ReaderEnd(struct reader *r) { free(r->memory); }

/* Every bound that the ABI states of every record, and the order of its class. */
static const char *Sane(struct reader *r, const struct assay_header *h, size_t room) {
    if (room < sizeof *h || h->size < sizeof *h || h->size > room || h->size > ASSAY_RECORD_MOST || (h->size & 7) != 0)
        return "a record's size";
    if (h->class >= ASSAY_CLASSES || h->kind >= ASSAY_KINDS || h->version != ASSAY_ABI_VERSION || h->body_size > h->size - sizeof *h)
        return "a record's head";
    if (h->n <= r->last[h->class])
        return "the order of a class";
    if (h->kind == ASSAY_GAP) {
        const struct assay_gap *gap = BODY(assay_gap, h);

        if (gap->first != r->last[h->class] + 1 || gap->first + gap->count - 1 != h->n || gap->lost_class != h->class)
            return "a gap";
    } else if (h->n != r->last[h->class] + 1)
        return "a number missing without a gap";
    return NULL;
}

static bool Take(struct reader *r, const uint8_t *out, DWORD got) {
    const struct assay_batch *batch = (const struct assay_batch *)out;
    uint32_t at = sizeof *batch, n = 0;

    if (got < sizeof *batch || batch->magic != ASSAY_MAGIC || batch->version != ASSAY_ABI_VERSION || batch->size != got) {
        r->fault = "a batch's head";
        return false;
    }
    r->load = batch->load;
    for (; at < got; n++) {
        const struct assay_header *h = (const struct assay_header *)(out + at);

        r->fault = Sane(r, h, got - at);
        if (r->fault != NULL || r->used + h->size > r->room)
            return false;
        r->last[h->class] = h->n;
        memcpy(r->memory + r->used, h, h->size);
        r->used += h->size;
        r->count++;
        at += h->size;
    }
    if (n != batch->records)
        r->fault = "a batch's count";
    return r->fault == NULL;
}

/* A read that gets nothing for half a second is cancelled: what was to come has come. */
static bool Once(struct reader *r) {
    static uint64_t out[ASSAY_READ_MOST / 8];
    struct assay_read in = {ASSAY_ABI_VERSION, r->resume, r->acknowledge ? r->load : 0, {0}};
    OVERLAPPED o = {0};
    DWORD got = 0, error = 0;
    bool more = true;

    memcpy(in.ack_through, r->last, sizeof in.ack_through);
    r->resume = false;
    o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!DeviceIoControl(assay_device, ASSAY_IOCTL_READ, &in, sizeof in, out, sizeof out, &got, &o) &&
        GetLastError() != ERROR_IO_PENDING) {
        error = GetLastError();
    } else {
        if (WaitForSingleObject(o.hEvent, 500) != WAIT_OBJECT_0) {
            CancelIoEx(assay_device, &o);
            more = false;
        }
        if (!GetOverlappedResult(assay_device, &o, &got, TRUE))
            error = GetLastError();
    }
    CloseHandle(o.hEvent);
    if (error == ERROR_OPERATION_ABORTED)
        return false;
    if (error != 0) {
        r->fault = "a read's status";
        printf("    read: error %lu\n", error);
        return false;
    }
    return Take(r, (const uint8_t *)out, got) && more;
}

unsigned ReaderRead(struct reader *r, unsigned want) {
    while (r->count < want && r->fault == NULL && Once(r))
        ;
    if (r->fault != NULL)
        Check(false, r->fault, __FILE__, __LINE__);
    return r->count;
}

/* Where there is no such record, an empty one, so that a check can say what is wrong and go on. */
const struct assay_header *ReaderFind(const struct reader *r, enum assay_kind kind, unsigned n) {
    static const uint64_t none[64];

    for (size_t at = 0; at < r->used;) {
        const struct assay_header *h = (const struct assay_header *)(r->memory + at);

        if (h->kind == kind && n-- == 0)
            return h;
        at += h->size;
    }
    return (const struct assay_header *)none;
}

unsigned ReaderCount(const struct reader *r, enum assay_kind kind) {
    unsigned n = 0;

    for (size_t at = 0; at < r->used;) {
        const struct assay_header *h = (const struct assay_header *)(r->memory + at);

        n += h->kind == kind;
        at += h->size;
    }
    return n;
}

bool TextIs(const struct assay_header *h, struct assay_ref ref, const wchar_t *text) {
    return h->size != 0 && ref.size == wcslen(text) * 2 && ref.offset + ref.size <= h->size &&
           memcmp((const uint8_t *)h + ref.offset, text, ref.size) == 0;
}
