/*
 * What the files of the shell know of each other. The shell is thin: each notify
 * source gathers an EVENT and hands it to Record(); records, rings, filters and
 * validation are the core's (../core), which knows nothing of Windows.
 *
 * Rules that every file keeps: a callback does bounded work, waits for nobody in
 * user mode and never changes the outcome of what it observes. All memory is
 * taken at load. One spin lock at a time, and no call-out under it.
 */
#pragma once

#include "../abi.h"
#include "../nt/flt.h"
#include "../nt/wfp.h"

#define POOL_TAG 'yssA' /* Assy in a pool listing */
#define DRIVER_VERSION 0x00010000u
#define DEVICE_NAME L"\\Device\\Assay"
#define DEVICE_LINK L"\\DosDevices\\Assay"
#define KEY_ALTITUDE L"385171.5" /* of our own range once assigned: docs/driver.md */
#define OPEN_ALTITUDE L"385171.6"

/* NT SERVICE\assay-agent; access.c says how it is made. */
#define SERVICE_SID_0 3378047488u
#define SERVICE_SID_1 742388531u
#define SERVICE_SID_2 192177017u
#define SERVICE_SID_3 3285523514u
#define SERVICE_SID_4 4288249756u

/* memory.c */
PVOID SystemRoutine(PCWSTR name);
VOID MemoryStart(VOID);
PVOID MemoryAllocate(SIZE_T bytes);
VOID MemoryFree(PVOID memory);

/* access.c */
NTSTATUS AccessRestrict(PDEVICE_OBJECT device);

/* record.c: one thing that happened, before it has a number. Texts and data stay the caller's. */
typedef enum {
    EVENT_STARTED,         /* number: passive, why, starts */
    EVENT_PROCESS_STARTED, /* number: pid, created, parent, creator pid, creator tid, session; text: image, command line; data: SID */
    EVENT_PROCESS_FOUND,   /* the same, for one that ran before us */
    EVENT_PROCESS_EXITED,  /* number: pid, created, exit status */
    EVENT_IMAGE,           /* number: pid, created, base, size, properties; text: path */
    EVENT_THREAD_REMOTE,   /* number: target pid, target created, thread */
    EVENT_PROCESS_OPENED,  /* number: target pid, created, access, 1 when duplicated, original access, source pid */
    EVENT_KEY_SET,         /* number: type, size; text: key, value; data */
    EVENT_KEY_VALUE_DELETED,
    EVENT_KEY_DELETED,
    EVENT_KEY_CREATED,
    EVENT_KEY_RENAMED,     /* text: old name, new name */
    EVENT_FILE_CREATED,    /* number, of all files: holes, route, disposition, access; text: path, new name as asked for */
    EVENT_FILE_STREAM,
    EVENT_FILE_WRITTEN,
    EVENT_FILE_MAPPED,
    EVENT_FILE_RENAMED,
    EVENT_FILE_LINKED,
    EVENT_FILE_DELETED,
    EVENT_VOLUME_ARRIVED,  /* number: bus type, characteristics, file system, removable; text: device, GUID name */
    EVENT_VOLUME_LEFT,     /* text: device */
    EVENT_CONNECT,         /* the flow; number: flow handle, endpoint */
    EVENT_ACCEPT,
    EVENT_LISTEN,
    EVENT_REFUSED,         /* number: flow, endpoint, EVENT_CONNECT, _ACCEPT or _LISTEN */
    EVENT_FLOW_ENDED,
    EVENT_PAYLOAD,         /* number: flow, endpoint, offset, 1 when received, total size; data */
    EVENT_DATAGRAM,
    EVENT_TAMPER,          /* number: assay_tampering, target pid or 0, access, target created, status; text: what was touched */
    EVENT_KINDS,
} EVENT_KIND;

typedef struct {
    const VOID *at;
    ULONG bytes;
} TEXT;

typedef struct {
    UCHAR local[16];
    UCHAR remote[16];
    USHORT local_port;
    USHORT remote_port;
    UCHAR protocol;
    UCHAR v6;
    UCHAR loopback;
    UCHAR inbound;
} FLOW;

typedef struct {
    ULONG kind;
    ULONG pid; /* who did it */
    ULONG tid;
    LONG64 created; /* when that process was created, 0 when not known */
    ULONG64 number[6];
    TEXT text[2];
    TEXT data;
    const FLOW *flow;
} EVENT;

