/*
 * The state machine of a call: see forge_call.h.
 *
 * Every entry into the machine is a callback of the loop or of the HTTP client: call_step
 * (deferred: at the start and after a lookup) and call_on_answer. Each leaves the call waiting for
 * exactly one thing, or finished.
 */
#include "reactors/clients/forge_call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/*
 * Longest life of a call with all its lookups and pages: five minutes, by when what was read first
 * is old.
 */
#define CALL_LIFE_MS 300000

/* Statuses that the machine itself knows. */
#define STATUS_NOT_MODIFIED 304
/* See above. */
#define STATUS_UNAUTHORIZED 401
/* See above. */
#define STATUS_NOT_FOUND 404
#define STATUS_NO_CONTENT 204

/* Longest part of an error text that another layer wrote. */
#define CALL_TEXT_BYTES 400

/* Which states may follow one, as bits. */
static const unsigned call_successors[] = {
    [FORGE_CALL_STARTING] = 1u << FORGE_CALL_AUTHENTICATING,
    [FORGE_CALL_AUTHENTICATING] = 1u << FORGE_CALL_ASKING,
    [FORGE_CALL_ASKING] = 1u << FORGE_CALL_AUTHENTICATING | 1u << FORGE_CALL_PROVING,
    [FORGE_CALL_PROVING] = 0,
};

static void call_advance(struct forge_call *call);

static void call_set_state(struct forge_call *call, enum forge_call_state state)
{
    assert((call_successors[call->state] & 1u << state) != 0);
    call->state = state;
}

/* ---- life ---- */

static void call_unlink(struct forge_call *call)
{
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        call->forge->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
}

/* Frees a call that has left the list; touches nothing of the forge. */
static void call_free(struct forge_call *call)
{
    if (call->operation->release != NULL && call->answer != NULL)
        call->operation->release(call->answer);
    else
        free(call->answer);
    free(call->repository);
    free(call->what);
    free(call->url);
    free(call->body);
    call->magic = 0;
    free(call);
}

struct forge_call *forge_call_new(struct forge *forge, const struct forge_operation *operation,
                                  const char *repository, void *argument)
{
    struct forge_call *call = MEM_NEW(struct forge_call);
    call->magic = FORGE_CALL_MAGIC;
    call->forge = forge;
    call->operation = operation;
    call->argument = argument;
    call->state = FORGE_CALL_STARTING;
    call->started_ms = loop_now_ms(forge->loop);
    call->repository = mem_copy_text(repository);
    call->next = forge->calls;
    if (forge->calls != NULL)
        forge->calls->previous = call;
    forge->calls = call;
    return call;
}

void forge_call_set_what(struct forge_call *call, char *what_taken)
{
    free(call->what);
    call->what = what_taken;
}

