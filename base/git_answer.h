/*
 * What git says: the list of `git ls-remote`, and why a command failed.
 *
 * Design: both are texts of which the other side wrote parts. Names of refs are checked by git's own rules
 * (git-check-ref-format(1)) before anything else sees them; a name that breaks them, or is too long for a
 * key, is left out and counted. A failure is classed by git's messages in the C locale, so that metrics can
 * name it and a caller can tell "away" from "broken".
 *
 * Invariants: pure functions; a list is sorted by name, has no name twice and at most GIT_HEADS_MAX heads;
 * its names begin with refs/heads/ or refs/tags/.
 */
#ifndef NODAG_BASE_GIT_ANSWER_H
#define NODAG_BASE_GIT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/error.h"

/* Room for an object's name in hexadecimal with a NUL: SHA-1 has 40 digits, SHA-256 64. */
#define GIT_ID_BYTES 65

/* Longest name of a ref with a NUL: it shares a record's key with a URL. */
#define GIT_REF_BYTES 500

/* Most heads of one repository. */
#define GIT_HEADS_MAX 100000

/* Largest answer of ls-remote: that many lines of usual length. */
#define GIT_LIST_MAX_BYTES (24u << 20)

/* One ref and what it points at. */
struct git_head {
    const char *ref;       /* "refs/heads/main"; borrowed from the list */
    char id[GIT_ID_BYTES]; /* the object: a commit, or an annotated tag */
};

/* The refs of a repository. */
struct git_list {
    struct git_head *items; /* owned; sorted by ref */
    size_t count;           /* how many */
    size_t skipped;         /* refs whose names are not proper, or too long */
    char *text;             /* owned; the names' memory */
};

/*
 * Reads the answer of `git ls-remote`. ERR_INPUT with the line's number, ERR_TOO_LARGE. `list` is to be
 * released. Any thread.
 */
int git_list_parse(const char *text, size_t text_bytes, struct git_list *ret_list,
                   struct error *error) MUST_CHECK;

/* Returns the head of a ref or NULL; borrowed. Any thread. */
const struct git_head *git_list_find(const struct git_list *list, const char *ref);

/* Frees what a list owns. */
void git_list_release(struct git_list *list);

/* The cleanup function behind CLEANUP(git_list_release). */
static inline __attribute__((unused)) void git_list_release_cleanup(struct git_list *list)
{
    git_list_release(list);
}

/*
 * Returns true for a name as git's rules have it, below refs/heads/ or refs/tags/, shorter than
 * GIT_REF_BYTES and valid UTF-8. Any thread.
 */
bool git_ref_is_valid(const char *ref, size_t ref_bytes);

/* Returns true for 40 or 64 lower-case hexadecimal digits. Any thread. */
bool git_id_is_valid(const char *id, size_t id_bytes);

/*
 * Returns 0 if a git command ended with status 0, else what it is: ERR_TIMEOUT, ERR_CANCELLED,
 * ERR_TOO_LARGE (also a mirror over its size), ERR_UNAVAILABLE, ERR_DENIED (credentials, host key),
 * ERR_NOT_FOUND (no such repository), ERR_CONFLICT (a ref moved meanwhile, a lock), ERR_CORRUPT (objects),
 * ERR_IO (anything else), with git's own last words in `error`, cleaned for logs. Any thread.
 */
int git_failure(const struct child_result *result, struct error *error) MUST_CHECK;

#endif
