/*
 * Processes: start, exit, and those that ran before the driver did. The image is
 * what the system opened, taken from the create-info and never from the process's
 * own memory; the command line is the creator's choice and is recorded as such.
 */
#include "driver.h"

static NT_PROCESS_EXIT_STATUS exit_status; /* NULL where the system does not export it */

static WCHAR Upper(WCHAR c) { return c >= 'a' && c <= 'z' ? (WCHAR)(c - 32) : c; }

BOOLEAN PathEndsWith(PCUNICODE_STRING path, PCWSTR tail, ULONG tail_chars) {
    ULONG chars, i;

    if (path == NULL || path->Buffer == NULL || path->Length / sizeof(WCHAR) < tail_chars)
        return FALSE;
    chars = path->Length / sizeof(WCHAR);
    for (i = 0; i < tail_chars; i++)
        if (Upper(path->Buffer[chars - tail_chars + i]) != Upper(tail[i]))
            return FALSE;
    return TRUE;
}

BOOLEAN PathStartsWith(PCUNICODE_STRING path, PCWSTR head, ULONG head_chars) {
    ULONG i;

    if (path == NULL || path->Buffer == NULL || path->Length / sizeof(WCHAR) < head_chars)
        return FALSE;
    for (i = 0; i < head_chars; i++)
        if (Upper(path->Buffer[i]) != Upper(head[i]))
            return FALSE;
    return TRUE;
}

static ULONG PAGED FlagsOf(PCUNICODE_STRING image) {
    static const WCHAR lsass[] = L"\\Windows\\System32\\lsass.exe";

    return PathEndsWith(image, lsass, sizeof lsass / sizeof(WCHAR) - 1) ? PROCESS_PROTECTED : 0;
}

/* Who the process runs as; the caller frees what this gives. */
static TOKEN_USER *PAGED UserOf(PEPROCESS process, ULONG *session) {
    PACCESS_TOKEN token = PsReferencePrimaryToken(process);
    PVOID user = NULL;

    *session = 0;
    if (!NT_SUCCESS(SeQueryInformationToken(token, TokenUser, &user)))
        user = NULL;
    SeQueryInformationToken(token, TokenSessionId, (PVOID *)session); /* given by value, alone of all classes */
    PsDereferencePrimaryToken(token);
    return user;
}

static TEXT PAGED SidText(const TOKEN_USER *user) {
    TEXT text = {NULL, 0};
    const SID *sid;

    if (user == NULL || user->User.Sid == NULL)
        return text;
    sid = user->User.Sid;
    if (sid->SubAuthorityCount > SID_MAX_SUB_AUTHORITIES)
        return text;
    text.at = sid;
    text.bytes = 8u + 4u * sid->SubAuthorityCount;
    return text;
}

static VOID PAGED Started(PEPROCESS process, ULONG pid, const PS_CREATE_NOTIFY_INFO *info) {
    PROCESS known = {pid, PROCESS_NEW, PsGetProcessCreateTimeQuadPart(process)};
    PUNICODE_STRING located = NULL;
    EVENT event;
    TOKEN_USER *user;
    ULONG session;

    EventActor(&event, EVENT_PROCESS_STARTED);
    /* The name that was asked for may be a link or a short name: where the system only has that, it is looked up. */
    if (info->FileOpenNameAvailable && info->ImageFileName != NULL)
        event.text[0] = TextOf(info->ImageFileName);
    else if (NT_SUCCESS(SeLocateProcessImageName(process, &located)))
        event.text[0] = TextOf(located);
    known.flags |= FlagsOf(located != NULL ? located : (PUNICODE_STRING)info->ImageFileName);
    TableAdd(&known);
    user = UserOf(process, &session);
    event.number[0] = pid;
    event.number[1] = (ULONG64)known.created;
    event.number[2] = (ULONG_PTR)info->ParentProcessId;
    event.number[3] = (ULONG_PTR)info->CreatingThreadId.UniqueProcess;
    event.number[4] = (ULONG_PTR)info->CreatingThreadId.UniqueThread;
    event.number[5] = session;
    event.text[1] = TextOf(info->CommandLine);
    event.data = SidText(user);
    Record(&event);
    if (user != NULL)
        ExFreePool(user);
    if (located != NULL)
        ExFreePool(located);
}

