/*
 * Tests of the door as a whole: real requests by raw clients, a bus that does what the test says.
 *
 * Design: the bus keeps what it is given and acknowledges when the test calls; so every order of acknowledgement, repeat, deadline
 * and departure can be made. The answers' table is one table. Nothing sleeps: the bench waits for conditions.
 */
#include "ingest/github/delivery.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/log.h"
#include "ingest/github/door.h"
#include "tests/unit/base/http_peer.h"

#define GUID_1 "11111111-cc78-11e3-81ab-4c9367dc0958"
#define GUID_2 "22222222-cc78-11e3-81ab-4c9367dc0958"

/* A payload in scope. */
#define PAYLOAD                                                                                    \
    "{\"action\":\"opened\",\"issue\":{\"number\":7},\"repository\":{\"id\":11,\"full_name\":"     \
    "\"octo/r\"}}"

/* Largest body in these tests. */
#define BODY_MAX 4096

/* A deadline that does not pass in a test, and one that does. */
#define LONG_DEADLINE_MS 60000
#define SHORT_DEADLINE_MS 50

/* Most messages that the bus of a test keeps. */
#define MESSAGES_MAX 8

/* One message as the bus got it. */
struct message {
    bus_delivered_fn delivered;
    void *argument;
    char *value; /* owned; taken */
    size_t value_bytes;
    char key[64];
    char type[100];
};

/* A bus that only publishes, as the test says. */
struct test_bus {
    struct bus bus; /* first */
    int refuse;     /* code of publish, 0: take it */
    struct message messages[MESSAGES_MAX];
    size_t message_count;
};

/* Everything of one test. */
struct bed {
    struct bench bench;
    struct test_bus bus;
    struct metrics *metrics;
    struct door *door;
    struct http_server *server;
    bool is_drained;
};

static int test_publish(struct bus *bus, const struct bus_message *message,
                        bus_delivered_fn delivered, void *argument)
{
    struct test_bus *test_bus = (struct test_bus *)(void *)bus;
    if (test_bus->refuse != 0)
        return test_bus->refuse;
    assert_true(test_bus->message_count < MESSAGES_MAX);
    assert_int_equal(message->topic, TOPIC_GITHUB_EVENTS);
    assert_int_equal(message->partition, BUS_PARTITION_BY_KEY);
    assert_true(message->take_value);
    struct message *kept = &test_bus->messages[test_bus->message_count++];
    *kept = (struct message){.delivered = delivered,
                             .argument = argument,
                             .value = (char *)(uintptr_t)message->value,
                             .value_bytes = message->value_bytes};
    (void)snprintf(kept->key, sizeof(kept->key), "%.*s", (int)message->key_bytes, message->key);
    struct event event;
    struct error error;
    assert_int_equal(envelope_decode(message->headers, message->header_count, &event, &error), 0);
    (void)snprintf(kept->type, sizeof(kept->type), "%.*s", (int)event.type.bytes, event.type.data);
    return 0;
}

/* The bus says what came of a message. */
static void deliver(struct bed *bed, size_t index, int code)
{
    struct message *message = &bed->bus.messages[index];
    message->delivered(message->argument, code, 0, 0);
}

/* Bytes of a secret are its path, so that "one" is the secret "one". */
static int read_secret(const char *path, struct buffer *secret, struct error *error)
{
    (void)error;
    return buffer_append_text(secret, path);
}

static void set_secrets(struct bed *bed, const char *text)
{
    const struct secrets_source source = {.path = "secrets.yaml",
                                          .text = text,
                                          .text_bytes = strlen(text),
                                          .read_secret = read_secret};
    struct secrets *secrets = NULL;
    struct error error = {0};
    if (secrets_parse(&source, &secrets, &error) != 0)
        fail_msg("%s", error.text);
    door_take_secrets(bed->door, secrets);
}

static struct bed *bed_new(int64_t deadline_ms)
{
    struct bed *bed = MEM_NEW(struct bed);
    struct error error = {0};
    bench_open(&bed->bench);
    bed->bus.bus.publish = test_publish;
    bed->metrics = metrics_new();
    const struct door_settings settings = {
        .path = "/webhooks/github", .body_max_bytes = BODY_MAX, .answer_deadline_ms = deadline_ms};
    bed->door = door_new(bed->bench.loop, &bed->bus.bus, bed->metrics, &settings);
    set_secrets(bed, "secrets:\n"
                     "- {id: first, file: one, hook_id: 5, organisations: [octo]}\n"
                     "- {id: second, file: two, hook_id: 5, organisations: [octo]}\n");
    const struct http_server_settings server = {.body_max_bytes = BODY_MAX};
    if (http_server_new(bed->bench.loop, &server, &delivery_handler, bed->door, &bed->server,
                        &error) != 0)
        fail_msg("%s", error.text);
    return bed;
}

