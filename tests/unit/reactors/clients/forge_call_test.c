/*
 * Tests of a call's life: cancelled in each phase, freed from within a callback, never answered
 * twice, and never too long.
 */
#include "reactors/clients/forge.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* Delay of every answer here, so that each phase lasts. */
#define DELAY_MS 100

/* An App that reads a file which is not there: every phase a call can be in, 100 ms each. */
static const struct exchange slow_script[] = {
    {"GET /repos/o/r/installation", .body = "{\"id\":55}", .delay_ms = DELAY_MS},
    {"POST /app/installations/55/access_tokens", .status = 201, .delay_ms = DELAY_MS,
     .body = "{\"token\":\"secret-a\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"},
    {"GET /repos/o/r/contents/bug", .status = 401, .delay_ms = DELAY_MS},
    {"POST /app/installations/55/access_tokens", .status = 201, .delay_ms = DELAY_MS,
     .body = "{\"token\":\"secret-b\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"},
    {"GET /repos/o/r/contents/bug", .status = 404, .delay_ms = DELAY_MS},
    {.request = NULL},
};

/* Cancels the call, or frees the forge, after 0, 50, 100 … ms. */
static void cut_off(bool free_forge, int64_t after_ms)
{
    struct fixture fixture;
    fixture_init(&fixture, "cut off", FIXTURE_APP_MODE, NULL, slow_script);
    struct forge_call *call = fixture_ask(&fixture, &(struct question){.ask = ASK_FILE});
    if (after_ms > 0)
        loop_advance(fixture.loop, after_ms);
    assert_int_equal(fixture.result_count, 0);
    if (free_forge) {
        forge_free(fixture.forge);
        fixture.forge = NULL;
    } else {
        forge_cancel(fixture.forge, call);
    }
    fixture_run(&fixture);
    assert_int_equal(fixture.result_count, 0);
    fixture.script += fixture.next;
    fixture.next = 0;
    static const struct exchange nothing[] = {{.request = NULL}};
    fixture.script = nothing;
    fixture_release(&fixture);
}

static void test_cancel_in_each_phase(void **state)
{
    (void)state;
    for (int64_t after_ms = 0; after_ms < 5 * DELAY_MS; after_ms += DELAY_MS / 2) {
        cut_off(false, after_ms);
        cut_off(true, after_ms);
    }
}

/* The script itself comes to its end when nothing is cut off. */
static void test_uncut(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, "uncut", FIXTURE_APP_MODE, NULL, slow_script);
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_FILE});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "ERR_NOT_FOUND;");
    assert_int_equal(loop_now_ms(fixture.loop), 5 * DELAY_MS);
    fixture_release(&fixture);
}

/* Two wait for one lookup; one is cancelled, the other goes on. */
static void test_cancel_one_of_two(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /user", .body = "{\"login\":\"ann\"}", .delay_ms = DELAY_MS},
        {"GET /repos/o/r/issues/7/timeline?per_page=100", .body = "[]"},
        {.request = NULL},
    };
    for (int which = 0; which < 3; which++) {
        struct fixture fixture;
        fixture_init(&fixture, "one of two", FIXTURE_TOKEN_MODE, NULL, script);
        struct forge_call *calls[3];
        for (int i = 0; i < 3; i++)
            calls[i] = fixture_ask(&fixture, &(struct question){.ask = ASK_TIMELINE});
        loop_advance(fixture.loop, DELAY_MS / 2);
        for (int i = 0; i < 3; i++) {
            if (i != which)
                forge_cancel(fixture.forge, calls[i]);
        }
        fixture_run(&fixture);
        assert_string_equal(fixture.printed, "0 items;");
        fixture_release(&fixture);
    }
}

/* See forge_names_fn: frees the forge from within the callback. */
static void free_in_callback(void *argument, const struct forge_result *result,
                             const char *const *names, size_t count)
{
    struct fixture *fixture = argument;
    forge_free(fixture->forge);
    fixture->forge = NULL;
    fixture_on_names(argument, result, names, count);
}

