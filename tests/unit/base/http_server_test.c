/*
 * Tests of base/http_server.c and base/http_linger.c, by raw clients on the same loop, on plain TCP and with TLS: slow
 * and cut requests, late answers, many connections, bodies' memory, closing, listening.
 * tests/unit/base/http_exchange_test.c has the table of conversations.
 */
#include "base/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/http_server_internal.h"
#include "tests/unit/base/http_bed.h"

/* ---- slow clients ---- */

static void test_slow_requests_get_408(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        unsigned heads;
    } cases[] = {
        {"POST /end HTTP/1.1\r\n" HOST, 0},
        {"POST /end HTTP/1.1\r\n" HOST LENGTH(10) "\r\n", 1},
        {"POST /end HTTP/1.1\r\n" HOST LENGTH(10) "\r\nabc", 1},
        {"POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n3\r\nabc\r\n", 1},
        {"POST /now HTTP/1.1\r\n" HOST LENGTH(10) "\r\nabc", 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct http_server_settings settings = {.body_max_bytes = BODY_MAX,
                                                      .request_timeout_ms = short_ms()};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, cases[i].sent);
        wait_closed(peer);
        assert_int_equal(peer_status(peer), 408);
        assert_int_equal(bed->heads, cases[i].heads);
        assert_int_equal(bed->ends, 0);
        assert_int_equal(bed->last_refusal, 408);
        if (bed->heads > 0)
            bench_wait(&bed->bench, all_closed, bed);
        peer_free(peer);
        bed_close(bed);
    }
}

/* A client that never stops sending a little, so that no idle timeout ever ends it. */
static void test_trickle_is_ended(void **state)
{
    (void)state;
    static const char *const starts[] = {"", "GET /end HTTP/1.1\r\n"};
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        const struct http_server_settings settings = {.idle_timeout_ms = short_ms(),
                                                      .request_timeout_ms = short_ms()};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, starts[i]);
        while (!peer->closed) {
            bench_wait(&bed->bench, sent_all, peer);
            peer_send_text(peer, "x");
        }
        bench_wait(&bed->bench, is_closed, peer);
        assert_int_equal(peer_status(peer), 408);
        peer_free(peer);
        bed_close(bed);
    }
}

/*
 * The library cannot parse on with its buffer full of a chunk extension, and asks to run again at once, for ever.
 */
static void test_stuck_request_takes_no_processor(void **state)
{
    (void)state;
    enum { EXTENSION_BYTES = 100000, TIMEOUT_MS = 500, RUNS_MAX = 2000 };
    const struct http_server_settings settings = {
        .body_max_bytes = BODY_MAX, .header_max_bytes = 4096, .request_timeout_ms = TIMEOUT_MS};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n1;");
    bench_wait(&bed->bench, sent_all, peer);
    char *extension = mem_alloc(EXTENSION_BYTES);
    memset(extension, 'e', EXTENSION_BYTES);
    peer_send(peer, extension, EXTENSION_BYTES);
    bench_wait(&bed->bench, is_closed, peer);
    assert_true(bed->server->run_count < RUNS_MAX);
    assert_in_range(peer_status(peer), 400, 499);
    free(extension);
    peer_free(peer);
    bed_close(bed);
}

static void test_idle_is_closed_without_answer(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.idle_timeout_ms = 1};
    struct bed *bed = bed_open(&settings);
    struct peer *fresh = bed_peer(bed);
    struct peer *kept = bed_peer(bed);
    peer_send_text(kept, "GET /end HTTP/1.1\r\n" HOST "\r\n");
    wait_closed(kept);
    wait_closed(fresh);
    assert_int_equal(peer_answer_count(kept), 1);
    assert_string_equal(peer_text(fresh), "");
    peer_free(fresh);
    peer_free(kept);
    bed_close(bed);
}

static void test_cut_body_is_closed(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "POST /end HTTP/1.1\r\n" HOST LENGTH(10) "\r\nabc");
    bench_wait(&bed->bench, sent_all, peer);
    peer_free(peer);
    bench_wait(&bed->bench, all_closed, bed);
    assert_int_equal(bed->ends, 0);
    bed_close(bed);
}

