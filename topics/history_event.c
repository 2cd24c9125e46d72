/*
 * Events of nodag's own on `github.events`: see history_event.h.
 */
#include "topics/history_event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/subject.h"

/* ---- writing ---- */

static json_t *write_time(int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    if (time_ms < 0)
        return json_null();
    time_to_text(time_ms, text);
    return json_string(text);
}

static json_t *write_text(struct text text)
{
    return text.data == NULL ? json_null() : json_stringn(text.data, text.bytes);
}

static json_t *write_actor(const struct history_actor *actor)
{
    if (actor->login == NULL)
        return json_null();
    return json_pack("{s:s, s:s?}", "login", actor->login, "type", actor->type);
}

static json_t *write_labels(const struct history_issue *issue)
{
    json_t *list = json_array();
    for (size_t i = 0; i < issue->label_count; i++)
        (void)json_array_append_new(list, json_string(issue->labels[i]));
    return list;
}

static json_t *write_timeline(const struct history_issue *issue)
{
    if (!issue->has_timeline)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < issue->timeline_count; i++) {
        const struct history_action *action = &issue->timeline[i];
        json_t *item = json_pack(
            "{s:s, s:s, s:o, s:o}", "action", action->is_added ? "labeled" : "unlabeled", "label",
            action->label, "at", write_time(action->time_ms), "actor", write_actor(&action->actor));
        assert(item != NULL);
        (void)json_array_append_new(list, item);
    }
    return list;
}

char *history_issue_write(const struct history_issue *issue, size_t *ret_bytes)
{
    CLEANUP(json_release)
    json_t *value = json_pack(
        "{s:{s:I, s:s, s:I, s:b}, s:{s:I, s:o, s:o, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:b}, s:o}",
        "repository", "id", (json_int_t)issue->repository_id, "name", issue->repository, "owner_id",
        (json_int_t)issue->owner_id, "private", issue->is_private ? 1 : 0, "issue", "number",
        (json_int_t)issue->number, "title", write_text(issue->title), "body",
        write_text(issue->body), "state", issue->state, "state_reason", issue->state_reason,
        "created_at", write_time(issue->created_ms), "updated_at", write_time(issue->updated_ms),
        "closed_at", write_time(issue->closed_ms), "author", write_actor(&issue->author), "labels",
        write_labels(issue), "pull_request", issue->is_pull_request ? 1 : 0, "timeline",
        write_timeline(issue));
    assert(value != NULL); /* every text in it is UTF-8 */
    return json_write(value, ret_bytes);
}

struct event history_issue_envelope(const struct history_issue *issue, const char *source,
                                    const char *value, size_t value_bytes,
                                    char id[HISTORY_ID_BYTES], char subject[HISTORY_ID_BYTES])
{
    (void)snprintf(id, HISTORY_ID_BYTES, "issue/%lld#%lld@%lld/%016" PRIx64,
                   (long long)issue->repository_id, (long long)issue->number,
                   (long long)issue->updated_ms, issue_hash_id(value, value_bytes));
    (void)snprintf(subject, HISTORY_ID_BYTES, "%lld", (long long)issue->number);
    return (struct event){
        .id = text_of(id),
        .source = text_of(source),
        .type = text_of(HISTORY_ISSUE_TYPE),
        .subject = text_of(subject),
        .data_schema = text_of(HISTORY_ISSUE_SCHEMA),
        .content_type = text_of("application/json"),
        .repository = text_of(issue->repository),
        .has_time = true,
        .time_ms = issue->updated_ms,
    };
}

/* ---- reading ---- */

/* Reads a name: not empty, bounded; NULL where it is null and may be. */
static int read_name(const json_t *object, const char *name, bool may_be_null,
                     const char **ret_text, struct error *error)
{
    int code = json_get_text(object, name, ret_text, error);
    if (code == ERR_NOT_FOUND && may_be_null) {
        *ret_text = NULL;
        return 0;
    }
    if (code == 0 && ((*ret_text)[0] == '\0' || strlen(*ret_text) > ISSUE_NAME_MAX_BYTES))
        code = error_set(error, ERR_INPUT, "the member %s is empty or longer than %d bytes", name,
                         ISSUE_NAME_MAX_BYTES);
    return code;
}

