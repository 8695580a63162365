/*
 * Files, as a minifilter: its operations (filter.c registers them). A name is asked for only after a create, when the file
 * system can give it without a lock of ours in the way, and is kept with the open
 * handle; everything later speaks of that name. A change is told at the first write
 * through a handle, a delete once the file system says that it is one. docs/driver.md holds the table of operations and
 * the known hole of each.
 */
#include "driver.h"

/* What was done through a handle so far. */
#define WAY_WRITE 0x01u
#define WAY_MAPPED 0x04u
#define WAY_DISPOSITION 0x10u
#define WAY_DISPOSITION_EX 0x20u
#define WAY_ON_CLOSE 0x40u
#define WAYS_OF_DELETE (WAY_DISPOSITION | WAY_DISPOSITION_EX | WAY_ON_CLOSE)

typedef struct {
    volatile LONG ways;
    ULONG holes;       /* of all that is told of this handle */
    ULONG64 id[2];     /* 0 unknown */
    ULONG64 size;      /* when it was opened */
    USHORT path_bytes;
    USHORT path_whole; /* what is longer than a record takes is cut here, and says so */
    WCHAR path[];
} HANDLE_CONTEXT;

/* Whose request this is: the requestor, which for a write by the system is not the running process. */
static ULONG Requestor(FLT_CALLBACK_DATA *data) {
    PEPROCESS process = FltGetRequestorProcess(data);

    return process == NULL ? 0 : (ULONG)(ULONG_PTR)PsGetProcessId(process);
}

static VOID Actor(EVENT *event, ULONG kind, FLT_CALLBACK_DATA *data) {
    ULONG pid = Requestor(data);

    EventOf(event, kind, pid, (ULONG)(ULONG_PTR)PsGetCurrentThreadId(), TableCreated(pid));
}

static BOOLEAN ByAgent(FLT_CALLBACK_DATA *data) {
    ULONG agent = AgentPid();

    return agent != 0 && Requestor(data) == agent;
}

static FLT_PREOP NTAPI PreCreate(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    UNREFERENCED_PARAMETER(context);
    if ((data->io->irp_flags & IRP_PAGING_IO) != 0 || (data->io->operation_flags & SL_OPEN_PAGING_FILE) != 0 ||
        (objects->file->Flags & FO_VOLUME_OPEN) != 0 || ByAgent(data))
        return FLT_PREOP_NO_CALLBACK;
    return FLT_PREOP_WITH_CALLBACK;
}

/* What is known of a file from its open on. */
typedef struct {
    ULONG holes;
    ULONG64 id[2];
    ULONG64 size;
} FACTS;

/*
 * Asked of the file system after the open, at PASSIVE_LEVEL, and below us. A server is
 * not asked: nobody's open waits for a network because of us.
 */
static VOID Ask(const FLT_RELATED_OBJECTS *objects, const FLT_FILE_NAME_INFORMATION *name, FACTS *out) {
    static const WCHAR server[] = L"\\Device\\Mup\\";
    FILE_STANDARD_INFORMATION standard;
    NT_FILE_ID id;
    FILE_INTERNAL_INFORMATION internal;

    RtlZeroMemory(out, sizeof *out);
    if (PathStartsWith(&name->name, server, sizeof server / sizeof(WCHAR) - 1)) {
        out->holes = ASSAY_HOLE_REMOTE;
        return;
    }
    if (NT_SUCCESS(FltQueryInformationFile(objects->instance, objects->file, &standard, sizeof standard, FileStandardInformation, NULL)))
        out->size = (ULONG64)standard.EndOfFile.QuadPart;
    if (NT_SUCCESS(FltQueryInformationFile(objects->instance, objects->file, &id, sizeof id, NT_FILE_ID_INFORMATION, NULL)))
        RtlCopyMemory(out->id, id.id, sizeof out->id);
    else if (NT_SUCCESS(FltQueryInformationFile(objects->instance, objects->file, &internal, sizeof internal, FileInternalInformation, NULL)) &&
             internal.IndexNumber.QuadPart != -1) /* -1: it has none that 64 bits can hold */
        out->id[0] = (ULONG64)internal.IndexNumber.QuadPart;
}

