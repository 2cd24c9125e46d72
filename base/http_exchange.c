/*
 * One request at the HTTP server: counting its body, answering it.
 *
 * libmicrohttpd lets an answer be queued at two points only: in the first access callback (then it closes the
 * connection afterwards) and in the last, when the body is complete. So an answer takes one of three ways:
 *
 *      in on_end or later         queued in the last callback; a later one resumes the suspended connection
 *      earlier, short rest        the rest is dropped as it comes, then as above: the connection lives on
 *      earlier, long rest         in on_head: queued at once; in the body: written straight to the socket or the TLS
 *                                 session, which the library is only reading from at that point; then the connection
 *                                 is closed
 *
 * Invariants: nothing of a body reaches the handler after an answer; counted_bytes of all exchanges sum up to
 * server->bodies_bytes.
 */
#include "base/http_server_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/memory.h"

/* A rest of a body up to this size is dropped so that the connection can be kept: cheaper than a new connection. */
#define HTTP_DROP_MAX_BYTES 65536

/* What a client is told to wait when the bodies' memory is full: about the time that a large body takes. */
#define HTTP_RETRY_AFTER_SECONDS "2"

/* Longest plain text of an answer by http_answer_text. */
#define HTTP_TEXT_MAX_BYTES 4096

/* Largest answer that is written straight to the socket: head and text. */
#define HTTP_RAW_MAX_BYTES 65536

/* Content type where an answer names none. */
#define HTTP_DEFAULT_CONTENT_TYPE "text/plain; charset=utf-8"

/* A name to count, and where its values go. */
struct header_count {
    const char *name;
    size_t count;
    const char **values; /* room for values_max */
    size_t values_max;
};

/* ---- the rest of a body ---- */

/* Bytes of the body still to come, or -1 if nobody knows. */
static int64_t rest_of_body(const struct http_exchange *exchange)
{
    if (exchange->chunked)
        return -1;
    if (exchange->content_length_bytes < 0)
        return 0;
    return exchange->content_length_bytes - (int64_t)exchange->received_bytes;
}

/* Returns true if the rest of the body is best read and dropped, so that the connection can be kept. */
static bool rest_is_droppable(const struct http_exchange *exchange)
{
    int64_t rest_bytes = rest_of_body(exchange);
    if (rest_bytes < 0 || rest_bytes > HTTP_DROP_MAX_BYTES)
        return false;
    /* A client that asked whether to send waits for our answer, not for us to read. */
    return rest_bytes == 0 || exchange->received_bytes > 0 ||
           http_exchange_header(exchange, "Expect") == NULL;
}

/* ---- answers ---- */

/* Makes the library's response out of an answer. */
static struct MHD_Response *response_new(const struct http_exchange *exchange,
                                         const struct http_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body_bytes, (void *)(uintptr_t)answer->body, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        abort(); /* out of memory, as base/memory.h */
    const char *content_type =
        answer->content_type != NULL ? answer->content_type : HTTP_DEFAULT_CONTENT_TYPE;
    enum MHD_Result added =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (size_t i = 0; i < HTTP_ANSWER_HEADERS_MAX && answer->headers[i].name != NULL; i++)
        if (added == MHD_YES)
            added = MHD_add_response_header(response, answer->headers[i].name,
                                            answer->headers[i].value);
    if (added == MHD_YES && exchange->connection->server->quiesced)
        added = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    assert(added == MHD_YES); /* a malformed header is a bug of the handler */
    return response;
}

/* Writes bytes to the client past the library. Returns false if nothing can be said yet or any more. */
static bool send_bytes(struct http_connection *connection, const struct buffer *text)
{
    if (connection->tls_pair != NULL)
        return http_tls_send(connection, text->data, text->size_bytes);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL && send(info->connect_fd, text->data, text->size_bytes,
                                MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text->size_bytes;
}

/*
 * Writes an answer straight to the client. What does not fit into the socket's buffer is lost: answers are short.
 * Returns true if it was written.
 */
static bool send_raw(struct http_connection *connection, const struct http_answer *answer)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(HTTP_RAW_MAX_BYTES);
    int code = buffer_append_format(
        &text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
        answer->status, MHD_get_reason_phrase_for((unsigned)answer->status),
        answer->content_type != NULL ? answer->content_type : HTTP_DEFAULT_CONTENT_TYPE,
        answer->body_bytes);
    for (size_t i = 0; i < HTTP_ANSWER_HEADERS_MAX && answer->headers[i].name != NULL; i++)
        if (code == 0)
            code = buffer_append_format(&text, "%s: %s\r\n", answer->headers[i].name,
                                        answer->headers[i].value);
    if (code == 0)
        code = buffer_append_text(&text, "\r\n");
    if (code == 0)
        code = buffer_append(&text, answer->body, answer->body_bytes);
    return code == 0 && send_bytes(connection, &text);
}

