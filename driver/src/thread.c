/*
 * Threads that one process makes in another. The first thread of a new process is
 * its creator's and no such thing; the process table knows which is the first.
 */
#include "driver.h"

#define SYSTEM_PID 4u

static VOID NTAPI PAGED OnThread(HANDLE pid, HANDLE tid, BOOLEAN created) {
    ULONG target = (ULONG)(ULONG_PTR)pid;
    EVENT event;

    if (!created || TableTakeNew(target))
        return;
    EventActor(&event, ASSAY_THREAD_REMOTE);
    if (event.told.pid == target || event.told.pid == SYSTEM_PID || ActorIsAgent())
        return;
    event.body.thread.target_pid = target;
    event.body.thread.target_created = TableCreated(target);
    event.body.thread.target_tid = (ULONG)(ULONG_PTR)tid;
    Record(&event);
}

static NTSTATUS INITIAL Start(VOID) { return PsSetCreateThreadNotifyRoutine(OnThread); }
static VOID PAGED Stop(VOID) { PsRemoveCreateThreadNotifyRoutine(OnThread); }

const SOURCE thread_source = {"thread", Start, Stop};
