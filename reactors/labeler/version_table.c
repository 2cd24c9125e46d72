/*
 * What the topic `models` says of each version: see version_table.h.
 */
#include "reactors/labeler/version_table.h"

#include <string.h>
#include <uthash.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/clients/artefacts.h"
#include "topics/model_record.h"

/* One key. */
struct entry {
    struct version_row row;
    char *key;         /* owned: MODEL/VERSION; row.name is its end */
    UT_hash_handle hh; /* by row.name */
};

struct version_table {
    struct entry *entries; /* hash */
};

struct version_table *version_table_new(void)
{
    return MEM_NEW(struct version_table);
}

void version_table_free(struct version_table *table)
{
    struct entry *entry = NULL;
    struct entry *rest = NULL;
    if (table == NULL)
        return;
    HASH_ITER(hh, table->entries, entry, rest)
    {
        HASH_DEL(table->entries, entry);
        mem_free(entry->key);
        mem_free(entry);
    }
    mem_free(table);
}

/* Reads what is kept of a record. */
static int read_row(const char *key, const struct bus_record *record, struct version_row *row,
                    struct error *error)
{
    CLEANUP(model_record_free) struct model_record *model = NULL;
    uint8_t digest[DIGEST_BYTES];
    int code =
        model_record_decode(key, strlen(key), record->value, record->value_bytes, &model, error);
    if (code != 0)
        return code;
    const char *sha256 = record_artefact_text(model->artefacts, "model", "sha256");
    if (sha256 == NULL || digest_from_text(sha256, strlen(sha256), digest) != 0)
        return error_set(error, ERR_INPUT, "the artefact `model` has no SHA-256");
    digest_to_text(digest, row->sha256);
    row->size_bytes = json_int_or(json_object_get(model->artefacts, "model"), "size_bytes", 0);
    if (row->size_bytes < 0 || row->size_bytes > ARTEFACT_MAX_BYTES)
        return error_set(error, ERR_INPUT, "the artefact `model` has an impossible size");
    row->collected = model->collected;
    row->is_there = true;
    return 0;
}

/* Reads a key into `ret_key` and gives where its version begins, or NULL. */
static const char *read_key(const struct bus_record *record, char ret_key[SUBJECT_KEY_BYTES])
{
    if (record->key == NULL || record->key_bytes >= SUBJECT_KEY_BYTES)
        return NULL;
    memcpy(ret_key, record->key, record->key_bytes);
    ret_key[record->key_bytes] = '\0';
    const char *slash = strchr(ret_key, '/');
    bool is_key = slash != NULL && slash[1] != '\0' && strlen(ret_key) == record->key_bytes;
    return is_key ? slash + 1 : NULL;
}

static struct entry *open_entry(struct version_table *table, const char *key, const char *name)
{
    struct entry *entry = NULL;
    HASH_FIND_STR(table->entries, name, entry);
    if (entry != NULL || HASH_COUNT(table->entries) >= VERSION_TABLE_MAX)
        return entry;
    entry = MEM_NEW(struct entry);
    entry->key = mem_copy_text(key);
    entry->row.name = entry->key + (name - key);
    HASH_ADD_KEYPTR(hh, table->entries, entry->row.name, strlen(entry->row.name), entry);
    return entry;
}

int version_table_apply(struct version_table *table, const struct bus_record *record,
                        const struct version_row **ret_row, struct error *error)
{
    char key[SUBJECT_KEY_BYTES];
    struct version_row row = {.is_there = false};
    const char *name = read_key(record, key);
    if (name == NULL)
        return error_set(error, ERR_INPUT, "its key is not MODEL/VERSION");
    int code = record->value != NULL ? read_row(key, record, &row, error) : 0;
    if (code != 0)
        return code;
    struct entry *entry = open_entry(table, key, name);
    if (entry == NULL)
        return error_set(error, ERR_TOO_LARGE, "there are more than %d versions",
                         VERSION_TABLE_MAX);
    if (strcmp(entry->key, key) != 0)
        return error_set(error, ERR_INPUT, "the version %s is that of %s", name, entry->key);
    row.name = entry->row.name;
    entry->row = row;
    *ret_row = &entry->row;
    return 0;
}

const struct version_row *version_table_find(const struct version_table *table, const char *name)
{
    const struct entry *entry = NULL;
    HASH_FIND_STR(table->entries, name, entry);
    return entry != NULL && entry->row.is_there ? &entry->row : NULL;
}
