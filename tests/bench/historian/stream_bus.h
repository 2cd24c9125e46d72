/*
 * A bus that makes its records when they are asked for and forgets what is published: so that a million events cost no memory of
 * their own.
 *
 * Design: `make_event` and `make_issue` fill in the record with a number; the bus delivers them in batches, acknowledges publishes on
 * the loop's next turn, and counts. Nothing is stored, so nothing can be read back: events must come in the order of their times.
 */
#ifndef NODAG_TESTS_BENCH_HISTORIAN_STREAM_BUS_H
#define NODAG_TESTS_BENCH_HISTORIAN_STREAM_BUS_H

#include <stdint.h>

#include "base/loop.h"
#include "topics/bus.h"

/* Fills in the record number `index` (all but partition and offset); what it points to stays until the next call. */
typedef void (*stream_make_fn)(int64_t index, struct bus_record *ret_record);

/* What is streamed. */
struct stream_settings {
    int64_t events;            /* of github.events */
    int64_t issues;            /* records of `issues` at boot */
    stream_make_fn make_event; /* see above */
    stream_make_fn make_issue; /* see above */
};

/* What has happened. */
struct stream_counts {
    int64_t delivered;       /* events */
    int64_t loaded;          /* records of `issues` */
    int64_t published;       /* acknowledged */
    int64_t published_bytes; /* of values */
    int64_t stored; /* sum of the stored offsets: all events are finished when it is their number */
};

/* The bus. */
struct stream_bus;

/* Makes it; owned. */
struct stream_bus *stream_bus_new(struct loop *loop, const struct stream_settings *settings);

/* Frees it; groups must have left. */
void stream_bus_free(struct stream_bus *stream);

/* Its interface; borrowed. */
struct bus *stream_bus_interface(struct stream_bus *stream);

/* Its counts; borrowed. */
const struct stream_counts *stream_bus_counts(const struct stream_bus *stream);

#endif
