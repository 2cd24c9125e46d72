/*
 * All watched repositories: made and freed as the configuration says, woken by name, drained.
 *
 *      configuration ─▶ watcher ─▶ repository, repository, …      trigger, webhooks ─▶ wake
 *                          └─▶ heads (what was published) ◀─ git.pushes
 *
 * Design: a repository that stays in the configuration goes on undisturbed when that is read again.
 * Children have two sets of places, handed in: one for repositories whose last look worked, and a smaller
 * one for the others, so that hosts that hang hold up nobody else. Mirrors of repositories that nobody
 * watches are deleted.
 *
 * Invariants: loop thread only; no repository is looked at before everything that was published is known.
 */
#ifndef NODAG_INGEST_GIT_WATCHER_H
#define NODAG_INGEST_GIT_WATCHER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "ingest/git/config.h"
#include "ingest/git/repository.h"
#include "topics/bus.h"

/* First looks after a start or a change are spread over this time. */
#define WATCHER_SPREAD_MS 5000

/* Settings of the watcher. */
struct watcher_settings {
    struct repository_settings repository;
    struct children *children; /* places of repositories that work; borrowed */
    struct children *suspects; /* places of repositories whose last look failed; borrowed */
};

/* What the owner is told; loop thread. */
struct watcher_handler {
    /* Whether what was published is known, and if not, why. */
    void (*known)(void *argument, bool is_known, const char *reason);
};

/* The watcher. */
struct watcher;

/* Makes a watcher of nothing; everything is borrowed. Owned. Loop thread. */
struct watcher *watcher_new(struct loop *loop, struct bus *bus, struct metrics *registry,
                            const struct watcher_settings *settings,
                            const struct watcher_handler *handler, void *argument);

/* Frees it after its bus, which tells of records on their way; NULL allowed. Loop thread. */
void watcher_free(struct watcher *watcher);
DEFINE_CLEANUP(struct watcher *, watcher_free)

/* Stops everything that uses the bus, which may be freed then. Loop thread. */
void watcher_leave_bus(struct watcher *watcher);

/* Has documents of some heads read; both are borrowed. Before the first watcher_apply. Loop thread. */
void watcher_set_reader(struct watcher *watcher, const struct repository_reader *reader,
                        void *argument);

/*
 * Watches what the configuration names, and nothing else. `is_whole`: nothing more is going to be named by
 * documents that are not read yet, so that mirrors of other repositories can be deleted. Loop thread.
 */
void watcher_apply(struct watcher *watcher, const struct config *config, bool is_whole);

/* Wakes the repository with this URL (in its one form). Returns false if it is not watched. Loop thread. */
bool watcher_wake_url(struct watcher *watcher, const char *url, const char *source);

/*
 * Wakes the repositories that are called "OWNER/NAME" (not NUL-terminated), on any host. Returns how many.
 * Loop thread.
 */
size_t watcher_wake_named(struct watcher *watcher, const char *name, size_t name_bytes,
                          const char *source);

/* Returns the metrics; borrowed. Loop thread. */
struct git_metrics *watcher_metrics(struct watcher *watcher);

/*
 * Stops looking; calls `drained(argument)` once no record is on its way to the broker, maybe from within
 * this call. Loop thread.
 */
void watcher_drain(struct watcher *watcher, void (*drained)(void *argument), void *argument);

#endif
