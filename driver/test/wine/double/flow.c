/* The filtering platform: callouts, filters, streams and datagrams. */
#include "flow.h"

#define MAX_CALLOUTS 64u
#define MAX_FILTERS 64u

static struct callout {
    BOOLEAN used;
    BOOLEAN managed; /* FwpmCalloutAdd0 was called for it */
    UINT32 id;
    GUID layer;
    WFP_CALLOUT is;
} callouts[MAX_CALLOUTS];
static struct filter {
    BOOLEAN used;
    GUID layer, callout;
    UINT32 conditions;
    WFP_CONDITION condition[8];
} filters[MAX_FILTERS];
static BOOLEAN engine, transaction;
static volatile LONG firing;
static UINT32 next_id = 100;

static BOOLEAN Same(const GUID *a, const GUID *b) { return RtlCompareMemory(a, b, sizeof *a) == sizeof *a; }

EXPORT NTSTATUS NTAPI FwpsCalloutRegister2(PVOID device, const WFP_CALLOUT *callout, UINT32 *id) {
    NTSTATUS status;
    ULONG i;

    RequireIrql(PASSIVE_LEVEL, "FwpsCalloutRegister2");
    if (Fail("FwpsCalloutRegister2", &status))
        return status;
    if (device == NULL || callout->classify == NULL || callout->notify == NULL ||
        ((callout->flags & WFP_CALLOUT_CONDITIONAL_ON_FLOW) != 0 && callout->flow_delete == NULL))
        return STATUS_INVALID_PARAMETER;
    for (i = 0; i < MAX_CALLOUTS; i++)
        if (!callouts[i].used) {
            callouts[i].used = TRUE;
            callouts[i].managed = FALSE;
            callouts[i].is = *callout;
            *id = callouts[i].id = ++next_id;
            InterlockedIncrement(&registered);
            return STATUS_SUCCESS;
        }
    return STATUS_INSUFFICIENT_RESOURCES;
}

static struct callout *CalloutOf(UINT32 id) {
    ULONG i;

    for (i = 0; i < MAX_CALLOUTS; i++)
        if (callouts[i].used && callouts[i].id == id)
            return &callouts[i];
    return NULL;
}

BOOLEAN CalloutIs(UINT32 id) { return CalloutOf(id) != NULL; }

/* Tells a callout that a context is gone, as the engine does. */
void CalloutForget(UINT16 layer, UINT32 id, UINT64 context) {
    struct callout *callout = CalloutOf(id);
    ULONG old = Context()->irql;

    RaiseTo(DISPATCH_LEVEL);
    if (callout != NULL)
        callout->is.flow_delete(layer, id, context);
    RaiseTo(old);
}

#define BUSY_MOST 200u /* answers to a driver that waits between them */

EXPORT NTSTATUS NTAPI FwpsCalloutUnregisterById0(UINT32 id) {
    struct callout *callout = CalloutOf(id);
    static ULONG busy;

    LateStop();
    RequireIrql(PASSIVE_LEVEL, "FwpsCalloutUnregisterById0");
    if (callout == NULL) {
        Violation("callout undone twice", "FwpsCalloutUnregisterById0");
        return WFP_CALLOUT_NOT_FOUND;
    }
    if (ContextsOf(id)) {
        if (busy++ < BUSY_MOST)
            return STATUS_DEVICE_BUSY;
        Violation("contexts never taken back", "FwpsCalloutUnregisterById0");
    }
    callout->used = FALSE;
    while (firing != 0)
        Sleep(0);
    InterlockedDecrement(&registered);
    return STATUS_SUCCESS;
}

EXPORT VOID NTAPI FwpsCopyStreamDataToBuffer0(const WFP_STREAM_DATA *data, PVOID out, SIZE_T bytes, SIZE_T *copied) {
    SIZE_T n = bytes < data->bytes ? bytes : data->bytes;

    RequireIrql(DISPATCH_LEVEL, "FwpsCopyStreamDataToBuffer0");
    RtlCopyMemory(out, data->chain, n); /* the double keeps the bytes where the chain would be */
    *copied = n;
}