static void bed_free(struct bed *bed)
{
    http_server_free(bed->server);
    door_free(bed->door);
    metrics_free(bed->metrics);
    for (size_t i = 0; i < bed->bus.message_count; i++)
        free(bed->bus.messages[i].value);
    bench_close(&bed->bench);
    free(bed);
}
DEFINE_CLEANUP(struct bed *, bed_free)
DEFINE_CLEANUP(struct peer *, peer_free)

/* ---- requests ---- */

/* What differs from a good request; NULL keeps it. An empty text leaves the header out. */
struct request {
    const char *method, *path, *event, *delivery, *hook, *content_type, *signature;
    const char *secret; /* that signs: "one" */
    const char *body;
    const char *extra; /* further header lines */
};

static const char *or_else(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static void add_header(struct buffer *text, const char *name, const char *value)
{
    if (value[0] != '\0')
        assert_int_equal(buffer_append_format(text, "%s: %s\r\n", name, value), 0);
}

/* Signs a body as GitHub does. */
static void sign(const char *secret, const char *body, char ret_signature[7 + DIGEST_TEXT_BYTES])
{
    struct hmac_key *key = hmac_key_new(secret, strlen(secret));
    struct hmac *hmac = hmac_new(key);
    uint8_t mac[DIGEST_BYTES];
    hmac_update(hmac, body, strlen(body));
    hmac_finish(hmac, mac);
    memcpy(ret_signature, "sha256=", 7);
    digest_to_text(mac, ret_signature + 7);
    hmac_free(hmac);
    hmac_key_free(key);
}

/* Makes the bytes of a request; owned. */
static char *request_text(const struct request *request)
{
    struct buffer text = BUFFER_INIT(100000);
    const char *body = or_else(request->body, PAYLOAD);
    char signature[7 + DIGEST_TEXT_BYTES];
    sign(or_else(request->secret, "one"), body, signature);
    assert_int_equal(buffer_append_format(&text, "%s %s HTTP/1.1\r\nHost: door\r\n",
                                          or_else(request->method, "POST"),
                                          or_else(request->path, "/webhooks/github")),
                     0);
    add_header(&text, "X-GitHub-Event", or_else(request->event, "issues"));
    add_header(&text, "x-github-delivery", or_else(request->delivery, GUID_1));
    add_header(&text, "X-GitHub-Hook-ID", or_else(request->hook, "5"));
    add_header(&text, "Content-Type", or_else(request->content_type, "application/json"));
    add_header(&text, "X-Hub-Signature-256", or_else(request->signature, signature));
    assert_int_equal(buffer_append_format(&text, "%sContent-Length: %zu\r\n\r\n%s",
                                          or_else(request->extra, ""), strlen(body), body),
                     0);
    return buffer_take(&text);
}

static struct peer *send_request(struct bed *bed, const struct request *request)
{
    struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    CLEANUP(mem_free) char *text = request_text(request);
    peer_send_text(peer, text);
    return peer;
}

static bool is_answered(void *argument)
{
    return peer_answer_count(argument) > 0;
}

/* A number that is waited for. */
struct expected_count {
    const size_t *count;
    size_t expected;
};

static bool count_is_reached(void *argument)
{
    const struct expected_count *wait = argument;
    return *wait->count == wait->expected;
}

/* Waits until the bus was given so many messages in all. */
static void wait_for_messages(struct bed *bed, size_t count)
{
    struct expected_count wait = {&bed->bus.message_count, count};
    bench_wait(&bed->bench, count_is_reached, &wait);
}

/* Waits until so many requests are under way. */
static void wait_for_requests(struct bed *bed, size_t count)
{
    struct expected_count wait = {&bed->door->delivery_count, count};
    bench_wait(&bed->bench, count_is_reached, &wait);
}

/* Fails unless the peer gets this status. */
static void expect_status(struct bed *bed, struct peer *peer, int status)
{
    bench_wait(&bed->bench, is_answered, peer);
    if (peer_status(peer) != status)
        fail_msg("status %d instead of %d: %s", peer_status(peer), status, peer_text(peer));
}

/* ---- the table of answers ---- */

static const struct {
    const char *name;
    struct request request;
    int status;
    const char *says; /* part of the answer */
} answers[] = {
    {"other path", {.path = "/"}, 404, "/webhooks/github"},
    {"longer path", {.path = "/webhooks/github/"}, 404, "/webhooks/github"},
    {"query", {.path = "/webhooks/github?x=1", .signature = ""}, 401, "X-Hub-Signature-256"},
    {"other method", {.method = "PUT"}, 405, "Allow: POST"},
    {"other path and method", {.path = "/x", .method = "PUT"}, 404, "nothing here"},
    {"no event", {.event = ""}, 400, "X-GitHub-Event"},
    {"bad event", {.event = "Issues!"}, 400, "X-GitHub-Event"},
    {"no delivery", {.delivery = ""}, 400, "X-GitHub-Delivery"},
    {"bad delivery", {.delivery = "1"}, 400, "X-GitHub-Delivery"},
    {"bad hook", {.hook = "five"}, 400, "X-GitHub-Hook-ID"},
    {"two hooks", {.extra = "X-GitHub-Hook-ID: 5\r\n"}, 400, "X-GitHub-Hook-ID"},
    {"no content type", {.content_type = ""}, 415, "application/json"},
    {"form", {.content_type = "application/x-www-form-urlencoded"}, 415, "application/json"},
    {"no signature", {.signature = ""}, 401, "missing"},
    {"bad signature", {.signature = "sha256=0"}, 401, "malformed"},
    {"two signatures", {.extra = "X-Hub-Signature-256: sha256=0\r\n"}, 401, "more than once"},
    {"wrong secret", {.secret = "three"}, 401, "does not match"},
    {"unknown hook", {.hook = "6"}, 401, "no secret"},
    {"no hook and no default", {.hook = ""}, 401, "no secret"},
    {"no JSON", {.body = "{\"action\":"}, 400, "not JSON"},
    {"no JSON, wrong secret", {.body = "{\"action\":", .secret = "three"}, 401, "does not match"},
    {"no UTF-8", {.body = "{\"action\":\"\xff\"}"}, 400, "UTF-8"},
    {"empty body", {.body = ""}, 400, "not JSON"},
    {"other owner",
     {.body = "{\"repository\":{\"full_name\":\"other/r\"}}"},
     403,
     "outside the scope"},
    {"other organisation",
     {.body = "{\"organization\":{\"login\":\"other\"}}"},
     403,
     "outside the scope"},
    {"other owner, wrong secret",
     {.body = "{\"repository\":{\"full_name\":\"other/r\"}}", .secret = "three"},
     401,
     "does not match"},
};

static void test_refusals(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        CLEANUP(peer_free) struct peer *peer = send_request(bed, &answers[i].request);
        bench_wait(&bed->bench, is_answered, peer);
        if (peer_status(peer) != answers[i].status ||
            strstr(peer_text(peer), answers[i].says) == NULL)
            fail_msg("%s: %s", answers[i].name, peer_text(peer));
    }
    assert_int_equal(bed->bus.message_count, 0);
}

