/*
 * The HTTP server: listening, driving libmicrohttpd from the loop, and the time limits. See http_server.h.
 *
 * Design: the library is started without a thread, with epoll. Its epoll descriptor is watched by the loop; it is
 * run when that is readable, when its own idle timeout is due, and after a suspended request was answered. A run
 * may leave work behind (MHD_get_timeout says 0): then it runs again at once, a few times, and else in the next
 * turn.
 *
 * Time limits: all connections in one phase have the same limit, so a list in order of arrival is in order of
 * expiry, and one loop timer serves both lists. WAITING ends by the library's idle timeout where nothing comes;
 * what trickles bytes and never completes a request line is ended by ours, idle and request timeout together. A TLS
 * handshake is part of WAITING; the library counts its bytes for nothing, so that its idle timeout ends it.
 * Source: the libmicrohttpd manual, MHD_start_daemon(3), MHD_get_timeout(3).
 */
#include "base/http_server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/http_server_internal.h"
#include "base/memory.h"

/* Defaults of the settings, as http_server.h names them. */
#define HTTP_DEFAULT_ADDRESS "127.0.0.1"
/* Four of the largest bodies at once. */
#define HTTP_DEFAULT_BODIES 4
/* More than any client sends, less than a page of a flood. */
#define HTTP_DEFAULT_HEADER_MAX_BYTES 32768
/* How strict the library is (MHD_OPTION_CLIENT_DISCIPLINE_LVL): what RFC 9112 lets a server refuse is refused. */
#define HTTP_DISCIPLINE 1

/* Below the usual limit of open files. */
#define HTTP_DEFAULT_CONNECTIONS_MAX 1024
/* GitHub gives up after 10 s. */
#define HTTP_DEFAULT_IDLE_TIMEOUT_MS 10000
/* 25 MB at 1 MB/s. */
#define HTTP_DEFAULT_REQUEST_TIMEOUT_MS 30000

/* Most arguments in a query: nothing here takes more than a few. */
#define HTTP_ARGUMENTS_MAX 32

/* Runs of the library in one turn of the loop: a resumed request needs two, and a flood must not starve others. */
#define HTTP_RUNS_PER_TURN 4

/* Runs in a row in which the library wants to run again but nothing comes of it, before it is made to wait. */
#define HTTP_IDLE_RUNS_MAX 32

/* The same with TLS, where a stalled handshake, which each run looks at in vain, is nothing rare. */
#define HTTP_TLS_IDLE_RUNS_MAX 8

/* How long it then waits: costs next to nothing, and a stuck connection ends at its deadline. */
#define HTTP_IDLE_DELAY_MS 10

/* ---- phases and deadlines ---- */

static const char *phase_name(enum http_phase phase)
{
    switch (phase) {
#define HTTP_PHASE_CASE(name)                                                                      \
    case HTTP_PHASE_##name:                                                                        \
        return #name;
        HTTP_PHASES(HTTP_PHASE_CASE)
#undef HTTP_PHASE_CASE
    }
    return "?";
}

/* Returns true if the drawing in http_server_internal.h has this arrow. */
static bool phase_follows(enum http_phase from, enum http_phase to)
{
    if (to == HTTP_PHASE_CLOSED || to == HTTP_PHASE_WAITING)
        return from != HTTP_PHASE_CLOSED;
    if (to == HTTP_PHASE_ANSWERING)
        return from == HTTP_PHASE_HEAD || from == HTTP_PHASE_BODY;
    return to == from + 1;
}

static void deadlines_remove(struct http_connection *connection)
{
    struct http_deadlines *deadlines = connection->deadlines;
    if (deadlines == NULL)
        return;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        deadlines->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    else
        deadlines->last = connection->previous;
    connection->deadlines = NULL;
    connection->previous = NULL;
    connection->next = NULL;
}

/* Sets the timer for a deadline, unless it fires before that anyway and will set itself again. */
static void deadlines_plan(struct http_server *server, int64_t due_ms, int64_t now_ms)
{
    if (loop_timer_is_set(server->deadline_timer) && server->deadline_due_ms <= due_ms)
        return;
    server->deadline_due_ms = due_ms;
    loop_timer_set(server->deadline_timer, due_ms - now_ms);
}

static void deadlines_append(struct http_deadlines *deadlines, struct http_connection *connection)
{
    connection->deadlines = deadlines;
    connection->previous = deadlines->last;
    connection->next = NULL;
    if (deadlines->last != NULL)
        deadlines->last->next = connection;
    else
        deadlines->first = connection;
    deadlines->last = connection;
    if (deadlines->limit_ms == 0)
        return;
    int64_t now_ms = loop_now_ms(connection->server->loop);
    connection->due_ms = now_ms + deadlines->limit_ms;
    deadlines_plan(connection->server, connection->due_ms, now_ms);
}

