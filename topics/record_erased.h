/*
 * What records of `runs` and `models` say of artefacts that were erased at a person's request.
 *
 *   "erased":[{"artefact":"dataset","sha256":"…","at":"…","rows":3},{"artefact":"html","sha256":"…","at":"…","rows":0}]
 *
 * An artefact that stands there is gone from the store, or is about to be removed: the record is
 * published first. A data set is replaced by one without the rows that were to go (`rows` says how many);
 * what quoted it (notebook, report, log, predictions) is not.
 *
 * Design: a list that only grows. A record that was written without it, by somebody who had not read the
 * one with it yet, gets it back by record_erased_carry.
 *
 * Invariants: an object named in the list is named by none of the record's artefacts; at most
 * RECORD_ERASED_MAX entries.
 */
#ifndef NODAG_TOPICS_RECORD_ERASED_H
#define NODAG_TOPICS_RECORD_ERASED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Most entries of a record: a data set that was asked for hundreds of times, and what quoted it. */
#define RECORD_ERASED_MAX 1000

/* Returns true for NULL and for a list as above. Any thread. */
bool record_erased_is_valid(const json_t *list);

/* Returns the entry of an object, or NULL; borrowed. `list` may be NULL. Any thread. */
const json_t *record_erased_find(const json_t *list, const char *sha256);

/*
 * Returns a copy of `list` (NULL: none) with one more entry, unless the object stands there or the list is
 * full; new reference. Any thread.
 */
json_t *record_erased_add(const json_t *list, const char *artefact, const char *sha256,
                          int64_t at_ms, int64_t rows);

/*
 * Gives a record what another one of the same key says of erased artefacts: the list, and for an artefact
 * that is named although it was erased what the other has instead, or nothing. `artefacts` and `erased` are
 * owned references of the record (NULL: none) and are replaced, never changed in place. Returns true if
 * anything was missing. Any thread.
 */
bool record_erased_carry(json_t **artefacts, json_t **erased, const json_t *other_artefacts,
                         const json_t *other_erased);

#endif
