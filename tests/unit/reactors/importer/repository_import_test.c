/*
 * Importing a repository: a small GitHub in memory, a bus in memory, the fake clock.
 *
 * Design: the world has issues with a number, the time of their last change and one label; it answers the
 * list as GitHub does (since, order, pages), and changes under the importer's hands where a case says so.
 * What must hold in the end: every issue is on the topic as it is now.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/importer/repository_import.h"
#include "tests/unit/reactors/clients/http_fake.h"
#include "topics/bus_memory.h"
#include "topics/history_event.h"

#define WALL_MS INT64_C(1793534400000)
#define FIRST_MS INT64_C(1700000000000)
#define ISSUES_MAX 400
#define STEPS_MAX 2000000
#define SECOND 1000

/* An issue of the world. */
struct world_issue {
    int64_t number;
    int64_t updated_ms;
    bool is_pull_request;
    int label; /* "label-N" */
};

/* The world: GitHub, Kafka, and what the import said. */
struct world {
    struct loop *loop;
    struct http_fake fake;
    struct forge *forge;
    struct bus_memory *cluster;
    struct bus *bus;
    struct repository_import *import;

    struct world_issue issues[ISSUES_MAX];
    size_t issue_count;
    size_t request_count;
    size_t list_count;
    size_t timeline_count;
    int64_t remaining; /* of 100; below 0: no header */
    int64_t reset_ms;  /* wall */
    int64_t repository_id;
    size_t fail_at;   /* request that is answered 502; 0: none */
    int64_t gone;     /* number whose timeline answers 410 */
    int64_t endless;  /* number whose timeline has no end */
    size_t change_at; /* before this list request: */
    int64_t change;   /* this number moves to the end */
    size_t most_under_way;

    bool has_ended;
    int code;
    char text[ERROR_TEXT_BYTES];
    int64_t placed_ms;
    size_t placed_count;
    size_t noticed_count;
    char why[REPOSITORY_IMPORT_WHY_BYTES]; /* the last wait's */
    char body[ISSUES_MAX * 800];
    char headers[512];
};

/* ---- GitHub ---- */

static int compare_issues(const void *left, const void *right)
{
    const struct world_issue *one = left;
    const struct world_issue *other = right;
    if (one->updated_ms != other->updated_ms)
        return one->updated_ms < other->updated_ms ? -1 : 1;
    return one->number < other->number ? -1 : 1;
}

static struct world_issue *find_issue(struct world *world, int64_t number)
{
    for (size_t i = 0; i < world->issue_count; i++)
        if (world->issues[i].number == number)
            return &world->issues[i];
    fail_msg("no issue");
    return NULL;
}

static size_t write_issue(const struct world_issue *issue, char *text, size_t room)
{
    char updated[TIME_TEXT_BYTES];
    time_to_text(issue->updated_ms, updated);
    return (size_t)snprintf(
        text, room,
        "{\"number\":%" PRId64 ",\"title\":\"Issue %" PRId64
        "\",\"body\":\"a\\u0000b\",\"state\":\"open\",\"state_reason\":null,"
        "\"created_at\":\"2020-01-01T00:00:00Z\",\"updated_at\":\"%s\",\"closed_at\":null,"
        "\"user\":{\"login\":\"ann\",\"type\":\"User\"},\"labels\":[{\"name\":\"label-%d\"}]%s}",
        issue->number, issue->number, updated, issue->label,
        issue->is_pull_request ? ",\"pull_request\":{}" : "");
}

