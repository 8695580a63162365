/* Processes: storms, order, acknowledgement, overflow. */
#include "scenario.h"

#define CMD L"C:\\Windows\\System32\\cmd.exe"

static void StartMany(unsigned first, unsigned count) {
    struct double_command *c = Command(OP_PROCESS_START, L"\\Device\\HarddiskVolume1\\Windows\\System32\\cmd.exe", L"cmd /c echo #");

    c->a[0] = first;
    c->step = 4;
    c->repeat = count;
    c->a[1] = 1000;
    c->a[2] = 132000000000000000ull;
    CHECK(Play(c));
}

void Order(void) {
    struct reader r;

    ReaderStart(&r, true, false);
    StartMany(2000, 100);
    EQUAL(ReaderRead(&r, 100), 100);
    EQUAL(ReaderCount(&r, PROCESS_STARTED), 100);
    for (unsigned i = 0; i < 100; i++) {
        const struct wire_record *w = ReaderFind(&r, PROCESS_STARTED, i);
        wchar_t command[32];

        swprintf(command, 32, L"cmd /c echo %u", i);
        EQUAL(w->number[0], 2000 + 4 * i);
        EQUAL(w->sequence, i + 1);
        EQUAL(w->number[1], 132000000000000000ull + i);
        EQUAL(w->pid, 1000);
        CHECK(TextIs(w, 0, L"\\Device\\HarddiskVolume1\\Windows\\System32\\cmd.exe"));
        CHECK(TextIs(w, 1, command));
    }
    ReaderEnd(&r);
}