/* ---- late answers ---- */

static void wait_late(struct bed *bed, size_t count)
{
    wanted_late = count;
    bench_wait(&bed->bench, has_late, bed);
}

static void test_late_answers(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX,
                                                  .request_timeout_ms = short_ms()};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer,
                   "POST /late HTTP/1.1\r\n" HOST LENGTH(3) "\r\nabc"
                                                            "GET /late HTTP/1.1\r\n" HOST "\r\n");
    for (size_t i = 0; i < 2; i++) {
        wait_late(bed, i + 1);
        assert_int_equal(peer_answer_count(peer), i);
        assert_int_equal(bed->heads, i + 1); /* the second waits for the first */
        char client[64];
        http_exchange_client(bed->late[i], client, sizeof(client));
        assert_string_equal(client, "127.0.0.1");
        http_answer_text(bed->late[i], 202, "late %zu\n", i);
        wait_answers(peer, i + 1);
    }
    assert_non_null(strstr(peer_text(peer), "late 0\n"));
    assert_non_null(strstr(peer_text(peer), "late 1\n"));
    peer_free(peer);
    bed_close(bed);
}

static void test_late_answer_after_client_left(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "GET /late HTTP/1.1\r\n" HOST "\r\n");
    wait_late(bed, 1);
    peer_free(peer);
    http_answer_text(bed->late[0], 202, "nobody reads this\n");
    bench_wait(&bed->bench, all_closed, bed);
    bed_close(bed);
}

/* An answer from the loop while the body is still coming: a door that shuts down. */
static struct http_exchange *slow_exchange;
static void *on_slow_head(void *argument, struct http_exchange *exchange)
{
    slow_exchange = exchange;
    return on_head(argument, exchange);
}

static bool has_slow(void *argument)
{
    (void)argument;
    return slow_exchange != NULL;
}

static void test_answer_from_loop_during_body(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n",
        "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n3\r\nabc\r\n",
    };
    struct http_handler slow_handler = bed_handler;
    slow_handler.on_head = on_slow_head;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct bed *bed = MEM_NEW(struct bed);
        bench_open(&bed->bench);
        const struct http_server_settings settings = {.body_max_bytes = BODY_MAX, .tls = bed_tls};
        assert_int_equal(
            http_server_new(bed->bench.loop, &settings, &slow_handler, bed, &bed->server, NULL), 0);
        slow_exchange = NULL;
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, requests[i]);
        bench_wait(&bed->bench, has_slow, NULL);
        http_answer_text(slow_exchange, 503, "going away\n");
        wait_closed(peer);
        assert_int_equal(peer_status(peer), 503);
        assert_non_null(strstr(peer_text(peer), "Retry-After: "));
        bench_wait(&bed->bench, all_closed, bed);
        peer_free(peer);
        bed_close(bed);
    }
}

/* ---- many ---- */

static void test_many_connections(void **state)
{
    (void)state;
    enum { PEERS = 100, CAP = 7 };
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX,
                                                  .connections_max = CAP};
    struct bed *bed = bed_open(&settings);
    struct peer *peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = bed_peer(bed);
        peer_send_text(peers[i],
                       "POST /end HTTP/1.1\r\n" HOST "Connection: close\r\n" LENGTH(3) "\r\nabc");
    }
    for (size_t i = 0; i < PEERS; i++) {
        wait_closed(peers[i]);
        assert_int_equal(peer_status(peers[i]), 200);
        peer_free(peers[i]);
    }
    assert_int_equal(bed->ends, PEERS);
    bed_close(bed);
}

static void test_connections_per_address(void **state)
{
    (void)state;
    enum { PEERS = 3 };
    const struct http_server_settings settings = {.connections_per_address_max = PEERS - 1};
    struct bed *bed = bed_open(&settings);
    struct peer *peers[PEERS];
    for (size_t i = 0; i < PEERS; i++)
        peers[i] = bed_peer(bed);
    bench_wait(&bed->bench, is_closed, peers[PEERS - 1]);
    for (size_t i = 0; i + 1 < PEERS; i++) {
        peer_send_text(peers[i], "GET /end HTTP/1.1\r\n" HOST "\r\n");
        wait_answers(peers[i], 1);
    }
    for (size_t i = 0; i < PEERS; i++)
        peer_free(peers[i]);
    bed_close(bed);
}

