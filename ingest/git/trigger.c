/*
 * The trigger: see trigger.h.
 *
 * Design: the body is small, so it is kept whole and its HMAC made at its end, once for each secret.
 */
#include "ingest/git/trigger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/http_server.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/signature.h"

/* uthash allocates as everything does: it aborts instead of calling exit(). */
#define uthash_malloc(bytes) mem_alloc(bytes)
#include <uthash.h>

/* The one path. */
#define TRIGGER_PATH "/trigger"

/* What passes through `void *` starts with these. */
#define TRIGGER_MAGIC 0x741664u
/* See above. */
#define REQUEST_MAGIC 0x74164e9u

/* How many requests a repository may make now. */
struct bucket {
    char *url;         /* owned: the key */
    int tokens;        /* 0..TRIGGER_BURST */
    int64_t filled_ms; /* when the last token came */
    UT_hash_handle hh;
};

struct trigger {
    unsigned magic;
    struct loop *loop;       /* borrowed */
    struct watcher *watcher; /* borrowed */
    struct http_server *server;
    struct hmac_key *keys[TRIGGER_SECRETS_MAX]; /* owned */
    size_t key_count;
    struct bucket *buckets; /* of watched repositories only, so they are few */
};

/* One request under way. */
struct request {
    unsigned magic;
    struct trigger *trigger;
    uint8_t mac[DIGEST_BYTES]; /* as the header says */
    struct buffer body;
};

/* ---- answers ---- */

static void answer(const struct trigger *trigger, struct http_exchange *exchange, int status,
                   const char *text, const char *header, const char *value)
{
    char status_text[8];
    (void)snprintf(status_text, sizeof(status_text), "%d", status);
    git_metrics_count(watcher_metrics(trigger->watcher)->triggers, status_text);
    const struct http_answer http = {
        .status = status, .body = text, .body_bytes = strlen(text), .headers = {{header, value}}};
    http_answer(exchange, &http);
}

static void on_refuse(void *argument, int status)
{
    const struct trigger *trigger = CAST_CHECKED(struct trigger, argument, TRIGGER_MAGIC);
    char status_text[8];
    (void)snprintf(status_text, sizeof(status_text), "%d", status);
    git_metrics_count(watcher_metrics(trigger->watcher)->triggers, status_text);
}

/* ---- rates ---- */

static struct bucket *find_bucket(struct trigger *trigger, const char *url)
{
    struct bucket *bucket = NULL;
    HASH_FIND_STR(trigger->buckets, url, bucket);
    if (bucket != NULL)
        return bucket;
    bucket = MEM_NEW(struct bucket);
    bucket->url = mem_copy_text(url);
    bucket->tokens = TRIGGER_BURST;
    bucket->filled_ms = loop_now_ms(trigger->loop);
    HASH_ADD_KEYPTR(hh, trigger->buckets, bucket->url, strlen(bucket->url), bucket);
    return bucket;
}

/* Takes a token; false if there is none. */
static bool take_token(struct trigger *trigger, const char *url)
{
    struct bucket *bucket = find_bucket(trigger, url);
    int64_t now_ms = loop_now_ms(trigger->loop);
    int64_t gained = (now_ms - bucket->filled_ms) / TRIGGER_REFILL_MS;
    if (bucket->tokens + gained >= TRIGGER_BURST) {
        bucket->tokens = TRIGGER_BURST;
        bucket->filled_ms = now_ms;
    } else {
        bucket->tokens += (int)gained;
        bucket->filled_ms += gained * TRIGGER_REFILL_MS;
    }
    if (bucket->tokens == 0)
        return false;
    bucket->tokens--;
    return true;
}

/* ---- requests ---- */

static void *on_head(void *argument, struct http_exchange *exchange)
{
    struct trigger *trigger = CAST_CHECKED(struct trigger, argument, TRIGGER_MAGIC);
    struct request *request = MEM_NEW(struct request);
    request->magic = REQUEST_MAGIC;
    request->trigger = trigger;
    request->body = BUFFER_INIT(TRIGGER_BODY_MAX_BYTES);
    if (strcmp(http_exchange_path(exchange), TRIGGER_PATH) != 0)
        answer(trigger, exchange, 404, "here is only " TRIGGER_PATH "\n", NULL, NULL);
    else if (strcmp(http_exchange_method(exchange), "POST") != 0)
        answer(trigger, exchange, 405, "only POST\n", "Allow", "POST");
    else if (http_exchange_header_count(exchange, SIGNATURE_HEADER) != 1 ||
             signature_parse(http_exchange_header(exchange, SIGNATURE_HEADER), request->mac) != 0)
        answer(trigger, exchange, 401,
               "the header " SIGNATURE_HEADER
               " is needed once: sha256= and the HMAC-SHA-256 of the "
               "body in hexadecimal\n",
               NULL, NULL);
    return request;
}

static void on_body(void *argument, struct http_exchange *exchange, const char *bytes,
                    size_t byte_count)
{
    (void)exchange;
    struct request *request = CAST_CHECKED(struct request, argument, REQUEST_MAGIC);
    int code = buffer_append(&request->body, bytes, byte_count);
    assert(code == 0); /* the server keeps to the limit */
    (void)code;
}

