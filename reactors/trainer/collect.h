/*
 * What history limits say is to be removed: the decision, and the hashes that still count. Pure.
 *
 *      successful runs   the newest `keep_successful` stay, and what is named (deployed, served, pinned) and the newest version
 *      the others        the newest `keep_failed` stay with all that they left; the record, without what
 *                        it left, stays for the newest COLLECT_FLOOR, because backoff counts them
 *
 * Design: one run at a time, in steps that may each be repeated; the record of the run is the ledger:
 *
 *      version: collected ─▶ run: collected ─▶ artefacts, directory removed ─▶ run: tombstone, or without artefacts
 *
 * Invariant: a hash is never removed that any record names which is not collected, or that a run under way has
 * stored.
 */
#ifndef NODAG_TRAINER_COLLECT_H
#define NODAG_TRAINER_COLLECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "topics/model_record.h"
#include "topics/run_record.h"

/* Records of runs without success that stay whatever the limit says: more than the backoff needs to reach its longest. */
#define COLLECT_FLOOR 8

/* What is known of one model, for the decision; everything borrowed. */
struct collect_facts {
    const struct run_record *const *runs; /* of the model, oldest first */
    size_t run_count;                     /* of them */
    const char *newest;                   /* newest version that is not collected; NULL: none */
    size_t keep_successful;               /* … */
    size_t keep_failed;                   /* … */
    /* Returns true if a version is in use. */
    bool (*is_named)(void *argument, const char *version);
    void *argument; /* of it */
};

/* What to do with one run. */
struct collect_choice {
    const struct run_record *run; /* NULL: nothing is to be removed */
    bool keeps_record;            /* the record stays, without artefacts */
};

/* Chooses the next run whose collection is not finished. Any thread. */
struct collect_choice collect_choose(const struct collect_facts *facts);

/* Who may name an artefact; everything borrowed. */
struct collect_known {
    const struct run_record *const *runs;       /* all that are recorded */
    size_t run_count;                           /* of them */
    const struct model_record *const *versions; /* all that are recorded */
    size_t version_count;                       /* of them */
    const json_t
        *uploads; /* list of objects as run_record.artefacts: of runs under way; NULL: none */
};

/*
 * Lists the hashes of a run's artefacts that no other run's record and no version names that is not
 * collected, and no run under way has stored; owned array of owned texts. Any thread.
 */
char **collect_unreferenced(const struct run_record *run, const struct collect_known *known,
                            size_t *ret_count);

#endif
