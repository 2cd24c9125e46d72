/*
 * Artefacts in an S3-compatible bucket: see artefacts.h.
 *
 * Design: one object for each artefact. A call is a short chain, each step started by the answer to
 * the one before:
 *
 *      put     digest the file ─▶ HEAD ─▶ there: done │ 404: PUT, streamed
 *      get     GET, streamed into a temporary file ─▶ digest that ─▶ rename
 *      remove  DELETE
 *
 * libcurl signs (AWS Signature Version 4); the payload's digest, which is the artefact's name, is in
 * the signature, so the server refuses a body that was changed on its way or while it was read. With
 * an endpoint the bucket is in the path, as compatible servers expect it; without one in Amazon's host
 * name. Prefixes and buckets are of unreserved characters only, so that there is one way to write them
 * and sign them.
 *
 * Invariants: keys are read from their file for every request, are never logged and leave only in the
 * signature; a call has at most one request or copy under way.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "reactors/clients/artefact_private.h"
#include "reactors/clients/artefact_s3_answer.h"
#include "reactors/clients/artefact_s3_keys.h"

/* Longest bucket with prefix: what leaves room for the rest of the URI. */
#define PLACE_MAX_BYTES 300

/* Longest wait for an answer to what moves no artefact: a store that is busy says so sooner. */
#define LOOK_TIMEOUT_MS 15000

/* Longest transfer of one artefact: the largest at 2 MB a second. */
#define TRANSFER_TIMEOUT_MS 600000

/* Longest time in which nothing of a transfer moves, the store's work at its end included: a store that hangs is not waited for
 * until the time of the largest is over. */
#define STALL_TIMEOUT_MS 60000

/* Largest answer that is not an artefact. */
#define ANSWER_MAX_BYTES 65536

/* Longest region and endpoint. */
#define REGION_MAX_BYTES 60
/* See above. */
#define ENDPOINT_MAX_BYTES 300

/* Guard against structs of other types. */
#define S3_STORE_MAGIC 0x61733374u
#define S3_CALL_MAGIC 0x61733363u

struct s3_store {
    struct artefact_store interface;
    unsigned magic;
    struct loop *loop;        /* borrowed */
    struct http_client *http; /* borrowed */
    char *place;              /* owned: BUCKET[/PREFIX] */
    char *base_url;           /* owned: what comes before the artefact's name */
    char *region;             /* owned */
    char *credentials_file;   /* owned */
    size_t calls;             /* under way */
};

struct artefact_call {
    unsigned magic;
    struct s3_store *store;     /* borrowed */
    int fd;                     /* owned; the file that is sent or written; -1: none */
    int64_t sent_bytes;         /* of it */
    char *temporary;            /* owned; get: what fd writes */
    char *target;               /* owned; get: where it goes */
    struct artefact artefact;   /* the result */
    struct artefact_copy *copy; /* owned: the digest under way */
    struct http_call *request;  /* borrowed: the request under way */
    struct loop_timer *timer;   /* owned; tells a result that is known at once */
    struct error error;         /* that result */
    artefact_done_fn done;
    void *argument;
};

/* ---- calls ---- */

static void call_free(struct artefact_call *call)
{
    if (call->request != NULL)
        http_cancel(call->store->http, call->request);
    artefact_copy_free(call->copy);
    loop_timer_free(call->timer);
    if (call->fd >= 0)
        (void)close(call->fd);
    if (call->fd >= 0 && call->temporary != NULL)
        (void)unlink(call->temporary);
    free(call->temporary);
    free(call->target);
    call->store->calls--;
    call->magic = 0;
    free(call);
}

/* Tells the owner, and frees the call. */
static void call_end(struct artefact_call *call)
{
    int code = call->error.code;
    call->done(call->argument, code, code == 0 ? &call->artefact : NULL, &call->error);
    call_free(call);
}

static void call_on_timer(void *argument)
{
    call_end(CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC));
}

static struct artefact_call *call_new(struct artefact_store *interface, artefact_done_fn done,
                                      void *argument)
{
    struct s3_store *store = (struct s3_store *)interface;
    assert(store->magic == S3_STORE_MAGIC);
    struct artefact_call *call = MEM_NEW(struct artefact_call);
    *call = (struct artefact_call){
        .magic = S3_CALL_MAGIC, .store = store, .fd = -1, .done = done, .argument = argument};
    call->timer = loop_timer_new(store->loop, call_on_timer, call);
    store->calls++;
    return call;
}

