/*
 * The Kafka bus of a daemon: its readiness, and the end of its drain.
 *
 * Design: what differs between daemons is in the struct, which the daemon's own state embeds. The daemon drains its own
 * work, and hands over bus_daemon_finish to be called after it:
 *
 *      bus_daemon_open ─▶ condition "kafka" of /readyz … work drained ─▶ bus_daemon_finish ─▶ flushed ─▶ daemon_drained
 *
 * Invariant: the daemon is told that it is drained once, flushed or not.
 */
#ifndef NODAG_TOPICS_BUS_DAEMON_H
#define NODAG_TOPICS_BUS_DAEMON_H

#include "base/daemon.h"
#include "topics/bus_kafka.h"

/* A daemon's bus; the texts are static, and set by the daemon before the bus is opened. */
struct bus_daemon {
    unsigned magic;        /* set by bus_daemon_open */
    struct bus *bus;       /* owned, by bus_kafka_free; NULL: not opened */
    int64_t flush_ms;      /* longest wait for acknowledgements at the end */
    const char *unflushed; /* logged if records were left without one then: what becomes of them */
    const char
        *while_away; /* logged while no broker answers: what it means; NULL: nothing is logged */
    const char *brokers;   /* for the log; borrowed */
    struct daemon *daemon; /* borrowed */
};

/* Makes the bus, with the daemon's loop and metrics. Errors as bus_kafka_new. Loop thread. */
int bus_daemon_open(struct bus_daemon *link, struct daemon *daemon,
                    const struct bus_kafka_settings *settings, const char *client_name,
                    struct error *error) MUST_CHECK;

/* Flushes the bus of `argument`, a struct bus_daemon, then says that the daemon is drained. Loop thread. */
void bus_daemon_finish(void *argument);

#endif
