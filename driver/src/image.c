/*
 * Images: drivers, and of what processes load the images that are not the
 * system's own: outside of the Windows folder, or known to be unsigned. The agent's
 * process is no exception: what is made to load into it is what an attacker would use. The level
 * of a signature is known only where code integrity looked at it.
 */
#include "driver.h"

static BOOLEAN PAGED Interesting(PCUNICODE_STRING path, ULONG properties) {
    static const WCHAR device[] = L"\\Device\\HarddiskVolume", windows[] = L"\\Windows\\", root[] = L"\\SystemRoot\\";
    UNICODE_STRING rest;
    ULONG at, chars;

    if (NT_IMAGE_SYSTEM_MODE(properties) || NT_IMAGE_SIGNATURE_LEVEL(properties) == NT_SIGNING_LEVEL_UNSIGNED)
        return TRUE;
    if (PathStartsWith(path, root, sizeof root / sizeof(WCHAR) - 1))
        return FALSE;
    if (!PathStartsWith(path, device, sizeof device / sizeof(WCHAR) - 1))
        return TRUE;
    chars = path->Length / sizeof(WCHAR);
    for (at = sizeof device / sizeof(WCHAR) - 1; at < chars && path->Buffer[at] != '\\'; at++)
        ;
    rest.Buffer = path->Buffer + at;
    rest.Length = rest.MaximumLength = (USHORT)((chars - at) * sizeof(WCHAR));
    return !PathStartsWith(&rest, windows, sizeof windows / sizeof(WCHAR) - 1);
}

static VOID NTAPI PAGED OnImage(PUNICODE_STRING path, HANDLE pid, PIMAGE_INFO info) {
    EVENT event;

    if (NT_IMAGE_PARTIAL_MAP(info->Properties) || !Interesting(path, info->Properties))
        return;
    EventActor(&event, ASSAY_IMAGE_LOADED);
    event.body.image.process = (ULONG)(ULONG_PTR)pid;
    event.body.image.process_created = TableCreated(event.body.image.process);
    event.body.image.base = (ULONG_PTR)info->ImageBase;
    event.body.image.size = info->ImageSize;
    event.body.image.driver = NT_IMAGE_SYSTEM_MODE(info->Properties);
    event.body.image.signature_level = NT_IMAGE_SIGNATURE_LEVEL(info->Properties);
    event.body.image.signature_type = NT_IMAGE_SIGNATURE_TYPE(info->Properties);
    event.told.text[0] = event.path = TextOf(path);
    Record(&event);
}

static NTSTATUS INITIAL Start(VOID) { return PsSetLoadImageNotifyRoutine(OnImage); }
static VOID PAGED Stop(VOID) { PsRemoveLoadImageNotifyRoutine(OnImage); }

const SOURCE image_source = {"image", Start, Stop};
