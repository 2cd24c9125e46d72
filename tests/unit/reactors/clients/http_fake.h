/*
 * A test double of the HTTP client: `struct http_client` played by a function, on the simulated
 * loop.
 *
 * Design: each request is handed to the world's function when it is sent, which is when its effect
 * happens; the answer comes after the delay that the function names. So "the effect happened, the
 * answer was lost" is an answer with a code, and a request that is cancelled has had its effect.
 * As the real client does, the double keeps the request's time limit and the answer's size limit,
 * and follows redirects of GET within the same origin. Headers of an answer are one text, "Name:
 * value" a line.
 *
 *      forge ── http_send ──▶ fake ── answer(world, request) ──▶ a table, or a simulated GitHub
 *        ▲                      │
 *        └── done(…) ◀── loop_timer after delay_ms
 *
 * Invariants: as http_client.h says: the callback runs once, never from within http_send, never
 * after cancel.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_CLIENTS_HTTP_FAKE_H
#define NODAG_TESTS_UNIT_REACTORS_CLIENTS_HTTP_FAKE_H

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/http_client.h"
#include "base/loop.h"
#include "base/memory.h"

/* Longest value of a header of an answer. */
#define HTTP_FAKE_VALUE_BYTES 2048

/* Values of headers that can be held at once. */
#define HTTP_FAKE_VALUES 8

/* What the world answers. Texts are owned by the world and copied when its function returns. */
struct http_fake_answer {
    int code;            /* 0: there is an answer; else ERR_TIMEOUT, ERR_UNAVAILABLE … */
    int status;          /* HTTP status; 0 counts as 200 */
    const char *headers; /* lines "Name: value"; NULL: none */
    const char *body;    /* NULL: empty */
    size_t body_bytes;   /* 0: strlen(body) */
    int64_t delay_ms;    /* until the answer comes */
};

/*
 * Plays the world: looks at a request (borrowed) and fills in the answer (all zero before). Loop
 * thread.
 */
typedef void (*http_fake_fn)(void *world, const struct http_request *request,
                             struct http_fake_answer *answer);

/* The double; initialise with http_fake_init. */
struct http_fake {
    struct http_client client; /* what the code under test gets */
    struct loop *loop;         /* borrowed */
    http_fake_fn answer;       /* the world */
    void *world;               /* its argument */
    size_t call_count;         /* under way */
    size_t request_count;      /* sent in all, redirects too */
};

/* A request under way, with its answer. */
struct http_call {
    struct http_fake *fake;                               /* borrowed */
    struct loop_timer *timer;                             /* owned */
    http_done_fn done;                                    /* whom to tell */
    void *argument;                                       /* theirs */
    int code;                                             /* of the answer */
    int status;                                           /* of the answer */
    char *url;                                            /* owned; after redirects */
    char *body;                                           /* owned */
    size_t body_bytes;                                    /* length */
    char *headers;                                        /* owned, lines */
    char values[HTTP_FAKE_VALUES][HTTP_FAKE_VALUE_BYTES]; /* what get_header returned */
    size_t value_next;                                    /* running number of the next of them */
};

/* Frees a call and takes it out of the count. */
static inline void http_fake_free_call(struct http_call *call)
{
    call->fake->call_count--;
    loop_timer_free(call->timer);
    free(call->url);
    free(call->body);
    free(call->headers);
    free(call);
}

