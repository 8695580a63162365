/*
 * Plays for another reader of the driver: a conductor says on standard input what
 * is to happen, one request a line, and gets "ok" with what was asked for, or
 * "error" with why not, after the checks that failed on lines of their own.
 *
 *   start [NAME NTH]    installs and starts the driver; the NTH call of NAME fails
 *   play ACT [NUMBER TEXT]
 *   idle                waits until the storms in the background are over
 *   rings               load, then of each class: posted delivered queued lost filtered held size
 *   stop                stops the driver, once it allowed that, and looks at what it left behind
 *   forget              stops and deletes it as far as it is there
 */
#include "scenario.h"

#define MOST_WORDS 4
#define STORM_THREADS 2u

static char answer[2048]; /* what follows "ok" */

/* What a driver that is not there, or does not answer, is to a request. */
static bool WithDriver(bool (*request)(char **), char **words) {
    bool ok = CHECK(AssayOpen()) && request(words);

    AssayClose();
    return ok;
}

static void ActProcesses(unsigned count, const char *from) { CHECK(Play(Many((unsigned)atoi(from), count))); }

/* From several threads at once, in the background. */
static void ActStorm(unsigned count, const char *from) {
    struct double_command *c = Many((unsigned)atoi(from), count);

    c->flags = COMMAND_THREADS;
    c->a[7] = STORM_THREADS;
    CHECK(Play(c));
}

static void ActExited(unsigned pid, const char *unused) {
    (void)unused;
    ActExit(pid);
}

/* Values 0, 1, ... of one key. */
static void ActKeys(unsigned count, const char *path) {
    struct double_command *c;
    wchar_t wide[200];

    swprintf(wide, 200, L"%hs", path);
    c = Command(OP_KEY_SET, wide, L"#");
    c->a[0] = 4; /* REG_DWORD */
    c->bytes = 4;
    c->data[0] = 7;
    c->repeat = count;
    CHECK(Play(c));
}

static const struct act {
    const char *name;
    void (*play)(void);
    void (*count)(unsigned number, const char *text);
} acts[] = {
    {"each", ActEach, NULL},   {"files", ActFiles, NULL},          {"flows", ActFlows, NULL},   {"names", ActNames, NULL},
    {"plug", ActPlug, NULL},   {"unplug", ActUnplug, NULL},        {"storm", NULL, ActStorm},   {"processes", NULL, ActProcesses},
    {"exit", NULL, ActExited}, {"keys", NULL, ActKeys},            {"routes", ActRoutes, NULL}, {"refusals", ActRefusals, NULL},
};

static bool PlayAct(char **words) {
    for (unsigned i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(words[1], acts[i].name) == 0) {
            if (acts[i].play != NULL)
                acts[i].play();
            else
                acts[i].count((unsigned)atoi(words[2]), words[3]);
            return true;
        }
    printf("    no such act: %s\n", words[1]);
    return false;
}

static bool Rings(char **words) {
    struct assay_description d;
    int n;

    (void)words;
    if (!CHECK(Describe(&d)))
        return false;
    n = sprintf(answer, " %llu", (unsigned long long)d.load);
    for (unsigned i = 0; i < ASSAY_CLASSES; i++)
        n += sprintf(answer + n, " %llu %llu %llu %llu %llu %llu %llu", (unsigned long long)d.ring[i].posted,
                     (unsigned long long)d.ring[i].delivered, (unsigned long long)d.ring[i].queued, (unsigned long long)d.ring[i].lost,
                     (unsigned long long)d.ring[i].filtered, (unsigned long long)d.ring[i].held, (unsigned long long)d.ring[i].size);
    return true;
}

static bool Wait(char **words) {
    (void)words;
    return CHECK(Settled());
}

static bool Start(char **words) {
    struct setting setting = {words[1], (DWORD)atoi(words[2]), 0xC000009A, 0, 0};

    if (words[1][0] == 0)
        setting.fail_name = NULL;
    if (!EQUAL(ServiceStart(&setting), 0) || !CHECK(DoubleOpen()) || !WithDriver(Wait, words))
        return false;
    ServiceHolder();
    return true;
}

/* A driver that refuses goes on, and the double with it. */
static bool Stop(void) {
    DWORD error;

    DoubleClose();
    error = ServiceStop();
    if (error != 0) {
        CHECK(DoubleOpen());
        printf("    stopping: error %lu\n", error);
        return false;
    }
    ServiceEnded();
    Clean();
    return true;
}

static bool Do(char **words) {
    if (strcmp(words[0], "start") == 0)
        return Start(words);
    if (strcmp(words[0], "play") == 0)
        return PlayAct(words);
    if (strcmp(words[0], "rings") == 0)
        return WithDriver(Rings, words);
    if (strcmp(words[0], "stop") == 0)
        return Stop();
    if (strcmp(words[0], "idle") == 0)
        WaitIdle();
    else if (strcmp(words[0], "forget") == 0) {
        if (AssayOpen())
            Request(ASSAY_IOCTL_UNLOAD);
        AssayClose();
        DoubleClose();
        ServiceForget();
    } else {
        printf("    no such request: %s\n", words[0]);
        return false;
    }
    return true;
}

int Serve(void) {
    char line[400];

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *words[MOST_WORDS], *at = strtok(line, " \r\n");

        for (unsigned i = 0; i < MOST_WORDS; i++) {
            words[i] = at != NULL ? at : "";
            if (at != NULL)
                at = strtok(NULL, " \r\n");
        }
        failures = 0;
        answer[0] = 0;
        if (Do(words) && failures == 0)
            printf("ok%s\n", answer);
        else
            printf("error\n");
    }
    return 0;
}
