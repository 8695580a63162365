/*
 * The portable core: records, rings, filters, paths, requests, the boot guard. It
 * knows nothing of Windows, allocates nothing and waits for nobody; the shell (and
 * on Linux the tests) gives it memory and the few calls of the seam. The same files
 * become the driver's objects and the ones under the sanitizers.
 */
#pragma once

#include "../abi.h"

typedef uint32_t core_bool; /* 0 or 1 */

/* The seam. memcpy, memset and memcmp are the compiler's to call and the shell's to give. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);

struct core_lock {
    uint64_t opaque[8];
};
void core_lock_start(struct core_lock *lock);
uint64_t core_lock_take(struct core_lock *lock); /* raises to DISPATCH_LEVEL; gives the level before */
void core_lock_give(struct core_lock *lock, uint64_t level);

enum core_result { CORE_OK, CORE_INVALID, CORE_REVISION, CORE_TOO_SMALL, CORE_TOO_BIG, CORE_BUSY, CORE_STALE };

/* record.c */
#define CORE_REFS 6u
struct core_shape { /* of a kind; body_size 0 for a number without a kind */
    uint32_t body_size;
    uint32_t class;
    uint32_t refs;
    uint16_t at[CORE_REFS];    /* of each reference, in the body */
    uint16_t most[CORE_REFS];  /* bytes */
    uint32_t text;             /* bit i: reference i is UTF-16 */
};
struct core_text {
    const void *at; /* NULL: unknown */
    uint32_t size;
    uint32_t whole; /* of which at has only the beginning; 0: at has it all */
};
struct core_event { /* what happened; texts and body stay the caller's */
    uint32_t kind;
    uint32_t pid;
    uint32_t tid;
    uint32_t flags; /* of the record, that its texts and body do not tell: ASSAY_RECORD_UNSURE */
    uint64_t pid_created;
    uint64_t system_time;
    uint64_t interrupt_time;
    const void *body; /* references in it are ignored */
    struct core_text text[CORE_REFS];
};
const struct core_shape *core_shape_of(uint32_t kind); /* NULL: no such kind */
uint32_t core_record_size(const struct core_event *event); /* what encoding will take; 0: no such kind */
uint32_t core_record_encode(const struct core_event *event, void *out, uint32_t room); /* bytes; 0: no room or no such kind */
enum core_result core_record_check(const void *record, uint32_t size); /* the oracle: every offset, size and flag */

/* ring.c */
struct core_ring {
    struct core_lock lock;
    uint8_t *memory;
    uint64_t size;
    uint64_t head;   /* positions only grow; a place is a position modulo size */
    uint64_t cursor; /* where reading stands */
    uint64_t tail;   /* what is acknowledged */
    uint64_t read_n; /* the highest n that was ever given to a reader */
    uint64_t boot, load;
    uint64_t posted, lost, delivered, filtered;
    uint64_t gap_first, gap_count; /* lost and not yet told of in the ring */
    uint64_t gap_system_time, gap_interrupt_time; /* when the last of them was */
    uint32_t class;
};
void core_ring_start(struct core_ring *ring, uint32_t class, void *memory, uint64_t size, uint64_t boot, uint64_t load);
core_bool core_ring_post(struct core_ring *ring, void *record); /* writes its boot, load, n; 0: lost, and counted */
/* What could not even be described. */
void core_ring_lose(struct core_ring *ring, uint64_t system_time, uint64_t interrupt_time);
void core_ring_filter(struct core_ring *ring);                  /* what was left out by a filter */
uint32_t core_ring_read(struct core_ring *ring, void *out, uint32_t room, uint32_t *records);
enum core_result core_ring_ack(struct core_ring *ring, uint64_t through);
void core_ring_resume(struct core_ring *ring); /* the next read starts at what was never acknowledged */
core_bool core_ring_waiting(struct core_ring *ring); /* whether a read would give something */
void core_ring_counts(struct core_ring *ring, struct assay_ring_counts *out);

struct core_rings {
    struct core_ring ring[ASSAY_CLASSES];
    uint32_t turn; /* of the class that may fill a batch with its longest record */
};
/* Acknowledges, all or nothing, then resumes when asked. */
enum core_result core_rings_ack(struct core_rings *rings, const struct assay_read *read);
/* A batch: one class by turns, then a share of the room for each class, control first, then whoever has more. */
uint32_t core_rings_read(struct core_rings *rings, void *out, uint32_t room);
uint64_t core_rings_unread(struct core_rings *rings); /* bytes that no reader was given yet */

