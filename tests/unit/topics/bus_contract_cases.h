/*
 * The contract of topics/bus.h as test cases that every implementation must pass; bus_memory_test.c
 * and bus_kafka_test.c run contract_cases[] in worlds of their own.
 *
 * Design: one function a case, over the helpers of bus_contract.h.
 *
 * Invariants: a case leaves no group, reader or bus behind; topics are fresh for each case.
 */
#ifndef NODAG_TESTS_UNIT_TOPICS_BUS_CONTRACT_CASES_H
#define NODAG_TESTS_UNIT_TOPICS_BUS_CONTRACT_CASES_H

#include "tests/unit/topics/bus_contract.h"

static void contract_look_at_headers(const struct bus_record *record)
{
    assert_int_equal(record->topic, TOPIC_ISSUES);
    assert_int_equal(record->key_bytes, 3);
    assert_memory_equal(record->key, "1#1", 3);
    assert_true(record->timestamp_ms >= 0);
    if (record->offset == 1) {
        assert_null(record->value);
        assert_int_equal(record->header_count, 0);
        return;
    }
    assert_int_equal(record->value_bytes, 5);
    assert_memory_equal(record->value, "a\0b\xff\n", 5);
    assert_int_equal(record->header_count, 3);
    assert_string_equal(record->headers[0].name, "ce_id");
    assert_int_equal(record->headers[0].value_bytes, 2);
    assert_memory_equal(record->headers[0].value, "id", 2);
    assert_string_equal(record->headers[1].name, "empty");
    assert_int_equal(record->headers[1].value_bytes, 0);
    assert_string_equal(record->headers[2].name, "ce_id");
    assert_int_equal(record->headers[2].value_bytes, 3);
}

/* A record comes back as it was published: bytes, headers in order, tombstone, partition by key. */
static void contract_record_round_trip(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    struct contract_deliveries deliveries = {0};
    const struct event_header headers[] = {
        {.name = "ce_id", .value = "id", .value_bytes = 2},
        {.name = "empty", .value = "", .value_bytes = 0},
        {.name = "ce_id", .value = "two", .value_bytes = 3},
    };
    struct bus_message message = {.topic = TOPIC_ISSUES,
                                  .partition = BUS_PARTITION_BY_KEY,
                                  .key = "1#1",
                                  .key_bytes = 3,
                                  .value = mem_copy_bytes("a\0b\xff\n", 5),
                                  .value_bytes = 5,
                                  .take_value = true,
                                  .headers = headers,
                                  .header_count = ARRAY_COUNT(headers)};
    contract_publish(bus, &deliveries, &message);
    world->wait(world, contract_all_delivered, &deliveries);
    int32_t partition = subject_key_partition("1#1", 3, CONTRACT_PARTITIONS);
    assert_int_equal(deliveries.partition, partition);
    assert_int_equal(deliveries.offset, 0);
    message = (struct bus_message){
        .topic = TOPIC_ISSUES, .partition = partition, .key = "1#1", .key_bytes = 3};
    contract_publish(bus, &deliveries, &message);
    world->wait(world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.offset, 1);
    assert_int_equal(deliveries.failed, 0);

    struct contract_reader reader = {
        .wanted_records = 2, .wanted_caught_up = 1, .look = contract_look_at_headers};
    contract_reader_open(bus, TOPIC_ISSUES, &reader);
    contract_reader_add(&reader, partition);
    world->wait(world, contract_reader_has, &reader);
    bus_reader_free(reader.reader);
    world->close(world, bus);
}

static void contract_too_large_is_refused(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    struct contract_deliveries deliveries = {0};
    size_t value_bytes = (size_t)topic_row(TOPIC_ISSUES)->message_max_bytes + 1;
    CLEANUP(mem_free) char *value = mem_alloc(value_bytes);
    struct bus_message message = {.topic = TOPIC_ISSUES,
                                  .partition = 0,
                                  .key = "k",
                                  .key_bytes = 1,
                                  .value = value,
                                  .value_bytes = value_bytes};
    assert_int_equal(bus_publish(bus, &message, contract_on_delivered, &deliveries), ERR_TOO_LARGE);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(deliveries.delivered, 0);
    world->close(world, bus);
}