static void answer_list(struct world *world, const char *url)
{
    char since[TIME_TEXT_BYTES] = "";
    int64_t since_ms = 0;
    int page = 0;
    int page_size = 0;
    world->list_count++;
    if (world->list_count == world->change_at) {
        struct world_issue *issue = find_issue(world, world->change);
        issue->updated_ms = world->issues[world->issue_count - 1].updated_ms + SECOND;
        issue->label++;
    }
    qsort(world->issues, world->issue_count, sizeof(world->issues[0]), compare_issues);
    assert_non_null(strstr(url, "?state=all&sort=updated&direction=asc&since="));
    (void)snprintf(since, sizeof(since), "%.20s", strstr(url, "since=") + strlen("since="));
    page_size = (int)strtol(strstr(url, "&per_page=") + strlen("&per_page="), NULL, 10);
    page = (int)strtol(strstr(url, "&page=") + strlen("&page="), NULL, 10);
    assert_int_equal(time_from_text(since, strlen(since), &since_ms), 0);
    int first = (page - 1) * page_size;
    int place = 0;
    size_t used = (size_t)snprintf(world->body, sizeof(world->body), "[");
    for (size_t i = 0; i < world->issue_count; i++) {
        if (world->issues[i].updated_ms < since_ms)
            continue;
        if (place >= first && place < first + page_size) {
            if (place > first)
                world->body[used++] = ',';
            used += write_issue(&world->issues[i], world->body + used, sizeof(world->body) - used);
        }
        place++;
    }
    (void)snprintf(world->body + used, sizeof(world->body) - used, "]");
}

static void answer_timeline(struct world *world, int64_t number, const char *url,
                            struct http_fake_answer *answer)
{
    world->timeline_count++;
    if (number == world->gone) {
        answer->status = 410;
        return;
    }
    if (number == world->endless)
        (void)snprintf(world->headers, sizeof(world->headers), "Link: <%.200s>; rel=\"next\"\n",
                       url);
    (void)snprintf(
        world->body, sizeof(world->body),
        "[{\"event\":\"commented\",\"id\":1,\"body\":\"x\"},"
        "{\"event\":\"labeled\",\"created_at\":\"2020-01-01T00:00:00Z\",\"label\":{\"name\":"
        "\"label-%d\"},\"actor\":{\"login\":\"ci[bot]\",\"type\":\"Bot\"}}]",
        find_issue(world, number)->label);
}

static void world_answer(void *argument, const struct http_request *request,
                         struct http_fake_answer *answer)
{
    static const char root[] = "https://forge.test/repos/o/r";
    struct world *world = argument;
    world->request_count++;
    if (world->fake.call_count > world->most_under_way)
        world->most_under_way = world->fake.call_count;
    assert_int_equal(strncmp(request->url, root, sizeof(root) - 1), 0);
    const char *path = request->url + sizeof(root) - 1;
    int64_t number = strncmp(path, "/issues/", 8) == 0 ? strtoll(path + 8, NULL, 10) : 0;
    world->headers[0] = '\0';
    (void)snprintf(world->body, sizeof(world->body),
                   "{\"id\":%" PRId64
                   ",\"full_name\":\"o/r\",\"private\":false,\"owner\":{\"id\":5}}",
                   world->repository_id);
    answer->status = 200;
    if (strncmp(path, "/issues?", 8) == 0)
        answer_list(world, request->url);
    else if (strstr(path, "/timeline?") != NULL)
        answer_timeline(world, number, request->url, answer);
    if (world->request_count == world->fail_at)
        answer->status = 502;
    if (world->remaining >= 0) {
        if (loop_wall_ms(world->loop) >= world->reset_ms) {
            world->remaining = 100;
            world->reset_ms = loop_wall_ms(world->loop) + 3600 * SECOND;
        }
        world->remaining--;
        size_t used = strlen(world->headers);
        (void)snprintf(world->headers + used, sizeof(world->headers) - used,
                       "x-ratelimit-limit: 100\nx-ratelimit-remaining: %" PRId64
                       "\nx-ratelimit-reset: %" PRId64 "\n",
                       world->remaining, world->reset_ms / SECOND);
    }
    answer->headers = world->headers;
    answer->body = world->body;
    answer->delay_ms = 10;
}

/* ---- what the import says ---- */

