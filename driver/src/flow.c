/*
 * Flows, by the application layer enforcement of the filtering platform: connect,
 * accept and listen when they are authorised, refusal at the discard layers, the
 * end when the endpoint closes. A policy change makes the platform ask again about
 * flows that exist; such a call is marked and makes no second record. All callouts
 * inspect and none decides.
 */
#include "driver.h"

static HANDLE engine;

static VOID Copy(UCHAR *to, const WFP_VALUE *value, BOOLEAN v6) {
    if (v6) {
        if (value->type == WFP_BYTE_ARRAY16 && value->array16 != NULL)
            RtlCopyMemory(to, value->array16, 16);
        return;
    }
    to[0] = (UCHAR)(value->u32 >> 24); /* IPv4 comes in host order */
    to[1] = (UCHAR)(value->u32 >> 16);
    to[2] = (UCHAR)(value->u32 >> 8);
    to[3] = (UCHAR)value->u32;
}

BOOLEAN FlowAddresses(FLOW *flow, const WFP_VALUES *values, ULONG local, ULONG remote) {
    RtlZeroMemory(flow, sizeof *flow);
    if (values->count <= local || values->count <= remote)
        return FALSE;
    flow->v6 = values->value[local].type == WFP_BYTE_ARRAY16;
    Copy(flow->local, &values->value[local], flow->v6);
    Copy(flow->remote, &values->value[remote], flow->v6);
    return TRUE;
}

static UINT32 Flags(const WFP_VALUES *values, ULONG field) { return field < values->count ? values->value[field].u32 : 0; }

/* The process that the platform names; at these layers the running one may be another. */
FLOW_ACTOR FlowActor(const WFP_METADATA *metadata) {
    FLOW_ACTOR actor;

    actor.pid = (metadata->present & WFP_HAS_PROCESS_ID) != 0 ? (ULONG)metadata->process_id : 0;
    actor.created = TableCreated(actor.pid);
    actor.flow = (metadata->present & WFP_HAS_FLOW) != 0 ? metadata->flow : 0;
    actor.endpoint = (metadata->present & WFP_HAS_ENDPOINT) != 0 ? metadata->endpoint : 0;
    return actor;
}

static BOOLEAN IsAgent(const FLOW_ACTOR *actor) { return actor->pid != 0 && actor->pid == AgentPid(); }

static VOID Tell(ULONG kind, ULONG refused, const FLOW *flow, const FLOW_ACTOR *actor) {
    struct assay_flow *body;
    EVENT event;

    EventOf(&event, kind, actor->pid, 0, actor->created);
    body = &event.body.flow;
    body->flow = kind == ASSAY_FLOW_REFUSED || kind == ASSAY_FLOW_LISTENING ? 0 : actor->flow;
    body->endpoint = actor->endpoint;
    RtlCopyMemory(body->local, flow->local, sizeof body->local);
    RtlCopyMemory(body->remote, flow->remote, sizeof body->remote);
    body->local_port = flow->local_port;
    body->remote_port = flow->remote_port;
    body->family = flow->v6 ? 6 : 4;
    body->protocol = flow->protocol;
    body->inbound = flow->inbound;
    body->loopback = flow->loopback;
    body->refused = refused;
    Record(&event);
}

static BOOLEAN Ale(FLOW *flow, const WFP_VALUES *values, ULONG flags) {
    if (values->count <= WFP_ALE_REMOTE_PORT || !FlowAddresses(flow, values, WFP_ALE_LOCAL_ADDRESS, WFP_ALE_REMOTE_ADDRESS))
        return FALSE;
    flow->local_port = values->value[WFP_ALE_LOCAL_PORT].u16;
    flow->remote_port = values->value[WFP_ALE_REMOTE_PORT].u16;
    flow->protocol = values->value[WFP_ALE_PROTOCOL].u8;
    flow->loopback = (Flags(values, flags) & WFP_FLAG_IS_LOOPBACK) != 0;
    return TRUE;
}