/* A body of the largest size that GitHub sends goes through, and nobody needs to be told. */
static void contract_largest_body_passes(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    char *value = mem_alloc(TOPIC_BODY_MAX_BYTES);
    memset(value, 'x', TOPIC_BODY_MAX_BYTES);
    const struct bus_message message = {.topic = TOPIC_ISSUES,
                                        .partition = 0,
                                        .key = "k",
                                        .key_bytes = 1,
                                        .value = value,
                                        .value_bytes = TOPIC_BODY_MAX_BYTES,
                                        .take_value = true};
    assert_int_equal(bus_publish(bus, &message, NULL, NULL), 0);
    struct contract_reader reader = {.wanted_records = 1};
    contract_reader_open(bus, TOPIC_ISSUES, &reader);
    contract_reader_add(&reader, 0);
    world->wait(world, contract_reader_has, &reader);
    bus_reader_free(reader.reader);
    world->close(world, bus);
}

/*
 * caught_up comes once for each addition, also for an empty partition, after all records that stood
 * there.
 */
static void contract_reader_catches_up(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    struct contract_reader reader = {.wanted_caught_up = 1};
    contract_reader_open(bus, TOPIC_ISSUES, &reader);
    contract_reader_add(&reader, 2);
    world->wait(world, contract_reader_has, &reader);
    assert_int_equal(reader.record_count, 0);

    contract_fill(world, bus, TOPIC_ISSUES, 0, CONTRACT_RECORDS);
    reader.wanted_records = 1;
    world->wait(world, contract_reader_has, &reader);
    for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++) {
        if (p != 2)
            contract_reader_add(&reader, p);
    }
    reader.wanted_caught_up = CONTRACT_PARTITIONS;
    reader.wanted_records = CONTRACT_RECORDS;
    world->wait(world, contract_reader_has, &reader);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(reader.caught_up_count, CONTRACT_PARTITIONS);
    assert_int_equal(reader.record_count, CONTRACT_RECORDS);
    bus_reader_free(reader.reader);
    world->close(world, bus);
}

/* Nothing comes for a partition that was removed; added again it is read from the beginning. */
static void contract_reader_removes(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    contract_fill(world, bus, TOPIC_SPECS, 0, 50);
    struct contract_reader reader = {.wanted_records = 1};
    contract_reader_open(bus, TOPIC_SPECS, &reader);
    contract_reader_add(&reader, 0);
    world->wait(world, contract_reader_has, &reader);
    bus_reader_remove(reader.reader, 0);
    reader.added[0] = false;
    contract_run_for(world, CONTRACT_QUIET_MS);
    size_t before = reader.record_count;
    contract_reader_add(&reader, 0);
    reader.caught_up_count = 0;
    reader.wanted_caught_up = 1;
    world->wait(world, contract_reader_has, &reader);
    assert_int_equal(reader.record_count, before + 50);
    bus_reader_free(reader.reader);
    world->close(world, bus);
}

/* A reader from the end gets what comes later, and nothing of what stood there. */
static void contract_reader_begins_at_the_end(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    contract_fill(world, bus, TOPIC_SPECS, 0, 50);
    struct contract_reader reader = {.wanted_caught_up = 1};
    contract_reader_open(bus, TOPIC_SPECS, &reader);
    reader.added[0] = true;
    bus_reader_add_end(reader.reader, 0);
    world->wait(world, contract_reader_has, &reader);
    assert_int_equal(reader.record_count, 0);
    contract_fill(world, bus, TOPIC_SPECS, 50, 3);
    reader.wanted_records = 3;
    world->wait(world, contract_reader_has, &reader);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(reader.record_count, 3);
    assert_int_equal(reader.next[0], 53);
    bus_reader_free(reader.reader);
    world->close(world, bus);
}

static bool contract_count_is_known(void *argument)
{
    int32_t count = 0;
    int code = bus_partition_count(argument, TOPIC_ISSUES, &count);
    /* A topic that was made a moment ago may not be known to every broker. */
    assert_true(code == 0 || code == ERR_UNAVAILABLE || code == ERR_NOT_FOUND);
    if (code == 0)
        assert_int_equal(count, CONTRACT_PARTITIONS);
    return code == 0;
}

static void contract_partition_count(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    world->wait(world, contract_count_is_known, bus);
    world->close(world, bus);
}

/*
 * A group without offsets starts at the beginning; what was stored is where the next owner starts.
 */
