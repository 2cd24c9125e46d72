/*
 * Tests of rate limits and the budget of writes: the pure bookkeeping by tables, and what calls
 * make of it on the fake clock.
 */
#include "reactors/clients/forge_limits.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* An answer with the headers of a row. */
static const char *get_row_header(const struct http_response *response, const char *name)
{
    static char value[128];
    size_t name_bytes = strlen(name);
    for (const char *line = response->headers; line != NULL && *line != '\0';) {
        size_t line_bytes = strcspn(line, "\n");
        if (strncasecmp(line, name, name_bytes) == 0 && line[name_bytes] == ':') {
            (void)snprintf(value, sizeof(value), "%.*s", (int)(line_bytes - name_bytes - 2),
                           line + name_bytes + 2);
            return value;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    return NULL;
}

static void test_learn(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *headers;
        const char *body;
        enum forge_limit_kind refused_by;
        int64_t wait_ms; /* for the next request */
    } rows[] = {
        {200, "x-ratelimit-remaining: 4999\nx-ratelimit-reset: 1793538000", "", FORGE_LIMIT_NONE,
         0},
        /* Used up, but this one was still answered. */
        {200, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1793534500", "", FORGE_LIMIT_NONE,
         101000},
        {403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1793534500",
         "{\"message\":\"API rate limit exceeded for installation ID 55.\"}", FORGE_LIMIT_PRIMARY,
         101000},
        {429, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1793534500", "", FORGE_LIMIT_PRIMARY,
         101000},
        /* By the forge's clock, which is 40 s ahead. */
        {403,
         "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1793534500\n"
         "Date: Sun, 01 Nov 2026 12:00:40 GMT",
         "", FORGE_LIMIT_PRIMARY, 61000},
        /* A reset that is past, and one that is absurd. */
        {403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1", "", FORGE_LIMIT_PRIMARY, 1000},
        {403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 99999999999", "", FORGE_LIMIT_PRIMARY,
         86400000},
        {403, "x-ratelimit-remaining: 0", "", FORGE_LIMIT_SECONDARY, 60000},
        {403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: soon", "", FORGE_LIMIT_SECONDARY,
         60000},
        /* Plainly forbidden. */
        {403, "x-ratelimit-remaining: 17", "{\"message\":\"Forbidden\"}", FORGE_LIMIT_NONE, 0},
        {403, "", "", FORGE_LIMIT_NONE, 0},
        /* Secondary. */
        {403, "Retry-After: 30", "", FORGE_LIMIT_SECONDARY, 30000},
        {429, "retry-after: 0", "", FORGE_LIMIT_SECONDARY, 1000},
        {429, "Retry-After: Sun, 01 Nov 2026 12:02:00 GMT", "", FORGE_LIMIT_SECONDARY, 120000},
        {429, "Retry-After: Sun, 01 Nov 2026 12:02:00 GMT\nDate: Sun, 01 Nov 2026 12:01:00 GMT", "",
         FORGE_LIMIT_SECONDARY, 60000},
        {429, "Retry-After: 99999999", "", FORGE_LIMIT_SECONDARY, 86400000},
        {429, "Retry-After: 99999999999999999999999", "", FORGE_LIMIT_SECONDARY, 60000},
        {429, "Retry-After: -5", "", FORGE_LIMIT_SECONDARY, 60000},
        {429, "Retry-After: 1.5", "", FORGE_LIMIT_SECONDARY, 60000},
        {429, "", "", FORGE_LIMIT_SECONDARY, 60000},
        {403, "x-ratelimit-remaining: 17",
         "{\"message\":\"You have exceeded a secondary rate limit. Please wait\"}",
         FORGE_LIMIT_SECONDARY, 60000},
        {403, "", "{\"message\":\"You have triggered an abuse detection mechanism\"}",
         FORGE_LIMIT_SECONDARY, 60000},
        /* Both: the longer one counts. */
        {403, "Retry-After: 30\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 1793534500", "",
         FORGE_LIMIT_SECONDARY, 101000},
        /* An issue that speaks of limits is no limit. */
        {200, "", "secondary rate limit", FORGE_LIMIT_NONE, 0},
        {503, "Retry-After: 30", "", FORGE_LIMIT_NONE, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct forge_limit limit = {0};
        struct http_response response = {
            .status = rows[i].status,
            .body = rows[i].body,
            .body_bytes = strlen(rows[i].body),
            .headers = (void *)rows[i].headers,
            .get_header = get_row_header,
        };
        enum forge_limit_kind kind = FORGE_LIMIT_NONE;
        enum forge_limit_kind refused_by =
            forge_limit_learn(&limit, &response, false, 5000, FIXTURE_WALL_MS);
        int64_t wait_ms = forge_limit_wait_ms(&limit, 5000, &kind);
        if (refused_by != rows[i].refused_by || wait_ms != rows[i].wait_ms)
            fail_msg("row %zu: refused by %d, wait %lld ms", i, refused_by, (long long)wait_ms);
        assert_int_equal(forge_limit_wait_ms(&limit, 5000 + rows[i].wait_ms, &kind), 0);
    }
}

/* Without Retry-After the wait doubles up to an hour, until a request of the same kind succeeds. */
static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool is_write;
        int64_t wait_ms; /* afterwards */
    } rows[] = {
        {429, true, 60000},   {429, true, 120000}, {200, false, 0},      {429, true, 240000},
        {429, true, 480000},  {429, true, 960000}, {429, true, 1920000}, {429, true, 3600000},
        {429, true, 3600000}, {201, true, 0},      {429, true, 60000},   {304, false, 0},
        {429, false, 120000}, {500, false, 0},     {429, false, 240000}, {200, true, 0},
        {304, false, 0},      {429, false, 60000},
    };
    struct forge_limit limit = {0};
    int64_t now_ms = 1000;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_response response = {.status = rows[i].status,
                                         .body = "",
                                         .headers = (void *)"",
                                         .get_header = get_row_header};
        enum forge_limit_kind kind = FORGE_LIMIT_NONE;
        (void)forge_limit_learn(&limit, &response, rows[i].is_write, now_ms, FIXTURE_WALL_MS);
        int64_t wait_ms = forge_limit_wait_ms(&limit, now_ms, &kind);
        if (wait_ms != rows[i].wait_ms)
            fail_msg("row %zu: wait %lld ms", i, (long long)wait_ms);
        /* Others that were under way meet the same limit: that does not double it. */
        if (rows[i].status == 429) {
            (void)forge_limit_learn(&limit, &response, rows[i].is_write, now_ms, FIXTURE_WALL_MS);
            assert_int_equal(forge_limit_wait_ms(&limit, now_ms, &kind), rows[i].wait_ms);
        }
        now_ms += wait_ms;
    }
}

