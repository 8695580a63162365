/* Calls that Wine has and that may fail on a real kernel: here they fail when a scenario says so. */
#include "double.h"

#define FALLIBLE(most, name, parameters, arguments)                                        \
    EXPORT NTSTATUS NTAPI name parameters {                                                \
        static NTSTATUS(NTAPI * real) parameters;                                          \
        NTSTATUS status;                                                                   \
                                                                                           \
        RequireIrql(most, #name);                                                          \
        if (Fail(#name, &status))                                                          \
            return status;                                                                 \
        if (real == NULL)                                                                  \
            real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), #name);         \
        return real arguments;                                                             \
    }

FALLIBLE(PASSIVE_LEVEL, ZwOpenKey, (PHANDLE out, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes), (out, access, attributes))
FALLIBLE(PASSIVE_LEVEL, ZwQueryValueKey,
         (HANDLE key, PUNICODE_STRING name, KEY_VALUE_INFORMATION_CLASS class, PVOID out, ULONG bytes, PULONG needed),
         (key, name, class, out, bytes, needed))
FALLIBLE(PASSIVE_LEVEL, ZwSetValueKey, (HANDLE key, PUNICODE_STRING name, ULONG index, ULONG type, PVOID data, ULONG bytes),
         (key, name, index, type, data, bytes))
FALLIBLE(PASSIVE_LEVEL, ZwCreateKey,
         (PHANDLE out, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, ULONG index, PUNICODE_STRING class, ULONG options, PULONG happened),
         (out, access, attributes, index, class, options, happened))
FALLIBLE(PASSIVE_LEVEL, ZwFlushKey, (HANDLE key), (key))
FALLIBLE(APC_LEVEL, RtlCreateSecurityDescriptor, (PSECURITY_DESCRIPTOR descriptor, ULONG revision), (descriptor, revision))
FALLIBLE(APC_LEVEL, RtlSetDaclSecurityDescriptor, (PSECURITY_DESCRIPTOR descriptor, BOOLEAN present, PACL list, BOOLEAN defaulted),
         (descriptor, present, list, defaulted))
FALLIBLE(APC_LEVEL, RtlCreateAcl, (PACL list, ULONG bytes, ULONG revision), (list, bytes, revision))
FALLIBLE(APC_LEVEL, RtlAddAccessAllowedAce, (PACL list, ULONG revision, ACCESS_MASK access, PSID sid), (list, revision, access, sid))

/* A reference that is taken is given back: the driver takes two, of its threads. */
static PVOID volatile referenced[2];

EXPORT NTSTATUS NTAPI ObReferenceObjectByHandle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode, PVOID *out,
                                                POBJECT_HANDLE_INFORMATION information) {
    static NTSTATUS(NTAPI * real)(HANDLE, ACCESS_MASK, POBJECT_TYPE, KPROCESSOR_MODE, PVOID *, POBJECT_HANDLE_INFORMATION);
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "ObReferenceObjectByHandle");
    if (Fail("ObReferenceObjectByHandle", &status))
        return status;
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "ObReferenceObjectByHandle");
    status = real(handle, access, type, mode, out, information);
    if (NT_SUCCESS(status)) {
        if (InterlockedCompareExchangePointer(&referenced[0], *out, NULL) != NULL)
            referenced[1] = *out;
        InterlockedIncrement(&contexts);
    }
    return status;
}

/* Whether this ends the reference that ObReferenceObjectByHandle gave. */
BOOLEAN ReferenceEnds(PVOID object) {
    if (object == NULL || (InterlockedCompareExchangePointer(&referenced[0], NULL, object) != object &&
                           InterlockedCompareExchangePointer(&referenced[1], NULL, object) != object))
        return FALSE;
    InterlockedDecrement(&contexts);
    return TRUE;
}

EXPORT PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID at, ULONG bug_check,
                                                MM_PAGE_PRIORITY priority) {
    static PVOID(NTAPI * real)(PMDL, KPROCESSOR_MODE, MEMORY_CACHING_TYPE, PVOID, ULONG, MM_PAGE_PRIORITY);
    NTSTATUS status;

    RequireIrql(DISPATCH_LEVEL, "MmMapLockedPagesSpecifyCache");
    if (Fail("MmMapLockedPagesSpecifyCache", &status))
        return NULL;
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "MmMapLockedPagesSpecifyCache");
    return real(mdl, mode, cache, at, bug_check, priority);
}
