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

#include "../../../abi.h"
#include "../script.h"

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
void ServiceEnded(void);                            /* waits until the process of a stopped driver is gone */
void ServiceHolder(void);                           /* once the double is open */
DWORD ServiceStop(void);                            /* 0 or the error */
DWORD ServiceStarts(void);                          /* the boot guard's count */
void ServiceStartsSet(DWORD starts);

/* client.c */
#define ACTOR 100000u /* whose activity it is by default: a number that Wine gives to no process, among them the reader */
extern HANDLE double_device, assay_device;
bool DoubleOpen(void);
void DoubleClose(void);
bool Play(struct double_command *command); /* FALSE when it could not be played */
struct double_command *Command(enum double_op op, const wchar_t *text0, const wchar_t *text1); /* fresh, reused by the next */
uint64_t Status(enum double_status which);
void WaitIdle(void);

bool AssayOpen(void);
void AssayClose(void);
bool Describe(struct assay_description *out);
struct rule {
    uint32_t class, match;
    uint64_t kinds;
    const wchar_t *prefix;
};
DWORD FiltersPut(uint64_t generation, uint64_t kinds, uint32_t flags, unsigned rules, const struct rule *rule);
DWORD Request(uint32_t code); /* healthy, unload: for the load that runs */
DWORD Ioctl(uint32_t code, const void *in, DWORD in_bytes, void *out, DWORD out_bytes, DWORD *got);

/* Reads until `want` records are there or nothing more comes for a while; acknowledges what was read before when asked to. */
struct reader {
    uint8_t *memory;
    size_t used;
    size_t room;
    unsigned count;
    uint64_t load;
    uint64_t last[ASSAY_CLASSES];
    bool acknowledge;
    bool resume;
    const char *fault; /* what a batch had wrong */
};
void ReaderStart(struct reader *r, bool acknowledge, bool resume);
void ReaderEnd(struct reader *r);
unsigned ReaderRead(struct reader *r, unsigned want);
const struct assay_header *ReaderFind(const struct reader *r, enum assay_kind kind, unsigned n); /* the n-th of a kind */
unsigned ReaderCount(const struct reader *r, enum assay_kind kind);
bool TextIs(const struct assay_header *record, struct assay_ref ref, const wchar_t *text);
#define BODY(type, record) ((const struct type *)((record) + 1))

/* Left behind by the last driver, as the double wrote it down when its process ended. */
struct left {
    uint64_t pool, registered, contexts, violations;
    char violation[160];
};
bool Left(struct left *out);
void Clean(void);
bool Settled(void); /* the list of running processes is told */
void StopDriver(void);

/* Acts: what scenarios play, and --serve for another reader. */
struct double_command *Many(unsigned first, unsigned count); /* starts of processes first, first + 4, ... of ACTOR, with "cmd /c echo N" */
void ActExit(unsigned pid);
void ActFiles(void);
void ActRoutes(void);
void ActPlug(void);
void ActUnplug(void);
void ActFlows(void);
void ActRefusals(void);
void ActNames(void);
struct double_command *Flow(enum double_op op, uint64_t flow, uint16_t local, uint16_t remote, uint32_t flags);
void ActEach(void);
int Serve(void);    /* serve.c */
int ReadOnce(void); /* process.c */

/* The scenarios. */
struct scenario {
    const char *name;
    void (*run)(void);
    struct setting setting;
    bool by_itself; /* starts and stops the driver on its own */
};
extern const struct scenario scenarios[];
extern const struct setting *playing; /* of the scenario that runs, for one that starts the driver on its own */
