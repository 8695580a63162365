/*
 * scenario.exe [NAME...]: runs the scenarios of those names, or all; exit status 1 when one failed.
 * scenario.exe --read: one read of the driver, as another program; exit status: its error.
 * scenario.exe --serve: plays what it is told on standard input, for another reader of the driver.
 */
#include "scenario.h"

const struct setting *playing;

/* After a stop nothing of the driver is left: no memory, no registration, no reference. */
void Clean(void) {
    struct left left;

    if (!CHECK(Left(&left)))
        return;
    EQUAL(left.pool, 0);
    EQUAL(left.registered, 0);
    EQUAL(left.contexts, 0);
    if (!EQUAL(left.violations, 0))
        printf("    violation: %s\n", left.violation);
}

/* Lets the driver go as the agent does: allow, close, stop. */
void StopDriver(void) {
    EQUAL(Request(ASSAY_IOCTL_UNLOAD), 0);
    AssayClose();
    DoubleClose();
    EQUAL(ServiceStop(), 0);
    Clean();
}

/* The driver tells of the processes that it finds: what is played is not to be among them. */
bool Settled(void) {
    struct assay_description d;

    while (Describe(&d)) {
        if (d.passive || d.snapshot != 0x103)
            return true;
        SwitchToThread();
    }
    return false;
}

static void Around(const struct scenario *s) {
    playing = &s->setting;
    ServiceForget();
    if (s->by_itself) {
        s->run();
    } else {
        if (!EQUAL(ServiceStart(&s->setting), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()) || !CHECK(Settled()))
            return;
        ServiceHolder();
        s->run();
        StopDriver();
        EQUAL(ServiceStarts(), 0);
    }
    AssayClose();
    DoubleClose();
    ServiceForget();
}

int wmain(int argc, wchar_t **argv) {
    int failed = 0, ran = 0;

    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 2 && wcscmp(argv[1], L"--serve") == 0)
        return Serve();
    if (argc == 2 && wcscmp(argv[1], L"--read") == 0)
        return ReadOnce();
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        wchar_t name[64];
        bool wanted = argc < 2;

        swprintf(name, 64, L"%hs", s->name);
        for (int i = 1; i < argc; i++)
            wanted |= wcscmp(argv[i], name) == 0;
        if (!wanted)
            continue;
        failures = 0;
        Around(s);
        ran++;
        failed += failures != 0;
        printf("%s %s\n", failures == 0 ? "ok  " : "FAIL", s->name);
    }
    printf("%d scenarios, %d failed\n", ran, failed);
    return failed != 0 || ran == 0 || (argc > 1 && ran != argc - 1); /* a name that is none's */
}