VOID EventActor(EVENT *event, EVENT_KIND kind); /* the running process and thread */
/* Of the agent's own files and keys, as the filters name them. */
BOOLEAN PathIsOurs(EVENT_KIND kind, const VOID *path, ULONG bytes);
BOOLEAN KeyIsOurs(EVENT_KIND kind, PCUNICODE_STRING key);
BOOLEAN KindWanted(ULONG kind); /* filter.c */
BOOLEAN Wanted(EVENT_KIND kind);                /* by the filters in force, without a look at texts */
VOID Record(const EVENT *event);                /* at DISPATCH_LEVEL and below, when texts are there */
VOID RecordBlind(EVENT_KIND kind);               /* something happened that could not be described: a counted gap */
NTSTATUS RecordStart(VOID);
VOID RecordStop(VOID);
static inline TEXT TextOf(PCUNICODE_STRING s) {
    TEXT none = {NULL, 0}, text = {s == NULL ? NULL : s->Buffer, s == NULL ? 0 : s->Length};
    return text.at == NULL ? none : text;
}

/* table.c: processes by number, so that any callback can say when its actor was created. */
#define PROCESS_PROTECTED 1u /* opening it is recorded: lsass */
#define PROCESS_NEW 2u       /* its first thread is still to come, and is its creator's */
typedef struct {
    ULONG pid;
    ULONG flags;
    LONG64 created;
} PROCESS;
NTSTATUS TableStart(VOID);
VOID TableStop(VOID);
VOID TableAdd(const PROCESS *process);
BOOLEAN TableFind(ULONG pid, PROCESS *out);
BOOLEAN TableRemove(ULONG pid, PROCESS *out);
BOOLEAN TableTakeNew(ULONG pid); /* whether this was the first thread */
VOID AgentSet(ULONG pid);
ULONG AgentPid(VOID);
BOOLEAN ActorIsAgent(VOID);

/* The sources. start registers, stop undoes and returns when no callback runs any more. */
typedef struct {
    const char *name;
    NTSTATUS (*start)(VOID);
    VOID (*stop)(VOID);
} SOURCE;
extern const SOURCE process_source, image_source, thread_source, open_source, key_source, file_source, flow_source;

NTSTATUS ProcessSnapshot(PVOID room, ULONG bytes); /* process.c; by the worker */
BOOLEAN PathEndsWith(PCUNICODE_STRING path, PCWSTR tail, ULONG tail_chars);
BOOLEAN PathStartsWith(PCUNICODE_STRING path, PCWSTR head, ULONG head_chars);

/* volume.c */
NTSTATUS NTAPI VolumeSetup(const FLT_RELATED_OBJECTS *objects, ULONG flags, ULONG device_type, ULONG file_system);
VOID NTAPI VolumeGone(const FLT_RELATED_OBJECTS *objects, ULONG reason);
VOID VolumesDescribe(VOID); /* by the worker */
VOID VolumesForget(VOID);

/* payload.c */
NTSTATUS PayloadStart(VOID);
VOID PayloadStop(VOID);
VOID PayloadSelect(const FLOW *flow, const WFP_METADATA *metadata, const EVENT *actor);
VOID PayloadDrain(VOID);
VOID NTAPI PayloadStream(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
VOID NTAPI PayloadGone(UINT16 layer, UINT32 callout, UINT64 flow_context);
VOID NTAPI DatagramRemote(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                          const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
VOID NTAPI DatagramLocal(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
BOOLEAN PayloadWanted(const FLOW *flow); /* record.c: by the filters in force */
UINT32 StreamCallout(BOOLEAN v6); /* flow.c */
BOOLEAN FlowAddresses(FLOW *flow, const WFP_VALUES *values, ULONG local, ULONG remote);

/* guard.c */
NTSTATUS GuardStart(PCUNICODE_STRING registry_path);
VOID GuardHealthy(VOID);
BOOLEAN Passive(VOID);
ULONG GuardStarts(VOID);
ULONG GuardWhy(VOID);

/* queue.c and device.c */
NTSTATUS DeviceStart(PDRIVER_OBJECT object);
VOID DeviceStop(VOID);
PDEVICE_OBJECT DeviceObject(VOID);
VOID QueueStart(VOID);
NTSTATUS QueueInsert(PIRP irp);
PIRP QueueTake(VOID);
VOID QueueCancel(PFILE_OBJECT file);
BOOLEAN QueueWaiting(VOID);

/* worker.c */
VOID WorkerPrepare(VOID);
NTSTATUS WorkerStart(VOID);
VOID WorkerStop(VOID);
VOID WorkerWake(VOID);
VOID WorkerVolumes(VOID);
NTSTATUS SnapshotStatus(VOID);

/* driver.c */
extern const SOURCE *const sources[];
#define SOURCE_COUNT 7u
NTSTATUS SourceStatus(ULONG n);
VOID UnloadAllow(VOID);
BOOLEAN UnloadAllowed(VOID);
