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
    assert_int_equal(counts.waiting, 2);
    assert_int_equal(fixture->runs, 2);
    loop_advance(
        fixture->loop,
        605000); /* a's time has come, and each STALLED key is looked at once after a boot */
    assert_int_equal(fixture->runs, 4);
    assert_string_equal(kernel_work_note(fixture->held[0]), "a note");
    assert_int_equal(kernel_work_offset(fixture->held[0]), -1);
    finish(fixture, "b", KERNEL_STALLED, 0);
    loop_advance(fixture->loop, 3600000);
    assert_int_equal(fixture->runs, 4);
}

/* Keys that wait for a person do not stop the consumer: what wakes them comes by it. */
static void test_stalled_keys_do_not_pause(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    for (int i = 0; i < 2 * (int)settings.keys_max; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%d", i);
        append(fixture, key, "work", NULL);
        settle(fixture);
        finish(fixture, key, KERNEL_STALLED, 0);
        settle(fixture);
    }
    struct kernel_counts counts;
    kernel_count(fixture->kernel, &counts);
    assert_int_equal(counts.stalled, 2 * settings.keys_max);
    assert_false(counts.paused);
}

static bool look_at_b(void *argument, const char *key, const char *note)
{
    (void)argument;
    assert_string_equal(note, "a note");
    return strcmp(key, "b") == 0;
}

/* What a person has mended wakes the keys that wait for it, also one that is about to say STALLED. */
static void test_wake_stalled(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    finish(fixture, "a", KERNEL_STALLED, 0);
    settle(fixture);
    kernel_wake_stalled(fixture->kernel, look_at_b, NULL); /* b is running */
    finish(fixture, "b", KERNEL_STALLED, 0);
    settle(fixture);
    assert_int_equal(fixture->runs, 3);
    finish(fixture, "b", KERNEL_STALLED, 0);
    settle(fixture);
    kernel_wake_stalled(fixture->kernel, look_at_b, NULL);
    settle(fixture);
    assert_int_equal(fixture->runs, 4);
    assert_string_equal(kernel_work_key(fixture->held[0]), "b");
}

static bool look_at_all(void *argument, const char *key, const char *note)
{
    (void)argument;
    (void)key;
    (void)note;
    return true;
}

/* Makes `a` wait for seconds for its next try, and `b` by a limit. */
static void make_wait(struct fixture *fixture)
{
    append(fixture, "a", "work", NULL);
    append(fixture, "b", "work", NULL);
    settle(fixture);
    finish(fixture, "b", KERNEL_AFTER, 3600000);
    for (int i = 0; i < 4; i++) {
        loop_advance(fixture->loop, settings.backoff_most_ms);
        finish(fixture, "a", KERNEL_RETRY, 0);
    }
    settle(fixture);
    assert_int_equal(fixture->held_count, 0);
}

/* What was missing is there: keys in backoff run at once, also after a boot; those that a limit put off
 * do not. */
static void test_wake_retrying(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    make_wait(fixture);
    kernel_wake_retrying(fixture->kernel, look_at_b, NULL);
    loop_advance(fixture->loop, 10);
    assert_int_equal(fixture->held_count, 0);
    kernel_wake_retrying(fixture->kernel, look_at_all, NULL);
    loop_advance(fixture->loop, 10);
    assert_int_equal(fixture->held_count, 1);
    assert_string_equal(kernel_work_key(fixture->held[0]), "a");
    finish(fixture, "a", KERNEL_RETRY, 0);
    kernel_wake_retrying(fixture->kernel, look_at_all, NULL); /* while that is being written */
    settle(fixture);
    assert_int_equal(fixture->held_count, 1);
    finish(fixture, "a", KERNEL_RETRY, 0);
    settle(fixture);
    fixture_crash(fixture);
    fixture_start(fixture);
    settle(fixture);
    assert_int_equal(fixture->held_count, 0);
    kernel_wake_retrying(fixture->kernel, look_at_all, NULL);
    loop_advance(fixture->loop, 10);
    assert_int_equal(fixture->held_count, 1);
    assert_string_equal(kernel_work_key(fixture->held[0]), "a");
}

/* A reason that was cut in the middle of a character, or is no text at all, is recorded all the same. */
static void test_reason_is_always_text(void **state)
{
    struct fixture *fixture = *state;
    char reason[2 * KERNEL_REASON_BYTES];
    memset(reason, 0xc3,
           sizeof(reason)); /* first bytes of two-byte characters, without their second */
    reason[sizeof(reason) - 1] = '\0';
    fixture_start(fixture);
    append(fixture, "a", "work", NULL);
    settle(fixture);
    struct kernel_work *work = fixture->held[0];
    fixture_unhold(fixture, work);
    struct kernel_outcome outcome = {.kind = KERNEL_STALLED, .reason = reason};
    kernel_finish(work, &outcome);
    settle(fixture);
    assert_non_null(strstr(pending(fixture, "a"), "????"));
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
        KERNEL_TEST(test_stalled_keys_do_not_pause),
        KERNEL_TEST(test_wake_stalled),
        KERNEL_TEST(test_wake_retrying),
        KERNEL_TEST(test_reason_is_always_text),
        KERNEL_TEST(test_late_pending_record_is_taken_over),
        KERNEL_TEST(test_late_tombstone_is_covered_again),
        KERNEL_TEST(test_own_pending_record_says_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
