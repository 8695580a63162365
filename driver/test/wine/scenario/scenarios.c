/* Which scenarios there are. */
#include "scenario.h"

void Order(void);
void Exits(void);
void Storm(void);
void Overflow(void);
void Restart(void);
void Objects(void);
void Keys(void);
void Filters(void);
void Tampering(void);

const struct scenario scenarios[] = {
    {"order", Order, {0}, false},
    {"exits", Exits, {0}, false},
    {"storm", Storm, {0}, false},
    {"overflow", Overflow, {0}, false},
    {"restart", Restart, {0}, false},
    {"objects", Objects, {0}, false},
    {"keys", Keys, {0}, false},
    {"filters", Filters, {0}, false},
    {"tampering", Tampering, {0}, false},
    {NULL, NULL, {0}, false},
};
