/*
 * The bus in memory: topics as arrays, delivery in an order drawn from the loop's seed. See bus.h
 * for the contract.
 *
 * Design: `struct bus_memory` is the cluster: it outlives the processes of a simulation. Each
 * simulated process opens its own `struct bus` on it and is killed by bus_memory_close (nothing
 * more is delivered, nothing is stored, membership is lost at once). Records within a partition
 * keep their order; everything else is interleaved by chance: delivery of records,
 * acknowledgements, rebalances. Faults can be set: publishing fails or is acknowledged late or
 * never (and then stands in the topic or not), records are delivered again after a rebalance from
 * the last committed offset, as with Kafka.
 *
 * Invariants: a function of the loop's seed and the calls; keys choose partitions by murmur2 as in
 * Kafka.
 */
#ifndef NODAG_TOPICS_BUS_MEMORY_H
#define NODAG_TOPICS_BUS_MEMORY_H

#include "base/cleanup.h"
#include "base/loop.h"
#include "topics/bus.h"

/* A cluster in memory. */
struct bus_memory;

/* Faults, as chances in 1/1000 for each occasion; all 0 by default. */
struct bus_memory_faults {
    unsigned publish_refused; /* publish returns ERR_QUEUE_FULL */
    unsigned publish_failed;  /* delivered with ERR_TIMEOUT, record not in the topic */
    unsigned publish_unsure;  /* delivered with ERR_TIMEOUT, record in the topic */
    unsigned rebalance;       /* per delivered record: partitions are taken away and given back */
    int64_t delay_max_ms;     /* records and acknowledgements are delayed by up to this */
};

/* Makes a cluster with all topics of the table (`many` partitions where the table says many);
 * owned. */
struct bus_memory *bus_memory_new(struct loop *loop, int32_t many);

/* Sets the faults from now on. */
void bus_memory_set_faults(struct bus_memory *cluster, const struct bus_memory_faults *faults);

/* Frees the cluster; its buses must have been closed. NULL allowed. */
void bus_memory_free(struct bus_memory *cluster);
DEFINE_CLEANUP(struct bus_memory *, bus_memory_free)

/* Opens a connection for one simulated process; owned, ended by bus_memory_close. */
struct bus *bus_memory_open(struct bus_memory *cluster);

/*
 * Kills the connection: publishes in flight may or may not stand in their topics and are told
 * ERR_CANCELLED, so that their owners can free what waits; no callback after this. NULL allowed.
 */
void bus_memory_close(struct bus *bus);

/* Returns the number of records of a partition. */
int64_t bus_memory_end(const struct bus_memory *cluster, enum topic topic, int32_t partition);

/* Reads one record (borrowed until the cluster is freed). Asserts that it exists. */
const struct bus_record *bus_memory_record(const struct bus_memory *cluster, enum topic topic,
                                           int32_t partition, int64_t offset);

/* Returns the newest record of a key, or NULL; borrowed. */
const struct bus_record *bus_memory_latest(const struct bus_memory *cluster, enum topic topic,
                                           const char *key);

/* Returns the committed offset of a group, 0 if none. */
int64_t bus_memory_committed(const struct bus_memory *cluster, const char *group_name,
                             enum topic topic, int32_t partition);

/* Appends a record at once, from outside of any simulated process (a test's webhook). Returns its
 * offset. */
int64_t bus_memory_append(struct bus_memory *cluster, const struct bus_message *message);

#endif
