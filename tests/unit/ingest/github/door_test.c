/*
 * Tests of what requests share: draining, clients that leave, secrets that are replaced, metrics.
 *
 * Design: see door_bed.h. Nothing sleeps: the bench waits for conditions.
 */
#include "ingest/github/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ingest/github/door_bed.h"

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
    silence_log();
    const struct CMUnitTest tests[] = {
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
