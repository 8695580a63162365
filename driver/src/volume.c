/*
 * Volumes: what was mounted, on what kind of bus, under which GUID. The mount
 * itself only notes the volume; asking the mount manager and the disk can wait for
 * them, so the worker does it.
 */
#include "driver.h"

#define NOTED 64u /* volumes noted and not yet described */
#define NAME_CHARS 128u

static struct {
    KSPIN_LOCK lock;
    FLT_VOLUME *volume[NOTED];
    ULONG file_system[NOTED];
    ULONG count;
} noted;

NTSTATUS NTAPI VolumeSetup(const FLT_RELATED_OBJECTS *objects, ULONG flags, ULONG device_type, ULONG file_system) {
    BOOLEAN kept = FALSE;
    KIRQL irql;

    UNREFERENCED_PARAMETER(flags);
    UNREFERENCED_PARAMETER(device_type);
    if (!NT_SUCCESS(FltObjectReference(objects->volume)))
        return STATUS_SUCCESS;
    KeAcquireSpinLock(&noted.lock, &irql);
    if (noted.count < NOTED) {
        noted.volume[noted.count] = objects->volume;
        noted.file_system[noted.count++] = file_system;
        kept = TRUE;
    }
    KeReleaseSpinLock(&noted.lock, irql);
    if (kept)
        WorkerVolumes();
    else {
        FltObjectDereference(objects->volume);
        RecordBlind(EVENT_VOLUME_ARRIVED);
    }
    return STATUS_SUCCESS;
}

VOID NTAPI PAGED VolumeGone(const FLT_RELATED_OBJECTS *objects, ULONG reason) {
    WCHAR room[NAME_CHARS];
    UNICODE_STRING name = {0, sizeof room, room};
    EVENT event;

    if (!NT_SUCCESS(FltGetVolumeName(objects->volume, &name, NULL)))
        name.Length = 0;
    EventActor(&event, EVENT_VOLUME_LEFT);
    event.number[0] = reason;
    event.text[0] = TextOf(&name);
    Record(&event);
}

/* The disk's descriptor; bus type 0 (unknown) where there is no disk or it does not say. */
static ULONG PAGED BusOf(FLT_VOLUME *volume, BOOLEAN *removable) {
    NT_STORAGE_QUERY query = {0, 0, {0}};
    NT_STORAGE_DEVICE answer;
    PDEVICE_OBJECT disk;
    IO_STATUS_BLOCK status;
    KEVENT done;
    PIRP irp;
    NTSTATUS said;

    *removable = FALSE;
    if (!NT_SUCCESS(FltGetDiskDeviceObject(volume, &disk)))
        return 0;
    RtlZeroMemory(&answer, sizeof answer);
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(NT_IOCTL_STORAGE_QUERY_PROPERTY, disk, &query, sizeof query, &answer, sizeof answer, FALSE,
                                        &done, &status);
    if (irp != NULL) {
        said = IoCallDriver(disk, irp);
        if (said == STATUS_PENDING) {
            KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
            said = status.Status;
        }
        if (!NT_SUCCESS(said) && said != STATUS_BUFFER_OVERFLOW)
            RtlZeroMemory(&answer, sizeof answer);
    }
    ObDereferenceObject(disk);
    *removable = answer.removable;
    return answer.bus_type;
}

static VOID PAGED Tell(FLT_VOLUME *volume, ULONG file_system, PUNICODE_STRING device, PUNICODE_STRING guid) {
    FLT_VOLUME_PROPERTIES properties;
    BOOLEAN removable;
    EVENT event;
    ULONG got;

    RtlZeroMemory(&properties, sizeof properties);
    FltGetVolumeProperties(volume, &properties, sizeof properties, &got); /* the fixed part is given even when the names do not fit */
    EventActor(&event, EVENT_VOLUME_ARRIVED);
    event.number[0] = BusOf(volume, &removable);
    event.number[1] = properties.characteristics;
    event.number[2] = file_system;
    event.number[3] = removable || (properties.characteristics & FILE_REMOVABLE_MEDIA) != 0;
    event.text[0] = TextOf(device);
    event.text[1] = TextOf(guid);
    Record(&event);
}

static VOID PAGED Describe(FLT_VOLUME *volume, ULONG file_system) {
    WCHAR *room = MemoryAllocate(2 * NAME_CHARS * sizeof(WCHAR));
    UNICODE_STRING device = {0, NAME_CHARS * sizeof(WCHAR), room};
    UNICODE_STRING guid = {0, NAME_CHARS * sizeof(WCHAR), room + NAME_CHARS};

    if (room == NULL) {
        RecordBlind(EVENT_VOLUME_ARRIVED);
        return;
    }
    if (!NT_SUCCESS(FltGetVolumeName(volume, &device, NULL)))
        device.Length = 0;
    if (!NT_SUCCESS(FltGetVolumeGuidName(volume, &guid, NULL)))
        guid.Length = 0; /* network redirectors have none */
    Tell(volume, file_system, &device, &guid);
    MemoryFree(room);
}

static FLT_VOLUME *RESIDENT Next(ULONG *file_system) {
    FLT_VOLUME *volume = NULL;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&noted.lock, &irql);
    if (noted.count != 0) {
        volume = noted.volume[0];
        *file_system = noted.file_system[0];
        noted.count--;
        for (i = 0; i < noted.count; i++) {
            noted.volume[i] = noted.volume[i + 1];
            noted.file_system[i] = noted.file_system[i + 1];
        }
    }
    KeReleaseSpinLock(&noted.lock, irql);
    return volume;
}

VOID PAGED VolumesDescribe(VOID) {
    FLT_VOLUME *volume;
    ULONG file_system = 0;

    while ((volume = Next(&file_system)) != NULL) {
        Describe(volume, file_system);
        FltObjectDereference(volume);
    }
}

/* The worker is gone: what it has not described is let go, or the filter could not be unregistered. */
VOID PAGED VolumesForget(VOID) {
    FLT_VOLUME *volume;
    ULONG file_system;

    while ((volume = Next(&file_system)) != NULL)
        FltObjectDereference(volume);
}