/*
 * A handle that can change, delete or rename gets a context; the others cost nothing from
 * here on. Without it nothing is known of what comes through the handle: that is counted.
 */
static VOID Remember(const FLT_RELATED_OBJECTS *objects, const FLT_FILE_NAME_INFORMATION *name, const FACTS *facts, ULONG ways) {
    USHORT bytes = name->name.Length < ASSAY_MOST_PATH ? name->name.Length : ASSAY_MOST_PATH;
    HANDLE_CONTEXT *handle;
    NTSTATUS status;

    if (!NT_SUCCESS(FltAllocateContext(FileFilter(), FLT_STREAMHANDLE_CONTEXT, sizeof *handle + bytes, NonPagedPoolNx, (PVOID *)&handle))) {
        RecordBlind(ASSAY_FILE_WRITTEN);
        return;
    }
    RtlZeroMemory(handle, sizeof *handle);
    handle->ways = (LONG)ways;
    handle->holes = facts->holes;
    RtlCopyMemory(handle->id, facts->id, sizeof handle->id);
    handle->size = facts->size;
    handle->path_bytes = bytes;
    handle->path_whole = name->name.Length;
    RtlCopyMemory(handle->path, name->name.Buffer, bytes);
    status = FltSetStreamHandleContext(objects->instance, objects->file, FLT_SET_CONTEXT_KEEP_IF_EXISTS, handle, NULL);
    if (!NT_SUCCESS(status) && status != FLT_STATUS_ALREADY_DEFINED)
        RecordBlind(ASSAY_FILE_WRITTEN);
    FltReleaseContext(handle);
}

static VOID Tamper(FLT_CALLBACK_DATA *data, ULONG kind, struct core_text path) {
    EVENT event;

    if (!IsOurs(kind, path))
        return;
    Actor(&event, ASSAY_TAMPER, data);
    event.body.tamper.what = ASSAY_TAMPER_FILE;
    event.told.text[0] = path;
    Record(&event);
}

/* A name that holds a colon behind its last backslash is a stream's. */
static BOOLEAN IsStream(PCUNICODE_STRING name) {
    ULONG i = name->Length / sizeof(WCHAR);

    while (i > 0 && name->Buffer[i - 1] != '\\')
        if (name->Buffer[--i] == ':')
            return TRUE;
    return FALSE;
}

static VOID Made(FLT_CALLBACK_DATA *data, const FLT_FILE_NAME_INFORMATION *name, const FACTS *facts, ACCESS_MASK access) {
    ULONG happened = (ULONG)data->status.Information;
    EVENT event;

    Actor(&event, IsStream(&name->name) ? ASSAY_FILE_STREAM_CREATED : ASSAY_FILE_CREATED, data);
    event.body.file.holes = facts->holes;
    RtlCopyMemory(event.body.file.file_id, facts->id, sizeof event.body.file.file_id);
    event.body.file.size = facts->size;
    event.body.file.disposition = happened;
    event.body.file.access = access;
    EventPath(&event, TextOf(&name->name));
    event.told.text[2] = NoText();
    Record(&event);
    if (happened != FILE_CREATED)
        Tamper(data, ASSAY_FILE_CREATED, event.path);
}

