/*
 * The order of things. At start the state comes first and the callbacks last, so
 * that no callback meets what is not there yet; at stop the reverse. A source that
 * cannot start leaves the others running, and its status says why.
 */
#include "driver.h"

DRIVER_INITIALIZE DriverEntry;

static struct {
    PDRIVER_OBJECT object;
    NTSTATUS status[SOURCE_COUNT];
    volatile LONG unload_allowed;
} driver;

/* Processes first: the others name their actors by what this one learns. */
const SOURCE *const sources[SOURCE_COUNT] = {&process_source, &image_source, &thread_source, &open_source,
                                             &key_source,     &file_source,  &flow_source};

/* Volumes are the file filter's, payloads the flow callouts': they run when those do. */
NTSTATUS SourceStatus(ULONG source) {
    static const UCHAR at[ASSAY_SOURCES] = {0, 1, 2, 3, 4, 5, 5, 6, 6};

    if ((source == ASSAY_SOURCE_FILE || source == ASSAY_SOURCE_VOLUME) && FileFilterGone() && NT_SUCCESS(driver.status[at[source]]))
        return FLT_STATUS_DELETING;
    return driver.status[at[source]];
}
BOOLEAN UnloadAllowed(VOID) { return driver.unload_allowed != 0; }

static VOID PAGED StopSources(VOID) {
    ULONG n;

    for (n = SOURCE_COUNT; n > 0; n--) {
        if (NT_SUCCESS(driver.status[n - 1]) && driver.status[n - 1] != STATUS_PENDING)
            sources[n - 1]->stop();
        driver.status[n - 1] = STATUS_PENDING;
    }
}

/*
 * Only after ALLOW_UNLOAD, and only when no handle is open: the I/O manager sees to
 * that. The threads go before the filter, which one asks about volumes; the
 * callbacks go before the rings they write to.
 */
static VOID NTAPI PAGED Unload(PDRIVER_OBJECT object) {
    UNREFERENCED_PARAMETER(object);
    WorkerStop();
    StopSources();
    DeviceStop();
    GuardStop();
    RecordStop();
    TableStop();
}

VOID UnloadAllow(VOID) {
    InterlockedExchange(&driver.unload_allowed, 1);
    driver.object->DriverUnload = Unload;
}

static VOID INITIAL StartSources(VOID) {
    ULONG n;

    for (n = 0; n < SOURCE_COUNT; n++)
        driver.status[n] = Passive() ? STATUS_PENDING : sources[n]->start();
}

static VOID INITIAL Tell(VOID) {
    EVENT event;

    EventActor(&event, ASSAY_STARTED);
    event.body.started.driver_version = DRIVER_VERSION;
    event.body.started.abi_version = ASSAY_ABI_VERSION;
    event.body.started.passive = Passive();
    event.body.started.why = GuardWhy();
    event.body.started.starts = GuardStarts();
    Record(&event);
}

NTSTATUS NTAPI INITIAL DriverEntry(PDRIVER_OBJECT object, PUNICODE_STRING registry_path) {
    NTSTATUS status;
    ULONG n;

    driver.object = object;
    for (n = 0; n < SOURCE_COUNT; n++)
        driver.status[n] = STATUS_PENDING;
    MemoryStart();
    WorkerPrepare();
    status = TableStart();
    if (NT_SUCCESS(status))
        status = RecordStart(BootId(registry_path));
    if (!NT_SUCCESS(status))
        goto memory;
    status = DeviceStart(object);
    if (!NT_SUCCESS(status))
        goto memory;
    GuardStart(registry_path); /* says by Passive() whether to go on */
    StartSources();
    status = WorkerStart();
    if (!NT_SUCCESS(status))
        goto sources;
    /* The filter manager gave the driver an unload routine; without ours, nobody may unload it. */
    object->DriverUnload = NULL;
    Tell();
    return STATUS_SUCCESS;

sources:
    StopSources();
    DeviceStop();
memory:
    RecordStop();
    TableStop();
    return status;
}
