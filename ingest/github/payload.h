/*
 * What the envelope needs of a webhook payload: a streaming extraction that builds no tree.
 *
 * Design: Debian's yajl tokenises the text in pieces of any size; a small tree of the paths in PAYLOAD_TABLE is walked
 * beside it, and only values that stand at one of them are copied. Everything else costs its tokens and no memory. The
 * same pass decides whether the body is JSON by syntax (RFC 8259) and well-formed UTF-8 (Unicode 15, table 3-7).
 *
 *      {"action": "opened", "issue": {"number": 7, "user": {…}}, "repository": {…}}
 *         └ PAYLOAD_ACTION              └ PAYLOAD_ISSUE_NUMBER     └ the node "repository" and its children
 *
 * Legal and accepted: `\u0000`, lone surrogates (read as '?'), integers of any length, any top-level value. Of members
 * with the same name the last one counts, as with every common parser, so that what is checked here is what a consumer
 * will read: an object that comes again makes everything that was seen of the first one absent.
 *
 * Long texts are read in pieces, and yajl keeps a token that spans two of them. So that one huge token costs no more than
 * many small ones, payload_trim() puts json_trim.h before yajl: what is longer than any value that is kept loses its
 * middle unseen. It costs about a nanosecond a byte, which is why a text of one piece does without.
 *
 * Invariants: with payload_trim() nothing that is read here depends on it, and memory is bounded by
 * PAYLOAD_MEMORY_MAX_BYTES, PAYLOAD_TOKEN_MAX_BYTES and a byte for each level of nesting; a value that stands in the text and could not be kept is
 * PAYLOAD_UNUSABLE, never PAYLOAD_ABSENT, so that a check of scope cannot be evaded by an odd value.
 */
#ifndef NODAG_INGEST_GITHUB_PAYLOAD_H
#define NODAG_INGEST_GITHUB_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"

/* Deepest nesting: GitHub's payloads reach about 10, and its own parser of user-written parts stops at 100. */
#define PAYLOAD_DEPTH_MAX 512

/* Longest text or number that is kept: what does not fit into an attribute of the envelope is of no use to it. */
#define PAYLOAD_VALUE_MAX_BYTES ENVELOPE_ATTRIBUTE_MAX_BYTES

/* Most bytes of kept values: every path at its longest, and room for members that come twice. */
#define PAYLOAD_MEMORY_MAX_BYTES (256u << 10)

/*
 * Most bytes of a token that yajl sees after payload_trim(): a string of this many bytes is too long to keep even if
 * each character is written as \uXXXX.
 */
#define PAYLOAD_TOKEN_MAX_BYTES (6 * (PAYLOAD_VALUE_MAX_BYTES + 1))

