/*
 * The record of `git.pushes`: see git_push.h.
 */
#include "topics/git_push.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"

/* ---- the key ---- */

int git_push_key(const char *repository, const char *ref, char ret_key[SUBJECT_KEY_BYTES])
{
    int bytes = snprintf(ret_key, SUBJECT_KEY_BYTES, "%s|%s", repository, ref);
    return bytes >= 0 && bytes < SUBJECT_KEY_BYTES ? 0 : ERR_TOO_LARGE;
}

int git_push_key_parse(const char *key, size_t key_bytes, struct text *ret_repository,
                       struct text *ret_ref)
{
    const char *bar = key_bytes > 0 ? memchr(key, '|', key_bytes) : NULL;
    if (bar == NULL || bar == key || bar + 1 == key + key_bytes || key_bytes >= SUBJECT_KEY_BYTES)
        return ERR_INPUT;
    *ret_repository = (struct text){.data = key, .bytes = (size_t)(bar - key)};
    *ret_ref = (struct text){.data = bar + 1, .bytes = key_bytes - ret_repository->bytes - 1};
    return 0;
}

/* ---- writing ---- */

/* A time, or null. */
static json_t *make_time(bool has_time, int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    if (!has_time)
        return json_null();
    time_to_text(time_ms, text);
    return json_string(text);
}

static json_t *make_commits(const struct git_push *push)
{
    json_t *list = json_array();
    for (size_t i = 0; i < push->commit_count; i++) {
        const struct git_push_commit *commit = &push->commits[i];
        json_t *item =
            json_pack("{s:s, s:s, s:s, s:o}", "id", commit->id, "author", commit->author, "subject",
                      commit->subject, "time", make_time(commit->has_time, commit->time_ms));
        assert(item != NULL);
        (void)json_array_append_new(list, item);
    }
    return list;
}

static json_t *make_paths(const struct git_push *push)
{
    json_t *list = json_array();
    for (size_t i = 0; i < push->path_count; i++) {
        json_t *path = json_string(push->paths[i]);
        assert(path != NULL);
        (void)json_array_append_new(list, path);
    }
    return list;
}

char *git_push_write(const struct git_push *push, size_t *ret_bytes)
{
    assert(push->move >= 1 && (push->old_id != NULL || push->new_id != NULL));
    CLEANUP(json_release)
    json_t *record =
        json_pack("{s:s, s:s, s:s?, s:s?, s:I, s:b, s:b, s:b, s:o, s:o, s:o, s:{s:b, s:b}}",
                  "repository", push->repository, "ref", push->ref, "old", push->old_id, "new",
                  push->new_id, "move", (json_int_t)push->move, "created",
                  push->old_id == NULL ? 1 : 0, "deleted", push->new_id == NULL ? 1 : 0, "forced",
                  push->forced ? 1 : 0, "time", make_time(push->has_time, push->time_ms), "commits",
                  make_commits(push), "paths", make_paths(push), "truncated", "commits",
                  push->commits_truncated ? 1 : 0, "paths", push->paths_truncated ? 1 : 0);
    assert(record != NULL);
    return json_write(record, ret_bytes);
}

