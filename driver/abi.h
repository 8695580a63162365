/*
 * The contract of assay.sys and its reader. Self-contained C11, no Windows header.
 *
 * Everything is little-endian; records, structures and 64-bit fields are aligned to
 * 8 bytes; offsets and sizes are in bytes. Text is UTF-16LE without a terminator and
 * may hold unpaired surrogates: it is what the system said, or what an attacker chose.
 *
 * Versions. A field or a number never gets a new meaning and is never used again.
 * Version n adds fields at the end of a body (header.version and body_size tell which
 * a record has) and kinds with new numbers. A reader of version n reads n-1: it takes
 * fields beyond body_size as zero, skips kinds it does not know by their size, and
 * ignores flags it does not know. A driver of version n takes requests of n and n-1;
 * any other version is refused with STATUS_REVISION_MISMATCH and changes nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ASSAY_ABI_VERSION 1u
#define ASSAY_ABI_OLDEST 1u /* that the driver still takes */
#define ASSAY_MAGIC 0x59535341u /* "ASSY" */

#define ASSAY_DEVICE_NT "\\Device\\Assay"
#define ASSAY_DEVICE_LINK "\\DosDevices\\Assay"
#define ASSAY_DEVICE_USER "\\\\.\\Assay"

/* (device type << 16) | (access << 14) | (function << 2) | method; access: 1 reads, 2 writes; method 0 buffered, 2 out direct */
#define ASSAY_CTL(function, method, access) (0x22u << 16 | (access) << 14 | (function) << 2 | (method))
#define ASSAY_IOCTL_DESCRIBE ASSAY_CTL(0x800u, 0u, 1u)  /* out: assay_description */
#define ASSAY_IOCTL_READ ASSAY_CTL(0x801u, 2u, 3u)      /* in: assay_read; out: assay_batch, records */
#define ASSAY_IOCTL_FILTERS ASSAY_CTL(0x802u, 0u, 2u)   /* in: assay_filters */
#define ASSAY_IOCTL_HEALTHY ASSAY_CTL(0x803u, 0u, 2u)   /* in: assay_request; said at least once a minute; after five, the boot guard forgets its starts */
#define ASSAY_IOCTL_UNLOAD ASSAY_CTL(0x804u, 0u, 2u)    /* in: assay_request; the next unload is allowed */

/* Each class has a ring of its own, so that a storm in one cannot blind another. */
enum assay_class {
    ASSAY_CONTROL, /* start, tamper, volume */
    ASSAY_PROCESS,
    ASSAY_IMAGE,
    ASSAY_OBJECT, /* remote thread, process open */
    ASSAY_REGISTRY,
    ASSAY_FILE,
    ASSAY_NETWORK,
    ASSAY_PAYLOAD,
    ASSAY_CLASSES
};

enum assay_source {
    ASSAY_SOURCE_PROCESS,
    ASSAY_SOURCE_IMAGE,
    ASSAY_SOURCE_THREAD,
    ASSAY_SOURCE_OPEN,
    ASSAY_SOURCE_REGISTRY,
    ASSAY_SOURCE_FILE,
    ASSAY_SOURCE_VOLUME,
    ASSAY_SOURCE_FLOW,
    ASSAY_SOURCE_PAYLOAD,
    ASSAY_SOURCES
};

/* Below 64: bit n of a mask of kinds is kind n. */
enum assay_kind {
    ASSAY_STARTED = 1,
    ASSAY_TAMPER = 2,
    ASSAY_GAP = 3, /* in the ring of the class that lost, in place of what was lost */
    ASSAY_VOLUME_ARRIVED = 4,
    ASSAY_VOLUME_LEFT = 5,
    ASSAY_PROCESS_CREATED = 8,
    ASSAY_PROCESS_EXITED = 9,
    ASSAY_PROCESS_FOUND = 10, /* ran before the driver was loaded */
    ASSAY_IMAGE_LOADED = 12,
    ASSAY_THREAD_REMOTE = 16,
    ASSAY_PROCESS_OPENED = 17,
    ASSAY_KEY_SET = 24,
    ASSAY_KEY_VALUE_DELETED = 25,
    ASSAY_KEY_DELETED = 26,
    ASSAY_KEY_CREATED = 27,
    ASSAY_KEY_RENAMED = 28,
    ASSAY_FILE_CREATED = 32,
    ASSAY_FILE_WRITTEN = 33, /* the first write through a handle */
    ASSAY_FILE_RENAMED = 34,
    ASSAY_FILE_DELETED = 35,
    ASSAY_FILE_LINKED = 36,
    ASSAY_FILE_TIMES_SET = 37,
    ASSAY_FILE_STREAM_CREATED = 38,
    ASSAY_FILE_MAPPED = 39, /* may be written through a mapping: a hint */
    ASSAY_FLOW_CONNECTED = 48,
    ASSAY_FLOW_ACCEPTED = 49,
    ASSAY_FLOW_LISTENING = 50,
    ASSAY_FLOW_REFUSED = 51,
    ASSAY_FLOW_ENDED = 52,
    ASSAY_PAYLOAD_COPIED = 56,
    ASSAY_KINDS = 64
};

