/*
 * What the files of the Kafka bus share, and what the commands in this room use of it; nobody else
 * includes this. See bus_kafka.h.
 *
 * Design: one librdkafka handle for the producer, one for each group, one for each reader. Each has
 * a queue that carries its events, and each queue a bridge to the loop:
 *
 *      librdkafka threads ──▶ queue ──eventfd──▶ loop ──▶ turn: some KAFKA_EVENTS_PER_TURN events
 *                                                              │
 *          producer: delivery reports ◀────────────────────────┼──▶ reader: records, ends
 *                                                              └──▶ group: records, rebalances
 *
 *      bus_kafka.c            making and ending the bus, reachability, counts, reaping of handles
 *      bus_kafka_conf.c       settings → librdkafka's configuration, file of properties, error codes
 *      bus_kafka_queue.c      the bridge
 *      bus_kafka_watch.c      a thread that asks for metadata: librdkafka's call for that blocks
 *      bus_kafka_producer.c   bus_publish and deliveries
 *      bus_kafka_group.c      bus_join, bus_group_leave: a group's handle
 *      bus_kafka_rebalance.c  a group's partitions, records and offsets
 *      bus_kafka_reader.c     bus_read and its siblings
 *
 * Invariants: librdkafka's threads never touch anything of ours but the log, the eventfds and the
 * watch's mutex; a handle is never destroyed on the loop thread, because that waits for threads: a
 * reaper thread does it.
 */
#ifndef NODAG_TOPICS_BUS_KAFKA_PRIVATE_H
#define NODAG_TOPICS_BUS_KAFKA_PRIVATE_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "topics/bus.h"
#include "topics/bus_kafka.h"

/* Longest text that librdkafka writes about an error. */
#define KAFKA_TEXT_BYTES 512

/* Says on standard error what the kernel or librdkafka refused, and aborts: for what cannot fail in
 * a healthy process. */
_Noreturn void kafka_abort(const char *what);

/* ---- configuration ---- */

/* What a handle is for: which promised settings it gets. */
enum kafka_role {
    KAFKA_PRODUCER = 1, /* publishes */
    KAFKA_GROUP = 2,    /* consumes in a group */
    KAFKA_READER = 4,   /* consumes without a group */
    KAFKA_COMMAND = 8,  /* a command's: administration */
};

/* The file of properties, read and checked. */
struct kafka_properties {
    struct buffer text;  /* owned; names and values point into it */
    const char **names;  /* owned array */
    const char **values; /* owned array */
    size_t count;        /* of both */
};

/* Reads and checks the file; `path` NULL gives none. ERR_INPUT, ERR_DENIED and file_read's codes,
 * with file and line. */
int kafka_properties_read(const char *path, struct kafka_properties *ret_properties,
                          struct error *error) MUST_CHECK;

/* Frees what it owns. */
void kafka_properties_release(struct kafka_properties *properties);

/*
 * Makes librdkafka's configuration for a role: our defaults, then the file, then what carries a
 * promise. `group_name` for KAFKA_GROUP. Owned result (rd_kafka_conf_destroy). ERR_INPUT with what
 * librdkafka says.
 */
int kafka_conf_new(const struct bus_kafka_settings *settings,
                   const struct kafka_properties *properties, const char *client_name,
                   enum kafka_role role, const char *group_name, rd_kafka_conf_t **ret_conf,
                   struct error *error) MUST_CHECK;

/* Makes a handle of a configuration (taken). ERR_INPUT with what librdkafka says. Owned
 * (rd_kafka_destroy). */
int kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret_handle,
                     struct error *error) MUST_CHECK;

/* Translates an error of librdkafka; 0 for none. */
int kafka_error_code(rd_kafka_resp_err_t kafka_error);

/* ---- the bridge ---- */

/* A queue of librdkafka on the loop. */
struct kafka_queue;

