/*
 * The Kafka bus of a daemon: see bus_daemon.h.
 */
#include "topics/bus_daemon.h"

#include <assert.h>

#include "base/log.h"

/* Guards against a struct of another type. */
#define BUS_DAEMON_MAGIC 0xb05daeu

static void on_state(void *argument, bool reachable, const char *reason)
{
    struct bus_daemon *link = CAST_CHECKED(struct bus_daemon, argument, BUS_DAEMON_MAGIC);
    daemon_set_ready(link->daemon, "kafka", reachable, reason);
    if (link->while_away == NULL)
        return;
    if (reachable)
        LOG_INFO("the broker can be reached", LOG_TEXT("brokers", link->brokers));
    else
        LOG_WARNING(link->while_away, LOG_TEXT("brokers", link->brokers),
                    LOG_TEXT("reason", reason));
}

int bus_daemon_open(struct bus_daemon *link, struct daemon *daemon,
                    const struct bus_kafka_settings *settings, const char *client_name,
                    struct error *error)
{
    link->magic = BUS_DAEMON_MAGIC;
    link->daemon = daemon;
    link->brokers = settings->brokers;
    daemon_set_ready(daemon, "kafka", false, "no broker has answered yet");
    return bus_kafka_new(daemon_loop(daemon), settings, client_name, daemon_metrics(daemon),
                         on_state, link, &link->bus, error);
}

static void on_flushed(void *argument, size_t still_queued)
{
    struct bus_daemon *link = CAST_CHECKED(struct bus_daemon, argument, BUS_DAEMON_MAGIC);
    if (still_queued > 0)
        LOG_WARNING(link->unflushed, LOG_INT("records", still_queued));
    daemon_drained(link->daemon);
}

void bus_daemon_finish(void *argument)
{
    struct bus_daemon *link = CAST_CHECKED(struct bus_daemon, argument, BUS_DAEMON_MAGIC);
    bus_kafka_flush(link->bus, link->flush_ms, on_flushed, link);
}
