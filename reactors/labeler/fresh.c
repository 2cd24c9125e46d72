/*
 * Issues that were just opened: see fresh.h.
 */
#include "reactors/labeler/fresh.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "base/memory.h"
#include "topics/subject.h"

/* Guard against structs of other types. */
#define FRESH_MAGIC 0x66726573u
#define FRESH_WAITER_MAGIC 0x66726577u

/* One issue. */
struct entry {
    char *key;                   /* owned */
    int32_t partition;           /* of both topics */
    bool is_opened;              /* this process saw that, and may act on it */
    bool was_asked;              /* a job had the record, or waited for it in vain */
    int64_t newest_offset;       /* of its events on github.events that were seen; -1: none */
    char *value;                 /* owned; its newest record; NULL: none, or a tombstone */
    size_t value_bytes;          /* of it */
    struct fresh_waiter *waiter; /* borrowed; NULL: nobody */
    UT_hash_handle hh;           /* by key, oldest first */
};

/* What is known of a partition. */
struct partition {
    bool is_read;     /* the reader has it */
    int64_t since_ms; /* wall clock at which it was taken over */
};

struct fresh {
    unsigned magic;                                    /* FRESH_MAGIC */
    struct loop *loop;                                 /* borrowed */
    struct fresh_settings settings;                    /* copied */
    struct bus_reader *reader;                         /* owned */
    struct partition partitions[TOPIC_PARTITIONS_MAX]; /* by number */
    struct entry *entries;                             /* hash, oldest first */
    size_t bytes;                                      /* of records */
    unsigned missed; /* waits in a row that ended without any record of the topic */
};

struct fresh_waiter {
    unsigned magic;           /* FRESH_WAITER_MAGIC */
    struct fresh *fresh;      /* borrowed */
    struct entry *entry;      /* borrowed; NULL: nothing is known of the key */
    char *repository;         /* owned */
    int64_t offset;           /* that the job covers */
    struct loop_timer *timer; /* owned; answers */
    fresh_fn done;            /* whom to tell */
    void *argument;           /* with what */
};

/* ---- judging ---- */

/* True if a text is there and has no NUL, which other texts of an issue cannot have. */
static bool is_plain(const struct issue_text *text)
{
    return text->data != NULL && memchr(text->data, '\0', text->bytes) == NULL;
}

enum fresh_verdict fresh_judge(const struct issue_record *record, const char *repository,
                               int64_t offset, int64_t now_ms)
{
    int64_t age_ms = now_ms - record->created_ms;
    if (!issue_record_is_live(record) || strcmp(record->state, "open") != 0 ||
        record->erased_ms != 0 || strcasecmp(record->repository, repository) != 0 ||
        record->as_of.id_count > 1 || record->created_ms < 0 || age_ms > FRESH_AGE_MS ||
        age_ms < -FRESH_SKEW_MS || !is_plain(&record->title) ||
        (record->body.data != NULL && !is_plain(&record->body)))
        return FRESH_NEVER;
    for (size_t i = 0; i < record->label_count; i++) {
        const struct issue_label *label = &record->labels[i];
        if (label->removed.stamp.time_ms >= 0 || label->added.by == ISSUE_THIS_BOT ||
            !issue_label_is_present(record, label))
            return FRESH_NEVER;
    }
    return record->as_of.offset >= offset ? FRESH_USABLE : FRESH_BEHIND;
}

/* ---- entries ---- */

static struct entry *find_entry(const struct fresh *fresh, const char *key)
{
    struct entry *entry = NULL;
    HASH_FIND_STR(fresh->entries, key, entry);
    return entry;
}

static void set_value(struct fresh *fresh, struct entry *entry, const char *value,
                      size_t value_bytes)
{
    fresh->bytes -= entry->value_bytes;
    mem_free(entry->value);
    entry->value = value != NULL ? mem_copy_bytes(value, value_bytes) : NULL;
    entry->value_bytes = value != NULL ? value_bytes : 0;
    fresh->bytes += entry->value_bytes;
}