/* What the owner of a queue is told. */
struct kafka_queue_handler {
    /* One event, borrowed. */
    void (*event)(void *argument, rd_kafka_event_t *event);
    /* A turn is over, and at least every second; may be NULL. */
    void (*turn_over)(void *argument);
    /* The queue is gone after kafka_queue_close: the handle may be destroyed now. */
    void (*closed)(void *argument);
};

/* Bridges `queue` (taken) to the loop. The handler is borrowed. */
struct kafka_queue *kafka_queue_open(struct loop *loop, rd_kafka_queue_t *queue,
                                     const struct kafka_queue_handler *handler, void *argument);

/*
 * Ends the bridge: no event comes any more, and `closed` is called: at once, or, from within a
 * callback of this queue, when that has returned.
 */
void kafka_queue_close(struct kafka_queue *queue);

/* ---- the watch ---- */

/* A thread that asks a handle for metadata. */
struct kafka_watch;

/* What the watch found out. */
struct kafka_watch_result {
    bool known;                  /* a round is over */
    bool reachable;              /* the cluster answered */
    char text[KAFKA_TEXT_BYTES]; /* why not */
    int32_t counts[TOPIC_COUNT]; /* partitions; 0: no such topic; -1: not known yet */
};

/* Starts the thread on a handle (borrowed until kafka_watch_free); `news(argument)` is called on
 * the loop after each round. */
struct kafka_watch *kafka_watch_new(struct loop *loop, rd_kafka_t *handle, loop_fn news,
                                    void *argument);

/* Makes the watch ask for this topic, too. */
void kafka_watch_ask(struct kafka_watch *watch, enum topic topic);

/* Starts a round now, unless one is under way. */
void kafka_watch_poke(struct kafka_watch *watch);

/* Copies the newest result. */
void kafka_watch_read(struct kafka_watch *watch, struct kafka_watch_result *ret_result);

/* Stops telling the loop; the thread still has to be ended by kafka_watch_free. Loop thread. */
void kafka_watch_detach(struct kafka_watch *watch);

/* Waits for the thread to end and frees the watch; NULL allowed. A reaper's thread. */
void kafka_watch_free(struct kafka_watch *watch);

/* ---- the bus ---- */

/* Counters and gauges; each NULL where the bus has no metrics. */
struct kafka_metrics {
    struct metrics_family *published; /* by topic */
    struct metrics_family *failed;    /* by topic and code */
    struct metrics_family *consumed;  /* by topic */
    struct metrics_family *lag;       /* by topic and partition */
    struct metric *delivery_seconds;  /* histogram */
    struct metric *queue_length;      /* gauge */
    struct metric *reachable;         /* gauge */
    struct metric *commit_failures;   /* counter */
    struct metric *restarts;          /* counter: handles made anew after a fatal error */
};

/* The Kafka bus. */
struct kafka_bus {
    struct bus bus;                     /* first: the interface */
    unsigned magic;                     /* KAFKA_BUS_MAGIC */
    struct loop *loop;                  /* borrowed */
    struct bus_kafka_settings settings; /* texts owned */
    struct kafka_properties properties; /* owned */
    char *client_name;                  /* owned */
    bus_kafka_state_fn state;           /* NULL: nobody is told */
    void *argument;                     /* of state */
    bool state_known;                   /* state was called */
    bool reachable;                     /* as last told */
    int32_t counts[TOPIC_COUNT];        /* as kafka_watch_result */
    struct kafka_producer *producer;    /* owned */
    struct kafka_group *groups;         /* list; owned until they left */
    struct kafka_reader *readers;       /* list; owned by their users */
    struct kafka_reap *reaps;           /* list: handles that are being destroyed */
    struct loop_timer *tick;      /* owned: pokes the watch, joins reapers, refreshes gauges */
    int ticks_to_probe;           /* until the watch is poked */
    struct kafka_metrics metrics; /* see above */
};

/* Guards against a struct of another type. */
#define KAFKA_BUS_MAGIC 0x6b627573u

/* Converts the interface to the implementation and checks it. */
struct kafka_bus *kafka_bus_of(struct bus *bus);

/* Says that the cluster answered, or that it seems not to: the former is believed, the latter
 * looked into by the watch. */
