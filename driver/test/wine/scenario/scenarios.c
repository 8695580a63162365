/* Which scenarios there are. */
#include "scenario.h"

void Order(void);
void Exits(void);
void Storm(void);
void Overflow(void);
void Restart(void);
void Readers(void);
void Objects(void);
void Keys(void);
void Filters(void);
void Tampering(void);
void Unloading(void);
void Files(void);
void Routes(void);
void Volumes(void);
void SickDisk(void);
void DeafDisk(void);
void Blind(void);
void Flows(void);
void FlowsLeaving(void);
void Refusals(void);
void Names(void);
void Security(void);
void Hostile(void);
void FailProcess(void);
void FailOpen(void);
void FailKey(void);
void FailFilter(void);
void FailCallout(void);
void FailCommit(void);
void NoSecurity(void);
void NoThread(void);
void Guard(void);
void Boots(void);
void FailEach(void);

/* verify-*: the same, one thread at a time in the driver, with the rules of IRQL, paging and pool enforced. */
const struct scenario scenarios[] = {
    {"order", Order, {0}, false},
    {"exits", Exits, {0}, false},
    {"storm", Storm, {0}, false},
    {"overflow", Overflow, {0}, false},
    {"restart", Restart, {0}, false},
    {"readers", Readers, {0}, false},
    {"objects", Objects, {0}, false},
    {"keys", Keys, {0}, false},
    {"filters", Filters, {0}, false},
    {"tampering", Tampering, {0}, false},
    {"unloading", Unloading, {0}, false},
    {"files", Files, {0}, false},
    {"volumes", Volumes, {0}, false},
    {"sick-disk", SickDisk, {0}, false},
    {"deaf-disk", DeafDisk, {0}, true},
    {"blind", Blind, {0}, false},
    {"flows", Flows, {0}, false},
    {"flows-leaving", FlowsLeaving, {0}, false},
    {"routes", Routes, {0}, false},
    {"refusals", Refusals, {0}, false},
    {"names", Names, {0}, false},
    {"security", Security, {0}, false},
    {"hostile", Hostile, {0}, false},
    {"old", Order, {.old = 1}, false}, /* a Windows that lacks what is resolved at run time */
    {"fail-process", FailProcess, {0}, true},
    {"fail-open", FailOpen, {0}, true},
    {"fail-key", FailKey, {0}, true},
    {"fail-filter", FailFilter, {0}, true},
    {"fail-callout", FailCallout, {0}, true},
    {"fail-commit", FailCommit, {0}, true},
    {"no-security", NoSecurity, {0}, true},
    {"no-thread", NoThread, {0}, true},
    {"guard", Guard, {0}, true},
    {"boots", Boots, {0}, true},
    {"fail-each", FailEach, {0}, true},
    {"verify-exits", Exits, {.verify = 1}, false},
    {"verify-objects", Objects, {.verify = 1}, false},
    {"verify-keys", Keys, {.verify = 1}, false},
    {"verify-files", Files, {.verify = 1}, false},
    {"verify-volumes", Volumes, {.verify = 1}, false},
    {"verify-routes", Routes, {.verify = 1}, false},
    {"verify-flows", Flows, {.verify = 1}, false},
    {"verify-refusals", Refusals, {.verify = 1}, false},
    {"verify-names", Names, {.verify = 1}, false},
    {"verify-readers", Readers, {.verify = 1}, false},
    {"verify-unloading", Unloading, {.verify = 1}, false},
    {"verify-sick-disk", SickDisk, {.verify = 1}, false},
    {"verify-blind", Blind, {.verify = 1}, false},
    {"verify-order", Order, {.verify = 1}, false},
    {"verify-overflow", Overflow, {.verify = 1}, false},
    {"verify-restart", Restart, {.verify = 1}, false},
    {"verify-filters", Filters, {.verify = 1}, false},
    {"verify-tampering", Tampering, {.verify = 1}, false},
    {"verify-security", Security, {.verify = 1}, false},
    {"verify-hostile", Hostile, {.verify = 1}, false},
    {"verify-old", Order, {.verify = 1, .old = 1}, false},
    {"verify-guard", Guard, {.verify = 1}, true},
    {"verify-boots", Boots, {.verify = 1}, true},
    {"verify-storm", Storm, {.verify = 1}, false},
    {NULL, NULL, {0}, false},
};
