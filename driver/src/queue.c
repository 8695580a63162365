/*
 * Reads that wait. A read belongs to whoever takes its cancel routine away: the
 * worker that completes it, the cleanup of its file, or the canceller. Exactly one
 * of them finds the routine still there. Nothing is completed under the lock.
 */
#include "driver.h"

static struct {
    KSPIN_LOCK lock;
    LIST_ENTRY waiting;
} queue;

VOID INITIAL QueueStart(VOID) {
    KeInitializeSpinLock(&queue.lock);
    InitializeListHead(&queue.waiting);
}

static VOID Cancelled(PIRP irp) {
    irp->IoStatus.Status = STATUS_CANCELLED;
    irp->IoStatus.Information = 0;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static VOID NTAPI OnCancel(PDEVICE_OBJECT device, PIRP irp) {
    KIRQL irql;

    UNREFERENCED_PARAMETER(device);
    IoReleaseCancelSpinLock(irp->CancelIrql);
    KeAcquireSpinLock(&queue.lock, &irql);
    RemoveEntryList(&irp->Tail.Overlay.ListEntry); /* from the queue, or from itself when another had it out already */
    KeReleaseSpinLock(&queue.lock, irql);
    Cancelled(irp);
}

NTSTATUS QueueInsert(PIRP irp) {
    KIRQL irql;

    KeAcquireSpinLock(&queue.lock, &irql);
    IoSetCancelRoutine(irp, OnCancel);
    if (irp->Cancel && IoSetCancelRoutine(irp, NULL) != NULL) {
        KeReleaseSpinLock(&queue.lock, irql);
        return STATUS_CANCELLED; /* before anybody could take it: the caller's to complete */
    }
    IoMarkIrpPending(irp);
    InsertTailList(&queue.waiting, &irp->Tail.Overlay.ListEntry);
    KeReleaseSpinLock(&queue.lock, irql);
    return STATUS_PENDING;
}

/* Unlinks an entry; FALSE when its cancel routine runs, which then unlinks it from itself and completes it. */
static BOOLEAN Own(PIRP irp) {
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    if (IoSetCancelRoutine(irp, NULL) != NULL)
        return TRUE;
    InitializeListHead(&irp->Tail.Overlay.ListEntry);
    return FALSE;
}

PIRP QueueTake(VOID) {
    PIRP found = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&queue.lock, &irql);
    while (found == NULL && !IsListEmpty(&queue.waiting)) {
        PIRP irp = CONTAINING_RECORD(queue.waiting.Flink, IRP, Tail.Overlay.ListEntry);

        if (Own(irp))
            found = irp;
    }
    KeReleaseSpinLock(&queue.lock, irql);
    return found;
}

/* Every waiting read of one file, or of all files. */
VOID QueueCancel(PFILE_OBJECT file) {
    LIST_ENTRY victims, *at, *next;
    KIRQL irql;

    InitializeListHead(&victims);
    KeAcquireSpinLock(&queue.lock, &irql);
    for (at = queue.waiting.Flink; at != &queue.waiting; at = next) {
        PIRP irp = CONTAINING_RECORD(at, IRP, Tail.Overlay.ListEntry);

        next = at->Flink;
        if ((file == NULL || IoGetCurrentIrpStackLocation(irp)->FileObject == file) && Own(irp))
            InsertTailList(&victims, at);
    }
    KeReleaseSpinLock(&queue.lock, irql);
    while (!IsListEmpty(&victims)) {
        at = RemoveHeadList(&victims);
        Cancelled(CONTAINING_RECORD(at, IRP, Tail.Overlay.ListEntry));
    }
}

BOOLEAN QueueWaiting(VOID) { return !IsListEmpty(&queue.waiting); }
