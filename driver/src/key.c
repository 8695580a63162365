/*
 * The registry: values set and deleted, keys deleted; keys created and renamed
 * where a filter asks for it. What is recorded has happened: the record is made
 * after the operation, with the name that was taken before where the operation
 * takes the name away. Since Windows 8 the system captures what it passes here.
 */
#include "driver.h"

static LARGE_INTEGER cookie;

static PCUNICODE_STRING PAGED NameOf(PVOID object) {
    PCUNICODE_STRING name = NULL;

    return NT_SUCCESS(CmCallbackGetKeyObjectIDEx(&cookie, object, NULL, &name, 0)) ? name : NULL;
}

/* The default value of a key has no name, and a change of the key itself speaks of none. */
static struct core_text PAGED NameText(PCUNICODE_STRING name) { return name == NULL || name->Length == 0 ? NoText() : TextOf(name); }

/* One record; for the agent's own service key also a tamper record. */
static VOID PAGED Tell(EVENT *event, PCUNICODE_STRING key) {
    EVENT tamper;

    event->told.text[0] = event->path = TextOf(key);
    if (Wanted(event->told.kind))
        Record(event);
    if (key == NULL || !IsOurs(event->told.kind, event->path))
        return;
    EventActor(&tamper, ASSAY_TAMPER);
    tamper.body.tamper.what = ASSAY_TAMPER_KEY;
    tamper.told.text[0] = event->path;
    Record(&tamper);
}

/* The data is cut by the core, which says so. */
static VOID PAGED AfterSet(const REG_POST_OPERATION_INFORMATION *after, PCUNICODE_STRING key) {
    const REG_SET_VALUE_KEY_INFORMATION *set = after->PreInformation;
    EVENT event;

    EventActor(&event, ASSAY_KEY_SET);
    event.body.key.type = set->Type;
    event.body.key.data_size = set->DataSize;
    event.told.text[1] = NameText(set->ValueName);
    event.told.text[2] = set->DataSize == 0 ? NoText() : TextAt(set->Data, set->DataSize);
    Tell(&event, key);
}

static VOID PAGED AfterOther(ULONG kind, ULONG flags, PCUNICODE_STRING name, PCUNICODE_STRING key) {
    EVENT event;

    EventActor(&event, kind);
    event.told.flags = flags;
    event.told.text[1] = NameText(name);
    event.told.text[2] = NoText();
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

/* A function of its own: clang guards calls within __try, and no single read. */
static ULONG PAGED Touch(const volatile ULONG *at) { return *at; }

/*
 * Of all that the system passes here, output buffers alone are not captured: this one
 * may be the memory of whoever asked, who may have none there or take it away meanwhile.
 */
static BOOLEAN PAGED ReadDisposition(const ULONG *from, ULONG *out) {
    if (from == NULL)
        return FALSE;
    __try {
        *out = Touch(from);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return FALSE;
    }
    return TRUE;
}

/* A key of which it cannot be had whether it is new is told, and that it may not be. */
static VOID PAGED AfterKeyCreated(const REG_POST_OPERATION_INFORMATION *after) {
    const REG_CREATE_KEY_INFORMATION *created = after->PreInformation;
    ULONG disposition, flags = 0;
    PCUNICODE_STRING key;

    if (!Wanted(ASSAY_KEY_CREATED))
        return;
    if (!ReadDisposition(created->Disposition, &disposition))
        flags = ASSAY_RECORD_UNSURE;
    else if (disposition != REG_CREATED_NEW_KEY)
        return;
    key = NameOf(after->Object);
    AfterOther(ASSAY_KEY_CREATED, flags, NULL, key);
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
            AfterOther(ASSAY_KEY_VALUE_DELETED, 0, ((REG_DELETE_VALUE_KEY_INFORMATION *)after->PreInformation)->ValueName, key);
        break;
    case RegNtPostDeleteKey:
        key = after->CallContext;
        if (done)
            AfterOther(ASSAY_KEY_DELETED, 0, NULL, key);
        break;
    case RegNtPostRenameKey:
        key = after->CallContext;
        if (done)
            AfterOther(ASSAY_KEY_RENAMED, 0, ((REG_RENAME_KEY_INFORMATION *)after->PreInformation)->NewName, key);
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
