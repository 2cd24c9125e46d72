/*
 * Tests of the Kafka bus on librdkafka's mock cluster, which runs in the threads of a producer of this process: the contract, then
 * faults, settings and the file of properties.
 *
 * Design: each test has a cluster of its own, so that topics are fresh and offsets begin at 0. The loop is real; a test waits
 * for a condition, never for a time, and a deadline that is far away turns a hang into a failure.
 *
 * What the mock cluster cannot do is left to the tests on a real Kafka: static membership, topic configurations.
 */
#include "topics/bus_kafka.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/topics/bus_contract_cases.h"
#include "topics/bus_kafka_private.h"

/* How long a condition may take before the test fails: groups of the mock cluster take seconds to form. */
#define DEADLINE_MS 60000

/* How often a condition is looked at. */
#define LOOK_MS 2

/*
 * Settings of the clients that make the mock cluster's groups as quick as they can be: its first rebalance takes three seconds, in which
 * a session must not expire, and later ones a second less than a session.
 */
static const char test_properties[] = "# for tests\n"
                                      "session.timeout.ms=3500\n"
                                      "\n"
                                      "heartbeat.interval.ms = 100\n";

/* A world on the mock cluster. */
struct kafka_world {
    struct contract_world world; /* first */
    rd_kafka_t *host;            /* whose threads run the cluster */
    rd_kafka_mock_cluster_t *cluster;
    char properties_file[64];
    int64_t message_timeout_ms;
    int64_t queue_max_bytes;
    int state_calls;
    bool reachable;
};

static void on_state(void *argument, bool reachable, const char *reason)
{
    struct kafka_world *world = argument;
    assert_non_null(reason);
    world->state_calls++;
    world->reachable = reachable;
}

static struct bus *world_open(struct contract_world *contract_world)
{
    struct kafka_world *world = (struct kafka_world *)contract_world;
    const struct bus_kafka_settings settings = {
        .brokers = rd_kafka_mock_cluster_bootstraps(world->cluster),
        .properties_file = world->properties_file,
        .message_timeout_ms = world->message_timeout_ms,
        .queue_max_bytes = world->queue_max_bytes,
    };
    struct bus *bus = NULL;
    struct error error = {0};
    int code = bus_kafka_new(world->world.loop, &settings, "test", NULL, on_state, world, &bus,
                             &error);
    if (code != 0)
        fail_msg("%s", error.text);
    return bus;
}

static void world_close(struct contract_world *world, struct bus *bus)
{
    (void)world;
    bus_kafka_free(bus);
}

/* A wait under way. */
struct waiting {
    struct loop *loop;
    struct loop_timer *timer;
    bool (*condition)(void *argument);
    void *argument;
    int64_t deadline_ms;
    bool holds;
};

static void wait_look(void *argument)
{
    struct waiting *waiting = argument;
    waiting->holds = waiting->condition(waiting->argument);
    if (waiting->holds || loop_now_ms(waiting->loop) > waiting->deadline_ms)
        loop_stop(waiting->loop);
    else
        loop_timer_set(waiting->timer, LOOK_MS);
}

static void world_wait(struct contract_world *world, bool (*condition)(void *argument),
                       void *argument)
{
    struct waiting waiting = {.loop = world->loop,
                              .condition = condition,
                              .argument = argument,
                              .deadline_ms = loop_now_ms(world->loop) + DEADLINE_MS};
    waiting.timer = loop_timer_new(world->loop, wait_look, &waiting);
    loop_timer_set(waiting.timer, 0);
    loop_run(world->loop);
    loop_timer_free(waiting.timer);
    if (!waiting.holds) /* told at once: what the teardown finds may end the process */
        print_error("the condition did not become true\n");
    if (!waiting.holds)
        fail_msg("the condition did not become true");
}

