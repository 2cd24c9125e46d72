/*
 * Tests of GitHub's addresses: what is a valid answer, and what keeps the set fresh.
 *
 * Design: a simulated loop and a world that answers GET /meta as the test says; the cache file is a real file.
 */
#include "ingest/github/hook_ranges.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "tests/unit/reactors/clients/http_fake.h"

#define HOUR_MS 3600000
#define API "https://forge.example"
#define WALL_MS INT64_C(1800000000000)
#define FIRST "192.30.252.0/22"
#define SECOND "140.82.112.0/20"
#define META(list) "{\"web\": [\"203.0.113.0/24\"], \"hooks\": [" list "], \"git\": 5}"

/* ---- what is a valid answer ---- */

static const struct {
    const char *text;
    size_t count;     /* of ranges; 0: refused */
    const char *says; /* part of the error */
} answers[] = {
    {META("\"" FIRST "\""), 1, NULL},
    {META("\"" FIRST "\", \"2a0a:a440::/29\", \"192.0.2.7\""), 3, NULL},
    {META(""), 0, "publishes no addresses"},
    {"{}", 0, "publishes no addresses"},
    {"{\"hooks\": null}", 0, "publishes no addresses"},
    {"{\"hooks\": {\"a\": \"" FIRST "\"}}", 0, "publishes no addresses"},
    {"{\"hooks\": \"" FIRST "\"}", 0, "publishes no addresses"},
    {"[\"" FIRST "\"]", 0, "publishes no addresses"},
    {META("\"" FIRST "\", \"*\""), 0, "entry 2"},
    {META("\"" FIRST "\", 5"), 0, "entry 2 is no text"},
    {META("\"" FIRST "\", \"192.0.2.1/24\""), 0, "entry 2"},
    {META("\"" FIRST "\", \"0.0.0.0/0\""), 0, "all addresses"},
    {META("\"::/0\""), 0, "all addresses"},
    {META("\"192.0.2.0/24\\u0000\""), 0, "entry 1"},
    {"{\"hooks\": [\"" FIRST "\"]", 0, "line"},
    {"<html>", 0, "line"},
    {"", 0, ""},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        CLEANUP(address_ranges_free) struct address_ranges *ranges = NULL;
        struct error error = {0};
        int code = hook_ranges_parse(answers[i].text, strlen(answers[i].text), &ranges, &error);
        bool is_good = answers[i].count > 0 ? code == 0 : code == ERR_INPUT && ranges == NULL;
        if (!is_good || address_ranges_count(ranges) != answers[i].count ||
            (code != 0 && strstr(error.text, answers[i].says) == NULL))
            fail_msg("%s: %d, %s", answers[i].text, code, error.text);
    }
}

static void test_a_list_has_a_limit(void **state)
{
    (void)state;
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(1 << 20);
    CLEANUP(address_ranges_free) struct address_ranges *ranges = NULL;
    assert_int_equal(buffer_append_text(&text, "{\"hooks\": [\"192.0.2.1\""), 0);
    for (size_t i = 0; i < ADDRESS_RANGES_MAX; i++)
        assert_int_equal(buffer_append_text(&text, ", \"192.0.2.1\""), 0);
    assert_int_equal(buffer_append_text(&text, "]}"), 0);
    struct error error = {0};
    assert_int_equal(hook_ranges_parse(text.data, text.size_bytes, &ranges, &error), ERR_TOO_LARGE);
    assert_null(ranges);
}

/* ---- the world ---- */

/* What a GitHub is, and what it was asked. */
struct world {
    struct loop *loop;
    struct http_fake fake;
    struct metrics *metrics;
    struct hook_ranges *hooks;
    struct http_fake_answer answer; /* of the next questions */
    size_t asked;
    int64_t asked_ms;    /* when, the last time */
    char sent_etag[300]; /* If-None-Match of the last question; empty: none */
    size_t known;        /* calls of on_known */
    char folder[40];
    char file[60];
};

static void world_answer(void *world_pointer, const struct http_request *request,
                         struct http_fake_answer *answer)
{
    struct world *world = world_pointer;
    const char *etag = http_fake_request_header(request, "If-None-Match");
    assert_string_equal(request->method, "GET");
    assert_string_equal(request->url, API "/meta");
    assert_int_equal(request->body_max_bytes, HOOK_RANGES_ANSWER_MAX_BYTES);
    (void)snprintf(world->sent_etag, sizeof(world->sent_etag), "%s", etag != NULL ? etag : "");
    world->asked++;
    world->asked_ms = loop_now_ms(world->loop);
    *answer = world->answer;
}

