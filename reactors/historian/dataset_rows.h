/*
 * Records of `issues` → the rows that a Model would be trained on. Pure.
 *
 * Design: three steps. A selection says what the Model wants; records are added (the newest of each
 * key counts, a tombstone takes it away); then the rows are made in the order of repository id and
 * number, so that the same records give the same bytes.
 *
 * | in a row | what it is |
 * |---|---|
 * | label | labels that a person put there, and that are there: the examples |
 * | removed | labels that a person took away: known not to fit |
 * | by_bots | labels that are there by a bot's hand: neither, the model must not learn from itself |
 * | unknown | labels by an unknown hand, for example imported without a timeline; left out of `label` unless asked for |
 * | held_back, weight | in a Labeler's audit holdback: people were not influenced. It stands for 1/share issues, and weighs so much |
 *
 * Only labels that the Model includes are looked at. A label with fewer than minExamples examples is
 * dropped from all rows; an issue without any label in `label` or `removed` is left out: that nobody
 * labeled it says nothing. Issues whose text was erased are left out. Issues older than maxAge are left out, counted from the newest event of all
 * records, so that no clock is asked.
 *
 * A repository's name is that of its newest record: issues that were not touched since a rename belong
 * to the new name.
 *
 * Invariant: a function of selection and records.
 */
#ifndef NODAG_HISTORIAN_DATASET_ROWS_H
#define NODAG_HISTORIAN_DATASET_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "topics/issue_record.h"
#include "topics/spec_store.h"

/* Largest weight of a row: as nodag model reads it. */
#define DATASET_WEIGHT_MAX 100

/* Longest label that is written, and the character that separates labels: as nodag model reads them. */
#define DATASET_LABEL_MAX_BYTES 200
/* See above. */
#define DATASET_LABEL_SEPARATOR ';'

/* The formats. */
enum dataset_format {
    DATASET_JSON, /* one object a line */
    DATASET_CSV,  /* RFC 4180, with a header line */
};

/* What the summary says. */
struct dataset_counts {
    size_t rows;       /* written */
    size_t labels;     /* distinct ones in `label` */
    size_t examples;   /* labels by people, written */
    size_t removed;    /* labels taken away by people, written */
    size_t by_bots;    /* labels by bots, in rows or not */
    size_t unknown;    /* labels by an unknown hand, in rows or not */
    size_t held_back;  /* rows */
    size_t rare;       /* labels with too few examples */
    size_t unwritable; /* labels that the format cannot hold */
    size_t too_old;    /* issues */
    size_t erased;     /* issues whose text was erased at a request */
};

/* A data set being made. */
struct dataset_rows;

/*
 * Makes an empty one for a Model (a document that was accepted; borrowed) and the Labelers in `specs`
 * (borrowed). `count_unknown`: labels by an unknown hand count as people's. Owned.
 */
struct dataset_rows *dataset_rows_new(const json_t *model, const struct spec_store *specs,
                                      bool count_unknown);

/* Frees it; NULL allowed. */
void dataset_rows_free(struct dataset_rows *rows);
DEFINE_CLEANUP(struct dataset_rows *, dataset_rows_free)

/* First pass: notes the name of its repository and its time. Any thread. */
void dataset_rows_note(struct dataset_rows *rows, const struct issue_record *record);

/* Second pass: adds a record (taken) in the place of what its issue had. Any thread. */
void dataset_rows_add(struct dataset_rows *rows, struct issue_record *record);

/* Second pass: an issue has a tombstone. Any thread. */
void dataset_rows_remove(struct dataset_rows *rows, const char *key);

/* Writes all rows. `write` gets whole lines and returns false to stop. Any thread. */
void dataset_rows_write(struct dataset_rows *rows, enum dataset_format format,
                        bool (*write)(void *argument, const char *bytes, size_t byte_count),
                        void *argument, struct dataset_counts *ret_counts);

#endif
