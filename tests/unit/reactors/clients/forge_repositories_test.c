/*
 * Tests of reading repositories, their labels and files: 304, pages, what 404 means, and what is
 * no file.
 */
#include "reactors/clients/forge.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* A file's answer: "a: b\n" in base64, with the line end that GitHub puts in. */
#define FILE_BODY                                                                                  \
    "{\"type\":\"file\",\"encoding\":\"base64\",\"size\":5,\"content\":\"YTog\\nYgo=\\n\"}"
/* Where it is. */
#define FILE_URL "/repos/o/r/contents/.github/bot.yaml"

/* What asks for it. */
#define ASK_BOT_FILE                                                                               \
    {                                                                                              \
        .ask = ASK_FILE, .text = ".github/bot.yaml"                                                \
    }

/* A repository's answer. */
#define REPOSITORY_BODY                                                                            \
    "{\"id\":9,\"full_name\":\"o/r\",\"private\":true,\"archived\":false,\"new\":1}"

/* What an App needs first. */
#define INSTALLATION                                                                               \
    {                                                                                              \
        "GET /repos/o/r/installation", .sent = "Authorization: JWT", .body = "{\"id\":55}"         \
    }
/* See above. */
#define TOKEN                                                                                      \
    {                                                                                              \
        "POST /app/installations/55/access_tokens",                                                \
            .sent = "Authorization: JWT\nbody: -", .status = 201,                                  \
            .body = "{\"token\":\"secret-inst-1\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"        \
    }

static void test_repository(void **state)
{
    (void)state;
    static const struct forge_case cases[] = {
        {.name = "all of it",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .body = REPOSITORY_BODY}},
         .printed = "9 o/r private;"},
        {.name = "without credentials",
         .mode = FIXTURE_NONE_MODE,
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .sent = "Authorization: -",
                     .body =
                         "{\"id\":9,\"full_name\":\"o/r\",\"private\":false,\"archived\":true}"}},
         .printed = "9 o/r archived;"},
        {.name = "renamed",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .status = 301,
                     .headers = "Location: " FIXTURE_URL "/repositories/9"},
                    {"GET /repositories/9",
                     .body = "{\"id\":9,\"full_name\":\"o/new\",\"private\":false}"}},
         .printed = "9 o/new;"},
        {.name = "absent",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .status = 404}},
         .printed = "ERR_NOT_FOUND;"},
        {.name = "App not installed there",
         .mode = FIXTURE_APP_MODE,
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r/installation", .sent = "Authorization: JWT", .status = 404}},
         .printed = "ERR_NOT_FOUND;",
         .error_text = "the GitHub App 1234 is not installed"},
        {.name = "no id",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .body = "{}"}},
         .printed = "ERR_INPUT;",
         .error_text = "id is missing"},
        {.name = "hostile name",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .body = "{\"id\":9,\"full_name\":\"o/../x\"}"}},
         .printed = "ERR_INPUT;",
         .error_text = "full_name is not OWNER/NAME"},
        {.name = "private or not is unknown",
         .question = {.ask = ASK_REPOSITORY},
         .script = {{"GET /repos/o/r", .body = "{\"id\":9,\"full_name\":\"o/r\"}"}},
         .printed = "ERR_INPUT;"},
    };
    fixture_run_cases(cases, ARRAY_COUNT(cases));
}