void http_connection_set_phase(struct http_connection *connection, enum http_phase phase)
{
    if (!phase_follows(connection->phase, phase)) {
        fprintf(stderr, "nodag: HTTP connection %s -> %s\n", phase_name(connection->phase),
                phase_name(phase));
        abort();
    }
    connection->phase = phase;
    struct http_server *server = connection->server;
    server->progress = true;
    if (phase == HTTP_PHASE_BODY)
        return; /* the deadline of the head goes on */
    deadlines_remove(connection);
    if (phase == HTTP_PHASE_WAITING)
        deadlines_append(&server->waiting, connection);
    else if (phase == HTTP_PHASE_HEAD)
        deadlines_append(&server->requesting, connection);
    else if (phase == HTTP_PHASE_ANSWERING)
        deadlines_append(&server->answering, connection);
}

/* Ends the connections whose time is over; returns when the next one's is, or INT64_MAX. */
static int64_t deadlines_expire(struct http_deadlines *deadlines, int64_t now_ms)
{
    while (deadlines->first != NULL && deadlines->first->due_ms <= now_ms) {
        struct http_connection *connection = deadlines->first;
        deadlines_remove(connection);
        if (!connection->cut)
            http_connection_refuse(connection, MHD_HTTP_REQUEST_TIMEOUT,
                                   "the request did not arrive in time");
    }
    return deadlines->first != NULL ? deadlines->first->due_ms : INT64_MAX;
}

static void server_on_deadline(void *argument)
{
    struct http_server *server = argument;
    int64_t now_ms = loop_now_ms(server->loop);
    int64_t due_ms = deadlines_expire(&server->waiting, now_ms);
    int64_t requesting_due_ms = deadlines_expire(&server->requesting, now_ms);
    if (requesting_due_ms < due_ms)
        due_ms = requesting_due_ms;
    if (due_ms != INT64_MAX)
        deadlines_plan(server, due_ms, now_ms);
}

/* ---- driving the library ---- */

/* Sets the timer for the library's next timeout; an earlier setting stays, one idle run is cheaper. */
static void server_plan_run(struct http_server *server, int64_t delay_ms)
{
    int64_t due_ms = loop_now_ms(server->loop) + delay_ms;
    if (loop_timer_is_set(server->run_timer) && server->run_due_ms <= due_ms)
        return;
    server->run_due_ms = due_ms;
    loop_timer_set(server->run_timer, delay_ms);
}

/*
 * Returns true if the library shall rest though it asks to run again at once. A connection whose buffer is full of
 * what cannot be parsed, such as an endless chunk extension, makes it ask for ever (0.9.75), and so does a TLS handshake
 * that waits for its client (to 1.0.1: only reading a record tells it that a socket is empty): they must not take the
 * processor. Whatever comes in ends the rest.
 */
static bool server_may_rest(const struct http_server *server)
{
    bool has_tls = server->settings.tls != NULL;
    return server->idle_runs > (has_tls ? HTTP_TLS_IDLE_RUNS_MAX : HTTP_IDLE_RUNS_MAX);
}

/* One run. Returns true if the library wants another within `ret_timeout_ms`. */
static bool server_run_once(struct http_server *server, MHD_UNSIGNED_LONG_LONG *ret_timeout_ms)
{
    server->progress = false;
    server->running = true;
    server->run_count++;
    (void)MHD_run(server->mhd);
    server->running = false;
    server->idle_runs = server->progress ? 0 : server->idle_runs + 1;
    return MHD_get_timeout(server->mhd, ret_timeout_ms) == MHD_YES;
}

static void server_run(struct http_server *server)
{
    assert(!server->running);
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    bool has_timeout = true;
    bool goes_on = true;
    for (int i = 0; i < HTTP_RUNS_PER_TURN && goes_on; i++) {
        has_timeout = server_run_once(server, &timeout_ms);
        goes_on = has_timeout && timeout_ms == 0 &&
                  !(server->settings.tls != NULL && server_may_rest(server));
    }
    if (has_timeout && timeout_ms == 0)
        server_plan_run(server, server_may_rest(server) ? HTTP_IDLE_DELAY_MS : 0);
    else if (has_timeout)
        server_plan_run(server, (int64_t)timeout_ms);
}

