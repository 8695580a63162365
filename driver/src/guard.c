/*
 * Where the boot guard's count is kept. The core says what it means: each start is
 * counted here before anything is hooked, and forgotten after five healthy minutes
 * or an orderly stop. Passive, the device answers and nothing is recorded, so that a
 * fault of ours cannot keep a machine from starting.
 */
#include "driver.h"

#define PATH_CHARS 260u

static struct {
    struct core_guard is;
    WCHAR path[PATH_CHARS];
    UNICODE_STRING key;
    volatile LONG busy; /* one word of health at a time */
} guard;

ULONG Passive(VOID) { return guard.is.why != ASSAY_WHY_NONE; }
ULONG GuardStarts(VOID) { return guard.is.starts; }
ULONG GuardWhy(VOID) { return guard.is.why; }

static NTSTATUS PAGED Open(HANDLE *key) {
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, &guard.key, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenKey(key, KEY_QUERY_VALUE | KEY_SET_VALUE, &attributes);
}

/* A count that is not there is 0; one that is there and makes no sense cannot guard. */
static NTSTATUS PAGED Get(HANDLE key, PUNICODE_STRING name, ULONG *starts) {
    union {
        KEY_VALUE_PARTIAL_INFORMATION value;
        UCHAR room[sizeof(KEY_VALUE_PARTIAL_INFORMATION) + sizeof(ULONG)];
    } got;
    NTSTATUS status;
    ULONG bytes;

    *starts = 0;
    status = ZwQueryValueKey(key, name, KeyValuePartialInformation, &got, sizeof got, &bytes);
    if (status == STATUS_OBJECT_NAME_NOT_FOUND)
        return STATUS_SUCCESS;
    if (NT_SUCCESS(status) && (got.value.Type != REG_DWORD || got.value.DataLength != sizeof *starts))
        return STATUS_OBJECT_TYPE_MISMATCH;
    if (NT_SUCCESS(status))
        RtlCopyMemory(starts, got.value.Data, sizeof *starts);
    return status;
}

static NTSTATUS PAGED Set(HANDLE key, PUNICODE_STRING name, ULONG starts) {
    NTSTATUS status = ZwSetValueKey(key, name, 0, REG_DWORD, &starts, sizeof starts);

    /* A crash must not lose the count that it is about. */
    return NT_SUCCESS(status) ? ZwFlushKey(key) : status;
}

VOID PAGED GuardStart(PCUNICODE_STRING registry_path) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Starts");
    ULONG stored = 0, starts;
    BOOLEAN readable;
    HANDLE key = NULL;

    if (registry_path->Length < sizeof guard.path) {
        RtlCopyMemory(guard.path, registry_path->Buffer, registry_path->Length);
        guard.key.Buffer = guard.path;
        guard.key.Length = registry_path->Length;
        guard.key.MaximumLength = sizeof guard.path;
        if (!NT_SUCCESS(Open(&key)))
            key = NULL;
    }
    readable = key != NULL && NT_SUCCESS(Get(key, &name, &stored));
    starts = core_guard_start(&guard.is, readable, stored);
    if (readable && starts != stored && !NT_SUCCESS(Set(key, &name, starts)))
        core_guard_unwritten(&guard.is);
    if (key != NULL)
        ZwClose(key);
}

static BOOLEAN PAGED Forget(VOID) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Starts");
    NTSTATUS status;
    HANDLE key;

    if (!NT_SUCCESS(Open(&key)))
        return FALSE;
    status = Set(key, &name, 0);
    ZwClose(key);
    return NT_SUCCESS(status);
}

VOID PAGED GuardHealthy(VOID) {
    if (InterlockedExchange(&guard.busy, 1) != 0)
        return;
    if (core_guard_healthy(&guard.is, InterruptTime()) && !Forget())
        guard.is.cleared = 0; /* with the next word */
    InterlockedExchange(&guard.busy, 0);
}

VOID PAGED GuardStop(VOID) { Forget(); }
