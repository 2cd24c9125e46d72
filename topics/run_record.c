/*
 * The record of `runs`: see run_record.h.
 */
#include "topics/run_record.h"

#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

/* Largest attempt: far beyond any budget. */
#define ATTEMPT_MAX 1000000

/* Every text member. */
static const struct record_text text_rows[] = {
    RECORD_TEXT(struct run_record, run, false),
    RECORD_TEXT(struct run_record, model, false),
    RECORD_TEXT(struct run_record, cause, false),
    RECORD_TEXT(struct run_record, executor, false),
    RECORD_TEXT(struct run_record, host, false),
    RECORD_TEXT(struct run_record, reason, true),
    RECORD_TEXT(struct run_record, spec_sha256, true),
    RECORD_TEXT(struct run_record, repository, false),
    RECORD_TEXT(struct run_record, commit, false),
    RECORD_TEXT(struct run_record, notebook, true),
};
static const struct record_texts texts = {.items = text_rows, .count = ARRAY_COUNT(text_rows)};

struct run_record *run_record_new(void)
{
    return MEM_NEW(struct run_record);
}

void run_record_free(struct run_record *record)
{
    if (record == NULL)
        return;
    record_texts_free(&texts, record);
    json_decref(record->stale);
    json_decref(record->artefacts);
    json_decref(record->erased);
    mem_free(record);
}

struct run_record *run_record_copy(const struct run_record *record)
{
    struct run_record *copy = run_record_new();
    *copy = *record;
    record_texts_own(&texts, copy);
    json_incref(copy->stale); /* nobody changes them in place */
    json_incref(copy->erased);
    json_incref(copy->artefacts);
    return copy;
}

/* ---- writing ---- */

char *run_record_encode(const struct run_record *record, size_t *ret_bytes)
{
    CLEANUP(json_release) json_t *json = json_object();
    record_texts_write(&texts, record, json);
    (void)json_object_set_new(json, "state", json_string(run_state_name(record->state)));
    (void)json_object_set_new(json, "attempt", json_integer((json_int_t)record->attempt));
    (void)json_object_set_new(json, "created_at", record_time_to_json(record->created_ms));
    (void)json_object_set_new(json, "started_at", record_time_to_json(record->started_ms));
    (void)json_object_set_new(json, "ended_at", record_time_to_json(record->ended_ms));
    (void)json_object_set_new(json, "deadline_ms", json_integer((json_int_t)record->deadline_ms));
    (void)json_object_set_new(json, "collected", json_boolean(record->collected));
    (void)json_object_set_new(json, "stale",
                              record->stale != NULL ? json_incref(record->stale) : json_array());
    (void)json_object_set_new(json, "artefacts",
                              record->artefacts != NULL ? json_incref(record->artefacts)
                                                        : json_object());
    if (json_array_size(record->erased) > 0)
        (void)json_object_set(json, "erased", record->erased);
    return json_write(json, ret_bytes);
}

struct event run_record_envelope(const struct run_record *record, bool is_tombstone, int64_t now_ms,
                                 char id[RUN_RECORD_ID_BYTES])
{
    /* Literals that the event borrows. */
    static const char *const types[] = {
#define RUN_TYPE_ROW(name, text, terminal) RUN_RECORD_TYPE text, /* see RUN_STATE_TABLE */
        RUN_STATE_TABLE(RUN_TYPE_ROW)
#undef RUN_TYPE_ROW
    };
    const char *what = is_tombstone                                     ? "deleted"
                       : record->collected && record->artefacts == NULL ? "emptied"
                       : record->collected                              ? "collected"
                                           : run_state_name(record->state);
    const char *type = is_tombstone        ? RUN_RECORD_TYPE "deleted"
                       : record->collected ? RUN_RECORD_TYPE "collected"
                                           : types[record->state];
    (void)snprintf(id, RUN_RECORD_ID_BYTES, "%s/%s", record->run, what);
    return (struct event){
        .id = text_of(id),
        .source = text_of("nodag-trainer"),
        .type = text_of(type),
        .subject = text_of(record->run),
        .data_schema = text_of(RUN_RECORD_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = true,
        .time_ms = now_ms,
    };
}

/* ---- reading ---- */

static int read_parts(const json_t *json, struct run_record *record, struct error *error)
{
    json_t *stale = json_object_get(json, "stale");
    json_t *artefacts = json_object_get(json, "artefacts");
    if (!json_is_array(stale) || json_array_size(stale) > RUN_RECORD_LIST_MAX)
        return error_set(error, ERR_INPUT, "the member stale is no list of texts");
    for (size_t i = 0; i < json_array_size(stale); i++)
        if (!json_is_string(json_array_get(stale, i)) ||
            json_string_length(json_array_get(stale, i)) > RECORD_TEXT_MAX_BYTES)
            return error_set(error, ERR_INPUT, "the member stale is no list of texts");
    if (!json_is_object(artefacts) || !record_artefacts_are_valid(artefacts))
        return error_set(error, ERR_INPUT, "the member artefacts holds something else");
    json_t *erased = json_object_get(json, "erased");
    if (!record_erased_is_valid(erased))
        return error_set(error, ERR_INPUT, "the member erased holds something else");
    record->erased = json_array_size(erased) > 0 ? json_incref(erased) : NULL;
    record->stale = json_array_size(stale) > 0 ? json_incref(stale) : NULL;
    record->artefacts = json_object_size(artefacts) > 0 ? json_incref(artefacts) : NULL;
    return 0;
}

static int read_numbers(const json_t *json, struct run_record *record, struct error *error)
{
    int64_t attempt = 0;
    const char *state = NULL;
    int code = json_get_text(json, "state", &state, error);
    if (code == 0 && !run_state_from_name(state, &record->state))
        code = error_set(error, ERR_INPUT, "the member state is none of them");
    if (code == 0)
        code = json_get_int(json, "attempt", &attempt, error);
    if (code == 0 && (attempt < 1 || attempt > ATTEMPT_MAX))
        code = error_set(error, ERR_INPUT, "the member attempt must lie in 1..%d", ATTEMPT_MAX);
    if (code == 0)
        code = json_get_int(json, "deadline_ms", &record->deadline_ms, error);
    if (code == 0 && record->deadline_ms < 0)
        code = error_set(error, ERR_INPUT, "the member deadline_ms is below 0");
    if (code == 0)
        code = json_get_bool(json, "collected", &record->collected, error);
    if (code == 0)
        code = record_read_time(json, "created_at", &record->created_ms, error);
    if (code == 0)
        code = record_read_time(json, "started_at", &record->started_ms, error);
    if (code == 0)
        code = record_read_time(json, "ended_at", &record->ended_ms, error);
    record->attempt = (uint32_t)attempt;
    if (code == 0 && run_state_is_terminal(record->state) != (record->ended_ms > 0))
        code = error_set(error, ERR_INPUT, "state and ended_at contradict each other");
    return code;
}

int run_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                      struct run_record **ret_record, struct error *error)
{
    CLEANUP(json_release) json_t *json = NULL;
    CLEANUP(run_record_free) struct run_record *record = run_record_new();
    int code = json_read(value, value_bytes, &json, error);
    if (code == 0)
        code = record_texts_read(&texts, json, record, error);
    if (code == 0)
        code = read_numbers(json, record, error);
    if (code == 0)
        code = read_parts(json, record, error);
    code = record_read_end(code, record->run, key, key_bytes, error);
    if (code == 0)
        *ret_record = TAKE(record);
    return code;
}