static const struct forge_case file_cases[] = {
    {.name = "a file",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .body = FILE_BODY}},
     .printed = "5 \"a: b\n\";"},
    {.name = "an empty file",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL,
                 .body =
                     "{\"type\":\"file\",\"encoding\":\"base64\",\"size\":0,\"content\":\"\"}"}},
     .printed = "0 \"\";"},
    {.name = "a path with everything",
     .question = {.ask = ASK_FILE, .text = "a b/\xc3\xbc?#%"},
     .script = {{"GET /repos/o/r/contents/a%20b/%C3%BC%3F%23%25", .body = FILE_BODY}},
     .printed = "5 \"a: b\n\";"},
    {.name = "a path that climbs",
     .question = {.ask = ASK_FILE, .text = "a/../../x"},
     .printed = "ERR_INPUT;",
     .error_text = "is not the path of a file"},
    {.name = "an absolute path",
     .question = {.ask = ASK_FILE, .text = "/a"},
     .printed = "ERR_INPUT;"},
    {.name = "no path", .question = {.ask = ASK_FILE, .text = ""}, .printed = "ERR_INPUT;"},
    {.name = "a folder",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .body = "[]"}},
     .printed = "ERR_INPUT;",
     .error_text = "it is a folder"},
    {.name = "a submodule",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .body = "{\"type\":\"submodule\"}"}},
     .printed = "ERR_INPUT;",
     .error_text = "it is a submodule"},
    {.name = "too large",
     .question = ASK_BOT_FILE,
     .script =
         {{"GET " FILE_URL,
           .body = "{\"type\":\"file\",\"encoding\":\"none\",\"size\":1048577,\"content\":\"\"}"}},
     .printed = "ERR_TOO_LARGE;"},
    {.name = "not base64",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL,
                 .body = "{\"type\":\"file\",\"encoding\":\"base64\",\"content\":\"\\u00fc!\"}"}},
     .printed = "ERR_INPUT;",
     .error_text = "is not base64"},
    {.name = "token: absent, for the repository can be read",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 404}, {"GET /repos/o/r", .body = REPOSITORY_BODY}},
     .printed = "ERR_NOT_FOUND;",
     .error_text = "there is none"},
    {.name = "token: hidden",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 404}, {"GET /repos/o/r", .status = 404}},
     .printed = "ERR_DENIED;",
     .error_text = "is not visible to nodag"},
    {.name = "token: whether it is hidden cannot be learnt",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 404}, {"GET /repos/o/r", .code = ERR_UNAVAILABLE}},
     .printed = "ERR_UNAVAILABLE;"},
    {.name = "token: a limit is met on the way",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 404},
                {"GET /repos/o/r", .status = 429, .headers = "Retry-After: 7"}},
     .printed = "ERR_RATE_LIMITED;",
     .retry_after_ms = 7000},
    {.name = "nobody: hidden",
     .mode = FIXTURE_NONE_MODE,
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 404}, {"GET /repos/o/r", .status = 404}},
     .printed = "ERR_DENIED;"},
    {.name = "forbidden",
     .question = ASK_BOT_FILE,
     .script = {{"GET " FILE_URL, .status = 403}},
     .printed = "ERR_DENIED;",
     .error_text = "Contents: read"},
    {.name = "App: absent, for the installation includes the repository",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_BOT_FILE,
     .script = {INSTALLATION,
                TOKEN,
                {"GET " FILE_URL, .sent = "Authorization: Bearer secret-inst-1", .status = 404}},
     .printed = "ERR_NOT_FOUND;"},
    {.name = "App: hidden",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_BOT_FILE,
     .script = {{"GET /repos/o/r/installation", .status = 404}},
     .printed = "ERR_DENIED;",
     .error_text = "cannot read the file .github/bot.yaml of o/r: the GitHub App 1234"},
};

static void test_file(void **state)
{
    (void)state;
    fixture_run_cases(file_cases, ARRAY_COUNT(file_cases));
}

/*
 * The repository is taken out of the installation while its installation is still believed: a 404
 * is not.
 */
static void test_proof_is_fresh(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        INSTALLATION,
        TOKEN,
        {"GET " FILE_URL, .body = FILE_BODY},
        {"GET " FILE_URL, .status = 404},
        {"GET /repos/o/r/installation", .status = 404},
        /* A minute later it is asked again, and is back. */
        INSTALLATION,
        {"GET " FILE_URL, .body = FILE_BODY},
        {.request = NULL},
    };
    static const struct question ask = ASK_BOT_FILE;
    struct fixture fixture;
    fixture_init(&fixture, "fresh proof", FIXTURE_APP_MODE, NULL, script);
    (void)fixture_ask(&fixture, &ask);
    fixture_run(&fixture);
    loop_advance(fixture.loop, 6 * 60 * 1000);
    (void)fixture_ask(&fixture, &ask);
    fixture_run(&fixture);
    (void)fixture_ask(&fixture, &ask); /* still known to be hidden: nothing is asked */
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "5 \"a: b\n\";ERR_DENIED;ERR_DENIED;");
    loop_advance(fixture.loop, 60 * 1000);
    (void)fixture_ask(&fixture, &ask);
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "5 \"a: b\n\";ERR_DENIED;ERR_DENIED;5 \"a: b\n\";");
    fixture_release(&fixture);
}

