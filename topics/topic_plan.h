/*
 * How a topic should be in a cluster, how it is, and what differs: pure, without any Kafka.
 *
 * Design: a plan is a row of the topic table together with what depends on the cluster
 * (replication) and on the operator (how long raw events are kept). Comparing it with what was
 * found gives one line for each difference, with what may be done about it.
 *
 * Invariant: a difference in the number of partitions is never to be altered: the keys would move
 * to other partitions, and with them the order of their records.
 */
#ifndef NODAG_TOPICS_TOPIC_PLAN_H
#define NODAG_TOPICS_TOPIC_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "topics/topic.h"

/* Most configurations that a plan sets. */
#define TOPIC_PLAN_CONFIGS_MAX 10

/* Longest value of a configuration that a plan sets, with its NUL. */
#define TOPIC_PLAN_VALUE_BYTES 32

/*
 * Replicas of a topic where the cluster has enough brokers, and how many must have a record then.
 */
#define TOPIC_PLAN_REPLICATION 3
/* See above: one replica may be away. */
#define TOPIC_PLAN_MIN_INSYNC 2

/* Most differences of one topic: partitions, replicas and each configuration. */
#define TOPIC_DRIFTS_MAX (TOPIC_PLAN_CONFIGS_MAX + 2)

/* One configuration of a topic. */
struct topic_plan_config {
    const char *name;                   /* static storage */
    char value[TOPIC_PLAN_VALUE_BYTES]; /* as Kafka writes it */
};

/* How a topic should be. */
struct topic_plan {
    enum topic topic;                                         /* which */
    int partitions;                                           /* how many */
    int replication;                                          /* replicas of each */
    struct topic_plan_config configs[TOPIC_PLAN_CONFIGS_MAX]; /* what is set on the topic */
    size_t config_count;                                      /* how many */
};

/* What may be done about a difference. */
enum topic_drift_kind {
    TOPIC_DRIFT_MISSING, /* the topic is not there: `create` makes it */
    TOPIC_DRIFT_FIXABLE, /* a configuration: `check --fix` sets it */
    TOPIC_DRIFT_REFUSED, /* partitions: nothing in place; the order of keys would break */
    TOPIC_DRIFT_MANUAL,  /* replicas: Kafka's own tools move data */
};

/* One difference. */
struct topic_drift {
    enum topic topic;           /* of which topic */
    enum topic_drift_kind kind; /* what may be done */
    const char *what; /* partitions, replicas or the configuration's name; static storage */
    char found[64];   /* as it is; "-" if absent */
    char wanted[64];  /* as it should be */
};

/* How a topic was found. */
struct topic_found {
    bool exists;     /* false: nothing else holds */
    int partitions;  /* how many */
    int replication; /* replicas of the partition that has the fewest */
    /* Returns the value in force of a configuration (borrowed), NULL if unknown. */
    const char *(*config)(const void *argument, const char *name);
    const void *argument; /* of config */
};

/*
 * Returns the replication for a cluster of `brokers` ≥ 1 brokers: 3, or 1 where there are fewer
 * than three. Any thread.
 */
int topic_plan_replication(int brokers);

/*
 * Writes the plan of a topic; replication ≥ 1, retention of raw events in milliseconds > 0 or -1
 * for ever. Any thread.
 */
void topic_plan_make(enum topic topic, int replication, int64_t retention_ms,
                     struct topic_plan *ret_plan);

/*
 * Compares; writes the differences and returns how many. min.insync.replicas is held against the
 * replication found: a topic with one replica must not want two. Any thread.
 */
size_t topic_plan_compare(const struct topic_plan *plan, const struct topic_found *found,
                          struct topic_drift ret_drifts[TOPIC_DRIFTS_MAX]);

/* Returns what a person may do about a kind of difference; static storage. Any thread. */
const char *topic_drift_advice(enum topic_drift_kind kind);

#endif