static FLT_POSTOP NTAPI PostCreate(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID context, ULONG flags) {
    static const ACCESS_MASK changes = FILE_WRITE_DATA | FILE_APPEND_DATA | DELETE | FILE_WRITE_ATTRIBUTES;
    ULONG options = data->io->parameters.create.options & 0x00FFFFFFu;
    ULONG happened = (ULONG)data->status.Information;
    ACCESS_MASK access = data->io->parameters.create.security->DesiredAccess;
    BOOLEAN made = happened == FILE_CREATED || happened == FILE_OVERWRITTEN || happened == FILE_SUPERSEDED;
    BOOLEAN on_close = (options & FILE_DELETE_ON_CLOSE) != 0, opened = FALSE;
    FLT_FILE_NAME_INFORMATION *name;
    FACTS facts;

    UNREFERENCED_PARAMETER(context);
    if ((flags & FLTFL_POST_OPERATION_DRAINING) != 0 || !NT_SUCCESS(data->status.Status) ||
        data->status.Status == STATUS_REPARSE)
        return FLT_POSTOP_FINISHED;
    if (!made && (access & changes) == 0 && !on_close)
        return FLT_POSTOP_FINISHED;
    if (!NT_SUCCESS(FltGetFileNameInformation(data, FLT_FILE_NAME_NORMALIZED_DEFAULT, &name))) {
        opened = TRUE;
        if (!NT_SUCCESS(FltGetFileNameInformation(data, FLT_FILE_NAME_OPENED_DEFAULT, &name))) {
            RecordBlind(ASSAY_FILE_CREATED);
            return FLT_POSTOP_FINISHED;
        }
    }
    Ask(objects, name, &facts);
    facts.holes |= opened ? ASSAY_HOLE_NAME_OPENED : 0;
    if ((access & changes) != 0 || on_close)
        Remember(objects, name, &facts, on_close ? WAY_ON_CLOSE : 0);
    if (made)
        Made(data, name, &facts, access);
    FltReleaseFileNameInformation(name);
    return FLT_POSTOP_FINISHED;
}

static HANDLE_CONTEXT *HandleOf(const FLT_RELATED_OBJECTS *objects) {
    HANDLE_CONTEXT *handle;

    return NT_SUCCESS(FltGetStreamHandleContext(objects->instance, objects->file, (PVOID *)&handle)) ? handle : NULL;
}

static struct core_text PathOf(const HANDLE_CONTEXT *handle) {
    struct core_text path = {handle->path, handle->path_bytes, handle->path_whole};

    return path;
}

static VOID Handle(EVENT *event, const HANDLE_CONTEXT *handle, ULONG holes) {
    event->body.file.holes = handle->holes | holes;
    RtlCopyMemory(event->body.file.file_id, handle->id, sizeof event->body.file.file_id);
    event->body.file.size = handle->size;
    EventPath(event, PathOf(handle));
}

static VOID Told(FLT_CALLBACK_DATA *data, HANDLE_CONTEXT *handle, ULONG kind, ULONG holes, ULONG route) {
    EVENT event;

    Actor(&event, kind, data);
    Handle(&event, handle, holes);
    event.body.file.route = route;
    event.told.text[2] = NoText();
    Record(&event);
    Tamper(data, kind, event.path);
}

/*
 * The first change of its way through a handle is told; the others only cost this. The
 * agent is asked for here as well: what it opened before its first read has a context.
 */
static VOID Mark(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, ULONG way, ULONG kind, ULONG holes) {
    HANDLE_CONTEXT *handle = ByAgent(data) ? NULL : HandleOf(objects);

    if (handle == NULL)
        return;
    if ((InterlockedOr(&handle->ways, (LONG)way) & (LONG)way) == 0)
        Told(data, handle, kind, holes, ASSAY_ROUTE_NONE);
    FltReleaseContext(handle);
}

static FLT_PREOP NTAPI PreWrite(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    UNREFERENCED_PARAMETER(context);
    Mark(data, objects, WAY_WRITE, ASSAY_FILE_WRITTEN, 0);
    return FLT_PREOP_NO_CALLBACK;
}

/* A writable section is a promise to write: the writes themselves are the memory manager's and name nobody. */
static FLT_PREOP NTAPI PreSection(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    ULONG writable = PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;

    UNREFERENCED_PARAMETER(context);
    writable &= ~(PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY); /* copies never reach the file */
    if (data->io->parameters.section.type == FLT_SYNC_TYPE_CREATE_SECTION &&
        (data->io->parameters.section.protection & writable) != 0)
        Mark(data, objects, WAY_MAPPED, ASSAY_FILE_MAPPED, ASSAY_HOLE_MAPPED_WRITE);
    return FLT_PREOP_NO_CALLBACK;
}

