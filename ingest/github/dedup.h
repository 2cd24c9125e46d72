/*
 * The memory of deliveries: one (hook, delivery) is published once, as far as one process remembers.
 *
 * Design: GitHub redelivers when it is asked to, and a proxy may send twice. An entry lives through two states:
 *
 *      dedup_begin: DEDUP_FIRST → in flight ── dedup_finish(0) ──▶ published ── too old, or too many ──▶ forgotten
 *                                    │
 *                                    └──────── dedup_finish(code) ──▶ forgotten, so that a redelivery goes through
 *
 * Who comes while an entry is in flight waits for its outcome; the first one waits as well, so that one path
 * leads to every answer. A waiter that goes away before the outcome leaves the entry alone: the record may
 * still be published.
 *
 * Invariants: waiters are told exactly once, in the order in which they came, unless they left; entries in
 * flight are bounded by the producer's queue, published ones by DEDUP_PUBLISHED_MAX and DEDUP_AGE_MAX_MS;
 * consumers deduplicate by ce_id anyway, so that forgetting is safe.
 */
#ifndef NODAG_INGEST_GITHUB_DEDUP_H
#define NODAG_INGEST_GITHUB_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "ingest/github/head.h"

/* Most published deliveries that are remembered: about 6 MB, half an hour at forty a second. */
#define DEDUP_PUBLISHED_MAX 65536

/* How long they are remembered: GitHub lets deliveries be repeated for three days, nearly all are within the hour. */
#define DEDUP_AGE_MAX_MS (24LL * 3600 * 1000)

/* The memory. */
struct dedup;

/* A delivery that is being published; borrowed from the memory until dedup_finish. */
struct dedup_entry;

/*
 * What names a delivery: hook and GUID, and what was signed. The last, because hook and GUID are unsigned headers: else whoever has one
 * of the secrets could announce another's delivery with a body of their own and have the real one dropped as a repeat.
 */
struct dedup_key {
    uint64_t hook_id;              /* 0: none was sent */
    uint8_t guid[HEAD_GUID_BYTES]; /* of the delivery */
    uint64_t signed_as;            /* first bytes of the signature that matched */
};

/* One that waits for an outcome; embedded in its owner. All zero while it does not wait. */
struct dedup_waiter {
    /* Tells the outcome: 0 or a negative code. The waiter does not wait any more when it is called. */
    void (*finished)(struct dedup_waiter *waiter, int code);
    struct dedup_entry *entry;      /* what it waits for; NULL: it does not */
    struct dedup_waiter *next;      /* in the entry's list */
    struct dedup_waiter **previous; /* the link that points here */
};

/* What dedup_begin found. */
enum dedup_verdict {
    DEDUP_FIRST,     /* new: the caller publishes it and calls dedup_finish */
    DEDUP_IN_FLIGHT, /* being published: the waiter will be told */
    DEDUP_PUBLISHED, /* was published: nobody waits */
};

/* Makes an empty memory with these bounds; owned. Loop thread. */
struct dedup *dedup_new(struct loop *loop, size_t published_max, int64_t age_max_ms);

/*
 * Forgets everything; waiters are not told, entries in flight must not be finished any more. NULL allowed. Loop
 * thread.
 */
void dedup_free(struct dedup *dedup);
DEFINE_CLEANUP(struct dedup *, dedup_free)

/* Makes the key of a head. Any thread. */
struct dedup_key dedup_key_of(const struct delivery_head *head);

/*
 * Looks a delivery up, and notes it if it is new. With DEDUP_FIRST and DEDUP_IN_FLIGHT the waiter (borrowed,
 * with `finished` set) waits from now on; `ret_entry` is set with DEDUP_FIRST. Loop thread.
 */
enum dedup_verdict dedup_begin(struct dedup *dedup, const struct dedup_key *key,
                               struct dedup_waiter *waiter, struct dedup_entry **ret_entry);

/* Ends an entry: 0 remembers it as published, a negative code forgets it. Tells all who wait. Loop thread. */
void dedup_finish(struct dedup *dedup, struct dedup_entry *entry, int code);

/* Stops waiting; no effect on one that does not wait. Loop thread. */
void dedup_leave(struct dedup_waiter *waiter);

/* Returns how many published deliveries are remembered. Loop thread. */
size_t dedup_published_count(const struct dedup *dedup);

/* Returns how many are in flight. Loop thread. */
size_t dedup_in_flight_count(const struct dedup *dedup);

#endif
