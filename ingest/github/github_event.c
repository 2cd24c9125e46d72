/*
 * The table of events and what is made of it: see github_event.h.
 *
 * Design: `event_rows` is searched from the top; the first row whose event and, if it has one, action prefix
 * fit is used. The last row fits everything. Members that a row leaves out follow the general rule.
 *
 * Invariant: only texts that is_clean() passes get into the envelope, so that envelope_encode cannot fail on a payload.
 */
#include "ingest/github/github_event.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* What every type begins with (the adapter document). */
#define TYPE_PREFIX "com.github."

/* Source of what concerns nobody in particular, such as security advisories (the adapter document). */
#define SOURCE_GITHUB "github.com"

/* Most members of a row that are tried in turn. */
#define ROW_CHOICES 3

/* How a source is made of its members. */
enum source_form {
    SOURCE_VALUE,    /* the first member that is there, else the general rule */
    SOURCE_JOINED,   /* first member, "/", second member */
    SOURCE_PARENT,   /* the first member without its last path segment */
    SOURCE_CONSTANT, /* SOURCE_GITHUB */
};

/* One event of GitHub's. */
struct event_row {
    const char *event;            /* X-GitHub-Event; NULL: any */
    const char *action_prefix;    /* only for actions that begin so; NULL: any */
    const char *type;             /* after TYPE_PREFIX; NULL: as the event */
    enum payload_field suffix[2]; /* members that are added to the type */
    enum source_form source_form;
    enum payload_field source[2];
    enum payload_field subject[ROW_CHOICES]; /* tried in turn */
    enum payload_field time[2];              /* tried in turn */
    enum payload_field number[2]; /* of the issue, pull request or discussion, tried in turn */
};

/* Most types end with the action. */
#define ACTION .suffix = {PAYLOAD_ACTION}

