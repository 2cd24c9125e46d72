/*
 * The Kafka bus: making and ending it, reachability, partition counts, reaping of handles. See
 * bus_kafka.h and the map in bus_kafka_private.h.
 *
 * Design: whether the cluster can be reached is told by the watch, which asks every PROBE_TICKS
 * and, while something looks wrong (an error event, a record that was not acknowledged in time),
 * every second; every acknowledged or consumed record is proof that it can. So a broker that closes
 * an idle connection makes nobody unready.
 *
 * Destroying a librdkafka handle waits for its threads; each one is given to a reaper thread, which
 * also ends the watch on it. bus_kafka_free waits for the reapers up to REAP_WAIT_MS each and
 * abandons those that hang: the process is about to end.
 *
 * Invariants: `state` is called on changes only; a count that was known once stays known.
 */
#include "topics/bus_kafka.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* How often the bus looks after itself. */
#define BUS_TICK_MS 1000

/*
 * Ticks between two questions for metadata while all is well: new partitions are seen within half a
 * minute.
 */
#define PROBE_TICKS 30

/* How long bus_kafka_free waits for one handle. */
#define REAP_WAIT_MS 5000

/*
 * Bounds of the delivery histogram, in seconds: from a local broker to the default message timeout.
 */
static const double delivery_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                         0.1,   0.25,   0.5,   1,    2.5,   5};

/* A handle that is being destroyed. */
struct kafka_reap {
    struct kafka_reap *next;
    pthread_t thread;
    rd_kafka_t *handle;                    /* taken */
    rd_kafka_topic_t *topics[TOPIC_COUNT]; /* taken; NULL allowed */
    struct kafka_watch *watch;             /* taken; NULL allowed */
    int done_fd;                           /* an eventfd that becomes readable */
};

_Noreturn void kafka_abort(const char *what)
{
    (void)fprintf(stderr, "nodag: %s (%s)\n", what, strerror(errno));
    abort();
}

struct kafka_bus *kafka_bus_of(struct bus *bus)
{
    return CAST_CHECKED(struct kafka_bus, (void *)bus, KAFKA_BUS_MAGIC);
}

/* ---- reachability and counts ---- */

static void bus_set_reachable(struct kafka_bus *bus, bool reachable, const char *reason)
{
    if (bus->state_known && bus->reachable == reachable)
        return;
    bus->state_known = true;
    bus->reachable = reachable;
    if (bus->metrics.reachable != NULL)
        metric_set(bus->metrics.reachable, reachable ? 1 : 0);
    if (bus->state != NULL)
        bus->state(bus->argument, reachable, reason);
}

void kafka_bus_note(struct kafka_bus *bus, bool answered)
{
    struct kafka_watch *watch = kafka_producer_watch(bus->producer);
    if (answered)
        bus_set_reachable(bus, true, "");
    else if (watch != NULL)
        kafka_watch_poke(watch);
}

void kafka_bus_take_result(struct kafka_bus *bus, const struct kafka_watch_result *result)
{
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (result->counts[t] >= 0)
            bus->counts[t] = result->counts[t];
    }
    if (result->known)
        bus_set_reachable(bus, result->reachable, result->text);
}

void kafka_bus_take_error(struct kafka_bus *bus, const char *what, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t kafka_error = rd_kafka_event_error(event);
    int code = kafka_error_code(kafka_error);
    const char *text = rd_kafka_event_error_string(event);
    if (code == ERR_DENIED)
        LOG_ERROR("Kafka refuses; a person must give the rights that `nodag topics acls` prints",
                  LOG_TEXT("what", what), LOG_TEXT("text", text));
    else if (!err_is_retriable(code))
        LOG_ERROR("Kafka refuses; a person must change the settings", LOG_TEXT("what", what),
                  LOG_TEXT("text", text));
    else
        LOG_INFO("Kafka reports an error; retrying", LOG_TEXT("what", what),
                 LOG_TEXT("error", rd_kafka_err2name(kafka_error)), LOG_TEXT("text", text));
    kafka_bus_note(bus, false);
}

static int kafka_partition_count(struct bus *interface, enum topic topic, int32_t *ret_count)
{
    struct kafka_bus *bus = kafka_bus_of(interface);
    struct kafka_watch *watch = kafka_producer_watch(bus->producer);
    if (watch != NULL)
        kafka_watch_ask(watch, topic);
    if (watch != NULL && bus->counts[topic] == 0)
        kafka_watch_poke(watch); /* it may have been made meanwhile */
    if (bus->counts[topic] < 0)
        return ERR_UNAVAILABLE;
    if (bus->counts[topic] == 0)
        return ERR_NOT_FOUND;
    *ret_count = bus->counts[topic];
    return 0;
}

/* ---- records ---- */

