/*
 * How a topic should be, and what differs: see topic_plan.h.
 *
 * Design: the configurations of a plan are what is set explicitly, whatever the broker's defaults
 * are; a value of -1 in the topic table for segment.ms or min.compaction.lag.ms leaves the broker's
 * default, and is not compared. retention.bytes is always unlimited: a broker's default in bytes
 * would drop events before their time.
 */
#include "topics/topic_plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int topic_plan_replication(int brokers)
{
    return brokers >= TOPIC_PLAN_REPLICATION ? TOPIC_PLAN_REPLICATION : 1;
}

static void plan_set_text(struct topic_plan *plan, const char *name, const char *value)
{
    assert(plan->config_count < TOPIC_PLAN_CONFIGS_MAX);
    struct topic_plan_config *config = &plan->configs[plan->config_count++];
    config->name = name;
    (void)snprintf(config->value, sizeof(config->value), "%s", value);
}

static void plan_set_number(struct topic_plan *plan, const char *name, int64_t value)
{
    char text[TOPIC_PLAN_VALUE_BYTES];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    plan_set_text(plan, name, text);
}

void topic_plan_make(enum topic topic, int replication, int64_t retention_ms,
                     struct topic_plan *ret_plan)
{
    assert(replication >= 1 && (retention_ms > 0 || retention_ms == -1));
    const struct topic_row *row = topic_row(topic);
    *ret_plan = (struct topic_plan){
        .topic = topic, .partitions = row->partitions, .replication = replication};
    plan_set_text(ret_plan, "cleanup.policy", row->cleanup_policy);
    plan_set_number(ret_plan, "retention.ms",
                    topic == TOPIC_GITHUB_EVENTS ? retention_ms : row->retention_ms);
    plan_set_number(ret_plan, "retention.bytes", -1);
    if (row->segment_ms >= 0)
        plan_set_number(ret_plan, "segment.ms", row->segment_ms);
    if (row->min_compaction_lag_ms >= 0)
        plan_set_number(ret_plan, "min.compaction.lag.ms", row->min_compaction_lag_ms);
    plan_set_number(ret_plan, "max.message.bytes", row->message_max_bytes);
    plan_set_text(ret_plan, "compression.type", row->compression);
    plan_set_number(ret_plan, "min.insync.replicas",
                    replication >= TOPIC_PLAN_REPLICATION ? TOPIC_PLAN_MIN_INSYNC : 1);
}

/* Starts one difference with what was found and wanted. */
static void drift_add(struct topic_drift *drifts, size_t *count, const struct topic_plan *plan,
                      enum topic_drift_kind kind, const char *what, const char *found,
                      const char *wanted)
{
    assert(*count < TOPIC_DRIFTS_MAX);
    struct topic_drift *drift = &drifts[(*count)++];
    *drift = (struct topic_drift){.topic = plan->topic, .kind = kind, .what = what};
    (void)snprintf(drift->found, sizeof(drift->found), "%s", found);
    (void)snprintf(drift->wanted, sizeof(drift->wanted), "%s", wanted);
}

static void drift_add_number(struct topic_drift *drifts, size_t *count,
                             const struct topic_plan *plan, enum topic_drift_kind kind,
                             const char *what, int found, int wanted)
{
    char found_text[16];
    char wanted_text[16];
    (void)snprintf(found_text, sizeof(found_text), "%d", found);
    (void)snprintf(wanted_text, sizeof(wanted_text), "%d", wanted);
    drift_add(drifts, count, plan, kind, what, found_text, wanted_text);
}

/* Two lists of the same policies are the same, whatever their order. */
static bool policies_are_equal(const char *left, const char *right)
{
    bool left_compacts = strstr(left, "compact") != NULL;
    bool left_deletes = strstr(left, "delete") != NULL;
    return left_compacts == (strstr(right, "compact") != NULL) &&
           left_deletes == (strstr(right, "delete") != NULL);
}

static bool values_are_equal(const char *name, const char *found, const char *wanted)
{
    if (strcmp(name, "cleanup.policy") == 0)
        return policies_are_equal(found, wanted);
    return strcmp(found, wanted) == 0;
}

size_t topic_plan_compare(const struct topic_plan *plan, const struct topic_found *found,
                          struct topic_drift ret_drifts[TOPIC_DRIFTS_MAX])
{
    size_t count = 0;
    if (!found->exists) {
        drift_add(ret_drifts, &count, plan, TOPIC_DRIFT_MISSING, "topic", "-", "exists");
        return count;
    }
    if (found->partitions != plan->partitions)
        drift_add_number(ret_drifts, &count, plan, TOPIC_DRIFT_REFUSED, "partitions",
                         found->partitions, plan->partitions);
    if (found->replication < plan->replication)
        drift_add_number(ret_drifts, &count, plan, TOPIC_DRIFT_MANUAL, "replicas",
                         found->replication, plan->replication);
    for (size_t i = 0; i < plan->config_count; i++) {
        const char *name = plan->configs[i].name;
        const char *wanted = plan->configs[i].value;
        if (strcmp(name, "min.insync.replicas") == 0 && found->replication < plan->replication)
            continue; /* with the replicas that are missing it could refuse every record */
        const char *value = found->config(found->argument, name);
        if (value == NULL || !values_are_equal(name, value, wanted))
            drift_add(ret_drifts, &count, plan, TOPIC_DRIFT_FIXABLE, name,
                      value != NULL ? value : "-", wanted);
    }
    return count;
}

const char *topic_drift_advice(enum topic_drift_kind kind)
{
    switch (kind) {
    case TOPIC_DRIFT_MISSING:
        return "`nodag topics create` makes it";
    case TOPIC_DRIFT_FIXABLE:
        return "`nodag topics check --fix` sets it";
    case TOPIC_DRIFT_REFUSED:
        return "refused: keys would move to other partitions and lose their order; "
               "make the topic anew and copy its records";
    case TOPIC_DRIFT_MANUAL:
        return "kafka-reassign-partitions.sh adds replicas";
    }
    return "";
}