/* However writes are spread: never more than the budget in any hour, or 16% of it in any minute. */
static void test_budget(void **state)
{
    (void)state;
    enum { WRITES = 3000 };
    static const struct {
        size_t per_hour;
        size_t per_minute;
        int64_t step_ms; /* between attempts */
    } rows[] = {{500, 80, 100}, {500, 80, 5000}, {500, 80, 7200}, {1, 1, 60000}, {7, 2, 1000}};
    static int64_t times_ms[WRITES];
    for (size_t row = 0; row < ARRAY_COUNT(rows); row++) {
        CLEANUP(forge_budget_free)
        struct forge_budget *budget = forge_budget_new(rows[row].per_hour);
        size_t count = 0;
        for (int64_t now_ms = 0; now_ms < 4 * 3600000 && count < WRITES;
             now_ms += rows[row].step_ms) {
            if (forge_budget_wait_ms(budget, now_ms) > 0)
                continue;
            forge_budget_take(budget, now_ms);
            times_ms[count++] = now_ms;
        }
        assert_true(count >= 3 * rows[row].per_hour);
        for (size_t i = 0; i < count; i++) {
            if (i + rows[row].per_hour < count)
                assert_true(times_ms[i + rows[row].per_hour] - times_ms[i] >= 3600000);
            if (i + rows[row].per_minute < count)
                assert_true(times_ms[i + rows[row].per_minute] - times_ms[i] >= 60000);
        }
    }
}

static void test_budget_wait_is_exact(void **state)
{
    (void)state;
    CLEANUP(forge_budget_free) struct forge_budget *budget = forge_budget_new(500);
    for (int i = 0; i < 80; i++)
        forge_budget_take(budget, 1000 + i);
    assert_int_equal(forge_budget_wait_ms(budget, 2000), 59000);
    assert_int_equal(forge_budget_wait_ms(budget, 60999), 1000); /* 1 ms, told as the least */
    assert_int_equal(forge_budget_wait_ms(budget, 61000), 0);
}

/* ---- calls ---- */

/* Exchanges that many tests use. */
#define ADDED                                                                                      \
    {                                                                                              \
        "POST /repos/o/r/issues/7/labels", .body = "[]"                                            \
    }
/* See above. */
#define LABELS_URL "/repos/o/r/issues/7/labels"

static const struct question ask_add = {.ask = ASK_ADD};

/* Runs one question and returns what was printed since. */
static const char *ask_and_run(struct fixture *fixture, const struct question *question)
{
    fixture_clear(fixture);
    (void)fixture_ask(fixture, question);
    fixture_run(fixture);
    return fixture->printed;
}

