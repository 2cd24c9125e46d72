/*
 * Turns events of the topic into changes of issues: see change.h.
 */
#include "reactors/historian/change.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "reactors/historian/payload.h"
#include "topics/subject.h"

/* Types of webhooks, see the envelope's table in ingest. */
#define TYPE_ISSUE "com.github.issue."
/* See above. */
#define TYPE_COMMENT "com.github.issue_comment."

/* How logins of Apps end. */
#define BOT_SUFFIX "[bot]"

/* Whom GitHub shows in the place of a deleted account. */
#define GHOST_LOGIN "ghost"

/* Webhooks that take many issues away. */
static const struct change_row {
    const char *type;       /* ce_type */
    enum issue_gone reason; /* why */
    bool is_account;        /* all repositories of the installation's account */
} change_rows[] = {
    {"com.github.repository.deleted", ISSUE_REPOSITORY_DELETED, false},
    {"com.github.repository.privatized", ISSUE_PRIVATE, false},
    {"com.github.installation.deleted", ISSUE_UNINSTALLED, true},
    {"com.github.installation_repository.removed", ISSUE_UNINSTALLED, false},
};

static bool text_begins(struct text text, const char *prefix)
{
    size_t prefix_bytes = strlen(prefix);
    return text.bytes > prefix_bytes && memcmp(text.data, prefix, prefix_bytes) == 0;
}

/* Returns true for TYPE_ISSUE and this action. */
static bool event_is(const struct event *event, const char *action)
{
    size_t prefix_bytes = sizeof(TYPE_ISSUE) - 1;
    return text_begins(event->type, TYPE_ISSUE) &&
           text_equals((struct text){.data = event->type.data + prefix_bytes,
                                     .bytes = event->type.bytes - prefix_bytes},
                       action);
}

static const struct change_row *change_row_of(const struct event *event)
{
    for (size_t i = 0; i < ARRAY_COUNT(change_rows); i++)
        if (text_equals(event->type, change_rows[i].type))
            return &change_rows[i];
    return NULL;
}

enum change_scope change_scope_of(const struct bus_record *record, const struct event *event)
{
    int64_t repository_id = 0;
    int64_t number = 0;
    if (record->key == NULL || record->value == NULL)
        return CHANGE_NOTHING;
    if (text_equals(event->type, HISTORY_WITHDRAWN_TYPE))
        return CHANGE_WITHDRAWN;
    if (change_row_of(event) != NULL)
        return CHANGE_SPREAD;
    bool is_issue = text_begins(event->type, TYPE_ISSUE) ||
                    text_begins(event->type, TYPE_COMMENT) ||
                    text_equals(event->type, HISTORY_ISSUE_TYPE) ||
                    text_equals(event->type, HISTORY_ERASED_TYPE);
    if (!is_issue || !event->has_time ||
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number) != 0)
        return CHANGE_NOTHING;
    return CHANGE_ISSUE;
}

enum issue_actor change_actor(const char *login, const char *type, const char *own_login)
{
    if (login == NULL || strcasecmp(login, GHOST_LOGIN) == 0)
        return ISSUE_UNKNOWN;
    if (own_login != NULL && strcasecmp(login, own_login) == 0)
        return ISSUE_THIS_BOT;
    size_t login_bytes = strlen(login);
    size_t suffix_bytes = sizeof(BOT_SUFFIX) - 1;
    bool is_bot =
        (type != NULL && strcmp(type, "Bot") == 0) ||
        (login_bytes > suffix_bytes && strcmp(login + login_bytes - suffix_bytes, BOT_SUFFIX) == 0);
    if (is_bot)
        return ISSUE_OTHER_BOT;
    return type == NULL || strcmp(type, "User") == 0 ? ISSUE_PERSON : ISSUE_UNKNOWN;
}

/* ---- snapshots ---- */

/* A name that becomes a header must be fit for one. */
static bool is_printable(const char *name)
{
    size_t left = name != NULL ? strlen(name) : 0;
    bool is_fit = left > 0;
    for (size_t step = 0; left > 0 && is_fit; left -= step, name += step) {
        step = text_printable_bytes(name, left);
        is_fit = step > 0;
    }
    return is_fit;
}

static int check_snapshot(const struct issue_record *snapshot, struct error *error)
{
    if (!is_printable(snapshot->repository))
        return error_set(error, ERR_INPUT, "the repository's name is missing or not printable");
    if (snapshot->title.data == NULL)
        return error_set(error, ERR_INPUT, "the issue has no title");
    return 0;
}

static void snapshot_list(struct issue_record *snapshot, const char *name)
{
    struct issue_label *label = issue_record_put_label(snapshot, name);
    if (label != NULL)
        label->listed = true;
}