static void test_accepted_when_acknowledged(void **state)
{
    (void)state;
    static const struct request requests[] = {
        {.delivery = GUID_1},
        {.secret = "two", .content_type = "application/json; charset=utf-8"},
        {.event = "ping", .body = "{\"zen\":\"Keep it logically awesome.\",\"hook_id\":5}"},
    };
    static const char *const keys[] = {"11#7", "11#7", "ping"};
    static const char *const types[] = {"com.github.issue.opened", "com.github.issue.opened",
                                        "com.github.ping"};
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
        CLEANUP(peer_free) struct peer *peer = send_request(bed, &requests[i]);
        wait_for_messages(bed, 1);
        assert_int_equal(peer_answer_count(peer), 0);
        const struct message *message = &bed->bus.messages[0];
        const char *body = or_else(requests[i].body, PAYLOAD);
        assert_int_equal(message->value_bytes, strlen(body));
        assert_memory_equal(message->value, body, strlen(body));
        assert_string_equal(message->key, keys[i]);
        assert_string_equal(message->type, types[i]);
        deliver(bed, 0, 0);
        expect_status(bed, peer, 202);
        assert_non_null(strstr(peer_text(peer), "{\"delivery\": \"" GUID_1 "\"}"));
        assert_non_null(strstr(peer_text(peer), "Content-Type: application/json"));
    }
}

