/*
 * Tests of publishing over Kafka under faults: refusals, a broker that is away, a full queue, fatal
 * errors, flushing.
 *
 * Design: a world of bus_kafka_world.h for each; the mock cluster refuses requests or goes down on
 * demand.
 */
#include "tests/unit/topics/bus_kafka_world.h"

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
    rd_kafka_mock_push_request_errors(
        world->cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    struct contract_deliveries deliveries = {0};
    const struct bus_message message = small_message("1");
    contract_publish(bus, &deliveries, &message);
    assert_int_equal(bus_kafka_queue_length(bus), 1);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 0);
    assert_int_equal(bus_kafka_queue_length(bus), 0);
    world_close(&world->world, bus);
}

/*
 * Broker away: the message fails within its timeout, the state says so; the broker is back: so does
 * the next message.
 */
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
    world_close(&world->world, bus);
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
    world_close(&world->world, bus);
}

/*
 * A partition that does not exist is no accident of the caller's thread: the answer comes by
 * `delivered`.
 */
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
    world_close(&world->world, bus);
}

static bool producer_has_handle(void *argument)
{
    return kafka_producer_handle(kafka_bus_of(argument)->producer) != NULL;
}

/*
 * A fatal error of the producer: what was under way is answered, and publishing goes on with a new
 * one.
 */
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
    assert_int_equal(
        rd_kafka_test_fatal_error(first, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test"),
        0);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
    world_wait(&world->world, producer_has_handle, bus);
    assert_ptr_not_equal(kafka_producer_handle(kafka_bus_of(bus)->producer), first);
    message = small_message("2");
    contract_publish(bus, &deliveries, &message);
    world_wait(&world->world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 1);
    world_close(&world->world, bus);
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
    world_close(&world->world, bus);
    assert_int_equal(deliveries.delivered, 2);
    assert_int_equal(deliveries.failed, 2);
}

/* ---- flushing ---- */

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
    world_close(&world->world, bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_passing_errors_are_retried),
        IN_WORLD(test_broker_away_and_back),
        IN_WORLD(test_full_queue_refuses),
        IN_WORLD(test_unknown_partition_is_answered),
        IN_WORLD(test_fatal_producer_is_made_anew),
        IN_WORLD(test_free_cancels),
        IN_WORLD(test_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
