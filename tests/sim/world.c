/*
 * GitHub in memory: see world.h. Requests are matched by method and path; answers are JSON as the
 * REST API documents it, as far as the labeler's forge client reads it.
 */
#include "tests/sim/world.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "tests/sim/world_private.h"

/* A write whose sender is gone takes effect within this time, in milliseconds: far longer than a restart takes. */
#define WORLD_LATE_MS 20000

/* Retry-After of a secondary limit, in seconds. */
#define WORLD_RETRY_AFTER_S 3

static void world_forget(struct world_call *call);

struct world *world_new(struct loop *loop, const char *const *labels, size_t label_count)
{
    struct world *world = MEM_NEW(struct world);
    world->loop = loop;
    world->labels = labels;
    world->label_count = label_count;
    world->nobody = MEM_NEW(struct world_client);
    world->nobody->world = world;
    world->nobody->closed = true;
    return world;
}

void world_free(struct world *world)
{
    if (world == NULL)
        return;
    assert(world->clients == NULL);
    while (world->nobody->calls != NULL)
        world_forget(world->nobody->calls);
    mem_free(world->nobody);
    mem_free(world->violation);
    mem_free(world);
}

void world_set_faults(struct world *world, const struct world_faults *faults)
{
    world->faults = *faults;
}

void world_set_ago(struct world *world, int64_t ago_ms)
{
    world->ago_ms = ago_ms;
}

/* When what happens now happens. */
static int64_t world_now_ms(const struct world *world)
{
    return loop_wall_ms(world->loop) - world->ago_ms;
}

size_t world_issue_count(const struct world *world)
{
    return world->issue_count;
}

const struct world_issue *world_issue_at(const struct world *world, int64_t number)
{
    assert(number >= 1 && (size_t)number <= world->issue_count);
    return &world->issues[number - 1];
}

const char *world_violation(const struct world *world)
{
    return world->violation;
}

size_t world_request_count(const struct world *world)
{
    return world->request_count;
}

void world_on_write(struct world *world,
                    void (*wrote)(void *argument, const struct world_issue *issue,
                                  const char *label, bool added),
                    void *argument)
{
    world->wrote = wrote;
    world->wrote_argument = argument;
}

void world_tell_write(struct world *world, const struct world_issue *issue, const char *label,
                      bool added)
{
    if (world->wrote != NULL)
        world->wrote(world->wrote_argument, issue, label, added);
}

/* --- state of an issue, from its entries --- */

static const struct world_entry *world_last_entry(const struct world_issue *issue,
                                                  const char *label, bool persons_only)
{
    for (size_t i = issue->entry_count; i > 0; i--) {
        const struct world_entry *entry = &issue->entries[i - 1];
        if (entry->kind > WORLD_UNLABELED || strcasecmp(entry->label, label) != 0)
            continue;
        if (!persons_only || strcmp(entry->actor, WORLD_BOT) != 0)
            return entry;
    }
    return NULL;
}

bool world_has_label(const struct world_issue *issue, const char *label)
{
    const struct world_entry *entry = world_last_entry(issue, label, false);
    return entry != NULL && entry->kind == WORLD_LABELED;
}

const struct world_entry *world_last_person(const struct world_issue *issue, const char *label)
{
    return world_last_entry(issue, label, true);
}

size_t world_marked_comments(const struct world_issue *issue)
{
    size_t count = 0;
    for (size_t i = 0; i < issue->entry_count; i++)
        if (issue->entries[i].kind == WORLD_COMMENTED &&
            strcmp(issue->entries[i].actor, WORLD_BOT) == 0)
            count++;
    return count;
}

struct world_entry *world_add_entry(struct world *world, struct world_issue *issue,
                                    enum world_entry_kind kind, const char *actor)
{
    assert(issue->entry_count < WORLD_ENTRIES_MAX);
    struct world_entry *entry = &issue->entries[issue->entry_count++];
    entry->kind = kind;
    entry->sequence = ++world->sequence;
    (void)snprintf(entry->actor, sizeof(entry->actor), "%s", actor);
    issue->updated_ms = world_now_ms(world);
    return entry;
}

void world_violate(struct world *world, const struct world_issue *issue, const char *rule,
                   const char *detail)
{
    if (world->violation == NULL)
        world->violation =
            mem_format("issue %lld: %s (%s)", (long long)issue->number, rule, detail);
}

/* --- people --- */

struct world_issue *world_open_issue(struct world *world, const char *title, const char *body)
{
    if (world->issue_count == WORLD_ISSUES_MAX)
        return NULL;
    struct world_issue *issue = &world->issues[world->issue_count++];
    issue->number = (int64_t)world->issue_count;
    issue->is_open = true;
    issue->created_ms = world_now_ms(world);
    issue->updated_ms = issue->created_ms;
    (void)snprintf(issue->title, sizeof(issue->title), "%s", title);
    (void)snprintf(issue->body, sizeof(issue->body), "%s", body);
    return issue;
}

struct world_issue *world_edit_issue(struct world *world, int64_t number, const char *body)
{
    struct world_issue *issue = &world->issues[number - 1];
    (void)snprintf(issue->body, sizeof(issue->body), "%s", body);
    issue->updated_ms = world_now_ms(world);
    return issue;
}

struct world_issue *world_set_open(struct world *world, int64_t number, bool open)
{
    struct world_issue *issue = &world->issues[number - 1];
    if (issue->is_open == open)
        return NULL;
    issue->is_open = open;
    issue->updated_ms = world_now_ms(world);
    return issue;
}

