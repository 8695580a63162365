/*
 * The driver's one thread: it hands records to waiting reads, describes volumes, and
 * tells the processes that ran before.
 * A read is completed when the unread records fill a good part of it or 50 ms after
 * the first of them, so that a storm costs few wake-ups and a single record little
 * delay.
 */
#include "driver.h"

#define NO_EXECUTE 0x40000000u /* MdlMappingNoExecute, which mingw lacks */
#define LINGER_MS ASSAY_READ_WAIT_MS
#define ENOUGH_BYTES (ASSAY_READ_MOST / 2)
#define SNAPSHOT_BYTES (2u << 20)

static struct {
    PVOID thread;
    KEVENT wake;
    KEVENT full;
    volatile LONG stopping;
    volatile LONG volumes;
    volatile NTSTATUS snapshot;
    PVOID room;
} worker;

NTSTATUS SnapshotStatus(VOID) { return worker.snapshot; }

/* Called for every record: nothing but two reads when nobody waits. */
VOID WorkerWake(VOID) {
    if (!QueueWaiting())
        return;
    KeSetEvent(&worker.wake, IO_NO_INCREMENT, FALSE);
    if (RecordUnread() >= ENOUGH_BYTES)
        KeSetEvent(&worker.full, IO_NO_INCREMENT, FALSE);
}

VOID WorkerVolumes(VOID) {
    InterlockedExchange(&worker.volumes, 1);
    KeSetEvent(&worker.wake, IO_NO_INCREMENT, FALSE);
}

static VOID PAGED Wait(PKEVENT event, LONG64 ms) {
    LARGE_INTEGER timeout;

    timeout.QuadPart = -ms * 10000;
    KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &timeout);
}

/* One read gets what there is; with nothing left for the next, that one keeps waiting. */
static VOID PAGED Deliver(VOID) {
    while (!worker.stopping && RecordUnread() != 0) {
        PIRP irp = QueueTake();
        PVOID out;
        ULONG room;

        if (irp == NULL)
            return;
        room = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.OutputBufferLength;
        out = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority | NO_EXECUTE);
        irp->IoStatus.Status = out == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
        irp->IoStatus.Information = out == NULL ? 0 : RecordRead(out, room);
        IoCompleteRequest(irp, IO_NO_INCREMENT);
    }
}

static VOID NTAPI PAGED Run(PVOID context) {
    UNREFERENCED_PARAMETER(context);
    if (!Passive())
        worker.snapshot = ProcessSnapshot(worker.room, SNAPSHOT_BYTES);
    while (!worker.stopping) {
        Wait(&worker.wake, 1000);
        if (worker.stopping)
            break;
        if (InterlockedExchange(&worker.volumes, 0) != 0)
            VolumesDescribe();
        if (QueueWaiting() && RecordUnread() != 0) {
            if (RecordUnread() < ENOUGH_BYTES)
                Wait(&worker.full, LINGER_MS);
            Deliver();
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Before the sources: their callbacks wake it. */
VOID INITIAL WorkerPrepare(VOID) {
    RtlZeroMemory(&worker, sizeof worker);
    KeInitializeEvent(&worker.wake, SynchronizationEvent, FALSE);
    KeInitializeEvent(&worker.full, SynchronizationEvent, FALSE);
    worker.snapshot = STATUS_PENDING;
}

NTSTATUS INITIAL WorkerStart(VOID) {
    HANDLE handle;
    NTSTATUS status;

    worker.room = MemoryAllocate(SNAPSHOT_BYTES);
    if (worker.room == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = PsCreateSystemThread(&handle, SYNCHRONIZE, NULL, NULL, NULL, Run, NULL);
    if (NT_SUCCESS(status)) {
        status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, NULL, KernelMode, &worker.thread, NULL);
        if (!NT_SUCCESS(status)) { /* it runs already, and must not outlive what it runs in */
            InterlockedExchange(&worker.stopping, 1);
            KeSetEvent(&worker.wake, IO_NO_INCREMENT, FALSE);
            ZwWaitForSingleObject(handle, FALSE, NULL);
        }
        ZwClose(handle);
    }
    if (!NT_SUCCESS(status)) {
        MemoryFree(worker.room);
        worker.room = NULL;
    }
    return status;
}

VOID PAGED WorkerStop(VOID) {
    InterlockedExchange(&worker.stopping, 1);
    KeSetEvent(&worker.wake, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&worker.full, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(worker.thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(worker.thread);
    MemoryFree(worker.room);
    worker.room = NULL;
}
