/* Processes, threads, images, handles and tokens. */
#include "double.h"

#define MAX_PROCESSES 8192u
#define MAX_NOTIFY 4u

PVOID PoolForDriver(SIZE_T bytes);

static DOUBLE_PROCESS *processes[MAX_PROCESSES];
static volatile LONG process_count;
static KSPIN_LOCK process_lock;

static PCREATE_PROCESS_NOTIFY_ROUTINE_EX on_process;
static PLOAD_IMAGE_NOTIFY_ROUTINE on_image;
static PCREATE_THREAD_NOTIFY_ROUTINE on_thread;
static volatile LONG firing; /* callbacks of this file in flight; undoing a registration waits for them */

static struct {
    BOOLEAN used;
    POB_PRE_OPERATION_CALLBACK pre;
    ULONG operations;
    PVOID context;
} opens;

static void Hold(void) {
    while (InterlockedExchange64((LONG64 *)&process_lock, 1) != 0)
        Sleep(0);
}
static void Free(void) { InterlockedExchange64((LONG64 *)&process_lock, 0); }

DOUBLE_PROCESS *ProcessFind(ULONG pid) {
    DOUBLE_PROCESS *found = NULL;
    LONG i;

    Hold();
    for (i = process_count - 1; i >= 0; i--)
        if (processes[i]->pid == pid) {
            found = processes[i];
            break;
        }
    Free();
    return found;
}

DOUBLE_PROCESS *ProcessMake(ULONG pid) {
    DOUBLE_PROCESS *p = ProcessFind(pid);
    LONG i;

    if (p != NULL)
        return p;
    p = HeapAlloc(GetProcessHeap(), 8, sizeof *p);
    p->pid = pid;
    p->created = 130000000000000000ll + pid;
    p->running = TRUE;
    Hold();
    i = process_count;
    if (i < (LONG)MAX_PROCESSES) {
        processes[i] = p;
        process_count++;
    }
    Free();
    return p;
}

static void ProcessForget(DOUBLE_PROCESS *p) {
    LONG i;

    Hold();
    for (i = 0; i < process_count; i++)
        if (processes[i] == p) {
            processes[i] = processes[--process_count];
            break;
        }
    Free();
}

static HANDLE Pid(ULONG64 pid) { return (HANDLE)(ULONG_PTR)pid; }

/* Who runs: the scenario's actor, or whoever really called. */

EXPORT HANDLE NTAPI PsGetCurrentProcessId(void) {
    static HANDLE(NTAPI * real)(void);

    if (Context()->pid != 0)
        return Pid(Context()->pid);
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "PsGetCurrentProcessId");
    return real();
}

EXPORT HANDLE NTAPI PsGetCurrentThreadId(void) { return Pid(Context()->tid != 0 ? Context()->tid : GetCurrentThreadId()); }

EXPORT PEPROCESS NTAPI IoGetCurrentProcess(void) {
    return (PEPROCESS)ProcessMake((ULONG)(ULONG_PTR)PsGetCurrentProcessId());
}
EXPORT HANDLE NTAPI PsGetProcessId(PEPROCESS process) { return Pid(((DOUBLE_PROCESS *)process)->pid); }
EXPORT LONGLONG NTAPI PsGetProcessCreateTimeQuadPart(PEPROCESS process) { return ((DOUBLE_PROCESS *)process)->created; }
NTSTATUS NTAPI DoubleProcessExitStatus(PEPROCESS process) { return ((DOUBLE_PROCESS *)process)->exit_status; }

EXPORT NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE pid, PEPROCESS *out) {
    DOUBLE_PROCESS *p = ProcessFind((ULONG)(ULONG_PTR)pid);
    NTSTATUS status;

    RequireIrql(APC_LEVEL, "PsLookupProcessByProcessId");
    if (Fail("PsLookupProcessByProcessId", &status))
        return status;
    if (p == NULL)
        return STATUS_INVALID_CID;
    InterlockedIncrement(&p->references);
    InterlockedIncrement(&contexts);
    *out = (PEPROCESS)p;
    return STATUS_SUCCESS;
}

/* Of processes the double counts references; all else is Wine's. */
EXPORT LONG_PTR FASTCALL ObfDereferenceObject(PVOID object) {
    static LONG_PTR(FASTCALL * real)(PVOID);
    LONG i;

    Hold();
    for (i = 0; i < process_count; i++)
        if (processes[i] == object) {
            processes[i]->references--;
            Free();
            InterlockedDecrement(&contexts);
            return 1;
        }
    Free();
    if (VolumeDiskEnds(object))
        return 1;
    ReferenceEnds(object);
    if (real == NULL)
        real = (PVOID)GetProcAddress(GetModuleHandleA("ntoskrnl.exe"), "ObfDereferenceObject");
    return real(object);
}

