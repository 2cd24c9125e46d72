/*
 * What the cases of bus_contract_cases.h are made of: a world that an implementation of
 * topics/bus.h gives, and owners of groups, readers and messages that check the contract at every
 * callback.
 *
 * Design: a `struct contract_world` says how the implementation opens a process' bus, waits for a
 * condition and closes. The cases know nothing else. A `struct contract_member` and `struct
 * contract_reader` are owners of a group and a reader that check the order of callbacks by
 * themselves: any breach fails the test at the place where it happens.
 *
 * Invariants: topics have CONTRACT_PARTITIONS partitions; each case uses a group name of its own,
 * and topics are fresh.
 */
#ifndef NODAG_TESTS_UNIT_TOPICS_BUS_CONTRACT_H
#define NODAG_TESTS_UNIT_TOPICS_BUS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/memory.h"
#include "topics/bus.h"
#include "topics/subject.h"

/* Partitions of the topics that have many. */
#define CONTRACT_PARTITIONS 4

/* Records that the larger cases publish. */
#define CONTRACT_RECORDS 200

/* What an implementation gives to the cases. */
struct contract_world {
    struct loop *loop;                                         /* where everything runs */
    struct bus *(*open)(struct contract_world *world);         /* one more process */
    void (*close)(struct contract_world *world, struct bus *); /* ends it; groups have left */
    /* Runs the loop until the condition holds; fails the test when it does not become true. */
    void (*wait)(struct contract_world *world, bool (*condition)(void *argument), void *argument);
    /*
     * Offsets are committed when a partition is given up. librdkafka's mock cluster refuses that,
     * Kafka does not.
     */
    bool commits_at_give_up;
};

/* ---- publishing ---- */

/* What came of the messages of one case. */
struct contract_deliveries {
    size_t delivered;  /* callbacks so far */
    size_t failed;     /* of them with a code */
    size_t expected;   /* how many the case waits for */
    int32_t partition; /* of the newest */
    int64_t offset;    /* of the newest */
    bool publishing;   /* within bus_publish: no callback may come */
};

static inline void contract_on_delivered(void *argument, int code, int32_t partition,
                                         int64_t offset)
{
    struct contract_deliveries *deliveries = argument;
    assert_false(deliveries->publishing);
    deliveries->delivered++;
    deliveries->failed += code != 0 ? 1 : 0;
    deliveries->partition = partition;
    deliveries->offset = offset;
}

static inline bool contract_all_delivered(void *argument)
{
    const struct contract_deliveries *deliveries = argument;
    assert_true(deliveries->delivered <= deliveries->expected);
    return deliveries->delivered == deliveries->expected;
}

static inline void contract_publish(struct bus *bus, struct contract_deliveries *deliveries,
                                    const struct bus_message *message)
{
    deliveries->publishing = true;
    assert_int_equal(bus_publish(bus, message, contract_on_delivered, deliveries), 0);
    deliveries->publishing = false;
    deliveries->expected++;
}

/*
 * Publishes `count` numbered records "0", "1", … with the number as key to a topic and waits for
 * them.
 */
static inline void contract_fill(struct contract_world *world, struct bus *bus, enum topic topic,
                                 int first, int count)
{
    struct contract_deliveries deliveries = {0};
    for (int i = first; i < first + count; i++) {
        char text[16];
        size_t length = (size_t)snprintf(text, sizeof(text), "%d", i);
        const struct bus_message message = {.topic = topic,
                                            .partition = BUS_PARTITION_BY_KEY,
                                            .key = text,
                                            .key_bytes = length,
                                            .value = text,
                                            .value_bytes = length};
        contract_publish(bus, &deliveries, &message);
    }
    world->wait(world, contract_all_delivered, &deliveries);
    assert_int_equal(deliveries.failed, 0);
}

/* ---- reading ---- */

/* The owner of a reader. */
struct contract_reader {
    struct bus_reader *reader;
    bool added[CONTRACT_PARTITIONS];     /* since the last add or remove */
    bool caught_up[CONTRACT_PARTITIONS]; /* told since added */
    int64_t next[CONTRACT_PARTITIONS];   /* next offset expected */
    size_t record_count;                 /* records so far */
    size_t caught_up_count;              /* calls so far */
    size_t wanted_records;               /* condition */
    size_t wanted_caught_up;             /* condition */
    /* Looks at a record; may be NULL. */
    void (*look)(const struct bus_record *record);
};

static inline void contract_reader_record(void *argument, const struct bus_record *record)
{
    struct contract_reader *reader = argument;
    assert_true(reader->added[record->partition]);
    assert_true(record->offset >= reader->next[record->partition]);
    reader->next[record->partition] = record->offset + 1;
    reader->record_count++;
    if (reader->look != NULL)
        reader->look(record);
}

static inline void contract_reader_caught_up(void *argument, int32_t partition)
{
    struct contract_reader *reader = argument;
    assert_true(reader->added[partition]);
    assert_false(reader->caught_up[partition]);
    reader->caught_up[partition] = true;
    reader->caught_up_count++;
}

static const struct bus_reader_handler contract_reader_handler = {
    .record = contract_reader_record, .caught_up = contract_reader_caught_up};

static inline void contract_reader_add(struct contract_reader *reader, int32_t partition)
{
    reader->added[partition] = true;
    reader->caught_up[partition] = false;
    reader->next[partition] = 0;
    bus_reader_add(reader->reader, partition);
}

static inline void contract_reader_open(struct bus *bus, enum topic topic,
                                        struct contract_reader *reader)
{
    struct error error = {0};
    assert_int_equal(
        bus_read(bus, topic, &contract_reader_handler, reader, &reader->reader, &error), 0);
}

