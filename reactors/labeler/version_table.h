/*
 * What the topic `models` says of each version: a fold that keeps what fetching needs.
 *
 * Design: a record is some KB with its metrics, a row some hundred bytes. Every version has one,
 * because a document that comes tomorrow may name it.
 *
 * Invariants: a row is what the newest readable record of its key says; a version belongs to the model
 * whose record came first, since the name of a run is one model's.
 */
#ifndef NODAG_LABELER_VERSION_TABLE_H
#define NODAG_LABELER_VERSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/error.h"
#include "topics/bus.h"

/* Most versions that are known. History limits keep them far below it. */
#define VERSION_TABLE_MAX 100000

/* One version. */
struct version_row {
    const char *name;               /* of the version; owned by the table */
    int64_t size_bytes;             /* of the artefact */
    char sha256[DIGEST_TEXT_BYTES]; /* of the artefact, lower-case */
    bool is_there;                  /* false: a tombstone came */
    bool collected;                 /* see topics/model_record.h */
};

/* The fold. */
struct version_table;

/* Makes an empty one; owned. */
struct version_table *version_table_new(void);

/* Frees it; NULL allowed. */
void version_table_free(struct version_table *table);
DEFINE_CLEANUP(struct version_table *, version_table_free)

/*
 * Folds one record of `models` (borrowed) and gives the row that it is about, borrowed for the table's
 * life. ERR_INPUT: it cannot be read, or another model has the version; ERR_TOO_LARGE: over
 * VERSION_TABLE_MAX. Then nothing changed. Owner's thread.
 */
int version_table_apply(struct version_table *table, const struct bus_record *record,
                        const struct version_row **ret_row, struct error *error) MUST_CHECK;

/* Returns the row of a version that is there, or NULL; borrowed likewise. Owner's thread. */
const struct version_row *version_table_find(const struct version_table *table, const char *name);

#endif