static void test_failures_of_the_broker(void **state)
{
    (void)state;
    static const struct {
        int refuse, outcome;
        int status;
    } cases[] = {{ERR_QUEUE_FULL, 0, 503},  {ERR_TOO_LARGE, 0, 413}, {0, ERR_TIMEOUT, 503},
                 {0, ERR_UNAVAILABLE, 503}, {0, ERR_DENIED, 503},    {0, ERR_CANCELLED, 503}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
        bed->bus.refuse = cases[i].refuse;
        CLEANUP(peer_free) struct peer *peer = send_request(bed, &(struct request){0});
        if (cases[i].refuse == 0) {
            wait_for_messages(bed, 1);
            deliver(bed, 0, cases[i].outcome);
        }
        expect_status(bed, peer, cases[i].status);
        assert_true(cases[i].status != 503 || strstr(peer_text(peer), "Retry-After: ") != NULL);
        /* What failed is not remembered: its redelivery goes through. */
        bed->bus.refuse = 0;
        size_t before = bed->bus.message_count;
        CLEANUP(peer_free) struct peer *again = send_request(bed, &(struct request){0});
        wait_for_messages(bed, before + 1);
        deliver(bed, before, 0);
        expect_status(bed, again, 202);
    }
}

static void test_repeats(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(peer_free) struct peer *first = send_request(bed, &(struct request){0});
    wait_for_messages(bed, 1);
    CLEANUP(peer_free) struct peer *second = send_request(bed, &(struct request){0});
    wait_for_requests(bed, 2);
    deliver(bed, 0, 0);
    expect_status(bed, first, 202);
    expect_status(bed, second, 202);
    CLEANUP(peer_free) struct peer *third = send_request(bed, &(struct request){0});
    expect_status(bed, third, 202);
    assert_int_equal(bed->bus.message_count, 1);
    /* Another delivery is another record. */
    CLEANUP(peer_free)
    struct peer *other = send_request(bed, &(struct request){.delivery = GUID_2});
    wait_for_messages(bed, 2);
    deliver(bed, 1, 0);
    expect_status(bed, other, 202);
}

static void test_deadline(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(SHORT_DEADLINE_MS);
    CLEANUP(peer_free) struct peer *peer = send_request(bed, &(struct request){0});
    expect_status(bed, peer, 503);
    assert_non_null(strstr(peer_text(peer), "Retry-After: "));
    assert_int_equal(bed->bus.message_count, 1);
    /* It is acknowledged after all: the redelivery is answered, not published again. */
    deliver(bed, 0, 0);
    CLEANUP(peer_free) struct peer *again = send_request(bed, &(struct request){0});
    expect_status(bed, again, 202);
    assert_int_equal(bed->bus.message_count, 1);
}

static void on_drained(void *argument)
{
    struct bed *bed = argument;
    assert_false(bed->is_drained);
    bed->is_drained = true;
}

static void test_drain(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(mem_free) char *text = request_text(&(struct request){.delivery = GUID_2});
    CLEANUP(peer_free) struct peer *waiting = send_request(bed, &(struct request){0});
    wait_for_messages(bed, 1);
    CLEANUP(peer_free) struct peer *half = peer_new(&bed->bench, http_server_port(bed->server));
    peer_send(half, text, strlen(text) - 10);
    wait_for_requests(bed, 2);
    door_drain(bed->door, on_drained, bed);
    /* New ones are refused, what is under way gets its answer, what stays half is cut in the end. */
    CLEANUP(peer_free) struct peer *late = send_request(bed, &(struct request){0});
    expect_status(bed, late, 503);
    assert_non_null(strstr(peer_text(late), "Retry-After: "));
    deliver(bed, 0, 0);
    expect_status(bed, waiting, 202);
    assert_false(bed->is_drained);
    wait_for_requests(bed, 1);
    delivery_cut_unfinished(bed->door);
    assert_true(bed->is_drained);
    peer_send_text(half, text + strlen(text) - 10);
    expect_status(bed, half, 503);
}