static void write_file(char *path_template, const char *text)
{
    int fd = mkstemp(path_template);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static int world_begin(void **state)
{
    struct kafka_world *world = MEM_NEW(struct kafka_world);
    world->world = (struct contract_world){
        .loop = loop_new_real(), .open = world_open, .close = world_close, .wait = world_wait};
    world->message_timeout_ms = 20000;
    world->queue_max_bytes = 256 << 20;
    world->host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);
    rd_kafka_set_log_level(world->host, 0);
    world->cluster = rd_kafka_mock_cluster_new(world->host, 1);
    /* Only what the tests use: a call to the mock cluster may take it a second to notice. */
    static const enum topic topics[] = {TOPIC_GITHUB_EVENTS, TOPIC_ISSUES, TOPIC_SPECS};
    for (size_t i = 0; i < ARRAY_COUNT(topics); i++) {
        const struct topic_row *row = topic_row(topics[i]);
        (void)rd_kafka_mock_topic_create(world->cluster, row->name,
                                         row->partitions == 1 ? 1 : CONTRACT_PARTITIONS, 1);
    }
    (void)snprintf(world->properties_file, sizeof(world->properties_file),
                   "/tmp/nodag-properties-XXXXXX");
    write_file(world->properties_file, test_properties);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct kafka_world *world = *state;
    rd_kafka_mock_cluster_destroy(world->cluster);
    rd_kafka_destroy(world->host);
    (void)unlink(world->properties_file);
    loop_free(world->world.loop);
    free(world);
    return 0;
}

/* Which case of the contract test_contract runs next. */
static size_t contract_index;

static void test_contract(void **state)
{
    struct kafka_world *world = *state;
    contract_cases[contract_index++].run(&world->world);
}

/* ---- faults ---- */

static struct bus_message small_message(const char *text)
{
    return (struct bus_message){.topic = TOPIC_GITHUB_EVENTS,
                                .partition = BUS_PARTITION_BY_KEY,
                                .key = text,
                                .key_bytes = strlen(text),
                                .value = text,
                                .value_bytes = strlen(text)};
}

static bool is_reachable(void *argument)
{
    return ((const struct kafka_world *)argument)->reachable;
}

static bool is_unreachable(void *argument)
{
    return !((const struct kafka_world *)argument)->reachable;
}

/* Errors that pass: the broker refuses a few times, then the record goes through once. */
static void test_passing_errors_are_retried(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    enum { PRODUCE = 0 };
    rd_kafka_mock_push_request_errors(world->cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    struct contract_deliveries deliveries = {0};
    const struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    assert_int_equal(bus_kafka_queue_length(bus), 1);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 0);
    assert_int_equal(bus_kafka_queue_length(bus), 0);
    bus_kafka_free(bus);
}

/* Broker away: the message fails within its timeout, the state says so; the broker is back: so does the next message. */
static void test_broker_away_and_back(void **state)
{
    struct kafka_world *world = *state;
    world->message_timeout_ms = 500;
    struct bus *bus = world_open(&world->world);
    world_wait(&world->world, is_reachable, world);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    struct contract_deliveries deliveries = {0};
    struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    assert_int_equal(deliveries.offset, -1);
    world_wait(&world->world, is_unreachable, world);
    assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
    world_wait(&world->world, is_reachable, world);
    assert_int_equal(world->state_calls, 3);
    message = small_message("2");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    bus_kafka_free(bus);
}

/* A queue at its limit refuses, and what it has is delivered when the broker is back. */
static void test_full_queue_refuses(void **state)
{
    struct kafka_world *world = *state;
    world->queue_max_bytes = 32 << 20;
    struct bus *bus = world_open(&world->world);
    world_wait(&world->world, is_reachable, world);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    struct contract_deliveries deliveries = {0};
    CLEANUP(mem_free) char *value = mem_alloc(10 << 20);
    const struct bus_message message = {.topic = TOPIC_ISSUES,
                                        .partition = 0,
                                        .key = "k",
                                        .key_bytes = 1,
                                        .value = value,
                                        .value_bytes = 10 << 20};
    for (int i = 0; i < 3; i++)
        contract_publish(bus, &deliveries, &message);
    assert_int_equal(bus_publish(bus, &message, contract_on_delivered, &deliveries),
                     ERR_QUEUE_FULL);
    assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 0);
    bus_kafka_free(bus);
}