/* refused 0: it was authorised. */
static VOID Authorised(ULONG kind, ULONG refused, const WFP_VALUES *values, const WFP_METADATA *metadata, ULONG flags) {
    FLOW_ACTOR actor;
    FLOW flow;

    if ((Flags(values, flags) & WFP_FLAG_IS_REAUTHORIZE) != 0 || !Ale(&flow, values, flags))
        return;
    flow.inbound = kind == ASSAY_FLOW_ACCEPTED || refused == ASSAY_FLOW_ACCEPTED;
    actor = FlowActor(metadata);
    if (!IsAgent(&actor))
        Tell(kind, refused, &flow, &actor);
}

#define CLASSIFY(name)                                                                                                         \
    static VOID NTAPI name(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,      \
                           const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out)
#define UNUSED_OF_CLASSIFY                                                                                                     \
    (void)layer_data;                                                                                                          \
    (void)context;                                                                                                             \
    (void)filter;                                                                                                              \
    (void)flow_context;                                                                                                        \
    (void)out

CLASSIFY(OnConnect) {
    UNUSED_OF_CLASSIFY;
    Authorised(ASSAY_FLOW_CONNECTED, 0, values, metadata, WFP_CONNECT_FLAGS);
}
CLASSIFY(OnAccept) {
    UNUSED_OF_CLASSIFY;
    Authorised(ASSAY_FLOW_ACCEPTED, 0, values, metadata, WFP_ACCEPT_FLAGS);
}
CLASSIFY(OnConnectRefused) {
    UNUSED_OF_CLASSIFY;
    Authorised(ASSAY_FLOW_REFUSED, ASSAY_FLOW_CONNECTED, values, metadata, WFP_CONNECT_FLAGS);
}
CLASSIFY(OnAcceptRefused) {
    UNUSED_OF_CLASSIFY;
    Authorised(ASSAY_FLOW_REFUSED, ASSAY_FLOW_ACCEPTED, values, metadata, WFP_ACCEPT_FLAGS);
}
CLASSIFY(OnClosure) {
    UNUSED_OF_CLASSIFY;
    Authorised(ASSAY_FLOW_ENDED, 0, values, metadata, WFP_CLOSURE_FLAGS);
}

/* Listening has no remote side and no protocol field: it is TCP's alone. */
static VOID Listening(ULONG kind, ULONG refused, const WFP_VALUES *values, const WFP_METADATA *metadata) {
    FLOW_ACTOR actor;
    FLOW flow;

    if ((Flags(values, WFP_LISTEN_FLAGS) & WFP_FLAG_IS_REAUTHORIZE) != 0 ||
        !FlowAddresses(&flow, values, WFP_ALE_LOCAL_ADDRESS, WFP_ALE_LOCAL_ADDRESS))
        return;
    RtlZeroMemory(flow.remote, sizeof flow.remote);
    flow.local_port = values->value[WFP_ALE_LOCAL_PORT].u16;
    flow.protocol = 6;
    flow.inbound = 1;
    actor = FlowActor(metadata);
    if (!IsAgent(&actor))
        Tell(kind, refused, &flow, &actor);
}
CLASSIFY(OnListen) {
    UNUSED_OF_CLASSIFY;
    Listening(ASSAY_FLOW_LISTENING, 0, values, metadata);
}
CLASSIFY(OnListenRefused) {
    UNUSED_OF_CLASSIFY;
    Listening(ASSAY_FLOW_REFUSED, ASSAY_FLOW_LISTENING, values, metadata);
}

/* A new flow: here, and only here, its payload may be asked for. */
CLASSIFY(OnEstablished) {
    FLOW_ACTOR actor;
    FLOW flow;

    UNUSED_OF_CLASSIFY;
    if (!Ale(&flow, values, WFP_FLOW_FLAGS) || values->count <= WFP_FLOW_DIRECTION || (metadata->present & WFP_HAS_FLOW) == 0)
        return;
    flow.inbound = values->value[WFP_FLOW_DIRECTION].u32 == WFP_DIRECTION_INBOUND;
    actor = FlowActor(metadata);
    if (!IsAgent(&actor))
        PayloadSelect(&flow, &actor);
}

static NTSTATUS NTAPI OnNotify(ULONG type, const GUID *filter_key, VOID *filter) {
    UNREFERENCED_PARAMETER(type);
    UNREFERENCED_PARAMETER(filter_key);
    UNREFERENCED_PARAMETER(filter);
    return STATUS_SUCCESS;
}