static FLT_PREOP NTAPI PreControl(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    ULONG code = data->io->parameters.control.code;

    UNREFERENCED_PARAMETER(context);
    if (code == NT_FSCTL_SET_ZERO_DATA || code == NT_FSCTL_DUPLICATE_EXTENTS || code == NT_FSCTL_DUPLICATE_EXTENTS_EX ||
        code == NT_FSCTL_OFFLOAD_WRITE)
        Mark(data, objects, WAY_WRITE, ASSAY_FILE_WRITTEN, ASSAY_HOLE_BLOCK_CLONE);
    return FLT_PREOP_NO_CALLBACK;
}

/* The outcome is known only after; the same thread and IRQL are asked for, so that the buffer still may be read. */
static FLT_PREOP NTAPI PreSet(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    UNREFERENCED_PARAMETER(context);
    UNREFERENCED_PARAMETER(objects);
    switch (data->io->parameters.set_information.class) {
    case NT_FILE_RENAME:
    case NT_FILE_RENAME_EX:
    case NT_FILE_LINK:
    case NT_FILE_LINK_EX:
    case NT_FILE_DISPOSITION:
    case NT_FILE_DISPOSITION_EX:
    case NT_FILE_END_OF_FILE:
    case NT_FILE_ALLOCATION:
        return ByAgent(data) ? FLT_PREOP_NO_CALLBACK : FLT_PREOP_SYNCHRONIZE;
    default:
        return FLT_PREOP_NO_CALLBACK;
    }
}

static VOID Renamed(FLT_CALLBACK_DATA *data, HANDLE_CONTEXT *handle, ULONG class) {
    const NT_FILE_NAME_CHANGE *change = data->io->parameters.set_information.buffer;
    ULONG room = data->io->parameters.set_information.bytes, head = (ULONG)__builtin_offsetof(NT_FILE_NAME_CHANGE, name);
    BOOLEAN ex = class == NT_FILE_RENAME_EX || class == NT_FILE_LINK_EX, over;
    EVENT event;

    if (change == NULL || room < head || change->name_bytes > room - head)
        return;
    Actor(&event, class == NT_FILE_RENAME || class == NT_FILE_RENAME_EX ? ASSAY_FILE_RENAMED : ASSAY_FILE_LINKED, data);
    over = ex ? (change->flags & NT_REPLACE_IF_EXISTS) != 0 : change->replace != 0;
    Handle(&event, handle, over ? ASSAY_HOLE_RENAME_OVER : 0); /* what stood there is gone, and its own record is not made */
    event.body.file.route = over ? ASSAY_ROUTE_RENAME_OVER : ASSAY_ROUTE_NONE;
    event.told.text[2] = TextAt(change->name, change->name_bytes);
    Record(&event);
    Tamper(data, event.told.kind, event.path);
}

/* Two states, as file systems keep them: a disposition, of either class, and on-close, which only its own flag sets or takes back. */
static VOID Disposed(FLT_CALLBACK_DATA *data, HANDLE_CONTEXT *handle, ULONG class) {
    const ULONG *flags = data->io->parameters.set_information.buffer;
    ULONG room = data->io->parameters.set_information.bytes;
    LONG way = WAY_DISPOSITION;
    BOOLEAN wanted;

    if (flags == NULL || room < (class == NT_FILE_DISPOSITION ? 1u : 4u))
        return;
    if (class == NT_FILE_DISPOSITION)
        wanted = *(const BOOLEAN *)flags;
    else {
        way = (*flags & NT_FILE_DISPOSITION_ON_CLOSE) != 0 ? WAY_ON_CLOSE : WAY_DISPOSITION_EX;
        wanted = (*flags & NT_FILE_DISPOSITION_DELETE) != 0;
    }
    if (wanted)
        InterlockedOr(&handle->ways, way);
    else
        InterlockedAnd(&handle->ways, way == WAY_ON_CLOSE ? ~(LONG)WAY_ON_CLOSE : ~(LONG)(WAY_DISPOSITION | WAY_DISPOSITION_EX));
}

