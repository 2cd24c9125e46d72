/*
 * What the labeler's documents say now: the set that is in force, and when it changes.
 *
 *      topic `specs` or --specs DIR ─▶ spec_table ─▶ struct document_set ─▶ changed(before)
 *
 * Design: the set is made anew after any change, once for all changes of one turn of the loop. What
 * is not valid is said in the log and counted; so is each repository that two documents match, once
 * until the documents change.
 *
 * Invariants: a set is never changed in place, and the one before lives until `changed` returned;
 * `ready` comes once, and before any `changed`.
 */
#ifndef NODAG_LABELER_DESIRED_H
#define NODAG_LABELER_DESIRED_H

#include "base/metrics.h"
#include "reactors/labeler/document.h"
#include "topics/spec_table.h"

/* Most repositories in conflict that are remembered, so that each is said once. */
#define DESIRED_CONFLICTS_MAX 1000

/* What the owner is told. Loop thread. */
struct desired_handler {
    /* The documents have been read. */
    void (*ready)(void *argument);
    /* There is another set now; `before` is borrowed for the call. */
    void (*changed)(void *argument, const struct document_set *before);
};

/* The documents now. */
struct desired;

/*
 * Begins to read; `loop`, `bus`, `metrics` (NULL allowed), handler and argument are borrowed. Owned.
 * The codes of spec_table_new. Loop thread.
 */
int desired_new(struct loop *loop, struct bus *bus, struct metrics *metrics,
                const struct spec_table_settings *settings, const struct desired_handler *handler,
                void *argument, struct desired **ret_desired, struct error *error) MUST_CHECK;

/* Stops and frees; NULL allowed. Loop thread. */
void desired_free(struct desired *desired);
DEFINE_CLEANUP(struct desired *, desired_free)

/* Returns the set that is in force, empty until `ready`; borrowed until the next turn of the loop.
 * Loop thread. */
const struct document_set *desired_documents(const struct desired *desired);

/* Returns true once the documents have been read. Loop thread. */
bool desired_is_ready(const struct desired *desired);

/* A person asks to look again: reads a folder at once (what is wrong is logged), and calls `changed`
 * soon even if nothing is. Loop thread. */
void desired_reload(struct desired *desired);

/* Notes that two documents match a repository, with the text that names them. Loop thread. */
void desired_note_conflict(struct desired *desired, const char *repository, const char *text);

#endif
