/*
 * What nodag did before: see history.h.
 *
 * Design: a large installation has a million issues, so an issue is one row of 40 bytes in a dense
 * array, and an index of 4 to 8 bytes finds it:
 *
 *      index:  · 3 · · 1 2 ·  …       row number + 1 at the hash of (repository id, number), or the
 *                  │   │ │            next free place after it (linear probing)
 *      rows:   [0] [1] [2] [3] …      a row that goes away is replaced by the last one
 *
 * A round of history_next follows the rows; the cursor is the next row.
 *
 * Invariants: every row stands in the index once, and between its hash and its place no place is
 * empty; the index has room for at least half as many rows again; cursor < count, or both are 0.
 */
#include "reactors/labeler/history.h"

#include <assert.h>
#include <string.h>
#include <uthash.h>

#include "base/memory.h"
#include "reactors/labeler/prediction_read.h"
#include "topics/subject.h"

/* Rows of the first allocation, and places of the first index: a power of two. */
#define HISTORY_FIRST_ROWS 64
#define HISTORY_FIRST_PLACES 128

/* A repository's name, shared by its issues. */
struct history_name {
    size_t users;      /* rows that borrow it */
    UT_hash_handle hh; /* by text */
    char text[];       /* NUL-terminated */
};

/* One issue. */
struct history_row {
    int64_t repository_id;     /* of the key */
    int64_t comment_id;        /* see history_entry */
    uint64_t model_hash;       /* see history_entry */
    struct history_name *name; /* shared */
    uint32_t number;           /* of the key */
    int32_t partition;         /* see history_entry */
};

struct history {
    struct history_row *rows;   /* owned; count are used */
    size_t count;               /* issues */
    size_t capacity;            /* of rows */
    uint32_t *index;            /* owned; row + 1, or 0 */
    size_t places;              /* of index: a power of two, or 0 */
    size_t cursor;              /* row that history_next gives next */
    struct history_name *names; /* hash */
    struct history_entry lent;  /* what was last lent out */
};

struct history *history_new(void)
{
    return MEM_NEW(struct history);
}

/* --- names --- */

static struct history_name *history_share_name(struct history *history, const char *text)
{
    struct history_name *name = NULL;
    HASH_FIND_STR(history->names, text, name);
    if (name == NULL) {
        size_t text_bytes = strlen(text);
        name = mem_alloc(sizeof(*name) + text_bytes + 1);
        memcpy(name->text, text, text_bytes);
        HASH_ADD_KEYPTR(hh, history->names, name->text, text_bytes, name);
    }
    name->users++;
    return name;
}

static void history_release_name(struct history *history, struct history_name *name)
{
    if (--name->users > 0)
        return;
    HASH_DEL(history->names, name);
    mem_free(name);
}

/* --- the index --- */

/* Mixes both numbers well: repositories have neighbouring ids, and issues neighbouring numbers. */
static size_t history_hash(int64_t repository_id, uint32_t number)
{
    uint64_t mixed = (uint64_t)repository_id * 0x9e3779b97f4a7c15u + number;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(mixed ^ (mixed >> 31));
}

static size_t history_hash_row(const struct history *history, uint32_t entry)
{
    const struct history_row *row = &history->rows[entry - 1];
    return history_hash(row->repository_id, row->number);
}

/* The place of an issue in the index, or the empty one where it belongs. The index is not full. */
static size_t history_place(const struct history *history, int64_t repository_id, uint32_t number)
{
    size_t mask = history->places - 1;
    size_t place = history_hash(repository_id, number) & mask;
    while (history->index[place] != 0) {
        const struct history_row *row = &history->rows[history->index[place] - 1];
        if (row->repository_id == repository_id && row->number == number)
            break;
        place = (place + 1) & mask;
    }
    return place;
}

/* Makes the index anew with so many places. */
static void history_index_rows(struct history *history, size_t places)
{
    mem_free(history->index);
    history->index = mem_alloc_array(places, sizeof(*history->index));
    history->places = places;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_row *row = &history->rows[i];
        history->index[history_place(history, row->repository_id, row->number)] = (uint32_t)i + 1;
    }
}

/* Empties a place and moves up what stands behind it, so that no probe ends too early. */
static void history_empty_place(struct history *history, size_t place)
{
    size_t mask = history->places - 1;
    size_t empty = place;
    history->index[empty] = 0;
    for (size_t at = (place + 1) & mask; history->index[at] != 0; at = (at + 1) & mask) {
        size_t home = history_hash_row(history, history->index[at]) & mask;
        if (((at - home) & mask) < ((at - empty) & mask))
            continue; /* its home lies behind the empty place: it is found without passing that */
        history->index[empty] = history->index[at];
        history->index[at] = 0;
        empty = at;
    }
}

/* --- rows --- */

