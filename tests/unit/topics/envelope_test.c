/*
 * Tests of the envelope: round trips, and a table of headers that strict decoding refuses.
 *
 * Design: a bad case is a good set of headers with one header replaced, added or left out, and the
 * word that the error must name.
 */
#include "topics/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* A C string's bytes as the value of a header. */
#define HEADER(header_name, text)                                                                  \
    {                                                                                              \
        .name = header_name, .value = text, .value_bytes = sizeof(text) - 1                        \
    }

static const struct event_header good_headers[] = {
    HEADER("ce_specversion", "1.0"),
    HEADER("ce_id", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    HEADER("ce_source", "https://github.com/kubeflow/kubeflow"),
    HEADER("ce_type", "com.github.issue.opened"),
    HEADER("ce_subject", "4711"),
    HEADER("ce_time", "2026-11-01T12:34:56.789Z"),
    HEADER("content-type", "application/json"),
    HEADER("ce_githubrepository", "kubeflow/kubeflow"),
    HEADER("ce_githubsender", "j\xc3\xbcrgen"),
    HEADER("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
};

static bool texts_are_equal(struct text left, struct text right)
{
    if (left.data == NULL || right.data == NULL)
        return left.data == right.data;
    return left.bytes == right.bytes && memcmp(left.data, right.data, left.bytes) == 0;
}

static void assert_events_equal(const struct event *left, const struct event *right)
{
#define ASSERT_MEMBER(member, header, required)                                                    \
    assert_true(texts_are_equal(left->member, right->member));
    ENVELOPE_TABLE(ASSERT_MEMBER)
#undef ASSERT_MEMBER
    assert_int_equal(left->has_time, right->has_time);
    assert_int_equal(left->time_ms, right->time_ms);
}

static void test_good_headers_are_decoded(void **state)
{
    (void)state;
    struct event event;
    struct error error = {0};
    assert_int_equal(envelope_decode(good_headers, ARRAY_COUNT(good_headers), &event, &error), 0);
    assert_true(text_equals(event.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    assert_true(text_equals(event.type, "com.github.issue.opened"));
    assert_true(text_equals(event.subject, "4711"));
    assert_true(text_equals(event.sender, "j\xc3\xbcrgen"));
    assert_true(event.has_time);
    assert_int_equal(event.time_ms, 1793536496789);
    assert_null(event.signature.data);
    assert_false(text_equals(event.signature, ""));
}

static void assert_round_trip(const struct event *event)
{
    struct event_headers headers;
    struct event decoded;
    struct error error = {0};
    assert_int_equal(envelope_encode(event, &headers, &error), 0);
    assert_int_equal(envelope_decode(headers.items, headers.count, &decoded, &error), 0);
    assert_events_equal(event, &decoded);
}

static void test_full_event_round_trips(void **state)
{
    (void)state;
    struct event event = {.has_time = true, .time_ms = 253402300799999};
    char longest[ENVELOPE_ATTRIBUTE_MAX_BYTES + 1];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
#define FILL_MEMBER(member, header, required) event.member = text_of("value of " header);
    ENVELOPE_TABLE(FILL_MEMBER)
#undef FILL_MEMBER
    event.subject = text_of(longest);
    assert_round_trip(&event);
    event.time_ms = 0;
    assert_round_trip(&event);
}

static void test_least_event_round_trips(void **state)
{
    (void)state;
    const struct event event = {.id = text_of("1"), .source = text_of("/s"), .type = text_of("t")};
    assert_round_trip(&event);
}

static void test_encode_refuses_what_decode_would(void **state)
{
    (void)state;
    const struct event good = {.id = text_of("1"), .source = text_of("/s"), .type = text_of("t")};
    char too_long[ENVELOPE_ATTRIBUTE_MAX_BYTES + 2];
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    struct event cases[7];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        cases[i] = good;
    cases[0].id = text_of(NULL);
    cases[1].source = text_of("");
    cases[2].type = text_of("a\nb");
    cases[3].subject = text_of("\xff");
    cases[4].sender = text_of(too_long);
    cases[5].has_time = true;
    cases[5].time_ms = -1;
    cases[6].has_time = true;
    cases[6].time_ms = 253402300800000;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct event_headers headers;
        struct error error = {0};
        if (envelope_encode(&cases[i], &headers, &error) != ERR_INPUT)
            fail_msg("case %zu was encoded", i);
        assert_true(strlen(error.text) > 0);
    }
}

static void test_bad_headers_are_refused(void **state)
{
    (void)state;
    /*
     * A header with a name of the good set replaces it (NULL value and SIZE_MAX: leaves it out);
     * `twice` adds it instead.
     */
    static const struct {
        struct event_header header;
        bool twice;
    } cases[] = {
        {{"ce_specversion", NULL, SIZE_MAX}, false},
        {{"ce_id", NULL, SIZE_MAX}, false},
        {{"ce_source", NULL, SIZE_MAX}, false},
        {{"ce_type", NULL, SIZE_MAX}, false},
        {{"ce_id", NULL, 0}, false},
        {{"ce_time", NULL, 0}, false},
        {HEADER("ce_specversion", "0.3"), false},
        {HEADER("ce_specversion", "1.0\0"), false},
        {HEADER("ce_id", ""), false},
        {HEADER("ce_subject", ""), false},
        {HEADER("ce_id", "a\0b"), false},
        {HEADER("ce_id", "a\tb"), false},
        {HEADER("ce_id", "a\x7f"), false},
        {HEADER("ce_id", "a\xc2\x85"), false},        /* U+0085, a control character */
        {HEADER("ce_id", "\xc0\x80"), false},         /* overlong NUL */
        {HEADER("ce_id", "\xe0\x9f\xbf"), false},     /* overlong */
        {HEADER("ce_id", "\xed\xa0\x80"), false},     /* surrogate */
        {HEADER("ce_id", "\xf4\x90\x80\x80"), false}, /* over U+10FFFF */
        {HEADER("ce_id", "\xe2\x82"), false},         /* cut short */
        {HEADER("ce_id", "\xe2\x28\xa1"), false},     /* no continuation */
        {HEADER("ce_id", "\x80"), false},             /* a continuation alone */
        {HEADER("ce_time", "2026-11-01"), false},
        {HEADER("ce_time", "yesterday, about noon"), false},
        {HEADER("ce_time", "2026-13-01T00:00:00Z"), false},
        {HEADER("ce_time", "2026-11-01T12:34:56.789"), false},
        {HEADER("ce_time", "1969-12-31T23:59:59Z"), false},
        {HEADER("ce_specversion", "1.0"), true},
        {HEADER("ce_id", "again"), true},
        {HEADER("ce_time", "2026-11-01T12:34:56Z"), true},
        {HEADER("content-type", "text/plain"), true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct event_header headers[ARRAY_COUNT(good_headers) + 1];
        size_t count = 0;
        for (size_t k = 0; k < ARRAY_COUNT(good_headers); k++) {
            if (cases[i].twice || strcmp(good_headers[k].name, cases[i].header.name) != 0)
                headers[count++] = good_headers[k];
        }
        if (cases[i].header.value_bytes != SIZE_MAX)
            headers[count++] = cases[i].header;
        struct event event = {.time_ms = -7};
        struct error error = {0};
        if (envelope_decode(headers, count, &event, &error) != ERR_INPUT)
            fail_msg("case %zu (%s) was decoded", i, cases[i].header.name);
        assert_non_null(strstr(error.text, cases[i].header.name));
        assert_int_equal(event.time_ms, -7);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct event_header headers[ENVELOPE_HEADERS_MAX + 1];
    struct event event;
    struct error error = {0};
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++)
        headers[i] = (struct event_header)HEADER("x", "y");
    for (size_t i = 0; i < ARRAY_COUNT(good_headers); i++)
        headers[i] = good_headers[i];
    assert_int_equal(envelope_decode(headers, ENVELOPE_HEADERS_MAX, &event, &error), 0);
    assert_int_equal(envelope_decode(headers, ENVELOPE_HEADERS_MAX + 1, &event, &error), ERR_INPUT);
    static char long_value[ENVELOPE_ATTRIBUTE_MAX_BYTES + 1];
    memset(long_value, 'x', sizeof(long_value));
    headers[4] = (struct event_header){"ce_subject", long_value, ENVELOPE_ATTRIBUTE_MAX_BYTES};
    assert_int_equal(envelope_decode(headers, 10, &event, &error), 0);
    headers[4].value_bytes++;
    assert_int_equal(envelope_decode(headers, 10, &event, &error), ERR_INPUT);
}

static void test_no_headers_at_all(void **state)
{
    (void)state;
    struct event event;
    struct error error = {0};
    assert_int_equal(envelope_decode(NULL, 0, &event, &error), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_headers_are_decoded),
        cmocka_unit_test(test_full_event_round_trips),
        cmocka_unit_test(test_least_event_round_trips),
        cmocka_unit_test(test_encode_refuses_what_decode_would),
        cmocka_unit_test(test_bad_headers_are_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_headers_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