static int call_set_name(struct artefact_call *call, const char *sha256)
{
    char name[ARTEFACT_NAME_BYTES];
    int code = artefact_name(sha256, name, &call->error);
    if (code != 0)
        return code;
    (void)snprintf(call->artefact.sha256, sizeof(call->artefact.sha256), "%s",
                   strrchr(name, '/') + 1);
    (void)snprintf(call->artefact.uri, sizeof(call->artefact.uri), "s3://%s/%s", call->store->place,
                   name);
    return 0;
}

/* ---- signed requests ---- */

/* Signs and sends; what cannot be sent is told later. `payload` is the digest of the body. */
static void call_send(struct artefact_call *call, struct http_request *request, const char *payload,
                      http_done_fn done)
{
    const struct s3_store *store = call->store;
    struct s3_keys keys;
    bool has_artefact = strcmp(request->method, "PUT") == 0 || strcmp(request->method, "GET") == 0;
    int code = s3_keys_read(store->credentials_file, &keys, &call->error);
    CLEANUP(mem_free)
    char *url = mem_format("%s%s", store->base_url, strstr(call->artefact.uri, "/sha256/"));
    struct http_aws_signature aws = {.region = store->region,
                                     .service = "s3",
                                     .access_key_id = keys.id,
                                     .secret_access_key = keys.secret};
    request->url = url;
    request->aws = &aws;
    request->timeout_ms = has_artefact ? TRANSFER_TIMEOUT_MS : LOOK_TIMEOUT_MS;
    request->stall_ms = has_artefact ? STALL_TIMEOUT_MS : 0;
    request->redirects_max = -1;
    request->headers[request->header_count++] =
        (struct http_header){.name = "x-amz-content-sha256", .value = payload};
    if (keys.token != NULL)
        request->headers[request->header_count++] =
            (struct http_header){.name = "x-amz-security-token", .value = keys.token};
    if (code == 0)
        call->request = http_send(store->http, request, done, call);
    else
        loop_timer_set(call->timer, 0);
    s3_keys_release(&keys);
}

/* Digest of no bytes: the payload of what has no body. */
static const char *no_payload(char ret_text[DIGEST_TEXT_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256("", 0, digest);
    digest_to_text(digest, ret_text);
    return ret_text;
}

/* Sets the call's error from an answer that is no success. */
static void call_refuse(struct artefact_call *call, const char *doing,
                        const struct http_response *response)
{
    const struct s3_request_name name = {.doing = doing,
                                         .uri = call->artefact.uri,
                                         .credentials_file = call->store->credentials_file};
    call->error.code = s3_answer_refused(&name, response, &call->error);
}

/* The beginning of every answer's handling. Returns the call, whose error is set where there is no
 * response. */
static struct artefact_call *call_answered(void *argument, int code, const struct error *error)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC);
    call->request = NULL;
    if (code != 0)
        (void)error_set(&call->error, code, "artefact store: %s", error->text);
    return call;
}

/* ---- put ---- */

static size_t put_read(void *argument, char *ret_bytes, size_t room_bytes)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC);
    ssize_t got = pread(call->fd, ret_bytes, room_bytes, (off_t)call->sent_bytes);
    if (got <= 0)
        return 0; /* shorter than it was: the file changed */
    call->sent_bytes += got;
    return (size_t)got;
}

static void put_on_stored(void *argument, int code, const struct http_response *response,
                          const struct error *error)
{
    struct artefact_call *call = call_answered(argument, code, error);
    if (code == 0 && !s3_answer_is_success(response))
        call_refuse(call, "store", response);
    call_end(call);
}

/* Returns true if the artefact is in the store, whole as far as can be told without reading it. */
static bool put_is_there(const struct artefact_call *call, const struct http_response *response)
{
    const char *text = http_response_header(response, "Content-Length");
    char size[24];
    (void)snprintf(size, sizeof(size), "%lld", (long long)call->artefact.size_bytes);
    return s3_answer_is_success(response) && (text == NULL || strcmp(text, size) == 0);
}

static void put_on_looked(void *argument, int code, const struct http_response *response,
                          const struct error *error)
{
    struct artefact_call *call = call_answered(argument, code, error);
    /* 403 is also said of what is not there to those who may not list the bucket. */
    if (code == 0 && !s3_answer_is_success(response) && response->status != 404 &&
        response->status != 403)
        call_refuse(call, "look for", response);
    if (call->error.code != 0 || put_is_there(call, response)) {
        call_end(call);
        return;
    }
    struct http_request request = {.method = "PUT", .body_max_bytes = ANSWER_MAX_BYTES};
    request.body_bytes = (size_t)call->artefact.size_bytes;
    request.stream.read = put_read;
    request.stream.argument = call;
    call_send(call, &request, call->artefact.sha256, put_on_stored);
}

