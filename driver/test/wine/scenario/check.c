#include "scenario.h"

int failures;

bool Check(bool ok, const char *what, const char *file, int line) {
    if (!ok) {
        failures++;
        printf("    %s:%d: not so: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what);
    }
    return ok;
}

bool EqualTo(uint64_t have, uint64_t want, const char *what, const char *file, int line) {
    if (have != want) {
        failures++;
        printf("    %s:%d: %s is %llu (0x%llx), wanted %llu (0x%llx)\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what,
               (unsigned long long)have, (unsigned long long)have, (unsigned long long)want, (unsigned long long)want);
    }
    return have == want;
}