/* The rows; the adapter document's events in its order, then the newer ones. */
/* clang-format off: a row is an event, its members in pairs of lines */
static const struct event_row event_rows[] = {
    {.event = "check_run",
     ACTION,
     .subject = {PAYLOAD_CHECK_RUN_ID},
     .time = {PAYLOAD_CHECK_RUN_COMPLETED_AT, PAYLOAD_CHECK_RUN_STARTED_AT}},
    {.event = "check_suite",
     ACTION,
     .subject = {PAYLOAD_CHECK_SUITE_ID},
     .time = {PAYLOAD_CHECK_SUITE_UPDATED_AT}},
    {.event = "commit_comment",
     ACTION,
     .source_form = SOURCE_JOINED,
     .source = {PAYLOAD_COMMENT_URL, PAYLOAD_COMMENT_COMMIT_ID},
     .subject = {PAYLOAD_COMMENT_ID},
     .time = {PAYLOAD_COMMENT_UPDATED_AT}},
    {.event = "content_reference", ACTION, .subject = {PAYLOAD_CONTENT_REFERENCE_ID}},
    {.event = "create", .suffix = {PAYLOAD_REF_TYPE}, .subject = {PAYLOAD_REF}},
    {.event = "delete", .suffix = {PAYLOAD_REF_TYPE}, .subject = {PAYLOAD_REF}},
    {.event = "deploy_key",
     ACTION,
     .subject = {PAYLOAD_KEY_ID},
     .time = {PAYLOAD_KEY_DELETED_AT, PAYLOAD_KEY_CREATED_AT}},
    {.event = "deployment",
     .subject = {PAYLOAD_DEPLOYMENT_ID},
     .time = {PAYLOAD_DEPLOYMENT_UPDATED_AT}},
    {.event = "deployment_status",
     .suffix = {PAYLOAD_DEPLOYMENT_STATUS_STATE},
     .source = {PAYLOAD_DEPLOYMENT_URL},
     .subject = {PAYLOAD_DEPLOYMENT_STATUS_URL},
     .time = {PAYLOAD_DEPLOYMENT_STATUS_UPDATED_AT}},
    {.event = "fork", .subject = {PAYLOAD_FORKEE_URL}, .time = {PAYLOAD_FORKEE_CREATED_AT}},
    {.event = "github_app_authorization", .source = {PAYLOAD_SENDER_URL}},
    {.event = "gollum"},
    {.event = "installation",
     ACTION,
     .source = {PAYLOAD_INSTALLATION_ACCOUNT_URL},
     .subject = {PAYLOAD_INSTALLATION_ID},
     .time = {PAYLOAD_INSTALLATION_UPDATED_AT}},
    {.event = "installation_repositories",
     ACTION,
     .type = "installation_repository",
     .source = {PAYLOAD_INSTALLATION_ACCOUNT_URL},
     .subject = {PAYLOAD_INSTALLATION_ID},
     .time = {PAYLOAD_INSTALLATION_UPDATED_AT}},
    {.event = "issue_comment",
     ACTION,
     .source = {PAYLOAD_ISSUE_URL},
     .subject = {PAYLOAD_COMMENT_ID},
     .time = {PAYLOAD_COMMENT_UPDATED_AT},
     .number = {PAYLOAD_ISSUE_NUMBER}},
    {.event = "issues",
     ACTION,
     .type = "issue",
     .subject = {PAYLOAD_ISSUE_NUMBER},
     .time = {PAYLOAD_ISSUE_UPDATED_AT},
     .number = {PAYLOAD_ISSUE_NUMBER}},
    {.event = "label", ACTION, .subject = {PAYLOAD_LABEL_NAME}},
    {.event = "marketplace_purchase",
     ACTION,
     .source_form = SOURCE_PARENT,
     .source = {PAYLOAD_SENDER_URL},
     .subject = {PAYLOAD_MARKETPLACE_ACCOUNT_LOGIN},
     .time = {PAYLOAD_EFFECTIVE_DATE}},
    {.event = "member", ACTION, .subject = {PAYLOAD_MEMBER_LOGIN}},
    {.event = "membership",
     .suffix = {PAYLOAD_SCOPE, PAYLOAD_ACTION},
     .source = {PAYLOAD_TEAM_URL},
     .subject = {PAYLOAD_MEMBER_LOGIN}},
    {.event = "meta", ACTION, .subject = {PAYLOAD_HOOK_ID}, .time = {PAYLOAD_HOOK_UPDATED_AT}},
    {.event = "milestone",
     ACTION,
     .subject = {PAYLOAD_MILESTONE_NUMBER},
     .time = {PAYLOAD_MILESTONE_UPDATED_AT}},
    {.event = "organization",
     ACTION,
     .source = {PAYLOAD_ORGANIZATION_URL},
     .subject = {PAYLOAD_MEMBERSHIP_USER_LOGIN}},
    {.event = "org_block",
     ACTION,
     .source = {PAYLOAD_ORGANIZATION_URL},
     .subject = {PAYLOAD_BLOCKED_USER_LOGIN}},
    {.event = "page_build",
     .subject = {PAYLOAD_BUILD_URL},
     .time = {PAYLOAD_PUSHER_UPDATED_AT, PAYLOAD_BUILD_UPDATED_AT}},
    {.event = "project_card",
     ACTION,
     .subject = {PAYLOAD_PROJECT_CARD_ID},
     .time = {PAYLOAD_PROJECT_CARD_UPDATED_AT}},
    {.event = "project_column",
     ACTION,
     .subject = {PAYLOAD_PROJECT_COLUMN_ID},
     .time = {PAYLOAD_PROJECT_COLUMN_UPDATED_AT}},
    {.event = "project",
     ACTION,
     .subject = {PAYLOAD_PROJECT_ID},
     .time = {PAYLOAD_PROJECT_UPDATED_AT}},
    {.event = "public",
     .source = {PAYLOAD_REPOSITORY_OWNER_URL},
     .subject = {PAYLOAD_REPOSITORY_NAME},
     .time = {PAYLOAD_REPOSITORY_UPDATED_AT}},
    {.event = "pull_request",
     ACTION,
     .subject = {PAYLOAD_NUMBER, PAYLOAD_PULL_REQUEST_NUMBER},
     .time = {PAYLOAD_PULL_REQUEST_UPDATED_AT},
     .number = {PAYLOAD_PULL_REQUEST_NUMBER, PAYLOAD_NUMBER}},
    {.event = "pull_request_review",
     ACTION,
     .source = {PAYLOAD_PULL_REQUEST_URL},
     .subject = {PAYLOAD_REVIEW_ID},
     .time = {PAYLOAD_REVIEW_SUBMITTED_AT},
     .number = {PAYLOAD_PULL_REQUEST_NUMBER}},
    {.event = "pull_request_review_comment",
     ACTION,
     .source = {PAYLOAD_PULL_REQUEST_URL},
     .subject = {PAYLOAD_COMMENT_ID},
     .time = {PAYLOAD_PULL_REQUEST_UPDATED_AT},
     .number = {PAYLOAD_PULL_REQUEST_NUMBER}},
    {.event = "push", .subject = {PAYLOAD_REF}, .time = {PAYLOAD_REPOSITORY_PUSHED_AT}},
    {.event = "registry_package",
     ACTION,
     .subject = {PAYLOAD_REGISTRY_PACKAGE_HTML_URL},
     .time = {PAYLOAD_REGISTRY_PACKAGE_UPDATED_AT}},
    {.event = "release",
     .action_prefix = "created",
     ACTION,
     .subject = {PAYLOAD_RELEASE_ID},
     .time = {PAYLOAD_RELEASE_CREATED_AT}},
    {.event = "release",
     .action_prefix = "p",
     ACTION,
     .subject = {PAYLOAD_RELEASE_ID}, /* published, prereleased */
     .time = {PAYLOAD_RELEASE_PUBLISHED_AT}},
    {.event = "release",
     .action_prefix = "released",
     ACTION,
     .subject = {PAYLOAD_RELEASE_ID},
     .time = {PAYLOAD_RELEASE_PUBLISHED_AT}},
    {.event = "release", ACTION, .subject = {PAYLOAD_RELEASE_ID}},
    {.event = "repository",
     ACTION,
     .source = {PAYLOAD_REPOSITORY_OWNER_URL},
     .subject = {PAYLOAD_REPOSITORY_NAME},
     .time = {PAYLOAD_REPOSITORY_UPDATED_AT}},
    {.event = "repository_import",
     .source = {PAYLOAD_REPOSITORY_OWNER_URL},
     .subject = {PAYLOAD_REPOSITORY_NAME},
     .time = {PAYLOAD_REPOSITORY_UPDATED_AT}},
    {.event = "repository_vulnerability_alert", ACTION, .subject = {PAYLOAD_ALERT_ID}},
    {.event = "security_advisory",
     ACTION,
     .source_form = SOURCE_CONSTANT,
     .subject = {PAYLOAD_SECURITY_ADVISORY_GHSA_ID},
     .time = {PAYLOAD_SECURITY_ADVISORY_UPDATED_AT}},
    {.event = "star", ACTION, .time = {PAYLOAD_STARRED_AT}},
    {.event = "status", .subject = {PAYLOAD_SHA}, .time = {PAYLOAD_UPDATED_AT}},
    {.event = "team", ACTION, .subject = {PAYLOAD_TEAM_ID}, .time = {PAYLOAD_UPDATED_AT}},
    {.event = "team_add", ACTION, .subject = {PAYLOAD_TEAM_ID}},
    {.event = "watch", ACTION},

    {.event = "branch_protection_rule", ACTION, .subject = {PAYLOAD_RULE_ID}},
    {.event = "code_scanning_alert", ACTION, .subject = {PAYLOAD_ALERT_NUMBER}},
    {.event = "dependabot_alert", ACTION, .subject = {PAYLOAD_ALERT_NUMBER}},
    {.event = "deployment_review", ACTION, .subject = {PAYLOAD_WORKFLOW_RUN_ID}},
    {.event = "discussion",
     ACTION,
     .subject = {PAYLOAD_DISCUSSION_NUMBER},
     .time = {PAYLOAD_DISCUSSION_UPDATED_AT},
     .number = {PAYLOAD_DISCUSSION_NUMBER}},
    {.event = "discussion_comment",
     ACTION,
     .subject = {PAYLOAD_COMMENT_ID},
     .time = {PAYLOAD_COMMENT_UPDATED_AT},
     .number = {PAYLOAD_DISCUSSION_NUMBER}},
    /* One relation makes two events; the number is that of the issue to which the action happened. */
    {.event = "issue_dependencies",
     .action_prefix = "blocking_",
     ACTION,
     .subject = {PAYLOAD_BLOCKING_ISSUE_NUMBER},
     .number = {PAYLOAD_BLOCKING_ISSUE_NUMBER}},
    {.event = "issue_dependencies",
     ACTION,
     .subject = {PAYLOAD_BLOCKED_ISSUE_NUMBER},
     .number = {PAYLOAD_BLOCKED_ISSUE_NUMBER}},
    {.event = "merge_group", ACTION, .subject = {PAYLOAD_MERGE_GROUP_HEAD_REF}},
    {.event = "package", ACTION, .subject = {PAYLOAD_PACKAGE_ID}},
    {.event = "ping", .subject = {PAYLOAD_HOOK_ID}, .time = {PAYLOAD_HOOK_UPDATED_AT}},
    {.event = "projects_v2", ACTION, .subject = {PAYLOAD_PROJECTS_V2_ID}},
    {.event = "projects_v2_item", ACTION, .subject = {PAYLOAD_PROJECTS_V2_ITEM_ID}},
    {.event = "pull_request_review_thread",
     ACTION,
     .subject = {PAYLOAD_PULL_REQUEST_NUMBER},
     .time = {PAYLOAD_UPDATED_AT, PAYLOAD_PULL_REQUEST_UPDATED_AT},
     .number = {PAYLOAD_PULL_REQUEST_NUMBER}},
    {.event = "repository_dispatch", ACTION},
    {.event = "secret_scanning_alert", ACTION, .subject = {PAYLOAD_ALERT_NUMBER}},
    {.event = "secret_scanning_alert_location", ACTION, .subject = {PAYLOAD_ALERT_NUMBER}},
    {.event = "sponsorship", ACTION},
    {.event = "sub_issues",
     .action_prefix = "parent_issue_",
     ACTION,
     .subject = {PAYLOAD_SUB_ISSUE_NUMBER},
     .number = {PAYLOAD_SUB_ISSUE_NUMBER}},
    {.event = "sub_issues",
     ACTION,
     .subject = {PAYLOAD_PARENT_ISSUE_NUMBER},
     .number = {PAYLOAD_PARENT_ISSUE_NUMBER}},
    {.event = "workflow_dispatch", .subject = {PAYLOAD_REF}},
    {.event = "workflow_job", ACTION, .subject = {PAYLOAD_WORKFLOW_JOB_ID}},
    {.event = "workflow_run",
     ACTION,
     .subject = {PAYLOAD_WORKFLOW_RUN_ID},
     .time = {PAYLOAD_WORKFLOW_RUN_UPDATED_AT}},

    {.event = NULL, ACTION, .subject = {PAYLOAD_NUMBER, PAYLOAD_REF, PAYLOAD_ID}},
};
/* clang-format on */

