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

EXPORT KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock) {
    ULONG old;

    Boot();
    KnowImage(__builtin_return_address(0));
    old = Context()->irql;
    if (old > DISPATCH_LEVEL)
        Violation("spin lock above DISPATCH_LEVEL", "KeAcquireSpinLockRaiseToDpc");
    if (verifying && *lock == GetCurrentThreadId())
        Violation("spin lock taken twice by one thread", "KeAcquireSpinLockRaiseToDpc");
    while (InterlockedCompareExchange64((LONG64 *)lock, GetCurrentThreadId(), 0) != 0)
        Sleep(0);
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

/* Pool: size, tag and guards before and after what the driver gets. */

#define GUARD 0x5AFEB10C5AFEB10Cull
struct pool {
    ULONG64 guard;
    SIZE_T bytes;
    ULONG tag;
    ULONG pad;
    ULONG64 guard2;
};

static PVOID PoolTake(SIZE_T bytes, ULONG tag, BOOLEAN zero, const char *where) {
    struct pool *p;
    NTSTATUS status;
    ULONG64 guard = GUARD;

    if (Context()->irql > DISPATCH_LEVEL)
        Violation("pool above DISPATCH_LEVEL", where);
    if (tag == 0)
        Violation("pool without a tag", where);
    if (Fail(where, &status))
        return NULL;
    p = HeapAlloc(GetProcessHeap(), 8, sizeof *p + bytes + sizeof guard);
    if (p == NULL)
        return NULL;
    p->guard = p->guard2 = GUARD;
    p->bytes = bytes;
    p->tag = tag;
    if (!zero)
        RtlFillMemory(p + 1, bytes, 0xA5);
    RtlCopyMemory((char *)(p + 1) + bytes, &guard, sizeof guard);
    InterlockedIncrement(&pool_live);
    InterlockedExchangeAdd64(&pool_bytes, (LONG64)bytes);
    return p + 1;
}

EXPORT PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T bytes, ULONG tag) {
    Boot();
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
    ULONG64 guard;

    if (Context()->irql > DISPATCH_LEVEL)
        Violation("pool above DISPATCH_LEVEL", "ExFreePoolWithTag");
    if (p->guard != GUARD || p->guard2 != GUARD) {
        Violation("freed twice, never allocated, or written before its start", "ExFreePoolWithTag");
        return;
    }
    RtlCopyMemory(&guard, (char *)memory + p->bytes, sizeof guard);
    if (guard != GUARD)
        Violation("written past its end", "ExFreePoolWithTag");
    if (tag != 0 && p->tag != tag)
        Violation("freed with another tag", "ExFreePoolWithTag");
    InterlockedDecrement(&pool_live);
    InterlockedExchangeAdd64(&pool_bytes, -(LONG64)p->bytes);
    p->guard = 0;
    RtlFillMemory(memory, p->bytes, 0xDD);
    HeapFree(GetProcessHeap(), 0, p);
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
    if (Context()->locks != 0)
        Violation("waiting with a spin lock held", "KeWaitForSingleObject");
    GateLeave();
    status = real(object, reason, mode, alertable, timeout);
    GateEnter();
    return status;
}

VOID Complete(PIRP irp, CCHAR boost) {
    static VOID(NTAPI * real)(PIRP, CCHAR);

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoCompleteRequest");
    real(irp, boost);
}

EXPORT VOID NTAPI IofCompleteRequest(PIRP irp, CCHAR boost) {
    if (Context()->locks != 0)
        Violation("request completed with a spin lock held", "IofCompleteRequest");
    Complete(irp, boost);
}