static void on_known(void *world_pointer)
{
    struct world *world = world_pointer;
    world->known++;
}

static struct world *world_new(void)
{
    struct world *world = MEM_NEW(struct world);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    world->loop = loop_new_simulated(1, WALL_MS);
    world->metrics = metrics_new();
    http_fake_init(&world->fake, world->loop, world_answer, world);
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/nodag-hooks-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->file, sizeof(world->file), "%s/cache", world->folder);
    return world;
}

/* A daemon ends; its file stays. */
static void stop(struct world *world)
{
    hook_ranges_free(world->hooks);
    world->hooks = NULL;
    world->known = 0;
    assert_int_equal(world->fake.call_count, 0);
}

static void world_free(struct world *world)
{
    stop(world);
    (void)unlink(world->file);
    assert_int_equal(rmdir(world->folder), 0); /* no temporary file is left */
    metrics_free(world->metrics);
    loop_free(world->loop);
    free(world);
}
DEFINE_CLEANUP(struct world *, world_free)

static void start_with(struct world *world, const char *api_url, int64_t refresh_ms)
{
    const struct hook_ranges_settings settings = {
        .api_url = api_url, .cache_file = world->file, .refresh_ms = refresh_ms};
    world->hooks = hook_ranges_new(world->loop, &world->fake.client, &settings, world->metrics,
                                   on_known, world);
}

/* A daemon starts, and gets the answer to its first question. */
static void start(struct world *world)
{
    start_with(world, API, HOUR_MS);
    loop_advance(world->loop, 0);
}

static bool lets_in(const struct world *world, const char *text)
{
    struct address address;
    assert_int_equal(address_parse(text, strlen(text), &address), 0);
    return address_ranges_contain(hook_ranges_set(world->hooks), &address);
}

static double metric(const struct world *world, const char *name)
{
    struct metrics_family *family = metrics_declare(world->metrics, METRICS_GAUGE, name, "", NULL);
    hook_ranges_collect(world->hooks);
    return metric_value(metrics_single(family));
}

static double age_s(const struct world *world)
{
    return metric(world, "nodag_ingest_github_hook_ranges_age_seconds");
}

static void answer_with(struct world *world, const char *etag_line, const char *body)
{
    world->answer = (struct http_fake_answer){.headers = etag_line, .body = body};
}

/* Time passes until the next question, which must be about `interval_ms` after the last, and its answer. */
static void pass(struct world *world, int64_t interval_ms)
{
    size_t asked = world->asked;
    int64_t last_ms = world->asked_ms;
    while (world->asked == asked)
        assert_true(loop_step(world->loop));
    loop_advance(world->loop, 0);
    assert_int_equal(world->asked, asked + 1);
    assert_in_range(world->asked_ms - last_ms, interval_ms - interval_ms / 10,
                    interval_ms + interval_ms / 10);
}

/* ---- keeping it fresh ---- */

static void test_a_change_is_taken(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    answer_with(world, "ETag: W/\"one\"", META("\"" FIRST "\""));
    start_with(world, API, HOUR_MS);
    assert_null(hook_ranges_set(world->hooks)); /* before the answer */
    assert_int_equal(world->known, 0);
    loop_advance(world->loop, 0);
    assert_int_equal(world->known, 1);
    assert_string_equal(world->sent_etag, "");
    assert_true(lets_in(world, "192.30.252.1"));
    assert_false(lets_in(world, "140.82.112.1"));
    assert_true(metric(world, "nodag_ingest_github_hook_ranges") > 0);
    answer_with(world, "ETag: W/\"two\"", META("\"" SECOND "\""));
    pass(world, HOUR_MS);
    assert_string_equal(world->sent_etag, "W/\"one\"");
    assert_false(lets_in(world, "192.30.252.1"));
    assert_true(lets_in(world, "140.82.112.1"));
    world->answer = (struct http_fake_answer){.status = 304};
    pass(world, HOUR_MS);
    assert_string_equal(world->sent_etag, "W/\"two\"");
    assert_true(lets_in(world, "140.82.112.1"));
    assert_true(age_s(world) <= HOUR_MS / 5000.0);
    pass(world, HOUR_MS);
    assert_int_equal(world->known, 1);
}

