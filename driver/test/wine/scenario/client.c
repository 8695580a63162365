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
    command.pid = 1000;
    command.tid = 1004;
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

bool Describe(struct wire_describe *out) {
    DWORD got;

    return Ioctl(WIRE_IOCTL_DESCRIBE, NULL, 0, out, sizeof *out, &got) == 0 && got == sizeof *out && out->magic == WIRE_MAGIC;
}

DWORD FilterPut(uint64_t kinds, uint32_t payload, unsigned rules, const int *sort, const wchar_t *const *prefix) {
    static uint64_t room[WIRE_FILTER_BYTES / 8];
    struct wire_filter *head = (struct wire_filter *)room;
    uint8_t *at = (uint8_t *)(head + 1);

    memset(room, 0, sizeof room);
    for (unsigned i = 0; i < rules; i++) {
        struct wire_rule_head *rule = (struct wire_rule_head *)at;

        rule->rule = (uint16_t)sort[i];
        rule->chars = (uint16_t)wcslen(prefix[i]);
        memcpy(rule + 1, prefix[i], rule->chars * 2);
        at += (sizeof *rule + rule->chars * 2 + 7) & ~7u;
    }
    head->version = WIRE_VERSION;
    head->bytes = (uint32_t)(at - (uint8_t *)room);
    head->kinds = kinds;
    head->payload = payload;
    head->rules = rules;
    return Ioctl(WIRE_IOCTL_FILTER, room, head->bytes, NULL, 0, NULL);
}

void ReaderStart(struct reader *r, bool acknowledge, bool resume) {
    memset(r, 0, sizeof *r);
    r->room = 64u << 20;
    r->memory = malloc(r->room);
    r->acknowledge = acknowledge;
    r->resume = resume;
}

void ReaderEnd(struct reader *r) { free(r->memory); }

/* Every bound that the ABI states, on every record. */
static const char *Sane(const struct wire_record *w, size_t room) {
    if (room < sizeof *w || w->bytes < sizeof *w || w->bytes > room || w->bytes > WIRE_RECORD_BYTES || (w->bytes & 7) != 0)
        return "a record's size";
    if (w->class >= WIRE_CLASSES || w->kind > TAMPER)
        return "a record's class or kind";
    for (unsigned i = 0; i < 3; i++)
        if (w->text[i].offset > w->bytes || w->text[i].bytes > w->bytes - w->text[i].offset || w->text[i].whole < w->text[i].bytes)
            return "a text's place";
    return NULL;
}

static bool Take(struct reader *r, const uint8_t *out, DWORD got) {
    const struct wire_batch *batch = (const struct wire_batch *)out;
    uint32_t at = sizeof *batch, n = 0;

    if (got < sizeof *batch || batch->magic != WIRE_MAGIC || batch->version != WIRE_VERSION || batch->bytes != got) {
        r->fault = "a batch's head";
        return false;
    }
    r->load = batch->load;
    memcpy(r->lost, batch->lost, sizeof r->lost);
    memcpy(r->posted, batch->posted, sizeof r->posted);
    for (; at < got; n++) {
        const struct wire_record *w = (const struct wire_record *)(out + at);

        r->fault = Sane(w, got - at);
        if (r->fault == NULL && w->sequence <= r->last[w->class])
            r->fault = "the order of a class";
        if (r->fault != NULL || r->used + w->bytes > r->room)
            return false;
        r->last[w->class] = w->sequence;
        memcpy(r->memory + r->used, w, w->bytes);
        r->used += w->bytes;
        r->count++;
        at += w->bytes;
    }
    if (n != batch->records)
        r->fault = "a batch's count";
    return r->fault == NULL;
}

/* A read that gets nothing for a second is cancelled: what was to come has come. */
static bool Once(struct reader *r) {
    static uint64_t out[WIRE_READ_MOST / 8];
    struct wire_read in = {WIRE_VERSION, r->resume, r->acknowledge ? r->load : 0, {0}};
    OVERLAPPED o = {0};
    DWORD got = 0, error = 0;
    bool more = true;

    memcpy(in.ack_through, r->last, sizeof in.ack_through);
    r->resume = false;
    o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!DeviceIoControl(assay_device, WIRE_IOCTL_READ, &in, sizeof in, out, sizeof out, &got, &o) &&
        GetLastError() != ERROR_IO_PENDING) {
        error = GetLastError();
    } else {
        if (WaitForSingleObject(o.hEvent, 1000) != WAIT_OBJECT_0) {
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

const struct wire_record *ReaderRecord(const struct reader *r, unsigned n) {
    size_t at = 0;

    while (at < r->used) {
        const struct wire_record *w = (const struct wire_record *)(r->memory + at);

        if (n-- == 0)
            return w;
        at += w->bytes;
    }
    return NULL;
}

/* Where there is no such record, an empty one, so that a check can say what is wrong and go on. */
const struct wire_record *ReaderFind(const struct reader *r, enum kind kind, unsigned n) {
    static const struct wire_record none;
    size_t at = 0;

    while (at < r->used) {
        const struct wire_record *w = (const struct wire_record *)(r->memory + at);

        if (w->kind == kind && n-- == 0)
            return w;
        at += w->bytes;
    }
    return &none;
}

unsigned ReaderCount(const struct reader *r, enum kind kind) {
    unsigned n = 0;

    for (size_t at = 0; at < r->used;) {
        const struct wire_record *w = (const struct wire_record *)(r->memory + at);

        n += w->kind == kind;
        at += w->bytes;
    }
    return n;
}

bool TextIs(const struct wire_record *w, unsigned n, const wchar_t *text) {
    return w->bytes != 0 && w->text[n].bytes == wcslen(text) * 2 &&
           memcmp((const uint8_t *)w + w->text[n].offset, text, w->text[n].bytes) == 0;
}
