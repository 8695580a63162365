/*
 * Copies of payload: the first bytes of each direction of a new flow, and datagrams
 * of the name services; the core selects. Nothing is parsed here. A flow's state is
 * a slot taken at load; when none is free, the flow is not followed and is counted.
 * Both directions done, the context is removed and the platform calls us no more.
 */
#include "driver.h"

#define SLOTS 2048u
#define DIRECTION_BYTES 2048u /* per direction */
#define COPY_BYTES 2048u      /* per record */
#define BUFFERS 16u           /* copies in the making at once */

typedef struct {
    FLOW_ACTOR actor;
    FLOW is;
    BOOLEAN used;
    BOOLEAN leaving; /* its context is being removed */
    ULONG generation;
    ULONG done[2]; /* bytes copied, sent and received */
} SLOT;

static struct {
    KSPIN_LOCK lock;
    SLOT *slot;
    struct core_payload_pick flows, datagrams;
    ULONG next;
    BOOLEAN stopping;
    UCHAR *buffer;
    volatile LONG busy[BUFFERS];
} payload;

NTSTATUS PAGED PayloadStart(VOID) {
    RtlZeroMemory(&payload, sizeof payload);
    KeInitializeSpinLock(&payload.lock);
    payload.slot = MemoryAllocate(SLOTS * sizeof *payload.slot);
    payload.buffer = MemoryAllocate((SIZE_T)BUFFERS * COPY_BYTES);
    return payload.slot == NULL || payload.buffer == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

VOID PAGED PayloadStop(VOID) {
    MemoryFree(payload.slot);
    MemoryFree(payload.buffer);
    payload.slot = NULL;
    payload.buffer = NULL;
}

static UCHAR *BufferTake(ULONG *which) {
    ULONG i;

    for (i = 0; i < BUFFERS; i++)
        if (InterlockedExchange(&payload.busy[i], 1) == 0) {
            *which = i;
            return payload.buffer + (SIZE_T)i * COPY_BYTES;
        }
    return NULL;
}
static VOID BufferGive(ULONG which) { InterlockedExchange(&payload.busy[which], 0); }

/* A context is never 0, and names a slot and its turn, so that a late call finds another's slot closed to it. */
static UINT64 ContextOf(ULONG at, ULONG generation) { return (UINT64)generation << 32 | (at + 1); }
static SLOT *SlotOf(UINT64 context) {
    ULONG at = (ULONG)context - 1;
    SLOT *slot;

    if (at >= SLOTS)
        return NULL;
    slot = &payload.slot[at];
    return slot->used && slot->generation == (ULONG)(context >> 32) ? slot : NULL;
}

static UINT64 Take(const FLOW *flow, const FLOW_ACTOR *actor) {
    UINT64 context = 0;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&payload.lock, &irql);
    for (i = 0; i < 64 && context == 0 && !payload.stopping; i++) {
        ULONG at = payload.next++ % SLOTS;
        SLOT *slot = &payload.slot[at];
        ULONG generation = slot->generation + 1;

        if (slot->used)
            continue;
        RtlZeroMemory(slot, sizeof *slot);
        slot->generation = generation;
        slot->used = TRUE;
        slot->actor = *actor;
        slot->is = *flow;
        context = ContextOf(at, generation);
    }
    KeReleaseSpinLock(&payload.lock, irql);
    return context;
}

/* One too many in its second is a counted loss, and not followed. */
static BOOLEAN Selected(struct core_payload_pick *pick, const FLOW *flow) {
    ULONG64 now = InterruptTime();
    enum core_picked picked;
    KIRQL irql;

    if (!PayloadWanted())
        return FALSE;
    KeAcquireSpinLock(&payload.lock, &irql);
    picked = core_payload_select(pick, flow->protocol, flow->local_port, flow->remote_port, flow->loopback, now);
    KeReleaseSpinLock(&payload.lock, irql);
    if (picked == CORE_PICK_LOST)
        RecordBlind(ASSAY_PAYLOAD_COPIED);
    return picked == CORE_PICK_YES;
}

/* Streams are TCP's; what else a flow sends comes as datagrams. */
VOID PayloadSelect(const FLOW *flow, const FLOW_ACTOR *actor) {
    UINT64 context;

    if (flow->protocol != 6 || !Selected(&payload.flows, flow))
        return;
    context = Take(flow, actor);
    if (context == 0) {
        RecordBlind(ASSAY_PAYLOAD_COPIED);
        return;
    }
    if (!NT_SUCCESS(FwpsFlowAssociateContext0(actor->flow, flow->v6 ? WFP_LAYER_STREAM_V6 : WFP_LAYER_STREAM_V4,
                                              StreamCallout(flow->v6), context))) {
        PayloadGone(0, 0, context);
        RecordBlind(ASSAY_PAYLOAD_COPIED);
    }
}

