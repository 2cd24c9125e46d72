/*
 * Tests of base/log.c: lines as they come out of a pipe, on a clock that the test sets: their JSON, the rate limit of
 * a site, the levels, and what happens to what does not fit.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json_text.h"

/* Wall clock of every test: 2026-11-01T12:34:56.789Z. */
#define TEST_WALL_MS INT64_C(1793536496789)

/* Start of every line at that time, up to the level. */
#define TEST_HEAD(level)                                                                           \
    "{\"time\":\"2026-11-01T12:34:56.789Z\",\"level\":\"" level "\",\"daemon\":\"test\","

/* Room for everything that one test logs: as much as a pipe holds. */
#define TEST_OUTPUT_BYTES 65536

/* Where lines go, and the present time. */
static int test_pipe[2];
static int64_t test_now_ms;
static char test_output[TEST_OUTPUT_BYTES];

static int64_t test_wall(void *argument)
{
    assert_ptr_equal(argument, &test_now_ms);
    return TEST_WALL_MS;
}

static int64_t test_monotonic(void *argument)
{
    assert_ptr_equal(argument, &test_now_ms);
    return test_now_ms;
}

static int test_setup(void **state)
{
    (void)state;
    const struct log_clock clock = {
        .wall_ms = test_wall, .monotonic_ms = test_monotonic, .argument = &test_now_ms};
    test_now_ms = 0;
    if (pipe2(test_pipe, O_NONBLOCK) != 0)
        return -1;
    log_set_fd(test_pipe[1]);
    log_set_clock(&clock);
    log_configure("test", LOG_LEVEL_INFO);
    return 0;
}

static int test_teardown(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    log_set_clock(NULL);
    (void)close(test_pipe[0]);
    (void)close(test_pipe[1]);
    return 0;
}

/* Returns what was logged since the last call, NUL-terminated. */
static const char *logged(void)
{
    size_t used = 0;
    ssize_t got = 0;
    do {
        used += (size_t)got;
        got = read(test_pipe[0], test_output + used, TEST_OUTPUT_BYTES - 1 - used);
    } while (got > 0);
    test_output[used] = '\0';
    return test_output;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n' ? 1 : 0;
    return count;
}

static void test_all_kinds_of_fields(void **state)
{
    (void)state;
    LOG_INFO("hello \"you\"", LOG_TEXT("text", "ä\n"), LOG_TEXT("none", NULL),
             LOG_BYTES("bytes", "abcdef", 3), LOG_INT("int", -5), LOG_INT("size", sizeof(char)),
             LOG_FLOAT("float", 0.25), LOG_FLOAT("nan", (double)NAN), LOG_BOOL("yes", true),
             LOG_BOOL("no", false));
    assert_string_equal(
        logged(), TEST_HEAD("info") "\"message\":\"hello \\\"you\\\"\",\"text\":\"ä\\n\","
                                    "\"none\":null,\"bytes\":\"abc\",\"int\":-5,\"size\":1,"
                                    "\"float\":0.25,\"nan\":null,\"yes\":true,\"no\":false}\n");
}

static void test_any_bytes_are_valid_json(void **state)
{
    (void)state;
    char bytes[257] = "";
    for (size_t i = 0; i < 256; i++)
        bytes[i] = (char)i;
    LOG_INFO("bytes", LOG_BYTES("all", bytes, 256), LOG_TEXT(bytes + 1, bytes + 200));
    const char *line = logged();
    json_t *value = NULL;
    struct error error = {0};
    assert_int_equal(json_read(line, strlen(line), &value, &error), 0);
    json_decref(value);
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int code;
        enum log_level level;
    } names[] = {
        {"debug", 0, LOG_LEVEL_DEBUG},
        {"info", 0, LOG_LEVEL_INFO},
        {"warning", 0, LOG_LEVEL_WARNING},
        {"error", 0, LOG_LEVEL_ERROR},
        {"WARNING", ERR_INPUT, 0},
        {"warn", ERR_INPUT, 0},
        {"", ERR_INPUT, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        enum log_level level = 0;
        assert_int_equal(log_level_parse(names[i].name, &level), names[i].code);
        if (names[i].code == 0)
            assert_int_equal(level, names[i].level);
    }
    for (int least = LOG_LEVEL_DEBUG; least <= LOG_LEVEL_ERROR; least++) {
        log_configure("test", (enum log_level)least);
        LOG_DEBUG("m", LOG_INT("i", 1));
        LOG_INFO("m", LOG_INT("i", 1));
        LOG_WARNING("m", LOG_INT("i", 1));
        LOG_ERROR("m", LOG_INT("i", 1));
        assert_int_equal(count_lines(logged()), LOG_LEVEL_ERROR - least + 1);
    }
}

static void log_from_one_site(int64_t number)
{
    LOG_WARNING("again", LOG_INT("number", number));
}

