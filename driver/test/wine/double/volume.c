/* Volumes. */
#include "file.h"

FLT_VOLUME volumes[MAX_VOLUMES];


static NTSTATUS CopyName(const WCHAR *from, PUNICODE_STRING to, PULONG needed) {
    USHORT bytes = 0;

    while (from[bytes / 2] != 0)
        bytes += 2;
    if (needed != NULL)
        *needed = bytes;
    if (to == NULL || to->MaximumLength < bytes)
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(to->Buffer, from, bytes);
    to->Length = bytes;
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI FltGetVolumeName(FLT_VOLUME *volume, PUNICODE_STRING name, PULONG needed) {
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "FltGetVolumeName");
    if (Fail("FltGetVolumeName", &status))
        return status;
    return CopyName(volume->device, name, needed);
}
EXPORT NTSTATUS NTAPI FltGetVolumeGuidName(FLT_VOLUME *volume, PUNICODE_STRING name, PULONG needed) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "FltGetVolumeGuidName");
    if (Fail("FltGetVolumeGuidName", &status))
        return status;
    if (volume->guid[0] == 0)
        return STATUS_INVALID_DEVICE_REQUEST;
    return CopyName(volume->guid, name, needed);
}
EXPORT NTSTATUS NTAPI FltGetVolumeProperties(FLT_VOLUME *volume, FLT_VOLUME_PROPERTIES *out, ULONG bytes, PULONG returned) {
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "FltGetVolumeProperties");
    if (Fail("FltGetVolumeProperties", &status))
        return status;
    if (bytes < sizeof *out)
        return STATUS_BUFFER_TOO_SMALL;
    RtlZeroMemory(out, sizeof *out);
    out->device_type = volume->type;
    out->characteristics = volume->characteristics;
    *returned = sizeof *out;
    return STATUS_BUFFER_OVERFLOW; /* as when the names do not fit */
}
EXPORT NTSTATUS NTAPI FltGetDiskDeviceObject(FLT_VOLUME *volume, PDEVICE_OBJECT *disk) {
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "FltGetDiskDeviceObject");
    if (Fail("FltGetDiskDeviceObject", &status))
        return status;
    InterlockedIncrement(&volume->disk.ReferenceCount);
    InterlockedIncrement(&contexts);
    *disk = &volume->disk;
    return STATUS_SUCCESS;
}
/* Whether this ends a reference to a volume's disk. */
BOOLEAN VolumeDiskEnds(PVOID object) {
    ULONG i;

    for (i = 0; i < MAX_VOLUMES; i++)
        if (object == &volumes[i].disk) {
            InterlockedDecrement(&volumes[i].disk.ReferenceCount);
            InterlockedDecrement(&contexts);
            return TRUE;
        }
    return FALSE;
}

EXPORT NTSTATUS NTAPI FltObjectReference(PVOID object) {
    NTSTATUS status;

    if (Fail("FltObjectReference", &status))
        return status;
    InterlockedIncrement(&((FLT_VOLUME *)object)->references);
    return STATUS_SUCCESS;
}
EXPORT VOID NTAPI FltObjectDereference(PVOID object) { InterlockedDecrement(&((FLT_VOLUME *)object)->references); }

/* The label: that of the volume behind the instance, which is one here. */
EXPORT NTSTATUS NTAPI FltQueryVolumeInformation(FLT_INSTANCE *instance, PIO_STATUS_BLOCK status, PVOID out, ULONG bytes, ULONG class) {
    FLT_VOLUME *volume = (FLT_VOLUME *)instance;
    FILE_FS_VOLUME_INFORMATION *is = out;
    ULONG i;

    RequireIrql(PASSIVE_LEVEL, "FltQueryVolumeInformation");
    if (Fail("FltQueryVolumeInformation", &status->Status))
        return status->Status;
    if (class != FileFsVolumeInformation || bytes < sizeof *is + 64)
        return STATUS_INVALID_PARAMETER;
    RtlZeroMemory(out, bytes);
    for (i = 0; volume->text[3][i] != 0; i++)
        is->VolumeLabel[i] = (WCHAR)volume->text[3][i];
    is->VolumeLabelLength = 2 * i;
    return status->Status = STATUS_SUCCESS;
}

