/*
 * Freshness over HTTP: see needs_sync.h.
 */
#include "reactors/trainer/needs_sync.h"

#include <string.h>

#include "base/json_text.h"

static bool is_plain(const json_t *value)
{
    if (json_is_string(value))
        return json_string_length(value) <= NEEDS_SYNC_TEXT_MAX_BYTES &&
               strlen(json_string_value(value)) == json_string_length(value);
    return json_is_number(value) || json_is_boolean(value);
}

static int read_parameters(const json_t *json, struct needs_sync *answer, struct error *error)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_t *parameters = json_object_get(json, "parameters");
    if (parameters == NULL || json_is_null(parameters))
        return 0;
    if (!json_is_object(parameters) || json_object_size(parameters) > NEEDS_SYNC_PARAMETERS_MAX)
        return error_set(error, ERR_INPUT, "`parameters` must be an object of at most %d",
                         NEEDS_SYNC_PARAMETERS_MAX);
    json_object_foreach(parameters, name, value)
    {
        if (strlen(name) > NEEDS_SYNC_TEXT_MAX_BYTES || !is_plain(value))
            return error_set(error, ERR_INPUT,
                             "`parameters` must hold texts of at most %d bytes, numbers and truths",
                             NEEDS_SYNC_TEXT_MAX_BYTES);
    }
    if (json_object_size(parameters) > 0)
        answer->parameters = json_incref(parameters);
    return 0;
}

int needs_sync_read(const char *text, size_t text_bytes, struct needs_sync *ret_answer,
                    struct error *error)
{
    CLEANUP(json_release) json_t *json = NULL;
    struct needs_sync answer = {0};
    if (text_bytes > NEEDS_SYNC_MAX_BYTES)
        return error_set(error, ERR_INPUT, "the answer is larger than %zu bytes",
                         NEEDS_SYNC_MAX_BYTES);
    int code = json_read(text, text_bytes, &json, error);
    if (code != 0)
        return code;
    if (strcmp(json_text_or(json, "kind", "NeedsSync"), "NeedsSync") != 0)
        return error_set(error, ERR_INPUT, "`kind` must be NeedsSync");
    if (json_array_size(json_object_get(json, "errors")) > 0)
        return error_set(error, ERR_INPUT, "the answer has errors of its own");
    code = json_get_bool(json, "needsSync", &answer.needs_sync, error);
    if (code == ERR_NOT_FOUND)
        return error_set(error, ERR_INPUT, "`needsSync` is missing");
    if (code == 0)
        code = read_parameters(json, &answer, error);
    if (code == 0)
        *ret_answer = answer;
    return code;
}

void needs_sync_release(struct needs_sync *answer)
{
    json_decref(answer->parameters);
    *answer = (struct needs_sync){0};
}

char *needs_sync_write(bool needs_sync, json_t *parameters, const char *fault, size_t *ret_bytes)
{
    json_t *errors = json_array();
    if (fault != NULL)
        (void)json_array_append_new(errors, json_string(fault));
    CLEANUP(json_release)
    json_t *json =
        json_pack("{s:s, s:s, s:b, s:O, s:o}", "kind", "NeedsSync", "apiVersion", "v1alpha1",
                  "needsSync", needs_sync ? 1 : 0, "parameters", parameters, "errors", errors);
    return json_write(json, ret_bytes);
}
