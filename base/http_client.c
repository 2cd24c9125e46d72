/*
 * The HTTP client on libcurl: see http_client.h.
 *
 * Design: one multi handle for each client, one easy handle for each request. libcurl says which sockets it wants
 * watched and when it wants to be woken; we answer with curl_multi_socket_action and collect what is finished.
 * Redirects are ours: libcurl would drop only its own credentials for another host, not an Authorization header
 * that we set, so a redirect is followed here, and only within one scheme, host and port. Any other redirect is the
 * answer.
 *
 *      http_send ─▶ multi ─▶ curl's sockets, timer ─▶ loop ─▶ curl_multi_socket_action ─▶ finished ─▶ done(…)
 *                    ▲                                                               │
 *                    └───────────── redirect within the origin ◀─────────────────────┘
 *
 * Invariants: done is called from the loop's callbacks alone, never from http_send; a call is in client->calls
 * until its done is about to run. Source: curl_multi_socket_action(3), CURLMOPT_SOCKETFUNCTION(3), curl_url(3).
 */
#include "base/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/http_client_internal.h"
#include "base/http_url.h"
#include "base/memory.h"

/* Longest time to connect, so that a dead address leaves time for another try within the total. */
#define CLIENT_CONNECT_TIMEOUT_MS 10000

/* Connections to one host where the settings say 0. */
#define CLIENT_DEFAULT_CONNECTIONS 8

/* Idle connections kept for reuse, to all hosts together. */
#define CLIENT_KEPT_CONNECTIONS 8

/* Redirects worth following for a GET. */
static const int redirect_statuses[] = {301, 302, 303, 307, 308};

/* libcurl fails only where it was built without something or is out of memory: neither can be handled. */
static void check_multi(CURLMcode code)
{
    if (code != CURLM_OK) {
        fprintf(stderr, "nodag: libcurl: %s\n", curl_multi_strerror(code));
        abort();
    }
}

/* ---- calls ---- */

static void call_unlink(struct http_call *call)
{
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        call->client->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
}

/* Frees a call that is in no list and no multi handle. */
static void call_free(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->body);
    free(call->label);
    buffer_release(&call->answer);
    free(call);
}

/* Hands the call to libcurl, for its first or a further hop. */
static void call_start(struct http_call *call, const char *url)
{
    int64_t left_ms = call->due_ms - loop_now_ms(call->client->loop);
    if (left_ms < 1)
        left_ms = 1;
    int64_t connect_ms = left_ms < CLIENT_CONNECT_TIMEOUT_MS ? left_ms : CLIENT_CONNECT_TIMEOUT_MS;
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_URL, url));
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)left_ms));
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms));
    check_multi(curl_multi_add_handle(call->client->multi, call->easy));
}

static struct http_call *client_send(struct http_client *interface,
                                     const struct http_request *request, http_done_fn done,
                                     void *argument)
{
    struct curl_client *client = (struct curl_client *)interface;
    struct http_call *call = MEM_NEW(struct http_call);
    call->client = client;
    call->done = done;
    call->argument = argument;
    call->label = http_url_make_label(request->method, request->url);
    size_t body_max_bytes = request->body_max_bytes;
    call->answer = BUFFER_INIT(body_max_bytes > 0 ? body_max_bytes : HTTP_CLIENT_BODY_MAX_BYTES);
    call->redirects_left =
        request->redirects_max == 0 ? HTTP_CLIENT_REDIRECTS_MAX : request->redirects_max;
    call->due_ms = loop_now_ms(client->loop) +
                   (request->timeout_ms > 0 ? request->timeout_ms : HTTP_CLIENT_TIMEOUT_MS);
    call->easy = curl_easy_init();
    if (call->easy == NULL)
        http_check_easy(CURLE_OUT_OF_MEMORY);
    http_call_prepare(call, request);
    call->next = client->calls;
    if (call->next != NULL)
        call->next->previous = call;
    client->calls = call;
    call_start(call, request->url);
    return call;
}

static void client_cancel(struct http_client *interface, struct http_call *call)
{
    struct curl_client *client = (struct curl_client *)interface;
    assert(call->client == client);
    check_multi(curl_multi_remove_handle(client->multi, call->easy));
    call_unlink(call);
    call_free(call);
}

/* ---- what came of a call ---- */

static const char *get_header(const struct http_response *response, const char *name)
{
    struct curl_header *header = NULL;
    CURLHcode code = curl_easy_header(response->headers, name, 0, CURLH_HEADER, -1, &header);
    return code == CURLHE_OK ? header->value : NULL;
}

static int classify(const struct http_call *call, CURLcode code)
{
    if (call->too_large)
        return ERR_TOO_LARGE;
    if (call->stream_ended)
        return ERR_CANCELLED;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return ERR_TOO_LARGE;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_INPUT;
    default:
        return ERR_UNAVAILABLE;
    }
}

/*
 * Follows a redirect if it may be followed. The call is out of the multi handle, and back in it if this returns
 * true.
 */
static bool call_redirect(struct http_call *call, long status)
{
    bool is_redirect = false;
    for (size_t i = 0; i < ARRAY_COUNT(redirect_statuses); i++)
        is_redirect = is_redirect || redirect_statuses[i] == status;
    if (!is_redirect || !call->is_get || call->redirects_left <= 0)
        return false;
    const char *from = NULL;
    const char *to = NULL;
    http_check_easy(curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &from));
    http_check_easy(curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &to));
    if (from == NULL || to == NULL || !http_url_same_origin(from, to))
        return false;
    CLEANUP(mem_free) char *target = mem_copy_text(to);
    call->redirects_left--;
    buffer_clear(&call->answer);
    call_start(call, target);
    return true;
}

