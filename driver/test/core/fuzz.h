/*
 * The fuzzer's harnesses: each takes bytes and asks that the core does with them what a
 * plain model of it says. What does not hold says so in words, for test/core/planted.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/core.h"

#define MUST(held) \
    do { \
        if (!(held)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #held); \
            abort(); \
        } \
    } while (0)

/* Choices, taken from the input one after the other; zeros when it has no more. */
struct choices {
    const uint8_t *bytes;
    uint32_t size, at;
};

static inline core_bool Left(const struct choices *from) { return from->at < from->size; }
static inline uint32_t Byte(struct choices *from) { return Left(from) ? from->bytes[from->at++] : 0; }
static inline uint32_t Short(struct choices *from) {
    uint32_t low = Byte(from);

    return low | Byte(from) << 8;
}

/* Each takes an input of exactly that many bytes, aligned to 8. */
void FuzzFilters(const uint8_t *data, uint32_t size);  /* a filter set as it came */
void FuzzTree(const uint8_t *data, uint32_t size);     /* a sane set, and look-ups, against the plain rule */
void FuzzCheck(const uint8_t *data, uint32_t size);    /* a record as it came */
void FuzzEncode(const uint8_t *data, uint32_t size);   /* an event into small room, read back, then spoilt */
void FuzzRing(const uint8_t *data, uint32_t size);     /* one ring */
void FuzzRings(const uint8_t *data, uint32_t size);    /* all rings, and batches */
void FuzzRequest(const uint8_t *data, uint32_t size);
void FuzzDisk(const uint8_t *data, uint32_t size);     /* paths, and what a disk says */
void FuzzGuard(const uint8_t *data, uint32_t size);
void FuzzPayload(const uint8_t *data, uint32_t size);