static int read_time(const json_t *object, const char *name, bool may_be_null, int64_t *ret_time_ms,
                     struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(object, name, &text, error);
    *ret_time_ms = -1;
    if (code == ERR_NOT_FOUND && may_be_null)
        return 0;
    if (code == 0 && time_from_text(text, strlen(text), ret_time_ms) != 0)
        code = error_set(error, ERR_INPUT, "the member %s is no RFC 3339 time", name);
    return code;
}

static int read_text(const json_t *object, const char *name, bool may_be_null,
                     struct text *ret_text, struct error *error)
{
    const json_t *item = json_object_get(object, name);
    *ret_text = (struct text){.data = NULL};
    if (may_be_null && json_is_null(item))
        return 0;
    if (!json_is_string(item) || json_string_length(item) > ISSUE_TEXT_MAX_BYTES)
        return error_set(error, ERR_INPUT, "the member %s is no text of at most %zu bytes", name,
                         ISSUE_TEXT_MAX_BYTES);
    *ret_text = (struct text){.data = json_string_value(item), .bytes = json_string_length(item)};
    return 0;
}

static int read_actor(const json_t *object, const char *name, struct history_actor *ret_actor,
                      struct error *error)
{
    const json_t *actor = json_object_get(object, name);
    *ret_actor = (struct history_actor){.login = NULL};
    if (json_is_null(actor))
        return 0;
    int code = read_name(actor, "login", false, &ret_actor->login, error);
    return code == 0 ? read_name(actor, "type", true, &ret_actor->type, error) : code;
}

static int read_labels(const json_t *object, struct history_issue *issue, struct error *error)
{
    const json_t *list = json_object_get(object, "labels");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > ISSUE_LABELS_MAX)
        return error_set(error, ERR_INPUT, "the member labels is no list of at most %d",
                         ISSUE_LABELS_MAX);
    issue->labels = mem_alloc_array(count, sizeof(issue->labels[0]));
    for (; issue->label_count < count; issue->label_count++) {
        const json_t *item = json_array_get(list, issue->label_count);
        const char *name = json_string_value(item);
        size_t bytes = json_string_length(item);
        if (name == NULL || bytes == 0 || bytes > ISSUE_NAME_MAX_BYTES || strlen(name) != bytes)
            return error_set(error, ERR_INPUT, "the member labels holds something that is no name");
        issue->labels[issue->label_count] = name;
    }
    return 0;
}

static int read_action(const json_t *item, struct history_action *action, struct error *error)
{
    const char *what = NULL;
    int code = json_get_text(item, "action", &what, error);
    if (code != 0)
        return code;
    action->is_added = strcmp(what, "labeled") == 0;
    if (!action->is_added && strcmp(what, "unlabeled") != 0)
        return error_set(error, ERR_INPUT, "the member action is neither labeled nor unlabeled");
    code = read_name(item, "label", false, &action->label, error);
    if (code == 0)
        code = read_time(item, "at", false, &action->time_ms, error);
    return code == 0 ? read_actor(item, "actor", &action->actor, error) : code;
}

static int read_timeline(const json_t *root, struct history_issue *issue, struct error *error)
{
    const json_t *list = json_object_get(root, "timeline");
    size_t count = json_array_size(list);
    if (json_is_null(list))
        return 0;
    if (!json_is_array(list) || count > HISTORY_TIMELINE_MAX)
        return error_set(error, ERR_INPUT, "the member timeline is no list of at most %d",
                         HISTORY_TIMELINE_MAX);
    issue->has_timeline = true;
    issue->timeline = mem_alloc_array(count, sizeof(issue->timeline[0]));
    int code = 0;
    for (; issue->timeline_count < count && code == 0; issue->timeline_count++)
        code = read_action(json_array_get(list, issue->timeline_count),
                           &issue->timeline[issue->timeline_count], error);
    return code;
}

static int read_repository(const json_t *root, struct history_issue *issue, struct error *error)
{
    const json_t *repository = json_object_get(root, "repository");
    int code = json_get_int(repository, "id", &issue->repository_id, error);
    if (code == 0)
        code = read_name(repository, "name", false, &issue->repository, error);
    if (code == 0)
        code = json_get_int(repository, "owner_id", &issue->owner_id, error);
    if (code == 0 && (issue->repository_id <= 0 || issue->owner_id < 0))
        code = error_set(error, ERR_INPUT, "the repository's ids are not above 0");
    return code == 0 ? json_get_bool(repository, "private", &issue->is_private, error) : code;
}