static void put_on_digest(void *argument, int code, const char *sha256, int64_t size_bytes,
                          const struct error *error)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC);
    char payload[DIGEST_TEXT_BYTES];
    call->artefact.size_bytes = size_bytes;
    if (code != 0)
        call->error = *error;
    else
        code = call_set_name(call, sha256);
    if (code != 0) {
        call_end(call);
        return;
    }
    /* The limit holds for the length that is named, though nothing of it comes. */
    struct http_request request = {.method = "HEAD", .body_max_bytes = (size_t)ARTEFACT_MAX_BYTES};
    call_send(call, &request, no_payload(payload), put_on_looked);
}

static struct artefact_call *store_put(struct artefact_store *interface, int fd,
                                       artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, done, argument);
    call->fd = fd;
    call->copy = artefact_copy_new(call->store->loop, fd, -1, put_on_digest, call);
    return call;
}

/* ---- get ---- */

static void get_on_digest(void *argument, int code, const char *sha256, int64_t size_bytes,
                          const struct error *error)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC);
    call->artefact.size_bytes = size_bytes;
    if (code != 0)
        call->error = *error;
    else if (strcmp(sha256, call->artefact.sha256) != 0)
        (void)error_set(&call->error, ERR_CORRUPT, "%s is damaged: its SHA-256 is %s",
                        call->artefact.uri, sha256);
    if (call->error.code == 0) {
        int fd = call->fd;
        call->fd = -1;
        call->error.code = artefact_place(fd, call->temporary, call->target, &call->error);
    }
    call_end(call);
}

static bool get_take(void *argument, const char *bytes, size_t byte_count)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, S3_CALL_MAGIC);
    for (size_t written = 0; written < byte_count;) {
        ssize_t count = write(call->fd, bytes + written, byte_count - written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            (void)error_set(&call->error, ERR_IO, "cannot write %s: %s", call->temporary,
                            strerrordesc_np(errno));
            return false;
        }
        written += (size_t)count;
    }
    return true;
}

static void get_on_answer(void *argument, int code, const struct http_response *response,
                          const struct error *error)
{
    struct error own = ((struct artefact_call *)argument)->error; /* of get_take */
    struct artefact_call *call = call_answered(argument, code, error);
    if (own.code != 0)
        call->error = own;
    else if (code == 0 && !s3_answer_is_success(response))
        call_refuse(call, "fetch", response);
    if (call->error.code != 0)
        call_end(call);
    else
        call->copy = artefact_copy_new(call->store->loop, call->fd, -1, get_on_digest, call);
}

static struct artefact_call *store_get(struct artefact_store *interface, const char *sha256,
                                       const char *path, artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, done, argument);
    char payload[DIGEST_TEXT_BYTES];
    call->target = mem_copy_text(path);
    int code = call_set_name(call, sha256);
    if (code == 0) {
        call->fd = artefact_temporary(path, &call->temporary, &call->error);
        code = call->error.code;
    }
    if (code != 0) {
        call->fd = -1;
        loop_timer_set(call->timer, 0);
        return call;
    }
    struct http_request request = {.method = "GET", .body_max_bytes = (size_t)ARTEFACT_MAX_BYTES};
    request.stream.take = get_take;
    request.stream.argument = call;
    call_send(call, &request, no_payload(payload), get_on_answer);
    return call;
}

/* ---- remove ---- */

static void remove_on_answer(void *argument, int code, const struct http_response *response,
                             const struct error *error)
{
    struct artefact_call *call = call_answered(argument, code, error);
    if (code == 0 && !s3_answer_is_success(response) && !s3_answer_is_absent(response))
        call_refuse(call, "remove", response);
    call_end(call);
}

static struct artefact_call *store_remove(struct artefact_store *interface, const char *sha256,
                                          artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, done, argument);
    char payload[DIGEST_TEXT_BYTES];
    if (call_set_name(call, sha256) != 0) {
        loop_timer_set(call->timer, 0);
        return call;
    }
    struct http_request request = {.method = "DELETE", .body_max_bytes = ANSWER_MAX_BYTES};
    call_send(call, &request, no_payload(payload), remove_on_answer);
    return call;
}

/* ---- the store ---- */

static void store_cancel(struct artefact_store *interface, struct artefact_call *call)
{
    assert(call->magic == S3_CALL_MAGIC && &call->store->interface == interface);
    call_free(call);
}

