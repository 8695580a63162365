/* The filter manager: files, volumes and what hangs on them. */
#include "file.h"

#define MAX_FILES 4096u

struct context {
    volatile LONG references;
    USHORT type;
    SIZE_T size;
    ULONG64 pad;
};

/* An instance is its volume here. */
struct file {
    ULONG64 id;
    FILE_OBJECT object;
    WCHAR path[DOUBLE_TEXT];
    struct context *context;
    BOOLEAN deleted;
};

FLT_FILTER the_filter;
static struct file *files[MAX_FILES];
static KSPIN_LOCK file_lock;
static volatile LONG firing, names;

static void Hold(void) {
    while (InterlockedExchange64((LONG64 *)&file_lock, 1) != 0)
        Sleep(0);
}
static void Free(void) { InterlockedExchange64((LONG64 *)&file_lock, 0); }

EXPORT NTSTATUS NTAPI FltRegisterFilter(PDRIVER_OBJECT driver, const FLT_REGISTRATION *registration, FLT_FILTER **out) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "FltRegisterFilter");
    if (Fail("FltRegisterFilter", &status))
        return status;
    if (driver == NULL || registration->size != sizeof *registration || registration->version != FLT_REGISTRATION_VERSION)
        return STATUS_INVALID_PARAMETER;
    the_filter.registration = registration;
    the_filter.started = FALSE;
    *out = &the_filter;
    InterlockedIncrement(&registered);
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI FltStartFiltering(FLT_FILTER *filter) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "FltStartFiltering");
    if (Fail("FltStartFiltering", &status))
        return status;
    filter->started = TRUE;
    VolumesAttach();
    return STATUS_SUCCESS;
}

static const FLT_OPERATION_REGISTRATION *Operation(ULONG major) {
    const FLT_OPERATION_REGISTRATION *op;

    if (the_filter.registration == NULL || !the_filter.started)
        return NULL;
    for (op = the_filter.registration->operations; op->major != FLT_MJ_OPERATION_END; op++)
        if (op->major == major)
            return op;
    return NULL;
}

EXPORT VOID NTAPI FltReleaseContext(PVOID context) {
    struct context *c = (struct context *)context - 1;
    const FLT_CONTEXT_REGISTRATION *r;

    RequireIrql(APC_LEVEL, "FltReleaseContext");
    if (InterlockedDecrement(&c->references) != 0)
        return;
    if (the_filter.registration != NULL)
        for (r = the_filter.registration->contexts; r->type != FLT_CONTEXT_END; r++)
            if (r->type == c->type && r->cleanup != NULL)
                r->cleanup(context, c->type);
    InterlockedDecrement(&contexts);
    HeapFree(GetProcessHeap(), 0, c);
}

EXPORT NTSTATUS NTAPI FltAllocateContext(FLT_FILTER *filter, USHORT type, SIZE_T size, POOL_TYPE pool, PVOID *out) {
    struct context *c;
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "FltAllocateContext");
    if (filter != &the_filter)
        return STATUS_INVALID_PARAMETER;
    if (pool != NonPagedPoolNx)
        Violation("context that is not NonPagedPoolNx", "FltAllocateContext");
    if (Fail("FltAllocateContext", &status))
        return status;
    c = HeapAlloc(GetProcessHeap(), 8, sizeof *c + size);
    c->references = 1;
    c->type = type;
    c->size = size;
    InterlockedIncrement(&contexts);
    *out = c + 1;
    return STATUS_SUCCESS;
}

static struct file *FileOf(PFILE_OBJECT object) { return CONTAINING_RECORD(object, struct file, object); }

