/*
 * Events of nodag's own: what is written is read again, what breaks the format is refused, and the same thing read twice is the same
 * event.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/history_event.h"

#define WHOLE                                                                                      \
    "{\"issue\":{\"author\":null,\"body\":null,\"closed_at\":null,\"created_at\":\"2026-01-01T00:" \
    "00:00Z\",\"labels\":[\"bug\"],"                                                               \
    "\"number\":7,\"pull_request\":false,\"state\":\"open\",\"state_reason\":null,\"title\":"      \
    "\"t\",\"updated_at\":"                                                                        \
    "\"2026-01-02T00:00:00Z\"},\"repository\":{\"id\":1,\"name\":\"o/"                             \
    "r\",\"owner_id\":0,\"private\":false},"                                                       \
    "\"timeline\":[{\"action\":\"labeled\",\"actor\":{\"login\":\"ann\",\"type\":\"User\"},"       \
    "\"at\":\"2026-01-01T00:00:01Z\","                                                             \
    "\"label\":\"bug\"},{\"action\":\"unlabeled\",\"actor\":null,\"at\":\"2026-01-01T00:00:02Z\"," \
    "\"label\":\"x\"}]}"

static void test_there_and_back(void **state)
{
    (void)state;
    struct history_issue issue = {.memory = NULL};
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    char again[HISTORY_ID_BYTES];
    struct event_headers headers;
    size_t bytes = 0;
    assert_int_equal(history_issue_read(WHOLE, strlen(WHOLE), &issue, NULL), 0);
    assert_int_equal(issue.timeline_count, 2);
    assert_true(issue.timeline[0].is_added);
    assert_false(issue.timeline[1].is_added);
    assert_null(issue.timeline[1].actor.login);
    char *value = history_issue_write(&issue, &bytes);
    assert_string_equal(value, WHOLE);
    struct event event = history_issue_envelope(&issue, "importer", value, bytes, id, subject);
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    assert_string_equal(subject, "7");
    assert_int_equal(event.time_ms, issue.updated_ms);
    (void)history_issue_envelope(&issue, "importer", value, bytes, again, subject);
    assert_string_equal(id, again);
    mem_free(value);
    history_issue_release(&issue);
}

static void test_without_a_timeline(void **state)
{
    (void)state;
    struct history_issue issue = {.memory = NULL};
    const char *at = strstr(WHOLE, "[{\"action\"");
    char *value = mem_format("%.*snull}", (int)(at - WHOLE), WHOLE);
    assert_int_equal(history_issue_read(value, strlen(value), &issue, NULL), 0);
    assert_false(issue.has_timeline);
    history_issue_release(&issue);
    mem_free(value);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *from;
        const char *to;
    } rows[] = {
        {"\"id\":1", "\"id\":0"},
        {"\"owner_id\":0", "\"owner_id\":-1"},
        {"\"name\":\"o/r\"", "\"name\":\"\""},
        {"\"number\":7", "\"number\":-7"},
        {"\"title\":\"t\"", "\"title\":null"},
        {"[\"bug\"]", "[\"\"]"},
        {"[\"bug\"]", "null"},
        {"\"pull_request\":false", "\"x\":1"},
        {"\"labeled\"", "\"renamed\""},
        {"\"2026-01-02T00:00:00Z\"", "null"},
        {"\"label\":\"x\"", "\"label\":7"},
        {"\"login\":\"ann\"", "\"login\":null"},
        {"\"2026-01-01T00:00:01Z\"", "null"},
        {"\"private\":false", "\"private\":null"},
        {"\"author\":null,", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct history_issue issue = {.memory = NULL};
        struct error error = {0};
        const char *at = strstr(WHOLE, rows[i].from);
        assert_non_null(at);
        char *value =
            mem_format("%.*s%s%s", (int)(at - WHOLE), WHOLE, rows[i].to, at + strlen(rows[i].from));
        int code = history_issue_read(value, strlen(value), &issue, &error);
        /* An author that is left out is as one that is null. */
        bool is_fine = strcmp(rows[i].to, "") == 0;
        if ((code == 0) != is_fine && !is_fine)
            fail_msg("%s: %s", rows[i].to, error.text);
        history_issue_release(&issue);
        mem_free(value);
    }
}

static void test_withdrawals(void **state)
{
    (void)state;
    static const char value[] =
        "{\"owner_id\":9,\"reason\":\"uninstalled\",\"repositories\":[1,2]}";
    static const char *const bad[] = {
        "", "{}", "{\"owner_id\":9,\"reason\":\"\",\"repositories\":[1]}",
        "{\"owner_id\":9,\"reason\":\"private\",\"repositories\":[\"1\"]}",
        "{\"owner_id\":9,\"reason\":\"private\",\"repositories\":{}}"};
    struct history_withdrawal withdrawal = {.repositories = NULL};
    size_t bytes = 0;
    assert_int_equal(history_withdrawal_read(value, strlen(value), &withdrawal, NULL), 0);
    assert_int_equal(withdrawal.reason, ISSUE_UNINSTALLED);
    assert_int_equal(withdrawal.repository_count, 2);
    char *again = history_withdrawal_write(&withdrawal, &bytes);
    assert_string_equal(again, value);
    mem_free(again);
    mem_free(withdrawal.repositories);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(history_withdrawal_read(bad[i], strlen(bad[i]), &withdrawal, NULL),
                         ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_without_a_timeline),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_withdrawals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
