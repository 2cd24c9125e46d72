/*
 * Tests of writing labels and comments: bodies, URLs, what each status means, and when an effect
 * is unsure.
 */
#include "reactors/clients/forge.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* Paths that many cases use. */
#define LABELS "/repos/o/r/issues/7/labels"
/* See above. */
#define COMMENTS "/repos/o/r/issues/7/comments"

static void test_labels(void **state)
{
    (void)state;
    static const struct forge_case cases[] = {
        {.name = "two in one POST, hostile names are data",
         .question = {.ask = ASK_ADD, .text = "area/foo bar", .text_2 = "\"],\"x\":[\"\xc3\xbc"},
         .script = {{"POST " LABELS,
                     .sent =
                         "Content-Type: application/json\nIf-None-Match: -\n"
                         "body: {\"labels\":[\"area/foo bar\",\"\\\"],\\\"x\\\":[\\\"\xc3\xbc\"]}",
                     .body = "[]"}},
         .printed = "done 0;"},
        {.name = "what the answer's body says does not matter",
         .question = {.ask = ASK_ADD},
         .script = {{"POST " LABELS, .body = "garbage"}},
         .printed = "done 0;"},
        {.name = "empty name", .question = {.ask = ASK_ADD, .text = ""}, .printed = "ERR_INPUT;"},
        {.name = "not UTF-8",
         .question = {.ask = ASK_ADD, .text = "a\xff"},
         .printed = "ERR_INPUT;"},
        {.name = "second is not UTF-8",
         .question = {.ask = ASK_ADD, .text_2 = "\xc3"},
         .printed = "ERR_INPUT;",
         .error_text = "label 2"},
        {.name = "slash, space, unicode, question mark in a path",
         .question = {.ask = ASK_REMOVE, .text = "area/foo bar?#%\xc3\xbc"},
         .script = {{"DELETE " LABELS "/area%2Ffoo%20bar%3F%23%25%C3%BC", .sent = "body: -",
                     .body = "[]"}},
         .printed = "done 0;"},
        {.name = "a name that would climb",
         .question = {.ask = ASK_REMOVE, .text = "../../x"},
         .script = {{"DELETE " LABELS "/..%2F..%2Fx", .body = "[]"}},
         .printed = "done 0;"},
        {.name = "'.' would remove all labels",
         .question = {.ask = ASK_REMOVE, .text = "."},
         .printed = "ERR_INPUT;",
         .error_text = "by hand"},
        {.name = "'..' would climb",
         .question = {.ask = ASK_REMOVE, .text = ".."},
         .printed = "ERR_INPUT;"},
        {.name = "an empty one would remove all",
         .question = {.ask = ASK_REMOVE, .text = ""},
         .printed = "ERR_INPUT;"},
        {.name = "it is not there: done",
         .question = {.ask = ASK_REMOVE},
         .script = {{"DELETE " LABELS "/bug", .status = 404,
                     .body = "{\"message\":\"Label does not exist\"}"}},
         .printed = "done 0;"},
        {.name = "the issue is not there",
         .question = {.ask = ASK_REMOVE},
         .script = {{"DELETE " LABELS "/bug", .status = 404,
                     .body = "{\"message\":\"Not Found\"}"}},
         .printed = "ERR_NOT_FOUND;",
         .error_text = "cannot remove a label from o/r#7: the forge answered 404: Not Found"},
        {.name = "404 without JSON",
         .question = {.ask = ASK_REMOVE},
         .script = {{"DELETE " LABELS "/bug", .status = 404, .body = "nginx"}},
         .printed = "ERR_NOT_FOUND;",
         .error_text = "answered 404"},
        {.name = "the issue was deleted",
         .question = {.ask = ASK_REMOVE},
         .script = {{"DELETE " LABELS "/bug", .status = 410}},
         .printed = "ERR_NOT_FOUND;"},
    };
    fixture_run_cases(cases, ARRAY_COUNT(cases));
}

