/*
 * Records of runs and versions for `nodag erase`: see erase_records.h.
 */
#include "reactors/historian/erase_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/record_erased.h"
#include "topics/record_json.h"
#include "topics/run_state.h"
#include "topics/subject.h"

/* Artefacts that hold no text of any issue: the model itself, and figures. */
static const char *const harmless[] = {"model", "metrics"};

/* What a failed run says instead of its reason, which may quote what its notebook printed. */
#define ERASED_REASON "it failed; the reason was erased with what the run left"

/* One key. */
struct row {
    struct erase_record said; /* its texts are this row's */
    json_t *value;            /* owned; NULL: a tombstone */
    UT_hash_handle hh;        /* by name */
    char name[];              /* topic's name, a line end, key */
};

struct erase_records {
    struct row *rows; /* hash */
    size_t refused;   /* see erase_records_refused */
};

struct erase_records *erase_records_new(void)
{
    return MEM_NEW(struct erase_records);
}

void erase_records_free(struct erase_records *records)
{
    if (records == NULL)
        return;
    struct row *row = NULL;
    struct row *next = NULL;
    HASH_ITER(hh, records->rows, row, next)
    {
        HASH_DEL(records->rows, row);
        json_decref(row->value);
        mem_free(row);
    }
    mem_free(records);
}

void erase_records_put(struct erase_records *records, enum topic topic, const char *key,
                       json_t *value, int64_t offset)
{
    struct row *row = NULL;
    CLEANUP(mem_free) char *name = mem_format("%s\n%s", topic_name(topic), key);
    HASH_FIND_STR(records->rows, name, row);
    if (row != NULL && offset <= row->said.offset) {
        json_decref(value);
        return;
    }
    if (row == NULL) {
        size_t bytes = strlen(name);
        row = mem_alloc(sizeof(*row) + bytes + 1);
        memcpy(row->name, name, bytes);
        HASH_ADD_STR(records->rows, name, row);
    }
    json_decref(row->value);
    row->value = value;
    row->said = (struct erase_record){
        .topic = topic, .key = strchr(row->name, '\n') + 1, .value = value, .offset = offset};
}

void erase_records_apply(struct erase_records *records, const struct bus_record *record)
{
    json_t *value = NULL;
    if (record->key == NULL || memchr(record->key, '\0', record->key_bytes) != NULL) {
        records->refused++;
        return;
    }
    if (record->value != NULL &&
        (json_read(record->value, record->value_bytes, &value, NULL) != 0 ||
         !record_artefacts_are_valid(json_object_get(value, "artefacts")) ||
         !record_erased_is_valid(json_object_get(value, "erased")))) {
        records->refused++;
        json_decref(value);
        return;
    }
    CLEANUP(mem_free) char *key = mem_copy_bytes(record->key, record->key_bytes);
    erase_records_put(records, record->topic, key, value, record->offset);
}

size_t erase_records_refused(const struct erase_records *records)
{
    return records->refused;
}

