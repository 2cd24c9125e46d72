/*
 * Tests of one request at the door: the table of answers, acknowledgement, failures, repeats, deadline.
 *
 * Design: see door_bed.h. Nothing sleeps: the bench waits for conditions.
 */
#include "ingest/github/delivery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ingest/github/door_bed.h"

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

/* A chunked body is of unknown length; the limit for bodies is below what is reserved for one at first. */
static void test_chunked_body_under_a_small_limit(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(mem_free) char *whole = request_text(&(struct request){0});
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(100000);
    int head_bytes = (int)(strstr(whole, "Content-Length:") - whole);
    assert_int_equal(
        buffer_append_format(&text, "%.*sTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
                             head_bytes, whole, strlen(PAYLOAD), PAYLOAD),
        0);
    CLEANUP(peer_free) struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    peer_send_text(peer, text.data);
    wait_for_messages(bed, 1);
    deliver(bed, 0, 0);
    expect_status(bed, peer, 202);
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

int main(void)
{
    silence_log();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_accepted_when_acknowledged),
        cmocka_unit_test(test_chunked_body_under_a_small_limit),
        cmocka_unit_test(test_failures_of_the_broker),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
