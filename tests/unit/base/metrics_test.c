/*
 * Tests of base/metrics.c and metrics_process.c: the whole exposition text of a small registry, escapes, buckets at
 * their bounds, and the limit of series.
 */
#include "base/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The text of a registry; owned by the buffer of the caller. */
static const char *printed(struct metrics *metrics, struct buffer *text)
{
    buffer_clear(text);
    assert_int_equal(metrics_print(metrics, text), 0);
    return text->data;
}

static void test_exposition(void **state)
{
    (void)state;
    static const char *const labels[] = {"code", "reason", NULL};
    static const double bounds[] = {0.005, 1, 2.5};
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metrics_family *answers = metrics_declare(metrics, METRICS_COUNTER, "answers_total",
                                                     "Answers.\nBy code \\ reason.", labels);
    struct metrics_family *queue =
        metrics_declare(metrics, METRICS_GAUGE, "queue_bytes", "Queue.", NULL);
    struct metrics_family *seconds = metrics_declare_histogram(metrics, "answer_seconds", "Time.",
                                                               NULL, bounds, ARRAY_COUNT(bounds));
    (void)metrics_declare(metrics, METRICS_GAUGE, "empty", "No series yet.", NULL);

    metric_add(metrics_series(answers, (const char *const[]){"202", ""}), 1);
    metric_add(metrics_series(answers, (const char *const[]){"503", "a\"b\\c\nd"}), 2.5);
    metric_add(metrics_series(answers, (const char *const[]){"202", ""}), 41);
    metric_set(metrics_single(queue), 7);
    metric_add(metrics_single(queue), -8.5);
    static const double observed[] = {0.001, 0.005, 0.0051, 1, 2, 3, 0};
    for (size_t i = 0; i < ARRAY_COUNT(observed); i++)
        metric_observe(metrics_single(seconds), observed[i]);
    assert_string_equal(printed(metrics, &text),
                        "# HELP answers_total Answers.\\nBy code \\\\ reason.\n"
                        "# TYPE answers_total counter\n"
                        "answers_total{code=\"202\",reason=\"\"} 42\n"
                        "answers_total{code=\"503\",reason=\"a\\\"b\\\\c\\nd\"} 2.5\n"
                        "# HELP queue_bytes Queue.\n"
                        "# TYPE queue_bytes gauge\n"
                        "queue_bytes -1.5\n"
                        "# HELP answer_seconds Time.\n"
                        "# TYPE answer_seconds histogram\n"
                        "answer_seconds_bucket{le=\"0.005\"} 3\n"
                        "answer_seconds_bucket{le=\"1\"} 5\n"
                        "answer_seconds_bucket{le=\"2.5\"} 6\n"
                        "answer_seconds_bucket{le=\"+Inf\"} 7\n"
                        "answer_seconds_sum 6.0111\n"
                        "answer_seconds_count 7\n"
                        "# HELP empty No series yet.\n"
                        "# TYPE empty gauge\n");
    assert_true(metric_value(metrics_single(queue)) == -1.5);
}

static void test_a_labelled_histogram(void **state)
{
    (void)state;
    static const char *const labels[] = {"path", NULL};
    static const double bounds[] = {1};
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metrics_family *family =
        metrics_declare_histogram(metrics, "h_seconds", "H.", labels, bounds, 1);
    metric_observe(metrics_series(family, (const char *const[]){"/"}), 0.5);
    assert_string_equal(printed(metrics, &text), "# HELP h_seconds H.\n"
                                                 "# TYPE h_seconds histogram\n"
                                                 "h_seconds_bucket{path=\"/\",le=\"1\"} 1\n"
                                                 "h_seconds_bucket{path=\"/\",le=\"+Inf\"} 1\n"
                                                 "h_seconds_sum{path=\"/\"} 0.5\n"
                                                 "h_seconds_count{path=\"/\"} 1\n");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "g 0\n"},
        {-0.1, "g -0.1\n"},
        {1793536496, "g 1793536496\n"},
        {1e15, "g 1e+15\n"},
        {INFINITY, "g +Inf\n"},
        {-INFINITY, "g -Inf\n"},
        {(double)NAN, "g NaN\n"},
        {0.1 + 0.2, "g 0.30000000000000004\n"},
    };
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metric *gauge = metrics_single(metrics_declare(metrics, METRICS_GAUGE, "g", "G.", NULL));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        metric_set(gauge, cases[i].value);
        assert_string_equal(strstr(printed(metrics, &text), "gauge\n") + strlen("gauge\n"),
                            cases[i].text);
    }
}

static void test_declaring_twice_gives_the_first(void **state)
{
    (void)state;
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    struct metrics_family *first = metrics_declare(metrics, METRICS_COUNTER, "c_total", "C.", NULL);
    metric_add(metrics_single(first), 3);
    struct metrics_family *second =
        metrics_declare(metrics, METRICS_COUNTER, "c_total", "Else.", NULL);
    assert_ptr_equal(first, second);
    assert_true(metric_value(metrics_single(second)) == 3);
}

