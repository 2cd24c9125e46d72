/*
 * The record of `issues`, in memory: see issue_record.h. issue_record_json.c writes and reads it.
 */
#include "topics/issue_record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"

/* Labels of a record's first allocation. */
#define RECORD_FIRST_LABELS 4

static const char *const actor_names[] = {
#define ISSUE_ACTOR_NAME(id, text) [id] = (text),
    ISSUE_ACTOR_TABLE(ISSUE_ACTOR_NAME)
#undef ISSUE_ACTOR_NAME
};

/* A row of ISSUE_GONE_TABLE. */
static const struct gone_row {
    const char *name; /* of the reason */
    bool is_final;    /* for ever */
} gone_rows[] = {
#define ISSUE_GONE_ROW(id, text, final) [id] = {(text), (final)},
    ISSUE_GONE_TABLE(ISSUE_GONE_ROW)
#undef ISSUE_GONE_ROW
};

/* ---- making and freeing ---- */

static void action_init(struct issue_action *action)
{
    action->stamp.time_ms = -1;
}

struct issue_record *issue_record_new(int64_t repository_id, int64_t number)
{
    assert(repository_id > 0 && number > 0);
    struct issue_record *record = MEM_NEW(struct issue_record);
    record->repository_id = repository_id;
    record->number = number;
    record->as_of.time_ms = -1;
    record->gone_since.time_ms = -1;
    record->created_ms = -1;
    record->updated_ms = -1;
    record->closed_ms = -1;
    return record;
}

void issue_record_drop_texts(struct issue_record *record)
{
    mem_free(record->title.data);
    mem_free(record->body.data);
    record->title = (struct issue_text){.data = NULL};
    record->body = (struct issue_text){.data = NULL};
}

void issue_record_free(struct issue_record *record)
{
    if (record == NULL)
        return;
    issue_record_drop_texts(record);
    for (size_t i = 0; i < record->label_count; i++) {
        mem_free(record->labels[i].name);
        mem_free(record->labels[i].added.login);
        mem_free(record->labels[i].removed.login);
    }
    mem_free(record->labels);
    mem_free(record->repository);
    mem_free(record->state);
    mem_free(record->state_reason);
    mem_free(record->author_login);
    mem_free(record);
}

/* ---- names ---- */

uint64_t issue_hash_id(const char *id, size_t id_bytes)
{
    uint8_t digest[DIGEST_BYTES];
    uint64_t hash = 0;
    digest_sha256(id, id_bytes, digest);
    for (size_t i = 0; i < sizeof(hash); i++)
        hash = hash << 8 | digest[i];
    return hash;
}

const char *issue_actor_name(enum issue_actor actor)
{
    assert((size_t)actor < ARRAY_COUNT(actor_names));
    return actor_names[actor];
}

const char *issue_gone_name(enum issue_gone gone)
{
    assert(gone < ISSUE_GONE_COUNT);
    return gone_rows[gone].name;
}

bool issue_gone_is_final(enum issue_gone gone)
{
    assert(gone < ISSUE_GONE_COUNT);
    return gone_rows[gone].is_final;
}

/* ---- what is true of it ---- */

bool issue_record_is_live(const struct issue_record *record)
{
    if (record->gone == ISSUE_LIVE)
        return true;
    return !issue_gone_is_final(record->gone) && record->as_of.time_ms > record->gone_since.time_ms;
}

bool issue_record_keeps_name(const struct issue_record *record, int64_t time_ms)
{
    return record->erased_ms == 0 && time_ms > record->names_erased_ms;
}

/* Returns true if the first happened after the second. */
static bool stamp_is_after(const struct issue_stamp *first, const struct issue_stamp *second)
{
    return first->time_ms != second->time_ms ? first->time_ms > second->time_ms
                                             : first->offset > second->offset;
}

/*
 * An action of the same time as the list of labels counts more than the list: of two events within a
 * second the one that comes later need not be the later one, but that somebody did something is sure.
 */
bool issue_label_is_present(const struct issue_record *record, const struct issue_label *label)
{
    bool added_last = stamp_is_after(&label->added.stamp, &label->removed.stamp);
    const struct issue_stamp *last = added_last ? &label->added.stamp : &label->removed.stamp;
    if (last->time_ms < 0 || last->time_ms < record->as_of.time_ms)
        return label->listed;
    return added_last;
}

