/*
 * What records of several topics share in JSON: text members, times, artefacts.
 *
 * Design: the texts that a record owns are a table, one row for each (RECORD_TEXT); freeing, copying,
 * writing and reading go over it, so that no member is named twice. An artefact is
 * {"uri":"…","sha256":"…","size_bytes":N}; a record has them by name.
 *
 * Invariant: pure functions.
 */
#ifndef NODAG_TOPICS_RECORD_JSON_H
#define NODAG_TOPICS_RECORD_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Longest text of a member. */
#define RECORD_TEXT_MAX_BYTES 4096

/* Most artefacts of a record. */
#define RECORD_ARTEFACTS_MAX 32

/* One text member of a record: an owned `char *` in its struct. */
struct record_text {
    const char *name;  /* in JSON */
    size_t offset;     /* in the struct */
    bool may_be_empty; /* when it is read */
};

/* Row of a member that is named alike in C and in JSON. */
#define RECORD_TEXT(type, member, may_be_empty)                                                    \
    {                                                                                              \
#member, offsetof(type, member), may_be_empty                                              \
    }

/* Every text member of a record. */
struct record_texts {
    const struct record_text *items; /* borrowed */
    size_t count;                    /* of them */
};

/* Frees the texts of `record`; NULL texts allowed. Any thread. */
void record_texts_free(const struct record_texts *texts, void *record);

/* Makes the texts of `copy`, a plain copy of another record's struct, its own. Any thread. */
void record_texts_own(const struct record_texts *texts, void *copy);

/* Writes the texts, which must be UTF-8, into `object`; NULL becomes "". Any thread. */
void record_texts_write(const struct record_texts *texts, const void *record, json_t *object);

/* Reads the texts of `object` into owned copies. Errors as record_read_text. Any thread. */
int record_texts_read(const struct record_texts *texts, const json_t *object, void *record,
                      struct error *error) MUST_CHECK;

/*
 * Ends a decoding that came to `code`: ERR_INPUT if the record's own key (NULL: it has none) is not
 * `key`, or instead of ERR_NOT_FOUND, a missing member. Any thread.
 */
int record_read_end(int code, const char *own_key, const char *key, size_t key_bytes,
                    struct error *error) MUST_CHECK;

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
