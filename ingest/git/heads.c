/*
 * The published heads: see heads.h.
 *
 * Design: a hash of repositories, each with a hash of its refs. A record is parsed only if its key
 * is about a repository that is watched.
 */
#include "ingest/git/heads.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* uthash allocates as everything does: it aborts instead of calling exit(). */
#define uthash_malloc(bytes) mem_alloc(bytes)
#include <uthash.h>

/* What the fold passed through `void *` starts with. */
#define HEADS_MAGIC 0x4ead5u

/* One head in the table of its repository. */
struct head_entry {
    struct known_head head;
    char *ref;      /* owned: the key */
    int64_t offset; /* of the record it is from: a key has one partition */
    UT_hash_handle hh;
};

/* The heads of one repository. */
struct head_table {
    char *repository; /* owned: the key */
    bool is_wanted;   /* during heads_watch */
    struct head_entry *entries;
    UT_hash_handle hh;
};

struct heads {
    unsigned magic;
    struct loop *loop; /* borrowed */
    struct bus *bus;   /* borrowed */
    struct heads_handler handler;
    void *argument;
    struct loop_timer *timer;  /* owned: asks for the number of partitions */
    struct bus_reader *reader; /* owned; NULL: not reading yet */
    size_t behind_count;       /* partitions that are not at their end */
    bool is_loaded;
    struct head_table *tables;
};

/* ---- the table ---- */

static void table_free(struct heads *heads, struct head_table *table)
{
    struct head_entry *entry = NULL;
    struct head_entry *next = NULL;
    HASH_ITER(hh, table->entries, entry, next)
    {
        HASH_DEL(table->entries, entry);
        free(entry->ref);
        free(entry);
    }
    HASH_DEL(heads->tables, table);
    free(table->repository);
    free(table);
}

static struct head_table *find_table(const struct heads *heads, const char *repository)
{
    struct head_table *table = NULL;
    HASH_FIND_STR(heads->tables, repository, table);
    return table;
}

const struct known_head *heads_find(const struct heads *heads, const char *repository,
                                    const char *ref)
{
    const struct head_table *table = find_table(heads, repository);
    struct head_entry *entry = NULL;
    if (table != NULL)
        HASH_FIND_STR(table->entries, ref, entry);
    return entry != NULL ? &entry->head : NULL;
}

void heads_visit(const struct heads *heads, const char *repository,
                 void (*visit)(void *argument, const struct known_head *head), void *argument)
{
    const struct head_table *table = find_table(heads, repository);
    for (struct head_entry *entry = table != NULL ? table->entries : NULL; entry != NULL;
         entry = entry->hh.next)
        visit(argument, &entry->head);
}

static struct head_entry *make_entry(struct head_table *table, const char *ref)
{
    struct head_entry *entry = NULL;
    HASH_FIND_STR(table->entries, ref, entry);
    if (entry != NULL)
        return entry;
    entry = MEM_NEW(struct head_entry);
    entry->ref = mem_copy_text(ref);
    entry->head.ref = entry->ref;
    entry->offset = -1;
    HASH_ADD_KEYPTR(hh, table->entries, entry->ref, strlen(entry->ref), entry);
    return entry;
}

void heads_take(struct heads *heads, const struct git_push *push, int64_t offset)
{
    struct head_table *table = find_table(heads, push->repository);
    if (table == NULL)
        return;
    struct head_entry *entry = make_entry(table, push->ref);
    if (offset <= entry->offset)
        return;
    entry->offset = offset;
    entry->head.move = push->move;
    (void)snprintf(entry->head.id, sizeof(entry->head.id), "%s",
                   push->new_id != NULL ? push->new_id : "");
}

/* ---- reading ---- */

/* Looks at the key first: most records may be of repositories that nobody watches here. */
static bool is_wanted(const struct heads *heads, const struct bus_record *record)
{
    struct text repository;
    struct text ref;
    struct head_table *table = NULL;
    if (record->key == NULL || record->value == NULL ||
        git_push_key_parse(record->key, record->key_bytes, &repository, &ref) != 0)
        return false;
    HASH_FIND(hh, heads->tables, repository.data, repository.bytes, table);
    return table != NULL;
}

/* A value must be about its key, or one record could move another's head. */
static int read_value(const struct bus_record *record, struct git_push *push, struct error *error)
{
    char key[SUBJECT_KEY_BYTES];
    int code = git_push_read(record->value, record->value_bytes, push, error);
    if (code != 0)
        return code;
    if (git_push_key(push->repository, push->ref, key) != 0 || strlen(key) != record->key_bytes ||
        memcmp(key, record->key, record->key_bytes) != 0)
        return error_set(error, ERR_INPUT, "the value is about another head than its key");
    if (push->new_id != NULL && !git_id_is_valid(push->new_id, strlen(push->new_id)))
        return error_set(error, ERR_INPUT, "the member new is no object's name");
    return 0;
}

