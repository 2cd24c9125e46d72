/*
 * Small files: read whole with a limit, write atomically, notice a change.
 *
 * Design: configuration, secrets and model files are read once and again when they change. A watch
 * looks at (device, inode, size, modification time) on a slow timer, which also sees Kubernetes'
 * symlink swaps and editors that rename, where inotify on one path would not.
 *
 * Invariant: a file is used whole or not at all.
 */
#ifndef NODAG_BASE_FILE_H
#define NODAG_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* How often a watched file is looked at, in milliseconds. */
#define FILE_WATCH_INTERVAL_MS 1000

/*
 * Reads the whole file into `buffer`, whose limit bounds it; what it held before is dropped, and
 * after an error it is empty. ERR_NOT_FOUND, ERR_DENIED, ERR_TOO_LARGE, ERR_INPUT (a folder),
 * ERR_IO with the path in the text. Loop thread (small files only: it blocks).
 */
int file_read(const char *path, struct buffer *buffer, struct error *error) MUST_CHECK;

/*
 * Reads a secret file like file_read and drops one line end (LF or CR LF) at its end; an empty
 * secret is ERR_INPUT. Loop thread.
 */
int file_read_secret(const char *path, struct buffer *buffer, struct error *error) MUST_CHECK;

/*
 * Writes bytes to a temporary file beside `path`, syncs, renames; the mode stays, that of a new
 * file is 0644. ERR_IO, ERR_DENIED, ERR_NOT_FOUND (no such folder), ERR_INPUT (a folder) with the
 * path. Loop thread.
 */
int file_write_atomically(const char *path, const void *bytes, size_t byte_count,
                          struct error *error) MUST_CHECK;

/* Makes a rename in the folder of `path` survive a crash; a file system that cannot is no failure. Any
 * thread. */
void file_sync_folder(const char *path);

/*
 * Makes the folders above a path that are missing, each with `mode` (less the umask): all up to its last slash, so "a/b/" makes both.
 * ERR_DENIED, ERR_IO with the folder that cannot be made. Any thread. Source: mkdir(2).
 */
int file_make_folders(const char *path, mode_t mode, struct error *error) MUST_CHECK;

/* A watch over a set of paths. */
struct file_watch;

/*
 * Calls `function(argument)` on the loop after any of the paths changed or appeared, once for all
 * that a look found (not when a path vanished: what comes in its place will call); the function may
 * clear, refill or free the watch. Owned. Loop thread.
 */
struct file_watch *file_watch_new(struct loop *loop, loop_fn function, void *argument);

/* Adds a path (copied); its present state is the base line. Loop thread. */
void file_watch_add(struct file_watch *watch, const char *path);

/* Forgets all paths. Loop thread. */
void file_watch_clear(struct file_watch *watch);

/* Frees it; NULL allowed. Loop thread. */
void file_watch_free(struct file_watch *watch);
DEFINE_CLEANUP(struct file_watch *, file_watch_free)

#endif
