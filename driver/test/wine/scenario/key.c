/* The registry, filters, and what others do to the agent's own. */
#include "scenario.h"

#define RUN L"\\REGISTRY\\MACHINE\\SOFTWARE\\Run"
#define BIT(kind) (1ull << (kind))
#define KEYS (BIT(ASSAY_KEY_SET) | BIT(ASSAY_KEY_VALUE_DELETED) | BIT(ASSAY_KEY_DELETED) | BIT(ASSAY_KEY_CREATED) | BIT(ASSAY_KEY_RENAMED))
#define FILES (BIT(ASSAY_FILE_CREATED) | BIT(ASSAY_FILE_WRITTEN) | BIT(ASSAY_FILE_RENAMED) | BIT(ASSAY_FILE_DELETED) | BIT(ASSAY_FILE_MAPPED))

static void Key(enum double_op op, const wchar_t *key, const wchar_t *name, uint64_t a0, int32_t status) {
    struct double_command *c = Command(op, key, name);

    c->a[0] = a0;
    c->a[1] = (uint32_t)status;
    c->bytes = op == OP_KEY_SET ? 4 : 0;
    c->data[0] = 7;
    CHECK(Play(c));
}

/* A key whose maker lets nobody read whether it is new is told as one that may be, and costs nobody the machine. */
static void Unsure(struct reader *r) {
    unsigned before = r->count;

    for (unsigned i = 1; i <= 3; i++) {
        struct double_command *c = Command(OP_KEY_CREATE, RUN L"\\Unsure", NULL);

        c->a[0] = 1;
        c->a[2] = i;
        if (!CHECK(Play(c)))
            return;
    }
    EQUAL(ReaderRead(r, before + 3), before + 3);
    EQUAL(ReaderFind(r, ASSAY_KEY_CREATED, 0)->flags, 0);
    for (unsigned i = 1; i <= 3; i++) {
        const struct assay_header *h = ReaderFind(r, ASSAY_KEY_CREATED, i);

        EQUAL(h->flags, ASSAY_RECORD_UNSURE);
        CHECK(TextIs(h, BODY(assay_key, h)->key, RUN L"\\Unsure"));
    }
}

void Keys(void) {
    const struct assay_header *h;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    Key(OP_KEY_SET, RUN, L"Evil", 4, 0);
    Key(OP_KEY_SET, RUN, L"Denied", 4, (int32_t)0xC0000022); /* did not happen */
    Key(OP_KEY_DELETE_VALUE, RUN, L"Good", 0, 0);
    Key(OP_KEY_CREATE, RUN L"\\New", NULL, 1, 0); /* not asked for */
    c = Command(OP_KEY_SET, RUN, NULL); /* the default value, with more than a record takes */
    c->bytes = 3000;
    CHECK(Play(c));
    EQUAL(FiltersPut(1, ~0ull, 1, 0, NULL), 0);
    Key(OP_KEY_CREATE, RUN L"\\Asked", NULL, 1, 0);
    Key(OP_KEY_CREATE, RUN L"\\Old", NULL, 2, 0); /* was there */
    Key(OP_KEY_RENAME, RUN, L"Walk", 0, 0);
    Key(OP_KEY_DELETE, RUN, NULL, 0, 0);
    EQUAL(ReaderRead(&r, 7), 7);
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 2);
    h = ReaderFind(&r, ASSAY_KEY_SET, 1);
    EQUAL(BODY(assay_key, h)->name.flags | BODY(assay_key, h)->name.size, 0); /* empty, and known to be */
    EQUAL(BODY(assay_key, h)->data.size, ASSAY_MOST_DATA);
    EQUAL(BODY(assay_key, h)->data.whole, 3000);
    EQUAL(h->flags, ASSAY_RECORD_TRUNCATED);
    h = ReaderFind(&r, ASSAY_KEY_SET, 0);
    EQUAL(BODY(assay_key, h)->type, 4);
    EQUAL(BODY(assay_key, h)->data.size, 4);
    CHECK(TextIs(h, BODY(assay_key, h)->key, RUN));
    CHECK(TextIs(h, BODY(assay_key, h)->name, L"Evil"));
    EQUAL(ReaderCount(&r, ASSAY_KEY_VALUE_DELETED), 1);
    EQUAL(ReaderCount(&r, ASSAY_KEY_CREATED), 1);
    h = ReaderFind(&r, ASSAY_KEY_RENAMED, 0);
    CHECK(TextIs(h, BODY(assay_key, h)->key, RUN)); /* the name before */
    CHECK(TextIs(h, BODY(assay_key, h)->name, L"Walk"));
    h = ReaderFind(&r, ASSAY_KEY_DELETED, 0);
    CHECK(TextIs(h, BODY(assay_key, h)->key, RUN));
    Unsure(&r);
    ReaderEnd(&r);
}

