/* The double's own device, the running of commands, and failure injection. */
#include "double.h"

NTSYSAPI NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING name, PDRIVER_INITIALIZE init);

volatile LONG registered, calls, contexts, running;
static volatile LONG booted;
static ULONG context_slot;

static struct {
    char name[64];
    ULONG nth; /* 0: off; "*" counts every registering call */
    NTSTATUS status;
    ULONG seen;
    const char *hit;
} fail;

DOUBLE_CONTEXT *Context(void) {
    DOUBLE_CONTEXT *c = TlsGetValue(context_slot);

    if (c == NULL) {
        c = HeapAlloc(GetProcessHeap(), 8, sizeof *c);
        TlsSetValue(context_slot, c);
    }
    return c;
}

static BOOLEAN SameName(const char *a, const char *b) {
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

void FailSet(const char *name, ULONG nth, NTSTATUS status) {
    ULONG i = 0;

    for (; name[i] != 0 && i < sizeof fail.name - 1; i++)
        fail.name[i] = name[i];
    fail.name[i] = 0;
    fail.nth = nth;
    fail.status = status;
    fail.seen = 0;
    fail.hit = NULL;
}

BOOLEAN Fail(const char *name, NTSTATUS *status) {
    Boot();
    InterlockedIncrement(&calls);
    if (fail.nth == 0 || !(fail.name[0] == '*' || SameName(fail.name, name)))
        return FALSE;
    if (++fail.seen != fail.nth)
        return FALSE;
    fail.hit = name;
    *status = fail.status;
    return TRUE;
}

const char *Failed(void) { return fail.hit; }

/* Text of a command, with # replaced by the number of this repetition. room holds DOUBLE_TEXT + 16. */
void DoubleText(UNICODE_STRING *out, WCHAR *room, const uint16_t *text, ULONG number) {
    ULONG at = 0, i, digits, power;

    for (i = 0; i < DOUBLE_TEXT && text[i] != 0 && at < DOUBLE_TEXT; i++) {
        if (text[i] != '#') {
            room[at++] = text[i];
            continue;
        }
        for (power = 1; number / power >= 10; power *= 10)
            ;
        for (digits = number; power > 0 && at < DOUBLE_TEXT + 10; power /= 10) {
            room[at++] = (WCHAR)('0' + digits / power);
            digits %= power;
        }
    }
    room[at] = 0;
    out->Buffer = room;
    out->Length = (USHORT)(at * sizeof(WCHAR));
    out->MaximumLength = (USHORT)(out->Length + sizeof(WCHAR));
}

static NTSTATUS RunOnce(struct double_command *c, ULONG n) {
    if (c->op >= OP_PROCESS_START && c->op <= OP_OPEN_PROCESS)
        return ProcessRun(c, n);
    if (c->op >= OP_KEY_SET && c->op <= OP_KEY_RENAME)
        return KeyRun(c, n);
    if (c->op >= OP_FILE_OPEN && c->op <= OP_VOLUME_GONE)
        return FileRun(c, n);
    if (c->op >= OP_CONNECT && c->op <= OP_FLOW_END)
        return FlowRun(c, n);
    if (c->op == OP_SHUTDOWN)
        return FileRun(c, n);
    if (c->op == OP_LOAD || c->op == OP_UNLOAD)
        return LoadRun(c);
    return STATUS_INVALID_PARAMETER;
}

/* Runs a command as often as it says, as the thread and at the IRQL that it says. */
NTSTATUS DoubleRun(struct double_command *c) {
    DOUBLE_CONTEXT *me = Context(), before = *me;
    ULONG n, times = c->repeat == 0 ? 1 : c->repeat;
    ULONG64 first = c->a[0];
    NTSTATUS status = STATUS_SUCCESS;

    for (n = 0; n < times && NT_SUCCESS(status); n++) {
        me->pid = c->pid;
        me->tid = c->tid;
        c->a[0] = first + (ULONG64)n * c->step;
        me->callback = c->op != OP_LOAD && c->op != OP_UNLOAD;
        GateEnter();
        status = RunOnce(c, n);
        if (me->locks != 0) {
            Violation("came back with a spin lock held", "callback");
            me->locks = 0;
            RaiseTo(PASSIVE_LEVEL);
        }
        if (me->irql != before.irql) {
            Violation("came back at another IRQL", "callback");
            RaiseTo(before.irql);
        }
        GateLeave();
    }
    c->a[0] = first;
    *me = before;
    return status;
}

struct storm {
    struct double_command command;
    ULONG number;
};

static ULONG NTAPI StormThread(PVOID argument) {
    struct storm *storm = argument;

    DoubleRun(&storm->command);
    HeapFree(GetProcessHeap(), 0, storm);
    InterlockedDecrement(&running);
    return 0;
}

/* a[7] threads, each with numbers of its own: thread t starts at a[0] + t * repeat * step. */
static NTSTATUS StormStart(const struct double_command *c) {
    ULONG t;

    for (t = 0; t < c->a[7]; t++) {
        struct storm *storm = HeapAlloc(GetProcessHeap(), 8, sizeof *storm);
        PVOID thread;

        storm->command = *c;
        storm->command.flags &= ~COMMAND_THREADS;
        storm->command.a[0] += (ULONG64)t * c->repeat * c->step;
        InterlockedIncrement(&running);
        thread = CreateThread(NULL, 0, StormThread, storm, 0, NULL);
        if (thread == NULL) {
            InterlockedDecrement(&running);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        CloseHandle(thread);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS Answer(struct double_command *c) {
    const char *text;
    ULONG i;

    switch (c->op) {
    case OP_STATUS:
        c->out[STATUS_RUNNING] = (ULONG)running;
        c->out[STATUS_POOL_LIVE] = (ULONG64)pool_live;
        c->out[STATUS_POOL_BYTES] = (ULONG64)pool_bytes;
        c->out[STATUS_REGISTERED] = (ULONG64)registered;
        c->out[STATUS_VIOLATIONS] = (ULONG64)violations;
        c->out[STATUS_CONTEXTS] = (ULONG64)contexts;
        c->out[STATUS_CALLS] = (ULONG64)calls;
        c->out[STATUS_PROCESS] = GetCurrentProcessId();
        c->out[STATUS_HELD] = LateHeld() + DisksAsked();
        return STATUS_SUCCESS;
    case OP_VIOLATION:
        text = ViolationText((ULONG)c->a[0]);
        for (i = 0; text[i] != 0 && i < DOUBLE_TEXT - 1; i++)
            c->text[0][i] = (uint8_t)text[i];
        c->text[0][i] = 0;
        return STATUS_SUCCESS;
    case OP_SECURITY:
        c->bytes = SecurityCopy(c->data, sizeof c->data);
        return STATUS_SUCCESS;
    case OP_CLOCK:
        ClockSkip((LONG64)c->a[0] * 10000);
        return STATUS_SUCCESS;
    case OP_LATE:
        LateSet(c->a[0]);
        return STATUS_SUCCESS;
    case OP_FAILED:
        text = Failed();
        for (i = 0; text != NULL && text[i] != 0 && i < DOUBLE_TEXT - 1; i++)
            c->text[0][i] = (uint8_t)text[i];
        c->text[0][i] = 0;
        return STATUS_SUCCESS;
    case OP_FAIL: {
        char name[64];

        for (i = 0; c->text[0][i] != 0 && i < sizeof name - 1; i++)
            name[i] = (char)c->text[0][i];
        name[i] = 0;
        FailSet(name, (ULONG)c->a[0], (NTSTATUS)c->a[1]);
        return STATUS_SUCCESS;
    }
    default:
        return (c->flags & COMMAND_THREADS) != 0 ? StormStart(c) : DoubleRun(c);
    }
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp) {
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    struct double_command *c = irp->AssociatedIrp.SystemBuffer;

    UNREFERENCED_PARAMETER(device);
    irp->IoStatus.Status = STATUS_SUCCESS;
    irp->IoStatus.Information = 0;
    if (at->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
        if (at->Parameters.DeviceIoControl.IoControlCode != DOUBLE_IOCTL ||
            at->Parameters.DeviceIoControl.InputBufferLength != sizeof *c ||
            at->Parameters.DeviceIoControl.OutputBufferLength != sizeof *c) {
            irp->IoStatus.Status = STATUS_INVALID_PARAMETER;
        } else {
            c->status = Answer(c);
            irp->IoStatus.Information = sizeof *c;
        }
    }
    Complete(irp, IO_NO_INCREMENT);
    return irp->IoStatus.Status;
}

static NTSTATUS NTAPI Entry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\AssayDouble");
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\DosDevices\\AssayDouble");
    NTSTATUS(NTAPI * create)(PDRIVER_OBJECT, ULONG, PUNICODE_STRING, DEVICE_TYPE, ULONG, BOOLEAN, PDEVICE_OBJECT *);
    NTSTATUS(NTAPI * symlink)(PUNICODE_STRING, PUNICODE_STRING);
    NTSTATUS(NTAPI * unlink)(PUNICODE_STRING);
    PVOID kernel = GetModuleHandleA("ntoskrnl.exe");
    PDEVICE_OBJECT device;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(path);
    create = (PVOID)GetProcAddress(kernel, "IoCreateDevice"); /* Wine's, not the doubled ones below */
    symlink = (PVOID)GetProcAddress(kernel, "IoCreateSymbolicLink");
    unlink = (PVOID)GetProcAddress(kernel, "IoDeleteSymbolicLink");
    unlink(&link); /* Wine keeps the one of a process that is gone, and an entry that fails here leaves a device without a driver */
    status = create(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    driver->MajorFunction[IRP_MJ_CREATE] = Dispatch;
    driver->MajorFunction[IRP_MJ_CLOSE] = Dispatch;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Dispatch;
    return symlink(&link, &name);
}

/* What must be known before the driver's first call: HKLM\Software\AssayDouble. */
static void Configure(void) {
    char name[64] = "*";
    ULONG nth = 0, status = (ULONG)STATUS_INSUFFICIENT_RESOURCES, size = sizeof nth;
    HANDLE machine = (HANDLE)(LONG_PTR)(LONG)0x80000002;

    RegGetValueA(machine, "Software\\AssayDouble", "FailAt", 0x18, NULL, &nth, &size);
    size = sizeof status;
    RegGetValueA(machine, "Software\\AssayDouble", "FailStatus", 0x18, NULL, &status, &size);
    size = sizeof name;
    RegGetValueA(machine, "Software\\AssayDouble", "FailName", 2, NULL, name, &size);
    FailSet(name, nth, (NTSTATUS)status);
}

void VerifyStart(void);

void Boot(void) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Driver\\AssayDouble");

    if (InterlockedExchange(&booted, 1) != 0)
        return;
    Configure();
    VerifyStart();
    LoadRemember();
    /* Wine frees the double with the driver: it stays, to be asked what was left behind. */
    LoadLibraryA("assaydbl.sys");
    IoCreateDriver(&name, Entry);
}

/* What the driver has left behind so far, for a scenario to read: the process ends with the driver, and the last word stays. */
void Leave(void) {
    struct {
        ULONG64 pool, registered, contexts, violations;
        char violation[160];
    } left = {0};
    const char *text = ViolationText(0);
    ULONG i;

    KeptCheck();
    left.pool = (ULONG64)pool_live;
    left.registered = (ULONG64)registered;
    left.contexts = (ULONG64)contexts;
    left.violations = (ULONG64)violations;
    for (i = 0; i < sizeof left.violation - 1 && text[i] != 0; i++)
        left.violation[i] = text[i];
    RegSetKeyValueA((HANDLE)(LONG_PTR)(LONG)0x80000002, "Software\\AssayDouble", "Left", 3, &left, sizeof left);
}

int NTAPI DllMain(PVOID module, ULONG reason, PVOID reserved) {
    UNREFERENCED_PARAMETER(module);
    UNREFERENCED_PARAMETER(reserved);
    if (reason == 1)
        context_slot = TlsAlloc();
    return 1;
}
