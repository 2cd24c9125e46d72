/*
 * What records share in JSON: see record_json.h.
 */
#include "topics/record_json.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Members of an artefact. */
#define ARTEFACT_MEMBERS 3

json_t *record_time_to_json(int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    if (time_ms <= 0)
        return json_null();
    time_to_text(time_ms, text);
    return json_string(text);
}

int record_read_time(const json_t *object, const char *name, int64_t *ret_ms, struct error *error)
{
    const char *text = NULL;
    int64_t time_ms = 0;
    if (json_is_null(json_object_get(object, name))) {
        *ret_ms = 0;
        return 0;
    }
    int code = json_get_text(object, name, &text, error);
    if (code != 0)
        return code;
    if (time_from_text(text, strlen(text), &time_ms) != 0 || time_ms <= 0)
        return error_set(error, ERR_INPUT, "the member %s is no time", name);
    *ret_ms = time_ms;
    return 0;
}

int record_read_text(const json_t *object, const char *name, bool may_be_empty, char **ret_text,
                     struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(object, name, &text, error);
    if (code != 0)
        return code;
    if (strlen(text) > RECORD_TEXT_MAX_BYTES || (*text == '\0' && !may_be_empty))
        return error_set(error, ERR_INPUT, "the member %s is empty or too long", name);
    record_set_text(ret_text, text);
    return 0;
}

static char **text_at(const struct record_text *text, void *record)
{
    return (char **)(void *)((char *)record + text->offset);
}

void record_texts_free(const struct record_texts *texts, void *record)
{
    for (size_t i = 0; i < texts->count; i++)
        mem_free(*text_at(&texts->items[i], record));
}

void record_texts_own(const struct record_texts *texts, void *copy)
{
    for (size_t i = 0; i < texts->count; i++) {
        char **text = text_at(&texts->items[i], copy);
        *text = mem_copy_text(*text);
    }
}

void record_texts_write(const struct record_texts *texts, const void *record, json_t *object)
{
    for (size_t i = 0; i < texts->count; i++) {
        const struct record_text *row = &texts->items[i];
        const char *text = *(char *const *)(const void *)((const char *)record + row->offset);
        int code = json_object_set_new(object, row->name, json_string(text != NULL ? text : ""));
        assert(code == 0); /* texts were valid UTF-8 when they were read */
        (void)code;
    }
}

int record_texts_read(const struct record_texts *texts, const json_t *object, void *record,
                      struct error *error)
{
    int code = 0;
    for (size_t i = 0; i < texts->count && code == 0; i++) {
        const struct record_text *row = &texts->items[i];
        code = record_read_text(object, row->name, row->may_be_empty, text_at(row, record), error);
    }
    return code;
}

int record_read_end(int code, const char *own_key, const char *key, size_t key_bytes,
                    struct error *error)
{
    if (code == ERR_NOT_FOUND)
        return error_set(error, ERR_INPUT, "a member is missing: this is no record of this schema");
    if (code == 0 &&
        (own_key == NULL || strlen(own_key) != key_bytes || memcmp(own_key, key, key_bytes) != 0))
        return error_set(error, ERR_INPUT, "the record is not the key's");
    return code;
}

static bool artefact_is_valid(const char *name, const json_t *item)
{
    uint8_t digest[DIGEST_BYTES];
    const char *sha256 = json_text_or(item, "sha256", "");
    const char *uri = json_text_or(item, "uri", "");
    return *name != '\0' && strlen(name) <= RECORD_TEXT_MAX_BYTES && *uri != '\0' &&
           strlen(uri) <= RECORD_TEXT_MAX_BYTES && json_int_or(item, "size_bytes", -1) >= 0 &&
           json_object_size(item) == ARTEFACT_MEMBERS &&
           digest_from_text(sha256, strlen(sha256), digest) == 0;
}

bool record_artefacts_are_valid(const json_t *artefacts)
{
    const char *name = NULL;
    json_t *item = NULL;
    if (artefacts == NULL)
        return true;
    if (!json_is_object(artefacts) || json_object_size(artefacts) > RECORD_ARTEFACTS_MAX)
        return false;
    json_object_foreach((json_t *)(uintptr_t)artefacts, name, item)
    {
        if (!artefact_is_valid(name, item))
            return false;
    }
    return true;
}

const char *record_artefact_text(const json_t *artefacts, const char *name, const char *member)
{
    return json_text_or(json_object_get(artefacts, name), member, NULL);
}

void record_set_text(char **text, const char *value)
{
    char *copy = mem_copy_text(value);
    mem_free(*text);
    *text = copy;
}
