/*
 * Volumes: what was mounted, on what kind of bus, of what make, under which GUID and
 * label, and what left. The mount itself only notes the volume; asking the mount
 * manager and the disk can wait for them, so a thread of its own does it (worker.c). What was told of a
 * volume is kept until it leaves, when nobody could be asked any more.
 */
#include "driver.h"

#define NOTED 64u /* volumes noted and not yet described; as many are remembered */
#define NAME_CHARS 128u

enum { GUID_NAME, DEVICE, VENDOR, PRODUCT, SERIAL, LABEL, TEXTS }; /* in the order of the body's references */

typedef struct {
    FLT_VOLUME *volume;
    FLT_INSTANCE *instance;
    ULONG file_system;
} NOTE;

typedef struct {
    FLT_VOLUME *volume; /* a name for it alone: it is not referenced */
    struct assay_volume body;
    BOOLEAN has[TEXTS];
    USHORT bytes[TEXTS];
    WCHAR text[TEXTS][NAME_CHARS];
} KNOWN;

static struct {
    KSPIN_LOCK lock;
    NOTE note[NOTED];
    ULONG count;
    KNOWN *known[NOTED];
    FLT_VOLUME *describing; /* by the thread, at this moment */
    BOOLEAN left;           /* and it left meanwhile */
    BOOLEAN closing;        /* the filter goes, and waits for all that is held */
} volumes;

static VOID Let(const NOTE *note) {
    FltObjectDereference(note->instance);
    FltObjectDereference(note->volume);
}

static BOOLEAN Hold(const NOTE *note) {
    if (!NT_SUCCESS(FltObjectReference(note->volume)))
        return FALSE;
    if (NT_SUCCESS(FltObjectReference(note->instance)))
        return TRUE;
    FltObjectDereference(note->volume);
    return FALSE;
}

NTSTATUS NTAPI VolumeSetup(const FLT_RELATED_OBJECTS *objects, ULONG flags, ULONG device_type, ULONG file_system) {
    NOTE note = {objects->volume, objects->instance, file_system};
    BOOLEAN kept = FALSE;
    KIRQL irql;

    UNREFERENCED_PARAMETER(flags);
    UNREFERENCED_PARAMETER(device_type);
    if (!Hold(&note)) {
        RecordBlind(ASSAY_VOLUME_ARRIVED);
        return STATUS_SUCCESS;
    }
    KeAcquireSpinLock(&volumes.lock, &irql);
    if (volumes.count < NOTED && !volumes.closing) {
        volumes.note[volumes.count++] = note;
        kept = TRUE;
    }
    KeReleaseSpinLock(&volumes.lock, irql);
    if (kept)
        WorkerVolumes();
    else {
        Let(&note);
        RecordBlind(ASSAY_VOLUME_ARRIVED);
    }
    return STATUS_SUCCESS;
}

static VOID PAGED Tell(const KNOWN *known, ULONG kind) {
    EVENT event;
    ULONG i;

    EventActor(&event, kind);
    event.body.volume = known->body;
    for (i = 0; i < TEXTS; i++)
        event.told.text[i] = TextAt(known->has[i] ? known->text[i] : NULL, known->bytes[i]);
    Record(&event);
}

/* The name of its device, which costs nothing to ask for. */
static KNOWN *PAGED Named(FLT_VOLUME *volume) {
    KNOWN *known = MemoryAllocate(sizeof *known);
    UNICODE_STRING name;

    if (known == NULL)
        return NULL;
    known->volume = volume;
    name.Buffer = known->text[DEVICE];
    name.Length = 0;
    name.MaximumLength = sizeof known->text[DEVICE];
    known->has[DEVICE] = NT_SUCCESS(FltGetVolumeName(volume, &name, NULL));
    known->bytes[DEVICE] = known->has[DEVICE] ? name.Length : 0;
    return known;
}