/* What is no good list, over a set that is in force. */
static const struct http_fake_answer bad_answers[] = {
    {.code = ERR_UNAVAILABLE},
    {.code = ERR_TIMEOUT},
    {.status = 500, .body = META("\"" SECOND "\"")},
    {.status = 403, .body = "{\"message\": \"API rate limit exceeded\"}"},
    {.status = 404, .body = META("\"" SECOND "\"")},
    {.status = 301, .headers = "Location: https://elsewhere.example/meta", .body = ""},
    {.status = 203, .body = META("\"" SECOND "\"")},
    {.body = META("")},
    {.body = "{}"},
    {.body = "<html>"},
    {.headers = "ETag: \"bad\"", .body = META("\"" SECOND "\", \"0.0.0.0/0\"")},
    {.headers = "ETag: \"bad\"", .body = META("\"" SECOND "\", \"x\"")},
};

static void test_a_bad_answer_replaces_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad_answers); i++) {
        CLEANUP(world_free) struct world *world = world_new();
        answer_with(world, "ETag: \"good\"", META("\"" FIRST "\""));
        start(world);
        world->answer = bad_answers[i];
        if (bad_answers[i].status == 301)
            world->answer.headers = NULL; /* the real client does not follow it either */
        pass(world, HOUR_MS);
        assert_true(lets_in(world, "192.30.252.1"));
        assert_false(lets_in(world, "140.82.112.1"));
        assert_true(age_s(world) >= 0.9 * HOUR_MS / 1000);
        pass(world, HOOK_RANGES_RETRY_LEAST_MS);
        assert_string_equal(world->sent_etag, "\"good\""); /* never that of a bad answer */
    }
}

static void test_backoff_grows_and_ends(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
    start(world);
    for (int64_t wait_ms = HOOK_RANGES_RETRY_LEAST_MS; wait_ms < HOOK_RANGES_RETRY_MOST_MS;
         wait_ms *= 2)
        pass(world, wait_ms);
    assert_null(hook_ranges_set(world->hooks));
    pass(world, HOOK_RANGES_RETRY_MOST_MS);
    pass(world, HOOK_RANGES_RETRY_MOST_MS);
    answer_with(world, NULL, META("\"" FIRST "\""));
    pass(world, HOOK_RANGES_RETRY_MOST_MS);
    assert_int_equal(world->known, 1);
    world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
    pass(world, HOUR_MS);
    pass(world, HOOK_RANGES_RETRY_LEAST_MS);
    pass(world, 2 * HOOK_RANGES_RETRY_LEAST_MS);
}

static void test_waits_are_never_longer_than_the_interval(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
    start_with(world, API, 1000);
    loop_advance(world->loop, 0);
    pass(world, 1000);
    pass(world, 1000);
    pass(world, 1000);
}

static void test_one_question_at_a_time(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    world->answer = (struct http_fake_answer){.body = META("\"" FIRST "\""), .delay_ms = 1000};
    start_with(world, API, HOUR_MS);
    hook_ranges_refresh(world->hooks);
    hook_ranges_refresh(world->hooks);
    assert_int_equal(world->asked, 1);
    loop_advance(world->loop, 1000);
    hook_ranges_refresh(world->hooks); /* at SIGHUP */
    assert_int_equal(world->asked, 2);
    stop(world); /* with one under way */
}

static void test_no_etag_without_one(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    answer_with(world, "ETag: \"a b\"", META("\"" FIRST "\""));
    start(world);
    world->answer = (struct http_fake_answer){.status = 304}; /* to a question without ETag */
    pass(world, HOUR_MS);
    assert_string_equal(world->sent_etag, "");
    pass(world, HOOK_RANGES_RETRY_LEAST_MS); /* that was a failure */
    assert_true(lets_in(world, "192.30.252.1"));
}

/* ---- the file ---- */