VOID NTAPI PayloadGone(UINT16 layer, UINT32 callout, UINT64 flow_context) {
    SLOT *slot;
    KIRQL irql;

    UNREFERENCED_PARAMETER(layer);
    UNREFERENCED_PARAMETER(callout);
    KeAcquireSpinLock(&payload.lock, &irql);
    slot = SlotOf(flow_context);
    if (slot != NULL)
        slot->used = FALSE;
    KeReleaseSpinLock(&payload.lock, irql);
}

/* Claims the next bytes of a direction; FALSE when it has enough. leave says that the flow is done with. */
static BOOLEAN Claim(UINT64 context, ULONG direction, SIZE_T offered, SLOT *copy, ULONG *offset, ULONG *bytes, BOOLEAN *leave) {
    SLOT *slot;
    KIRQL irql;

    *leave = FALSE;
    *bytes = 0;
    KeAcquireSpinLock(&payload.lock, &irql);
    slot = SlotOf(context);
    if (slot != NULL && !slot->leaving) {
        ULONG left = DIRECTION_BYTES - slot->done[direction];

        *offset = slot->done[direction];
        *bytes = offered < left ? (ULONG)offered : left;
        slot->done[direction] += *bytes;
        if (slot->done[0] == DIRECTION_BYTES && slot->done[1] == DIRECTION_BYTES)
            slot->leaving = *leave = TRUE;
        *copy = *slot;
    }
    KeReleaseSpinLock(&payload.lock, irql);
    return *bytes != 0;
}

/* direction 1: received. Of whole bytes these are some, at an offset in their direction. */
static VOID Tell(const SLOT *slot, ULONG direction, ULONG offset, SIZE_T whole, const UCHAR *data, ULONG bytes) {
    struct assay_payload *body;
    EVENT event;

    EventOf(&event, ASSAY_PAYLOAD_COPIED, slot->actor.pid, 0, slot->actor.created);
    event.told.text[0] = TextAt(data, bytes);
    body = &event.body.payload;
    body->flow = slot->actor.flow;
    body->endpoint = slot->actor.endpoint;
    body->offset = offset;
    body->whole = whole;
    RtlCopyMemory(body->local, slot->is.local, sizeof body->local);
    RtlCopyMemory(body->remote, slot->is.remote, sizeof body->remote);
    body->local_port = slot->is.local_port;
    body->remote_port = slot->is.remote_port;
    body->family = slot->is.v6 ? 6 : 4;
    body->protocol = slot->is.protocol;
    body->inbound = (UCHAR)direction; /* of the data, which goes both ways in one flow */
    body->hint = (UCHAR)core_payload_hint(slot->is.protocol, slot->is.local_port, slot->is.remote_port);
    Record(&event);
}

VOID NTAPI PayloadStream(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out) {
    const WFP_STREAM_PACKET *packet = layer_data;
    ULONG direction, offset = 0, bytes, which;
    BOOLEAN leave;
    SIZE_T copied = 0;
    SLOT slot;
    UCHAR *room;

    UNREFERENCED_PARAMETER(values);
    UNREFERENCED_PARAMETER(metadata);
    UNREFERENCED_PARAMETER(context);
    UNREFERENCED_PARAMETER(filter);
    UNREFERENCED_PARAMETER(out);
    if (packet == NULL || packet->data == NULL || packet->data->bytes == 0)
        return;
    direction = (packet->data->flags & WFP_STREAM_RECEIVE) != 0;
    if (Claim(flow_context, direction, packet->data->bytes, &slot, &offset, &bytes, &leave)) {
        room = BufferTake(&which);
        if (room == NULL)
            RecordBlind(ASSAY_PAYLOAD_COPIED);
        else {
            FwpsCopyStreamDataToBuffer0(packet->data, room, bytes, &copied);
            Tell(&slot, direction, offset, packet->data->bytes, room, (ULONG)copied);
            BufferGive(which);
        }
    }
    if (leave)
        FwpsFlowRemoveContext0(slot.actor.flow, slot.is.v6 ? WFP_LAYER_STREAM_V6 : WFP_LAYER_STREAM_V4, StreamCallout(slot.is.v6));
}