static int read_issue(const json_t *root, struct history_issue *issue, struct error *error)
{
    const json_t *object = json_object_get(root, "issue");
    int code = json_get_int(object, "number", &issue->number, error);
    if (code == 0 && issue->number <= 0)
        code = error_set(error, ERR_INPUT, "the member number is not above 0");
    if (code == 0)
        code = read_text(object, "title", false, &issue->title, error);
    if (code == 0)
        code = read_text(object, "body", true, &issue->body, error);
    if (code == 0)
        code = read_name(object, "state", false, &issue->state, error);
    if (code == 0)
        code = read_name(object, "state_reason", true, &issue->state_reason, error);
    if (code == 0)
        code = read_time(object, "created_at", false, &issue->created_ms, error);
    if (code == 0)
        code = read_time(object, "updated_at", false, &issue->updated_ms, error);
    if (code == 0)
        code = read_time(object, "closed_at", true, &issue->closed_ms, error);
    if (code == 0)
        code = read_actor(object, "author", &issue->author, error);
    if (code == 0)
        code = json_get_bool(object, "pull_request", &issue->is_pull_request, error);
    return code == 0 ? read_labels(object, issue, error) : code;
}

int history_issue_read(const char *value, size_t value_bytes, struct history_issue *ret_issue,
                       struct error *error)
{
    CLEANUP(history_issue_release) struct history_issue issue = {.memory = NULL};
    int code = json_read(value, value_bytes, &issue.memory, error);
    if (code == 0)
        code = read_repository(issue.memory, &issue, error);
    if (code == 0)
        code = read_issue(issue.memory, &issue, error);
    if (code == 0)
        code = read_timeline(issue.memory, &issue, error);
    if (code != 0)
        return ERR_INPUT;
    *ret_issue = issue;
    issue = (struct history_issue){.memory = NULL};
    return 0;
}

void history_issue_release(struct history_issue *issue)
{
    json_decref(issue->memory);
    mem_free(issue->labels);
    mem_free(issue->timeline);
    *issue = (struct history_issue){.memory = NULL};
}

/* ---- withdrawals ---- */

char *history_withdrawal_write(const struct history_withdrawal *withdrawal, size_t *ret_bytes)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < withdrawal->repository_count; i++)
        (void)json_array_append_new(ids, json_integer(withdrawal->repositories[i]));
    CLEANUP(json_release)
    json_t *value = json_pack("{s:s, s:o, s:I}", "reason", issue_gone_name(withdrawal->reason),
                              "repositories", ids, "owner_id", (json_int_t)withdrawal->owner_id);
    assert(value != NULL);
    return json_write(value, ret_bytes);
}

static int read_reason(const json_t *root, enum issue_gone *ret_reason, struct error *error)
{
    const char *text = json_text_or(root, "reason", "");
    for (size_t i = ISSUE_LIVE + 1; i < ISSUE_GONE_COUNT; i++) {
        if (strcmp(text, issue_gone_name((enum issue_gone)i)) != 0)
            continue;
        *ret_reason = (enum issue_gone)i;
        return 0;
    }
    return error_set(error, ERR_INPUT, "the member reason is unknown");
}

int history_withdrawal_read(const char *value, size_t value_bytes,
                            struct history_withdrawal *ret_withdrawal, struct error *error)
{
    CLEANUP(json_release) json_t *root = NULL;
    struct history_withdrawal withdrawal = {.repositories = NULL};
    int code = json_read(value, value_bytes, &root, error);
    if (code == 0)
        code = read_reason(root, &withdrawal.reason, error);
    if (code == 0)
        code = json_get_int(root, "owner_id", &withdrawal.owner_id, error);
    const json_t *ids = code == 0 ? json_object_get(root, "repositories") : NULL;
    size_t count = json_array_size(ids);
    if (code != 0 || !json_is_array(ids) || count > HISTORY_REPOSITORIES_MAX)
        return code != 0 ? ERR_INPUT
                         : error_set(error, ERR_INPUT, "repositories is no list of at most %d",
                                     HISTORY_REPOSITORIES_MAX);
    CLEANUP(mem_free) int64_t *list = mem_alloc_array(count, sizeof(*list));
    for (; withdrawal.repository_count < count; withdrawal.repository_count++) {
        const json_t *item = json_array_get(ids, withdrawal.repository_count);
        if (!json_is_integer(item))
            return error_set(error, ERR_INPUT, "repositories holds something that is no id");
        list[withdrawal.repository_count] = json_integer_value(item);
    }
    withdrawal.repositories = TAKE(list);
    *ret_withdrawal = withdrawal;
    return 0;
}
