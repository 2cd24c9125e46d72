/*
 * The Kafka bus: publishing.
 *
 * Design: each accepted message has a `struct kafka_delivery` that travels through librdkafka as
 * its opaque and comes back with the delivery report. All of them stand in one list, so that none
 * is forgotten, whatever happens to the handle:
 *
 *      publish ──▶ list + rd_kafka_producev ──▶ delivery report ──▶ delivered(code), out of the list
 *                     └─ refused by librdkafka for another reason than a full queue ──▶ delivered(code) from the loop
 *
 * A fatal error of the idempotent producer (the broker lost its sequence numbers, for example)
 * makes the handle useless for ever. Then every message still in the list is answered with
 * ERR_TIMEOUT (it may or may not stand in its topic, which is the truth) and a new handle is made;
 * publishers go on with a new sequence. Nothing is sent twice by ourselves.
 *
 * Invariants: a delivery is in the list from the moment it is accepted until the moment its owner
 * is called; callbacks are called from the loop only; opaques of a handle that was given to the
 * reaper are never looked at again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* Pause before a handle is made anew, where making it failed. */
#define RESTART_DELAY_MS 1000

/* Guards against a struct of another type: it travels through librdkafka. */
#define KAFKA_DELIVERY_MAGIC 0x6b64656cu

/* One message under way. */
struct kafka_delivery {
    unsigned magic;
    struct kafka_producer *producer;        /* borrowed */
    struct kafka_delivery *previous, *next; /* in the producer's list */
    bus_delivered_fn delivered;             /* NULL: nobody is told */
    void *argument;                         /* of delivered */
    enum topic topic;                       /* where to */
    int64_t started_ms;                     /* when it was accepted */
    int refused_code;                       /* librdkafka did not take it: the answer */
};

struct kafka_producer {
    struct kafka_bus *bus;                                /* borrowed */
    rd_kafka_t *handle;                                   /* owned; NULL between two handles */
    rd_kafka_topic_t *topics[TOPIC_COUNT];                /* owned; made when first used */
    struct kafka_queue *queue;                            /* owned; NULL with handle */
    struct kafka_watch *watch;                            /* owned; NULL with handle */
    struct kafka_delivery *deliveries;                    /* list, newest first */
    size_t delivery_count;                                /* in the list */
    bool closing;                                         /* the handle is about to go */
    bool freeing;                                         /* and the producer with it */
    struct loop_timer *restart_timer;                     /* owned */
    struct loop_timer *flush_timer;                       /* owned */
    void (*flushed)(void *argument, size_t still_queued); /* NULL: nobody waits */
    void *flush_argument;                                 /* of flushed */
};

static int producer_open(struct kafka_producer *producer, struct error *error);

/* ---- deliveries ---- */

static void delivery_unlink(struct kafka_delivery *delivery)
{
    struct kafka_producer *producer = delivery->producer;
    if (delivery->previous != NULL)
        delivery->previous->next = delivery->next;
    else
        producer->deliveries = delivery->next;
    if (delivery->next != NULL)
        delivery->next->previous = delivery->previous;
    producer->delivery_count--;
}

static struct kafka_delivery *delivery_new(struct kafka_producer *producer, enum topic topic,
                                           bus_delivered_fn delivered, void *argument)
{
    struct kafka_delivery *delivery = MEM_NEW(struct kafka_delivery);
    delivery->magic = KAFKA_DELIVERY_MAGIC;
    delivery->producer = producer;
    delivery->delivered = delivered;
    delivery->argument = argument;
    delivery->topic = topic;
    delivery->started_ms = loop_now_ms(producer->bus->loop);
    delivery->next = producer->deliveries;
    if (delivery->next != NULL)
        delivery->next->previous = delivery;
    producer->deliveries = delivery;
    producer->delivery_count++;
    return delivery;
}

static void delivery_free(struct kafka_delivery *delivery)
{
    delivery_unlink(delivery);
    loop_cancel_deferred(delivery->producer->bus->loop, delivery);
    delivery->magic = 0;
    free(delivery);
}

static void delivery_count(const struct kafka_delivery *delivery, int code)
{
    struct kafka_bus *bus = delivery->producer->bus;
    const struct kafka_metrics *metrics = &bus->metrics;
    if (metrics->published == NULL)
        return;
    const char *values[] = {topic_name(delivery->topic), err_name(code), NULL};
    if (code != 0) {
        metric_add(metrics_series(metrics->failed, values), 1);
        return;
    }
    values[1] = NULL;
    metric_add(metrics_series(metrics->published, values), 1);
    metric_observe(metrics->delivery_seconds,
                   (double)(loop_now_ms(bus->loop) - delivery->started_ms) / 1000);
}

