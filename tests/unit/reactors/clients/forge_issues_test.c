/*
 * Tests of reading issues and timelines: what is taken out of GitHub's answers, pages, and what is
 * refused.
 */
#include "reactors/clients/forge.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* An issue of which everything is there. */
#define ISSUE_HEAD                                                                                 \
    "{\"number\":7,\"state\":\"open\",\"created_at\":\"2026-10-31T08:00:00Z\","                    \
    "\"repository_url\":\"" FIXTURE_URL "/repos/o/r\","

/* A labelled entry of a timeline, at a second of 2026-10-31T08:00. */
#define ENTRY(event, second, actor, type, label)                                                   \
    "{\"event\":\"" event "\",\"created_at\":\"2026-10-31T08:00:" second                           \
    "Z\",\"actor\":{\"login\":\"" actor "\",\"type\":\"" type "\"},\"label\":{\"name\":\"" label   \
    "\",\"color\":\"fff\"}}"

static const struct forge_case issue_cases[] = {
    {.name = "everything is there",
     .script = {{"GET /repos/o/r/issues/7",
                 .sent = "Authorization: Bearer " FIXTURE_TOKEN "\nIf-None-Match: -\nbody: -",
                 .body =
                     ISSUE_HEAD "\"title\":\"T\",\"body\":\"B\",\"labels\":[{\"name\":\"area/x\"},"
                                "\"old\"],\"locked\":true,\"pull_request\":{}}"}},
     .printed = "o/r#7 open pull locked 2026-10-31T08:00:00Z \"T\" \"B\" [area/x] [old];"},
    {.name = "without a body, closed, unknown members",
     .script = {{"GET /repos/o/r/issues/7",
                 .body =
                     "{\"number\":7,\"state\":\"closed\",\"created_at\":\"2026-10-31T08:00:00Z\","
                     "\"repository_url\":\"https://x/repos/o/r\",\"title\":\"T\",\"body\":null,"
                     "\"labels\":[],\"new\":{\"x\":[1]},\"pull_request\":null}"}},
     .printed = "o/r#7 closed 2026-10-31T08:00:00Z \"T\" \"\";"},
    {.name = "transferred: followed, and says where it is",
     .script = {{"GET /repos/o/r/issues/7", .status = 301,
                 .headers = "Location: " FIXTURE_URL "/repositories/9/issues/3"},
                {"GET /repositories/9/issues/3",
                 .body = "{\"number\":3,\"state\":\"open\",\"created_at\":\"2026-10-31T08:00:00Z\","
                         "\"repository_url\":\"" FIXTURE_URL "/repos/new.o/r_2\",\"title\":\"T\","
                         "\"labels\":[]}"}},
     .printed = "new.o/r_2#3 open 2026-10-31T08:00:00Z \"T\" \"\";"},
    {.name = "hostile text is text",
     .script = {{"GET /repos/o/r/issues/7",
                 .body =
                     ISSUE_HEAD "\"title\":\"\\u0000a\",\"body\":\"\\\"; DROP\\u0007\",\"labels\":["
                                "{\"name\":\"../../x\"},{\"name\":\"a b/\\u00fc?&#\"}]}"}},
     .printed = "o/r#7 open 2026-10-31T08:00:00Z \" a\" \"\"; DROP\a\" [../../x] [a b/ü?&#];"},
    {.name = "deleted",
     .script = {{"GET /repos/o/r/issues/7", .status = 410, .body = "{}"}},
     .printed = "ERR_NOT_FOUND;",
     .error_text = "cannot read the issue o/r#7: the forge answered 410"},
    {.name = "absent",
     .script = {{"GET /repos/o/r/issues/7", .status = 404, .body = "{\"message\":\"Not Found\"}"}},
     .printed = "ERR_NOT_FOUND;",
     .error_text = "404: Not Found"},
    {.name = "not JSON",
     .script = {{"GET /repos/o/r/issues/7", .body = "<html>"}},
     .printed = "ERR_INPUT;",
     .error_text = "is not JSON"},
    {.name = "half",
     .script = {{"GET /repos/o/r/issues/7", .body = "{\"number\":7,"}},
     .printed = "ERR_INPUT;",
     .error_text = "is not JSON"},
    {.name = "empty",
     .script = {{"GET /repos/o/r/issues/7", .body = ""}},
     .printed = "ERR_INPUT;",
     .error_text = "is not JSON"},
    {.name = "an array",
     .script = {{"GET /repos/o/r/issues/7", .body = "[]"}},
     .printed = "ERR_INPUT;",
     .error_text = "an issue is an object"},
    {.name = "no number",
     .script = {{"GET /repos/o/r/issues/7", .body = "{\"title\":\"T\"}"}},
     .printed = "ERR_INPUT;",
     .error_text = "number is missing"},
    {.name = "no title",
     .script = {{"GET /repos/o/r/issues/7", .body = ISSUE_HEAD "\"labels\":[]}"}},
     .printed = "ERR_INPUT;",
     .error_text = "title is missing"},
    {.name = "no labels",
     .script = {{"GET /repos/o/r/issues/7", .body = ISSUE_HEAD "\"title\":\"\"}"}},
     .printed = "ERR_INPUT;",
     .error_text = "labels is not an array"},
    {.name = "label without name",
     .script = {{"GET /repos/o/r/issues/7",
                 .body = ISSUE_HEAD "\"title\":\"\",\"labels\":[{},7]}"}},
     .printed = "ERR_INPUT;",
     .error_text = "labels[0] has no name"},
    {.name = "hostile repository",
     .script = {{"GET /repos/o/r/issues/7",
                 .body =
                     "{\"number\":7,\"state\":\"open\",\"created_at\":\"2026-10-31T08:00:00Z\","
                     "\"repository_url\":\"https://x/repos/../r\",\"title\":\"T\",\"labels\":[]}"}},
     .printed = "ERR_INPUT;",
     .error_text = "repository_url names no repository"},
    {.name = "too large",
     .script = {{"GET /repos/o/r/issues/7", .code = ERR_TOO_LARGE}},
     .printed = "ERR_TOO_LARGE;"},
    {.name = "number 0 asks nothing",
     .question = {.number = -1},
     .printed = "ERR_INPUT;",
     .error_text = "numbered from 1"},
};

