/*
 * Tests of consuming over Kafka under faults: a group that forgets its member, leaving without a
 * broker, and owners that end things from within their own callbacks.
 *
 * Design: a world of bus_kafka_world.h for each.
 */
#include "tests/unit/topics/bus_kafka_world.h"

static bool member_lost(void *argument)
{
    return ((const struct contract_member *)argument)->lost_count > 0;
}

/*
 * The group forgets the member: it is told that it lost everything, joins again, and reads again
 * what was not committed.
 */
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
    world_close(&world->world, bus);
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
    world_close(&world->world, bus);
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
    assert_int_equal(
        bus_join(bus, TOPIC_GITHUB_EVENTS, "within", &handler, &member, &member.group, &error), 0);
    world_wait(&world->world, contract_member_is_gone, &member);
    world_close(&world->world, bus);
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
    world_close(&world->world, bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_forgotten_member_loses_and_returns),
        IN_WORLD(test_leave_without_broker),
        IN_WORLD(test_leave_from_a_record),
        IN_WORLD(test_free_reader_from_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
