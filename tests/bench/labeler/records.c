/*
 * The records of the labeler's benchmark: see records.h.
 *
 * Design: every attribute that the door writes is there, with values of the usual lengths, so that
 * headers cost what they cost. Texts that are random in life (delivery ids, digests) come from a
 * mixing function of the index: they do not compress, and a run can be repeated.
 *
 * Invariant: no skipped event is about a repository that a Labeler document of the benchmark names.
 */
#include "tests/bench/labeler/records.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

/* Repositories that events and decisions are spread over, and the id of the first. */
#define RECORD_REPOSITORIES 50
#define RECORD_FIRST_ID 700000000

/* When the first event was, in milliseconds since 1970. */
#define RECORD_FIRST_MS 1700000000000

/* Out of so many events. */
#define RECORD_SHARES 20

/* What organisations get, in twentieths: checks and reviews mostly. The last but one is nodag's own doing. */
static const struct {
    int shares;
    const char *event;
    const char *type;
    const char *sender;
    const char *sender_type;
} record_kinds[] = {
    {6, "check_run", "com.github.check_run.completed", "github-actions[bot]", "Bot"},
    {4, "pull_request", "com.github.pull_request.synchronize", "ann", "User"},
    {3, "issue_comment", "com.github.issue.comment.created", "bo", "User"},
    {2, "push", "com.github.push", "ann", "User"},
    {2, "workflow_run", "com.github.workflow_run.completed", "github-actions[bot]", "Bot"},
    {2, "issues", "com.github.issue.labeled", "nodag[bot]", "Bot"},
    {1, "star", "com.github.star.created", "cy", "User"},
};