EXPORT PVOID NTAPI NdisGetDataBuffer(NET_BUFFER *buffer, ULONG bytes, PVOID storage, ULONG align, ULONG offset) {
    NTSTATUS status;

    RequireIrql(DISPATCH_LEVEL, "NdisGetDataBuffer");
    (void)align, (void)offset;
    if (Fail("NdisGetDataBuffer", &status))
        return NULL;
    if (bytes > buffer->data_bytes)
        return NULL;
    if ((buffer->data_offset & 1) == 0) /* contiguous: no copy is made */
        return buffer->chain;
    if (storage == NULL)
        return NULL;
    RtlCopyMemory(storage, buffer->chain, bytes);
    return storage;
}

EXPORT NTSTATUS NTAPI FwpmEngineOpen0(const WCHAR *server, UINT32 authn, PVOID identity, const WFP_SESSION *session, HANDLE *out) {
    NTSTATUS status;

    RequireIrql(PASSIVE_LEVEL, "FwpmEngineOpen0");
    if (Fail("FwpmEngineOpen0", &status))
        return status;
    if (server != NULL || identity != NULL || authn != WFP_AUTHN_WINNT || session == NULL || session->flags != WFP_SESSION_DYNAMIC || engine)
        return STATUS_INVALID_PARAMETER;
    engine = TRUE;
    *out = (HANDLE)(ULONG_PTR)0x57F0;
    InterlockedIncrement(&registered);
    return STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmEngineClose0(HANDLE handle) {
    RequireIrql(PASSIVE_LEVEL, "FwpmEngineClose0");
    UNREFERENCED_PARAMETER(handle);
    if (!engine || transaction)
        Violation("engine closed twice or within a transaction", "FwpmEngineClose0");
    engine = FALSE;
    RtlZeroMemory(filters, sizeof filters); /* the session is dynamic */
    InterlockedDecrement(&registered);
    return STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmTransactionBegin0(HANDLE handle, UINT32 flags) {
    NTSTATUS status;

    UNREFERENCED_PARAMETER(handle);
    UNREFERENCED_PARAMETER(flags);
    if (Fail("FwpmTransactionBegin0", &status))
        return status;
    transaction = TRUE;
    return STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmTransactionCommit0(HANDLE handle) {
    NTSTATUS status;

    UNREFERENCED_PARAMETER(handle);
    if (Fail("FwpmTransactionCommit0", &status))
        return status;
    transaction = FALSE;
    return STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmTransactionAbort0(HANDLE handle) {
    UNREFERENCED_PARAMETER(handle);
    if (!transaction)
        Violation("no transaction to abort", "FwpmTransactionAbort0");
    transaction = FALSE;
    RtlZeroMemory(filters, sizeof filters);
    return STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmSubLayerAdd0(HANDLE handle, const WFP_SUBLAYER *sublayer, PVOID security) {
    NTSTATUS status;

    UNREFERENCED_PARAMETER(handle);
    UNREFERENCED_PARAMETER(security);
    if (Fail("FwpmSubLayerAdd0", &status))
        return status;
    return sublayer->display.name == NULL ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}
EXPORT NTSTATUS NTAPI FwpmCalloutAdd0(HANDLE handle, const WFP_MCALLOUT *callout, PVOID security, UINT32 *id) {
    NTSTATUS status;
    ULONG i;

    UNREFERENCED_PARAMETER(handle);
    (void)security, (void)id;
    if (Fail("FwpmCalloutAdd0", &status))
        return status;
    for (i = 0; i < MAX_CALLOUTS; i++)
        if (callouts[i].used && Same(&callouts[i].is.key, &callout->key)) {
            callouts[i].managed = TRUE;
            callouts[i].layer = callout->layer;
            return STATUS_SUCCESS;
        }
    return STATUS_NOT_FOUND;
}
EXPORT NTSTATUS NTAPI FwpmFilterAdd0(HANDLE handle, const WFP_FILTER *filter, PVOID security, UINT64 *id) {
    NTSTATUS status;
    ULONG i;

    UNREFERENCED_PARAMETER(handle);
    (void)security, (void)id;
    if (Fail("FwpmFilterAdd0", &status))
        return status;
    if (filter->action.type != WFP_ACTION_CALLOUT_INSPECTION || filter->conditions > 8)
        return STATUS_INVALID_PARAMETER;
    for (i = 0; i < MAX_FILTERS && filters[i].used; i++)
        ;
    if (i == MAX_FILTERS)
        return STATUS_INSUFFICIENT_RESOURCES;
    filters[i].used = TRUE;
    filters[i].layer = filter->layer;
    filters[i].callout = filter->action.callout;
    filters[i].conditions = filter->conditions;
    if (filter->conditions != 0)
        RtlCopyMemory(filters[i].condition, filter->condition, filter->conditions * sizeof(WFP_CONDITION));
    return STATUS_SUCCESS;
}

/* Layers by their first word, which is enough to tell those used here apart. */
static const struct {
    UINT32 op, v4, v6, refused4, refused6;
} layers[] = {
    {OP_CONNECT, 0xc38d57d1, 0x4a72393b, 0xd632a801, 0xc97bc3b8},
    {OP_ACCEPT, 0xe1cd9fe7, 0xa3b42c97, 0x9eeaa99b, 0x89455b97},
    {OP_LISTEN, 0x88bb5dad, 0x7ac9de24, 0x371dfada, 0x60703b07},
    {OP_ESTABLISHED, 0xaf80470a, 0x7021d2b3, 0, 0},
    {OP_CLOSURE, 0xb4766427, 0xbb536ccd, 0, 0},
    {OP_STREAM, 0x3b89653c, 0x47c9137a, 0, 0},
    {OP_DATAGRAM, 0x3d08bf4e, 0xfa45fe2f, 0, 0},
};

static UINT32 LayerOf(const struct double_command *c) {
    ULONG i;

    for (i = 0; i < sizeof layers / sizeof layers[0]; i++)
        if (layers[i].op == c->op) {
            if ((c->flags & FLOW_REFUSED) != 0)
                return (c->flags & FLOW_V6) != 0 ? layers[i].refused6 : layers[i].refused4;
            return (c->flags & FLOW_V6) != 0 ? layers[i].v6 : layers[i].v4;
        }
    return 0;
}

/* Conditions on the ports and the protocol, the only ones that the driver uses: of one field, any; of all fields, each. */
static BOOLEAN Matches(const struct filter *f, const struct double_command *c) {
    ULONG i;
    BOOLEAN want[3] = {FALSE, FALSE, FALSE}, have[3] = {FALSE, FALSE, FALSE};

    for (i = 0; i < f->conditions; i++) {
        const WFP_CONDITION *w = &f->condition[i];
        ULONG field = w->field.Data1 == 0x3971ef2b ? 0 : w->field.Data1 == 0x0c1ba1af ? 1 : 2;
        ULONG value = field == 0 ? (ULONG)c->a[2] : field == 1 ? (ULONG)c->a[3] : (ULONG)c->a[4];

        want[field] = TRUE;
        if (value == (w->value.type == WFP_UINT8 ? w->value.u8 : w->value.u16))
            have[field] = TRUE;
    }
    for (i = 0; i < 3; i++)
        if (want[i] && !have[i])
            return FALSE;
    return TRUE;
}

static void Address(WFP_VALUE *v, const struct double_command *c, ULONG at) {
    if ((c->flags & FLOW_V6) != 0) {
        v->type = WFP_BYTE_ARRAY16;
        v->array16 = c->data + at;
    } else {
        v->type = WFP_UINT32; /* in host order */
        v->u32 = (UINT32)c->data[at] << 24 | (UINT32)c->data[at + 1] << 16 | (UINT32)c->data[at + 2] << 8 | c->data[at + 3];
    }
}
static void Port(WFP_VALUE *v, UINT64 port) {
    v->type = WFP_UINT16;
    v->u16 = (UINT16)port;
}
static void Number(WFP_VALUE *v, UINT32 number) {
    v->type = WFP_UINT32;
    v->u32 = number;
}

static void Fill(WFP_VALUE *v, const struct double_command *c) {
    UINT32 direction = (c->flags & FLOW_INBOUND) != 0 ? WFP_DIRECTION_INBOUND : WFP_DIRECTION_OUTBOUND;

    if (c->op == OP_DATAGRAM) {
        v[WFP_DATAGRAM_PROTOCOL].type = WFP_UINT8;
        v[WFP_DATAGRAM_PROTOCOL].u8 = (UINT8)c->a[2];
        Address(&v[WFP_DATAGRAM_LOCAL_ADDRESS], c, 0);
        Address(&v[WFP_DATAGRAM_REMOTE_ADDRESS], c, 16);
        Port(&v[WFP_DATAGRAM_LOCAL_PORT], c->a[3]);
        Port(&v[WFP_DATAGRAM_REMOTE_PORT], c->a[4]);
        Number(&v[WFP_DATAGRAM_DIRECTION], direction);
        Number(&v[WFP_DATAGRAM_FLAGS], (UINT32)c->a[5]);
        return;
    }
    Address(&v[WFP_ALE_LOCAL_ADDRESS], c, 0);
    Port(&v[WFP_ALE_LOCAL_PORT], c->a[3]);
    if (c->op == OP_LISTEN) {
        Number(&v[WFP_LISTEN_FLAGS], (UINT32)c->a[5]);
        return;
    }
    v[WFP_ALE_PROTOCOL].type = WFP_UINT8;
    v[WFP_ALE_PROTOCOL].u8 = (UINT8)c->a[2];
    Address(&v[WFP_ALE_REMOTE_ADDRESS], c, 16);
    Port(&v[WFP_ALE_REMOTE_PORT], c->a[4]);
    if (c->op == OP_CONNECT)
        Number(&v[WFP_CONNECT_FLAGS], (UINT32)c->a[5]);
    else if (c->op == OP_ACCEPT)
        Number(&v[WFP_ACCEPT_FLAGS], (UINT32)c->a[5]);
    else if (c->op == OP_CLOSURE)
        Number(&v[WFP_CLOSURE_FLAGS], (UINT32)c->a[5]);
    else {
        Number(&v[WFP_FLOW_FLAGS], (UINT32)c->a[5]);
        Number(&v[WFP_FLOW_DIRECTION], direction);
    }
}

NTSTATUS FlowRun(struct double_command *c, ULONG n) {
    WFP_VALUE value[24] = {0};
    WFP_VALUES values = {0, 24, value};
    WFP_METADATA metadata = {0};
    WFP_CLASSIFY_OUT out = {0};
    WFP_STREAM_DATA stream = {0};
    WFP_STREAM_PACKET packet = {&stream, 0};
    NET_BUFFER buffer = {0};
    NET_BUFFER_LIST list = {NULL, &buffer};
    PVOID data = NULL;
    UINT32 layer = LayerOf(c);
    ULONG i, k;

    UNREFERENCED_PARAMETER(n);
    if (c->op == OP_FLOW_END)
        return FlowEnd(c->a[0]);
    Fill(value, c);
    metadata.flow = c->a[0];
    metadata.endpoint = c->a[1];
    metadata.process_id = c->pid;
    metadata.present = WFP_HAS_FLOW | WFP_HAS_ENDPOINT | (c->pid != 0 ? WFP_HAS_PROCESS_ID : 0);
    if (c->op == OP_STREAM) {
        stream.flags = (c->flags & FLOW_INBOUND) != 0 ? WFP_STREAM_RECEIVE : WFP_STREAM_SEND;
        stream.bytes = c->bytes;
        stream.chain = (NET_BUFFER_LIST *)c->data;
        data = &packet;
    } else if (c->op == OP_DATAGRAM) {
        ULONG head = (c->flags & FLOW_INBOUND) != 0 ? 32 : 24; /* outbound begins with the UDP header */
        buffer.data_bytes = c->bytes - head;
        buffer.chain = (PMDL)(c->data + head);
        buffer.data_offset = (ULONG)c->a[6];
        data = &list;
    }
    InterlockedIncrement(&firing);
    for (i = 0; i < MAX_FILTERS; i++) {
        if (!filters[i].used || filters[i].layer.Data1 != layer || !Matches(&filters[i], c))
            continue;
        for (k = 0; k < MAX_CALLOUTS; k++) {
            UINT64 context = 0;

            if (!callouts[k].used || !callouts[k].managed || !Same(&callouts[k].is.key, &filters[i].callout))
                continue;
            if ((callouts[k].is.flags & WFP_CALLOUT_CONDITIONAL_ON_FLOW) != 0) {
                context = ContextOf(c->a[0], callouts[k].id);
                if (context == 0)
                    continue;
            }
            RaiseTo(c->irql);
            callouts[k].is.classify(&values, &metadata, data, NULL, &filters[i], context, &out);
            RaiseTo(PASSIVE_LEVEL);
            if (out.action == 0x1001) /* FWP_ACTION_BLOCK */
                Violation("a flow was blocked", "classify");
        }
    }
    InterlockedDecrement(&firing);
    return STATUS_SUCCESS;
}