/* True if one of the secrets made the signature; all are tried, in constant time each. */
static bool is_signed(const struct request *request)
{
    const struct trigger *trigger = request->trigger;
    const char *body = request->body.data != NULL ? request->body.data : "";
    bool is_equal = false;
    for (size_t i = 0; i < trigger->key_count; i++) {
        uint8_t mac[DIGEST_BYTES];
        CLEANUP(hmac_free) struct hmac *hmac = hmac_new(trigger->keys[i]);
        hmac_update(hmac, body, request->body.size_bytes);
        hmac_finish(hmac, mac);
        is_equal = digest_equal(mac, request->mac, sizeof(mac)) || is_equal;
    }
    return is_equal;
}

/* Reads the body; the URL in its one form. */
static int read_body(const struct request *request, struct git_url *ret_url, struct error *error)
{
    CLEANUP(json_release) json_t *body = NULL;
    const char *url = NULL;
    const char *ref = NULL;
    int code = json_read(request->body.data != NULL ? request->body.data : "",
                         request->body.size_bytes, &body, error);
    if (code == 0)
        code = json_get_text(body, "repository", &url, error);
    if (code == 0)
        code = git_url_parse(url, ret_url, error);
    if (code == 0 && json_object_get(body, "ref") != NULL)
        code = json_get_text(body, "ref", &ref, error);
    return code;
}

static void on_end(void *argument, struct http_exchange *exchange)
{
    struct request *request = CAST_CHECKED(struct request, argument, REQUEST_MAGIC);
    struct trigger *trigger = request->trigger;
    struct git_url url;
    struct error error = {.text = ""};
    if (!is_signed(request)) {
        answer(trigger, exchange, 401,
               "the signature is made with another secret, or another body\n", NULL, NULL);
    } else if (read_body(request, &url, &error) != 0) {
        CLEANUP(mem_free)
        char *text = mem_format("expected {\"repository\": URL}: %s\n", error.text);
        answer(trigger, exchange, 400, text, NULL, NULL);
    } else if (!watcher_wake_url(trigger->watcher, url.text, "trigger")) {
        answer(trigger, exchange, 404, "this repository is not watched here\n", NULL, NULL);
    } else if (!take_token(trigger, url.text)) {
        answer(trigger, exchange, 429, "too often; the repository will be looked at all the same\n",
               "Retry-After", "1");
    } else {
        answer(trigger, exchange, 202, "the repository will be looked at\n", NULL, NULL);
    }
}

static void on_close(void *argument, struct http_exchange *exchange)
{
    (void)exchange;
    struct request *request = CAST_CHECKED(struct request, argument, REQUEST_MAGIC);
    buffer_release(&request->body);
    request->magic = 0;
    free(request);
}

/* ---- making ---- */

int trigger_new(struct loop *loop, struct watcher *watcher, const char *address,
                struct trigger **ret_trigger, struct error *error)
{
    static const struct http_handler handler = {.on_head = on_head,
                                                .on_body = on_body,
                                                .on_end = on_end,
                                                .on_close = on_close,
                                                .on_refuse = on_refuse};
    char host[HTTP_HOST_BYTES];
    struct http_server_settings settings = {.address = host,
                                            .body_max_bytes = TRIGGER_BODY_MAX_BYTES,
                                            .connections_max = TRIGGER_CONNECTIONS_MAX};
    int code = http_address_parse(address, host, &settings.port, error);
    if (code != 0)
        return code;
    CLEANUP(trigger_free) struct trigger *trigger = MEM_NEW(struct trigger);
    trigger->magic = TRIGGER_MAGIC;
    trigger->loop = loop;
    trigger->watcher = watcher;
    code = http_server_new(loop, &settings, &handler, trigger, &trigger->server, error);
    if (code == 0)
        *ret_trigger = TAKE(trigger);
    return code;
}

static void free_keys(struct hmac_key **keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hmac_key_free(keys[i]);
}

int trigger_read_secrets(struct trigger *trigger, const char *const *files, size_t count,
                         struct error *error)
{
    struct hmac_key *keys[TRIGGER_SECRETS_MAX];
    if (count > TRIGGER_SECRETS_MAX)
        return error_set(error, ERR_TOO_LARGE, "at most %d secrets at once", TRIGGER_SECRETS_MAX);
    for (size_t i = 0; i < count; i++) {
        int code = signature_key_read(files[i], file_read_secret, &keys[i], error);
        if (code != 0) {
            free_keys(keys, i);
            return code;
        }
    }
    free_keys(trigger->keys, trigger->key_count);
    trigger->key_count = count;
    for (size_t i = 0; i < count; i++)
        trigger->keys[i] = keys[i];
    return 0;
}

uint16_t trigger_port(const struct trigger *trigger)
{
    return http_server_port(trigger->server);
}

void trigger_quiesce(struct trigger *trigger)
{
    http_server_quiesce(trigger->server);
}

void trigger_free(struct trigger *trigger)
{
    if (trigger == NULL)
        return;
    http_server_free(trigger->server);
    struct bucket *bucket = NULL;
    struct bucket *next = NULL;
    HASH_ITER(hh, trigger->buckets, bucket, next)
    {
        HASH_DEL(trigger->buckets, bucket);
        free(bucket->url);
        free(bucket);
    }
    free_keys(trigger->keys, trigger->key_count);
    trigger->magic = 0;
    free(trigger);
}
