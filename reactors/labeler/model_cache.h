/*
 * The folder in which fetched models are kept: one file for each content, named by its SHA-256.
 *
 *      FOLDER/abcdef….model              whole, put there by a rename
 *      FOLDER/abcdef….model.new-Xy12Zw   being fetched
 *
 * Design: the folder is looked through before each fetch, and what was used longest ago goes until
 * there is room: nothing is remembered, so several replicas of one machine may share it, and a crash
 * leaves nothing to repair but the rest of a fetch, which goes by its age. A file that is removed
 * while it is mapped stays usable for who maps it.
 *
 * Invariants: only files of these names are ever removed, and never those that the caller needs; a
 * file's name says what its bytes should be, whoever uses it compares.
 */
#ifndef NODAG_LABELER_MODEL_CACHE_H
#define NODAG_LABELER_MODEL_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* After this the rest of a fetch belongs to nobody: a fetch takes ten minutes at most. */
#define MODEL_CACHE_REST_MS (15LL * 60 * 1000)

/* Most files of the folder that are looked at; there are as many as models fit. */
#define MODEL_CACHE_FILES_MAX 10000

/* Where models are kept. Texts are borrowed for as long as it is used. */
struct model_cache {
    const char *folder; /* made, with those above it, when it is not there */
    int64_t most_bytes; /* of all files together */
};

/* Returns the path of a content; owned. `sha256`: 64 lower-case hexadecimal digits. Any thread. */
char *model_cache_path(const struct model_cache *cache, const char *sha256);

/* Returns the size of the file of a content, -1 where it is not there. Any thread. */
int64_t model_cache_size(const struct model_cache *cache, const char *sha256);

/*
 * Makes room for a file of `size_bytes`: makes the folder, removes rests of fetches and what was used
 * longest ago, but no content of `kept` (SHA-256). `now_ms` is the wall clock. ERR_TOO_LARGE where
 * what is kept leaves no room; ERR_DENIED, ERR_NOT_FOUND, ERR_IO for the folder. Any thread; it
 * blocks for as long as reading a folder takes.
 */
int model_cache_make_room(const struct model_cache *cache, int64_t size_bytes,
                          const char *const *kept, size_t kept_count, int64_t now_ms,
                          struct error *error) MUST_CHECK;

/* Notes that a content is used at `now_ms`. Any thread. */
void model_cache_touch(const struct model_cache *cache, const char *sha256, int64_t now_ms);

/* Removes the file of a content that is not what its name says. Any thread. */
void model_cache_drop(const struct model_cache *cache, const char *sha256);

#endif
