/*
 * The bus: publish records, consume a home topic in a group, read tables. A narrow interface over
 * Kafka.
 *
 * Design: `struct bus` is a table of functions with two implementations: bus_kafka.h (librdkafka,
 * bridged to the loop by an eventfd) and bus_memory.h (an in-memory world driven by a seed, for the
 * simulation and unit tests). Nothing above this header knows which one it has.
 *
 *   publish ──▶ delivered(code, partition, offset)           exactly once for each accepted message
 *   group   ──▶ assigned → record* → revoking → (given up by the owner) → …   or lost
 *   reader  ──▶ record* → caught_up(partition)               from the beginning; nothing is stored
 *
 * Invariants: all callbacks run on the loop thread, never from within the call that started them; a
 * record is borrowed for the callback only; a stored offset is committed later and never goes back
 * within an assignment; after a partition was given up or lost nothing is stored for it.
 */
#ifndef NODAG_TOPICS_BUS_H
#define NODAG_TOPICS_BUS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "topics/envelope.h"
#include "topics/topic.h"

/* Lets the partitioner choose by key. */
#define BUS_PARTITION_BY_KEY (-1)

/* A record as consumed; everything borrowed for the callback. */
struct bus_record {
    enum topic topic;                   /* where it stands */
    int32_t partition;                  /* which partition */
    int64_t offset;                     /* which offset */
    int64_t timestamp_ms;               /* Kafka's timestamp, since 1970 */
    const char *key;                    /* NULL: none; not NUL-terminated */
    size_t key_bytes;                   /* length */
    const char *value;                  /* NULL: tombstone; not NUL-terminated */
    size_t value_bytes;                 /* length */
    const struct event_header *headers; /* as they stand in the record */
    size_t header_count;                /* how many */
};

/* A record to publish; everything is borrowed until publish returns, unless take_value. */
struct bus_message {
    enum topic topic;   /* where to */
    int32_t partition;  /* or BUS_PARTITION_BY_KEY */
    const char *key;    /* required for compacted topics */
    size_t key_bytes;   /* length */
    const char *value;  /* NULL: tombstone */
    size_t value_bytes; /* length */
    bool take_value; /* value was made by base/memory.h: the bus owns it when publish returned 0 */
    const struct event_header *headers; /* NULL with count 0 */
    size_t header_count;                /* how many */
};

/* Returns what counts against the topic's message size: key, value and headers. Any thread. */
static inline size_t bus_message_bytes(const struct bus_message *message)
{
    size_t bytes = message->key_bytes + message->value_bytes;
    for (size_t i = 0; i < message->header_count; i++)
        bytes += strlen(message->headers[i].name) + message->headers[i].value_bytes;
    return bytes;
}

/* Asserts what every publisher must keep to, whatever the implementation. Any thread. */
static inline void bus_message_check(const struct bus_message *message)
{
    assert(message->topic < TOPIC_COUNT);
    assert(message->partition >= BUS_PARTITION_BY_KEY);
    assert(message->key != NULL || !topic_is_compacted(message->topic));
    assert(message->header_count == 0 || message->headers != NULL);
    (void)message;
}

/*
 * What came of a message. code 0: acknowledged by all in-sync replicas at (partition, offset). Else
 * ERR_TIMEOUT (not acknowledged within the message timeout; it may or may not stand in the topic),
 * ERR_UNAVAILABLE, ERR_TOO_LARGE, ERR_DENIED, ERR_IO, ERR_CANCELLED (the bus was freed meanwhile:
 * only free what waited).
 */
typedef void (*bus_delivered_fn)(void *argument, int code, int32_t partition, int64_t offset);

/* One partition with the offsets that matter when it is assigned. */
struct bus_partition {
    int32_t partition; /* which */
    int64_t
        start_offset; /* where consumption starts; known for readers and the memory bus, else -1 */
};

/* What the owner of a group is told. */
struct bus_group_handler {
    /* These partitions are the owner's now; records follow. */
    void (*assigned)(void *argument, const struct bus_partition *partitions, size_t count);
    /* Asks for these back: finish effects in flight, store offsets, then call bus_group_give_up
     * once for all of them. */
    void (*revoking)(void *argument, const int32_t *partitions, size_t count);
    /* These are gone already: abandon at once; nothing is stored any more. */
    void (*lost)(void *argument, const int32_t *partitions, size_t count);
    /* One record of the home topic. */
    void (*record)(void *argument, const struct bus_record *record);
};

/* What the owner of a reader is told. */
struct bus_reader_handler {
    /* One record, oldest first within its partition. */
    void (*record)(void *argument, const struct bus_record *record);
    /* The end offset that was seen when the partition was added has been reached. Once for each
     * addition. */
    void (*caught_up)(void *argument, int32_t partition);
};

/* Consumption of a home topic in a consumer group. */
struct bus_group;

/* Consumption of a topic without a group. */
struct bus_reader;

