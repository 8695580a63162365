/* Every call of a start that may fail, made to fail in turn: the driver refuses to load, or runs with the rest and says so. */
#include "scenario.h"

#define INJECTED 0xC000009Au /* STATUS_INSUFFICIENT_RESOURCES */
#define NOT_STARTED 0x103u
#define MOST_STARTS 1000u
#define IMAGE L"\\Device\\HarddiskVolume1\\Users\\a\\evil.exe"
#define LSASS L"\\Device\\HarddiskVolume1\\Windows\\System32\\lsass.exe"

static unsigned refused, partial, whole;

/* After a refused load or an unload: nothing is registered, allocated, referenced or waiting. */
static void NothingLeft(void) {
    EQUAL(Status(STATUS_REGISTERED), 0);
    EQUAL(Status(STATUS_POOL_LIVE), 0);
    EQUAL(Status(STATUS_CONTEXTS), 0);
    if (!EQUAL(Status(STATUS_VIOLATIONS), 0)) {
        struct double_command *c = Command(OP_VIOLATION, NULL, NULL);

        if (Play(c))
            printf("    violation: %ls\n", (const wchar_t *)c->text[0]);
    }
}

/* Of each source something that it records. */
void ActEach(void) {
    struct double_command *c;

    for (int i = 0; i < 2; i++) {
        c = Command(OP_PROCESS_START, i == 0 ? LSASS : IMAGE, L"x");
        c->a[0] = i == 0 ? 600 : 2000;
        Play(c);
        for (int k = 0; k < 2; k++) { /* the first thread is the creator's */
            c = Command(OP_THREAD, NULL, NULL);
            c->a[0] = i == 0 ? 600 : 2000;
            c->a[1] = 2004 + 4 * k;
            Play(c);
        }
    }
    c = Command(OP_IMAGE, IMAGE, NULL);
    c->a[0] = 2000;
    Play(c);
    c = Command(OP_OPEN_PROCESS, NULL, NULL);
    c->a[0] = 600;
    c->a[1] = 0x1010;
    Play(c);
    Play(Command(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\A", L"v"));
    c = Command(OP_FILE_OPEN, L"\\Device\\HarddiskVolume1\\a.txt", NULL);
    c->a[0] = 1;
    c->a[2] = 2; /* to write */
    c->a[3] = 2; /* created */
    Play(c);
    c = Command(OP_FILE_CLEANUP, NULL, NULL);
    c->a[0] = 1;
    Play(c);
    c = Command(OP_CONNECT, NULL, NULL);
    c->a[0] = 1;
    c->a[1] = 2;
    c->a[2] = 6;
    c->a[3] = 50000;
    c->a[4] = 443;
    c->irql = 2;
    c->bytes = 32;
    Play(c);
}

/* A source that says that it runs records, and one that says why it does not records nothing. */
static bool Sources(struct assay_description *d) {
    struct assay_description before; /* the list of what ran before is told by whatever runs */
    bool all = true;

    if (!CHECK(Describe(&before)))
        return false;
    ActEach();
    if (!CHECK(Describe(d)))
        return false;
    for (unsigned i = 0; i < ASSAY_SOURCES; i++) {
        uint32_t status = (uint32_t)d->source[i].status;

        if (d->passive)
            EQUAL(status, NOT_STARTED);
        else
            CHECK(status == 0 || status == INJECTED);
        if (status != 0) {
            all = false;
            EQUAL(d->source[i].events, before.source[i].events);
        } else if (i == ASSAY_SOURCE_OPEN) /* knows lsass by its start */
            CHECK(d->source[i].events != 0 || d->source[ASSAY_SOURCE_PROCESS].status != 0);
        else if (i != ASSAY_SOURCE_VOLUME && i != ASSAY_SOURCE_PAYLOAD)
            CHECK(d->source[i].events != 0);
    }
    return all;
}

/* What a start goes on without: a newer routine, the list of what runs, something about one process or one volume. */
static bool Spared(const char *name) {
    static const char *const names[] = {"MmGetSystemRoutineAddress", "ZwQuerySystemInformation", "PsLookupProcessByProcessId",
                                        "SeLocateProcessImageName", "ObOpenObjectByPointer of a token", "ZwQueryInformationToken",
                                        "pool of the worker", "FltGetVolumeName",
                                        "FltGetVolumeGuidName", "FltGetVolumeProperties", "FltGetDiskDeviceObject",
                                        "FltObjectReference", "FltQueryVolumeInformation", "IoBuildDeviceIoControlRequest"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void Loaded(const char *name) {
    struct assay_description d;
    bool all = Sources(&d);

    partial += !all;
    whole += all;
    if (d.passive) { /* a count that cannot be kept cannot guard */
        CHECK(strncmp(name, "Zw", 2) == 0);
        EQUAL(d.why, ASSAY_WHY_GUARD_UNREADABLE);
    } else if (strcmp(name, "ZwQuerySystemInformation") == 0)
        EQUAL((uint32_t)d.snapshot, INJECTED);
    else if (strncmp(name, "Zw", 2) == 0 && !Spared(name)) /* which boot this is could not be had: the load has one of its own */
        EQUAL(d.boot, d.load);
    else
        CHECK(all == Spared(name)); /* whatever else fails is visible */
}

/* The n-th call fails. FALSE: the start had no n-th. name says which it was. */
static bool Start(unsigned n, char name[64]) {
    struct double_command *c;
    int32_t status;
    unsigned i;

    ServiceStartsSet(0);
    c = Command(OP_LOAD, L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\assay", NULL);
    c->a[0] = n;
    c->a[1] = INJECTED;
    Play(c);
    status = c->status;
    if (status >= 0 && (!CHECK(AssayOpen()) || !CHECK(Settled())))
        return false;
    c = Command(OP_FAILED, NULL, NULL);
    if (!CHECK(Play(c)))
        return false;
    for (i = 0; c->text[0][i] != 0 && i < 63; i++)
        name[i] = (char)c->text[0][i];
    name[i] = 0;
    Play(Command(OP_FAIL, L"", NULL)); /* what comes after the start succeeds */
    if (i == 0)
        return false;
    if (status >= 0)
        Loaded(name);
    else {
        refused++;
        EQUAL((uint32_t)status, INJECTED);
        CHECK(!AssayOpen());
        NothingLeft();
    }
    return true;
}

static void Unload(void) {
    if (assay_device == INVALID_HANDLE_VALUE)
        return; /* refused */
    EQUAL(Request(ASSAY_IOCTL_UNLOAD), 0);
    AssayClose();
    CHECK(Play(Command(OP_UNLOAD, NULL, NULL)));
    NothingLeft();
}

void FailEach(void) {
    struct setting setting = {.verify = 1};
    char name[64] = "";
    unsigned n;

    if (!EQUAL(ServiceStart(&setting), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Settled()))
        return;
    for (n = 1; n <= MOST_STARTS; n++) {
        bool hit;

        Unload();
        hit = Start(n, name);
        if (failures != 0) {
            printf("    call %u that may fail: %s\n", n, name);
            return;
        }
        if (!hit)
            break;
    }
    CHECK(n <= MOST_STARTS);
    CHECK(refused != 0 && partial != 0 && whole != 0);
    printf("    %u calls failed in turn: %u refused to load, %u ran with the rest, %u ran in full\n", n - 1, refused, partial, whole);
    StopDriver();
}
