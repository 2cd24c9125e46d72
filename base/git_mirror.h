/*
 * Bare mirrors of repositories: a folder each, made, mended, read and thrown away.
 *
 * Design: a mirror is a cache: what it holds can be fetched again, so whatever is wrong with it is mended
 * by deleting it. git fetches into it (git_command.h); everything else is libgit2, which sees only the
 * mirror's own configuration. All functions that take a folder read the disk for as long as it takes: they
 * belong into a child process, but for those that say otherwise.
 *
 *      STATE/lock                             held for the life of a daemon (flock)
 *      STATE/owner-name-0123456789abcdef.git  a bare repository
 *          nodag.config                       what git is told (git_command.h)
 *          refs/nodag/…                       the heads as last fetched
 *
 * Invariants: two daemons never share a state folder; a lock or a part of a pack that an ended git left
 * behind does not outlive git_mirror_prepare; hashes of objects are verified when they are read.
 */
#ifndef NODAG_BASE_GIT_MIRROR_H
#define NODAG_BASE_GIT_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/git_answer.h"
#include "base/git_url.h"

/* Most files that git_mirror_walk visits in one commit: a repository with more is not walked for documents. */
#define GIT_WALK_MAX 200000

/* Deepest folder that git_mirror_walk enters. */
#define GIT_WALK_DEPTH_MAX 64

/* An open mirror. One thread. */
struct git_mirror;

/* A visited file: path from the root, NUL-terminated, and size. Returns false to stop. */
typedef bool (*git_walk_fn)(void *argument, const char *path, int64_t bytes);

/*
 * Makes the state folder if it is not there and locks it. `ret_fd` is to be closed at the end. ERR_CONFLICT
 * if another process has it, ERR_DENIED, ERR_IO with the path. Does not block. Any thread.
 */
int git_state_lock(const char *state, int *ret_fd, struct error *error) MUST_CHECK;

/* Returns the folder of a repository's mirror below `state`; owned. Any thread. */
char *git_mirror_folder(const char *state, const struct git_url *url);

/*
 * Makes the mirror if it is not there, writes its configuration, removes what an ended git left.
 * ERR_CORRUPT if it is no repository, ERR_IO.
 */
int git_mirror_prepare(const char *folder, const char *config_text, struct error *error) MUST_CHECK;

/* Deletes a mirror; one that is not there is fine. ERR_IO. */
int git_mirror_discard(const char *folder, struct error *error) MUST_CHECK;

/* Returns how many bytes its files have. */
int64_t git_mirror_bytes(const char *folder);

/* Opens a mirror; owned. ERR_NOT_FOUND, ERR_CORRUPT. Blocks for some file reads only. */
int git_mirror_open(const char *folder, struct git_mirror **ret_mirror,
                    struct error *error) MUST_CHECK;

/* Closes it; NULL allowed. */
void git_mirror_free(struct git_mirror *mirror);
DEFINE_CLEANUP(struct git_mirror *, git_mirror_free)

/* Gives the object that was fetched for a ref. ERR_NOT_FOUND; ERR_CORRUPT. */
int git_mirror_head(struct git_mirror *mirror, const char *ref, char ret_id[GIT_ID_BYTES],
                    struct error *error) MUST_CHECK;

/* Forgets what was fetched for a ref; one that is not there is fine. ERR_CORRUPT. */
int git_mirror_forget(struct git_mirror *mirror, const char *ref, struct error *error) MUST_CHECK;

/*
 * Visits the files of a commit (or annotated tag), folders first to last in git's order; links and
 * submodules are left out. ERR_NOT_FOUND (no such object), ERR_CORRUPT, ERR_TOO_LARGE over GIT_WALK_MAX or
 * GIT_WALK_DEPTH_MAX.
 */
int git_mirror_walk(struct git_mirror *mirror, const char *commit, git_walk_fn visit,
                    void *argument, struct error *error) MUST_CHECK;

/*
 * Reads a file of a commit into `content` (what it held is dropped), whose limit bounds it. ERR_NOT_FOUND
 * (no such file or object), ERR_INPUT (no plain file), ERR_TOO_LARGE, ERR_CORRUPT.
 */
int git_mirror_read(struct git_mirror *mirror, const char *commit, const char *path,
                    struct buffer *content, struct error *error) MUST_CHECK;

#endif
