/*
 * Records of `runs` and `models` for `nodag erase`: which data sets they name, and what they become. Pure.
 *
 *      data set D ◀──named by── records ──▶ each: D' in its place, what quoted D left out, both in `erased`
 *                                                     (published, acknowledged)
 *                                        ──▶ objects that only `erased` names: removed from the store
 *
 * Design: the newest record of each key, as JSON: what the command does not know of stays as it is. `erased`
 * (topics/record_erased.h) is the ledger: after a crash the next command finds there what is to be removed
 * still, and what another record's data set became. A version keeps its place among the versions by `order`.
 *
 * Invariant: what is published first and acknowledged counts at once; a record read later from an older
 * offset does not undo it.
 */
#ifndef NODAG_HISTORIAN_ERASE_RECORDS_H
#define NODAG_HISTORIAN_ERASE_RECORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "topics/bus.h"

/* One record; borrowed until the next change. */
struct erase_record {
    enum topic topic;    /* TOPIC_RUNS or TOPIC_MODELS */
    const char *key;     /* run, or model/version */
    const json_t *value; /* the record */
    int64_t offset;      /* where it stands */
};

/* The records. */
struct erase_records;

/* Makes an empty set; owned. */
struct erase_records *erase_records_new(void);

/* Frees it; NULL allowed. */
void erase_records_free(struct erase_records *records);
DEFINE_CLEANUP(struct erase_records *, erase_records_free)

/* Takes a record of `runs` or `models` into account, unless a newer one of its key is known. Any thread. */
void erase_records_apply(struct erase_records *records, const struct bus_record *record);

/* Likewise one that was published (a new reference, taken). Any thread. */
void erase_records_put(struct erase_records *records, enum topic topic, const char *key,
                       json_t *value, int64_t offset);

/* Returns how many records could not be read. Any thread. */
size_t erase_records_refused(const struct erase_records *records);

/*
 * Lists all records, in the order in which they stand, runs first; owned array of what is borrowed. Any
 * thread.
 */
struct erase_record *erase_records_list(const struct erase_records *records, size_t *ret_count);

/*
 * Lists the SHA-256 of every data set that a record names, each once; owned array of owned texts. Any
 * thread.
 */
char **erase_records_datasets(const struct erase_records *records, size_t *ret_count);

/*
 * Lists the SHA-256 of objects that `erased` of a record names, and no artefact of any; likewise. Any
 * thread.
 */
char **erase_records_leftovers(const struct erase_records *records, size_t *ret_count);

/*
 * Finds what took the place of a data set in a record that has it in `erased`: its artefact, or NULL;
 * borrowed. Any thread.
 */
const json_t *erase_records_successor(const struct erase_records *records, const char *sha256);

/* Returns the SHA-256 of a record's data set, or NULL; borrowed. Any thread. */
const char *erase_record_dataset(const json_t *value);

/* Returns true if the record is of a run that is not over. Any thread. */
bool erase_record_is_under_way(const struct erase_record *record);

/*
 * Makes the record that takes the place of one whose data set lost rows: `dataset` is the artefact without
 * them, `rows` how many they were, at `now_ms`. New reference. Any thread.
 */
json_t *erase_record_redact(const struct erase_record *record, const json_t *dataset, int64_t rows,
                            int64_t now_ms);

#endif
