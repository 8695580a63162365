/*
 * The Windows Filtering Platform and the head of NDIS's packets, as far as this
 * driver uses them. mingw has no fwpsk.h or fwpmk.h. Layouts, field numbers and
 * GUIDs are those of the public headers for x64 Windows 10 1607.
 */
#pragma once

#include "nt.h"

/* FWP_DATA_TYPE */
enum { WFP_EMPTY = 0, WFP_UINT8 = 1, WFP_UINT16 = 2, WFP_UINT32 = 3, WFP_UINT64 = 4, WFP_BYTE_ARRAY16 = 11, WFP_BYTE_BLOB = 12 };

typedef struct {
    UINT32 size;
    UINT8 *data;
} WFP_BLOB;
ASSERT_SIZE(WFP_BLOB, 0x10);

typedef struct {
    UINT32 type;
    union {
        UINT8 u8;
        UINT16 u16;
        UINT32 u32;
        UINT64 *u64;
        const UINT8 *array16;
        WFP_BLOB *blob;
    };
} WFP_VALUE;
ASSERT_SIZE(WFP_VALUE, 0x10);

typedef struct {
    UINT16 layer;
    UINT32 count;
    WFP_VALUE *value;
} WFP_VALUES;
ASSERT_SIZE(WFP_VALUES, 0x10);
ASSERT_AT(WFP_VALUES, count, 0x04);

/* FWPS_INCOMING_METADATA_VALUES0 up to the last field that is read here; the engine allocates it. */
typedef struct {
    UINT32 present;
    UINT32 flags;
    UINT64 reserved;
    UCHAR discard[0x10];
    UINT64 flow;
    UINT32 ip_header;
    UINT32 transport_header;
    WFP_BLOB *process_path;
    UINT64 token;
    UINT64 process_id;
    UINT32 source_interface;
    UINT32 destination_interface;
    ULONG compartment;
    UCHAR fragment[0x0C];
    ULONG path_mtu;
    HANDLE completion;
    UINT64 endpoint;
} WFP_METADATA;
ASSERT_AT(WFP_METADATA, flow, 0x20);
ASSERT_AT(WFP_METADATA, process_path, 0x30);
ASSERT_AT(WFP_METADATA, process_id, 0x40);
ASSERT_AT(WFP_METADATA, compartment, 0x50);
ASSERT_AT(WFP_METADATA, completion, 0x68);
ASSERT_AT(WFP_METADATA, endpoint, 0x70);
#define WFP_HAS_FLOW 0x00000002u
#define WFP_HAS_PROCESS_ID 0x00000020u
#define WFP_HAS_ENDPOINT 0x00008000u

#define WFP_FLAG_IS_LOOPBACK 0x1u
#define WFP_FLAG_IS_REAUTHORIZE 0x4u

/* Run-time layers that a flow's context is attached to. */
#define WFP_LAYER_STREAM_V4 20u
#define WFP_LAYER_STREAM_V6 22u
#define WFP_DIRECTION_OUTBOUND 0u
#define WFP_DIRECTION_INBOUND 1u

/* Numbers of the fields, the same in a layer's v4 and v6. */
enum {
    WFP_ALE_APP = 0,
    WFP_ALE_USER = 1,
    WFP_ALE_LOCAL_ADDRESS = 2,
    WFP_ALE_LOCAL_PORT = 4,
    WFP_ALE_PROTOCOL = 5,
    WFP_ALE_REMOTE_ADDRESS = 6,
    WFP_ALE_REMOTE_PORT = 7,
    WFP_ACCEPT_FLAGS = 11,
    WFP_CONNECT_FLAGS = 12,
    WFP_FLOW_DIRECTION = 12,
    WFP_FLOW_FLAGS = 15,
    WFP_CLOSURE_FLAGS = 9,
    WFP_LISTEN_FLAGS = 6,
    WFP_DATAGRAM_PROTOCOL = 0,
    WFP_DATAGRAM_LOCAL_ADDRESS = 1,
    WFP_DATAGRAM_REMOTE_ADDRESS = 2,
    WFP_DATAGRAM_LOCAL_PORT = 4,
    WFP_DATAGRAM_REMOTE_PORT = 5,
    WFP_DATAGRAM_DIRECTION = 9,
    WFP_DATAGRAM_FLAGS = 10,
};

typedef struct {
    UINT32 action;
    UINT64 out_context;
    UINT64 filter;
    UINT32 rights;
    UINT32 flags;
    UINT32 reserved;
} WFP_CLASSIFY_OUT;
ASSERT_SIZE(WFP_CLASSIFY_OUT, 0x28);

