/*
 * Which boot of the system this is: the time of the first load in it, kept in a key
 * that the system forgets when it goes down. A clock that is set, or a driver that
 * is loaded again, does not change it; (boot, load, class, n) names a record for good.
 */
#include "driver.h"

static NTSTATUS PAGED Remembered(HANDLE key, PUNICODE_STRING name, ULONG64 *boot) {
    union {
        KEY_VALUE_PARTIAL_INFORMATION value;
        UCHAR room[sizeof(KEY_VALUE_PARTIAL_INFORMATION) + sizeof *boot];
    } got;
    NTSTATUS status;
    ULONG bytes;

    status = ZwQueryValueKey(key, name, KeyValuePartialInformation, &got, sizeof got, &bytes);
    if (!NT_SUCCESS(status))
        return status;
    if (got.value.Type != REG_QWORD || got.value.DataLength != sizeof *boot)
        return STATUS_OBJECT_TYPE_MISMATCH;
    RtlCopyMemory(boot, got.value.Data, sizeof *boot);
    return STATUS_SUCCESS;
}

static NTSTATUS PAGED Open(PCUNICODE_STRING registry_path, HANDLE *out) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Boot"), path = *registry_path;
    OBJECT_ATTRIBUTES attributes;
    NTSTATUS status;
    HANDLE service;

    InitializeObjectAttributes(&attributes, &path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    status = ZwOpenKey(&service, KEY_CREATE_SUB_KEY, &attributes);
    if (!NT_SUCCESS(status))
        return status;
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, service, NULL);
    status = ZwCreateKey(out, KEY_QUERY_VALUE | KEY_SET_VALUE, &attributes, 0, NULL, REG_OPTION_VOLATILE, NULL);
    ZwClose(service);
    return status;
}

/* 0: it could not be had. */
ULONG64 PAGED BootId(PCUNICODE_STRING registry_path) {
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Id");
    LARGE_INTEGER now;
    ULONG64 boot = 0;
    NTSTATUS status;
    HANDLE key;

    if (!NT_SUCCESS(Open(registry_path, &key)))
        return 0;
    status = Remembered(key, &name, &boot);
    if (status == STATUS_OBJECT_NAME_NOT_FOUND) { /* the first load of this boot */
        KeQuerySystemTimePrecise(&now);
        boot = (ULONG64)now.QuadPart;
        status = ZwSetValueKey(key, &name, 0, REG_QWORD, &boot, sizeof boot);
    }
    ZwClose(key);
    return NT_SUCCESS(status) ? boot : 0;
}