int forge_call_fail(struct forge_call *call, int code, const char *format, ...)
{
    assert(code < 0);
    if (call->outcome.error.code != 0)
        return call->outcome.error.code;
    char text[CALL_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set(&call->outcome.error, code, "cannot %s%s%s: %s", call->operation->name,
                     call->what != NULL ? " " : "", call->what != NULL ? call->what : "", text);
}

void forge_call_ask(struct forge_call *call, const char *path_format, ...)
{
    if (!forge_url_is_repository(call->repository)) {
        char shown[FORGE_REPOSITORY_BYTES];
        forge_answer_clean_text(call->repository, sizeof(shown), shown);
        (void)forge_call_fail(call, ERR_INPUT, "\"%s\" is not a repository as OWNER/NAME", shown);
        return;
    }
    char path[FORGE_URL_MAX_BYTES];
    va_list arguments;
    va_start(arguments, path_format);
    int written = vsnprintf(path, sizeof(path), path_format, arguments);
    va_end(arguments);
    if (written < 0 ||
        (size_t)written >= sizeof(path) - strlen(call->forge->api_url) - FORGE_REPOSITORY_BYTES) {
        (void)forge_call_fail(call, ERR_TOO_LARGE, "its URL would be longer than %d bytes",
                              FORGE_URL_MAX_BYTES);
        return;
    }
    free(call->url);
    call->url = mem_format("%s/repos/%s%s", call->forge->api_url, call->repository, path);
}

void forge_call_wait(struct forge_call *call, struct forge_call *lookup)
{
    assert(call->waits_for == NULL && call != lookup);
    call->waits_for = lookup;
    call->next_waiting = lookup->waiting;
    lookup->waiting = call;
    call->last_lookup = lookup->operation;
    call->lookup_count++;
}

static void call_stop_waiting(struct forge_call *call)
{
    struct forge_call **place = &call->waits_for->waiting;
    while (*place != call)
        place = &(*place)->next_waiting;
    *place = call->next_waiting;
    call->waits_for = NULL;
}

void forge_call_drop(struct forge_call *call)
{
    assert(call->magic == FORGE_CALL_MAGIC);
    call_unlink(call);
    loop_cancel_deferred(call->forge->loop, call);
    if (call->http != NULL)
        http_cancel(call->forge->http, call->http);
    if (call->waits_for != NULL)
        call_stop_waiting(call);
    while (call->waiting != NULL)
        call_stop_waiting(call->waiting);
    call_free(call);
}

/* ---- the end ---- */

static void call_step(void *argument);

/* Hands a lookup's outcome to those who wait; each goes on in a turn of its own. */
static void call_wake_waiting(struct forge_call *lookup)
{
    while (lookup->waiting != NULL) {
        struct forge_call *call = lookup->waiting;
        lookup->waiting = call->next_waiting;
        call->waits_for = NULL;
        const struct forge_outcome *outcome = &lookup->outcome;
        if (outcome->error.code != 0) {
            (void)forge_call_fail(call, outcome->error.code, "%s", outcome->error.text);
            call->outcome.retry_after_ms = outcome->retry_after_ms;
        }
        loop_defer(call->forge->loop, call_step, call);
    }
}

/* Ends the call by its outcome. Nothing may touch the call or the forge afterwards. */
static void call_finish(struct forge_call *call)
{
    assert(call->http == NULL && call->waits_for == NULL);
    call_unlink(call);
    call_wake_waiting(call);
    const struct forge_outcome *outcome = &call->outcome;
    struct forge_result result = {
        .code = outcome->error.code,
        .retry_after_ms = outcome->retry_after_ms,
        .is_hidden = outcome->is_hidden,
        .effect_unsure = outcome->effect_unsure,
        .error = &outcome->error,
    };
    if (call->operation->deliver != NULL)
        call->operation->deliver(call, &result);
    call_free(call);
}

/* ---- answers ---- */

/* Asks for the next page if there is one; true if the call goes on. */
static bool call_take_next_page(struct forge_call *call, const char *link)
{
    call->page_count++;
    CLEANUP(mem_free) char *next_url = NULL;
    struct error error = {0};
    int code = forge_url_next_page(call->forge->api_url, link, &next_url, &error);
    if (code != 0) {
        (void)forge_call_fail(call, code, "%s", error.text);
        return false;
    }
    if (next_url == NULL)
        return false;
    if (call->page_count >= FORGE_PAGES_MAX) {
        (void)forge_call_fail(call, ERR_TOO_LARGE, "the list has more than %d pages",
                              FORGE_PAGES_MAX);
        return false;
    }
    free(call->url);
    call->url = TAKE(next_url);
    return true;
}

/* Reads one answer's body; true if it was understood. */
static bool call_read(struct forge_call *call, int status, const char *body, size_t body_bytes)
{
    if (call->operation->read == NULL)
        return true;
    CLEANUP(json_release) json_t *value = NULL;
    struct error error = {0};
    int code = json_read(body, body_bytes, &value, &error);
    bool may_be_empty =
        status == STATUS_NOT_FOUND || (status == STATUS_NO_CONTENT && body_bytes == 0);
    if (code != 0 && !may_be_empty) {
        call->outcome.effect_unsure = call->operation->is_write;
        (void)forge_call_fail(call, code, "the forge's answer is not JSON: %s", error.text);
        return false;
    }
    error = (struct error){0};
    code = call->operation->read(call, status, value, &error);
    if (code == 0)
        return true;
    call->outcome.effect_unsure = call->operation->is_write && status != STATUS_NOT_FOUND;
    (void)forge_call_fail(call, code, "the forge's answer is not what GitHub documents: %s",
                          error.text);
    return false;
}

/* Goes on after an answer that was understood, or ends. */
static void call_conclude(struct forge_call *call, const char *link)
{
    bool goes_on = call->outcome.error.code == 0 && call->operation->is_list &&
                   call_take_next_page(call, link);
    if (!goes_on) {
        call_finish(call);
        return;
    }
    call_set_state(call, FORGE_CALL_AUTHENTICATING);
    call_advance(call);
}

/* 304: what is in the cache is still so. */
static void call_use_cached(struct forge_call *call)
{
    const struct forge_cached *cached =
        forge_cache_find(call->forge->cache, call->installation_id, call->url);
    if (cached == NULL && call->is_conditional_now) {
        /* The cache has lost it meanwhile: asked again, there is no ETag to send. */
        call_set_state(call, FORGE_CALL_AUTHENTICATING);
        call_advance(call);
        return;
    }
    if (cached == NULL) {
        (void)forge_call_fail(call, ERR_INPUT, "the forge answered 304 to a question without ETag");
        call_finish(call);
        return;
    }
    CLEANUP(mem_free) char *link = mem_copy_text(cached->link);
    (void)call_read(call, 200, cached->body, cached->body_bytes);
    call_conclude(call, link);
}

/* 404 of a file: believed only where the repository is visible. */
static void call_prove(struct forge_call *call)
{
    if (call->state == FORGE_CALL_ASKING) {
        call->outcome = (struct forge_outcome){0};
        call_set_state(call, FORGE_CALL_PROVING);
        forge_lookup_visibility(call);
        if (call->waits_for != NULL)
            return;
    }
    const struct forge_place *place = forge_auth_place(call->forge, call->repository);
    if (place == NULL)
        (void)forge_call_fail(call, ERR_UNAVAILABLE, "what was learnt is forgotten; try again");
    else if (place->is_visible)
        (void)forge_call_fail(call, ERR_NOT_FOUND, "there is none");
    else
        (void)forge_call_fail(call, ERR_DENIED,
                              "the repository is not visible to nodag, so whether there is one "
                              "cannot be told; include it in the App's installation, or give the "
                              "token's account access");
    call->outcome.is_hidden = call->outcome.error.code == ERR_DENIED;
    call_finish(call);
}

static void call_take_answer(struct forge_call *call, const struct http_response *response)
{
    const struct forge_operation *operation = call->operation;
    const char *link = http_response_header(response, "Link");
    if (response->status == STATUS_NOT_FOUND) {
        struct forge_outcome refusal = call->outcome;
        call->outcome = (struct forge_outcome){0};
        if (!call_read(call, response->status, response->body, response->body_bytes) &&
            call->outcome.error.code == ERR_NOT_FOUND)
            call->outcome = refusal;
        call_finish(call);
        return;
    }
    bool is_understood = call_read(call, response->status, response->body, response->body_bytes);
    if (is_understood && operation->is_conditional) {
        struct forge_cached answer = {
            .etag = http_response_header(response, "ETag"),
            .body = response->body,
            .body_bytes = response->body_bytes,
            .link = link,
        };
        forge_cache_put(call->forge->cache, call->installation_id, call->url, &answer);
    }
    call_conclude(call, link);
}

static void call_on_answer(void *argument, int code, const struct http_response *response,
                           const struct error *error)
{
    struct forge_call *call = CAST_CHECKED(struct forge_call, argument, FORGE_CALL_MAGIC);
    assert(call->state == FORGE_CALL_ASKING);
    call->http = NULL;
    if (code != 0) {
        forge_answer_judge_failure(call, code, error);
        call_finish(call);
        return;
    }
    forge_answer_judge(call, response);
    int status = response->status;
    if (status == STATUS_UNAUTHORIZED && !call->is_repeated && forge_auth_refresh(call)) {
        call->is_repeated = true;
        call->outcome = (struct forge_outcome){0};
        call_set_state(call, FORGE_CALL_AUTHENTICATING);
        call_advance(call);
    } else if (status == STATUS_NOT_MODIFIED) {
        call_use_cached(call);
    } else if (status == STATUS_NOT_FOUND && call->operation->needs_proof) {
        call_prove(call);
    } else if (call->outcome.error.code == 0 ||
               (status == STATUS_NOT_FOUND && call->operation->absent_is_answer)) {
        call_take_answer(call, response);
    } else {
        call_finish(call);
    }
}

/* ---- forward ---- */

static void call_send(struct forge_call *call)
{
    struct error error = {0};
    if (loop_now_ms(call->forge->loop) - call->started_ms > CALL_LIFE_MS)
        (void)forge_call_fail(call, ERR_TIMEOUT, "it took longer than %d s", CALL_LIFE_MS / 1000);
    if (call->outcome.error.code != 0 || forge_answer_check_limits(call) != 0) {
        call_finish(call);
        return;
    }
    int code = forge_request_send(call, call_on_answer, &error);
    if (code != 0) {
        (void)forge_call_fail(call, code, "%s", error.text);
        call_finish(call);
        return;
    }
    if (call->operation->is_write)
        forge_budget_take(call->forge->budget, loop_now_ms(call->forge->loop));
    call_set_state(call, FORGE_CALL_ASKING);
}

/* In AUTHENTICATING: sends the request, waits, or ends. */
static void call_advance(struct forge_call *call)
{
    enum forge_progress progress = forge_auth_prepare(call);
    if (progress == FORGE_WAITS)
        return;
    if (progress == FORGE_FAILED || call->operation->method == NULL) {
        call_finish(call);
        return;
    }
    call_send(call);
}

/* Deferred: the first step, and the one after a lookup. */
static void call_step(void *argument)
{
    struct forge_call *call = CAST_CHECKED(struct forge_call, argument, FORGE_CALL_MAGIC);
    if (call->outcome.error.code != 0) {
        call_finish(call);
        return;
    }
    if (call->state == FORGE_CALL_PROVING) {
        call_prove(call);
        return;
    }
    if (call->state == FORGE_CALL_STARTING)
        call_set_state(call, FORGE_CALL_AUTHENTICATING);
    call_advance(call);
}

struct forge_call *forge_call_start(struct forge_call *call)
{
    loop_defer(call->forge->loop, call_step, call);
    return call;
}
