/*
 * The minifilter as a whole: how it comes and goes. The driver stops by the service
 * manager alone, which calls the driver's own unload; to take the filter away alone
 * is refused and told. Where the filter manager leaves no choice, the filter is
 * unregistered then and there, told as lost, and not a second time by the driver.
 */
#include "driver.h"

static FLT_FILTER *filter;
static volatile LONG registered; /* whoever takes it away unregisters */
static KEVENT unregistered;

FLT_FILTER *FileFilter(VOID) { return filter; }
BOOLEAN FileFilterGone(VOID) { return filter != NULL && registered == 0; }

static VOID PAGED Tell(ULONG what, ULONG flags) {
    EVENT event;

    EventActor(&event, ASSAY_TAMPER);
    event.body.tamper.what = what;
    event.body.tamper.access = flags;
    event.told.text[0] = NoText();
    Record(&event);
}

static VOID PAGED Unregister(VOID) {
    if (InterlockedExchange(&registered, 0) == 0) {
        if (filter != NULL)
            KeWaitForSingleObject(&unregistered, Executive, KernelMode, FALSE, NULL);
        return;
    }
    FltUnregisterFilter(filter);
    KeSetEvent(&unregistered, IO_NO_INCREMENT, FALSE);
}

/* fltmc unload, also after the agent has allowed a stop: what calls us besides the filter manager would stay. */
static NTSTATUS NTAPI PAGED Unload(ULONG flags) {
    if ((flags & FLTFL_FILTER_UNLOAD_MANDATORY) == 0) {
        Tell(ASSAY_TAMPER_UNLOAD_REFUSED, flags);
        return FLT_STATUS_DO_NOT_DETACH;
    }
    Tell(ASSAY_TAMPER_UNLOADED, flags);
    VolumesLet();
    Unregister();
    return STATUS_SUCCESS;
}

/* fltmc detach. */
static NTSTATUS NTAPI PAGED RefuseDetach(const FLT_RELATED_OBJECTS *objects, ULONG flags) {
    UNREFERENCED_PARAMETER(objects);
    Tell(ASSAY_TAMPER_UNLOAD_REFUSED, flags);
    return FLT_STATUS_DO_NOT_DETACH;
}

static const FLT_CONTEXT_REGISTRATION context_kinds[] = {
    {FLT_STREAMHANDLE_CONTEXT, 0, NULL, FLT_VARIABLE_SIZED_CONTEXTS, POOL_TAG, NULL, NULL, NULL},
    {FLT_CONTEXT_END, 0, NULL, 0, 0, NULL, NULL, NULL},
};

static const FLT_REGISTRATION registration = {
    .size = sizeof registration,
    .version = FLT_REGISTRATION_VERSION,
    .flags = FLTFL_REGISTRATION_NO_SERVICE_STOP,
    .contexts = context_kinds,
    .operations = file_operations,
    .unload = Unload,
    .instance_setup = VolumeSetup,
    .instance_query_teardown = RefuseDetach,
    .instance_teardown_complete = VolumeGone,
};

static NTSTATUS INITIAL Start(VOID) {
    NTSTATUS status;

    KeInitializeEvent(&unregistered, NotificationEvent, FALSE);
    status = FltRegisterFilter(DeviceObject()->DriverObject, &registration, &filter);
    if (!NT_SUCCESS(status))
        return status;
    InterlockedExchange(&registered, 1);
    status = FltStartFiltering(filter);
    if (!NT_SUCCESS(status))
        Unregister();
    return status;
}

static VOID PAGED Stop(VOID) {
    VolumesLet();
    Unregister();
    VolumesForget();
}

const SOURCE file_source = {"file", Start, Stop};
