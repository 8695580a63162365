/*
 * The kernel's own interface, as far as this driver uses it: mingw's headers,
 * what they lack, and a check of every layout that we touch. Values come from
 * the public headers and reference pages of Windows; a mistake here is a crash
 * on a real kernel, so each is asserted and none is ever copied into a .c file.
 */
#pragma once

#include <ntifs.h>
#include <ntddk.h>

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define ASSERT_AT(type, field, at) _Static_assert(__builtin_offsetof(type, field) == (at), #type "." #field)

/*
 * Sections. PAGE code may be paged out: it is never reached at DISPATCH_LEVEL or
 * with a spin lock held. INIT code is gone after DriverEntry.
 */
#define PAGED __attribute__((section("PAGE"), noinline))
/* For what takes a spin lock and could be inlined into PAGE code, which would then run at DISPATCH_LEVEL. */
#define RESIDENT __attribute__((noinline))
#define INITIAL __attribute__((section("INIT"), noinline))

/* The registrars below are in every Windows from 10 1607 on; mingw declares them not at all or wrongly. */
NTSYSAPI VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER now);
NTSYSAPI ULONG64 NTAPI KeQueryInterruptTimePrecise(PULONG64 counter);
NTSYSAPI NTSTATUS NTAPI CmCallbackGetKeyObjectIDEx(PLARGE_INTEGER cookie, PVOID object, PULONG_PTR id,
                                                   PCUNICODE_STRING *name, ULONG flags);
NTSYSAPI VOID NTAPI CmCallbackReleaseKeyObjectIDEx(PCUNICODE_STRING name);
NTSYSAPI NTSTATUS NTAPI ZwQuerySystemInformation(ULONG class, PVOID out, ULONG size, PULONG needed);
#define SYSTEM_PROCESS_INFORMATION_CLASS 5u

/* What ZwQuerySystemInformation(5) says of a process, up to the last field that is read here. */
typedef struct {
    ULONG next; /* bytes from this entry to the next, 0 in the last */
    ULONG threads;
    UCHAR reserved[24];
    LARGE_INTEGER created;
    LARGE_INTEGER user_time;
    LARGE_INTEGER kernel_time;
    UNICODE_STRING image; /* the name without its folder */
    LONG base_priority;
    HANDLE pid;
    HANDLE parent;
    ULONG handles;
    ULONG session;
} NT_PROCESS;
ASSERT_AT(NT_PROCESS, created, 0x20);
ASSERT_AT(NT_PROCESS, image, 0x38);
ASSERT_AT(NT_PROCESS, pid, 0x50);
ASSERT_AT(NT_PROCESS, parent, 0x58);
ASSERT_AT(NT_PROCESS, session, 0x64);

/* Classes that are passed as numbers: mingw's enumerations have gaps of their own. */
_Static_assert(TokenUser == 1 && TokenSessionId == 12 && TokenElevationType == 18 && TokenIntegrityLevel == 25, "TOKEN_INFORMATION_CLASS");
_Static_assert(FileStandardInformation == 5 && FileInternalInformation == 6 && FileFsVolumeInformation == 1, "FILE_INFORMATION_CLASS");
ASSERT_SIZE(TOKEN_USER, 0x10);
ASSERT_SIZE(TOKEN_MANDATORY_LABEL, 0x10);
ASSERT_AT(FILE_STANDARD_INFORMATION, EndOfFile, 0x08);

/* POOL_FLAG_NON_PAGED: never executable, zeroed. Windows 10 2004 and later, resolved at run time. */
#define NT_POOL_FLAG_NON_PAGED 0x40ull
typedef PVOID(NTAPI *NT_ALLOCATE_POOL2)(ULONG64 flags, SIZE_T bytes, ULONG tag);
typedef NTSTATUS(NTAPI *NT_PROCESS_EXIT_STATUS)(PEPROCESS process);

