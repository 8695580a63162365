/*
 * The boot guard. Each start is counted in the registry before anything is hooked,
 * and the count is cleared after five healthy minutes or an orderly stop. At three
 * the driver loads passive: the device answers and nothing is recorded, so that a
 * fault of ours cannot keep a machine from starting.
 */
#include "driver.h"

#define STARTS_LIMIT 3u
#define PATH_CHARS 260u

static struct {
    WCHAR path[PATH_CHARS];
    UNICODE_STRING key;
    BOOLEAN passive;
    ULONG starts;
    ULONG why;
} guard;

BOOLEAN Passive(VOID) { return guard.passive; }
ULONG GuardStarts(VOID) { return guard.starts; }
ULONG GuardWhy(VOID) { return guard.why; }

static NTSTATUS PAGED Open(HANDLE *key) {
    OBJECT_ATTRIBUTES attributes;

    InitializeObjectAttributes(&attributes, &guard.key, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenKey(key, KEY_QUERY_VALUE | KEY_SET_VALUE, &attributes);
}

static ULONG PAGED Get(HANDLE key, PUNICODE_STRING name) {
    union {
        KEY_VALUE_PARTIAL_INFORMATION value;
        UCHAR room[sizeof(KEY_VALUE_PARTIAL_INFORMATION) + sizeof(ULONG)];
    } got;
    ULONG bytes, starts = 0;

    if (NT_SUCCESS(ZwQueryValueKey(key, name, KeyValuePartialInformation, &got, sizeof got, &bytes)) &&
        got.value.Type == REG_DWORD && got.value.DataLength == sizeof starts)
        RtlCopyMemory(&starts, got.value.Data, sizeof starts);
    return starts;
}

static NTSTATUS PAGED Set(HANDLE key, PUNICODE_STRING name, ULONG starts) {
    NTSTATUS status = ZwSetValueKey(key, name, 0, REG_DWORD, &starts, sizeof starts);

    /* A crash must not lose the count that it is about. */
    return NT_SUCCESS(status) ? ZwFlushKey(key) : status;
}

/* A registry that cannot be written cannot guard: then the driver stays passive as well. */
NTSTATUS PAGED GuardStart(PCUNICODE_STRING registry_path) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Starts");
    ULONG starts = 0;
    NTSTATUS status;
    HANDLE key;

    if (registry_path->Length >= sizeof guard.path)
        return STATUS_NAME_TOO_LONG;
    RtlCopyMemory(guard.path, registry_path->Buffer, registry_path->Length);
    guard.key.Buffer = guard.path;
    guard.key.Length = registry_path->Length;
    guard.key.MaximumLength = sizeof guard.path;
    guard.passive = TRUE;
    guard.why = ASSAY_WHY_GUARD_UNREADABLE;
    status = Open(&key);
    if (!NT_SUCCESS(status))
        return status;
    starts = Get(key, &name);
    if (starts < STARTS_LIMIT)
        status = Set(key, &name, starts + 1);
    ZwClose(key);
    guard.starts = starts + 1;
    guard.passive = !NT_SUCCESS(status) || starts >= STARTS_LIMIT;
    if (NT_SUCCESS(status))
        guard.why = guard.passive ? ASSAY_WHY_STARTS : ASSAY_WHY_NONE;
    return status;
}

VOID PAGED GuardHealthy(VOID) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Starts");
    HANDLE key;

    if (!NT_SUCCESS(Open(&key)))
        return;
    Set(key, &name, 0);
    ZwClose(key);
}
