/*
 * The record of `models`: see model_record.h.
 */
#include "topics/model_record.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"

/* Every text member of the outermost object. */
static const struct record_text text_rows[] = {
    RECORD_TEXT(struct model_record, model, false),
    RECORD_TEXT(struct model_record, version, false),
    RECORD_TEXT(struct model_record, run, false),
    RECORD_TEXT(struct model_record, repository, false),
    RECORD_TEXT(struct model_record, commit, false),
    RECORD_TEXT(struct model_record, notebook, true),
};
static const struct record_texts texts = {.items = text_rows, .count = ARRAY_COUNT(text_rows)};

struct model_record *model_record_new(void)
{
    return MEM_NEW(struct model_record);
}

void model_record_free(struct model_record *record)
{
    if (record == NULL)
        return;
    record_texts_free(&texts, record);
    mem_free(record->snapshot);
    json_decref(record->artefacts);
    json_decref(record->erased);
    json_decref(record->metrics);
    json_decref(record->thresholds);
    json_decref(record->offsets);
    mem_free(record);
}

struct model_record *model_record_copy(const struct model_record *record)
{
    struct model_record *copy = model_record_new();
    *copy = *record;
    record_texts_own(&texts, copy);
    copy->snapshot = mem_copy_text(record->snapshot);
    json_incref(copy->erased);
    json_incref(copy->artefacts); /* nobody changes them in place */
    json_incref(copy->metrics);
    json_incref(copy->thresholds);
    json_incref(copy->offsets);
    return copy;
}

/* ---- writing ---- */

static json_t *object_or_empty(json_t *object)
{
    return object != NULL ? json_incref(object) : json_object();
}

char *model_record_encode(const struct model_record *record, size_t *ret_bytes)
{
    CLEANUP(json_release) json_t *json = json_object();
    json_t *snapshot = json_object();
    record_texts_write(&texts, record, json);
    (void)json_object_set_new(snapshot, "sha256",
                              json_string(record->snapshot != NULL ? record->snapshot : ""));
    (void)json_object_set_new(snapshot, "taken_at", record_time_to_json(record->snapshot_ms));
    (void)json_object_set_new(snapshot, "offsets",
                              record->offsets != NULL ? json_incref(record->offsets) : json_null());
    (void)json_object_set_new(json, "snapshot", snapshot);
    (void)json_object_set_new(json, "artefacts", object_or_empty(record->artefacts));
    (void)json_object_set_new(json, "metrics", object_or_empty(record->metrics));
    (void)json_object_set_new(json, "thresholds", object_or_empty(record->thresholds));
    (void)json_object_set_new(json, "created_at", record_time_to_json(record->created_ms));
    (void)json_object_set_new(json, "collected", json_boolean(record->collected));
    if (json_array_size(record->erased) > 0)
        (void)json_object_set(json, "erased", record->erased);
    if (record->order > 0)
        (void)json_object_set_new(json, "order", json_integer((json_int_t)record->order));
    return json_write(json, ret_bytes);
}

int model_record_key(const struct model_record *record, char ret_key[SUBJECT_KEY_BYTES])
{
    int bytes = snprintf(ret_key, SUBJECT_KEY_BYTES, "%s/%s", record->model, record->version);
    return bytes >= 0 && bytes < SUBJECT_KEY_BYTES ? 0 : ERR_TOO_LARGE;
}

struct event model_record_envelope(const struct model_record *record, int64_t now_ms,
                                   char id[MODEL_RECORD_ID_BYTES])
{
    (void)snprintf(id, MODEL_RECORD_ID_BYTES, "%s/%s/%s", record->model, record->version,
                   record->collected ? "collected" : "made");
    return (struct event){
        .id = text_of(id),
        .source = text_of("nodag-trainer"),
        .type = text_of(record->collected ? MODEL_COLLECTED_TYPE : MODEL_RECORD_TYPE),
        .subject = text_of(record->version),
        .data_schema = text_of(MODEL_RECORD_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = true,
        .time_ms = now_ms,
    };
}

json_t *model_thresholds_of(const json_t *metrics)
{
    json_t *thresholds = json_object();
    const json_t *labels = json_object_get(metrics, "labels");
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *label = json_array_get(labels, i);
        json_t *threshold = json_object_get(label, "threshold");
        const char *name = json_text_or(label, "name", NULL);
        if (name != NULL && json_is_number(threshold))
            (void)json_object_set(thresholds, name, threshold);
    }
    return thresholds;
}

