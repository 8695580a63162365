/*
 * Threads that one process makes in another. The first thread of a new process is
 * its creator's and no such thing; the process table knows which is the first.
 */
#include "driver.h"

#define SYSTEM_PID 4u

static VOID NTAPI PAGED OnThread(HANDLE pid, HANDLE tid, BOOLEAN created) {
    ULONG target = (ULONG)(ULONG_PTR)pid;
    PROCESS process = {0, 0, 0};
    EVENT event;

    if (!created || TableTakeNew(target))
        return;
    EventActor(&event, EVENT_THREAD_REMOTE);
    if (event.pid == target || event.pid == SYSTEM_PID || ActorIsAgent())
        return;
    TableFind(target, &process);
    event.number[0] = target;
    event.number[1] = (ULONG64)process.created;
    event.number[2] = (ULONG_PTR)tid;
    Record(&event);
}

static NTSTATUS INITIAL Start(VOID) { return PsSetCreateThreadNotifyRoutine(OnThread); }
static VOID PAGED Stop(VOID) { PsRemoveCreateThreadNotifyRoutine(OnThread); }

const SOURCE thread_source = {"thread", Start, Stop};
