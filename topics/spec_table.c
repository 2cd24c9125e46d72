/*
 * The documents that are in force: see spec_table.h.
 */
#include "topics/spec_table.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "topics/spec_folder.h"
#include "topics/spec_set.h"

/* How soon the cluster is asked again for the topic's partitions. */
#define TABLE_METADATA_AGAIN_MS 200

/* Guards against a struct of another type. */
#define TABLE_MAGIC 0x7370746bu

struct spec_table {
    unsigned magic;                    /* TABLE_MAGIC */
    struct loop *loop;                 /* borrowed */
    struct bus *bus;                   /* borrowed; NULL for a folder */
    char *folder;                      /* owned; NULL for the topic */
    struct spec_table_handler handler; /* whom it tells */
    void *argument;                    /* of handler */
    struct spec_store *records;        /* owned */
    bool is_ready;                     /* was told */
    struct bus_reader *reader;         /* owned; topic */
    struct loop_timer *timer;          /* owned; topic: asks for the partitions */
    int32_t behind;                    /* topic: partitions not yet at their first end */
    struct file_watch *watch;          /* owned; folder */
};

static void table_become_ready(void *argument)
{
    struct spec_table *table = CAST_CHECKED(struct spec_table, argument, TABLE_MAGIC);
    table->is_ready = true;
    table->handler.ready(table->argument);
}

/* --- the topic --- */

static void table_record(void *argument, const struct bus_record *record)
{
    struct spec_table *table = CAST_CHECKED(struct spec_table, argument, TABLE_MAGIC);
    char key[SUBJECT_KEY_BYTES];
    if (spec_store_apply(table->records, record, key) && table->is_ready)
        table->handler.changed(table->argument, key);
}

static void table_caught_up(void *argument, int32_t partition)
{
    (void)partition;
    struct spec_table *table = CAST_CHECKED(struct spec_table, argument, TABLE_MAGIC);
    assert(table->behind > 0);
    if (--table->behind == 0 && !table->is_ready)
        table_become_ready(table);
}

static void table_read_partitions(void *argument)
{
    struct spec_table *table = CAST_CHECKED(struct spec_table, argument, TABLE_MAGIC);
    int32_t count = 0;
    if (bus_partition_count(table->bus, TOPIC_SPECS, &count) != 0 || count == 0) {
        loop_timer_set(table->timer, TABLE_METADATA_AGAIN_MS);
        return;
    }
    table->behind = count;
    for (int32_t number = 0; number < count; number++)
        bus_reader_add(table->reader, number);
}

static int table_open_topic(struct spec_table *table, struct error *error)
{
    static const struct bus_reader_handler handler = {.record = table_record,
                                                      .caught_up = table_caught_up};
    int code = bus_read(table->bus, TOPIC_SPECS, &handler, table, &table->reader, error);
    if (code != 0)
        return code;
    table->timer = loop_timer_new(table->loop, table_read_partitions, table);
    table_read_partitions(table);
    return 0;
}

/* --- the folder --- */

/* Takes the plan into the records, as if it had come by the topic. */
static void table_take(struct spec_table *table, struct spec_plan *plan)
{
    for (size_t i = 0; i < plan->change_count; i++) {
        struct spec_change *change = &plan->changes[i];
        spec_store_put(table->records, change->key, TAKE(change->record));
    }
    for (size_t i = 0; i < plan->change_count && table->is_ready; i++)
        table->handler.changed(table->argument, plan->changes[i].key);
}

static void table_folder_changed(void *argument)
{
    struct spec_table *table = CAST_CHECKED(struct spec_table, argument, TABLE_MAGIC);
    struct error error = {0};
    if (spec_table_reload(table, &error) != 0)
        table->handler.failed(table->argument, &error);
}

/*
 * Watches what the folder holds, and then reads it: what changes while it is read is seen by the
 * watch. So the folder is read twice; its files are small and few.
 */
static int table_read_folder(struct spec_table *table, struct spec_folder **ret_folder,
                             struct error *error)
{
    CLEANUP(spec_folder_free) struct spec_folder *seen = NULL;
    int code = spec_folder_read(table->folder, &seen, error);
    if (code != 0)
        return code;
    file_watch_clear(table->watch);
    for (size_t i = 0; i < seen->watched_count; i++)
        file_watch_add(table->watch, seen->watched[i]);
    return spec_folder_read(table->folder, ret_folder, error);
}

int spec_table_reload(struct spec_table *table, struct error *error)
{
    CLEANUP(spec_folder_free) struct spec_folder *folder = NULL;
    if (table->folder == NULL)
        return 0;
    int code = table_read_folder(table, &folder, error);
    if (code != 0)
        return code;
    const struct spec_source source = {
        .repository = folder->path,
        .is_known = true,
        .strictness = SPEC_FROM_FOLDER,
        .files = folder->files,
        .file_count = folder->file_count,
    };
    CLEANUP(spec_plan_free)
    struct spec_plan *plan = spec_plan_make(&source, 1, table->records, loop_wall_ms(table->loop));
    table_take(table, plan);
    return 0;
}

static int table_open_folder(struct spec_table *table, struct error *error)
{
    table->watch = file_watch_new(table->loop, table_folder_changed, table);
    int code = spec_table_reload(table, error);
    if (code == 0)
        loop_defer(table->loop, table_become_ready, table);
    return code;
}

/* --- both --- */

int spec_table_new(struct loop *loop, struct bus *bus, const struct spec_table_settings *settings,
                   const struct spec_table_handler *handler, void *argument,
                   struct spec_table **ret_table, struct error *error)
{
    CLEANUP(spec_table_free) struct spec_table *table = MEM_NEW(struct spec_table);
    table->magic = TABLE_MAGIC;
    table->loop = loop;
    table->bus = bus;
    table->folder = mem_copy_text(settings->folder);
    table->handler = *handler;
    table->argument = argument;
    table->records = spec_store_new();
    int code =
        table->folder != NULL ? table_open_folder(table, error) : table_open_topic(table, error);
    if (code == 0)
        *ret_table = TAKE(table);
    return code;
}

void spec_table_free(struct spec_table *table)
{
    if (table == NULL)
        return;
    loop_cancel_deferred(table->loop, table);
    bus_reader_free(table->reader);
    loop_timer_free(table->timer);
    file_watch_free(table->watch);
    spec_store_free(table->records);
    mem_free(table->folder);
    table->magic = 0;
    mem_free(table);
}

const struct spec_store *spec_table_records(const struct spec_table *table)
{
    return table->records;
}

bool spec_table_is_ready(const struct spec_table *table)
{
    return table->is_ready;
}
