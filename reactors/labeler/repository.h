/*
 * What the labeler knows of a repository: its id, its labels, and its owners' configuration.
 * Cached, shared by all its issues.
 *
 * Design: one entry for each repository, filled by four reads (repository, labels, the
 * organisation's file, its own file), kept for REPOSITORY_FRESH_MS and then read again
 * conditionally (the forge client sends ETags, so an unchanged answer costs no rate limit). Whoever
 * needs an entry that is not fresh waits for the one look under way.
 *
 * Absent, invalid and unreachable are three different things:
 *   absent       proved by the forge client: counts as empty; for the organisation's `.github` also
 * "hidden", with one warning invalid      the file is there and wrong: ERR_INPUT with file, line
 * and column, until it changes; the issues wait as STALLED unreachable  ERR_UNAVAILABLE,
 * ERR_TIMEOUT, ERR_RATE_LIMITED …: try again later; never "no configuration"
 *
 * Invariant: a waiter's callback runs exactly once, later, unless it was cancelled.
 */
#ifndef NODAG_LABELER_REPOSITORY_H
#define NODAG_LABELER_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "reactors/clients/forge.h"
#include "reactors/labeler/bot_config.h"

/* How long what was read is used without asking again. */
#define REPOSITORY_FRESH_MS (10LL * 60 * 1000)

/* How old the list of labels may be when labels are added. */
#define REPOSITORY_LABELS_FRESH_MS (60LL * 1000)

/* Most repositories in memory; beyond it the one that was used longest ago goes. */
#define REPOSITORY_COUNT_MAX 5000

/* A repository as it was read; borrowed until the next turn of the loop. */
struct repository {
    const char *full_name;           /* owner/name now, after renames */
    int64_t id;                      /* survives renames */
    bool is_archived;                /* nothing can be written */
    const char *const *labels;       /* names as the repository spells them */
    size_t label_count;              /* of them */
    const struct bot_config *config; /* merged */
};

/* All repositories. */
struct repositories;

/* Somebody who waits; borrowed until its callback ran. */
struct repository_waiter;

/*
 * Tells a waiter. code 0: `repository` is there. Else it is NULL and code is ERR_NOT_FOUND (not
 * visible), ERR_INPUT (configuration invalid), ERR_RATE_LIMITED with `retry_after_ms`, or another
 * of the forge's, with a text. Loop thread.
 */
typedef void (*repository_fn)(void *argument, int code, int64_t retry_after_ms,
                              const struct repository *repository, const char *text);

/* Makes an empty cache; `loop`, `forge` and `metrics` (NULL allowed) are borrowed. Owned. Loop
 * thread. */
struct repositories *repositories_new(struct loop *loop, struct forge *forge,
                                      struct metrics *metrics);

/* Cancels what is under way (waiters are not told) and frees; NULL allowed. Loop thread. */
void repositories_free(struct repositories *repositories);
DEFINE_CLEANUP(struct repositories *, repositories_free)

/* Asks for a repository by its name at some time. Loop thread. */
struct repository_waiter *repositories_get(struct repositories *repositories, const char *name,
                                           repository_fn done, void *argument);

/*
 * As repositories_get, with labels that were read within REPOSITORY_LABELS_FRESH_MS: before labels are added, because GitHub creates a label
 * that the repository does not have (any more). Costs one conditional read where they are older. Loop thread.
 */
struct repository_waiter *repositories_get_for_adding(struct repositories *repositories,
                                                      const char *name, repository_fn done,
                                                      void *argument);

/* Withdraws a waiter: its callback will not run. Loop thread. */
void repositories_cancel(struct repositories *repositories, struct repository_waiter *waiter);

/*
 * Something happened to a repository: its labels changed (`ref` NULL), or a push moved `ref` ("refs/heads/main"); the next user reads again.
 * A push to another branch than the default one changes nothing. OWNER/.github stands for all repositories of OWNER. Where a person had to
 * act it is read again at once. Loop thread.
 */
void repositories_touch(struct repositories *repositories, const char *name, const char *ref);

/* Calls `changed(argument, name)` whenever a repository whose configuration was invalid became
 * usable. Loop thread. */
void repositories_on_mended(struct repositories *repositories,
                            void (*changed)(void *argument, const char *name), void *argument);

#endif