static void test_sum_of_bodies(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX,
                                                  .bodies_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *holder = bed_peer(bed);
    peer_send_text(holder, "POST /late HTTP/1.1\r\n" HOST LENGTH(600) "\r\n");
    bench_wait(&bed->bench, sent_all, holder);
    char body[600];
    memset(body, 'b', sizeof(body));
    peer_send(holder, body, sizeof(body));
    wait_late(bed, 1);

    struct peer *declared = bed_peer(bed);
    peer_send_text(declared, "POST /end HTTP/1.1\r\n" HOST LENGTH(401) "\r\n");
    wait_closed(declared);
    assert_int_equal(peer_status(declared), 503);
    assert_non_null(strstr(peer_text(declared), "Retry-After: "));

    struct peer *growing = bed_peer(bed);
    peer_send_text(growing, "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n191\r\n");
    bench_wait(&bed->bench, sent_all, growing);
    peer_send(growing, body, 401);
    wait_closed(growing);
    assert_int_equal(peer_status(growing), 503);

    struct peer *fitting = bed_peer(bed);
    peer_send_text(fitting, "POST /end HTTP/1.1\r\n" HOST LENGTH(3) "\r\nabc");
    wait_answers(fitting, 1);
    assert_int_equal(peer_status(fitting), 200);
    http_answer_text(bed->late[0], 200, "done\n");
    wait_answers(holder, 1);
    peer_free(holder);
    peer_free(declared);
    peer_free(growing);
    peer_free(fitting);
    bed_close(bed);
}

/* A client that sends its whole body before it reads must still find the answer, not a reset connection. */
static void test_refused_sender_can_read_the_answer(void **state)
{
    (void)state;
    enum { BODY_BYTES = 2000000 };
    static const char *const heads[] = {
        "POST /end HTTP/1.1\r\n" HOST LENGTH(2000000) "\r\n",
        "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n1e8480\r\n",
        "POST /now HTTP/1.1\r\n" HOST CHUNKED "\r\n1e8480\r\n",
    };
    static const int statuses[] = {413, 413, 401};
    char *body = mem_alloc(BODY_BYTES);
    memset(body, 'b', BODY_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, heads[i]);
        bench_wait(&bed->bench, sent_all, peer);
        loop_fd_free(peer->readable); /* reads nothing until all is sent */
        peer->readable = NULL;
        peer_send(peer, body, BODY_BYTES);
        bench_wait(&bed->bench, sent_all, peer);
        assert_int_equal(peer->sent_bytes, BODY_BYTES);
        peer->readable = loop_fd_new(bed->bench.loop, peer->fd, LOOP_READ, peer_on_readable, peer);
        wait_closed(peer);
        assert_int_equal(peer_status(peer), statuses[i]);
        peer_free(peer);
        bed_close(bed);
    }
    free(body);
}

/* The server's end of the stream, below TLS. */
static bool stream_ended(void *argument)
{
    const struct peer *peer = argument;
    char byte = 0;
    return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A client that waits for the end of the stream gets it with the answer, not when the drain is over. */
static void test_drained_connection_is_ended(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "POST /end HTTP/1.1\r\n" HOST LENGTH(1001) "\r\n");
    wait_closed(peer);
    assert_int_equal(peer_status(peer), 413);
    bench_wait(&bed->bench, stream_ended, peer);
    assert_int_equal(bed->server->linger_count, 1); /* still drained: the end came before */
    peer_free(peer);
    bed_close(bed);
}

