/*
 * The event that an issue's text was erased: see history_erasure.h.
 */
#include "topics/history_erasure.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"

char *history_erasure_write(const struct history_erasure *erasure, size_t *ret_bytes)
{
    CLEANUP(json_release)
    json_t *value = json_pack(
        "{s:s, s:{s:I, s:s, s:I, s:b}, s:I, s:s}", "what", erasure->names_only ? "names" : "text",
        "repository", "id", (json_int_t)erasure->repository_id, "name", erasure->repository,
        "owner_id", (json_int_t)erasure->owner_id, "private", erasure->is_private ? 1 : 0, "number",
        (json_int_t)erasure->number, "state", erasure->state);
    assert(value != NULL); /* every text in it is UTF-8 */
    return json_write(value, ret_bytes);
}

static int read_name(const json_t *object, const char *name, const char **ret_text,
                     struct error *error)
{
    int code = json_get_text(object, name, ret_text, error);
    if (code == 0 && ((*ret_text)[0] == '\0' || strlen(*ret_text) > ISSUE_NAME_MAX_BYTES))
        code = error_set(error, ERR_INPUT, "the member %s is empty or longer than %d bytes", name,
                         ISSUE_NAME_MAX_BYTES);
    return code;
}

static int read_members(struct history_erasure *erasure, struct error *error)
{
    const json_t *repository = json_object_get(erasure->memory, "repository");
    const char *what = NULL;
    int code = json_get_text(erasure->memory, "what", &what, error);
    if (code == 0) {
        erasure->names_only = strcmp(what, "names") == 0;
        if (!erasure->names_only && strcmp(what, "text") != 0)
            code = error_set(error, ERR_INPUT, "the member what is neither text nor names");
    }
    if (code == 0)
        code = json_get_int(repository, "id", &erasure->repository_id, error);
    if (code == 0)
        code = read_name(repository, "name", &erasure->repository, error);
    if (code == 0)
        code = json_get_int(repository, "owner_id", &erasure->owner_id, error);
    if (code == 0)
        code = json_get_bool(repository, "private", &erasure->is_private, error);
    if (code == 0)
        code = json_get_int(erasure->memory, "number", &erasure->number, error);
    if (code == 0)
        code = read_name(erasure->memory, "state", &erasure->state, error);
    if (code == 0 && (erasure->repository_id <= 0 || erasure->number <= 0 || erasure->owner_id < 0))
        code = error_set(error, ERR_INPUT, "the repository's ids or the number are not above 0");
    return code;
}

int history_erasure_read(const char *value, size_t value_bytes, struct history_erasure *ret_erasure,
                         struct error *error)
{
    CLEANUP(history_erasure_release) struct history_erasure erasure = {.memory = NULL};
    int code = json_read(value, value_bytes, &erasure.memory, error);
    if (code == 0)
        code = read_members(&erasure, error);
    if (code != 0)
        return ERR_INPUT;
    *ret_erasure = erasure;
    erasure = (struct history_erasure){.memory = NULL};
    return 0;
}

void history_erasure_release(struct history_erasure *erasure)
{
    json_decref(erasure->memory);
    *erasure = (struct history_erasure){.memory = NULL};
}

struct event history_erasure_envelope(const struct history_erasure *erasure, const char *source,
                                      int64_t time_ms, char id[HISTORY_ID_BYTES],
                                      char subject[HISTORY_ID_BYTES])
{
    /* Text goes once and for all; names go up to a time. */
    if (erasure->names_only)
        (void)snprintf(id, HISTORY_ID_BYTES, "erased/%lld#%lld/names@%lld",
                       (long long)erasure->repository_id, (long long)erasure->number,
                       (long long)time_ms);
    else
        (void)snprintf(id, HISTORY_ID_BYTES, "erased/%lld#%lld/text",
                       (long long)erasure->repository_id, (long long)erasure->number);
    (void)snprintf(subject, HISTORY_ID_BYTES, "%lld", (long long)erasure->number);
    return (struct event){
        .id = text_of(id),
        .source = text_of(source),
        .type = text_of(HISTORY_ERASED_TYPE),
        .subject = text_of(subject),
        .data_schema = text_of(HISTORY_ERASED_SCHEMA),
        .content_type = text_of("application/json"),
        .repository = text_of(erasure->repository),
        .has_time = true,
        .time_ms = time_ms,
    };
}
