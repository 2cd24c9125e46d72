/*
 * The contract of topics/bus.h on the Kafka bus.
 *
 * Design: each case of bus_contract_cases.h in a world of bus_kafka_world.h. Groups of the mock
 * cluster take seconds to form, so this test is slow and idle. With NODAG_TEST_KAFKA=HOST:PORT the
 * cases run on that Kafka instead, whose topics of nodag's names are DELETED and made anew for each
 * case: it must be one that was started for this.
 */
#include "tests/unit/topics/bus_contract_cases.h"
#include "tests/unit/topics/bus_kafka_world.h"
#include "topics/topics_admin.h"

/* Names the Kafka to run on. */
#define KAFKA_VARIABLE "NODAG_TEST_KAFKA"

/* How often a topic that is being deleted is tried to be made: Kafka deletes in the background. */
#define CREATE_TRIES 200

/* Which case of the contract test_contract runs next. */
static size_t contract_index;

static void test_contract(void **state)
{
    struct kafka_world *world = *state;
    contract_cases[contract_index++].run(&world->world);
}

/* ---- a real Kafka ---- */

/* Deletes the topics of the tests, where they exist. */
static void delete_topics(const char *brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0), 0);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(handle);
    rd_kafka_DeleteTopic_t *topics[ARRAY_COUNT(world_topics)];
    for (size_t i = 0; i < ARRAY_COUNT(world_topics); i++)
        topics[i] = rd_kafka_DeleteTopic_new(topic_name(world_topics[i]));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_DeleteTopics(handle, topics, ARRAY_COUNT(world_topics), NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, DEADLINE_MS);
    assert_non_null(event);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteTopic_destroy_array(topics, ARRAY_COUNT(world_topics));
    rd_kafka_destroy(handle);
}

static void create_topics(const struct bus_kafka_settings *settings)
{
    struct error error = {0};
    CLEANUP(admin_free) struct admin *admin = NULL;
    assert_int_equal(admin_new(settings, &admin, &error), 0);
    for (size_t i = 0; i < ARRAY_COUNT(world_topics); i++) {
        struct topic_plan plan;
        topic_plan_make(world_topics[i], 1, -1, &plan);
        if (plan.partitions > 1)
            plan.partitions = CONTRACT_PARTITIONS;
        int code = ERR_CONFLICT;
        for (int tries = 0; tries < CREATE_TRIES && code == ERR_CONFLICT; tries++)
            code = admin_create(admin, &plan, false, &error);
        if (code != 0)
            fail_msg("%s", error.text);
    }
}

static int real_begin(void **state)
{
    struct kafka_world *world = world_new("heartbeat.interval.ms=100\n");
    world->brokers = getenv(KAFKA_VARIABLE);
    world->world.commits_at_give_up = true;
    delete_topics(world->brokers);
    create_topics(&(struct bus_kafka_settings){.brokers = world->brokers});
    *state = world;
    return 0;
}

static bool member_lost(void *argument)
{
    return ((const struct contract_member *)argument)->lost_count > 0;
}

/*
 * Two processes with one name throw each other out; the loser is told, tries again, and works when
 * the other has gone.
 */
static void test_two_with_one_name(void **state)
{
    struct kafka_world *world = *state;
    world->replica = "pod-0";
    struct bus *left_bus = world_open(&world->world);
    struct bus *right_bus = world_open(&world->world);
    struct contract_member left = {.wanted_owned = CONTRACT_PARTITIONS};
    struct contract_member right = {.wanted_owned = CONTRACT_PARTITIONS};
    contract_member_join(left_bus, "one-name", &left);
    world_wait(&world->world, contract_member_has, &left);
    contract_member_join(right_bus, "one-name", &right);
    world_wait(&world->world, member_lost, &left);
    world_wait(&world->world, contract_member_has, &right);
    contract_member_leave(&world->world, &right);
    world_wait(&world->world, contract_member_has, &left);
    contract_member_leave(&world->world, &left);
    world_close(&world->world, left_bus);
    world_close(&world->world, right_bus);
}

/*
 * A static member that comes back within its session has its partitions at once, without a
 * rebalance of the others.
 */
static void test_name_keeps_partitions(void **state)
{
    struct kafka_world *world = *state;
    world->replica = "pod-0";
    struct bus *left_bus = world_open(&world->world);
    world->replica = "pod-1";
    struct bus *right_bus = world_open(&world->world);
    struct contract_member left = {0};
    struct contract_member right = {0};
    contract_member_join(left_bus, "names", &left);
    contract_member_join(right_bus, "names", &right);
    struct contract_pair pair = {.left = &left, .right = &right};
    world_wait(&world->world, contract_pair_owns_all, &pair);
    contract_member_leave(&world->world, &right);
    size_t assigned = left.owned_count;
    struct contract_member back = {.wanted_owned = CONTRACT_PARTITIONS - assigned};
    left.holds = true; /* a rebalance would leave it asked */
    contract_member_join(right_bus, "names", &back);
    world_wait(&world->world, contract_member_has, &back);
    assert_false(left.asked);
    assert_int_equal(left.owned_count, assigned);
    contract_member_leave(&world->world, &left);
    contract_member_leave(&world->world, &back);
    world_close(&world->world, left_bus);
    world_close(&world->world, right_bus);
}

/* What the mock cluster cannot do. */
static const struct CMUnitTest real_tests[] = {
    cmocka_unit_test_setup_teardown(test_two_with_one_name, real_begin, world_end),
    cmocka_unit_test_setup_teardown(test_name_keeps_partitions, real_begin, world_end),
};

int main(void)
{
    struct CMUnitTest tests[ARRAY_COUNT(contract_cases)];
    for (size_t i = 0; i < ARRAY_COUNT(contract_cases); i++) {
        tests[i] = (struct CMUnitTest)IN_WORLD(test_contract);
        tests[i].name = contract_cases[i].name;
        if (getenv(KAFKA_VARIABLE) == NULL)
            continue;
        tests[i].setup_func = real_begin;
        tests[i].teardown_func = world_end;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (getenv(KAFKA_VARIABLE) != NULL)
        failed += cmocka_run_group_tests(real_tests, NULL, NULL);
    return failed;
}
