/*
 * Tests of the mapping from deliveries to events.
 *
 * Design: one table; each row is an event with a small payload and the attributes that the CloudEvents GitHub
 * adapter document, the rule for newer events, and the topics table give it. Real payloads are the integration
 * test's.
 */
#include "ingest/github/github_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* Time of receipt in these tests, and the time in their payloads: 2020-01-01T00:00:00Z. */
#define RECEIVED_MS 1700000000000
#define TIME "2020-01-01T00:00:00Z"
#define TIME_MS 1577836800000
/* An earlier time, which must lose against TIME. */
#define EARLIER "2019-01-01T00:00:00Z"

/* Parts of payloads. */
#define REPO                                                                                       \
    "\"repository\":{\"id\":11,\"name\":\"r\",\"full_name\":\"o/"                                  \
    "r\",\"url\":\"repo-url\",\"owner\":{\"login\":\"o\",\"url\":\"owner-url\"}}"
#define REPO_AT(time)                                                                              \
    "\"repository\":{\"id\":11,\"name\":\"r\",\"full_name\":\"o/"                                  \
    "r\",\"url\":\"repo-url\",\"updated_at\":\"" time "\",\"owner\":{\"url\":\"owner-url\"}}"
#define ORG "\"organization\":{\"id\":12,\"login\":\"o\",\"url\":\"org-url\"}"
#define SENDER                                                                                     \
    "\"sender\":{\"id\":13,\"login\":\"s\",\"type\":\"User\",\"url\":\"https://api/users/s\"}"
#define ACCOUNT "\"account\":{\"id\":14,\"login\":\"a\",\"url\":\"account-url\"}"