/* IMAGE_INFO.Properties, whose upper bits mingw's header does not name. */
#define NT_IMAGE_SYSTEM_MODE(p) (((p) >> 8) & 1u)
#define NT_IMAGE_PARTIAL_MAP(p) (((p) >> 19) & 1u)
#define NT_IMAGE_SIGNATURE_LEVEL(p) (((p) >> 12) & 0xFu)
#define NT_IMAGE_SIGNATURE_TYPE(p) (((p) >> 16) & 0x7u)
#define NT_SIGNING_LEVEL_UNCHECKED 0u
#define NT_SIGNING_LEVEL_UNSIGNED 1u

/* Classes of IRP_MJ_SET_INFORMATION that are newer than mingw's enumeration. */
#define NT_FILE_RENAME 10
#define NT_FILE_LINK 11
#define NT_FILE_DISPOSITION 13
#define NT_FILE_ALLOCATION 19
#define NT_FILE_END_OF_FILE 20
#define NT_FILE_DISPOSITION_EX 64
#define NT_FILE_RENAME_EX 65
#define NT_FILE_LINK_EX 72

/* FILE_RENAME_INFORMATION and FILE_LINK_INFORMATION share this shape, with and without Ex. */
typedef struct {
    union {
        BOOLEAN replace; /* the older classes */
        ULONG flags;     /* the Ex classes: bit 0 is replace, bit 1 POSIX semantics */
    };
    HANDLE root;
    ULONG name_bytes;
    WCHAR name[1];
} NT_FILE_NAME_CHANGE;
ASSERT_AT(NT_FILE_NAME_CHANGE, root, 8);
ASSERT_AT(NT_FILE_NAME_CHANGE, name_bytes, 16);
ASSERT_AT(NT_FILE_NAME_CHANGE, name, 20);
#define NT_REPLACE_IF_EXISTS 1u
#define NT_FILE_DISPOSITION_DELETE 1u
#define NT_FILE_DISPOSITION_ON_CLOSE 8u

/* FileIdInformation, since Windows 8: the identifier of 128 bits. */
#define NT_FILE_ID_INFORMATION 59
typedef struct {
    ULONG64 volume;
    UCHAR id[16];
} NT_FILE_ID;
ASSERT_SIZE(NT_FILE_ID, 24);

/* FSCTLs that change a file without a write. */
#define NT_FSCTL_SET_ZERO_DATA 0x000980C8u
#define NT_FSCTL_DUPLICATE_EXTENTS 0x00098344u
#define NT_FSCTL_DUPLICATE_EXTENTS_EX 0x000983E8u
#define NT_FSCTL_OFFLOAD_WRITE 0x00098268u

/* IOCTL_STORAGE_QUERY_PROPERTY and the head of STORAGE_DEVICE_DESCRIPTOR. */
#define NT_IOCTL_STORAGE_QUERY_PROPERTY 0x002D1400u
typedef struct {
    ULONG property; /* 0: StorageDeviceProperty */
    ULONG query;    /* 0: PropertyStandardQuery */
    UCHAR more[4];
} NT_STORAGE_QUERY;
ASSERT_SIZE(NT_STORAGE_QUERY, 12);
typedef struct {
    ULONG version;
    ULONG size;
    UCHAR device_type;
    UCHAR device_type_modifier;
    BOOLEAN removable;
    BOOLEAN command_queueing;
    ULONG vendor;
    ULONG product;
    ULONG revision;
    ULONG serial;
    ULONG bus_type;
    ULONG raw_bytes;
    UCHAR raw[4];
} NT_STORAGE_DEVICE;
ASSERT_AT(NT_STORAGE_DEVICE, removable, 0x0A);
ASSERT_AT(NT_STORAGE_DEVICE, serial, 0x18);
ASSERT_AT(NT_STORAGE_DEVICE, vendor, 0x0C);
ASSERT_AT(NT_STORAGE_DEVICE, product, 0x10);
ASSERT_AT(NT_STORAGE_DEVICE, bus_type, 0x1C);

ASSERT_AT(FILE_FS_VOLUME_INFORMATION, VolumeLabelLength, 0x0C);
ASSERT_AT(FILE_FS_VOLUME_INFORMATION, VolumeLabel, 0x12);

