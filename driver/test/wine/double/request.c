/*
 * Requests: each that reaches the driver is known from its dispatch until its one
 * completion. A second completion, a request that is dropped, and one that outlives
 * its device are told. Dispatch runs behind the gate, like everything of the driver.
 */
#include "double.h"

#define MAX_REQUESTS 256u

static PIRP requests[MAX_REQUESTS];
static volatile LONG request_lock;
static PDRIVER_DISPATCH dispatch[IRP_MJ_MAXIMUM_FUNCTION + 1];

/* Replaces from by to, once; FALSE when from is not there. */
static BOOLEAN Swap(PIRP from, PIRP to) {
    BOOLEAN found = FALSE;
    ULONG i;

    while (InterlockedExchange(&request_lock, 1) != 0)
        Sleep(0);
    for (i = 0; i < MAX_REQUESTS && !found; i++)
        if (requests[i] == from) {
            requests[i] = to;
            found = TRUE;
        }
    InterlockedExchange(&request_lock, 0);
    return found;
}

/* Wine dispatches from one thread, so a number that is still known afterwards is this request's and not a later one's. */
static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT device, PIRP irp) {
    NTSTATUS status;

    if (!Swap(NULL, irp))
        Violation("more requests than the double knows", "dispatch");
    GateEnter();
    status = dispatch[IoGetCurrentIrpStackLocation(irp)->MajorFunction](device, irp);
    GateLeave();
    if (status != STATUS_PENDING && Swap(irp, NULL))
        Violation("request neither completed nor pending", "dispatch");
    return status;
}

/* Once the driver has said what it dispatches. */
void RequestsWatch(PDRIVER_OBJECT driver) {
    static const UCHAR majors[] = {IRP_MJ_CREATE, IRP_MJ_CLOSE, IRP_MJ_CLEANUP, IRP_MJ_DEVICE_CONTROL};
    ULONG i;

    for (i = 0; i < sizeof majors; i++)
        if (driver->MajorFunction[majors[i]] != Dispatch) {
            dispatch[majors[i]] = driver->MajorFunction[majors[i]];
            driver->MajorFunction[majors[i]] = Dispatch;
        }
}

/* The device goes: whoever still waits would wait for ever. */
void RequestsEnd(void) {
    ULONG i;

    for (i = 0; i < MAX_REQUESTS; i++)
        if (requests[i] != NULL) {
            Violation("device deleted with a request pending", "IoDeleteDevice");
            requests[i] = NULL;
        }
}

VOID Complete(PIRP irp, CCHAR boost) {
    static VOID(NTAPI * real)(PIRP, CCHAR);

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoCompleteRequest");
    real(irp, boost);
}

EXPORT VOID NTAPI IofCompleteRequest(PIRP irp, CCHAR boost) {
    if (Context()->irql > DISPATCH_LEVEL)
        Violation("called above its IRQL", "IofCompleteRequest");
    if (Context()->locks != 0)
        Violation("request completed with a spin lock held", "IofCompleteRequest");
    if (Swap(irp, NULL))
        Complete(irp, boost);
    else
        Violation("request completed twice", "IofCompleteRequest");
}
