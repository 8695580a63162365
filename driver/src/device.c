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

static VOID PAGED Refused(VOID) {
    EVENT event;

    EventActor(&event, EVENT_TAMPER);
    event.number[0] = TAMPER_DEVICE;
    Record(&event);
}

static NTSTATUS PAGED Describe(PIRP irp, ULONG room) {
    struct wire_describe *out = irp->AssociatedIrp.SystemBuffer;
    ULONG i;

    if (room < sizeof *out)
        return Done(irp, STATUS_BUFFER_TOO_SMALL, 0);
    RtlZeroMemory(out, sizeof *out);
    out->magic = WIRE_MAGIC;
    out->version = WIRE_VERSION;
    out->boot = BootTime();
    out->load = LoadTime();
    out->passive = Passive();
    out->unload_allowed = UnloadAllowed();
    for (i = 0; i < SOURCE_COUNT; i++)
        out->source[i] = SourceStatus(i);
    out->snapshot = SnapshotStatus();
    out->cancelled = QueueCancelled();
    FilterCounts(out);
    RecordCounts(out->counts);
    return Done(irp, STATUS_SUCCESS, sizeof *out);
}

static NTSTATUS PAGED Filter(PIRP irp, ULONG bytes) {
    NTSTATUS status = FilterSet(irp->AssociatedIrp.SystemBuffer, bytes);

    if (status == STATUS_INVALID_PARAMETER)
        Refused();
    return Done(irp, status, 0);
}

static NTSTATUS Read(PIRP irp, PFILE_OBJECT file, ULONG in, ULONG out) {
    const struct wire_read *read = irp->AssociatedIrp.SystemBuffer;
    NTSTATUS status;

    if (in != sizeof *read || read->version != WIRE_VERSION || read->resume > 1 || out < WIRE_READ_LEAST || out > WIRE_READ_MOST ||
        irp->MdlAddress == NULL)
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
    case WIRE_IOCTL_DESCRIBE:
        return Describe(irp, out);
    case WIRE_IOCTL_READ:
        return Read(irp, at->FileObject, in, out);
    case WIRE_IOCTL_FILTER:
        return Filter(irp, in);
    case WIRE_IOCTL_ALLOW_UNLOAD:
        UnloadAllow();
        return Done(irp, STATUS_SUCCESS, 0);
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