/* splitmix64: each index has its own bits. */
static uint64_t record_mix(uint64_t index)
{
    uint64_t mixed = index + 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static size_t record_kind_of(int64_t index)
{
    int place = (int)(record_mix((uint64_t)index) % RECORD_SHARES);
    size_t kind = 0;
    while (place >= record_kinds[kind].shares)
        place -= record_kinds[kind++].shares;
    return kind;
}

static void record_encode(struct record *record, struct event *event)
{
    event->id = text_of(record->id);
    event->source = text_of(record->source);
    event->subject = text_of(record->subject);
    event->repository = text_of(record->repository);
    event->content_type = text_of("application/json");
    event->has_time = true;
    record->headers.count = 0;
    int code = envelope_encode(event, &record->headers, NULL);
    assert(code == 0);
    (void)code;
}

/* Fills the value with something like a payload: words, and numbers that differ. */
static void record_fill_value(struct record *record, int64_t index, size_t value_bytes)
{
    size_t at = 0;
    for (uint64_t part = 0; at < value_bytes; part++) {
        int written =
            snprintf(record->value + at, RECORD_VALUE_MAX_BYTES - at,
                     "%c\"url\":\"https://api.github.com/repos/x/y/z\",\"id\":%" PRIu64,
                     at == 0 ? '{' : ',', record_mix((uint64_t)index * 1000 + part) >> 24);
        if (written < 0 || at + (size_t)written >= RECORD_VALUE_MAX_BYTES)
            break;
        at += (size_t)written;
    }
    record->value_bytes = value_bytes;
    if (value_bytes > 0)
        record->value[value_bytes - 1] = '}';
}

/* Names the issue and its repository; `owner` decides whether a document concerns it. */
static void record_name(struct record *record, int64_t repository_id, int64_t number,
                        const char *repository)
{
    subject_key_issue(repository_id, number, record->key);
    (void)snprintf(record->subject, sizeof(record->subject), "%" PRId64, number);
    (void)snprintf(record->repository, sizeof(record->repository), "%s", repository);
    (void)snprintf(record->source, sizeof(record->source), "https://api.github.com/repos/%s",
                   repository);
}

void record_make_skipped(struct record *record, int64_t index, size_t value_bytes)
{
    char repository[RECORD_TEXT_BYTES];
    uint64_t random = record_mix((uint64_t)index);
    int64_t which = (int64_t)(random >> 8) % RECORD_REPOSITORIES;
    size_t kind = record_kind_of(index);
    (void)snprintf(repository, sizeof(repository), "elsewhere/repository-%" PRId64, which);
    record_name(record, RECORD_FIRST_ID + which, 1 + (int64_t)(random >> 40) % 10000, repository);
    (void)snprintf(record->id, sizeof(record->id), "%08" PRIx64 "-cc78-11e3-81ab-%012" PRIx64,
                   random >> 32, (uint64_t)index);
    struct event event = {
        .type = text_of(record_kinds[kind].type),
        .github_event = text_of(record_kinds[kind].event),
        .hook_id = text_of("109948940"),
        .target_type = text_of("repository"),
        .target_id = text_of("186853002"),
        .signature =
            text_of("sha256=0f5c2a8b7d9e14c36a1b0d4e8f729c35a6be01d2f3487596c0aa1b2c3d4e5f60"),
        .sender = text_of(record_kinds[kind].sender),
        .sender_type = text_of(record_kinds[kind].sender_type),
        .secret_id = text_of("secret"),
        .time_ms = RECORD_FIRST_MS + index,
    };
    record_encode(record, &event);
    record_fill_value(record, index, value_bytes);
}

void record_make_prediction(struct record *record, int64_t index)
{
    char repository[RECORD_TEXT_BYTES];
    int64_t which = index % RECORD_REPOSITORIES;
    int64_t number = index / RECORD_REPOSITORIES + 1;
    uint64_t random = record_mix((uint64_t)index);
    (void)snprintf(repository, sizeof(repository), "kubeflow/repository-%" PRId64, which);
    record_name(record, RECORD_FIRST_ID + which, number, repository);
    (void)snprintf(record->source, sizeof(record->source), "labeler");
    (void)snprintf(record->id, sizeof(record->id), "%s:3:%" PRId64 ":%" PRId64, record->key, index,
                   RECORD_FIRST_MS + index);
    (void)snprintf(record->subject, sizeof(record->subject), "%s", record->key);
    struct event event = {.type = text_of("dev.nodag.prediction"),
                          .data_schema = text_of("urn:nodag:schema:prediction:1"),
                          .time_ms = RECORD_FIRST_MS + index};
    record_encode(record, &event);
    int written = snprintf(
        record->value, RECORD_VALUE_MAX_BYTES,
        "{\"added\":[\"area/jupyter\"],\"comment_deleted\":false,\"comment_id\":%" PRId64
        ",\"corrections\":[],\"event\":{\"id\":\"%08" PRIx64 "-cc78-11e3-81ab-%012" PRIx64
        "\",\"offset\":%" PRId64 ",\"partition\":3},\"held_back\":false,"
        "\"labels\":[{\"by\":null,\"label\":\"area/jupyter\",\"probability\":0.%04d,"
        "\"threshold\":0.5123,\"verdict\":\"ADD\",\"why\":\"predicted above its threshold\","
        "\"written\":\"area/jupyter\"},{\"by\":\"ann\",\"label\":\"kind/"
        "bug\",\"probability\":0.%04d,"
        "\"threshold\":0.6021,\"verdict\":\"KEEP\",\"why\":\"somebody put it on\","
        "\"written\":\"kind/bug\"}],\"model\":\"kubeflow-labels-20261101-%02d\",\"number\":%" PRId64
        ",\"removed\":[],\"repository\":\"%s\",\"text_sha256\":\"%016" PRIx64 "%016" PRIx64
        "%016" PRIx64 "%016" PRIx64 "\"}",
        index % 3 == 0 ? INT64_C(0) : 1500000000 + index, random >> 32, (uint64_t)index, index,
        (int)(random % 10000), (int)((random >> 16) % 10000), (int)(index % 7), number, repository,
        random, record_mix(random), record_mix(random + 1), record_mix(random + 2));
    assert(written > 0 && (size_t)written < RECORD_VALUE_MAX_BYTES);
    record->value_bytes = (size_t)written;
}

void record_make_opened(struct record *record, int64_t repository_id, int64_t number,
                        const char *repository)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    record_name(record, repository_id, number, repository);
    (void)snprintf(record->id, sizeof(record->id), "opened-%s-%lld.%09ld", record->key,
                   (long long)now.tv_sec, now.tv_nsec);
    struct event event = {
        .type = text_of("com.github.issue.opened"),
        .github_event = text_of("issues"),
        .sender = text_of("ann"),
        .sender_type = text_of("User"),
        .time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
    };
    record_encode(record, &event);
    record_fill_value(record, number, 1000);
}
