/*
 * What git_mirror.c and git_describe.c share: the open repository, and libgit2's failures as ours.
 */
#ifndef NODAG_BASE_GIT_MIRROR_PRIVATE_H
#define NODAG_BASE_GIT_MIRROR_PRIVATE_H

#include <git2.h>

#include "base/error.h"
#include "base/git_mirror.h"

/* An open mirror. */
struct git_mirror {
    git_repository *repository; /* owned */
    git_odb *odb;               /* owned */
};

/* Cleanup for libgit2's types, as base/cleanup.h has it. */
DEFINE_CLEANUP(git_commit *, git_commit_free)
DEFINE_CLEANUP(git_tree *, git_tree_free)
DEFINE_CLEANUP(git_tree_entry *, git_tree_entry_free)
DEFINE_CLEANUP(git_blob *, git_blob_free)
DEFINE_CLEANUP(git_object *, git_object_free)
DEFINE_CLEANUP(git_diff *, git_diff_free)
DEFINE_CLEANUP(git_revwalk *, git_revwalk_free)
DEFINE_CLEANUP(git_reference *, git_reference_free)

/*
 * Turns a failure of libgit2 into ours, with libgit2's words: ERR_NOT_FOUND for GIT_ENOTFOUND, else
 * ERR_CORRUPT: reading a local repository fails because something in it is wrong. `what` names what was
 * tried.
 */
int git_mirror_fail(int result, const char *what, struct error *error);

/* Reads an id. ERR_UNSUPPORTED for SHA-256, ERR_INPUT. */
int git_mirror_read_id(const char *text, git_oid *ret_id, struct error *error) MUST_CHECK;

/*
 * Gives the commit that an object is or an annotated tag leads to; owned. ERR_NOT_FOUND if the object is
 * not there, ERR_INPUT if it leads to none, ERR_CORRUPT.
 */
int git_mirror_commit(struct git_mirror *mirror, const git_oid *id, git_commit **ret_commit,
                      struct error *error) MUST_CHECK;

#endif
