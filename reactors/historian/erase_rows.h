/*
 * A data set without the rows of some issues: bytes in, the bytes that stay out. Pure.
 *
 * Design: JSON lines or CSV (RFC 4180), told by the first character, in pieces of any size: a row is looked
 * at when it is whole, and either passed on byte for byte or left out. Of a row only `repo`, `number` and
 * `created_at` are read. CSV's columns are found by its header, which stays.
 *
 * A row that cannot be read, or that says neither of which repository nor when it was made, is not told: it
 * stays and is counted, so that a person looks at it.
 *
 * Invariants: what is passed on is what came in, without whole rows; the same whatever the pieces; a row of
 * more than ERASE_ROW_MAX_BYTES is an error, not a copy.
 */
#ifndef NODAG_HISTORIAN_ERASE_ROWS_H
#define NODAG_HISTORIAN_ERASE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Longest row: twice what nodag dataset writes at its longest. */
#define ERASE_ROW_MAX_BYTES ((size_t)32 << 20)

/* Most columns of a CSV file. */
#define ERASE_COLUMNS_MAX 1000

/* What the owner does. */
struct erase_rows_handler {
    /* Returns true if a row is to go: as erase_found_has_row. */
    bool (*is_wanted)(void *argument, const char *repository, int64_t number, int64_t created_ms);
    /* Takes bytes that stay. Returns 0 or an error, which ends it. */
    int (*write)(void *argument, const char *bytes, size_t byte_count, struct error *error);
};

/* What became of the rows. */
struct erase_rows_counts {
    size_t kept;   /* … */
    size_t erased; /* left out */
    size_t untold; /* of those kept: nobody can tell whose they are */
};

/* A data set being read. */
struct erase_rows;

/* Makes one; the handler is borrowed. Owned. */
struct erase_rows *erase_rows_new(const struct erase_rows_handler *handler, void *argument);

/* Frees it; NULL allowed. */
void erase_rows_free(struct erase_rows *rows);
DEFINE_CLEANUP(struct erase_rows *, erase_rows_free)

/* Takes the next bytes. ERR_TOO_LARGE (a row), and what `write` returns. Any thread. */
int erase_rows_feed(struct erase_rows *rows, const char *bytes, size_t byte_count,
                    struct error *error) MUST_CHECK;

/* The file is over; a last row without a line end is one. As erase_rows_feed. Any thread. */
int erase_rows_end(struct erase_rows *rows, struct erase_rows_counts *ret_counts,
                   struct error *error) MUST_CHECK;

#endif
