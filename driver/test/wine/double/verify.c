/*
 * The rules of a real kernel, checked as far as a process can: the IRQL of each
 * call, no paged code above APC_LEVEL (the driver's PAGE sections are made
 * inaccessible), no call-out with a spin lock held, no wait at DISPATCH_LEVEL, and
 * a pool that knows its owner, its tag and its bounds. Page protection is the
 * process's, so while verifying one thread at a time runs driver code.
 */
#include "double.h"

#include <ntimage.h>

#define MAX_VIOLATIONS 64u

volatile LONG violations;
volatile LONG pool_live;
volatile LONG64 pool_bytes;
BOOLEAN leaving;
static char violation_text[MAX_VIOLATIONS][160];
static BOOLEAN verifying;
static char *image; /* the driver's image, once it has called */
static ULONG gate_owner, gate_depth;
static volatile LONG gate;

BOOLEAN Verifying(void) { return verifying; }

const char *ViolationText(ULONG n) { return n < MAX_VIOLATIONS ? violation_text[n] : ""; }

void Violation(const char *what, const char *where) {
    LONG n = InterlockedIncrement(&violations) - 1;
    ULONG at = 0;
    char *out;

    DbgPrint("violation: %s in %s\n", what, where);
    if (n >= (LONG)MAX_VIOLATIONS)
        return;
    out = violation_text[n];
    for (; *what != 0 && at < 100; what++)
        out[at++] = *what;
    out[at++] = ':';
    out[at++] = ' ';
    for (; *where != 0 && at < 158; where++)
        out[at++] = *where;
    out[at] = 0;
}

void RequireIrql(ULONG most, const char *where) {
    Boot();
    if (Context()->irql > most)
        Violation("called above its IRQL", where);
}

/* One thread of the driver at a time while verifying; the owner may enter again. */
void GateEnter(void) {
    ULONG me = GetCurrentThreadId();

    if (!verifying)
        return;
    if (gate_owner == me) {
        gate_depth++;
        return;
    }
    while (InterlockedExchange(&gate, 1) != 0)
        Sleep(0);
    gate_owner = me;
    gate_depth = 1;
}

void GateLeave(void) {
    if (!verifying || gate_owner != GetCurrentThreadId() || --gate_depth != 0)
        return;
    gate_owner = 0;
    InterlockedExchange(&gate, 0);
}

static void ProtectPaged(ULONG protection) {
    IMAGE_NT_HEADERS64 *nt;
    IMAGE_SECTION_HEADER *section;
    ULONG i, old;

    if (!verifying || image == NULL)
        return;
    nt = (IMAGE_NT_HEADERS64 *)(image + ((IMAGE_DOS_HEADER *)image)->e_lfanew);
    section = IMAGE_FIRST_SECTION(nt);
    for (i = 0; i < nt->FileHeader.NumberOfSections; i++, section++)
        if (section->Name[0] == 'P' && section->Name[1] == 'A' && section->Name[2] == 'G' && section->Name[3] == 'E')
            VirtualProtect(image + section->VirtualAddress, section->Misc.VirtualSize, protection, &old);
}

/* The paged part of the driver goes away above APC_LEVEL and comes back below. */
static void SetIrql(ULONG irql) {
    DOUBLE_CONTEXT *me = Context();
    ULONG old = me->irql;

    me->irql = irql;
    if (old < DISPATCH_LEVEL && irql >= DISPATCH_LEVEL)
        ProtectPaged(PAGE_NOACCESS);
    if (old >= DISPATCH_LEVEL && irql < DISPATCH_LEVEL)
        ProtectPaged(PAGE_EXECUTE_READ);
}

void RaiseTo(ULONG irql) { SetIrql(irql); }

/* A fault in the driver's paged code: it is told, and the code is let run on. */
static LONG NTAPI OnFault(PVOID pointers) {
    EXCEPTION_POINTERS *at = pointers;
    char *where = (char *)at->ContextRecord->Rip;
    IMAGE_NT_HEADERS64 *nt;

    if (at->ExceptionRecord->ExceptionCode != (NTSTATUS)STATUS_ACCESS_VIOLATION || image == NULL)
        return 0;
    nt = (IMAGE_NT_HEADERS64 *)(image + ((IMAGE_DOS_HEADER *)image)->e_lfanew);
    if (where < image || where >= image + nt->OptionalHeader.SizeOfImage)
        return 0;
    if (Context()->irql < DISPATCH_LEVEL) {
        /* Wine's dispatch is not behind the gate: paged code is away for another thread's sake, and comes back. */
        if (at->ExceptionRecord->ExceptionInformation[0] != 8)
            return 0;
        Sleep(0);
        return -1;
    }
    Violation("paged code or data at DISPATCH_LEVEL", "PAGE");
    ProtectPaged(PAGE_EXECUTE_READ);
    return -1;
}

