/*
 * Scenarios: a user-mode program that installs the driver through the service
 * manager, plays kernel activity through the double, reads what the driver
 * recorded, and compares it exactly.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "../../../src/wire.h"
#include "../script.h"

/* The kinds of records, as src/driver.h numbers them. */
enum kind {
    PROCESS_STARTED, PROCESS_FOUND, PROCESS_EXITED, IMAGE, THREAD_REMOTE, PROCESS_OPENED, KEY_SET, KEY_VALUE_DELETED, KEY_DELETED,
    KEY_CREATED, KEY_RENAMED, FILE_MADE, FILE_WRITTEN, FILE_RENAMED, FILE_LINKED, FILE_DELETED, VOLUME_ARRIVED, VOLUME_LEFT,
    CONNECT, ACCEPT, LISTEN, REFUSED, FLOW_ENDED, PAYLOAD, DATAGRAM, TAMPER,
};

/* check.c: a failed check is told with its place, and the run goes on to the next scenario. */
extern int failures;
bool Check(bool ok, const char *what, const char *file, int line);
#define CHECK(what) Check(!!(what), #what, __FILE__, __LINE__)
#define EQUAL(have, want) EqualTo((uint64_t)(have), (uint64_t)(want), #have, __FILE__, __LINE__)
bool EqualTo(uint64_t have, uint64_t want, const char *what, const char *file, int line);

/* service.c */
struct setting { /* what the double is told before the driver starts */
    const char *fail_name;
    DWORD fail_at;
    DWORD fail_status;
    DWORD verify;
    DWORD old;
};
void ServiceForget(void);                           /* stop, delete, and wait until it is gone */
DWORD ServiceStart(const struct setting *setting);  /* install and start; 0 or the error */
DWORD ServiceStop(void);                            /* 0 or the error */
DWORD ServiceStarts(void);                          /* the boot guard's count */
void ServiceStartsSet(DWORD starts);

/* client.c */
extern HANDLE double_device, assay_device;
bool DoubleOpen(void);
void DoubleClose(void);
bool Play(struct double_command *command); /* FALSE when it could not be played */
struct double_command *Command(enum double_op op, const wchar_t *text0, const wchar_t *text1); /* fresh, reused by the next */
uint64_t Status(enum double_status which);
void WaitIdle(void);

bool AssayOpen(void);
void AssayClose(void);
bool Describe(struct wire_describe *out);
DWORD FilterPut(uint64_t kinds, uint32_t payload, unsigned rules, const int *sort, const wchar_t *const *prefix);
DWORD Ioctl(uint32_t code, const void *in, DWORD in_bytes, void *out, DWORD out_bytes, DWORD *got);

/* Reads until `want` records are there or nothing more comes for a while; acknowledges what was read before when asked to. */
struct reader {
    uint8_t *memory;
    size_t used;
    size_t room;
    unsigned count;
    uint64_t load;
    uint64_t last[WIRE_CLASSES];
    uint64_t lost[WIRE_CLASSES];
    uint64_t posted[WIRE_CLASSES];
    bool acknowledge;
    bool resume;
    const char *fault; /* what a batch had wrong */
};
void ReaderStart(struct reader *r, bool acknowledge, bool resume);
void ReaderEnd(struct reader *r);
unsigned ReaderRead(struct reader *r, unsigned want);
const struct wire_record *ReaderRecord(const struct reader *r, unsigned n);                     /* any */
const struct wire_record *ReaderFind(const struct reader *r, enum kind kind, unsigned n);        /* the n-th of a kind */
unsigned ReaderCount(const struct reader *r, enum kind kind);
bool TextIs(const struct wire_record *record, unsigned n, const wchar_t *text);

/* The scenarios. */
struct scenario {
    const char *name;
    void (*run)(void);
    struct setting setting;
    bool by_itself; /* starts and stops the driver on its own */
};
extern const struct scenario scenarios[];