EXPORT NTSTATUS NTAPI SeLocateProcessImageName(PEPROCESS process, PUNICODE_STRING *out) {
    DOUBLE_PROCESS *p = (DOUBLE_PROCESS *)process;
    USHORT bytes = 0;
    UNICODE_STRING *s;
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "SeLocateProcessImageName");
    if (Fail("SeLocateProcessImageName", &status))
        return status;
    while (p->image[bytes / 2] != 0)
        bytes += 2;
    s = PoolForDriver(sizeof *s + bytes);
    if (s == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    s->Buffer = (WCHAR *)(s + 1);
    s->Length = s->MaximumLength = bytes;
    RtlCopyMemory(s->Buffer, p->image, bytes);
    *out = s;
    return STATUS_SUCCESS;
}

/* A process is its own token here. */
EXPORT PACCESS_TOKEN NTAPI PsReferencePrimaryToken(PEPROCESS process) {
    RequireIrql(PASSIVE_LEVEL, "PsReferencePrimaryToken");
    InterlockedIncrement(&contexts);
    return (PACCESS_TOKEN)process;
}
EXPORT VOID NTAPI PsDereferencePrimaryToken(PACCESS_TOKEN token) {
    UNREFERENCED_PARAMETER(token);
    InterlockedDecrement(&contexts);
}

/* A handle of the token is its process's number and this. */
#define TOKEN_HANDLE 0x40000000u
HANDLE TokenHandle(PVOID token) { return Pid(((DOUBLE_PROCESS *)token)->pid | TOKEN_HANDLE); }
BOOLEAN IsTokenHandle(HANDLE handle) { return ((ULONG_PTR)handle & TOKEN_HANDLE) != 0 && (ULONG_PTR)handle < 0x80000000u; }

/* A SID behind what speaks of it: S-1-5-21-1-2-3-<pid>, or a label of high integrity. */
static NTSTATUS SidAnswer(ULONG pid, BOOLEAN label, TOKEN_USER *out, ULONG bytes, PULONG got) {
    static const ULONG user[] = {21, 1, 2, 3};
    ULONG level = 0x3000;
    SID *sid = (SID *)(out + 1);

    *got = sizeof *out + (label ? 12 : 28);
    if (bytes < *got)
        return STATUS_BUFFER_TOO_SMALL;
    RtlZeroMemory(out, *got);
    out->User.Sid = sid;
    sid->Revision = 1;
    sid->SubAuthorityCount = label ? 1 : 5;
    sid->IdentifierAuthority.Value[5] = label ? 16 : 5;
    if (label)
        RtlCopyMemory((PVOID)sid->SubAuthority, &level, sizeof level);
    else {
        RtlCopyMemory((PVOID)sid->SubAuthority, user, sizeof user);
        RtlCopyMemory((UCHAR *)sid + 8 + sizeof user, &pid, sizeof pid); /* the fifth, past what SID declares */
    }
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS NTAPI ZwQueryInformationToken(HANDLE token, TOKEN_INFORMATION_CLASS class, PVOID out, ULONG bytes, PULONG got) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "ZwQueryInformationToken");
    if (Fail("ZwQueryInformationToken", &status))
        return status;
    if (!IsTokenHandle(token))
        return STATUS_INVALID_HANDLE;
    if (class == TokenUser || class == TokenIntegrityLevel)
        return SidAnswer((ULONG)(ULONG_PTR)token & ~TOKEN_HANDLE, class == TokenIntegrityLevel, out, bytes, got);
    if ((class != TokenSessionId && class != TokenElevationType) || bytes < sizeof(ULONG))
        return STATUS_INVALID_INFO_CLASS;
    *(ULONG *)out = class == TokenSessionId ? 1 : 2 /* full */;
    *got = sizeof(ULONG);
    return STATUS_SUCCESS;
}

