/*
 * Tests of the table of topics: what must hold for every row, whoever edits the table.
 *
 * Design: one walk over all rows; nothing of the table is repeated here but the few promises that
 * others build on.
 */
#include "topics/topic.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_every_row_is_sound(void **state)
{
    (void)state;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        const struct topic_row *row = topic_row((enum topic)i);
        assert_int_equal(row->id, i);
        assert_true(row->partitions == 1 || row->partitions == TOPIC_PARTITIONS_MANY);
        assert_true(row->message_max_bytes > TOPIC_BODY_MAX_BYTES);
        assert_true(strlen(row->key) > 0 && strlen(row->value) > 0);
        for (const char *letter = row->name; *letter != '\0'; letter++)
            assert_true(islower((unsigned char)*letter) || *letter == '.');
        if (topic_is_compacted(row->id))
            assert_int_equal(row->segment_ms, TOPIC_SEGMENT_MS);
        else
            assert_true(row->retention_ms > 0 && row->min_compaction_lag_ms == -1);
    }
}

static void test_names_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        enum topic found = TOPIC_COUNT;
        assert_int_equal(topic_from_name(topic_name((enum topic)i), &found), 0);
        assert_int_equal(found, i);
    }
}

static void test_unknown_name_is_not_found(void **state)
{
    (void)state;
    enum topic found = TOPIC_COUNT;
    assert_int_equal(topic_from_name("github.event", &found), ERR_NOT_FOUND);
    assert_int_equal(topic_from_name("", &found), ERR_NOT_FOUND);
    assert_int_equal(found, TOPIC_COUNT);
}

static void test_events_are_kept_apart_from_tables(void **state)
{
    (void)state;
    assert_false(topic_is_compacted(TOPIC_GITHUB_EVENTS));
    assert_true(topic_is_compacted(TOPIC_PENDING));
    assert_true(topic_is_compacted(TOPIC_DEAD_LETTERS));
    assert_true(topic_row(TOPIC_DEAD_LETTERS)->message_max_bytes >
                topic_row(TOPIC_GITHUB_EVENTS)->message_max_bytes);
}

/*
 * pending stands in the partition of its key's home: that needs as many partitions as any home
 * topic has.
 */
static void test_pending_has_a_partition_for_every_home(void **state)
{
    (void)state;
    assert_int_equal(topic_row(TOPIC_PENDING)->partitions,
                     topic_row(TOPIC_GITHUB_EVENTS)->partitions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_names_are_found),
        cmocka_unit_test(test_unknown_name_is_not_found),
        cmocka_unit_test(test_events_are_kept_apart_from_tables),
        cmocka_unit_test(test_pending_has_a_partition_for_every_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