/* Tells the owner, and frees the call. */
static void call_finish(struct http_call *call, CURLcode code)
{
    struct error error = {.code = 0};
    struct http_response response = {.status = 0};
    if (code != CURLE_OK) {
        const char *why = call->error_text[0] != '\0' ? call->error_text : curl_easy_strerror(code);
        if (call->too_large)
            why = "the answer is over its size limit";
        else if (call->stream_ended)
            why = "ended before the body was complete";
        error_set(&error, classify(call, code), "%s: %s", call->label, why);
    } else {
        long status = 0;
        http_check_easy(curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status));
        http_check_easy(curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &response.final_url));
        response.status = (int)status;
        response.body = call->answer.data != NULL ? call->answer.data : "";
        response.body_bytes = call->answer.size_bytes;
        response.headers = call->easy;
        response.get_header = get_header;
    }
    call_unlink(call);
    call->done(call->argument, error.code, error.code == 0 ? &response : NULL, &error);
    call_free(call);
}

/* Collects what libcurl has finished. The owners' callbacks may send and cancel. */
static void client_collect(struct curl_client *client)
{
    client->finishing = true;
    int left = 0;
    CURLMsg *message = curl_multi_info_read(client->multi, &left);
    while (message != NULL) {
        CURLcode code = message->data.result;
        CURL *easy = message->easy_handle;
        struct http_call *call = NULL;
        long status = 0;
        http_check_easy(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call));
        http_check_easy(curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status));
        check_multi(curl_multi_remove_handle(client->multi, easy)); /* ends `message` */
        if (code != CURLE_OK || !call_redirect(call, status))
            call_finish(call, code);
        message = curl_multi_info_read(client->multi, &left);
    }
    client->finishing = false;
}

/* ---- libcurl and the loop ---- */

static void client_act(struct curl_client *client, curl_socket_t socket, int what)
{
    int running = 0;
    check_multi(curl_multi_socket_action(client->multi, socket, what, &running));
    client_collect(client);
}

static void client_on_timer(void *argument)
{
    client_act(argument, CURL_SOCKET_TIMEOUT, 0);
}

static void client_on_fd(int fd, unsigned what, void *argument)
{
    int selected = 0;
    if ((what & LOOP_READ) != 0)
        selected |= CURL_CSELECT_IN;
    if ((what & LOOP_WRITE) != 0)
        selected |= CURL_CSELECT_OUT;
    client_act(argument, fd, selected);
}

/* libcurl wants a socket watched (CURLMOPT_SOCKETFUNCTION). */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *client_pointer,
                     void *watch_pointer)
{
    (void)easy;
    struct curl_client *client = client_pointer;
    loop_fd_free(watch_pointer);
    unsigned wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        wanted |= LOOP_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        wanted |= LOOP_WRITE;
    struct loop_fd *watch = NULL;
    if (wanted != 0)
        watch = loop_fd_new(client->loop, socket, wanted, client_on_fd, client);
    (void)curl_multi_assign(client->multi, socket, watch);
    return 0;
}

/* libcurl wants to be woken (CURLMOPT_TIMERFUNCTION). */
static int on_timeout(CURLM *multi, long delay_ms, void *client_pointer)
{
    (void)multi;
    struct curl_client *client = client_pointer;
    if (delay_ms < 0)
        loop_timer_clear(client->timer);
    else
        loop_timer_set(client->timer, delay_ms);
    return 0;
}

struct http_client *http_client_new_curl(struct loop *loop,
                                         const struct http_client_settings *settings)
{
    http_check_easy(curl_global_init(CURL_GLOBAL_DEFAULT));
    struct curl_client *client = MEM_NEW(struct curl_client);
    client->interface = (struct http_client){.send = client_send, .cancel = client_cancel};
    client->loop = loop;
    client->user_agent =
        mem_copy_text(settings->user_agent != NULL ? settings->user_agent : "nodag/" NODAG_VERSION);
    client->ca_file = mem_copy_text(settings->ca_file);
    client->refuse_link_local = settings->refuse_link_local;
    client->timer = loop_timer_new(loop, client_on_timer, client);
    client->multi = curl_multi_init();
    if (client->multi == NULL)
        http_check_easy(CURLE_OUT_OF_MEMORY);
    long connections_max = settings->connections_max;
    if (connections_max <= 0)
        connections_max = CLIENT_DEFAULT_CONNECTIONS;
    CURLM *multi = client->multi;
    check_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket));
    check_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client));
    check_multi(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout));
    check_multi(curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client));
    check_multi(curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections_max));
    check_multi(curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CLIENT_KEPT_CONNECTIONS));
    return &client->interface;
}

void http_client_free_curl(struct http_client *interface)
{
    if (interface == NULL)
        return;
    struct curl_client *client = (struct curl_client *)interface;
    assert(!client->finishing); /* not from a callback of its own */
    while (client->calls != NULL)
        client_cancel(interface, client->calls);
    check_multi(curl_multi_cleanup(client->multi)); /* lets go of the watches by on_socket */
    loop_timer_free(client->timer);
    free(client->user_agent);
    free(client->ca_file);
    free(client);
    curl_global_cleanup();
}
