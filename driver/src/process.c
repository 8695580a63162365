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

/* Room for a SID with what stands before it. */
typedef union {
    TOKEN_USER user;
    TOKEN_MANDATORY_LABEL label;
    UCHAR room[sizeof(TOKEN_USER) + ASSAY_MOST_SID];
} TOKEN_ROOM;

static HANDLE PAGED TokenOf(PEPROCESS process) {
    PACCESS_TOKEN token = PsReferencePrimaryToken(process);
    HANDLE handle = NULL;

    if (!NT_SUCCESS(ObOpenObjectByPointer(token, OBJ_KERNEL_HANDLE, NULL, TOKEN_QUERY, NULL, KernelMode, &handle)))
        handle = NULL;
    PsDereferencePrimaryToken(token);
    return handle;
}

/* The SID that was given, or NULL. */
static const SID *PAGED SidOf(HANDLE token, TOKEN_INFORMATION_CLASS class, TOKEN_ROOM *room) {
    const SID *sid;
    ULONG got;

    if (!NT_SUCCESS(ZwQueryInformationToken(token, class, room, sizeof *room, &got)))
        return NULL;
    sid = room->user.User.Sid; /* a label begins as a user does */
    return sid == NULL || sid->SubAuthorityCount == 0 || sid->SubAuthorityCount > SID_MAX_SUB_AUTHORITIES ? NULL : sid;
}

/* Who the process runs as, and with what. room holds what user speaks of. */
static VOID PAGED Identify(PEPROCESS process, struct assay_process *out, struct core_text *user, TOKEN_ROOM *room) {
    HANDLE token = TokenOf(process);
    const SID *sid;
    ULONG got;

    out->integrity = 0xFFFFFFFFu;
    if (token == NULL)
        return;
    if (!NT_SUCCESS(ZwQueryInformationToken(token, TokenSessionId, &out->session, sizeof out->session, &got)))
        out->session = 0;
    if (!NT_SUCCESS(ZwQueryInformationToken(token, TokenElevationType, &out->elevation, sizeof out->elevation, &got)))
        out->elevation = 0;
    sid = SidOf(token, TokenIntegrityLevel, room);
    if (sid != NULL)
        out->integrity = sid->SubAuthority[sid->SubAuthorityCount - 1];
    sid = SidOf(token, TokenUser, room);
    if (sid != NULL)
        *user = TextAt(sid, 8u + 4u * sid->SubAuthorityCount);
    ZwClose(token);
}
_Static_assert(__builtin_offsetof(TOKEN_MANDATORY_LABEL, Label.Sid) == __builtin_offsetof(TOKEN_USER, User.Sid), "a label begins as a user does");

static VOID PAGED Started(PEPROCESS process, ULONG pid, const PS_CREATE_NOTIFY_INFO *info) {
    PROCESS known = {pid, PROCESS_NEW, PsGetProcessCreateTimeQuadPart(process)};
    PUNICODE_STRING located = NULL;
    TOKEN_ROOM room;
    EVENT event;

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
    TableAdd(&known, event.image);
    Identify(process, &event.body.process, &event.told.text[2], &room);
    event.body.process.pid = pid;
    event.body.process.created = (ULONG64)known.created;
    event.body.process.parent_pid = (ULONG)(ULONG_PTR)info->ParentProcessId;
    event.body.process.parent_created = TableCreated(event.body.process.parent_pid);
    event.body.process.creator_pid = (ULONG)(ULONG_PTR)info->CreatingThreadId.UniqueProcess;
    event.body.process.creator_tid = (ULONG)(ULONG_PTR)info->CreatingThreadId.UniqueThread;
    event.told.text[0] = event.image;
    event.told.text[1] = TextOf(info->CommandLine);
    Record(&event);
    if (located != NULL)
        ExFreePool(located);
}

static VOID PAGED Exited(PEPROCESS process, ULONG pid) {
    IMAGE *image = TableImage(pid); /* whose start is left out, its exit is as well */
    PROCESS known;
    EVENT event;

    EventActor(&event, ASSAY_PROCESS_EXITED);
    if (image != NULL)
        event.image = image->name;
    TableRemove(pid, &known);
    event.body.exit.pid = pid;
    event.body.exit.created = (ULONG64)PsGetProcessCreateTimeQuadPart(process);
    event.body.exit.status = exit_status == NULL ? 0 : exit_status(process);
    event.body.exit.status_known = exit_status != NULL;
    Record(&event);
    ImageRelease(image);
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

static VOID PAGED TellFound(PEPROCESS process, const NT_PROCESS *entry, PCUNICODE_STRING image) {
    TOKEN_ROOM room;
    EVENT event;

    EventActor(&event, ASSAY_PROCESS_FOUND);
    Identify(process, &event.body.process, &event.told.text[2], &room);
    event.body.process.pid = (ULONG)(ULONG_PTR)entry->pid;
    event.body.process.created = (ULONG64)entry->created.QuadPart;
    event.body.process.parent_pid = (ULONG)(ULONG_PTR)entry->parent;
    event.body.process.parent_created = TableCreated(event.body.process.parent_pid);
    event.told.text[0] = event.image = TextOf(image);
    Record(&event);
}

static VOID PAGED Found(const NT_PROCESS *entry) {
    PROCESS known = {(ULONG)(ULONG_PTR)entry->pid, 0, entry->created.QuadPart};
    PUNICODE_STRING image = NULL;
    PEPROCESS process;

    if (!NT_SUCCESS(PsLookupProcessByProcessId(entry->pid, &process)))
        return; /* gone meanwhile, and its exit is recorded */
    /* Unless its number was given anew, or its start is recorded. */
    if (PsGetProcessCreateTimeQuadPart(process) == known.created && !TableFind(known.pid, &(PROCESS){0})) {
        if (!NT_SUCCESS(SeLocateProcessImageName(process, &image)))
            image = NULL;
        known.flags = FlagsOf(image);
        TableAdd(&known, TextOf(image));
        TellFound(process, entry, image);
        if (image != NULL)
            ExFreePool(image);
    }
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
