/*
 * Tests of ingest/git/heads.c: what is kept of git.pushes, in which order, and what is left out.
 */
#include "ingest/git/heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"
#include "topics/bus_memory.h"

/* Wall clock at the start. */
#define START_WALL_MS 1700000000000

/* The repository, and two objects. */
#define URL "https://h/a"
#define ID_A "0123456789abcdef0123456789abcdef01234567"
#define ID_B "89abcdef0123456789abcdef0123456789abcdef"

/* A fold and what it told. */
struct world {
    struct loop *loop;
    struct bus_memory *cluster;
    struct bus *bus;
    struct heads *heads;
    size_t loaded;
    size_t unreadable;
};

static void on_loaded(void *argument)
{
    ((struct world *)argument)->loaded++;
}

static void on_trouble(void *argument, const char *reason)
{
    (void)argument;
    (void)reason;
}

static void on_unreadable(void *argument, const struct bus_record *record,
                          const struct error *error)
{
    assert_non_null(record->value);
    assert_true(error->text[0] != '\0');
    ((struct world *)argument)->unreadable++;
}

static void world_open(struct world *world)
{
    static const struct heads_handler handler = {
        .loaded = on_loaded, .trouble = on_trouble, .unreadable = on_unreadable};
    *world = (struct world){.loop = loop_new_simulated(1, START_WALL_MS)};
    world->cluster = bus_memory_new(world->loop, 3);
    world->bus = bus_memory_open(world->cluster);
    world->heads = heads_new(world->loop, world->bus, &handler, world);
}

static void world_close(struct world *world)
{
    heads_free(world->heads);
    bus_memory_close(world->bus);
    bus_memory_free(world->cluster);
    loop_free(world->loop);
}

static void append(struct world *world, const char *key, const char *value)
{
    const struct bus_message message = {.topic = TOPIC_GIT_PUSHES,
                                        .partition = BUS_PARTITION_BY_KEY,
                                        .key = key,
                                        .key_bytes = strlen(key),
                                        .value = value,
                                        .value_bytes = value != NULL ? strlen(value) : 0};
    (void)bus_memory_append(world->cluster, &message);
}

static void append_push(struct world *world, const char *repository, const char *old_id,
                        const char *new_id, int64_t move)
{
    const struct git_push push = {.repository = repository,
                                  .ref = "refs/heads/main",
                                  .old_id = old_id,
                                  .new_id = new_id,
                                  .move = move};
    char key[SUBJECT_KEY_BYTES];
    assert_int_equal(git_push_key(repository, push.ref, key), 0);
    CLEANUP(mem_free) char *value = git_push_write(&push, NULL);
    append(world, key, value);
}

static void watch(struct world *world, const char *url)
{
    heads_watch(world->heads, &url, 1);
    loop_advance(world->loop, 60000);
}

static void test_fold(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    append_push(&world, URL, NULL, ID_A, 1);
    append_push(&world, URL, ID_A, ID_B, 2);
    append_push(&world, "https://h/other", NULL, ID_A, 1);
    assert_false(heads_loaded(world.heads));
    watch(&world, URL);
    assert_true(heads_loaded(world.heads));
    assert_int_equal(world.loaded, 1);
    assert_null(heads_find(world.heads, "https://h/other", "refs/heads/main"));
    assert_null(heads_find(world.heads, URL, "refs/heads/none"));
    const struct known_head *head = heads_find(world.heads, URL, "refs/heads/main");
    assert_string_equal(head->id, ID_B);
    assert_int_equal(head->move, 2);
    /* It goes on being read; a deleted head keeps its number. */
    append_push(&world, URL, ID_B, NULL, 3);
    loop_advance(world.loop, 60000);
    head = heads_find(world.heads, URL, "refs/heads/main");
    assert_string_equal(head->id, "");
    assert_int_equal(head->move, 3);
    /* Another repository: everything is read again. */
    watch(&world, "https://h/other");
    assert_int_equal(world.loaded, 2);
    assert_non_null(heads_find(world.heads, "https://h/other", "refs/heads/main"));
    assert_null(heads_find(world.heads, URL, "refs/heads/main"));
    world_close(&world);
}

/* What comes later in the partition counts, in whatever order it is learnt. */
static void test_order(void **state)
{
    (void)state;
    struct world world;
    struct git_push push = {
        .repository = URL, .ref = "refs/heads/main", .old_id = ID_A, .new_id = ID_B, .move = 9};
    world_open(&world);
    watch(&world, URL);
    heads_take(world.heads, &push, 5);
    push.new_id = ID_A;
    push.move = 8;
    heads_take(world.heads, &push, 4);
    heads_take(world.heads, &push, 5);
    assert_string_equal(heads_find(world.heads, URL, push.ref)->id, ID_B);
    assert_int_equal(heads_find(world.heads, URL, push.ref)->move, 9);
    heads_take(world.heads, &push, 6);
    assert_string_equal(heads_find(world.heads, URL, push.ref)->id, ID_A);
    world_close(&world);
}

static void test_unreadable(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    append(&world, URL "|refs/heads/main", "{}");
    append(&world, URL "|refs/heads/main", "");
    append(&world, URL "|refs/heads/main", NULL); /* a tombstone says nothing */
    append(&world, "nonsense", "{}");             /* nobody's */
    append_push(&world, URL, NULL, "no object", 1);
    const struct git_push other = {
        .repository = "https://h/b", .ref = "refs/heads/main", .new_id = ID_A, .move = 1};
    CLEANUP(mem_free) char *value = git_push_write(&other, NULL);
    append(&world, URL "|refs/heads/main", value); /* about another than its key */
    watch(&world, URL);
    assert_true(heads_loaded(world.heads));
    assert_int_equal(world.unreadable, 4);
    assert_null(heads_find(world.heads, URL, "refs/heads/main"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
