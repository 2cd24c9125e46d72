/*
 * One record of the topic `specs`: the last valid document of a key and, beside it, a newer invalid
 * one with its reason.
 *
 * {"first_published":"2026-11-01T08:00:00Z",
 *  "valid":  {"repository":"https://…","branch":"main","path":"bot.yaml","commit":"8c1…","line":1,
 *             "document":{…}},
 *  "invalid":{"repository":"https://…","branch":"main","path":"bot.yaml","commit":"f00…","line":1,
 *             "reason":"bot.yaml:5:3: …"}}
 *
 * Either of the two may be null, first_published is null until there was a valid one. The key is
 * "kind/name", or "File/repository/path" for what cannot be read that far.
 *
 * Design: a struct of owned texts and a JSON value; encoding is deterministic, so that equal records
 * are equal bytes. Decoding trusts nobody: a document that does not pass the
 * check of this version is refused.
 *
 * Invariants: decode(encode(r)) == r; members are the ones above, a new meaning is a new schema
 * version (ce_dataschema).
 */
#ifndef NODAG_TOPICS_SPEC_RECORD_H
#define NODAG_TOPICS_SPEC_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/bus.h"
#include "topics/spec_schema.h"
#include "topics/subject.h"

/* Schema of the records, for ce_dataschema. */
#define SPEC_RECORD_SCHEMA "urn:nodag:schema:spec:1"

/* What keys of files without a readable name begin with. */
#define SPEC_FILE_PREFIX "File/"

/* Longest reason: SPEC_ERRORS_MAX errors with their places. */
#define SPEC_REASON_MAX_BYTES 16384

/* Where a document stands; texts are owned by what holds it. */
struct spec_place {
    char *repository; /* URL, or the folder of --specs */
    char *branch;     /* NULL: none (a folder) */
    char *path;       /* within the repository */
    char *commit;     /* NULL: none (a folder) */
    int line;         /* where the document begins; 0: the file */
};

/* One record. */
struct spec_record {
    int64_t first_published_ms;      /* when it was first valid; -1: never yet */
    json_t *valid;                   /* owned; the document in force, or NULL */
    struct spec_place valid_place;   /* where it stands */
    char *reason;                    /* owned; lines; NULL: nothing is invalid */
    struct spec_place invalid_place; /* where that stands */
};

/* Makes an empty one; owned. Any thread. */
struct spec_record *spec_record_new(void);

/* Frees it; NULL allowed. */
void spec_record_free(struct spec_record *record);
DEFINE_CLEANUP(struct spec_record *, spec_record_free)

/* Returns an owned copy. Any thread. */
struct spec_record *spec_record_copy(const struct spec_record *record);

/* Replaces a place by copies of another's texts. Any thread. */
void spec_place_set(struct spec_place *place, const struct spec_place *other);

/* Returns true if two places are the same file: repository, branch and path. Any thread. */
bool spec_place_is_same_file(const struct spec_place *left, const struct spec_place *right);

/* Returns the record as JSON; owned, its length in ret_bytes. Any thread. */
char *spec_record_encode(const struct spec_record *record, size_t *ret_bytes);

/*
 * Reads a record of this key. Owned result. ERR_INPUT where it is none, or its document is not valid
 * for this version of nodag, or is not the key's. Any thread.
 */
int spec_record_decode(const char *key, const char *value, size_t value_bytes,
                       struct spec_record **ret_record, struct error *error) MUST_CHECK;

/*
 * Returns the kind of a key "kind/name", with the name (borrowed from the key); ERR_NOT_FOUND for
 * keys of files. Any thread.
 */
int spec_key_parse(const char *key, enum spec_kind *ret_kind, const char **ret_name) MUST_CHECK;

/* Longest ce_id of a record: key, digest and time. */
#define SPEC_ID_BYTES (SUBJECT_KEY_BYTES + 100)

/* A message for the topic `specs` with all that it borrows; must not move. */
struct spec_message {
    struct bus_message message;   /* to be published */
    struct event_headers headers; /* its headers */
    char *value;                  /* owned; NULL: tombstone */
    char id[SPEC_ID_BYTES];       /* ce_id */
    char key[SUBJECT_KEY_BYTES];  /* its key */
    char *source;                 /* owned; ce_source */
};

/*
 * Makes the message that publishes a record (NULL: a tombstone) under a key (printable), as of
 * `now_ms` since 1970. Owned. The ce_id holds the time, because a record may come a second time (a
 * change was taken back) and is an event of its own then. Any thread.
 */
struct spec_message *spec_message_make(const char *key, const struct spec_record *record,
                                       int64_t now_ms);

/* Frees it; NULL allowed. */
void spec_message_free(struct spec_message *message);
DEFINE_CLEANUP(struct spec_message *, spec_message_free)

#endif