static void test_free_in_callback(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /repos/o/r/labels?per_page=100", .body = "[{\"name\":\"x\"}]"}, {.request = NULL}};
    struct fixture fixture;
    fixture_init(&fixture, "free in callback", FIXTURE_TOKEN_MODE, NULL, script);
    (void)forge_list_labels(fixture.forge, "o/r", free_in_callback, &fixture);
    /* A second one, refused at once, which is dropped with the forge. */
    (void)forge_list_labels(fixture.forge, "nonsense", fixture_on_names, &fixture);
    loop_advance(fixture.loop, 0);
    fixture_run(&fixture);
    assert_int_equal(fixture.result_count, 2);
    fixture_release(&fixture);
}

/* See forge_written_fn: cancels another call from within the callback. */
static struct forge_call *other_call;

static void cancel_in_callback(void *argument, const struct forge_result *result, int64_t id)
{
    struct fixture *fixture = argument;
    forge_cancel(fixture->forge, other_call);
    fixture_on_written(argument, result, id);
}

static void test_cancel_in_callback(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"POST /repos/o/r/issues/7/comments", .status = 201, .body = "{\"id\":1}"},
        {"GET /repos/o/r/issues/7", .body = "{}"},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "cancel in callback", FIXTURE_TOKEN_MODE, NULL, script);
    (void)forge_create_comment(fixture.forge, "o/r", 7, "x", cancel_in_callback, &fixture);
    other_call = fixture_ask(&fixture, &(struct question){.ask = ASK_ISSUE});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "done 1;");
    fixture_release(&fixture);
}

/* Pages that each take 19 s: the call ends after five minutes. */
static void answer_slowly(void *world, const struct http_request *request,
                          struct http_fake_answer *answer)
{
    (void)world;
    (void)request;
    *answer = (struct http_fake_answer){
        .headers = "Link: <" FIXTURE_URL "/again>; rel=\"next\"", .body = "[]", .delay_ms = 19000};
}

static void test_slow_forge(void **state)
{
    (void)state;
    static const struct exchange script[] = {{.request = NULL}};
    struct fixture fixture;
    fixture_init(&fixture, "slow", FIXTURE_TOKEN_MODE, "n", script);
    fixture.fake.answer = answer_slowly;
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_TIMELINE});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "ERR_TIMEOUT;");
    assert_int_equal(fixture.fake.request_count, 16);
    fixture_release(&fixture);
}

/* The cache loses an answer while it is being confirmed: it is asked for again, without ETag. */
static int many_count;

static void answer_many(void *world, const struct http_request *request,
                        struct http_fake_answer *answer)
{
    (void)world;
    bool is_conditional = http_fake_request_header(request, "If-None-Match") != NULL;
    bool is_first = strcmp(request->url, FIXTURE_URL "/repos/o/r0/labels?per_page=100") == 0;
    many_count += is_first;
    *answer = (struct http_fake_answer){
        .status = is_conditional ? 304 : 200,
        .headers = "ETag: \"e\"",
        .body = "[{\"name\":\"x\"}]",
        .delay_ms = is_first && is_conditional ? 1000 : 0,
    };
}

static void test_cache_loses_an_answer(void **state)
{
    (void)state;
    enum { REPOSITORIES = 2100 }; /* more than the cache holds */
    static const struct exchange script[] = {{.request = NULL}};
    struct fixture fixture;
    fixture_init(&fixture, "cache loses", FIXTURE_TOKEN_MODE, "n", script);
    fixture.fake.answer = answer_many;
    many_count = 0;
    const struct question first = {.ask = ASK_LABELS, .repository = "o/r0"};
    (void)fixture_ask(&fixture, &first);
    fixture_run(&fixture);
    (void)fixture_ask(&fixture, &first);
    loop_advance(fixture.loop, 1);
    for (int i = 1; i < REPOSITORIES; i++) {
        CLEANUP(mem_free) char *repository = mem_format("o/r%d", i);
        (void)fixture_ask(&fixture,
                          &(struct question){.ask = ASK_LABELS, .repository = repository});
        loop_advance(fixture.loop, 0);
    }
    fixture_clear(&fixture);
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "[x];");
    assert_int_equal(many_count, 3);
    assert_int_equal(fixture.result_count, REPOSITORIES + 1);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_in_each_phase),  cmocka_unit_test(test_uncut),
        cmocka_unit_test(test_cancel_one_of_two),     cmocka_unit_test(test_free_in_callback),
        cmocka_unit_test(test_cancel_in_callback),    cmocka_unit_test(test_slow_forge),
        cmocka_unit_test(test_cache_loses_an_answer),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
