/*
 * Which versions are in use: see named.h.
 */
#include "reactors/trainer/named.h"

#include <string.h>
#include <uthash.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/subject.h"

/* One record. */
struct entry {
    json_t *value;     /* owned; NULL: it could not be read */
    UT_hash_handle hh; /* by key */
    char key[];        /* topic's number, then the key */
};

struct named {
    struct entry *entries; /* hash */
    size_t unreadable;     /* entries without a value */
    bool is_over;          /* there were too many: everything is protected from then on */
};

struct named *named_new(void)
{
    return MEM_NEW(struct named);
}

static void entry_drop(struct named *named, struct entry *entry)
{
    HASH_DEL(named->entries, entry);
    named->unreadable -= entry->value == NULL;
    json_decref(entry->value);
    mem_free(entry);
}

void named_free(struct named *named)
{
    struct entry *entry = NULL;
    struct entry *rest = NULL;
    if (named == NULL)
        return;
    HASH_ITER(hh, named->entries, entry, rest)
    entry_drop(named, entry);
    mem_free(named);
}

/* Counts the texts within a value. */
static size_t count_texts(const json_t *value)
{
    size_t count = json_is_string(value) ? 1 : 0;
    size_t i = 0;
    const char *name = NULL;
    json_t *item = NULL;
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        count += count_texts(item);
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        count += count_texts(item);
    }
    return count;
}

void named_apply(struct named *named, const struct bus_record *record)
{
    char key[SUBJECT_KEY_BYTES + 1];
    struct entry *entry = NULL;
    if (record->key == NULL || record->key_bytes >= SUBJECT_KEY_BYTES)
        return;
    key[0] = record->topic == TOPIC_SERVING ? 's' : 'd';
    memcpy(key + 1, record->key, record->key_bytes);
    size_t key_bytes = record->key_bytes + 1;
    HASH_FIND(hh, named->entries, key, key_bytes, entry);
    if (entry != NULL)
        entry_drop(named, entry);
    if (record->value == NULL)
        return;
    if (HASH_COUNT(named->entries) >= NAMED_RECORDS_MAX) {
        named->is_over = true;
        return;
    }
    entry = mem_alloc(sizeof(*entry) + key_bytes);
    memcpy(entry->key, key, key_bytes);
    if (json_read(record->value, record->value_bytes, &entry->value, NULL) != 0)
        entry->value = NULL;
    if (entry->value != NULL && count_texts(entry->value) > NAMED_TEXTS_MAX) {
        json_decref(entry->value);
        entry->value = NULL;
    }
    named->unreadable += entry->value == NULL;
    HASH_ADD_KEYPTR(hh, named->entries, entry->key, key_bytes, entry);
}

bool named_in(const json_t *value, const char *model, const char *version)
{
    size_t i = 0;
    const char *name = NULL;
    json_t *item = NULL;
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t model_bytes = strlen(model);
        if (strncmp(text, model, model_bytes) == 0 && text[model_bytes] == '/')
            text += model_bytes + 1;
        return strcmp(text, version) == 0;
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        if (named_in(item, model, version))
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, item)
    {
        if (named_in(item, model, version))
            return true;
    }
    return false;
}

bool named_has(const struct named *named, const char *model, const char *version)
{
    if (named->is_over || named->unreadable > 0)
        return true;
    for (const struct entry *entry = named->entries; entry != NULL; entry = entry->hh.next)
        if (named_in(entry->value, model, version))
            return true;
    return false;
}