/* Ends a connection whose answer was sent raw. Within an access callback the library is told by its result. */
static void connection_cut(struct http_connection *connection)
{
    connection->cut = true;
    connection->linger = true;
    if (connection->exchange != NULL && connection->exchange == connection->server->current)
        return;
    http_tls_close(connection);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL)
        (void)shutdown(info->connect_fd, SHUT_RDWR); /* the library sees it and closes */
}

/* Fills an answer of plain text. */
static struct http_answer text_answer(int status, const char *text)
{
    struct http_answer answer = {.status = status, .body = text, .body_bytes = strlen(text)};
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        answer.headers[0].name = "Retry-After";
        answer.headers[0].value = HTTP_RETRY_AFTER_SECONDS;
    }
    return answer;
}

static void tell_refusal(struct http_server *server, int status)
{
    if (server->handler.on_refuse != NULL)
        server->handler.on_refuse(server->argument, status);
}

void http_connection_refuse(struct http_connection *connection, int status, const char *text)
{
    char body[HTTP_TEXT_MAX_BYTES];
    (void)snprintf(body, sizeof(body), "%s\n", text);
    const struct http_answer answer = text_answer(status, body);
    bool is_said = send_raw(connection, &answer);
    if (connection->exchange != NULL) {
        connection->exchange->answered = true;
        connection->exchange->status = status;
    }
    /* A handshake that was not completed was no request. */
    if (is_said || connection->phase != HTTP_PHASE_WAITING)
        tell_refusal(connection->server, status);
    connection_cut(connection);
}

void http_answer(struct http_exchange *exchange, const struct http_answer *answer)
{
    assert(!exchange->answered);
    assert(answer->status >= 200 && answer->status <= 599);
    struct http_connection *connection = exchange->connection;
    exchange->answered = true;
    exchange->status = answer->status;
    if (connection->cut)
        return;
    if (connection->phase == HTTP_PHASE_BODY && !rest_is_droppable(exchange)) {
        (void)send_raw(connection, answer);
        connection_cut(connection);
        return;
    }
    exchange->response = response_new(exchange, answer);
    if (exchange->suspended) {
        exchange->suspended = false;
        MHD_resume_connection(connection->mhd);
        http_server_run_soon(connection->server);
    }
}

