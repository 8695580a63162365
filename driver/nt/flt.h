/*
 * The filter manager's interface, as far as this driver uses it, for x64 Windows.
 * mingw has no fltkernel.h, so each structure says where its offsets are from:
 *   header  the order and types of the fields in fltKernel.h of the WDK (7.1), read; offsets follow by the compiler's rules,
 *           POINTER_ALIGNMENT being an alignment to 8
 *   page    the same of the structure's page in Microsoft's Windows driver reference, read
 *   Wine    asserted against Wine's ddk/fltkernel.h once, by compiling
 * None was yet seen on a machine: step 0 of the checklist in docs/driver.md.
 */
#pragma once

#include "nt.h"

typedef struct FLT_FILTER FLT_FILTER;
typedef struct FLT_INSTANCE FLT_INSTANCE;
typedef struct FLT_VOLUME FLT_VOLUME;

/* header, each member by its own; size: Wine. Newer headers add to section behind what is used here. */
typedef union {
    struct {
        PIO_SECURITY_CONTEXT security;
        ULONG options; /* low 24 bits: FILE_*; high 8: disposition */
        USHORT attributes __attribute__((aligned(8)));
        USHORT share;
        ULONG ea_bytes __attribute__((aligned(8)));
        PVOID ea;
        LARGE_INTEGER allocation;
    } create;
    struct {
        ULONG bytes;
        ULONG key __attribute__((aligned(8)));
        LARGE_INTEGER offset;
        PVOID buffer;
        PMDL mdl;
    } write;
    struct {
        ULONG bytes;
        ULONG class __attribute__((aligned(8)));
        PFILE_OBJECT parent;
        PVOID more;
        PVOID buffer;
    } set_information;
    struct {
        ULONG out_bytes;
        ULONG in_bytes __attribute__((aligned(8)));
        ULONG code __attribute__((aligned(8)));
    } control;
    struct {
        ULONG type;
        ULONG protection;
    } section;
    UCHAR whole[0x30];
} FLT_PARAMETERS;
ASSERT_SIZE(FLT_PARAMETERS, 0x30);
ASSERT_AT(FLT_PARAMETERS, create.options, 0x08);
ASSERT_AT(FLT_PARAMETERS, create.attributes, 0x10);
ASSERT_AT(FLT_PARAMETERS, create.allocation, 0x28);
ASSERT_AT(FLT_PARAMETERS, write.offset, 0x10);
ASSERT_AT(FLT_PARAMETERS, set_information.class, 0x08);
ASSERT_AT(FLT_PARAMETERS, set_information.parent, 0x10);
ASSERT_AT(FLT_PARAMETERS, set_information.buffer, 0x20);
ASSERT_AT(FLT_PARAMETERS, control.code, 0x10);
ASSERT_AT(FLT_PARAMETERS, section.protection, 0x04);

/* header; size: Wine. */
typedef struct {
    ULONG irp_flags;
    UCHAR major;
    UCHAR minor;
    UCHAR operation_flags;
    UCHAR reserved;
    PFILE_OBJECT file;
    FLT_INSTANCE *instance;
    FLT_PARAMETERS parameters;
} FLT_IO_PARAMETER_BLOCK;
ASSERT_SIZE(FLT_IO_PARAMETER_BLOCK, 0x48);
ASSERT_AT(FLT_IO_PARAMETER_BLOCK, file, 0x08);
ASSERT_AT(FLT_IO_PARAMETER_BLOCK, parameters, 0x18);

/* header: context is the second member of its union; size, io and status: Wine. */
typedef struct {
    ULONG flags;
    PETHREAD thread;
    FLT_IO_PARAMETER_BLOCK *io;
    IO_STATUS_BLOCK status;
    PVOID tag_data;
    PVOID context[4];
    KPROCESSOR_MODE mode;
} FLT_CALLBACK_DATA;
ASSERT_SIZE(FLT_CALLBACK_DATA, 0x58);
ASSERT_AT(FLT_CALLBACK_DATA, io, 0x10);
ASSERT_AT(FLT_CALLBACK_DATA, status, 0x18);
ASSERT_AT(FLT_CALLBACK_DATA, mode, 0x50);