/* The written maxima; what is longer is cut there and says so. */
#define ASSAY_MOST_PATH 4096u
#define ASSAY_MOST_COMMAND_LINE 32768u
#define ASSAY_MOST_SID 68u
#define ASSAY_MOST_NAME 1024u /* value names, labels, serial numbers, device names */
#define ASSAY_MOST_DATA 2048u /* registry data, payload */
#define ASSAY_RECORD_MOST 40960u
#define ASSAY_READ_LEAST 65536u
#define ASSAY_READ_MOST 262144u
#define ASSAY_READ_WAIT_MS 50u

/* flags of a reference */
#define ASSAY_REF_TRUNCATED 1u
#define ASSAY_REF_UNKNOWN 2u /* could not be had, which is not the same as empty */

struct assay_ref {
    uint32_t offset; /* from the record's start, a multiple of 8; 0 when size is 0 */
    uint32_t size;   /* in the record */
    uint32_t whole;  /* before it was cut */
    uint32_t flags;
};

/* flags of a record */
#define ASSAY_RECORD_TRUNCATED 1u /* some reference is */
#define ASSAY_RECORD_HOLES 2u     /* the body's holes are not 0 */
#define ASSAY_RECORD_UNSURE 4u    /* of a created key: it may have been there; the caller's memory, which was to say so, could not be read */

struct assay_header {
    uint32_t size; /* of the whole record, a multiple of 8 */
    uint16_t kind;
    uint8_t version;
    uint8_t class;
    uint32_t flags;
    uint32_t body_size;      /* the body follows this header */
    uint64_t boot;           /* of the system: when it first loaded the driver; load, where that cannot be had */
    uint64_t load;           /* when this load began; (boot, load, class, n) names a record for good */
    uint64_t n;              /* from 1 in each class and load; taken after the filters, burnt on loss */
    uint64_t lost_before;    /* of this class and load, so far */
    uint64_t system_time;    /* 100 ns since 1601, UTC; may jump */
    uint64_t interrupt_time; /* 100 ns since boot; only grows */
    uint32_t pid;            /* who did it */
    uint32_t tid;
    uint64_t pid_created;    /* when process pid was, 0 unknown: numbers are given anew */
};

struct assay_started {
    uint32_t driver_version;
    uint32_t abi_version;
    uint32_t passive;
    uint32_t why; /* enum assay_why */
    uint32_t starts; /* counted by the boot guard, this one included */
    uint32_t reserved;
};
enum assay_why { ASSAY_WHY_NONE, ASSAY_WHY_STARTS, ASSAY_WHY_GUARD_UNREADABLE, ASSAY_WHY_CONFIGURED };

struct assay_tamper {
    uint32_t what; /* enum assay_tampering */
    uint32_t target_pid;
    uint64_t target_created;
    uint32_t access;
    int32_t status; /* what the system answered, 0 unknown */
    struct assay_ref target;
};
enum assay_tampering {
    ASSAY_TAMPER_PROCESS = 1,
    ASSAY_TAMPER_FILE = 2,
    ASSAY_TAMPER_KEY = 3,
    ASSAY_TAMPER_UNLOAD_REFUSED = 4,
    ASSAY_TAMPER_CONFIGURATION_REFUSED = 5,
    ASSAY_TAMPER_DEVICE = 6, /* another than the agent read while that has the device open, and was refused */
    ASSAY_TAMPER_UNLOADED = 7 /* the file filter alone was taken away, and could not refuse */
};

struct assay_gap { /* header.n is the last lost */
    uint64_t first;
    uint64_t count;
    uint32_t lost_class;
    uint32_t reserved;
};

struct assay_volume {
    uint32_t bus_type; /* STORAGE_BUS_TYPE, 0 unknown */
    uint32_t characteristics;
    uint32_t file_system; /* FLT_FILESYSTEM_TYPE */
    uint32_t removable;
    struct assay_ref guid; /* \\?\Volume{...} */
    struct assay_ref device;
    struct assay_ref vendor;
    struct assay_ref product;
    struct assay_ref serial;
    struct assay_ref label;
};