void kafka_bus_note(struct kafka_bus *bus, bool answered);

/* Takes in what the watch found. */
void kafka_bus_take_result(struct kafka_bus *bus, const struct kafka_watch_result *result);

/* Logs an error event of a handle and notes what it means for reachability. */
void kafka_bus_take_error(struct kafka_bus *bus, const char *what, rd_kafka_event_t *event);

/* Destroys a handle, its topics and its watch in a thread of their own; all taken, topics and watch
 * may be NULL. */
void kafka_bus_reap(struct kafka_bus *bus, rd_kafka_t *handle, rd_kafka_topic_t *const *topics,
                    size_t topic_count, struct kafka_watch *watch);

/* Reads a record's headers into a growing array (owned by the caller). Returns how many. */
size_t kafka_read_headers(const rd_kafka_message_t *message, struct event_header **array,
                          size_t *array_capacity);

/* Makes a record of a message; headers as kafka_read_headers. */
struct bus_record kafka_read_record(enum topic topic, const rd_kafka_message_t *message,
                                    struct event_header **array, size_t *array_capacity);

/* Counts a consumed record. */
void kafka_bus_count_consumed(struct kafka_bus *bus, enum topic topic);

/* ---- producer ---- */

/* Makes the producer. ERR_INPUT. */
int kafka_producer_new(struct kafka_bus *bus, struct kafka_producer **ret_producer,
                       struct error *error) MUST_CHECK;

/* Implements bus_publish. */
int kafka_publish(struct bus *bus, const struct bus_message *message, bus_delivered_fn delivered,
                  void *argument);

/* Returns the number of messages without an answer. */
size_t kafka_producer_queue_length(const struct kafka_producer *producer);

/* The present handle; borrowed, until the next fatal error. */
rd_kafka_t *kafka_producer_handle(struct kafka_producer *producer);

/* The watch on the present handle; borrowed. */
struct kafka_watch *kafka_producer_watch(struct kafka_producer *producer);

/* See bus_kafka_flush. */
void kafka_producer_flush(struct kafka_producer *producer, int64_t timeout_ms,
                          void (*flushed)(void *argument, size_t still_queued), void *argument);

/* Reaps the handle, tells ERR_CANCELLED to the owners of messages still under way, frees the
 * producer. NULL allowed. */
void kafka_producer_free(struct kafka_producer *producer);

/* ---- groups ---- */

/* Implements bus_join. */
int kafka_join(struct bus *bus, enum topic topic, const char *group_name,
               const struct bus_group_handler *handler, void *argument,
               struct bus_group **ret_group, struct error *error);

/* Implements bus_group_store. */
void kafka_group_store(struct bus_group *group, int32_t partition, int64_t next_offset);

/* Implements bus_group_pause. */
void kafka_group_pause(struct bus_group *group, const int32_t *partitions, size_t count,
                       bool pause);

/* Implements bus_group_give_up. */
void kafka_group_give_up(struct bus_group *group);

/* Implements bus_group_leave. */
void kafka_group_leave(struct bus_group *group, void (*left)(void *argument), void *argument);

/* Refreshes the lag gauges of all groups. */
void kafka_groups_measure(struct kafka_bus *bus);

/* ---- readers ---- */

/* Implements bus_read. */
int kafka_read(struct bus *bus, enum topic topic, const struct bus_reader_handler *handler,
               void *argument, struct bus_reader **ret_reader, struct error *error);

/* Implements bus_reader_add. */
void kafka_reader_add(struct bus_reader *reader, int32_t partition);

/* Implements bus_reader_add_end. */
void kafka_reader_add_end(struct bus_reader *reader, int32_t partition);

/* Implements bus_reader_add_at. */
void kafka_reader_add_at(struct bus_reader *reader, int32_t partition, int64_t offset);

/* Implements bus_reader_remove. */
void kafka_reader_remove(struct bus_reader *reader, int32_t partition);

/* Implements bus_reader_free. */
void kafka_reader_free(struct bus_reader *reader);

#endif
