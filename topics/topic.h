/*
 * The contract's first half: one table of topics.
 *
 * Design: TOPIC_TABLE is the only list. The enum, the names, `nodag topics create|list|check|acls`,
 * the README's table and the tests are made from it. A row says what the key is, because the order
 * of records is promised for each key only, and so the number of partitions is fixed when a topic
 * is created.
 *
 * Invariants: names never change their meaning; compacted topics close segments hourly
 * (segment.ms), or little would ever be compacted; max.message.bytes leaves room over the largest
 * body for headers and batch framing.
 */
#ifndef NODAG_TOPICS_TOPIC_H
#define NODAG_TOPICS_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* GitHub's largest webhook body, which is accepted whole: 25 MB as GitHub counts (25 × 2^20). */
#define TOPIC_BODY_MAX_BYTES 26214400

/* max.message.bytes of ordinary topics: 28 MiB. */
#define TOPIC_MESSAGE_MAX_BYTES (28 << 20)

/* max.message.bytes of dead.letters: the original and the reasons, 29 MiB. */
#define TOPIC_DEAD_LETTER_MAX_BYTES (29 << 20)

/* Partitions of the topics that scale, and of those that are one ordered list. */
#define TOPIC_PARTITIONS_MANY 12

/* Most partitions a topic may have here: a bound for arrays indexed by partition. */
#define TOPIC_PARTITIONS_MAX 512

/* How long raw events are kept by default: 90 days. */
#define TOPIC_RETENTION_EVENTS_MS (90LL * 24 * 3600 * 1000)

/* segment.ms of compacted topics: one hour. */
#define TOPIC_SEGMENT_MS (3600LL * 1000)

/* min.compaction.lag.ms of the topics whose past can be asked: 90 days. */
#define TOPIC_LAG_HISTORY_MS (90LL * 24 * 3600 * 1000)

/*
 * Every topic: enum name, name, partitions, cleanup.policy, retention.ms (-1: for ever), segment.ms
 * (-1: broker's default), min.compaction.lag.ms (-1: none), max.message.bytes, compression.type,
 * key, value.
 */
