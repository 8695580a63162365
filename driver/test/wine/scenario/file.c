/* Files by every route, volumes. */
#include "scenario.h"

#define DISK L"\\Device\\HarddiskVolume1"
#define STICK L"\\Device\\HarddiskVolume7"
#define EDITOR DISK L"\\Windows\\notepad.exe"

static struct double_command *File(enum double_op op, uint64_t id, const wchar_t *path) {
    struct double_command *c = Command(op, path, NULL);

    c->a[0] = id;
    return c;
}

static void Open(uint64_t id, const wchar_t *path, uint64_t options, uint64_t access, uint64_t happened) {
    struct double_command *c = File(OP_FILE_OPEN, id, path);

    c->a[1] = options;
    c->a[2] = access;
    c->a[3] = happened;
    CHECK(Play(c));
}

static void Set(uint64_t id, uint64_t class, uint64_t flags, const wchar_t *name) {
    struct double_command *c = File(OP_FILE_SET, id, name);

    c->a[1] = class;
    c->a[2] = flags;
    CHECK(Play(c));
}

static void Close(uint64_t id, uint64_t deleted) {
    struct double_command *c = File(OP_FILE_CLEANUP, id, NULL);

    c->a[1] = deleted;
    CHECK(Play(c));
}

/* A process with a long name makes a file. */
static void Long(void) {
    struct double_command *c;
    wchar_t name[601];

    for (unsigned i = 0; i < 600; i++)
        name[i] = L'x';
    name[600] = 0;
    c = Command(OP_PROCESS_START, name, L"x");
    c->a[0] = ACTOR + 8;
    CHECK(Play(c));
    c = File(OP_FILE_OPEN, 10, DISK L"\\l.txt");
    c->pid = ACTOR + 8;
    c->a[2] = 2;
    c->a[3] = 2;
    CHECK(Play(c));
    Close(10, 0);
}

/* Two processes begin, and files are made, written, renamed and deleted by every route: 2 records of processes and 11 of files. */
void ActFiles(void) {
    struct double_command *c;

    c = Command(OP_PROCESS_START, EDITOR, L"edit a.txt"); /* who does it */
    c->a[0] = ACTOR;
    CHECK(Play(c));
    Open(1, DISK L"\\a.txt", 0, 2, 2); /* created, written twice: one record of each */
    for (int i = 0; i < 2; i++) {
        c = File(OP_FILE_WRITE, 1, NULL);
        c->a[1] = 100;
        CHECK(Play(c));
    }
    Set(1, 10, 1, L"\\??\\C:\\b.txt"); /* renamed over another */
    Close(1, 0);
    Open(2, DISK L"\\d1", 0, 0x10000, 1); /* deleted by disposition */
    Set(2, 13, 1, NULL);
    Close(2, 1);
    Open(3, DISK L"\\d2", 0, 0x10000, 1); /* by the newer one, POSIX semantics */
    Set(3, 64, 3, NULL);
    Close(3, 1);
    Open(4, DISK L"\\d3", 0x1000, 0x10000, 1); /* on close */
    Close(4, 1);
    Open(5, DISK L"\\kept", 0, 0x10000, 1); /* asked, and taken back */
    Set(5, 13, 1, NULL);
    Set(5, 13, 0, NULL);
    Close(5, 0);
    Open(6, DISK L"\\map", 0, 2, 1); /* through a mapping, and by cloning blocks */
    c = File(OP_FILE_SECTION, 6, NULL);
    c->a[1] = 4;
    CHECK(Play(c));
    c = File(OP_FILE_CONTROL, 6, NULL);
    c->a[1] = 0x98344;
    CHECK(Play(c));
    Close(6, 0);
    Open(7, DISK L"\\s.txt:evil", 0, 2, 2); /* a stream */
    Close(7, 0);
    Open(8, DISK L"\\read", 0, 1, 1); /* only read: nothing */
    Close(8, 0);
    Open(9, L"\\Device\\Mup\\server\\share\\r.txt", 0, 2, 2); /* on a server */
    Close(9, 0);
    Long();
}

