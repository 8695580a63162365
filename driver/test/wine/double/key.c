/* The registry's callback. Keys are only names here; the driver's own registry calls go to Wine's. */
#include "double.h"

#define MAX_KEYS 16u

static PEX_CALLBACK_FUNCTION on_key;
static PVOID key_context;
static volatile LONG key_firing, names;
static const LONGLONG cookie = 0x41737361;

/* A key object: what CmCallbackGetKeyObjectIDEx knows of it. */
struct key {
    UNICODE_STRING name;
    BOOLEAN deleted;
};

EXPORT NTSTATUS NTAPI CmRegisterCallbackEx(PEX_CALLBACK_FUNCTION function, PCUNICODE_STRING altitude, PVOID driver, PVOID context,
                                           PLARGE_INTEGER out, PVOID reserved) {
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "CmRegisterCallbackEx");
    if (Fail("CmRegisterCallbackEx", &status))
        return status;
    if (altitude->Length == 0 || driver == NULL || reserved != NULL || on_key != NULL)
        return STATUS_INVALID_PARAMETER;
    key_context = context;
    on_key = function;
    out->QuadPart = cookie;
    InterlockedIncrement(&registered);
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI CmUnRegisterCallback(LARGE_INTEGER given) {
    RequireIrql(APC_LEVEL, "CmUnRegisterCallback");
    if (given.QuadPart != cookie || on_key == NULL)
        return STATUS_INVALID_PARAMETER;
    on_key = NULL;
    while (key_firing != 0)
        Sleep(0);
    if (names != 0)
        Violation("key names never released", "CmUnRegisterCallback");
    InterlockedDecrement(&registered);
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI CmCallbackGetKeyObjectIDEx(PLARGE_INTEGER given, PVOID object, PULONG_PTR id, PCUNICODE_STRING *name,
                                                 ULONG flags) {
    struct key *key = object;

    RequireIrql(APC_LEVEL, "CmCallbackGetKeyObjectIDEx");
    if (given->QuadPart != cookie || flags != 0)
        return STATUS_INVALID_PARAMETER;
    if (key->deleted)
        return STATUS_KEY_DELETED;
    if (id != NULL)
        *id = (ULONG_PTR)object;
    if (name != NULL) {
        InterlockedIncrement(&names);
        UNICODE_STRING *copy = HeapAlloc(GetProcessHeap(), 8, sizeof *copy + key->name.Length);

        copy->Buffer = (WCHAR *)(copy + 1); /* a name is what it was when it was asked for */
        copy->Length = copy->MaximumLength = key->name.Length;
        RtlCopyMemory(copy->Buffer, key->name.Buffer, key->name.Length);
        *name = copy;
    }
    return STATUS_SUCCESS;
}

EXPORT VOID NTAPI CmCallbackReleaseKeyObjectIDEx(PCUNICODE_STRING name) {
    HeapFree(GetProcessHeap(), 0, (PVOID)name);
    InterlockedDecrement(&names);
}

/* Calls the driver before and after, as the configuration manager does. */
static NTSTATUS Around(REG_NOTIFY_CLASS pre, REG_NOTIFY_CLASS post, PVOID information, PVOID *call_context, struct key *key,
                       NTSTATUS status) {
    REG_POST_OPERATION_INFORMATION after;
    PEX_CALLBACK_FUNCTION function;
    NTSTATUS said = STATUS_SUCCESS;

    InterlockedIncrement(&key_firing);
    function = on_key;
    if (function != NULL) {
        said = function(key_context, (PVOID)(ULONG_PTR)pre, information);
        RtlZeroMemory(&after, sizeof after);
        after.Object = key;
        after.Status = after.ReturnStatus = status;
        after.PreInformation = information;
        after.CallContext = *call_context;
        if (post == RegNtPostDeleteKey && NT_SUCCESS(status))
            key->deleted = TRUE;
        if (post == RegNtPostRenameKey && NT_SUCCESS(status))
            key->name = *((REG_RENAME_KEY_INFORMATION *)information)->NewName; /* the old name is gone by now */
        if (NT_SUCCESS(said))
            said = function(key_context, (PVOID)(ULONG_PTR)post, &after);
    }
    InterlockedDecrement(&key_firing);
    return said;
}

/* Where a caller may have its answer put, and the driver can read nothing: nowhere, a page without access, one that is gone. */
static PULONG Elsewhere(ULONG64 which) {
    PVOID page;

    if (which == 1)
        return NULL;
    page = VirtualAlloc(NULL, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
    if (which == 3)
        VirtualFree(page, 0, MEM_RELEASE);
    return page;
}

NTSTATUS KeyRun(struct double_command *c, ULONG n) {
    WCHAR key_room[DOUBLE_TEXT + 16], name_room[DOUBLE_TEXT + 16];
    UNICODE_STRING name;
    struct key key = {0};
    NTSTATUS status = (NTSTATUS)c->a[1];

    DoubleText(&key.name, key_room, c->text[0], n);
    DoubleText(&name, name_room, c->text[1], n);
    switch (c->op) {
    case OP_KEY_SET: {
        REG_SET_VALUE_KEY_INFORMATION set = {0};

        set.Object = &key;
        set.ValueName = &name;
        set.Type = (ULONG)c->a[0];
        set.Data = c->data;
        set.DataSize = c->bytes;
        return Around(RegNtPreSetValueKey, RegNtPostSetValueKey, &set, &set.CallContext, &key, status);
    }
    case OP_KEY_DELETE_VALUE: {
        REG_DELETE_VALUE_KEY_INFORMATION gone = {0};

        gone.Object = &key;
        gone.ValueName = &name;
        return Around(RegNtPreDeleteValueKey, RegNtPostDeleteValueKey, &gone, &gone.CallContext, &key, status);
    }
    case OP_KEY_DELETE: {
        REG_DELETE_KEY_INFORMATION gone = {0};

        gone.Object = &key;
        return Around(RegNtPreDeleteKey, RegNtPostDeleteKey, &gone, &gone.CallContext, &key, status);
    }
    case OP_KEY_RENAME: {
        REG_RENAME_KEY_INFORMATION renamed = {0};

        renamed.Object = &key;
        renamed.NewName = &name;
        return Around(RegNtPreRenameKey, RegNtPostRenameKey, &renamed, &renamed.CallContext, &key, status);
    }
    case OP_KEY_CREATE: {
        REG_CREATE_KEY_INFORMATION created = {0};
        ULONG disposition = (ULONG)c->a[0];
        PVOID result = &key;
        NTSTATUS said;

        created.CompleteName = &key.name;
        created.Disposition = c->a[2] == 0 ? &disposition : Elsewhere(c->a[2]);
        created.ResultObject = &result;
        said = Around(RegNtPreCreateKeyEx, RegNtPostCreateKeyEx, &created, &created.CallContext, &key, status);
        if (c->a[2] == 2)
            VirtualFree(created.Disposition, 0, MEM_RELEASE);
        return said;
    }
    default:
        return STATUS_INVALID_PARAMETER;
    }
}
