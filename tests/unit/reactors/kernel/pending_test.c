/*
 * The kernel's outcomes: what `pending` holds for each, when a key runs again, what a restart finds, and what former owners write late.
 */
#include "tests/unit/reactors/kernel/kernel_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_retry_goes_to_pending_and_backs_off),
        KERNEL_TEST(test_after_waits_as_told),
        KERNEL_TEST(test_new_event_ends_waiting),
        KERNEL_TEST(test_stalled_waits_for_an_event),
        KERNEL_TEST(test_crash_replays_unfinished),
        KERNEL_TEST(test_boot_reloads_pending),
        KERNEL_TEST(test_late_pending_record_is_taken_over),
        KERNEL_TEST(test_late_tombstone_is_covered_again),
        KERNEL_TEST(test_own_pending_record_says_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