/* ---- texts ---- */

/* Returns true if the text may be an attribute (CloudEvents 1.0.2, type system, String). */
static bool is_clean(struct text text)
{
    if (text.data == NULL || text.bytes == 0 || text.bytes > ENVELOPE_ATTRIBUTE_MAX_BYTES)
        return false;
    const uint8_t *bytes = (const uint8_t *)text.data;
    if (!utf8_is_valid(bytes, text.bytes))
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        bool is_c1 =
            bytes[i] == 0xc2 && bytes[i + 1] <= 0x9f; /* U+0080 to U+009F; a byte follows 0xc2 */
        if (bytes[i] < 0x20 || bytes[i] == 0x7f || is_c1)
            return false;
    }
    return true;
}

/* Returns the text of a member that may be an attribute, else absent. */
static struct text clean_text(const struct payload *payload, enum payload_field field)
{
    struct text text = payload_text(payload, field);
    return is_clean(text) ? text : (struct text){0};
}

/* Returns the first of the members that may be an attribute, else absent. */
static struct text first_clean(const struct payload *payload, const enum payload_field *fields,
                               size_t field_count)
{
    for (size_t i = 0; i < field_count && fields[i] != PAYLOAD_NONE; i++) {
        struct text text = clean_text(payload, fields[i]);
        if (text.data != NULL)
            return text;
    }
    return (struct text){0};
}

