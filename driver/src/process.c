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
static TOKEN_USER *PAGED UserOf(PEPROCESS process, struct assay_process *out) {
    PACCESS_TOKEN token = PsReferencePrimaryToken(process);
    PVOID user = NULL;

    out->integrity = 0xFFFFFFFFu;
    if (!NT_SUCCESS(SeQueryInformationToken(token, TokenUser, &user)))
        user = NULL;
    SeQueryInformationToken(token, TokenSessionId, (PVOID *)&out->session); /* given by value */
    PsDereferencePrimaryToken(token);
    return user;
}

static struct core_text PAGED SidText(const TOKEN_USER *user) {
    const SID *sid = user == NULL ? NULL : user->User.Sid;

    if (sid == NULL || sid->SubAuthorityCount > SID_MAX_SUB_AUTHORITIES)
        return TextAt(NULL, 0);
    return TextAt(sid, 8u + 4u * sid->SubAuthorityCount);
}

static VOID PAGED Started(PEPROCESS process, ULONG pid, const PS_CREATE_NOTIFY_INFO *info) {
    PROCESS known = {pid, PROCESS_NEW, PsGetProcessCreateTimeQuadPart(process)};
    PUNICODE_STRING located = NULL;
    EVENT event;
    TOKEN_USER *user;

    EventActor(&event, ASSAY_PROCESS_CREATED);
    /* The name that was asked for may be a link or a short name: where the system only has that, it is looked up. */
    if (info->FileOpenNameAvailable && info->ImageFileName != NULL)
        event.image = TextOf(info->ImageFileName);
    else if (NT_SUCCESS(SeLocateProcessImageName(process, &located)))
        event.image = TextOf(located);
    else {
        event.image = TextOf(info->ImageFileName);
        event.body.process.flags = ASSAY_PROCESS_IMAGE_ASKED;
    }
    known.flags |= FlagsOf(located != NULL ? located : (PUNICODE_STRING)info->ImageFileName);
    TableAdd(&known);
    user = UserOf(process, &event.body.process);
    event.body.process.pid = pid;
    event.body.process.created = (ULONG64)known.created;
    event.body.process.parent_pid = (ULONG)(ULONG_PTR)info->ParentProcessId;
    event.body.process.parent_created = TableCreated(event.body.process.parent_pid);
    event.body.process.creator_pid = (ULONG)(ULONG_PTR)info->CreatingThreadId.UniqueProcess;
    event.body.process.creator_tid = (ULONG)(ULONG_PTR)info->CreatingThreadId.UniqueThread;
    event.told.text[0] = event.image;
    event.told.text[1] = TextOf(info->CommandLine);
    event.told.text[2] = SidText(user);
    Record(&event);
    if (user != NULL)
        ExFreePool(user);
    if (located != NULL)
        ExFreePool(located);
}

static VOID PAGED Exited(PEPROCESS process, ULONG pid) {
    PROCESS known;
    EVENT event;

    EventActor(&event, ASSAY_PROCESS_EXITED);
    TableRemove(pid, &known);
    event.body.exit.pid = pid;
    event.body.exit.created = (ULONG64)PsGetProcessCreateTimeQuadPart(process);
    event.body.exit.status = exit_status == NULL ? 0 : exit_status(process);
    event.body.exit.status_known = exit_status != NULL;
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
    EventActor(&event, ASSAY_PROCESS_FOUND);
    user = UserOf(process, &event.body.process);
    event.body.process.pid = known.pid;
    event.body.process.created = (ULONG64)known.created;
    event.body.process.parent_pid = (ULONG)(ULONG_PTR)entry->parent;
    event.body.process.parent_created = TableCreated(event.body.process.parent_pid);
    event.told.text[0] = event.image = TextOf(image);
    event.told.text[2] = SidText(user);
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
