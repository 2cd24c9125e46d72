/*
 * What the historian's tests share: processes with a historian on the in-memory bus and a simulated clock, webhooks made from a few
 * members, and what stands on the topic `issues`.
 *
 * Design: header only; each test file is its own program. Webhooks are made from text, as GitHub's are, so that the whole way from
 * bytes to records is under test.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_HISTORIAN_HISTORIAN_FIXTURE_H
#define NODAG_TESTS_UNIT_REACTORS_HISTORIAN_HISTORIAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/historian/historian.h"
#include "topics/bus_memory.h"
#include "topics/history_event.h"
#include "topics/issue_record.h"

/* Partitions of each topic. */
#define FIXTURE_PARTITIONS 3

/* Processes at most. */
#define FIXTURE_PROCESSES 3

/* The wall clock at the start, and when issues begin to happen: well before, as webhooks come after the fact. */
#define FIXTURE_WALL_MS 1700000000000LL
/* See above. */
#define FIXTURE_EVENTS_MS 1690000000000LL

/* Largest webhook here. */
#define FIXTURE_VALUE_BYTES (64 << 10)

/* One process. */
struct process {
    struct bus *bus;             /* NULL: not running */
    struct historian *historian; /* of it */
};

/* A test's world. */
struct fixture {
    struct loop *loop;                           /* simulated */
    struct bus_memory *cluster;                  /* the topics */
    struct process processes[FIXTURE_PROCESSES]; /* replicas */
    struct option_list keep_private;             /* of all */
    unsigned events;                             /* appended, for ids */
    bool left;                                   /* a drain is done */
};

/* One webhook; what is NULL or 0 has the default that is named. */
struct hook {
    const char *event;       /* "issue", "issue_comment", "repository", "installation"; issue */
    const char *action;      /* opened */
    const char *id;          /* ce_id; a new one */
    int64_t at_s;            /* seconds after FIXTURE_EVENTS_MS */
    int64_t repository_id;   /* 1 */
    const char *repository;  /* "o/r" */
    int64_t owner_id;        /* 9 */
    bool is_private;         /* the repository is */
    int64_t number;          /* 1 */
    const char *title;       /* "a title" */
    const char *body;        /* null */
    const char *state;       /* open */
    const char *labels;      /* "bug,help"; none */
    const char *label;       /* label.name of labeled, unlabeled */
    const char *sender;      /* ann */
    const char *sender_type; /* User */
    const char *more;        /* members of the payload, with a comma before them */
    const char *issue_more;  /* members of the issue, likewise */
    const char *key;         /* ID#number, or ID for other events */
};

static const struct kernel_settings fixture_kernel = {
    .concurrency = 8,
    .keys_max = 100,
    .backoff_least_ms = 1000,
    .backoff_most_ms = 1000,
    .sweep_interval_ms = 1000,
    .revoke_timeout_ms = 5000,
};

/* ---- processes ---- */

static inline void fixture_start(struct fixture *fixture, size_t which)
{
    struct process *process = &fixture->processes[which];
    struct error error = {0};
    process->bus = bus_memory_open(fixture->cluster);
    const struct historian_ground ground = {.loop = fixture->loop,
                                            .bus = process->bus,
                                            .kernel = &fixture_kernel,
                                            .own_login = "nodag[bot]",
                                            .keep_private = &fixture->keep_private};
    int code = historian_new(&ground, &process->historian, &error);
    assert_int_equal(code, 0);
}

static inline void fixture_kill(struct fixture *fixture, size_t which)
{
    struct process *process = &fixture->processes[which];
    historian_free(TAKE(process->historian));
    bus_memory_close(TAKE(process->bus));
}

static inline void fixture_on_left(void *argument)
{
    struct fixture *fixture = argument;
    fixture->left = true;
}

static inline void fixture_drain(struct fixture *fixture, size_t which)
{
    fixture->left = false;
    historian_drain(fixture->processes[which].historian, fixture_on_left, fixture);
    while (!fixture->left)
        assert_true(loop_step(fixture->loop));
    fixture_kill(fixture, which);
}

static inline int setup(void **state)
{
    struct fixture *fixture = MEM_NEW(struct fixture);
    fixture->loop = loop_new_simulated(1, FIXTURE_WALL_MS);
    fixture->cluster = bus_memory_new(fixture->loop, FIXTURE_PARTITIONS);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < FIXTURE_PROCESSES; i++)
        if (fixture->processes[i].bus != NULL)
            fixture_kill(fixture, i);
    bus_memory_free(fixture->cluster);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

