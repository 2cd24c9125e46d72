/*
 * Tests of base/http_server.c and its siblings, by raw clients on the same loop: framing, limits, early and late
 * answers, hostile and slow clients, closing.
 *
 * The handler under test does what the path says: /now answers in on_head, /body at the first piece of the body, /end
 * when the body is complete, /late leaves the exchange to the test. Answers carry the number of body bytes seen.
 */
#include "base/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/base/http_peer.h"

/* Largest body that the servers below accept. */
#define BODY_MAX 1000

/* More than a rest that is dropped to keep the connection, in http_exchange.c. */
#define LONG_REST 100000

/* A time limit that passes while a test waits for it. */
#define SHORT_MS 50

/* Most exchanges that wait for a late answer. */
#define LATE_MAX 64

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

static void answer_seen(struct seen *seen, struct http_exchange *exchange, int status)
{
    http_answer_text(exchange, status, "%s %s saw %zu bytes\n", http_exchange_method(exchange),
                     http_exchange_path(exchange), seen->body_bytes);
}

static void *on_head(void *argument, struct http_exchange *exchange)
{
    struct seen *seen = MEM_NEW(struct seen);
    seen->bed = argument;
    seen->bed->heads++;
    if (strcmp(http_exchange_path(exchange), "/now") == 0)
        answer_seen(seen, exchange, 401);
    return seen;
}

