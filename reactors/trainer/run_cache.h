/*
 * The cache of virtual environments: who uses one, and which are not used any more.
 *
 *      CACHE/KEY            an environment; complete whenever it is there. Its modification time is that of its last use
 *      CACHE/KEY.building   one that is being made, or what a builder left that died
 *      CACHE/KEY.lock       flock(2): builders hold it alone, users together
 *      CACHE/KEY.unused     on its way out
 *
 * Design: a run notes its use and holds the lock until it ends. At its end each run retires what nobody has used for
 * RUN_CACHE_UNUSED_MS: under the lock, held alone, it is renamed, and can then be deleted at leisure, by anybody. Lock files stay:
 * they are empty, and deleting one that somebody waits for would make two of it.
 *
 * Invariant: what somebody uses or builds is never renamed.
 */
#ifndef NODAG_TRAINER_RUN_CACHE_H
#define NODAG_TRAINER_RUN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* How long an environment stays after its last use: thirty days. */
#define RUN_CACHE_UNUSED_MS ((int64_t)30 * 24 * 3600 * 1000)

/* Most environments that one run deletes; the next run goes on. */
#define RUN_CACHE_RETIRED_MAX 8

/* Opens the lock of an environment (CACHE/KEY); `ret_fd` is owned, and not locked yet. ERR_IO with the path. Any thread. */
int run_cache_open_lock(const char *environment, int *ret_fd, struct error *error) MUST_CHECK;

/* Takes an open lock, `alone` or together with others, or changes how it is held; false: others are in the way. Any thread. */
bool run_cache_lock(int fd, bool alone);

/* Gives an open lock up. Any thread. */
void run_cache_unlock(int fd);

/* Notes that an environment is used now. Any thread. */
void run_cache_note_use(const char *environment);

/*
 * Retires what was last used RUN_CACHE_UNUSED_MS before `now_ms` (wall clock), and finds what was retired before. Returns how many
 * paths to delete are in `ret_paths` (owned texts, at most RUN_CACHE_RETIRED_MAX). Blocks for a folder of a few dozen entries. Any thread.
 */
size_t run_cache_retire(const char *cache, int64_t now_ms, char *ret_paths[RUN_CACHE_RETIRED_MAX]);

#endif