void VerifyStart(void) {
    ULONG on = 0, size = sizeof on;

    RegGetValueA((HANDLE)(LONG_PTR)(LONG)0x80000002, "Software\\AssayDouble", "Verify", 0x18, NULL, &on, &size);
    verifying = on != 0;
    if (verifying)
        AddVectoredExceptionHandler(1, OnFault);
}

static void KnowImage(PVOID pc) {
    PVOID module = NULL;

    if (image == NULL && GetModuleHandleExA(6, pc, &module))
        image = module;
}

/* Spin locks */

#define HELD_MOST (10 * 10000000ll) /* longer than any machine keeps a thread from running */

/* Waits for a lock that another thread holds; one that is never given back is told of, and taken away. */
static void Spin(PKSPIN_LOCK lock) {
    LARGE_INTEGER start, now;
    ULONG64 holder;

    GetSystemTimeAsFileTime(&start);
    while ((holder = (ULONG64)InterlockedCompareExchange64((LONG64 *)lock, GetCurrentThreadId(), 0)) != 0) {
        Sleep(0);
        GetSystemTimeAsFileTime(&now);
        if (now.QuadPart - start.QuadPart > HELD_MOST) {
            Violation("spin lock never given back", "KeAcquireSpinLockRaiseToDpc");
            InterlockedCompareExchange64((LONG64 *)lock, 0, (LONG64)holder);
        }
    }
}

EXPORT KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock) {
    ULONG old;

    Boot();
    KnowImage(__builtin_return_address(0));
    old = Context()->irql;
    if (old > DISPATCH_LEVEL)
        Violation("spin lock above DISPATCH_LEVEL", "KeAcquireSpinLockRaiseToDpc");
    if (*lock == GetCurrentThreadId()) { /* for ever, on a real kernel */
        Violation("spin lock taken twice by one thread", "KeAcquireSpinLockRaiseToDpc");
        return (KIRQL)old;
    }
    Spin(lock);
    Context()->locks++;
    if (verifying && Context()->locks > 1)
        Violation("two spin locks held at once", "KeAcquireSpinLockRaiseToDpc");
    SetIrql(DISPATCH_LEVEL);
    return (KIRQL)old;
}

EXPORT VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL irql) {
    if (*lock != GetCurrentThreadId())
        Violation("spin lock released by another", "KeReleaseSpinLock");
    Context()->locks--;
    InterlockedExchange64((LONG64 *)lock, 0);
    SetIrql(irql);
}

/*
 * Pool: what is allocated is known, so that what is freed must be; guards stand
 * before and after it. What was freed is kept for a while, filled, and looked at.
 */

#define GUARD 0x5AFEB10C5AFEB10Cull
#define TAIL_BYTES 64u
#define MAX_LIVE 16384u /* a name of each process in the driver's table is among them */
#define KEPT 32u
#define KEPT_BYTES (64u << 10) /* larger ones are given back at once */
#define FREED 0xDD
struct pool {
    ULONG64 guard;
    SIZE_T bytes;
    ULONG tag;
    ULONG pad;
    ULONG64 guard2;
};
static struct pool *live[MAX_LIVE], *kept[KEPT];
static ULONG kept_next;
static volatile LONG pool_lock;

static BOOLEAN LiveSwap(struct pool *from, struct pool *to) {
    BOOLEAN found = FALSE;
    ULONG i;

    while (InterlockedExchange(&pool_lock, 1) != 0)
        Sleep(0);
    for (i = 0; i < MAX_LIVE && !found; i++)
        if (live[i] == from) {
            live[i] = to;
            found = TRUE;
        }
    InterlockedExchange(&pool_lock, 0);
    return found;
}

static BOOLEAN Filled(const UCHAR *at, SIZE_T bytes, UCHAR with) {
    while (bytes != 0 && *at == with) {
        at++;
        bytes--;
    }
    return bytes == 0;
}

static void Release(struct pool *p) {
    if (p == NULL)
        return;
    if (!Filled((UCHAR *)(p + 1), p->bytes, FREED))
        Violation("written after it was freed", "ExFreePoolWithTag");
    HeapFree(GetProcessHeap(), 0, p);
}

/* The last word on what is still kept. */
void KeptCheck(void) {
    ULONG i;

    for (i = 0; i < KEPT; i++)
        if (kept[i] != NULL && !Filled((UCHAR *)(kept[i] + 1), kept[i]->bytes, FREED))
            Violation("written after it was freed", "ExFreePoolWithTag");
}

/* The oldest that is kept makes room for this one. */
static void Keep(struct pool *p) {
    struct pool *oldest;

    if (p->bytes > KEPT_BYTES) {
        HeapFree(GetProcessHeap(), 0, p);
        return;
    }
    while (InterlockedExchange(&pool_lock, 1) != 0)
        Sleep(0);
    oldest = kept[kept_next % KEPT];
    kept[kept_next++ % KEPT] = p;
    InterlockedExchange(&pool_lock, 0);
    Release(oldest);
}

