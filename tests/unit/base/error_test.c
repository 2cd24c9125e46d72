/*
 * Tests of base/error.c: the table's codes, names and classes, and how texts are set, prefixed and cut.
 */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum err_class class;
        const char *name;
        const char *text;
    } cases[] = {
        {ERR_TIMEOUT, ERR_CLASS_RETRIABLE, "ERR_TIMEOUT", "a deadline passed"},
        {ERR_QUEUE_FULL, ERR_CLASS_RETRIABLE, "ERR_QUEUE_FULL", "a queue is at its limit"},
        {ERR_IO, ERR_CLASS_RETRIABLE, "ERR_IO", "input or output failed"},
        {ERR_INPUT, ERR_CLASS_TERMINAL, "ERR_INPUT", "the input is not valid"},
        {ERR_USAGE, ERR_CLASS_TERMINAL, "ERR_USAGE", "the command line is not valid"},
        {ERR_BUG, ERR_CLASS_BUG, "ERR_BUG", "a rule of nodag itself was broken"},
        {0, ERR_CLASS_BUG, "OK", "no error"},
        {-999, ERR_CLASS_BUG, "ERR_UNKNOWN", "unknown error code"},
        {7, ERR_CLASS_BUG, "ERR_UNKNOWN", "unknown error code"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(err_class(cases[i].code), cases[i].class);
        assert_int_equal(err_is_retriable(cases[i].code), cases[i].class == ERR_CLASS_RETRIABLE);
        assert_string_equal(err_name(cases[i].code), cases[i].name);
        assert_string_equal(err_text(cases[i].code), cases[i].text);
    }
}

static void test_table_is_unambiguous(void **state)
{
    (void)state;
    static const int codes[] = {
#define TEST_CODE(name, value, class, text) value,
        ERR_TABLE(TEST_CODE)
#undef TEST_CODE
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        assert_true(codes[i] < 0);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(codes[i], codes[j]);
    }
}

static void test_set_and_prefix(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_set(&error, ERR_INPUT, "line %d: no '%c'", 3, '='), ERR_INPUT);
    assert_int_equal(error.code, ERR_INPUT);
    assert_string_equal(error.text, "line 3: no '='");
    assert_int_equal(error_prefix(&error, ERR_USAGE, "file %s", "a.conf"), ERR_USAGE);
    assert_int_equal(error.code, ERR_USAGE);
    assert_string_equal(error.text, "file a.conf: line 3: no '='");
}

static void test_null_passes_the_code_on(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERR_IO, "lost"), ERR_IO);
    assert_int_equal(error_prefix(NULL, ERR_IO, "lost"), ERR_IO);
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    struct error error = {0};
    char longer[2 * ERROR_TEXT_BYTES];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    (void)error_set(&error, ERR_INPUT, "%s", longer);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    (void)error_prefix(&error, ERR_INPUT, "context");
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    assert_memory_equal(error.text, "context: xxx", 12);
    (void)error_prefix(&error, ERR_INPUT, "%s", longer);
    assert_int_equal(strlen(error.text), ERROR_TEXT_BYTES - 1);
    assert_memory_equal(error.text, "xxx", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_table_is_unambiguous),
        cmocka_unit_test(test_set_and_prefix),
        cmocka_unit_test(test_null_passes_the_code_on),
        cmocka_unit_test(test_long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