static void test_drain_of_nothing_is_done_at_once(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    door_drain(bed->door, on_drained, bed);
    assert_true(bed->is_drained);
}

static void test_drain_waits_for_records_without_requests(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(SHORT_DEADLINE_MS);
    CLEANUP(peer_free) struct peer *peer = send_request(bed, &(struct request){0});
    expect_status(bed, peer, 503);
    wait_for_requests(bed, 0);
    door_drain(bed->door, on_drained, bed);
    assert_false(bed->is_drained);
    deliver(bed, 0, 0);
    assert_true(bed->is_drained);
}

static void test_client_that_leaves_within_its_body(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(mem_free) char *text = request_text(&(struct request){0});
    struct peer *half = peer_new(&bed->bench, http_server_port(bed->server));
    peer_send(half, text, strlen(text) - 10);
    wait_for_requests(bed, 1);
    peer_free(half);
    wait_for_requests(bed, 0);
    assert_int_equal(bed->bus.message_count, 0);
}

/* A server that is freed while a record is on its way: the door forgets it. */
static void test_end_with_a_record_on_its_way(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(peer_free) struct peer *peer = send_request(bed, &(struct request){0});
    assert_non_null(peer);
    wait_for_messages(bed, 1);
    assert_int_equal(bed->door->publication_count, 1);
}

static void test_secrets_are_replaced_between_requests(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(mem_free) char *text = request_text(&(struct request){0});
    CLEANUP(peer_free) struct peer *half = peer_new(&bed->bench, http_server_port(bed->server));
    size_t first_bytes = strlen(text) - 10;
    peer_send(half, text, first_bytes);
    wait_for_requests(bed, 1);
    set_secrets(bed, "secrets: [{id: third, file: three, hook_id: 5, organisations: [octo]}]");
    /* One that began before goes on with its set, one that begins now has the new one. */
    peer_send_text(half, text + first_bytes);
    wait_for_messages(bed, 1);
    deliver(bed, 0, 0);
    expect_status(bed, half, 202);
    CLEANUP(peer_free) struct peer *old = send_request(bed, &(struct request){.secret = "one"});
    expect_status(bed, old, 401);
    CLEANUP(peer_free)
    struct peer *fresh =
        send_request(bed, &(struct request){.secret = "three", .delivery = GUID_2});
    wait_for_messages(bed, 2);
    deliver(bed, 1, 0);
    expect_status(bed, fresh, 202);
}

static void test_metrics(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(METRICS_TEXT_MAX_BYTES);
    CLEANUP(peer_free) struct peer *peer = send_request(bed, &(struct request){.secret = "two"});
    wait_for_messages(bed, 1);
    deliver(bed, 0, 0);
    expect_status(bed, peer, 202);
    CLEANUP(peer_free) struct peer *wrong = send_request(bed, &(struct request){.secret = "three"});
    expect_status(bed, wrong, 401);
    assert_int_equal(metrics_print(bed->metrics, &text), 0);
    static const char *const lines[] = {
        "nodag_ingest_github_deliveries_total{status=\"202\",reason=\"published\"} 1\n",
        "nodag_ingest_github_deliveries_total{status=\"401\",reason=\"signature\"} 1\n",
        "nodag_ingest_github_events_total{event=\"issues\"} 1\n",
        "nodag_ingest_github_secret_last_matched_seconds{secret=\"first\"} 0\n",
        "nodag_ingest_github_secret_last_matched_seconds{secret=\"second\"} 1",
        "nodag_ingest_github_delivery_seconds_count 2\n",
        "nodag_ingest_github_secrets 2\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        if (strstr(text.data, lines[i]) == NULL)
            fail_msg("no line %s in\n%s", lines[i], text.data);
    }
}

int main(void)
{
    log_set_fd(open("/dev/null",
                    O_WRONLY | O_CLOEXEC)); /* refusals are logged; the tests look at the answers */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_accepted_when_acknowledged),
        cmocka_unit_test(test_failures_of_the_broker),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_of_nothing_is_done_at_once),
        cmocka_unit_test(test_drain_waits_for_records_without_requests),
        cmocka_unit_test(test_client_that_leaves_within_its_body),
        cmocka_unit_test(test_end_with_a_record_on_its_way),
        cmocka_unit_test(test_secrets_are_replaced_between_requests),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
