/*
 * Processes by number. A process number is reused, so a record names a process by
 * its number and when it was created; this table knows the second, and the image.
 * Open addressing in memory taken at load; a full table forgets nobody and learns
 * nobody, and an actor who is not in it is recorded without either. An image's name
 * is taken when its process is added, and lives until its last user lets it go: a
 * record may be written from it while the process ends.
 */
#include "driver.h"

#define TABLE_SLOTS 16384u /* a power of two */
#define TABLE_PROBES 64u   /* most steps per search, so that time under the lock is bounded */

#define IMAGE_MOST 1024u /* bytes of a name that are kept; what is longer says so */

typedef struct {
    PROCESS is;
    IMAGE *image; /* NULL unknown */
} SLOT;

static struct {
    KSPIN_LOCK lock;
    SLOT *slot; /* pid 0: free; pid 1: freed, searched past (numbers are multiples of 4) */
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

VOID ImageRelease(IMAGE *image) {
    if (image != NULL && InterlockedDecrement(&image->holders) == 0)
        MemoryFree(image);
}

VOID PAGED TableStop(VOID) {
    ULONG i;

    for (i = 0; table.slot != NULL && i < TABLE_SLOTS; i++)
        ImageRelease(table.slot[i].image);
    MemoryFree(table.slot);
    table.slot = NULL;
}

static SLOT *Search(ULONG pid) {
    ULONG at = Hash(pid), i;

    for (i = 0; i < TABLE_PROBES; i++, at++) {
        SLOT *p = &table.slot[at & (TABLE_SLOTS - 1)];

        if (p->is.pid == pid)
            return p;
        if (p->is.pid == FREE)
            return NULL;
    }
    return NULL;
}

static IMAGE *PAGED Named(struct core_text name) {
    ULONG bytes = name.size < IMAGE_MOST ? name.size : IMAGE_MOST;
    IMAGE *image = name.at == NULL ? NULL : MemoryAllocate(sizeof *image + bytes);

    if (image == NULL)
        return NULL;
    image->holders = 1;
    image->name.at = image + 1;
    image->name.size = bytes;
    image->name.whole = name.size;
    RtlCopyMemory(image + 1, name.at, bytes);
    return image;
}

/* Puts a process and its image in; what is left of image is to be let go. */
static IMAGE *RESIDENT Put(const PROCESS *process, IMAGE *image) {
    ULONG at = Hash(process->pid), i;
    IMAGE *left = image;
    SLOT *known;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    known = Search(process->pid);
    for (i = 0; known == NULL && i < TABLE_PROBES; i++, at++) {
        SLOT *p = &table.slot[at & (TABLE_SLOTS - 1)];

        if (p->is.pid <= FREED)
            known = p;
    }
    if (known != NULL) {
        left = known->image;
        known->is = *process;
        known->image = image;
    }
    KeReleaseSpinLock(&table.lock, irql);
    return left;
}

VOID PAGED TableAdd(const PROCESS *process, struct core_text image) {
    if (process->pid > FREED)
        ImageRelease(Put(process, Named(image)));
}

BOOLEAN TableFind(ULONG pid, PROCESS *out) {
    SLOT *known = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL)
        *out = known->is;
    KeReleaseSpinLock(&table.lock, irql);
    return known != NULL;
}

IMAGE *TableImage(ULONG pid) {
    SLOT *known = NULL;
    IMAGE *image = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL && known->image != NULL) {
        image = known->image;
        InterlockedIncrement(&image->holders); /* the table holds it as well, for as long as the lock is held */
    }
    KeReleaseSpinLock(&table.lock, irql);
    return image;
}

ULONG64 TableCreated(ULONG pid) {
    PROCESS process;

    return TableFind(pid, &process) ? (ULONG64)process.created : 0;
}

BOOLEAN TableRemove(ULONG pid, PROCESS *out) {
    SLOT *known = NULL;
    IMAGE *image = NULL;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL) {
        *out = known->is;
        image = known->image;
        known->image = NULL;
        known->is.pid = FREED;
    }
    KeReleaseSpinLock(&table.lock, irql);
    ImageRelease(image);
    return known != NULL;
}

BOOLEAN TableTakeNew(ULONG pid) {
    SLOT *known = NULL;
    BOOLEAN first = FALSE;
    KIRQL irql;

    KeAcquireSpinLock(&table.lock, &irql);
    if (pid > FREED)
        known = Search(pid);
    if (known != NULL) {
        first = (known->is.flags & PROCESS_NEW) != 0;
        known->is.flags &= ~PROCESS_NEW;
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
