/*
 * The record of `issues`: what is written is read again, equal records are equal bytes, what contradicts itself is refused, and what
 * the registers mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/issue_record.h"

/* A record with everything in it. */
#define WHOLE                                                                                      \
    "{\"as_of\":{\"at\":\"2026-01-02T03:04:05Z\",\"ids\":[\"00000000000000ff\"],\"offset\":41},"   \
    "\"author\":{\"by\":\"person\","                                                               \
    "\"login\":\"ann\"},\"body\":\"b\\u0000\xc3\xa4\",\"closed_at\":\"2026-01-02T03:04:05Z\","     \
    "\"created_at\":\"2026-01-01T00:00:00Z\",\"erased_at\":null,"                                  \
    "\"gone\":{\"at\":\"2025-01-01T00:00:00Z\",\"ids\":[],\"offset\":3,\"reason\":"                \
    "\"uninstalled\"},"                                                                            \
    "\"labels\":[{\"added\":{\"at\":\"2026-01-01T00:00:01Z\",\"by\":\"this "                       \
    "bot\",\"ids\":[\"0123456789abcdef\"],\"login\":\"nodag[bot]\","                               \
    "\"offset\":7},\"by\":\"this "                                                                 \
    "bot\",\"listed\":true,\"name\":\"bug\",\"removed\":null}],"                                   \
    "\"names_erased_at\":\"2026-01-01T00:00:00Z\",\"number\":7,"                                   \
    "\"removed\":[{\"added\":null,\"by\":\"unknown\",\"listed\":false,\"name\":\"area/"            \
    "x\",\"removed\":null}],"                                                                      \
    "\"repository\":{\"id\":1,\"name\":\"o/"                                                       \
    "r\",\"owner_id\":2,\"private\":true},\"state\":\"closed\",\"state_reason\":\"completed\","    \
    "\"title\":\"t\",\"updated_at\":\"2026-01-02T03:04:05Z\"}"

static struct issue_record *decode(const char *key, const char *value, struct error *error)
{
    struct issue_record *record = NULL;
    int code = issue_record_decode(key, strlen(key), value, strlen(value), &record, error);
    assert_int_equal(code != 0, record == NULL);
    assert_int_equal(code, code != 0 ? ERR_INPUT : 0);
    return record;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct error error = {0};
    size_t bytes = 0;
    struct issue_record *record = decode("1#7", WHOLE, &error);
    if (record == NULL)
        fail_msg("%s", error.text);
    assert_int_equal(record->body.bytes, 4);
    assert_int_equal(record->as_of.ids[0], 255);
    assert_int_equal(record->gone, ISSUE_UNINSTALLED);
    char *value = issue_record_encode(record, &bytes);
    assert_string_equal(value, WHOLE);
    assert_int_equal(bytes, strlen(WHOLE));
    mem_free(value);
    issue_record_free(record);
}

/* Replaces a piece of the whole record; the result is owned. */
static char *replaced(const char *from, const char *to)
{
    const char *at = strstr(WHOLE, from);
    assert_non_null(at);
    return mem_format("%.*s%s%s", (int)(at - WHOLE), WHOLE, to, at + strlen(from));
}

static void test_refusals(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *said; /* a part of the error */
    } rows[] = {
        {"\"number\":7", "\"number\":8", "not about its key"},
        {"\"id\":1,", "\"id\":2,", "not about its key"},
        {"\"title\":\"t\"", "\"title\":null", "title"},
        {"\"title\":\"t\"", "\"title\":7", "title"},
        {"\"state\":\"closed\"", "\"state\":\"\"", "state"},
        {"\"offset\":41", "\"offset\":-1", "offset"},
        {"\"00000000000000ff\"", "\"ff\"", "ids"},
        {"\"00000000000000ff\"", "\"00000000000000FF\"", "ids"},
        {"\"reason\":\"uninstalled\"", "\"reason\":\"bored\"", "gone"},
        {"\"by\":\"this bot\",\"listed\"", "\"by\":\"person\",\"listed\"", "labels contradicts"},
        {"\"listed\":true", "\"listed\":false", "labels contradicts"},
        {"\"by\":\"this bot\",\"ids\"", "\"by\":\"robot\",\"ids\"", "by"},
        {"\"name\":\"area/x\"", "\"name\":\"bug\"", "twice"},
        {"\"2026-01-01T00:00:01Z\"", "\"yesterday\"", "at"},
        {"\"2026-01-01T00:00:01Z\"", "null", "at"},
        {"\"owner_id\":2", "\"owner_id\":-2", "owner_id"},
        {"\"private\":true", "\"private\":1", "private"},
        {"\"name\":\"o/r\"", "\"name\":null", "name"},
        {"\"erased_at\":null", "\"erased_at\":\"2026-01-01T00:00:00Z\"", "text or names"},
        {"\"erased_at\":null", "\"erased_at\":\"1970-01-01T00:00:00Z\"", "after 1970"},
        {"\"erased_at\":null", "\"erased_at\":true", "erased_at"},
        {"\"names_erased_at\":\"2026-01-01T00:00:00Z\"",
         "\"names_erased_at\":\"2026-01-01T00:00:01Z\"", "text or names"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct error error = {0};
        char *value = replaced(rows[i].from, rows[i].to);
        struct issue_record *record = decode("1#7", value, &error);
        if (record != NULL || strstr(error.text, rows[i].said) == NULL)
            fail_msg("%s for %s: %s", rows[i].to, rows[i].from, error.text);
        mem_free(value);
    }
    assert_null(decode("1", WHOLE, NULL));
    assert_null(decode("1#7", "{}", NULL));
    assert_null(decode("1#7", "[", NULL));
}

