/*
 * Bounded parsing: see parse_queue.h.
 *
 * Design: a timer of zero delay makes the turns: unlike a deferred call it lets the descriptors have theirs between two
 * pieces.
 */
#include "ingest/github/parse_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct parse_queue {
    struct loop *loop;        /* borrowed */
    struct loop_timer *timer; /* set while jobs wait */
    struct parse_job *first;
    struct parse_job **last; /* the link at the end */
};

/* Reads the next piece. Returns true when the job is done, with what came of it. */
static bool read_piece(struct parse_job *job, int *ret_code, struct error *error)
{
    size_t piece_bytes = job->byte_count - job->read_bytes;
    if (piece_bytes > PARSE_PIECE_BYTES)
        piece_bytes = PARSE_PIECE_BYTES;
    *ret_code = payload_feed(job->payload, job->bytes + job->read_bytes, piece_bytes, error);
    if (*ret_code != 0)
        return true;
    job->read_bytes += piece_bytes;
    if (job->read_bytes < job->byte_count)
        return false;
    *ret_code = payload_finish(job->payload, error);
    return true;
}

/* Takes a job out of its queue. */
static void unlink_job(struct parse_job *job)
{
    *job->previous = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        job->queue->last = job->previous;
    job->queue = NULL;
}

static void on_turn(void *argument)
{
    struct parse_queue *queue = argument;
    struct parse_job *job = queue->first;
    if (job == NULL)
        return;
    struct error error;
    int code = 0;
    bool is_done = read_piece(job, &code, &error);
    if (is_done)
        unlink_job(job);
    if (queue->first != NULL)
        loop_timer_set(queue->timer, 0);
    if (is_done)
        job->finished(job, code, &error);
}

struct parse_queue *parse_queue_new(struct loop *loop)
{
    struct parse_queue *queue = MEM_NEW(struct parse_queue);
    queue->loop = loop;
    queue->timer = loop_timer_new(loop, on_turn, queue);
    queue->last = &queue->first;
    return queue;
}

void parse_queue_free(struct parse_queue *queue)
{
    if (queue == NULL)
        return;
    while (queue->first != NULL)
        unlink_job(queue->first);
    loop_timer_free(queue->timer);
    free(queue);
}

void parse_queue_start(struct parse_queue *queue, struct parse_job *job)
{
    assert(job->payload == NULL && job->finished != NULL);
    job->payload = payload_new();
    if (job->byte_count <= PARSE_PIECE_BYTES) {
        struct error error;
        int code = 0;
        bool is_done = read_piece(job, &code, &error);
        assert(is_done);
        (void)is_done;
        job->finished(job, code, &error);
        return;
    }
    payload_trim(job->payload);
    job->next = NULL;
    job->previous = queue->last;
    job->queue = queue;
    *queue->last = job;
    queue->last = &job->next;
    if (!loop_timer_is_set(queue->timer))
        loop_timer_set(queue->timer, 0);
}

void parse_job_cancel(struct parse_job *job)
{
    if (job->queue != NULL)
        unlink_job(job);
    payload_free(job->payload);
    job->payload = NULL;
}
