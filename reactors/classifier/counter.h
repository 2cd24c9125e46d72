/*
 * Counts of 64-bit hashes: an open-addressing table.
 *
 * Invariant: hash 0 is a key like any other (it is kept apart as key 1: a collision nobody can
 * see).
 */
#ifndef NODAG_CLASSIFIER_COUNTER_H
#define NODAG_CLASSIFIER_COUNTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* One counted hash. */
struct counter_slot {
    uint64_t hash;    /* 0 is an empty slot */
    uint32_t count;   /* how often it was added */
    uint32_t last_in; /* the last `unit` that added it, so that a unit counts once */
};

/* The table; read-only for callers. */
struct counter {
    struct counter_slot *slots; /* owned */
    size_t slot_count;          /* a power of two */
    size_t used;                /* slots with a hash */
};

/* Returns an empty table, owned. Any thread. */
struct counter *counter_new(void);

/* Frees a table; NULL is fine. Any thread. */
void counter_free(struct counter *counter);

DEFINE_CLEANUP(struct counter *, counter_free)

/*
 * Counts a hash once for each unit (a row's number, from 1): repeats within a unit are not counted.
 * Any thread.
 */
void counter_add(struct counter *counter, uint64_t hash, uint32_t unit);

/* Returns the count of a hash, 0 if it was never added. Any thread. */
uint32_t counter_get(const struct counter *counter, uint64_t hash);

/*
 * Returns the hashes with a count of at least `least`, ascending, owned; their number in
 * `ret_count`. Any thread.
 */
uint64_t *counter_sorted(const struct counter *counter, uint32_t least, size_t *ret_count);

#endif