/* Every value that the envelope may need: enum name and path from the top of the payload. */
#define PAYLOAD_TABLE(X)                                                                           \
    X(PAYLOAD_ACTION, "action")                                                                    \
    X(PAYLOAD_ALERT_ID, "alert.id")                                                                \
    X(PAYLOAD_ALERT_NUMBER, "alert.number")                                                        \
    X(PAYLOAD_BLOCKED_ISSUE_NUMBER, "blocked_issue.number")                                        \
    X(PAYLOAD_BLOCKED_USER_LOGIN, "blocked_user.login")                                            \
    X(PAYLOAD_BLOCKING_ISSUE_NUMBER, "blocking_issue.number")                                      \
    X(PAYLOAD_BUILD_UPDATED_AT, "build.updated_at")                                                \
    X(PAYLOAD_BUILD_URL, "build.url")                                                              \
    X(PAYLOAD_CHECK_RUN_COMPLETED_AT, "check_run.completed_at")                                    \
    X(PAYLOAD_CHECK_RUN_ID, "check_run.id")                                                        \
    X(PAYLOAD_CHECK_RUN_STARTED_AT, "check_run.started_at")                                        \
    X(PAYLOAD_CHECK_SUITE_ID, "check_suite.id")                                                    \
    X(PAYLOAD_CHECK_SUITE_UPDATED_AT, "check_suite.updated_at")                                    \
    X(PAYLOAD_COMMENT_COMMIT_ID, "comment.commit_id")                                              \
    X(PAYLOAD_COMMENT_ID, "comment.id")                                                            \
    X(PAYLOAD_COMMENT_UPDATED_AT, "comment.updated_at")                                            \
    X(PAYLOAD_COMMENT_URL, "comment.url")                                                          \
    X(PAYLOAD_CONTENT_REFERENCE_ID, "content_reference.id")                                        \
    X(PAYLOAD_DEPLOYMENT_ID, "deployment.id")                                                      \
    X(PAYLOAD_DEPLOYMENT_UPDATED_AT, "deployment.updated_at")                                      \
    X(PAYLOAD_DEPLOYMENT_URL, "deployment.url")                                                    \
    X(PAYLOAD_DEPLOYMENT_STATUS_STATE, "deployment_status.state")                                  \
    X(PAYLOAD_DEPLOYMENT_STATUS_UPDATED_AT, "deployment_status.updated_at")                        \
    X(PAYLOAD_DEPLOYMENT_STATUS_URL, "deployment_status.url")                                      \
    X(PAYLOAD_DISCUSSION_NUMBER, "discussion.number")                                              \
    X(PAYLOAD_DISCUSSION_UPDATED_AT, "discussion.updated_at")                                      \
    X(PAYLOAD_EFFECTIVE_DATE, "effective_date")                                                    \
    X(PAYLOAD_FORKEE_CREATED_AT, "forkee.created_at")                                              \
    X(PAYLOAD_FORKEE_URL, "forkee.url")                                                            \
    X(PAYLOAD_HOOK_ID, "hook_id")                                                                  \
    X(PAYLOAD_HOOK_UPDATED_AT, "hook.updated_at")                                                  \
    X(PAYLOAD_HOOK_URL, "hook.url")                                                                \
    X(PAYLOAD_ID, "id")                                                                            \
    X(PAYLOAD_INSTALLATION_ACCOUNT, "installation.account")                                        \
    X(PAYLOAD_INSTALLATION_ACCOUNT_ID, "installation.account.id")                                  \
    X(PAYLOAD_INSTALLATION_ACCOUNT_LOGIN, "installation.account.login")                            \
    X(PAYLOAD_INSTALLATION_ACCOUNT_URL, "installation.account.url")                                \
    X(PAYLOAD_INSTALLATION_ID, "installation.id")                                                  \
    X(PAYLOAD_INSTALLATION_UPDATED_AT, "installation.updated_at")                                  \
    X(PAYLOAD_ISSUE_NUMBER, "issue.number")                                                        \
    X(PAYLOAD_ISSUE_UPDATED_AT, "issue.updated_at")                                                \
    X(PAYLOAD_ISSUE_URL, "issue.url")                                                              \
    X(PAYLOAD_KEY_CREATED_AT, "key.created_at")                                                    \
    X(PAYLOAD_KEY_DELETED_AT, "key.deleted_at")                                                    \
    X(PAYLOAD_KEY_ID, "key.id")                                                                    \
    X(PAYLOAD_LABEL_NAME, "label.name")                                                            \
    X(PAYLOAD_MARKETPLACE_ACCOUNT_ID, "marketplace_purchase.account.id")                           \
    X(PAYLOAD_MARKETPLACE_ACCOUNT_LOGIN, "marketplace_purchase.account.login")                     \
    X(PAYLOAD_MEMBER_LOGIN, "member.login")                                                        \
    X(PAYLOAD_MEMBERSHIP_USER_LOGIN, "membership.user.login")                                      \
    X(PAYLOAD_MERGE_GROUP_HEAD_REF, "merge_group.head_ref")                                        \
    X(PAYLOAD_MILESTONE_NUMBER, "milestone.number")                                                \
    X(PAYLOAD_MILESTONE_UPDATED_AT, "milestone.updated_at")                                        \
    X(PAYLOAD_NUMBER, "number")                                                                    \
    X(PAYLOAD_ORGANIZATION, "organization")                                                        \
    X(PAYLOAD_ORGANIZATION_ID, "organization.id")                                                  \
    X(PAYLOAD_ORGANIZATION_LOGIN, "organization.login")                                            \
    X(PAYLOAD_ORGANIZATION_URL, "organization.url")                                                \
    X(PAYLOAD_PACKAGE_ID, "package.id")                                                            \
    X(PAYLOAD_PARENT_ISSUE_NUMBER, "parent_issue.number")                                          \
    X(PAYLOAD_PROJECT_ID, "project.id")                                                            \
    X(PAYLOAD_PROJECT_UPDATED_AT, "project.updated_at")                                            \
    X(PAYLOAD_PROJECT_CARD_ID, "project_card.id")                                                  \
    X(PAYLOAD_PROJECT_CARD_UPDATED_AT, "project_card.updated_at")                                  \
    X(PAYLOAD_PROJECT_COLUMN_ID, "project_column.id")                                              \
    X(PAYLOAD_PROJECT_COLUMN_UPDATED_AT, "project_column.updated_at")                              \
    X(PAYLOAD_PROJECTS_V2_ID, "projects_v2.id")                                                    \
    X(PAYLOAD_PROJECTS_V2_ITEM_ID, "projects_v2_item.id")                                          \
    X(PAYLOAD_PULL_REQUEST_NUMBER, "pull_request.number")                                          \
    X(PAYLOAD_PULL_REQUEST_UPDATED_AT, "pull_request.updated_at")                                  \
    X(PAYLOAD_PULL_REQUEST_URL, "pull_request.url")                                                \
    X(PAYLOAD_PUSHER_UPDATED_AT, "pusher.updated_at")                                              \
    X(PAYLOAD_REF, "ref")                                                                          \
    X(PAYLOAD_REF_TYPE, "ref_type")                                                                \
    X(PAYLOAD_REGISTRY_PACKAGE_HTML_URL, "registry_package.html_url")                              \
    X(PAYLOAD_REGISTRY_PACKAGE_UPDATED_AT, "registry_package.updated_at")                          \
    X(PAYLOAD_RELEASE_CREATED_AT, "release.created_at")                                            \
    X(PAYLOAD_RELEASE_ID, "release.id")                                                            \
    X(PAYLOAD_RELEASE_PUBLISHED_AT, "release.published_at")                                        \
    X(PAYLOAD_REPOSITORY, "repository")                                                            \
    X(PAYLOAD_REPOSITORY_FULL_NAME, "repository.full_name")                                        \
    X(PAYLOAD_REPOSITORY_ID, "repository.id")                                                      \
    X(PAYLOAD_REPOSITORY_NAME, "repository.name")                                                  \
    X(PAYLOAD_REPOSITORY_OWNER_LOGIN, "repository.owner.login")                                    \
    X(PAYLOAD_REPOSITORY_OWNER_URL, "repository.owner.url")                                        \
    X(PAYLOAD_REPOSITORY_PUSHED_AT, "repository.pushed_at")                                        \
    X(PAYLOAD_REPOSITORY_UPDATED_AT, "repository.updated_at")                                      \
    X(PAYLOAD_REPOSITORY_URL, "repository.url")                                                    \
    X(PAYLOAD_REVIEW_ID, "review.id")                                                              \
    X(PAYLOAD_REVIEW_SUBMITTED_AT, "review.submitted_at")                                          \
    X(PAYLOAD_RULE_ID, "rule.id")                                                                  \
    X(PAYLOAD_SCOPE, "scope")                                                                      \
    X(PAYLOAD_SECURITY_ADVISORY_GHSA_ID, "security_advisory.ghsa_id")                              \
    X(PAYLOAD_SECURITY_ADVISORY_UPDATED_AT, "security_advisory.updated_at")                        \
    X(PAYLOAD_SENDER_ID, "sender.id")                                                              \
    X(PAYLOAD_SENDER_LOGIN, "sender.login")                                                        \
    X(PAYLOAD_SENDER_TYPE, "sender.type")                                                          \
    X(PAYLOAD_SENDER_URL, "sender.url")                                                            \
    X(PAYLOAD_SHA, "sha")                                                                          \
    X(PAYLOAD_STARRED_AT, "starred_at")                                                            \
    X(PAYLOAD_STATE, "state")                                                                      \
    X(PAYLOAD_SUB_ISSUE_NUMBER, "sub_issue.number")                                                \
    X(PAYLOAD_TEAM_ID, "team.id")                                                                  \
    X(PAYLOAD_TEAM_URL, "team.url")                                                                \
    X(PAYLOAD_UPDATED_AT, "updated_at")                                                            \
    X(PAYLOAD_WORKFLOW_JOB_ID, "workflow_job.id")                                                  \
    X(PAYLOAD_WORKFLOW_JOB_RUN_ID, "workflow_job_run.id")                                          \
    X(PAYLOAD_WORKFLOW_RUN_ID, "workflow_run.id")                                                  \
    X(PAYLOAD_WORKFLOW_RUN_UPDATED_AT, "workflow_run.updated_at")

