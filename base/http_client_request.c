/*
 * What libcurl is told of a request, and how bodies flow: see http_client.h.
 *
 * Design: bodies are held (`body`, the collected answer) or flow through the functions of `struct http_stream`. An
 * answer that is not 2xx is always collected: its body says what is wrong.
 *
 * Invariant: no byte beyond the answer's limit is kept or handed on.
 */
#include "base/http_client_internal.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/memory.h"

/* Most bytes of an answer's headers, all hops together. */
#define CLIENT_HEADERS_MAX_BYTES ((size_t)256 << 10)

/* First half of IPv4's link-local addresses, 169.254.0.0/16 (RFC 3927). */
#define LINK_LOCAL_V4 0xa9fe

void http_check_easy(CURLcode code)
{
    if (code != CURLE_OK) {
        fprintf(stderr, "nodag: libcurl: %s\n", curl_easy_strerror(code));
        abort();
    }
}

/* The next piece of the request's body (CURLOPT_READFUNCTION). */
static size_t on_body_room(char *room, size_t one, size_t room_bytes, void *argument)
{
    struct http_call *call = argument;
    size_t byte_count = call->stream.read(call->stream.argument, room, one * room_bytes);
    if (byte_count > 0)
        return byte_count;
    call->stream_ended = true;
    return CURL_READFUNC_ABORT;
}

/* A piece of an answer that is not collected. */
static size_t call_hand_on(struct http_call *call, const char *bytes, size_t byte_count)
{
    call->taken_bytes += byte_count;
    call->too_large = call->taken_bytes > call->answer.limit_bytes;
    if (call->too_large)
        return CURL_WRITEFUNC_ERROR;
    if (call->stream.take(call->stream.argument, bytes, byte_count))
        return byte_count;
    call->stream_ended = true;
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_answer_bytes(char *bytes, size_t one, size_t byte_count, void *argument)
{
    (void)one;
    struct http_call *call = argument;
    long status = 0;
    http_check_easy(curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status));
    if (call->stream.take != NULL && status >= 200 && status < 300)
        return call_hand_on(call, bytes, byte_count);
    if (buffer_append(&call->answer, bytes, byte_count) == 0)
        return byte_count;
    call->too_large = true;
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_header_bytes(char *bytes, size_t one, size_t byte_count, void *argument)
{
    (void)bytes;
    (void)one;
    struct http_call *call = argument;
    call->header_bytes += byte_count;
    if (call->header_bytes <= CLIENT_HEADERS_MAX_BYTES)
        return byte_count;
    call->too_large = true;
    return CURL_WRITEFUNC_ERROR;
}

static void call_add_header(struct http_call *call, const char *name, const char *value)
{
    assert(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL);
    CLEANUP(mem_free)
    char *line = value[0] != '\0' ? mem_format("%s: %s", name, value) : mem_format("%s;", name);
    struct curl_slist *grown = curl_slist_append(call->headers, line);
    if (grown == NULL)
        http_check_easy(CURLE_OUT_OF_MEMORY);
    call->headers = grown;
}

static void call_set_headers(struct http_call *call, const struct http_request *request)
{
    assert(request->header_count <= HTTP_REQUEST_HEADERS_MAX);
    bool has_type = false;
    for (size_t i = 0; i < request->header_count; i++) {
        call_add_header(call, request->headers[i].name, request->headers[i].value);
        has_type = has_type || strcasecmp(request->headers[i].name, "Content-Type") == 0;
    }
    /*
     * What libcurl would add by itself: an Expect that costs a round trip, and a form's type. Not where libcurl signs: before 8.3 it
     * signs, as empty, what is suppressed here, and strict servers refuse a signature over headers that are not there.
     */
    if (request->aws == NULL)
        call->headers = curl_slist_append(call->headers, "Expect:");
    if (!has_type && request->aws == NULL)
        call->headers = curl_slist_append(call->headers, "Content-Type:");
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers));
}

/* How a streamed body is sent, and the answer's. */
static void call_set_stream(struct http_call *call, const struct http_request *request)
{
    call->stream = request->stream;
    if (call->stream.read == NULL)
        return;
    assert(request->body == NULL);
    CURL *easy = call->easy;
    http_check_easy(curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_room));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_READDATA, call));
    http_check_easy(
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_bytes));
}

/* AWS Signature Version 4 is libcurl's (CURLOPT_AWS_SIGV4). */
static void call_set_signature(struct http_call *call, const struct http_aws_signature *aws)
{
    if (aws == NULL)
        return;
    assert(strchr(aws->access_key_id, ':') == NULL);
    CLEANUP(mem_free) char *scope = mem_format("aws:amz:%s:%s", aws->region, aws->service);
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_AWS_SIGV4, scope));
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_USERNAME, aws->access_key_id));
    http_check_easy(curl_easy_setopt(call->easy, CURLOPT_PASSWORD, aws->secret_access_key));
}

static void call_set_method(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    if (request->stream.read == NULL &&
        (request->body != NULL || strcmp(request->method, "POST") == 0)) {
        call->body = mem_copy_bytes(request->body, request->body != NULL ? request->body_bytes : 0);
        curl_off_t body_bytes = request->body != NULL ? (curl_off_t)request->body_bytes : 0;
        http_check_easy(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body));
        http_check_easy(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, body_bytes));
    }
    if (strcmp(request->method, "HEAD") == 0)
        http_check_easy(curl_easy_setopt(easy, CURLOPT_NOBODY, 1L));
    else
        http_check_easy(curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method));
    call->is_get = strcmp(request->method, "GET") == 0;
    /*
     * On a reused connection that dies without an answer libcurl sends again by itself; a write must not happen
     * twice.
     */
    if (!call->is_get)
        http_check_easy(curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L));
}

static bool is_link_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return (ntohl(v4->sin_addr.s_addr) >> 16) == LINK_LOCAL_V4;
    }
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (address->sa_family != AF_INET6)
        return false;
    return IN6_IS_ADDR_LINKLOCAL(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) &&
            ((v6->s6_addr[12] << 8) | v6->s6_addr[13]) == LINK_LOCAL_V4);
}

/* Opens the socket of a connection, unless it would lead to a link-local address: asked after names were resolved. */
static curl_socket_t on_open_socket(void *argument, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    (void)argument;
    (void)purpose;
    if (is_link_local(&address->addr))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* What every request has in common. */
static void call_set_policy(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    const struct curl_client *client = call->client;
    http_check_easy(curl_easy_setopt(easy, CURLOPT_PRIVATE, call));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error_text));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2));
    /* Else a name look-up that is cut off would be waited for, and the loop with it. */
    http_check_easy(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
    if (request->stall_ms > 0) {
        http_check_easy(curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L));
        http_check_easy(curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                                         (long)((request->stall_ms + 999) / 1000)));
    }
    http_check_easy(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer_bytes));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_WRITEDATA, call));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header_bytes));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_HEADERDATA, call));
    http_check_easy(
        curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->answer.limit_bytes));
    http_check_easy(curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent));
    if (client->ca_file != NULL)
        http_check_easy(curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file));
    if (client->refuse_link_local) {
        http_check_easy(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
        http_check_easy(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket));
    }
}

void http_call_prepare(struct http_call *call, const struct http_request *request)
{
    call_set_policy(call, request);
    call_set_headers(call, request);
    call_set_stream(call, request);
    call_set_method(call, request);
    call_set_signature(call, request->aws);
}
