/*
 * What nodag did before: the fold of the topic `predictions`, for the partitions that this replica
 * owns.
 *
 * Design: a small row for each issue that was ever decided (about 50 bytes): enough for the sweep
 * (which issues are there), for `relabel` (which model decided) and for the comment (was it written;
 * if it is gone, somebody deleted it). Repository names are shared. Texts stay in Kafka.
 *
 * Invariant: an entry is what the newest record of its key says.
 */
#ifndef NODAG_LABELER_HISTORY_H
#define NODAG_LABELER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "topics/bus.h"

/* What is known of one issue; borrowed from the history until its next call. */
struct history_entry {
    const char *repository; /* owner/name at the last decision */
    int64_t comment_id;     /* nodag's comment; 0: none was written */
    uint64_t model_hash;    /* of the version that decided; see history_hash_model */
    int32_t partition;      /* home partition */
};

/* The fold. */
struct history;

/* Makes an empty one; owned. */
struct history *history_new(void);

/* Frees it; NULL allowed. */
void history_free(struct history *history);
DEFINE_CLEANUP(struct history *, history_free)

/* Folds one record of `predictions`; what is not a record of ours (also an issue's number beyond 32
 * bits, which GitHub does not have) is ignored. Loop thread. */
void history_apply(struct history *history, const struct bus_record *record);

/* Forgets the issues of a partition: one pass over all. Loop thread. */
void history_forget(struct history *history, int32_t partition);

/* Finds an issue by key; NULL: never decided. Borrowed until the next call. Loop thread. */
const struct history_entry *history_find(struct history *history, const char *key);

/* Walks all issues in rounds: writes the next key (SUBJECT_KEY_BYTES) and entry, borrowed until the
 * next call. Where issues go away meanwhile another one may have to wait for the next round. False:
 * there is none. Loop thread. */
bool history_next(struct history *history, char *ret_key, const struct history_entry **ret_entry);

/* Returns what stands for a model version (of one or several models) in an entry. Any thread. */
uint64_t history_hash_model(const char *version);

/* Returns how many issues are known. */
size_t history_count(const struct history *history);

#endif