/* clang-format off: a row stays a row */
static const struct {
    const char *event;
    const char *payload;
    const char *type;
    const char *source;
    const char *subject; /* NULL: absent */
    const char *key;
    int64_t time_ms;
} cases[] = {
    /* The adapter document's events. */
    {"check_run",
     "{\"action\":\"completed\",\"check_run\":{\"id\":5,\"completed_at\":\"" TIME
     "\",\"started_at\":\"" EARLIER "\"}," REPO "}",
     "com.github.check_run.completed", "repo-url", "5", "11", TIME_MS},
    {"check_run",
     "{\"action\":\"created\",\"check_run\":{\"id\":5,\"completed_at\":null,\"started_at\":\"" TIME
     "\"}," REPO "}",
     "com.github.check_run.created", "repo-url", "5", "11", TIME_MS},
    {"check_suite",
     "{\"action\":\"requested\",\"check_suite\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.check_suite.requested", "repo-url", "5", "11", TIME_MS},
    {"commit_comment",
     "{\"action\":\"created\",\"comment\":{\"id\":5,\"url\":\"comment-url\",\"commit_id\":\"abc\","
     "\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.commit_comment.created", "comment-url/abc", "5", "11", TIME_MS},
    {"commit_comment",
     "{\"action\":\"created\",\"comment\":{\"id\":5,\"url\":\"comment-url\"}," REPO "}",
     "com.github.commit_comment.created", "repo-url", "5", "11", RECEIVED_MS},
    {"content_reference",
     "{\"action\":\"created\",\"content_reference\":{\"id\":5}," REPO_AT(TIME) "}",
     "com.github.content_reference.created", "repo-url", "5", "11", TIME_MS},
    {"create", "{\"ref\":\"v1\",\"ref_type\":\"tag\"," REPO_AT(TIME) "}", "com.github.create.tag",
     "repo-url", "v1", "11", TIME_MS},
    {"delete", "{\"ref\":\"main\",\"ref_type\":\"branch\"," REPO_AT(TIME) "}",
     "com.github.delete.branch", "repo-url", "main", "11", TIME_MS},
    {"deploy_key",
     "{\"action\":\"created\",\"key\":{\"id\":5,\"deleted_at\":null,\"created_at\":\"" TIME
     "\"}," REPO "}",
     "com.github.deploy_key.created", "repo-url", "5", "11", TIME_MS},
    {"deployment",
     "{\"action\":\"created\",\"deployment\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.deployment", "repo-url", "5", "11", TIME_MS},
    {"deployment_status",
     "{\"action\":\"created\",\"deployment_status\":{\"state\":\"success\",\"url\":\"status-url\","
     "\"updated_at\":\"" TIME "\"},\"deployment\":{\"url\":\"deployment-url\"}," REPO "}",
     "com.github.deployment_status.success", "deployment-url", "status-url", "11", TIME_MS},
    {"fork", "{\"forkee\":{\"url\":\"fork-url\",\"created_at\":\"" TIME "\"}," REPO "}",
     "com.github.fork", "repo-url", "fork-url", "11", TIME_MS},
    {"github_app_authorization", "{\"action\":\"revoked\"," SENDER "}",
     "com.github.github_app_authorization", "https://api/users/s", NULL, "13", RECEIVED_MS},
    {"gollum", "{\"pages\":[{\"page_name\":\"x\"}]," REPO_AT(TIME) "}", "com.github.gollum",
     "repo-url", NULL, "11", TIME_MS},
    {"installation",
     "{\"action\":\"created\",\"installation\":{\"id\":5,\"updated_at\":1577836800," ACCOUNT
     "}," SENDER "}",
     "com.github.installation.created", "account-url", "5", "14", TIME_MS},
    {"installation",
     "{\"action\":\"suspend\",\"installation\":{\"id\":5,\"updated_at\":\"2019-12-31T20:00:00.000-"
     "04:00\"," ACCOUNT "}," SENDER "}",
     "com.github.installation.suspend", "account-url", "5", "14", TIME_MS},
    {"installation_repositories",
     "{\"action\":\"added\",\"installation\":{\"id\":5," ACCOUNT "}," SENDER "}",
     "com.github.installation_repository.added", "account-url", "5", "14", RECEIVED_MS},
    {"issue_comment",
     "{\"action\":\"created\",\"issue\":{\"number\":7,\"url\":\"issue-url\",\"updated_at\":"
     "\"" EARLIER "\"},\"comment\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.issue_comment.created", "issue-url", "5", "11#7", TIME_MS},
    {"issues",
     "{\"action\":\"opened\",\"issue\":{\"number\":7,\"updated_at\":\"" TIME "\"}," REPO "," ORG
     "," SENDER "}",
     "com.github.issue.opened", "repo-url", "7", "11#7", TIME_MS},
    {"label", "{\"action\":\"created\",\"label\":{\"name\":\"kind/bug\"}," REPO_AT(TIME) "}",
     "com.github.label.created", "repo-url", "kind/bug", "11", TIME_MS},
    {"marketplace_purchase",
     "{\"action\":\"purchased\",\"effective_date\":\"" TIME "\",\"marketplace_purchase\":{" ACCOUNT
     "}," SENDER "}",
     "com.github.marketplace_purchase.purchased", "https://api/users", "a", "14", TIME_MS},
    {"member", "{\"action\":\"added\",\"member\":{\"login\":\"m\"}," REPO_AT(TIME) "}",
     "com.github.member.added", "repo-url", "m", "11", TIME_MS},
    {"membership",
     "{\"action\":\"added\",\"scope\":\"team\",\"member\":{\"login\":\"m\"},\"team\":{\"id\":5,"
     "\"url\":\"team-url\"}," ORG "}",
     "com.github.membership.team.added", "team-url", "m", "12", RECEIVED_MS},
    {"meta",
     "{\"action\":\"deleted\",\"hook_id\":5,\"hook\":{\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.meta.deleted", "repo-url", "5", "11", TIME_MS},
    {"milestone",
     "{\"action\":\"closed\",\"milestone\":{\"number\":3,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.milestone.closed", "repo-url", "3", "11",
     TIME_MS}, /* no issue's key: the numbers collide */
    {"organization",
     "{\"action\":\"member_added\",\"membership\":{\"user\":{\"login\":\"m\"}}," ORG "}",
     "com.github.organization.member_added", "org-url", "m", "12", RECEIVED_MS},
    {"organization", "{\"action\":\"renamed\"," ORG "}", "com.github.organization.renamed",
     "org-url", NULL, "12", RECEIVED_MS},
    {"org_block", "{\"action\":\"blocked\",\"blocked_user\":{\"login\":\"m\"}," ORG "}",
     "com.github.org_block.blocked", "org-url", "m", "12", RECEIVED_MS},
    {"page_build",
     "{\"id\":1,\"build\":{\"url\":\"build-url\",\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.page_build", "repo-url", "build-url", "11", TIME_MS},
    {"project_card",
     "{\"action\":\"moved\",\"project_card\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.project_card.moved", "repo-url", "5", "11", TIME_MS},
    {"project_column",
     "{\"action\":\"edited\",\"project_column\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.project_column.edited", "repo-url", "5", "11", TIME_MS},
    {"project",
     "{\"action\":\"created\",\"project\":{\"id\":5,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.project.created", "repo-url", "5", "11", TIME_MS},
    {"public", "{" REPO_AT(TIME) "}", "com.github.public", "owner-url", "r", "11", TIME_MS},
    {"pull_request",
     "{\"action\":\"opened\",\"number\":7,\"pull_request\":{\"number\":7,\"updated_at\":\"" TIME
     "\"}," REPO "}",
     "com.github.pull_request.opened", "repo-url", "7", "11#7", TIME_MS},
    {"pull_request_review",
     "{\"action\":\"submitted\",\"review\":{\"id\":5,\"submitted_at\":\"" TIME
     "\"},\"pull_request\":{\"number\":7,\"url\":\"pr-url\"}," REPO "}",
     "com.github.pull_request_review.submitted", "pr-url", "5", "11#7", TIME_MS},
    {"pull_request_review_comment",
     "{\"action\":\"created\",\"comment\":{\"id\":5},\"pull_request\":{\"number\":7,\"url\":\"pr-"
     "url\",\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.pull_request_review_comment.created", "pr-url", "5", "11#7", TIME_MS},
    {"push",
     "{\"ref\":\"refs/heads/"
     "main\",\"repository\":{\"id\":11,\"url\":\"repo-url\",\"pushed_at\":1577836800,\"created_"
     "at\":1}}",
     "com.github.push", "repo-url", "refs/heads/main", "11", TIME_MS},
    {"registry_package",
     "{\"action\":\"published\",\"registry_package\":{\"html_url\":\"package-url\",\"updated_at\":"
     "\"" TIME "\"}," REPO "}",
     "com.github.registry_package.published", "repo-url", "package-url", "11", TIME_MS},
    {"release",
     "{\"action\":\"created\",\"release\":{\"id\":5,\"created_at\":\"" EARLIER
     "\",\"published_at\":\"" TIME "\"}," REPO "}",
     "com.github.release.created", "repo-url", "5", "11", 1546300800000},
    {"release",
     "{\"action\":\"published\",\"release\":{\"id\":5,\"created_at\":\"" EARLIER
     "\",\"published_at\":\"" TIME "\"}," REPO "}",
     "com.github.release.published", "repo-url", "5", "11", TIME_MS},
    {"release",
     "{\"action\":\"released\",\"release\":{\"id\":5,\"created_at\":\"" EARLIER
     "\",\"published_at\":\"" TIME "\"}," REPO "}",
     "com.github.release.released", "repo-url", "5", "11", TIME_MS},
    {"release",
     "{\"action\":\"edited\",\"release\":{\"id\":5,\"created_at\":\"" EARLIER
     "\"}," REPO_AT(TIME) "}",
     "com.github.release.edited", "repo-url", "5", "11", TIME_MS},
    {"repository", "{\"action\":\"renamed\"," REPO_AT(TIME) "}", "com.github.repository.renamed",
     "owner-url", "r", "11", TIME_MS},
    {"repository_import", "{\"status\":\"success\"," REPO_AT(TIME) "}",
     "com.github.repository_import", "owner-url", "r", "11", TIME_MS},
    {"repository_vulnerability_alert",
     "{\"action\":\"create\",\"alert\":{\"id\":5}," REPO_AT(TIME) "}",
     "com.github.repository_vulnerability_alert.create", "repo-url", "5", "11", TIME_MS},
    {"security_advisory",
     "{\"action\":\"published\",\"security_advisory\":{\"ghsa_id\":\"GHSA-1\",\"updated_at\":"
     "\"" TIME "\"}}",
     "com.github.security_advisory.published", "github.com", "GHSA-1", "security_advisory",
     TIME_MS},
    {"star", "{\"action\":\"created\",\"starred_at\":\"" TIME "\"," REPO "}",
     "com.github.star.created", "repo-url", NULL, "11", TIME_MS},
    {"star", "{\"action\":\"deleted\",\"starred_at\":null," REPO_AT(TIME) "}",
     "com.github.star.deleted", "repo-url", NULL, "11", TIME_MS},
    {"status",
     "{\"id\":1,\"sha\":\"abc\",\"state\":\"success\",\"updated_at\":\"" TIME "\"," REPO "}",
     "com.github.status", "repo-url", "abc", "11", TIME_MS},
    {"team", "{\"action\":\"created\",\"team\":{\"id\":5}," ORG "}", "com.github.team.created",
     "org-url", "5", "12", RECEIVED_MS},
    {"team_add", "{\"team\":{\"id\":5}," REPO_AT(TIME) "}", "com.github.team_add", "repo-url", "5",
     "11", TIME_MS},
    {"watch", "{\"action\":\"started\"," REPO_AT(TIME) "}", "com.github.watch.started", "repo-url",
     NULL, "11", TIME_MS},

    /* Newer ones. */
    {"ping", "{\"zen\":\"z\",\"hook_id\":5,\"hook\":{\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.ping", "repo-url", "5", "11", TIME_MS},
    {"ping", "{\"zen\":\"z\",\"hook_id\":5,\"hook\":{\"updated_at\":\"" TIME "\"}," ORG "}",
     "com.github.ping", "org-url", "5", "12", TIME_MS},
    {"ping",
     "{\"zen\":\"z\",\"hook_id\":5,\"hook\":{\"type\":\"App\",\"url\":\"hook-url\",\"updated_at\":"
     "\"" TIME "\"}}",
     "com.github.ping", "hook-url", "5", "ping", TIME_MS},
    {"ping", "{\"zen\":\"z\"}", "com.github.ping", "github.com", NULL, "ping", RECEIVED_MS},
    {"discussion",
     "{\"action\":\"created\",\"discussion\":{\"number\":7,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.discussion.created", "repo-url", "7", "11#7", TIME_MS},
    {"discussion_comment",
     "{\"action\":\"created\",\"discussion\":{\"number\":7},\"comment\":{\"id\":5,\"updated_at\":"
     "\"" TIME "\"}," REPO "}",
     "com.github.discussion_comment.created", "repo-url", "5", "11#7", TIME_MS},
    {"pull_request_review_thread",
     "{\"action\":\"resolved\",\"thread\":{},\"pull_request\":{\"number\":7,\"updated_at\":\"" TIME
     "\"}," REPO "}",
     "com.github.pull_request_review_thread.resolved", "repo-url", "7", "11#7", TIME_MS},
    {"dependabot_alert",
     "{\"action\":\"created\",\"alert\":{\"number\":3,\"updated_at\":\"" TIME "\"}," REPO "}",
     "com.github.dependabot_alert.created", "repo-url", "3", "11", TIME_MS},
    {"sub_issues",
     "{\"action\":\"sub_issue_added\",\"sub_issue\":{\"number\":8},\"parent_issue\":{\"number\":7}"
     "," REPO "}",
     "com.github.sub_issues.sub_issue_added", "repo-url", "7", "11#7", RECEIVED_MS},
    {"sub_issues",
     "{\"action\":\"parent_issue_added\",\"sub_issue\":{\"number\":8},\"parent_issue\":{\"number\":"
     "7}," REPO "}",
     "com.github.sub_issues.parent_issue_added", "repo-url", "8", "11#8", RECEIVED_MS},
    {"issue_dependencies",
     "{\"action\":\"blocked_by_added\",\"blocked_issue\":{\"number\":8},\"blocking_issue\":{"
     "\"number\":7}," REPO "}",
     "com.github.issue_dependencies.blocked_by_added", "repo-url", "8", "11#8", RECEIVED_MS},
    {"issue_dependencies",
     "{\"action\":\"blocking_added\",\"blocked_issue\":{\"number\":8},\"blocking_issue\":{"
     "\"number\":7}," REPO "}",
     "com.github.issue_dependencies.blocking_added", "repo-url", "7", "11#7", RECEIVED_MS},
    {"workflow_job",
     "{\"action\":\"completed\",\"workflow_job\":{\"id\":5,\"completed_at\":\"" TIME
     "\",\"started_at\":\"" EARLIER "\"}," REPO "}",
     "com.github.workflow_job.completed", "repo-url", "5", "11", TIME_MS},
    {"workflow_dispatch", "{\"ref\":\"refs/heads/main\",\"inputs\":{}," REPO_AT(TIME) "}",
     "com.github.workflow_dispatch", "repo-url", "refs/heads/main", "11", TIME_MS},
    {"repository_dispatch", "{\"action\":\"on-demand-test\",\"branch\":\"main\"," REPO_AT(TIME) "}",
     "com.github.repository_dispatch.on-demand-test", "repo-url", NULL, "11", TIME_MS},
    {"sponsorship",
     "{\"action\":\"created\",\"sponsorship\":{\"created_at\":\"" TIME "\"}," SENDER "}",
     "com.github.sponsorship.created", "https://api/users/s", NULL, "13", TIME_MS},

    /* Unknown ones. */
    {"brand_new",
     "{\"action\":\"done\",\"number\":3,\"thing\":{\"finished\":1,\"completed_at\":\"" TIME
     "\"}," REPO "}",
     "com.github.brand_new.done", "repo-url", "3", "11", TIME_MS},
    {"brand_new", "{\"id\":4," ORG "," SENDER "}", "com.github.brand_new", "org-url", "4", "12",
     RECEIVED_MS},
    {"brand_new", "{\"ref\":\"r\",\"id\":4," SENDER "}", "com.github.brand_new",
     "https://api/users/s", "r", "13", RECEIVED_MS},
    {"brand_new", "{}", "com.github.brand_new", "github.com", NULL, "brand_new", RECEIVED_MS},
    {"brand_new", "[]", "com.github.brand_new", "github.com", NULL, "brand_new", RECEIVED_MS},

    /* Odd values. */
    {"issues", "{\"action\":\"opened\",\"issue\":{\"number\":7}}", "com.github.issue.opened",
     "github.com", "7", "issues", RECEIVED_MS},
    {"issues", "{\"action\":\"opened\",\"issue\":{\"number\":0}," REPO "}",
     "com.github.issue.opened", "repo-url", "0", "11", RECEIVED_MS},
    {"issues", "{\"action\":\"opened\",\"issue\":{\"number\":\"7\"}," REPO "}",
     "com.github.issue.opened", "repo-url", "7", "11", RECEIVED_MS},
    {"issues", "{\"action\":\"opened\",\"issue\":{\"number\":99999999999999999999}," REPO "}",
     "com.github.issue.opened", "repo-url", "99999999999999999999", "11", RECEIVED_MS},
    {"issues", "{\"action\":7,\"issue\":{\"number\":7}," REPO "}", "com.github.issue.7", "repo-url",
     "7", "11#7", RECEIVED_MS},
    {"issues", "{\"action\":\"two words\",\"issue\":{\"number\":7}," REPO "}", "com.github.issue",
     "repo-url", "7", "11#7", RECEIVED_MS},
    {"issues", "{\"action\":\"a\\u0000b\",\"issue\":{\"number\":7}," REPO "}", "com.github.issue",
     "repo-url", "7", "11#7", RECEIVED_MS},
    {"issues", "{\"action\":\"opened\",\"issue\":{\"number\":7,\"updated_at\":\"soon\"}," REPO "}",
     "com.github.issue.opened", "repo-url", "7", "11#7", RECEIVED_MS},
    {"label", "{\"label\":{\"name\":\"a\\u0000b\"}," REPO "}", "com.github.label", "repo-url", NULL,
     "11", RECEIVED_MS},
    {"label", "{\"label\":{\"name\":\"a\\nb\"}," REPO "}", "com.github.label", "repo-url", NULL,
     "11", RECEIVED_MS},
    {"label", "{\"label\":{\"name\":\"\\u0085\"}," REPO "}", "com.github.label", "repo-url", NULL,
     "11", RECEIVED_MS},
    {"label", "{\"label\":{\"name\":\"\\udc00\"}," REPO "}", "com.github.label", "repo-url", NULL,
     "11", RECEIVED_MS},
    {"label", "{\"label\":{\"name\":\"\\u00e9\\ud83d\\ude00\"}," REPO "}", "com.github.label",
     "repo-url", "\xc3\xa9\xf0\x9f\x98\x80", "11", RECEIVED_MS},
    {"push", "{\"ref\":\"\",\"repository\":{\"id\":11,\"url\":\"\"}," SENDER "}", "com.github.push",
     "https://api/users/s", NULL, "11", RECEIVED_MS},
    {"marketplace_purchase", "{\"sender\":{\"id\":13,\"url\":\"no-slash\"}}",
     "com.github.marketplace_purchase", "no-slash", NULL, "13", RECEIVED_MS},
};
/* clang-format on */