static void test_a_restart_while_github_is_away(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    answer_with(world, "ETag: \"one\"", META("\"" FIRST "\", \"2a0a:a440::/29\""));
    start(world);
    stop(world);
    loop_advance(world->loop, HOUR_MS);
    world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
    start_with(world, API, HOUR_MS);
    assert_int_equal(world->known, 1); /* at once */
    assert_string_equal(world->sent_etag, "\"one\"");
    loop_advance(world->loop, 0);
    assert_true(lets_in(world, "192.30.252.1") && lets_in(world, "2a0a:a440::1"));
    assert_true(age_s(world) >= HOUR_MS / 1000.0); /* the age is that of the answer */
    world->answer = (struct http_fake_answer){.status = 304};
    pass(world, HOOK_RANGES_RETRY_LEAST_MS);
    assert_true(age_s(world) < 60);
    stop(world); /* the confirmation is in the file, too */
    start_with(world, API, HOUR_MS);
    assert_true(age_s(world) < 60);
}

static void test_a_file_of_another_github(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    const char *other = "{\"url\": \"https://other.example/meta\", \"confirmed\": "
                        "\"2026-01-01T00:00:00Z\", \"etag\": \"x\", \"hooks\": [\"" FIRST "\"]}";
    assert_int_equal(file_write_atomically(world->file, other, strlen(other), NULL), 0);
    world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
    start(world);
    assert_null(hook_ranges_set(world->hooks));
    assert_string_equal(world->sent_etag, "");
}

#define CACHED(url, confirmed, list)                                                               \
    "{\"url\": " url ", \"confirmed\": " confirmed ", \"hooks\": [" list "]}"
#define GOOD_TIME "\"2026-01-01T00:00:00Z\""
#define GOOD_URL "\"" API "/meta\""

static const struct {
    const char *text;
    bool is_used;
} files[] = {
    {CACHED(GOOD_URL, GOOD_TIME, "\"" FIRST "\""), true},
    {CACHED(GOOD_URL, GOOD_TIME, ""), false},
    {CACHED(GOOD_URL, GOOD_TIME, "\"0.0.0.0/0\""), false},
    {CACHED(GOOD_URL, GOOD_TIME, "\"" FIRST "\", 1"), false},
    {CACHED(GOOD_URL, "5", "\"" FIRST "\""), false},
    {CACHED(GOOD_URL, "\"yesterday\"", "\"" FIRST "\""), false},
    {CACHED("null", GOOD_TIME, "\"" FIRST "\""), false},
    {"{\"hooks\": [\"" FIRST "\"]}", false},
    {"{\"hooks\": [\"", false},
    {"", false},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        CLEANUP(world_free) struct world *world = world_new();
        assert_int_equal(
            file_write_atomically(world->file, files[i].text, strlen(files[i].text), NULL), 0);
        world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
        start(world);
        if ((hook_ranges_set(world->hooks) != NULL) != files[i].is_used)
            fail_msg("%s", files[i].text);
        answer_with(world, NULL, META("\"" SECOND "\""));
        pass(world, HOOK_RANGES_RETRY_LEAST_MS); /* an answer mends the file */
        stop(world);
        world->answer = (struct http_fake_answer){.code = ERR_UNAVAILABLE};
        start(world);
        assert_true(lets_in(world, "140.82.112.1"));
    }
}

static void test_a_file_that_cannot_be_written(void **state)
{
    (void)state;
    CLEANUP(world_free) struct world *world = world_new();
    const struct hook_ranges_settings settings = {
        .api_url = API, .cache_file = "/nonexistent/cache", .refresh_ms = HOUR_MS};
    answer_with(world, NULL, META("\"" FIRST "\""));
    world->hooks = hook_ranges_new(world->loop, &world->fake.client, &settings, world->metrics,
                                   on_known, world);
    loop_advance(world->loop, 0);
    assert_true(lets_in(world, "192.30.252.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_list_has_a_limit),
        cmocka_unit_test(test_a_change_is_taken),
        cmocka_unit_test(test_a_bad_answer_replaces_nothing),
        cmocka_unit_test(test_backoff_grows_and_ends),
        cmocka_unit_test(test_waits_are_never_longer_than_the_interval),
        cmocka_unit_test(test_one_question_at_a_time),
        cmocka_unit_test(test_no_etag_without_one),
        cmocka_unit_test(test_a_restart_while_github_is_away),
        cmocka_unit_test(test_a_file_of_another_github),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_file_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
