/*
 * Tests of which records `nodag tail` shows.
 *
 * Design: one record of an issue comment (its subject is the comment, its key the issue) and one of
 * a push; a table of filters with what they must do to both.
 */
#include "topics/tail_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define HEADER(header_name, text)                                                                  \
    {                                                                                              \
        .name = header_name, .value = text, .value_bytes = sizeof(text) - 1                        \
    }

static const struct event_header comment_headers[] = {
    HEADER("ce_type", "com.github.issue_comment.created"),
    HEADER("ce_subject", "99"),
    HEADER("ce_githubrepository", "kubeflow/kubeflow"),
};

static const struct event_header push_headers[] = {
    HEADER("ce_type", "com.github.push"),
    HEADER("ce_subject", "4711"),
    HEADER("ce_githubrepository", "Kubeflow/Kubeflow"),
    {.name = "null", .value = NULL},
};

static const struct bus_record comment = {.topic = TOPIC_GITHUB_EVENTS,
                                          .timestamp_ms = 1000,
                                          .key = "1#4711",
                                          .key_bytes = 6,
                                          .headers = comment_headers,
                                          .header_count = ARRAY_COUNT(comment_headers)};

static const struct bus_record push = {.topic = TOPIC_GITHUB_EVENTS,
                                       .timestamp_ms = 2000,
                                       .key = "1",
                                       .key_bytes = 1,
                                       .headers = push_headers,
                                       .header_count = ARRAY_COUNT(push_headers)};

static const struct bus_record bare = {.topic = TOPIC_GITHUB_EVENTS, .timestamp_ms = 3000};

static void test_filters(void **state)
{
    (void)state;
    static const struct {
        const char *key, *name, *type;
        int64_t since_ms, until_ms;
        bool comment, push, bare;
    } cases[] = {
        {NULL, NULL, NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, true, true, true},
        {"1#4711", NULL, NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, true, false, false},
        {"1", NULL, NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, false, true, false},
        {"", NULL, NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, false, false, false},
        {NULL, "KUBEFLOW/kubeflow", NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, true, true, false},
        {NULL, "kubeflow/kube", NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, false, false, false},
        {NULL, "kubeflow/kubeflow#4711", NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, true, true, false},
        {NULL, "kubeflow/kubeflow#99", NULL, TAIL_TIME_NONE, TAIL_TIME_NONE, false, false, false},
        {NULL, NULL, "com.github.issue*", TAIL_TIME_NONE, TAIL_TIME_NONE, true, false, false},
        {NULL, NULL, "com.github.issue", TAIL_TIME_NONE, TAIL_TIME_NONE, false, false, false},
        {NULL, NULL, "*", TAIL_TIME_NONE, TAIL_TIME_NONE, true, true, false},
        {NULL, NULL, NULL, 2000, TAIL_TIME_NONE, false, true, true},
        {NULL, NULL, NULL, TAIL_TIME_NONE, 2000, true, false, false},
        {NULL, NULL, NULL, 1500, 2500, false, true, false},
        {"1", "kubeflow/kubeflow", "*.push", 0, 9999, false, true, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tail_filter filter = {.key = cases[i].key,
                                     .type = cases[i].type,
                                     .since_ms = cases[i].since_ms,
                                     .until_ms = cases[i].until_ms};
        struct error error = {0};
        if (cases[i].name != NULL)
            assert_int_equal(tail_filter_set_name(&filter, cases[i].name, &error), 0);
        if (tail_filter_matches(&filter, &comment) != cases[i].comment ||
            tail_filter_matches(&filter, &push) != cases[i].push ||
            tail_filter_matches(&filter, &bare) != cases[i].bare)
            fail_msg("case %zu", i);
        assert_int_equal(tail_filter_is_selective(&filter),
                         cases[i].key != NULL || cases[i].name != NULL || cases[i].type != NULL);
    }
}

static void test_names_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "owner",  "/repo",   "owner/",    "owner/repo/more",
                                      "o/r#", "o/r#-1", "o/r#0",   "o/r#12x",   "o/r#1#2",
                                      "#1",   "o#1/r",  "o/r#1e3", "o/r#+4711", "/#1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct tail_filter filter = {0};
        struct error error = {0};
        if (tail_filter_set_name(&filter, bad[i], &error) != ERR_USAGE)
            fail_msg("\"%s\" was taken for a name", bad[i]);
        assert_null(filter.repository);
    }
}

static void test_times(void **state)
{
    (void)state;
    enum { NOW_MS = 100000000 };
    static const struct {
        const char *text;
        int64_t expected_ms; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:01Z", 1000},
        {"1970-01-02", 86400000},
        {"10s", NOW_MS - 10000},
        {"30d", 0},
        {"yesterday", -1},
        {"", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t found_ms = -7;
        struct error error = {0};
        int code = tail_parse_time(cases[i].text, NOW_MS, &found_ms, &error);
        assert_int_equal(code, cases[i].expected_ms < 0 ? ERR_USAGE : 0);
        assert_int_equal(found_ms, cases[i].expected_ms < 0 ? -7 : cases[i].expected_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
