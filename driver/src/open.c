/*
 * Handles to processes: those to lsass, and those to the agent, which are tamper
 * records. Access is never changed: this records, it does not guard.
 */
#include "driver.h"

/* Terminate, create thread, VM operation, read and write, duplicate, set information, suspend. */
#define ACCESS_OF_INTEREST 0x00000A7Bu
/* The same without reading, which harms nobody. */
#define ACCESS_THAT_HARMS 0x00000A6Bu
#define ACCESS_ALL (GENERIC_ALL | GENERIC_WRITE | GENERIC_READ | MAXIMUM_ALLOWED)

static PVOID registration;

static OB_PREOP_CALLBACK_STATUS NTAPI PAGED OnOpen(PVOID context, POB_PRE_OPERATION_INFORMATION info) {
    ULONG pid = (ULONG)(ULONG_PTR)PsGetProcessId(info->Object);
    BOOLEAN duplicate = info->Operation == OB_OPERATION_HANDLE_DUPLICATE;
    BOOLEAN agent = pid == AgentPid() && pid != 0;
    PROCESS target = {0, 0, 0};
    ACCESS_MASK access, original;
    EVENT event;

    UNREFERENCED_PARAMETER(context);
    if (info->KernelHandle)
        return OB_PREOP_SUCCESS;
    /* What was asked for, and what filters above ours have left of it. */
    original = duplicate ? info->Parameters->DuplicateHandleInformation.OriginalDesiredAccess
                         : info->Parameters->CreateHandleInformation.OriginalDesiredAccess;
    access = duplicate ? info->Parameters->DuplicateHandleInformation.DesiredAccess
                       : info->Parameters->CreateHandleInformation.DesiredAccess;
    if ((original & ((agent ? ACCESS_THAT_HARMS : ACCESS_OF_INTEREST) | ACCESS_ALL)) == 0)
        return OB_PREOP_SUCCESS;
    if (!TableFind(pid, &target) && !agent)
        return OB_PREOP_SUCCESS;
    if (!agent && (target.flags & PROCESS_PROTECTED) == 0)
        return OB_PREOP_SUCCESS;
    EventActor(&event, agent ? ASSAY_TAMPER : ASSAY_PROCESS_OPENED);
    if (event.told.pid == pid || ActorIsAgent())
        return OB_PREOP_SUCCESS;
    if (agent) {
        event.body.tamper.what = ASSAY_TAMPER_PROCESS;
        event.body.tamper.target_pid = pid;
        event.body.tamper.target_created = (ULONG64)target.created;
        event.body.tamper.access = access;
        event.told.text[0] = NoText();
    } else {
        event.body.open.target_pid = pid;
        event.body.open.target_created = (ULONG64)target.created;
        event.body.open.desired = access;
        event.body.open.original = original;
        event.body.open.duplicated = duplicate;
        if (duplicate)
            event.body.open.source_pid = (ULONG)(ULONG_PTR)PsGetProcessId(info->Parameters->DuplicateHandleInformation.SourceProcess);
    }
    Record(&event);
    return OB_PREOP_SUCCESS;
}

static NTSTATUS INITIAL Start(VOID) {
    OB_OPERATION_REGISTRATION operation = {PsProcessType, OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE, OnOpen, NULL};
    OB_CALLBACK_REGISTRATION wanted = {OB_FLT_REGISTRATION_VERSION, 1, RTL_CONSTANT_STRING(OPEN_ALTITUDE), NULL, &operation};

    return ObRegisterCallbacks(&wanted, &registration);
}

static VOID PAGED Stop(VOID) { ObUnRegisterCallbacks(registration); }

const SOURCE open_source = {"open", Start, Stop};
