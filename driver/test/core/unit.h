/* The unit tests of the core. A check that fails says where, and ends the run. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/core.h"

#define CHECK(held) \
    do { \
        if (!(held)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #held); \
            exit(1); \
        } \
    } while (0)

/* A record of an open, whose n and pid say which it is. */
static inline uint32_t Small(uint32_t pid, void *out) {
    struct assay_open body = {.target_pid = pid};
    struct core_event event = {.kind = ASSAY_PROCESS_OPENED, .pid = pid, .body = &body};

    return core_record_encode(&event, out, 4096);
}

void RecordTests(void);
void RingTests(void);
void FilterTests(void);
void SmallTests(void);
