/*
 * The bus over librdkafka. See bus.h for the contract.
 *
 * Design: one producer, one consumer for each group, one consumer for each reader; each one's queue
 * is bridged to the loop by an eventfd (rd_kafka_queue_io_event_enable), so that all callbacks run
 * on the loop thread, a bounded number a turn. Settings that carry a promise are set here and can
 * not be undone by the file of properties: acks=all, enable.idempotence=true,
 * enable.auto.offset.store=false, isolation.level=read_committed, partitioner=murmur2_random,
 * partition.assignment.strategy=range,roundrobin (eager: the cooperative one of librdkafka < 2.4
 * could hang on close), message sizes.
 *
 * Invariants: the file of properties may hold any other librdkafka property (`name=value` lines,
 * `#` comments); secrets in it are never logged.
 */
#ifndef NODAG_TOPICS_BUS_KAFKA_H
#define NODAG_TOPICS_BUS_KAFKA_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"
#include "topics/bus.h"

/* Settings that every daemon with a bus has. */
struct bus_kafka_settings {
    const char *brokers;         /* --brokers: host:port,… */
    const char *properties_file; /* --kafka-properties: any librdkafka property */
    const char *replica; /* --replica: this process' stable name → group.instance.id; NULL: dynamic
                            membership */
    int64_t message_timeout_ms; /* --message-timeout: a message that is not acknowledged by then
                                   fails */
    int64_t queue_max_bytes;    /* --queue-bytes: bound of the producer's queue */
};

/*
 * Rows for the option tables of commands: where the brokers are. `type` is the settings struct,
 * `member` its struct bus_kafka_settings.
 */
#define BUS_KAFKA_CONNECT_ROWS(type, member)                                                       \
    {.name = "brokers",                                                                            \
     .letter = 'b',                                                                                \
     .kind = OPTION_TEXT,                                                                          \
     .offset = offsetof(type, member.brokers),                                                     \
     .default_value = "127.0.0.1:9092",                                                            \
     .value_name = "HOST:PORT,…",                                                                  \
     .group = "Kafka",                                                                             \
     .help = "Bootstrap brokers."},                                                                \
    {                                                                                              \
        .name = "kafka-properties", .kind = OPTION_SECRET_FILE,                                    \
        .offset = offsetof(type, member.properties_file), .value_name = "FILE",                    \
        .help = "File of librdkafka properties (name=value lines): TLS, SASL and anything else."   \
    }

/* Rows for the option tables of daemons, which publish and consume, too. */
#define BUS_KAFKA_OPTION_ROWS(type, member)                                                        \
    BUS_KAFKA_CONNECT_ROWS(type, member),                                                          \
        {.name = "replica",                                                                        \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.replica),                                                 \
         .value_name = "NAME",                                                                     \
         .help = "Stable name of this process (static group membership), for example the pod's "   \
                 "name."},                                                                         \
        {.name = "message-timeout",                                                                \
         .kind = OPTION_DURATION,                                                                  \
         .offset = offsetof(type, member.message_timeout_ms),                                      \
         .default_value = "5s",                                                                    \
         .least = 100,                                                                             \
         .most = 300000,                                                                           \
         .help = "A record that the broker has not acknowledged by then fails."},                  \
    {                                                                                              \
        .name = "queue-bytes", .kind = OPTION_BYTES,                                               \
        .offset = offsetof(type, member.queue_max_bytes), .default_value = "256MiB",               \
        .least = 32 << 20, .most = 2000LL << 20,                                                   \
        .help = "Most bytes that wait to be acknowledged; beyond it publishing is refused."        \
    }

/* What the owner of a Kafka bus is told about the cluster; loop thread. */
typedef void (*bus_kafka_state_fn)(void *argument, bool reachable, const char *reason);

/*
 * Makes the bus and starts connecting. `client_name` (copied) becomes client.id. `metrics` may be
 * NULL (commands). `state` (may be NULL) is told when the cluster becomes reachable or not. Owned.
 * ERR_INPUT for properties that librdkafka refuses, with file and line; ERR_DENIED for a property
 * that carries a promise. Loop thread.
 */
int bus_kafka_new(struct loop *loop, const struct bus_kafka_settings *settings,
                  const char *client_name, struct metrics *metrics, bus_kafka_state_fn state,
                  void *argument, struct bus **ret_bus, struct error *error) MUST_CHECK;

/* Calls `flushed(argument, still_queued)` when the producer's queue is empty or `timeout_ms`
 * passed. Loop thread. */
void bus_kafka_flush(struct bus *bus, int64_t timeout_ms,
                     void (*flushed)(void *argument, size_t still_queued), void *argument);

/* Returns the number of records that wait to be acknowledged. Loop thread. */
size_t bus_kafka_queue_length(struct bus *bus);

/* Frees the bus; messages that are still queued are told ERR_CANCELLED first; waits a bounded time
 * for librdkafka's threads. Groups must have left. NULL allowed. Loop thread. */
void bus_kafka_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_kafka_free)

#endif
