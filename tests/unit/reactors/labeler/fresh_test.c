/*
 * Records of `issues` for first looks: what one is worth (a table), and who gets one when: over the in-memory
 * bus, with records as the historian writes them.
 */
#include "reactors/labeler/fresh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/bus_memory.h"
#include "topics/subject.h"

/* The wall clock at the start. */
#define NOW_MS INT64_C(1700000000000)

/* How long a partition settles in these tests. */
#define SETTLE_MS 1000

#define REPOSITORY_ID 7
#define NUMBER 3
#define KEY "7#3"

/* --- the table --- */

/* What a record differs in from one that is usable. */
struct difference {
    const char *what;
    enum fresh_verdict verdict;
    int64_t created_ago_ms; /* 0: a second */
    int64_t offset;         /* of its newest event; 0: 41 */
    size_t same_second;     /* further events of that second */
    const char *state;      /* NULL: open */
    const char *repository; /* NULL: o/r */
    bool has_no_title;
    bool has_nul;
    bool is_erased;
    enum issue_gone gone;
    const char *label;   /* NULL: none */
    bool is_unlisted;    /* the newest list does not have it */
    enum issue_actor by; /* who put it there; ISSUE_UNKNOWN: nobody is known */
    bool is_removed;     /* somebody took it away */
    bool is_back;        /* and somebody put it there again */
};

static struct issue_action action(enum issue_actor by, int64_t time_ms)
{
    return (struct issue_action){.stamp = {.time_ms = time_ms, .offset = 41, .id_count = 1},
                                 .by = by,
                                 .login = mem_copy_text("ann")};
}

static struct issue_record *make_record(const struct difference *difference)
{
    struct issue_record *record = issue_record_new(REPOSITORY_ID, NUMBER);
    int64_t created_ago_ms = difference->created_ago_ms != 0 ? difference->created_ago_ms : 1000;
    record->as_of.time_ms = NOW_MS - 1000;
    record->as_of.offset = difference->offset != 0 ? difference->offset : 41;
    record->as_of.id_count = 1 + difference->same_second;
    record->repository =
        mem_copy_text(difference->repository != NULL ? difference->repository : "o/r");
    record->owner_id = 9;
    record->created_ms = record->updated_ms = NOW_MS - created_ago_ms;
    record->state = mem_copy_text(difference->state != NULL ? difference->state : "open");
    if (!difference->has_no_title)
        record->title = (struct issue_text){.data = mem_copy_text("a title"), .bytes = 7};
    record->body = (struct issue_text){.data = mem_copy_bytes("a\0b", 3),
                                       .bytes = difference->has_nul ? 3 : 1};
    record->author = ISSUE_PERSON;
    record->author_login = mem_copy_text("ann");
    record->erased_ms = difference->is_erased ? NOW_MS : 0;
    if (difference->gone != ISSUE_LIVE) {
        record->gone = difference->gone;
        record->gone_since.time_ms = NOW_MS;
        record->gone_since.offset = 50;
    }
    if (difference->label != NULL) {
        struct issue_label *label = issue_record_put_label(record, difference->label);
        label->listed = !difference->is_unlisted;
        if (difference->by != ISSUE_UNKNOWN)
            label->added = action(difference->by, NOW_MS - 900);
        if (difference->is_removed)
            label->removed = action(ISSUE_PERSON, NOW_MS - (difference->is_back ? 950 : 800));
    }
    return record;
}

