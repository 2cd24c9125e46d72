/*
 * The records of `specs` by key: what a fold of the topic holds, and what a plan compares with.
 *
 * Design: a hash in memory. A record that cannot be read (another version of nodag wrote it) does
 * not take away what was in force: the store keeps the last document that it could read, and says
 * what is wrong beside it.
 *
 * Invariant: at most SPEC_STORE_MAX records.
 */
#ifndef NODAG_TOPICS_SPEC_STORE_H
#define NODAG_TOPICS_SPEC_STORE_H

#include "topics/spec_record.h"

/* Most records: documents are written by people. */
#define SPEC_STORE_MAX 10000

/* The records. */
struct spec_store;

/* One record with its key, in the order of keys; borrowed until the next change. */
struct spec_entry {
    const char *key;                  /* NUL-terminated */
    const struct spec_record *record; /* never NULL */
};

/* Makes an empty store; owned. */
struct spec_store *spec_store_new(void);

/* Frees it; NULL allowed. */
void spec_store_free(struct spec_store *store);
DEFINE_CLEANUP(struct spec_store *, spec_store_free)

/* Returns a record, or NULL; borrowed until the next change. Owner's thread. */
const struct spec_record *spec_store_find(const struct spec_store *store, const char *key);

/* Puts a record (taken) in the place of what the key had; NULL removes that. Beyond SPEC_STORE_MAX
 * a new key is dropped. Owner's thread. */
void spec_store_put(struct spec_store *store, const char *key, struct spec_record *record);

/* Returns how many records there are. Owner's thread. */
size_t spec_store_count(const struct spec_store *store);

/* Lists all records by key; owned array of spec_store_count entries. Owner's thread. */
struct spec_entry *spec_store_list(const struct spec_store *store);

/*
 * Folds one record of the topic. Returns true if the key's record changed; the key is written to
 * ret_key (SUBJECT_KEY_BYTES). Keys that no record may have are passed over. Owner's thread.
 */
bool spec_store_apply(struct spec_store *store, const struct bus_record *record, char *ret_key);

#endif
