/*
 * The registry: see registry.h.
 *
 * Design: one shelf for each of the two topics; an item holds a record of either kind. A tombstone
 * leaves an empty item behind, so that what comes late from before it changes nothing.
 */
#include "reactors/trainer/registry.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/memory.h"

/* One key. */
struct item {
    struct run_record *run;     /* owned; of `runs` */
    struct model_record *model; /* owned; of `models` */
    int64_t offset;             /* that the record stands at */
    UT_hash_handle hh;          /* by key */
    char key[];                 /* NUL-terminated */
};

struct registry {
    struct item *runs;   /* hash */
    struct item *models; /* hash */
    size_t refused;      /* see registry_refused */
    char *last;          /* owned; the name that registry_apply returned */
};

struct registry *registry_new(void)
{
    return MEM_NEW(struct registry);
}

static void item_free(struct item *item)
{
    run_record_free(item->run);
    model_record_free(item->model);
    mem_free(item);
}

static void shelf_free(struct item **shelf)
{
    struct item *item = NULL;
    struct item *rest = NULL;
    HASH_ITER(hh, *shelf, item, rest)
    {
        HASH_DEL(*shelf, item);
        item_free(item);
    }
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    shelf_free(&registry->runs);
    shelf_free(&registry->models);
    mem_free(registry->last);
    mem_free(registry);
}

/* Finds the item of a key that a record at `offset` may fill; NULL: it is older, or there are too many. */
static struct item *shelf_open(struct registry *registry, struct item **shelf, const char *key,
                               int64_t offset)
{
    struct item *item = NULL;
    size_t key_bytes = strlen(key);
    HASH_FIND(hh, *shelf, key, key_bytes, item);
    if (item != NULL && offset <= item->offset)
        return NULL;
    if (item == NULL && HASH_COUNT(*shelf) >= REGISTRY_RECORDS_MAX) {
        registry->refused++;
        return NULL;
    }
    if (item == NULL) {
        item = mem_alloc(sizeof(*item) + key_bytes + 1);
        memcpy(item->key, key, key_bytes);
        HASH_ADD_KEYPTR(hh, *shelf, item->key, key_bytes, item);
    }
    item->offset = offset;
    return item;
}

static struct item *shelf_find(struct item *shelf, const char *key)
{
    struct item *item = NULL;
    HASH_FIND_STR(shelf, key, item);
    return item;
}

static bool carry_run(struct run_record *into, const struct run_record *from)
{
    return into != NULL && from != NULL &&
           record_erased_carry(&into->artefacts, &into->erased, from->artefacts, from->erased);
}

/* The snapshot is the data set, whichever that is now. */
static bool carry_model(struct model_record *into, const struct model_record *from)
{
    if (into == NULL || from == NULL ||
        !record_erased_carry(&into->artefacts, &into->erased, from->artefacts, from->erased))
        return false;
    const char *snapshot = record_artefact_text(into->artefacts, "dataset", "sha256");
    record_set_text(&into->snapshot, snapshot != NULL ? snapshot : "");
    if (into->order == 0)
        into->order = from->order;
    return true;
}

bool registry_put_run(struct registry *registry, const char *name, struct run_record *record,
                      int64_t offset)
{
    struct item *item = shelf_open(registry, &registry->runs, name, offset);
    if (item == NULL) {
        item = shelf_find(registry->runs, name);
        bool missed = item != NULL && carry_run(item->run, record);
        run_record_free(record);
        return missed;
    }
    bool missed = carry_run(record, item->run);
    run_record_free(item->run);
    item->run = record;
    return missed;
}

static bool put_model(struct registry *registry, const char *key, struct model_record *record,
                      int64_t offset)
{
    struct item *item = shelf_open(registry, &registry->models, key, offset);
    if (item == NULL) {
        item = shelf_find(registry->models, key);
        bool missed = item != NULL && carry_model(item->model, record);
        model_record_free(record);
        return missed;
    }
    bool missed = carry_model(record, item->model);
    model_record_free(item->model);
    item->model = record;
    return missed;
}

bool registry_put_model(struct registry *registry, struct model_record *record, int64_t offset)
{
    char key[SUBJECT_KEY_BYTES];
    if (model_record_key(record, key) != 0) {
        registry->refused++;
        model_record_free(record);
        return false;
    }
    return put_model(registry, key, record, offset);
}

/* ---- folding ---- */

static const char *remember(struct registry *registry, const char *model)
{
    record_set_text(&registry->last, model);
    return registry->last;
}