static void contract_group_resumes(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    contract_fill(world, bus, TOPIC_GITHUB_EVENTS, 0, CONTRACT_RECORDS);
    struct contract_member first = {
        .stores = true, .wanted_owned = CONTRACT_PARTITIONS, .wanted_records = CONTRACT_RECORDS};
    contract_member_join(bus, "resumes", &first);
    world->wait(world, contract_member_has, &first);
    for (size_t p = 0; p < CONTRACT_PARTITIONS; p++)
        assert_int_equal(first.first[p], 0);
    contract_member_leave(world, &first);
    assert_int_equal(first.record_count, CONTRACT_RECORDS);

    contract_fill(world, bus, TOPIC_GITHUB_EVENTS, CONTRACT_RECORDS, 40);
    struct bus *other_bus = world->open(world);
    struct contract_member second = {
        .stores = true, .wanted_owned = CONTRACT_PARTITIONS, .wanted_records = 40};
    contract_member_join(other_bus, "resumes", &second);
    world->wait(world, contract_member_has, &second);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(second.record_count, 40);
    contract_member_leave(world, &second);
    world->close(world, other_bus);
    world->close(world, bus);
}

/* Nothing stored: everything comes again. */
static void contract_nothing_stored_replays(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    contract_fill(world, bus, TOPIC_GITHUB_EVENTS, 0, 50);
    for (int round = 0; round < 2; round++) {
        struct contract_member member = {.wanted_records = 50};
        contract_member_join(bus, "replays", &member);
        world->wait(world, contract_member_has, &member);
        contract_member_leave(world, &member);
        assert_int_equal(member.record_count, 50);
    }
    world->close(world, bus);
}

/* Both members of a case. */
struct contract_pair {
    struct contract_member *left, *right;
};

static bool contract_pair_owns_all(void *argument)
{
    const struct contract_pair *pair = argument;
    return pair->left->owned_count > 0 && pair->right->owned_count > 0 &&
           pair->left->owned_count + pair->right->owned_count == CONTRACT_PARTITIONS;
}

/* A pair that begins at `start` and reads to `end`. */
struct contract_pair_reading {
    struct contract_pair pair;
    int64_t start[CONTRACT_PARTITIONS];
    int64_t end[CONTRACT_PARTITIONS];
};

/*
 * Both own something, and whoever owns a partition has read it, from its start, to its end. Members may come and go
 * on the way there: where the machine is busy, one of them is late for the first assignment.
 */
static bool contract_pair_has_read(void *argument)
{
    const struct contract_pair_reading *reading = argument;
    const struct contract_pair *pair = &reading->pair;
    if (!contract_pair_owns_all(argument))
        return false;
    for (size_t p = 0; p < CONTRACT_PARTITIONS; p++) {
        assert_true(pair->left->owned[p] != pair->right->owned[p]);
        const struct contract_member *owner = pair->left->owned[p] ? pair->left : pair->right;
        if (owner->first[p] < 0 || owner->next[p] < reading->end[p])
            return false;
        assert_int_equal(owner->first[p], reading->start[p]);
        assert_int_equal(owner->next[p], reading->end[p]);
    }
    return true;
}

/*
 * A second member joins: the first is asked, finishes in its own time, and what it stored before
 * giving up counts while what it stores afterwards does not. Nobody owns a partition twice.
 */
static void contract_rebalance_waits_for_the_owner(struct contract_world *world)
{
    struct bus *left_bus = world->open(world);
    struct bus *right_bus = world->open(world);
    contract_fill(world, left_bus, TOPIC_GITHUB_EVENTS, 0, CONTRACT_RECORDS);
    struct contract_member left = {
        .holds = true, .wanted_owned = CONTRACT_PARTITIONS, .wanted_records = CONTRACT_RECORDS};
    struct contract_member right = {0};
    contract_member_join(left_bus, "waits", &left);
    world->wait(world, contract_member_has, &left);
    for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
        bus_group_store(left.group, p, left.next[p] - 10);
    contract_run_for(world, CONTRACT_COMMITTED_MS);
    contract_member_join(right_bus, "waits", &right);
    world->wait(world, contract_member_is_asked, &left);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_true(left.asked);
    assert_int_equal(right.owned_count, 0);
    for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
        bus_group_store(left.group, p, left.next[p] - 5);
    struct contract_pair_reading reading = {.pair = {.left = &left, .right = &right}};
    for (size_t p = 0; p < CONTRACT_PARTITIONS; p++) {
        reading.end[p] = left.next[p];
        reading.start[p] = left.next[p] - (world->commits_at_give_up ? 5 : 10);
    }
    left.holds = false;
    contract_member_give_up(&left);
    for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
        bus_group_store(left.group, p, left.next[p]);
    world->wait(world, contract_pair_has_read, &reading);
    contract_run_for(world, CONTRACT_QUIET_MS); /* and nothing comes again */
    world->wait(world, contract_pair_has_read, &reading);

    contract_member_leave(world, &left);
    right.wanted_owned = CONTRACT_PARTITIONS;
    world->wait(world, contract_member_has, &right);
    contract_member_leave(world, &right);
    world->close(world, left_bus);
    world->close(world, right_bus);
}

