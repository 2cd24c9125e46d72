/*
 * Tests of the payload extraction.
 *
 * Design: tables of texts. Every text is read whole, byte by byte and in two pieces cut at every place, and all
 * ways must agree. The syntax table follows RFC 8259; what is odd but legal must pass, because it is GitHub's
 * word and not ours.
 */
#include "ingest/github/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Reads a text in pieces of `piece_bytes`; the first may be another size. Returns the code. */
static int read_in_pieces(struct payload *payload, const char *text, size_t text_bytes,
                          size_t first_bytes, size_t piece_bytes, struct error *error)
{
    size_t at = 0;
    size_t next_bytes = first_bytes;
    while (at < text_bytes) {
        if (next_bytes > text_bytes - at)
            next_bytes = text_bytes - at;
        int code = payload_feed(payload, text + at, next_bytes, error);
        if (code != 0)
            return code;
        at += next_bytes;
        next_bytes = piece_bytes;
    }
    return payload_finish(payload, error);
}

/* Reads a text that must be JSON; owned. */
static struct payload *read_text(const char *text)
{
    struct payload *payload = payload_new();
    struct error error = {0};
    if (read_in_pieces(payload, text, strlen(text), strlen(text), 1, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    return payload;
}

static const struct {
    const char *text;
    bool is_json;
} syntax_cases[] = {
    {"{}", true},
    {" \t\r\n{ } \n", true},
    {"[]", true},
    {"null", true},
    {"\"text\"", true},
    {"0", true},
    {"-0.0e-1", true},
    {"{\"a\":[1,2.5,-3,1e5,1E+5,true,false,null,\"\",{}]}", true},
    {"{\"a\":\"\\u0000\"}", true},
    {"{\"\\u0000\":1}", true},
    {"{\"a\":\"\\ud83d\\ude00\"}", true},
    {"{\"a\":\"\\ud800\"}", true},
    {"{\"a\":\"\\udc00\"}", true},
    {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", true},
    {"{\"a\":12345678901234567890123456789012345678901234567890}", true},
    {"{\"a\":1e99999}", true},
    {"{\"a\":1,\"a\":2}", true},
    {"{\"\":{\"\":{}}}", true},
    {"{\"a\":\"\xe2\x82\xac\xf0\x9f\x98\x80\"}", true},
    {"{\"a\":\"\x7f\"}", true},

    {"", false},
    {" ", false},
    {"{", false},
    {"{\"a\":1", false},
    {"{\"a\"", false},
    {"{\"a\":}", false},
    {"{a:1}", false},
    {"{'a':1}", false},
    {"{\"a\":1,}", false},
    {"[1,]", false},
    {"[1 2]", false},
    {"{\"a\":1}}", false},
    {"{} {}", false},
    {"{}x", false},
    {"{\"a\":01}", false},
    {"{\"a\":+1}", false},
    {"{\"a\":.5}", false},
    {"{\"a\":1.}", false},
    {"{\"a\":1e}", false},
    {"{\"a\":-}", false},
    {"{\"a\":NaN}", false},
    {"{\"a\":Infinity}", false},
    {"{\"a\":tru}", false},
    {"{\"a\":True}", false},
    {"{\"a\":\"\t\"}", false},
    {"{\"a\":\"\n\"}", false},
    {"{\"a\":\"\\x41\"}", false},
    {"{\"a\":\"\\u12g4\"}", false},
    {"{\"a\":\"\\u123\"}", false},
    {"{\"a\":\"", false},
    {"{\"a\":\"\\", false},
    {"/* no */{}", false},
    {"{}// no", false},
    {"\xef\xbb\xbf{}", false},
    {"{\"a\":\"\xff\"}", false},
    {"{\"a\":\"\xc0\xaf\"}", false},
    {"{\"a\":\"\xed\xa0\x80\"}", false},
    {"{\"a\":\"\xe2\x82\"}", false},
    {"action=opened&payload=%7B%7D", false},
};

/* Fails unless reading in pieces gives what the table says. */
static void check_syntax(size_t index, size_t first_bytes, size_t piece_bytes)
{
    CLEANUP(payload_free) struct payload *payload = payload_new();
    struct error error = {0};
    const char *text = syntax_cases[index].text;
    int code = read_in_pieces(payload, text, strlen(text), first_bytes, piece_bytes, &error);
    if (code != (syntax_cases[index].is_json ? 0 : ERR_INPUT))
        fail_msg("'%s' cut at %zu, %zu: code %d: %s", text, first_bytes, piece_bytes, code,
                 error.text);
    if (code != 0 && strstr(error.text, "the body") == NULL)
        fail_msg("'%s': the error says nothing useful: %s", text, error.text);
}

static void test_syntax_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(syntax_cases); i++) {
        size_t text_bytes = strlen(syntax_cases[i].text);
        check_syntax(i, 1, 1);
        for (size_t first_bytes = 0; first_bytes <= text_bytes; first_bytes++)
            check_syntax(i, first_bytes, text_bytes + 1);
    }
}

static void test_embedded_nul_is_no_json(void **state)
{
    (void)state;
    CLEANUP(payload_free) struct payload *payload = payload_new();
    struct error error;
    assert_int_equal(payload_feed(payload, "{\"a\":\0 1}", 9, &error), ERR_INPUT);
}

/* Reads `depth` levels of `open`, closed again. */
static int read_depth(const char *open, const char *close, size_t depth, struct error *error)
{
    CLEANUP(payload_free) struct payload *payload = payload_new();
    int code = 0;
    for (size_t i = 0; i < depth && code == 0; i++)
        code = payload_feed(payload, open, strlen(open), error);
    if (code == 0)
        code = payload_feed(payload, "1", 1, error);
    for (size_t i = 0; i < depth && code == 0; i++)
        code = payload_feed(payload, close, strlen(close), error);
    return code != 0 ? code : payload_finish(payload, error);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(read_depth("[", "]", PAYLOAD_DEPTH_MAX, &error), 0);
    assert_int_equal(read_depth("{\"a\":", "}", PAYLOAD_DEPTH_MAX, &error), 0);
    assert_int_equal(read_depth("[", "]", PAYLOAD_DEPTH_MAX + 1, &error), ERR_INPUT);
    assert_non_null(strstr(error.text, "deeper than 512"));
    assert_int_equal(read_depth("{\"repository\":", "}", PAYLOAD_DEPTH_MAX + 1, &error), ERR_INPUT);
    assert_int_equal(read_depth("[", "]", 1000000, &error), ERR_INPUT);
}

static const struct {
    const char *text;
    enum payload_field field;
    enum payload_kind kind;
    const char *value; /* NULL: no text */
} value_cases[] = {
    {"{}", PAYLOAD_ACTION, PAYLOAD_IS_ABSENT, NULL},
    {"{\"action\":\"opened\"}", PAYLOAD_ACTION, PAYLOAD_IS_TEXT, "opened"},
    {"{\"action\":\"\"}", PAYLOAD_ACTION, PAYLOAD_IS_TEXT, NULL},
    {"{\"action\":null}", PAYLOAD_ACTION, PAYLOAD_IS_NULL, NULL},
    {"{\"action\":true}", PAYLOAD_ACTION, PAYLOAD_IS_BOOLEAN, NULL},
    {"{\"action\":7}", PAYLOAD_ACTION, PAYLOAD_IS_NUMBER, "7"},
    {"{\"action\":[\"opened\"]}", PAYLOAD_ACTION, PAYLOAD_IS_CONTAINER, NULL},
    {"{\"action\":{\"action\":\"opened\"}}", PAYLOAD_ACTION, PAYLOAD_IS_CONTAINER, NULL},
    {"{\"action\":\"a\\u0062\\n\"}", PAYLOAD_ACTION, PAYLOAD_IS_TEXT, "ab\n"},
    {"{\"\\u0061ction\":\"escaped\"}", PAYLOAD_ACTION, PAYLOAD_IS_TEXT, "escaped"},
    {"{\"x\":{\"action\":\"inner\"}}", PAYLOAD_ACTION, PAYLOAD_IS_ABSENT, NULL},
    {"[{\"action\":\"in a list\"}]", PAYLOAD_ACTION, PAYLOAD_IS_ABSENT, NULL},
    {"{\"issue\":{\"number\":7}}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_NUMBER, "7"},
    {"{\"issue\":{\"number\":1.5e3}}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_NUMBER, "1.5e3"},
    {"{\"issue\":[{\"number\":7}]}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_ABSENT, NULL},
    {"{\"issue\":{\"x\":{\"number\":7}}}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_ABSENT, NULL},
    {"{\"issue\":{\"x\":[{}],\"number\":7}}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_NUMBER, "7"},
    {"{\"x\":[{\"issue\":{\"number\":7}}]}", PAYLOAD_ISSUE_NUMBER, PAYLOAD_IS_ABSENT, NULL},
    {"{\"repository\":{\"owner\":{\"login\":\"octo\"}}}", PAYLOAD_REPOSITORY_OWNER_LOGIN,
     PAYLOAD_IS_TEXT, "octo"},
    {"{\"repository\":{\"owner\":{\"x\":{\"login\":\"octo\"}}}}", PAYLOAD_REPOSITORY_OWNER_LOGIN,
     PAYLOAD_IS_ABSENT, NULL},
    {"{\"repository\":{\"owner\":{\"login\":\"octo\"},\"id\":5}}", PAYLOAD_REPOSITORY_ID,
     PAYLOAD_IS_NUMBER, "5"},
    {"{\"repository\":{\"id\":5}}", PAYLOAD_REPOSITORY, PAYLOAD_IS_CONTAINER, NULL},
    {"{\"repository\":\"octo/x\"}", PAYLOAD_REPOSITORY, PAYLOAD_IS_TEXT, "octo/x"},

    /* Of members with the same name the last counts, wholly. */
    {"{\"action\":\"a\",\"action\":\"b\"}", PAYLOAD_ACTION, PAYLOAD_IS_TEXT, "b"},
    {"{\"action\":\"a\",\"action\":null}", PAYLOAD_ACTION, PAYLOAD_IS_NULL, NULL},
    {"{\"action\":\"a\",\"\\u0061ction\":1}", PAYLOAD_ACTION, PAYLOAD_IS_NUMBER, "1"},
    {"{\"repository\":{\"id\":1},\"repository\":{\"name\":\"x\"}}", PAYLOAD_REPOSITORY_ID,
     PAYLOAD_IS_ABSENT, NULL},
    {"{\"repository\":{\"id\":1},\"repository\":{\"id\":2}}", PAYLOAD_REPOSITORY_ID,
     PAYLOAD_IS_NUMBER, "2"},
    {"{\"repository\":{\"id\":1},\"repository\":null}", PAYLOAD_REPOSITORY_ID, PAYLOAD_IS_ABSENT,
     NULL},
    {"{\"repository\":{\"owner\":{\"login\":\"a\"},\"owner\":{}}}", PAYLOAD_REPOSITORY_OWNER_LOGIN,
     PAYLOAD_IS_ABSENT, NULL},
    {"{\"repository\":{\"owner\":{\"login\":\"a\"}},\"repository\":7}",
     PAYLOAD_REPOSITORY_OWNER_LOGIN, PAYLOAD_IS_ABSENT, NULL},
};

static void check_value(size_t index, size_t piece_bytes)
{
    CLEANUP(payload_free) struct payload *payload = payload_new();
    struct error error;
    const char *text = value_cases[index].text;
    assert_int_equal(read_in_pieces(payload, text, strlen(text), piece_bytes, piece_bytes, &error),
                     0);
    enum payload_kind kind = payload_kind(payload, value_cases[index].field);
    struct text value = payload_text(payload, value_cases[index].field);
    bool is_equal = value_cases[index].value == NULL ? value.data == NULL
                                                     : text_equals(value, value_cases[index].value);
    if (kind != value_cases[index].kind || !is_equal)
        fail_msg("%s in pieces of %zu: kind %d, value '%.*s'", text, piece_bytes, (int)kind,
                 (int)value.bytes, value.data != NULL ? value.data : "");
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(value_cases); i++) {
        check_value(i, 1);
        check_value(i, 1000);
    }
}

static void test_nul_in_a_value_is_kept(void **state)
{
    (void)state;
    CLEANUP(payload_free) struct payload *payload = read_text("{\"action\":\"a\\u0000b\"}");
    struct text text = payload_text(payload, PAYLOAD_ACTION);
    assert_int_equal(text.bytes, 3);
    assert_memory_equal(text.data, "a\0b", 3);
}

/* Makes {"a":{"b":"here"}} of "a.b"; owned. */
static char *nested_text(const char *path)
{
    struct buffer text = BUFFER_INIT(1000);
    size_t depth = 0;
    for (const char *name = path; name != NULL; depth++) {
        const char *dot = strchr(name, '.');
        int name_bytes = (int)strcspn(name, ".");
        assert_int_equal(buffer_append_format(&text, "{\"%.*s\":", name_bytes, name), 0);
        name = dot != NULL ? dot + 1 : NULL;
    }
    assert_int_equal(buffer_append_text(&text, "\"here\""), 0);
    for (size_t i = 0; i < depth; i++)
        assert_int_equal(buffer_append_text(&text, "}"), 0);
    return buffer_take(&text);
}

static void test_every_path_is_found(void **state)
{
    (void)state;
    static const struct {
        enum payload_field field;
        const char *path;
    } paths[] = {
#define PATH_CASE(name, path) {name, path},
        PAYLOAD_TABLE(PATH_CASE)
#undef PATH_CASE
    };
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        CLEANUP(mem_free) char *text = nested_text(paths[i].path);
        CLEANUP(payload_free) struct payload *payload = read_text(text);
        if (!text_equals(payload_text(payload, paths[i].field), "here"))
            fail_msg("%s is not found in %s", paths[i].path, text);
    }
}

/* Makes {"action": "xxx…"} with so many x; owned. */
static char *long_action(size_t value_bytes)
{
    char *value = mem_alloc(value_bytes + 1);
    memset(value, 'x', value_bytes);
    char *text = mem_format("{\"action\":\"%s\"}", value);
    free(value);
    return text;
}

static void test_long_values_are_unusable_not_absent(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *fits = long_action(PAYLOAD_VALUE_MAX_BYTES);
    CLEANUP(mem_free) char *too_long = long_action(PAYLOAD_VALUE_MAX_BYTES + 1);
    CLEANUP(payload_free) struct payload *first = read_text(fits);
    CLEANUP(payload_free) struct payload *second = read_text(too_long);
    assert_int_equal(payload_kind(first, PAYLOAD_ACTION), PAYLOAD_IS_TEXT);
    assert_int_equal(payload_kind(second, PAYLOAD_ACTION), PAYLOAD_IS_UNUSABLE);
    assert_null(payload_text(second, PAYLOAD_ACTION).data);
}

/* Members that come again and again fill the memory; what no longer fits is unusable, and nothing grows. */
static void test_repeated_members_are_bounded(void **state)
{
    (void)state;
    CLEANUP(payload_free) struct payload *payload = payload_new();
    CLEANUP(mem_free) char *object = long_action(PAYLOAD_VALUE_MAX_BYTES);
    struct error error;
    char *member = object + 1; /* without the brace */
    size_t member_bytes = strlen(member) - 1;
    assert_int_equal(payload_feed(payload, "{", 1, &error), 0);
    for (size_t i = 0; i < 2 * PAYLOAD_MEMORY_MAX_BYTES / PAYLOAD_VALUE_MAX_BYTES; i++) {
        assert_int_equal(payload_feed(payload, member, member_bytes, &error), 0);
        assert_int_equal(payload_feed(payload, ",", 1, &error), 0);
    }
    assert_int_equal(payload_feed(payload, member, member_bytes, &error), 0);
    assert_int_equal(payload_feed(payload, "}", 1, &error), 0);
    assert_int_equal(payload_finish(payload, &error), 0);
    assert_int_equal(payload_kind(payload, PAYLOAD_ACTION), PAYLOAD_IS_UNUSABLE);
}

static void test_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t id;
    } cases[] = {
        {"1", 1},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", 0},
        {"99999999999999999999999999", 0},
        {"0", 0},
        {"-1", 0},
        {"1.0", 0},
        {"1e3", 0},
        {"\"7\"", 0},
        {"null", 0},
        {"{}", 0},
        {"true", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *text = mem_format("{\"number\":%s}", cases[i].text);
        CLEANUP(payload_free) struct payload *payload = read_text(text);
        if (payload_id(payload, PAYLOAD_NUMBER) != cases[i].id)
            fail_msg("%s is not read as %lld", cases[i].text, (long long)cases[i].id);
    }
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms;
    } cases[] = {
        {"\"2019-05-15T15:20:38Z\"", 1557933638000},
        {"\"2021-04-28T22:32:50.000-04:00\"", 1619663570000},
        {"\"2017-10-25T00:00:00+00:00\"", 1508889600000},
        {"\"2020-01-01\"", 1577836800000},
        {"1557933591", 1557933591000},
        {"0", 0},
        {"253402300799", 253402300799000},
        {"253402300800", -1},
        {"1557933591.5", -1},
        {"-1", -1},
        {"\"yesterday\"", -1},
        {"\"\"", -1},
        {"null", -1},
        {"[1557933591]", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *text = mem_format("{\"updated_at\":%s}", cases[i].text);
        CLEANUP(payload_free) struct payload *payload = read_text(text);
        if (payload_time_ms(payload, PAYLOAD_UPDATED_AT) != cases[i].wall_ms ||
            payload_latest_ms(payload) != cases[i].wall_ms)
            fail_msg("%s is read as %lld, latest %lld", cases[i].text,
                     (long long)payload_time_ms(payload, PAYLOAD_UPDATED_AT),
                     (long long)payload_latest_ms(payload));
    }
}

static void test_latest_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms;
    } cases[] = {
        {"{}", -1},
        {"{\"created_at\":1,\"updated_at\":3,\"closed_at\":2}", 3000},
        {"{\"novelty\":{\"created_at\":1,\"completed_at\":9}}", 9000},
        {"{\"issue\":{\"created_at\":1},\"repository\":{\"pushed_at\":5}}", 5000},
        {"{\"head_commit\":{\"timestamp\":4}}", 4000},
        {"{\"a\":{\"b\":{\"updated_at\":9}}}", -1}, /* too deep: it belongs to something else */
        {"{\"a\":[{\"updated_at\":9}]}", -1},
        {"{\"milestone\":{\"due_on\":9,\"created_at\":1}}", 1000}, /* a time to come */
        {"{\"a\":{\"free_trial_ends_on\":9,\"next_at\":9,\"at\":9,\"_at\":9,\"updated_at_\":9}}",
         -1},
        {"[{\"updated_at\":9}]", -1},
        {"{\"updated_at\":{\"updated_at\":7}}", 7000},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(payload_free) struct payload *payload = read_text(cases[i].text);
        if (payload_latest_ms(payload) != cases[i].wall_ms)
            fail_msg("%s: latest %lld", cases[i].text, (long long)payload_latest_ms(payload));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax_however_it_is_cut),
        cmocka_unit_test(test_embedded_nul_is_no_json),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_nul_in_a_value_is_kept),
        cmocka_unit_test(test_every_path_is_found),
        cmocka_unit_test(test_long_values_are_unusable_not_absent),
        cmocka_unit_test(test_repeated_members_are_bounded),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_latest_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