/* ---- parts of the envelope ---- */

static const struct event_row *row_find(struct text event, struct text action)
{
    const struct event_row *row = event_rows;
    for (; row->event != NULL; row++) {
        if (!text_equals(event, row->event))
            continue;
        if (row->action_prefix == NULL)
            break;
        size_t prefix_bytes = strlen(row->action_prefix);
        if (action.bytes >= prefix_bytes &&
            memcmp(action.data, row->action_prefix, prefix_bytes) == 0)
            break;
    }
    return row;
}

/* Appends bytes to the type; the sizes in github_event.h leave room for all that can come. */
static void type_append(struct github_event *event, size_t *at, const char *bytes,
                        size_t byte_count)
{
    assert(*at + byte_count < sizeof(event->type));
    memcpy(event->type + *at, bytes, byte_count);
    *at += byte_count;
}

static struct text make_type(const struct event_row *row, const struct delivery_head *head,
                             const struct payload *payload, struct github_event *event)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t at = 0;
    type_append(event, &at, TYPE_PREFIX, sizeof(TYPE_PREFIX) - 1);
    struct text name = row->type != NULL ? text_of(row->type) : head->event;
    type_append(event, &at, name.data, name.bytes);
    for (size_t i = 0; i < ARRAY_COUNT(row->suffix); i++) {
        struct text suffix = payload_text(payload, row->suffix[i]);
        bool fits = suffix.data != NULL && suffix.bytes <= GITHUB_EVENT_SUFFIX_MAX_BYTES;
        for (size_t k = 0; fits && k < suffix.bytes; k++)
            fits = suffix.data[k] != '\0' && strchr(allowed, suffix.data[k]) != NULL;
        if (!fits)
            continue;
        type_append(event, &at, ".", 1);
        type_append(event, &at, suffix.data, suffix.bytes);
    }
    event->type[at] = '\0';
    return (struct text){.data = event->type, .bytes = at};
}