static void drop_entry(struct fresh *fresh, struct entry *entry)
{
    if (entry->waiter != NULL)
        entry->waiter->entry = NULL; /* its timer answers */
    set_value(fresh, entry, NULL, 0);
    HASH_DEL(fresh->entries, entry);
    mem_free(entry->key);
    mem_free(entry);
}

/* Finds an issue's entry or makes it. */
static struct entry *open_entry(struct fresh *fresh, const char *key, int32_t partition)
{
    struct entry *entry = find_entry(fresh, key);
    if (entry != NULL)
        return entry;
    if (HASH_COUNT(fresh->entries) >= FRESH_COUNT_MAX)
        drop_entry(fresh, fresh->entries);
    entry = MEM_NEW(struct entry);
    *entry = (struct entry){.key = mem_copy_text(key), .partition = partition, .newest_offset = -1};
    HASH_ADD_KEYPTR(hh, fresh->entries, entry->key, strlen(entry->key), entry);
    return entry;
}

/* Writes the key of a record about an issue; false: it is about none. */
static bool read_key(const struct bus_record *record, char ret_key[SUBJECT_KEY_BYTES])
{
    int64_t repository_id = 0;
    int64_t number = 0;
    if (record->key == NULL ||
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number) != 0)
        return false;
    subject_key_issue(repository_id, number, ret_key);
    return true;
}

/* ---- the topics ---- */

void fresh_note(struct fresh *fresh, const struct bus_record *record, const struct event *event)
{
    char key[SUBJECT_KEY_BYTES];
    struct partition *partition = &fresh->partitions[record->partition];
    if (!partition->is_read) {
        partition->is_read = true;
        partition->since_ms = loop_wall_ms(fresh->loop);
        bus_reader_add_end(fresh->reader, record->partition);
    }
    if (!read_key(record, key))
        return;
    bool is_opened = text_equals(event->type, "com.github.issue.opened") &&
                     record->timestamp_ms >= partition->since_ms + fresh->settings.settle_ms;
    struct entry *entry =
        is_opened ? open_entry(fresh, key, record->partition) : find_entry(fresh, key);
    if (entry == NULL)
        return;
    entry->is_opened = entry->is_opened || is_opened;
    if (record->offset > entry->newest_offset)
        entry->newest_offset = record->offset;
}

/* What the entry's record is worth now for its waiter; the record itself, owned, where it is usable. */
static enum fresh_verdict judge_entry(const struct fresh_waiter *waiter,
                                      struct issue_record **ret_record)
{
    const struct entry *entry = waiter->entry;
    CLEANUP(issue_record_free) struct issue_record *record = NULL;
    if (entry == NULL || !entry->is_opened)
        return FRESH_NEVER;
    if (entry->value == NULL)
        return FRESH_BEHIND;
    if (issue_record_decode(entry->key, strlen(entry->key), entry->value, entry->value_bytes,
                            &record, NULL) != 0)
        return FRESH_NEVER;
    int64_t offset = entry->newest_offset > waiter->offset ? entry->newest_offset : waiter->offset;
    enum fresh_verdict verdict =
        fresh_judge(record, waiter->repository, offset, loop_wall_ms(waiter->fresh->loop));
    if (verdict == FRESH_USABLE && ret_record != NULL)
        *ret_record = TAKE(record);
    return verdict;
}

static void on_issue(void *argument, const struct bus_record *record)
{
    struct fresh *fresh = CAST_CHECKED(struct fresh, argument, FRESH_MAGIC);
    char key[SUBJECT_KEY_BYTES];
    if (!read_key(record, key))
        return;
    fresh->missed = 0;
    struct entry *entry = open_entry(fresh, key, record->partition);
    set_value(fresh, entry, record->value, record->value_bytes);
    if (entry->waiter != NULL && judge_entry(entry->waiter, NULL) != FRESH_BEHIND)
        loop_timer_set(entry->waiter->timer, 0);
    while (fresh->bytes > FRESH_BYTES_MAX)
        drop_entry(fresh, fresh->entries);
}

static void on_caught_up(void *argument, int32_t partition)
{
    (void)argument;
    (void)partition;
}

