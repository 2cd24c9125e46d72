/*
 * Tests of topics/git_push.c: that what was written reads back, that equal moves make equal bytes and ids,
 * and what is refused.
 */
#include "topics/git_push.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"

/* Two objects. */
#define ID_A "0123456789abcdef0123456789abcdef01234567"
#define ID_B "89abcdef0123456789abcdef0123456789abcdef"

static struct git_push_commit some_commits[] = {
    {.id = ID_B,
     .author = "Ann \"A\"",
     .subject = "two \xc3\xa4",
     .has_time = true,
     .time_ms = 1700000000000},
    {.id = ID_A, .author = "", .subject = ""},
};
static const char *some_paths[] = {"a", "d/b c"};

static const struct git_push whole = {
    .repository = "https://h/o/r",
    .ref = "refs/heads/a|b",
    .old_id = ID_A,
    .new_id = ID_B,
    .move = 7,
    .forced = true,
    .has_time = true,
    .time_ms = 1700000000000,
    .commits = some_commits,
    .commit_count = 2,
    .commits_truncated = true,
    .paths = some_paths,
    .path_count = 2,
};

static void test_round_trip(void **state)
{
    (void)state;
    size_t bytes = 0;
    size_t again_bytes = 0;
    CLEANUP(mem_free) char *text = git_push_write(&whole, &bytes);
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    struct error error;
    if (git_push_read(text, bytes, &push, &error) != 0)
        fail_msg("%s: %s", error.text, text);
    assert_string_equal(push.repository, whole.repository);
    assert_string_equal(push.ref, whole.ref);
    assert_string_equal(push.old_id, ID_A);
    assert_string_equal(push.new_id, ID_B);
    assert_int_equal(push.move, 7);
    assert_true(push.forced && push.has_time && push.commits_truncated && !push.paths_truncated);
    assert_int_equal(push.time_ms, whole.time_ms);
    assert_int_equal(push.commit_count, 2);
    assert_string_equal(push.commits[0].author, "Ann \"A\"");
    assert_int_equal(push.commits[0].time_ms, 1700000000000);
    assert_false(push.commits[1].has_time);
    assert_int_equal(push.path_count, 2);
    assert_string_equal(push.paths[1], "d/b c");
    CLEANUP(mem_free) char *again = git_push_write(&push, &again_bytes);
    assert_int_equal(again_bytes, bytes);
    assert_string_equal(again, text);
}

static void test_created_and_deleted(void **state)
{
    (void)state;
    struct git_push pushes[] = {whole, whole};
    pushes[0].old_id = NULL;
    pushes[0].forced = false;
    pushes[1].new_id = NULL;
    pushes[1].forced = false;
    pushes[1].has_time = false;
    for (size_t i = 0; i < ARRAY_COUNT(pushes); i++) {
        size_t bytes = 0;
        CLEANUP(mem_free) char *text = git_push_write(&pushes[i], &bytes);
        CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
        assert_int_equal(git_push_read(text, bytes, &push, NULL), 0);
        assert_int_equal(push.old_id == NULL, i == 0);
        assert_int_equal(push.new_id == NULL, i == 1);
        assert_non_null(strstr(text, i == 0 ? "\"created\":true" : "\"deleted\":true"));
    }
}

static void test_envelope(void **state)
{
    (void)state;
    char id[GIT_PUSH_ID_BYTES];
    struct event event = git_push_envelope(&whole, id);
    struct event_headers headers;
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    assert_string_equal(id, "https://h/o/r|refs/heads/a|b|" ID_A "|" ID_B "|7");
    struct git_push deleted = whole;
    deleted.new_id = NULL;
    deleted.has_time = false;
    event = git_push_envelope(&deleted, id);
    assert_string_equal(id, "https://h/o/r|refs/heads/a|b|" ID_A "||7");
    assert_false(event.has_time);
}

static void test_keys(void **state)
{
    (void)state;
    char key[SUBJECT_KEY_BYTES];
    struct text repository;
    struct text ref;
    assert_int_equal(git_push_key(whole.repository, whole.ref, key), 0);
    assert_string_equal(key, "https://h/o/r|refs/heads/a|b");
    assert_int_equal(git_push_key_parse(key, strlen(key), &repository, &ref), 0);
    assert_true(text_equals(repository, whole.repository));
    assert_true(text_equals(ref, whole.ref));
    static const char *const bad[] = {"", "|", "a|", "|b", "ab"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(git_push_key_parse(bad[i], strlen(bad[i]), &repository, &ref), ERR_INPUT);
    char long_ref[SUBJECT_KEY_BYTES];
    memset(long_ref, 'x', sizeof(long_ref) - 1);
    long_ref[sizeof(long_ref) - 1] = '\0';
    assert_int_equal(git_push_key("u", long_ref, key), ERR_TOO_LARGE);
    assert_int_equal(git_push_key("u", long_ref + 3, key), ERR_TOO_LARGE - ERR_TOO_LARGE);
}

/* Replaces `from` in the whole record by `to`; it must then be refused, with a word of the reason. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        const char *reason;
    } rows[] = {
        {"\"move\":7", "\"move\":0", "move"},
        {"\"move\":7", "\"move\":\"7\"", "move"},
        {"\"old\":\"" ID_A "\"", "\"old\":null", "contradict"},
        {"\"old\":\"" ID_A "\"", "\"older\":null", "old"},
        {"\"new\":\"" ID_B "\"", "\"new\":null", "contradict"},
        {"\"created\":false", "\"created\":true", "contradict"},
        {"\"created\":false", "\"created\":null", "created"},
        {"\"paths\":[\"a\"", "\"paths\":[1", "paths"},
        {"\"paths\":[\"a\"", "\"paths\":[\"a\\u0000\"", "paths"},
        {"\"commits\":[{", "\"commits\":[1,{", "id"},
        {"\"time\":\"2023-11-14T22:13:20Z\",\"truncated\"", "\"time\":\"now\",\"truncated\"",
         "time"},
        {"\"truncated\":{", "\"trunk\":{", "commits"},
        {"{\"commits\"", "[\"commits\"", ""},
    };
    CLEANUP(mem_free) char *text = git_push_write(&whole, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *place = strstr(text, rows[i].from);
        assert_non_null(place);
        CLEANUP(mem_free)
        char *changed = mem_format("%.*s%s%s", (int)(place - text), text, rows[i].to,
                                   place + strlen(rows[i].from));
        struct git_push push;
        struct error error = {.text = ""};
        if (git_push_read(changed, strlen(changed), &push, &error) != ERR_INPUT)
            fail_msg("%s is accepted", changed);
        if (strstr(error.text, rows[i].reason) == NULL)
            fail_msg("%s → %s", rows[i].to, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_created_and_deleted),
        cmocka_unit_test(test_envelope),   cmocka_unit_test(test_keys),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
