/*
 * Records read back from the topic `issues`, for their texts: by partition and offset.
 *
 * Design: one reader of its own; of each partition one record at a time, the others wait in line.
 *
 * Invariant: a wait ends with `found` once, later, unless it is cancelled.
 */
#ifndef NODAG_HISTORIAN_READ_BACK_H
#define NODAG_HISTORIAN_READ_BACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/bus.h"
#include "topics/issue_record.h"

/* The reading. */
struct read_back;

/* One wait. */
struct read_back_wait;

/* Tells what was found: the record (taken), or NULL where nothing readable stands there. */
typedef void (*read_back_fn)(void *argument, struct issue_record *record);

/* Makes it; `bus` is borrowed. Owned. ERR_INPUT, ERR_DENIED from the bus. Loop thread. */
int read_back_new(struct bus *bus, struct read_back **ret_read_back,
                  struct error *error) MUST_CHECK;

/* Frees it; nobody waits any more. NULL allowed. Loop thread. */
void read_back_free(struct read_back *read_back);
DEFINE_CLEANUP(struct read_back *, read_back_free)

/* Reads one record; the wait is freed when it ends or by read_back_cancel. Loop thread. */
struct read_back_wait *read_back_begin(struct read_back *read_back, int32_t partition,
                                       int64_t offset, read_back_fn found, void *argument);

/* Ends a wait without a word; NULL allowed. Loop thread. */
void read_back_cancel(struct read_back_wait *wait);

#endif