FLT_VOLUME *VolumeOf(const WCHAR *path) {
    ULONG i, n;

    for (i = 0; i < MAX_VOLUMES; i++) {
        if (!volumes[i].used)
            continue;
        for (n = 0; volumes[i].device[n] != 0 && volumes[i].device[n] == path[n]; n++)
            ;
        if (volumes[i].device[n] == 0)
            return &volumes[i];
    }
    return NULL;
}

void Objects(FLT_RELATED_OBJECTS *objects, FLT_VOLUME *volume, PFILE_OBJECT file) {
    RtlZeroMemory(objects, sizeof *objects);
    objects->size = sizeof *objects;
    objects->filter = &the_filter;
    objects->volume = volume;
    objects->instance = (FLT_INSTANCE *)volume;
    objects->file = file;
}

static NTSTATUS Attach(FLT_VOLUME *volume) {
    FLT_RELATED_OBJECTS objects;

    if (the_filter.registration == NULL || the_filter.registration->instance_setup == NULL)
        return STATUS_SUCCESS;
    Objects(&objects, volume, NULL);
    return the_filter.registration->instance_setup(&objects, 4, volume->type, 2);
}

/* Mounts that come while a filter goes. */
void VolumesLate(void) {
    ULONG i;

    for (i = 0; i < MAX_VOLUMES; i++)
        if (volumes[i].used && volumes[i].late)
            Attach(&volumes[i]);
}

#define WAITS_MOST 2000u

/* A filter that goes waits, before it tells of any volume, until none is referenced; FALSE: for ever. */
BOOLEAN VolumesFree(void) {
    ULONG i, waits = 0;

    for (i = 0; i < MAX_VOLUMES; i++)
        while (volumes[i].references != 0) {
            if (waits++ == WAITS_MOST)
                return FALSE;
            GateLeave();
            Sleep(1);
            GateEnter();
        }
    return TRUE;
}

/* As the filter manager does when a filter goes. */
void VolumesDetach(void) {
    FLT_RELATED_OBJECTS objects;
    ULONG i;

    for (i = 0; i < MAX_VOLUMES; i++)
        if (volumes[i].used) {
            Objects(&objects, &volumes[i], NULL);
            the_filter.registration->instance_teardown_complete(&objects, FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD);
        }
}

void VolumesAttach(void) {
    ULONG i;

    for (i = 0; i < MAX_VOLUMES; i++)
        if (volumes[i].used)
            Attach(&volumes[i]);
}

NTSTATUS Volume(struct double_command *c, ULONG n) {
    WCHAR device[DOUBLE_TEXT + 16], guid[DOUBLE_TEXT + 16];
    UNICODE_STRING device_name, guid_name;
    FLT_RELATED_OBJECTS objects;
    FLT_VOLUME *volume;
    ULONG i, k, at;

    DoubleText(&device_name, device, c->text[0], n);
    DoubleText(&guid_name, guid, c->text[1], n);
    if (c->op == OP_VOLUME_GONE) {
        volume = VolumeOf(device);
        if (volume == NULL)
            return STATUS_NOT_FOUND;
        Objects(&objects, volume, NULL);
        if (the_filter.registration != NULL && the_filter.registration->instance_teardown_complete != NULL)
            the_filter.registration->instance_teardown_complete(&objects, FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT);
        volume->used = FALSE;
        return STATUS_SUCCESS;
    }
    for (i = 0; i < MAX_VOLUMES && (volumes[i].used || volumes[i].references != 0); i++) /* one that is referenced stays */
        ;
    if (i == MAX_VOLUMES)
        return STATUS_INSUFFICIENT_RESOURCES;
    volume = &volumes[i];
    RtlZeroMemory(volume, sizeof *volume);
    RtlCopyMemory(volume->device, device, (SIZE_T)device_name.Length + 2);
    RtlCopyMemory(volume->guid, guid, (SIZE_T)guid_name.Length + 2);
    volume->bus = (ULONG)c->a[0];
    volume->characteristics = (ULONG)c->a[1];
    volume->type = (ULONG)c->a[2];
    volume->disk_is = (ULONG)c->a[4];
    for (i = 0, at = 0; i < 4 && at < c->bytes; i++, at++)
        for (k = 0; at < c->bytes && c->data[at] != 0; at++)
            if (k < sizeof volume->text[i] - 1)
                volume->text[i][k++] = (char)c->data[at];
    volume->used = TRUE;
    volume->late = c->a[5] != 0;
    return volume->late ? STATUS_SUCCESS : Attach(volume);
}