static void on_progress(void *argument, const struct repository_import_progress *progress)
{
    struct world *world = argument;
    if (progress->wait_ms > 0)
        (void)snprintf(world->why, sizeof(world->why), "%s", progress->why);
}

static size_t count_on_topic(const struct world *world)
{
    size_t count = 0;
    for (int32_t p = 0; p < 12; p++)
        count += (size_t)bus_memory_end(world->cluster, TOPIC_GITHUB_EVENTS, p);
    return count;
}

/* The newest event of an issue; its updated_at in `ret_updated_ms`, -1 where there is none. */
static const struct bus_record *find_event(const struct world *world, int64_t number)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "%" PRId64 "#%" PRId64, world->repository_id, number);
    return bus_memory_latest(world->cluster, TOPIC_GITHUB_EVENTS, key);
}

/* Everything before a place is acknowledged, so it stands on the topic. */
static void on_placed(void *argument, int64_t repository_id, int64_t place_ms)
{
    struct world *world = argument;
    assert_int_equal(repository_id, world->repository_id);
    assert_true(place_ms > world->placed_ms);
    world->placed_ms = place_ms;
    world->placed_count++;
    for (size_t i = 0; i < world->issue_count; i++) {
        const struct world_issue *issue = &world->issues[i];
        if (issue->updated_ms < place_ms && !issue->is_pull_request && issue->number != world->gone)
            assert_non_null(find_event(world, issue->number));
    }
}

static void on_noticed(void *argument, const char *text)
{
    struct world *world = argument;
    assert_non_null(strstr(text, "o/r#"));
    world->noticed_count++;
}

static void on_ended(void *argument, int code, const struct error *error)
{
    struct world *world = argument;
    assert_false(world->has_ended);
    world->has_ended = true;
    world->code = code;
    if (code != 0)
        (void)snprintf(world->text, sizeof(world->text), "%s", error->text);
}

/* ---- life ---- */

static struct world *world_new(uint64_t seed)
{
    const struct forge_settings settings = {.api_url = "https://forge.test", .writes_per_hour = 1};
    struct world *world = MEM_NEW(struct world);
    world->loop = loop_new_simulated(seed, WALL_MS);
    http_fake_init(&world->fake, world->loop, world_answer, world);
    assert_int_equal(
        forge_new(world->loop, &world->fake.client, &settings, NULL, &world->forge, NULL), 0);
    world->cluster = bus_memory_new(world->loop, 12);
    world->bus = bus_memory_open(world->cluster);
    world->remaining = -1;
    world->repository_id = 77;
    world->placed_ms = -1;
    return world;
}

static void world_free(struct world *world)
{
    bus_memory_close(world->bus);
    repository_import_free(world->import);
    forge_free(world->forge);
    bus_memory_free(world->cluster);
    loop_free(world->loop);
    mem_free(world);
}

/* Opens issues, all changed in one second, `step_ms` after one another. */
static void world_open(struct world *world, size_t count, int64_t first_ms, int64_t step_ms)
{
    for (size_t i = 0; i < count; i++) {
        int64_t number = (int64_t)world->issue_count + 1;
        world->issues[world->issue_count++] = (struct world_issue){
            .number = number, .updated_ms = first_ms + (int64_t)i * step_ms, .label = 0};
    }
}

static void world_start(struct world *world, const struct repository_import_settings *settings)
{
    static const struct repository_import_handler handler = {
        .progress = on_progress, .placed = on_placed, .noticed = on_noticed, .ended = on_ended};
    struct repository_import_settings all = *settings;
    all.repository = "o/r";
    all.share = all.share > 0 ? all.share : 1;
    world->import = repository_import_new(world->loop, world->forge, world->bus, "urn:t", &all,
                                          &handler, world);
}

static void world_run(struct world *world)
{
    for (int i = 0; i < STEPS_MAX && !world->has_ended; i++)
        assert_true(loop_step(world->loop));
    assert_true(world->has_ended);
    /* One request at a time. The double ends a call after its callback, which asks for the next page. */
    assert_true(world->most_under_way <= (world->endless != 0 ? 1 : 0));
}