/* What one program does to files is left out, and its start and exit; what another does is not. */
static void ByImage(void) {
    struct rule rules[] = {{ASSAY_FILE, ASSAY_MATCH_IMAGE, FILES, L"\\device\\harddiskvolume1\\backup\\"},
                           {ASSAY_PROCESS, ASSAY_MATCH_IMAGE, BIT(ASSAY_PROCESS_CREATED) | BIT(ASSAY_PROCESS_EXITED), L"\\device\\harddiskvolume1\\backup\\"}};
    struct assay_description d;
    struct double_command *c;

    EQUAL(FiltersPut(200, ~0ull, 1, 2, rules), 0);
    for (unsigned i = 0; i < 2; i++) {
        c = Command(OP_PROCESS_START, i == 0 ? L"\\Device\\HarddiskVolume1\\Backup\\b.exe" : L"\\Device\\HarddiskVolume1\\c.exe", L"x");
        c->a[0] = 5000 + 4 * i;
        CHECK(Play(c));
        c = Command(OP_FILE_OPEN, L"\\Device\\HarddiskVolume1\\a.txt", NULL);
        c->pid = 5000 + 4 * i;
        c->a[0] = 1 + i;
        c->a[2] = 2;
        c->a[3] = 2;
        CHECK(Play(c));
        c = Command(OP_PROCESS_EXIT, NULL, NULL);
        c->a[0] = 5000 + 4 * i;
        CHECK(Play(c));
    }
    CHECK(Describe(&d));
    EQUAL(d.ring[ASSAY_PROCESS].posted, 2); /* a start and its exit */
    EQUAL(d.ring[ASSAY_PROCESS].filtered, 2);
    EQUAL(d.ring[ASSAY_FILE].posted, 1);
    EQUAL(d.ring[ASSAY_FILE].filtered, 1);
}

