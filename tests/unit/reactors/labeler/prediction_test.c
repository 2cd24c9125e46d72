/*
 * The record of a decision: every member, a reason for every label, what others corrected, and
 * texts of any kind.
 *
 * Design: the kernel's work is played here by the three functions that the record asks, so that a
 * job can be made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/labeler/labeler_private.h"

/* Wall clock of the tests' events: 2026-11-01T12:00:00Z. */
#define WALL_MS INT64_C(1793534400000)

/* SHA-256 of "it panics", a NUL, "at once"; computed by another program. */
#define TEXT_SHA256 "7d5800f9eafd35e3cfb93afdaf75a06df0fcfc502a564109666a36032762223d"

/* The kernel's work as the record sees it. */
struct kernel_work {
    int64_t offset;
    const char *event_id;
};

int32_t kernel_work_partition(const struct kernel_work *work)
{
    (void)work;
    return 3;
}

int64_t kernel_work_offset(const struct kernel_work *work)
{
    return work->offset;
}

const char *kernel_work_event_id(const struct kernel_work *work)
{
    return work->event_id;
}

/* A job with these candidates and timeline, planned. */
struct bench {
    struct kernel_work work;
    struct model_opinion opinion;
    struct labeler_job job;
};

static void bench_plan(struct bench *bench, const struct plan_input *input)
{
    *bench = (struct bench){.work = {.offset = 41, .event_id = "e-1"},
                            .opinion = {.version = (char *)"0123456789ab"}};
    struct labeler_job *job = &bench->job;
    job->work = &bench->work;
    job->number = 7;
    job->observed.repository = (char *)"o/r";
    job->observed.title = (char *)"it panics";
    job->observed.body = (char *)"at once";
    job->prepared.opinion = &bench->opinion;
    job->input = *input;
    job->held_back = input->held_back;
    job->plan = plan_make(&job->input);
    job->comment_id = 12;
}

/* The record as JSON; owned. Ends the bench. */
static json_t *bench_write(struct bench *bench)
{
    size_t text_bytes = 0;
    CLEANUP(mem_free) char *text = prediction_write(&bench->job, &text_bytes);
    json_t *record = NULL;
    assert_int_equal(json_read(text, text_bytes, &record, NULL), 0);
    plan_free(TAKE(bench->job.plan));
    return record;
}

/* Fails unless a member of the record has this JSON text, names sorted. */
static void check_member(const json_t *record, const char *name, const char *wanted)
{
    const json_t *member = json_object_get(record, name);
    if (member == NULL)
        fail_msg("%s is missing", name);
    CLEANUP(mem_free) char *found = json_write(member, NULL);
    if (strcmp(found, wanted) != 0)
        fail_msg("%s is\n%s, want\n%s", name, found, wanted);
}

static const struct plan_candidate candidates[] = {
    {.label = "bug",
     .written = "kind/bug",
     .probability = 0.93456,
     .threshold = 0.5,
     .predicted = true,
     .predictable = true,
     .included = true,
     .allowed = true,
     .existing = "Kind/Bug"},
    {.label = "area/x",
     .written = "area/x",
     .probability = 0.25,
     .threshold = 0.5,
     .predictable = true,
     .included = true},
    {.label = "rare", .written = "rare", .probability = 0.75, .threshold = 2},
    {.label = "area/y",
     .written = "area/y",
     .probability = 1,
     .threshold = 0.125,
     .predicted = true,
     .predictable = true,
     .included = true,
     .allowed = true,
     .existing = "area/y"},
};

