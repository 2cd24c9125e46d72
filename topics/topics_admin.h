/*
 * Administration of topics over librdkafka, for the subcommands of `nodag topics`, and for commands that
 * tell how long records are kept.
 *
 * Design: blocking calls with a timeout each; commands have no loop. What is found is a snapshot,
 * owned by the caller.
 * Source: librdkafka's Admin API (rdkafka.h). AlterConfigs replaces everything that is set on a
 * topic, so admin_alter reads what is set and writes it back together with what changes; librdkafka
 * 2.0.2 has no incremental form.
 */
#ifndef NODAG_TOPICS_TOPICS_ADMIN_H
#define NODAG_TOPICS_TOPICS_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/bus_kafka.h"
#include "topics/topic_plan.h"

/* A connection to the cluster. */
struct admin;

/* One configuration as it was found. */
struct admin_config {
    char *name;        /* owned */
    char *value;       /* owned; NULL: hidden by the broker */
    bool set_on_topic; /* not the broker's default */
};

/* One topic as it was found. */
struct admin_topic {
    bool exists;                  /* false: nothing else holds */
    int partitions;               /* how many */
    int replication;              /* of the partition that has the fewest replicas */
    struct admin_config *configs; /* owned */
    size_t config_count;          /* how many */
};

/* The cluster as it was found. */
struct admin_view {
    int brokers;                            /* how many */
    struct admin_topic topics[TOPIC_COUNT]; /* by topic */
};

/*
 * Makes the connection; nothing is sent yet. Owned. ERR_INPUT, ERR_DENIED as bus_kafka_new. Main
 * thread.
 */
int admin_new(const struct bus_kafka_settings *settings, struct admin **ret_admin,
              struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. Main thread. */
void admin_free(struct admin *admin);
DEFINE_CLEANUP(struct admin *, admin_free)

/*
 * Looks at the cluster: brokers, topics, and if `configs` their configurations. Owned.
 * ERR_UNAVAILABLE, ERR_DENIED, ERR_UNSUPPORTED.
 */
int admin_look(struct admin *admin, bool configs, struct admin_view **ret_view,
               struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. */
void admin_view_free(struct admin_view *view);
DEFINE_CLEANUP(struct admin_view *, admin_view_free)

/* Returns the topic in the form that topic_plan_compare reads; borrows the view. Any thread. */
struct topic_found admin_found(const struct admin_view *view, enum topic topic);

/* Returns the value in force of a configuration (borrowed), NULL if unknown. Any thread. */
const char *admin_config_value(const struct admin_topic *topic, const char *name);

/*
 * Counts the offsets between the beginning and the end of a topic: at most that many records.
 * ERR_UNAVAILABLE, ERR_DENIED.
 */
int admin_count_records(struct admin *admin, enum topic topic, int partitions, int64_t *ret_count,
                        struct error *error) MUST_CHECK;

/*
 * Creates a topic, or only asks whether it could be. ERR_CONFLICT if it exists, ERR_INPUT,
 * ERR_DENIED, ERR_UNAVAILABLE.
 */
int admin_create(struct admin *admin, const struct topic_plan *plan, bool only_validate,
                 struct error *error) MUST_CHECK;

/*
 * Waits until the broker that answers knows all topics of the table: it may learn of them a moment
 * after they were created. ERR_TIMEOUT, and as admin_look.
 */
int admin_wait_created(struct admin *admin, struct error *error) MUST_CHECK;

/*
 * Sets the configurations that the drifts of kind FIXABLE name, and leaves the others as `found`
 * has them. As admin_create.
 */
int admin_alter(struct admin *admin, const struct admin_topic *found,
                const struct topic_drift *drifts, size_t drift_count,
                struct error *error) MUST_CHECK;

#endif
