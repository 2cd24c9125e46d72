/*
 * Lingering close: see http_linger_start in http_server_internal.h.
 *
 * The library has sent its answer and shut its side down, in TLS by a close_notify alone: the end of the stream is ours
 * to send then, or it would wait for the drain's end. We hold a duplicate of the descriptor. The connection
 * ends when the client closes it, or at a limit of time or size, whichever is first.
 */

#include "base/http_server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

/* Connections drained at once: enough for honest clients with a wrong setting; a flood is reset. */
#define LINGER_MAX 64

/* Longest drain: a client that has its answer needs a round trip or two. */
#define LINGER_TIMEOUT_MS 3000

/* Most bytes dropped: a body of the largest usual size, which many clients send whole before they read. */
#define LINGER_MAX_BYTES ((size_t)64 << 20)

/* Bytes dropped by one read and turn. */
#define LINGER_READ_BYTES 32768

/* One connection being drained. */
struct http_linger {
    struct http_server *server; /* borrowed */
    int fd;                     /* owned */
    size_t left_bytes;          /* that may still be dropped */
    struct loop_fd *watch;      /* owned */
    struct loop_timer *timer;   /* owned */
    struct http_linger *previous;
    struct http_linger *next;
};

static void linger_free(struct http_linger *linger)
{
    struct http_server *server = linger->server;
    if (linger->previous != NULL)
        linger->previous->next = linger->next;
    else
        server->lingers = linger->next;
    if (linger->next != NULL)
        linger->next->previous = linger->previous;
    server->linger_count--;
    loop_fd_free(linger->watch);
    loop_timer_free(linger->timer);
    (void)close(linger->fd);
    free(linger);
}

static void linger_on_timer(void *argument)
{
    linger_free(argument);
}

static void linger_on_readable(int fd, unsigned what, void *argument)
{
    (void)what;
    struct http_linger *linger = argument;
    static char dropped[LINGER_READ_BYTES];
    ssize_t got_bytes = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (got_bytes < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got_bytes <= 0 || (size_t)got_bytes >= linger->left_bytes) {
        linger_free(linger);
        return;
    }
    linger->left_bytes -= (size_t)got_bytes;
}

void http_linger_start(struct http_server *server, int fd)
{
    if (server->linger_count >= LINGER_MAX)
        return;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    (void)shutdown(copy, SHUT_WR);
    struct http_linger *linger = MEM_NEW(struct http_linger);
    linger->server = server;
    linger->fd = copy;
    linger->left_bytes = LINGER_MAX_BYTES;
    linger->watch = loop_fd_new(server->loop, copy, LOOP_READ, linger_on_readable, linger);
    linger->timer = loop_timer_new(server->loop, linger_on_timer, linger);
    loop_timer_set(linger->timer, LINGER_TIMEOUT_MS);
    linger->next = server->lingers;
    if (linger->next != NULL)
        linger->next->previous = linger;
    server->lingers = linger;
    server->linger_count++;
}

void http_linger_stop_all(struct http_server *server)
{
    while (server->lingers != NULL)
        linger_free(server->lingers);
}