/* Filters swapped under load: what is excluded is counted, nothing else is lost, a bad set changes nothing. */
void Filters(void) {
    struct rule rule = {ASSAY_REGISTRY, ASSAY_MATCH_PATH, KEYS, L"\\registry\\machine\\software\\quiet"};
    struct rule bad = {ASSAY_CLASSES, ASSAY_MATCH_PATH, ~0ull, L"x"};
    struct assay_description d;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    c = Command(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\loud", L"#");
    c->repeat = 2000;
    c->flags = COMMAND_THREADS;
    c->a[7] = 2;
    CHECK(Play(c));
    for (unsigned i = 1; i <= 20; i++) {
        DWORD error = FiltersPut(i, ~0ull, 1, 1, &rule);

        CHECK(error == 0 || error == ERROR_BUSY);
        CHECK(FiltersPut(100, ~0ull, 1, 1, &bad) != 0);
        ReaderRead(&r, r.count + 1);
    }
    ReaderRead(&r, 1 + 4000 + 20);
    WaitIdle();
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 4000);
    Key(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\Quiet\\Down", L"v", 4, 0);
    CHECK(Describe(&d));
    EQUAL(d.ring[ASSAY_REGISTRY].posted, 4000);
    EQUAL(d.ring[ASSAY_REGISTRY].filtered, 1);
    EQUAL(d.ring[ASSAY_REGISTRY].lost, 0);
    CHECK(d.filters_generation >= 1 && d.filters_generation <= 20);
    EQUAL(d.filters_refused, ReaderCount(&r, ASSAY_TAMPER));
    ByImage();
    ReaderEnd(&r);
}

/* The agent's spool, which it opened before it read: 1 to open it, 0 to change it in each way. */
static void Spool(bool open) {
    struct double_command *c;

    for (unsigned op = open ? OP_FILE_OPEN : OP_FILE_WRITE; op <= (open ? OP_FILE_OPEN : OP_FILE_SECTION); op++) {
        c = Command(op, open ? L"\\Device\\HarddiskVolume1\\ProgramData\\Assay\\spool\\0" : NULL, NULL);
        c->pid = GetCurrentProcessId();
        c->a[0] = 77;
        c->a[1] = op == OP_FILE_SET ? 20 : op == OP_FILE_CONTROL ? 0x980C8 : op == OP_FILE_SECTION ? 4 : op == OP_FILE_OPEN ? 1u << 24 : 10;
        c->a[2] = op == OP_FILE_OPEN ? 2 : 0;
        c->a[3] = op == OP_FILE_OPEN ? 1 : 0;
        CHECK(Play(c));
    }
}

/* Others at the agent's files, key and process are tamper records; of the agent itself nothing is recorded but what it loads. */
void Tampering(void) {
    struct rule own[] = {{ASSAY_REGISTRY, ASSAY_MATCH_OWN, KEYS, L"\\REGISTRY\\MACHINE\\SYSTEM\\Services\\assay"},
                         {ASSAY_FILE, ASSAY_MATCH_OWN, FILES, L"\\Device\\HarddiskVolume1\\ProgramData\\Assay\\"}};
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    EQUAL(FiltersPut(1, ~0ull, 1, 2, own), 0);
    Spool(true);
    ReaderRead(&r, 1); /* from here on this process is the agent */
    Spool(false);
    Key(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SYSTEM\\Services\\assay", L"Start", 4, 0);
    c = Command(OP_OPEN_PROCESS, NULL, NULL);
    c->a[0] = GetCurrentProcessId();
    c->a[1] = 1; /* terminate */
    CHECK(Play(c));
    c = Command(OP_OPEN_PROCESS, NULL, NULL);
    c->a[0] = GetCurrentProcessId();
    c->a[1] = 0x10; /* reading harms nobody */
    CHECK(Play(c));
    c = Command(OP_FILE_OPEN, L"\\Device\\HarddiskVolume1\\ProgramData\\Assay\\spool\\1", NULL);
    c->a[0] = 1;
    c->a[1] = 1u << 24;
    c->a[2] = 2;
    c->a[3] = 3;
    CHECK(Play(c));
    c = Command(OP_FILE_CLEANUP, NULL, NULL);
    c->a[0] = 1;
    CHECK(Play(c));
    c = Command(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SYSTEM\\Services\\assay", L"Start");
    c->pid = GetCurrentProcessId();
    CHECK(Play(c));
    c = Command(OP_SHUTDOWN, NULL, NULL);
    CHECK(!Play(c)); /* refused */
    EQUAL((uint32_t)c->status, 0xC01C0010);
    c = Command(OP_IMAGE, L"\\Device\\HarddiskVolume1\\Users\\a\\evil.dll", NULL); /* a library in the agent itself is told */
    c->pid = GetCurrentProcessId();
    c->a[0] = GetCurrentProcessId();
    CHECK(Play(c));
    EQUAL(ReaderRead(&r, 8), 8);
    EQUAL(BODY(assay_image, ReaderFind(&r, ASSAY_IMAGE_LOADED, 0))->process, GetCurrentProcessId());
    EQUAL(ReaderCount(&r, ASSAY_TAMPER), 4);
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 1);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 0))->what, ASSAY_TAMPER_KEY);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 1))->what, ASSAY_TAMPER_PROCESS);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 2))->what, ASSAY_TAMPER_FILE);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 3))->what, ASSAY_TAMPER_UNLOAD_REFUSED);
    ReaderEnd(&r);
}

/* The filter alone is to go: refused and told, also once a stop is allowed; where nothing can be refused it goes once, and the driver says so. */
void Unloading(void) {
    struct assay_description d;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    CHECK(Play(Command(OP_VOLUME, L"\\Device\\HarddiskVolume7", NULL)));
    ReaderRead(&r, 2);
    EQUAL(Request(ASSAY_IOCTL_UNLOAD), 0);
    CHECK(!Play(Command(OP_SHUTDOWN, NULL, NULL)));
    c = Command(OP_SHUTDOWN, NULL, NULL);
    c->a[0] = 1; /* mandatory */
    CHECK(Play(c));
    CHECK(!Play(c)); /* there is no filter any more */
    CHECK(Describe(&d));
    for (unsigned i = 0; i < ASSAY_SOURCES; i++)
        EQUAL((uint32_t)d.source[i].status, i == ASSAY_SOURCE_FILE || i == ASSAY_SOURCE_VOLUME ? 0xC01C000B : 0);
    Key(OP_KEY_SET, RUN, L"Still", 4, 0); /* the others go on */
    EQUAL(ReaderRead(&r, 5), 5);
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 1);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 0))->what, ASSAY_TAMPER_UNLOAD_REFUSED);
    EQUAL(BODY(assay_tamper, ReaderFind(&r, ASSAY_TAMPER, 1))->what, ASSAY_TAMPER_UNLOADED);
    ReaderEnd(&r);
}
