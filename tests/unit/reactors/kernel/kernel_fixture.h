/*
 * What the kernel's tests share: a small reactor whose reconcile is answered by the test, on a simulated clock and the in-memory bus.
 *
 * Design: header only; each test file is its own program. Works that the kernel hands out are held until the test finishes them, so
 * that the order of things is the test's.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_KERNEL_KERNEL_FIXTURE_H
#define NODAG_TESTS_UNIT_REACTORS_KERNEL_KERNEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "reactors/kernel/kernel.h"
#include "topics/bus_memory.h"

/* Works under way that the test holds. */
#define HELD_MAX 64

/* A test's world. */
struct fixture {
    struct loop *loop;                  /* simulated */
    struct bus_memory *cluster;         /* one partition a topic */
    struct bus *bus;                    /* of the process */
    struct kernel *kernel;              /* under test */
    struct kernel_work *held[HELD_MAX]; /* reconcile was called and not finished */
    size_t held_count;                  /* of them */
    unsigned runs;                      /* reconciles so far */
    unsigned abandoned;                 /* abandons so far */
    unsigned table_records;             /* applied */
    unsigned events;                    /* appended */
    bool sweeping;                      /* sweep_next has a key */
    bool left;                          /* drain is done */
};

static inline bool reactor_route(void *self, const struct bus_record *record,
                                 const struct event *event, struct kernel_route *ret_route)
{
    (void)self;
    if (text_equals(event->type, "skip"))
        return false;
    memcpy(ret_route->key, record->key, record->key_bytes);
    ret_route->key[record->key_bytes] = '\0';
    ret_route->is_minor = text_equals(event->type, "minor");
    if (event->subject.data != NULL)
        memcpy(ret_route->note, event->subject.data, event->subject.bytes);
    return true;
}

static inline void reactor_reconcile(void *self, struct kernel_work *work)
{
    struct fixture *fixture = self;
    fixture->runs++;
    fixture->held[fixture->held_count++] = work;
}

static inline void fixture_unhold(struct fixture *fixture, const struct kernel_work *work)
{
    for (size_t i = 0; i < fixture->held_count; i++)
        if (fixture->held[i] == work)
            fixture->held[i] = fixture->held[--fixture->held_count];
}

static inline void reactor_abandon(void *self, struct kernel_work *work)
{
    struct fixture *fixture = self;
    fixture->abandoned++;
    fixture_unhold(fixture, work);
}

static inline bool reactor_sweep_next(void *self, struct kernel_route *ret_route)
{
    struct fixture *fixture = self;
    (void)snprintf(ret_route->key, sizeof(ret_route->key), "swept");
    ret_route->partition = 0;
    return fixture->sweeping;
}

static inline void reactor_apply(void *self, const struct bus_record *record)
{
    (void)record;
    struct fixture *fixture = self;
    fixture->table_records++;
}

static inline void reactor_forget(void *self, int32_t partition)
{
    (void)self;
    (void)partition;
}

static const struct kernel_reactor reactor = {
    .name = "tester",
    .home = TOPIC_GITHUB_EVENTS,
    .route = reactor_route,
    .reconcile = reactor_reconcile,
    .abandon = reactor_abandon,
    .sweep_next = reactor_sweep_next,
    .tables = {{.topic = TOPIC_PREDICTIONS,
                .scope = KERNEL_TABLE_OWNED,
                .apply = reactor_apply,
                .forget = reactor_forget}},
    .table_count = 1,
};

static const struct kernel_settings settings = {
    .concurrency = 2,
    .keys_max = 10,
    .backoff_least_ms = 1000,
    .backoff_most_ms = 8000,
    .sweep_interval_ms = 60000,
    .revoke_timeout_ms = 5000,
};

static inline void fixture_start(struct fixture *fixture)
{
    fixture->bus = bus_memory_open(fixture->cluster);
    struct error error = {0};
    int code = kernel_new(fixture->loop, fixture->bus, NULL, &settings, &reactor, fixture,
                          &fixture->kernel, &error);
    assert_int_equal(code, 0);
}

static inline int setup(void **state)
{
    struct fixture *fixture = MEM_NEW(struct fixture);
    fixture->loop = loop_new_simulated(1, 1700000000000);
    fixture->cluster = bus_memory_new(fixture->loop, 1);
    *state = fixture;
    return 0;
}

static inline void fixture_crash(struct fixture *fixture)
{
    kernel_free(fixture->kernel);
    bus_memory_close(fixture->bus);
    fixture->kernel = NULL;
    fixture->bus = NULL;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_crash(fixture);
    bus_memory_free(fixture->cluster);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

/* Lets everything happen that happens without waiting. */
static inline void settle(struct fixture *fixture)
{
    loop_advance(fixture->loop, 1500);
}

static inline void append(struct fixture *fixture, const char *key, const char *type,
                          const char *id)
{
    char own_id[32];
    (void)snprintf(own_id, sizeof(own_id), "event-%u", ++fixture->events);
    struct event event = {.id = text_of(id != NULL ? id : own_id),
                          .source = text_of("test"),
                          .type = text_of(type),
                          .subject = text_of("a note")};
    struct event_headers headers;
    assert_int_equal(envelope_encode(&event, &headers, NULL), 0);
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .key = key,
                                  .key_bytes = strlen(key),
                                  .value = "{}",
                                  .value_bytes = 2,
                                  .headers = headers.items,
                                  .header_count = headers.count};
    (void)bus_memory_append(fixture->cluster, &message);
}

/* Ends the work of a key that is held. */
static inline void finish(struct fixture *fixture, const char *key, enum kernel_outcome_kind kind,
                          int64_t after_ms)
{
    for (size_t i = 0; i < fixture->held_count; i++) {
        struct kernel_work *work = fixture->held[i];
        if (strcmp(kernel_work_key(work), key) != 0)
            continue;
        fixture_unhold(fixture, work);
        struct kernel_outcome outcome = {.kind = kind, .after_ms = after_ms, .reason = "because"};
        kernel_finish(work, &outcome);
        return;
    }
    fail_msg("%s is not running", key);
}

static inline int64_t committed(const struct fixture *fixture)
{
    return bus_memory_committed(fixture->cluster, "nodag-tester", TOPIC_GITHUB_EVENTS, 0);
}

/* The newest pending record of a key: its value, "" for a tombstone, NULL for none. */
static const char *pending(const struct fixture *fixture, const char *key)
{
    static char text[1024];
    char pending_key[SUBJECT_KEY_BYTES];
    assert_int_equal(subject_key_pending("tester", key, pending_key), 0);
    const struct bus_record *record =
        bus_memory_latest(fixture->cluster, TOPIC_PENDING, pending_key);
    if (record == NULL)
        return NULL;
    (void)snprintf(text, sizeof(text), "%.*s", (int)record->value_bytes,
                   record->value != NULL ? record->value : "");
    return text;
}

/* One test with a fixture of its own. */
#define KERNEL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