static inline bool contract_reader_has(void *argument)
{
    const struct contract_reader *reader = argument;
    return reader->record_count >= reader->wanted_records &&
           reader->caught_up_count >= reader->wanted_caught_up;
}

/* ---- groups ---- */

/* The owner of a group. */
struct contract_member {
    struct bus_group *group;
    bool owned[CONTRACT_PARTITIONS];               /* assigned, not yet given up or lost */
    size_t owned_count;                            /* of them */
    bool asked;                                    /* between revoking and giving up */
    bool holds;                                    /* does not give up by itself */
    bool stores;                                   /* stores every offset that it sees */
    bool gone;                                     /* left() was called */
    size_t wanted_owned;                           /* condition */
    size_t wanted_records;                         /* condition */
    size_t record_count;                           /* records so far */
    size_t partition_records[CONTRACT_PARTITIONS]; /* by partition */
    int64_t first[CONTRACT_PARTITIONS]; /* first offset of this assignment, -1: none yet */
    int64_t next[CONTRACT_PARTITIONS];  /* next offset expected, -1: any */
    size_t lost_count;                  /* calls of lost */
};

static inline void contract_member_take(struct contract_member *member, const int32_t *partitions,
                                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(member->owned[partitions[i]]);
        member->owned[partitions[i]] = false;
        member->owned_count--;
    }
}

static inline void contract_member_assigned(void *argument, const struct bus_partition *partitions,
                                            size_t count)
{
    struct contract_member *member = argument;
    assert_false(member->asked);
    assert_false(member->gone);
    for (size_t i = 0; i < count; i++) {
        assert_false(member->owned[partitions[i].partition]);
        member->owned[partitions[i].partition] = true;
        member->owned_count++;
        member->first[partitions[i].partition] = -1;
        member->next[partitions[i].partition] = partitions[i].start_offset;
    }
}

static inline void contract_member_give_up(struct contract_member *member)
{
    assert_true(member->asked);
    member->asked = false;
    for (size_t i = 0; i < CONTRACT_PARTITIONS; i++)
        member->owned[i] = false;
    member->owned_count = 0;
    bus_group_give_up(member->group);
}

static inline void contract_member_revoking(void *argument, const int32_t *partitions, size_t count)
{
    struct contract_member *member = argument;
    assert_false(member->asked);
    assert_int_equal(count, member->owned_count);
    for (size_t i = 0; i < count; i++)
        assert_true(member->owned[partitions[i]]);
    member->asked = true;
    if (!member->holds)
        contract_member_give_up(member);
}

static inline void contract_member_lost(void *argument, const int32_t *partitions, size_t count)
{
    struct contract_member *member = argument;
    contract_member_take(member, partitions, count);
    member->asked = false;
    member->lost_count++;
}

static inline void contract_member_record(void *argument, const struct bus_record *record)
{
    struct contract_member *member = argument;
    assert_false(member->gone);
    assert_false(member->asked);
    assert_true(member->owned[record->partition]);
    if (member->next[record->partition] >= 0)
        assert_int_equal(record->offset, member->next[record->partition]);
    if (member->first[record->partition] < 0)
        member->first[record->partition] = record->offset;
    member->next[record->partition] = record->offset + 1;
    member->record_count++;
    member->partition_records[record->partition]++;
    if (member->stores)
        bus_group_store(member->group, record->partition, record->offset + 1);
}

static const struct bus_group_handler contract_group_handler = {
    .assigned = contract_member_assigned,
    .revoking = contract_member_revoking,
    .lost = contract_member_lost,
    .record = contract_member_record,
};

static inline void contract_member_join(struct bus *bus, const char *group_name,
                                        struct contract_member *member)
{
    struct error error = {0};
    assert_int_equal(bus_join(bus, TOPIC_GITHUB_EVENTS, group_name, &contract_group_handler, member,
                              &member->group, &error),
                     0);
}

static inline bool contract_member_has(void *argument)
{
    const struct contract_member *member = argument;
    return member->owned_count >= member->wanted_owned &&
           member->record_count >= member->wanted_records;
}

static inline void contract_member_left(void *argument)
{
    struct contract_member *member = argument;
    assert_false(member->gone);
    member->gone = true;
}

static inline bool contract_member_is_gone(void *argument)
{
    return ((const struct contract_member *)argument)->gone;
}

static inline bool contract_member_is_asked(void *argument)
{
    return ((const struct contract_member *)argument)->asked;
}

static inline void contract_member_leave(struct contract_world *world,
                                         struct contract_member *member)
{
    bus_group_leave(member->group, contract_member_left, member);
    assert_false(member->gone);
    world->wait(world, contract_member_is_gone, member);
}

/* ---- waiting for time to pass ---- */

static inline bool contract_flag_is_set(void *argument)
{
    return *(const bool *)argument;
}

static inline void contract_set_flag(void *argument)
{
    *(bool *)argument = true;
}

/* Lets the loop run for a while, to see that something does not happen. */
static inline void contract_run_for(struct contract_world *world, int64_t duration_ms)
{
    bool passed = false;
    CLEANUP(loop_timer_free)
    struct loop_timer *timer = loop_timer_new(world->loop, contract_set_flag, &passed);
    loop_timer_set(timer, duration_ms);
    world->wait(world, contract_flag_is_set, &passed);
}

/* After this long a stored offset is committed: the contract says a second. */
#define CONTRACT_COMMITTED_MS 1500

/*
 * How long a case looks whether something happens that must not: longer than a commit, a fetch and
 * an answer take.
 */
#define CONTRACT_QUIET_MS 300

#endif