static void test_whole_record(void **state)
{
    (void)state;
    const struct plan_label_event events[] = {
        {.label = "area/y", .added = true, .actor = "ann", .time_ms = WALL_MS - 1000},
        {.label = "kind/bug",
         .added = true,
         .is_own = true,
         .actor = "nodag[bot]",
         .time_ms = WALL_MS},
        {.label = "Area/Y", .added = false, .actor = "ann", .time_ms = WALL_MS + 1000},
        {.label = "unknown", .added = true, .actor = "bo", .time_ms = WALL_MS + 2000},
        {.label = "area/x", .added = true, .actor = "bo", .time_ms = WALL_MS + 3000},
        {.label = "kind/bug",
         .added = false,
         .is_own = true,
         .actor = "nodag[bot]",
         .time_ms = WALL_MS + 4000},
    };
    const char *const present[] = {"area/x"};
    const struct plan_input input = {.candidates = candidates,
                                     .candidate_count = ARRAY_COUNT(candidates),
                                     .present = present,
                                     .present_count = 1,
                                     .events = events,
                                     .event_count = ARRAY_COUNT(events)};
    struct bench bench;
    bench_plan(&bench, &input);
    CLEANUP(json_release) json_t *record = bench_write(&bench);
    check_member(record, "repository", "\"o/r\"");
    check_member(record, "number", "7");
    check_member(record, "event", "{\"id\":\"e-1\",\"offset\":41,\"partition\":3}");
    check_member(record, "text_sha256", "\"" TEXT_SHA256 "\"");
    check_member(record, "model", "\"0123456789ab\"");
    check_member(record, "held_back", "false");
    check_member(record, "added", "[\"Kind/Bug\"]");
    check_member(record, "removed", "[]");
    check_member(record, "comment_id", "12");
    check_member(record, "comment_deleted", "false");
    check_member(
        record, "corrections",
        "[{\"at\":\"2026-11-01T12:00:01Z\",\"by\":\"ann\",\"label\":\"Area/"
        "Y\",\"what\":\"removed\"},"
        "{\"at\":\"2026-11-01T12:00:03Z\",\"by\":\"bo\",\"label\":\"area/x\",\"what\":\"added\"}]");
    check_member(
        record, "labels",
        "[{\"by\":null,\"label\":\"bug\",\"probability\":0.9346,\"threshold\":0.5,\"verdict\":"
        "\"ADD\","
        "\"why\":\"predicted above its threshold\",\"written\":\"kind/bug\"},"
        "{\"by\":\"bo\",\"label\":\"area/x\",\"probability\":0.25,\"threshold\":0.5,"
        "\"verdict\":\"ADDED_BY_PERSON\",\"why\":\"not predicted, and somebody put it there\","
        "\"written\":\"area/x\"},"
        "{\"by\":null,\"label\":\"rare\",\"probability\":0.75,\"threshold\":2.0,\"verdict\":\"NOT_"
        "PREDICTABLE\","
        "\"why\":\"the model does not reach its precision target for it\",\"written\":\"rare\"},"
        "{\"by\":\"ann\",\"label\":\"area/y\",\"probability\":1.0,\"threshold\":0.125,"
        "\"verdict\":\"REMOVED_BY_PERSON\",\"why\":\"somebody removed "
        "it\",\"written\":\"area/y\"}]");
    assert_int_equal(json_object_size(record), 12);
}

/* The sweep has no event: the member is null, not an event that never was. */
static void test_without_event(void **state)
{
    (void)state;
    const struct plan_input input = {.held_back = true};
    struct bench bench;
    bench_plan(&bench, &input);
    bench.work = (struct kernel_work){.offset = -1, .event_id = ""};
    CLEANUP(json_release) json_t *record = bench_write(&bench);
    check_member(record, "event", "null");
    check_member(record, "held_back", "true");
    check_member(record, "labels", "[]");
    check_member(record, "corrections", "[]");
}

/* A label that was predicted and could not be written, and the comment that somebody deleted. */
static void test_reasons_of_what_was_not_written(void **state)
{
    (void)state;
    struct plan_candidate held = candidates[0];
    const struct plan_input input = {.candidates = &held,
                                     .candidate_count = 1,
                                     .held_back = false,
                                     .comment_wanted = true,
                                     .known_comment_id = 12};
    struct bench bench;
    held.existing = NULL;
    bench_plan(&bench, &input);
    CLEANUP(json_release) json_t *record = bench_write(&bench);
    check_member(record, "comment_deleted", "true");
    check_member(record, "added", "[]");
    check_member(record, "labels",
                 "[{\"by\":null,\"label\":\"bug\",\"probability\":0.9346,\"threshold\":0.5,"
                 "\"verdict\":\"NO_SUCH_LABEL\","
                 "\"why\":\"the repository has no such label\",\"written\":\"kind/bug\"}]");
}

/* What two texts differ in must show in their checksums, also where only the border moved. */
static void test_checksum_sees_the_border(void **state)
{
    (void)state;
    static const char *const texts[][2] = {{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"abc", ""}};
    char sums[ARRAY_COUNT(texts)][80];
    const struct plan_input input = {0};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct bench bench;
        bench_plan(&bench, &input);
        bench.job.observed.title = (char *)texts[i][0];
        bench.job.observed.body = (char *)texts[i][1];
        CLEANUP(json_release) json_t *record = bench_write(&bench);
        (void)snprintf(sums[i], sizeof(sums[i]), "%s", json_text_or(record, "text_sha256", ""));
        assert_int_equal(strlen(sums[i]), 64);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(sums[i], sums[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_record),
        cmocka_unit_test(test_without_event),
        cmocka_unit_test(test_reasons_of_what_was_not_written),
        cmocka_unit_test(test_checksum_sees_the_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