struct assay_process { /* created, found */
    uint64_t created;
    uint64_t parent_created;
    uint32_t pid;
    uint32_t parent_pid;
    uint32_t creator_pid;
    uint32_t creator_tid;
    uint32_t session;
    uint32_t elevation; /* TOKEN_ELEVATION_TYPE, 0 unknown */
    uint32_t integrity; /* RID of the label, 0xFFFFFFFF unknown */
    uint32_t flags;     /* ASSAY_PROCESS_* */
    struct assay_ref image; /* of the create-info, never of the process's memory */
    struct assay_ref command_line; /* the creator's choice */
    struct assay_ref user; /* a SID, binary */
};
#define ASSAY_PROCESS_IMAGE_ASKED 1u /* image is the name that was asked for, not the one that was opened */

struct assay_exit {
    uint64_t created;
    uint32_t pid;
    int32_t status;
    uint32_t status_known;
    uint32_t reserved;
};

struct assay_image {
    uint64_t base;
    uint64_t size;
    uint64_t process_created;
    uint32_t process; /* 0: the system's */
    uint32_t driver;
    uint32_t signature_level; /* SE_SIGNING_LEVEL */
    uint32_t signature_type;
    struct assay_ref path;
};

struct assay_thread {
    uint64_t target_created;
    uint32_t target_pid;
    uint32_t target_tid;
};

struct assay_open {
    uint64_t target_created;
    uint32_t target_pid;
    uint32_t desired;
    uint32_t original;
    uint32_t duplicated; /* 0: opened */
    uint32_t source_pid; /* of a duplicated handle */
    uint32_t reserved;
};

struct assay_key {
    uint32_t type; /* REG_* */
    uint32_t data_size;
    struct assay_ref key;
    struct assay_ref name; /* value; the new name of a renamed key */
    struct assay_ref data;
};

struct assay_file {
    uint64_t file_id[2]; /* 128 bits; 0 unknown */
    uint64_t size; /* when the handle was opened */
    uint64_t created_old; /* times set; 0 not touched */
    uint64_t created_new;
    uint32_t holes; /* ASSAY_HOLE_*: what may have been missed about this file */
    uint32_t route; /* enum assay_route, of a delete */
    uint32_t disposition; /* FILE_CREATED ... */
    uint32_t access;
    struct assay_ref volume; /* device name */
    struct assay_ref path; /* relative to the volume, starts with \ */
    struct assay_ref new_path; /* rename, link */
    struct assay_ref image; /* of header.pid */
};
#define ASSAY_HOLE_MAPPED_WRITE 1u
#define ASSAY_HOLE_DELETE_ON_CLOSE 2u
#define ASSAY_HOLE_DISPOSITION_EX 4u
#define ASSAY_HOLE_RENAME_OVER 8u
#define ASSAY_HOLE_BLOCK_CLONE 16u
#define ASSAY_HOLE_BYPASS_IO 32u
#define ASSAY_HOLE_NAME_OPENED 64u /* the name as opened, not normalised */
#define ASSAY_HOLE_REMOTE 128u
enum assay_route { ASSAY_ROUTE_NONE, ASSAY_ROUTE_DISPOSITION, ASSAY_ROUTE_DISPOSITION_EX, ASSAY_ROUTE_ON_CLOSE, ASSAY_ROUTE_RENAME_OVER };

struct assay_flow {
    uint64_t flow; /* 0: refused or listening */
    uint64_t endpoint;
    uint64_t bytes_in; /* ended; valid when bytes_known */
    uint64_t bytes_out;
    uint8_t local[16]; /* v4 in the first four */
    uint8_t remote[16];
    uint16_t local_port; /* host order */
    uint16_t remote_port;
    uint8_t family; /* 4, 6 */
    uint8_t protocol; /* IPPROTO_* */
    uint8_t inbound;
    uint8_t bytes_known;
    uint64_t interface_luid;
    uint32_t refused; /* kind that was refused */
    uint32_t loopback;
    struct assay_ref image;
};

struct assay_payload {
    uint64_t flow;
    uint64_t endpoint;
    uint64_t offset; /* of data in its direction */
    uint64_t whole;  /* of the segment or datagram */
    uint8_t local[16];
    uint8_t remote[16];
    uint16_t local_port;
    uint16_t remote_port;
    uint8_t family;
    uint8_t protocol;
    uint8_t inbound;
    uint8_t hint; /* enum assay_hint, by the port alone */
    struct assay_ref data;
};
enum assay_hint { ASSAY_HINT_NONE, ASSAY_HINT_DNS, ASSAY_HINT_HTTP, ASSAY_HINT_TLS };

/* Requests and answers */

struct assay_request { /* healthy, unload */
    uint32_t version;
    uint32_t reserved;
    uint64_t load; /* of this load; an old one is refused */
};

struct assay_read {
    uint32_t version;
    uint32_t resume; /* 1: give again what was never acknowledged */
    uint64_t load;   /* that ack_through speaks of; of another load it frees nothing */
    uint64_t ack_through[ASSAY_CLASSES]; /* 0: nothing; never more than was given */
};

