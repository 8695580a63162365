/*
 * Disks: the one request that the driver sends to them, which a sick one keeps until
 * it is cancelled, and a deaf one for good. Time passes for a wait as OP_CLOCK says.
 */
#include "file.h"

#define MAX_REQUESTS 16u

static struct request {
    IRP irp;
    PVOID out;
    ULONG bytes;
    PKEVENT event;
    PIO_STATUS_BLOCK status;
    FLT_VOLUME *kept_by;
} requests[MAX_REQUESTS];
static volatile LONG asked;

EXPORT PIRP NTAPI IoBuildDeviceIoControlRequest(ULONG code, PDEVICE_OBJECT device, PVOID in, ULONG in_bytes, PVOID out,
                                                ULONG out_bytes, BOOLEAN internal, PKEVENT event, PIO_STATUS_BLOCK status) {
    struct request *request;
    NTSTATUS failed;

    UNREFERENCED_PARAMETER(device);
    RequireIrql(PASSIVE_LEVEL, "IoBuildDeviceIoControlRequest");
    if (Fail("IoBuildDeviceIoControlRequest", &failed))
        return NULL;
    if (code != NT_IOCTL_STORAGE_QUERY_PROPERTY || in == NULL || in_bytes != sizeof(NT_STORAGE_QUERY) || internal || event == NULL)
        return NULL;
    request = &requests[(ULONG)(InterlockedIncrement(&asked) - 1) % MAX_REQUESTS];
    request->out = out;
    request->bytes = out_bytes;
    request->event = event;
    request->status = status;
    request->kept_by = NULL;
    return &request->irp;
}

static void Answer(const FLT_VOLUME *volume, const struct request *request) {
    NT_STORAGE_DEVICE *out = request->out;

    RtlZeroMemory(out, request->bytes);
    out->version = sizeof *out;
    out->size = sizeof *out + 3 * sizeof volume->text[0];
    if (request->bytes >= out->size)
        RtlCopyMemory(out + 1, volume->text, 3 * sizeof volume->text[0]);
    out->vendor = volume->text[0][0] == 0 ? 0 : sizeof *out;
    out->product = volume->text[1][0] == 0 ? 0 : sizeof *out + sizeof volume->text[0];
    out->serial = volume->text[2][0] == 0 ? 0 : sizeof *out + 2 * sizeof volume->text[0];
    out->removable = (volume->characteristics & FILE_REMOVABLE_MEDIA) != 0;
    out->bus_type = volume->bus;
    request->status->Status = STATUS_SUCCESS;
    request->status->Information = sizeof *out;
}

EXPORT NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT device, PIRP irp) {
    FLT_VOLUME *volume = CONTAINING_RECORD(device, FLT_VOLUME, disk);
    struct request *request = CONTAINING_RECORD(irp, struct request, irp);

    RequireIrql(PASSIVE_LEVEL, "IofCallDriver");
    if (request < requests || request >= requests + MAX_REQUESTS || request->bytes < sizeof(NT_STORAGE_DEVICE))
        return STATUS_INVALID_PARAMETER;
    if (volume->disk_is != 0) {
        request->kept_by = volume;
        return STATUS_PENDING;
    }
    Answer(volume, request);
    return STATUS_SUCCESS;
}

EXPORT BOOLEAN NTAPI IoCancelIrp(PIRP irp) {
    struct request *request = CONTAINING_RECORD(irp, struct request, irp);

    RequireIrql(DISPATCH_LEVEL, "IoCancelIrp");
    if (Context()->guarded == 0)
        Violation("a request cancelled that may be freed meanwhile", "IoCancelIrp");
    if (request->kept_by == NULL) {
        Violation("a request cancelled that is done", "IoCancelIrp");
        return FALSE;
    }
    if (request->kept_by->disk_is == 2)
        return FALSE;
    request->kept_by = NULL;
    request->status->Status = STATUS_CANCELLED;
    request->status->Information = 0;
    KeSetEvent(request->event, IO_NO_INCREMENT, FALSE);
    return TRUE;
}

ULONG DisksAsked(void) {
    ULONG i, n = 0;

    for (i = 0; i < MAX_REQUESTS; i++)
        n += requests[i].kept_by != NULL;
    return n;
}

EXPORT VOID NTAPI KeEnterGuardedRegion(VOID) { Context()->guarded++; }
EXPORT VOID NTAPI KeLeaveGuardedRegion(VOID) { Context()->guarded--; }

EXPORT NTSTATUS NTAPI KeWaitForMultipleObjects(ULONG count, PVOID objects[], WAIT_TYPE type, KWAIT_REASON reason, KPROCESSOR_MODE mode,
                                               BOOLEAN alertable, PLARGE_INTEGER timeout, PKWAIT_BLOCK blocks) {
    static NTSTATUS(NTAPI * real)(ULONG, PVOID *, WAIT_TYPE, KWAIT_REASON, KPROCESSOR_MODE, BOOLEAN, PLARGE_INTEGER, PKWAIT_BLOCK);
    LARGE_INTEGER slice = {.QuadPart = -10 * 10000};
    LONG64 began = ClockSkipped();
    NTSTATUS status;

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "KeWaitForMultipleObjects");
    RequireIrql(APC_LEVEL, "KeWaitForMultipleObjects");
    if (Context()->callback)
        Violation("a callback that waits", "KeWaitForMultipleObjects");
    GateLeave();
    do
        status = real(count, objects, type, reason, mode, alertable, &slice, blocks);
    while (status == STATUS_TIMEOUT && (timeout == NULL || ClockSkipped() - began < -timeout->QuadPart));
    GateEnter();
    return status;
}