static PVOID PoolTake(SIZE_T bytes, ULONG tag, BOOLEAN zero, const char *where) {
    struct pool *p;
    NTSTATUS status;

    if (Context()->irql > DISPATCH_LEVEL)
        Violation("pool above DISPATCH_LEVEL", where);
    if (tag == 0)
        Violation("pool without a tag", where);
    if (Fail(Context()->worker ? "pool of the worker" : where, &status)) /* what a start goes on without */
        return NULL;
    p = HeapAlloc(GetProcessHeap(), 8, sizeof *p + bytes + TAIL_BYTES);
    if (p == NULL)
        return NULL;
    p->guard = p->guard2 = GUARD;
    p->bytes = bytes;
    p->tag = tag;
    if (!zero)
        RtlFillMemory(p + 1, bytes, 0xA5);
    RtlFillMemory((char *)(p + 1) + bytes, TAIL_BYTES, 0x5A);
    if (!LiveSwap(NULL, p))
        Violation("more allocations than the double knows", where);
    InterlockedIncrement(&pool_live);
    InterlockedExchangeAdd64(&pool_bytes, (LONG64)bytes);
    return p + 1;
}

EXPORT PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag) {
    Boot();
    if (type == PagedPool && Context()->irql > APC_LEVEL)
        Violation("paged pool above APC_LEVEL", "ExAllocatePoolWithTag");
    if (type != NonPagedPoolNx)
        Violation("pool that is not NonPagedPoolNx", "ExAllocatePoolWithTag");
    return PoolTake(bytes, tag, FALSE, "ExAllocatePoolWithTag");
}

PVOID NTAPI DoubleAllocatePool2(ULONG64 flags, SIZE_T bytes, ULONG tag) {
    if (flags != NT_POOL_FLAG_NON_PAGED)
        Violation("pool that is not non-paged", "ExAllocatePool2");
    return PoolTake(bytes, tag, TRUE, "ExAllocatePool2");
}

EXPORT VOID NTAPI ExFreePoolWithTag(PVOID memory, ULONG tag) {
    struct pool *p = (struct pool *)memory - 1;

    if (Context()->irql > DISPATCH_LEVEL)
        Violation("pool above DISPATCH_LEVEL", "ExFreePoolWithTag");
    if (!LiveSwap(p, NULL)) {
        Violation("freed twice, or never allocated", "ExFreePoolWithTag");
        if (leaving)
            Leave();
        return;
    }
    if (p->guard != GUARD || p->guard2 != GUARD)
        Violation("written before its start", "ExFreePoolWithTag");
    if (!Filled((UCHAR *)memory + p->bytes, TAIL_BYTES, 0x5A))
        Violation("written past its end", "ExFreePoolWithTag");
    if (tag != 0 && p->tag != tag)
        Violation("freed with another tag", "ExFreePoolWithTag");
    InterlockedDecrement(&pool_live);
    InterlockedExchangeAdd64(&pool_bytes, -(LONG64)p->bytes);
    RtlFillMemory(memory, p->bytes, FREED);
    Keep(p);
    if (leaving)
        Leave();
}

/* What the system allocates for the driver to free. */
PVOID PoolForDriver(SIZE_T bytes) {
    return PoolTake(bytes, 0x656C6244, TRUE, "system");
}

EXPORT VOID NTAPI ExFreePool(PVOID memory) { ExFreePoolWithTag(memory, 0); }

/* Waiting: the gate is open for others meanwhile. */

EXPORT NTSTATUS NTAPI KeWaitForSingleObject(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                                            PLARGE_INTEGER timeout) {
    static NTSTATUS(NTAPI * real)(PVOID, KWAIT_REASON, KPROCESSOR_MODE, BOOLEAN, PLARGE_INTEGER);
    NTSTATUS status;

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "KeWaitForSingleObject");
    if (Context()->irql >= DISPATCH_LEVEL && !(timeout != NULL && timeout->QuadPart == 0))
        Violation("waiting at DISPATCH_LEVEL", "KeWaitForSingleObject");
    if (Context()->callback && !(timeout != NULL && timeout->QuadPart == 0))
        Violation("a callback that waits", "KeWaitForSingleObject");
    if (Context()->locks != 0)
        Violation("waiting with a spin lock held", "KeWaitForSingleObject");
    GateLeave();
    status = real(object, reason, mode, alertable, timeout);
    GateEnter();
    return status;
}

EXPORT NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE handle, BOOLEAN alertable, PLARGE_INTEGER timeout) {
    static NTSTATUS(NTAPI * real)(HANDLE, BOOLEAN, PLARGE_INTEGER);
    NTSTATUS status;

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "ZwWaitForSingleObject");
    if (Context()->irql > PASSIVE_LEVEL || Context()->callback)
        Violation("waiting where none may", "ZwWaitForSingleObject");
    GateLeave();
    status = real(handle, alertable, timeout);
    GateEnter();
    return status;
}