static void server_on_readable(int fd, unsigned what, void *argument)
{
    (void)fd;
    (void)what;
    server_run(argument);
}

static void server_on_run_timer(void *argument)
{
    server_run(argument);
}

static void server_on_deferred(void *argument)
{
    struct http_server *server = argument;
    server->run_deferred = false;
    server_run(server);
}

void http_server_run_soon(struct http_server *server)
{
    if (server->run_deferred || server->stopping)
        return;
    server->run_deferred = true;
    loop_defer(server->loop, server_on_deferred, server);
}

/* ---- the library's notifications ---- */

static struct http_connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return CAST_CHECKED(struct http_connection, info->socket_context, HTTP_CONNECTION_MAGIC);
}

static void connection_start(struct http_server *server, struct MHD_Connection *mhd,
                             void **socket_context)
{
    struct http_connection *connection = MEM_NEW(struct http_connection);
    connection->magic = HTTP_CONNECTION_MAGIC;
    connection->server = server;
    connection->mhd = mhd;
    connection->phase = HTTP_PHASE_WAITING;
    deadlines_append(&server->waiting, connection);
    http_tls_begin(connection);
    *socket_context = connection;
}

/* Returns true if the client has sent what nobody read: the library refused it before it was a request. */
static bool has_unread(int fd)
{
    int unread_bytes = 0;
    return ioctl(fd, FIONREAD, &unread_bytes) == 0 && unread_bytes > 0;
}

static void connection_end(struct http_server *server, struct MHD_Connection *mhd,
                           void **socket_context)
{
    struct http_connection *connection =
        CAST_CHECKED(struct http_connection, *socket_context, HTTP_CONNECTION_MAGIC);
    /* A few failures inside the library close a connection without ending its request. */
    if (connection->exchange != NULL)
        http_exchange_close(connection->exchange);
    http_connection_set_phase(connection, HTTP_PHASE_CLOSED);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!server->stopping && info != NULL && (connection->linger || has_unread(info->connect_fd)))
        http_linger_start(server, info->connect_fd);
    *socket_context = NULL;
    http_tls_end(connection);
    connection->magic = 0;
    free(connection);
    /* At its limit of connections or descriptors the library does not listen; it looks again when it runs. */
    http_server_run_soon(server);
}

static void on_connection(void *server_pointer, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        connection_start(server_pointer, mhd, socket_context);
    else if (*socket_context != NULL)
        connection_end(server_pointer, mhd, socket_context);
}

/*
 * The request line is there, its query not yet parsed; the result becomes the request's pointer, which the first
 * access callback sets. A query whose arguments the library cannot keep would leave it stuck in the head (0.9.75).
 */
static void *on_request_line(void *server_pointer, const char *uri, struct MHD_Connection *mhd)
{
    const struct http_server *server = server_pointer;
    struct http_connection *connection = connection_of(mhd);
    http_connection_set_phase(connection, HTTP_PHASE_HEAD);
    size_t arguments = 0;
    const char *place = uri;
    for (; *place != '\0'; place++)
        arguments += *place == '?' || *place == '&';
    size_t uri_bytes = (size_t)(place - uri);
    if (arguments > HTTP_ARGUMENTS_MAX || uri_bytes > server->settings.header_max_bytes)
        http_connection_refuse(connection, MHD_HTTP_URI_TOO_LONG,
                               "the request line is too long or has too many arguments");
    return NULL;
}

static void on_completed(void *server_pointer, struct MHD_Connection *mhd, void **exchange_pointer,
                         enum MHD_RequestTerminationCode why)
{
    (void)server_pointer;
    (void)why;
    struct http_connection *connection = connection_of(mhd);
    /* Not answered by us: the library itself refused it, or the client has gone. Let it read why. */
    if (connection->exchange == NULL || !connection->exchange->answered)
        connection->linger = true;
    if (connection->exchange != NULL)
        http_exchange_close(connection->exchange);
    *exchange_pointer = NULL;
    http_connection_set_phase(connection, HTTP_PHASE_WAITING);
}

/* ---- making and freeing ---- */

