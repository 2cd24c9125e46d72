/*
 * Helpers of the HTTP tests: a raw TCP client on the loop, and waiting for a condition.
 *
 * Design: a peer writes the bytes that it was given as fast as the socket takes them and keeps what it reads;
 * http_peer_tls.h puts TLS between. After every event the fixture's condition is looked at; bench_wait() returns when it holds, and fails the test if
 * that takes longer than BENCH_GUARD_MS. Nothing sleeps. Included by one test file at a time, so all is static.
 */
#ifndef NODAG_TESTS_UNIT_BASE_HTTP_PEER_H
#define NODAG_TESTS_UNIT_BASE_HTTP_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/loop.h"
#include "base/memory.h"

/* Longest wait for a condition before the test has failed. */
#define BENCH_GUARD_MS 20000

/* How often a condition is looked at that no event of ours announces, such as the server's own close. */
#define BENCH_LOOK_MS 5

/* Most bytes that a peer reads in all. */
#define PEER_READ_MAX_BYTES ((size_t)4 << 20)

/* A loop, and what is being waited for. */
struct bench {
    struct loop *loop;
    struct loop_timer *guard;
    struct loop_timer *look;
    bool (*condition)(void *argument); /* NULL: nobody waits */
    void *argument;
    bool guard_fired;
};

/* A raw client. */
struct peer {
    struct bench *bench;
    int fd;
    /* As recv and send without flags; TLS replaces them. */
    ssize_t (*receive)(struct peer *peer, void *bytes, size_t bytes_max);
    ssize_t (*transmit)(struct peer *peer, const void *bytes, size_t byte_count);
    void (*release)(struct peer *peer); /* frees `layer`; NULL: there is none */
    void *layer;                        /* of http_peer_tls.h */
    struct loop_fd *readable;
    struct loop_fd *writable;
    char *unsent; /* owned */
    size_t unsent_bytes;
    size_t sent_bytes;
    struct buffer got;
    bool closed; /* the server closed, or the connection failed */
    int failure; /* errno of a failure, 0 for an orderly end */
};

static inline void bench_check(struct bench *bench)
{
    if (bench->condition != NULL && bench->condition(bench->argument))
        loop_stop(bench->loop);
}

static inline void bench_on_guard(void *argument)
{
    struct bench *bench = argument;
    bench->guard_fired = true;
    loop_stop(bench->loop);
}

static inline void bench_on_look(void *argument)
{
    struct bench *bench = argument;
    bench_check(bench);
    loop_timer_set(bench->look, BENCH_LOOK_MS);
}

static inline void bench_open(struct bench *bench)
{
    *bench = (struct bench){.loop = loop_new_real()};
    bench->guard = loop_timer_new(bench->loop, bench_on_guard, bench);
    bench->look = loop_timer_new(bench->loop, bench_on_look, bench);
}

static inline void bench_close(struct bench *bench)
{
    loop_timer_free(bench->guard);
    loop_timer_free(bench->look);
    loop_free(bench->loop);
}

/* Runs the loop until the condition holds. */
static inline void bench_wait(struct bench *bench, bool (*condition)(void *), void *argument)
{
    bench->condition = condition;
    bench->argument = argument;
    loop_timer_set(bench->guard, BENCH_GUARD_MS);
    loop_timer_set(bench->look, 0);
    while (!condition(argument) && !bench->guard_fired)
        loop_run(bench->loop);
    loop_timer_clear(bench->guard);
    loop_timer_clear(bench->look);
    bench->condition = NULL;
    assert_false(bench->guard_fired);
}

static inline void peer_end(struct peer *peer, int failure)
{
    peer->closed = true;
    peer->failure = failure;
    loop_fd_free(peer->readable);
    loop_fd_free(peer->writable);
    peer->readable = NULL;
    peer->writable = NULL;
}

static inline ssize_t peer_receive(struct peer *peer, void *bytes, size_t bytes_max)
{
    return recv(peer->fd, bytes, bytes_max, MSG_DONTWAIT);
}

