/*
 * One question to a disk, which may be sick and never answer: it is given a while, and
 * no longer than the driver runs, and is then asked to give the question back. A disk
 * that does not even do that keeps the memory of the question, so that a late answer
 * goes where nobody looks; the system takes the request off the thread when that ends.
 */
#include "driver.h"

#define WAIT_MS 5000u
#define CANCEL_MS 1000u
#define DEAF_MOST 4 /* questions that were never given back; after these none is asked */

typedef struct {
    KEVENT done;
    IO_STATUS_BLOCK status;
    PDEVICE_OBJECT disk;
    UCHAR answer[DISK_ANSWER_BYTES];
} QUESTION;

static LONG deaf;

/*
 * The request is this thread's, and is freed within it when it is done: with no such
 * completion let in, one that is not done is still there to be cancelled.
 */
static VOID PAGED Cancel(QUESTION *question, PIRP irp) {
    KeEnterGuardedRegion();
    if (KeReadStateEvent(&question->done) == 0)
        IoCancelIrp(irp);
    KeLeaveGuardedRegion();
}

static BOOLEAN PAGED GivenBack(QUESTION *question, PIRP irp) {
    LARGE_INTEGER timeout = {.QuadPart = -(LONG64)CANCEL_MS * 10000};

    if (WorkerWait(&question->done, WAIT_MS))
        return TRUE;
    Cancel(question, irp);
    return KeWaitForSingleObject(&question->done, Executive, KernelMode, FALSE, &timeout) == STATUS_SUCCESS;
}

/* FALSE: the disk has kept the question. */
static BOOLEAN PAGED Put(QUESTION *question, NTSTATUS *said) {
    NT_STORAGE_QUERY query = {0, 0, {0}};
    PIRP irp;

    KeInitializeEvent(&question->done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(NT_IOCTL_STORAGE_QUERY_PROPERTY, question->disk, &query, sizeof query, question->answer,
                                        sizeof question->answer, FALSE, &question->done, &question->status);
    if (irp == NULL)
        return TRUE;
    *said = IoCallDriver(question->disk, irp);
    if (*said != STATUS_PENDING)
        return TRUE;
    if (!GivenBack(question, irp))
        return FALSE;
    *said = question->status.Status;
    return TRUE;
}

/* answer has DISK_ANSWER_BYTES. FALSE when the disk did not answer. */
BOOLEAN PAGED DiskAsk(FLT_VOLUME *volume, PVOID answer) {
    NTSTATUS said = STATUS_INSUFFICIENT_RESOURCES;
    BOOLEAN answered;
    QUESTION *question = deaf < DEAF_MOST ? MemoryAllocate(sizeof *question) : NULL;

    if (question == NULL)
        return FALSE;
    if (NT_SUCCESS(FltGetDiskDeviceObject(volume, &question->disk))) {
        if (!Put(question, &said)) {
            deaf++;
            return FALSE;
        }
        ObDereferenceObject(question->disk);
    }
    answered = NT_SUCCESS(said) || said == STATUS_BUFFER_OVERFLOW;
    if (answered)
        RtlCopyMemory(answer, question->answer, DISK_ANSWER_BYTES);
    MemoryFree(question);
    return answered;
}