struct event git_push_envelope(const struct git_push *push, char id[GIT_PUSH_ID_BYTES])
{
    (void)snprintf(id, GIT_PUSH_ID_BYTES, "%s|%s|%s|%s|%lld", push->repository, push->ref,
                   push->old_id != NULL ? push->old_id : "",
                   push->new_id != NULL ? push->new_id : "", (long long)push->move);
    return (struct event){
        .id = text_of(id),
        .source = text_of(push->repository),
        .type = text_of(GIT_PUSH_TYPE),
        .subject = text_of(push->ref),
        .data_schema = text_of(GIT_PUSH_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = push->has_time,
        .time_ms = push->time_ms,
    };
}

/* ---- reading ---- */

/* Reads a text member that may be null. */
static int read_optional(const json_t *record, const char *name, const char **ret_text,
                         struct error *error)
{
    int code = json_get_text(record, name, ret_text, error);
    if (code != ERR_NOT_FOUND)
        return code;
    *ret_text = NULL;
    return json_object_get(record, name) != NULL
               ? 0
               : error_set(error, ERR_INPUT, "the member %s is missing", name);
}

static int read_time(const json_t *record, bool *ret_has_time, int64_t *ret_time_ms,
                     struct error *error)
{
    const char *text = NULL;
    int code = read_optional(record, "time", &text, error);
    *ret_has_time = code == 0 && text != NULL;
    if (!*ret_has_time)
        return code;
    code = time_from_text(text, strlen(text), ret_time_ms);
    return code == 0 ? 0 : error_set(error, ERR_INPUT, "the member time is no RFC 3339 time");
}

static int read_commit(const json_t *item, struct git_push_commit *commit, struct error *error)
{
    int code = json_get_text(item, "id", &commit->id, error);
    if (code == 0)
        code = json_get_text(item, "author", &commit->author, error);
    if (code == 0)
        code = json_get_text(item, "subject", &commit->subject, error);
    return code == 0 ? read_time(item, &commit->has_time, &commit->time_ms, error) : code;
}

static int read_commits(const json_t *record, struct git_push *push, struct error *error)
{
    const json_t *list = json_object_get(record, "commits");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > GIT_PUSH_COMMITS_MAX)
        return error_set(error, ERR_INPUT, "commits is no list of at most %d",
                         GIT_PUSH_COMMITS_MAX);
    push->commits = mem_alloc_array(count, sizeof(*push->commits));
    int code = 0;
    for (; push->commit_count < count && code == 0; push->commit_count++)
        code = read_commit(json_array_get(list, push->commit_count),
                           &push->commits[push->commit_count], error);
    return code;
}

static int read_paths(const json_t *record, struct git_push *push, struct error *error)
{
    const json_t *list = json_object_get(record, "paths");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > GIT_PUSH_PATHS_MAX)
        return error_set(error, ERR_INPUT, "paths is no list of at most %d", GIT_PUSH_PATHS_MAX);
    push->paths = mem_alloc_array(count, sizeof(*push->paths));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *path = json_string_value(item);
        if (path == NULL || strlen(path) != json_string_length(item))
            return error_set(error, ERR_INPUT, "paths holds something that is no text");
        push->paths[push->path_count++] = path;
    }
    return 0;
}

static int read_flags(const json_t *record, struct git_push *push, struct error *error)
{
    bool created = false;
    bool deleted = false;
    const json_t *truncated = json_object_get(record, "truncated");
    int code = json_get_bool(record, "created", &created, error);
    if (code == 0)
        code = json_get_bool(record, "deleted", &deleted, error);
    if (code == 0)
        code = json_get_bool(record, "forced", &push->forced, error);
    if (code == 0)
        code = json_get_bool(truncated, "commits", &push->commits_truncated, error);
    if (code == 0)
        code = json_get_bool(truncated, "paths", &push->paths_truncated, error);
    if (code != 0)
        return code;
    if (created != (push->old_id == NULL) || deleted != (push->new_id == NULL) ||
        (created && deleted) || (push->forced && (created || deleted)))
        return error_set(error, ERR_INPUT,
                         "created, deleted, forced, old and new contradict each other");
    return 0;
}

static int read_record(const json_t *record, struct git_push *push, struct error *error)
{
    int code = json_get_text(record, "repository", &push->repository, error);
    if (code == 0)
        code = json_get_text(record, "ref", &push->ref, error);
    if (code == 0)
        code = read_optional(record, "old", &push->old_id, error);
    if (code == 0)
        code = read_optional(record, "new", &push->new_id, error);
    if (code == 0)
        code = json_get_int(record, "move", &push->move, error);
    if (code == 0 && push->move < 1)
        code = error_set(error, ERR_INPUT, "the member move is below 1");
    if (code == 0)
        code = read_time(record, &push->has_time, &push->time_ms, error);
    if (code == 0)
        code = read_flags(record, push, error);
    if (code == 0)
        code = read_commits(record, push, error);
    return code == 0 ? read_paths(record, push, error) : code;
}

int git_push_read(const char *value, size_t value_bytes, struct git_push *ret_push,
                  struct error *error)
{
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    int code = json_read(value, value_bytes, &push.memory, error);
    if (code == 0)
        code = read_record(push.memory, &push, error);
    if (code != 0)
        return code == ERR_NOT_FOUND ? ERR_INPUT : code;
    *ret_push = push;
    push = (struct git_push){.memory = NULL};
    return 0;
}

void git_push_release(struct git_push *push)
{
    json_decref(push->memory);
    free(push->commits);
    free(push->paths);
    *push = (struct git_push){.memory = NULL};
}
