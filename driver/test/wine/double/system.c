/* The rest: security of the device, routines by name, the system's clock, threads. */
#include "double.h"

static UCHAR security[512];
static ULONG security_bytes;

PVOID NTAPI DoubleAllocatePool2(ULONG64 flags, SIZE_T bytes, ULONG tag);
NTSTATUS NTAPI DoubleProcessExitStatus(PEPROCESS process);

ULONG SecurityCopy(PVOID out, ULONG room) {
    ULONG n = security_bytes < room ? security_bytes : room;

    RtlCopyMemory(out, security, n);
    return n;
}

#define DEVICE_HANDLE ((HANDLE)(ULONG_PTR)0x8DE51CE0)

EXPORT NTSTATUS NTAPI ObOpenObjectByPointer(PVOID object, ULONG attributes, PACCESS_STATE state, ACCESS_MASK access,
                                            POBJECT_TYPE type, KPROCESSOR_MODE mode, PHANDLE out) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "ObOpenObjectByPointer");
    if (Fail(access == TOKEN_QUERY ? "ObOpenObjectByPointer of a token" : "ObOpenObjectByPointer", &status))
        return status;
    if ((attributes & OBJ_KERNEL_HANDLE) == 0 || mode != KernelMode || state != NULL || type != NULL ||
        (access != WRITE_DAC && access != TOKEN_QUERY))
        return STATUS_INVALID_PARAMETER;
    InterlockedIncrement(&contexts);
    *out = access == TOKEN_QUERY ? TokenHandle(object) : DEVICE_HANDLE;
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI ZwClose(HANDLE handle) {
    static NTSTATUS(NTAPI * real)(HANDLE);

    RequireIrql(PASSIVE_LEVEL, "ZwClose");
    if (handle == DEVICE_HANDLE || IsTokenHandle(handle)) {
        InterlockedDecrement(&contexts);
        return STATUS_SUCCESS;
    }
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "ZwClose");
    return real(handle);
}

/* Keeps the discretionary list as it was set, for a scenario to read. */
EXPORT NTSTATUS NTAPI ZwSetSecurityObject(HANDLE handle, SECURITY_INFORMATION which, PSECURITY_DESCRIPTOR given) {
    SECURITY_DESCRIPTOR *descriptor = given;
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "ZwSetSecurityObject");
    if (Fail("ZwSetSecurityObject", &status))
        return status;
    if (handle != DEVICE_HANDLE || (which & DACL_SECURITY_INFORMATION) == 0 || descriptor->Dacl == NULL)
        return STATUS_INVALID_PARAMETER;
    security_bytes = descriptor->Dacl->AclSize;
    if (security_bytes > sizeof security)
        return STATUS_BUFFER_OVERFLOW;
    RtlCopyMemory(security, descriptor->Dacl, security_bytes);
    return STATUS_SUCCESS;
}

static BOOLEAN Is(PUNICODE_STRING name, const WCHAR *other) {
    ULONG i;

    for (i = 0; i < name->Length / sizeof(WCHAR); i++)
        if (name->Buffer[i] != other[i])
            return FALSE;
    return other[i] == 0;
}

/* What a newer Windows has; HKLM\Software\AssayDouble, Old=1 makes it an older one. */
EXPORT PVOID NTAPI MmGetSystemRoutineAddress(PUNICODE_STRING name) {
    ULONG old = 0, size = sizeof old;
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "MmGetSystemRoutineAddress");
    if (Fail("MmGetSystemRoutineAddress", &status))
        return NULL;
    RegGetValueA((HANDLE)(LONG_PTR)(LONG)0x80000002, "Software\\AssayDouble", "Old", 0x18, NULL, &old, &size);
    if (old != 0)
        return NULL;
    if (Is(name, L"ExAllocatePool2"))
        return (PVOID)DoubleAllocatePool2;
    if (Is(name, L"PsGetProcessExitStatus"))
        return (PVOID)DoubleProcessExitStatus;
    return NULL;
}