static const struct delivery_head base_head = {
    .delivery = {"72d3162e-cc78-11e3-81ab-4c9367dc0958", HEAD_DELIVERY_BYTES},
    .hook_id = {"5", 1},
    .target_type = {"repository", 10},
    .target_id = {"11", 2},
    .signature = {"sha256=00", 9},
};

/* An event with the payload from which it borrows. */
struct made {
    struct payload *payload; /* owned */
    struct github_event event;
};

static void made_release_cleanup(struct made *made)
{
    payload_free(made->payload);
}

/* Makes the event of a payload. */
static void make(const char *event_name, const char *text, struct made *ret_made)
{
    struct payload *payload = payload_new();
    struct error error = {0};
    struct delivery_head head = base_head;
    head.event = text_of(event_name);
    if (payload_feed(payload, text, strlen(text), &error) != 0 ||
        payload_finish(payload, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    ret_made->payload = payload;
    github_event_make(&head, payload, "secret-1", RECEIVED_MS, &ret_made->event);
}

static void expect_text(const char *event, const char *what, struct text got, const char *expected)
{
    bool is_equal = expected == NULL ? got.data == NULL : text_equals(got, expected);
    if (!is_equal)
        fail_msg("%s: %s is '%.*s' instead of '%s'", event, what, (int)got.bytes,
                 got.data != NULL ? got.data : "", expected != NULL ? expected : "(absent)");
}

static void test_mapping(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(made_release) struct made made = {0};
        struct event_headers headers;
        struct error error = {0};
        make(cases[i].event, cases[i].payload, &made);
        const struct github_event *event = &made.event;
        expect_text(cases[i].event, "type", event->envelope.type, cases[i].type);
        expect_text(cases[i].event, "source", event->envelope.source, cases[i].source);
        expect_text(cases[i].event, "subject", event->envelope.subject, cases[i].subject);
        expect_text(cases[i].event, "key", (struct text){event->key, event->key_bytes},
                    cases[i].key);
        if (event->envelope.time_ms != cases[i].time_ms)
            fail_msg("%s %s: time %lld instead of %lld", cases[i].event, cases[i].payload,
                     (long long)event->envelope.time_ms, (long long)cases[i].time_ms);
        if (envelope_encode(&event->envelope, &headers, &error) != 0)
            fail_msg("%s %s: %s", cases[i].event, cases[i].payload, error.text);
    }
}

static void test_attributes_from_the_head(void **state)
{
    (void)state;
    CLEANUP(made_release) struct made made = {0};
    make("issues", "{\"action\":\"opened\",\"issue\":{\"number\":7}," REPO "," SENDER "}", &made);
    expect_text("issues", "id", made.event.envelope.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    expect_text("issues", "content type", made.event.envelope.content_type, "application/json");
    expect_text("issues", "data schema", made.event.envelope.data_schema, NULL);
    expect_text("issues", "repository", made.event.envelope.repository, "o/r");
    expect_text("issues", "event", made.event.envelope.github_event, "issues");
    expect_text("issues", "hook", made.event.envelope.hook_id, "5");
    expect_text("issues", "target type", made.event.envelope.target_type, "repository");
    expect_text("issues", "target", made.event.envelope.target_id, "11");
    expect_text("issues", "signature", made.event.envelope.signature, "sha256=00");
    expect_text("issues", "sender", made.event.envelope.sender, "s");
    expect_text("issues", "sender type", made.event.envelope.sender_type, "User");
    expect_text("issues", "secret", made.event.envelope.secret_id, "secret-1");
    assert_true(made.event.envelope.has_time);
}

static void test_what_is_too_long_for_an_attribute(void **state)
{
    (void)state;
    char url[ENVELOPE_ATTRIBUTE_MAX_BYTES + 1] = "";
    memset(url, 'u', sizeof(url) - 1);
    CLEANUP(made_release) struct made joined = {0};
    CLEANUP(made_release) struct made longest = {0};
    CLEANUP(made_release) struct made longer = {0};
    struct event_headers headers;
    struct error error;
    /* Both parts fit, their join does not: the general rule takes over. */
    CLEANUP(mem_free)
    char *text =
        mem_format("{\"comment\":{\"id\":5,\"url\":\"%s\",\"commit_id\":\"abc\"}," REPO "}", url);
    make("commit_comment", text, &joined);
    expect_text("commit_comment", "source", joined.event.envelope.source, "repo-url");
    assert_int_equal(envelope_encode(&joined.event.envelope, &headers, &error), 0);
    /* An action of a hundred characters is part of the type, one more is not. */
    CLEANUP(mem_free) char *fits = mem_format("{\"action\":\"%.100s\"}", url);
    CLEANUP(mem_free) char *too_long = mem_format("{\"action\":\"%.101s\"}", url);
    make("watch", fits, &longest);
    assert_int_equal(longest.event.envelope.type.bytes, strlen("com.github.watch.") + 100);
    make("watch", too_long, &longer);
    expect_text("watch", "type", longer.event.envelope.type, "com.github.watch");
}

/* The longest type there can be: two suffixes at their longest. */
static void test_longest_type_fits(void **state)
{
    (void)state;
    char word[GITHUB_EVENT_SUFFIX_MAX_BYTES + 1] = "";
    memset(word, 'w', sizeof(word) - 1);
    CLEANUP(mem_free) char *text = mem_format("{\"scope\":\"%s\",\"action\":\"%s\"}", word, word);
    CLEANUP(made_release) struct made made = {0};
    make("membership", text, &made);
    assert_int_equal(made.event.envelope.type.bytes, strlen("com.github.membership..") + 200);
}

static void test_labels_are_bounded(void **state)
{
    (void)state;
    assert_string_equal(github_event_label(text_of("issues")), "issues");
    assert_string_equal(github_event_label(text_of("release")), "release");
    assert_string_equal(github_event_label(text_of("brand_new")), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_attributes_from_the_head),
        cmocka_unit_test(test_what_is_too_long_for_an_attribute),
        cmocka_unit_test(test_longest_type_fits),
        cmocka_unit_test(test_labels_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
