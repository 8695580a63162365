/* What could not be followed is counted: each failure in the middle of things is a gap of its class. */
#include "scenario.h"

#define DISK L"\\Device\\HarddiskVolume1"

/* The n-th call of a name from now on fails. */
static void Fail(const wchar_t *name, unsigned n) {
    struct double_command *c = Command(OP_FAIL, name, NULL);

    c->a[0] = n;
    c->a[1] = 0xC000009A;
    CHECK(Play(c));
}

/* A file is made and written through a handle that nothing can be remembered of: its making is told, and the rest is counted. */
static void Unremembered(const wchar_t *name) {
    struct double_command *c;

    Fail(name, 1);
    c = Command(OP_FILE_OPEN, DISK L"\\a.txt", NULL);
    c->a[0] = 1;
    c->a[2] = 2;
    c->a[3] = 2;
    CHECK(Play(c));
    c = Command(OP_FILE_WRITE, NULL, NULL);
    c->a[0] = 1;
    c->a[1] = 100;
    CHECK(Play(c));
    c = Command(OP_FILE_CLEANUP, NULL, NULL);
    c->a[0] = 1;
    CHECK(Play(c));
}

/* A volume that cannot be held until it is described, of which the volume (1) or the instance (2) fails. */
static void Unheld(unsigned n) {
    Fail(L"FltObjectReference", n);
    CHECK(Play(Command(OP_VOLUME, DISK L"1", NULL)));
    CHECK(Play(Command(OP_VOLUME_GONE, DISK L"1", NULL)));
}

static void Uncopied(void) {
    static const char name[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
    struct double_command *c;

    Fail(L"FwpsFlowAssociateContext0", 1);
    CHECK(Play(Flow(OP_ESTABLISHED, 1, 50000, 443, 0)));
    Fail(L"NdisGetDataBuffer", 1);
    c = Flow(OP_DATAGRAM, 9, 50000, 53, 0);
    c->a[2] = 17;
    memcpy(c->data + 32, name, sizeof name);
    c->bytes = 32 + sizeof name;
    CHECK(Play(c));
}

void Blind(void) {
    struct assay_description d;
    struct reader r;

    ReaderStart(&r, true, false);
    Unremembered(L"FltAllocateContext");
    Unremembered(L"FltSetStreamHandleContext");
    Unheld(1);
    Unheld(2);
    Uncopied();
    ReaderRead(&r, 1000); /* all that comes; each number missing has its gap */
    EQUAL(ReaderCount(&r, ASSAY_FILE_CREATED), 2);
    EQUAL(ReaderCount(&r, ASSAY_FILE_WRITTEN), 0);
    CHECK(Describe(&d));
    EQUAL(d.ring[ASSAY_FILE].lost, 2);
    EQUAL(d.ring[ASSAY_CONTROL].lost, 2);
    EQUAL(d.ring[ASSAY_PAYLOAD].lost, 2);
    CHECK(r.last[ASSAY_FILE] == 4 && r.last[ASSAY_PAYLOAD] == 2);
    ReaderEnd(&r);
}
