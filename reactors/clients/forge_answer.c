/*
 * What an answer of the forge means: status → code, text, and what to do next.
 * Source: GitHub REST API, "Troubleshooting the REST API", "Rate limits for the REST API", and the
 * endpoints' status tables.
 *
 * A write whose answer never came, or came as 5xx or 408, may have taken effect all the same:
 * effect_unsure. Any other status means that GitHub decided, and that nothing was written unless
 * it is 2xx.
 */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/* Longest part of GitHub's own message that goes into an error text. */
#define MESSAGE_BYTES 160

/* Longest part of the URL that a redirect points at. */
#define LOCATION_BYTES 120

/* Classes and members of HTTP statuses. */
#define STATUS_OK_FIRST 200
/* See above. */
#define STATUS_REDIRECT_FIRST 300
/* See above. */
#define STATUS_NOT_MODIFIED 304
/* See above. */
#define STATUS_ERROR_FIRST 400
/* See above. */
#define STATUS_TIMEOUT 408
/* See above. */
#define STATUS_SERVER_FIRST 500

/* Which code a status means, and what a person does about it. */
static const struct {
    int status;
    int code;
    const char *advice; /* NULL: GitHub's message says it */
} answer_statuses[] = {
    {400, ERR_INPUT, NULL},
    {401, ERR_DENIED, "renew the token or the App's key, and its id, in their files"},
    {403, ERR_DENIED,
     "nodag needs the permissions Metadata: read, Contents: read and Issues: write "
     "there, and a repository that is not archived"},
    {404, ERR_NOT_FOUND, NULL},
    {408, ERR_TIMEOUT, NULL},
    {409, ERR_CONFLICT, NULL},
    {410, ERR_NOT_FOUND, NULL},
    {413, ERR_TOO_LARGE, NULL},
    {422, ERR_INPUT, NULL},
    {451, ERR_DENIED, NULL},
};

static const char *const limit_names[] = {
    [FORGE_LIMIT_NONE] = "none",
    [FORGE_LIMIT_PRIMARY] = "primary",
    [FORGE_LIMIT_SECONDARY] = "secondary",
    [FORGE_LIMIT_BUDGET] = "budget",
};

static const char *const limit_texts[] = {
    [FORGE_LIMIT_NONE] = "",
    [FORGE_LIMIT_PRIMARY] = "the forge's primary rate limit is used up",
    [FORGE_LIMIT_SECONDARY] = "the forge's secondary rate limit holds",
    [FORGE_LIMIT_BUDGET] = "nodag's own budget of writes (--forge-writes-per-hour) is used up",
};

void forge_answer_clean_text(const char *text, size_t room_bytes, char *ret_text)
{
    size_t length = strnlen(text, room_bytes);
    if (length == room_bytes) {
        length = room_bytes - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        ret_text[i] = byte < 0x20 || byte == 0x7f ? ' ' : text[i];
    }
    ret_text[length] = '\0';
}

/* ---- metrics ---- */

static void count_request(const struct forge_call *call, int status)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct forge_metrics *metrics = &call->forge->metrics;
    if (metrics->requests == NULL)
        return;
    const char *name = "none";
    if (status == STATUS_NOT_MODIFIED)
        name = "304";
    else if (status >= 100 && status <= 599)
        name = classes[status / 100 - 1];
    metric_add(
        metrics_series(metrics->requests, (const char *const[]){call->operation->method, name}), 1);
    if (status == STATUS_NOT_MODIFIED)
        metric_add(metrics->not_modified, 1);
    if (call->operation->is_write)
        metric_add(metrics->writes, 1);
}

static void count_deferred(const struct forge *forge, enum forge_limit_kind kind)
{
    if (forge->metrics.deferred != NULL)
        metric_add(
            metrics_series(forge->metrics.deferred, (const char *const[]){limit_names[kind]}), 1);
}

/* ---- limits ---- */

static int defer(struct forge_call *call, enum forge_limit_kind kind, int64_t wait_ms)
{
    count_deferred(call->forge, kind);
    call->outcome.retry_after_ms = wait_ms;
    return forge_call_fail(call, ERR_RATE_LIMITED, "%s; again in %lld s", limit_texts[kind],
                           (long long)(wait_ms + 999) / 1000);
}