static void test_comments(void **state)
{
    (void)state;
    static const struct forge_case cases[] = {
        {.name = "create",
         .question = {.ask = ASK_COMMENT, .text = "a\n\"b\" \xe2\x9c\x93"},
         .script = {{"POST " COMMENTS, .sent = "body: {\"body\":\"a\\n\\\"b\\\" \xe2\x9c\x93\"}",
                     .status = 201, .body = "{\"id\":4294967297}"}},
         .printed = "done 4294967297;"},
        {.name = "edit",
         .question = {.ask = ASK_EDIT, .number = 11, .text = "x"},
         .script = {{"PATCH /repos/o/r/issues/comments/11", .sent = "body: {\"body\":\"x\"}",
                     .body = "{\"id\":11}"}},
         .printed = "done 11;"},
        {.name = "edit of one that was deleted",
         .question = {.ask = ASK_EDIT, .number = 11},
         .script = {{"PATCH /repos/o/r/issues/comments/11", .status = 404}},
         .printed = "ERR_NOT_FOUND;",
         .error_text = "cannot edit the comment 11 in o/r"},
        {.name = "empty", .question = {.ask = ASK_COMMENT, .text = ""}, .printed = "ERR_INPUT;"},
        {.name = "not UTF-8",
         .question = {.ask = ASK_COMMENT, .text = "\x80"},
         .printed = "ERR_INPUT;"},
        {.name = "made, but the answer is no comment",
         .question = {.ask = ASK_COMMENT},
         .script = {{"POST " COMMENTS, .status = 201, .body = "{}"}},
         .printed = "ERR_INPUT;",
         .effect_unsure = true},
        {.name = "made, but the answer is not JSON",
         .question = {.ask = ASK_COMMENT},
         .script = {{"POST " COMMENTS, .status = 201, .body = "{\"id\":"}},
         .printed = "ERR_INPUT;",
         .effect_unsure = true},
        {.name = "made, but the answer is too large",
         .question = {.ask = ASK_COMMENT},
         .script = {{"POST " COMMENTS, .code = ERR_TOO_LARGE}},
         .printed = "ERR_TOO_LARGE;",
         .effect_unsure = true},
    };
    fixture_run_cases(cases, ARRAY_COUNT(cases));
}

static void test_long_comment(void **state)
{
    (void)state;
    enum { TOO_LONG = 65536 * 4 + 1 };
    CLEANUP(mem_free) char *text = mem_alloc(TOO_LONG + 1);
    memset(text, 'x', TOO_LONG);
    const struct forge_case one = {.name = "too long",
                                   .question = {.ask = ASK_COMMENT, .text = text},
                                   .printed = "ERR_TOO_LARGE;"};
    fixture_run_cases(&one, 1);
}