static void import_all(struct world *world)
{
    world_start(world, &(struct repository_import_settings){.since_ms = 0});
    world_run(world);
    assert_string_equal(world->text, "");
}

/* Every issue's newest event says what is so now. */
static void check_all(const struct world *world)
{
    for (size_t i = 0; i < world->issue_count; i++) {
        const struct world_issue *issue = &world->issues[i];
        const struct bus_record *record = find_event(world, issue->number);
        if (issue->is_pull_request || issue->number == world->gone) {
            assert_null(record);
            continue;
        }
        if (record == NULL)
            fail_msg("#%" PRId64 " is not on the topic", issue->number);
        struct history_issue read = {.memory = NULL};
        assert_int_equal(history_issue_read(record->value, record->value_bytes, &read, NULL), 0);
        assert_int_equal(read.updated_ms, issue->updated_ms);
        assert_int_equal(read.owner_id, 5);
        assert_int_equal(read.body.bytes, 3);
        assert_int_equal(read.has_timeline, issue->number != world->endless);
        if (read.has_timeline) {
            char label[32];
            (void)snprintf(label, sizeof(label), "label-%d", issue->label);
            assert_int_equal(read.timeline_count, 1);
            assert_string_equal(read.timeline[0].label, label);
            assert_string_equal(read.timeline[0].actor.type, "Bot");
        }
        history_issue_release(&read);
    }
}

/* ---- cases ---- */

static void test_all_issues_once(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world, 250, FIRST_MS, SECOND);
    world->issues[7].is_pull_request = true;
    import_all(world);
    check_all(world);
    assert_int_equal(count_on_topic(world), 249);
    assert_int_equal(world->timeline_count, 249);
    assert_int_equal(world->placed_ms, FIRST_MS + 249 * SECOND);
    world_free(world);
}

/* By page numbers the first issue of the second page would be missed. */
static void test_changed_while_it_is_read(void **state)
{
    (void)state;
    for (size_t at = 2; at <= 4; at++) {
        struct world *world = world_new(at);
        world_open(world, 250, FIRST_MS, SECOND);
        world->change_at = at;
        world->change = 50;
        import_all(world);
        check_all(world);
        world_free(world);
    }
}

static void test_many_in_one_second(void **state)
{
    (void)state;
    for (size_t at = 0; at <= 6; at++) {
        struct world *world = world_new(at);
        world_open(world, 20, FIRST_MS, SECOND);
        world_open(world, 230, FIRST_MS + 60 * SECOND, 0);
        world_open(world, 110, FIRST_MS + 90 * SECOND, 0);
        world->change_at = at;
        world->change = 21;
        import_all(world);
        check_all(world);
        assert_int_equal(world->timeline_count, at == 0 ? 360 : world->timeline_count);
        world_free(world);
    }
}

static void test_failures_that_pass(void **state)
{
    (void)state;
    for (size_t at = 1; at <= 40; at++) {
        struct world *world = world_new(at);
        world_open(world, 30, FIRST_MS, SECOND);
        world->fail_at = at;
        const struct bus_memory_faults faults = {
            .publish_failed = 20, .publish_unsure = 20, .publish_refused = 20, .delay_max_ms = 50};
        bus_memory_set_faults(world->cluster, &faults);
        import_all(world);
        check_all(world);
        world_free(world);
    }
}

static void test_gives_up(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world, 3, FIRST_MS, SECOND);
    const struct bus_memory_faults faults = {.publish_failed = 1000};
    bus_memory_set_faults(world->cluster, &faults);
    world_start(world, &(struct repository_import_settings){.since_ms = 0});
    world_run(world);
    assert_int_equal(world->code, ERR_TIMEOUT);
    assert_non_null(strstr(world->text, "Kafka did not take an event"));
    assert_int_equal(world->placed_count, 0);
    world_free(world);
}