void fresh_forget(struct fresh *fresh, int32_t partition)
{
    struct entry *entry = NULL;
    struct entry *rest = NULL;
    HASH_ITER(hh, fresh->entries, entry, rest)
    {
        if (entry->partition == partition)
            drop_entry(fresh, entry);
    }
    if (fresh->partitions[partition].is_read)
        bus_reader_remove(fresh->reader, partition);
    fresh->partitions[partition].is_read = false;
}

/* ---- asking ---- */

static void waiter_free(struct fresh_waiter *waiter)
{
    if (waiter->entry != NULL)
        waiter->entry->waiter = NULL;
    loop_timer_free(waiter->timer);
    mem_free(waiter->repository);
    waiter->magic = 0;
    mem_free(waiter);
}

static void on_answer(void *argument)
{
    struct fresh_waiter *waiter = CAST_CHECKED(struct fresh_waiter, argument, FRESH_WAITER_MAGIC);
    CLEANUP(issue_record_free) struct issue_record *record = NULL;
    fresh_fn done = waiter->done;
    void *done_argument = waiter->argument;
    struct entry *entry = waiter->entry;
    struct fresh *fresh = waiter->fresh;
    if (judge_entry(waiter, &record) == FRESH_BEHIND)
        fresh->missed++;
    waiter_free(waiter);
    if (entry != NULL) { /* given out once: the next look is one at the forge */
        set_value(fresh, entry, NULL, 0);
        entry->is_opened = false;
        entry->was_asked = true;
    }
    done(done_argument, record);
}

struct fresh_waiter *fresh_ask(struct fresh *fresh, const char *key, const char *repository,
                               int64_t offset, fresh_fn done, void *argument)
{
    struct fresh_waiter *waiter = MEM_NEW(struct fresh_waiter);
    *waiter = (struct fresh_waiter){.magic = FRESH_WAITER_MAGIC,
                                    .fresh = fresh,
                                    .entry = find_entry(fresh, key),
                                    .repository = mem_copy_text(repository),
                                    .offset = offset,
                                    .done = done,
                                    .argument = argument};
    if (waiter->entry != NULL) {
        assert(waiter->entry->waiter == NULL); /* a key runs once at a time */
        waiter->entry->waiter = waiter;
    }
    waiter->timer = loop_timer_new(fresh->loop, on_answer, waiter);
    bool waits = judge_entry(waiter, NULL) == FRESH_BEHIND && fresh->missed < FRESH_MISSED_MAX;
    loop_timer_set(waiter->timer, waits ? FRESH_WAIT_MS : 0);
    return waiter;
}

bool fresh_was_asked(const struct fresh *fresh, const char *key)
{
    const struct entry *entry = find_entry(fresh, key);
    return entry != NULL && entry->was_asked;
}

void fresh_cancel(struct fresh_waiter *waiter)
{
    waiter_free(waiter);
}

/* ---- the whole ---- */

int fresh_new(struct loop *loop, struct bus *bus, const struct fresh_settings *settings,
              struct fresh **ret_fresh, struct error *error)
{
    static const struct bus_reader_handler handler = {.record = on_issue,
                                                      .caught_up = on_caught_up};
    CLEANUP(fresh_free) struct fresh *fresh = MEM_NEW(struct fresh);
    fresh->magic = FRESH_MAGIC;
    fresh->loop = loop;
    fresh->settings = *settings;
    int code = bus_read(bus, TOPIC_ISSUES, &handler, fresh, &fresh->reader, error);
    if (code == 0)
        *ret_fresh = TAKE(fresh);
    return code;
}

void fresh_free(struct fresh *fresh)
{
    if (fresh == NULL)
        return;
    struct entry *entry = NULL;
    struct entry *rest = NULL;
    bus_reader_free(fresh->reader);
    HASH_ITER(hh, fresh->entries, entry, rest)
    {
        assert(entry->waiter == NULL);
        drop_entry(fresh, entry);
    }
    fresh->magic = 0;
    mem_free(fresh);
}
