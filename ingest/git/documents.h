/*
 * The documents of all sources, as git has them now, become records of `specs`.
 *
 *      looks (repository.h) ─▶ files of each source's branch ─┐
 *                                                             ├─▶ plan (topics/spec_set.h) ─▶ bus ─▶ `specs`
 *      `specs`, folded (specs.h) ─────────────────────────────┘                                       │
 *           ▲─────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Design: level-triggered. Whatever happens (a branch moved, the configuration changed, a start) ends in the
 * same step: compare everything that is known with everything that was published, and publish what differs.
 * So a crash at any point is mended by the next start, where each source is read once, and a start where
 * nothing differs publishes nothing.
 *
 *      not read yet, or unreachable    its documents stay as they are (is_known of topics/spec_set.h)
 *      the branch is gone              likewise: a renamed branch must not withdraw what people want
 *      no longer configured            its documents are withdrawn
 *      a record of somebody else       is corrected, but only after DOCUMENTS_CORRECT_MS: two daemons with
 *                                      different sources are a fault of who runs them, and must not race
 *
 * Invariants: nothing is published before all of `specs` was read; a second plan is not made before all that
 * the first one published is acknowledged and read back; without `sources` in the configuration nothing is
 * read or published at all.
 */
#ifndef NODAG_INGEST_GIT_DOCUMENTS_H
#define NODAG_INGEST_GIT_DOCUMENTS_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "ingest/git/config.h"
#include "ingest/git/git_metrics.h"
#include "ingest/git/repository.h"
#include "ingest/git/specs.h"
#include "topics/bus.h"

/* Pause after records were not taken by the broker: at first, and at most. */
#define DOCUMENTS_AGAIN_MS 1000
/* See above. */
#define DOCUMENTS_AGAIN_MOST_MS 60000

/* How soon after a record that this daemon did not expect everything is compared again. */
#define DOCUMENTS_CORRECT_MS 10000

/*
 * How long sources that were not looked at since they were configured are waited for: what is said of two
 * documents with one name needs both, and would change to and fro at a start. Then it goes on without them.
 */
#define DOCUMENTS_WAIT_MS 30000

/* The documents. */
struct documents;

/* What the owner is told; loop thread, never from within a call of it but documents_apply. */
struct documents_handler {
    /* Whether what was published is known, and if not, why. Only where there are sources. */
    void (*known)(void *argument, bool is_known, const char *reason);
    /* What documents name has changed: see documents_visit_named. */
    void (*named)(void *argument);
    /* This repository should be looked at. */
    void (*unread)(void *argument, const char *repository);
};

/* What a repository's looks ask and tell; the argument is the struct documents. */
extern const struct repository_reader documents_reader;

/* Makes one without sources; everything is borrowed. Owned. Loop thread. */
struct documents *documents_new(struct loop *loop, struct bus *bus, struct git_metrics *metrics,
                                const struct documents_handler *handler, void *argument);

/* Frees it after its bus, which tells of records on their way; NULL allowed. Loop thread. */
void documents_free(struct documents *documents);
DEFINE_CLEANUP(struct documents *, documents_free)

/* Stops everything that uses the bus, which may be freed then. Loop thread. */
void documents_leave_bus(struct documents *documents);

/* Puts the sources of a configuration into force; asks by `unread` for those that are to be read. Loop thread. */
void documents_apply(struct documents *documents, const struct config *config);

/* Returns true if there are no sources, or if all that was published is known. Loop thread. */
bool documents_known(const struct documents *documents);

/* Calls `visit` for each repository that a document in force names; nothing where there are no sources. Loop thread. */
void documents_visit_named(const struct documents *documents, spec_named_fn visit, void *argument);

/*
 * Publishes nothing more; calls `drained(argument)` once no record is on its way to the broker, maybe from
 * within this call. Loop thread.
 */
void documents_drain(struct documents *documents, void (*drained)(void *argument), void *argument);

#endif
