/*
 * Health of a daemon, and the admin server that shows it.
 *
 *      GET /healthz   200 as long as the loop turns: for liveness probes
 *      GET /readyz    200, or 503 with one line for each condition that does not hold
 *      GET /metrics   Prometheus' text format
 *
 * Source: Prometheus' exposition formats, version 0.0.4.
 */
#include "base/daemon_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Limits of the admin server: probes and one or two scrapers, with short heads. */
#define ADMIN_CONNECTIONS_MAX 32
/* See above. */
#define ADMIN_HEADER_MAX_BYTES 8192

/* Content type of the metrics. */
#define ADMIN_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct daemon_admin {
    const struct daemon_health *health; /* borrowed */
    struct metrics *metrics;            /* borrowed */
    struct http_server *server;         /* owned */
};

/* ---- health ---- */

bool daemon_health_is_ready(const struct daemon_health *health)
{
    if (!health->started || health->draining || health->condition_count == 0)
        return false;
    for (size_t i = 0; i < health->condition_count; i++)
        if (!health->conditions[i].holds)
            return false;
    return true;
}

void daemon_health_print(const struct daemon_health *health, struct buffer *text)
{
    int code = 0;
    if (health->draining)
        code = buffer_append_text(text, "draining\n");
    else if (!health->started || health->condition_count == 0)
        code = buffer_append_text(text, "starting\n");
    for (size_t i = 0; i < health->condition_count && code == 0; i++) {
        const struct daemon_condition *condition = &health->conditions[i];
        if (!condition->holds)
            code = buffer_append_format(text, "%s: %s\n", condition->name,
                                        condition->reason != NULL ? condition->reason : "no");
    }
}

/* Returns the condition of that name, made new (and not holding) if there is none. */
static struct daemon_condition *find_condition(struct daemon_health *health, const char *name)
{
    for (size_t i = 0; i < health->condition_count; i++)
        if (strcmp(health->conditions[i].name, name) == 0)
            return &health->conditions[i];
    assert(health->condition_count < DAEMON_CONDITIONS_MAX);
    struct daemon_condition *condition = &health->conditions[health->condition_count++];
    *condition = (struct daemon_condition){.name = mem_copy_text(name)};
    return condition;
}

bool daemon_health_set(struct daemon_health *health, const char *name, bool holds,
                       const char *reason)
{
    struct daemon_condition *condition = find_condition(health, name);
    if (holds)
        reason = NULL;
    const char *old_reason = condition->reason != NULL ? condition->reason : "";
    if (condition->holds == holds && strcmp(old_reason, reason != NULL ? reason : "") == 0)
        return false;
    char *copy = mem_copy_text(reason);
    free(condition->reason);
    condition->reason = copy;
    condition->holds = holds;
    return true;
}

void daemon_health_release(struct daemon_health *health)
{
    for (size_t i = 0; i < health->condition_count; i++) {
        free(health->conditions[i].name);
        free(health->conditions[i].reason);
    }
    *health = (struct daemon_health){.started = false};
}

/* ---- the server ---- */

static void answer_ready(const struct daemon_admin *admin, struct http_exchange *exchange)
{
    if (daemon_health_is_ready(admin->health)) {
        http_answer_text(exchange, 200, "ready\n");
        return;
    }
    CLEANUP(buffer_release) struct buffer reasons = BUFFER_INIT(DAEMON_REASONS_MAX_BYTES);
    daemon_health_print(admin->health, &reasons);
    http_answer_text(exchange, 503, "%s", reasons.data != NULL ? reasons.data : "not ready\n");
}

static void answer_metrics(const struct daemon_admin *admin, struct http_exchange *exchange)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    int code = metrics_print(admin->metrics, &text);
    if (code != 0) {
        http_answer_text(exchange, 500, "the metrics are too many to print\n");
        return;
    }
    const struct http_answer answer = {.status = 200,
                                       .content_type = ADMIN_METRICS_TYPE,
                                       .body = text.data,
                                       .body_bytes = text.size_bytes};
    http_answer(exchange, &answer);
}

static void *admin_on_head(void *argument, struct http_exchange *exchange)
{
    (void)exchange;
    return argument;
}

static void admin_on_end(void *request, struct http_exchange *exchange)
{
    const struct daemon_admin *admin = request;
    const char *method = http_exchange_method(exchange);
    const char *path = http_exchange_path(exchange);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        const char *text = "only GET and HEAD\n";
        const struct http_answer answer = {.status = 405,
                                           .body = text,
                                           .body_bytes = strlen(text),
                                           .headers = {{"Allow", "GET, HEAD"}}};
        http_answer(exchange, &answer);
    } else if (strcmp(path, "/healthz") == 0) {
        http_answer_text(exchange, 200, "ok\n");
    } else if (strcmp(path, "/readyz") == 0) {
        answer_ready(admin, exchange);
    } else if (strcmp(path, "/metrics") == 0) {
        answer_metrics(admin, exchange);
    } else {
        http_answer_text(exchange, 404, "here are /healthz, /readyz and /metrics\n");
    }
}

int daemon_admin_new(struct loop *loop, const char *address, const struct daemon_health *health,
                     struct metrics *metrics, struct daemon_admin **ret_admin, struct error *error)
{
    static const struct http_handler handler = {.on_head = admin_on_head, .on_end = admin_on_end};
    char host[HTTP_HOST_BYTES];
    struct http_server_settings settings = {.address = host,
                                            .connections_max = ADMIN_CONNECTIONS_MAX,
                                            .header_max_bytes = ADMIN_HEADER_MAX_BYTES};
    int code = http_address_parse(address, host, &settings.port, error);
    if (code != 0)
        return code;
    struct daemon_admin *admin = MEM_NEW(struct daemon_admin);
    admin->health = health;
    admin->metrics = metrics;
    code = http_server_new(loop, &settings, &handler, admin, &admin->server, error);
    if (code != 0) {
        free(admin);
        return code;
    }
    *ret_admin = admin;
    return 0;
}

uint16_t daemon_admin_port(const struct daemon_admin *admin)
{
    return http_server_port(admin->server);
}

void daemon_admin_free(struct daemon_admin *admin)
{
    if (admin == NULL)
        return;
    http_server_free(admin->server);
    free(admin);
}
