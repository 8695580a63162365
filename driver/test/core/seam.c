/* The seam on Linux: a lock that spins, as the kernel's does, and that the sanitizers understand. */
#include <pthread.h>
#include <stdlib.h>

#include "../../core/core.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct core_lock), "a lock fits its place");

void core_lock_start(struct core_lock *lock) {
    if (pthread_mutex_init((pthread_mutex_t *)(void *)lock, NULL) != 0)
        abort();
}

uint64_t core_lock_take(struct core_lock *lock) {
    if (pthread_mutex_lock((pthread_mutex_t *)(void *)lock) != 0)
        abort();
    return 7;
}

void core_lock_give(struct core_lock *lock, uint64_t level) {
    if (level != 7 || pthread_mutex_unlock((pthread_mutex_t *)(void *)lock) != 0)
        abort();
}