static struct history_row *history_add(struct history *history, int64_t repository_id,
                                       uint32_t number)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? HISTORY_FIRST_ROWS : history->capacity * 2;
        history->rows =
            mem_resize_array(history->rows, history->capacity, sizeof(history->rows[0]));
    }
    if (history->places < history->count + history->count / 2 + 2)
        history_index_rows(history,
                           history->places == 0 ? HISTORY_FIRST_PLACES : history->places * 2);
    struct history_row *row = &history->rows[history->count++];
    *row = (struct history_row){
        .repository_id = repository_id, .number = number, .name = history_share_name(history, "")};
    /* Found by its own key: the place is empty, so nothing of the new row is looked at. */
    history->index[history_place(history, repository_id, number)] = (uint32_t)history->count;
    return row;
}

static struct history_row *history_find_row(const struct history *history, int64_t repository_id,
                                            uint32_t number)
{
    if (history->places == 0)
        return NULL;
    uint32_t entry = history->index[history_place(history, repository_id, number)];
    return entry != 0 ? &history->rows[entry - 1] : NULL;
}

static void history_drop(struct history *history, struct history_row *row)
{
    size_t at = (size_t)(row - history->rows);
    history_release_name(history, row->name);
    history_empty_place(history, history_place(history, row->repository_id, row->number));
    const struct history_row *last = &history->rows[history->count - 1];
    if (row != last) {
        history->index[history_place(history, last->repository_id, last->number)] =
            (uint32_t)at + 1;
        *row = *last;
    }
    history->count--;
    if (history->cursor >= history->count)
        history->cursor = 0;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    while (history->count > 0)
        history_release_name(history, history->rows[--history->count].name);
    mem_free(history->rows);
    mem_free(history->index);
    mem_free(history);
}

/* Reads a key into what a row holds. False for what is no issue's key. */
static bool history_parse_key(const char *key, size_t key_bytes, int64_t *ret_repository_id,
                              uint32_t *ret_number)
{
    int64_t number = 0;
    if (key == NULL || subject_key_parse_issue(key, key_bytes, ret_repository_id, &number) != 0 ||
        number > UINT32_MAX)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

/* --- the interface --- */

void history_apply(struct history *history, const struct bus_record *record)
{
    int64_t repository_id = 0;
    uint32_t number = 0;
    struct prediction_brief brief;
    if (!history_parse_key(record->key, record->key_bytes, &repository_id, &number))
        return;
    struct history_row *row = history_find_row(history, repository_id, number);
    if (record->value == NULL) {
        if (row != NULL)
            history_drop(history, row);
        return;
    }
    if (prediction_read(record->value, record->value_bytes, &brief) != 0)
        return;
    if (row == NULL)
        row = history_add(history, repository_id, number);
    struct history_name *name = history_share_name(history, brief.repository);
    history_release_name(history, row->name);
    row->name = name;
    row->partition = record->partition;
    row->comment_id = brief.comment_id;
    row->model_hash = brief.model_hash;
}

/* Gives back what is no longer needed once most issues went to another replica. */
static void history_shrink(struct history *history)
{
    size_t capacity = history->capacity;
    size_t places = history->places;
    while (capacity > HISTORY_FIRST_ROWS && history->count < capacity / 4)
        capacity /= 2;
    while (places > HISTORY_FIRST_PLACES && history->count < places / 8)
        places /= 2;
    if (capacity != history->capacity) {
        history->rows = mem_resize_array(history->rows, capacity, sizeof(history->rows[0]));
        history->capacity = capacity;
    }
    if (places != history->places)
        history_index_rows(history, places);
}

void history_forget(struct history *history, int32_t partition)
{
    for (size_t i = history->count; i > 0; i--) /* the last row, which fills a gap, was looked at */
        if (history->rows[i - 1].partition == partition)
            history_drop(history, &history->rows[i - 1]);
    history_shrink(history);
}

static const struct history_entry *history_lend(struct history *history,
                                                const struct history_row *row)
{
    history->lent = (struct history_entry){
        .repository = row->name->text,
        .comment_id = row->comment_id,
        .model_hash = row->model_hash,
        .partition = row->partition,
    };
    return &history->lent;
}

const struct history_entry *history_find(struct history *history, const char *key)
{
    int64_t repository_id = 0;
    uint32_t number = 0;
    if (!history_parse_key(key, strlen(key), &repository_id, &number))
        return NULL;
    const struct history_row *row = history_find_row(history, repository_id, number);
    return row != NULL ? history_lend(history, row) : NULL;
}

bool history_next(struct history *history, char *ret_key, const struct history_entry **ret_entry)
{
    if (history->count == 0)
        return false;
    const struct history_row *row = &history->rows[history->cursor];
    history->cursor = (history->cursor + 1) % history->count;
    subject_key_issue(row->repository_id, row->number, ret_key);
    *ret_entry = history_lend(history, row);
    return true;
}

uint64_t history_hash_model(const char *version)
{
    return prediction_hash_model(version, strlen(version));
}

size_t history_count(const struct history *history)
{
    return history->count;
}
