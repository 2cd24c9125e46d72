/*
 * The kernel on the in-memory bus: what becomes of keys, offsets and `pending` for each outcome,
 * gates, pause, revocation and drain.
 *
 * Design: a small reactor whose reconcile is answered by the test, so that the order of things is
 * the test's. Clock and bus are simulated.
 */
#include "reactors/kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/bus_memory.h"

/* Works under way that the test holds. */
#define HELD_MAX 64

/* A test's world. */
struct fixture {
    struct loop *loop;                  /* simulated */
    struct bus_memory *cluster;         /* one partition a topic */
    struct bus *bus;                    /* of the process */
    struct kernel *kernel;              /* under test */
    struct kernel_work *held[HELD_MAX]; /* reconcile was called and not finished */
    size_t held_count;                  /* of them */
    unsigned runs;                      /* reconciles so far */
    unsigned abandoned;                 /* abandons so far */
    unsigned table_records;             /* applied */
    unsigned events;                    /* appended */
    bool sweeping;                      /* sweep_next has a key */
    bool left;                          /* drain is done */
};

static bool reactor_route(void *self, const struct bus_record *record, const struct event *event,
                          struct kernel_route *ret_route)
{
    (void)self;
    if (text_equals(event->type, "skip"))
        return false;
    memcpy(ret_route->key, record->key, record->key_bytes);
    ret_route->key[record->key_bytes] = '\0';
    if (event->subject.data != NULL)
        memcpy(ret_route->note, event->subject.data, event->subject.bytes);
    return true;
}

static void reactor_reconcile(void *self, struct kernel_work *work)
{
    struct fixture *fixture = self;
    fixture->runs++;
    fixture->held[fixture->held_count++] = work;
}

static void fixture_unhold(struct fixture *fixture, const struct kernel_work *work)
{
    for (size_t i = 0; i < fixture->held_count; i++)
        if (fixture->held[i] == work)
            fixture->held[i] = fixture->held[--fixture->held_count];
}

static void reactor_abandon(void *self, struct kernel_work *work)
{
    struct fixture *fixture = self;
    fixture->abandoned++;
    fixture_unhold(fixture, work);
}

static bool reactor_sweep_next(void *self, struct kernel_route *ret_route)
{
    struct fixture *fixture = self;
    (void)snprintf(ret_route->key, sizeof(ret_route->key), "swept");
    ret_route->partition = 0;
    return fixture->sweeping;
}

static void reactor_apply(void *self, const struct bus_record *record)
{
    (void)record;
    struct fixture *fixture = self;
    fixture->table_records++;
}

static void reactor_forget(void *self, int32_t partition)
{
    (void)self;
    (void)partition;
}

static const struct kernel_reactor reactor = {
    .name = "tester",
    .home = TOPIC_GITHUB_EVENTS,
    .route = reactor_route,
    .reconcile = reactor_reconcile,
    .abandon = reactor_abandon,
    .sweep_next = reactor_sweep_next,
    .tables = {{.topic = TOPIC_PREDICTIONS,
                .scope = KERNEL_TABLE_OWNED,
                .apply = reactor_apply,
                .forget = reactor_forget}},
    .table_count = 1,
};

static const struct kernel_settings settings = {
    .concurrency = 2,
    .keys_max = 10,
    .backoff_least_ms = 1000,
    .backoff_most_ms = 8000,
    .sweep_interval_ms = 60000,
    .revoke_timeout_ms = 5000,
};

static void fixture_start(struct fixture *fixture)
{
    fixture->bus = bus_memory_open(fixture->cluster);
    struct error error = {0};
    int code = kernel_new(fixture->loop, fixture->bus, NULL, &settings, &reactor, fixture,
                          &fixture->kernel, &error);
    assert_int_equal(code, 0);
}

static int setup(void **state)
{
    struct fixture *fixture = MEM_NEW(struct fixture);
    fixture->loop = loop_new_simulated(1, 1700000000000);
    fixture->cluster = bus_memory_new(fixture->loop, 1);
    *state = fixture;
    return 0;
}