void Files(void) {
    const struct assay_header *h;
    struct reader r;

    ReaderStart(&r, true, false);
    ActFiles();
    EQUAL(ReaderRead(&r, 14), 14);
    h = ReaderFind(&r, ASSAY_FILE_CREATED, 2); /* the beginning of a long name, and how long it was */
    EQUAL(BODY(assay_file, h)->image.size, 1024);
    EQUAL(BODY(assay_file, h)->image.whole, 1200);
    EQUAL(BODY(assay_file, h)->image.flags, ASSAY_REF_TRUNCATED);
    EQUAL(h->flags, ASSAY_RECORD_TRUNCATED);
    EQUAL(ReaderCount(&r, ASSAY_FILE_CREATED), 3);
    h = ReaderFind(&r, ASSAY_FILE_CREATED, 1);
    EQUAL(BODY(assay_file, h)->holes, ASSAY_HOLE_REMOTE);
    EQUAL(BODY(assay_file, h)->file_id[0] | BODY(assay_file, h)->size, 0);
    CHECK(TextIs(h, BODY(assay_file, h)->path, L"\\server\\share\\r.txt"));
    h = ReaderFind(&r, ASSAY_FILE_CREATED, 0);
    CHECK(TextIs(h, BODY(assay_file, h)->volume, DISK));
    CHECK(TextIs(h, BODY(assay_file, h)->path, L"\\a.txt"));
    CHECK(TextIs(h, BODY(assay_file, h)->image, EDITOR));
    EQUAL(BODY(assay_file, h)->file_id[0], 1); /* of 64 bits, where there are no more */
    EQUAL(BODY(assay_file, h)->file_id[1], 0);
    EQUAL(BODY(assay_file, h)->size, 1000);
    h = ReaderFind(&r, ASSAY_FILE_DELETED, 0);
    EQUAL(BODY(assay_file, h)->file_id[0], 2);
    EQUAL(BODY(assay_file, h)->file_id[1], 0x80ull << 56);
    CHECK(TextIs(h, BODY(assay_file, h)->image, EDITOR));
    EQUAL(ReaderCount(&r, ASSAY_FILE_WRITTEN), 2);
    EQUAL(BODY(assay_file, ReaderFind(&r, ASSAY_FILE_WRITTEN, 1))->holes, ASSAY_HOLE_BLOCK_CLONE);
    h = ReaderFind(&r, ASSAY_FILE_RENAMED, 0);
    EQUAL(BODY(assay_file, h)->route, ASSAY_ROUTE_RENAME_OVER);
    CHECK(TextIs(h, BODY(assay_file, h)->new_path, L"\\??\\C:\\b.txt"));
    EQUAL(ReaderCount(&r, ASSAY_FILE_DELETED), 3);
    EQUAL(BODY(assay_file, ReaderFind(&r, ASSAY_FILE_DELETED, 0))->route, ASSAY_ROUTE_DISPOSITION);
    EQUAL(BODY(assay_file, ReaderFind(&r, ASSAY_FILE_DELETED, 1))->route, ASSAY_ROUTE_DISPOSITION_EX);
    EQUAL(BODY(assay_file, ReaderFind(&r, ASSAY_FILE_DELETED, 2))->route, ASSAY_ROUTE_ON_CLOSE);
    EQUAL(ReaderCount(&r, ASSAY_FILE_MAPPED), 1);
    EQUAL(ReaderCount(&r, ASSAY_FILE_STREAM_CREATED), 1);
    ReaderEnd(&r);
}

/* The newer ways to rename and link, deletes that are taken back, sizes that are set, files that are replaced: 11 records of files. */
void ActRoutes(void) {
    struct double_command *c;

    Open(20, DISK L"\\r1", 0, 0x10000, 1); /* renamed with POSIX semantics and over nothing; over another; not at all */
    Set(20, 65, 2, L"\\??\\C:\\r2");
    Set(20, 65, 3, L"\\??\\C:\\r3");
    c = File(OP_FILE_SET, 20, L"\\??\\C:\\r4");
    c->a[1] = 65;
    c->a[3] = 0xC0000022;
    CHECK(Play(c));
    Close(20, 0);
    Open(21, DISK L"\\l1", 0, 0x100, 1); /* a second name, and one in the place of another */
    Set(21, 11, 0, L"\\??\\C:\\l2");
    Set(21, 72, 1, L"\\??\\C:\\l3");
    Close(21, 0);
    Open(22, DISK L"\\x1", 0x1000, 0x10000, 1); /* to be deleted on close, taken back, and asked for again */
    Set(22, 64, 8, NULL);
    Set(22, 64, 9, NULL);
    Close(22, 1);
    Open(23, DISK L"\\x2", 0x1000, 0x10000, 1); /* on close from the start: the older ways do not take that back */
    Set(23, 13, 0, NULL);
    Set(23, 64, 0, NULL);
    Close(23, 1);
    Open(24, DISK L"\\x3", 0x1000, 0x10000, 1); /* this one does: another deletes it */
    Set(24, 64, 8, NULL);
    Close(24, 1);
    Open(25, DISK L"\\x4", 0, 0x10000, 1); /* asked by the newer way, and taken back: another deletes it */
    Set(25, 64, 3, NULL);
    Set(25, 64, 0, NULL);
    Close(25, 1);
    Open(26, DISK L"\\e1", 0, 2, 1); /* its end is set, then its room: one write */
    Set(26, 20, 0, NULL);
    Set(26, 19, 0, NULL);
    Close(26, 0);
    Open(27, DISK L"\\e2", 0, 2, 1);
    Set(27, 19, 0, NULL);
    Close(27, 0);
    Open(28, DISK L"\\o1", 0, 2, 0); /* superseded, overwritten, and overwritten without a right to change it */
    Close(28, 0);
    Open(29, DISK L"\\o2", 0, 2, 3);
    Close(29, 0);
    Open(30, DISK L"\\o3", 0, 1, 3);
    Close(30, 0);
}