typedef VOID(NTAPI *WFP_CLASSIFY)(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                                  const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
typedef NTSTATUS(NTAPI *WFP_NOTIFY)(ULONG type, const GUID *filter_key, VOID *filter);
typedef VOID(NTAPI *WFP_FLOW_DELETE)(UINT16 layer, UINT32 callout, UINT64 flow_context);

/* FWPS_CALLOUT2 */
typedef struct {
    GUID key;
    UINT32 flags;
    WFP_CLASSIFY classify;
    WFP_NOTIFY notify;
    WFP_FLOW_DELETE flow_delete;
} WFP_CALLOUT;
ASSERT_SIZE(WFP_CALLOUT, 0x30);
ASSERT_AT(WFP_CALLOUT, classify, 0x18);
#define WFP_CALLOUT_CONDITIONAL_ON_FLOW 1u

typedef struct NET_BUFFER NET_BUFFER;
struct NET_BUFFER {
    NET_BUFFER *next;
    PMDL current_mdl;
    ULONG current_offset;
    ULONG data_bytes __attribute__((aligned(8)));
    PMDL chain;
    ULONG data_offset;
};
ASSERT_AT(NET_BUFFER, data_bytes, 0x18);
ASSERT_AT(NET_BUFFER, data_offset, 0x28);
typedef struct {
    PVOID next;
    NET_BUFFER *first;
} NET_BUFFER_LIST;

/* FWPS_STREAM_DATA0 and the head of FWPS_STREAM_CALLOUT_IO_PACKET0 */
typedef struct {
    UINT32 flags;
    struct {
        NET_BUFFER_LIST *list;
        NET_BUFFER *buffer;
        PMDL mdl;
        UINT32 mdl_offset;
        UINT32 buffer_offset;
        SIZE_T stream_offset;
    } at;
    SIZE_T bytes;
    NET_BUFFER_LIST *chain;
} WFP_STREAM_DATA;
ASSERT_AT(WFP_STREAM_DATA, bytes, 0x30);
ASSERT_SIZE(WFP_STREAM_DATA, 0x40);
typedef struct {
    WFP_STREAM_DATA *data;
    SIZE_T missed;
} WFP_STREAM_PACKET;
#define WFP_STREAM_RECEIVE 0x00000001u
#define WFP_STREAM_SEND 0x00010000u

typedef struct {
    const WCHAR *name;
    const WCHAR *description;
} WFP_DISPLAY;

typedef struct {
    GUID key;
    WFP_DISPLAY display;
    UINT32 flags;
    UINT32 wait_ms;
    ULONG process_id;
    PVOID sid;
    const WCHAR *user;
    LONG kernel_mode;
} WFP_SESSION;
ASSERT_SIZE(WFP_SESSION, 0x48);
#define WFP_SESSION_DYNAMIC 1u
#define WFP_AUTHN_WINNT 10u

typedef struct {
    GUID key;
    WFP_DISPLAY display;
    UINT32 flags;
    GUID *provider;
    WFP_BLOB provider_data;
    UINT16 weight;
} WFP_SUBLAYER;
ASSERT_SIZE(WFP_SUBLAYER, 0x48);

typedef struct {
    GUID key;
    WFP_DISPLAY display;
    UINT32 flags;
    GUID *provider;
    WFP_BLOB provider_data;
    GUID layer;
    UINT32 id;
} WFP_MCALLOUT;
ASSERT_SIZE(WFP_MCALLOUT, 0x58);

typedef struct {
    GUID field;
    UINT32 match; /* 0: equal */
    WFP_VALUE value;
} WFP_CONDITION;
ASSERT_SIZE(WFP_CONDITION, 0x28);

typedef struct {
    GUID key;
    WFP_DISPLAY display;
    UINT32 flags;
    GUID *provider;
    WFP_BLOB provider_data;
    GUID layer;
    GUID sublayer;
    WFP_VALUE weight;
    UINT32 conditions;
    WFP_CONDITION *condition;
    struct {
        UINT32 type;
        GUID callout;
    } action;
    UINT64 context[2] __attribute__((aligned(8)));
    GUID *reserved;
    UINT64 id;
    WFP_VALUE effective_weight;
} WFP_FILTER;
ASSERT_SIZE(WFP_FILTER, 0xC8);
ASSERT_AT(WFP_FILTER, layer, 0x40);
ASSERT_AT(WFP_FILTER, weight, 0x60);
ASSERT_AT(WFP_FILTER, condition, 0x78);
ASSERT_AT(WFP_FILTER, action, 0x80);
ASSERT_AT(WFP_FILTER, context, 0x98);
ASSERT_AT(WFP_FILTER, id, 0xB0);
#define WFP_ACTION_CALLOUT_INSPECTION 0x6004u

NTSYSAPI NTSTATUS NTAPI FwpsCalloutRegister2(PVOID device, const WFP_CALLOUT *callout, UINT32 *id);
#define WFP_CALLOUT_NOT_FOUND ((NTSTATUS)0xC0220001)
NTSYSAPI NTSTATUS NTAPI FwpsCalloutUnregisterById0(UINT32 id);
NTSYSAPI NTSTATUS NTAPI FwpsFlowAssociateContext0(UINT64 flow, UINT16 layer, UINT32 callout, UINT64 context);
NTSYSAPI NTSTATUS NTAPI FwpsFlowRemoveContext0(UINT64 flow, UINT16 layer, UINT32 callout);
NTSYSAPI VOID NTAPI FwpsCopyStreamDataToBuffer0(const WFP_STREAM_DATA *data, PVOID buffer, SIZE_T bytes, SIZE_T *copied);
NTSYSAPI NTSTATUS NTAPI FwpmEngineOpen0(const WCHAR *server, UINT32 authn, PVOID identity, const WFP_SESSION *session,
                                        HANDLE *engine);
NTSYSAPI NTSTATUS NTAPI FwpmEngineClose0(HANDLE engine);
NTSYSAPI NTSTATUS NTAPI FwpmTransactionBegin0(HANDLE engine, UINT32 flags);
NTSYSAPI NTSTATUS NTAPI FwpmTransactionCommit0(HANDLE engine);
NTSYSAPI NTSTATUS NTAPI FwpmTransactionAbort0(HANDLE engine);
NTSYSAPI NTSTATUS NTAPI FwpmSubLayerAdd0(HANDLE engine, const WFP_SUBLAYER *sublayer, PVOID security);
NTSYSAPI NTSTATUS NTAPI FwpmCalloutAdd0(HANDLE engine, const WFP_MCALLOUT *callout, PVOID security, UINT32 *id);
NTSYSAPI NTSTATUS NTAPI FwpmFilterAdd0(HANDLE engine, const WFP_FILTER *filter, PVOID security, UINT64 *id);
NTSYSAPI PVOID NTAPI NdisGetDataBuffer(NET_BUFFER *buffer, ULONG bytes, PVOID storage, ULONG align, ULONG align_offset);