/* header, and its size by that. */
typedef struct {
    USHORT size;
    USHORT transaction_context;
    FLT_FILTER *filter;
    FLT_VOLUME *volume;
    FLT_INSTANCE *instance;
    PFILE_OBJECT file;
    PVOID transaction;
} FLT_RELATED_OBJECTS;
ASSERT_SIZE(FLT_RELATED_OBJECTS, 0x30);
ASSERT_AT(FLT_RELATED_OBJECTS, filter, 0x08);
ASSERT_AT(FLT_RELATED_OBJECTS, volume, 0x10);
ASSERT_AT(FLT_RELATED_OBJECTS, instance, 0x18);
ASSERT_AT(FLT_RELATED_OBJECTS, file, 0x20);

/* ReactOS's fltkernel.h, read, and its size by that. */
typedef struct {
    USHORT size;
    USHORT parsed;
    ULONG format;
    UNICODE_STRING name;
    UNICODE_STRING volume;
    UNICODE_STRING share;
    UNICODE_STRING extension;
    UNICODE_STRING stream;
    UNICODE_STRING final;
    UNICODE_STRING parent;
} FLT_FILE_NAME_INFORMATION;
ASSERT_SIZE(FLT_FILE_NAME_INFORMATION, 0x78);
ASSERT_AT(FLT_FILE_NAME_INFORMATION, name, 0x08);

/* With FLT_FILE_NAME_QUERY_DEFAULT: the cache first, then the file system when that is safe. */
#define FLT_FILE_NAME_OPENED_DEFAULT 0x0102u
#define FLT_FILE_NAME_NORMALIZED_DEFAULT 0x0101u

typedef enum { FLT_PREOP_WITH_CALLBACK = 0, FLT_PREOP_NO_CALLBACK = 1, FLT_PREOP_SYNCHRONIZE = 5 } FLT_PREOP;
typedef enum { FLT_POSTOP_FINISHED = 0 } FLT_POSTOP;
#define FLTFL_POST_OPERATION_DRAINING 1u

typedef FLT_PREOP(NTAPI *FLT_PRE_OPERATION)(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context);
typedef FLT_POSTOP(NTAPI *FLT_POST_OPERATION)(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID context,
                                              ULONG flags);

/* header, page; size: Wine. */
typedef struct {
    UCHAR major;
    ULONG flags;
    FLT_PRE_OPERATION pre;
    FLT_POST_OPERATION post;
    PVOID reserved;
} FLT_OPERATION_REGISTRATION;
ASSERT_SIZE(FLT_OPERATION_REGISTRATION, 0x20);
#define FLTFL_OPERATION_SKIP_PAGING_IO 1u
#define FLT_MJ_ACQUIRE_FOR_SECTION 0xFFu
#define FLT_MJ_OPERATION_END 0x80u
#define FLT_SYNC_TYPE_CREATE_SECTION 1u

/* header. */
typedef struct {
    USHORT type;
    USHORT flags;
    VOID(NTAPI *cleanup)(PVOID context, USHORT type);
    SIZE_T size;
    ULONG tag;
    PVOID allocate;
    PVOID free;
    PVOID reserved;
} FLT_CONTEXT_REGISTRATION;
ASSERT_SIZE(FLT_CONTEXT_REGISTRATION, 0x38);
ASSERT_AT(FLT_CONTEXT_REGISTRATION, size, 0x10);
#define FLT_STREAMHANDLE_CONTEXT 0x0010u
#define FLT_CONTEXT_END 0xFFFFu
#define FLT_VARIABLE_SIZED_CONTEXTS ((SIZE_T)-1)
#define FLT_SET_CONTEXT_KEEP_IF_EXISTS 1u

/* page; size, which is that of version 0x0203 with its section callback: Wine. */
typedef struct {
    USHORT size;
    USHORT version;
    ULONG flags;
    const FLT_CONTEXT_REGISTRATION *contexts;
    const FLT_OPERATION_REGISTRATION *operations;
    NTSTATUS(NTAPI *unload)(ULONG flags);
    NTSTATUS(NTAPI *instance_setup)(const FLT_RELATED_OBJECTS *objects, ULONG flags, ULONG device_type, ULONG file_system);
    NTSTATUS(NTAPI *instance_query_teardown)(const FLT_RELATED_OBJECTS *objects, ULONG flags);
    VOID(NTAPI *instance_teardown_start)(const FLT_RELATED_OBJECTS *objects, ULONG reason);
    VOID(NTAPI *instance_teardown_complete)(const FLT_RELATED_OBJECTS *objects, ULONG reason);
    PVOID generate_name;
    PVOID normalize_name;
    PVOID normalize_cleanup;
    PVOID transaction;
    PVOID normalize_name_ex;
    PVOID section;
} FLT_REGISTRATION;
ASSERT_SIZE(FLT_REGISTRATION, 0x70);
ASSERT_AT(FLT_REGISTRATION, unload, 0x18);
ASSERT_AT(FLT_REGISTRATION, section, 0x68);
#define FLT_REGISTRATION_VERSION 0x0203u
#define FLTFL_REGISTRATION_NO_SERVICE_STOP 1u
#define FLTFL_FILTER_UNLOAD_MANDATORY 1u
#define FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD 2u
#define FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT 8u
#define FLT_STATUS_ALREADY_DEFINED ((NTSTATUS)0xC01C0002)
#define FLT_STATUS_DELETING ((NTSTATUS)0xC01C000B)
#define FLT_STATUS_DO_NOT_DETACH ((NTSTATUS)0xC01C0010)
#define FLT_STATUS_DO_NOT_ATTACH ((NTSTATUS)0xC01C000F)