static void fixture_crash(struct fixture *fixture)
{
    kernel_free(fixture->kernel);
    bus_memory_close(fixture->bus);
    fixture->kernel = NULL;
    fixture->bus = NULL;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_crash(fixture);
    bus_memory_free(fixture->cluster);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

/* Lets everything happen that happens without waiting. */
static void settle(struct fixture *fixture)
{
    loop_advance(fixture->loop, 1500);
}

static void append(struct fixture *fixture, const char *key, const char *type, const char *id)
{
    char own_id[32];
    (void)snprintf(own_id, sizeof(own_id), "event-%u", ++fixture->events);
    struct event event = {.id = text_of(id != NULL ? id : own_id),
                          .source = text_of("test"),
                          .type = text_of(type),
                          .subject = text_of("a note")};
    struct event_headers headers;
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .key = key,
                                  .key_bytes = strlen(key),
                                  .value = "{}",
                                  .value_bytes = 2,
                                  .headers = headers.items,
                                  .header_count = headers.count};
    (void)bus_memory_append(fixture->cluster, &message);
}

/* Ends the work of a key that is held. */
static void finish(struct fixture *fixture, const char *key, enum kernel_outcome_kind kind,
                   int64_t after_ms)
{
    for (size_t i = 0; i < fixture->held_count; i++) {
        struct kernel_work *work = fixture->held[i];
        if (strcmp(kernel_work_key(work), key) != 0)
            continue;
        fixture_unhold(fixture, work);
        struct kernel_outcome outcome = {.kind = kind, .after_ms = after_ms, .reason = "because"};
        kernel_finish(work, &outcome);
        return;
    }
    fail_msg("%s is not running", key);
}

static int64_t committed(const struct fixture *fixture)
{
    return bus_memory_committed(fixture->cluster, "nodag-tester", TOPIC_GITHUB_EVENTS, 0);
}

/* The newest pending record of a key: its value, "" for a tombstone, NULL for none. */
static const char *pending(const struct fixture *fixture, const char *key)
{
    static char text[1024];
    char pending_key[SUBJECT_KEY_BYTES];
    assert_int_equal(subject_key_pending("tester", key, pending_key), 0);
    const struct bus_record *record =
        bus_memory_latest(fixture->cluster, TOPIC_PENDING, pending_key);
    if (record == NULL)
        return NULL;
    (void)snprintf(text, sizeof(text), "%.*s", (int)record->value_bytes,
                   record->value != NULL ? record->value : "");
    return text;
}

static void test_done_stores_offset(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "skip", NULL);
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    assert_string_equal(kernel_work_note(fixture->held[0]), "a note");
    assert_int_equal(committed(fixture), 0);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(committed(fixture), 2);
    assert_null(pending(fixture, "a"));
}

static void test_events_of_one_key_are_one_run(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    for (int i = 0; i < 10; i++)
        append(fixture, "a", "work", NULL);
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    append(fixture, "a", "work", NULL); /* while it runs: once more afterwards */
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(fixture->runs, 2);
    assert_true(committed(fixture) < 11);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(committed(fixture), 11);
}

static void test_same_id_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", "delivery-1");
    settle(fixture);
    finish(fixture, "a", KERNEL_DONE, 0);
    append(fixture, "a", "work", "delivery-1");
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    assert_int_equal(committed(fixture), 2);
}

static void test_later_key_waits_in_ledger(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    finish(fixture, "b", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(committed(fixture), 0);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(committed(fixture), 2);
}

static void test_retry_goes_to_pending_and_backs_off(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    for (unsigned attempt = 1; attempt <= 6; attempt++) {
        finish(fixture, "a", KERNEL_RETRY, 0);
        loop_advance(fixture->loop, 100);
        assert_non_null(strstr(pending(fixture, "a"), "\"outcome\":\"RETRY\""));
        assert_int_equal(fixture->held_count, 0);
        loop_advance(fixture->loop, 8100); /* the cap is 8000 ms */
        assert_int_equal(fixture->runs, attempt + 1);
        assert_int_equal(kernel_work_attempts(fixture->held[0]), attempt);
    }
    settle(fixture);
    assert_int_equal(committed(fixture),
                     1); /* pending holds the key: nothing holds the partition */
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_string_equal(pending(fixture, "a"), ""); /* a tombstone */
}

static void test_after_waits_as_told(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_AFTER, 3600000);
    loop_advance(fixture->loop, 3590000);
    assert_int_equal(fixture->runs, 1);
    loop_advance(fixture->loop, 20000);
    assert_int_equal(fixture->runs, 2);
}