/* What is there, and by whom: rows of who did what when, at the time 10 of the list. */
static void test_what_registers_mean(void **state)
{
    static const struct {
        bool listed;
        int added, removed;
        bool present;
        char by; /* a: who added, r: who removed, ?: unknown */
    } rows[] = {
        {true, -1, -1, true, '?'},   {true, 5, -1, true, 'a'},   {true, 10, -1, true, 'a'},
        {true, 5, 3, true, 'a'},     {true, 3, 5, true, '?'},    {true, 5, 10, false, 'r'},
        {false, -1, -1, false, '?'}, {false, 5, -1, false, '?'}, {false, 3, 5, false, 'r'},
        {false, 5, 3, false, '?'},   {false, 10, 5, true, 'a'},  {false, -1, 5, false, 'r'},
        {false, 11, 10, true, 'a'},  {true, 10, 11, false, 'r'}, {true, 5, 5, true, 'a'},
        {false, 5, 5, false, 'r'},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct issue_record *record = issue_record_new(1, 7);
        record->as_of.time_ms = 10;
        struct issue_label *label = issue_record_put_label(record, "bug");
        label->listed = rows[i].listed;
        label->added.stamp.time_ms = rows[i].added;
        label->removed.stamp.time_ms = rows[i].removed;
        const struct issue_action *last = issue_label_last(record, label);
        char by = last == NULL ? '?' : last == &label->added ? 'a' : 'r';
        if (issue_label_is_present(record, label) != rows[i].present || by != rows[i].by)
            fail_msg("row %zu: %d %c", i, issue_label_is_present(record, label), by);
        issue_record_free(record);
    }
}

static void test_live_and_gone(void **state)
{
    (void)state;
    struct issue_record *record = issue_record_new(1, 7);
    record->as_of.time_ms = 10;
    assert_true(issue_record_is_live(record));
    record->gone = ISSUE_UNINSTALLED;
    record->gone_since.time_ms = 10;
    assert_false(issue_record_is_live(record));
    record->as_of.time_ms = 11;
    assert_true(issue_record_is_live(record));
    record->gone = ISSUE_DELETED;
    assert_false(issue_record_is_live(record));
    issue_record_free(record);
}

/* A tombstone says by its envelope why and since when, and repeats have one id. */
static void test_tombstone(void **state)
{
    (void)state;
    char id[ISSUE_ID_BYTES];
    struct event_headers headers;
    struct event read;
    for (size_t gone = ISSUE_LIVE + 1; gone < ISSUE_GONE_COUNT; gone++) {
        struct issue_record *record = issue_record_new(1, 7);
        enum issue_gone found = ISSUE_LIVE;
        int64_t time_ms = 0;
        record->gone = (enum issue_gone)gone;
        record->gone_since.time_ms = 1600000000000;
        struct event event = issue_record_envelope(record, "1#7", NULL, 0, id);
        assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
        assert_int_equal(envelope_decode(headers.items, headers.count, &read, NULL), 0);
        assert_int_equal(issue_gone_read(&read, &found, &time_ms), 0);
        assert_int_equal(found, gone);
        assert_int_equal(time_ms, 1600000000000);
        issue_record_free(record);
    }
    read.type = text_of(ISSUE_GONE_TYPE "bored");
    enum issue_gone found = ISSUE_LIVE;
    int64_t time_ms = 0;
    assert_int_equal(issue_gone_read(&read, &found, &time_ms), ERR_INPUT);
    read.type = text_of(ISSUE_RECORD_TYPE);
    assert_int_equal(issue_gone_read(&read, &found, &time_ms), ERR_INPUT);
}

static void test_labels_are_sorted_and_bounded(void **state)
{
    (void)state;
    char name[16];
    struct issue_record *record = issue_record_new(1, 7);
    for (int i = ISSUE_LABELS_MAX - 1; i >= 0; i--) {
        (void)snprintf(name, sizeof(name), "label-%04d", i);
        assert_non_null(issue_record_put_label(record, name));
    }
    assert_null(issue_record_put_label(record, "one more"));
    assert_non_null(issue_record_put_label(record, "label-0500"));
    assert_int_equal(record->label_count, ISSUE_LABELS_MAX);
    for (size_t i = 1; i < record->label_count; i++)
        assert_true(strcmp(record->labels[i - 1].name, record->labels[i].name) < 0);
    issue_record_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_what_registers_mean),
        cmocka_unit_test(test_live_and_gone),
        cmocka_unit_test(test_tombstone),
        cmocka_unit_test(test_labels_are_sorted_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