/* A client that sends all and closes its side at once, without waiting for the answer, gets it all the same. */
static void test_complete_body_then_end(void **state)
{
    (void)state;
    enum { BODY_BYTES = 114600 }; /* the last record of 16 KiB is nearly full */
    const struct http_server_settings settings = {.body_max_bytes = BODY_BYTES,
                                                  .header_max_bytes = 1024};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(2 * BODY_BYTES);
    assert_int_equal(buffer_append_text(&text, "POST /end HTTP/1.1\r\n" HOST LENGTH(114600) "\r\n"),
                     0);
    for (size_t i = 0; i < BODY_BYTES; i++)
        assert_int_equal(buffer_append(&text, "b", 1), 0);
    if (bed_tls != NULL)
        bench_wait(&bed->bench, is_shaken, peer);
    ssize_t sent_bytes = 0; /* all before the server sees any of it */
    for (size_t at = 0; at < text.size_bytes; at += (size_t)sent_bytes) {
        sent_bytes = peer->transmit(peer, text.data + at, text.size_bytes - at);
        assert_true(sent_bytes > 0);
    }
    assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
    wait_answers(peer, 1);
    assert_int_equal(peer_status(peer), 200);
    assert_int_equal(bed->ends, 1);
    peer_free(peer);
    bed_close(bed);
}

/* ---- starting and ending ---- */

static void test_free_closes_all(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    static const char *const requests[] = {
        "GET /late HTTP/1.1\r\n" HOST "\r\n",
        "POST /end HTTP/1.1\r\n" HOST LENGTH(10) "\r\nabc",
        "GET /end HTTP/1.1\r\n",
        "",
    };
    struct peer *peers[ARRAY_COUNT(requests)];
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        peers[i] = bed_peer(bed);
        peer_send_text(peers[i], requests[i]);
        bench_wait(&bed->bench, sent_all, peers[i]);
    }
    wait_late(bed, 1);
    http_server_free(bed->server);
    bed->server = NULL;
    assert_int_equal(bed->heads, bed->closes);
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
        peer_free(peers[i]);
    bed_close(bed);
}

static void test_quiesce(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "GET /late HTTP/1.1\r\n" HOST "\r\n");
    wait_late(bed, 1);
    http_server_quiesce(bed->server);
    http_server_quiesce(bed->server);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in name = {.sin_family = AF_INET,
                                     .sin_port = htons(http_server_port(bed->server)),
                                     .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&name, sizeof(name)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    http_answer_text(bed->late[0], 200, "last\n");
    wait_closed(peer);
    assert_non_null(strstr(peer_text(peer), "Connection: close"));
    assert_non_null(strstr(peer_text(peer), "last\n"));
    peer_free(peer);
    bed_close(bed);
}

static void test_cannot_listen(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    const struct {
        struct http_server_settings settings;
        int code;
        const char *contains;
    } cases[] = {
        {{.port = http_server_port(bed->server)}, ERR_UNAVAILABLE, "choose another"},
        {{.address = "localhost"}, ERR_INPUT, "numeric address"},
        {{.address = "192.0.2.1"}, ERR_INPUT, "no interface"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_server *server = NULL;
        struct error error;
        int code = http_server_new(bed->bench.loop, &cases[i].settings, &bed_handler, bed, &server,
                                   &error);
        assert_int_equal(code, cases[i].code);
        assert_null(server);
        assert_non_null(strstr(error.text, cases[i].contains));
    }
    bed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_requests_get_408),
        cmocka_unit_test(test_trickle_is_ended),
        cmocka_unit_test(test_stuck_request_takes_no_processor),
        cmocka_unit_test(test_idle_is_closed_without_answer),
        cmocka_unit_test(test_cut_body_is_closed),
        cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_late_answer_after_client_left),
        cmocka_unit_test(test_answer_from_loop_during_body),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_connections_per_address),
        cmocka_unit_test(test_sum_of_bodies),
        cmocka_unit_test(test_refused_sender_can_read_the_answer),
        cmocka_unit_test(test_drained_connection_is_ended),
        cmocka_unit_test(test_complete_body_then_end),
        cmocka_unit_test(test_free_closes_all),
        cmocka_unit_test(test_quiesce),
        cmocka_unit_test(test_cannot_listen),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("tls", tests, bed_use_tls, bed_use_plain);
    return failed;
}
