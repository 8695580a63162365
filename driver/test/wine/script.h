/*
 * What the scenarios (a user-mode program) and the double of the kernel (a module
 * in the driver's process) say to each other: one command, one kernel activity.
 * Plain C types, so that both sides compile it.
 */
#pragma once

#include <stdint.h>

#define DOUBLE_DEVICE L"\\\\.\\AssayDouble"
#define DOUBLE_IOCTL 0x0022E004u /* METHOD_BUFFERED, read and write access */
#define DOUBLE_TEXT 1024u
#define DOUBLE_DATA 4096u

enum double_op {
    OP_NONE,
    /* Processes. pid acts; a[0] is the process spoken of. */
    OP_PROCESS_START, /* a[1] parent, a[2] create time; text[0] image, text[1] command line */
    OP_PROCESS_KNOWN, /* like OP_PROCESS_START, without telling the driver: it was there before */
    OP_PROCESS_EXIT,  /* a[1] exit status */
    OP_IMAGE,         /* a[0] process, a[1] base, a[2] size, a[3] properties; text[0] path */
    OP_THREAD,        /* a[0] process, a[1] thread; pid creates it */
    OP_OPEN_PROCESS,  /* a[0] target, a[1] access, a[2] 1: duplicate, a[3] 1: kernel handle; out[0]: access left */
    /* Registry. text[0] key, text[1] value or new name. */
    OP_KEY_SET,          /* a[0] type, a[1] status; data */
    OP_KEY_DELETE_VALUE, /* a[1] status */
    OP_KEY_DELETE,       /* a[1] status */
    OP_KEY_CREATE,       /* a[0] disposition: 1 new, 2 existing; a[1] status; a[2] 0: it can be read, 1: there is no place for it,
                            2: one without access, 3: one that is gone */
    OP_KEY_RENAME,       /* a[1] status */
    /* Files. a[0] names the open file. */
    OP_FILE_OPEN,     /* a[1] options and disposition, a[2] access, a[3] what happened: 0 superseded, 1 opened, 2 created,
                         3 overwritten; a[4] status, a[5] file flags (FO_*), a[6] IRP flags; text[0] path */
    OP_FILE_WRITE,    /* a[1] bytes, a[2] IRP flags */
    OP_FILE_SET,      /* a[1] class, a[2] flags or boolean, a[3] status, a[4] root; text[0] new name */
    OP_FILE_CONTROL,  /* a[1] code, a[3] status */
    OP_FILE_SECTION,  /* a[1] page protection */
    OP_FILE_CLEANUP,  /* a[1] 1: the file was deleted */
    OP_VOLUME,        /* a[0] bus type, a[1] characteristics, a[2] device type, a[3] file system; text[0] device, text[1] GUID name;
                         a[4] its disk 0: answers, 1: only gives back what is cancelled, 2: not even that; a[5] 1: it comes while the filter goes;
                         data: vendor, product, serial, label, each with its 0 */
    OP_VOLUME_GONE,   /* text[0] device */
    /* Flows. a[0] flow, a[1] endpoint, a[2] protocol, a[3] local port, a[4] remote port, a[5] condition flags; data: local and
       remote address, 16 bytes each, in network order; flags: FLOW_V6, FLOW_INBOUND, FLOW_REFUSED. */
    OP_CONNECT,
    OP_ACCEPT,
    OP_LISTEN,
    OP_ESTABLISHED,
    OP_CLOSURE,
    OP_STREAM,   /* a[0] flow, flags FLOW_INBOUND; data */
    OP_DATAGRAM, /* data after the two addresses: the payload */
    OP_FLOW_END, /* the system forgets a[0] */
    /* The double itself. */
    OP_STATUS,    /* out[]: enum double_status */
    OP_VIOLATION, /* a[0] number; text[0] */
    OP_SECURITY,  /* data: what was set on the device, as ZwSetSecurityObject got it, self-relative */
    OP_FAIL,      /* a[0]: the n-th call of a name from now on, text[0] the name, fails with a[1] */
    OP_FAILED,    /* text[0]: the name of the call that OP_FAIL or OP_LOAD made fail; empty: none yet */
    OP_LOAD,      /* the driver anew, in the same process: a[0] the n-th call that may fail does, with a[1]; text[0] its key */
    OP_UNLOAD,    /* once it allowed that */
    OP_CLOCK,     /* a[0]: so many milliseconds pass by the interrupt time */
    OP_LATE,      /* a[0] 1: contexts are attached when the driver has begun to leave; 2: those removed go while it waits; 3: both */
    OP_SHUTDOWN,  /* asks the filter manager's unload; a[0] flags; status is what the driver said */
};

enum {
    COMMAND_THREADS = 1u << 0, /* run by a[7] threads at once, in the background */
    FLOW_V6 = 1u << 8,
    FLOW_INBOUND = 1u << 9,
    FLOW_REFUSED = 1u << 10,
};

enum double_status {
    STATUS_RUNNING,     /* background threads still at work */
    STATUS_POOL_LIVE,   /* allocations of the driver */
    STATUS_POOL_BYTES,
    STATUS_REGISTERED,  /* callbacks and objects registered and not undone */
    STATUS_VIOLATIONS,
    STATUS_CONTEXTS,    /* stream handle and flow contexts alive */
    STATUS_CALLS,       /* registration calls seen, for failure injection */
    STATUS_PROCESS,     /* the number of the process that holds the driver */
    STATUS_HELD,        /* calls of the driver that the double holds back, and questions that disks keep */
};

struct double_command {
    uint32_t op;
    uint32_t repeat; /* 0 and 1: once. a[0] (and pid, where it is the actor) grows by step; # in text is the number */
    uint32_t step;
    uint32_t pid;
    uint32_t tid;
    uint32_t irql;
    uint32_t flags;
    int32_t status;
    uint64_t a[8];
    uint64_t out[12];
    uint16_t text[2][DOUBLE_TEXT];
    uint32_t bytes;
    uint8_t data[DOUBLE_DATA];
};