/* header and page, which calls reserved Flags. */
typedef struct {
    ULONG device_type;
    ULONG characteristics; /* FILE_REMOVABLE_MEDIA, FILE_REMOTE_DEVICE ... */
    ULONG flags;
    ULONG alignment;
    USHORT sector;
    USHORT reserved;
    UNICODE_STRING driver;
    UNICODE_STRING file_system;
    UNICODE_STRING device;
} FLT_VOLUME_PROPERTIES;
ASSERT_SIZE(FLT_VOLUME_PROPERTIES, 0x48);
ASSERT_AT(FLT_VOLUME_PROPERTIES, device, 0x38);

NTSYSAPI NTSTATUS NTAPI FltRegisterFilter(PDRIVER_OBJECT driver, const FLT_REGISTRATION *registration, FLT_FILTER **filter);
NTSYSAPI NTSTATUS NTAPI FltStartFiltering(FLT_FILTER *filter);
NTSYSAPI VOID NTAPI FltUnregisterFilter(FLT_FILTER *filter);
NTSYSAPI NTSTATUS NTAPI FltGetFileNameInformation(FLT_CALLBACK_DATA *data, ULONG options, FLT_FILE_NAME_INFORMATION **name);
NTSYSAPI VOID NTAPI FltReleaseFileNameInformation(FLT_FILE_NAME_INFORMATION *name);
NTSYSAPI NTSTATUS NTAPI FltAllocateContext(FLT_FILTER *filter, USHORT type, SIZE_T size, POOL_TYPE pool, PVOID *context);
NTSYSAPI NTSTATUS NTAPI FltSetStreamHandleContext(FLT_INSTANCE *instance, PFILE_OBJECT file, ULONG operation, PVOID context,
                                                  PVOID *old);
NTSYSAPI NTSTATUS NTAPI FltGetStreamHandleContext(FLT_INSTANCE *instance, PFILE_OBJECT file, PVOID *context);
NTSYSAPI VOID NTAPI FltReleaseContext(PVOID context);
NTSYSAPI PEPROCESS NTAPI FltGetRequestorProcess(FLT_CALLBACK_DATA *data);
NTSYSAPI NTSTATUS NTAPI FltQueryInformationFile(FLT_INSTANCE *instance, PFILE_OBJECT file, PVOID out, ULONG bytes, ULONG class,
                                                PULONG returned);
NTSYSAPI NTSTATUS NTAPI FltQueryVolumeInformation(FLT_INSTANCE *instance, PIO_STATUS_BLOCK status, PVOID out, ULONG bytes, ULONG class);
NTSYSAPI NTSTATUS NTAPI FltGetVolumeProperties(FLT_VOLUME *volume, FLT_VOLUME_PROPERTIES *properties, ULONG bytes,
                                               PULONG returned);
NTSYSAPI NTSTATUS NTAPI FltGetVolumeGuidName(FLT_VOLUME *volume, PUNICODE_STRING name, PULONG needed);
NTSYSAPI NTSTATUS NTAPI FltGetVolumeName(FLT_VOLUME *volume, PUNICODE_STRING name, PULONG needed);
NTSYSAPI NTSTATUS NTAPI FltGetDiskDeviceObject(FLT_VOLUME *volume, PDEVICE_OBJECT *disk);
NTSYSAPI NTSTATUS NTAPI FltObjectReference(PVOID object);
NTSYSAPI VOID NTAPI FltObjectDereference(PVOID object);
