/* Which scenarios there are. */
#include "scenario.h"

void Order(void);

const struct scenario scenarios[] = {
    {"order", Order, {0}, false},
    {NULL, NULL, {0}, false},
};