/* True once every event is finished. */
static inline bool fixture_is_settled(const struct fixture *fixture)
{
    for (int32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        if (bus_memory_committed(fixture->cluster, "nodag-historian", TOPIC_GITHUB_EVENTS, p) !=
            bus_memory_end(fixture->cluster, TOPIC_GITHUB_EVENTS, p))
            return false;
    return true;
}

/* Runs until every event is finished; a withdrawal makes new events. */
static inline void fixture_settle(struct fixture *fixture)
{
    for (int i = 0; i < 2000 && !fixture_is_settled(fixture); i++)
        loop_advance(fixture->loop, 100);
    assert_true(fixture_is_settled(fixture));
    loop_advance(fixture->loop, 2000);
    assert_true(fixture_is_settled(fixture));
}

/* ---- webhooks ---- */

static inline const char *fixture_or(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static inline void hook_append_labels(struct buffer *text, const char *labels)
{
    const char *at = fixture_or(labels, "");
    while (*at != '\0') {
        size_t bytes = strcspn(at, ",");
        assert_int_equal(buffer_append_format(text,
                                              "%s{\"id\":5,\"name\":\"%.*s\",\"color\":\"fff\"}",
                                              at == labels ? "" : ",", (int)bytes, at),
                         0);
        at += bytes + (at[bytes] == ',');
    }
}

/* An issue object, as webhooks have it. */
static inline void hook_append_issue(struct buffer *text, const struct hook *hook)
{
    char at[TIME_TEXT_BYTES];
    char created[TIME_TEXT_BYTES];
    time_to_text(FIXTURE_EVENTS_MS + hook->at_s * 1000, at);
    time_to_text(FIXTURE_EVENTS_MS, created);
    int code = buffer_append_format(
        text,
        "{\"url\":\"u\",\"number\":%lld,\"title\":\"%s\",\"user\":{\"login\":\"opener\",\"id\":3,"
        "\"type\":\"User\"},\"labels\":[",
        (long long)(hook->number != 0 ? hook->number : 1), fixture_or(hook->title, "a title"));
    assert_int_equal(code, 0);
    hook_append_labels(text, hook->labels);
    code = buffer_append_format(
        text,
        "],\"state\":\"%s\",\"locked\":false,\"created_at\":\"%s\",\"updated_at\":\"%s\","
        "\"closed_at\":null,\"body\":%s%s%s%s}",
        fixture_or(hook->state, "open"), created, at, hook->body != NULL ? "\"" : "",
        fixture_or(hook->body, "null"), hook->body != NULL ? "\"" : "",
        fixture_or(hook->issue_more, ""));
    assert_int_equal(code, 0);
}

static inline char *hook_value(const struct hook *hook, bool is_issue)
{
    struct buffer text = BUFFER_INIT(FIXTURE_VALUE_BYTES);
    assert_int_equal(
        buffer_append_format(&text, "{\"action\":\"%s\"", fixture_or(hook->action, "opened")), 0);
    if (is_issue) {
        assert_int_equal(buffer_append_text(&text, ",\"issue\":"), 0);
        hook_append_issue(&text, hook);
    }
    if (hook->label != NULL)
        assert_int_equal(buffer_append_format(&text, ",\"label\":{\"name\":\"%s\"}", hook->label),
                         0);
    if (hook->event == NULL || strcmp(hook->event, "installation") != 0)
        assert_int_equal(
            buffer_append_format(&text,
                                 ",\"repository\":{\"id\":%lld,\"full_name\":\"%s\",\"private\":%s,"
                                 "\"owner\":{\"login\":\"o\",\"id\":%lld}}",
                                 (long long)(hook->repository_id != 0 ? hook->repository_id : 1),
                                 fixture_or(hook->repository, "o/r"),
                                 hook->is_private ? "true" : "false",
                                 (long long)(hook->owner_id != 0 ? hook->owner_id : 9)),
            0);
    assert_int_equal(
        buffer_append_format(&text, ",\"sender\":{\"login\":\"%s\",\"type\":\"%s\"}%s}",
                             fixture_or(hook->sender, "ann"), fixture_or(hook->sender_type, "User"),
                             fixture_or(hook->more, "")),
        0);
    return buffer_take(&text);
}

/* Appends a record with an envelope to github.events; partition by key. */
static inline void fixture_append(struct fixture *fixture, const char *type, const char *id,
                                  int64_t time_ms, const char *repository, const char *key,
                                  const char *value)
{
    struct event_headers headers;
    struct event event = {.id = text_of(id),
                          .source = text_of("https://api.github.com/repos/o/r"),
                          .type = text_of(type),
                          .repository = text_of(repository),
                          .has_time = true,
                          .time_ms = time_ms};
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .partition = BUS_PARTITION_BY_KEY,
                                  .key = key,
                                  .key_bytes = strlen(key),
                                  .value = value,
                                  .value_bytes = strlen(value),
                                  .headers = headers.items,
                                  .header_count = headers.count};
    (void)bus_memory_append(fixture->cluster, &message);
}

static inline void fixture_hook(struct fixture *fixture, const struct hook *hook)
{
    char type[128];
    char key[SUBJECT_KEY_BYTES];
    char id[64];
    const char *event = fixture_or(hook->event, "issue");
    bool is_issue = strncmp(event, "issue", 5) == 0;
    int64_t repository_id = hook->repository_id != 0 ? hook->repository_id : 1;
    (void)snprintf(type, sizeof(type), "com.github.%s.%s", event,
                   fixture_or(hook->action, "opened"));
    (void)snprintf(id, sizeof(id), "delivery-%u", fixture->events++);
    if (is_issue)
        subject_key_issue(repository_id, hook->number != 0 ? hook->number : 1, key);
    else
        (void)snprintf(key, sizeof(key), "%lld", (long long)repository_id);
    char *value = hook_value(hook, is_issue);
    fixture_append(fixture, type, fixture_or(hook->id, id), FIXTURE_EVENTS_MS + hook->at_s * 1000,
                   fixture_or(hook->repository, "o/r"), fixture_or(hook->key, key), value);
    mem_free(value);
}

/* ---- records ---- */

/* Returns the record of a key as it stands now; NULL for none and for a tombstone. Owned. */
static inline struct issue_record *fixture_record(const struct fixture *fixture, const char *key)
{
    const struct bus_record *record = bus_memory_latest(fixture->cluster, TOPIC_ISSUES, key);
    struct issue_record *found = NULL;
    struct error error = {0};
    if (record == NULL || record->value == NULL)
        return NULL;
    int code = issue_record_decode(record->key, record->key_bytes, record->value,
                                   record->value_bytes, &found, &error);
    if (code != 0)
        print_error("%s: %.*s\n", error.text, (int)record->value_bytes, record->value);
    assert_int_equal(code, 0);
    assert_int_equal(record->partition,
                     subject_key_partition(key, strlen(key), FIXTURE_PARTITIONS));
    return found;
}

/* Returns how many records stand on `issues`, tombstones among them. */
static inline int64_t fixture_record_count(const struct fixture *fixture)
{
    int64_t count = 0;
    for (int32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        count += bus_memory_end(fixture->cluster, TOPIC_ISSUES, p);
    return count;
}

/* Returns "+bug:person:ann -help:this bot:nodag[bot]": labels that are there, then those that are not. Owned. */
static inline char *fixture_labels(const struct fixture *fixture, const char *key)
{
    struct issue_record *record = fixture_record(fixture, key);
    struct buffer text = BUFFER_INIT(FIXTURE_VALUE_BYTES);
    if (record == NULL)
        return mem_copy_text("(no record)");
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < record->label_count; i++) {
            const struct issue_label *label = &record->labels[i];
            const struct issue_action *last = issue_label_last(record, label);
            if (issue_label_is_present(record, label) == (pass == 1))
                continue;
            assert_int_equal(
                buffer_append_format(&text, "%s%c%s:%s:%s", text.size_bytes > 0 ? " " : "",
                                     pass == 0 ? '+' : '-', label->name,
                                     issue_actor_name(issue_action_by(last)),
                                     last != NULL ? fixture_or(last->login, "?") : "?"),
                0);
        }
    }
    issue_record_free(record);
    return text.data != NULL ? buffer_take(&text) : mem_copy_text("");
}

static inline void assert_labels(const struct fixture *fixture, const char *key, const char *labels)
{
    char *found = fixture_labels(fixture, key);
    assert_string_equal(found, labels);
    mem_free(found);
}

static inline void assert_title(const struct fixture *fixture, const char *key, const char *title)
{
    struct issue_record *record = fixture_record(fixture, key);
    assert_non_null(record);
    assert_string_equal(record->title.data, title);
    issue_record_free(record);
}

/* A tombstone with this reason is the newest record of the key. */
static inline void assert_gone(const struct fixture *fixture, const char *key, const char *reason)
{
    const struct bus_record *record = bus_memory_latest(fixture->cluster, TOPIC_ISSUES, key);
    struct event event;
    enum issue_gone gone = ISSUE_LIVE;
    int64_t time_ms = 0;
    assert_non_null(record);
    assert_null(record->value);
    assert_int_equal(envelope_decode(record->headers, record->header_count, &event, NULL), 0);
    assert_int_equal(issue_gone_read(&event, &gone, &time_ms), 0);
    assert_string_equal(issue_gone_name(gone), reason);
}

#endif
