/*
 * Contexts of flows. The engine may be late with each: a classify that runs while the
 * driver leaves attaches its context then, and a removal waits for the classify that
 * uses it. OP_LATE plays both: what is attached comes once the driver has taken its
 * contexts back, and what is removed goes while the driver waits.
 */
#include "flow.h"

#define MAX_FLOWS 4096u

static struct flow {
    BOOLEAN used;
    BOOLEAN going; /* its removal is late */
    UINT64 id, context;
    UINT16 layer;
    UINT32 callout;
} flows[MAX_FLOWS];
static KSPIN_LOCK flow_lock;
static BOOLEAN late_associate, late_remove;
static volatile LONG held;
static HANDLE go_on;

static void Hold(void) {
    while (InterlockedExchange64((LONG64 *)&flow_lock, 1) != 0)
        Sleep(0);
}
static void Free(void) { InterlockedExchange64((LONG64 *)&flow_lock, 0); }

void LateSet(ULONG64 which) {
    late_associate = (which & 1) != 0;
    late_remove = (which & 2) != 0;
    if (go_on == NULL)
        go_on = CreateEventA(NULL, TRUE, FALSE, NULL);
    ResetEvent(go_on);
}
ULONG LateHeld(void) { return (ULONG)held; }

void LateStop(void) {
    if (go_on == NULL)
        return;
    SetEvent(go_on);
    while (held != 0)
        Sleep(0);
}

/* Free, or the flow's own; NULL: there is no room. */
static struct flow *Place(UINT64 flow, UINT32 callout) {
    struct flow *free = NULL;
    ULONG i;

    for (i = 0; i < MAX_FLOWS; i++) {
        if (flows[i].used && flows[i].id == flow && flows[i].callout == callout)
            return &flows[i];
        if (!flows[i].used && free == NULL)
            free = &flows[i];
    }
    return free;
}

static NTSTATUS Associate(UINT64 flow, UINT16 layer, UINT32 callout, UINT64 context) {
    NTSTATUS status = STATUS_SUCCESS;
    struct flow *place;

    if (context == 0 || !CalloutIs(callout))
        return STATUS_INVALID_PARAMETER;
    Hold();
    place = Place(flow, callout);
    if (place == NULL)
        status = STATUS_INSUFFICIENT_RESOURCES;
    else if (place->used)
        status = STATUS_OBJECT_NAME_EXISTS;
    else
        *place = (struct flow){TRUE, FALSE, flow, context, layer, callout};
    Free();
    if (NT_SUCCESS(status) && place != NULL && status != STATUS_OBJECT_NAME_EXISTS)
        InterlockedIncrement(&contexts);
    return status;
}

EXPORT NTSTATUS NTAPI FwpsFlowAssociateContext0(UINT64 flow, UINT16 layer, UINT32 callout, UINT64 context) {
    NTSTATUS status;

    RequireIrql(DISPATCH_LEVEL, "FwpsFlowAssociateContext0");
    if (Context()->locks != 0)
        Violation("call-out with a spin lock held", "FwpsFlowAssociateContext0");
    if (Fail("FwpsFlowAssociateContext0", &status))
        return status;
    if (!late_associate)
        return Associate(flow, layer, callout, context);
    InterlockedIncrement(&held);
    WaitForSingleObject(go_on, 0xFFFFFFFF);
    status = Associate(flow, layer, callout, context);
    InterlockedDecrement(&held);
    return status;
}

/* The context of a flow, which is forgotten; 0: it has none. */
static UINT64 TakeOut(struct flow *flow) {
    UINT64 context;

    Hold();
    context = flow->used ? flow->context : 0;
    flow->used = FALSE;
    Free();
    if (context != 0)
        InterlockedDecrement(&contexts);
    return context;
}

static void Forget(struct flow *flow) {
    UINT16 layer = flow->layer;
    UINT32 callout = flow->callout;
    UINT64 context = TakeOut(flow);

    if (context != 0)
        CalloutForget(layer, callout, context);
}

EXPORT NTSTATUS NTAPI FwpsFlowRemoveContext0(UINT64 flow, UINT16 layer, UINT32 callout) {
    struct flow *place;

    RequireIrql(DISPATCH_LEVEL, "FwpsFlowRemoveContext0");
    if (Context()->locks != 0)
        Violation("call-out with a spin lock held", "FwpsFlowRemoveContext0");
    place = Place(flow, callout);
    if (place == NULL || !place->used || place->layer != layer)
        return STATUS_UNSUCCESSFUL;
    if (late_remove) {
        place->going = TRUE;
        return STATUS_PENDING;
    }
    Forget(place);
    return STATUS_SUCCESS;
}

/* Time passes, and the removals that were late are done. */
EXPORT NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER interval) {
    ULONG i;

    RequireIrql(APC_LEVEL, "KeDelayExecutionThread");
    if (Context()->callback)
        Violation("a callback that waits", "KeDelayExecutionThread");
    if (mode != KernelMode || alertable || interval->QuadPart >= 0)
        return STATUS_INVALID_PARAMETER;
    for (i = 0; i < MAX_FLOWS; i++)
        if (flows[i].used && flows[i].going)
            Forget(&flows[i]);
    GateLeave();
    Sleep(1);
    GateEnter();
    return STATUS_SUCCESS;
}

BOOLEAN ContextsOf(UINT32 callout) {
    BOOLEAN any = FALSE;
    ULONG i;

    Hold();
    for (i = 0; i < MAX_FLOWS; i++)
        any |= flows[i].used && flows[i].callout == callout;
    Free();
    return any;
}

UINT64 ContextOf(UINT64 flow, UINT32 callout) {
    UINT64 context = 0;
    ULONG i;

    Hold();
    for (i = 0; i < MAX_FLOWS; i++)
        if (flows[i].used && flows[i].id == flow && flows[i].callout == callout)
            context = flows[i].context;
    Free();
    return context;
}

/* The system forgets a flow. */
NTSTATUS FlowEnd(UINT64 flow) {
    ULONG i;

    for (i = 0; i < MAX_FLOWS; i++)
        if (flows[i].used && flows[i].id == flow)
            Forget(&flows[i]);
    return STATUS_SUCCESS;
}