void Routes(void) {
    static const struct {
        enum assay_kind kind;
        const wchar_t *path, *new_path;
        uint32_t route, holes, disposition;
    } told[] = {
        {ASSAY_FILE_RENAMED, L"\\r1", L"\\??\\C:\\r2", ASSAY_ROUTE_NONE, 0, 0},
        {ASSAY_FILE_RENAMED, L"\\r1", L"\\??\\C:\\r3", ASSAY_ROUTE_RENAME_OVER, ASSAY_HOLE_RENAME_OVER, 0},
        {ASSAY_FILE_LINKED, L"\\l1", L"\\??\\C:\\l2", ASSAY_ROUTE_NONE, 0, 0},
        {ASSAY_FILE_LINKED, L"\\l1", L"\\??\\C:\\l3", ASSAY_ROUTE_RENAME_OVER, ASSAY_HOLE_RENAME_OVER, 0},
        {ASSAY_FILE_DELETED, L"\\x1", L"", ASSAY_ROUTE_ON_CLOSE, 0, 0},
        {ASSAY_FILE_DELETED, L"\\x2", L"", ASSAY_ROUTE_ON_CLOSE, 0, 0},
        {ASSAY_FILE_WRITTEN, L"\\e1", L"", ASSAY_ROUTE_NONE, 0, 0},
        {ASSAY_FILE_WRITTEN, L"\\e2", L"", ASSAY_ROUTE_NONE, 0, 0},
        {ASSAY_FILE_CREATED, L"\\o1", L"", ASSAY_ROUTE_NONE, 0, 0},
        {ASSAY_FILE_CREATED, L"\\o2", L"", ASSAY_ROUTE_NONE, 0, 3},
        {ASSAY_FILE_CREATED, L"\\o3", L"", ASSAY_ROUTE_NONE, 0, 3},
    };
    const unsigned count = sizeof told / sizeof told[0];
    unsigned seen[ASSAY_KINDS] = {0};
    struct reader r;

    ReaderStart(&r, true, false);
    ActRoutes();
    EQUAL(ReaderRead(&r, count + 1), count + 1); /* with the record of the start */
    for (unsigned i = 0; i < count; i++) {
        const struct assay_header *h = ReaderFind(&r, told[i].kind, seen[told[i].kind]++);
        const struct assay_file *f = BODY(assay_file, h);

        CHECK(TextIs(h, f->path, told[i].path) && TextIs(h, f->new_path, told[i].new_path));
        EQUAL(f->route, told[i].route);
        EQUAL(f->holes, told[i].holes);
        EQUAL(f->disposition, told[i].disposition);
        EQUAL(h->n, i + 1); /* in order, and nothing in between */
    }
    ReaderEnd(&r);
}

/* A stick is plugged in; it is described later, by the worker. */
void ActPlug(void) {
    static const char disk[] = "Acme\0 Stick 9  \0007A\0BACKUP";
    struct double_command *c = Command(OP_VOLUME, STICK, L"\\??\\Volume{1}");

    c->a[0] = 7; /* USB */
    c->a[1] = 1; /* removable */
    memcpy(c->data, disk, sizeof disk);
    c->bytes = sizeof disk;
    CHECK(Play(c));
}

void ActUnplug(void) { CHECK(Play(Command(OP_VOLUME_GONE, STICK, NULL))); }

