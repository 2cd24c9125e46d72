/*
 * Reading a whole topic for a command: see topic_scan.h.
 *
 * Design: metadata and start offsets are asked for with librdkafka's blocking calls; then
 * everything comes through the bridge. A cluster that falls silent before the end is reached is
 * given STALL_MS.
 *
 * Invariant: everything that is published after topic_scan_new began is seen: no partition starts
 * at an "end" that is looked up later.
 */
#include "topics/topic_scan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* How long each question before the start may take. */
#define QUESTION_TIMEOUT_MS 5000

/* How long nothing may come before the end is reached. */
#define STALL_MS 30000

/* Guards against a struct of another type. */
#define SCAN_MAGIC 0x7363616eu

struct topic_scan {
    unsigned magic;
    struct loop *loop;                  /* borrowed */
    enum topic topic;                   /* what is read */
    const struct scan_handler *handler; /* borrowed */
    void *argument;                     /* of handler */
    struct kafka_properties properties; /* owned */
    rd_kafka_t *handle;                 /* owned */
    rd_kafka_topic_t *topic_handle;     /* owned */
    struct kafka_queue *queue;          /* owned */
    struct loop_timer *stall;           /* owned */
    int32_t partition_count;            /* of the topic */
    int32_t started;                    /* partitions from 0 on that are being read */
    bool *ended;                        /* owned; by partition */
    int32_t ended_count;                /* of them */
    struct event_header *headers;       /* owned; of the present record */
    size_t header_capacity;             /* of headers */
    bool failed;                        /* was told */
};

/* ---- questions ---- */

static int scan_refused(const struct topic_scan *scan, const struct bus_kafka_settings *settings,
                        rd_kafka_resp_err_t failed, struct error *error)
{
    const char *name = topic_name(scan->topic);
    const char *text = rd_kafka_err2str(failed);
    int code = kafka_error_code(failed);
    if (code == ERR_DENIED)
        return error_set(error, code, "topic %s: %s; `nodag topics acls tail` prints the rights",
                         name, text);
    if (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT)
        return error_set(error, ERR_UNAVAILABLE,
                         "no answer from %s (%s); is Kafka running there? --brokers says where to "
                         "look",
                         settings->brokers, text);
    return error_set(error, ERR_IO, "topic %s: %s", name, text);
}

/* Asks for the number of partitions. */
static int scan_ask_partitions(struct topic_scan *scan, const struct bus_kafka_settings *settings,
                               struct error *error)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t failed =
        rd_kafka_metadata(scan->handle, 0, scan->topic_handle, &metadata, QUESTION_TIMEOUT_MS);
    if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
        failed = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        if (metadata->topic_cnt == 1) {
            failed = metadata->topics[0].err;
            scan->partition_count = metadata->topics[0].partition_cnt;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    if (failed == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return error_set(error, ERR_NOT_FOUND,
                         "the cluster at %s has no topic %s; `nodag topics create` makes it",
                         settings->brokers, topic_name(scan->topic));
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        return scan_refused(scan, settings, failed, error);
    scan->ended = mem_alloc_array((size_t)scan->partition_count, sizeof(*scan->ended));
    return 0;
}

/* Finds the offset of one partition where the newest `count` offsets begin; 0: its end now. */
static rd_kafka_resp_err_t ask_last(struct topic_scan *scan, int32_t partition, int64_t count,
                                    int64_t *ret_offset)
{
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t failed = rd_kafka_query_watermark_offsets(
        scan->handle, topic_name(scan->topic), partition, &low, &high, QUESTION_TIMEOUT_MS);
    *ret_offset = high - low > count ? high - count : low;
    return failed;
}

/*
 * Finds the offsets of all partitions for a time. `offsets` has the ends as they were before: they
 * stay where nothing is as young yet. RD_KAFKA_OFFSET_END would not do: librdkafka looks the end up
 * again when it begins to fetch, and what came in between would be skipped.
 */
static rd_kafka_resp_err_t ask_time(struct topic_scan *scan, int64_t wall_ms, int64_t *offsets)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new(scan->partition_count);
    for (int32_t p = 0; p < scan->partition_count; p++)
        rd_kafka_topic_partition_list_add(list, topic_name(scan->topic), p)->offset = wall_ms;
    rd_kafka_resp_err_t failed =
        rd_kafka_offsets_for_times(scan->handle, list, QUESTION_TIMEOUT_MS);
    for (int i = 0; i < list->cnt && failed == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        failed = list->elems[i].err;
        if (list->elems[i].offset >= 0)
            offsets[list->elems[i].partition] = list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return failed;
}

/* Fills in where each partition starts; owned array. */
static int scan_ask_offsets(struct topic_scan *scan, const struct bus_kafka_settings *settings,
                            struct scan_start start, int64_t **ret_offsets, struct error *error)
{
    rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    CLEANUP(mem_free)
    int64_t *offsets = mem_alloc_array((size_t)scan->partition_count, sizeof(*offsets));
    for (int32_t p = 0; p < scan->partition_count && failed == RD_KAFKA_RESP_ERR_NO_ERROR; p++) {
        offsets[p] = RD_KAFKA_OFFSET_BEGINNING;
        if (start.kind != SCAN_FROM_BEGINNING)
            failed = ask_last(scan, p, start.kind == SCAN_FROM_LAST ? start.value : 0, &offsets[p]);
    }
    if (start.kind == SCAN_FROM_TIME)
        failed = ask_time(scan, start.value, offsets);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        return scan_refused(scan, settings, failed, error);
    for (int32_t p = 0; p < scan->partition_count; p++)
        assert(offsets[p] >= 0 || offsets[p] == RD_KAFKA_OFFSET_BEGINNING);
    *ret_offsets = TAKE(offsets);
    return 0;
}

/* ---- events ---- */

static void scan_fail(struct topic_scan *scan, int code, const char *text)
{
    if (scan->failed)
        return;
    struct error error = {0};
    (void)error_set(&error, code, "topic %s: %s", topic_name(scan->topic), text);
    scan->failed = true;
    scan->handler->failed(scan->argument, &error);
}

static void scan_on_stall(void *argument)
{
    scan_fail(argument, ERR_TIMEOUT, "the cluster has fallen silent before the end was reached");
}

static void scan_take_end(struct topic_scan *scan, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_t *where = rd_kafka_event_topic_partition(event);
    if (where == NULL)
        return;
    int32_t partition = where->partition;
    rd_kafka_topic_partition_destroy(where);
    if (partition < 0 || partition >= scan->partition_count || scan->ended[partition])
        return;
    scan->ended[partition] = true;
    scan->ended_count++;
    if (scan->ended_count < scan->partition_count)
        return;
    loop_timer_clear(scan->stall);
    scan->handler->caught_up(scan->argument);
}

static void scan_take_error(struct topic_scan *scan, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t failed = rd_kafka_event_error(event);
    if (failed == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        scan_take_end(scan, event);
    else if (kafka_error_code(failed) == ERR_DENIED)
        scan_fail(scan, ERR_DENIED, rd_kafka_event_error_string(event));
    /* Everything else is retried by librdkafka; the stall timer has the last word. */
}

static void scan_on_event(void *argument, rd_kafka_event_t *event)
{
    struct topic_scan *scan = CAST_CHECKED(struct topic_scan, argument, SCAN_MAGIC);
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
        scan_take_error(scan, event);
        return;
    }
    if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_FETCH)
        return;
    if (scan->ended_count < scan->partition_count)
        loop_timer_set(scan->stall, STALL_MS);
    for (const rd_kafka_message_t *message = rd_kafka_event_message_next(event);
         message != NULL && !scan->failed; message = rd_kafka_event_message_next(event)) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        const struct bus_record record =
            kafka_read_record(scan->topic, message, &scan->headers, &scan->header_capacity);
        scan->handler->record(scan->argument, &record);
    }
}