/* No flow is followed from now on; those that have a slot already may still get their context. */
VOID RESIDENT PayloadClose(VOID) {
    KIRQL irql;

    KeAcquireSpinLock(&payload.lock, &irql);
    payload.stopping = TRUE;
    KeReleaseSpinLock(&payload.lock, irql);
}

static BOOLEAN RESIDENT Followed(ULONG at, UINT64 *flow, BOOLEAN *v6) {
    SLOT *slot = &payload.slot[at];
    BOOLEAN used;
    KIRQL irql;

    KeAcquireSpinLock(&payload.lock, &irql);
    used = slot->used;
    *flow = slot->actor.flow;
    *v6 = slot->is.v6;
    KeReleaseSpinLock(&payload.lock, irql);
    return used;
}

/* Takes every context back: the platform calls PayloadGone for each, now or later, and only then lets a callout go. */
VOID PAGED PayloadDrain(VOID) {
    UINT64 flow;
    BOOLEAN v6;
    ULONG i;

    for (i = 0; payload.slot != NULL && i < SLOTS; i++)
        if (Followed(i, &flow, &v6))
            FwpsFlowRemoveContext0(flow, v6 ? WFP_LAYER_STREAM_V6 : WFP_LAYER_STREAM_V4, StreamCallout(v6));
}

static VOID Datagram(const WFP_VALUES *values, const WFP_METADATA *metadata, NET_BUFFER_LIST *list, SLOT *slot) {
    ULONG inbound, skip, bytes, which;
    const UCHAR *at;
    NET_BUFFER *buffer = list->first;
    UCHAR *room;

    inbound = values->value[WFP_DATAGRAM_DIRECTION].u32 == WFP_DIRECTION_INBOUND;
    skip = inbound ? 0 : 8; /* outbound data begins with the UDP header */
    if (buffer == NULL || buffer->data_bytes <= skip)
        return;
    bytes = buffer->data_bytes < COPY_BYTES ? buffer->data_bytes : COPY_BYTES;
    room = BufferTake(&which);
    if (room == NULL) {
        RecordBlind(ASSAY_PAYLOAD_COPIED);
        return;
    }
    at = NdisGetDataBuffer(buffer, bytes, room, 1, 0);
    if (at != NULL) {
        slot->actor = FlowActor(metadata);
        slot->is.inbound = (UCHAR)inbound;
        Tell(slot, inbound, 0, buffer->data_bytes - skip, at + skip, bytes - skip);
    } else
        RecordBlind(ASSAY_PAYLOAD_COPIED);
    BufferGive(which);
}

/* by_local is the filter on the local port: a datagram that the other filter also saw is that one's to tell. */
static VOID Names(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, BOOLEAN by_local) {
    SLOT slot;

    if (layer_data == NULL || values->count <= WFP_DATAGRAM_FLAGS)
        return;
    RtlZeroMemory(&slot, sizeof slot);
    if (!FlowAddresses(&slot.is, values, WFP_DATAGRAM_LOCAL_ADDRESS, WFP_DATAGRAM_REMOTE_ADDRESS))
        return;
    slot.is.protocol = values->value[WFP_DATAGRAM_PROTOCOL].u8;
    slot.is.local_port = values->value[WFP_DATAGRAM_LOCAL_PORT].u16;
    slot.is.remote_port = values->value[WFP_DATAGRAM_REMOTE_PORT].u16;
    slot.is.loopback = (values->value[WFP_DATAGRAM_FLAGS].u32 & WFP_FLAG_IS_LOOPBACK) != 0;
    if (by_local && core_payload_hint(slot.is.protocol, 0, slot.is.remote_port) == ASSAY_HINT_DNS)
        return;
    if (!Selected(&payload.datagrams, &slot.is))
        return;
    Datagram(values, metadata, layer_data, &slot);
}

VOID NTAPI DatagramRemote(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                          const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out) {
    UNREFERENCED_PARAMETER(context);
    UNREFERENCED_PARAMETER(filter);
    UNREFERENCED_PARAMETER(flow_context);
    UNREFERENCED_PARAMETER(out);
    Names(values, metadata, layer_data, FALSE);
}

VOID NTAPI DatagramLocal(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out) {
    UNREFERENCED_PARAMETER(context);
    UNREFERENCED_PARAMETER(filter);
    UNREFERENCED_PARAMETER(flow_context);
    UNREFERENCED_PARAMETER(out);
    Names(values, metadata, layer_data, TRUE);
}