static void test_not_modified(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: -",
         .headers = "ETag: W/\"a1\"\nLink: <" FIXTURE_URL "/l2>; rel=\"next\"",
         .body = "[{\"name\":\"area/foo bar\"}]"},
        {"GET /l2", .sent = "If-None-Match: -", .headers = "ETag: \"b1\"",
         .body = "[{\"name\":\"x\"}]"},
        /* The first page is as it was, the second is not. */
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: W/\"a1\"", .status = 304},
        {"GET /l2", .sent = "If-None-Match: \"b1\"", .headers = "ETag: \"b2\"",
         .body = "[{\"name\":\"y\"}]"},
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: W/\"a1\"", .status = 304},
        {"GET /l2", .sent = "If-None-Match: \"b2\"", .status = 304},
        /* A failure does not spoil what is kept. */
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: W/\"a1\"", .status = 502},
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: W/\"a1\"", .status = 304},
        {"GET /l2", .sent = "If-None-Match: \"b2\"", .headers = "ETag: \"evil\"",
         .body = "garbage"},
        {"GET /repos/o/r/labels?per_page=100", .sent = "If-None-Match: W/\"a1\"", .status = 304},
        {"GET /l2", .sent = "If-None-Match: \"b2\"", .status = 304},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "304", FIXTURE_TOKEN_MODE, NULL, script);
    for (int i = 0; i < 6; i++) {
        (void)fixture_ask(&fixture, &(struct question){.ask = ASK_LABELS});
        fixture_run(&fixture);
    }
    assert_string_equal(fixture.printed, "[area/foo bar][x];[area/foo bar][y];[area/foo bar][y];"
                                         "ERR_UNAVAILABLE;ERR_INPUT;[area/foo bar][y];");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    assert_int_equal(metrics_print(fixture.metrics, &text), 0);
    assert_non_null(strstr(text.data, "nodag_forge_not_modified_total 6"));
    assert_non_null(
        strstr(text.data, "nodag_forge_requests_total{method=\"GET\",status=\"304\"} 6"));
    assert_non_null(
        strstr(text.data, "nodag_forge_requests_total{method=\"GET\",status=\"2xx\"} 4"));
    assert_non_null(
        strstr(text.data, "nodag_forge_requests_total{method=\"GET\",status=\"5xx\"} 1"));
    fixture_release(&fixture);
}

static void test_odd_304_and_labels(void **state)
{
    (void)state;
    static const struct forge_case cases[] = {
        {.name = "304 that nobody asked for",
         .question = {.ask = ASK_LABELS},
         .script = {{"GET /repos/o/r/labels?per_page=100", .status = 304}},
         .printed = "ERR_INPUT;",
         .error_text = "without ETag"},
        {.name = "no labels",
         .question = {.ask = ASK_LABELS},
         .script = {{"GET /repos/o/r/labels?per_page=100", .body = "[]"}},
         .printed = ";"},
        {.name = "not an array",
         .question = {.ask = ASK_LABELS},
         .script = {{"GET /repos/o/r/labels?per_page=100", .body = "{}"}},
         .printed = "ERR_INPUT;"},
        {.name = "a label without a name",
         .question = {.ask = ASK_LABELS},
         .script = {{"GET /repos/o/r/labels?per_page=100", .body = "[{\"name\":\"x\"},{}]"}},
         .printed = "ERR_INPUT;",
         .error_text = "label 1 of page 1 has no name"},
    };
    fixture_run_cases(cases, ARRAY_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repository),         cmocka_unit_test(test_file),
        cmocka_unit_test(test_proof_is_fresh),     cmocka_unit_test(test_not_modified),
        cmocka_unit_test(test_odd_304_and_labels),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