static void test_new_event_ends_waiting(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_AFTER, 3600000);
    settle(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    assert_int_equal(fixture->runs, 2);
}

static void test_stalled_waits_for_an_event(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_STALLED, 0);
    loop_advance(fixture->loop, 24LL * 3600 * 1000);
    assert_int_equal(fixture->runs, 1);
    assert_int_equal(committed(fixture), 1);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    assert_int_equal(fixture->runs, 2);
}

static void test_crash_replays_unfinished(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    fixture_crash(fixture);
    assert_int_equal(fixture->abandoned, 1); /* b */
    fixture_start(fixture);
    settle(fixture);
    assert_int_equal(fixture->runs, 3);
    assert_string_equal(kernel_work_key(fixture->held[0]), "b");
}

static void test_boot_reloads_pending(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_AFTER, 600000);
    finish(fixture, "b", KERNEL_STALLED, 0);
    settle(fixture);
    assert_int_equal(committed(fixture), 2);
    fixture_crash(fixture);
    fixture_start(fixture);
    settle(fixture);
    struct kernel_counts counts;
    kernel_count(fixture->kernel, &counts);
    assert_int_equal(counts.waiting, 1);
    assert_int_equal(counts.stalled, 1);
    assert_int_equal(fixture->runs, 2);
    loop_advance(fixture->loop, 600000);
    assert_int_equal(fixture->runs, 3);
    assert_string_equal(kernel_work_key(fixture->held[0]), "a");
    assert_string_equal(kernel_work_note(fixture->held[0]), "a note");
    assert_int_equal(kernel_work_offset(fixture->held[0]), -1);
}

static void test_concurrency_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    append(fixture, "c", "work", NULL);
    settle(fixture);
    assert_int_equal(fixture->held_count, 2);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(fixture->runs, 3);
}

static void test_full_queue_pauses(void **state)
{
    struct fixture *fixture = *state;
    char key[16];
    fixture_start(fixture);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        append(fixture, key, "work", NULL);
    }
    settle(fixture);
    struct kernel_counts counts;
    kernel_count(fixture->kernel, &counts);
    assert_true(counts.paused);
    assert_true(counts.keys < 50);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        finish(fixture, key, KERNEL_DONE, 0);
        settle(fixture);
    }
    assert_int_equal(committed(fixture), 50);
}

static void test_tables_gate_keys(void **state)
{
    struct fixture *fixture = *state;
    struct bus_message record = {
        .topic = TOPIC_PREDICTIONS, .key = "x", .key_bytes = 1, .value = "{}", .value_bytes = 2};
    for (int i = 0; i < 100; i++)
        (void)bus_memory_append(fixture->cluster, &record);
    append(fixture, "a", "work", NULL);
    fixture_start(fixture);
    while (fixture->runs == 0)
        assert_true(loop_step(fixture->loop));
    assert_int_equal(fixture->table_records, 100);
    assert_true(kernel_is_ready(fixture->kernel));
}

static void test_undecodable_goes_to_dead_letters(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .key = "a",
                                  .key_bytes = 1,
                                  .value = "boom",
                                  .value_bytes = 4};
    (void)bus_memory_append(fixture->cluster, &message);
    settle(fixture);
    const struct bus_record *letter =
        bus_memory_latest(fixture->cluster, TOPIC_DEAD_LETTERS, "github.events/0/0/tester");
    assert_non_null(letter);
    assert_memory_equal(letter->value, "boom", 4);
    assert_int_equal(committed(fixture), 1);
    assert_int_equal(fixture->runs, 0);
}

static void test_sweep_runs_when_idle(void **state)
{
    struct fixture *fixture = *state;
    fixture->sweeping = true;
    fixture_start(fixture);
    loop_advance(fixture->loop, 61000);
    assert_int_equal(fixture->runs, 1);
    assert_true(kernel_work_is_sweep(fixture->held[0]));
    loop_advance(fixture->loop, 600000); /* it is under way: not twice */
    assert_int_equal(fixture->runs, 1);
    finish(fixture, "swept", KERNEL_DONE, 0);
    loop_advance(fixture->loop, 61000);
    assert_int_equal(fixture->runs, 2);
}