/* Texts and names are moved from the payload. */
static int snapshot_of_payload(struct payload_issue *issue, struct payload_repository *repository,
                               const char *own_login, struct issue_record **ret_snapshot,
                               struct error *error)
{
    if (repository->id <= 0 || issue->number <= 0)
        return error_set(error, ERR_INPUT, "the payload has no issue or no repository");
    CLEANUP(issue_record_free)
    struct issue_record *snapshot = issue_record_new(repository->id, issue->number);
    snapshot->author = change_actor(issue->author_login, issue->author_type, own_login);
    snapshot->repository = TAKE(repository->name);
    snapshot->owner_id = repository->owner_id;
    snapshot->is_private = repository->is_private;
    snapshot->title = issue->title;
    snapshot->body = issue->body;
    issue->title = (struct issue_text){.data = NULL};
    issue->body = (struct issue_text){.data = NULL};
    /* The issue in `pinned` and `unpinned` has no state. */
    snapshot->state = issue->state != NULL
                          ? TAKE(issue->state)
                          : mem_copy_text(issue->closed_ms >= 0 ? "closed" : "open");
    snapshot->state_reason = TAKE(issue->state_reason);
    snapshot->author_login = TAKE(issue->author_login);
    snapshot->created_ms = issue->created_ms;
    snapshot->updated_ms = issue->updated_ms;
    snapshot->closed_ms = issue->closed_ms;
    for (size_t i = 0; i < issue->label_count; i++)
        snapshot_list(snapshot, issue->labels[i]);
    int code = check_snapshot(snapshot, error);
    if (code == 0)
        *ret_snapshot = TAKE(snapshot);
    return code;
}

static int snapshot_of_history(const struct history_issue *issue, const char *own_login,
                               struct issue_record **ret_snapshot, struct error *error)
{
    CLEANUP(issue_record_free)
    struct issue_record *snapshot = issue_record_new(issue->repository_id, issue->number);
    snapshot->repository = mem_copy_text(issue->repository);
    snapshot->owner_id = issue->owner_id;
    snapshot->is_private = issue->is_private;
    snapshot->title = (struct issue_text){
        .data = mem_copy_bytes(issue->title.data, issue->title.bytes), .bytes = issue->title.bytes};
    if (issue->body.data != NULL)
        snapshot->body =
            (struct issue_text){.data = mem_copy_bytes(issue->body.data, issue->body.bytes),
                                .bytes = issue->body.bytes};
    snapshot->state = mem_copy_text(issue->state);
    snapshot->state_reason = mem_copy_text(issue->state_reason);
    snapshot->author = change_actor(issue->author.login, issue->author.type, own_login);
    snapshot->author_login = mem_copy_text(issue->author.login);
    snapshot->created_ms = issue->created_ms;
    snapshot->updated_ms = issue->updated_ms;
    snapshot->closed_ms = issue->closed_ms;
    for (size_t i = 0; i < issue->label_count; i++)
        snapshot_list(snapshot, issue->labels[i]);
    int code = check_snapshot(snapshot, error);
    if (code == 0)
        *ret_snapshot = TAKE(snapshot);
    return code;
}

/* ---- webhooks ---- */

/* labeled and unlabeled say who did it. */
static void change_add_action(struct fold_change *change, const struct event *event,
                              struct payload *payload, const char *own_login)
{
    bool is_added = event_is(event, "labeled");
    if ((!is_added && !event_is(event, "unlabeled")) || payload->label == NULL)
        return;
    change->actions = mem_alloc_array(1, sizeof(change->actions[0]));
    change->action_count = 1;
    change->actions[0] = (struct fold_action){
        .label = TAKE(payload->label),
        .is_added = is_added,
        .by = change_actor(payload->sender_login, payload->sender_type, own_login),
        .login = TAKE(payload->sender_login),
        .time_ms = change->time_ms,
    };
}

static int change_of_webhook(const struct bus_record *record, const struct event *event,
                             const char *own_login, struct fold_change *change, bool *ret_is_issue,
                             struct error *error)
{
    CLEANUP(payload_free) struct payload *payload = NULL;
    int code = payload_read(record->value, record->value_bytes, &payload, error);
    if (code != 0)
        return code;
    *ret_is_issue = !payload->issue.is_pull_request;
    if (payload->issue.is_pull_request)
        return 0;
    code = snapshot_of_payload(&payload->issue, &payload->repository, own_login, &change->snapshot,
                               error);
    if (code != 0)
        return code;
    change_add_action(change, event, payload, own_login);
    if (event_is(event, "deleted"))
        change->gone = ISSUE_DELETED;
    if (event_is(event, "transferred"))
        change->gone = ISSUE_TRANSFERRED;
    /* Where it went may be hidden from the App: then there is nobody to tell. */
    if (change->gone == ISSUE_TRANSFERRED && payload->new_repository.id > 0)
        code = snapshot_of_payload(&payload->new_issue, &payload->new_repository, own_login,
                                   &change->moved_to, NULL);
    return 0;
}

/* ---- events of nodag's own ---- */

static void change_take_timeline(struct fold_change *change, const struct history_issue *issue,
                                 const char *own_login)
{
    change->actions = mem_alloc_array(issue->timeline_count, sizeof(change->actions[0]));
    for (; change->action_count < issue->timeline_count; change->action_count++) {
        const struct history_action *line = &issue->timeline[change->action_count];
        change->actions[change->action_count] = (struct fold_action){
            .label = mem_copy_text(line->label),
            .is_added = line->is_added,
            .by = change_actor(line->actor.login, line->actor.type, own_login),
            .login = mem_copy_text(line->actor.login),
            .time_ms = line->time_ms,
        };
    }
}