#define HURRIED 10u
void Volumes(void) {
    const struct assay_header *h;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    ActPlug();
    ReaderRead(&r, 2); /* described by the worker */
    ActUnplug();
    EQUAL(ReaderRead(&r, 3), 3);
    h = ReaderFind(&r, ASSAY_VOLUME_ARRIVED, 0);
    EQUAL(BODY(assay_volume, h)->bus_type, 7);
    EQUAL(BODY(assay_volume, h)->removable, 1);
    CHECK(TextIs(h, BODY(assay_volume, h)->guid, L"\\\\?\\Volume{1}"));
    CHECK(TextIs(h, BODY(assay_volume, h)->device, STICK));
    for (int i = 0; i < 2; i++) { /* what leaves is told as it was when it came */
        h = ReaderFind(&r, i == 0 ? ASSAY_VOLUME_ARRIVED : ASSAY_VOLUME_LEFT, 0);
        EQUAL(BODY(assay_volume, h)->bus_type, 7);
        CHECK(TextIs(h, BODY(assay_volume, h)->vendor, L"Acme"));
        CHECK(TextIs(h, BODY(assay_volume, h)->product, L"Stick 9"));
        CHECK(TextIs(h, BODY(assay_volume, h)->serial, L"7A"));
        CHECK(TextIs(h, BODY(assay_volume, h)->label, L"BACKUP"));
    }
    EQUAL(ReaderCount(&r, ASSAY_VOLUME_LEFT), 1);
    for (unsigned i = 0; i < HURRIED; i++) { /* gone before the worker came, or while it asks: the order is kept, and each told once */
        Play(Command(OP_VOLUME, L"\\Device\\HarddiskVolume8", NULL));
        CHECK(Play(Command(OP_VOLUME_GONE, L"\\Device\\HarddiskVolume8", NULL)));
    }
    EQUAL(ReaderRead(&r, 3 + 2 * HURRIED), 3 + 2 * HURRIED);
    for (unsigned i = 1; i <= HURRIED; i++)
        EQUAL(ReaderFind(&r, ASSAY_VOLUME_LEFT, i)->n, ReaderFind(&r, ASSAY_VOLUME_ARRIVED, i)->n + 1);
    c = Command(OP_VOLUME, L"\\Device\\HarddiskVolume9", NULL); /* the stop waits for none that comes meanwhile */
    c->a[5] = 1;
    CHECK(Play(c));
    ReaderEnd(&r);
}

/* A volume whose disk does not answer, once it was asked. */
static void Sick(uint64_t how) {
    struct double_command *c = Command(OP_VOLUME, L"\\Device\\HarddiskVolume8", NULL);

    c->a[0] = 7;
    c->a[4] = how;
    CHECK(Play(c));
    while (Status(STATUS_HELD) == 0)
        SwitchToThread();
}

/* While a disk does not answer, all else is delivered; it is given up after a while, the next is described, and a stop ends. */
void SickDisk(void) {
    const struct assay_header *h;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    Sick(1);
    CHECK(Play(Command(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\A", L"v")));
    EQUAL(ReaderRead(&r, 2), 2);
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 1);
    ActPlug();
    c = Command(OP_CLOCK, NULL, NULL);
    c->a[0] = 6000;
    CHECK(Play(c));
    EQUAL(ReaderRead(&r, 4), 4);
    h = ReaderFind(&r, ASSAY_VOLUME_ARRIVED, 0);
    EQUAL(BODY(assay_volume, h)->bus_type, 0);
    EQUAL(BODY(assay_volume, h)->vendor.flags, ASSAY_REF_UNKNOWN);
    EQUAL(BODY(assay_volume, ReaderFind(&r, ASSAY_VOLUME_ARRIVED, 1))->bus_type, 7);
    ActUnplug();
    CHECK(Play(Command(OP_VOLUME_GONE, L"\\Device\\HarddiskVolume8", NULL)));
    Sick(1); /* and now the driver leaves */
    ReaderEnd(&r);
}

/* A disk that keeps the question for good keeps its memory and nothing else; the stop ends. */
void DeafDisk(void) {
    struct setting setting = {0};
    struct left left;

    if (!EQUAL(ServiceStart(&setting), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Settled()))
        return;
    ServiceHolder();
    Sick(2);
    EQUAL(Request(ASSAY_IOCTL_UNLOAD), 0);
    AssayClose();
    DoubleClose();
    EQUAL(ServiceStop(), 0);
    if (!CHECK(Left(&left)))
        return;
    EQUAL(left.pool, 1);
    EQUAL(left.contexts, 1); /* the disk's device */
    EQUAL(left.registered, 0);
    EQUAL(left.violations, 0);
}
