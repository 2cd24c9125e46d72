/*
 * A world on librdkafka's mock cluster, for the tests of the Kafka bus.
 *
 * Design: each test has a cluster of its own, which runs in the threads of a producer of this
 * process, so that topics are fresh and offsets begin at 0. The loop is real; a test waits for a
 * condition, never for a time, and a deadline that is far away turns a hang into a failure.
 *
 * What the mock cluster cannot do is left to a real Kafka (bus_kafka_test.c runs on one, too):
 * commits during a rebalance, static membership, topic configurations.
 */
#ifndef NODAG_TESTS_UNIT_TOPICS_BUS_KAFKA_WORLD_H
#define NODAG_TESTS_UNIT_TOPICS_BUS_KAFKA_WORLD_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/topics/bus_contract.h"
#include "topics/bus_kafka.h"
#include "topics/bus_kafka_private.h"

/*
 * How long a condition may take before the test fails: groups of the mock cluster take seconds to
 * form.
 */
#define DEADLINE_MS 60000

/*
 * How long a condition may take before the mock broker is started anew. When the broker's thread gets no processor
 * for a second, it may throw out a member that waits in JoinGroup, and then never answers it, which Kafka does not do;
 * librdkafka would wait for max.poll.interval.ms, five minutes. A lost connection makes it join anew.
 */
#define RESTART_MS 15000

/* How often a condition is looked at. */
#define LOOK_MS 2

/*
 * Settings of the clients that make the mock cluster's groups as quick as they can be: its first rebalance takes three
 * seconds, and later ones a second less than a session; a session that is a second longer than both leaves the most
 * room to a busy machine.
 */
static const char test_properties[] = "# for tests\n"
                                      "session.timeout.ms=4000\n"
                                      "\n"
                                      "heartbeat.interval.ms = 100\n";

/* A world on the mock cluster. */
struct kafka_world {
    struct contract_world world;      /* first */
    rd_kafka_t *host;                 /* whose threads run the cluster */
    rd_kafka_mock_cluster_t *cluster; /* NULL on a real Kafka */
    const char *brokers;              /* where it listens */
    char properties_file[64];
    const char *replica; /* of buses opened from now on */
    size_t open_buses;   /* at the end of a test: it failed on its way */
    int64_t message_timeout_ms;
    int64_t queue_max_bytes;
    int state_calls;
    bool reachable;
};

static inline void on_state(void *argument, bool reachable, const char *reason)
{
    struct kafka_world *world = argument;
    assert_non_null(reason);
    world->state_calls++;
    world->reachable = reachable;
}

static inline struct bus *world_open(struct contract_world *contract_world)
{
    struct kafka_world *world = (struct kafka_world *)contract_world;
    const struct bus_kafka_settings settings = {
        .brokers = world->brokers,
        .properties_file = world->properties_file,
        .replica = world->replica,
        .message_timeout_ms = world->message_timeout_ms,
        .queue_max_bytes = world->queue_max_bytes,
    };
    struct bus *bus = NULL;
    struct error error = {0};
    int code =
        bus_kafka_new(world->world.loop, &settings, "test", NULL, on_state, world, &bus, &error);
    if (code != 0)
        fail_msg("%s", error.text);
    world->open_buses++;
    return bus;
}

static inline void world_close(struct contract_world *world, struct bus *bus)
{
    ((struct kafka_world *)world)->open_buses--;
    bus_kafka_free(bus);
}

/* A wait under way. */
struct waiting {
    struct kafka_world *world;
    struct loop *loop;
    struct loop_timer *timer;
    bool (*condition)(void *argument);
    void *argument;
    int64_t deadline_ms;
    int64_t restart_ms;
    bool holds;
};

/* Closes every connection to the mock broker. */
static inline void world_restart_broker(struct kafka_world *world)
{
    print_message("the condition takes long: the mock broker is started anew\n");
    (void)rd_kafka_mock_broker_set_down(world->cluster, 1);
    (void)rd_kafka_mock_broker_set_up(world->cluster, 1);
}