/* Which datagrams: those of the name services, by the remote port, and by the local one of whoever serves. */
enum { ALL, REMOTE_NAMES, LOCAL_NAMES };

#define LAYER(a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) {a, b, c, {d0, d1, d2, d3, d4, d5, d6, d7}}
static const struct {
    GUID layer;
    WFP_CLASSIFY classify;
    ULONG conditional;
    ULONG which;
} layers[] = {
    {LAYER(0xc38d57d1, 0x05a7, 0x4c33, 0x90, 0x4f, 0x7f, 0xbc, 0xee, 0xe6, 0x0e, 0x82), OnConnect, 0, ALL},
    {LAYER(0x4a72393b, 0x319f, 0x44bc, 0x84, 0xc3, 0xba, 0x54, 0xdc, 0xb3, 0xb6, 0xb4), OnConnect, 0, ALL},
    {LAYER(0xd632a801, 0xf5ba, 0x4ad6, 0x96, 0xe3, 0x60, 0x70, 0x17, 0xd9, 0x83, 0x6a), OnConnectRefused, 0, ALL},
    {LAYER(0xc97bc3b8, 0xc9a3, 0x4e33, 0x86, 0x95, 0x8e, 0x17, 0xaa, 0xd4, 0xde, 0x09), OnConnectRefused, 0, ALL},
    {LAYER(0xe1cd9fe7, 0xf4b5, 0x4273, 0x96, 0xc0, 0x59, 0x2e, 0x48, 0x7b, 0x86, 0x50), OnAccept, 0, ALL},
    {LAYER(0xa3b42c97, 0x9f04, 0x4672, 0xb8, 0x7e, 0xce, 0xe9, 0xc4, 0x83, 0x25, 0x7f), OnAccept, 0, ALL},
    {LAYER(0x9eeaa99b, 0xbd22, 0x4227, 0x91, 0x9f, 0x00, 0x73, 0xc6, 0x33, 0x57, 0xb1), OnAcceptRefused, 0, ALL},
    {LAYER(0x89455b97, 0xdbe1, 0x453f, 0xa2, 0x24, 0x13, 0xda, 0x89, 0x5a, 0xf3, 0x96), OnAcceptRefused, 0, ALL},
    {LAYER(0x88bb5dad, 0x76d7, 0x4227, 0x9c, 0x71, 0xdf, 0x0a, 0x3e, 0xd7, 0xbe, 0x7e), OnListen, 0, ALL},
    {LAYER(0x7ac9de24, 0x17dd, 0x4814, 0xb4, 0xbd, 0xa9, 0xfb, 0xc9, 0x5a, 0x32, 0x1b), OnListen, 0, ALL},
    {LAYER(0x371dfada, 0x9f26, 0x45fd, 0xb4, 0xeb, 0xc2, 0x9e, 0xb2, 0x12, 0x89, 0x3f), OnListenRefused, 0, ALL},
    {LAYER(0x60703b07, 0x63c8, 0x48e9, 0xad, 0xa3, 0x12, 0xb1, 0xaf, 0x40, 0xa6, 0x17), OnListenRefused, 0, ALL},
    {LAYER(0xaf80470a, 0x5596, 0x4c13, 0x99, 0x92, 0x53, 0x9e, 0x6f, 0xe5, 0x79, 0x67), OnEstablished, 0, ALL},
    {LAYER(0x7021d2b3, 0xdfa4, 0x406e, 0xaf, 0xeb, 0x6a, 0xfa, 0xf7, 0xe7, 0x0e, 0xfd), OnEstablished, 0, ALL},
    {LAYER(0xb4766427, 0xe2a2, 0x467a, 0xbd, 0x7e, 0xdb, 0xcd, 0x1b, 0xd8, 0x5a, 0x09), OnClosure, 0, ALL},
    {LAYER(0xbb536ccd, 0x4755, 0x4ba9, 0x9f, 0xf7, 0xf9, 0xed, 0xf8, 0x69, 0x9c, 0x7b), OnClosure, 0, ALL},
    {LAYER(0x3b89653c, 0xc170, 0x49e4, 0xb1, 0xcd, 0xe0, 0xee, 0xee, 0xe1, 0x9a, 0x3e), PayloadStream, 1, ALL},
    {LAYER(0x47c9137a, 0x7ec4, 0x46b3, 0xb6, 0xe4, 0x48, 0xe9, 0x26, 0xb1, 0xed, 0xa4), PayloadStream, 1, ALL},
    {LAYER(0x3d08bf4e, 0x45f6, 0x4930, 0xa9, 0x22, 0x41, 0x70, 0x98, 0xe2, 0x00, 0x27), DatagramRemote, 0, REMOTE_NAMES},
    {LAYER(0xfa45fe2f, 0x3cba, 0x4427, 0x87, 0xfc, 0x57, 0xb9, 0xa4, 0xb1, 0x0d, 0x00), DatagramRemote, 0, REMOTE_NAMES},
    {LAYER(0x3d08bf4e, 0x45f6, 0x4930, 0xa9, 0x22, 0x41, 0x70, 0x98, 0xe2, 0x00, 0x27), DatagramLocal, 0, LOCAL_NAMES},
    {LAYER(0xfa45fe2f, 0x3cba, 0x4427, 0x87, 0xfc, 0x57, 0xb9, 0xa4, 0xb1, 0x0d, 0x00), DatagramLocal, 0, LOCAL_NAMES},
};
#define LAYERS (sizeof layers / sizeof layers[0])
#define STREAM_V4_AT 16u
#define STREAM_V6_AT 17u

