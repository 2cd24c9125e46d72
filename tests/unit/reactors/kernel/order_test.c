/*
 * Which key runs next, with several partitions: who came first, whatever its partition; but never
 * one whose tables are still being read, and what nobody but the sweep asked for last.
 *
 * Design: a small reactor of its own, because the fixture of the other tests has one partition. A
 * table's partition is late by having many records: in the memory bus each delivery is one step, and
 * the activities take turns by chance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "reactors/kernel/kernel.h"
#include "topics/bus_memory.h"

/* Partitions of the home topic. */
#define ORDER_PARTITIONS 3

/* Keys of a test. */
#define ORDER_KEYS 30

/* Records of a late partition: far more than all others together. */
#define ORDER_LATE_RECORDS 2000

/* A test's world. */
struct order {
    struct loop *loop;                /* simulated */
    struct bus_memory *cluster;       /* ORDER_PARTITIONS */
    struct bus *bus;                  /* of the process */
    struct kernel *kernel;            /* under test */
    struct kernel_work *held;         /* the first run waits for the test */
    bool holding;                     /* until this is false */
    bool sweeping;                    /* sweep_next has a key */
    char arrived[2 * ORDER_KEYS][16]; /* keys in the order of route and kernel_enqueue */
    size_t arrived_count;             /* of them */
    char ran[2 * ORDER_KEYS][16];     /* keys in the order of reconcile */
    int32_t ran_on[2 * ORDER_KEYS];   /* their partitions */
    size_t ran_count;                 /* of them */
    size_t late_records;              /* applied */
    size_t ran_before_late;           /* ran_count when the last of them was applied */
};

static void order_note(char (*list)[16], size_t *count, const char *key)
{
    assert_true(*count < 2 * ORDER_KEYS);
    (void)snprintf(list[(*count)++], sizeof(list[0]), "%s", key);
}

static bool order_route(void *self, const struct bus_record *record, const struct event *event,
                        struct kernel_route *ret_route)
{
    (void)event;
    struct order *order = self;
    memcpy(ret_route->key, record->key, record->key_bytes);
    ret_route->key[record->key_bytes] = '\0';
    order_note(order->arrived, &order->arrived_count, ret_route->key);
    return true;
}

static void order_finish(void *work)
{
    struct kernel_outcome outcome = {.kind = KERNEL_DONE};
    kernel_finish(work, &outcome);
}

static void order_reconcile(void *self, struct kernel_work *work)
{
    struct order *order = self;
    order->ran_on[order->ran_count] = kernel_work_partition(work);
    order_note(order->ran, &order->ran_count, kernel_work_key(work));
    if (order->holding)
        order->held = work;
    else
        loop_defer(order->loop, order_finish, work);
}

static void order_abandon(void *self, struct kernel_work *work)
{
    struct order *order = self;
    loop_cancel_deferred(order->loop, work);
}

static bool order_sweep_next(void *self, struct kernel_route *ret_route)
{
    struct order *order = self;
    (void)snprintf(ret_route->key, sizeof(ret_route->key), "swept");
    ret_route->partition = 0;
    return order->sweeping;
}

static void order_apply(void *self, const struct bus_record *record)
{
    struct order *order = self;
    (void)record;
    order->late_records++;
    order->ran_before_late = order->ran_count;
}

static void order_forget(void *self, int32_t partition)
{
    (void)self;
    (void)partition;
}

static const struct kernel_reactor order_reactor = {
    .name = "tester",
    .home = TOPIC_GITHUB_EVENTS,
    .route = order_route,
    .reconcile = order_reconcile,
    .abandon = order_abandon,
    .sweep_next = order_sweep_next,
    .tables = {{.topic = TOPIC_PREDICTIONS,
                .scope = KERNEL_TABLE_OWNED,
                .apply = order_apply,
                .forget = order_forget}},
    .table_count = 1,
};