static void test_judge(void **state)
{
    (void)state;
    static const struct difference cases[] = {
        {.what = "nothing", .verdict = FRESH_USABLE},
        {.what = "just covers", .verdict = FRESH_USABLE, .offset = 40},
        {.what = "does not cover", .verdict = FRESH_BEHIND, .offset = 39},
        {.what = "old", .verdict = FRESH_NEVER, .created_ago_ms = FRESH_AGE_MS + 1},
        {.what = "just young", .verdict = FRESH_USABLE, .created_ago_ms = FRESH_AGE_MS},
        {.what = "future", .verdict = FRESH_NEVER, .created_ago_ms = -FRESH_SKEW_MS - 1},
        {.what = "clock ahead", .verdict = FRESH_USABLE, .created_ago_ms = -FRESH_SKEW_MS},
        {.what = "two of one second", .verdict = FRESH_NEVER, .same_second = 1},
        {.what = "closed", .verdict = FRESH_NEVER, .state = "closed"},
        {.what = "moved", .verdict = FRESH_NEVER, .repository = "o/other"},
        {.what = "other case", .verdict = FRESH_USABLE, .repository = "O/R"},
        {.what = "no title", .verdict = FRESH_NEVER, .has_no_title = true},
        {.what = "NUL", .verdict = FRESH_NEVER, .has_nul = true},
        {.what = "erased", .verdict = FRESH_NEVER, .is_erased = true},
        {.what = "deleted", .verdict = FRESH_NEVER, .gone = ISSUE_DELETED},
        {.what = "private", .verdict = FRESH_NEVER, .gone = ISSUE_PRIVATE},
        {.what = "a label of before", .verdict = FRESH_USABLE, .label = "x"},
        {.what = "by a person", .verdict = FRESH_USABLE, .label = "x", .by = ISSUE_PERSON},
        {.what = "by a bot", .verdict = FRESH_USABLE, .label = "x", .by = ISSUE_OTHER_BOT},
        {.what = "by nodag", .verdict = FRESH_NEVER, .label = "x", .by = ISSUE_THIS_BOT},
        {.what = "removed", .verdict = FRESH_NEVER, .label = "x", .is_removed = true},
        {.what = "added, removed",
         .verdict = FRESH_NEVER,
         .label = "x",
         .by = ISSUE_PERSON,
         .is_removed = true},
        {.what = "removed, added",
         .verdict = FRESH_NEVER,
         .label = "x",
         .by = ISSUE_PERSON,
         .is_removed = true,
         .is_back = true},
        {.what = "gone from the list", .verdict = FRESH_NEVER, .label = "x", .is_unlisted = true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(issue_record_free) struct issue_record *record = make_record(&cases[i]);
        enum fresh_verdict verdict = fresh_judge(record, "o/r", 40, NOW_MS);
        if (verdict != cases[i].verdict)
            fail_msg("%s: %d, expected %d", cases[i].what, (int)verdict, (int)cases[i].verdict);
    }
}

/* --- who gets one --- */

struct world {
    struct loop *loop;
    struct bus_memory *cluster;
    struct bus *bus;
    struct fresh *fresh;
    struct fresh_waiter *waiter; /* under way, or NULL */
    int answers;                 /* so far */
    bool got;                    /* the last one was a record */
};

static int setup(void **state)
{
    static const struct fresh_settings settings = {.settle_ms = SETTLE_MS};
    struct world *world = MEM_NEW(struct world);
    struct error error = {0};
    world->loop = loop_new_simulated(3, NOW_MS - SETTLE_MS);
    world->cluster = bus_memory_new(world->loop, 1);
    world->bus = bus_memory_open(world->cluster);
    *state = world;
    return fresh_new(world->loop, world->bus, &settings, &world->fresh, &error);
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->waiter != NULL)
        fresh_cancel(world->waiter);
    fresh_free(world->fresh);
    bus_memory_close(world->bus);
    bus_memory_free(world->cluster);
    loop_free(world->loop);
    mem_free(world);
    return 0;
}

/* An event of the issue that the labeler's route sees. */
static void note(struct world *world, const char *action_name, int64_t offset)
{
    char type[64];
    (void)snprintf(type, sizeof(type), "com.github.%s", action_name);
    const struct bus_record record = {.topic = TOPIC_GITHUB_EVENTS,
                                      .offset = offset,
                                      .timestamp_ms = loop_wall_ms(world->loop),
                                      .key = KEY,
                                      .key_bytes = strlen(KEY)};
    const struct event event = {.type = text_of(type)};
    fresh_note(world->fresh, &record, &event);
}

/* The historian publishes a record; NULL: a tombstone. */
static void publish(struct world *world, const struct difference *difference)
{
    CLEANUP(mem_free) char *value = NULL;
    struct bus_message message = {.topic = TOPIC_ISSUES, .key = KEY, .key_bytes = strlen(KEY)};
    if (difference != NULL) {
        CLEANUP(issue_record_free) struct issue_record *record = make_record(difference);
        value = issue_record_encode(record, &message.value_bytes);
    }
    message.value = value;
    (void)bus_memory_append(world->cluster, &message);
    loop_advance(world->loop, 100);
}

static void on_record(void *argument, const struct issue_record *record)
{
    struct world *world = argument;
    world->waiter = NULL;
    world->answers++;
    world->got = record != NULL;
    if (record != NULL)
        assert_string_equal(record->title.data, "a title");
}

static void ask(struct world *world, int64_t offset)
{
    world->waiter = fresh_ask(world->fresh, KEY, "o/r", offset, on_record, world);
}

/* Asserts that the last question is answered by now, and how. */
static void assert_answered(struct world *world, bool with_record)
{
    assert_null(world->waiter);
    assert_int_equal(world->got, with_record);
}

/* The partition is this process' for long enough. */
static void begin(struct world *world)
{
    note(world, "push", 1);
    loop_advance(world->loop, SETTLE_MS);
}

