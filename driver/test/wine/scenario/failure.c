/* Failures at start, the boot guard, the device's security, unload. */
#include "scenario.h"

static void Failing(const char *name, DWORD at, unsigned source, unsigned more) {
    struct setting setting = {name, at, 0xC000009A, 0, 0};
    struct assay_description d;

    if (!EQUAL(ServiceStart(&setting), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Describe(&d)))
        return;
    for (unsigned i = 0; i < ASSAY_SOURCES; i++)
        EQUAL((uint32_t)d.source[i].status, i == source || i == more ? 0xC000009A : 0);
    StopDriver();
}

/* A source that cannot start says why, leaves the others running, and leaves nothing behind. */
void FailProcess(void) { Failing("PsSetCreateProcessNotifyRoutineEx", 1, ASSAY_SOURCE_PROCESS, ASSAY_SOURCES); }
void FailOpen(void) { Failing("ObRegisterCallbacks", 1, ASSAY_SOURCE_OPEN, ASSAY_SOURCES); }
void FailKey(void) { Failing("CmRegisterCallbackEx", 1, ASSAY_SOURCE_REGISTRY, ASSAY_SOURCES); }
void FailFilter(void) { Failing("FltStartFiltering", 1, ASSAY_SOURCE_FILE, ASSAY_SOURCE_VOLUME); }
void FailCallout(void) { Failing("FwpsCalloutRegister2", 17, ASSAY_SOURCE_FLOW, ASSAY_SOURCE_PAYLOAD); }
void FailCommit(void) { Failing("FwpmTransactionCommit0", 1, ASSAY_SOURCE_FLOW, ASSAY_SOURCE_PAYLOAD); }

/* Without memory, device, its security or the thread there is no driver, and nothing of it stays. */
static void Impossible(const char *name, DWORD at) {
    struct setting setting = {name, at, 0xC000009A, 0, 0};

    CHECK(ServiceStart(&setting) != 0);
    CHECK(!AssayOpen());
    if (strcmp(name, "IoCreateDevice") != 0)
        Clean();
}
void NoSecurity(void) { Impossible("ZwSetSecurityObject", 1); }
void NoThread(void) { Impossible("PsCreateSystemThread", 1); }

/* The agent says that all is well, well within a minute of the last time. */
static void Healthy(void) {
    struct double_command *c = Command(OP_CLOCK, NULL, NULL);

    c->a[0] = 50000;
    CHECK(Play(c));
    EQUAL(Request(ASSAY_IOCTL_HEALTHY), 0);
}

/* The second start runs, and is counted; the third in a row that did not last is passive, says so, and records nothing. */
void Guard(void) {
    struct assay_description d;
    struct double_command *c;

    ServiceStartsSet(1);
    if (!EQUAL(ServiceStart(playing), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Describe(&d)))
        return;
    EQUAL(d.passive, 0);
    EQUAL(ServiceStarts(), 2);
    StopDriver();
    ServiceForget();
    ServiceStartsSet(2);
    if (!EQUAL(ServiceStart(playing), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Describe(&d)))
        return;
    EQUAL(d.passive, 1);
    EQUAL(d.why, ASSAY_WHY_STARTS);
    c = Command(OP_PROCESS_START, L"x", L"y");
    c->a[0] = 2000;
    CHECK(Play(c));
    CHECK(Describe(&d));
    EQUAL(d.ring[ASSAY_PROCESS].posted, 0);
    EQUAL((uint32_t)d.source[ASSAY_SOURCE_PROCESS].status, 0x103);
    EQUAL(d.starts, 3);
    for (int i = 0; i < 6; i++)
        Healthy();
    EQUAL(ServiceStarts(), 3); /* four minutes are not five */
    Healthy();
    EQUAL(ServiceStarts(), 0);
    StopDriver();
}

/* Two loads in one boot: records of both are of the same boot, and of loads of their own. */
void Boots(void) {
    struct assay_description first, second;

    for (int i = 0; i < 2; i++) {
        if (!EQUAL(ServiceStart(playing), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Describe(i == 0 ? &first : &second)))
            return;
        ServiceHolder();
        StopDriver();
        ServiceEnded();
    }
    CHECK(first.boot != 0 && second.load > first.load && second.load > second.boot);
    EQUAL(second.boot, first.boot);
}

/* The device's list: LocalSystem and the agent's service, in full, and nobody else. */
void Security(void) {
    static const uint8_t system[] = {1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0};
    static const uint32_t service[] = {80, 3378047488u, 742388531u, 192177017u, 3285523514u, 4288249756u};
    struct double_command *c = Command(OP_SECURITY, NULL, NULL);

    CHECK(Play(c));
    EQUAL(c->bytes, 256 / 2);
    EQUAL(c->data[4], 2); /* entries */
    CHECK(c->data[8] == 0 && memcmp(c->data + 16, system, sizeof system) == 0);
    CHECK(c->data[28] == 0 && c->data[37] == 6 && memcmp(c->data + 44, service, sizeof service) == 0);
}

/* Hostile requests are refused and change nothing; a request for another load is, too. */
void Hostile(void) {
    struct assay_request stale = {ASSAY_ABI_VERSION, 0, 1}, newer = {ASSAY_ABI_VERSION + 1, 0, 0};
    struct assay_read read = {ASSAY_ABI_VERSION, 0, 0, {0}};
    static uint8_t out[ASSAY_READ_MOST];
    struct assay_description d;

    CHECK(Ioctl(ASSAY_IOCTL_UNLOAD, &stale, sizeof stale, NULL, 0, NULL) != 0);
    CHECK(Ioctl(ASSAY_IOCTL_UNLOAD, &newer, sizeof newer, NULL, 0, NULL) != 0);
    CHECK(Ioctl(ASSAY_IOCTL_UNLOAD, &stale, 3, NULL, 0, NULL) != 0);
    CHECK(Ioctl(ASSAY_IOCTL_READ, &read, sizeof read, out, 100, NULL) != 0);
    CHECK(Ioctl(ASSAY_IOCTL_READ, &read, 8, out, sizeof out, NULL) != 0);
    CHECK(Ioctl(ASSAY_IOCTL_DESCRIBE, NULL, 0, &d, 16, NULL) != 0);
    CHECK(Ioctl(ASSAY_CTL(0x8FF, 0, 1), NULL, 0, NULL, 0, NULL) != 0);
    CHECK(Describe(&d));
    read.load = d.load;
    read.ack_through[ASSAY_PROCESS] = 99; /* never given */
    CHECK(Ioctl(ASSAY_IOCTL_READ, &read, sizeof read, out, sizeof out, NULL) != 0);
    CHECK(Describe(&d));
    EQUAL(d.unload_allowed, 0);
}
