/*
 * What happened between two states of a head: forced or not, the commits that came, the paths that differ.
 *
 * Design: everything is read from a mirror that holds the head's whole history, so "old is not there" means
 * "old is no ancestor". Lists
 * are bounded, and say so. A head that was not known before has no past to compare: its tip is all that is
 * told. A forced move tells the commits that are reachable from the new state only, not the history that
 * both have.
 *
 * May take long in a large repository: for a child process.
 *
 * Invariants: texts in a move are valid UTF-8; commits newest first, none reachable from the old state; a
 * list that is cut, or could not be known, is marked.
 */
#ifndef NODAG_BASE_GIT_DESCRIBE_H
#define NODAG_BASE_GIT_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/git_answer.h"
#include "base/git_mirror.h"

/* Most commits that a move lists. */
#define GIT_MOVE_COMMITS_MAX 250

/* Most paths, … */
#define GIT_MOVE_PATHS_MAX 3000
/* … and most bytes of them together. */
#define GIT_MOVE_PATHS_MAX_BYTES (256u << 10)

/* Longest subject and author's name that are kept, with a NUL. */
#define GIT_MOVE_TEXT_BYTES 160

/* One commit. */
struct git_move_commit {
    char id[GIT_ID_BYTES];
    char author[GIT_MOVE_TEXT_BYTES];  /* name; an address is nobody's business */
    char subject[GIT_MOVE_TEXT_BYTES]; /* first line of the message, cut */
    int64_t time_ms;                   /* committer's, since 1970; may be below 0 */
};

/* One move of a head. */
struct git_move {
    char new_id[GIT_ID_BYTES]; /* what the mirror holds now */
    bool forced;               /* there was an old state, and it is no ancestor of the new one */
    bool has_time;             /* the new state leads to a commit */
    int64_t time_ms;           /* its committer's time, since 1970 */
    struct git_move_commit *commits; /* owned; newest first */
    size_t commit_count;             /* 0..GIT_MOVE_COMMITS_MAX */
    bool commits_truncated;          /* there are more, or they could not be known */
    char **paths;                    /* owned; in git's order */
    size_t path_count;               /* 0..GIT_MOVE_PATHS_MAX */
    bool paths_truncated;            /* likewise */
};

/*
 * Describes the move of `ref` from `old_id` ("": the head is new) to what the mirror holds. To be released.
 * ERR_NOT_FOUND if the mirror does not hold the ref, ERR_CORRUPT if an object cannot be read,
 * ERR_UNSUPPORTED. One thread.
 */
int git_describe_move(struct git_mirror *mirror, const char *ref, const char *old_id,
                      struct git_move *ret_move, struct error *error) MUST_CHECK;

/* Frees what a move owns. */
void git_move_release(struct git_move *move);

/* The cleanup function behind CLEANUP(git_move_release). */
static inline __attribute__((unused)) void git_move_release_cleanup(struct git_move *move)
{
    git_move_release(move);
}

#endif