/* The running processes, as SystemProcessInformation tells them. */
EXPORT NTSTATUS NTAPI ZwQuerySystemInformation(ULONG class, PVOID out, ULONG size, PULONG needed) {
    ULONG entry = (sizeof(NT_PROCESS) + 0x98 + 7) & ~7u, at = 0;
    NT_PROCESS *last = NULL;
    NTSTATUS status;
    LONG i;

    RequireIrql(PASSIVE_LEVEL, "ZwQuerySystemInformation");
    if (Fail("ZwQuerySystemInformation", &status))
        return status;
    if (class != SYSTEM_PROCESS_INFORMATION_CLASS)
        return STATUS_INVALID_INFO_CLASS;
    Hold();
    *needed = (ULONG)process_count * entry;
    if (size < *needed) {
        Free();
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    for (i = 0; i < process_count; i++) {
        NT_PROCESS *p = (NT_PROCESS *)((char *)out + at);

        if (!processes[i]->running)
            continue;
        RtlZeroMemory(p, entry);
        p->created.QuadPart = processes[i]->created;
        p->pid = Pid(processes[i]->pid);
        p->parent = Pid(processes[i]->parent);
        p->session = 1;
        p->next = entry;
        last = p;
        at += entry;
    }
    Free();
    if (last != NULL)
        last->next = 0;
    return last == NULL ? STATUS_NO_MORE_ENTRIES : STATUS_SUCCESS;
}

/* Registrations */

#define REGISTRAR(name, slot, type)                                                                                               \
    static NTSTATUS name##Set(type routine, BOOLEAN remove) {                                                                     \
        NTSTATUS status;                                                                                                          \
        RequireIrql(PASSIVE_LEVEL, #name);                                                                                        \
        if (remove) {                                                                                                             \
            if (slot != routine)                                                                                                  \
                return STATUS_INVALID_PARAMETER;                                                                                  \
            InterlockedExchangePointer((PVOID *)&slot, NULL);                                                                     \
            while (firing != 0)                                                                                                   \
                Sleep(0);                                                                                                         \
            InterlockedDecrement(&registered);                                                                                    \
            return STATUS_SUCCESS;                                                                                                \
        }                                                                                                                         \
        if (Fail(#name, &status))                                                                                                 \
            return status;                                                                                                        \
        slot = routine;                                                                                                           \
        InterlockedIncrement(&registered);                                                                                        \
        return STATUS_SUCCESS;                                                                                                    \
    }

REGISTRAR(PsSetCreateProcessNotifyRoutineEx, on_process, PCREATE_PROCESS_NOTIFY_ROUTINE_EX)
REGISTRAR(PsSetLoadImageNotifyRoutine, on_image, PLOAD_IMAGE_NOTIFY_ROUTINE)
REGISTRAR(PsSetCreateThreadNotifyRoutine, on_thread, PCREATE_THREAD_NOTIFY_ROUTINE)

EXPORT NTSTATUS NTAPI PsSetCreateProcessNotifyRoutineEx(PCREATE_PROCESS_NOTIFY_ROUTINE_EX routine, BOOLEAN remove) {
    return PsSetCreateProcessNotifyRoutineExSet(routine, remove);
}
EXPORT NTSTATUS NTAPI PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE routine) {
    return PsSetLoadImageNotifyRoutineSet(routine, FALSE);
}
EXPORT NTSTATUS NTAPI PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE routine) {
    return PsSetLoadImageNotifyRoutineSet(routine, TRUE);
}
EXPORT NTSTATUS NTAPI PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE routine) {
    return PsSetCreateThreadNotifyRoutineSet(routine, FALSE);
}
EXPORT NTSTATUS NTAPI PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE routine) {
    return PsSetCreateThreadNotifyRoutineSet(routine, TRUE);
}

static POBJECT_TYPE process_type_object = (POBJECT_TYPE)&process_type_object;
EXPORT POBJECT_TYPE *PsProcessType = &process_type_object;

EXPORT NTSTATUS NTAPI ObRegisterCallbacks(POB_CALLBACK_REGISTRATION r, PVOID *handle) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "ObRegisterCallbacks");
    if (Fail("ObRegisterCallbacks", &status))
        return status;
    if (r->Version != OB_FLT_REGISTRATION_VERSION || r->OperationRegistrationCount != 1 || r->Altitude.Length == 0)
        return STATUS_INVALID_PARAMETER;
    opens.pre = r->OperationRegistration[0].PreOperation;
    opens.operations = r->OperationRegistration[0].Operations;
    opens.context = r->RegistrationContext;
    opens.used = TRUE;
    *handle = &opens;
    InterlockedIncrement(&registered);
    return STATUS_SUCCESS;
}

EXPORT VOID NTAPI ObUnRegisterCallbacks(PVOID handle) {
    RequireIrql(APC_LEVEL, "ObUnRegisterCallbacks");
    if (handle != &opens || !opens.used) {
        Violation("callbacks undone twice", "ObUnRegisterCallbacks");
        return;
    }
    opens.used = FALSE;
    while (firing != 0)
        Sleep(0);
    InterlockedDecrement(&registered);
}

/* Activity */