/* A partition that does not exist is no accident of the caller's thread: the answer comes by `delivered`. */
static void test_unknown_partition_is_answered(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    struct contract_deliveries deliveries = {0};
    struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    message.partition = CONTRACT_PARTITIONS;
    message.take_value = true;
    message.value = mem_copy_text("1");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    bus_kafka_free(bus);
}

static bool producer_has_handle(void *argument)
{
    return kafka_producer_handle(kafka_bus_of(argument)->producer) != NULL;
}

/* A fatal error of the producer: what was under way is answered, and publishing goes on with a new one. */
static void test_fatal_producer_is_made_anew(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    world_wait(&world->world, is_reachable, world);
    rd_kafka_t *first = kafka_producer_handle(kafka_bus_of(bus)->producer);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    struct contract_deliveries deliveries = {0};
    struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    assert_int_equal(rd_kafka_test_fatal_error(first, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test"), 0);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
    world_wait(&world->world, producer_has_handle, bus);
    assert_ptr_not_equal(kafka_producer_handle(kafka_bus_of(bus)->producer), first);
    message = small_message("2");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    bus_kafka_free(bus);
}

/* A bus that is freed tells the owners of what is still queued. */
static void test_free_cancels(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    struct contract_deliveries deliveries = {0};
    const struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    contract_publish(bus, &deliveries, &message);
    bus_kafka_free(bus);
    assert_int_equal(deliveries.delivered, 2);
    assert_int_equal(deliveries.failed, 2);
}

/* What a flush said. */
struct flush {
    bool done;
    size_t still_queued;
};

static void on_flushed(void *argument, size_t still_queued)
{
    struct flush *flush = argument;
    assert_false(flush->done);
    flush->done = true;
    flush->still_queued = still_queued;
}

static bool flush_is_done(void *argument)
{
    return ((const struct flush *)argument)->done;
}

static void test_flush(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    struct flush empty = {0};
    bus_kafka_flush(bus, 10000, on_flushed, &empty);
    assert_false(empty.done);
    world_wait(&world->world, flush_is_done, &empty);
    struct contract_deliveries deliveries = {0};
    struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    struct flush full = {0};
    bus_kafka_flush(bus, DEADLINE_MS, on_flushed, &full);
    world_wait(&world->world, flush_is_done, &full);
    assert_int_equal(full.still_queued, 0);
    assert_int_equal(deliveries.delivered, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    contract_publish(bus, &deliveries, &message);
    struct flush late = {0};
    bus_kafka_flush(bus, 100, on_flushed, &late);
    world_wait(&world->world, flush_is_done, &late);
    assert_int_equal(late.still_queued, 1);
    bus_kafka_free(bus);
}

/* ---- groups under faults ---- */

static bool member_lost(void *argument)
{
    return ((const struct contract_member *)argument)->lost_count > 0;
}

/* The group forgets the member: it is told that it lost everything, joins again, and reads again what was not committed. */
static void test_forgotten_member_loses_and_returns(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    contract_fill(&world->world, bus, TOPIC_GITHUB_EVENTS, 0, 20);
    struct contract_member member = {.wanted_owned = CONTRACT_PARTITIONS, .wanted_records = 20};
    contract_member_join(bus, "forgotten", &member);
    world_wait(&world->world, contract_member_has, &member);
    enum { HEARTBEAT = 12 };
    rd_kafka_mock_push_request_errors(world->cluster, HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    world_wait(&world->world, member_lost, &member);
    member.wanted_records = 40;
    world_wait(&world->world, contract_member_has, &member);
    contract_member_leave(&world->world, &member);
    bus_kafka_free(bus);
}

/* Leaving while no broker answers ends within its deadline. */
static void test_leave_without_broker(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    struct contract_member member = {.wanted_owned = CONTRACT_PARTITIONS};
    contract_member_join(bus, "alone", &member);
    world_wait(&world->world, contract_member_has, &member);
    assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
    contract_member_leave(&world->world, &member);
    bus_kafka_free(bus);
}

/* Leaves its group from within a record. */
static void leave_on_record(void *argument, const struct bus_record *record)
{
    (void)record;
    struct contract_member *member = argument;
    bus_group_leave(member->group, contract_member_left, member);
}

static void test_leave_from_a_record(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    contract_fill(&world->world, bus, TOPIC_GITHUB_EVENTS, 0, 20);
    struct contract_member member = {0};
    struct error error = {0};
    struct bus_group_handler handler = contract_group_handler;
    handler.record = leave_on_record;
    assert_int_equal(bus_join(bus, TOPIC_GITHUB_EVENTS, "within", &handler, &member, &member.group,
                              &error),
                     0);
    world_wait(&world->world, contract_member_is_gone, &member);
    bus_kafka_free(bus);
}

/* Frees its reader from within a record. */
static void free_on_record(void *argument, const struct bus_record *record)
{
    (void)record;
    struct contract_reader *reader = argument;
    assert_non_null(reader->reader);
    bus_reader_free(TAKE(reader->reader));
    reader->record_count++;
}

static void test_free_reader_from_a_record(void **state)
{
    struct kafka_world *world = *state;
    struct bus *bus = world_open(&world->world);
    contract_fill(&world->world, bus, TOPIC_SPECS, 0, 20);
    struct contract_reader reader = {.wanted_records = 1};
    struct error error = {0};
    const struct bus_reader_handler handler = {.record = free_on_record,
                                               .caught_up = contract_reader_caught_up};
    assert_int_equal(bus_read(bus, TOPIC_SPECS, &handler, &reader, &reader.reader, &error), 0);
    reader.added[0] = true;
    bus_reader_add(reader.reader, 0);
    world_wait(&world->world, contract_reader_has, &reader);
    contract_run_for(&world->world, CONTRACT_QUIET_MS);
    assert_int_equal(reader.record_count, 1);
    bus_kafka_free(bus);
}

/* ---- the file of properties ---- */

static void test_properties_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *names; /* what the error must name */
        const char *hides; /* what it must not */
    } cases[] = {
        {"", 0, NULL, NULL},
        {"\r\n  # comment = x\r\n security.protocol = plaintext \r\n", 0, NULL, NULL},
        {"sasl.password=a=b#c", 0, NULL, NULL},
        {"acks=1", ERR_DENIED, ":1", NULL},
        {"\n\nenable.idempotence=false", ERR_DENIED, ":3", NULL},
        {"bootstrap.servers=x:1", ERR_DENIED, "--brokers", NULL},
        {"group.instance.id=x", ERR_DENIED, "--replica", NULL},
        {"partitioner=random", ERR_DENIED, "partitioner", NULL},
        {"no.such.property=hunter2", ERR_INPUT, "no.such.property", "hunter2"},
        {"security.protocol=hunter2", ERR_INPUT, "security.protocol", "hunter2"},
        {"sasl.password=hunter2\nsasl.password=x", ERR_INPUT, ":2", "hunter2"},
        {"hunter2", ERR_INPUT, "name=value", "hunter2"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char path[] = "/tmp/nodag-properties-XXXXXX";
        struct kafka_properties properties;
        struct error error = {0};
        write_file(path, cases[i].text);
        int code = kafka_properties_read(path, &properties, &error);
        kafka_properties_release(&properties);
        (void)unlink(path);
        if (code != cases[i].code)
            fail_msg("case %zu: %s %s", i, err_name(code), error.text);
        if (cases[i].names != NULL)
            assert_non_null(strstr(error.text, cases[i].names));
        if (cases[i].hides != NULL)
            assert_null(strstr(error.text, cases[i].hides));
    }
    struct kafka_properties properties;
    struct error error = {0};
    assert_int_equal(kafka_properties_read("/nonexistent/file", &properties, &error),
                     ERR_NOT_FOUND);
    kafka_properties_release(&properties);
}

/* No handle can be made without what carries a promise, whatever the defaults of librdkafka become. */
static void test_promises_are_set(void **state)
{
    (void)state;
    static const struct {
        enum kafka_role role;
        const char *name, *value;
    } cases[] = {
        {KAFKA_PRODUCER, "acks", "-1"},
        {KAFKA_PRODUCER, "enable.idempotence", "true"},
        {KAFKA_PRODUCER, "partitioner", "murmur2_random"},
        {KAFKA_PRODUCER, "message.timeout.ms", "5000"},
        {KAFKA_PRODUCER, "queue.buffering.max.kbytes", "32768"},
        {KAFKA_PRODUCER, "allow.auto.create.topics", "false"},
        {KAFKA_GROUP, "group.id", "g"},
        {KAFKA_GROUP, "group.instance.id", "pod-0"},
        {KAFKA_GROUP, "enable.auto.offset.store", "false"},
        {KAFKA_GROUP, "isolation.level", "read_committed"},
        {KAFKA_GROUP, "auto.offset.reset", "smallest"},
        {KAFKA_GROUP, "partition.assignment.strategy", "range,roundrobin"},
        {KAFKA_READER, "enable.auto.commit", "false"},
        {KAFKA_READER, "isolation.level", "read_committed"},
        {KAFKA_READER, "enable.partition.eof", "true"},
    };
    const struct bus_kafka_settings settings = {.brokers = "127.0.0.1:1",
                                                .replica = "pod-0",
                                                .message_timeout_ms = 5000,
                                                .queue_max_bytes = 32 << 20};
    const struct kafka_properties none = {.count = 0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rd_kafka_conf_t *conf = NULL;
        struct error error = {0};
        char value[64];
        size_t value_bytes = sizeof(value);
        assert_int_equal(
            kafka_conf_new(&settings, &none, "test", cases[i].role, "g", &conf, &error), 0);
        assert_int_equal(rd_kafka_conf_get(conf, cases[i].name, value, &value_bytes),
                         RD_KAFKA_CONF_OK);
        assert_string_equal(value, cases[i].value);
        rd_kafka_conf_destroy(conf);
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
    enum { CONTRACT_COUNT = ARRAY_COUNT(contract_cases) };
    struct CMUnitTest tests[CONTRACT_COUNT + 12] = {
        [CONTRACT_COUNT] = IN_WORLD(test_passing_errors_are_retried),
        IN_WORLD(test_broker_away_and_back),
        IN_WORLD(test_full_queue_refuses),
        IN_WORLD(test_unknown_partition_is_answered),
        IN_WORLD(test_fatal_producer_is_made_anew),
        IN_WORLD(test_free_cancels),
        IN_WORLD(test_flush),
        IN_WORLD(test_forgotten_member_loses_and_returns),
        IN_WORLD(test_leave_without_broker),
        IN_WORLD(test_leave_from_a_record),
        IN_WORLD(test_free_reader_from_a_record),
        cmocka_unit_test(test_properties_are_checked),
    };
    for (size_t i = 0; i < CONTRACT_COUNT; i++) {
        tests[i] = (struct CMUnitTest)IN_WORLD(test_contract);
        tests[i].name = contract_cases[i].name;
    }
    static const struct CMUnitTest more[] = {cmocka_unit_test(test_promises_are_set)};
    int failed = cmocka_run_group_tests(more, NULL, NULL);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
