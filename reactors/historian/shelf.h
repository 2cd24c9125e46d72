/*
 * The issues of one partition in memory: a row for each, found by repository and number.
 *
 * Design: an open table of pointers (linear probing), each to one block with the row and its packed
 * registers (packed.h). A row says at which offset of the topic `issues` the record stands that has
 * the texts. A partition that goes takes its whole shelf along.
 *
 *      slots:  · r · · r r ·  …      at the hash of (repository id, number), or the next free place
 *
 * Invariant: between a row's hash and its place no place is empty; at most half of the places are
 * used.
 */
#ifndef NODAG_HISTORIAN_SHELF_H
#define NODAG_HISTORIAN_SHELF_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* The offset of a row whose newest record is a tombstone. */
#define SHELF_GONE (-1)

/* One issue; borrowed until the shelf changes. */
struct shelf_row {
    int64_t repository_id; /* of the key */
    int64_t number;        /* of the key */
    int64_t offset;        /* of its record on `issues`, or SHELF_GONE */
    size_t packed_bytes;   /* length */
    uint8_t packed[];      /* see packed.h */
};

/* The rows of a partition. */
struct shelf;

/* Makes an empty one; owned. */
struct shelf *shelf_new(void);

/* Frees it; NULL allowed. */
void shelf_free(struct shelf *shelf);
DEFINE_CLEANUP(struct shelf *, shelf_free)

/* Finds an issue; NULL. Owner's thread. */
const struct shelf_row *shelf_find(const struct shelf *shelf, int64_t repository_id,
                                   int64_t number);

/* Adds an issue or replaces what it had; the bytes are copied. Owner's thread. */
void shelf_put(struct shelf *shelf, int64_t repository_id, int64_t number, int64_t offset,
               const uint8_t *packed, size_t packed_bytes);

/* Removes an issue; nothing happens where it is not there. Owner's thread. */
void shelf_remove(struct shelf *shelf, int64_t repository_id, int64_t number);

/* Returns how many places there are: for walks over shelf_at. Owner's thread. */
size_t shelf_places(const struct shelf *shelf);

/* Returns the row at a place < shelf_places, or NULL. Owner's thread. */
const struct shelf_row *shelf_at(const struct shelf *shelf, size_t place);

/* Returns a number that changes whenever a row may have moved to another place: who walks in turns
 * begins again then. Owner's thread. */
uint64_t shelf_moves(const struct shelf *shelf);

/* Returns how many rows there are. Owner's thread. */
size_t shelf_count(const struct shelf *shelf);

/* Returns the bytes that it holds, without the allocator's own. Owner's thread. */
size_t shelf_bytes(const struct shelf *shelf);

#endif