static void scan_on_closed(void *argument)
{
    (void)argument; /* topic_scan_free goes on */
}

static const struct kafka_queue_handler scan_queue_handler = {.event = scan_on_event,
                                                              .closed = scan_on_closed};

/* ---- making and ending ---- */

static int scan_open(struct topic_scan *scan, const struct bus_kafka_settings *settings,
                     struct error *error)
{
    rd_kafka_conf_t *conf = NULL;
    int code = kafka_properties_read(settings->properties_file, &scan->properties, error);
    if (code == 0)
        code =
            kafka_conf_new(settings, &scan->properties, "nodag", KAFKA_READER, NULL, &conf, error);
    if (code == 0)
        code = kafka_handle_new(RD_KAFKA_CONSUMER, conf, &scan->handle, error);
    if (code != 0)
        return code;
    scan->topic_handle = rd_kafka_topic_new(scan->handle, topic_name(scan->topic), NULL);
    return scan_ask_partitions(scan, settings, error);
}

/* Starts all partitions on one queue. */
static int scan_begin(struct topic_scan *scan, const int64_t *offsets, struct error *error)
{
    rd_kafka_queue_t *records = rd_kafka_queue_new(scan->handle);
    rd_kafka_queue_t *main_queue = rd_kafka_queue_get_main(scan->handle);
    rd_kafka_queue_forward(main_queue, records);
    rd_kafka_queue_destroy(main_queue);
    scan->queue = kafka_queue_open(scan->loop, records, &scan_queue_handler, scan);
    scan->stall = loop_timer_new(scan->loop, scan_on_stall, scan);
    loop_timer_set(scan->stall, STALL_MS);
    for (; scan->started < scan->partition_count; scan->started++) {
        if (rd_kafka_consume_start_queue(scan->topic_handle, scan->started, offsets[scan->started],
                                         records) != 0)
            return error_set(error, ERR_IO, "topic %s cannot be read: %s", topic_name(scan->topic),
                             rd_kafka_err2str(rd_kafka_last_error()));
    }
    return 0;
}

int topic_scan_new(struct loop *loop, const struct bus_kafka_settings *settings, enum topic topic,
                   struct scan_start start, const struct scan_handler *handler, void *argument,
                   struct topic_scan **ret_scan, struct error *error)
{
    CLEANUP(topic_scan_free) struct topic_scan *scan = MEM_NEW(struct topic_scan);
    scan->magic = SCAN_MAGIC;
    scan->loop = loop;
    scan->topic = topic;
    scan->handler = handler;
    scan->argument = argument;
    CLEANUP(mem_free) int64_t *offsets = NULL;
    int code = scan_open(scan, settings, error);
    if (code == 0)
        code = scan_ask_offsets(scan, settings, start, &offsets, error);
    if (code == 0)
        code = scan_begin(scan, offsets, error);
    if (code == 0)
        *ret_scan = TAKE(scan);
    return code;
}

void topic_scan_free(struct topic_scan *scan)
{
    if (scan == NULL)
        return;
    for (int32_t p = 0; p < scan->started; p++)
        (void)rd_kafka_consume_stop(scan->topic_handle, p);
    if (scan->queue != NULL)
        kafka_queue_close(scan->queue);
    loop_timer_free(scan->stall);
    if (scan->topic_handle != NULL)
        rd_kafka_topic_destroy(scan->topic_handle);
    if (scan->handle != NULL)
        rd_kafka_destroy(scan->handle);
    kafka_properties_release(&scan->properties);
    free(scan->ended);
    free(scan->headers);
    scan->magic = 0;
    free(scan);
}