static const struct difference usable = {.what = "usable"};
static const struct difference behind = {.what = "behind", .offset = 40};

/* In whatever order event, record and question come, the record is found, once. */
static void test_any_order(void **state)
{
    struct world *world = *state;
    begin(world);
    note(world, "issue.opened", 41);
    publish(world, &usable);
    ask(world, 41);
    assert_false(fresh_was_asked(world->fresh, KEY));
    loop_advance(world->loop, 0);
    assert_answered(world, true);
    assert_true(fresh_was_asked(world->fresh, KEY)); /* a removal from now on is not passed over */
    publish(world, &usable);
    ask(world, 41); /* it was given out */
    loop_advance(world->loop, 0);
    assert_answered(world, false);
    publish(world, &usable);
    note(world, "issue.opened", 41);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_answered(world, true);
    note(world, "issue.opened", 41);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_non_null(world->waiter);
    publish(world, &usable);
    assert_answered(world, true);
}

/* Only what this process saw being opened, once the partition has settled. */
static void test_not_opened_here(void **state)
{
    struct world *world = *state;
    note(world, "issue.opened", 41); /* too soon after the take-over */
    publish(world, &usable);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_answered(world, false);
    loop_advance(world->loop, SETTLE_MS);
    note(world, "issue.edited", 41);
    publish(world, &usable);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_answered(world, false);
}

/* Every event that was seen must be covered, also one that nobody is called for. */
static void test_covers_what_was_seen(void **state)
{
    struct world *world = *state;
    begin(world);
    note(world, "issue.opened", 40);
    publish(world, &behind);
    note(world, "issue.unlabeled", 41);
    ask(world, 40);
    loop_advance(world->loop, FRESH_WAIT_MS - 1);
    assert_non_null(world->waiter);
    publish(world, &usable);
    assert_answered(world, true);
    note(world, "issue.opened", 40);
    publish(world, &behind);
    note(world, "issue.unlabeled", 41);
    ask(world, 40);
    loop_advance(world->loop, FRESH_WAIT_MS);
    assert_answered(world, false);
}

/* A job waits so long and no longer; a tombstone is no record; and what is no longer a matter of time ends
 * the wait. */
static void test_wait(void **state)
{
    struct world *world = *state;
    static const struct difference removed = {.what = "removed", .label = "x", .is_removed = true};
    begin(world);
    note(world, "issue.opened", 41);
    ask(world, 41);
    publish(world, NULL);
    loop_advance(world->loop, FRESH_WAIT_MS - 101);
    assert_non_null(world->waiter);
    loop_advance(world->loop, 1);
    assert_answered(world, false);
    note(world, "issue.opened", 41);
    ask(world, 41);
    publish(world, &removed);
    assert_answered(world, false);
}

/* Without a historian nobody waits for long: until there is a record again. */
static void test_no_historian(void **state)
{
    struct world *world = *state;
    begin(world);
    for (int i = 0; i < FRESH_MISSED_MAX; i++) {
        note(world, "issue.opened", 41);
        ask(world, 41);
        loop_advance(world->loop, FRESH_WAIT_MS - 1);
        assert_non_null(world->waiter);
        loop_advance(world->loop, 1);
    }
    note(world, "issue.opened", 41);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_answered(world, false);
    publish(world, &behind);
    note(world, "issue.opened", 41);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_non_null(world->waiter);
    publish(world, &usable);
    assert_answered(world, true);
}

/* Of a partition that was given up nothing is known, and it settles again; who waits is answered. */
static void test_forget(void **state)
{
    struct world *world = *state;
    begin(world);
    note(world, "issue.opened", 41);
    publish(world, &behind);
    ask(world, 41);
    fresh_forget(world->fresh, 0);
    loop_advance(world->loop, FRESH_WAIT_MS);
    assert_answered(world, false);
    note(world, "issue.opened", 41);
    publish(world, &usable);
    ask(world, 41);
    loop_advance(world->loop, 0);
    assert_answered(world, false);
}

/* A waiter that is withdrawn hears nothing. */
static void test_cancel(void **state)
{
    struct world *world = *state;
    begin(world);
    note(world, "issue.opened", 41);
    ask(world, 41);
    fresh_cancel(TAKE(world->waiter));
    publish(world, &usable);
    loop_advance(world->loop, FRESH_WAIT_MS);
    assert_int_equal(world->answers, 0);
}

#define FRESH_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        FRESH_TEST(test_any_order),
        FRESH_TEST(test_not_opened_here),
        FRESH_TEST(test_covers_what_was_seen),
        FRESH_TEST(test_wait),
        FRESH_TEST(test_no_historian),
        FRESH_TEST(test_forget),
        FRESH_TEST(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