static UINT32 ids[LAYERS];

UINT32 StreamCallout(BOOLEAN v6) { return ids[v6 ? STREAM_V6_AT : STREAM_V4_AT]; }

/* Keys of ours: one base, the last byte counts. */
static GUID PAGED KeyOf(UCHAR group, ULONG n) {
    GUID key = {0x6c8e2f10, 0x51d3, 0x4b9a, {0xa2, 0x17, 0x3d, 0x0c, 0x9e, 0x41, 0, 0}};

    key.Data4[6] = group;
    key.Data4[7] = (UCHAR)n;
    return key;
}

static ULONG PAGED Conditions(WFP_CONDITION *condition, ULONG which) {
    static const GUID protocol = {0x3971ef2b, 0x623e, 0x4f9a, {0x8c, 0xb1, 0x6e, 0x79, 0xb8, 0x06, 0xb9, 0xa7}};
    static const GUID local = {0x0c1ba1af, 0x5765, 0x453f, {0xaf, 0x22, 0xa8, 0xf7, 0x91, 0xac, 0x77, 0x5b}};
    static const GUID remote = {0xc35a604d, 0xd22b, 0x4e1a, {0x91, 0xb4, 0x68, 0xf6, 0x74, 0xee, 0x67, 0x4b}};
    static const UINT16 ports[] = {53, 5353, 5355};
    ULONG i;

    if (which == ALL)
        return 0;
    RtlZeroMemory(condition, 4 * sizeof *condition);
    condition[0].field = protocol;
    condition[0].value.type = WFP_UINT8;
    condition[0].value.u8 = 17;
    for (i = 0; i < 3; i++) {
        condition[1 + i].field = which == LOCAL_NAMES ? local : remote;
        condition[1 + i].value.type = WFP_UINT16;
        condition[1 + i].value.u16 = ports[i];
    }
    return 4;
}

/* The stack of one of these is most of what a function here may use, so each has its own. */
static NTSTATUS PAGED AddCallout(ULONG n) {
    WFP_MCALLOUT callout;

    RtlZeroMemory(&callout, sizeof callout);
    callout.key = KeyOf(1, n);
    callout.display.name = L"Assay flow inspection";
    callout.layer = layers[n].layer;
    return FwpmCalloutAdd0(engine, &callout, NULL, NULL);
}