/* Since this double was loaded, and what a scenario has added to it. */
static volatile LONG64 skipped;
void ClockSkip(LONG64 ticks) { InterlockedExchangeAdd64(&skipped, ticks); }
LONG64 ClockSkipped(void) { return skipped; }
EXPORT ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 counter) {
    static LARGE_INTEGER start;
    LARGE_INTEGER now;

    RequireIrql(HIGH_LEVEL, "KeQueryInterruptTimePrecise");
    GetSystemTimeAsFileTime(&now);
    InterlockedCompareExchange64(&start.QuadPart, now.QuadPart - 1, 0);
    *counter = (ULONG64)now.QuadPart;
    return (ULONG64)(now.QuadPart - start.QuadPart + skipped);
}

EXPORT VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER now) {
    RequireIrql(HIGH_LEVEL, "KeQuerySystemTimePrecise");
    GetSystemTimeAsFileTime(now);
}

/* The driver's thread runs behind the gate, like everything of the driver while verifying. */
struct thread {
    PKSTART_ROUTINE routine;
    PVOID context;
};
static VOID NTAPI ThreadStart(PVOID argument) {
    struct thread t = *(struct thread *)argument;

    HeapFree(GetProcessHeap(), 0, argument);
    Context()->worker = TRUE;
    GateEnter();
    t.routine(t.context);
    GateLeave();
}
EXPORT NTSTATUS NTAPI PsCreateSystemThread(PHANDLE out, ULONG access, POBJECT_ATTRIBUTES attributes, HANDLE process, PCLIENT_ID id,
                                           PKSTART_ROUTINE routine, PVOID context) {
    static NTSTATUS(NTAPI * real)(PHANDLE, ULONG, POBJECT_ATTRIBUTES, HANDLE, PCLIENT_ID, PKSTART_ROUTINE, PVOID);
    struct thread *t;
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "PsCreateSystemThread");
    if (Fail("PsCreateSystemThread", &status))
        return status;
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "PsCreateSystemThread");
    t = HeapAlloc(GetProcessHeap(), 8, sizeof *t);
    t->routine = routine;
    t->context = context;
    return real(out, access, attributes, process, id, ThreadStart, t);
}
EXPORT NTSTATUS NTAPI PsTerminateSystemThread(NTSTATUS status) {
    static NTSTATUS(NTAPI * real)(NTSTATUS);

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "PsTerminateSystemThread");
    GateLeave();
    return real(status);
}

EXPORT NTSTATUS NTAPI IoCreateDevice(PDRIVER_OBJECT driver, ULONG extension, PUNICODE_STRING name, DEVICE_TYPE type,
                                     ULONG characteristics, BOOLEAN exclusive, PDEVICE_OBJECT *out) {
    static NTSTATUS(NTAPI * real)(PDRIVER_OBJECT, ULONG, PUNICODE_STRING, DEVICE_TYPE, ULONG, BOOLEAN, PDEVICE_OBJECT *);
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "IoCreateDevice");
    if (Fail("IoCreateDevice", &status))
        return status;
    if ((characteristics & FILE_DEVICE_SECURE_OPEN) == 0)
        Violation("device without FILE_DEVICE_SECURE_OPEN", "IoCreateDevice");
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoCreateDevice");
    status = real(driver, extension, name, type, characteristics, exclusive, out);
    if (NT_SUCCESS(status)) {
        InterlockedIncrement(&registered);
        LoadDriver(driver);
    }
    return status;
}
EXPORT VOID NTAPI IoDeleteDevice(PDEVICE_OBJECT device) {
    static VOID(NTAPI * real)(PDEVICE_OBJECT);

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoDeleteDevice");
    real(device);
    RequestsEnd();
    InterlockedDecrement(&registered);
    leaving = TRUE;
    Leave();
}
EXPORT NTSTATUS NTAPI IoCreateSymbolicLink(PUNICODE_STRING link, PUNICODE_STRING target) {
    static NTSTATUS(NTAPI * real)(PUNICODE_STRING, PUNICODE_STRING);
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "IoCreateSymbolicLink");
    if (Fail("IoCreateSymbolicLink", &status))
        return status;
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoCreateSymbolicLink");
    status = real(link, target);
    if (NT_SUCCESS(status)) {
        InterlockedIncrement(&registered);
        RequestsWatch(LoadedDriver()); /* from now on it can be opened */
    }
    return status;
}
EXPORT NTSTATUS NTAPI IoDeleteSymbolicLink(PUNICODE_STRING link) {
    static NTSTATUS(NTAPI * real)(PUNICODE_STRING);

    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "IoDeleteSymbolicLink");
    InterlockedDecrement(&registered);
    return real(link);
}