/* Returns the settings with the defaults for zeros. */
static struct http_server_settings fill_settings(const struct http_server_settings *given)
{
    struct http_server_settings settings = *given;
    if (settings.address == NULL)
        settings.address = HTTP_DEFAULT_ADDRESS;
    if (settings.bodies_max_bytes == 0)
        settings.bodies_max_bytes = HTTP_DEFAULT_BODIES * settings.body_max_bytes;
    if (settings.header_max_bytes == 0)
        settings.header_max_bytes = HTTP_DEFAULT_HEADER_MAX_BYTES;
    if (settings.connections_max == 0)
        settings.connections_max = HTTP_DEFAULT_CONNECTIONS_MAX;
    if (settings.idle_timeout_ms <= 0)
        settings.idle_timeout_ms = HTTP_DEFAULT_IDLE_TIMEOUT_MS;
    if (settings.request_timeout_ms <= 0)
        settings.request_timeout_ms = HTTP_DEFAULT_REQUEST_TIMEOUT_MS;
    return settings;
}

/* Starts the library on the listening socket. Returns false if it cannot. */
static bool start_library(struct http_server *server, int listen_fd)
{
    const struct http_server_settings *settings = &server->settings;
    unsigned idle_s = (unsigned)((settings->idle_timeout_ms + 999) / 1000);
    const struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, HTTP_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)http_tls_no_certificate},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem strict_options[] = {
#if HTTP_LIBRARY_JUDGES_LINES
        {MHD_OPTION_CLIENT_DISCIPLINE_LVL, HTTP_DISCIPLINE, NULL},
#endif
        {MHD_OPTION_END, 0, NULL},
    };
    bool has_tls = settings->tls != NULL;
    server->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (has_tls ? MHD_USE_TLS : 0U), 0, NULL, NULL,
        http_exchange_on_access, server, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listen_fd,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, server, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, server,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, settings->header_max_bytes + HTTP_POOL_EXTRA_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, settings->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        settings->connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
        MHD_OPTION_ARRAY, strict_options, MHD_OPTION_ARRAY, has_tls ? tls_options : &tls_options[2],
        MHD_OPTION_END);
    return server->mhd != NULL;
}

int http_server_new(struct loop *loop, const struct http_server_settings *settings,
                    const struct http_handler *handler, void *argument,
                    struct http_server **ret_server, struct error *error)
{
    assert(handler->on_head != NULL && handler->on_end != NULL);
    int listen_fd = -1;
    uint16_t port = 0;
    const struct http_server_settings filled = fill_settings(settings);
    int code = http_listen(filled.address, filled.port, &listen_fd, &port, error);
    if (code != 0)
        return code;
    struct http_server *server = MEM_NEW(struct http_server);
    server->loop = loop;
    server->settings = filled;
    server->settings.address = NULL; /* the caller's text is not kept */
    server->handler = *handler;
    server->argument = argument;
    server->port = port;
    server->waiting.limit_ms = filled.idle_timeout_ms + filled.request_timeout_ms;
    server->requesting.limit_ms = filled.request_timeout_ms;
    if (!start_library(server, listen_fd)) {
        (void)close(listen_fd);
        free(server);
        return error_set(error, ERR_UNAVAILABLE,
                         "the HTTP library does not start on port %u: is the limit of open files "
                         "reached?",
                         (unsigned)port);
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    server->run_timer = loop_timer_new(loop, server_on_run_timer, server);
    server->deadline_timer = loop_timer_new(loop, server_on_deadline, server);
    server->watch = loop_fd_new(loop, info->epoll_fd, LOOP_READ, server_on_readable, server);
    server_run(server); /* the library begins to listen in its first run */
    *ret_server = server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

size_t http_server_exchange_count(const struct http_server *server)
{
    return server->exchange_count;
}

void http_server_quiesce(struct http_server *server)
{
    if (server->quiesced)
        return;
    server->quiesced = true;
    MHD_socket listen_fd = MHD_quiesce_daemon(server->mhd);
    if (listen_fd != MHD_INVALID_SOCKET)
        (void)close(listen_fd);
}

/* Resumes all that waits for an answer: the library must not be stopped while a connection is suspended. */
static void resume_all(struct http_server *server)
{
    struct http_connection *connection = server->answering.first;
    for (; connection != NULL; connection = connection->next) {
        connection->cut = true;
        if (connection->exchange != NULL && connection->exchange->suspended) {
            connection->exchange->suspended = false;
            MHD_resume_connection(connection->mhd);
        }
    }
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    assert(!server->running); /* not from a callback of its own */
    server->stopping = true;
    loop_cancel_deferred(server->loop, server);
    loop_fd_free(server->watch);
    resume_all(server);
    MHD_stop_daemon(server->mhd);
    http_linger_stop_all(server);
    assert(server->exchange_count == 0 && server->bodies_bytes == 0);
    loop_timer_free(server->run_timer);
    loop_timer_free(server->deadline_timer);
    free(server);
}