static void test_issue(void **state)
{
    (void)state;
    fixture_run_cases(issue_cases, ARRAY_COUNT(issue_cases));
}

static void test_repository_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",    "o",     "o/",      "/r",    "o/r/x",    "../r",        "o/..",
        "o/.", "o r/x", "o/r?x=1", "o/r#1", "o/%2e%2e", "o/r\r\nX: y", "o/\xc3\xbc",
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct forge_case one = {
            .name = names[i],
            .question = {.repository = names[i]},
            .printed = "ERR_INPUT;",
            .error_text = "is not a repository as OWNER/NAME",
        };
        fixture_run_cases(&one, 1);
    }
}

static const struct forge_case timeline_cases[] = {
    {.name = "kinds, own, bots, ghosts, unknown events",
     .login = "Nodag[bot]",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .body = "[" ENTRY("labeled", "01", "nodag[bot]", "Bot", "area/foo bar") "," ENTRY(
                     "unlabeled", "02", "ann", "User",
                     "area/foo bar") ","
                                     "{\"event\":\"committed\",\"sha\":\"x\"},{\"event\":"
                                     "\"brand_new\"},"
                                     "{\"event\":\"labeled\",\"created_at\":\"2026-10-"
                                     "31T08:00:03Z\",\"actor\":null,"
                                     "\"label\":{\"name\":\"x\"}},"
                                     "{\"event\":\"commented\",\"id\":11,\"created_at\":"
                                     "\"2026-10-31T08:00:04Z\","
                                     "\"user\":{\"login\":\"nodag[bot]\",\"type\":\"Bot\"},"
                                     "\"body\":\"<!-- mark -->\"},"
                                     "{\"event\":\"commented\",\"id\":12,\"created_at\":"
                                     "\"2026-10-31T08:00:05Z\","
                                     "\"actor\":{\"login\":\"eve\",\"type\":\"User\"},"
                                     "\"body\":\"<!-- mark -->\"}]"}},
     .printed = "2026-10-31T08:00:01Z nodag[bot] own bot +area/foo bar;"
                "2026-10-31T08:00:02Z ann -area/foo bar;2026-10-31T08:00:03Z  +x;"
                "2026-10-31T08:00:04Z nodag[bot] own bot #11 \"<!-- mark -->\";"
                "2026-10-31T08:00:05Z eve #12 \"\";5 items;"},
    {.name = "empty",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100", .body = "[]"}},
     .printed = "0 items;"},
    {.name = "asks who we are first",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /user", .sent = "Authorization: Bearer " FIXTURE_TOKEN,
                 .body = "{\"login\":\"label-bot\",\"id\":1}"},
                {"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .body = "[" ENTRY("labeled", "01", "Label-Bot", "User", "x") "]"}},
     .printed = "2026-10-31T08:00:01Z Label-Bot own +x;1 items;"},
    {.name = "who we are cannot be learnt",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /user", .status = 502}},
     .printed = "ERR_UNAVAILABLE;",
     .error_text = "cannot read the timeline of o/r#7: cannot learn which login"},
    {.name = "without a login at all",
     .mode = FIXTURE_NONE_MODE,
     .question = {.ask = ASK_TIMELINE},
     .printed = "ERR_DENIED;",
     .error_text = "--forge-login"},
    {.name = "three pages",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .headers = "Link: <" FIXTURE_URL
                            "/repositories/9/issues/7/timeline?page=2>; rel=\"next\", "
                            "<" FIXTURE_URL
                            "/repositories/9/issues/7/timeline?page=3>; rel=\"last\"",
                 .body = "[" ENTRY("labeled", "01", "a", "User", "x") "]"},
                {"GET /repositories/9/issues/7/timeline?page=2",
                 .headers = "link: <" FIXTURE_URL "/first?page=1>; rel=\"prev first\", "
                            "<" FIXTURE_URL
                            "/repositories/9/issues/7/timeline?page=3>;title=\"a\"; rel=next",
                 .body = "[]"},
                {"GET /repositories/9/issues/7/timeline?page=3",
                 .headers = "Link: <" FIXTURE_URL "/first?page=1>; rel=\"first\"",
                 .body = "[" ENTRY("unlabeled", "02", "a", "User", "x") "]"}},
     .printed = "2026-10-31T08:00:01Z a +x;2026-10-31T08:00:02Z a -x;2 items;"},
    {.name = "the second page fails",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .headers = "Link: <" FIXTURE_URL "/2>; rel=\"next\"", .body = "[]"},
                {"GET /2", .code = ERR_TIMEOUT}},
     .printed = "ERR_TIMEOUT;"},
    {.name = "a page elsewhere is not followed",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .headers = "Link: <https://evil.test/api/v3/2>; rel=\"next\"", .body = "[]"}},
     .printed = "ERR_INPUT;",
     .error_text = "https://evil.test/api/v3/2"},
    {.name = "entry without event",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100", .body = "[{\"x\":1}]"}},
     .printed = "ERR_INPUT;",
     .error_text = "page 1, entry 0: event is missing"},
    {.name = "label event without label",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .body = "[{\"event\":\"labeled\",\"created_at\":\"2026-10-31T08:00:03Z\"}]"}},
     .printed = "0 items;",
     .error_text = NULL},
    {.name = "label event without time",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .body = "[{\"event\":\"labeled\",\"label\":{\"name\":\"x\"}}]"}},
     .printed = "ERR_INPUT;",
     .error_text = "created_at is not a time"},
    {.name = "comment without id",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100",
                 .body = "[{\"event\":\"commented\",\"created_at\":\"2026-10-31T08:00:03Z\"}]"}},
     .printed = "ERR_INPUT;",
     .error_text = "id of a comment"},
    {.name = "an object",
     .login = "n",
     .question = {.ask = ASK_TIMELINE},
     .script = {{"GET /repos/o/r/issues/7/timeline?per_page=100", .body = "{}"}},
     .printed = "ERR_INPUT;",
     .error_text = "a timeline is an array"},
};