struct world_issue *world_set_label(struct world *world, int64_t number, const char *label,
                                    bool add)
{
    struct world_issue *issue = &world->issues[number - 1];
    if (world_has_label(issue, label) == add || issue->entry_count >= WORLD_ENTRIES_MAX / 2)
        return NULL;
    struct world_entry *entry =
        world_add_entry(world, issue, add ? WORLD_LABELED : WORLD_UNLABELED, "ann");
    (void)snprintf(entry->label, sizeof(entry->label), "%s", label);
    return issue;
}

struct world_issue *world_delete_comment(struct world *world, int64_t number)
{
    struct world_issue *issue = &world->issues[number - 1];
    for (size_t i = 0; i < issue->entry_count; i++) {
        struct world_entry *entry = &issue->entries[i];
        if (entry->kind == WORLD_COMMENTED && strcmp(entry->actor, WORLD_BOT) == 0) {
            entry->kind = WORLD_GONE;
            return issue;
        }
    }
    return NULL;
}

/* --- transport --- */

static const char *world_get_header(const struct http_response *response, const char *name)
{
    const struct world_call *call = response->headers;
    if (call->status == 429 && strcasecmp(name, "Retry-After") == 0)
        return "3";
    return NULL;
}

static void world_forget(struct world_call *call)
{
    DL_DELETE(call->client->calls, call);
    loop_timer_free(call->timer);
    mem_free(call->url);
    mem_free(call->body);
    mem_free(call->answer);
    mem_free(call);
}

static void world_answer(void *argument)
{
    struct world_call *call = argument;
    http_done_fn done = call->done;
    void *done_argument = call->argument;
    struct error error = {0};
    struct http_response response = {
        .status = call->status,
        .body = call->answer != NULL ? call->answer : "",
        .body_bytes = call->answer != NULL ? strlen(call->answer) : 0,
        .final_url = call->url,
        .headers = call,
        .get_header = world_get_header,
    };
    if (call->status == 0) {
        int code = error_set(&error, ERR_TIMEOUT, "the connection was cut");
        done(done_argument, code, NULL, &error);
    } else {
        done(done_argument, 0, &response, &error);
    }
    world_forget(call);
}

static bool world_chance(struct world *world, unsigned thousandth)
{
    return loop_random_below(world->loop, 1000) < thousandth;
}

static int64_t world_delay(struct world *world)
{
    return (int64_t)loop_random_below(world->loop, (uint64_t)world->faults.delay_max_ms + 1);
}

/* The request reaches GitHub: its effect, if any, and the answer to come. */
static void world_take_effect(void *argument)
{
    struct world_call *call = argument;
    struct world *world = call->client->world;
    loop_timer_free(TAKE(call->timer));
    call->arrived = true;
    if (world_chance(world, world->faults.lost_before)) {
        call->status = 0;
    } else if (world_chance(world, world->faults.bad_gateway)) {
        call->status = 502;
    } else if (world_chance(world, world->faults.limited)) {
        call->status = 429;
        call->answer = mem_copy_text("{\"message\":\"You have exceeded a secondary rate limit\"}");
    } else {
        world_serve(call);
        if (world_chance(world, world->faults.lost_after))
            call->status = 0;
    }
    if (call->client->closed) {
        world_forget(call); /* the process is gone: nobody hears the answer */
        return;
    }
    call->timer = loop_timer_new(world->loop, world_answer, call);
    loop_timer_set(call->timer, world_delay(world));
}

static struct http_call *world_send(struct http_client *client, const struct http_request *request,
                                    http_done_fn done, void *argument)
{
    struct world_client *mine = (struct world_client *)client;
    assert(!mine->closed);
    struct world_call *call = MEM_NEW(struct world_call);
    mine->world->request_count++;
    call->client = mine;
    memcpy(call->looked, mine->looked, sizeof(call->looked));
    call->done = done;
    call->argument = argument;
    (void)snprintf(call->method, sizeof(call->method), "%s", request->method);
    call->url = mem_copy_text(request->url);
    call->body = request->body != NULL ? mem_copy_bytes(request->body, request->body_bytes) : NULL;
    call->timer = loop_timer_new(mine->world->loop, world_take_effect, call);
    loop_timer_set(call->timer, world_delay(mine->world));
    DL_APPEND(mine->calls, call);
    return (struct http_call *)call;
}

/* Nobody hears the answer any more, but what was on its way may still take effect, even much later. */
static void world_abandon(struct world_call *call)
{
    struct world *world = call->client->world;
    if (call->arrived || !world_chance(world, 500)) {
        world_forget(call);
        return;
    }
    DL_DELETE(call->client->calls, call);
    struct world_client *nobody = world->nobody;
    call->client = nobody;
    DL_APPEND(nobody->calls, call);
    loop_timer_set(call->timer, (int64_t)loop_random_below(world->loop, WORLD_LATE_MS));
}

static void world_cancel(struct http_client *client, struct http_call *call)
{
    (void)client;
    world_abandon((struct world_call *)call);
}

struct http_client *world_open(struct world *world)
{
    struct world_client *client = MEM_NEW(struct world_client);
    client->interface = (struct http_client){.send = world_send, .cancel = world_cancel};
    client->world = world;
    DL_APPEND(world->clients, client);
    return &client->interface;
}

void world_note_look(struct http_client *interface, int64_t number, int64_t sequence)
{
    struct world_client *client = (struct world_client *)interface;
    int64_t *looked = &client->looked[number - 1];
    *looked = sequence > *looked ? sequence : *looked;
}

void world_close(struct http_client *interface)
{
    struct world_client *client = (struct world_client *)interface;
    struct world_call *call = NULL;
    struct world_call *rest = NULL;
    client->closed = true;
    DL_FOREACH_SAFE(client->calls, call, rest)
    {
        world_abandon(call);
    }
    DL_DELETE(client->world->clients, client);
    mem_free(client);
}