static FLT_POSTOP NTAPI PostSet(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID context, ULONG flags) {
    ULONG class = data->io->parameters.set_information.class;
    HANDLE_CONTEXT *handle;

    UNREFERENCED_PARAMETER(context);
    if ((flags & FLTFL_POST_OPERATION_DRAINING) != 0 || !NT_SUCCESS(data->status.Status))
        return FLT_POSTOP_FINISHED;
    handle = HandleOf(objects);
    if (handle == NULL)
        return FLT_POSTOP_FINISHED;
    switch (class) {
    case NT_FILE_DISPOSITION:
    case NT_FILE_DISPOSITION_EX:
        Disposed(data, handle, class);
        break;
    case NT_FILE_END_OF_FILE:
    case NT_FILE_ALLOCATION:
        if ((InterlockedOr(&handle->ways, WAY_WRITE) & (LONG)WAY_WRITE) == 0)
            Told(data, handle, ASSAY_FILE_WRITTEN, 0, ASSAY_ROUTE_NONE);
        break;
    default:
        Renamed(data, handle, class);
        break;
    }
    FltReleaseContext(handle);
    return FLT_POSTOP_FINISHED;
}

static FLT_PREOP NTAPI PreCleanup(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID *context) {
    HANDLE_CONTEXT *handle = HandleOf(objects);
    LONG ways;

    UNREFERENCED_PARAMETER(data);
    UNREFERENCED_PARAMETER(context);
    if (handle == NULL)
        return FLT_PREOP_NO_CALLBACK;
    ways = handle->ways;
    FltReleaseContext(handle);
    return (ways & (LONG)WAYS_OF_DELETE) == 0 ? FLT_PREOP_NO_CALLBACK : FLT_PREOP_SYNCHRONIZE;
}

static ULONG RouteOf(ULONG ways) {
    if ((ways & WAY_DISPOSITION_EX) != 0)
        return ASSAY_ROUTE_DISPOSITION_EX;
    return (ways & WAY_DISPOSITION) != 0 ? ASSAY_ROUTE_DISPOSITION : ASSAY_ROUTE_ON_CLOSE;
}

static FLT_POSTOP NTAPI PostCleanup(FLT_CALLBACK_DATA *data, const FLT_RELATED_OBJECTS *objects, PVOID context, ULONG flags) {
    FILE_STANDARD_INFORMATION standard;
    HANDLE_CONTEXT *handle;
    ULONG ways;

    UNREFERENCED_PARAMETER(context);
    if ((flags & FLTFL_POST_OPERATION_DRAINING) != 0 || ByAgent(data))
        return FLT_POSTOP_FINISHED;
    handle = HandleOf(objects);
    if (handle == NULL)
        return FLT_POSTOP_FINISHED;
    ways = (ULONG)handle->ways;
    /* Asked to be deleted is not deleted: another handle may keep it, or undo it. The file system knows. */
    if ((ways & WAYS_OF_DELETE) != 0 &&
        FltQueryInformationFile(objects->instance, objects->file, &standard, sizeof standard, FileStandardInformation, NULL) ==
            STATUS_FILE_DELETED)
        Told(data, handle, ASSAY_FILE_DELETED, 0, RouteOf(ways));
    FltReleaseContext(handle);
    return FLT_POSTOP_FINISHED;
}

const FLT_OPERATION_REGISTRATION file_operations[] = {
    {IRP_MJ_CREATE, 0, PreCreate, PostCreate, NULL},
    {IRP_MJ_WRITE, FLTFL_OPERATION_SKIP_PAGING_IO, PreWrite, NULL, NULL},
    {IRP_MJ_SET_INFORMATION, FLTFL_OPERATION_SKIP_PAGING_IO, PreSet, PostSet, NULL},
    {IRP_MJ_FILE_SYSTEM_CONTROL, 0, PreControl, NULL, NULL},
    {FLT_MJ_ACQUIRE_FOR_SECTION, 0, PreSection, NULL, NULL},
    {IRP_MJ_CLEANUP, 0, PreCleanup, PostCleanup, NULL},
    {FLT_MJ_OPERATION_END, 0, NULL, NULL, NULL},
};