/* The narrow interface. Implementations embed it as their first member. */
struct bus {
    /* See bus_publish. */
    int (*publish)(struct bus *bus, const struct bus_message *message, bus_delivered_fn delivered,
                   void *argument);
    /* See bus_join. */
    int (*join)(struct bus *bus, enum topic topic, const char *group_name,
                const struct bus_group_handler *handler, void *argument,
                struct bus_group **ret_group, struct error *error);
    /* See bus_group_store. */
    void (*group_store)(struct bus_group *group, int32_t partition, int64_t next_offset);
    /* See bus_group_pause. */
    void (*group_pause)(struct bus_group *group, const int32_t *partitions, size_t count,
                        bool pause);
    /* See bus_group_give_up. */
    void (*group_give_up)(struct bus_group *group);
    /* See bus_group_leave. */
    void (*group_leave)(struct bus_group *group, void (*left)(void *argument), void *argument);
    /* See bus_read. */
    int (*read)(struct bus *bus, enum topic topic, const struct bus_reader_handler *handler,
                void *argument, struct bus_reader **ret_reader, struct error *error);
    /* See bus_reader_add. */
    void (*reader_add)(struct bus_reader *reader, int32_t partition);
    /* See bus_reader_add_end. */
    void (*reader_add_end)(struct bus_reader *reader, int32_t partition);
    /* See bus_reader_add_at. */
    void (*reader_add_at)(struct bus_reader *reader, int32_t partition, int64_t offset);
    /* See bus_reader_remove. */
    void (*reader_remove)(struct bus_reader *reader, int32_t partition);
    /* See bus_reader_free. */
    void (*reader_free)(struct bus_reader *reader);
    /* See bus_partition_count. */
    int (*partition_count)(struct bus *bus, enum topic topic, int32_t *ret_count);
};

/*
 * The members of bus_group and bus_reader that the functions below need; implementations embed them
 * first.
 */
struct bus_group {
    struct bus *bus; /* whose it is */
};

/* See above. */
struct bus_reader {
    struct bus *bus; /* whose it is */
};

/*
 * Hands a message to the producer. 0: `delivered(argument, …)` will be called exactly once (NULL
 * allowed: nobody is told). ERR_QUEUE_FULL: the bounded queue is full, try later; ERR_TOO_LARGE:
 * over the topic's message size. Loop thread.
 */
static inline int bus_publish(struct bus *bus, const struct bus_message *message,
                              bus_delivered_fn delivered, void *argument)
{
    return bus->publish(bus, message, delivered, argument);
}

/* Joins a consumer group on one topic; owned by the bus until bus_group_leave. ERR_INPUT,
 * ERR_DENIED. Loop thread. */
static inline int bus_join(struct bus *bus, enum topic topic, const char *group_name,
                           const struct bus_group_handler *handler, void *argument,
                           struct bus_group **ret_group, struct error *error)
{
    return bus->join(bus, topic, group_name, handler, argument, ret_group, error);
}

/* Notes that everything below `next_offset` is finished; committed within a second. No effect once
 * given up. Loop thread. */
static inline void bus_group_store(struct bus_group *group, int32_t partition, int64_t next_offset)
{
    group->bus->group_store(group, partition, next_offset);
}

/* Stops or resumes the flow of records of assigned partitions; records already fetched may still
 * come. Loop thread. */
static inline void bus_group_pause(struct bus_group *group, const int32_t *partitions, size_t count,
                                   bool pause)
{
    group->bus->group_pause(group, partitions, count, pause);
}

/* Answers `revoking`: stored offsets are committed and the partitions given up. Loop thread. */
static inline void bus_group_give_up(struct bus_group *group)
{
    group->bus->group_give_up(group);
}

/* Commits, leaves the group, frees it and calls `left(argument)`; `revoking` is not called any
 * more. Loop thread. */
static inline void bus_group_leave(struct bus_group *group, void (*left)(void *argument),
                                   void *argument)
{
    group->bus->group_leave(group, left, argument);
}

/* Makes a reader of a topic without partitions yet; owned. Loop thread. */
static inline int bus_read(struct bus *bus, enum topic topic,
                           const struct bus_reader_handler *handler, void *argument,
                           struct bus_reader **ret_reader, struct error *error)
{
    return bus->read(bus, topic, handler, argument, ret_reader, error);
}

/* Starts reading a partition from its beginning. Asserts that it is not read yet. Loop thread. */
static inline void bus_reader_add(struct bus_reader *reader, int32_t partition)
{
    reader->bus->reader_add(reader, partition);
}

/*
 * As bus_reader_add, but only what is written from about now on: for who wants to be woken and needs no history. Loop
 * thread.
 */
static inline void bus_reader_add_end(struct bus_reader *reader, int32_t partition)
{
    reader->bus->reader_add_end(reader, partition);
}

/*
 * As bus_reader_add, but from an offset on, or from the first one after it that still stands: for who knows where a
 * record is. Loop thread.
 */
static inline void bus_reader_add_at(struct bus_reader *reader, int32_t partition, int64_t offset)
{
    reader->bus->reader_add_at(reader, partition, offset);
}

/* Stops reading a partition, also from within a callback; no callback for it any more. No effect if
 * it is not read. Loop thread. */
static inline void bus_reader_remove(struct bus_reader *reader, int32_t partition)
{
    reader->bus->reader_remove(reader, partition);
}

/* Stops and frees; NULL allowed. Loop thread. */
static inline void bus_reader_free(struct bus_reader *reader)
{
    if (reader != NULL)
        reader->bus->reader_free(reader);
}

/* Gives the number of partitions that the topic has in the cluster. ERR_UNAVAILABLE until it is
 * known; ERR_NOT_FOUND. Loop thread. */
static inline int bus_partition_count(struct bus *bus, enum topic topic, int32_t *ret_count)
{
    return bus->partition_count(bus, topic, ret_count);
}

#endif