/* Answers a message: its owner is called, after everything else is done. */
static void delivery_finish(struct kafka_delivery *delivery, int code, int32_t partition,
                            int64_t offset)
{
    struct kafka_producer *producer = delivery->producer;
    const struct kafka_delivery done = *delivery;
    delivery_count(delivery, code);
    delivery_free(delivery);
    if (code == 0)
        kafka_bus_note(producer->bus, true);
    else if (err_is_retriable(code))
        kafka_bus_note(producer->bus, false);
    if (producer->delivery_count == 0 && producer->flushed != NULL)
        loop_timer_set(producer->flush_timer, 0);
    if (done.delivered != NULL)
        done.delivered(done.argument, code, partition, offset);
}

/* A message that librdkafka did not take. */
static void delivery_on_refused(void *argument)
{
    struct kafka_delivery *delivery =
        CAST_CHECKED(struct kafka_delivery, argument, KAFKA_DELIVERY_MAGIC);
    delivery_finish(delivery, delivery->refused_code, -1, -1);
}

/* ---- events ---- */

static void take_delivery_reports(rd_kafka_event_t *event)
{
    for (const rd_kafka_message_t *message = rd_kafka_event_message_next(event); message != NULL;
         message = rd_kafka_event_message_next(event)) {
        struct kafka_delivery *delivery =
            CAST_CHECKED(struct kafka_delivery, message->_private, KAFKA_DELIVERY_MAGIC);
        int code = kafka_error_code(message->err);
        delivery_finish(delivery, code, message->partition, code == 0 ? message->offset : -1);
    }
}

static void producer_take_fatal(struct kafka_producer *producer, const char *text)
{
    if (producer->closing)
        return;
    LOG_ERROR("the Kafka producer is made anew after a fatal error", LOG_TEXT("text", text),
              LOG_INT("unanswered", producer->delivery_count));
    if (producer->bus->metrics.restarts != NULL)
        metric_add(producer->bus->metrics.restarts, 1);
    producer->closing = true;
    kafka_queue_close(producer->queue);
}

static void producer_on_event(void *argument, rd_kafka_event_t *event)
{
    struct kafka_producer *producer = argument;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
        take_delivery_reports(event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        if (rd_kafka_event_error_is_fatal(event) != 0)
            producer_take_fatal(producer, rd_kafka_event_error_string(event));
        else
            kafka_bus_take_error(producer->bus, "producer", event);
        break;
    default:
        break;
    }
}

static void producer_release_handle(struct kafka_producer *producer)
{
    kafka_watch_detach(producer->watch);
    kafka_bus_reap(producer->bus, TAKE(producer->handle), producer->topics, TOPIC_COUNT,
                   TAKE(producer->watch));
    memset(producer->topics, 0, sizeof(producer->topics));
    producer->queue = NULL;
}

/*
 * Answers every message that the lost handle had; those that are refused have their answer coming.
 */
static void producer_fail_deliveries(struct kafka_producer *producer)
{
    for (struct kafka_delivery *delivery = producer->deliveries; delivery != NULL;
         delivery = delivery->next) {
        if (delivery->refused_code != 0)
            continue;
        delivery->refused_code = ERR_TIMEOUT;
        loop_defer(producer->bus->loop, delivery_on_refused, delivery);
    }
}

static void producer_restart(void *argument)
{
    struct kafka_producer *producer = argument;
    struct error error = {0};
    int code = producer_open(producer, &error);
    if (code == 0)
        return;
    LOG_ERROR("no Kafka producer; trying again", LOG_TEXT("text", error.text));
    loop_timer_set(producer->restart_timer, RESTART_DELAY_MS);
}

static void producer_on_closed(void *argument)
{
    struct kafka_producer *producer = argument;
    producer_release_handle(producer);
    if (producer->freeing)
        return;
    producer_fail_deliveries(producer);
    producer_restart(producer);
}

static void producer_on_news(void *argument)
{
    struct kafka_producer *producer = argument;
    struct kafka_watch_result result;
    kafka_watch_read(producer->watch, &result);
    kafka_bus_take_result(producer->bus, &result);
}

/* ---- publishing ---- */

static rd_kafka_headers_t *make_headers(const struct bus_message *message)
{
    if (message->header_count == 0)
        return NULL;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);
    for (size_t i = 0; i < message->header_count; i++) {
        const struct event_header *header = &message->headers[i];
        (void)rd_kafka_header_add(headers, header->name, -1, header->value,
                                  (ssize_t)header->value_bytes);
    }
    return headers;
}

/* Hands a message to librdkafka; it has the headers then, and the value if it was to be taken. */
static rd_kafka_resp_err_t produce(struct kafka_producer *producer,
                                   const struct bus_message *message,
                                   struct kafka_delivery *delivery)
{
    rd_kafka_topic_t **topic = &producer->topics[message->topic];
    if (*topic == NULL)
        *topic = rd_kafka_topic_new(producer->handle, topic_name(message->topic), NULL);
    int flags = message->take_value ? RD_KAFKA_MSG_F_FREE : RD_KAFKA_MSG_F_COPY;
    rd_kafka_headers_t *headers = make_headers(message);
    rd_kafka_resp_err_t failed =
        rd_kafka_producev(producer->handle, RD_KAFKA_V_RKT(*topic),
                          RD_KAFKA_V_PARTITION(message->partition), RD_KAFKA_V_MSGFLAGS(flags),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)message->value, message->value_bytes),
                          RD_KAFKA_V_KEY((void *)(uintptr_t)message->key, message->key_bytes),
                          RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(delivery), RD_KAFKA_V_END);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return failed;
}

