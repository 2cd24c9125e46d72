/*
 * Tests of base/buffer.c: growth, the limit at its edges, and what a failed append leaves behind.
 */
#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Limit of most buffers below: small, so that its edges are near. */
#define TEST_LIMIT_BYTES 10

static void test_append_and_limit(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        const char *second;
        int code; /* of the second append */
        const char *content;
    } cases[] = {
        {"", "", 0, ""},
        {"abc", "def", 0, "abcdef"},
        {"abcde", "fghij", 0, "abcdefghij"},
        {"abcde", "fghijk", ERR_TOO_LARGE, "abcde"},
        {"abcdefghij", "", 0, "abcdefghij"},
        {"abcdefghij", "k", ERR_TOO_LARGE, "abcdefghij"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
        assert_int_equal(buffer_append_text(&buffer, cases[i].first), 0);
        assert_int_equal(buffer_append(&buffer, cases[i].second, strlen(cases[i].second)),
                         cases[i].code);
        assert_int_equal(buffer.size_bytes, strlen(cases[i].content));
        assert_string_equal(buffer.data, cases[i].content);
    }
}

static void test_append_cannot_overflow(void **state)
{
    (void)state;
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
    assert_int_equal(buffer_append_text(&buffer, "abc"), 0);
    assert_int_equal(buffer_append(&buffer, "x", SIZE_MAX), ERR_TOO_LARGE);
    assert_int_equal(buffer_append(&buffer, "x", SIZE_MAX - 2), ERR_TOO_LARGE);
    assert_int_equal(buffer_reserve(&buffer, SIZE_MAX), ERR_TOO_LARGE);
    assert_string_equal(buffer.data, "abc");
}

static void test_format(void **state)
{
    (void)state;
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
    assert_int_equal(buffer_append_format(&buffer, "%d-%s", 12, "ab"), 0);
    assert_string_equal(buffer.data, "12-ab");
    assert_int_equal(buffer_append_format(&buffer, "%s", "123456"), ERR_TOO_LARGE);
    assert_string_equal(buffer.data, "12-ab");
    assert_int_equal(buffer_append_format(&buffer, "%s", "12345"), 0);
    assert_string_equal(buffer.data, "12-ab12345");
}

static void test_bytes_with_nul_and_growth(void **state)
{
    (void)state;
    enum { PIECES = 1000 };
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(3 * PIECES);
    for (size_t i = 0; i < PIECES; i++)
        assert_int_equal(buffer_append(&buffer, "a\0b", 3), 0);
    assert_int_equal(buffer.size_bytes, 3 * PIECES);
    assert_true(buffer.capacity_bytes <= buffer.limit_bytes);
    for (size_t i = 0; i < PIECES; i++)
        assert_memory_equal(buffer.data + 3 * i, "a\0b", 3);
    assert_int_equal(buffer.data[buffer.size_bytes], 0);
    assert_int_equal(buffer_append(&buffer, "c", 1), ERR_TOO_LARGE);
}

static void test_reserve_clear_release(void **state)
{
    (void)state;
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(100);
    assert_null(buffer.data);
    assert_int_equal(buffer_reserve(&buffer, 100), 0);
    assert_int_equal(buffer.capacity_bytes, 100);
    const char *reserved = buffer.data;
    assert_int_equal(buffer_append_text(&buffer, "hello"), 0);
    assert_ptr_equal(buffer.data, reserved);
    assert_int_equal(buffer_reserve(&buffer, 7), 0);
    assert_int_equal(buffer.capacity_bytes, 100);
    buffer_clear(&buffer);
    assert_string_equal(buffer.data, "");
    assert_ptr_equal(buffer.data, reserved);
    buffer_release(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer_append_text(&buffer, "again"), 0);
    assert_string_equal(buffer.data, "again");
}

static void test_take(void **state)
{
    (void)state;
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
    char *nothing = buffer_take(&buffer);
    assert_string_equal(nothing, "");
    free(nothing);
    assert_int_equal(buffer_append_text(&buffer, "text"), 0);
    char *text = buffer_take(&buffer);
    assert_string_equal(text, "text");
    free(text);
    assert_int_equal(buffer.size_bytes, 0);
    assert_null(buffer.data);
    assert_int_equal(buffer.limit_bytes, TEST_LIMIT_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_limit),
        cmocka_unit_test(test_append_cannot_overflow),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_bytes_with_nul_and_growth),
        cmocka_unit_test(test_reserve_clear_release),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
