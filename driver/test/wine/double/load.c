/*
 * Loading the driver again, in the process that has it: what it writes to is put
 * back as it was when it was loaded, and its entry is called. A start through the
 * service manager takes a good part of a second, and more than a hundred calls are
 * to fail, one start each.
 */
#include "double.h"

#include <ntimage.h>

#define MAX_SECTIONS 4u

static char *image;
static PDRIVER_OBJECT driver;
static struct {
    char *at, *copy;
    SIZE_T bytes;
} fresh[MAX_SECTIONS];

static IMAGE_NT_HEADERS64 *Headers(void) { return (IMAGE_NT_HEADERS64 *)(image + ((IMAGE_DOS_HEADER *)image)->e_lfanew); }

/* With the driver's first call, before it has written anything that counts. */
void LoadRemember(void) {
    IMAGE_SECTION_HEADER *section;
    ULONG i, n = 0;

    image = GetModuleHandleA("assay.sys");
    if (image == NULL)
        return;
    section = IMAGE_FIRST_SECTION(Headers());
    for (i = 0; i < Headers()->FileHeader.NumberOfSections && n < MAX_SECTIONS; i++, section++) {
        if ((section->Characteristics & IMAGE_SCN_MEM_WRITE) == 0)
            continue;
        fresh[n].at = image + section->VirtualAddress;
        fresh[n].bytes = section->Misc.VirtualSize;
        fresh[n].copy = HeapAlloc(GetProcessHeap(), 0, fresh[n].bytes);
        RtlCopyMemory(fresh[n].copy, fresh[n].at, fresh[n].bytes);
        n++;
    }
}

void LoadDriver(PDRIVER_OBJECT object) { driver = object; }
PDRIVER_OBJECT LoadedDriver(void) { return driver; }

/* OP_UNLOAD: as the I/O manager does once the driver has allowed it. */
static NTSTATUS Unload(void) {
    if (driver == NULL || driver->DriverUnload == NULL)
        return STATUS_INVALID_DEVICE_REQUEST;
    driver->DriverUnload(driver);
    driver->DriverUnload = NULL;
    return STATUS_SUCCESS;
}

/* OP_LOAD: a driver that is loaded anew, of which the n-th call that may fail does. */
static NTSTATUS Load(struct double_command *c) {
    WCHAR room[DOUBLE_TEXT + 16];
    UNICODE_STRING path;
    PDRIVER_INITIALIZE entry;
    ULONG i;

    if (image == NULL || driver == NULL || driver->DeviceObject != NULL)
        return STATUS_INVALID_DEVICE_REQUEST;
    DoubleText(&path, room, c->text[0], 0);
    for (i = 0; i < MAX_SECTIONS && fresh[i].copy != NULL; i++)
        RtlCopyMemory(fresh[i].at, fresh[i].copy, fresh[i].bytes);
    leaving = FALSE;
    FailSet("*", (ULONG)c->a[0], (NTSTATUS)c->a[1]);
    entry = (PDRIVER_INITIALIZE)(PVOID)(image + Headers()->OptionalHeader.AddressOfEntryPoint);
    return entry(driver, &path);
}

NTSTATUS LoadRun(struct double_command *c) { return c->op == OP_LOAD ? Load(c) : Unload(); }
