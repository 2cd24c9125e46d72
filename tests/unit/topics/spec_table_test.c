/*
 * The documents that are in force, by both ways: the topic in a simulated cluster, and a folder on a
 * loop whose clock is the test's. What changes is told once, and `ready` before anything else.
 */
#include "topics/spec_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "topics/bus_memory.h"

#define LABELER(name, more)                                                                        \
    "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: " name "}\nspec:\n"                 \
    "  repositories: [o/r]\n  labels: {include: [x]}\n  models: [{file: m}]\n" more

#define SINCE "  since: 2026-11-01\n"

/* Longest path of a test's file. */
#define PATH_BYTES 256

/* What was told. */
struct told {
    int ready;      /* how often */
    int changed;    /* how often */
    int failed;     /* how often */
    char last[128]; /* the last key */
};

static void on_ready(void *argument)
{
    struct told *told = argument;
    assert_int_equal(told->changed, 0);
    told->ready++;
}

static void on_changed(void *argument, const char *key)
{
    struct told *told = argument;
    assert_int_equal(told->ready, 1);
    told->changed++;
    (void)snprintf(told->last, sizeof(told->last), "%s", key);
}

static void on_failed(void *argument, const struct error *error)
{
    struct told *told = argument;
    assert_true(error->text[0] != '\0');
    told->failed++;
}

static const struct spec_table_handler handler = {
    .ready = on_ready, .changed = on_changed, .failed = on_failed};

/* --- the topic --- */

static void publish(struct bus_memory *cluster, const char *key, const char *value)
{
    const struct bus_message message = {.topic = TOPIC_SPECS,
                                        .partition = BUS_PARTITION_BY_KEY,
                                        .key = key,
                                        .key_bytes = strlen(key),
                                        .value = value,
                                        .value_bytes = value != NULL ? strlen(value) : 0};
    (void)bus_memory_append(cluster, &message);
}

static void test_topic(void **state)
{
    (void)state;
    static const char invalid[] =
        "{\"invalid\":{\"repository\":\"r\",\"path\":\"p\",\"reason\":\"x\"}}";
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 1000);
    struct bus_memory *cluster = bus_memory_new(loop, 3);
    publish(cluster, "Labeler/a", invalid);
    publish(cluster, "Labeler/b", invalid);
    publish(cluster, "Labeler/a", NULL);
    struct bus *bus = bus_memory_open(cluster);
    const struct spec_table_settings settings = {.folder = NULL};
    struct told told = {0};
    struct spec_table *table = NULL;
    assert_int_equal(spec_table_new(loop, bus, &settings, &handler, &told, &table, NULL), 0);
    assert_int_equal(told.ready, 0); /* never from within */
    loop_advance(loop, 10000);
    assert_int_equal(told.ready, 1);
    assert_int_equal(told.changed, 0);
    assert_true(spec_table_is_ready(table));
    assert_int_equal(spec_store_count(spec_table_records(table)), 1);
    publish(cluster, "Labeler/c", invalid);
    publish(cluster, "Labeler/b", NULL);
    loop_advance(loop, 10000);
    assert_int_equal(told.changed, 2);
    assert_string_equal(told.last, "Labeler/b");
    assert_non_null(spec_store_find(spec_table_records(table), "Labeler/c"));
    assert_int_equal(spec_table_reload(table, NULL), 0);
    spec_table_free(table);
    bus_memory_close(bus);
    bus_memory_free(cluster);
}

/* --- the folder --- */

static char folder[] = "/tmp/nodag-specs-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(file_write_atomically(path, text, strlen(text), NULL), 0);
}

static void drop(const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

/* Lets the watch look. */
static void look(struct loop *loop)
{
    loop_advance(loop, FILE_WATCH_INTERVAL_MS + 1);
}

static const struct spec_record *find(const struct spec_table *table, const char *key)
{
    return spec_store_find(spec_table_records(table), key);
}

static void test_folder(void **state)
{
    (void)state;
    char deeper[PATH_BYTES];
    (void)snprintf(deeper, sizeof(deeper), "%s/deeper", folder);
    assert_int_equal(mkdir(deeper, 0700), 0);
    put("a.yaml", LABELER("a", SINCE));
    put("notes.txt", LABELER("notes", SINCE));
    put(".hidden.yaml", LABELER("hidden", SINCE));
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 1000);
    const struct spec_table_settings settings = {.folder = folder};
    struct told told = {0};
    struct spec_table *table = NULL;
    assert_int_equal(spec_table_new(loop, NULL, &settings, &handler, &told, &table, NULL), 0);
    assert_int_equal(told.ready, 0);
    look(loop);
    assert_int_equal(told.ready, 1);
    assert_int_equal(spec_store_count(spec_table_records(table)), 1);

    put("deeper/b.yml", LABELER("b", SINCE)); /* a new file in a folder below */
    look(loop);
    assert_string_equal(told.last, "Labeler/b");
    put("a.yaml", LABELER("a", "")); /* no longer valid: the last valid one stays */
    look(loop);
    assert_string_equal(told.last, "Labeler/a");
    assert_non_null(find(table, "Labeler/a")->valid);
    assert_non_null(strstr(find(table, "Labeler/a")->reason, "`since` is required"));
    put("a.yaml", LABELER("a", SINCE "  comment: edit\n"));
    look(loop);
    assert_null(find(table, "Labeler/a")->reason);
    int changed = told.changed;
    look(loop);
    assert_int_equal(told.changed, changed); /* nothing happened, nothing is told */
    drop("deeper/b.yml");
    look(loop);
    assert_string_equal(told.last, "Labeler/b");
    assert_null(find(table, "Labeler/b"));

    /* A folder that cannot be read takes nothing away. */
    char away[PATH_BYTES];
    (void)snprintf(away, sizeof(away), "%s.away", folder);
    assert_int_equal(rename(folder, away), 0);
    assert_int_equal(spec_table_reload(table, NULL), ERR_NOT_FOUND);
    assert_non_null(find(table, "Labeler/a"));
    assert_int_equal(rename(away, folder), 0);
    assert_int_equal(spec_table_reload(table, NULL), 0);
    assert_int_equal(told.failed, 0);
    spec_table_free(table);
    drop("a.yaml");
    drop("notes.txt");
    drop(".hidden.yaml");
    assert_int_equal(rmdir(deeper), 0);
}

static void test_one_file(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/one", folder);
    put("one", LABELER("a", SINCE));
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 1000);
    const struct spec_table_settings settings = {.folder = path};
    struct told told = {0};
    struct spec_table *table = NULL;
    assert_int_equal(spec_table_new(loop, NULL, &settings, &handler, &told, &table, NULL), 0);
    look(loop);
    put("one", LABELER("b", SINCE));
    look(loop);
    assert_int_equal(told.changed, 2); /* one gone, one new */
    assert_null(find(table, "Labeler/a"));
    assert_non_null(find(table, "Labeler/b"));
    spec_table_free(table);
    drop("one");
}

static void test_no_folder(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 1000);
    const struct spec_table_settings settings = {.folder = "/nowhere/at/all"};
    struct told told = {0};
    struct spec_table *table = NULL;
    struct error error = {0};
    assert_int_equal(spec_table_new(loop, NULL, &settings, &handler, &told, &table, &error),
                     ERR_NOT_FOUND);
    assert_string_equal(error.text, "cannot read /nowhere/at/all: No such file or directory");
    assert_null(table);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_one_file),
        cmocka_unit_test(test_no_folder),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
