/*
 * The fold of `predictions`: what records, tombstones and rubbish leave behind, forgetting a
 * partition, the sweep's rounds while issues come and go, and many issues against a plain list.
 */
#include "reactors/labeler/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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
    fold(history, 0, "kubeflow", "{\"repository\":\"o/r\"}");     /* no issue's */
    fold(history, 0, "1#4294967296", "{\"repository\":\"o/r\"}"); /* no number of GitHub's */
    fold(history, 0, "kubeflow", NULL);
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
    fold(history, 0, "1#6", "{\"repository\":\"o/r\"}");
    check_next(history, "1#5");
    fold(history, 0, "1#6", NULL); /* the next one, and the last: what is gone is never named */
    check_next(history, "1#5");
    fold(history, 0, "1#5", NULL);
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

/* --- many --- */

/* Issues of the long test: small, so that they come and go often. */
#define MANY_REPOSITORIES 7
#define MANY_NUMBERS 60
#define MANY_STEPS 20000

/* What must be known: by repository and number, the comment's id + 1; 0: not known. */
static int64_t wanted[MANY_REPOSITORIES][MANY_NUMBERS];

static void many_key(int repository, int number, char ret_key[32])
{
    (void)snprintf(ret_key, 32, "%d#%d", repository + 1, number + 1);
}

/* Compares everything that is known with what must be, by key and by a whole round. */
static void check_many(struct history *history)
{
    size_t count = 0;
    char key[SUBJECT_KEY_BYTES];
    for (int repository = 0; repository < MANY_REPOSITORIES; repository++)
        for (int number = 0; number < MANY_NUMBERS; number++) {
            many_key(repository, number, key);
            const struct history_entry *entry = history_find(history, key);
            assert_int_equal(entry != NULL ? entry->comment_id + 1 : 0, wanted[repository][number]);
            count += entry != NULL ? 1 : 0;
        }
    assert_int_equal(history_count(history), count);
    bool seen[MANY_REPOSITORIES][MANY_NUMBERS] = {{false}};
    for (size_t i = 0; i < count; i++) {
        const struct history_entry *entry = NULL;
        long long repository = 0;
        assert_true(history_next(history, key, &entry));
        repository = strtoll(key, NULL, 10) - 1;
        long long number = strtoll(strchr(key, '#') + 1, NULL, 10) - 1;
        assert_false(seen[repository][number]); /* each once a round */
        seen[repository][number] = true;
        assert_int_equal(entry->comment_id + 1, wanted[repository][number]);
        assert_int_equal(entry->partition, repository);
    }
}

static void test_many_come_and_go(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    unsigned random = 1;
    memset(wanted, 0, sizeof(wanted));
    for (int step = 0; step < MANY_STEPS; step++) {
        char key[32];
        char value[128];
        random = random * 1103515245u + 12345u;
        int repository = (int)(random >> 16) % MANY_REPOSITORIES;
        int number = (int)(random >> 20) % MANY_NUMBERS;
        many_key(repository, number, key);
        (void)snprintf(value, sizeof(value), "{\"repository\":\"o/%d\",\"comment_id\":%d}",
                       repository, step);
        bool comes = (random >> 8) % 3 != 0;
        fold(history, repository, key, comes ? value : NULL);
        wanted[repository][number] = comes ? step + 1 : 0;
        if (step % 500 == 499) {
            history_forget(history, repository);
            memset(wanted[repository], 0, sizeof(wanted[repository]));
        }
        if (step % 100 == 0 || step % 500 == 499)
            check_many(history);
    }
}

/* More than the first arrays hold, neighbours all; then one partition of many goes away. */
static void test_growth_and_shrinking(void **state)
{
    (void)state;
    CLEANUP(history_free) struct history *history = history_new();
    char key[SUBJECT_KEY_BYTES];
    char value[128];
    const int count = 50000;
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%d#%d", 700000000 + i % 3, 1 + i / 3);
        (void)snprintf(value, sizeof(value), "{\"comment_id\":%d}", i);
        fold(history, i % 100 == 0 ? 1 : 0, key, value);
    }
    assert_int_equal(history_count(history), count);
    history_forget(history, 0);
    assert_int_equal(history_count(history), count / 100);
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%d#%d", 700000000 + i % 3, 1 + i / 3);
        const struct history_entry *entry = history_find(history, key);
        assert_int_equal(entry != NULL, i % 100 == 0);
        if (entry != NULL)
            assert_int_equal(entry->comment_id, i);
    }
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
        cmocka_unit_test(test_many_come_and_go),
        cmocka_unit_test(test_growth_and_shrinking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