/* See struct http_response. */
static inline const char *http_fake_get_header(const struct http_response *response,
                                               const char *name)
{
    struct http_call *call = response->headers;
    size_t name_bytes = strlen(name);
    for (const char *line = call->headers; line != NULL && *line != '\0';) {
        size_t line_bytes = strcspn(line, "\n");
        if (line_bytes > name_bytes + 1 && strncasecmp(line, name, name_bytes) == 0 &&
            line[name_bytes] == ':') {
            const char *value = line + name_bytes + 1;
            value += strspn(value, " ");
            size_t value_bytes = (size_t)(line + line_bytes - value);
            char *kept = call->values[call->value_next++ % HTTP_FAKE_VALUES];
            assert(value_bytes < HTTP_FAKE_VALUE_BYTES);
            memcpy(kept, value, value_bytes);
            kept[value_bytes] = '\0';
            return kept;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    return NULL;
}

/* Timer: the answer comes. */
static inline void http_fake_deliver(void *argument)
{
    struct http_call *call = argument;
    struct error error = {0};
    struct http_response response = {
        .status = call->status,
        .body = call->body,
        .body_bytes = call->body_bytes,
        .final_url = call->url,
        .headers = call,
        .get_header = http_fake_get_header,
    };
    if (call->code != 0)
        (void)error_set(&error, call->code, "the fake says: %s", err_text(call->code));
    call->done(call->argument, call->code, call->code == 0 ? &response : NULL,
               call->code == 0 ? NULL : &error);
    http_fake_free_call(call);
}

/* Asks the world, following redirects of a GET. */
static inline struct http_fake_answer
http_fake_ask(struct http_fake *fake, const struct http_request *request, struct http_call *call)
{
    struct http_request now = *request;
    struct http_fake_answer answer = {0};
    int redirects_max =
        request->redirects_max == 0 ? HTTP_CLIENT_REDIRECTS_MAX : request->redirects_max;
    call->url = mem_copy_text(request->url);
    for (int hop = 0;; hop++) {
        answer = (struct http_fake_answer){0};
        now.url = call->url;
        fake->request_count++;
        fake->answer(fake->world, &now, &answer);
        free(call->headers);
        call->headers = mem_copy_text(answer.headers);
        struct http_response response = {.headers = call};
        const char *location = http_fake_get_header(&response, "Location");
        bool is_redirect = answer.code == 0 && answer.status >= 301 && answer.status <= 308 &&
                           answer.status != 304 && location != NULL;
        if (!is_redirect || strcmp(request->method, "GET") != 0 || hop >= redirects_max)
            return answer;
        free(call->url);
        call->url = mem_copy_text(location);
    }
}

/* See struct http_client. */
static inline struct http_call *http_fake_send(struct http_client *client,
                                               const struct http_request *request,
                                               http_done_fn done, void *argument)
{
    struct http_fake *fake = (struct http_fake *)client;
    struct http_call *call = MEM_NEW(struct http_call);
    call->fake = fake;
    call->done = done;
    call->argument = argument;
    struct http_fake_answer answer = http_fake_ask(fake, request, call);
    const char *body = answer.body != NULL ? answer.body : "";
    call->code = answer.code;
    call->status = answer.status != 0 ? answer.status : 200;
    call->body_bytes = answer.body_bytes != 0 ? answer.body_bytes : strlen(body);
    call->body = mem_copy_bytes(body, call->body_bytes);
    int64_t timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : HTTP_CLIENT_TIMEOUT_MS;
    if (answer.delay_ms > timeout_ms) {
        call->code = ERR_TIMEOUT;
        answer.delay_ms = timeout_ms;
    }
    size_t most_bytes =
        request->body_max_bytes != 0 ? request->body_max_bytes : HTTP_CLIENT_BODY_MAX_BYTES;
    if (call->code == 0 && call->body_bytes > most_bytes)
        call->code = ERR_TOO_LARGE;
    call->timer = loop_timer_new(fake->loop, http_fake_deliver, call);
    loop_timer_set(call->timer, answer.delay_ms);
    fake->call_count++;
    return call;
}

/* See struct http_client. */
static inline void http_fake_cancel(struct http_client *client, struct http_call *call)
{
    assert(call->fake == (struct http_fake *)client);
    (void)client;
    http_fake_free_call(call);
}

/* Makes a double on a simulated loop (borrowed) that asks `answer(world, …)`. */
static inline void http_fake_init(struct http_fake *fake, struct loop *loop, http_fake_fn answer,
                                  void *world)
{
    *fake = (struct http_fake){
        .client = {.send = http_fake_send, .cancel = http_fake_cancel},
        .loop = loop,
        .answer = answer,
        .world = world,
    };
}

/* Returns the value of a request's header, or NULL. */
static inline const char *http_fake_request_header(const struct http_request *request,
                                                   const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    }
    return NULL;
}

#endif