static VOID PAGED Disk(KNOWN *known) {
    NT_STORAGE_DEVICE *answer = MemoryAllocate(DISK_ANSWER_BYTES);

    if (answer != NULL && DiskAsk(known->volume, answer)) {
        ULONG at[TEXTS] = {[VENDOR] = answer->vendor, [PRODUCT] = answer->product, [SERIAL] = answer->serial}, i;

        known->body.bus_type = answer->bus_type;
        known->body.removable = answer->removable;
        for (i = VENDOR; i <= SERIAL; i++) {
            known->bytes[i] = (USHORT)(2u * core_disk_text((const UCHAR *)answer, DISK_ANSWER_BYTES, at[i], known->text[i], NAME_CHARS));
            known->has[i] = known->bytes[i] != 0;
        }
    }
    MemoryFree(answer);
}

static VOID PAGED Label(KNOWN *known, FLT_INSTANCE *instance) {
    union {
        FILE_FS_VOLUME_INFORMATION is;
        UCHAR room[__builtin_offsetof(FILE_FS_VOLUME_INFORMATION, VolumeLabel) + 2u * NAME_CHARS];
    } got;
    IO_STATUS_BLOCK status;

    RtlZeroMemory(&got, sizeof got);
    if (!NT_SUCCESS(FltQueryVolumeInformation(instance, &status, &got, sizeof got, FileFsVolumeInformation)) ||
        got.is.VolumeLabelLength > sizeof known->text[LABEL])
        return;
    known->has[LABEL] = TRUE;
    known->bytes[LABEL] = (USHORT)(got.is.VolumeLabelLength & ~1u);
    RtlCopyMemory(known->text[LABEL], got.is.VolumeLabel, known->bytes[LABEL]);
}

static KNOWN *PAGED Describe(const NOTE *note) {
    FLT_VOLUME_PROPERTIES properties;
    KNOWN *known = Named(note->volume);
    UNICODE_STRING guid;
    ULONG got;

    if (known == NULL)
        return NULL;
    guid.Buffer = known->text[GUID_NAME];
    guid.Length = 0;
    guid.MaximumLength = sizeof known->text[GUID_NAME];
    known->has[GUID_NAME] = NT_SUCCESS(FltGetVolumeGuidName(note->volume, &guid, NULL)); /* network redirectors have none */
    known->bytes[GUID_NAME] = known->has[GUID_NAME] ? guid.Length : 0;
    if (known->bytes[GUID_NAME] >= 4 * sizeof(WCHAR) && guid.Buffer[1] == '?')
        guid.Buffer[1] = '\\'; /* \??\ is the kernel's word for \\?\ */
    RtlZeroMemory(&properties, sizeof properties);
    FltGetVolumeProperties(note->volume, &properties, sizeof properties, &got); /* the fixed part is given even when the names do not fit */
    Disk(known);
    Label(known, note->instance);
    known->body.characteristics = properties.characteristics;
    known->body.file_system = note->file_system;
    if ((properties.characteristics & FILE_REMOVABLE_MEDIA) != 0)
        known->body.removable = 1;
    return known;
}

/* The oldest note, whose volume is described from now until Keep. */
static BOOLEAN RESIDENT Next(NOTE *note) {
    BOOLEAN found = FALSE;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&volumes.lock, &irql);
    if (volumes.count != 0) {
        *note = volumes.note[0];
        for (i = 1; i < volumes.count; i++)
            volumes.note[i - 1] = volumes.note[i];
        volumes.count--;
        volumes.describing = note->volume;
        volumes.left = FALSE;
        found = TRUE;
    }
    KeReleaseSpinLock(&volumes.lock, irql);
    return found;
}

/* Remembers what was told. FALSE when there is no room. left: it is gone already, and not remembered. */
static BOOLEAN RESIDENT Keep(KNOWN *known, BOOLEAN *left) {
    BOOLEAN kept = FALSE;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&volumes.lock, &irql);
    *left = volumes.left;
    volumes.describing = NULL;
    for (i = 0; known != NULL && !*left && i < NOTED && !kept; i++)
        if (volumes.known[i] == NULL) {
            volumes.known[i] = known;
            kept = TRUE;
        }
    KeReleaseSpinLock(&volumes.lock, irql);
    return kept;
}