static void order_append(struct order *order, const char *key, int32_t partition)
{
    struct event event = {.id = text_of(key), .source = text_of("test"), .type = text_of("test")};
    struct event_headers headers;
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .partition = partition,
                                  .key = key,
                                  .key_bytes = strlen(key),
                                  .headers = headers.items,
                                  .header_count = headers.count};
    (void)bus_memory_append(order->cluster, &message);
}

static void order_append_keys(struct order *order)
{
    for (int i = 0; i < ORDER_KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%d", i);
        order_append(order, key, i % ORDER_PARTITIONS);
    }
}

static void order_start(struct order *order)
{
    static const struct kernel_settings settings = {.concurrency = 1,
                                                    .keys_max = 1000,
                                                    .backoff_least_ms = 1000,
                                                    .backoff_most_ms = 8000,
                                                    .sweep_interval_ms = 60000,
                                                    .revoke_timeout_ms = 5000};
    struct error error = {0};
    int code = kernel_new(order->loop, order->bus, NULL, &settings, &order_reactor, order,
                          &order->kernel, &error);
    assert_int_equal(code, 0);
}

static int setup(void **state)
{
    struct order *order = MEM_NEW(struct order);
    order->loop = loop_new_simulated(7, 1700000000000);
    order->cluster = bus_memory_new(order->loop, ORDER_PARTITIONS);
    order->bus = bus_memory_open(order->cluster);
    *state = order;
    return 0;
}

static int teardown(void **state)
{
    struct order *order = *state;
    kernel_free(order->kernel);
    bus_memory_close(order->bus);
    bus_memory_free(order->cluster);
    loop_free(order->loop);
    mem_free(order);
    return 0;
}

/* Lets everything happen that happens without waiting. */
static void settle(struct order *order)
{
    loop_advance(order->loop, 1500);
}

static void test_first_come_first_run_across_partitions(void **state)
{
    struct order *order = *state;
    order->holding = true;
    order_append_keys(order);
    order_start(order);
    settle(order);
    assert_int_equal(order->arrived_count, ORDER_KEYS);
    assert_int_equal(order->ran_count, 1);
    order->holding = false;
    order_finish(order->held);
    settle(order);
    assert_int_equal(order->ran_count, ORDER_KEYS);
    bool mixed = false;
    for (size_t i = 0; i < ORDER_KEYS; i++) {
        assert_string_equal(order->ran[i], order->arrived[i]);
        mixed = mixed || (i > 0 && order->ran_on[i] < order->ran_on[i - 1]);
    }
    assert_true(mixed); /* else one partition after the other would pass, too */
}

static void test_late_tables_hold_back_their_own_partition_only(void **state)
{
    struct order *order = *state;
    struct bus_message record = {
        .topic = TOPIC_PREDICTIONS, .partition = 1, .key = "1#1", .key_bytes = 3};
    for (int i = 0; i < ORDER_LATE_RECORDS; i++)
        (void)bus_memory_append(order->cluster, &record);
    order_append_keys(order);
    order_start(order);
    settle(order);
    assert_int_equal(order->late_records, ORDER_LATE_RECORDS);
    assert_int_equal(order->ran_before_late, ORDER_KEYS / ORDER_PARTITIONS * 2);
    assert_int_equal(order->ran_count, ORDER_KEYS);
    for (size_t i = 0; i < ORDER_KEYS; i++)
        assert_int_equal(order->ran_on[i] == 1, i >= order->ran_before_late);
}

static void test_the_sweep_comes_last(void **state)
{
    struct order *order = *state;
    order->holding = true;
    order->sweeping = true;
    order_append(order, "first", 2);
    order_start(order);
    settle(order);
    assert_string_equal(order->ran[0], "first");
    loop_advance(order->loop, 61000); /* the sweep's key is queued behind the one that is held */
    order_append_keys(order);
    settle(order);
    order->sweeping = false;
    order->holding = false;
    order_finish(order->held);
    settle(order);
    assert_int_equal(order->ran_count, ORDER_KEYS + 2);
    assert_string_equal(order->ran[ORDER_KEYS + 1], "swept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_come_first_run_across_partitions, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_late_tables_hold_back_their_own_partition_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_sweep_comes_last, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
