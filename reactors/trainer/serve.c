/*
 * /needsTrain over HTTP, for controllers that watch: see serve.h.
 */
#include "reactors/trainer/serve.h"

#include <string.h>

#include "base/http_server.h"
#include "base/memory.h"

/* Open connections: a controller, and people. */
#define CONNECTIONS_MAX 64

struct serve {
    struct http_server *server; /* owned */
    struct trainer *trainer;    /* borrowed */
};

static void *on_head(void *argument, struct http_exchange *exchange)
{
    struct serve *serve = argument;
    const char *path = http_exchange_path(exchange);
    if (strcmp(http_exchange_method(exchange), "GET") != 0) {
        const struct http_answer refusal = {.status = 405, .headers = {{"Allow", "GET"}}};
        http_answer(exchange, &refusal);
        return NULL;
    }
    if (strcmp(path, "/healthz") == 0) {
        http_answer_text(exchange, 200, "ok\n");
        return NULL;
    }
    if (strcmp(path, "/needsTrain") != 0) {
        http_answer_text(exchange, 404, "there is only /needsTrain?model=NAME\n");
        return NULL;
    }
    CLEANUP(mem_free) char *text = NULL;
    size_t bytes = 0;
    int status =
        trainer_describe(serve->trainer, http_exchange_query(exchange, "model"), &text, &bytes);
    const struct http_answer answer = {.status = status,
                                       .content_type = "application/json; charset=UTF-8",
                                       .body = text,
                                       .body_bytes = bytes};
    http_answer(exchange, &answer);
    return NULL;
}

/* Everything was answered at the head. */
static void on_end(void *request, struct http_exchange *exchange)
{
    (void)request;
    (void)exchange;
}

int serve_new(struct loop *loop, const char *address, struct trainer *trainer,
              struct serve **ret_serve, struct error *error)
{
    static const struct http_handler handler = {.on_head = on_head, .on_end = on_end};
    char host[HTTP_HOST_BYTES];
    struct http_server_settings settings = {.address = host, .connections_max = CONNECTIONS_MAX};
    CLEANUP(serve_free) struct serve *serve = MEM_NEW(struct serve);
    serve->trainer = trainer;
    int code = http_address_parse(address, host, &settings.port, error);
    if (code == 0)
        code = http_server_new(loop, &settings, &handler, serve, &serve->server, error);
    if (code == 0)
        *ret_serve = TAKE(serve);
    return code;
}

uint16_t serve_port(const struct serve *serve)
{
    return http_server_port(serve->server);
}

void serve_free(struct serve *serve)
{
    if (serve == NULL)
        return;
    http_server_free(serve->server);
    mem_free(serve);
}