EXPORT NTSTATUS NTAPI FltSetStreamHandleContext(FLT_INSTANCE *instance, PFILE_OBJECT object, ULONG operation, PVOID context,
                                                PVOID *old) {
    struct file *file = FileOf(object);
    struct context *c = (struct context *)context - 1;
    NTSTATUS status;

    UNREFERENCED_PARAMETER(instance);
    RequireIrql(APC_LEVEL, "FltSetStreamHandleContext");
    if (Fail("FltSetStreamHandleContext", &status))
        return status;
    if (operation != FLT_SET_CONTEXT_KEEP_IF_EXISTS || old != NULL)
        return STATUS_INVALID_PARAMETER;
    if (file->context != NULL)
        return FLT_STATUS_ALREADY_DEFINED;
    InterlockedIncrement(&c->references);
    file->context = c;
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI FltGetStreamHandleContext(FLT_INSTANCE *instance, PFILE_OBJECT object, PVOID *context) {
    struct file *file = FileOf(object);

    UNREFERENCED_PARAMETER(instance);
    RequireIrql(APC_LEVEL, "FltGetStreamHandleContext");
    if (file->context == NULL)
        return STATUS_NOT_FOUND;
    InterlockedIncrement(&file->context->references);
    *context = file->context + 1;
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI FltGetFileNameInformation(FLT_CALLBACK_DATA *data, ULONG options, FLT_FILE_NAME_INFORMATION **out) {
    struct file *file = FileOf(data->io->file);
    FLT_FILE_NAME_INFORMATION *name;
    NTSTATUS status;
    ULONG n = 0;

    RequireIrql(APC_LEVEL, "FltGetFileNameInformation");
    if (data->io->major != IRP_MJ_CREATE)
        Violation("a name outside of create", "FltGetFileNameInformation");
    if (options != FLT_FILE_NAME_NORMALIZED_DEFAULT && options != FLT_FILE_NAME_OPENED_DEFAULT)
        return STATUS_INVALID_PARAMETER;
    if (Fail("FltGetFileNameInformation", &status))
        return status;
    name = HeapAlloc(GetProcessHeap(), 8, sizeof *name);
    while (file->path[n] != 0)
        n++;
    name->size = sizeof *name;
    name->name.Buffer = file->path;
    name->name.Length = name->name.MaximumLength = (USHORT)(n * 2);
    InterlockedIncrement(&names);
    *out = name;
    return STATUS_SUCCESS;
}

EXPORT VOID NTAPI FltReleaseFileNameInformation(FLT_FILE_NAME_INFORMATION *name) {
    RequireIrql(APC_LEVEL, "FltReleaseFileNameInformation");
    InterlockedDecrement(&names);
    HeapFree(GetProcessHeap(), 0, name);
}

EXPORT PEPROCESS NTAPI FltGetRequestorProcess(FLT_CALLBACK_DATA *data) {
    ULONG pid = (ULONG)(ULONG_PTR)data->context[0]; /* the double's own note of who asked */

    return pid == 0 ? NULL : (PEPROCESS)ProcessMake(pid);
}

EXPORT NTSTATUS NTAPI FltQueryInformationFile(FLT_INSTANCE *instance, PFILE_OBJECT object, PVOID out, ULONG bytes, ULONG class,
                                              PULONG returned) {
    struct file *file = FileOf(object);
    NTSTATUS status;

    UNREFERENCED_PARAMETER(instance);
    UNREFERENCED_PARAMETER(returned);
    RequireIrql(PASSIVE_LEVEL, "FltQueryInformationFile");
    if (Fail("FltQueryInformationFile", &status))
        return status;
    if (file->path[8] == 'M') /* \Device\Mup */
        Violation("a server asked", "FltQueryInformationFile");
    if (file->deleted)
        return STATUS_FILE_DELETED;
    RtlZeroMemory(out, bytes);
    if (class == FileStandardInformation && bytes >= sizeof(FILE_STANDARD_INFORMATION))
        ((FILE_STANDARD_INFORMATION *)out)->EndOfFile.QuadPart = (LONG64)file->id * 1000;
    else if (class == NT_FILE_ID_INFORMATION && bytes >= sizeof(NT_FILE_ID) && file->id % 2 == 0) { /* as if odd ones were of FAT */
        RtlCopyMemory(((NT_FILE_ID *)out)->id, &file->id, sizeof file->id);
        ((NT_FILE_ID *)out)->id[15] = 0x80;
    } else if (class == FileInternalInformation && bytes >= sizeof(FILE_INTERNAL_INFORMATION))
        ((FILE_INTERNAL_INFORMATION *)out)->IndexNumber.QuadPart = (LONG64)file->id;
    else
        return STATUS_INVALID_PARAMETER;
    return STATUS_SUCCESS;
}

EXPORT VOID NTAPI FltUnregisterFilter(FLT_FILTER *filter) {
    ULONG i;

    RequireIrql(PASSIVE_LEVEL, "FltUnregisterFilter");
    if (filter != &the_filter || filter->registration == NULL) {
        Violation("filter undone twice", "FltUnregisterFilter");
        return;
    }
    VolumesLate();
    filter->started = FALSE;
    while (firing != 0)
        Sleep(0);
    for (i = 0; i < MAX_FILES; i++)
        if (files[i] != NULL && files[i]->context != NULL) {
            FltReleaseContext(files[i]->context + 1);
            files[i]->context = NULL;
        }
    if (!VolumesFree())
        Violation("volume still referenced", "FltUnregisterFilter");
    VolumesDetach();
    if (names != 0)
        Violation("file names never released", "FltUnregisterFilter");
    filter->registration = NULL;
    InterlockedDecrement(&registered);
}

/* Files */

static struct file *FileFind(ULONG64 id, ULONG *slot) {
    ULONG i;

    for (i = 0; i < MAX_FILES; i++)
        if (files[i] != NULL && files[i]->id == id) {
            if (slot != NULL)
                *slot = i;
            return files[i];
        }
    return NULL;
}

/* One operation through the driver: before, what the file system does, after. */
static NTSTATUS Through(struct double_command *c, struct file *file, FLT_IO_PARAMETER_BLOCK *io, NTSTATUS status, ULONG_PTR information) {
    const FLT_OPERATION_REGISTRATION *op;
    FLT_CALLBACK_DATA data;
    FLT_RELATED_OBJECTS objects;
    PVOID context = NULL;
    FLT_PREOP said = FLT_PREOP_WITH_CALLBACK;
    FLT_VOLUME *volume = VolumeOf(file->path);

    InterlockedIncrement(&firing);
    op = Operation(io->major);
    if (op == NULL || ((op->flags & FLTFL_OPERATION_SKIP_PAGING_IO) != 0 && (io->irp_flags & IRP_PAGING_IO) != 0)) {
        InterlockedDecrement(&firing);
        return status;
    }
    RtlZeroMemory(&data, sizeof data);
    data.io = io;
    data.context[0] = (PVOID)(ULONG_PTR)c->pid;
    data.mode = UserMode;
    io->file = &file->object;
    Objects(&objects, volume, &file->object);
    if (op->pre != NULL)
        said = op->pre(&data, &objects, &context);
    data.status.Status = status;
    data.status.Information = information;
    if (op->post != NULL && said != FLT_PREOP_NO_CALLBACK) {
        if (c->irql != 0 && said != FLT_PREOP_SYNCHRONIZE)
            RaiseTo(c->irql);
        op->post(&data, &objects, context, 0);
        if (c->irql != 0)
            RaiseTo(PASSIVE_LEVEL);
    }
    InterlockedDecrement(&firing);
    return data.status.Status;
}

static NTSTATUS Open(struct double_command *c, ULONG n) {
    WCHAR room[DOUBLE_TEXT + 16];
    UNICODE_STRING path;
    IO_SECURITY_CONTEXT security;
    FLT_IO_PARAMETER_BLOCK io;
    struct file *file = HeapAlloc(GetProcessHeap(), 8, sizeof *file);
    NTSTATUS status;
    ULONG i;

    DoubleText(&path, room, c->text[0], n);
    RtlCopyMemory(file->path, room, (SIZE_T)path.Length + 2);
    file->id = c->a[0];
    file->object.Flags = (ULONG)c->a[5];
    file->object.FileName = path;
    RtlZeroMemory(&security, sizeof security);
    security.DesiredAccess = (ACCESS_MASK)c->a[2];
    RtlZeroMemory(&io, sizeof io);
    io.major = IRP_MJ_CREATE;
    io.irp_flags = (ULONG)c->a[6];
    io.parameters.create.security = &security;
    io.parameters.create.options = (ULONG)c->a[1];
    status = Through(c, file, &io, (NTSTATUS)c->a[4], (ULONG_PTR)c->a[3]);
    if (!NT_SUCCESS(status)) {
        HeapFree(GetProcessHeap(), 0, file);
        return STATUS_SUCCESS;
    }
    Hold();
    for (i = 0; i < MAX_FILES && files[i] != NULL; i++)
        ;
    if (i < MAX_FILES)
        files[i] = file;
    Free();
    return i < MAX_FILES ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static NTSTATUS Close(struct double_command *c) {
    FLT_IO_PARAMETER_BLOCK io;
    struct file *file;
    ULONG slot;

    file = FileFind(c->a[0], &slot);
    if (file == NULL)
        return STATUS_INVALID_HANDLE;
    file->deleted = c->a[1] == 1;
    RtlZeroMemory(&io, sizeof io);
    io.major = IRP_MJ_CLEANUP;
    Through(c, file, &io, STATUS_SUCCESS, 0);
    if (file->context != NULL)
        FltReleaseContext(file->context + 1);
    Hold();
    files[slot] = NULL;
    Free();
    HeapFree(GetProcessHeap(), 0, file);
    return STATUS_SUCCESS;
}

static NTSTATUS Set(struct double_command *c, struct file *file, ULONG n) {
    struct {
        NT_FILE_NAME_CHANGE head;
        WCHAR room[DOUBLE_TEXT + 16];
    } change;
    WCHAR room[DOUBLE_TEXT + 16];
    UNICODE_STRING name;
    FLT_IO_PARAMETER_BLOCK io;

    RtlZeroMemory(&change, sizeof change);
    DoubleText(&name, room, c->text[0], n);
    change.head.flags = (ULONG)c->a[2]; /* the first bytes of every class that is used here */
    if (name.Length != 0) {
        change.head.root = (HANDLE)(ULONG_PTR)c->a[4];
        change.head.name_bytes = name.Length;
        RtlCopyMemory(change.head.name, room, name.Length);
    }
    RtlZeroMemory(&io, sizeof io);
    io.major = IRP_MJ_SET_INFORMATION;
    io.parameters.set_information.class = (ULONG)c->a[1];
    io.parameters.set_information.buffer = &change;
    io.parameters.set_information.bytes = sizeof change;
    return Through(c, file, &io, (NTSTATUS)c->a[3], 0) == (NTSTATUS)c->a[3] ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* A filter that lets itself be unloaded has unregistered, and one that must has no choice. */
static NTSTATUS Unload(ULONG flags) {
    NTSTATUS status;

    if (the_filter.registration == NULL || the_filter.registration->unload == NULL)
        return STATUS_NOT_SUPPORTED;
    status = the_filter.registration->unload(flags);
    if ((NT_SUCCESS(status) || (flags & FLTFL_FILTER_UNLOAD_MANDATORY) != 0) && the_filter.registration != NULL)
        Violation("a filter unloaded that is still registered", "unload");
    return status;
}

NTSTATUS FileRun(struct double_command *c, ULONG n) {
    FLT_IO_PARAMETER_BLOCK io;
    struct file *file;

    if (c->op == OP_SHUTDOWN)
        return Unload((ULONG)c->a[0]);
    if (c->op == OP_VOLUME || c->op == OP_VOLUME_GONE)
        return Volume(c, n);
    if (c->op == OP_FILE_OPEN)
        return Open(c, n);
    if (c->op == OP_FILE_CLEANUP)
        return Close(c);
    file = FileFind(c->a[0], NULL);
    if (file == NULL)
        return STATUS_INVALID_HANDLE;
    RtlZeroMemory(&io, sizeof io);
    switch (c->op) {
    case OP_FILE_WRITE:
        io.major = IRP_MJ_WRITE;
        io.irp_flags = (ULONG)c->a[2];
        io.parameters.write.bytes = (ULONG)c->a[1];
        Through(c, file, &io, STATUS_SUCCESS, (ULONG_PTR)c->a[1]);
        return STATUS_SUCCESS;
    case OP_FILE_SET:
        return Set(c, file, n);
    case OP_FILE_CONTROL:
        io.major = IRP_MJ_FILE_SYSTEM_CONTROL;
        io.minor = 0;
        io.parameters.control.code = (ULONG)c->a[1];
        Through(c, file, &io, (NTSTATUS)c->a[3], 0);
        return STATUS_SUCCESS;
    case OP_FILE_SECTION:
        io.major = FLT_MJ_ACQUIRE_FOR_SECTION;
        io.parameters.section.type = FLT_SYNC_TYPE_CREATE_SECTION;
        io.parameters.section.protection = (ULONG)c->a[1];
        Through(c, file, &io, STATUS_SUCCESS, 0);
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}
