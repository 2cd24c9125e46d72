/*
 * What moved in code repositories: a fold of the topic `git.pushes`.
 *
 *      head ◀── move (paths) ── state ◀── move (paths) ── state …      newest first, bounded
 *
 * Design: which paths differ between a commit and the head is the union over the moves since that commit
 * was the head. It may name a path that was changed and changed back: then the model is trained once
 * too often. Where the way back is not known (a move is too old, was cut, or a record was compacted away)
 * everything counts as different.
 *
 * Invariants: at most PUSHES_HEADS_MAX heads, PUSHES_MOVES_MAX moves of each, PUSHES_PATHS_MAX paths of all moves of one;
 * beyond them moves are forgotten, oldest first.
 */
#ifndef NODAG_TRAINER_PUSHES_H
#define NODAG_TRAINER_PUSHES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "topics/bus.h"

/* Most heads. */
#define PUSHES_HEADS_MAX 20000

/* Most moves of one head: a busy branch moves some hundred times between two trainings. */
#define PUSHES_MOVES_MAX 256

/* Most paths of all moves of one head. */
#define PUSHES_PATHS_MAX 12000

/* A fold of `git.pushes`. */
struct pushes;

/* Makes an empty one; owned. */
struct pushes *pushes_new(void);

/* Frees it; NULL allowed. */
void pushes_free(struct pushes *pushes);
DEFINE_CLEANUP(struct pushes *, pushes_free)

/* Folds one record. Returns true if a head moved. Owner's thread. */
bool pushes_apply(struct pushes *pushes, const struct bus_record *record);

/* Returns the head of a branch, or NULL where it is not known; borrowed until the next record. */
const char *pushes_head(const struct pushes *pushes, const char *repository, const char *branch);

/*
 * Returns true if a path that any of the globs matches differs between a commit and the branch's head,
 * as far as is known; also where it is not known. Owner's thread.
 */
bool pushes_differ(const struct pushes *pushes, const char *repository, const char *branch,
                   const char *commit, const json_t *globs);

#endif