void http_answer_text(struct http_exchange *exchange, int status, const char *format, ...)
{
    char text[HTTP_TEXT_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const struct http_answer answer = text_answer(status, text);
    http_answer(exchange, &answer);
}

bool http_exchange_is_answered(const struct http_exchange *exchange)
{
    return exchange->answered;
}

/* ---- the library's callbacks ---- */

/* Gives the library the answer, which the exchange holds. */
static enum MHD_Result queue_answer(struct http_exchange *exchange)
{
    if (exchange->connection->cut || exchange->response == NULL)
        return MHD_NO;
    return MHD_queue_response(exchange->connection->mhd, (unsigned)exchange->status,
                              exchange->response);
}

/* The head is there: refuse it, or show it to the handler, who may answer. */
static enum MHD_Result begin_exchange(struct http_exchange *exchange, const char *version)
{
    struct http_connection *connection = exchange->connection;
    struct http_server *server = connection->server;
    const struct http_refusal refusal = http_head_judge(exchange, version);
    if (refusal.status != 0) {
        /* Not by the library: a head that fills its memory leaves none for an answer. */
        http_connection_refuse(connection, refusal.status, refusal.text);
        return MHD_NO;
    }
    exchange->announced = true;
    exchange->request = server->handler.on_head(server->argument, exchange);
    if (exchange->answered && !rest_is_droppable(exchange)) {
        connection->linger = true;
        http_connection_set_phase(connection, HTTP_PHASE_ANSWERING);
        return queue_answer(exchange);
    }
    http_connection_set_phase(connection, HTTP_PHASE_BODY);
    return MHD_YES;
}

/*
 * Returns true if the client closed its side in the midst of a body whose length is known. The library is woken by
 * edges and misses an end that came together with the last bytes; it would hold the request until its idle timeout.
 * Not so with TLS, where it reads until there is nothing more; the end may come before what GnuTLS still holds.
 */
static bool body_is_cut(const struct http_exchange *exchange)
{
    if (exchange->connection->tls_pair != NULL || rest_of_body(exchange) <= 0)
        return false;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte = 0;
    return info != NULL && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A piece of the body. Returns MHD_NO when the connection is to be closed at once. */
static enum MHD_Result take_body(struct http_exchange *exchange, const char *bytes,
                                 size_t byte_count)
{
    struct http_connection *connection = exchange->connection;
    struct http_server *server = connection->server;
    if (connection->cut)
        return MHD_NO;
    exchange->received_bytes += byte_count;
    if (body_is_cut(exchange))
        return MHD_NO;
    if (exchange->answered)
        return MHD_YES; /* dropped */
    if (exchange->received_bytes > server->settings.body_max_bytes) {
        http_connection_refuse(connection, 413, "the body is over the size limit");
        return MHD_NO;
    }
    if (!http_bodies_have_room(server, exchange->received_bytes, byte_count)) {
        http_connection_refuse(connection, 503, "too many bytes are under way; try again later");
        return MHD_NO;
    }
    exchange->counted_bytes += byte_count;
    server->bodies_bytes += byte_count;
    if (server->handler.on_body != NULL)
        server->handler.on_body(exchange->request, exchange, bytes, byte_count);
    return connection->cut ? MHD_NO : MHD_YES;
}

/* The body is complete, or the connection was resumed: answer, or suspend until there is an answer. */
static enum MHD_Result end_exchange(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (connection->cut)
        return MHD_NO;
    if (connection->phase == HTTP_PHASE_BODY) {
        http_connection_set_phase(connection, HTTP_PHASE_ANSWERING);
        if (!exchange->answered)
            connection->server->handler.on_end(exchange->request, exchange);
    }
    if (exchange->answered)
        return queue_answer(exchange);
    MHD_suspend_connection(connection->mhd);
    exchange->suspended = true;
    return MHD_YES;
}

enum MHD_Result http_exchange_on_access(void *server_pointer, struct MHD_Connection *mhd,
                                        const char *url, const char *method, const char *version,
                                        const char *upload_data, size_t *upload_data_bytes,
                                        void **exchange_pointer)
{
    struct http_server *server = server_pointer;
    struct http_exchange *exchange = *exchange_pointer;
    enum MHD_Result result = MHD_NO;
    if (exchange == NULL) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct http_connection *connection =
            CAST_CHECKED(struct http_connection, info->socket_context, HTTP_CONNECTION_MAGIC);
        assert(connection->exchange == NULL);
        exchange = MEM_NEW(struct http_exchange);
        exchange->connection = connection;
        exchange->method = method;
        exchange->path = url;
        exchange->content_length_bytes = -1;
        connection->exchange = exchange;
        server->exchange_count++;
        *exchange_pointer = exchange;
        server->current = exchange;
        result = begin_exchange(exchange, version);
    } else if (*upload_data_bytes > 0) {
        size_t byte_count = *upload_data_bytes;
        *upload_data_bytes = 0; /* all of it is taken */
        server->current = exchange;
        server->progress = true;
        result = take_body(exchange, upload_data, byte_count);
    } else {
        server->current = exchange;
        result = end_exchange(exchange);
    }
    server->current = NULL;
    return result;
}

void http_exchange_close(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http_server *server = connection->server;
    exchange->suspended = false;
    if (exchange->announced && server->handler.on_close != NULL)
        server->handler.on_close(exchange->request, exchange);
    if (exchange->response != NULL)
        MHD_destroy_response(exchange->response);
    assert(server->bodies_bytes >= exchange->counted_bytes && server->exchange_count > 0);
    server->bodies_bytes -= exchange->counted_bytes;
    server->exchange_count--;
    connection->exchange = NULL;
    free(exchange);
}

/* ---- what a handler may ask ---- */

const char *http_exchange_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

const char *http_exchange_path(const struct http_exchange *exchange)
{
    return exchange->path;
}

const char *http_exchange_query(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection->mhd, MHD_HEADER_KIND, name);
}

static enum MHD_Result count_header(void *argument, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    (void)kind;
    struct header_count *wanted = argument;
    if (strcasecmp(name, wanted->name) != 0)
        return MHD_YES;
    if (wanted->count < wanted->values_max)
        wanted->values[wanted->count] = value != NULL ? value : "";
    wanted->count++;
    return MHD_YES;
}

size_t http_exchange_header_values(const struct http_exchange *exchange, const char *name,
                                   const char **ret_values, size_t values_max)
{
    struct header_count wanted = {.name = name, .values = ret_values, .values_max = values_max};
    (void)MHD_get_connection_values(exchange->connection->mhd, MHD_HEADER_KIND, count_header,
                                    &wanted);
    return wanted.count;
}

size_t http_exchange_header_count(const struct http_exchange *exchange, const char *name)
{
    return http_exchange_header_values(exchange, name, NULL, 0);
}

int64_t http_exchange_content_length(const struct http_exchange *exchange)
{
    return exchange->content_length_bytes;
}

void http_exchange_client(const struct http_exchange *exchange, char *ret_text, size_t text_bytes)
{
    ret_text[0] = '\0';
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info == NULL || info->client_addr == NULL)
        return;
    const void *address = NULL;
    if (info->client_addr->sa_family == AF_INET)
        address = &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
    else if (info->client_addr->sa_family == AF_INET6)
        address = &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr;
    if (address != NULL)
        (void)inet_ntop(info->client_addr->sa_family, address, ret_text, (socklen_t)text_bytes);
}
