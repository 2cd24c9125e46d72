/*
 * The Kafka bus: reading a topic without a group.
 *
 * Design: librdkafka's simple consumer with all partitions on one queue. It needs no group, and so
 * no right on one; it stores no offsets. It says when the end of a partition was reached
 * (enable.partition.eof): the first time that happens after a partition was added, everything that
 * stood there at that moment has been handed out, also where the last records are gone by
 * compaction or belong to aborted transactions.
 *
 * Invariants: a record of a partition that is not read is dropped; offsets rise within a reading;
 * caught_up comes once for each addition.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* Guards against a struct of another type. */
#define KAFKA_READER_MAGIC 0x6b726472u

/* What is known of one partition. */
struct reader_slot {
    bool active;    /* is read */
    bool caught_up; /* was told */
    int64_t next;   /* least offset that may come next */
};

struct kafka_reader {
    struct bus_reader reader; /* first: the interface */
    unsigned magic;
    struct kafka_bus *bus;             /* borrowed */
    struct kafka_reader *next;         /* in the bus' list */
    enum topic topic;                  /* what it reads */
    struct bus_reader_handler handler; /* whom it tells */
    void *argument;                    /* of handler */
    rd_kafka_t *handle;                /* owned */
    rd_kafka_topic_t *topic_handle;    /* owned */
    rd_kafka_queue_t *records;         /* borrowed from queue */
    struct kafka_queue *queue;         /* owned */
    struct reader_slot *slots;         /* owned; by partition */
    int32_t slot_count;                /* how many */
    struct event_header *headers;      /* owned; of the present record */
    size_t header_capacity;            /* of headers */
    bool freed;                        /* nobody is told any more */
};

static struct kafka_reader *reader_of(struct bus_reader *reader)
{
    return CAST_CHECKED(struct kafka_reader, (void *)reader, KAFKA_READER_MAGIC);
}

static struct reader_slot *reader_slot(struct kafka_reader *reader, int32_t partition)
{
    assert(partition >= 0);
    if (partition >= reader->slot_count) {
        reader->slots =
            mem_resize_array(TAKE(reader->slots), (size_t)partition + 1, sizeof(*reader->slots));
        for (int32_t p = reader->slot_count; p <= partition; p++)
            reader->slots[p] = (struct reader_slot){0};
        reader->slot_count = partition + 1;
    }
    return &reader->slots[partition];
}

static void take_message(struct kafka_reader *reader, const rd_kafka_message_t *message)
{
    struct reader_slot *slot = reader_slot(reader, message->partition);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || !slot->active || message->offset < slot->next)
        return;
    slot->next = message->offset + 1;
    kafka_bus_count_consumed(reader->bus, reader->topic);
    const struct bus_record record =
        kafka_read_record(reader->topic, message, &reader->headers, &reader->header_capacity);
    reader->handler.record(reader->argument, &record);
}

static void take_end(struct kafka_reader *reader, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_t *where = rd_kafka_event_topic_partition(event);
    if (where == NULL)
        return;
    int32_t partition = where->partition;
    rd_kafka_topic_partition_destroy(where);
    kafka_bus_note(reader->bus, true);
    struct reader_slot *slot = reader_slot(reader, partition);
    if (!slot->active || slot->caught_up)
        return;
    slot->caught_up = true;
    reader->handler.caught_up(reader->argument, partition);
}

static void reader_on_event(void *argument, rd_kafka_event_t *event)
{
    struct kafka_reader *reader = CAST_CHECKED(struct kafka_reader, argument, KAFKA_READER_MAGIC);
    const rd_kafka_message_t *message = NULL;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        for (message = rd_kafka_event_message_next(event); message != NULL && !reader->freed;
             message = rd_kafka_event_message_next(event))
            take_message(reader, message);
        break;
    case RD_KAFKA_EVENT_ERROR:
        if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            take_end(reader, event);
        else
            kafka_bus_take_error(reader->bus, topic_name(reader->topic), event);
        break;
    default:
        break;
    }
}