static void test_a_site_is_silenced_and_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < LOG_SITE_BURST + 30; i++)
        log_from_one_site(i);
    assert_int_equal(count_lines(logged()), LOG_SITE_BURST);
    test_now_ms = LOG_SITE_WINDOW_MS - 1;
    log_from_one_site(100);
    assert_string_equal(logged(), "");
    LOG_WARNING("another place", LOG_INT("number", 1));
    assert_int_equal(count_lines(logged()), 1);
    test_now_ms = LOG_SITE_WINDOW_MS;
    log_from_one_site(101);
    assert_string_equal(
        logged(), TEST_HEAD("warning") "\"message\":\"again\",\"suppressed\":31,\"number\":101}\n");
    log_from_one_site(102);
    assert_string_equal(logged(), TEST_HEAD("warning") "\"message\":\"again\",\"number\":102}\n");
}

static void test_a_window_begins_with_its_first_line(void **state)
{
    (void)state;
    struct log_site site = {0};
    const struct log_field field = log_field_int("i", 1);
    test_now_ms = 500;
    for (int i = 0; i < LOG_SITE_BURST; i++)
        log_write(&site, LOG_LEVEL_INFO, "m", &field, 1);
    test_now_ms = LOG_SITE_WINDOW_MS + 499;
    log_write(&site, LOG_LEVEL_INFO, "m", &field, 1);
    assert_int_equal(count_lines(logged()), LOG_SITE_BURST);
    test_now_ms++;
    log_write(&site, LOG_LEVEL_INFO, "m", &field, 1);
    assert_int_equal(count_lines(logged()), 1);
}

static void test_what_does_not_fit_is_cut(void **state)
{
    (void)state;
    enum { LONG_BYTES = 40000 };
    static char text[LONG_BYTES + 1];
    memset(text, 'x', LONG_BYTES);
    json_t *value = NULL;
    struct error error = {0};
    LOG_INFO("long", LOG_TEXT("text", text), LOG_INT("after", 1));
    const char *line = logged();
    assert_int_equal(json_read(line, strlen(line), &value, &error), 0);
    assert_true(json_is_true(json_object_get(value, "truncated")));
    assert_int_equal(json_int_or(value, "after", 0), 1);
    assert_int_equal(strlen(json_text_or(value, "text", "")), 4096 + strlen("…"));
    json_decref(value);

    /* Control characters become six bytes each: the fifth field has no room, the one after it has. */
    memset(text, '\x01', LONG_BYTES);
    LOG_INFO("long", LOG_BYTES("a", text, 800), LOG_BYTES("b", text, 800),
             LOG_BYTES("c", text, 800), LOG_BYTES("d", text, 800), LOG_INT("after", 1));
    line = logged();
    assert_int_equal(json_read(line, strlen(line), &value, &error), 0);
    assert_true(strlen(line) <= 16384);
    assert_true(json_is_true(json_object_get(value, "truncated")));
    assert_non_null(json_object_get(value, "c"));
    assert_null(json_object_get(value, "d"));
    assert_int_equal(json_int_or(value, "after", 0), 1);
    json_decref(value);
}

static void test_a_full_pipe_stops_nobody(void **state)
{
    (void)state;
    char rest[4096] = {0};
    while (write(test_pipe[1], rest, sizeof(rest)) > 0)
        continue;
    errno = ENOENT;
    LOG_ERROR("lost", LOG_INT("i", 1));
    assert_int_equal(errno, ENOENT);
    log_set_fd(-1);
    LOG_ERROR("lost", LOG_INT("i", 1));
    assert_int_equal(errno, ENOENT);
}

static void test_long_daemon_names_are_cut(void **state)
{
    (void)state;
    log_configure("0123456789012345678901234567890123456789012345678901234567890123456789",
                  LOG_LEVEL_INFO);
    LOG_INFO("m", LOG_INT("i", 1));
    assert_non_null(
        strstr(logged(),
               "\"daemon\":\"012345678901234567890123456789012345678901234567890123456789012\","));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_kinds_of_fields, test_setup, test_teardown),
        cmocka_unit_test_setup_teardown(test_any_bytes_are_valid_json, test_setup, test_teardown),
        cmocka_unit_test_setup_teardown(test_levels, test_setup, test_teardown),
        cmocka_unit_test_setup_teardown(test_a_site_is_silenced_and_says_so, test_setup,
                                        test_teardown),
        cmocka_unit_test_setup_teardown(test_a_window_begins_with_its_first_line, test_setup,
                                        test_teardown),
        cmocka_unit_test_setup_teardown(test_what_does_not_fit_is_cut, test_setup, test_teardown),
        cmocka_unit_test_setup_teardown(test_a_full_pipe_stops_nobody, test_setup, test_teardown),
        cmocka_unit_test_setup_teardown(test_long_daemon_names_are_cut, test_setup, test_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
