/*
 * The control device. Its security lets in LocalSystem and the agent's service;
 * what they send is checked all the same. READ waits until there is something; its
 * acknowledgements alone free space. The process that reads is the agent: its own
 * activity is not recorded, and harm to it is.
 */
#include "ring.h"

static PDEVICE_OBJECT device;
static PFILE_OBJECT volatile reader; /* the file that the agent reads from */

PDEVICE_OBJECT DeviceObject(VOID) { return device; }

static NTSTATUS Done(PIRP irp, NTSTATUS status, ULONG_PTR information) {
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static NTSTATUS NTAPI OnOpenOrClose(PDEVICE_OBJECT object, PIRP irp) {
    UNREFERENCED_PARAMETER(object);
    return Done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI OnCleanup(PDEVICE_OBJECT object, PIRP irp) {
    PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;

    UNREFERENCED_PARAMETER(object);
    if (InterlockedCompareExchangePointer((PVOID volatile *)&reader, NULL, file) == file)
        AgentSet(0);
    QueueCancel(file);
    return Done(irp, STATUS_SUCCESS, 0);
}

static VOID PAGED Refused(NTSTATUS status) {
    EVENT event;

    EventActor(&event, EVENT_TAMPER);
    event.number[0] = ASSAY_TAMPER_CONFIGURATION_REFUSED;
    event.number[4] = (ULONG64)(LONG64)status;
    Record(&event);
}

static NTSTATUS PAGED Describe(PIRP irp, ULONG room) {
    struct assay_description *out = irp->AssociatedIrp.SystemBuffer;
    ULONG i;

    if (room < sizeof *out)
        return Done(irp, STATUS_BUFFER_TOO_SMALL, 0);
    RtlZeroMemory(out, sizeof *out);
    out->magic = ASSAY_MAGIC;
    out->version = ASSAY_ABI_VERSION;
    out->driver_version = DRIVER_VERSION;
    out->why = GuardWhy();
    out->starts = GuardStarts();
    out->boot = BootTime();
    out->load = LoadTime();
    out->passive = Passive();
    out->unload_allowed = UnloadAllowed();
    for (i = 0; i < ASSAY_SOURCES; i++)
        out->source[i].status = SourceStatus(i);
    out->snapshot = SnapshotStatus();
    FilterCounts(out);
    RecordCounts(out);
    return Done(irp, STATUS_SUCCESS, sizeof *out);
}

static NTSTATUS PAGED Filter(PIRP irp, ULONG bytes) {
    NTSTATUS status = FilterSet(irp->AssociatedIrp.SystemBuffer, bytes);

    if (!NT_SUCCESS(status) && status != STATUS_DEVICE_BUSY)
        Refused(status);
    return Done(irp, status, 0);
}

/* A request that names the load it is meant for: one that was made for another is refused. */
static NTSTATUS PAGED Ask(PIRP irp, ULONG in, VOID (*does)(VOID)) {
    const struct assay_request *request = irp->AssociatedIrp.SystemBuffer;

    if (in != sizeof *request)
        return Done(irp, STATUS_INVALID_PARAMETER, 0);
    if (request->version != ASSAY_ABI_VERSION)
        return Done(irp, STATUS_REVISION_MISMATCH, 0);
    if (request->reserved != 0 || request->load != LoadTime())
        return Done(irp, STATUS_INVALID_PARAMETER, 0);
    does();
    return Done(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS Read(PIRP irp, PFILE_OBJECT file, ULONG in, ULONG out) {
    const struct assay_read *read = irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;

    if (in == sizeof *read && read->version != ASSAY_ABI_VERSION)
        return Done(irp, STATUS_REVISION_MISMATCH, 0);
    if (in != sizeof *read || read->resume > 1 || out < ASSAY_READ_LEAST || out > ASSAY_READ_MOST || irp->MdlAddress == NULL)
        return Done(irp, STATUS_INVALID_PARAMETER, 0);
    InterlockedExchangePointer((PVOID volatile *)&reader, file);
    AgentSet((ULONG)(ULONG_PTR)PsGetCurrentProcessId());
    if (!RecordAck(read))
        return Done(irp, STATUS_INVALID_PARAMETER, 0);
    status = QueueInsert(irp);
    if (status != STATUS_PENDING)
        return Done(irp, status, 0);
    WorkerWake();
    return STATUS_PENDING;
}

static NTSTATUS NTAPI OnControl(PDEVICE_OBJECT object, PIRP irp) {
    PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
    ULONG in = at->Parameters.DeviceIoControl.InputBufferLength, out = at->Parameters.DeviceIoControl.OutputBufferLength;

    UNREFERENCED_PARAMETER(object);
    switch (at->Parameters.DeviceIoControl.IoControlCode) {
    case ASSAY_IOCTL_DESCRIBE:
        return Describe(irp, out);
    case ASSAY_IOCTL_READ:
        return Read(irp, at->FileObject, in, out);
    case ASSAY_IOCTL_FILTERS:
        return Filter(irp, in);
    case ASSAY_IOCTL_HEALTHY:
        return Ask(irp, in, GuardHealthy);
    case ASSAY_IOCTL_UNLOAD:
        return Ask(irp, in, UnloadAllow);
    default:
        return Done(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
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