/* The values of PAYLOAD_TABLE. */
enum payload_field {
    PAYLOAD_NONE,                      /* no field: 0, so that tables can leave it out */
#define PAYLOAD_ENUM(name, path) name, /* see PAYLOAD_TABLE */
    PAYLOAD_TABLE(PAYLOAD_ENUM)
#undef PAYLOAD_ENUM
        PAYLOAD_FIELD_COUNT, /* one more than the last field */
};

/* What stands at a path. */
enum payload_kind {
    PAYLOAD_IS_ABSENT,    /* the payload has no such member */
    PAYLOAD_IS_NULL,      /* null */
    PAYLOAD_IS_TEXT,      /* a string; its text is decoded */
    PAYLOAD_IS_NUMBER,    /* a number; its text is as written */
    PAYLOAD_IS_BOOLEAN,   /* true or false */
    PAYLOAD_IS_CONTAINER, /* an object or an array */
    PAYLOAD_IS_UNUSABLE,  /* a string or number that is too long to keep */
};

/* An extraction under way, then its result. */
struct payload;

/* Starts an extraction; owned. Loop thread. */
struct payload *payload_new(void);

/* Frees it and the texts that it lent; NULL allowed. Loop thread. */
void payload_free(struct payload *payload);
DEFINE_CLEANUP(struct payload *, payload_free)