/* ---- reading ---- */

static int read_object(const json_t *json, const char *name, json_t **ret_object,
                       struct error *error)
{
    json_t *object = json_object_get(json, name);
    if (!json_is_object(object))
        return error_set(error, ERR_INPUT, "the member %s is no object", name);
    *ret_object = json_incref(object);
    return 0;
}

static int read_snapshot(const json_t *json, struct model_record *record, struct error *error)
{
    const json_t *snapshot = json_object_get(json, "snapshot");
    uint8_t digest[DIGEST_BYTES];
    int code = record_read_text(snapshot, "sha256", true, &record->snapshot, error);
    if (code == 0 && record->snapshot[0] != '\0' &&
        digest_from_text(record->snapshot, strlen(record->snapshot), digest) != 0)
        code = error_set(error, ERR_INPUT, "the member snapshot.sha256 is none");
    if (code == 0)
        code = record_read_time(snapshot, "taken_at", &record->snapshot_ms, error);
    json_t *offsets = json_object_get(snapshot, "offsets");
    if (code == 0 && offsets != NULL && !json_is_null(offsets))
        record->offsets = json_incref(offsets);
    return code;
}

static int read_parts(const json_t *json, struct model_record *record, struct error *error)
{
    const char *label = NULL;
    json_t *threshold = NULL;
    int code = read_object(json, "artefacts", &record->artefacts, error);
    if (code == 0 && (!record_artefacts_are_valid(record->artefacts) ||
                      json_object_get(record->artefacts, "model") == NULL))
        code = error_set(error, ERR_INPUT, "the member artefacts has no model, or something else");
    if (code == 0)
        code = read_object(json, "metrics", &record->metrics, error);
    if (code == 0)
        code = read_object(json, "thresholds", &record->thresholds, error);
    if (code != 0)
        return code;
    json_object_foreach(record->thresholds, label, threshold)
    {
        if (!json_is_number(threshold))
            return error_set(error, ERR_INPUT, "the member thresholds holds something else");
    }
    return 0;
}

/* What only a record has that was rewritten because of an erasure. */
static int read_erased(const json_t *json, struct model_record *record, struct error *error)
{
    json_t *erased = json_object_get(json, "erased");
    record->order = json_int_or(json, "order", 0);
    if (!record_erased_is_valid(erased) || record->order < 0)
        return error_set(error, ERR_INPUT, "the members erased and order hold something else");
    record->erased = json_array_size(erased) > 0 ? json_incref(erased) : NULL;
    return 0;
}

static int read_record(const json_t *json, struct model_record *record, struct error *error)
{
    int code = record_texts_read(&texts, json, record, error);
    if (code == 0)
        code = record_read_time(json, "created_at", &record->created_ms, error);
    if (code == 0)
        code = json_get_bool(json, "collected", &record->collected, error);
    if (code == 0)
        code = read_snapshot(json, record, error);
    if (code == 0)
        code = read_erased(json, record, error);
    return code == 0 ? read_parts(json, record, error) : code;
}

int model_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                        struct model_record **ret_record, struct error *error)
{
    CLEANUP(json_release) json_t *json = NULL;
    CLEANUP(model_record_free) struct model_record *record = model_record_new();
    char own_key[SUBJECT_KEY_BYTES];
    int code = json_read(value, value_bytes, &json, error);
    if (code == 0)
        code = read_record(json, record, error);
    bool has_key = code == 0 && model_record_key(record, own_key) == 0;
    code = record_read_end(code, has_key ? own_key : NULL, key, key_bytes, error);
    if (code == 0)
        *ret_record = TAKE(record);
    return code;
}
