/*
 * The kernel's queue and offsets on the in-memory bus: one run for many events, what is stored when, gates, pause, sweep and drain.
 */
#include "tests/unit/reactors/kernel/kernel_fixture.h"

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

/* Whether the run of a key that is held covers minor events only. */
static bool is_minor(const struct fixture *fixture, const char *key)
{
    for (size_t i = 0; i < fixture->held_count; i++)
        if (strcmp(kernel_work_key(fixture->held[i]), key) == 0)
            return kernel_work_is_minor(fixture->held[i]);
    fail_msg("%s is not running", key);
    return false;
}

/* A run is minor only if nothing else asked for it, whatever the order. */
static void test_minor_events(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *first;
        const char *second; /* before the key runs; NULL: none */
        bool is_minor;
    } cases[] = {{"minor", NULL, true},    {"work", NULL, false},    {"minor", "minor", true},
                 {"minor", "work", false}, {"work", "minor", false}, {"skip", "minor", true}};
    fixture_start(fixture);
    settle(fixture);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%zu", i);
        append(fixture, "x", "work", NULL); /* two that run: the key waits for a place */
        append(fixture, "y", "work", NULL);
        settle(fixture);
        append(fixture, key, cases[i].first, NULL);
        if (cases[i].second != NULL)
            append(fixture, key, cases[i].second, NULL);
        settle(fixture);
        finish(fixture, "x", KERNEL_DONE, 0);
        settle(fixture);
        assert_int_equal(is_minor(fixture, key), cases[i].is_minor);
        append(fixture, key, "minor", NULL); /* while it runs: of itself */
        settle(fixture);
        finish(fixture, key, KERNEL_DONE, 0);
        settle(fixture);
        assert_true(is_minor(fixture, key));
        finish(fixture, key, KERNEL_RETRY, 0);
        loop_advance(fixture->loop, 2000);
        assert_false(is_minor(fixture, key)); /* a retry is none */
        finish(fixture, key, KERNEL_STALLED, 0);
        settle(fixture);
        append(fixture, key, "minor", NULL);
        settle(fixture);
        assert_false(is_minor(fixture, key)); /* what waits for a person neither */
        finish(fixture, key, KERNEL_DONE, 0);
        finish(fixture, "y", KERNEL_DONE, 0);
        settle(fixture);
    }
}

/* What a table wants is never minor, also while a minor event waits. */
static void test_minor_and_enqueued(void **state)
{
    struct fixture *fixture = *state;
    const struct kernel_route route = {.key = "k", .note = "n", .partition = 0};
    fixture_start(fixture);
    settle(fixture);
    append(fixture, "k", "minor", NULL);
    settle(fixture);
    assert_true(is_minor(fixture, "k"));
    kernel_enqueue(fixture->kernel, &route);
    append(fixture, "k", "minor", NULL);
    settle(fixture);
    finish(fixture, "k", KERNEL_DONE, 0);
    settle(fixture);
    assert_false(is_minor(fixture, "k"));
    finish(fixture, "k", KERNEL_DONE, 0);
    settle(fixture);
}

/* A work is current while its partition's records come in. */
static void test_current(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    settle(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    const struct kernel_work *work = fixture->held[0];
    assert_true(kernel_work_is_current(work));
    for (char key[] = "b"; key[0] < 'z'; key[0]++)
        append(fixture, key, "work", NULL);
    settle(fixture);
    assert_false(kernel_work_is_current(work)); /* the consumer is paused */
}

/* Nor while the process leaves. */
static void test_not_current_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    settle(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    kernel_drain(fixture->kernel, set_left, fixture);
    assert_false(kernel_work_is_current(fixture->held[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_done_stores_offset),
        KERNEL_TEST(test_events_of_one_key_are_one_run),
        KERNEL_TEST(test_same_id_is_dropped),
        KERNEL_TEST(test_later_key_waits_in_ledger),
        KERNEL_TEST(test_concurrency_is_bounded),
        KERNEL_TEST(test_full_queue_pauses),
        KERNEL_TEST(test_tables_gate_keys),
        KERNEL_TEST(test_undecodable_goes_to_dead_letters),
        KERNEL_TEST(test_sweep_runs_when_idle),
        KERNEL_TEST(test_drain_waits_for_what_runs),
        KERNEL_TEST(test_drain_has_a_deadline),
        KERNEL_TEST(test_enqueue_and_wake_stalled),
        KERNEL_TEST(test_minor_events),
        KERNEL_TEST(test_minor_and_enqueued),
        KERNEL_TEST(test_current),
        KERNEL_TEST(test_not_current_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
