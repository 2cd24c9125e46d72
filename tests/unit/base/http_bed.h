/*
 * A server under test: its handler, and waiting for what it should see. Shared by the tests of the HTTP server.
 *
 * Design: the handler does what the path says: /now answers in on_head, /body at the first piece of the body, /end
 * when the body is complete, /late leaves the exchange to the test. Answers carry the number of body bytes seen. A
 * bed that is closed has seen as many closes as heads, or the test fails. A test file runs its tests twice: on plain
 * TCP, and between bed_use_tls and bed_use_plain with TLS, server and peers alike.
 */
#ifndef NODAG_TESTS_UNIT_BASE_HTTP_BED_H
#define NODAG_TESTS_UNIT_BASE_HTTP_BED_H

#include <stdio.h>

#include "base/http_server.h"
#include "base/http_tls.h"
#include "tests/unit/base/http_peer.h"
#include "tests/unit/base/http_peer_tls.h"

/* Largest body that the servers below accept. */
#define BODY_MAX 1000

/* Most exchanges that wait for a late answer. */
#define LATE_MAX 64

/* The certificate of the beds with TLS; NULL: plain TCP. */
static struct http_tls *bed_tls __attribute__((unused));

/* Whose clock it is judged by. */
static struct loop *bed_loop __attribute__((unused));

/* The server under test and what its handler saw. */
struct bed {
    struct bench bench;
    struct http_server *server;
    unsigned heads;
    unsigned ends;
    unsigned closes;
    unsigned refusals;
    int last_refusal;
    struct http_exchange *late[LATE_MAX];
    size_t late_count;
};

/* One request as the handler keeps it. */
struct seen {
    struct bed *bed;
    size_t body_bytes;
};

static inline void answer_seen(struct seen *seen, struct http_exchange *exchange, int status)
{
    http_answer_text(exchange, status, "%s %s saw %zu bytes\n", http_exchange_method(exchange),
                     http_exchange_path(exchange), seen->body_bytes);
}

static inline void *on_head(void *argument, struct http_exchange *exchange)
{
    struct seen *seen = MEM_NEW(struct seen);
    seen->bed = argument;
    seen->bed->heads++;
    if (strcmp(http_exchange_path(exchange), "/now") == 0)
        answer_seen(seen, exchange, 401);
    return seen;
}

static inline void on_body(void *request, struct http_exchange *exchange, const char *bytes,
                           size_t byte_count)
{
    struct seen *seen = request;
    assert_non_null(bytes);
    assert_false(http_exchange_is_answered(exchange));
    seen->body_bytes += byte_count;
    if (strcmp(http_exchange_path(exchange), "/body") == 0)
        answer_seen(seen, exchange, 403);
    bench_check(&seen->bed->bench);
}

static inline void on_end(void *request, struct http_exchange *exchange)
{
    struct seen *seen = request;
    struct bed *bed = seen->bed;
    assert_false(http_exchange_is_answered(exchange));
    bed->ends++;
    if (strcmp(http_exchange_path(exchange), "/late") == 0) {
        assert_true(bed->late_count < LATE_MAX);
        bed->late[bed->late_count++] = exchange;
    } else {
        answer_seen(seen, exchange, 200);
    }
    bench_check(&bed->bench);
}

static inline void on_close(void *request, struct http_exchange *exchange)
{
    struct seen *seen = request;
    struct bed *bed = seen->bed;
    bed->closes++;
    for (size_t i = 0; i < bed->late_count; i++)
        if (bed->late[i] == exchange)
            bed->late[i] = NULL;
    bench_check(&bed->bench);
    free(seen);
}

static inline void on_refuse(void *argument, int status)
{
    struct bed *bed = argument;
    bed->refusals++;
    bed->last_refusal = status;
}

static const struct http_handler bed_handler = {on_head, on_body, on_end, on_close, on_refuse};

static inline struct bed *bed_open(const struct http_server_settings *settings)
{
    struct bed *bed = MEM_NEW(struct bed);
    bench_open(&bed->bench);
    struct http_server_settings filled = *settings;
    filled.tls = bed_tls;
    struct error error;
    int code = http_server_new(bed->bench.loop, &filled, &bed_handler, bed, &bed->server, &error);
    assert_int_equal(code, 0);
    assert_true(http_server_port(bed->server) != 0);
    return bed;
}

static inline void bed_close(struct bed *bed)
{
    http_server_free(bed->server);
    assert_int_equal(bed->heads, bed->closes);
    bench_close(&bed->bench);
    free(bed);
}

static inline struct peer *bed_peer(struct bed *bed)
{
    struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    if (bed_tls != NULL)
        peer_start_tls(peer, NULL);
    return peer;
}

/* A time limit that passes while a test waits for it; with TLS it must hold a handshake. */
static inline int64_t short_ms(void)
{
    return bed_tls != NULL ? 500 : 50;
}

/* Group set-up and tear-down: what follows has TLS. */
static inline int bed_use_tls(void **state)
{
    (void)state;
    bed_loop = loop_new_real();
    struct certificate_files files;
    certificate_folder_make(&files);
    certificate_write(&files, &(struct certificate_spec){.serial = 1});
    struct error error;
    int code = http_tls_new(bed_loop, files.certificate, files.key, &bed_tls, &error);
    certificate_folder_remove(&files);
    return code;
}

static inline int bed_use_plain(void **state)
{
    (void)state;
    http_tls_free(bed_tls);
    bed_tls = NULL;
    loop_free(bed_loop);
    bed_loop = NULL;
    return 0;
}

/* ---- conditions ---- */

static inline bool is_closed(void *argument)
{
    return ((struct peer *)argument)->closed;
}

/* Has as many final answers as the test asked for, and the last one whole. */
static size_t wanted_answers __attribute__((unused));
static inline bool has_answers(void *argument)
{
    struct peer *peer = argument;
    const char *text = peer_text(peer);
    /* Our answers end with a line end; the library's own do not, but close. */
    bool is_whole =
        peer->closed || (peer->got.size_bytes > 0 && text[peer->got.size_bytes - 1] == '\n');
    return peer_answer_count(peer) >= wanted_answers && is_whole;
}

static inline void wait_answers(struct peer *peer, size_t count)
{
    wanted_answers = count;
    bench_wait(peer->bench, has_answers, peer);
    assert_int_equal(peer_answer_count(peer), count);
}

static inline void wait_closed(struct peer *peer)
{
    bench_wait(peer->bench, is_closed, peer);
    assert_int_equal(peer->failure, 0);
}

static size_t wanted_late __attribute__((unused));
static inline bool has_late(void *argument)
{
    return ((struct bed *)argument)->late_count >= wanted_late;
}

static inline bool all_closed(void *argument)
{
    struct bed *bed = argument;
    return bed->heads > 0 && bed->heads == bed->closes &&
           http_server_exchange_count(bed->server) == 0;
}

static inline bool sent_all(void *argument)
{
    return ((struct peer *)argument)->writable == NULL;
}

#define HOST "Host: x\r\n"
#define LENGTH(n) "Content-Length: " #n "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CONTINUE "Expect: 100-continue\r\n"

#endif
