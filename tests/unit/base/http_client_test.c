/*
 * Tests of base/http_client.c against base/http_server.c, in one process on one loop: methods, bodies, headers,
 * redirects, limits, timeouts, cancelling, and that `done` runs once and never from within http_send.
 *
 * The server answers by path: /echo says what it got, /status/NNN answers that status, ?to=URL redirects, /loop to
 * itself, /big sends BIG_BYTES, /late does not answer by itself.
 */
#include "base/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/http_server.h"
#include "tests/unit/base/http_peer.h"

/* Size of the answer of /big. */
#define BIG_BYTES 100000

/* A time limit that passes while a test waits for it. */
#define SHORT_MS 50

/* Longest URL below. */
#define URL_BYTES 300

/* Server, client and what came of the requests. */
struct bed {
    struct bench bench;
    struct http_server *server;
    struct http_client *client;
    unsigned served;
    unsigned done;
    int code;
    int status;
    char body[1024];
    char header[256]; /* X-Test of the last answer */
    char final_url[URL_BYTES];
    char error_text[ERROR_TEXT_BYTES];
    bool sending; /* within http_send */
    struct http_exchange *late;
};

/* ---- the server ---- */

/* A request at the server. */
struct served {
    struct bed *bed;
    struct buffer body;
};

static void *on_head(void *argument, struct http_exchange *exchange)
{
    (void)exchange;
    struct served *served = MEM_NEW(struct served);
    served->bed = argument;
    served->bed->served++;
    served->body = BUFFER_INIT(BIG_BYTES);
    return served;
}

static void on_body(void *request, struct http_exchange *exchange, const char *bytes,
                    size_t byte_count)
{
    (void)exchange;
    struct served *served = request;
    assert_int_equal(buffer_append(&served->body, bytes, byte_count), 0);
}

static void answer_redirect(struct http_exchange *exchange, const char *target)
{
    const struct http_answer answer = {
        .status = 302, .body = "moved", .body_bytes = 5, .headers = {{"Location", target}}};
    http_answer(exchange, &answer);
}

static void answer_big(struct http_exchange *exchange)
{
    CLEANUP(mem_free) char *big = mem_alloc(BIG_BYTES);
    memset(big, 'b', BIG_BYTES);
    const struct http_answer answer = {.status = 200, .body = big, .body_bytes = BIG_BYTES};
    http_answer(exchange, &answer);
}

static void answer_echo(const struct served *served, struct http_exchange *exchange)
{
    const char *given = http_exchange_header(exchange, "X-Given");
    const char *agent = http_exchange_header(exchange, "User-Agent");
    const char *type = http_exchange_header(exchange, "Content-Type");
    CLEANUP(mem_free)
    char *text = mem_format("%s|%s|%s|%s|%zu|%s", http_exchange_method(exchange),
                            given != NULL ? given : "-", agent != NULL ? agent : "-",
                            type != NULL ? type : "-", served->body.size_bytes,
                            served->body.data != NULL ? served->body.data : "");
    const struct http_answer answer = {
        .status = 200, .body = text, .body_bytes = strlen(text), .headers = {{"X-Test", "yes"}}};
    http_answer(exchange, &answer);
}

static void on_end(void *request, struct http_exchange *exchange)
{
    struct served *served = request;
    const char *path = http_exchange_path(exchange);
    const char *target = http_exchange_query(exchange, "to");
    if (strcmp(path, "/loop") == 0)
        answer_redirect(exchange, "/loop");
    else if (target != NULL)
        answer_redirect(exchange, target);
    else if (strncmp(path, "/status/", 8) == 0)
        http_answer_text(exchange, (int)strtol(path + 8, NULL, 10), "as asked");
    else if (strcmp(path, "/big") == 0)
        answer_big(exchange);
    else if (strcmp(path, "/late") == 0)
        served->bed->late = exchange;
    else
        answer_echo(served, exchange);
    bench_check(&served->bed->bench);
}

static void on_close(void *request, struct http_exchange *exchange)
{
    struct served *served = request;
    if (served->bed->late == exchange)
        served->bed->late = NULL;
    buffer_release(&served->body);
    free(served);
}

/* ---- the fixture ---- */

static int bed_setup(void **state)
{
    struct bed *bed = MEM_NEW(struct bed);
    bench_open(&bed->bench);
    const struct http_handler handler = {on_head, on_body, on_end, on_close, NULL};
    const struct http_server_settings server_settings = {.body_max_bytes = BIG_BYTES};
    struct error error;
    if (http_server_new(bed->bench.loop, &server_settings, &handler, bed, &bed->server, &error) !=
        0)
        return -1;
    const struct http_client_settings settings = {.user_agent = "test-agent"};
    bed->client = http_client_new_curl(bed->bench.loop, &settings);
    *state = bed;
    return 0;
}