/* filter.c */
struct core_prefix {
    uint32_t group; /* class * 4 + match */
    uint32_t chars;
    uint32_t text; /* index in the table's text */
    uint64_t kinds;
};
struct core_node { /* of the tree of a group's prefixes */
    uint16_t text;  /* index in the table's text: the units from its parent to it */
    uint16_t chars; /* of them */
    uint16_t depth; /* units from the root */
    uint16_t child; /* children stand together, in the order of their first unit */
    uint16_t children;
    uint64_t kinds; /* of the prefixes that end here */
};
#define CORE_NONE 0xFFFFFFFFu
#define CORE_GROUPS (ASSAY_CLASSES * 4u)
#define CORE_NODES (2u * ASSAY_FILTERS_ENTRIES + CORE_GROUPS)
struct core_table {
    uint64_t generation;
    uint64_t kinds;
    uint32_t flags;
    uint32_t prefixes;
    uint32_t nodes; /* the first CORE_GROUPS are the roots */
    struct core_prefix prefix[ASSAY_FILTERS_ENTRIES];
    struct core_node node[CORE_NODES];
    uint16_t unit[CORE_NODES]; /* the first of each node */
    uint16_t text[ASSAY_FILTERS_MOST / 2u];
};
_Static_assert(ASSAY_FILTERS_MOST / 2u <= 65536u && CORE_NODES <= 65536u, "places fit 16 bits");
struct core_filters { /* allocated by the shell, not paged */
    uint32_t active;
    uint32_t setting;
    uint32_t readers[2];
    uint64_t refused;
    struct core_table table[2];
};
void core_filters_start(struct core_filters *filters); /* all kinds but keys created and renamed */
enum core_result core_filters_set(struct core_filters *filters, const void *blob, uint32_t size);
core_bool core_filters_wants(struct core_filters *filters, uint32_t kind);
/* Whether an event of kind with this text is excluded (path, image) or ours (own). */
core_bool core_filters_match(struct core_filters *filters, uint32_t kind, uint32_t match, const void *text, uint32_t size);
core_bool core_filters_payload(struct core_filters *filters);
uint64_t core_filters_generation(struct core_filters *filters);
uint64_t core_filters_refused(struct core_filters *filters); /* sets that were not sane */

/* path.c */
static inline uint16_t core_upper(uint16_t unit) {
    if (unit < 0x80u) /* almost every one */
        return unit >= 'a' && unit <= 'z' ? (uint16_t)(unit - 32u) : unit;
    return unit >= 0xE0u && unit <= 0xFEu && unit != 0xF7u ? (uint16_t)(unit - 32u) : unit;
}
core_bool core_prefix(const uint16_t *text, uint32_t chars, const uint16_t *prefix, uint32_t prefix_chars);
/* \Device\HarddiskVolume3\a\b, \??\C:\a, \SystemRoot\a: the chars of the volume's part; 0 when there is none. */
uint32_t core_path_volume(const uint16_t *path, uint32_t chars);

/* disk.c */
/* A text of STORAGE_DEVICE_DESCRIPTOR, widened, without the blanks around it; gives its chars, 0 for none. */
uint32_t core_disk_text(const uint8_t *answer, uint32_t size, uint32_t offset, uint16_t *out, uint32_t most);

/* request.c */
enum core_result core_request_check(const void *in, uint32_t in_size, uint32_t code, uint32_t out_size, uint64_t load);

/* guard.c */
#define CORE_GUARD_STARTS 3u
#define CORE_GUARD_HEALTHY (5ull * 60u * 10000000u)
struct core_guard {
    uint32_t starts;
    uint32_t why; /* enum assay_why; not NONE: passive */
    uint32_t cleared;
    uint64_t healthy_since; /* interrupt time of the first healthy call, 0 none */
    uint64_t healthy_last;
};
/* At start; gives the count to write. readable: the stored count could be had. */
uint32_t core_guard_start(struct core_guard *guard, core_bool readable, uint32_t stored);
void core_guard_unwritten(struct core_guard *guard); /* the count could not be written: it cannot guard */
core_bool core_guard_healthy(struct core_guard *guard, uint64_t interrupt_time); /* 1: clear the stored count now */

/* payload.c */
struct core_payload_pick {
    uint64_t second; /* interrupt time / 1 s */
    uint32_t picked; /* in it */
};
#define CORE_PAYLOAD_PER_SECOND 2000u
uint32_t core_payload_hint(uint8_t protocol, uint16_t local_port, uint16_t remote_port);
enum core_picked { CORE_PICK_NO, CORE_PICK_YES, CORE_PICK_LOST }; /* lost: one too many in its second, to be counted */
/* Whether a new flow, or a datagram, gets a copy; the caller holds whatever guards pick. */
enum core_picked core_payload_select(struct core_payload_pick *pick, uint8_t protocol, uint16_t local_port, uint16_t remote_port,
                                     core_bool loopback, uint64_t interrupt_time);
