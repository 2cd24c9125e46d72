/*
 * Tests of how `nodag tail` shows a record: the whole text of each form, and that nothing a
 * stranger wrote acts on a terminal.
 *
 * Design: a table of records and styles with the text that must come out.
 */
#include "topics/tail_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static const struct event_header headers[] = {
    {.name = "ce_id", .value = "id", .value_bytes = 2},
    {.name = "a", .value = "1", .value_bytes = 1},
    {.name = "a", .value = "2", .value_bytes = 1},
    {.name = "a", .value = NULL},
    {.name = "bad", .value = "\x1b[31m\xff", .value_bytes = 6},
};

static const struct bus_record full = {.topic = TOPIC_ISSUES,
                                       .partition = 3,
                                       .offset = 42,
                                       .timestamp_ms = 1793536496789,
                                       .key = "1#\x07",
                                       .key_bytes = 3,
                                       .value = "{\"b\":[1],\n\"a\":\"\x1b\"}",
                                       .value_bytes = 18,
                                       .headers = headers,
                                       .header_count = ARRAY_COUNT(headers)};

static const struct bus_record tombstone = {
    .topic = TOPIC_ISSUES, .timestamp_ms = -1, .key = "k", .key_bytes = 1};

static const struct bus_record binary = {
    .topic = TOPIC_ISSUES, .timestamp_ms = 0, .value = "\xff\x00", .value_bytes = 2};

static const struct bus_record json = {
    .topic = TOPIC_ISSUES, .timestamp_ms = 0, .value = "{\"a\":1}", .value_bytes = 7};

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const struct bus_record *record;
        struct tail_style style;
        const char *text;
    } cases[] = {
        {&full,
         {0},
         "issues/3@42  2026-11-01T12:34:56.789Z  key 1#\\x07\n"
         "  ce_id                    id\n"
         "  a                        1\n"
         "  a                        2\n"
         "  a                        (null)\n"
         "  bad                      \\x1b[31m\\xff\n"
         "  (18 bytes; --payload shows them)\n\n"},
        {&tombstone, {0}, "issues/0@0  no time  key k\n  (tombstone: the key is deleted)\n\n"},
        {&binary,
         {.payload = TAIL_PAYLOAD_PRETTY, .terminal = true},
         "issues/0@0  1970-01-01T00:00:00Z  key (none)\n\\xff\\x00\n\n"},
        {&json,
         {.payload = TAIL_PAYLOAD_PRETTY},
         "issues/0@0  1970-01-01T00:00:00Z  key (none)\n{\n  \"a\": 1\n}\n\n"},
        {&json,
         {.payload = TAIL_PAYLOAD_RAW, .terminal = true, .colour = true},
         "\x1b[1missues/0@0\x1b[0m  1970-01-01T00:00:00Z  key (none)\n{\"a\":1}\n\n"},
        {&full,
         {.json = true},
         "{\"headers\":{\"a\":[\"1\",\"2\",null],\"bad_base64\":\"G1szMW3/\",\"ce_id\":\"id\"},"
         "\"key\":\"1#\\u0007\",\"offset\":42,\"partition\":3,"
         "\"time\":\"2026-11-01T12:34:56.789Z\",\"topic\":\"issues\","
         "\"value\":\"{\\\"b\\\":[1],\\n\\\"a\\\":\\\"\\u001b\\\"}\"}\n"},
        {&tombstone,
         {.json = true},
         "{\"headers\":{},\"key\":\"k\",\"offset\":0,\"partition\":0,\"time\":\"\","
         "\"topic\":\"issues\",\"value\":null}\n"},
        {&binary,
         {.json = true},
         "{\"headers\":{},\"key\":null,\"offset\":0,\"partition\":0,"
         "\"time\":\"1970-01-01T00:00:00Z\",\"topic\":\"issues\",\"value_base64\":\"/wA=\"}\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TAIL_RECORD_MAX_BYTES);
        assert_int_equal(tail_render(&cases[i].style, cases[i].record, &buffer), 0);
        assert_string_equal(buffer.data, cases[i].text);
        assert_int_equal(buffer.size_bytes, strlen(cases[i].text));
    }
}

/* The bytes themselves, where nobody's terminal is in the way. */
static void test_raw_payload_to_a_file_is_untouched(void **state)
{
    (void)state;
    const struct tail_style style = {.payload = TAIL_PAYLOAD_RAW};
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TAIL_RECORD_MAX_BYTES);
    assert_int_equal(tail_render(&style, &binary, &buffer), 0);
    const char *end = buffer.data + buffer.size_bytes;
    assert_memory_equal(end - 5, "\n\xff\x00\n\n", 5);
}

static void test_too_large_is_told(void **state)
{
    (void)state;
    const struct tail_style style = {0};
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(40);
    assert_int_equal(tail_render(&style, &full, &buffer), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_raw_payload_to_a_file_is_untouched),
        cmocka_unit_test(test_too_large_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
