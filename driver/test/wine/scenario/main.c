/* scenario.exe [NAME...]: runs the scenarios of those names, or all; exit status 1 when one failed. */
#include "scenario.h"

static void Violations(void) {
    uint64_t n = Status(STATUS_VIOLATIONS);

    EQUAL(n, 0);
    for (uint64_t i = 0; i < n && i < 8 && n != UINT64_MAX; i++) {
        struct double_command *c = Command(OP_VIOLATION, NULL, NULL);

        c->a[0] = i;
        if (Play(c))
            printf("    violation: %ls\n", (wchar_t *)c->text[0]);
    }
}

/* After an orderly stop nothing of the driver is left: no memory, no registration, no reference. */
static void Clean(void) {
    EQUAL(Status(STATUS_POOL_LIVE), 0);
    EQUAL(Status(STATUS_REGISTERED), 0);
    EQUAL(Status(STATUS_CONTEXTS), 0);
    Violations();
}

static void Around(const struct scenario *s) {
    ServiceForget();
    ServiceStartsSet(0);
    if (s->by_itself) {
        s->run();
        ServiceForget();
        return;
    }
    if (!EQUAL(ServiceStart(&s->setting), 0) || !CHECK(DoubleOpen()) || !CHECK(AssayOpen()))
        return;
    s->run();
    EQUAL(Ioctl(WIRE_IOCTL_ALLOW_UNLOAD, NULL, 0, NULL, 0, NULL), 0);
    AssayClose();
    EQUAL(ServiceStop(), 0);
    Clean();
    EQUAL(ServiceStarts(), 0);
    DoubleClose();
    ServiceForget();
}

int wmain(int argc, wchar_t **argv) {
    int failed = 0, ran = 0;

    setvbuf(stdout, NULL, _IONBF, 0);
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
    return failed != 0 || ran == 0;
}
