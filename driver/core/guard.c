/*
 * The boot guard. Starts are counted before anything is hooked; five healthy minutes
 * clear the count; the third start in a row without them is passive, so that a fault
 * of ours cannot keep a machine from starting. A count that cannot be kept cannot guard.
 */
#include "core.h"

uint32_t core_guard_start(struct core_guard *guard, core_bool readable, uint32_t stored) {
    memset(guard, 0, sizeof *guard);
    guard->starts = stored < CORE_GUARD_STARTS ? stored + 1u : CORE_GUARD_STARTS;
    if (!readable)
        guard->why = ASSAY_WHY_GUARD_UNREADABLE;
#ifdef PLANT_10 /* one start too many */
    else if (stored >= CORE_GUARD_STARTS)
#else
    else if (guard->starts >= CORE_GUARD_STARTS)
#endif
        guard->why = ASSAY_WHY_STARTS;
    return guard->starts;
}

void core_guard_unwritten(struct core_guard *guard) { guard->why = ASSAY_WHY_GUARD_UNREADABLE; }

/* Healthy for five minutes, with a word at least every minute: a machine that slept, or hung, was not. */
core_bool core_guard_healthy(struct core_guard *guard, uint64_t interrupt_time) {
    if (guard->cleared != 0)
        return 0;
    if (guard->healthy_since == 0 || interrupt_time < guard->healthy_last ||
        interrupt_time - guard->healthy_last > CORE_GUARD_HEALTHY / 5u)
        guard->healthy_since = interrupt_time;
    guard->healthy_last = interrupt_time;
    guard->cleared = interrupt_time - guard->healthy_since >= CORE_GUARD_HEALTHY;
    return guard->cleared;
}
