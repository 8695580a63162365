/*
 * Processes by number. A process number is reused, so a record names a process by
 * its number and when it was created; this table knows the second. Open addressing
 * in memory taken at load; a full table forgets nobody and learns nobody, and an
 * actor who is not in it is recorded without a creation time.
 */
#include "driver.h"

#define TABLE_SLOTS 16384u /* a power of two */
#define TABLE_PROBES 64u   /* most steps per search, so that time under the lock is bounded */

static struct {
    KSPIN_LOCK lock;
    PROCESS *slot; /* pid 0: free; pid 1: freed, searched past (numbers are multiples of 4) */
    volatile LONG agent;
} table;

#define FREE 0u
#define FREED 1u

static ULONG Hash(ULONG pid) { return (pid >> 2) * 2654435761u >> 18; }

NTSTATUS INITIAL TableStart(VOID) {
    KeInitializeSpinLock(&table.lock);
    table.slot = MemoryAllocate(TABLE_SLOTS * sizeof *table.slot);
    return table.slot == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID PAGED TableStop(VOID) {
    MemoryFree(table.slot);
    table.slot = NULL;
}

static PROCESS *Search(ULONG pid) {
    ULONG at = Hash(pid), i;

    for (i = 0; i < TABLE_PROBES; i++, at++) {
        PROCESS *p = &table.slot[at & (TABLE_SLOTS - 1)];

        if (p->pid == pid)
            return p;
        if (p->pid == FREE)
            return NULL;
    }
    return NULL;
}

VOID TableAdd(const PROCESS *process) {
    ULONG at = Hash(process->pid), i;
    PROCESS *known;
    KIRQL irql;

    if (process->pid <= FREED)
        return;
    KeAcquireSpinLock(&table.lock, &irql);
    known = Search(process->pid);
    for (i = 0; known == NULL && i < TABLE_PROBES; i++, at++) {
        PROCESS *p = &table.slot[at & (TABLE_SLOTS - 1)];

        if (p->pid <= FREED)
            known = p;
    }
    if (known != NULL)
        *known = *process;
    KeReleaseSpinLock(&table.lock, irql);
}

BOOLEAN TableFind(ULONG pid, PROCESS *out) {
    PROCESS *known = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL)
        *out = *known;
    KeReleaseSpinLock(&table.lock, irql);
    return known != NULL;
}

ULONG64 TableCreated(ULONG pid) {
    PROCESS process;

    return TableFind(pid, &process) ? (ULONG64)process.created : 0;
}

BOOLEAN TableRemove(ULONG pid, PROCESS *out) {
    PROCESS *known = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL) {
        *out = *known;
        known->pid = FREED;
    }
    KeReleaseSpinLock(&table.lock, irql);
    return known != NULL;
}

BOOLEAN TableTakeNew(ULONG pid) {
    PROCESS *known = NULL;
    BOOLEAN first = FALSE;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL) {
        first = (known->flags & PROCESS_NEW) != 0;
        known->flags &= ~PROCESS_NEW;
    }
    KeReleaseSpinLock(&table.lock, irql);
    return first;
}

/* The process that reads from us; 0 when none does. */
VOID AgentSet(ULONG pid) { InterlockedExchange(&table.agent, (LONG)pid); }
ULONG AgentPid(VOID) { return (ULONG)table.agent; }
BOOLEAN ActorIsAgent(VOID) {
    ULONG agent = AgentPid();

    return agent != 0 && (ULONG)(ULONG_PTR)PsGetCurrentProcessId() == agent;
}
