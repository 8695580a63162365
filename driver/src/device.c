/*
 * The control device. Its security lets in LocalSystem and the agent's service; what
 * they send is checked by the core all the same. READ waits until there is something;
 * its acknowledgements alone free space. The process that reads is the agent, for as
 * long as it has the device open: of what it does, only the images that it loads are
 * recorded, and harm to it is. Another that reads meanwhile is refused and told.
 */
#include "driver.h"

static PDEVICE_OBJECT device;
static struct {
    KSPIN_LOCK lock;
    PFILE_OBJECT file; /* that the agent reads from; NULL: nobody does */
    PFILE_OBJECT told; /* the last that was refused: each is told once */
} reader;

PDEVICE_OBJECT DeviceObject(VOID) { return device; }

static NTSTATUS Done(PIRP irp, NTSTATUS status, ULONG_PTR information) {
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static VOID Release(PFILE_OBJECT file) {
    KIRQL irql;

    KeAcquireSpinLock(&reader.lock, &irql);
    if (reader.told == file)
        reader.told = NULL;
    if (reader.file == file) {
        reader.file = NULL;
        AgentSet(0);
    }
    KeReleaseSpinLock(&reader.lock, irql);
}

enum claim { CLAIM_MINE, CLAIM_TAKEN, CLAIM_TAKEN_UNTOLD };

/* The agent may read from another file that it opened; nobody else may while it has one. */
static enum claim Claim(PFILE_OBJECT file, ULONG pid) {
    enum claim claim = CLAIM_MINE;
    KIRQL irql;

    KeAcquireSpinLock(&reader.lock, &irql);
    if (reader.file == NULL || AgentPid() == pid) {
        reader.file = file;
        AgentSet(pid);
    } else {
        claim = reader.told == file ? CLAIM_TAKEN : CLAIM_TAKEN_UNTOLD;
        reader.told = file;
    }
    KeReleaseSpinLock(&reader.lock, irql);
    return claim;
}

static NTSTATUS NTAPI OnOpenOrClose(PDEVICE_OBJECT object, PIRP irp) {
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);

    UNREFERENCED_PARAMETER(object);
    if (at->MajorFunction == IRP_MJ_CLOSE)
        Release(at->FileObject);
    return Done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI OnCleanup(PDEVICE_OBJECT object, PIRP irp) {
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;

    UNREFERENCED_PARAMETER(object);
    Release(file);
    QueueCancel(file);
    return Done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS StatusOf(enum core_result result) {
    switch (result) {
    case CORE_OK:
        return STATUS_SUCCESS;
    case CORE_REVISION:
        return STATUS_REVISION_MISMATCH;
    case CORE_TOO_SMALL:
        return STATUS_BUFFER_TOO_SMALL;
    case CORE_TOO_BIG:
        return STATUS_INVALID_BUFFER_SIZE;
    case CORE_BUSY:
        return STATUS_DEVICE_BUSY;
    default: /* not sane, or of another load */
        return STATUS_INVALID_PARAMETER;
    }
}

static VOID PAGED Refused(ULONG what, NTSTATUS status) {
    EVENT event;

    EventActor(&event, ASSAY_TAMPER);
    event.body.tamper.what = what;
    event.body.tamper.status = status;
    event.told.text[0] = NoText();
    Record(&event);
}

static NTSTATUS PAGED Describe(PIRP irp) {
    struct assay_description *out = irp->AssociatedIrp.SystemBuffer;
    ULONG i;

    RtlZeroMemory(out, sizeof *out);
    out->magic = ASSAY_MAGIC;
    out->version = ASSAY_ABI_VERSION;
    out->driver_version = DRIVER_VERSION;
    out->why = GuardWhy();
    out->starts = GuardStarts();
    out->passive = Passive();
    out->unload_allowed = UnloadAllowed();
    for (i = 0; i < ASSAY_SOURCES; i++)
        out->source[i].status = SourceStatus(i);
    out->snapshot = SnapshotStatus();
    RecordDescribe(out);
    return Done(irp, STATUS_SUCCESS, sizeof *out);
}

static NTSTATUS PAGED Filter(PIRP irp, ULONG bytes) {
    NTSTATUS status = StatusOf(RecordFilter(irp->AssociatedIrp.SystemBuffer, bytes));

    if (!NT_SUCCESS(status) && status != STATUS_DEVICE_BUSY)
        Refused(ASSAY_TAMPER_CONFIGURATION_REFUSED, status);
    return Done(irp, status, 0);
}

static NTSTATUS Read(PIRP irp, PFILE_OBJECT file) {
    enum claim claim;
    NTSTATUS status;

    if (irp->MdlAddress == NULL)
        return Done(irp, STATUS_INVALID_PARAMETER, 0);
    claim = Claim(file, (ULONG)(ULONG_PTR)PsGetCurrentProcessId());
    if (claim == CLAIM_TAKEN_UNTOLD)
        Refused(ASSAY_TAMPER_DEVICE, STATUS_SHARING_VIOLATION);
    if (claim != CLAIM_MINE)
        return Done(irp, STATUS_SHARING_VIOLATION, 0);
    status = StatusOf(RecordAck(irp->AssociatedIrp.SystemBuffer));
    if (NT_SUCCESS(status))
        status = QueueInsert(irp);
    if (status != STATUS_PENDING)
        return Done(irp, status, 0);
    WorkerWake();
    return STATUS_PENDING;
}

static NTSTATUS NTAPI OnControl(PDEVICE_OBJECT object, PIRP irp) {
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    ULONG in = at->Parameters.DeviceIoControl.InputBufferLength, out = at->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG code = at->Parameters.DeviceIoControl.IoControlCode;
    NTSTATUS status = StatusOf(core_request_check(irp->AssociatedIrp.SystemBuffer, in, code, out, LoadTime()));

    UNREFERENCED_PARAMETER(object);
    if (!NT_SUCCESS(status))
        return Done(irp, status, 0);
    switch (code) {
    case ASSAY_IOCTL_DESCRIBE:
        return Describe(irp);
    case ASSAY_IOCTL_READ:
        return Read(irp, at->FileObject);
    case ASSAY_IOCTL_FILTERS:
        return Filter(irp, in);
    case ASSAY_IOCTL_HEALTHY:
        GuardHealthy();
        return Done(irp, STATUS_SUCCESS, 0);
    default: /* the one that is left */
        UnloadAllow();
        return Done(irp, STATUS_SUCCESS, 0);
    }
}

VOID PAGED DeviceStop(VOID) {
    UNICODE_STRING link = RTL_CONSTANT_STRING(DEVICE_LINK);

    IoDeleteSymbolicLink(&link);
    QueueCancel(NULL);
    IoDeleteDevice(device);
    device = NULL;
}

NTSTATUS INITIAL DeviceStart(PDRIVER_OBJECT driver) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(DEVICE_NAME), link = RTL_CONSTANT_STRING(DEVICE_LINK);
    NTSTATUS status;

    KeInitializeSpinLock(&reader.lock);
    QueueStart();
    status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    driver->MajorFunction[IRP_MJ_CREATE] = OnOpenOrClose;
    driver->MajorFunction[IRP_MJ_CLOSE] = OnOpenOrClose;
    driver->MajorFunction[IRP_MJ_CLEANUP] = OnCleanup;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    status = AccessRestrict(device);
    if (NT_SUCCESS(status))
        status = IoCreateSymbolicLink(&link, &name);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        device = NULL;
    }
    return status;
}