/* Prepares for a text in many pieces, see above; before the first of them. Loop thread. */
void payload_trim(struct payload *payload);

/*
 * Reads the next piece of the text. ERR_INPUT with what is wrong and at which byte, never with the text itself: it is
 * no JSON, no UTF-8, or nested deeper than PAYLOAD_DEPTH_MAX. After an error only payload_free is allowed. Loop thread.
 */
int payload_feed(struct payload *payload, const char *bytes, size_t byte_count,
                 struct error *error) MUST_CHECK;

/* Says that the text is complete. ERR_INPUT if the JSON text is not. Afterwards the values can be read. Loop thread. */
int payload_finish(struct payload *payload, struct error *error) MUST_CHECK;

/* Returns what stands at a path. Loop thread. */
enum payload_kind payload_kind(const struct payload *payload, enum payload_field field);

/*
 * Returns the text of a string or a number, borrowed until payload_free; absent (data NULL) for every other kind, for
 * the empty string and for PAYLOAD_NONE. It may hold any character, NUL among them. Loop thread.
 */
struct text payload_text(const struct payload *payload, enum payload_field field);

/*
 * Returns the latest of the times that stand in members of the payload or of its top-level objects and are called as
 * GitHub calls the times of what has happened (`updated_at`, `created_at`, `pushed_at`, …), in milliseconds since 1970;
 * -1 if there is none. Loop thread.
 */
int64_t payload_latest_ms(const struct payload *payload);

/*
 * Reads a time: a string by RFC 3339 or a date, a number as whole seconds since 1970 (pushes and installations
 * write some that way). -1 if it is neither. Loop thread.
 */
int64_t payload_time_ms(const struct payload *payload, enum payload_field field);

/* Reads a whole number > 0 that fits 63 bits, as GitHub's ids and numbers are; 0 if it is none. Loop thread. */
int64_t payload_id(const struct payload *payload, enum payload_field field);

#endif