static NTSTATUS Start(struct double_command *c, ULONG n) {
    WCHAR image_room[DOUBLE_TEXT + 16], command_room[DOUBLE_TEXT + 16];
    UNICODE_STRING image, command;
    PS_CREATE_NOTIFY_INFO info;
    DOUBLE_PROCESS *p = ProcessMake((ULONG)c->a[0]);
    PCREATE_PROCESS_NOTIFY_ROUTINE_EX routine;

    DoubleText(&image, image_room, c->text[0], n);
    DoubleText(&command, command_room, c->text[1], n);
    p->parent = (ULONG)c->a[1];
    if (c->a[2] != 0)
        p->created = (LONG64)c->a[2] + n;
    RtlCopyMemory(p->image, image_room, (SIZE_T)image.Length + 2);
    if (c->op == OP_PROCESS_KNOWN)
        return STATUS_SUCCESS;
    RtlZeroMemory(&info, sizeof info);
    info.Size = sizeof info;
    info.FileOpenNameAvailable = 1;
    info.ParentProcessId = Pid(c->a[1]);
    info.CreatingThreadId.UniqueProcess = Pid(c->pid);
    info.CreatingThreadId.UniqueThread = Pid(c->tid);
    info.ImageFileName = &image;
    info.CommandLine = command.Length == 0 ? NULL : &command;
    InterlockedIncrement(&firing);
    routine = on_process;
    if (routine != NULL)
        routine((PEPROCESS)p, Pid(p->pid), &info);
    InterlockedDecrement(&firing);
    return info.CreationStatus;
}

static NTSTATUS Exit(struct double_command *c) {
    DOUBLE_PROCESS *p = ProcessFind((ULONG)c->a[0]);

    if (p == NULL)
        return STATUS_INVALID_CID;
    p->exit_status = (LONG)c->a[1];
    p->running = FALSE;
    InterlockedIncrement(&firing);
    if (on_process != NULL)
        on_process((PEPROCESS)p, Pid(p->pid), NULL);
    InterlockedDecrement(&firing);
    ProcessForget(p);
    return STATUS_SUCCESS;
}

static NTSTATUS Image(struct double_command *c, ULONG n) {
    WCHAR room[DOUBLE_TEXT + 16];
    UNICODE_STRING path;
    IMAGE_INFO info;

    DoubleText(&path, room, c->text[0], n);
    RtlZeroMemory(&info, sizeof info);
    info.Properties = (ULONG)c->a[3];
    info.ImageBase = (PVOID)(ULONG_PTR)c->a[1];
    info.ImageSize = (SIZE_T)c->a[2];
    InterlockedIncrement(&firing);
    if (on_image != NULL)
        on_image(&path, Pid(c->a[0]), &info);
    InterlockedDecrement(&firing);
    return STATUS_SUCCESS;
}

static NTSTATUS Open(struct double_command *c) {
    OB_PRE_OPERATION_INFORMATION info;
    OB_PRE_OPERATION_PARAMETERS parameters;

    RtlZeroMemory(&info, sizeof info);
    RtlZeroMemory(&parameters, sizeof parameters);
    info.Operation = c->a[2] == 1 ? OB_OPERATION_HANDLE_DUPLICATE : OB_OPERATION_HANDLE_CREATE;
    info.KernelHandle = c->a[3] == 1;
    info.Object = ProcessMake((ULONG)c->a[0]);
    info.ObjectType = process_type_object;
    info.Parameters = &parameters;
    parameters.CreateHandleInformation.DesiredAccess = (ACCESS_MASK)c->a[1];
    parameters.CreateHandleInformation.OriginalDesiredAccess = (ACCESS_MASK)c->a[1];
    if (c->a[2] == 1)
        parameters.DuplicateHandleInformation.SourceProcess = IoGetCurrentProcess();
    InterlockedIncrement(&firing);
    if (opens.used && (opens.operations & info.Operation) != 0)
        opens.pre(opens.context, &info);
    InterlockedDecrement(&firing);
    c->out[0] = parameters.CreateHandleInformation.DesiredAccess;
    return STATUS_SUCCESS;
}

NTSTATUS ProcessRun(struct double_command *c, ULONG n) {
    switch (c->op) {
    case OP_PROCESS_START:
    case OP_PROCESS_KNOWN:
        return Start(c, n);
    case OP_PROCESS_EXIT:
        return Exit(c);
    case OP_IMAGE:
        return Image(c, n);
    case OP_THREAD:
        InterlockedIncrement(&firing);
        if (on_thread != NULL)
            on_thread(Pid(c->a[0]), Pid(c->a[1] + n), TRUE);
        InterlockedDecrement(&firing);
        return STATUS_SUCCESS;
    case OP_OPEN_PROCESS:
        return Open(c);
    default:
        return STATUS_INVALID_PARAMETER;
    }
}
