/*
 * The driver's two threads. One hands records to waiting reads and tells the processes
 * that ran before, and waits for nobody. The other describes volumes, and may wait for
 * a mount manager, a file system or a disk.
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
    PVOID thread, describer;
    KEVENT wake;
    KEVENT full;
    KEVENT volumes;
    KEVENT stop;
    volatile LONG stopping;
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

VOID WorkerVolumes(VOID) { KeSetEvent(&worker.volumes, IO_NO_INCREMENT, FALSE); }
BOOLEAN WorkerStopping(VOID) { return worker.stopping != 0; }

BOOLEAN PAGED WorkerWait(PKEVENT event, ULONG ms) {
    PVOID either[] = {event, &worker.stop};
    LARGE_INTEGER timeout = {.QuadPart = -(LONG64)ms * 10000};

    return KeWaitForMultipleObjects(2, either, WaitAny, Executive, KernelMode, FALSE, &timeout, NULL) == STATUS_WAIT_0;
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
        if (QueueWaiting() && RecordUnread() != 0) {
            if (RecordUnread() < ENOUGH_BYTES)
                Wait(&worker.full, LINGER_MS);
            Deliver();
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID NTAPI PAGED Describe(PVOID context) {
    UNREFERENCED_PARAMETER(context);
    while (!worker.stopping) {
        KeWaitForSingleObject(&worker.volumes, Executive, KernelMode, FALSE, NULL);
        VolumesDescribe();
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Before the sources: their callbacks wake it. */
VOID INITIAL WorkerPrepare(VOID) {
    RtlZeroMemory(&worker, sizeof worker);
    KeInitializeEvent(&worker.wake, SynchronizationEvent, FALSE);
    KeInitializeEvent(&worker.full, SynchronizationEvent, FALSE);
    KeInitializeEvent(&worker.volumes, SynchronizationEvent, FALSE);
    KeInitializeEvent(&worker.stop, NotificationEvent, FALSE);
    worker.snapshot = STATUS_PENDING;
}

static VOID PAGED Halt(VOID) {
    InterlockedExchange(&worker.stopping, 1);
    KeSetEvent(&worker.stop, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&worker.wake, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&worker.full, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&worker.volumes, IO_NO_INCREMENT, FALSE);
}

static NTSTATUS INITIAL Begin(PKSTART_ROUTINE routine, PVOID *thread) {
    HANDLE handle;
    NTSTATUS status = PsCreateSystemThread(&handle, SYNCHRONIZE, NULL, NULL, NULL, routine, NULL);

    if (!NT_SUCCESS(status))
        return status;
    status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, NULL, KernelMode, thread, NULL);
    if (!NT_SUCCESS(status)) { /* it runs already, and must not outlive what it runs in */
        *thread = NULL;
        Halt();
        ZwWaitForSingleObject(handle, FALSE, NULL);
    }
    ZwClose(handle);
    return status;
}

static VOID PAGED Join(PVOID *thread) {
    if (*thread == NULL)
        return;
    KeWaitForSingleObject(*thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(*thread);
    *thread = NULL;
}

VOID PAGED WorkerStop(VOID) {
    Halt();
    Join(&worker.thread);
    Join(&worker.describer);
    MemoryFree(worker.room);
    worker.room = NULL;
}

NTSTATUS INITIAL WorkerStart(VOID) {
    NTSTATUS status;

    worker.room = MemoryAllocate(SNAPSHOT_BYTES);
    if (worker.room == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    status = Begin(Run, &worker.thread);
    if (NT_SUCCESS(status))
        status = Begin(Describe, &worker.describer);
    if (!NT_SUCCESS(status))
        WorkerStop();
    return status;
}
