/*
 * Small parts that records of several topics share in JSON: times, artefacts.
 *
 * An artefact is {"uri":"…","sha256":"…","size_bytes":N}; a record has them by name.
 *
 * Invariant: pure functions.
 */
#ifndef NODAG_TOPICS_RECORD_JSON_H
#define NODAG_TOPICS_RECORD_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Longest text of a member. */
#define RECORD_TEXT_MAX_BYTES 4096

/* Most artefacts of a record. */
#define RECORD_ARTEFACTS_MAX 32

/* Returns a time as text, or null where it is not after 1970; new reference. Any thread. */
json_t *record_time_to_json(int64_t time_ms);

/* Reads a time > 0, or null as 0. ERR_NOT_FOUND if it is absent, ERR_INPUT. Any thread. */
int record_read_time(const json_t *object, const char *name, int64_t *ret_ms,
                     struct error *error) MUST_CHECK;

/*
 * Reads a text into an owned copy. ERR_NOT_FOUND; ERR_INPUT also if it is longer than
 * RECORD_TEXT_MAX_BYTES, or empty and `may_be_empty` is not set. Any thread.
 */
int record_read_text(const json_t *object, const char *name, bool may_be_empty, char **ret_text,
                     struct error *error) MUST_CHECK;

/* Returns true for NULL and for an object of at most RECORD_ARTEFACTS_MAX artefacts. Any thread. */
bool record_artefacts_are_valid(const json_t *artefacts);

/* Returns the member `member` (uri, sha256) of the artefact `name`, or NULL; borrowed. Any thread. */
const char *record_artefact_text(const json_t *artefacts, const char *name, const char *member);

/* Replaces an owned text by an owned copy; NULL allowed. Any thread. */
void record_set_text(char **text, const char *value);

#endif