static inline void wait_look(void *argument)
{
    struct waiting *waiting = argument;
    waiting->holds = waiting->condition(waiting->argument);
    if (!waiting->holds && loop_now_ms(waiting->loop) > waiting->restart_ms) {
        waiting->restart_ms = loop_now_ms(waiting->loop) + RESTART_MS;
        if (waiting->world->cluster != NULL)
            world_restart_broker(waiting->world);
    }
    if (waiting->holds || loop_now_ms(waiting->loop) > waiting->deadline_ms)
        loop_stop(waiting->loop);
    else
        loop_timer_set(waiting->timer, LOOK_MS);
}

static inline void world_wait(struct contract_world *world, bool (*condition)(void *argument),
                              void *argument)
{
    int64_t now_ms = loop_now_ms(world->loop);
    struct waiting waiting = {.world = (struct kafka_world *)world,
                              .loop = world->loop,
                              .condition = condition,
                              .argument = argument,
                              .deadline_ms = now_ms + DEADLINE_MS,
                              .restart_ms = now_ms + RESTART_MS};
    waiting.timer = loop_timer_new(world->loop, wait_look, &waiting);
    loop_timer_set(waiting.timer, 0);
    loop_run(world->loop);
    loop_timer_free(waiting.timer);
    if (!waiting.holds)
        fail_msg("the condition did not become true");
}

static inline void write_file(char *path_template, const char *text)
{
    int fd = mkstemp(path_template);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

/* Only what the tests use: a call to the mock cluster may take it a second to notice. */
static const enum topic world_topics[] = {TOPIC_GITHUB_EVENTS, TOPIC_ISSUES, TOPIC_SPECS};

/* Makes the cluster with its topics. */
static inline void world_begin_mock(struct kafka_world *world)
{
    world->host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);
    rd_kafka_set_log_level(world->host, 0);
    world->cluster = rd_kafka_mock_cluster_new(world->host, 1);
    world->brokers = rd_kafka_mock_cluster_bootstraps(world->cluster);
    for (size_t i = 0; i < ARRAY_COUNT(world_topics); i++) {
        const struct topic_row *row = topic_row(world_topics[i]);
        (void)rd_kafka_mock_topic_create(world->cluster, row->name,
                                         row->partitions == 1 ? 1 : CONTRACT_PARTITIONS, 1);
    }
}

/* Makes a world without a cluster yet; clients get these properties. */
static inline struct kafka_world *world_new(const char *properties)
{
    struct kafka_world *world = MEM_NEW(struct kafka_world);
    world->world = (struct contract_world){
        .loop = loop_new_real(), .open = world_open, .close = world_close, .wait = world_wait};
    world->message_timeout_ms = 20000;
    world->queue_max_bytes = 256 << 20;
    (void)snprintf(world->properties_file, sizeof(world->properties_file),
                   "/tmp/nodag-properties-XXXXXX");
    write_file(world->properties_file, properties);
    return world;
}

/*
 * A test that failed on its way leaves buses, groups and timers on the loop: then all of it is left as it is, so that
 * the failure is told, and not the loop's complaint about them.
 */
static inline int world_free(struct kafka_world *world)
{
    (void)unlink(world->properties_file);
    if (world->open_buses > 0) {
        print_error("%zu buses were left open\n", world->open_buses);
        return -1;
    }
    if (world->cluster != NULL) {
        rd_kafka_mock_cluster_destroy(world->cluster);
        rd_kafka_destroy(world->host);
    }
    loop_free(world->world.loop);
    free(world);
    return 0;
}

static inline int world_begin(void **state)
{
    struct kafka_world *world = world_new(test_properties);
    world_begin_mock(world);
    *state = world;
    return 0;
}

static inline int world_end(void **state)
{
    return world_free(*state);
}

static inline struct bus_message small_message(const char *text)
{
    return (struct bus_message){.topic = TOPIC_GITHUB_EVENTS,
                                .partition = BUS_PARTITION_BY_KEY,
                                .key = text,
                                .key_bytes = strlen(text),
                                .value = text,
                                .value_bytes = strlen(text)};
}

static inline bool is_reachable(void *argument)
{
    return ((const struct kafka_world *)argument)->reachable;
}

/* A test with a world of its own. */
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

#endif
