/*
 * Tests of bounded parsing, on the simulated loop, where a step of the loop is a turn.
 *
 * Design: bodies of many small tokens and of one huge token; turns are counted, which is what the bound is about.
 */
#include "ingest/github/parse_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* A job with what came of it. */
struct tried {
    struct parse_job job; /* first, so that the pointer is the same */
    bool is_finished;
    int code;
    struct error error;
    char *text; /* owned */
};

/* A queue with its loop. */
struct bed {
    struct loop *loop;
    struct parse_queue *queue;
};

static void on_finished(struct parse_job *job, int code, const struct error *error)
{
    struct tried *tried = (struct tried *)(void *)job;
    assert_false(tried->is_finished);
    assert_true(code == 0 || error->text[0] != '\0');
    tried->is_finished = true;
    tried->code = code;
    if (code != 0)
        tried->error = *error;
}

static struct bed *bed_new(void)
{
    struct bed *bed = MEM_NEW(struct bed);
    bed->loop = loop_new_simulated(1, 0);
    bed->queue = parse_queue_new(bed->loop);
    return bed;
}

static void bed_free(struct bed *bed)
{
    parse_queue_free(bed->queue);
    loop_free(bed->loop);
    free(bed);
}
DEFINE_CLEANUP(struct bed *, bed_free)

/* Starts a job over `text` (taken). */
static void start(struct bed *bed, struct tried *tried, char *text)
{
    *tried = (struct tried){.text = text};
    tried->job.bytes = text;
    tried->job.byte_count = strlen(text);
    tried->job.finished = on_finished;
    parse_queue_start(bed->queue, &tried->job);
}

static void end(struct tried *tried)
{
    parse_job_cancel(&tried->job);
    free(tried->text);
}

/* Makes {"action":"opened","x":[1,1,…]} of about `byte_count` bytes; owned. */
static char *dense_text(size_t byte_count)
{
    static const char head[] = "{\"action\":\"opened\",\"x\":[1";
    char *text = mem_alloc(byte_count + sizeof(head) + 4);
    memcpy(text, head, sizeof(head) - 1);
    size_t at = sizeof(head) - 1;
    for (; at < byte_count; at += 2)
        memcpy(text + at, ",1", 2);
    memcpy(text + at, "]}", 3);
    return text;
}

/* Makes {"action":"opened","x":"yyy…"} of about `byte_count` bytes; owned. */
static char *huge_token_text(size_t byte_count)
{
    char *value = mem_alloc(byte_count + 1);
    memset(value, 'y', byte_count);
    char *text = mem_format("{\"action\":\"opened\",\"x\":\"%s\"}", value);
    free(value);
    return text;
}

/* Runs the loop until nothing is left; returns the number of turns. */
static size_t run(struct bed *bed)
{
    size_t turns = 0;
    while (loop_step(bed->loop))
        turns++;
    return turns;
}

static void test_small_bodies_are_read_at_once(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried tried;
    start(bed, &tried, mem_copy_text("{\"action\":\"opened\"}"));
    assert_true(tried.is_finished);
    assert_int_equal(tried.code, 0);
    assert_true(text_equals(payload_text(tried.job.payload, PAYLOAD_ACTION), "opened"));
    assert_int_equal(run(bed), 0);
    end(&tried);
    start(bed, &tried, mem_copy_text("{\"action\":"));
    assert_int_equal(tried.code, ERR_INPUT);
    end(&tried);
    start(bed, &tried, mem_copy_text(""));
    assert_int_equal(tried.code, ERR_INPUT);
    end(&tried);
}

static void test_large_bodies_take_a_turn_a_piece(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried tried;
    start(bed, &tried, dense_text(10 * PARSE_PIECE_BYTES - 100));
    assert_false(tried.is_finished);
    assert_int_equal(run(bed), 10);
    assert_true(tried.is_finished);
    assert_int_equal(tried.code, 0);
    assert_true(text_equals(payload_text(tried.job.payload, PAYLOAD_ACTION), "opened"));
    end(&tried);
}

/* Of one huge token each turn reads a piece like any other: none reads all of it. */
static void test_a_huge_token_takes_a_turn_a_piece(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried tried;
    start(bed, &tried, huge_token_text(100 * PARSE_PIECE_BYTES - 100));
    assert_int_equal(run(bed), 100);
    assert_int_equal(tried.code, 0);
    assert_true(text_equals(payload_text(tried.job.payload, PAYLOAD_ACTION), "opened"));
    end(&tried);
}

static void test_first_come_first_served(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried first;
    struct tried second;
    struct tried small;
    start(bed, &first, dense_text(3 * PARSE_PIECE_BYTES - 100));
    start(bed, &second, dense_text(2 * PARSE_PIECE_BYTES - 100));
    start(bed, &small, mem_copy_text("{}"));
    assert_true(small.is_finished); /* a small one never waits behind large ones */
    for (int i = 0; i < 3; i++) {
        assert_false(first.is_finished);
        assert_true(loop_step(bed->loop));
    }
    assert_true(first.is_finished);
    assert_false(second.is_finished);
    assert_int_equal(run(bed), 2);
    assert_true(second.is_finished);
    end(&first);
    end(&second);
    end(&small);
}

static void test_cancelled_jobs_are_not_told(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried tried[3];
    for (size_t i = 0; i < ARRAY_COUNT(tried); i++)
        start(bed, &tried[i], dense_text(2 * PARSE_PIECE_BYTES - 100));
    assert_true(loop_step(bed->loop));
    parse_job_cancel(&tried[0].job); /* half read */
    parse_job_cancel(&tried[2].job); /* the last */
    (void)run(bed);
    assert_false(tried[0].is_finished);
    assert_true(tried[1].is_finished);
    assert_false(tried[2].is_finished);
    for (size_t i = 0; i < ARRAY_COUNT(tried); i++)
        end(&tried[i]);
    struct tried again; /* the queue is whole */
    start(bed, &again, dense_text(2 * PARSE_PIECE_BYTES - 100));
    assert_int_equal(run(bed), 2);
    assert_true(again.is_finished);
    end(&again);
}

static void test_faults_in_large_bodies_are_found(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct tried tried;
    char *text = dense_text(3 * PARSE_PIECE_BYTES);
    text[2 * PARSE_PIECE_BYTES] = '\x01';
    start(bed, &tried, text);
    (void)run(bed);
    assert_true(tried.is_finished);
    assert_int_equal(tried.code, ERR_INPUT);
    end(&tried);
    text = huge_token_text(3 * PARSE_PIECE_BYTES);
    text[2 * PARSE_PIECE_BYTES] = '\x01';
    start(bed, &tried, text);
    (void)run(bed);
    assert_int_equal(tried.code, ERR_INPUT);
    assert_non_null(strstr(tried.error.text, "in a string")); /* yajl did not see that part of it */
    end(&tried);
    text = dense_text(3 * PARSE_PIECE_BYTES);
    text[strlen(text) - 1] = '\0';
    start(bed, &tried, text);
    (void)run(bed);
    assert_int_equal(tried.code, ERR_INPUT);
    end(&tried);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_bodies_are_read_at_once),
        cmocka_unit_test(test_large_bodies_take_a_turn_a_piece),
        cmocka_unit_test(test_a_huge_token_takes_a_turn_a_piece),
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_cancelled_jobs_are_not_told),
        cmocka_unit_test(test_faults_in_large_bodies_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
