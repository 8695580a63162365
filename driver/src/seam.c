/*
 * The seam: what the portable core asks of a kernel. A lock is a spin lock in the
 * place that the core keeps for it, and its level the IRQL before; memcpy and memset
 * are the kernel's own exports.
 */
#include "driver.h"

_Static_assert(sizeof(KSPIN_LOCK) <= sizeof(struct core_lock), "a lock fits its place");

static PKSPIN_LOCK SpinOf(struct core_lock *lock) { return (PKSPIN_LOCK)(PVOID)lock->opaque; }

void core_lock_start(struct core_lock *lock) { KeInitializeSpinLock(SpinOf(lock)); }

uint64_t core_lock_take(struct core_lock *lock) {
    KIRQL irql;

    KeAcquireSpinLock(SpinOf(lock), &irql);
    return irql;
}

void core_lock_give(struct core_lock *lock, uint64_t level) { KeReleaseSpinLock(SpinOf(lock), (KIRQL)level); }