size_t kafka_read_headers(const rd_kafka_message_t *message, struct event_header **array,
                          size_t *array_capacity)
{
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    size_t count = rd_kafka_header_cnt(headers);
    if (count > *array_capacity) {
        *array = mem_resize_array(TAKE(*array), count, sizeof(**array));
        *array_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        const void *value = NULL;
        struct event_header *header = &(*array)[i];
        *header = (struct event_header){0};
        (void)rd_kafka_header_get_all(headers, i, &header->name, &value, &header->value_bytes);
        header->value = value;
    }
    return count;
}

struct bus_record kafka_read_record(enum topic topic, const rd_kafka_message_t *message,
                                    struct event_header **array, size_t *array_capacity)
{
    size_t header_count = kafka_read_headers(message, array, array_capacity);
    return (struct bus_record){
        .topic = topic,
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
        .key = message->key,
        .key_bytes = message->key_len,
        .value = message->payload,
        .value_bytes = message->len,
        .headers = *array,
        .header_count = header_count,
    };
}

void kafka_bus_count_consumed(struct kafka_bus *bus, enum topic topic)
{
    kafka_bus_note(bus, true);
    if (bus->metrics.consumed == NULL)
        return;
    const char *values[] = {topic_name(topic), NULL};
    metric_add(metrics_series(bus->metrics.consumed, values), 1);
}

/* ---- reaping ---- */

static void *reap_thread(void *argument)
{
    struct kafka_reap *reap = argument;
    kafka_watch_free(reap->watch);
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (reap->topics[t] != NULL)
            rd_kafka_topic_destroy(reap->topics[t]);
    }
    rd_kafka_destroy_flags(reap->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    const uint64_t one = 1;
    (void)!write(reap->done_fd, &one, sizeof(one));
    return NULL;
}

void kafka_bus_reap(struct kafka_bus *bus, rd_kafka_t *handle, rd_kafka_topic_t *const *topics,
                    size_t topic_count, struct kafka_watch *watch)
{
    assert(topic_count <= TOPIC_COUNT);
    struct kafka_reap *reap = MEM_NEW(struct kafka_reap);
    reap->handle = handle;
    for (size_t t = 0; t < topic_count; t++)
        reap->topics[t] = topics[t];
    reap->watch = watch;
    reap->done_fd = eventfd(0, EFD_CLOEXEC);
    if (reap->done_fd < 0 || pthread_create(&reap->thread, NULL, reap_thread, reap) != 0)
        kafka_abort("no thread to end a Kafka client: is a limit reached?");
    reap->next = bus->reaps;
    bus->reaps = reap;
}