static NTSTATUS PAGED AddFilter(ULONG n) {
    WFP_CONDITION condition[4];
    WFP_FILTER filter;

    RtlZeroMemory(&filter, sizeof filter);
    filter.key = KeyOf(2, n);
    filter.display.name = L"Assay flow inspection";
    filter.layer = layers[n].layer;
    filter.sublayer = KeyOf(0, 0);
    filter.action.type = WFP_ACTION_CALLOUT_INSPECTION;
    filter.action.callout = KeyOf(1, n);
    filter.conditions = Conditions(condition, layers[n].which);
    filter.condition = filter.conditions == 0 ? NULL : condition;
    return FwpmFilterAdd0(engine, &filter, NULL, NULL);
}

static NTSTATUS PAGED AddSublayer(VOID) {
    WFP_SUBLAYER sublayer;

    RtlZeroMemory(&sublayer, sizeof sublayer);
    sublayer.key = KeyOf(0, 0);
    sublayer.display.name = L"Assay flow inspection";
    sublayer.weight = 0xFFFF; /* before others decide, so that what they refuse is seen as asked for */
    return FwpmSubLayerAdd0(engine, &sublayer, NULL);
}

static NTSTATUS PAGED AddAll(VOID) {
    NTSTATUS status = AddSublayer();
    ULONG n;

    for (n = 0; n < LAYERS && NT_SUCCESS(status); n++) {
        status = AddCallout(n);
        if (NT_SUCCESS(status))
            status = AddFilter(n);
    }
    return status;
}

static NTSTATUS PAGED Manage(VOID) {
    WFP_SESSION session;
    NTSTATUS status;

    RtlZeroMemory(&session, sizeof session);
    session.flags = WFP_SESSION_DYNAMIC; /* what is added goes with us, also when we crash */
    session.display.name = L"Assay";
    status = FwpmEngineOpen0(NULL, WFP_AUTHN_WINNT, NULL, &session, &engine);
    if (!NT_SUCCESS(status)) {
        engine = NULL;
        return status;
    }
    status = FwpmTransactionBegin0(engine, 0);
    if (!NT_SUCCESS(status))
        return status;
    status = AddAll();
    if (NT_SUCCESS(status))
        status = FwpmTransactionCommit0(engine);
    if (!NT_SUCCESS(status))
        FwpmTransactionAbort0(engine);
    return status;
}

static NTSTATUS PAGED Register(ULONG n) {
    WFP_CALLOUT callout;

    RtlZeroMemory(&callout, sizeof callout);
    callout.key = KeyOf(1, n);
    callout.flags = layers[n].conditional ? WFP_CALLOUT_CONDITIONAL_ON_FLOW : 0;
    callout.classify = layers[n].classify;
    callout.notify = OnNotify;
    callout.flow_delete = layers[n].conditional ? PayloadGone : NULL;
    return FwpsCalloutRegister2(DeviceObject(), &callout, &ids[n]);
}

/* Until it is gone: a context may be attached by a classify that ran already, and one that a classify uses goes late. */
static VOID PAGED Unregister(UINT32 id) {
    LARGE_INTEGER pause = {.QuadPart = -10 * 10000};
    NTSTATUS status;

    for (;;) {
        status = FwpsCalloutUnregisterById0(id);
        if (NT_SUCCESS(status) || status == WFP_CALLOUT_NOT_FOUND)
            return;
        PayloadDrain();
        KeDelayExecutionThread(KernelMode, FALSE, &pause);
    }
}

/* Filters first, so that nothing new comes in; then the contexts that flows still hold; then the callouts. */
static VOID PAGED Stop(VOID) {
    ULONG n;

    if (engine != NULL)
        FwpmEngineClose0(engine);
    engine = NULL;
    PayloadClose();
    PayloadDrain();
    for (n = LAYERS; n > 0; n--)
        if (ids[n - 1] != 0) {
            Unregister(ids[n - 1]);
            ids[n - 1] = 0;
        }
    PayloadStop();
}

static NTSTATUS PAGED Start(VOID) {
    NTSTATUS status = PayloadStart();
    ULONG n;

    for (n = 0; n < LAYERS && NT_SUCCESS(status); n++)
        status = Register(n);
    if (NT_SUCCESS(status))
        status = Manage();
    if (!NT_SUCCESS(status))
        Stop();
    return status;
}

const SOURCE flow_source = {"flow", Start, Stop};