static int bed_teardown(void **state)
{
    struct bed *bed = *state;
    http_client_free_curl(bed->client);
    http_server_free(bed->server);
    bench_close(&bed->bench);
    free(bed);
    return 0;
}

static void on_done(void *argument, int code, const struct http_response *response,
                    const struct error *error)
{
    struct bed *bed = argument;
    assert_false(bed->sending);
    bed->done++;
    bed->code = code;
    assert_int_equal(code == 0, response != NULL);
    (void)snprintf(bed->error_text, sizeof(bed->error_text), "%s", error->text);
    if (response != NULL) {
        const char *header = http_response_header(response, "x-test");
        bed->status = response->status;
        assert_int_equal(strlen(response->body), response->body_bytes);
        (void)snprintf(bed->body, sizeof(bed->body), "%s", response->body);
        (void)snprintf(bed->header, sizeof(bed->header), "%s", header != NULL ? header : "-");
        (void)snprintf(bed->final_url, sizeof(bed->final_url), "%s", response->final_url);
        assert_null(http_response_header(response, "X-Absent"));
    }
    bench_check(&bed->bench);
}

static bool is_done(void *argument)
{
    return ((struct bed *)argument)->done > 0;
}

static bool has_late(void *argument)
{
    return ((struct bed *)argument)->late != NULL;
}

/* Writes the URL of a path at the server; `%P` in the path stands for the server's port. */
static void make_url(const struct bed *bed, const char *path, char url[URL_BYTES])
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)http_server_port(bed->server));
    size_t length = (size_t)snprintf(url, URL_BYTES, "http://127.0.0.1:%s", port);
    for (; *path != '\0'; path++) {
        if (strncmp(path, "%P", 2) == 0) {
            length += (size_t)snprintf(url + length, URL_BYTES - length, "%s", port);
            path++;
        } else {
            url[length++] = *path;
            url[length] = '\0';
        }
        assert_true(length + 16 < URL_BYTES);
    }
}

static struct http_call *send_to(struct bed *bed, const char *path, struct http_request request)
{
    char url[URL_BYTES];
    make_url(bed, path, url);
    request.url = url;
    bed->sending = true;
    struct http_call *call = http_send(bed->client, &request, on_done, bed);
    bed->sending = false;
    memset(url, 'x', sizeof(url)); /* borrowed until http_send returned, not longer */
    return call;
}

static void exchange(struct bed *bed, const char *path, struct http_request request)
{
    bed->done = 0;
    (void)send_to(bed, path, request);
    bench_wait(&bed->bench, is_done, bed);
    assert_int_equal(bed->done, 1);
}

/* ---- tests ---- */

