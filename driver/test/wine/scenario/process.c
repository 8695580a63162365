/* Processes: order, storms, acknowledgement, overflow, images, threads, opens. */
#include "scenario.h"

#define CMD L"\\Device\\HarddiskVolume1\\Windows\\System32\\cmd.exe"
#define LSASS L"\\Device\\HarddiskVolume1\\Windows\\System32\\lsass.exe"

struct double_command *Many(unsigned first, unsigned count) {
    struct double_command *c = Command(OP_PROCESS_START, CMD, L"cmd /c echo #");

    c->a[0] = first;
    c->step = 4;
    c->repeat = count;
    c->a[1] = ACTOR;
    c->a[2] = 132000000000000000ull;
    return c;
}

void Order(void) {
    struct reader r;

    ReaderStart(&r, true, false);
    CHECK(Play(Many(2000, 100)));
    EQUAL(ReaderRead(&r, 101), 101); /* with the record of the start */
    EQUAL(ReaderCount(&r, ASSAY_STARTED), 1);
    EQUAL(ReaderCount(&r, ASSAY_PROCESS_CREATED), 100);
    for (unsigned i = 0; i < 100; i++) {
        const struct assay_header *h = ReaderFind(&r, ASSAY_PROCESS_CREATED, i);
        const struct assay_process *p = BODY(assay_process, h);
        wchar_t command[32];

        swprintf(command, 32, L"cmd /c echo %u", i);
        EQUAL(h->n, i + 1);
        EQUAL(h->pid, ACTOR);
        EQUAL(h->tid, ACTOR + 4);
        EQUAL(p->pid, 2000 + 4 * i);
        EQUAL(p->created, 132000000000000000ull + i);
        EQUAL(p->parent_pid, ACTOR);
        EQUAL(p->creator_pid, ACTOR);
        EQUAL(p->session, 1);
        EQUAL(p->user.size, 28);
        EQUAL(p->integrity, 0x3000);
        EQUAL(p->elevation, 2);
        CHECK(TextIs(h, p->image, CMD));
        CHECK(TextIs(h, p->command_line, command));
    }
    ReaderEnd(&r);
}

void ActExit(unsigned pid) {
    struct double_command *c = Command(OP_PROCESS_EXIT, NULL, NULL);

    c->a[0] = pid;
    c->a[1] = 0xC0000005;
    CHECK(Play(c));
}

/* What ran before is told once, an exit with its status, and a process that came after the snapshot is not told twice. */
void Exits(void) {
    struct reader r;

    ReaderStart(&r, true, false);
    CHECK(Play(Many(2000, 1)));
    ActExit(2000);
    ReaderRead(&r, 3);
    EQUAL(ReaderCount(&r, ASSAY_PROCESS_EXITED), 1);
    EQUAL((uint32_t)BODY(assay_exit, ReaderFind(&r, ASSAY_PROCESS_EXITED, 0))->status, 0xC0000005);
    EQUAL(BODY(assay_exit, ReaderFind(&r, ASSAY_PROCESS_EXITED, 0))->created, 132000000000000000ull);
    ReaderEnd(&r);
}

/* A storm from four threads at once arrives whole: every process once. */
void Storm(void) {
    struct double_command *c = Many(4000, 500);
    struct reader r;
    static uint8_t seen[2000];

    ReaderStart(&r, true, false);
    memset(seen, 0, sizeof seen);
    c->flags = COMMAND_THREADS;
    c->a[7] = 4;
    c->text[1][0] = 0;
    CHECK(Play(c));
    EQUAL(ReaderRead(&r, 2001), 2001);
    WaitIdle();
    for (unsigned i = 0; i < 2000; i++) {
        const struct assay_process *p = BODY(assay_process, ReaderFind(&r, ASSAY_PROCESS_CREATED, i));

        if (p->pid >= 4000 && p->pid < 12000)
            seen[(p->pid - 4000) / 4]++;
    }
    for (unsigned i = 0; i < 2000; i++)
        if (!EQUAL(seen[i], 1))
            break;
    ReaderEnd(&r);
}