static void on_body(void *request, struct http_exchange *exchange, const char *bytes,
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

static void on_end(void *request, struct http_exchange *exchange)
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

static void on_close(void *request, struct http_exchange *exchange)
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

static void on_refuse(void *argument, int status)
{
    struct bed *bed = argument;
    bed->refusals++;
    bed->last_refusal = status;
}

static const struct http_handler handler = {on_head, on_body, on_end, on_close, on_refuse};

static struct bed *bed_open(const struct http_server_settings *settings)
{
    struct bed *bed = MEM_NEW(struct bed);
    bench_open(&bed->bench);
    struct error error;
    int code = http_server_new(bed->bench.loop, settings, &handler, bed, &bed->server, &error);
    assert_int_equal(code, 0);
    assert_true(http_server_port(bed->server) != 0);
    return bed;
}

static void bed_close(struct bed *bed)
{
    http_server_free(bed->server);
    assert_int_equal(bed->heads, bed->closes);
    bench_close(&bed->bench);
    free(bed);
}

static struct peer *bed_peer(struct bed *bed)
{
    return peer_new(&bed->bench, http_server_port(bed->server));
}

/* ---- conditions ---- */

static bool is_closed(void *argument)
{
    return ((struct peer *)argument)->closed;
}

/* Has as many final answers as the test asked for, and the last one whole. */
static size_t wanted_answers;
static bool has_answers(void *argument)
{
    struct peer *peer = argument;
    return peer_answer_count(peer) >= wanted_answers && strstr(peer_text(peer), "\n") != NULL
           && peer->got.data[peer->got.size_bytes - 1] == '\n';
}

static void wait_answers(struct peer *peer, size_t count)
{
    wanted_answers = count;
    bench_wait(peer->bench, has_answers, peer);
    assert_int_equal(peer_answer_count(peer), count);
}

static void wait_closed(struct peer *peer)
{
    bench_wait(peer->bench, is_closed, peer);
    assert_int_equal(peer->failure, 0);
}

static size_t wanted_late;
static bool has_late(void *argument)
{
    return ((struct bed *)argument)->late_count >= wanted_late;
}

static bool all_closed(void *argument)
{
    struct bed *bed = argument;
    return bed->heads > 0 && bed->heads == bed->closes
           && http_server_exchange_count(bed->server) == 0;
}

/* ---- a table of requests ---- */

/* One conversation: what is sent at once, and what must come of it. */
struct conversation {
    const char *name;
    const char *head;        /* sent first */
    size_t fill_bytes;       /* then as many letters */
    const char *tail;        /* then this */
    int status;              /* of the last answer; 0: closed without one */
    size_t answers;          /* how many */
    bool closes;             /* the server closes */
    unsigned heads;          /* requests that the handler saw */
    const char *contains;    /* text somewhere in what was read, or NULL */
};

#define HOST "Host: x\r\n"
#define LENGTH(n) "Content-Length: " #n "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CONTINUE "Expect: 100-continue\r\n"

static const struct conversation conversations[] = {
    /* what is right */
    {"get", "GET /end?a=1 HTTP/1.1\r\n" HOST "\r\n", 0, "", 200, 1, false, 1, "GET /end saw 0"},
    {"head", "HEAD /end HTTP/1.1\r\n" HOST "\r\n", 0, "", 200, 1, false, 1, NULL},
    {"http 1.0", "GET /end HTTP/1.0\r\n\r\n", 0, "", 200, 1, true, 1, "saw 0"},
    {"body at the limit", "POST /end HTTP/1.1\r\n" HOST LENGTH(1000) "\r\n", 1000, "", 200, 1,
     false, 1, "saw 1000"},
    {"empty body", "POST /end HTTP/1.1\r\n" HOST LENGTH(0) "\r\n", 0, "", 200, 1, false, 1, "saw 0"},
    {"chunked", "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n3;x=y\r\nabc\r\n", 0,
     "2\r\nde\r\n0\r\nTrailer: t\r\n\r\n", 200, 1, false, 1, "saw 5"},
    {"pipelined", "GET /end HTTP/1.1\r\n" HOST "\r\nPOST /end HTTP/1.1\r\n" HOST LENGTH(3) "\r\nabc", 0,
     "GET /end HTTP/1.1\r\n" HOST "\r\n", 200, 3, false, 3, "saw 3"},
    {"expected", "POST /end HTTP/1.1\r\n" HOST CONTINUE LENGTH(3) "\r\n", 3, "", 200, 1, false, 1,
     "HTTP/1.1 100 Continue"},
    /* answers before the end of the body */
    {"early, short rest", "POST /now HTTP/1.1\r\n" HOST LENGTH(300) "\r\n", 300,
     "GET /end HTTP/1.1\r\n" HOST "\r\n", 200, 2, false, 2, "HTTP/1.1 401"},
    {"early, chunked", "POST /now HTTP/1.1\r\n" HOST CHUNKED "\r\n", 0, "3\r\nabc\r\n0\r\n\r\n", 401, 1,
     true, 1, NULL},
    {"early, client waits", "POST /now HTTP/1.1\r\n" HOST CONTINUE LENGTH(300) "\r\n", 0, "", 401, 1,
     true, 1, NULL},
    {"in the body, short rest", "POST /body HTTP/1.1\r\n" HOST LENGTH(300) "\r\n", 300,
     "GET /end HTTP/1.1\r\n" HOST "\r\n", 200, 2, false, 2, "HTTP/1.1 403"},
    {"in the body, chunked", "POST /body HTTP/1.1\r\n" HOST CHUNKED "\r\n", 0, "3\r\nabc\r\n0\r\n\r\n",
     403, 1, true, 1, "Connection: close"},
    /* framing */
    {"both lengths", "POST /end HTTP/1.1\r\n" HOST CHUNKED LENGTH(3) "\r\n0\r\n\r\n", 0, "", 400, 1, true,
     0, "not both"},
    {"both, other order", "POST /end HTTP/1.1\r\n" HOST LENGTH(3) CHUNKED "\r\nabc", 0, "", 400, 1,
     true, 0, "not both"},
    {"same length twice", "POST /end HTTP/1.1\r\n" HOST LENGTH(3) LENGTH(3) "\r\nabc", 0, "", 400, 1,
     true, 0, "send one"},
    {"two lengths", "POST /end HTTP/1.1\r\n" HOST LENGTH(3) LENGTH(5) "\r\nabc", 0, "", 400, 1, true, 0,
     "send one"},
    {"list of lengths", "POST /end HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc", 0, "", 400, 1,
     true, 0, NULL},
    {"two encodings", "POST /end HTTP/1.1\r\n" HOST CHUNKED CHUNKED "\r\n0\r\n\r\n", 0, "", 400, 1, true, 0,
     "send one"},
    {"other encoding", "POST /end HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", 0, "", 501, 1,
     true, 0, NULL},
    {"chunked after other", "POST /end HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0,
     "", 501, 1, true, 0, NULL},
    {"http 1.0 chunked", "POST /end HTTP/1.0\r\n" CHUNKED "\r\n0\r\n\r\n", 0, "", 400, 1, true, 0, NULL},
    {"space before colon", "POST /end HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n" LENGTH(3)
     "\r\nabc", 0, "", 400, 1, true, 0, NULL},
    {"space before name", "POST /end HTTP/1.1\r\n " HOST LENGTH(3) "\r\nabc", 0, "", 400, 1, true, 0, NULL},
    {"control in value", "GET /end HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 0, "", 400, 1, true, 0, NULL},
    {"no host", "GET /end HTTP/1.1\r\n\r\n", 0, "", 400, 1, true, 0, NULL},
    {"two hosts", "GET /end HTTP/1.1\r\n" HOST HOST "\r\n", 0, "", 400, 1, true, 0, NULL},
    {"negative length", "POST /end HTTP/1.1\r\n" HOST LENGTH(-1) "\r\n", 0, "", 400, 1, true, 0, NULL},
    {"signed length", "POST /end HTTP/1.1\r\n" HOST LENGTH(+3) "\r\nabc", 0, "", 400, 1, true, 0, NULL},
    {"length with letters", "POST /end HTTP/1.1\r\n" HOST LENGTH(3x) "\r\nabc", 0, "", 400, 1, true, 0,
     NULL},
    {"bad chunk size", "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\nxyz\r\n", 0, "", 400, 1, true, 1, NULL},
    {"bad chunk end", "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n1\r\nabc\r\n", 0, "", 400, 1, true, 1,
     NULL},
    /* sizes */
    {"length over the limit", "POST /end HTTP/1.1\r\n" HOST LENGTH(1001) "\r\n", 0, "", 413, 1, true, 0,
     "over the size limit"},
    {"length over all limits", "POST /end HTTP/1.1\r\n" HOST LENGTH(99999999999999999999) "\r\n", 0, "",
     413, 1, true, 0, NULL},
    {"over, client waits", "POST /end HTTP/1.1\r\n" HOST CONTINUE LENGTH(1001) "\r\n", 0, "", 413, 1,
     true, 0, NULL},
    {"chunked over the limit", "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n400\r\n", 1024, "\r\n", 413, 1,
     true, 1, "over the size limit"},
    {"chunk of exabytes", "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\nfffffffffffffff0\r\n", 5000, "", 413,
     1, true, 1, "over the size limit"},
    {"header flood", "GET /end HTTP/1.1\r\n" HOST "X: ", 200000, "\r\n\r\n", 431, 1, true, 0, NULL},
    {"header over the limit", "GET /end HTTP/1.1\r\n" HOST "X: ", 4200, "\r\n\r\n", 431, 1, true, 0,
     NULL},
    {"long request line", "GET /", 200000, " HTTP/1.1\r\n" HOST "\r\n", 414, 1, true, 0, NULL},
    /* no HTTP */
    {"http 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, "", 505, 1, true, 0, NULL},
    {"http 0.9", "GET /end\r\n", 0, "\r\n", 505, 1, true, 0, NULL},
    {"tls hello", "\x16\x03\x01\x02\r\n\x01\r\n\r\n", 0, "", 0, 0, true, 0, NULL},
};

static void check_conversation(const struct conversation *conversation)
{
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX,
                                                  .header_max_bytes = 4096};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(1 << 20);
    assert_int_equal(buffer_append_text(&text, conversation->head), 0);
    for (size_t i = 0; i < conversation->fill_bytes; i++)
        assert_int_equal(buffer_append(&text, "f", 1), 0);
    assert_int_equal(buffer_append_text(&text, conversation->tail), 0);
    peer_send(peer, text.data, text.size_bytes);
    if (conversation->closes)
        wait_closed(peer);
    else
        wait_answers(peer, conversation->answers);
    assert_int_equal(peer->closed, conversation->closes);
    assert_int_equal(peer_status(peer), conversation->status);
    assert_int_equal(peer_answer_count(peer), conversation->answers);
    assert_int_equal(bed->heads, conversation->heads);
    if (conversation->contains != NULL)
        assert_non_null(strstr(peer_text(peer), conversation->contains));
    if (conversation->status == 413)
        assert_int_equal(bed->ends, 0);
    peer_free(peer);
    bed_close(bed);
}

static void test_conversations(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(conversations); i++) {
        print_message("    %s\n", conversations[i].name);
        check_conversation(&conversations[i]);
    }
}

/* ---- the same bytes, cut anywhere ---- */

static bool sent_all(void *argument)
{
    return ((struct peer *)argument)->writable == NULL;
}

static void test_bytes_one_by_one(void **state)
{
    (void)state;
    static const char text[] = "POST /end HTTP/1.1\r\n" HOST CHUNKED "\r\n3\r\nabc\r\n0\r\n\r\n"
                               "POST /end HTTP/1.1\r\n" HOST LENGTH(3) "\r\nabc";
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        peer_send(peer, text + i, 1);
        bench_wait(&bed->bench, sent_all, peer);
    }
    wait_answers(peer, 2);
    assert_int_equal(bed->ends, 2);
    peer_free(peer);
    bed_close(bed);
}

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
                                                      .request_timeout_ms = SHORT_MS};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, cases[i].sent);
        bench_wait(&bed->bench, is_closed, peer);
        assert_int_equal(peer_status(peer), 408);
        assert_int_equal(bed->heads, cases[i].heads);
        assert_int_equal(bed->ends, 0);
        assert_int_equal(bed->last_refusal, 408);
        assert_int_equal(bed->closes, cases[i].heads);
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
        const struct http_server_settings settings = {.idle_timeout_ms = SHORT_MS,
                                                      .request_timeout_ms = SHORT_MS};
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
                                                  .request_timeout_ms = SHORT_MS};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    peer_send_text(peer, "POST /late HTTP/1.1\r\n" HOST LENGTH(3) "\r\nabc"
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
    struct http_handler slow_handler = handler;
    slow_handler.on_head = on_slow_head;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct bed *bed = MEM_NEW(struct bed);
        bench_open(&bed->bench);
        const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
        assert_int_equal(http_server_new(bed->bench.loop, &settings, &slow_handler, bed,
                                         &bed->server, NULL), 0);
        slow_exchange = NULL;
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, requests[i]);
        bench_wait(&bed->bench, has_slow, NULL);
        http_answer_text(slow_exchange, 503, "going away\n");
        bench_wait(&bed->bench, is_closed, peer);
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
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX, .connections_max = CAP};
    struct bed *bed = bed_open(&settings);
    struct peer *peers[PEERS];
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = bed_peer(bed);
        peer_send_text(peers[i], "POST /end HTTP/1.1\r\n" HOST "Connection: close\r\n"
                                 LENGTH(3) "\r\nabc");
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
        int code = http_server_new(bed->bench.loop, &cases[i].settings, &handler, bed, &server,
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
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_bytes_one_by_one),
        cmocka_unit_test(test_slow_requests_get_408),
        cmocka_unit_test(test_trickle_is_ended),
        cmocka_unit_test(test_idle_is_closed_without_answer),
        cmocka_unit_test(test_cut_body_is_closed),
        cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_late_answer_after_client_left),
        cmocka_unit_test(test_answer_from_loop_during_body),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_connections_per_address),
        cmocka_unit_test(test_sum_of_bodies),
        cmocka_unit_test(test_refused_sender_can_read_the_answer),
        cmocka_unit_test(test_free_closes_all),
        cmocka_unit_test(test_quiesce),
        cmocka_unit_test(test_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