static int change_of_history(const struct bus_record *record, const char *own_login,
                             struct fold_change *change, bool *ret_is_issue, struct error *error)
{
    CLEANUP(history_issue_release) struct history_issue issue = {.memory = NULL};
    int code = history_issue_read(record->value, record->value_bytes, &issue, error);
    if (code != 0)
        return code;
    *ret_is_issue = !issue.is_pull_request;
    if (issue.is_pull_request)
        return 0;
    change_take_timeline(change, &issue, own_login);
    return snapshot_of_history(&issue, own_login, &change->snapshot, error);
}

/*
 * The request's time is that of the mark. What else the event says counts only where nothing was ever heard
 * of the issue: it is a snapshot of 1970, so that a record can hold the mark.
 */
static int change_of_erasure(const struct bus_record *record, const struct event *event,
                             struct fold_change *change, struct error *error)
{
    CLEANUP(history_erasure_release) struct history_erasure erasure = {.memory = NULL};
    int code = history_erasure_read(record->value, record->value_bytes, &erasure, error);
    if (code == 0 && event->time_ms <= 0)
        code = error_set(error, ERR_INPUT, "the erasure has no time after 1970");
    if (code != 0)
        return code;
    change->time_ms = 0;
    if (erasure.names_only)
        change->names_erased_ms = event->time_ms;
    else
        change->erased_ms = event->time_ms;
    struct issue_record *snapshot = issue_record_new(erasure.repository_id, erasure.number);
    change->snapshot = snapshot;
    snapshot->repository = mem_copy_text(erasure.repository);
    snapshot->owner_id = erasure.owner_id;
    snapshot->is_private = erasure.is_private;
    snapshot->title.data = mem_copy_text("");
    snapshot->state = mem_copy_text(erasure.state);
    return check_snapshot(snapshot, error);
}

/* Reads an event by its type. `ret_is_issue` becomes false for a pull request. */
static int change_of_event(const struct bus_record *record, const struct event *event,
                           const char *own_login, struct fold_change *change, bool *ret_is_issue,
                           struct error *error)
{
    *ret_is_issue = true;
    if (text_equals(event->type, HISTORY_ERASED_TYPE))
        return change_of_erasure(record, event, change, error);
    if (text_equals(event->type, HISTORY_ISSUE_TYPE))
        return change_of_history(record, own_login, change, ret_is_issue, error);
    return change_of_webhook(record, event, own_login, change, ret_is_issue, error);
}

/* ---- the interface ---- */

int change_read(const struct bus_record *record, const struct event *event, const char *own_login,
                struct fold_change **ret_change, struct error *error)
{
    CLEANUP(fold_change_free) struct fold_change *change = MEM_NEW(struct fold_change);
    int64_t repository_id = 0;
    int64_t number = 0;
    bool is_issue = false;
    change->time_ms = event->time_ms;
    change->offset = record->offset;
    change->id = issue_hash_id(event->id.data, event->id.bytes);
    int code = change_of_event(record, event, own_login, change, &is_issue, error);
    if (code != 0)
        return code;
    if (!is_issue) {
        *ret_change = NULL;
        return 0;
    }
    code = subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number);
    if (code != 0 || change->snapshot->repository_id != repository_id ||
        change->snapshot->number != number)
        return error_set(error, ERR_INPUT, "the payload is not about the issue of its key");
    *ret_change = TAKE(change);
    return 0;
}

/* The repositories of a webhook: those that it lists, its own, or all of an account. */
static int withdrawal_of_webhook(const struct bus_record *record, const struct change_row *row,
                                 struct history_withdrawal *withdrawal, struct error *error)
{
    CLEANUP(payload_free) struct payload *payload = NULL;
    int code = payload_read(record->value, record->value_bytes, &payload, error);
    if (code != 0)
        return code;
    withdrawal->reason = row->reason;
    withdrawal->owner_id = row->is_account ? payload->account_id : 0;
    withdrawal->repository_count = payload->repository_count;
    withdrawal->repositories = TAKE(payload->repositories);
    if (payload->repository.id > 0 && withdrawal->repository_count == 0) {
        withdrawal->repositories = mem_alloc_array(1, sizeof(int64_t));
        withdrawal->repositories[withdrawal->repository_count++] = payload->repository.id;
    }
    return 0;
}

int change_read_withdrawal(const struct bus_record *record, const struct event *event,
                           struct history_withdrawal *ret_withdrawal, int64_t *ret_time_ms,
                           struct error *error)
{
    struct history_withdrawal withdrawal = {.repositories = NULL};
    const struct change_row *row = change_row_of(event);
    int code = row == NULL
                   ? history_withdrawal_read(record->value, record->value_bytes, &withdrawal, error)
                   : withdrawal_of_webhook(record, row, &withdrawal, error);
    if (code != 0)
        return code;
    *ret_time_ms = row == NULL && event->has_time ? event->time_ms : record->timestamp_ms;
    *ret_withdrawal = withdrawal;
    return 0;
}