static void test_calls_wait(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"POST " LABELS_URL, .status = 403, .headers = "Retry-After: 30",
         .body = "{\"message\":\"You have exceeded a secondary rate limit\"}"},
        ADDED,
        {"GET /repos/o/r/labels?per_page=100",
         .headers = "x-ratelimit-remaining: 0\n"
                    "x-ratelimit-reset: 1793534490",
         .body = "[]"},
        ADDED,
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "calls wait", FIXTURE_TOKEN_MODE, NULL, script);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 30000);
    assert_false(fixture.result.effect_unsure);
    assert_non_null(strstr(fixture.error_text, "cannot add labels to o/r#7: the forge's secondary "
                                               "rate limit holds; again in 30 s"));
    loop_advance(fixture.loop, 10000);
    /* Nothing is sent meanwhile, reads neither. */
    assert_string_equal(ask_and_run(&fixture, &(struct question){.ask = ASK_ISSUE}),
                        "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 20000);
    loop_advance(fixture.loop, 20000);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "done 0;");
    /*
     * The last request of the hour is answered; the next one is not made. 90 − 30 s, and a second
     * to be sure.
     */
    assert_string_equal(ask_and_run(&fixture, &(struct question){.ask = ASK_LABELS}), ";");
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 61000);
    assert_non_null(strstr(fixture.error_text, "primary rate limit is used up"));
    loop_advance(fixture.loop, 61000);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "done 0;");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    assert_int_equal(metrics_print(fixture.metrics, &text), 0);
    assert_non_null(strstr(text.data, "nodag_forge_deferred_total{limit=\"secondary\"} 2"));
    assert_non_null(strstr(text.data, "nodag_forge_deferred_total{limit=\"primary\"} 1"));
    assert_non_null(strstr(text.data, "nodag_forge_rate_limit_remaining{credential=\"token\"} 0"));
    fixture_release(&fixture);
}

/* A limit between two pages ends the call; it does not give half a list. */
static void test_limit_between_pages(void **state)
{
    (void)state;
    static const struct forge_case one = {
        .name = "between pages",
        .question = {.ask = ASK_LABELS},
        .script = {{"GET /repos/o/r/labels?per_page=100", .body = "[{\"name\":\"x\"}]",
                    .headers = "Link: <" FIXTURE_URL "/2>; rel=\"next\"\nx-ratelimit-remaining: 0\n"
                               "x-ratelimit-reset: 1793534410"}},
        .printed = "ERR_RATE_LIMITED;",
        .retry_after_ms = 11000,
    };
    fixture_run_cases(&one, 1);
}

/* Each installation has limits of its own, and the App itself. */
static void test_limits_are_apart(void **state)
{
    (void)state;
#define APP_SCRIPT(repository, id)                                                                 \
    {"GET /repos/" repository "/installation", .body = "{\"id\":" id "}"},                         \
    {                                                                                              \
        "POST /app/installations/" id "/access_tokens",                                            \
            .status = 201,                                                                         \
            .body = "{\"token\":\"secret-" id "\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"        \
    }
    static const struct exchange script[] = {
        APP_SCRIPT("o/r", "55"),
        {"POST " LABELS_URL, .status = 429, .headers = "Retry-After: 30"},
        APP_SCRIPT("p/r", "66"),
        {"POST /repos/p/r/issues/7/labels", .sent = "Authorization: Bearer secret-66"},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "apart", FIXTURE_APP_MODE, NULL, script);
    struct question other = {.ask = ASK_ADD, .repository = "p/r"};
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_string_equal(ask_and_run(&fixture, &other), "done 0;");
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    fixture_release(&fixture);
}

/* The budget: deferred, not failed; reads go on; filled again as time passes. */
static void test_calls_within_budget(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        ADDED,
        {"DELETE " LABELS_URL "/bug", .body = "[]"},
        {"POST /repos/o/r/issues/7/comments", .status = 502}, /* counts too */
        {"GET /repos/o/r/labels?per_page=100", .body = "[]"},
        ADDED,
        ADDED,
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "budget", FIXTURE_TOKEN_MODE, NULL, script);
    forge_free(fixture.forge);
    fixture_make_forge(&fixture, FIXTURE_TOKEN_MODE, NULL, 3); /* 3 an hour, 1 a minute */
    assert_string_equal(ask_and_run(&fixture, &ask_add), "done 0;");
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 60000);
    assert_non_null(strstr(fixture.error_text, "--forge-writes-per-hour"));
    loop_advance(fixture.loop, 60000);
    assert_string_equal(ask_and_run(&fixture, &(struct question){.ask = ASK_REMOVE}), "done 0;");
    loop_advance(fixture.loop, 60000);
    assert_string_equal(ask_and_run(&fixture, &(struct question){.ask = ASK_COMMENT}),
                        "ERR_UNAVAILABLE;");
    loop_advance(fixture.loop, 60000);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 57 * 60000);
    assert_string_equal(ask_and_run(&fixture, &(struct question){.ask = ASK_LABELS}), ";");
    loop_advance(fixture.loop, 57 * 60000);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "done 0;");
    assert_string_equal(ask_and_run(&fixture, &ask_add), "ERR_RATE_LIMITED;");
    assert_int_equal(fixture.result.retry_after_ms, 60000);
    loop_advance(fixture.loop, 60000);
    assert_string_equal(ask_and_run(&fixture, &ask_add), "done 0;");
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learn),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_budget_wait_is_exact),
        cmocka_unit_test(test_calls_wait),
        cmocka_unit_test(test_limit_between_pages),
        cmocka_unit_test(test_limits_are_apart),
        cmocka_unit_test(test_calls_within_budget),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
