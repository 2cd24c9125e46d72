/*
 * Tests of what topics should be and of the differences that `nodag topics check` reports.
 *
 * Design: a topic that was made by its plan is as it should be; each case of the table changes one
 * thing of it and names the difference that must be found.
 */
#include "topics/topic_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* Ninety days, in milliseconds. */
#define RETENTION_MS 7776000000LL

/* The configurations of a made topic, with one replaced. */
struct made {
    struct topic_plan plan;
    const char *name;  /* of the replaced one; NULL: none */
    const char *value; /* NULL: unknown */
};

static const char *made_config(const void *argument, const char *name)
{
    const struct made *made = argument;
    if (made->name != NULL && strcmp(made->name, name) == 0)
        return made->value;
    for (size_t i = 0; i < made->plan.config_count; i++) {
        if (strcmp(made->plan.configs[i].name, name) == 0)
            return made->plan.configs[i].value;
    }
    return NULL;
}

static struct topic_found make_found(const struct made *made)
{
    return (struct topic_found){.exists = true,
                                .partitions = made->plan.partitions,
                                .replication = made->plan.replication,
                                .config = made_config,
                                .argument = made};
}

static const char *plan_value(const struct topic_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->config_count; i++) {
        if (strcmp(plan->configs[i].name, name) == 0)
            return plan->configs[i].value;
    }
    return NULL;
}

static void test_replication_follows_the_brokers(void **state)
{
    (void)state;
    assert_int_equal(topic_plan_replication(1), 1);
    assert_int_equal(topic_plan_replication(2), 1);
    assert_int_equal(topic_plan_replication(3), 3);
    assert_int_equal(topic_plan_replication(9), 3);
}

static void test_plan_says_what_the_table_says(void **state)
{
    (void)state;
    struct topic_plan plan;
    topic_plan_make(TOPIC_GITHUB_EVENTS, 3, RETENTION_MS, &plan);
    assert_int_equal(plan.partitions, 12);
    assert_string_equal(plan_value(&plan, "cleanup.policy"), "delete");
    assert_string_equal(plan_value(&plan, "retention.ms"), "7776000000");
    assert_string_equal(plan_value(&plan, "compression.type"), "zstd");
    assert_string_equal(plan_value(&plan, "min.insync.replicas"), "2");
    assert_null(plan_value(&plan, "segment.ms"));
    topic_plan_make(TOPIC_SPECS, 1, RETENTION_MS, &plan);
    assert_int_equal(plan.partitions, 1);
    assert_string_equal(plan_value(&plan, "cleanup.policy"), "compact");
    assert_string_equal(plan_value(&plan, "retention.ms"), "-1");
    assert_string_equal(plan_value(&plan, "segment.ms"), "3600000");
    assert_string_equal(plan_value(&plan, "min.compaction.lag.ms"), "7776000000");
    assert_string_equal(plan_value(&plan, "min.insync.replicas"), "1");
}

static void test_a_made_topic_has_no_drift(void **state)
{
    (void)state;
    for (int t = 0; t < TOPIC_COUNT; t++) {
        struct made made = {0};
        struct topic_drift drifts[TOPIC_DRIFTS_MAX];
        topic_plan_make((enum topic)t, 3, RETENTION_MS, &made.plan);
        const struct topic_found found = make_found(&made);
        assert_int_equal(topic_plan_compare(&made.plan, &found, drifts), 0);
    }
}

static void test_each_drift_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value; /* the configuration that is otherwise */
        int partitions;           /* added to the plan's */
        int replication;          /* likewise */
        enum topic_drift_kind kind;
        const char *what, *found, *wanted;
    } cases[] = {
        {NULL, NULL, -6, 0, TOPIC_DRIFT_REFUSED, "partitions", "6", "12"},
        {NULL, NULL, 12, 0, TOPIC_DRIFT_REFUSED, "partitions", "24", "12"},
        {NULL, NULL, 0, -2, TOPIC_DRIFT_MANUAL, "replicas", "1", "3"},
        {"cleanup.policy", "delete", 0, 0, TOPIC_DRIFT_FIXABLE, "cleanup.policy", "delete",
         "compact"},
        {"segment.ms", "604800000", 0, 0, TOPIC_DRIFT_FIXABLE, "segment.ms", "604800000",
         "3600000"},
        {"max.message.bytes", "1048588", 0, 0, TOPIC_DRIFT_FIXABLE, "max.message.bytes", "1048588",
         "29360128"},
        {"min.insync.replicas", "1", 0, 0, TOPIC_DRIFT_FIXABLE, "min.insync.replicas", "1", "2"},
        {"retention.bytes", NULL, 0, 0, TOPIC_DRIFT_FIXABLE, "retention.bytes", "-", "-1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct made made = {.name = cases[i].name, .value = cases[i].value};
        struct topic_drift drifts[TOPIC_DRIFTS_MAX];
        topic_plan_make(TOPIC_ISSUES, 3, RETENTION_MS, &made.plan);
        struct topic_found found = make_found(&made);
        found.partitions += cases[i].partitions;
        found.replication += cases[i].replication;
        assert_int_equal(topic_plan_compare(&made.plan, &found, drifts), 1);
        assert_int_equal(drifts[0].topic, TOPIC_ISSUES);
        assert_int_equal(drifts[0].kind, cases[i].kind);
        assert_string_equal(drifts[0].what, cases[i].what);
        assert_string_equal(drifts[0].found, cases[i].found);
        assert_string_equal(drifts[0].wanted, cases[i].wanted);
        assert_true(strlen(topic_drift_advice(drifts[0].kind)) > 0);
    }
}

static void test_a_missing_topic_is_one_drift(void **state)
{
    (void)state;
    struct topic_plan plan;
    struct topic_drift drifts[TOPIC_DRIFTS_MAX];
    const struct topic_found found = {.exists = false};
    topic_plan_make(TOPIC_RUNS, 1, RETENTION_MS, &plan);
    assert_int_equal(topic_plan_compare(&plan, &found, drifts), 1);
    assert_int_equal(drifts[0].kind, TOPIC_DRIFT_MISSING);
}

static void test_policies_have_no_order(void **state)
{
    (void)state;
    struct made made = {.name = "cleanup.policy", .value = "delete,compact"};
    struct topic_drift drifts[TOPIC_DRIFTS_MAX];
    topic_plan_make(TOPIC_DEAD_LETTERS, 1, RETENTION_MS, &made.plan);
    const struct topic_found found = make_found(&made);
    assert_int_equal(topic_plan_compare(&made.plan, &found, drifts), 0);
    made.value = "compact";
    assert_int_equal(topic_plan_compare(&made.plan, &found, drifts), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replication_follows_the_brokers),
        cmocka_unit_test(test_plan_says_what_the_table_says),
        cmocka_unit_test(test_a_made_topic_has_no_drift),
        cmocka_unit_test(test_each_drift_is_found),
        cmocka_unit_test(test_a_missing_topic_is_one_drift),
        cmocka_unit_test(test_policies_have_no_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