static void test_timeline(void **state)
{
    (void)state;
    fixture_run_cases(timeline_cases, ARRAY_COUNT(timeline_cases));
}

/* A list that never ends stops at FORGE_PAGES_MAX. */
static void answer_endless(void *world, const struct http_request *request,
                           struct http_fake_answer *answer)
{
    (void)world;
    (void)request;
    answer->headers = "Link: <" FIXTURE_URL "/again>; rel=\"next\"";
    answer->body = "[]";
}

static void test_endless_list(void **state)
{
    (void)state;
    static const struct exchange script[] = {{.request = NULL}};
    struct fixture fixture;
    fixture_init(&fixture, "endless", FIXTURE_TOKEN_MODE, "n", script);
    fixture.fake.answer = answer_endless;
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_TIMELINE});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "ERR_TOO_LARGE;");
    assert_int_equal(fixture.fake.request_count, FORGE_PAGES_MAX);
    fixture_release(&fixture);
}

/*
 * One of nodag's own comments is 200 KB; a hundred on a page, and pages without end: the sum is
 * bounded.
 */
static void test_long_own_comments(void **state)
{
    (void)state;
    enum { COMMENT_BYTES = 200000, COMMENTS = 100 };
    CLEANUP(buffer_release) struct buffer page = BUFFER_INIT((size_t)32 << 20);
    CLEANUP(mem_free) char *text = mem_alloc(COMMENT_BYTES + 1);
    memset(text, 'x', COMMENT_BYTES);
    assert_int_equal(buffer_append_text(&page, "["), 0);
    for (int i = 1; i <= COMMENTS; i++)
        assert_int_equal(buffer_append_format(
                             &page,
                             "%s{\"event\":\"commented\",\"id\":%d,\"created_at\":"
                             "\"2026-10-31T08:00:03Z\",\"user\":{\"login\":\"n\"},\"body\":\"%s\"}",
                             i > 1 ? "," : "", i, text),
                         0);
    assert_int_equal(buffer_append_text(&page, "]"), 0);
    const struct exchange script[] = {
        {"GET /repos/o/r/issues/7/timeline?per_page=100", .body = page.data}, {.request = NULL}};
    struct fixture fixture;
    fixture_init(&fixture, "long comments", FIXTURE_TOKEN_MODE, "n", script);
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_TIMELINE});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "ERR_TOO_LARGE;");
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_issue),
        cmocka_unit_test(test_repository_names),
        cmocka_unit_test(test_timeline),
        cmocka_unit_test(test_endless_list),
        cmocka_unit_test(test_long_own_comments),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
