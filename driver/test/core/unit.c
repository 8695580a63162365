#include "unit.h"

int main(void) {
    RecordTests();
    RingTests();
    FilterTests();
    SmallTests();
    puts("unit: all hold");
    return 0;
}