#define TOPIC_TABLE(X)                                                                             \
    X(TOPIC_GITHUB_EVENTS, "github.events", TOPIC_PARTITIONS_MANY, "delete",                       \
      TOPIC_RETENTION_EVENTS_MS, -1, -1, TOPIC_MESSAGE_MAX_BYTES, "zstd",                          \
      "repository-id#number, repository-id, organisation or user id, or event name",               \
      "webhook payload, byte for byte")                                                            \
    X(TOPIC_ISSUES, "issues", TOPIC_PARTITIONS_MANY, "compact", -1, TOPIC_SEGMENT_MS, -1,          \
      TOPIC_MESSAGE_MAX_BYTES, "producer", "repository-id#number", "JSON: the issue as it is now") \
    X(TOPIC_GIT_PUSHES, "git.pushes", TOPIC_PARTITIONS_MANY, "compact", -1, TOPIC_SEGMENT_MS,      \
      TOPIC_LAG_HISTORY_MS, TOPIC_MESSAGE_MAX_BYTES, "producer", "repository-url|ref",             \
      "JSON: one move of a head")                                                                  \
    X(TOPIC_SPECS, "specs", 1, "compact", -1, TOPIC_SEGMENT_MS, TOPIC_LAG_HISTORY_MS,              \
      TOPIC_MESSAGE_MAX_BYTES, "producer", "kind/name",                                            \
      "JSON: the last valid document, and a newer invalid one")                                    \
    X(TOPIC_CLUSTER_OBJECTS, "cluster.objects", TOPIC_PARTITIONS_MANY, "compact", -1,              \
      TOPIC_SEGMENT_MS, -1, TOPIC_MESSAGE_MAX_BYTES, "producer",                                   \
      "cluster|group/version/resource|namespace/name", "JSON: the object")                         \
    X(TOPIC_RUNS, "runs", 1, "compact", -1, TOPIC_SEGMENT_MS, TOPIC_LAG_HISTORY_MS,                \
      TOPIC_MESSAGE_MAX_BYTES, "producer", "run name", "JSON: the run")                            \
    X(TOPIC_MODELS, "models", 1, "compact", -1, TOPIC_SEGMENT_MS, -1, TOPIC_MESSAGE_MAX_BYTES,     \
      "producer", "model/version", "JSON: the model version")                                      \
    X(TOPIC_DEPLOYMENTS, "deployments", 1, "compact", -1, TOPIC_SEGMENT_MS, TOPIC_LAG_HISTORY_MS,  \
      TOPIC_MESSAGE_MAX_BYTES, "producer", "deployment name", "JSON: the deployment")              \
    X(TOPIC_SERVING, "serving", 1, "compact", -1, TOPIC_SEGMENT_MS, -1, TOPIC_MESSAGE_MAX_BYTES,   \
      "producer", "labeler/replica/deployment", "JSON: the version that a replica serves")         \
    X(TOPIC_PREDICTIONS, "predictions", TOPIC_PARTITIONS_MANY, "compact", -1, TOPIC_SEGMENT_MS,    \
      TOPIC_LAG_HISTORY_MS, TOPIC_MESSAGE_MAX_BYTES, "producer", "repository-id#number",           \
      "JSON: one decision with its reasons")                                                       \
    X(TOPIC_PENDING, "pending", TOPIC_PARTITIONS_MANY, "compact", -1, TOPIC_SEGMENT_MS, -1,        \
      TOPIC_MESSAGE_MAX_BYTES, "producer", "reactor|key, in the partition of the key's home",      \
      "JSON: outcome, reason, attempts, not before")                                               \
    X(TOPIC_GAPS, "gaps", 1, "compact", -1, TOPIC_SEGMENT_MS, -1, TOPIC_MESSAGE_MAX_BYTES,         \
      "producer", "door|source|from", "JSON: what may have been missed")                           \
    X(TOPIC_DEAD_LETTERS, "dead.letters", 1, "compact,delete", TOPIC_RETENTION_EVENTS_MS,          \
      TOPIC_SEGMENT_MS, -1, TOPIC_DEAD_LETTER_MAX_BYTES, "producer",                               \
      "topic/partition/offset/consumer", "the original value; why in the headers")

/* The topics of TOPIC_TABLE. */
enum topic {
#define TOPIC_ENUM(id, name, ...) id, /* see TOPIC_TABLE */
    TOPIC_TABLE(TOPIC_ENUM)
#undef TOPIC_ENUM
        TOPIC_COUNT, /* number of topics; no topic */
};

/* One row of TOPIC_TABLE. */
struct topic_row {
    enum topic id;                 /* its place in the enum */
    const char *name;              /* Kafka's name */
    int partitions;                /* at creation */
    const char *cleanup_policy;    /* cleanup.policy */
    int64_t retention_ms;          /* retention.ms; -1: for ever */
    int64_t segment_ms;            /* segment.ms; -1: the broker's default */
    int64_t min_compaction_lag_ms; /* min.compaction.lag.ms; -1: none */
    int64_t message_max_bytes;     /* max.message.bytes */
    const char *compression;       /* compression.type; "producer": as the producer chose */
    const char *key;               /* what the key is, for people */
    const char *value;             /* what the value is, for people */
};

/* Returns the row of a topic < TOPIC_COUNT; static storage. Any thread. */
const struct topic_row *topic_row(enum topic topic);

/* Returns the name of a topic < TOPIC_COUNT. Any thread. */
const char *topic_name(enum topic topic);

/* Finds a topic by name. ERR_NOT_FOUND. Any thread. */
int topic_from_name(const char *name, enum topic *ret_topic) MUST_CHECK;

/* Returns true if the topic is compacted, so that its records can be folded into a table. Any
 * thread. */
bool topic_is_compacted(enum topic topic);

#endif
