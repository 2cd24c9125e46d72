/*
 * The records of `specs` by key: see spec_store.h.
 */
#include "topics/spec_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/memory.h"

/* One record. */
struct store_item {
    struct spec_record *record; /* owned */
    UT_hash_handle hh;          /* by key */
    char key[];                 /* NUL-terminated */
};

struct spec_store {
    struct store_item *items; /* hash */
};

struct spec_store *spec_store_new(void)
{
    return MEM_NEW(struct spec_store);
}

static void store_drop(struct spec_store *store, struct store_item *item)
{
    HASH_DEL(store->items, item);
    spec_record_free(item->record);
    mem_free(item);
}

void spec_store_free(struct spec_store *store)
{
    if (store == NULL)
        return;
    struct store_item *item = NULL;
    struct store_item *rest = NULL;
    HASH_ITER(hh, store->items, item, rest)
    store_drop(store, item);
    mem_free(store);
}

static struct store_item *store_find(const struct spec_store *store, const char *key)
{
    struct store_item *item = NULL;
    HASH_FIND_STR(store->items, key, item);
    return item;
}

const struct spec_record *spec_store_find(const struct spec_store *store, const char *key)
{
    struct store_item *item = store_find(store, key);
    return item != NULL ? item->record : NULL;
}

void spec_store_put(struct spec_store *store, const char *key, struct spec_record *record)
{
    struct store_item *item = store_find(store, key);
    if (record == NULL) {
        if (item != NULL)
            store_drop(store, item);
        return;
    }
    if (item == NULL && HASH_COUNT(store->items) >= SPEC_STORE_MAX) {
        spec_record_free(record);
        return;
    }
    if (item == NULL) {
        size_t key_bytes = strlen(key);
        item = mem_alloc(sizeof(*item) + key_bytes + 1);
        memcpy(item->key, key, key_bytes);
        HASH_ADD_KEYPTR(hh, store->items, item->key, key_bytes, item);
    }
    spec_record_free(item->record);
    item->record = record;
}

size_t spec_store_count(const struct spec_store *store)
{
    return HASH_COUNT(store->items);
}

static int store_compare(const void *left, const void *right)
{
    return strcmp(((const struct spec_entry *)left)->key, ((const struct spec_entry *)right)->key);
}

struct spec_entry *spec_store_list(const struct spec_store *store)
{
    size_t count = 0;
    struct spec_entry *entries =
        mem_alloc_array(HASH_COUNT(store->items) + 1, sizeof(struct spec_entry));
    for (const struct store_item *item = store->items; item != NULL; item = item->hh.next)
        entries[count++] = (struct spec_entry){.key = item->key, .record = item->record};
    qsort(entries, count, sizeof(entries[0]), store_compare);
    return entries;
}

/* What stands for a record that cannot be read: what was in force stays. */
static struct spec_record *store_keep(const struct spec_store *store, const char *key,
                                      const struct error *error)
{
    const struct spec_record *known = spec_store_find(store, key);
    struct spec_record *record = known != NULL ? spec_record_copy(known) : spec_record_new();
    static const struct spec_place place = {.repository = "specs", .path = "?"};
    mem_free(record->reason);
    record->reason = mem_format("the record on `specs` cannot be used by nodag %s: %s",
                                NODAG_VERSION, error->text);
    struct spec_place where = place;
    spec_place_set(&record->invalid_place, &where);
    return record;
}

bool spec_store_apply(struct spec_store *store, const struct bus_record *message, char *ret_key)
{
    if (message->key == NULL || message->key_bytes == 0 ||
        message->key_bytes >= SUBJECT_KEY_BYTES ||
        memchr(message->key, '\0', message->key_bytes) != NULL)
        return false;
    memcpy(ret_key, message->key, message->key_bytes);
    ret_key[message->key_bytes] = '\0';
    if (message->value == NULL) {
        bool was_known = spec_store_find(store, ret_key) != NULL;
        spec_store_put(store, ret_key, NULL);
        return was_known;
    }
    struct spec_record *record = NULL;
    struct error error = {0};
    if (spec_record_decode(ret_key, message->value, message->value_bytes, &record, &error) != 0)
        record = store_keep(store, ret_key, &error);
    spec_store_put(store, ret_key, record);
    return true;
}