static inline ssize_t peer_transmit(struct peer *peer, const void *bytes, size_t byte_count)
{
    return send(peer->fd, bytes, byte_count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline void peer_on_readable(int fd, unsigned what, void *argument)
{
    (void)fd;
    (void)what;
    struct peer *peer = argument;
    char bytes[16384];
    ssize_t got_bytes = 0;
    while ((got_bytes = peer->receive(peer, bytes, sizeof(bytes))) > 0)
        assert_int_equal(buffer_append(&peer->got, bytes, (size_t)got_bytes), 0);
    if (got_bytes == 0)
        peer_end(peer, 0);
    else if (errno != EAGAIN)
        peer_end(peer, errno);
    bench_check(peer->bench);
}

static inline void peer_on_writable(int fd, unsigned what, void *argument)
{
    (void)fd;
    (void)what;
    struct peer *peer = argument;
    ssize_t sent = peer->transmit(peer, peer->unsent + peer->sent_bytes,
                                  peer->unsent_bytes - peer->sent_bytes);
    if (sent > 0)
        peer->sent_bytes += (size_t)sent;
    if ((sent < 0 && errno != EAGAIN) || peer->sent_bytes == peer->unsent_bytes) {
        loop_fd_free(peer->writable);
        peer->writable = NULL;
    }
    bench_check(peer->bench);
}

/* Connects to a port of 127.0.0.1. */
static inline struct peer *peer_new(struct bench *bench, uint16_t port)
{
    struct peer *peer = MEM_NEW(struct peer);
    peer->bench = bench;
    peer->receive = peer_receive;
    peer->transmit = peer_transmit;
    peer->got = BUFFER_INIT(PEER_READ_MAX_BYTES);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    const struct sockaddr_in name = {.sin_family = AF_INET,
                                     .sin_port = htons(port),
                                     .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int failed = connect(peer->fd, (const struct sockaddr *)(const void *)&name, sizeof(name));
    assert_int_equal(failed, 0);
    peer->readable = loop_fd_new(bench->loop, peer->fd, LOOP_READ, peer_on_readable, peer);
    return peer;
}

/* Sends more bytes; what was given before must have been sent. */
static inline void peer_send(struct peer *peer, const char *bytes, size_t byte_count)
{
    assert_null(peer->writable);
    free(peer->unsent);
    peer->unsent = mem_copy_bytes(bytes, byte_count);
    peer->unsent_bytes = byte_count;
    peer->sent_bytes = 0;
    peer->writable = loop_fd_new(peer->bench->loop, peer->fd, LOOP_WRITE, peer_on_writable, peer);
}

static inline void peer_send_text(struct peer *peer, const char *text)
{
    peer_send(peer, text, strlen(text));
}

static inline void peer_free(struct peer *peer)
{
    if (peer == NULL)
        return;
    loop_fd_free(peer->readable);
    loop_fd_free(peer->writable);
    if (peer->release != NULL)
        peer->release(peer);
    (void)close(peer->fd);
    free(peer->unsent);
    buffer_release(&peer->got);
    free(peer);
}

/* Everything read so far, as text. */
static inline const char *peer_text(const struct peer *peer)
{
    return peer->got.data != NULL ? peer->got.data : "";
}

/* How many final answers (not 1xx) were read whole enough to see their status lines. */
static inline size_t peer_answer_count(const struct peer *peer)
{
    size_t count = 0;
    for (const char *line = peer_text(peer); (line = strstr(line, "HTTP/1.1 ")) != NULL; line++)
        count += line[9] != '1';
    return count;
}

/* Status of the last final answer, 0 for none. */
static inline int peer_status(const struct peer *peer)
{
    int status = 0;
    for (const char *line = peer_text(peer); (line = strstr(line, "HTTP/1.1 ")) != NULL; line++)
        status = line[9] != '1' ? (int)strtol(line + 9, NULL, 10) : status;
    return status;
}

#endif
