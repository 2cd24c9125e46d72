/*
 * What the two artefact stores share: internal to reactors/clients/artefact*.c.
 *
 * Design: `struct artefact_copy` reads a file slice by slice, one for each turn of the loop, with a
 * running digest, and may write it to another; names are made in one place.
 *
 * Invariant: a name is made only from 64 hexadecimal digits, so it cannot leave the store.
 */
#ifndef NODAG_CLIENTS_ARTEFACT_PRIVATE_H
#define NODAG_CLIENTS_ARTEFACT_PRIVATE_H

#include <stddef.h>

#include "reactors/clients/artefacts.h"

/* Room for "sha256/ab/" and the digest with its NUL. */
#define ARTEFACT_NAME_BYTES (sizeof("sha256/ab/") + DIGEST_TEXT_BYTES)

/* A copy under way. */
struct artefact_copy;

/* What came of a copy; `sha256` and `size_bytes` hold for code 0. Loop thread. */
typedef void (*artefact_copied_fn)(void *argument, int code, const char *sha256, int64_t size_bytes,
                                   const struct error *error);

/*
 * Reads the regular file `from_fd` from its first byte, writes it to `to_fd` (-1: nowhere) and syncs
 * that. Both are borrowed until `done`, which runs later, once: ERR_INPUT (no regular file),
 * ERR_TOO_LARGE, ERR_IO. Owned. Loop thread.
 */
struct artefact_copy *artefact_copy_new(struct loop *loop, int from_fd, int to_fd,
                                        artefact_copied_fn done, void *argument);

/* Ends a copy, also from within its `done`; NULL allowed. Loop thread. */
void artefact_copy_free(struct artefact_copy *copy);

/* Writes the name of a digest within a store: sha256/ab/abcdef…. ERR_INPUT if it is no digest. Any
 * thread. */
int artefact_name(const char *sha256, char ret_name[ARTEFACT_NAME_BYTES],
                  struct error *error) MUST_CHECK;

/* Makes the temporary file PATH.new-…, whose path is written to `ret_path` (owned); returns its
 * descriptor, or ERR_DENIED, ERR_NOT_FOUND, ERR_IO. Loop thread. */
int artefact_temporary(const char *path, char **ret_path, struct error *error) MUST_CHECK;

/* Syncs and closes a finished temporary file (taken) and renames it to `path`; the temporary one is
 * gone in any case. ERR_IO. Loop thread. */
int artefact_place(int fd, const char *temporary, const char *path, struct error *error) MUST_CHECK;

/* Opens the file store in an absolute folder: see artefact_store_new. */
int artefact_file_store_new(struct loop *loop, const char *folder,
                            struct artefact_store **ret_store, struct error *error) MUST_CHECK;

/* Opens the S3 store; `place` is BUCKET[/PREFIX]: see artefact_store_new. */
int artefact_s3_store_new(struct loop *loop, struct http_client *http, const char *place,
                          const struct artefact_settings *settings,
                          struct artefact_store **ret_store, struct error *error) MUST_CHECK;

#endif
