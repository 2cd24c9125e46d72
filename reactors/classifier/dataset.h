/*
 * Labelled issues from a file: CSV or JSON lines.
 *
 * Design: CSV as RFC 4180 has it (quoted fields may hold commas, quotes and line breaks; LF is fine
 * too), columns found by the names in the header line: `repo,created_at,label,title,body`,
 * optionally `weight`; other columns are ignored. Times are RFC 3339, or without an offset, which
 * is UTC. JSON lines: one object a line with the same names; `label` is a text with `;` or an array
 * of texts. The whole file is read before anything is done with it; its SHA-256 is the data's
 * identity in a model's provenance.
 *
 * Invariants: rows stand in file order; a row's labels are distinct; label numbers follow the
 * sorted names, so that they do not depend on the order of rows. An error names file and line;
 * nothing is skipped silently.
 */
#ifndef NODAG_CLASSIFIER_DATASET_H
#define NODAG_CLASSIFIER_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "reactors/classifier/classifier.h"

/* One labelled issue. Texts are owned by the data set. */
struct dataset_row {
    char *repository;      /* owner/name */
    char *title;           /* any bytes, followed by a NUL */
    size_t title_bytes;    /* without the NUL */
    char *body;            /* any bytes, followed by a NUL */
    size_t body_bytes;     /* without the NUL */
    int64_t created_at_ms; /* since 1970, UTC */
    uint32_t copies;       /* the column weight: how many rows it counts as, 1 … 100 */
    uint32_t *labels;      /* owned: ascending label numbers */
    size_t label_count;    /* entries in labels */
    size_t line;           /* where the row begins in its file, from 1 */
};

/* The rows of a file. Freed by dataset_free(). */
struct dataset {
    struct dataset_row *rows;             /* owned */
    size_t row_count;                     /* at least 1 */
    char **label_names;                   /* owned, sorted by bytes */
    size_t label_count;                   /* distinct labels */
    char sha256[CLASSIFIER_SHA256_BYTES]; /* of the file, hex */
};

/*
 * Reads a file; `path` is borrowed. `*ret_dataset` is owned. Not for loop callbacks: it reads the
 * whole file. ERR_NOT_FOUND, ERR_IO; ERR_TOO_LARGE a limit of dataset.c is passed; ERR_INPUT the
 * content is not valid; the text names file and line. Any thread.
 */
int dataset_read(const char *path, struct dataset **ret_dataset, struct error *error) MUST_CHECK;

/*
 * As dataset_read(), from memory; `name` stands for the file in errors; its ending decides the
 * format. Any thread.
 */
int dataset_read_bytes(const char *name, const void *bytes, size_t byte_count,
                       struct dataset **ret_dataset, struct error *error) MUST_CHECK;

/* Frees a data set; NULL is fine. Any thread. */
void dataset_free(struct dataset *dataset);

DEFINE_CLEANUP(struct dataset *, dataset_free)

/* Returns a row as an issue; the texts stay the data set's. Any thread. */
struct classifier_issue dataset_issue(const struct dataset_row *row);

/* Returns true if the row carries label number `label`. Any thread. */
bool dataset_row_has(const struct dataset_row *row, uint32_t label);

#endif