/* A full ring is a gap with the right count, in its own class alone. */
void Overflow(void) {
    struct assay_description before, after;
    unsigned more;
    const struct assay_gap *gap;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    CHECK(Play(Many(4000, 6000)));
    c = Command(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\A", L"v");
    CHECK(Play(c));
    CHECK(Describe(&before));
    EQUAL(before.ring[ASSAY_PROCESS].posted, 6000);
    CHECK(before.ring[ASSAY_PROCESS].lost > 0);
    EQUAL(before.ring[ASSAY_PROCESS].queued + before.ring[ASSAY_PROCESS].lost, 6000);
    EQUAL(before.ring[ASSAY_REGISTRY].lost, 0);
    ReaderRead(&r, 1000000);
    EQUAL(ReaderCount(&r, ASSAY_GAP), 1);
    gap = BODY(assay_gap, ReaderFind(&r, ASSAY_GAP, 0));
    EQUAL(gap->lost_class, ASSAY_PROCESS);
    EQUAL(gap->count, before.ring[ASSAY_PROCESS].lost);
    EQUAL(ReaderCount(&r, ASSAY_PROCESS_CREATED) + gap->count, 6000);
    EQUAL(ReaderCount(&r, ASSAY_KEY_SET), 1);
    CHECK(Play(Many(60000, 1)));
    more = r.count + 1;
    EQUAL(ReaderRead(&r, more), more);
    EQUAL(ReaderFind(&r, ASSAY_PROCESS_CREATED, ReaderCount(&r, ASSAY_PROCESS_CREATED) - 1)->lost_before, gap->count);
    CHECK(Describe(&after));
    EQUAL(after.ring[ASSAY_PROCESS].posted, 6001);
    ReaderEnd(&r);
}

/* A reader that dies loses nothing that it did not acknowledge, and gets nothing that it did. */
void Restart(void) {
    struct reader first, second;

    ReaderStart(&first, true, false);
    CHECK(Play(Many(2000, 50)));
    EQUAL(ReaderRead(&first, 51), 51);
    CHECK(Play(Many(3000, 50)));
    EQUAL(ReaderRead(&first, 101), 101); /* the read that gave these acknowledged the first */
    AssayClose();
    CHECK(AssayOpen());
    ReaderStart(&second, false, true);
    second.last[ASSAY_PROCESS] = 50; /* what the spool holds */
    second.last[ASSAY_CONTROL] = 1;
    EQUAL(ReaderRead(&second, 50), 50);
    for (unsigned i = 0; i < 50; i++)
        EQUAL(BODY(assay_process, ReaderFind(&second, ASSAY_PROCESS_CREATED, i))->pid, 3000 + 4 * i);
    ReaderEnd(&first);
    ReaderEnd(&second);
}

/* As another program: one read that acknowledges all. The exit status is its error. */
int ReadOnce(void) {
    struct assay_description d;
    struct assay_read read = {ASSAY_ABI_VERSION, 0, 0, {0}};
    static uint8_t out[ASSAY_READ_MOST];

    if (!AssayOpen() || !Describe(&d))
        return -1;
    read.load = d.load;
    for (unsigned i = 0; i < ASSAY_CLASSES; i++)
        read.ack_through[i] = d.ring[i].delivered;
    return (int)Ioctl(ASSAY_IOCTL_READ, &read, sizeof read, out, sizeof out, NULL);
}

static DWORD AnotherReads(void) {
    wchar_t line[] = L"\"C:\\scenario.exe\" --read", path[MAX_PATH];
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD status = STILL_ACTIVE;

    GetModuleFileNameW(NULL, path, MAX_PATH);
    if (!CHECK(CreateProcessW(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process)))
        return status;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &status);
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return status;
}