int forge_answer_check_limits(struct forge_call *call)
{
    struct forge *forge = call->forge;
    int64_t now_ms = loop_now_ms(forge->loop);
    enum forge_limit_kind kind = FORGE_LIMIT_NONE;
    const struct forge_credential *credential = forge_auth_credential(forge, call->installation_id);
    int64_t wait_ms = forge_limit_wait_ms(&credential->limit, now_ms, &kind);
    if (call->operation->is_write) {
        int64_t budget_wait_ms = forge_budget_wait_ms(forge->budget, now_ms);
        if (budget_wait_ms > wait_ms) {
            wait_ms = budget_wait_ms;
            kind = FORGE_LIMIT_BUDGET;
        }
    }
    return wait_ms == 0 ? 0 : defer(call, kind, wait_ms);
}

/* Learns the limits from an answer; true if it is a refusal by one of them. */
static bool learn_limits(struct forge_call *call, const struct http_response *response)
{
    struct forge *forge = call->forge;
    struct forge_credential *credential = forge_auth_credential(forge, call->installation_id);
    struct forge_limit unknown = {0};
    struct forge_limit *limit = credential != NULL ? &credential->limit : &unknown;
    int64_t now_ms = loop_now_ms(forge->loop);
    enum forge_limit_kind refused_by = forge_limit_learn(limit, response, call->operation->is_write,
                                                         now_ms, loop_wall_ms(forge->loop));
    if (credential != NULL && credential->remaining != NULL && limit->is_known)
        metric_set(credential->remaining, (double)limit->remaining);
    if (refused_by == FORGE_LIMIT_NONE)
        return false;
    enum forge_limit_kind longest = refused_by;
    int64_t wait_ms = forge_limit_wait_ms(limit, now_ms, &longest);
    (void)defer(call, refused_by, wait_ms);
    return true;
}

/* ---- texts ---- */

/* Writes GitHub's message, and the first detail of a 422, as far as the body has them. */
static void read_message(const struct http_response *response, char ret_text[MESSAGE_BYTES])
{
    CLEANUP(json_release) json_t *body = NULL;
    ret_text[0] = '\0';
    if (json_read(response->body, response->body_bytes, &body, NULL) != 0)
        return;
    const char *message = json_text_or(body, "message", "");
    const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
    const char *detail =
        json_is_string(first) ? json_string_value(first) : json_text_or(first, "message", "");
    CLEANUP(mem_free)
    char *text = mem_format(": %s%s%s", message, detail[0] != '\0' ? ": " : "", detail);
    if (message[0] != '\0')
        forge_answer_clean_text(text, MESSAGE_BYTES, ret_text);
}

static void judge_redirect(struct forge_call *call, const struct http_response *response)
{
    char shown[LOCATION_BYTES] = "elsewhere";
    const char *location = http_response_header(response, "Location");
    if (location != NULL)
        forge_answer_clean_text(location, sizeof(shown), shown);
    if (call->operation->is_write)
        (void)forge_call_fail(call, ERR_CONFLICT,
                              "it was moved to %s; nothing was written, look again where it is now",
                              shown);
    else
        (void)forge_call_fail(call, ERR_INPUT,
                              "the forge sends us to %s, which is not followed; check --forge-url",
                              shown);
}

static void judge_error(struct forge_call *call, const struct http_response *response)
{
    int status = response->status;
    int code = status >= STATUS_SERVER_FIRST ? ERR_UNAVAILABLE : ERR_INPUT;
    const char *advice = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(answer_statuses); i++) {
        if (answer_statuses[i].status == status) {
            code = answer_statuses[i].code;
            advice = answer_statuses[i].advice;
        }
    }
    bool is_undecided = status >= STATUS_SERVER_FIRST || status == STATUS_TIMEOUT;
    call->outcome.effect_unsure = call->operation->is_write && is_undecided;
    char message[MESSAGE_BYTES];
    read_message(response, message);
    (void)forge_call_fail(call, code, "the forge answered %d%s%s%s", status, message,
                          advice != NULL ? "; " : "", advice != NULL ? advice : "");
}

/* ---- judgement ---- */

void forge_answer_judge_failure(struct forge_call *call, int code, const struct error *error)
{
    count_request(call, 0);
    call->outcome.effect_unsure = call->operation->is_write && code != ERR_INPUT;
    (void)forge_call_fail(call, code, "%s", error->text);
}

void forge_answer_judge(struct forge_call *call, const struct http_response *response)
{
    int status = response->status;
    count_request(call, status);
    call->answer_time_ms = forge_limit_forge_time_ms(response, loop_wall_ms(call->forge->loop));
    if (learn_limits(call, response) || status == STATUS_NOT_MODIFIED)
        return;
    if (status >= STATUS_REDIRECT_FIRST && status < STATUS_ERROR_FIRST)
        judge_redirect(call, response);
    else if (status < STATUS_OK_FIRST || status >= STATUS_ERROR_FIRST)
        judge_error(call, response);
}