/* A record that a former owner's publish left in `pending` after this kernel had read it to its end. */
static void append_strangers_pending(struct fixture *fixture, const char *key, const char *value)
{
    char pending_key[SUBJECT_KEY_BYTES];
    assert_int_equal(subject_key_pending("tester", key, pending_key), 0);
    struct bus_message message = {.topic = TOPIC_PENDING,
                                  .key = pending_key,
                                  .key_bytes = strlen(pending_key),
                                  .value = value,
                                  .value_bytes = value != NULL ? strlen(value) : 0};
    (void)bus_memory_append(fixture->cluster, &message);
}

static void test_late_pending_record_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    settle(fixture);
    append_strangers_pending(fixture, "z", "{\"outcome\":\"RETRY\",\"attempts\":1,\"note\":\"n\"}");
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    assert_string_equal(kernel_work_note(fixture->held[0]), "n");
    finish(fixture, "z", KERNEL_DONE, 0);
    settle(fixture);
    assert_string_equal(pending(fixture, "z"), "");
}

static void test_late_tombstone_is_covered_again(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_STALLED, 0);
    settle(fixture);
    append_strangers_pending(fixture, "a", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_STALLED, 0); /* it was looked at again … */
    settle(fixture);
    assert_non_null(strstr(pending(fixture, "a"), "STALLED")); /* … and its record stands again */
}

static void test_own_pending_record_says_nothing_new(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_AFTER, 0);
    settle(fixture);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    settle(fixture);
    assert_int_equal(fixture->runs, 2);
}

static void set_left(void *argument)
{
    struct fixture *fixture = argument;
    fixture->left = true;
}

static void test_drain_waits_for_what_runs(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    kernel_drain(fixture->kernel, set_left, fixture);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    assert_false(fixture->left);
    finish(fixture, "a", KERNEL_DONE, 0);
    settle(fixture);
    assert_true(fixture->left);
    assert_int_equal(fixture->runs, 1);
    assert_int_equal(committed(fixture), 1);
}

static void test_drain_has_a_deadline(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    kernel_drain(fixture->kernel, set_left, fixture);
    loop_advance(fixture->loop, settings.revoke_timeout_ms + 1000);
    assert_true(fixture->left);
    assert_int_equal(fixture->abandoned, 1);
    assert_int_equal(committed(fixture), 0);
}

static void test_enqueue_and_wake_stalled(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    settle(fixture);
    struct kernel_route route = {.key = "t", .note = "n", .partition = 0};
    kernel_enqueue(fixture->kernel, &route);
    route.partition = 7; /* not owned */
    (void)snprintf(route.key, sizeof(route.key), "u");
    kernel_enqueue(fixture->kernel, &route);
    settle(fixture);
    assert_int_equal(fixture->runs, 1);
    finish(fixture, "t", KERNEL_DONE, 0);
    settle(fixture);
    assert_int_equal(fixture->held_count, 0);
}

#define KERNEL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_done_stores_offset),
        KERNEL_TEST(test_events_of_one_key_are_one_run),
        KERNEL_TEST(test_same_id_is_dropped),
        KERNEL_TEST(test_later_key_waits_in_ledger),
        KERNEL_TEST(test_retry_goes_to_pending_and_backs_off),
        KERNEL_TEST(test_after_waits_as_told),
        KERNEL_TEST(test_new_event_ends_waiting),
        KERNEL_TEST(test_stalled_waits_for_an_event),
        KERNEL_TEST(test_crash_replays_unfinished),
        KERNEL_TEST(test_boot_reloads_pending),
        KERNEL_TEST(test_concurrency_is_bounded),
        KERNEL_TEST(test_full_queue_pauses),
        KERNEL_TEST(test_tables_gate_keys),
        KERNEL_TEST(test_undecodable_goes_to_dead_letters),
        KERNEL_TEST(test_sweep_runs_when_idle),
        KERNEL_TEST(test_drain_waits_for_what_runs),
        KERNEL_TEST(test_drain_has_a_deadline),
        KERNEL_TEST(test_enqueue_and_wake_stalled),
        KERNEL_TEST(test_late_pending_record_is_taken_over),
        KERNEL_TEST(test_late_tombstone_is_covered_again),
        KERNEL_TEST(test_own_pending_record_says_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