/* Layouts of mingw's headers that this driver reads or fills, against the public ABI of x64 Windows. */
ASSERT_SIZE(PS_CREATE_NOTIFY_INFO, 0x48);
ASSERT_AT(PS_CREATE_NOTIFY_INFO, ParentProcessId, 0x10);
ASSERT_AT(PS_CREATE_NOTIFY_INFO, CreatingThreadId, 0x18);
ASSERT_AT(PS_CREATE_NOTIFY_INFO, ImageFileName, 0x30);
ASSERT_AT(PS_CREATE_NOTIFY_INFO, CommandLine, 0x38);
ASSERT_AT(PS_CREATE_NOTIFY_INFO, CreationStatus, 0x40);
ASSERT_SIZE(IMAGE_INFO, 0x28);
ASSERT_AT(IMAGE_INFO, ImageBase, 0x08);
ASSERT_AT(IMAGE_INFO, ImageSize, 0x18);
ASSERT_SIZE(IRP, 0xD0);
ASSERT_AT(IRP, MdlAddress, 0x08);
ASSERT_AT(IRP, AssociatedIrp, 0x18);
ASSERT_AT(IRP, IoStatus, 0x30);
ASSERT_AT(IRP, Cancel, 0x44);
ASSERT_AT(IRP, CancelIrql, 0x45);
ASSERT_AT(IRP, CancelRoutine, 0x68);
ASSERT_AT(IRP, UserBuffer, 0x70);
ASSERT_AT(IRP, Tail.Overlay.ListEntry, 0xA8);
ASSERT_AT(IRP, Tail.Overlay.CurrentStackLocation, 0xB8);
ASSERT_SIZE(IO_STACK_LOCATION, 0x48);
ASSERT_AT(IO_STACK_LOCATION, FileObject, 0x30);
ASSERT_AT(IO_STACK_LOCATION, Control, 0x03);
ASSERT_SIZE(DRIVER_OBJECT, 0x150);
ASSERT_AT(DRIVER_OBJECT, DriverUnload, 0x68);
ASSERT_AT(DRIVER_OBJECT, MajorFunction, 0x70);
ASSERT_AT(DEVICE_OBJECT, Flags, 0x30);
ASSERT_SIZE(FILE_OBJECT, 0xD8);
ASSERT_AT(FILE_OBJECT, FsContext, 0x18);
ASSERT_AT(FILE_OBJECT, Flags, 0x50);
ASSERT_SIZE(KEVENT, 0x18);
ASSERT_SIZE(MDL, 0x30);
ASSERT_SIZE(EX_RUNDOWN_REF, 0x08);
ASSERT_SIZE(OB_PRE_OPERATION_INFORMATION, 0x28);
ASSERT_AT(OB_PRE_OPERATION_INFORMATION, Object, 0x08);
ASSERT_AT(OB_PRE_OPERATION_INFORMATION, Parameters, 0x20);
ASSERT_SIZE(OB_CALLBACK_REGISTRATION, 0x28);
ASSERT_SIZE(OB_OPERATION_REGISTRATION, 0x20);
ASSERT_SIZE(REG_SET_VALUE_KEY_INFORMATION, 0x40);
ASSERT_AT(REG_SET_VALUE_KEY_INFORMATION, ValueName, 0x08);
ASSERT_AT(REG_SET_VALUE_KEY_INFORMATION, Type, 0x14);
ASSERT_AT(REG_SET_VALUE_KEY_INFORMATION, Data, 0x18);
ASSERT_AT(REG_SET_VALUE_KEY_INFORMATION, DataSize, 0x20);
ASSERT_AT(REG_DELETE_VALUE_KEY_INFORMATION, ValueName, 0x08);
ASSERT_AT(REG_RENAME_KEY_INFORMATION, NewName, 0x08);
ASSERT_SIZE(REG_POST_OPERATION_INFORMATION, 0x38);
ASSERT_AT(REG_POST_OPERATION_INFORMATION, Status, 0x08);
ASSERT_AT(REG_POST_OPERATION_INFORMATION, PreInformation, 0x10);
ASSERT_AT(REG_POST_OPERATION_INFORMATION, CallContext, 0x20);