/* Makes "first/second"; absent if one is missing or both are too long. */
static struct text join_source(struct text first, struct text second, struct github_event *event)
{
    if (first.data == NULL || second.data == NULL ||
        first.bytes + 1 + second.bytes > ENVELOPE_ATTRIBUTE_MAX_BYTES)
        return (struct text){0};
    memcpy(event->source, first.data, first.bytes);
    event->source[first.bytes] = '/';
    memcpy(event->source + first.bytes + 1, second.data, second.bytes);
    return (struct text){.data = event->source, .bytes = first.bytes + 1 + second.bytes};
}

/* Makes the source by the row, absent if its members are missing. */
static struct text row_source(const struct event_row *row, const struct payload *payload,
                              struct github_event *event)
{
    struct text first = clean_text(payload, row->source[0]);
    if (row->source_form == SOURCE_CONSTANT)
        return text_of(SOURCE_GITHUB);
    if (row->source_form == SOURCE_JOINED)
        return join_source(first, clean_text(payload, row->source[1]), event);
    if (row->source_form == SOURCE_PARENT && first.data != NULL) {
        const char *slash = memrchr(first.data, '/', first.bytes);
        size_t parent_bytes = slash == NULL ? 0 : (size_t)(slash - first.data);
        return parent_bytes == 0 ? (struct text){0} : (struct text){first.data, parent_bytes};
    }
    return first;
}

