/*
 * Where an import stands: a small file, written whole or not at all.
 *
 * Design: the place is one time: every issue that was changed before it is on the topic, acknowledged. Issues
 * are read in the order of their last change, so nothing else need be remembered. The file names
 * forge and repository, so that a place of another import is not taken for this one's.
 *
 *   {"forge":"https://api.github.com","repository":"o/r","repository_id":1,"place":"2026-11-01T12:00:00Z"}
 *
 * Invariant: a place is written only after the brokers acknowledged all that is before it.
 */
#ifndef NODAG_IMPORTER_PLACE_H
#define NODAG_IMPORTER_PLACE_H

#include <stdint.h>

#include "base/error.h"

/*
 * Reads the place of an import of this forge. 0 and `ret_repository_id` 0, `ret_place_ms` 0 where there is no file yet.
 * ERR_INPUT: it is none, or of another forge or repository; ERR_IO, ERR_DENIED. Any thread.
 */
int place_read(const char *path, const char *forge, const char *repository,
               int64_t *ret_repository_id, int64_t *ret_place_ms, struct error *error) MUST_CHECK;

/* Writes it; errors as file_write_atomically. Any thread. */
int place_write(const char *path, const char *forge, const char *repository, int64_t repository_id,
                int64_t place_ms, struct error *error) MUST_CHECK;

#endif