/* Returns true if the thread is done within the time. */
static bool reap_wait(const struct kafka_reap *reap, int timeout_ms)
{
    struct pollfd waiting = {.fd = reap->done_fd, .events = POLLIN};
    int ready = 0;
    do
        ready = poll(&waiting, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready == 1;
}

/* Frees what is done, waiting up to `timeout_ms` for each. */
static void bus_join_reapers(struct kafka_bus *bus, int timeout_ms)
{
    struct kafka_reap **link = &bus->reaps;
    while (*link != NULL) {
        struct kafka_reap *reap = *link;
        if (!reap_wait(reap, timeout_ms)) {
            link = &reap->next;
            continue;
        }
        *link = reap->next;
        (void)pthread_join(reap->thread, NULL);
        (void)close(reap->done_fd);
        free(reap);
    }
}

/* ---- the tick ---- */

static void bus_on_tick(void *argument)
{
    struct kafka_bus *bus = CAST_CHECKED(struct kafka_bus, argument, KAFKA_BUS_MAGIC);
    loop_timer_set(bus->tick, BUS_TICK_MS);
    bus->ticks_to_probe--;
    bool trouble = bus->state_known && !bus->reachable;
    struct kafka_watch *watch = kafka_producer_watch(bus->producer);
    if ((bus->ticks_to_probe <= 0 || trouble) && watch != NULL) {
        bus->ticks_to_probe = PROBE_TICKS;
        kafka_watch_poke(watch);
    }
    bus_join_reapers(bus, 0);
    if (bus->metrics.queue_length != NULL)
        metric_set(bus->metrics.queue_length, (double)kafka_producer_queue_length(bus->producer));
    kafka_groups_measure(bus);
}

/* ---- making and ending ---- */

static void bus_declare_metrics(struct kafka_bus *bus, struct metrics *metrics)
{
    static const char *const by_topic[] = {"topic", NULL};
    static const char *const by_topic_and_error[] = {"topic", "error", NULL};
    static const char *const by_topic_and_partition[] = {"topic", "partition", NULL};
    struct kafka_metrics *m = &bus->metrics;
    m->published = metrics_declare(metrics, METRICS_COUNTER, "nodag_bus_published_total",
                                   "Records acknowledged by all in-sync replicas.", by_topic);
    m->failed = metrics_declare(metrics, METRICS_COUNTER, "nodag_bus_publish_failures_total",
                                "Records that were not acknowledged.", by_topic_and_error);
    m->consumed = metrics_declare(metrics, METRICS_COUNTER, "nodag_bus_consumed_total",
                                  "Records read.", by_topic);
    m->lag = metrics_declare(metrics, METRICS_GAUGE, "nodag_bus_lag_records",
                             "Records of owned partitions that were not read yet.",
                             by_topic_and_partition);
    m->delivery_seconds = metrics_single(metrics_declare_histogram(
        metrics, "nodag_bus_delivery_seconds", "Time from publishing to acknowledgement.", NULL,
        delivery_bounds, ARRAY_COUNT(delivery_bounds)));
    m->queue_length =
        metrics_single(metrics_declare(metrics, METRICS_GAUGE, "nodag_bus_queue_records",
                                       "Records that wait to be acknowledged.", NULL));
    m->reachable = metrics_single(metrics_declare(metrics, METRICS_GAUGE, "nodag_bus_reachable",
                                                  "1 while the cluster answers.", NULL));
    m->commit_failures = metrics_single(
        metrics_declare(metrics, METRICS_COUNTER, "nodag_bus_commit_failures_total",
                        "Offset commits that failed; what they covered will be read again.", NULL));
    m->restarts =
        metrics_single(metrics_declare(metrics, METRICS_COUNTER, "nodag_bus_client_restarts_total",
                                       "Kafka clients made anew after a fatal error.", NULL));
}

static const struct bus kafka_interface = {
    .publish = kafka_publish,
    .join = kafka_join,
    .group_store = kafka_group_store,
    .group_pause = kafka_group_pause,
    .group_give_up = kafka_group_give_up,
    .group_leave = kafka_group_leave,
    .read = kafka_read,
    .reader_add = kafka_reader_add,
    .reader_add_end = kafka_reader_add_end,
    .reader_add_at = kafka_reader_add_at,
    .reader_remove = kafka_reader_remove,
    .reader_free = kafka_reader_free,
    .partition_count = kafka_partition_count,
};

/* Frees what bus_kafka_new made before the producer. */
static void bus_free_settings(struct kafka_bus *bus)
{
    kafka_properties_release(&bus->properties);
    free((void *)(uintptr_t)bus->settings.brokers);
    free((void *)(uintptr_t)bus->settings.replica);
    free(bus->client_name);
    bus->magic = 0;
    free(bus);
}

int bus_kafka_new(struct loop *loop, const struct bus_kafka_settings *settings,
                  const char *client_name, struct metrics *metrics, bus_kafka_state_fn state,
                  void *argument, struct bus **ret_bus, struct error *error)
{
    struct kafka_bus *bus = MEM_NEW(struct kafka_bus);
    bus->bus = kafka_interface;
    bus->magic = KAFKA_BUS_MAGIC;
    bus->loop = loop;
    bus->settings = *settings;
    bus->settings.brokers = mem_copy_text(settings->brokers);
    bus->settings.replica = mem_copy_text(settings->replica);
    bus->settings.properties_file = NULL;
    bus->client_name = mem_copy_text(client_name);
    bus->state = state;
    bus->argument = argument;
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        bus->counts[t] = -1;
    if (metrics != NULL)
        bus_declare_metrics(bus, metrics);
    int code = kafka_properties_read(settings->properties_file, &bus->properties, error);
    if (code == 0)
        code = kafka_producer_new(bus, &bus->producer, error);
    if (code != 0) {
        bus_free_settings(bus);
        return code;
    }
    bus->tick = loop_timer_new(loop, bus_on_tick, bus);
    bus->ticks_to_probe = PROBE_TICKS;
    loop_timer_set(bus->tick, BUS_TICK_MS);
    *ret_bus = &bus->bus;
    return 0;
}

void bus_kafka_flush(struct bus *bus, int64_t timeout_ms,
                     void (*flushed)(void *argument, size_t still_queued), void *argument)
{
    kafka_producer_flush(kafka_bus_of(bus)->producer, timeout_ms, flushed, argument);
}

size_t bus_kafka_queue_length(struct bus *bus)
{
    return kafka_producer_queue_length(kafka_bus_of(bus)->producer);
}

void bus_kafka_free(struct bus *interface)
{
    if (interface == NULL)
        return;
    struct kafka_bus *bus = kafka_bus_of(interface);
    assert(bus->groups == NULL);  /* bus_group_leave, then wait for `left` */
    assert(bus->readers == NULL); /* bus_reader_free */
    loop_timer_free(bus->tick);
    kafka_producer_free(bus->producer);
    bus_join_reapers(bus, REAP_WAIT_MS);
    bus_free_settings(bus);
}