static void store_free(struct artefact_store *interface)
{
    struct s3_store *store = (struct s3_store *)interface;
    assert(store->magic == S3_STORE_MAGIC && store->calls == 0);
    free(store->place);
    free(store->base_url);
    free(store->region);
    free(store->credentials_file);
    store->magic = 0;
    free(store);
}

/* Checks BUCKET[/PREFIX]: unreserved characters (RFC 3986 §2.3), no empty part, no "." or "..". */
static int check_place(const char *place, struct error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    bool sound = place[0] != '\0' && strlen(place) <= PLACE_MAX_BYTES &&
                 strspn(place, allowed) == strlen(place);
    for (const char *part = place; sound; part++) {
        size_t part_bytes = strcspn(part, "/");
        sound = part_bytes > 0 && strncmp(part, ".", part_bytes) != 0 &&
                strncmp(part, "..", part_bytes) != 0;
        part += part_bytes;
        if (*part == '\0')
            break;
    }
    return sound ? 0
                 : error_set(error, ERR_INPUT,
                             "artefact store \"s3://%.100s\": expected s3://BUCKET or "
                             "s3://BUCKET/PREFIX of letters, digits and -._~, at most %d bytes",
                             place, PLACE_MAX_BYTES);
}

/* Checks https://HOST[:PORT][/PATH] and the region's name: both go into URLs and signatures as they are. */
static int check_server(const char *endpoint, const char *region, struct error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    if (region[strspn(region, allowed)] != '\0' || region[0] == '\0' ||
        strlen(region) > REGION_MAX_BYTES)
        return error_set(error, ERR_INPUT,
                         "artefact store: \"%.100s\" is no region: expected one such as us-east-1",
                         region);
    const char *host = endpoint == NULL                        ? NULL
                       : strncmp(endpoint, "https://", 8) == 0 ? endpoint + 8
                       : strncmp(endpoint, "http://", 7) == 0  ? endpoint + 7
                                                               : "";
    if (host == NULL || (strcspn(host, "/") > 0 && strpbrk(host, "?#@% \r\n\t") == NULL &&
                         strlen(endpoint) <= ENDPOINT_MAX_BYTES))
        return 0;
    return error_set(error, ERR_INPUT,
                     "artefact store: the endpoint \"%.100s\" must be https://HOST or "
                     "https://HOST:PORT, without the bucket",
                     endpoint);
}

/* A certificate for *.s3.REGION.amazonaws.com does not hold for a bucket with a dot: there the bucket is in the path. */
static char *make_base_url(const char *place, const char *endpoint, const char *region)
{
    const char *slash = strchrnul(place, '/');
    bool has_dot = memchr(place, '.', (size_t)(slash - place)) != NULL;
    if (endpoint == NULL && has_dot)
        return mem_format("https://s3.%s.amazonaws.com/%s", region, place);
    if (endpoint == NULL)
        return mem_format("https://%.*s.s3.%s.amazonaws.com%s", (int)(slash - place), place, region,
                          slash);
    size_t endpoint_bytes = strlen(endpoint);
    while (endpoint_bytes > 0 && endpoint[endpoint_bytes - 1] == '/')
        endpoint_bytes--;
    return mem_format("%.*s/%s", (int)endpoint_bytes, endpoint, place);
}

int artefact_s3_store_new(struct loop *loop, struct http_client *http, const char *place,
                          const struct artefact_settings *settings,
                          struct artefact_store **ret_store, struct error *error)
{
    const char *region = settings->region != NULL ? settings->region : "us-east-1";
    int code = check_place(place, error);
    if (code == 0)
        code = check_server(settings->endpoint, region, error);
    if (code != 0)
        return code;
    if (settings->credentials_file == NULL)
        return error_set(error, ERR_INPUT,
                         "artefact store s3://%s: a file with access_key_id and secret_access_key "
                         "is needed",
                         place);
    assert(http != NULL);
    struct s3_store *store = MEM_NEW(struct s3_store);
    store->interface = (struct artefact_store){.put = store_put,
                                               .get = store_get,
                                               .remove = store_remove,
                                               .cancel = store_cancel,
                                               .free = store_free};
    store->magic = S3_STORE_MAGIC;
    store->loop = loop;
    store->http = http;
    store->place = mem_copy_text(place);
    store->base_url = make_base_url(place, settings->endpoint, region);
    store->region = mem_copy_text(region);
    store->credentials_file = mem_copy_text(settings->credentials_file);
    *ret_store = &store->interface;
    return 0;
}