static VOID PAGED Exited(PEPROCESS process, ULONG pid) {
    PROCESS known;
    EVENT event;

    EventActor(&event, EVENT_PROCESS_EXITED);
    TableRemove(pid, &known);
    event.number[0] = pid;
    event.number[1] = (ULONG64)PsGetProcessCreateTimeQuadPart(process);
    event.number[2] = exit_status == NULL ? 0 : (ULONG)exit_status(process);
    event.number[3] = exit_status != NULL;
    Record(&event);
}

static VOID NTAPI PAGED OnProcess(PEPROCESS process, HANDLE pid, PPS_CREATE_NOTIFY_INFO info) {
    if (info != NULL)
        Started(process, (ULONG)(ULONG_PTR)pid, info);
    else
        Exited(process, (ULONG)(ULONG_PTR)pid);
}

static NTSTATUS INITIAL Start(VOID) {
    exit_status = (NT_PROCESS_EXIT_STATUS)SystemRoutine(L"PsGetProcessExitStatus");
    return PsSetCreateProcessNotifyRoutineEx(OnProcess, FALSE);
}

static VOID PAGED Stop(VOID) { PsSetCreateProcessNotifyRoutineEx(OnProcess, TRUE); }

const SOURCE process_source = {"process", Start, Stop};

static VOID PAGED Found(const NT_PROCESS *entry) {
    PROCESS known = {(ULONG)(ULONG_PTR)entry->pid, 0, entry->created.QuadPart};
    PUNICODE_STRING image = NULL;
    TOKEN_USER *user;
    PEPROCESS process;
    EVENT event;
    ULONG session;

    if (!NT_SUCCESS(PsLookupProcessByProcessId(entry->pid, &process)))
        return; /* gone meanwhile, and its exit is recorded */
    if (PsGetProcessCreateTimeQuadPart(process) != known.created || TableFind(known.pid, &(PROCESS){0})) {
        ObDereferenceObject(process); /* its number was given anew, or its start is recorded */
        return;
    }
    if (!NT_SUCCESS(SeLocateProcessImageName(process, &image)))
        image = NULL;
    known.flags = FlagsOf(image);
    TableAdd(&known);
    user = UserOf(process, &session);
    EventActor(&event, EVENT_PROCESS_FOUND);
    event.number[0] = known.pid;
    event.number[1] = (ULONG64)known.created;
    event.number[2] = (ULONG_PTR)entry->parent;
    event.number[5] = session;
    event.text[0] = TextOf(image);
    event.data = SidText(user);
    Record(&event);
    if (user != NULL)
        ExFreePool(user);
    if (image != NULL)
        ExFreePool(image);
    ObDereferenceObject(process);
}

/* After the callbacks are on, so that no process falls between the two. */
NTSTATUS PAGED ProcessSnapshot(PVOID room, ULONG bytes) {
    ULONG needed = 0, at = 0;
    NTSTATUS status = ZwQuerySystemInformation(SYSTEM_PROCESS_INFORMATION_CLASS, room, bytes, &needed);

    if (!NT_SUCCESS(status))
        return status;
    for (;;) {
        const NT_PROCESS *entry;

        if (at > bytes - sizeof *entry)
            return STATUS_INVALID_BUFFER_SIZE;
        entry = (const NT_PROCESS *)((const UCHAR *)room + at);
        if (entry->pid != NULL) /* the idle process is no process */
            Found(entry);
        if (entry->next < sizeof *entry || entry->next > bytes - at)
            return STATUS_SUCCESS;
        at += entry->next;
    }
}
