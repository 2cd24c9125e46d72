/*
 * Tests of base/json_text.c: what is read and refused with which words, what is written, and that both agree.
 */
#include "base/json_text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"

static json_t *read_or_fail(const char *text)
{
    json_t *value = NULL;
    struct error error = {0};
    if (json_read(text, strlen(text), &value, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    return value;
}

static void test_writes_compactly_sorted_and_short(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *written;
    } cases[] = {
        {"{}", "{}"},
        {" [ ] ", "[]"},
        {"null", "null"},
        {"\"x\"", "\"x\""},
        {"{\"b\": 1, \"a\": [true, false, null], \"B\": {\"z\": 0, \"y\": -5}}",
         "{\"B\":{\"y\":-5,\"z\":0},\"a\":[true,false,null],\"b\":1}"},
        {"[0.1, 2.0, 1e3, -0.5, 1e300, 5e-324, 0.30000000000000004, 123456789012345678]",
         "[0.1,2.0,1000.0,-0.5,1e+300,4.94065645841247e-324,0.30000000000000004,"
         "123456789012345678]"},
        {"[9223372036854775807, -9223372036854775808]",
         "[9223372036854775807,-9223372036854775808]"},
        {"\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f\\u007f\\\"\\\\\\/\"",
         "\"\\u0000\\u0001\\b\\t\\n\\f\\r\\u001f\\u007f\\\"\\\\/\""},
        {"\"\\u00e4\\u20ac\\ud83d\\ude00\"", "\"ä€😀\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(json_release) json_t *value = read_or_fail(cases[i].text);
        size_t written_bytes = 0;
        CLEANUP(mem_free) char *written = json_write(value, &written_bytes);
        assert_string_equal(written, cases[i].written);
        assert_int_equal(written_bytes, strlen(written));
        CLEANUP(json_release) json_t *again = read_or_fail(written);
        assert_true(json_equal(value, again));
    }
}

static void test_refuses_with_position(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"", "empty where JSON is needed"},
        {" \n", "line 2, column 0: unexpected token"},
        {"{", "line 1, column 1: string or '}' expected"},
        {"[1,\n2,\n x]", "line 3, column 2: invalid token"},
        {"{\"a\": 1, \"a\": 2}", "line 1, column 12: duplicate object key"},
        {"[1] [2]", "line 1, column 5: end of file expected"},
        {"[\"tok-4711\" tok]", "line 1, column 15: ']' expected"},
        {"[9223372036854775808]", "line 1, column 20: too big integer"},
        {"[1e999]", "line 1, column 6: real number overflow"},
        {"[\"\xff\"]", "line 1, column 2: unable to decode byte 0xff"},
        {"[\"\\ud800\"]", "line 1, column 9: invalid Unicode '\\uD800'"},
        {"[01]", "line 1, column 2: invalid token"},
        {"['a']", "line 1, column 2: invalid token"},
        {"[1,]", "line 1, column 4: unexpected token"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        json_t *value = NULL;
        struct error error = {0};
        assert_int_equal(json_read(cases[i].text, strlen(cases[i].text), &value, &error),
                         ERR_INPUT);
        assert_null(value);
        assert_string_equal(error.text, cases[i].error);
    }
}

static void test_limits(void **state)
{
    (void)state;
    json_t *value = NULL;
    struct error error = {0};
    size_t deep_bytes = 5000;
    CLEANUP(mem_free) char *deep = mem_alloc(deep_bytes);
    memset(deep, '[', deep_bytes);
    assert_int_equal(json_read(deep, deep_bytes, &value, &error), ERR_INPUT);
    assert_string_equal(error.text, "line 1, column 2049: maximum parsing depth reached");

    size_t large_bytes = (size_t)JSON_TEXT_MAX_BYTES + 1;
    CLEANUP(mem_free) char *large = mem_alloc(large_bytes);
    memset(large, ' ', large_bytes);
    assert_int_equal(json_read(large, large_bytes, &value, &error), ERR_TOO_LARGE);
    assert_string_equal(error.text, "33554433 bytes of JSON, more than the 33554432 that are read");
    large[0] = '1';
    assert_int_equal(json_read(large, large_bytes - 1, &value, &error), 0);
    json_decref(value);
}

static void test_deep_values_survive_writing(void **state)
{
    (void)state;
    enum { DEPTH = 2048 };
    char text[2 * DEPTH + 1];
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    text[2 * DEPTH] = '\0';
    CLEANUP(json_release) json_t *value = read_or_fail(text);
    CLEANUP(mem_free) char *written = json_write(value, NULL);
    assert_string_equal(written, text);
}

static void test_impossible_numbers_become_null(void **state)
{
    (void)state;
    char text[JSON_NUMBER_BYTES];
    json_number_to_text(INFINITY, text);
    assert_string_equal(text, "null");
    json_number_to_text((double)NAN, text);
    assert_string_equal(text, "null");
    json_number_to_text(-0.0, text);
    assert_string_equal(text, "-0.0");
}

static void test_escape_replaces_what_is_no_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *escaped; /* of the whole text */
    } cases[] = {
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong NUL */
        {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* too large */
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* cut */
        {"\xe0\x9f\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf", "\xc2\x80\xe0\xa0\x80\xed\x9f\xbf"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char all[64] = "";
        size_t text_bytes = strlen(cases[i].text);
        for (size_t used = 0, all_bytes = 0; used < text_bytes; all_bytes = strlen(all)) {
            char escaped[JSON_ESCAPE_BYTES];
            used += json_escape(cases[i].text + used, text_bytes - used, escaped);
            (void)snprintf(all + all_bytes, sizeof(all) - all_bytes, "%s", escaped);
        }
        assert_string_equal(all, cases[i].escaped);
    }
}

static void test_members(void **state)
{
    (void)state;
    CLEANUP(json_release)
    json_t *object = read_or_fail(
        "{\"text\": \"abc\", \"nul\": \"a\\u0000b\", \"int\": 12, \"real\": 1.5, \"yes\": true,"
        " \"none\": null, \"list\": [], \"map\": {}}");
    CLEANUP(json_release) json_t *array = json_array();
    enum { TEXT, INT, NUMBER, BOOL };
    const struct {
        const json_t *object;
        const char *name;
        int type;
        int code;
        const char *error;
    } cases[] = {
        {object, "text", TEXT, 0, ""},
        {object, "int", INT, 0, ""},
        {object, "int", NUMBER, 0, ""},
        {object, "real", NUMBER, 0, ""},
        {object, "yes", BOOL, 0, ""},
        {object, "gone", TEXT, ERR_NOT_FOUND, "member \"gone\" is missing"},
        {object, "none", TEXT, ERR_NOT_FOUND, "member \"none\" is missing"},
        {object, "none", INT, ERR_NOT_FOUND, "member \"none\" is missing"},
        {object, "gone", NUMBER, ERR_NOT_FOUND, "member \"gone\" is missing"},
        {object, "gone", BOOL, ERR_NOT_FOUND, "member \"gone\" is missing"},
        {object, "int", TEXT, ERR_INPUT, "member \"int\" is a whole number where a text is needed"},
        {object, "list", TEXT, ERR_INPUT, "member \"list\" is an array where a text is needed"},
        {object, "nul", TEXT, ERR_INPUT, "member \"nul\" holds a NUL character"},
        {object, "real", INT, ERR_INPUT,
         "member \"real\" is a number where a whole number is needed"},
        {object, "map", NUMBER, ERR_INPUT, "member \"map\" is an object where a number is needed"},
        {object, "text", BOOL, ERR_INPUT,
         "member \"text\" is a text where true or false is needed"},
        {object, "yes", INT, ERR_INPUT, "member \"yes\" is true where a whole number is needed"},
        {array, "x", TEXT, ERR_INPUT, "no JSON object where member \"x\" was looked for"},
        {NULL, "x", INT, ERR_INPUT, "no JSON object where member \"x\" was looked for"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *text = NULL;
        int64_t integer = 0;
        double number = 0;
        bool truth = false;
        struct error error = {0};
        int code =
            cases[i].type == TEXT  ? json_get_text(cases[i].object, cases[i].name, &text, &error)
            : cases[i].type == INT ? json_get_int(cases[i].object, cases[i].name, &integer, &error)
            : cases[i].type == NUMBER
                ? json_get_number(cases[i].object, cases[i].name, &number, &error)
                : json_get_bool(cases[i].object, cases[i].name, &truth, &error);
        assert_int_equal(code, cases[i].code);
        assert_string_equal(error.text, cases[i].error);
        /* Outputs are set exactly on success. */
        assert_int_equal(code == 0, text != NULL || integer == 12 || number > 0 || truth);
    }
}

static void test_defaults_and_walk(void **state)
{
    (void)state;
    CLEANUP(json_release)
    json_t *object = read_or_fail(
        "{\"user\": {\"login\": \"ada\", \"id\": 5, \"plan\": {\"name\": \"pro\"}}, \"x\": 1}");
    const json_t *user = json_walk(object, "user");
    assert_string_equal(json_text_or(user, "login", "?"), "ada");
    assert_string_equal(json_text_or(user, "id", "?"), "?");
    assert_string_equal(json_text_or(user, "gone", "?"), "?");
    assert_null(json_text_or(NULL, "gone", NULL));
    assert_int_equal(json_int_or(user, "id", -1), 5);
    assert_int_equal(json_int_or(user, "login", -1), -1);
    assert_string_equal(json_string_value(json_walk(object, "user.plan.name")), "pro");
    assert_null(json_walk(object, "user.plan.name.more"));
    assert_null(json_walk(object, "user.gone.name"));
    assert_null(json_walk(object, ""));
    assert_null(json_walk(object, "user."));
    assert_null(json_walk(NULL, "user"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_compactly_sorted_and_short),
        cmocka_unit_test(test_refuses_with_position),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_deep_values_survive_writing),
        cmocka_unit_test(test_impossible_numbers_become_null),
        cmocka_unit_test(test_escape_replaces_what_is_no_utf8),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_defaults_and_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