int kafka_publish(struct bus *interface, const struct bus_message *message,
                  bus_delivered_fn delivered, void *argument)
{
    struct kafka_bus *bus = kafka_bus_of(interface);
    struct kafka_producer *producer = bus->producer;
    bus_message_check(message);
    if (bus_message_bytes(message) > (size_t)topic_row(message->topic)->message_max_bytes)
        return ERR_TOO_LARGE;
    if (producer->handle == NULL)
        return ERR_QUEUE_FULL;
    struct kafka_delivery *delivery = delivery_new(producer, message->topic, delivered, argument);
    rd_kafka_resp_err_t failed = produce(producer, message, delivery);
    int code = kafka_error_code(failed);
    if (code == 0)
        return 0;
    if (code == ERR_QUEUE_FULL || code == ERR_TOO_LARGE) {
        delivery_free(delivery);
        return code;
    }
    if (message->take_value)
        free((void *)(uintptr_t)message->value);
    delivery->refused_code = code;
    loop_defer(bus->loop, delivery_on_refused, delivery);
    return 0;
}

/* ---- flushing ---- */

static void producer_on_flush(void *argument)
{
    struct kafka_producer *producer = argument;
    void (*flushed)(void *, size_t) = TAKE(producer->flushed);
    if (flushed != NULL)
        flushed(producer->flush_argument, producer->delivery_count);
}

void kafka_producer_flush(struct kafka_producer *producer, int64_t timeout_ms,
                          void (*flushed)(void *argument, size_t still_queued), void *argument)
{
    assert(producer->flushed == NULL);
    producer->flushed = flushed;
    producer->flush_argument = argument;
    loop_timer_set(producer->flush_timer, producer->delivery_count == 0 ? 0 : timeout_ms);
}

/* ---- making and ending ---- */

static const struct kafka_queue_handler producer_queue_handler = {.event = producer_on_event,
                                                                  .closed = producer_on_closed};

/* Makes the handle, its bridge and its watch. */
static int producer_open(struct kafka_producer *producer, struct error *error)
{
    struct kafka_bus *bus = producer->bus;
    rd_kafka_conf_t *conf = NULL;
    int code = kafka_conf_new(&bus->settings, &bus->properties, bus->client_name, KAFKA_PRODUCER,
                              NULL, &conf, error);
    if (code == 0)
        code = kafka_handle_new(RD_KAFKA_PRODUCER, conf, &producer->handle, error);
    if (code != 0)
        return code;
    producer->closing = false;
    producer->queue = kafka_queue_open(bus->loop, rd_kafka_queue_get_main(producer->handle),
                                       &producer_queue_handler, producer);
    producer->watch = kafka_watch_new(bus->loop, producer->handle, producer_on_news, producer);
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (bus->counts[t] >= 0)
            kafka_watch_ask(producer->watch, (enum topic)t);
    }
    return 0;
}

int kafka_producer_new(struct kafka_bus *bus, struct kafka_producer **ret_producer,
                       struct error *error)
{
    struct kafka_producer *producer = MEM_NEW(struct kafka_producer);
    producer->bus = bus;
    int code = producer_open(producer, error);
    if (code != 0) {
        free(producer);
        return code;
    }
    producer->restart_timer = loop_timer_new(bus->loop, producer_restart, producer);
    producer->flush_timer = loop_timer_new(bus->loop, producer_on_flush, producer);
    *ret_producer = producer;
    return 0;
}

size_t kafka_producer_queue_length(const struct kafka_producer *producer)
{
    return producer->delivery_count;
}

rd_kafka_t *kafka_producer_handle(struct kafka_producer *producer)
{
    return producer->handle;
}

struct kafka_watch *kafka_producer_watch(struct kafka_producer *producer)
{
    return producer != NULL ? producer->watch : NULL;
}

void kafka_producer_free(struct kafka_producer *producer)
{
    if (producer == NULL)
        return;
    producer->freeing = true;
    if (producer->queue != NULL)
        kafka_queue_close(producer->queue);
    while (producer->deliveries != NULL) {
        const struct kafka_delivery cancelled = *producer->deliveries;
        delivery_free(producer->deliveries);
        if (cancelled.delivered != NULL)
            cancelled.delivered(cancelled.argument, ERR_CANCELLED, -1, -1);
    }
    loop_timer_free(producer->restart_timer);
    loop_timer_free(producer->flush_timer);
    free(producer);
}