/* A member that leaves while it is asked gives up thereby, and what it stored counts. */
static void contract_leave_while_asked(struct contract_world *world)
{
    struct bus *left_bus = world->open(world);
    struct bus *right_bus = world->open(world);
    contract_fill(world, left_bus, TOPIC_GITHUB_EVENTS, 0, 20);
    struct contract_member left = {
        .holds = true, .stores = true, .wanted_owned = CONTRACT_PARTITIONS, .wanted_records = 20};
    struct contract_member right = {.wanted_owned = CONTRACT_PARTITIONS};
    contract_member_join(left_bus, "leaves", &left);
    world->wait(world, contract_member_has, &left);
    contract_run_for(world, CONTRACT_COMMITTED_MS);
    contract_member_join(right_bus, "leaves", &right);
    world->wait(world, contract_member_is_asked, &left);
    contract_member_leave(world, &left);
    world->wait(world, contract_member_has, &right);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(right.record_count, 0);
    contract_member_leave(world, &right);
    world->close(world, left_bus);
    world->close(world, right_bus);
}

/* A paused partition is silent but for what was fetched; resumed, it goes on without a gap. */
static void contract_pause_and_resume(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    struct contract_member member = {.wanted_owned = CONTRACT_PARTITIONS};
    contract_member_join(bus, "pauses", &member);
    world->wait(world, contract_member_has, &member);
    const int32_t paused[] = {1, 3};
    bus_group_pause(member.group, paused, ARRAY_COUNT(paused), true);
    contract_run_for(world, CONTRACT_QUIET_MS);
    contract_fill(world, bus, TOPIC_GITHUB_EVENTS, 0, CONTRACT_RECORDS);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_true(member.partition_records[0] > 1 && member.partition_records[2] > 1);
    assert_true(member.partition_records[1] <= 1 && member.partition_records[3] <= 1);
    bus_group_pause(member.group, paused, ARRAY_COUNT(paused), false);
    member.wanted_records = CONTRACT_RECORDS;
    world->wait(world, contract_member_has, &member);
    contract_run_for(world, CONTRACT_QUIET_MS);
    assert_int_equal(member.record_count, CONTRACT_RECORDS);
    contract_member_leave(world, &member);
    world->close(world, bus);
}

/* A member may leave before it was ever assigned anything. */
static void contract_leave_at_once(struct contract_world *world)
{
    struct bus *bus = world->open(world);
    struct contract_member member = {0};
    contract_member_join(bus, "at-once", &member);
    contract_member_leave(world, &member);
    assert_int_equal(member.record_count, 0);
    world->close(world, bus);
}

/* One case and its name. */
struct contract_case {
    const char *name;                          /* as cmocka prints it */
    void (*run)(struct contract_world *world); /* the case */
};

static const struct contract_case contract_cases[] = {
    {"record_round_trip", contract_record_round_trip},
    {"too_large_is_refused", contract_too_large_is_refused},
    {"largest_body_passes", contract_largest_body_passes},
    {"reader_catches_up", contract_reader_catches_up},
    {"reader_removes", contract_reader_removes},
    {"reader_begins_at_the_end", contract_reader_begins_at_the_end},
    {"partition_count", contract_partition_count},
    {"group_resumes", contract_group_resumes},
    {"nothing_stored_replays", contract_nothing_stored_replays},
    {"rebalance_waits_for_the_owner", contract_rebalance_waits_for_the_owner},
    {"leave_while_asked", contract_leave_while_asked},
    {"pause_and_resume", contract_pause_and_resume},
    {"leave_at_once", contract_leave_at_once},
};

#endif