static int compare_records(const void *left, const void *right)
{
    const struct erase_record *a = left;
    const struct erase_record *b = right;
    if (a->topic != b->topic)
        return a->topic == TOPIC_RUNS ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

struct erase_record *erase_records_list(const struct erase_records *records, size_t *ret_count)
{
    struct erase_record *list =
        mem_alloc_array(HASH_COUNT(records->rows) + 1, sizeof(struct erase_record));
    *ret_count = 0;
    for (const struct row *row = records->rows; row != NULL; row = row->hh.next)
        if (row->value != NULL)
            list[(*ret_count)++] = row->said;
    qsort(list, *ret_count, sizeof(struct erase_record), compare_records);
    return list;
}

/* ---- objects ---- */

/* A set of digests: an object of nulls. Returns its members; owned array of owned texts. */
static char **set_list(const json_t *set, size_t *ret_count)
{
    const char *sha256 = NULL;
    json_t *item = NULL;
    char **list = mem_alloc_array(json_object_size(set) + 1, sizeof(*list));
    *ret_count = 0;
    json_object_foreach((json_t *)(uintptr_t)set, sha256, item)
    {
        list[(*ret_count)++] = mem_copy_text(sha256);
    }
    return list;
}

const char *erase_record_dataset(const json_t *value)
{
    return record_artefact_text(json_object_get(value, "artefacts"), "dataset", "sha256");
}

char **erase_records_datasets(const struct erase_records *records, size_t *ret_count)
{
    CLEANUP(json_release) json_t *set = json_object();
    for (const struct row *row = records->rows; row != NULL; row = row->hh.next) {
        const char *sha256 = erase_record_dataset(row->value);
        if (sha256 != NULL)
            (void)json_object_set_new(set, sha256, json_null());
    }
    return set_list(set, ret_count);
}

char **erase_records_leftovers(const struct erase_records *records, size_t *ret_count)
{
    CLEANUP(json_release) json_t *set = json_object();
    const struct row *row = NULL;
    const char *name = NULL;
    json_t *item = NULL;
    size_t index = 0;
    for (row = records->rows; row != NULL; row = row->hh.next)
        json_array_foreach(json_object_get(row->value, "erased"), index, item)(void)
            json_object_set_new(set, json_text_or(item, "sha256", ""), json_null());
    for (row = records->rows; row != NULL; row = row->hh.next)
        json_object_foreach(json_object_get(row->value, "artefacts"), name, item)(void)
            json_object_del(set, json_text_or(item, "sha256", ""));
    return set_list(set, ret_count);
}

const json_t *erase_records_successor(const struct erase_records *records, const char *sha256)
{
    for (const struct row *row = records->rows; row != NULL; row = row->hh.next) {
        const json_t *entry = record_erased_find(json_object_get(row->value, "erased"), sha256);
        if (entry != NULL && strcmp(json_text_or(entry, "artefact", ""), "dataset") == 0)
            return json_object_get(json_object_get(row->value, "artefacts"), "dataset");
    }
    return NULL;
}

/* ---- one record ---- */

bool erase_record_is_under_way(const struct erase_record *record)
{
    enum run_state state = RUN_PENDING;
    return record->topic == TOPIC_RUNS &&
           run_state_from_name(json_text_or(record->value, "state", ""), &state) &&
           !run_state_is_terminal(state);
}

static bool is_harmless(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(harmless); i++)
        if (strcmp(name, harmless[i]) == 0)
            return true;
    return false;
}

/* Takes out what quotes the data set; `erased` (owned reference) is replaced by the longer list. */
static void redact_artefacts(json_t *artefacts, const json_t *dataset, int64_t rows, int64_t now_ms,
                             json_t **erased)
{
    const char *name = NULL;
    json_t *item = NULL;
    void *next = NULL;
    json_object_foreach_safe(artefacts, next, name, item)
    {
        bool is_dataset = strcmp(name, "dataset") == 0;
        if (is_harmless(name))
            continue;
        json_t *longer = record_erased_add(*erased, name, json_text_or(item, "sha256", ""), now_ms,
                                           is_dataset ? rows : 0);
        json_decref(*erased);
        *erased = longer;
        if (is_dataset && dataset != NULL)
            (void)json_object_set(artefacts, name, (json_t *)(uintptr_t)dataset);
        else
            (void)json_object_del(artefacts, name);
    }
}

json_t *erase_record_redact(const struct erase_record *record, const json_t *dataset, int64_t rows,
                            int64_t now_ms)
{
    json_t *value = json_copy((json_t *)(uintptr_t)record->value);
    json_t *artefacts = json_copy(json_object_get(value, "artefacts"));
    json_t *erased = json_incref(json_object_get(value, "erased"));
    redact_artefacts(artefacts, dataset, rows, now_ms, &erased);
    (void)json_object_set_new(value, "artefacts", artefacts);
    (void)json_object_set_new(value, "erased", erased);
    if (strcmp(json_text_or(value, "state", ""), run_state_name(RUN_FAILED)) == 0)
        (void)json_object_set_new(value, "reason", json_string(ERASED_REASON));
    if (record->topic != TOPIC_MODELS)
        return value;
    json_t *snapshot = json_copy(json_object_get(value, "snapshot"));
    (void)json_object_set_new(snapshot, "sha256", json_string(json_text_or(dataset, "sha256", "")));
    (void)json_object_set_new(value, "snapshot", snapshot);
    if (json_object_get(value, "order") == NULL)
        (void)json_object_set_new(value, "order", json_integer((json_int_t)record->offset + 1));
    return value;
}
