/*
 * The registry: values set and deleted, keys deleted; keys created and renamed
 * where a filter asks for it. What is recorded has happened: the record is made
 * after the operation, with the name that was taken before where the operation
 * takes the name away. Since Windows 8 the system captures what it passes here.
 */
#include "driver.h"

#define VALUE_BYTES 512u /* of a value's data, at most */

static LARGE_INTEGER cookie;

static PCUNICODE_STRING PAGED NameOf(PVOID object) {
    PCUNICODE_STRING name = NULL;

    return NT_SUCCESS(CmCallbackGetKeyObjectIDEx(&cookie, object, NULL, &name, 0)) ? name : NULL;
}

/* One record; for the agent's own service key also a tamper record. */
static VOID PAGED Tell(EVENT *event, PCUNICODE_STRING key) {
    EVENT tamper;

    event->text[0] = TextOf(key);
    if (Wanted(event->kind))
        Record(event);
    if (!KeyIsOurs(event->kind, key))
        return;
    EventActor(&tamper, EVENT_TAMPER);
    tamper.number[0] = ASSAY_TAMPER_KEY;
    tamper.text[0] = TextOf(key);
    Record(&tamper);
}

static VOID PAGED AfterSet(const REG_POST_OPERATION_INFORMATION *after, PCUNICODE_STRING key) {
    const REG_SET_VALUE_KEY_INFORMATION *set = after->PreInformation;
    EVENT event;

    EventActor(&event, EVENT_KEY_SET);
    event.number[0] = set->Type;
    event.number[1] = set->DataSize;
    event.text[1] = TextOf(set->ValueName);
    if (set->Data != NULL && set->DataSize != 0) {
        event.data.at = set->Data;
        event.data.bytes = set->DataSize < VALUE_BYTES ? set->DataSize : VALUE_BYTES;
    }
    Tell(&event, key);
}

static VOID PAGED AfterOther(ULONG kind, PCUNICODE_STRING name, PCUNICODE_STRING key) {
    EVENT event;

    EventActor(&event, kind);
    event.text[1] = TextOf(name);
    Tell(&event, key);
}

/* Names that the operation takes away are asked for before it; they travel in the call's context. */
static VOID PAGED Before(ULONG class, PVOID information) {
    if (class == RegNtPreDeleteKey) {
        REG_DELETE_KEY_INFORMATION *gone = information;

        gone->CallContext = (PVOID)NameOf(gone->Object);
    } else if (class == RegNtPreRenameKey) {
        REG_RENAME_KEY_INFORMATION *renamed = information;

        renamed->CallContext = (PVOID)NameOf(renamed->Object);
    }
}

static VOID PAGED AfterKeyCreated(const REG_POST_OPERATION_INFORMATION *after) {
    const REG_CREATE_KEY_INFORMATION *created = after->PreInformation;
    PCUNICODE_STRING key;

    if (created->Disposition == NULL || *created->Disposition != REG_CREATED_NEW_KEY || !Wanted(EVENT_KEY_CREATED))
        return;
    key = NameOf(after->Object);
    AfterOther(EVENT_KEY_CREATED, NULL, key);
    if (key != NULL)
        CmCallbackReleaseKeyObjectIDEx(key);
}

static VOID PAGED After(ULONG class, const REG_POST_OPERATION_INFORMATION *after) {
    PCUNICODE_STRING key = NULL;
    BOOLEAN done = NT_SUCCESS(after->Status) && !ActorIsAgent();

    switch (class) {
    case RegNtPostSetValueKey:
    case RegNtPostDeleteValueKey:
        if (!done)
            return;
        key = NameOf(after->Object);
        if (class == RegNtPostSetValueKey)
            AfterSet(after, key);
        else
            AfterOther(EVENT_KEY_VALUE_DELETED, ((REG_DELETE_VALUE_KEY_INFORMATION *)after->PreInformation)->ValueName, key);
        break;
    case RegNtPostDeleteKey:
        key = after->CallContext;
        if (done)
            AfterOther(EVENT_KEY_DELETED, NULL, key);
        break;
    case RegNtPostRenameKey:
        key = after->CallContext;
        if (done)
            AfterOther(EVENT_KEY_RENAMED, ((REG_RENAME_KEY_INFORMATION *)after->PreInformation)->NewName, key);
        break;
    case RegNtPostCreateKeyEx:
        if (done)
            AfterKeyCreated(after);
        break;
    default:
        break;
    }
    if (key != NULL)
        CmCallbackReleaseKeyObjectIDEx(key);
}

static NTSTATUS NTAPI PAGED OnKey(PVOID context, PVOID class, PVOID information) {
    UNREFERENCED_PARAMETER(context);
    if (information == NULL)
        return STATUS_SUCCESS;
    switch ((ULONG)(ULONG_PTR)class) {
    case RegNtPreDeleteKey:
    case RegNtPreRenameKey:
        Before((ULONG)(ULONG_PTR)class, information);
        break;
    case RegNtPostSetValueKey:
    case RegNtPostDeleteValueKey:
    case RegNtPostDeleteKey:
    case RegNtPostRenameKey:
    case RegNtPostCreateKeyEx:
        After((ULONG)(ULONG_PTR)class, information);
        break;
    default:
        break;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS INITIAL Start(VOID) {
    UNICODE_STRING altitude = RTL_CONSTANT_STRING(KEY_ALTITUDE);

    return CmRegisterCallbackEx(OnKey, &altitude, DeviceObject()->DriverObject, NULL, &cookie, NULL);
}

static VOID PAGED Stop(VOID) { CmUnRegisterCallback(cookie); }

const SOURCE key_source = {"registry", Start, Stop};