static void reader_on_closed(void *argument)
{
    struct kafka_reader *reader = CAST_CHECKED(struct kafka_reader, argument, KAFKA_READER_MAGIC);
    kafka_bus_reap(reader->bus, TAKE(reader->handle), &reader->topic_handle, 1, NULL);
    free(reader->slots);
    free(reader->headers);
    reader->magic = 0;
    free(reader);
}

static const struct kafka_queue_handler reader_queue_handler = {.event = reader_on_event,
                                                                .closed = reader_on_closed};

int kafka_read(struct bus *interface, enum topic topic, const struct bus_reader_handler *handler,
               void *argument, struct bus_reader **ret_reader, struct error *error)
{
    struct kafka_bus *bus = kafka_bus_of(interface);
    rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *handle = NULL;
    int code = kafka_conf_new(&bus->settings, &bus->properties, bus->client_name, KAFKA_READER,
                              NULL, &conf, error);
    if (code == 0)
        code = kafka_handle_new(RD_KAFKA_CONSUMER, conf, &handle, error);
    if (code != 0)
        return code;
    struct kafka_reader *reader = MEM_NEW(struct kafka_reader);
    reader->reader.bus = interface;
    reader->magic = KAFKA_READER_MAGIC;
    reader->bus = bus;
    reader->topic = topic;
    reader->handler = *handler;
    reader->argument = argument;
    reader->handle = handle;
    reader->topic_handle = rd_kafka_topic_new(handle, topic_name(topic), NULL);
    reader->records = rd_kafka_queue_new(handle);
    rd_kafka_queue_t *main_queue = rd_kafka_queue_get_main(handle);
    rd_kafka_queue_forward(main_queue, reader->records);
    rd_kafka_queue_destroy(main_queue);
    reader->queue = kafka_queue_open(bus->loop, reader->records, &reader_queue_handler, reader);
    reader->next = bus->readers;
    bus->readers = reader;
    *ret_reader = &reader->reader;
    return 0;
}

/* Begins at an offset, or at one of librdkafka's two ends. */
static void reader_begin(struct kafka_reader *reader, int32_t partition, int64_t offset)
{
    struct reader_slot *slot = reader_slot(reader, partition);
    assert(!slot->active);
    *slot = (struct reader_slot){.active = true};
    if (rd_kafka_consume_start_queue(reader->topic_handle, partition, offset, reader->records) != 0)
        LOG_ERROR("a partition cannot be read", LOG_TEXT("topic", topic_name(reader->topic)),
                  LOG_INT("partition", partition),
                  LOG_TEXT("error", rd_kafka_err2name(rd_kafka_last_error())));
}

void kafka_reader_add(struct bus_reader *interface, int32_t partition)
{
    reader_begin(reader_of(interface), partition, RD_KAFKA_OFFSET_BEGINNING);
}

void kafka_reader_add_end(struct bus_reader *interface, int32_t partition)
{
    reader_begin(reader_of(interface), partition, RD_KAFKA_OFFSET_END);
}

void kafka_reader_add_at(struct bus_reader *interface, int32_t partition, int64_t offset)
{
    assert(offset >= 0);
    reader_begin(reader_of(interface), partition, offset);
}

void kafka_reader_remove(struct bus_reader *interface, int32_t partition)
{
    struct kafka_reader *reader = reader_of(interface);
    struct reader_slot *slot = reader_slot(reader, partition);
    if (!slot->active)
        return;
    slot->active = false;
    /* Waits for librdkafka's own thread to take note: no network, well below a millisecond. */
    (void)rd_kafka_consume_stop(reader->topic_handle, partition);
}

void kafka_reader_free(struct bus_reader *interface)
{
    struct kafka_reader *reader = reader_of(interface);
    assert(!reader->freed);
    for (int32_t p = 0; p < reader->slot_count; p++)
        kafka_reader_remove(interface, p);
    struct kafka_reader **link = &reader->bus->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    reader->freed = true;
    kafka_queue_close(reader->queue);
}
