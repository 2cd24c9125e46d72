/*
 * Tests of base/time_text.c: tables of texts with the milliseconds that they are, texts that are no times, and a
 * comparison with the C library's calendar over the range.
 */
#include "base/time_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/cleanup.h"

/* 9999-12-31T23:59:59.999Z, the last time there is. */
#define LAST_MS INT64_C(253402300799999)

/* So many days from 1970 are all looked at (a whole cycle of 400 years, and more); after that every 97th. */
#define EVERY_DAY 200000

/* Milliseconds of a day. */
#define DAY_MS INT64_C(86400000)

static void test_writes_and_reads_back(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {86399999, "1970-01-01T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00Z"},
        {951868800000, "2000-03-01T00:00:00Z"},
        {1709164800000, "2024-02-29T00:00:00Z"},
        {1793536496789, "2026-11-01T12:34:56.789Z"},
        {1793536496000, "2026-11-01T12:34:56Z"},
        {4107542400000, "2100-03-01T00:00:00Z"},
        {LAST_MS, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[TIME_TEXT_BYTES];
        int64_t wall_ms = -1;
        time_to_text(cases[i].wall_ms, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(time_from_text(text, strlen(text), &wall_ms), 0);
        assert_int_equal(wall_ms, cases[i].wall_ms);
    }
}

static void test_writes_the_nearest_time_in_range(void **state)
{
    (void)state;
    char text[TIME_TEXT_BYTES];
    time_to_text(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    time_to_text(INT64_MIN, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    time_to_text(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void test_reads_all_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms;
    } cases[] = {
        {"1970-01-01", 0},
        {"2026-11-01", 1793491200000},
        {"2026-11-01t12:34:56z", 1793536496000},
        {"2026-11-01 12:34:56Z", 1793536496000},
        {"2026-11-01T12:34:56+00:00", 1793536496000},
        {"2026-11-01T12:34:56-00:00", 1793536496000},
        {"2026-11-01T14:34:56+02:00", 1793536496000},
        {"2026-11-01T06:04:56-06:30", 1793536496000},
        {"2026-11-02T12:33:56+23:59", 1793536496000},
        {"2026-11-01T12:34:56.7Z", 1793536496700},
        {"2026-11-01T12:34:56.78Z", 1793536496780},
        {"2026-11-01T12:34:56.789999999Z", 1793536496789},
        {"2026-11-01T12:34:56.000000001Z", 1793536496000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2017-01-01T00:59:60+01:00", 1483228800000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t wall_ms = -1;
        assert_int_equal(time_from_text(cases[i].text, strlen(cases[i].text), &wall_ms), 0);
        assert_int_equal(wall_ms, cases[i].wall_ms);
    }
}

static void test_refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2",
        "2026",
        "2026-11",
        "2026-11-",
        "2026-1-01",
        "2026-11-1",
        "26-11-01",
        "2026-00-01",
        "2026-13-01",
        "2026-11-00",
        "2026-11-31",
        "2026-02-29",
        "2100-02-29",
        "2200-02-29",
        "2026-11-01T",
        "2026-11-01T12:34",
        "2026-11-01T12:34:56",
        "2026-11-01T12:34Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T12:60:00Z",
        "2026-11-01T12:34:61Z",
        "2026-11-01T12:34:60Z",
        "2026-12-31T23:59:60+01:00",
        "2026-11-01T12:34:56.Z",
        "2026-11-01T12:34:56,5Z",
        "2026-11-01T12:34:56+24:00",
        "2026-11-01T12:34:56+00:60",
        "2026-11-01T12:34:56+0000",
        "2026-11-01T12:34:56+00",
        "2026-11-01T12:34:56ZZ",
        "2026-11-01T12:34:56Z ",
        " 2026-11-01",
        "2026/11/01",
        "2026-11-01_12:34:56Z",
        "1969-12-31",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "0000-01-01",
        "9999-12-31T23:59:59-00:01",
        "+2026-11-01",
        "-2026-11-01",
        "yesterday",
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t wall_ms = -7;
        assert_int_equal(time_from_text(cases[i], strlen(cases[i]), &wall_ms), ERR_INPUT);
        assert_int_equal(wall_ms, -7);
    }
    int64_t wall_ms = -7;
    assert_int_equal(time_from_text("2026-11-01\0", 11, &wall_ms), ERR_INPUT);
    assert_int_equal(time_from_text("2026-11-01T12:34:56\0", 20, &wall_ms), ERR_INPUT);
}

static void test_agrees_with_the_calendar_of_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = 0; day * DAY_MS <= LAST_MS; day += day < EVERY_DAY ? 1 : 97) {
        char expected[TIME_TEXT_BYTES];
        char text[TIME_TEXT_BYTES];
        struct tm date;
        time_t seconds = (time_t)(day * (DAY_MS / 1000));
        int64_t wall_ms = -1;
        assert_non_null(gmtime_r(&seconds, &date));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &date) > 0);
        time_to_text(day * DAY_MS, text);
        if (strcmp(text, expected) != 0)
            assert_string_equal(text, expected);
        assert_int_equal(time_from_text(text, 10, &wall_ms), 0);
        assert_int_equal(wall_ms, day * DAY_MS);
    }
}

static void test_http_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        int64_t wall_ms;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 784111777000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0, 0},
        {"Sun, 01 Nov 2026 12:34:56 GMT", 0, 1793536496000},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 0, 784111777000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", ERR_INPUT, -7},
        {"Sun Nov  6 08:49:37 1994", ERR_INPUT, -7},
        {"Sun, 06 Nov 1994 08:49:37 UTC", ERR_INPUT, -7},
        {"Sun, 06 nov 1994 08:49:37 GMT", ERR_INPUT, -7},
        {"Sxn, 06 Nov 1994 08:49:37 GMT", ERR_INPUT, -7},
        {"Sun, 31 Nov 1994 08:49:37 GMT", ERR_INPUT, -7},
        {"Sun, 00 Nov 1994 08:49:37 GMT", ERR_INPUT, -7},
        {"Sun, 06 Nov 1994 24:49:37 GMT", ERR_INPUT, -7},
        {"Sun, 06 Nov 1994 08:49:60 GMT", ERR_INPUT, -7},
        {"Wed, 31 Dec 1969 23:59:59 GMT", ERR_INPUT, -7},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", ERR_INPUT, -7},
        {"Sun, 06 Nov 1994 08:49:37 GM", ERR_INPUT, -7},
        {"", ERR_INPUT, -7},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t wall_ms = -7;
        assert_int_equal(time_from_http_date(cases[i].text, &wall_ms), cases[i].code);
        assert_int_equal(wall_ms, cases[i].wall_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_and_reads_back),
        cmocka_unit_test(test_writes_the_nearest_time_in_range),
        cmocka_unit_test(test_reads_all_forms),
        cmocka_unit_test(test_refuses_what_is_no_time),
        cmocka_unit_test(test_agrees_with_the_calendar_of_the_c_library),
        cmocka_unit_test(test_http_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
