/*
 * The offset ledger of one partition: events finish out of order, offsets are stored in order.
 *
 * Design: the ledger remembers only unfinished offsets, in the order of delivery. What may be
 * stored is the lowest unfinished offset, or, when there is none, the offset after the newest
 * delivered record.
 *
 *      delivered:   10  11  12  13  14  15            next_offset = 16
 *      unfinished:  10       ·  13   ·   ·            storable    = 10 → after 10 finished: 13 →
 * after 13: 16
 *
 * Invariants: storable never falls; a crash replays everything from the last stored offset, so an
 * event is replayed or finished, never skipped.
 */
#ifndef NODAG_REACTORS_KERNEL_LEDGER_H
#define NODAG_REACTORS_KERNEL_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One remembered offset. */
struct ledger_slot {
    int64_t offset; /* of the record */
    bool finished;  /* but an earlier one is not */
};

/* The ledger; all zero is an empty one. Fields are private to ledger.c. */
struct ledger {
    struct ledger_slot *slots; /* ring of capacity slots, ascending offsets */
    size_t capacity;           /* power of two, or 0 */
    size_t head;               /* index of the oldest */
    size_t count;              /* slots in use */
    size_t unfinished;         /* of them, not finished */
    int64_t next_offset;       /* after the newest delivered record; 0 before the first */
    bool started;              /* a record was delivered */
};

/* Notes a delivered record that needs no work. Offsets rise strictly (asserted). Loop thread. */
void ledger_skip(struct ledger *ledger, int64_t offset);

/* Notes a delivered record whose work begins. Offsets rise strictly (asserted). Loop thread. */
void ledger_begin(struct ledger *ledger, int64_t offset);

/* Notes that the work of an offset given to ledger_begin is finished, once (asserted). Loop thread.
 */
void ledger_finish(struct ledger *ledger, int64_t offset);

/* Gives the offset that may be stored; false before the first record. Loop thread. */
bool ledger_storable(const struct ledger *ledger, int64_t *ret_next_offset);

/* Returns how many events are unfinished. Loop thread. */
size_t ledger_unfinished(const struct ledger *ledger);

/* Frees its memory; it is empty afterwards. Loop thread. */
void ledger_release(struct ledger *ledger);

#endif
