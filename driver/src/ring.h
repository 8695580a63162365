/* A byte ring of records of one class. Positions only grow; a place is a position modulo the size. */
#pragma once

#include "../abi.h"
#include "driver.h"

typedef struct {
    KSPIN_LOCK lock;
    UCHAR *memory;
    ULONG size;
    ULONG class;
    ULONG64 head;      /* where the next record goes */
    ULONG64 cursor;    /* where reading stands */
    ULONG64 tail;      /* what is acknowledged */
    ULONG64 n;         /* given last */
    ULONG64 given;     /* the last n that a reader was given */
    ULONG64 delivered; /* acknowledged records */
    ULONG64 lost;
    ULONG64 gap_first; /* the run of losses that no gap record tells yet */
    ULONG64 gap_count;
    volatile LONG64 filtered;
} RING;

NTSTATUS RingStart(RING *ring, ULONG class, ULONG size);
VOID RingStop(RING *ring);
VOID RingPost(RING *ring, struct assay_header *record);
VOID RingLose(RING *ring);
VOID RingFiltered(RING *ring);
ULONG RingRead(RING *ring, UCHAR *out, ULONG room, ULONG *records);
BOOLEAN RingAck(RING *ring, ULONG64 through);
VOID RingRewind(RING *ring);
ULONG64 RingUnread(RING *ring);
VOID RingCounts(RING *ring, struct assay_ring_counts *out);

/* record.c, for device.c and worker.c */
VOID HeaderFill(struct assay_header *header, ULONG kind, ULONG class, ULONG body_size);
BOOLEAN RecordAck(const struct assay_read *read);
ULONG RecordRead(UCHAR *out, ULONG room);
ULONG64 RecordUnread(VOID);
VOID RecordCounts(struct assay_description *out);
ULONG64 LoadTime(VOID);
ULONG64 BootTime(VOID);

/* filter.c */
NTSTATUS FilterStart(VOID);
VOID FilterStop(VOID);
NTSTATUS FilterSet(const VOID *given, ULONG bytes);
BOOLEAN FilterMatches(ULONG class, ULONG kind, ULONG match, const VOID *text, ULONG bytes);
VOID FilterCounts(struct assay_description *out);
