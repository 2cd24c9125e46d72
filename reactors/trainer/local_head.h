/*
 * The head of the git repository that a folder of documents lies in: what `--specs DIR` trains with.
 *
 * Design: git itself is asked, by children, every LOCAL_HEAD_LOOK_MS: the root and HEAD, and for each
 * commit that somebody asked about which paths differ. What is not committed is not trained with.
 *
 * Invariants: nothing blocks; what is not known yet is NULL, and `changed` is called when it becomes
 * known or moves.
 */
#ifndef NODAG_TRAINER_LOCAL_HEAD_H
#define NODAG_TRAINER_LOCAL_HEAD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/loop.h"

/* How often the head is looked at, in milliseconds. */
#define LOCAL_HEAD_LOOK_MS 5000

/* A watched folder. */
struct local_head;

/* Begins to look; everything is borrowed but `folder`. Owned. Loop thread. */
struct local_head *local_head_new(struct loop *loop, struct children *children, const char *folder,
                                  loop_fn changed, void *argument);

/* Stops; NULL allowed. Loop thread. */
void local_head_free(struct local_head *local);
DEFINE_CLEANUP(struct local_head *, local_head_free)

/* Returns the repository's root (absolute), or NULL; borrowed until the next turn of the loop. */
const char *local_head_root(const struct local_head *local);

/* Returns the commit of HEAD, or NULL; borrowed likewise. */
const char *local_head_commit(const struct local_head *local);

/* Returns why the head is not known, or NULL; borrowed likewise. */
const char *local_head_fault(const struct local_head *local);

/*
 * Writes whether a path that any of the globs matches differs between a commit and HEAD. False: not known
 * yet; git is being asked, and `changed` follows. Loop thread.
 */
bool local_head_differs(struct local_head *local, const char *commit, const json_t *globs,
                        bool *ret_differs);

#endif
