/*
 * Between the readers of the two formats and the data set: one row's fields, added one by one.
 * Private to dataset*.c.
 *
 * Invariant: a reader knows its format only; what a field means and how large it may be is decided
 * in dataset.c.
 */
#ifndef NODAG_CLASSIFIER_DATASET_ROWS_H
#define NODAG_CLASSIFIER_DATASET_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The fields of a row, in the order of their names in DATASET_FIELD_NAMES. */
enum dataset_field {
    DATASET_REPO,        /* owner/name */
    DATASET_CREATED_AT,  /* time */
    DATASET_LABEL,       /* names separated by ';' */
    DATASET_TITLE,       /* text */
    DATASET_BODY,        /* text */
    DATASET_WEIGHT,      /* number, optional */
    DATASET_FIELD_COUNT, /* how many there are */
};

/* The columns' names. */
extern const char *const DATASET_FIELD_NAMES[DATASET_FIELD_COUNT];

/* One field as read: unquoted bytes, borrowed for the call. */
struct dataset_value {
    const char *bytes; /* NULL if the row does not have the field */
    size_t byte_count; /* length */
};

/* Collects rows. Opaque. */
struct dataset_rows;

/*
 * Adds a row; values are copied. `line` is where it begins. ERR_INPUT or ERR_TOO_LARGE with a text
 * that says which field and why (without file and line: the caller adds them). Any thread.
 */
int dataset_rows_add(struct dataset_rows *rows, size_t line,
                     const struct dataset_value values[DATASET_FIELD_COUNT],
                     struct error *error) MUST_CHECK;

/* Reads CSV; on error `*ret_line` is the line. Errors as dataset_rows_add(). Any thread. */
int dataset_read_csv(struct dataset_rows *rows, const char *bytes, size_t byte_count,
                     size_t *ret_line, struct error *error) MUST_CHECK;

/* Reads JSON lines; on error `*ret_line` is the line. Errors as dataset_rows_add(). Any thread. */
int dataset_read_json_lines(struct dataset_rows *rows, const char *bytes, size_t byte_count,
                            size_t *ret_line, struct error *error) MUST_CHECK;

#endif
