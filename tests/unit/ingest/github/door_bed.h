/*
 * What the tests of the door share: a door behind a real HTTP server, a bus that does what the test says, and requests.
 *
 * Design: the bus keeps what it is given and acknowledges when the test calls; so every order of acknowledgement,
 * repeat, deadline and departure can be made. Requests are good ones with differences. Included by one test file at
 * a time, so all is static.
 */
#ifndef NODAG_TESTS_UNIT_INGEST_GITHUB_DOOR_BED_H
#define NODAG_TESTS_UNIT_INGEST_GITHUB_DOOR_BED_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "ingest/github/delivery.h"
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

static inline int test_publish(struct bus *bus, const struct bus_message *message,
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
static inline void deliver(struct bed *bed, size_t index, int code)
{
    struct message *message = &bed->bus.messages[index];
    message->delivered(message->argument, code, 0, 0);
}

/* Bytes of a secret are its path, so that "one" is the secret "one". */
static inline int read_secret(const char *path, struct buffer *secret, struct error *error)
{
    (void)error;
    return buffer_append_text(secret, path);
}

static inline void set_secrets(struct bed *bed, const char *text)
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

static inline struct bed *bed_new(int64_t deadline_ms)
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

static inline void bed_free(struct bed *bed)
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

static inline void add_header(struct buffer *text, const char *name, const char *value)
{
    if (value[0] != '\0')
        assert_int_equal(buffer_append_format(text, "%s: %s\r\n", name, value), 0);
}

/* Signs a body as GitHub does. */
static inline void sign(const char *secret, const char *body,
                        char ret_signature[7 + DIGEST_TEXT_BYTES])
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
static inline char *request_text(const struct request *request)
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

static inline struct peer *send_request(struct bed *bed, const struct request *request)
{
    struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    CLEANUP(mem_free) char *text = request_text(request);
    peer_send_text(peer, text);
    return peer;
}

static inline bool is_answered(void *argument)
{
    return peer_answer_count(argument) > 0;
}

/* A number that is waited for. */
struct expected_count {
    const size_t *count;
    size_t expected;
};

static inline bool count_is_reached(void *argument)
{
    const struct expected_count *wait = argument;
    return *wait->count == wait->expected;
}

/* Waits until the bus was given so many messages in all. */
static inline void wait_for_messages(struct bed *bed, size_t count)
{
    struct expected_count wait = {&bed->bus.message_count, count};
    bench_wait(&bed->bench, count_is_reached, &wait);
}

/* Waits until so many requests are under way. */
static inline void wait_for_requests(struct bed *bed, size_t count)
{
    struct expected_count wait = {&bed->door->delivery_count, count};
    bench_wait(&bed->bench, count_is_reached, &wait);
}

/* Fails unless the peer gets this status. */
static inline void expect_status(struct bed *bed, struct peer *peer, int status)
{
    bench_wait(&bed->bench, is_answered, peer);
    if (peer_status(peer) != status)
        fail_msg("status %d instead of %d: %s", peer_status(peer), status, peer_text(peer));
}

/* Refusals are logged; the tests look at the answers. */
static inline void silence_log(void)
{
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

#endif