static struct text make_source(const struct event_row *row, const struct payload *payload,
                               struct github_event *event)
{
    static const enum payload_field general[] = {PAYLOAD_REPOSITORY_URL, PAYLOAD_ORGANIZATION_URL,
                                                 PAYLOAD_INSTALLATION_ACCOUNT_URL,
                                                 PAYLOAD_SENDER_URL, PAYLOAD_HOOK_URL};
    struct text source = row_source(row, payload, event);
    if (source.data == NULL)
        source = first_clean(payload, general, ARRAY_COUNT(general));
    return source.data != NULL ? source : text_of(SOURCE_GITHUB);
}

static int64_t make_time(const struct event_row *row, const struct payload *payload,
                         int64_t received_ms)
{
    for (size_t i = 0; i < ARRAY_COUNT(row->time) && row->time[i] != PAYLOAD_NONE; i++) {
        int64_t wall_ms = payload_time_ms(payload, row->time[i]);
        if (wall_ms >= 0)
            return wall_ms;
    }
    int64_t latest_ms = payload_latest_ms(payload);
    return latest_ms >= 0 ? latest_ms : received_ms;
}

/* ---- the key ---- */

static void make_key(const struct event_row *row, const struct delivery_head *head,
                     const struct payload *payload, struct github_event *event)
{
    static const enum payload_field owners[] = {PAYLOAD_REPOSITORY_ID, PAYLOAD_ORGANIZATION_ID,
                                                PAYLOAD_INSTALLATION_ACCOUNT_ID,
                                                PAYLOAD_MARKETPLACE_ACCOUNT_ID, PAYLOAD_SENDER_ID};
    int64_t repository_id = payload_id(payload, PAYLOAD_REPOSITORY_ID);
    int64_t number = payload_id(payload, row->number[0]);
    if (number == 0)
        number = payload_id(payload, row->number[1]);
    if (repository_id > 0 && number > 0) {
        subject_key_issue(repository_id, number, event->key);
        event->key_bytes = strlen(event->key);
        return;
    }
    int64_t id = 0;
    for (size_t i = 0; i < ARRAY_COUNT(owners) && id == 0; i++)
        id = payload_id(payload, owners[i]);
    int written = id > 0 ? snprintf(event->key, sizeof(event->key), "%lld", (long long)id)
                         : snprintf(event->key, sizeof(event->key), "%.*s", (int)head->event.bytes,
                                    head->event.data);
    event->key_bytes = (size_t)written;
}

/* ---- the interface ---- */

void github_event_make(const struct delivery_head *head, const struct payload *payload,
                       const char *secret_id, int64_t received_ms, struct github_event *ret_event)
{
    const struct event_row *row = row_find(head->event, payload_text(payload, PAYLOAD_ACTION));
    ret_event->envelope = (struct event){
        .id = head->delivery,
        .source = make_source(row, payload, ret_event),
        .type = make_type(row, head, payload, ret_event),
        .subject = first_clean(payload, row->subject, ARRAY_COUNT(row->subject)),
        .content_type = text_of("application/json"),
        .repository = clean_text(payload, PAYLOAD_REPOSITORY_FULL_NAME),
        .github_event = head->event,
        .hook_id = head->hook_id,
        .target_type = head->target_type,
        .target_id = head->target_id,
        .signature = head->signature,
        .sender = clean_text(payload, PAYLOAD_SENDER_LOGIN),
        .sender_type = clean_text(payload, PAYLOAD_SENDER_TYPE),
        .secret_id = text_of(secret_id),
        .has_time = true,
        .time_ms = make_time(row, payload, received_ms),
    };
    make_key(row, head, payload, ret_event);
}

const char *github_event_label(struct text event)
{
    const struct event_row *row = event_rows;
    while (row->event != NULL && !text_equals(event, row->event))
        row++;
    return row->event != NULL ? row->event : "other";
}