static void test_gone_and_endless(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world, 10, FIRST_MS, SECOND);
    world->gone = 4;
    world->endless = 6;
    import_all(world);
    check_all(world);
    const struct repository_import_progress *progress = repository_import_progress(world->import);
    assert_int_equal(progress->gone, 1);
    assert_int_equal(progress->unknown_hands, 1);
    assert_int_equal(world->noticed_count, 2);
    world_free(world);
}

static void test_budget(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world, 90, FIRST_MS, SECOND);
    world->remaining = 100;
    world->reset_ms = WALL_MS + 600 * SECOND;
    world_start(world, &(struct repository_import_settings){.share = 0.25});
    loop_advance(world->loop, 500 * SECOND);
    assert_int_equal(world->request_count, 25);
    assert_non_null(strstr(world->why, "100 requests an hour 75 are left"));
    world_run(world);
    check_all(world);
    assert_true(loop_wall_ms(world->loop) > WALL_MS + (600 + 2 * 3600) * SECOND);
    world_free(world);
}

static void test_follow(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_open(world, 5, FIRST_MS, SECOND);
    world_start(world,
                &(struct repository_import_settings){.follow = true, .interval_ms = 60 * SECOND});
    loop_advance(world->loop, 30 * SECOND);
    assert_int_equal(count_on_topic(world), 5);
    /* Within the very second of the last one, so the time alone does not tell. */
    find_issue(world, 5)->label = 9;
    loop_advance(world->loop, 60 * SECOND);
    check_all(world);
    assert_int_equal(count_on_topic(world), 6);
    loop_advance(world->loop, 600 * SECOND);
    assert_int_equal(count_on_topic(world), 6);
    find_issue(world, 2)->updated_ms = FIRST_MS + 60 * SECOND;
    loop_advance(world->loop, 60 * SECOND);
    check_all(world);
    assert_false(world->has_ended);
    repository_import_stop(world->import);
    world_run(world);
    assert_int_equal(world->code, ERR_CANCELLED);
    world_free(world);
}

/* Wherever it is stopped, who goes on from its place misses nothing. */
static void test_stopped_anywhere(void **state)
{
    (void)state;
    for (int64_t at_ms = 0; at_ms < 3000; at_ms += 37) {
        struct world *world = world_new((uint64_t)at_ms);
        world_open(world, 130, FIRST_MS, SECOND);
        const struct bus_memory_faults faults = {.delay_max_ms = 50};
        bus_memory_set_faults(world->cluster, &faults);
        world_start(world, &(struct repository_import_settings){.since_ms = 0});
        loop_advance(world->loop, at_ms);
        if (!world->has_ended)
            repository_import_stop(world->import);
        world_run(world);
        int64_t place_ms = repository_import_progress(world->import)->place_ms;
        repository_import_free(world->import);
        world->has_ended = false;
        world->text[0] = '\0';
        world->placed_ms = -1;
        world_start(
            world, &(struct repository_import_settings){.since_ms = place_ms, .repository_id = 77});
        world_run(world);
        assert_string_equal(world->text, "");
        check_all(world);
        assert_true(count_on_topic(world) <= 132); /* what it did is not done again */
        world_free(world);
    }
}

static void test_another_repository_of_that_name(void **state)
{
    (void)state;
    struct world *world = world_new(1);
    world_start(world, &(struct repository_import_settings){.repository_id = 78});
    world_run(world);
    assert_int_equal(world->code, ERR_INPUT);
    assert_non_null(strstr(world->text, "another repository now"));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_issues_once),
        cmocka_unit_test(test_changed_while_it_is_read),
        cmocka_unit_test(test_many_in_one_second),
        cmocka_unit_test(test_failures_that_pass),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_gone_and_endless),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_stopped_anywhere),
        cmocka_unit_test(test_another_repository_of_that_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
