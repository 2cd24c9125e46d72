/*
 * The Kafka bus: a queue of librdkafka on the loop.
 *
 * Design: librdkafka writes to the eventfd when something comes into the queue that nobody looked
 * at since; so a turn first empties the eventfd, then takes events until there are none. A turn
 * takes at most KAFKA_EVENTS_PER_TURN; if that was not all it writes to the eventfd itself, which
 * brings the next turn after every other descriptor had its own. In this order no event can be
 * overlooked: what comes in after the last look writes again. A slow tick turns, too, because a
 * consumer that is not polled for max.poll.interval.ms is thrown out of its group, and a quiet one
 * would never be polled.
 *
 * Invariants: no event is held when `closed` is called; after it nothing of the queue is touched.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* Events that one turn handles: some milliseconds of work at most. */
#define KAFKA_EVENTS_PER_TURN 100

/* How often a quiet queue is looked at: far below every session and poll timeout. */
#define KAFKA_TICK_MS 1000

/* Guards against a struct of another type. */
#define KAFKA_QUEUE_MAGIC 0x6b717565u

struct kafka_queue {
    unsigned magic;
    struct loop *loop;                         /* borrowed */
    rd_kafka_queue_t *queue;                   /* owned */
    const struct kafka_queue_handler *handler; /* borrowed */
    void *argument;                            /* of handler */
    int event_fd;                              /* owned */
    struct loop_fd *watch;                     /* owned */
    struct loop_timer *tick;                   /* owned */
    bool in_turn;                              /* callbacks may be running */
    bool closing;                              /* close was called within one */
};

static void queue_wake(const struct kafka_queue *queue)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full: then it is awake already. */
    (void)!write(queue->event_fd, &one, sizeof(one));
}

/* Releases everything and tells the owner. */
static void queue_finish(struct kafka_queue *queue)
{
    const struct kafka_queue_handler *handler = queue->handler;
    void *argument = queue->argument;
    loop_fd_free(queue->watch);
    loop_timer_free(queue->tick);
    rd_kafka_queue_io_event_enable(queue->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(queue->queue);
    (void)close(queue->event_fd);
    queue->magic = 0;
    free(queue);
    handler->closed(argument);
}

/* Hands out what is there, within the budget. */
static void queue_turn(struct kafka_queue *queue)
{
    uint64_t ignored = 0;
    (void)!read(queue->event_fd, &ignored, sizeof(ignored));
    queue->in_turn = true;
    int left = KAFKA_EVENTS_PER_TURN;
    for (; left > 0 && !queue->closing; left--) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue->queue, 0);
        if (event == NULL)
            break;
        queue->handler->event(queue->argument, event);
        rd_kafka_event_destroy(event);
    }
    if (left == 0)
        queue_wake(queue);
    if (!queue->closing && queue->handler->turn_over != NULL)
        queue->handler->turn_over(queue->argument);
    queue->in_turn = false;
    if (queue->closing)
        queue_finish(queue);
}

static void queue_on_readable(int fd, unsigned what, void *argument)
{
    (void)fd;
    (void)what;
    queue_turn(CAST_CHECKED(struct kafka_queue, argument, KAFKA_QUEUE_MAGIC));
}

static void queue_on_tick(void *argument)
{
    struct kafka_queue *queue = CAST_CHECKED(struct kafka_queue, argument, KAFKA_QUEUE_MAGIC);
    loop_timer_set(queue->tick, KAFKA_TICK_MS);
    queue_turn(queue);
}

struct kafka_queue *kafka_queue_open(struct loop *loop, rd_kafka_queue_t *rd_queue,
                                     const struct kafka_queue_handler *handler, void *argument)
{
    struct kafka_queue *queue = MEM_NEW(struct kafka_queue);
    queue->magic = KAFKA_QUEUE_MAGIC;
    queue->loop = loop;
    queue->queue = rd_queue;
    queue->handler = handler;
    queue->argument = argument;
    queue->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->event_fd < 0)
        kafka_abort("eventfd failed: is the limit of open files reached?");
    queue->watch = loop_fd_new(loop, queue->event_fd, LOOP_READ, queue_on_readable, queue);
    queue->tick = loop_timer_new(loop, queue_on_tick, queue);
    loop_timer_set(queue->tick, KAFKA_TICK_MS);
    const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(rd_queue, queue->event_fd, &one, sizeof(one));
    /* Something may have come in before. */
    queue_wake(queue);
    return queue;
}

void kafka_queue_close(struct kafka_queue *queue)
{
    assert(!queue->closing);
    queue->closing = true;
    if (!queue->in_turn)
        queue_finish(queue);
}