static void test_requests(void **state)
{
    struct bed *bed = *state;
    static const struct {
        struct http_request request;
        const char *echo;
    } cases[] = {
        {{.method = "GET"}, "GET|-|test-agent|-|0|"},
        {{.method = "GET", .headers = {{"X-Given", "a b"}}, .header_count = 1},
         "GET|a b|test-agent|-|0|"},
        {{.method = "GET", .headers = {{"X-Given", ""}}, .header_count = 1},
         "GET||test-agent|-|0|"},
        {{.method = "POST"}, "POST|-|test-agent|-|0|"},
        {{.method = "POST",
          .body = "hello",
          .body_bytes = 5,
          .headers = {{"content-type", "text/x"}},
          .header_count = 1},
         "POST|-|test-agent|text/x|5|hello"},
        {{.method = "POST", .body = "hello", .body_bytes = 5}, "POST|-|test-agent|-|5|hello"},
        {{.method = "PATCH", .body = "{}", .body_bytes = 2}, "PATCH|-|test-agent|-|2|{}"},
        {{.method = "PUT", .body = "", .body_bytes = 0}, "PUT|-|test-agent|-|0|"},
        {{.method = "DELETE"}, "DELETE|-|test-agent|-|0|"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        exchange(bed, "/echo", cases[i].request);
        assert_int_equal(bed->code, 0);
        assert_int_equal(bed->status, 200);
        assert_string_equal(bed->body, cases[i].echo);
        assert_string_equal(bed->header, "yes");
    }
}

static void test_any_status_is_an_answer(void **state)
{
    struct bed *bed = *state;
    static const struct {
        const char *path;
        int status;
    } cases[] = {{"/status/201", 201}, {"/status/204", 204}, {"/status/304", 304},
                 {"/status/404", 404}, {"/status/422", 422}, {"/status/500", 500}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        exchange(bed, cases[i].path, (struct http_request){.method = "GET"});
        assert_int_equal(bed->code, 0);
        assert_int_equal(bed->status, cases[i].status);
    }
}

static void test_redirects(void **state)
{
    struct bed *bed = *state;
    static const struct {
        const char *path;
        const char *method;
        int redirects_max;
        int status;
        const char *ends_at;
        unsigned served;
    } cases[] = {
        {"/x?to=/echo", "GET", 0, 200, "/echo", 2},
        {"/x?to=http://127.0.0.1:%P/echo", "GET", 0, 200, "/echo", 2},
        {"/x?to=/y%3Fto=/echo", "GET", 0, 200, "/echo", 3},
        {"/x?to=/y%3Fto=/echo", "GET", 1, 302, "/y?to=/echo", 2},
        {"/x?to=/echo", "GET", -1, 302, "/x?to=/echo", 1},
        {"/x?to=/echo", "POST", 0, 302, "/x?to=/echo", 1},
        {"/x?to=http://localhost:%P/echo", "GET", 0, 302, "/x?to=http://localhost:%P/echo", 1},
        {"/x?to=http://127.0.0.1:1/echo", "GET", 0, 302, "/x?to=http://127.0.0.1:1/echo", 1},
        {"/x?to=https://127.0.0.1:%P/echo", "GET", 0, 302, "/x?to=https://127.0.0.1:%P/echo", 1},
        {"/x?to=file:///etc/passwd", "GET", 0, 302, "/x?to=file:///etc/passwd", 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char expected[URL_BYTES];
        make_url(bed, cases[i].ends_at, expected);
        bed->served = 0;
        exchange(bed, cases[i].path,
                 (struct http_request){.method = cases[i].method,
                                       .redirects_max = cases[i].redirects_max,
                                       .headers = {{"X-Given", "secret"}},
                                       .header_count = 1});
        assert_int_equal(bed->code, 0);
        assert_int_equal(bed->status, cases[i].status);
        assert_string_equal(bed->final_url, expected);
        assert_int_equal(bed->served, cases[i].served);
        if (cases[i].status == 200)
            assert_string_equal(bed->body, "GET|secret|test-agent|-|0|");
    }
}

static void test_redirect_loop_ends(void **state)
{
    struct bed *bed = *state;
    exchange(bed, "/loop", (struct http_request){.method = "GET"});
    assert_int_equal(bed->code, 0);
    assert_int_equal(bed->status, 302);
    assert_int_equal(bed->served, 1 + HTTP_CLIENT_REDIRECTS_MAX);
}

static void test_failures(void **state)
{
    struct bed *bed = *state;
    static const struct {
        const char *url;
        int code;
        const char *contains;
    } cases[] = {
        {"http://user:pass@127.0.0.1:1/path?token=secret", ERR_UNAVAILABLE,
         "GET http://127.0.0.1:1/path: "},
        {"ftp://127.0.0.1/", ERR_INPUT, "GET ftp://127.0.0.1/: "},
        {"file:///etc/passwd", ERR_INPUT, "file"},
        {"http://", ERR_INPUT, "GET http://: "},
        {"nonsense url", ERR_INPUT, "nonsense"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct http_request request = {.method = "GET", .url = cases[i].url};
        bed->done = 0;
        bed->sending = true;
        (void)http_send(bed->client, &request, on_done, bed);
        bed->sending = false;
        bench_wait(&bed->bench, is_done, bed);
        assert_int_equal(bed->code, cases[i].code);
        assert_non_null(strstr(bed->error_text, cases[i].contains));
        assert_null(strstr(bed->error_text, "secret"));
        assert_null(strstr(bed->error_text, "pass@"));
    }
}

static void test_connection_cut(void **state)
{
    struct bed *bed = *state;
    (void)send_to(bed, "/late", (struct http_request){.method = "GET"});
    bench_wait(&bed->bench, has_late, bed);
    http_server_free(bed->server);
    bed->server = NULL;
    bench_wait(&bed->bench, is_done, bed);
    assert_int_equal(bed->code, ERR_UNAVAILABLE);
}

static void test_answer_over_its_limit(void **state)
{
    struct bed *bed = *state;
    exchange(bed, "/big", (struct http_request){.method = "GET", .body_max_bytes = BIG_BYTES - 1});
    assert_int_equal(bed->code, ERR_TOO_LARGE);
    exchange(bed, "/big", (struct http_request){.method = "GET", .body_max_bytes = BIG_BYTES});
    assert_int_equal(bed->code, 0);
}

static void test_timeout(void **state)
{
    struct bed *bed = *state;
    exchange(bed, "/late", (struct http_request){.method = "GET", .timeout_ms = SHORT_MS});
    assert_int_equal(bed->code, ERR_TIMEOUT);
    assert_non_null(strstr(bed->error_text, "/late"));
}

/* Long before the total time is over. */
static void test_stall(void **state)
{
    struct bed *bed = *state;
    exchange(bed, "/late",
             (struct http_request){.method = "GET", .stall_ms = 1, .timeout_ms = 600000});
    assert_int_equal(bed->code, ERR_TIMEOUT);
}

static void test_cancel(void **state)
{
    struct bed *bed = *state;
    struct http_call *fresh = send_to(bed, "/echo", (struct http_request){.method = "GET"});
    http_cancel(bed->client, fresh);
    struct http_call *sent = send_to(bed, "/late", (struct http_request){.method = "GET"});
    bench_wait(&bed->bench, has_late, bed);
    http_cancel(bed->client, sent);
    http_answer_text(bed->late, 200, "too late");
    exchange(bed, "/echo", (struct http_request){.method = "GET"}); /* asserts that one is done */
    assert_string_equal(bed->body, "GET|-|test-agent|-|0|");
}

static void test_freed_with_requests_under_way(void **state)
{
    struct bed *bed = *state;
    (void)send_to(bed, "/late", (struct http_request){.method = "GET"});
    bench_wait(&bed->bench, has_late, bed);
    (void)send_to(bed, "/echo", (struct http_request){.method = "GET"});
    http_client_free_curl(bed->client);
    bed->client = NULL;
    assert_int_equal(bed->done, 0);
}

/* From within a callback: one more request, and the end of another. */
static struct http_call *to_cancel;
static void on_done_chain(void *argument, int code, const struct http_response *response,
                          const struct error *error)
{
    (void)response;
    (void)error;
    struct bed *bed = argument;
    assert_int_equal(code, 0);
    http_cancel(bed->client, to_cancel);
    (void)send_to(bed, "/echo", (struct http_request){.method = "GET"});
}

static void test_send_and_cancel_from_done(void **state)
{
    struct bed *bed = *state;
    to_cancel = send_to(bed, "/late", (struct http_request){.method = "GET"});
    char url[URL_BYTES];
    make_url(bed, "/echo", url);
    const struct http_request request = {.method = "GET", .url = url};
    (void)http_send(bed->client, &request, on_done_chain, bed);
    bench_wait(&bed->bench, is_done, bed);
    assert_int_equal(bed->done, 1);
    assert_int_equal(bed->code, 0);
}

static bool all_done(void *argument)
{
    return ((struct bed *)argument)->done >= 50;
}

static void test_many_at_once(void **state)
{
    struct bed *bed = *state;
    for (int i = 0; i < 50; i++)
        (void)send_to(bed, "/echo", (struct http_request){.method = "GET"});
    bench_wait(&bed->bench, all_done, bed);
    assert_int_equal(bed->done, 50);
    assert_int_equal(bed->served, 50);
}

static void test_append_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *encoded;
        size_t limit_bytes;
        int code;
    } cases[] = {
        {"", "<", 50, 0},
        {"aZ09-._~", "<aZ09-._~", 50, 0},
        {"a b/c?d#e%f+g", "<a%20b%2Fc%3Fd%23e%25f%2Bg", 50, 0},
        {"\xc3\xa9\n", "<%C3%A9%0A", 50, 0},
        {"area/x", "<area%2Fx", 9, 0},
        {"area/x", "<", 8, ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(cases[i].limit_bytes);
        assert_int_equal(buffer_append_text(&buffer, "<"), 0);
        assert_int_equal(http_append_encoded(&buffer, cases[i].text), cases[i].code);
        assert_string_equal(buffer.data, cases[i].encoded);
    }
}

int main(void)
{
    /* A proxy of the machine that tests run on is none of theirs. */
    (void)setenv("no_proxy", "*", 1);
#define BED_TEST(function) cmocka_unit_test_setup_teardown(function, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        BED_TEST(test_requests),
        BED_TEST(test_any_status_is_an_answer),
        BED_TEST(test_redirects),
        BED_TEST(test_redirect_loop_ends),
        BED_TEST(test_failures),
        BED_TEST(test_connection_cut),
        BED_TEST(test_answer_over_its_limit),
        BED_TEST(test_timeout),
        BED_TEST(test_stall),
        BED_TEST(test_cancel),
        BED_TEST(test_freed_with_requests_under_way),
        BED_TEST(test_send_and_cancel_from_done),
        BED_TEST(test_many_at_once),
        cmocka_unit_test(test_append_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
