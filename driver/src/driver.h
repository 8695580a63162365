/*
 * What the files of the shell know of each other. The shell is thin: each notify
 * source fills an EVENT, whose body is the ABI's own, and hands it to Record().
 * Records, rings, filters, requests, the boot guard and the choice of payloads are
 * the core's (../core), which knows nothing of Windows and is what the fuzzers run.
 *
 * Rules that every file keeps: a callback does bounded work, waits for nobody in
 * user mode and never changes the outcome of what it observes. Memory is taken at
 * load, that of an image's name or a volume's description when it comes. One spin
 * lock at a time, and no call-out under it.
 */
#pragma once

#include "../core/core.h"
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

/* record.c: one thing that happened, before it has a number. Texts stay the caller's. */
typedef struct {
    struct core_event told; /* kind, actor, texts in the order of the body's references */
    struct core_text path;  /* what a filter by path looks at */
    struct core_text image; /* and one by image */
    union {
        struct assay_started started;
        struct assay_tamper tamper;
        struct assay_volume volume;
        struct assay_process process;
        struct assay_exit exit;
        struct assay_image image;
        struct assay_thread thread;
        struct assay_open open;
        struct assay_key key;
        struct assay_file file;
        struct assay_flow flow;
        struct assay_payload payload;
    } body;
} EVENT;

VOID EventOf(EVENT *event, ULONG kind, ULONG pid, ULONG tid, ULONG64 created); /* whose it is; all else unknown and 0 */
VOID EventActor(EVENT *event, ULONG kind); /* of the running process and thread */
VOID EventPath(EVENT *event, struct core_text path); /* of a file: volume and the rest */
BOOLEAN Wanted(ULONG kind); /* by the filters in force, without a look at texts */
BOOLEAN IsOurs(ULONG kind, struct core_text text); /* of the agent's own files and keys, as the filters name them */
BOOLEAN PayloadWanted(VOID);
VOID Record(EVENT *event);      /* at DISPATCH_LEVEL and below, when texts are there */
VOID RecordBlind(ULONG kind);   /* something happened that could not be described: a counted gap */
NTSTATUS RecordStart(ULONG64 boot);
VOID RecordStop(VOID);
enum core_result RecordAck(const struct assay_read *read);
ULONG RecordRead(VOID *out, ULONG room);
ULONG64 RecordUnread(VOID);
enum core_result RecordFilter(const VOID *set, ULONG bytes);
VOID RecordDescribe(struct assay_description *out); /* what it knows of it */
ULONG64 LoadTime(VOID);
ULONG64 InterruptTime(VOID);

static inline struct core_text TextAt(const VOID *at, ULONG bytes) {
    struct core_text text = {at, at == NULL ? 0 : bytes, 0};
    return text;
}
static inline struct core_text TextOf(PCUNICODE_STRING s) { return TextAt(s == NULL ? NULL : s->Buffer, s == NULL ? 0 : s->Length); }
/* Of a reference that says nothing here, which is not the same as one that could not be had. */
static inline struct core_text NoText(VOID) { return TextAt("", 0); }

/* boot.c */
ULONG64 BootId(PCUNICODE_STRING registry_path);

/* table.c: processes by number, so that any callback can say when its actor was created. */
#define PROCESS_PROTECTED 1u /* opening it is recorded: lsass */
#define PROCESS_NEW 2u       /* its first thread is still to come, and is its creator's */
typedef struct {
    ULONG pid;
    ULONG flags;
    LONG64 created;
} PROCESS;
typedef struct { /* a process's image, for as long as it is held */
    volatile LONG holders;
    struct core_text name;
} IMAGE;
NTSTATUS TableStart(VOID);
VOID TableStop(VOID);
VOID TableAdd(const PROCESS *process, struct core_text image);
BOOLEAN TableFind(ULONG pid, PROCESS *out);
ULONG64 TableCreated(ULONG pid); /* 0 unknown */
IMAGE *TableImage(ULONG pid);     /* NULL unknown; the caller lets go of it */
VOID ImageRelease(IMAGE *image);
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

/* filter.c; file.c has its operations */
extern const FLT_OPERATION_REGISTRATION file_operations[];
FLT_FILTER *FileFilter(VOID);
BOOLEAN FileFilterGone(VOID); /* taken away while the driver runs */

/* volume.c */
NTSTATUS NTAPI VolumeSetup(const FLT_RELATED_OBJECTS *objects, ULONG flags, ULONG device_type, ULONG file_system);
VOID NTAPI VolumeGone(const FLT_RELATED_OBJECTS *objects, ULONG reason);
VOID VolumesDescribe(VOID); /* by the thread that may wait for disks */
VOID VolumesLet(VOID);    /* of what is noted, or the filter could not be unregistered */
VOID VolumesForget(VOID); /* once the threads are gone and the filter, too */

/* disk.c */
#define DISK_ANSWER_BYTES 1024u /* of what a disk says of itself */
BOOLEAN DiskAsk(FLT_VOLUME *volume, PVOID answer);

/* flow.c and payload.c */
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
typedef struct { /* whose flow it is, and which */
    ULONG pid;
    ULONG64 created;
    UINT64 flow;
    UINT64 endpoint;
} FLOW_ACTOR;
FLOW_ACTOR FlowActor(const WFP_METADATA *metadata);
BOOLEAN FlowAddresses(FLOW *flow, const WFP_VALUES *values, ULONG local, ULONG remote);
UINT32 StreamCallout(BOOLEAN v6);
NTSTATUS PayloadStart(VOID);
VOID PayloadStop(VOID);
VOID PayloadSelect(const FLOW *flow, const FLOW_ACTOR *actor);
VOID PayloadClose(VOID);
VOID PayloadDrain(VOID);
VOID NTAPI PayloadStream(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
VOID NTAPI PayloadGone(UINT16 layer, UINT32 callout, UINT64 flow_context);
VOID NTAPI DatagramRemote(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                          const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);
VOID NTAPI DatagramLocal(const WFP_VALUES *values, const WFP_METADATA *metadata, PVOID layer_data, const VOID *context,
                         const VOID *filter, UINT64 flow_context, WFP_CLASSIFY_OUT *out);

/* guard.c */
VOID GuardStart(PCUNICODE_STRING registry_path);
VOID GuardHealthy(VOID); /* the agent says that all is well */
VOID GuardStop(VOID);    /* an orderly stop */
ULONG Passive(VOID);
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
BOOLEAN WorkerStopping(VOID);
BOOLEAN WorkerWait(PKEVENT event, ULONG ms); /* FALSE: not within that time, or the driver stops */
NTSTATUS SnapshotStatus(VOID);

/* driver.c */
extern const SOURCE *const sources[];
#define SOURCE_COUNT 7u
NTSTATUS SourceStatus(ULONG n);
VOID UnloadAllow(VOID);
BOOLEAN UnloadAllowed(VOID);
