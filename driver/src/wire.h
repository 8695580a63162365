/*
 * What the driver and its reader say to each other. Little-endian, every record
 * aligned to 8 bytes, offsets and lengths in bytes from the record's start. A
 * field is never given a new meaning; the version grows when one is added.
 */
#pragma once

#include <stdint.h>

#define WIRE_VERSION 1u
#define WIRE_MAGIC 0x59535341u /* "ASSY" */
#define WIRE_CLASSES 6u
#define WIRE_SOURCES 7u

/* CTL_CODE(FILE_DEVICE_UNKNOWN, n, method, FILE_READ_DATA | FILE_WRITE_DATA) */
#define WIRE_IOCTL_DESCRIBE 0x0022E000u
#define WIRE_IOCTL_READ 0x0022E00Au /* METHOD_OUT_DIRECT */
#define WIRE_IOCTL_FILTER 0x0022E010u
#define WIRE_IOCTL_ALLOW_UNLOAD 0x0022E014u

enum wire_class { WIRE_CONTROL, WIRE_PROCESS, WIRE_CODE, WIRE_REGISTRY, WIRE_FILE, WIRE_FLOW };

#define WIRE_TEXT0_BYTES 2048u
#define WIRE_TEXT1_BYTES 8192u
#define WIRE_DATA_BYTES 2048u
#define WIRE_RECORD_BYTES 13312u /* the longest record */
#define WIRE_READ_LEAST 81920u   /* the smallest buffer that READ takes: the longest record of every class */
#define WIRE_READ_MOST 262144u

#define WIRE_CUT_TEXT0 1u
#define WIRE_CUT_TEXT1 2u
#define WIRE_CUT_DATA 4u
#define WIRE_HAS_FLOW 8u

struct wire_text {
    uint32_t offset;
    uint32_t bytes; /* in the record */
    uint32_t whole; /* in truth */
    uint32_t pad;
};

struct wire_flow {
    uint8_t local[16];
    uint8_t remote[16];
    uint16_t local_port;
    uint16_t remote_port;
    uint8_t protocol;
    uint8_t v6;
    uint8_t loopback;
    uint8_t inbound;
};

struct wire_record {
    uint32_t bytes; /* of the whole record, a multiple of 8 */
    uint16_t class;
    uint16_t kind;
    uint32_t flags; /* WIRE_CUT_*, WIRE_HAS_FLOW */
    uint32_t pid;
    uint64_t sequence; /* in its class, from 1; a missing one was lost */
    uint64_t time;     /* 100 ns since 1601 */
    uint64_t created;  /* when process pid was, 0 when not known */
    uint32_t tid;
    uint32_t pad;
    uint64_t number[6];
    struct wire_text text[3]; /* the third is data */
    struct wire_flow flow;
};

struct wire_counts {
    uint64_t posted;    /* sequences given */
    uint64_t lost;      /* sequences burnt for want of room */
    uint64_t blind;     /* of these, what could not be described */
    uint64_t filtered;  /* excluded, without a sequence */
    uint64_t acked;     /* through this sequence */
    uint64_t held;      /* bytes */
};

struct wire_read { /* what READ is given */
    uint32_t version;
    uint32_t resume; /* 1: deliver again what was never acknowledged */
    uint64_t load;   /* of the load that the acknowledgements speak of; 0 acknowledges nothing */
    uint64_t ack_through[WIRE_CLASSES];
};

struct wire_batch { /* what READ gives, followed by the records */
    uint32_t magic;
    uint32_t version;
    uint64_t boot; /* when the system started */
    uint64_t load; /* when the driver was loaded */
    uint32_t bytes;
    uint32_t records;
    uint64_t posted[WIRE_CLASSES];
    uint64_t lost[WIRE_CLASSES];
};

struct wire_describe {
    uint32_t magic;
    uint32_t version;
    uint64_t boot;
    uint64_t load;
    uint32_t passive; /* 1: too many starts that did not last; nothing is recorded */
    uint32_t unload_allowed;
    uint32_t filters; /* how many were put in force */
    uint32_t refused; /* how many were refused */
    int32_t source[WIRE_SOURCES]; /* NTSTATUS of each source's start; 0x103 while not started */
    int32_t snapshot;
    uint64_t cancelled; /* reads */
    struct wire_counts counts[WIRE_CLASSES];
};

/* FILTER: what to record and what to leave out. */
enum wire_rule { WIRE_EXCLUDE_PATH = 1, WIRE_EXCLUDE_KEY, WIRE_OWN_PATH, WIRE_OWN_KEY };
#define WIRE_FILTER_RULES 64u
#define WIRE_FILTER_CHARS 260u
#define WIRE_FILTER_BYTES 65536u
struct wire_filter {
    uint32_t version;
    uint32_t bytes; /* of all */
    uint64_t kinds; /* bit n: record kind n */
    uint64_t payload_ports_low; /* reserved, 0 */
    uint32_t payload; /* 1: copy the payload of new TCP flows */
    uint32_t rules;
};
struct wire_rule_head { /* followed by chars UTF-16 code units, padded to 8 */
    uint16_t rule;
    uint16_t chars;
    uint32_t pad;
};

_Static_assert(sizeof(struct wire_record) == 184, "wire_record");
_Static_assert(sizeof(struct wire_flow) == 40, "wire_flow");
_Static_assert(sizeof(struct wire_read) == 64, "wire_read");
_Static_assert(sizeof(struct wire_batch) == 128, "wire_batch");
_Static_assert(sizeof(struct wire_filter) == 32, "wire_filter");