static const char *apply_run(struct registry *registry, const char *key,
                             const struct bus_record *message)
{
    struct run_record *record = NULL;
    const struct run_record *before = registry_find_run(registry, key);
    if (message->value == NULL) {
        const char *model = before != NULL ? remember(registry, before->model) : NULL;
        (void)registry_put_run(registry, key, NULL, message->offset);
        return model;
    }
    if (run_record_decode(key, strlen(key), message->value, message->value_bytes, &record, NULL) !=
        0) {
        registry->refused++;
        return NULL;
    }
    const char *model = remember(registry, record->model);
    (void)registry_put_run(registry, key, record, message->offset);
    return model;
}

static const char *apply_model(struct registry *registry, const char *key,
                               const struct bus_record *message)
{
    struct model_record *record = NULL;
    if (message->value != NULL && model_record_decode(key, strlen(key), message->value,
                                                      message->value_bytes, &record, NULL) != 0) {
        registry->refused++;
        return NULL;
    }
    CLEANUP(mem_free) char *model = mem_copy_bytes(key, strcspn(key, "/"));
    (void)put_model(registry, key, record, message->offset);
    return remember(registry, model);
}

const char *registry_apply(struct registry *registry, const struct bus_record *record)
{
    char key[SUBJECT_KEY_BYTES];
    if (record->key == NULL || record->key_bytes == 0 || record->key_bytes >= sizeof(key) ||
        memchr(record->key, '\0', record->key_bytes) != NULL) {
        registry->refused++;
        return NULL;
    }
    memcpy(key, record->key, record->key_bytes);
    key[record->key_bytes] = '\0';
    return record->topic == TOPIC_RUNS ? apply_run(registry, key, record)
                                       : apply_model(registry, key, record);
}

/* ---- asking ---- */

static int compare_runs(const void *left, const void *right)
{
    const struct run_record *one = *(const struct run_record *const *)left;
    const struct run_record *other = *(const struct run_record *const *)right;
    if (one->created_ms != other->created_ms)
        return one->created_ms < other->created_ms ? -1 : 1;
    return strcmp(one->run, other->run);
}

const struct run_record **registry_list_runs(const struct registry *registry, const char *model,
                                             size_t *ret_count)
{
    const struct run_record **list =
        mem_alloc_array(HASH_COUNT(registry->runs) + 1, sizeof(struct run_record *));
    *ret_count = 0;
    for (const struct item *item = registry->runs; item != NULL; item = item->hh.next)
        if (item->run != NULL && (model == NULL || strcmp(item->run->model, model) == 0))
            list[(*ret_count)++] = item->run;
    qsort(list, *ret_count, sizeof(struct run_record *), compare_runs);
    return list;
}

static int compare_models(const void *left, const void *right)
{
    const struct model_record *one = *(const struct model_record *const *)left;
    const struct model_record *other = *(const struct model_record *const *)right;
    if (one->created_ms != other->created_ms)
        return one->created_ms < other->created_ms ? -1 : 1;
    return strcmp(one->version, other->version);
}

const struct model_record **registry_list_models(const struct registry *registry, const char *model,
                                                 size_t *ret_count)
{
    const struct model_record **list =
        mem_alloc_array(HASH_COUNT(registry->models) + 1, sizeof(struct model_record *));
    *ret_count = 0;
    for (const struct item *item = registry->models; item != NULL; item = item->hh.next)
        if (item->model != NULL && (model == NULL || strcmp(item->model->model, model) == 0))
            list[(*ret_count)++] = item->model;
    qsort(list, *ret_count, sizeof(struct model_record *), compare_models);
    return list;
}

const struct run_record *registry_find_run(const struct registry *registry, const char *name)
{
    const struct item *item = NULL;
    HASH_FIND_STR(registry->runs, name, item);
    return item != NULL ? item->run : NULL;
}

const struct model_record *registry_find_model(const struct registry *registry, const char *model,
                                               const char *version)
{
    const struct item *item = NULL;
    CLEANUP(mem_free) char *key = mem_format("%s/%s", model, version);
    HASH_FIND_STR(registry->models, key, item);
    return item != NULL ? item->model : NULL;
}

/* When a version was published first: a record that was rewritten remembers. */
static int64_t item_order(const struct item *item)
{
    return item->model->order > 0 ? item->model->order - 1 : item->offset;
}

const struct model_record *registry_newest(const struct registry *registry, const char *model)
{
    const struct item *newest = NULL;
    for (const struct item *item = registry->models; item != NULL; item = item->hh.next)
        if (item->model != NULL && !item->model->collected &&
            strcmp(item->model->model, model) == 0 &&
            (newest == NULL || item_order(item) > item_order(newest)))
            newest = item;
    return newest != NULL ? newest->model : NULL;
}

size_t registry_refused(const struct registry *registry)
{
    return registry->refused;
}