static void on_record(void *argument, const struct bus_record *record)
{
    struct heads *heads = CAST_CHECKED(struct heads, argument, HEADS_MAGIC);
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    struct error error = {.code = 0};
    if (!is_wanted(heads, record))
        return;
    if (read_value(record, &push, &error) == 0)
        heads_take(heads, &push, record->offset);
    else
        heads->handler.unreadable(heads->argument, record, &error);
}

static void on_caught_up(void *argument, int32_t partition)
{
    (void)partition;
    struct heads *heads = CAST_CHECKED(struct heads, argument, HEADS_MAGIC);
    assert(heads->behind_count > 0);
    if (--heads->behind_count > 0)
        return;
    heads->is_loaded = true;
    heads->handler.trouble(heads->argument, NULL);
    heads->handler.loaded(heads->argument);
}

static const struct bus_reader_handler reader_handler = {.record = on_record,
                                                         .caught_up = on_caught_up};

static int begin_reading(struct heads *heads, struct error *error)
{
    int32_t count = 0;
    int code = bus_partition_count(heads->bus, TOPIC_GIT_PUSHES, &count);
    if (code == ERR_NOT_FOUND)
        return error_set(error, code, "the topic %s is not there; `nodag topics create` makes it",
                         topic_name(TOPIC_GIT_PUSHES));
    if (code != 0)
        return error_set(error, code, "the topic %s is not known yet",
                         topic_name(TOPIC_GIT_PUSHES));
    code = bus_read(heads->bus, TOPIC_GIT_PUSHES, &reader_handler, heads, &heads->reader, error);
    if (code != 0)
        return code;
    heads->behind_count = (size_t)count;
    for (int32_t i = 0; i < count; i++)
        bus_reader_add(heads->reader, i);
    return 0;
}

static void on_timer(void *argument)
{
    struct heads *heads = CAST_CHECKED(struct heads, argument, HEADS_MAGIC);
    struct error error = {.text = ""};
    if (begin_reading(heads, &error) == 0) {
        heads->handler.trouble(heads->argument, "reading what was published");
        return;
    }
    heads->handler.trouble(heads->argument, error.text);
    loop_timer_set(heads->timer, HEADS_RETRY_MS);
}

/* Reads everything, maybe again. */
static void read_all(struct heads *heads)
{
    bus_reader_free(TAKE(heads->reader));
    heads->is_loaded = false;
    loop_timer_set(heads->timer, 0);
}

/* ---- making ---- */

struct heads *heads_new(struct loop *loop, struct bus *bus, const struct heads_handler *handler,
                        void *argument)
{
    struct heads *heads = MEM_NEW(struct heads);
    heads->magic = HEADS_MAGIC;
    heads->loop = loop;
    heads->bus = bus;
    heads->handler = *handler;
    heads->argument = argument;
    heads->timer = loop_timer_new(loop, on_timer, heads);
    return heads;
}

void heads_free(struct heads *heads)
{
    if (heads == NULL)
        return;
    while (heads->tables != NULL)
        table_free(heads, heads->tables);
    bus_reader_free(heads->reader);
    loop_timer_free(heads->timer);
    heads->magic = 0;
    free(heads);
}

void heads_watch(struct heads *heads, const char *const *repositories, size_t count)
{
    bool has_new = heads->reader == NULL;
    for (size_t i = 0; i < count; i++) {
        struct head_table *table = find_table(heads, repositories[i]);
        if (table == NULL) {
            table = MEM_NEW(struct head_table);
            table->repository = mem_copy_text(repositories[i]);
            HASH_ADD_KEYPTR(hh, heads->tables, table->repository, strlen(table->repository), table);
            has_new = true;
        }
        table->is_wanted = true;
    }
    struct head_table *table = NULL;
    struct head_table *next = NULL;
    HASH_ITER(hh, heads->tables, table, next)
    {
        if (!table->is_wanted)
            table_free(heads, table);
        else
            table->is_wanted = false;
    }
    if (has_new)
        read_all(heads);
}

void heads_leave(struct heads *heads)
{
    loop_timer_clear(heads->timer);
    bus_reader_free(TAKE(heads->reader));
    heads->is_loaded = false;
}

bool heads_loaded(const struct heads *heads)
{
    return heads->is_loaded;
}
