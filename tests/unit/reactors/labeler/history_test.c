/*
 * The fold of `predictions`: what records, tombstones and rubbish leave behind, forgetting a
 * partition, and the sweep's rounds while issues come and go.
 */
#include "reactors/labeler/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/subject.h"

/* Folds a record of partition `partition`; a NULL value is a tombstone. */
static void fold(struct history *history, int32_t partition, const char *key, const char *value)
{
    const struct bus_record record = {
        .topic = TOPIC_PREDICTIONS,
        .partition = partition,
        .key = key,
        .key_bytes = key != NULL ? strlen(key) : 0,
        .value = value,
        .value_bytes = value != NULL ? strlen(value) : 0,
    };
    history_apply(history, &record);
}

static void test_fold(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    assert_null(history_find(history, "1#7"));
    fold(history, 3, "1#7",
         "{\"repository\":\"o/r\",\"comment_id\":12,\"model\":\"0123456789ab\"}");
    const struct history_entry *entry = history_find(history, "1#7");
    assert_non_null(entry);
    assert_string_equal(entry->repository, "o/r");
    assert_int_equal(entry->comment_id, 12);
    assert_true(entry->model_hash == history_hash_model("0123456789ab"));
    assert_int_equal(entry->partition, 3);
    assert_null(history_find(history, "1#70"));

    /* The newest record is all that counts, members that it lacks too. */
    fold(history, 3, "1#7", "{\"repository\":\"new/name\"}");
    entry = history_find(history, "1#7");
    assert_string_equal(entry->repository, "new/name");
    assert_int_equal(entry->comment_id, 0);
    assert_true(entry->model_hash == history_hash_model(""));
    assert_int_equal(history_count(history), 1);
}

/* The joined version of several models is longer than what is kept: its beginning is. */
static void test_long_model_is_cut(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    fold(history, 0, "1#7", "{\"repository\":\"o/r\",\"model\":\"0123456789ab+cdef01234567\"}");
    assert_true(history_find(history, "1#7")->model_hash ==
                history_hash_model("0123456789ab+cdef01234567"));
}

static void test_tombstone(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    fold(history, 0, "1#7", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#8", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#9", NULL); /* of an issue that was never there */
    fold(history, 0, "1#7", NULL);
    assert_null(history_find(history, "1#7"));
    assert_string_equal(history_find(history, "1#8")->repository, "o/r"); /* the name is shared */
    assert_int_equal(history_count(history), 1);
    fold(history, 0, "1#7", "{\"repository\":\"o/r\",\"comment_id\":3}");
    assert_int_equal(history_find(history, "1#7")->comment_id, 3);
}

static void test_rubbish_is_ignored(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    char long_key[SUBJECT_KEY_BYTES + 1];
    memset(long_key, '1', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    fold(history, 0, "1#7", "{\"repository\":\"o/r\",\"comment_id\":3}");
    fold(history, 0, NULL, "{\"repository\":\"o/r\"}");
    fold(history, 0, "", "{\"repository\":\"o/r\"}");
    fold(history, 0, long_key, "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#7", "not JSON");
    fold(history, 0, "1#7", "{");
    fold(history, 0, "1#7", "");
    assert_int_equal(history_count(history), 1);
    assert_int_equal(history_find(history, "1#7")->comment_id, 3);
    fold(history, 0, "1#8", "{\"repository\":7,\"comment_id\":\"x\",\"model\":null}");
    assert_string_equal(history_find(history, "1#8")->repository, "");
    assert_int_equal(history_find(history, "1#8")->comment_id, 0);
}

static void test_forget(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    fold(history, 0, "1#1", "{\"repository\":\"o/r\"}");
    fold(history, 1, "1#2", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#3", "{\"repository\":\"p/q\"}");
    fold(history, 1, "1#4", "{\"repository\":\"p/q\"}");
    history_forget(history, 0);
    assert_int_equal(history_count(history), 2);
    assert_null(history_find(history, "1#1"));
    assert_string_equal(history_find(history, "1#4")->repository, "p/q");
    history_forget(history, 7);
    assert_int_equal(history_count(history), 2);
    history_forget(history, 1);
    assert_int_equal(history_count(history), 0);
}

/* --- the sweep --- */

/* Fails unless the next key of the round is this one; NULL: there must be none. */
static void check_next(struct history *history, const char *wanted)
{
    char key[SUBJECT_KEY_BYTES] = "";
    const struct history_entry *entry = NULL;
    bool found = history_next(history, key, &entry);
    if (found != (wanted != NULL) || (found && strcmp(key, wanted) != 0))
        fail_msg("the next is \"%s\", want \"%s\"", key, wanted != NULL ? wanted : "(none)");
    assert_true(entry == (wanted != NULL ? history_find(history, wanted) : NULL));
}

static void test_rounds(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    check_next(history, NULL);
    fold(history, 0, "1#1", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#2", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#3", "{\"repository\":\"o/r\"}");
    for (int round = 0; round < 3; round++) {
        check_next(history, "1#1");
        check_next(history, "1#2");
        check_next(history, "1#3");
    }
    check_next(history, "1#1");
    fold(history, 0, "1#2", NULL); /* the one that the cursor stands on */
    check_next(history, "1#3");
    fold(history, 0, "1#4",
         "{\"repository\":\"o/r\"}"); /* after the last of the round: the next round has it */
    check_next(history, "1#1");
    fold(history, 0, "1#1", NULL); /* one that was passed */
    check_next(history, "1#3");
    fold(history, 0, "1#4", NULL); /* the last one, under the cursor: the round starts again */
    check_next(history, "1#3");
    fold(history, 0, "1#3", NULL);
    check_next(history, NULL);
    fold(history, 0, "1#5", "{\"repository\":\"o/r\"}");
    check_next(history, "1#5");
    check_next(history, "1#5");
}

static void test_forget_under_the_cursor(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    fold(history, 0, "1#1", "{\"repository\":\"o/r\"}");
    fold(history, 1, "1#2", "{\"repository\":\"o/r\"}");
    fold(history, 1, "1#3", "{\"repository\":\"o/r\"}");
    fold(history, 0, "1#4", "{\"repository\":\"o/r\"}");
    check_next(history, "1#1");
    history_forget(history, 1);
    check_next(history, "1#4");
    check_next(history, "1#1");
    history_forget(history, 0);
    check_next(history, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_long_model_is_cut),
        cmocka_unit_test(test_tombstone),
        cmocka_unit_test(test_rubbish_is_ignored),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_forget_under_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