VOID PAGED VolumesDescribe(VOID) {
    NOTE note;

    while (!WorkerStopping() && Next(&note)) {
        KNOWN *known = Describe(&note);
        BOOLEAN left;

        if (known != NULL)
            Tell(known, ASSAY_VOLUME_ARRIVED);
        else
            RecordBlind(ASSAY_VOLUME_ARRIVED);
        if (!Keep(known, &left)) {
            if (left && known != NULL)
                Tell(known, ASSAY_VOLUME_LEFT);
            else if (left)
                RecordBlind(ASSAY_VOLUME_LEFT);
            MemoryFree(known);
        }
        Let(&note);
    }
}

enum leaving { UNTOLD, TOLD, NOTED_ONLY, BEING_TOLD };

/* Takes a volume out of wherever it is; the thread is told when it is at it. */
static enum leaving RESIDENT Take(FLT_VOLUME *volume, BOOLEAN left, KNOWN **known, NOTE *note) {
    enum leaving found = UNTOLD;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&volumes.lock, &irql);
    for (i = 0; i < NOTED; i++)
        if (volumes.known[i] != NULL && volumes.known[i]->volume == volume) {
            *known = volumes.known[i];
            volumes.known[i] = NULL;
            found = TOLD;
        }
    if (volumes.describing == volume) {
        volumes.left = left;
        found = BEING_TOLD;
    }
    for (i = 0; i < volumes.count && found == UNTOLD; i++)
        if (volumes.note[i].volume == volume) {
            *note = volumes.note[i];
            volumes.note[i] = volumes.note[--volumes.count];
            found = NOTED_ONLY;
        }
    KeReleaseSpinLock(&volumes.lock, irql);
    return found;
}

/* An arrival is told before its leave, if only by name. */
static VOID PAGED TellGone(const KNOWN *known, BOOLEAN told) {
    if (known == NULL) {
        RecordBlind(ASSAY_VOLUME_LEFT);
        return;
    }
    if (!told)
        Tell(known, ASSAY_VOLUME_ARRIVED);
    Tell(known, ASSAY_VOLUME_LEFT);
}

/* While the thread tells of a volume, its leave is the thread's to tell as well. A filter that is undone is no volume that leaves. */
VOID NTAPI PAGED VolumeGone(const FLT_RELATED_OBJECTS *objects, ULONG reason) {
    BOOLEAN left = (reason & FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT) != 0;
    NOTE note = {NULL, NULL, 0};
    KNOWN *known = NULL;
    enum leaving found = Take(objects->volume, left, &known, &note);

    if (left && found != BEING_TOLD) {
        if (known == NULL)
            known = Named(objects->volume);
        TellGone(known, found != NOTED_ONLY);
    }
    if (found == NOTED_ONLY)
        Let(&note);
    MemoryFree(known);
}

/* From now on nothing is noted. */
static BOOLEAN RESIDENT Noted(NOTE *note) {
    BOOLEAN found = FALSE;
    KIRQL irql;

    KeAcquireSpinLock(&volumes.lock, &irql);
    volumes.closing = TRUE;
    if (volumes.count != 0) {
        *note = volumes.note[--volumes.count];
        found = TRUE;
    }
    KeReleaseSpinLock(&volumes.lock, irql);
    return found;
}

/* What nobody describes any more. The thread may be at one, which it lets go of itself. */
VOID PAGED VolumesLet(VOID) {
    NOTE note;

    while (Noted(&note))
        Let(&note);
}

VOID PAGED VolumesForget(VOID) {
    ULONG i;

    for (i = 0; i < NOTED; i++) {
        MemoryFree(volumes.known[i]);
        volumes.known[i] = NULL;
    }
}
