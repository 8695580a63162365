/* A byte ring of records of one class. Positions only grow; a place is a position modulo the size. */
#pragma once

#include "driver.h"
#include "wire.h"

typedef struct {
    KSPIN_LOCK lock;
    UCHAR *memory;
    ULONG size;
    ULONG64 head;   /* where the next record goes */
    ULONG64 cursor; /* where reading stands */
    ULONG64 tail;   /* what is acknowledged */
    struct wire_counts counts;
} RING;

NTSTATUS RingStart(RING *ring, ULONG size);
VOID RingStop(RING *ring);
VOID RingPost(RING *ring, struct wire_record *record);
VOID RingLose(RING *ring);
VOID RingFiltered(RING *ring);
ULONG RingRead(RING *ring, UCHAR *out, ULONG room, ULONG *records);
BOOLEAN RingAck(RING *ring, ULONG64 through);
VOID RingRewind(RING *ring);
ULONG64 RingUnread(RING *ring);
VOID RingCounts(RING *ring, struct wire_counts *out);

/* record.c, for device.c and worker.c */
BOOLEAN RecordAck(const struct wire_read *read);
ULONG RecordRead(UCHAR *out, ULONG room);
ULONG64 RecordUnread(VOID);
VOID RecordCounts(struct wire_counts *out);
ULONG64 LoadTime(VOID);
ULONG64 BootTime(VOID);

/* filter.c */
NTSTATUS FilterStart(VOID);
VOID FilterStop(VOID);
NTSTATUS FilterSet(const VOID *given, ULONG bytes);
BOOLEAN FilterExcludes(const struct wire_record *record);
VOID FilterCounts(struct wire_describe *out);
