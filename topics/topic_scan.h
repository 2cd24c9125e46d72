/*
 * Reading a whole topic, or its end, for a command: all partitions without a group, and then what
 * comes.
 *
 * Design: a simple consumer on the loop, as bus_kafka_reader.c, but it can start anywhere and it
 * tells when all partitions were read to their end. It needs no producer and no group, and so no
 * right but to read. Opening blocks for some round trips: commands may, daemons use bus_read.
 *
 * Invariants: callbacks run on the loop; a record is borrowed for the callback; `failed` is called
 * at most once and nothing after it.
 */
#ifndef NODAG_TOPICS_TOPIC_SCAN_H
#define NODAG_TOPICS_TOPIC_SCAN_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "topics/bus.h"
#include "topics/bus_kafka.h"

/* Where a scan starts in each partition. */
struct scan_start {
    enum {
        SCAN_FROM_BEGINNING, /* at the oldest record */
        SCAN_FROM_LAST,      /* `value` offsets before the end */
        SCAN_FROM_TIME,      /* at the first record that is not older than `value`, ms since 1970 */
    } kind;
    int64_t value; /* see above */
};

/* What the owner is told. */
struct scan_handler {
    /* One record, oldest first within its partition. */
    void (*record)(void *argument, const struct bus_record *record);
    /* Every partition was read to its end once. */
    void (*caught_up)(void *argument);
    /* It cannot go on; the text says why. */
    void (*failed)(void *argument, const struct error *error);
};

/* A scan. */
struct topic_scan;

/*
 * Starts a scan; the handler is borrowed. Owned. ERR_NOT_FOUND if the cluster has no such topic,
 * ERR_UNAVAILABLE, ERR_DENIED, ERR_INPUT. Blocks for up to some seconds. Loop thread.
 */
int topic_scan_new(struct loop *loop, const struct bus_kafka_settings *settings, enum topic topic,
                   struct scan_start start, const struct scan_handler *handler, void *argument,
                   struct topic_scan **ret_scan, struct error *error) MUST_CHECK;

/* Ends it; not from within its callbacks. NULL allowed. Loop thread. */
void topic_scan_free(struct topic_scan *scan);
DEFINE_CLEANUP(struct topic_scan *, topic_scan_free)

#endif