const struct issue_action *issue_label_last(const struct issue_record *record,
                                            const struct issue_label *label)
{
    bool present = issue_label_is_present(record, label);
    const struct issue_action *done = present ? &label->added : &label->removed;
    const struct issue_action *undone = present ? &label->removed : &label->added;
    /* What was undone later, and yet is so, was done again by somebody of whom nobody told. */
    bool known = done->stamp.time_ms >= 0 && done->stamp.time_ms >= undone->stamp.time_ms;
    return known ? done : NULL;
}

enum issue_actor issue_action_by(const struct issue_action *action)
{
    return action != NULL ? action->by : ISSUE_UNKNOWN;
}

/* ---- labels ---- */

/* The place of a label, or where it belongs. */
static size_t label_place(const struct issue_record *record, const char *name, bool *ret_found)
{
    size_t low = 0;
    size_t high = record->label_count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(record->labels[middle].name, name);
        *ret_found = order == 0;
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct issue_label *issue_record_find_label(const struct issue_record *record, const char *name)
{
    bool found = false;
    size_t place = label_place(record, name, &found);
    return found ? &record->labels[place] : NULL;
}

/* Room for one more; allocations double, so that the count tells the capacity. */
static void label_grow(struct issue_record *record)
{
    size_t count = record->label_count;
    if (count != 0 && (count < RECORD_FIRST_LABELS || (count & (count - 1)) != 0))
        return;
    size_t capacity = count == 0 ? RECORD_FIRST_LABELS : count * 2;
    record->labels = mem_resize_array(record->labels, capacity, sizeof(record->labels[0]));
}

struct issue_label *issue_record_put_label(struct issue_record *record, const char *name)
{
    bool found = false;
    size_t place = label_place(record, name, &found);
    if (found)
        return &record->labels[place];
    if (record->label_count == ISSUE_LABELS_MAX)
        return NULL;
    label_grow(record);
    struct issue_label *label = &record->labels[place];
    memmove(label + 1, label, (record->label_count - place) * sizeof(*label));
    *label = (struct issue_label){.name = mem_copy_text(name)};
    action_init(&label->added);
    action_init(&label->removed);
    record->label_count++;
    return label;
}

/* ---- the envelope ---- */

struct event issue_record_envelope(const struct issue_record *record, const char *key,
                                   const char *value, size_t value_bytes, char id[ISSUE_ID_BYTES])
{
    static const char *const gone_types[] = {
#define ISSUE_GONE_TYPE_TEXT(enum_name, text, final) [enum_name] = ISSUE_GONE_TYPE text,
        ISSUE_GONE_TABLE(ISSUE_GONE_TYPE_TEXT)
#undef ISSUE_GONE_TYPE_TEXT
    };
    const struct issue_stamp *since = value != NULL ? &record->as_of : &record->gone_since;
    if (value != NULL)
        (void)snprintf(id, ISSUE_ID_BYTES, "%s@%016" PRIx64, key,
                       issue_hash_id(value, value_bytes));
    else
        (void)snprintf(id, ISSUE_ID_BYTES, "%s@gone-%s-%lld", key, issue_gone_name(record->gone),
                       (long long)since->time_ms);
    return (struct event){
        .id = text_of(id),
        .source = text_of("historian"),
        .type = text_of(value != NULL ? ISSUE_RECORD_TYPE : gone_types[record->gone]),
        .subject = text_of(key),
        .data_schema = text_of(ISSUE_RECORD_SCHEMA),
        .content_type = text_of("application/json"),
        .repository = text_of(record->repository),
        .has_time = since->time_ms >= 0,
        .time_ms = since->time_ms,
    };
}

int issue_gone_read(const struct event *event, enum issue_gone *ret_gone, int64_t *ret_time_ms)
{
    size_t prefix_bytes = strlen(ISSUE_GONE_TYPE);
    if (!event->has_time || event->type.bytes <= prefix_bytes ||
        memcmp(event->type.data, ISSUE_GONE_TYPE, prefix_bytes) != 0)
        return ERR_INPUT;
    struct text reason = {.data = event->type.data + prefix_bytes,
                          .bytes = event->type.bytes - prefix_bytes};
    for (size_t i = ISSUE_LIVE + 1; i < ISSUE_GONE_COUNT; i++) {
        if (!text_equals(reason, gone_rows[i].name))
            continue;
        *ret_gone = (enum issue_gone)i;
        *ret_time_ms = event->time_ms;
        return 0;
    }
    return ERR_INPUT;
}
