/*
 * Tests of base/option_value.c: tables of sizes, durations and shares, and of what is none.
 */
#include "base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64KiB", 65536},
        {"64Ki", 65536},
        {"25MB", 25000000},
        {"25M", 25000000},
        {"1k", 1000},
        {"1K", 1000},
        {"1kB", 1000},
        {"3GiB", INT64_C(3) << 30},
        {"2TB", INT64_C(2000000000000)},
        {"9223372036854775807", INT64_MAX},
        {"", -1},
        {"B", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 ", -1},
        {"1 KiB", -1},
        {"1.5GiB", -1},
        {"64kib", -1},
        {"64KIB", -1},
        {"1x", -1},
        {"0x10", -1},
        {"9223372036854775808", -1},
        {"9223372036854775807K", -1},
        {"8388608TiB", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t bytes = -1;
        int code = option_parse_bytes(cases[i].text, &bytes);
        assert_int_equal(code, cases[i].bytes < 0 ? ERR_INPUT : 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t duration_ms; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"250ms", 250},
        {"5s", 5000},
        {"10m", 600000},
        {"2h", 7200000},
        {"30d", INT64_C(2592000000)},
        {"1h30m", 5400000},
        {"1d2h3m4s5ms", 93784005},
        {"1d5ms", 86400005},
        {"90m", 5400000},
        {"", -1},
        {"5", -1},
        {"s", -1},
        {"-5s", -1},
        {"5 s", -1},
        {"5S", -1},
        {"5sec", -1},
        {"5s5s", -1},
        {"5s1m", -1},
        {"5ms1s", -1},
        {"1h30", -1},
        {"1.5h", -1},
        {"5w", -1},
        {"9223372036854775807ms", INT64_MAX},
        {"9223372036854775808ms", -1},
        {"9223372036854775807s", -1},
        {"106751991167d12h", -1},
        {"5s ", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t duration_ms = -1;
        int code = option_parse_duration_ms(cases[i].text, &duration_ms);
        assert_int_equal(code, cases[i].duration_ms < 0 ? ERR_INPUT : 0);
        assert_int_equal(duration_ms, cases[i].duration_ms);
    }
}

static void test_percents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double share; /* -1: refused */
    } cases[] = {
        {"0", 0},         {"0%", 0},
        {"5%", 0.05},     {"0.05", 0.05},
        {"100%", 1},      {"1", 1},
        {"12.5%", 0.125}, {"", -1},
        {"%", -1},        {"5", -1},
        {"101%", -1},     {"1.01", -1},
        {"-5%", -1},      {"5 %", -1},
        {".5", -1},       {"5.%", -1},
        {"nan", -1},      {"inf", -1},
        {"1e-2", -1},     {"0x1", -1},
        {"5%%", -1},      {"0.00000000000000000000000000000000000000000001", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        double share = -1;
        int code = option_parse_percent(cases[i].text, &share);
        assert_int_equal(code, cases[i].share < 0 ? ERR_INPUT : 0);
        assert_true(share == cases[i].share);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_percents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