/* Each way in which an answer can fail: what a write and what a read make of it. */
static const struct {
    int code;   /* of the transport, or 0 */
    int status; /* of the answer */
    const char *headers;
    const char *body;
    const char *write;
    bool effect_unsure;
    const char *read;
    const char *text; /* part of the write's error text */
} status_rows[] = {
    {.code = ERR_TIMEOUT, .write = "ERR_TIMEOUT;", .effect_unsure = true, .read = "ERR_TIMEOUT;"},
    {.code = ERR_UNAVAILABLE,
     .write = "ERR_UNAVAILABLE;",
     .effect_unsure = true,
     .read = "ERR_UNAVAILABLE;"},
    {.code = ERR_INPUT, .write = "ERR_INPUT;", .read = "ERR_INPUT;"},
    {.status = 301,
     .headers = "Location: " FIXTURE_URL "/repositories/9/x",
     .write = "ERR_CONFLICT;",
     .text = "moved to " FIXTURE_URL "/repositories/9/x"},
    {.status = 307,
     .headers = "Location: https://elsewhere.test/\x01x",
     .write = "ERR_CONFLICT;",
     .text = "moved to https://elsewhere.test/ x"},
    {.status = 308, .write = "ERR_CONFLICT;", .read = "ERR_INPUT;", .text = "moved to elsewhere"},
    {.status = 400, .write = "ERR_INPUT;", .read = "ERR_INPUT;"},
    {.status = 403,
     .body = "{\"message\":\"Resource not accessible by integration\"}",
     .write = "ERR_DENIED;",
     .read = "ERR_DENIED;",
     .text = "403: Resource not accessible by integration; nodag needs the permissions"},
    {.status = 403,
     .body = "{\"message\":\"line\\r\\nX-Evil: 1\"}",
     .write = "ERR_DENIED;",
     .read = "ERR_DENIED;",
     .text = "403: line  X-Evil: 1"},
    {.status = 408, .write = "ERR_TIMEOUT;", .effect_unsure = true, .read = "ERR_TIMEOUT;"},
    {.status = 409, .write = "ERR_CONFLICT;", .read = "ERR_CONFLICT;"},
    {.status = 413, .write = "ERR_TOO_LARGE;", .read = "ERR_TOO_LARGE;"},
    {.status = 418, .write = "ERR_INPUT;", .read = "ERR_INPUT;"},
    {.status = 422,
     .write = "ERR_INPUT;",
     .read = "ERR_INPUT;",
     .body = "{\"message\":\"Validation Failed\",\"errors\":[{\"message\":\"body is too long\"}]}",
     .text = "422: Validation Failed: body is too long"},
    {.status = 422,
     .write = "ERR_INPUT;",
     .read = "ERR_INPUT;",
     .body = "{\"message\":\"Validation Failed\",\"errors\":[\"a text\"]}",
     .text = "422: Validation Failed: a text"},
    {.status = 451, .write = "ERR_DENIED;", .read = "ERR_DENIED;"},
    {.status = 500, .write = "ERR_UNAVAILABLE;", .effect_unsure = true, .read = "ERR_UNAVAILABLE;"},
    {.status = 502,
     .body = "<html>",
     .write = "ERR_UNAVAILABLE;",
     .effect_unsure = true,
     .read = "ERR_UNAVAILABLE;"},
    {.status = 503,
     .headers = "Retry-After: 9",
     .write = "ERR_UNAVAILABLE;",
     .effect_unsure = true,
     .read = "ERR_UNAVAILABLE;"},
};

static void test_statuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(status_rows); i++) {
        struct forge_case one = {
            .question = {.ask = ASK_ADD},
            .script = {{.request = "POST " LABELS,
                        .status = status_rows[i].status,
                        .code = status_rows[i].code,
                        .headers = status_rows[i].headers,
                        .body = status_rows[i].body}},
            .printed = status_rows[i].write,
            .error_text = status_rows[i].text,
            .effect_unsure = status_rows[i].effect_unsure,
        };
        CLEANUP(mem_free) char *name = mem_format("row %zu", i);
        one.name = name;
        fixture_run_cases(&one, 1);
        one.question.ask = ASK_ISSUE;
        one.script[0].request = "GET /repos/o/r/issues/7";
        one.printed = status_rows[i].read;
        one.error_text = NULL;
        one.effect_unsure = false;
        if (status_rows[i].read != NULL)
            fixture_run_cases(&one, 1);
    }
}

/* The answer comes after the client gave up: the effect is unsure; a look tells. */
static void test_late_answer(void **state)
{
    (void)state;
    static const struct forge_case one = {
        .name = "late",
        .question = {.ask = ASK_COMMENT},
        .script = {{"POST " COMMENTS, .status = 201, .body = "{\"id\":1}", .delay_ms = 60000}},
        .printed = "ERR_TIMEOUT;",
        .effect_unsure = true,
    };
    fixture_run_cases(&one, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),       cmocka_unit_test(test_comments),
        cmocka_unit_test(test_long_comment), cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_late_answer),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
