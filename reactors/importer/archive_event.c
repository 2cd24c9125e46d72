/*
 * Lines of GH Archive: see archive_event.h.
 */
#include "reactors/importer/archive_event.h"

#include <stdbool.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/spec_value.h"

/* Types of events that carry an issue. */
static const char *const issue_types[] = {"IssuesEvent", "IssueCommentEvent"};

/* Returns true if the line may be about an issue: it has the name of such an event somewhere. */
static bool may_be_issue(const char *line, size_t line_bytes)
{
    for (size_t i = 0; i < ARRAY_COUNT(issue_types); i++) {
        if (memmem(line, line_bytes, issue_types[i], strlen(issue_types[i])) != NULL)
            return true;
    }
    return false;
}

static bool is_issue_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_COUNT(issue_types); i++) {
        if (strcmp(type, issue_types[i]) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(const char *repository, const char *const *globs, size_t glob_count)
{
    for (size_t i = 0; i < glob_count; i++) {
        if (spec_glob_matches(globs[i], repository))
            return true;
    }
    return false;
}

/* ---- the issue ---- */

/* Reads a time; -1 where it is absent or null. */
static int read_time(const json_t *object, const char *name, int64_t *ret_time_ms,
                     struct error *error)
{
    const json_t *member = json_object_get(object, name);
    *ret_time_ms = -1;
    if (member == NULL || json_is_null(member))
        return 0;
    const char *text = json_string_value(member);
    if (text == NULL || time_from_text(text, strlen(text), ret_time_ms) != 0)
        return error_set(error, ERR_INPUT, "%s is not a time", name);
    return 0;
}

static int read_times(const json_t *root, const json_t *source, struct history_issue *issue,
                      struct error *error)
{
    int code = read_time(source, "created_at", &issue->created_ms, error);
    if (code == 0)
        code = read_time(source, "updated_at", &issue->updated_ms, error);
    if (code == 0)
        code = read_time(source, "closed_at", &issue->closed_ms, error);
    if (code == 0 && issue->updated_ms < 0)
        code = read_time(root, "created_at", &issue->updated_ms, error);
    if (code == 0 && (issue->created_ms < 0 || issue->updated_ms < 0))
        code = error_set(error, ERR_INPUT, "the issue has no created_at or updated_at");
    return code;
}

static int read_labels(const json_t *source, struct history_issue *issue, struct error *error)
{
    const json_t *labels = json_object_get(source, "labels");
    if (labels != NULL && !json_is_null(labels) && !json_is_array(labels))
        return error_set(error, ERR_INPUT, "the issue's labels are not a list");
    issue->labels = mem_alloc_array(json_array_size(labels), sizeof(*issue->labels));
    for (; issue->label_count < json_array_size(labels); issue->label_count++) {
        const json_t *name = json_object_get(json_array_get(labels, issue->label_count), "name");
        const char *text = json_string_value(name);
        if (text == NULL || strlen(text) != json_string_length(name))
            return error_set(error, ERR_INPUT, "one of the issue's labels has no name");
        issue->labels[issue->label_count] = text;
    }
    return 0;
}

static struct text read_text(const json_t *source, const char *name)
{
    const json_t *member = json_object_get(source, name);
    return (struct text){.data = json_string_value(member), .bytes = json_string_length(member)};
}

static int read_issue(const json_t *root, const json_t *source, struct history_issue *issue,
                      struct error *error)
{
    const json_t *author = json_object_get(source, "user");
    issue->number = json_int_or(source, "number", 0);
    issue->title = read_text(source, "title");
    issue->body = read_text(source, "body");
    issue->state = json_text_or(source, "state", NULL);
    issue->state_reason = json_text_or(source, "state_reason", NULL);
    issue->author = (struct history_actor){.login = json_text_or(author, "login", NULL),
                                           .type = json_text_or(author, "type", NULL)};
    if (issue->number <= 0 || issue->title.data == NULL || issue->state == NULL)
        return error_set(error, ERR_INPUT, "the issue has no number, title or state");
    int code = read_times(root, source, issue, error);
    return code == 0 ? read_labels(source, issue, error) : code;
}

/* ---- the line ---- */

/* What the line is, by its head; the issue's object in `ret_source`. */
static int read_head(const json_t *root, const char *const *globs, size_t glob_count,
                     struct history_issue *issue, enum archive_line *ret_line,
                     const json_t **ret_source, struct error *error)
{
    const json_t *repository = json_object_get(root, "repo");
    const json_t *source = json_object_get(json_object_get(root, "payload"), "issue");
    *ret_line = ARCHIVE_OTHER;
    if (!is_issue_type(json_text_or(root, "type", "")))
        return 0;
    *ret_line = ARCHIVE_OLD;
    if (repository == NULL || !json_is_object(source))
        return 0;
    issue->repository_id = json_int_or(repository, "id", 0);
    issue->repository = json_text_or(repository, "name", "");
    if (issue->repository_id <= 0 || issue->repository[0] == '\0')
        return error_set(error, ERR_INPUT, "the event's repository has no id or no name");
    *ret_line = ARCHIVE_UNWANTED;
    if (!is_wanted(issue->repository, globs, glob_count))
        return 0;
    bool is_pull_request = json_is_object(json_object_get(source, "pull_request"));
    *ret_line = is_pull_request ? ARCHIVE_PULL_REQUEST : ARCHIVE_ISSUE;
    *ret_source = source;
    return 0;
}

int archive_event_read(const char *line, size_t line_bytes, const char *const *globs,
                       size_t glob_count, enum archive_line *ret_line,
                       struct history_issue *ret_issue, struct error *error)
{
    CLEANUP(history_issue_release) struct history_issue issue = {.memory = NULL};
    enum archive_line kind = ARCHIVE_OTHER;
    const json_t *source = NULL;
    if (line_bytes < 2 || line[0] != '{' || line[line_bytes - 1] != '}')
        return error_set(error, ERR_INPUT, "it is not a JSON object");
    if (!may_be_issue(line, line_bytes)) {
        *ret_line = ARCHIVE_OTHER;
        return 0;
    }
    int code = json_read(line, line_bytes, &issue.memory, error);
    if (code == 0)
        code = read_head(issue.memory, globs, glob_count, &issue, &kind, &source, error);
    if (code == 0 && kind == ARCHIVE_ISSUE)
        code = read_issue(issue.memory, source, &issue, error);
    if (code != 0)
        return code;
    *ret_line = kind;
    if (kind == ARCHIVE_ISSUE) {
        *ret_issue = issue;
        issue = (struct history_issue){.memory = NULL};
    }
    return 0;
}