struct assay_batch {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of all */
    uint32_t records;
    uint64_t boot;
    uint64_t load;
};

struct assay_ring_counts { /* posted = delivered + queued + lost */
    uint64_t posted;    /* n of the last */
    uint64_t delivered; /* and acknowledged */
    uint64_t queued;    /* and not yet acknowledged */
    uint64_t lost;
    uint64_t filtered;  /* excluded, without n */
    uint64_t held;      /* bytes */
    uint64_t size;      /* bytes */
};

struct assay_source_state {
    int32_t status; /* NTSTATUS of its start; 0 runs, 0x103 not started */
    uint32_t reserved;
    uint64_t events;
};

struct assay_description {
    uint32_t magic;
    uint32_t version;
    uint32_t driver_version;
    uint32_t passive;
    uint64_t boot;
    uint64_t load;
    uint32_t why; /* enum assay_why */
    uint32_t starts;
    uint32_t unload_allowed;
    int32_t snapshot; /* NTSTATUS of the snapshot of processes */
    uint64_t filters_generation; /* in force; 0 the built-in ones */
    uint64_t filters_refused;
    struct assay_source_state source[ASSAY_SOURCES];
    struct assay_ring_counts ring[ASSAY_CLASSES];
};

/*
 * Filters: assay_filters, then sections, each followed by its entries, each followed
 * by its text and zeros to a multiple of 8. Only what a prefix decides exactly.
 * Letters compare without regard to the case of A-Z and of U+00E0..U+00FE (less
 * U+00F7); all other code units compare as they are, so that a doubtful match
 * records rather than excludes.
 */
enum assay_match { ASSAY_MATCH_PATH = 1, ASSAY_MATCH_IMAGE = 2, ASSAY_MATCH_OWN = 3 }; /* own: touched by others, it is tampering */
#define ASSAY_FILTERS_MOST 131072u
#define ASSAY_FILTERS_SECTIONS 16u
#define ASSAY_FILTERS_ENTRIES 2048u
#define ASSAY_FILTERS_CHARS 512u
#define ASSAY_FILTERS_PAYLOAD 1u /* flags: copy payloads of selected flows */

struct assay_filters {
    uint32_t version;
    uint32_t size; /* of all */
    uint64_t generation; /* not 0 */
    uint64_t kinds; /* that are recorded; control kinds always are */
    uint32_t sections;
    uint32_t flags;
};
struct assay_filter_section {
    uint32_t class;
    uint32_t match;
    uint64_t kinds; /* of that class, that the entries exclude */
    uint32_t entries;
    uint32_t reserved;
};
struct assay_filter_entry {
    uint32_t chars; /* 1 to ASSAY_FILTERS_CHARS */
    uint32_t reserved;
};

#define ASSAY_LAYOUT(name, bytes, last, at) \
    _Static_assert(sizeof(struct name) == (bytes) && offsetof(struct name, last) == (at) && (bytes) % 8 == 0, #name)
ASSAY_LAYOUT(assay_ref, 16, flags, 12);
ASSAY_LAYOUT(assay_header, 80, pid_created, 72);
ASSAY_LAYOUT(assay_started, 24, starts, 16);
ASSAY_LAYOUT(assay_tamper, 40, target, 24);
ASSAY_LAYOUT(assay_gap, 24, lost_class, 16);
ASSAY_LAYOUT(assay_volume, 112, label, 96);
ASSAY_LAYOUT(assay_process, 96, user, 80);
ASSAY_LAYOUT(assay_exit, 24, status_known, 16);
ASSAY_LAYOUT(assay_image, 56, path, 40);
ASSAY_LAYOUT(assay_thread, 16, target_tid, 12);
ASSAY_LAYOUT(assay_open, 32, source_pid, 24);
ASSAY_LAYOUT(assay_key, 56, data, 40);
ASSAY_LAYOUT(assay_file, 120, image, 104);
ASSAY_LAYOUT(assay_flow, 104, image, 88);
ASSAY_LAYOUT(assay_payload, 88, data, 72);
ASSAY_LAYOUT(assay_request, 16, load, 8);
ASSAY_LAYOUT(assay_read, 80, ack_through, 16);
ASSAY_LAYOUT(assay_batch, 32, load, 24);
ASSAY_LAYOUT(assay_ring_counts, 56, size, 48);
ASSAY_LAYOUT(assay_source_state, 16, events, 8);
ASSAY_LAYOUT(assay_description, 656, ring, 208);
ASSAY_LAYOUT(assay_filters, 32, flags, 28);
ASSAY_LAYOUT(assay_filter_section, 24, entries, 16);
ASSAY_LAYOUT(assay_filter_entry, 8, reserved, 4);
_Static_assert(ASSAY_IOCTL_READ == 0x22E006u, "the code of READ");