static void test_series_are_bounded(void **state)
{
    (void)state;
    static const char *const labels[] = {"a", "b", NULL};
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metrics_family *family =
        metrics_declare(metrics, METRICS_COUNTER, "c_total", "C.", labels);
    for (int i = 0; i < METRICS_SERIES_MAX + 500; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "n%d", i);
        metric_add(metrics_series(family, (const char *const[]){name, "x"}), 1);
    }
    const char *others[] = {"other", "other"};
    assert_true(metric_value(metrics_series(family, others)) == 500);
    assert_true(metric_value(metrics_series(family, (const char *const[]){"n7", "x"})) == 1);
    const char *lines = printed(metrics, &text);
    size_t count = 0;
    for (const char *at = lines; (at = strstr(at, "\nc_total{")) != NULL; at++)
        count++;
    assert_int_equal(count, METRICS_SERIES_MAX + 1);
}

static void test_long_label_values_are_cut_at_a_character(void **state)
{
    (void)state;
    static const char *const labels[] = {"l", NULL};
    char value[1000];
    memset(value, 'x', sizeof(value));
    memcpy(value + 255, "€", strlen("€")); /* would be cut in its middle */
    value[sizeof(value) - 1] = '\0';
    char expected[256 + 64];
    (void)snprintf(expected, sizeof(expected), "g{l=\"%.255s\"} 0\n", value);
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metrics_family *family = metrics_declare(metrics, METRICS_GAUGE, "g", "G.", labels);
    (void)metrics_series(family, (const char *const[]){value});
    assert_non_null(strstr(printed(metrics, &text), expected));
    /* Four of the longest, each byte escaped, still fit. */
    static const char *const four[] = {"a", "b", "c", "d", NULL};
    memset(value, '"', sizeof(value) - 1);
    family = metrics_declare(metrics, METRICS_GAUGE, "four", "F.", four);
    (void)metrics_series(family, (const char *const[]){value, value, value, value});
}

static void add_one(void *argument)
{
    metric_add(argument, 1);
}

static void test_collectors_run_before_each_exposition(void **state)
{
    (void)state;
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    struct metric *gauge = metrics_single(metrics_declare(metrics, METRICS_GAUGE, "g", "G.", NULL));
    metrics_on_collect(metrics, add_one, gauge);
    metrics_on_collect(metrics, add_one, gauge);
    (void)printed(metrics, &text);
    assert_non_null(strstr(printed(metrics, &text), "\ng 4\n"));
}

static void test_a_full_buffer_is_an_error(void **state)
{
    (void)state;
    static const double bounds[] = {1};
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    (void)metrics_single(metrics_declare(metrics, METRICS_GAUGE, "g", "G\n.", NULL));
    (void)metrics_single(metrics_declare_histogram(metrics, "h", "H.", NULL, bounds, 1));
    CLEANUP(buffer_release) struct buffer whole = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    size_t whole_bytes = strlen(printed(metrics, &whole));
    for (size_t limit_bytes = 0; limit_bytes <= whole_bytes; limit_bytes++) {
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(limit_bytes);
        assert_int_equal(metrics_print(metrics, &text),
                         limit_bytes < whole_bytes ? ERR_TOO_LARGE : 0);
    }
}

/* The value of an unlabelled metric in an exposition text; fails if it is not there. */
static double value_in(const char *text, const char *name)
{
    char start[64];
    (void)snprintf(start, sizeof(start), "\n%s ", name);
    const char *line = strstr(text, start);
    assert_non_null(line);
    return strtod(line + strlen(start), NULL);
}

static void test_process_metrics(void **state)
{
    (void)state;
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    metrics_add_process(metrics);
    metrics_add_process(metrics); /* once more changes nothing */
    const char *first = printed(metrics, &text);
    double open_before = value_in(first, "process_open_fds");
    assert_true(open_before >= 3);
    assert_true(value_in(first, "process_max_fds") >= open_before);
    assert_true(value_in(first, "process_resident_memory_bytes") > 1 << 20);
    assert_true(value_in(first, "process_virtual_memory_bytes") >=
                value_in(first, "process_resident_memory_bytes"));
    assert_true(value_in(first, "process_start_time_seconds") > 1600000000);
    double cpu_before = value_in(first, "process_cpu_seconds_total");
    FILE *file = tmpfile();
    assert_non_null(file);
    const char *second = printed(metrics, &text);
    assert_true(value_in(second, "process_open_fds") == open_before + 1);
    assert_true(value_in(second, "process_cpu_seconds_total") >= cpu_before);
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exposition),
        cmocka_unit_test(test_a_labelled_histogram),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_declaring_twice_gives_the_first),
        cmocka_unit_test(test_series_are_bounded),
        cmocka_unit_test(test_long_label_values_are_cut_at_a_character),
        cmocka_unit_test(test_collectors_run_before_each_exposition),
        cmocka_unit_test(test_a_full_buffer_is_an_error),
        cmocka_unit_test(test_process_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