/* While the agent has the device open, who else reads is refused and told, and takes nothing; once it is closed another may be the agent. */
void Readers(void) {
    const struct assay_header *h;
    struct reader r;

    ReaderStart(&r, true, false);
    CHECK(Play(Many(2000, 1)));
    EQUAL(ReaderRead(&r, 2), 2);
    CHECK(Play(Many(3000, 1)));
    EQUAL(AnotherReads(), ERROR_SHARING_VIOLATION);
    EQUAL(ReaderRead(&r, 4), 4);
    EQUAL(BODY(assay_process, ReaderFind(&r, ASSAY_PROCESS_CREATED, 1))->pid, 3000);
    h = ReaderFind(&r, ASSAY_TAMPER, 0);
    EQUAL(BODY(assay_tamper, h)->what, ASSAY_TAMPER_DEVICE);
    EQUAL((uint32_t)BODY(assay_tamper, h)->status, 0xC0000043);
    CHECK(h->pid != 0 && h->pid != GetCurrentProcessId());
    AssayClose();
    CHECK(Play(Many(4000, 1)));
    EQUAL(AnotherReads(), 0);
    CHECK(AssayOpen());
    r.resume = true;
    CHECK(Play(Many(5000, 1)));
    EQUAL(ReaderRead(&r, 6), 6); /* and the agent again */
    ReaderEnd(&r);
}

void Objects(void) {
    const struct assay_header *h;
    struct double_command *c;
    struct reader r;

    ReaderStart(&r, true, false);
    c = Command(OP_PROCESS_START, LSASS, L"");
    c->a[0] = 600;
    CHECK(Play(c));
    CHECK(Play(Many(2000, 1)));
    c = Command(OP_THREAD, NULL, NULL); /* its first thread, by its creator: no remote one */
    c->a[0] = 2000;
    c->a[1] = 2004;
    CHECK(Play(c));
    c = Command(OP_THREAD, NULL, NULL);
    c->a[0] = 2000;
    c->a[1] = 2008;
    CHECK(Play(c));
    c = Command(OP_OPEN_PROCESS, NULL, NULL); /* of lsass, to read its memory */
    c->a[0] = 600;
    c->a[1] = 0x1010;
    CHECK(Play(c));
    EQUAL(c->out[0], 0x1010); /* and left as it was asked for */
    c = Command(OP_OPEN_PROCESS, NULL, NULL); /* of another process: nobody's concern */
    c->a[0] = 2000;
    c->a[1] = 0x1FFFFF;
    CHECK(Play(c));
    c = Command(OP_IMAGE, L"\\SystemRoot\\System32\\drivers\\x.sys", NULL); /* a driver */
    c->a[1] = 0xFFFFF80000000000ull;
    c->a[2] = 4096;
    c->a[3] = 1u << 8;
    CHECK(Play(c));
    c = Command(OP_IMAGE, L"\\Device\\HarddiskVolume1\\Windows\\System32\\ntdll.dll", NULL); /* the system's own */
    c->a[0] = 2000;
    CHECK(Play(c));
    c = Command(OP_IMAGE, L"\\Device\\HarddiskVolume1\\Users\\a\\evil.dll", NULL);
    c->a[0] = 2000;
    CHECK(Play(c));
    ReaderRead(&r, 7);
    EQUAL(ReaderCount(&r, ASSAY_THREAD_REMOTE), 1);
    EQUAL(BODY(assay_thread, ReaderFind(&r, ASSAY_THREAD_REMOTE, 0))->target_tid, 2008);
    EQUAL(ReaderCount(&r, ASSAY_PROCESS_OPENED), 1);
    EQUAL(BODY(assay_open, ReaderFind(&r, ASSAY_PROCESS_OPENED, 0))->target_pid, 600);
    EQUAL(ReaderCount(&r, ASSAY_IMAGE_LOADED), 2);
    h = ReaderFind(&r, ASSAY_IMAGE_LOADED, 0);
    EQUAL(BODY(assay_image, h)->driver, 1);
    h = ReaderFind(&r, ASSAY_IMAGE_LOADED, 1);
    CHECK(TextIs(h, BODY(assay_image, h)->path, L"\\Device\\HarddiskVolume1\\Users\\a\\evil.dll"));
    ReaderEnd(&r);
}
