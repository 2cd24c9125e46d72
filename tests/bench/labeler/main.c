/*
 * nodag-bench-records: fills topics for the labeler's benchmark, and is the consumer that it is held
 * against.
 *
 *      --what skipped      --count events that the labeler skips by their headers → github.events
 *      --what predictions  --count decisions, from number --first on → predictions
 *      --what opened       for each line "ID NUMBER OWNER/REPOSITORY" of the standard input one
 *                          `issues.opened` → github.events, and a line "ID#NUMBER SENT ACKNOWLEDGED" when
 *                          the broker has it (microseconds since 1970)
 *      --what consume      reads --topic in --group until --count records came, and does nothing with
 *                          them; with --headers it has librdkafka parse each one's headers
 *      --what rewind       the next one in --group begins --topic anew (nobody may be in it)
 *
 * Design: librdkafka and nothing else, with the settings that the daemons use, except that filling
 * lets records wait for company. `consume` is the limit: what a consumer in a group can take with the
 * same settings. It ends with one JSON object; rates are those between a tenth and nine tenths of the
 * records, so that joining the group does not count.
 *
 * Invariant: exit status 0 means that every record was acknowledged, or came.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/memory.h"
#include "base/option.h"
#include "tests/bench/labeler/records.h"
#include "topics/topic.h"

/* Longest wait for records or acknowledgements before it is a failure, in milliseconds. */
#define STUCK_MS 60000

/* One poll, in milliseconds. */
#define POLL_MS 100

/* Room for one line of the standard input. */
#define LINE_BYTES 512

/* Settings of the command. */
struct main_settings {
    const char *what;    /* --what */
    const char *brokers; /* --brokers */
    const char *topic;   /* --topic */
    const char *group;   /* --group */
    int64_t count;       /* --count */
    int64_t first;       /* --first */
    int64_t value_bytes; /* --value-bytes */
    bool headers;        /* --headers */
};

static const struct option_row main_rows[] = {
    {.name = "what",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct main_settings, what),
     .choices = "skipped|predictions|opened|consume|rewind",
     .required = true,
     .group = "Records",
     .help = "What to do; see the file's head."},
    {.name = "brokers",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, brokers),
     .default_value = "127.0.0.1:9092",
     .help = "Where the broker is."},
    {.name = "topic",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, topic),
     .default_value = "github.events",
     .help = "What to consume."},
    {.name = "group",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, group),
     .default_value = "nodag-bench",
     .help = "Consumer group of `consume` and `rewind`."},
    {.name = "count",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct main_settings, count),
     .default_value = "1000",
     .least = 1,
     .most = 100000000,
     .help = "How many records."},
    {.name = "first",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct main_settings, first),
     .default_value = "0",
     .least = 0,
     .most = 100000000,
     .help = "Number of the first."},
    {.name = "value-bytes",
     .kind = OPTION_BYTES,
     .offset = offsetof(struct main_settings, value_bytes),
     .default_value = "200",
     .least = 0,
     .most = RECORD_VALUE_MAX_BYTES,
     .help = "Size of a skipped event's value."},
    {.name = "headers",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct main_settings, headers),
     .help = "`consume` has the headers parsed."},
};

/* --- librdkafka --- */

/* As topics/bus_kafka_conf.c has it for producers and groups. */
static const char *const producer_rows[][2] = {
    {"acks", "all"},
    {"enable.idempotence", "true"},
    {"partitioner", "murmur2_random"},
    {"compression.codec", "zstd"},
    {NULL, NULL},
};

static const char *const consumer_rows[][2] = {
    {"queued.max.messages.kbytes", "32768"},
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "100"},
    {"receive.message.max.bytes", "67108864"},
    {"enable.auto.commit", "true"},
    {"auto.commit.interval.ms", "1000"},
    {"enable.auto.offset.store", "true"}, /* the daemons do it themselves */
    {"auto.offset.reset", "earliest"},
    {"isolation.level", "read_committed"},
    {"partition.assignment.strategy", "range,roundrobin"},
    {NULL, NULL},
};

static void conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return;
    (void)fprintf(stderr, "nodag-bench-records: %s\n", text);
    exit(EXIT_STATUS_FAILED);
}

static rd_kafka_conf_t *conf_new(const struct main_settings *settings, const char *const (*rows)[2])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "bootstrap.servers", settings->brokers);
    for (; (*rows)[0] != NULL; rows++)
        conf_set(conf, (*rows)[0], (*rows)[1]);
    return conf;
}

static rd_kafka_t *handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[256];
    rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof(text));
    if (handle != NULL)
        return handle;
    (void)fprintf(stderr, "nodag-bench-records: %s\n", text);
    exit(EXIT_STATUS_FAILED);
}

/* --- producing --- */

/* What came of the records so far. */
struct deliveries {
    int64_t acknowledged; /* how many */
    int64_t failed;       /* how many */
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    (void)handle;
    struct deliveries *deliveries = opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        deliveries->acknowledged++;
    else
        deliveries->failed++;
}

static void produce(rd_kafka_t *handle, const char *topic, const struct record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->headers.count);
    for (size_t i = 0; i < record->headers.count; i++) {
        const struct event_header *header = &record->headers.items[i];
        (void)rd_kafka_header_add(headers, header->name, -1, header->value,
                                  (ssize_t)header->value_bytes);
    }
    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_producev(
            handle, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY((void *)(uintptr_t)record->key, strlen(record->key)),
            RD_KAFKA_V_VALUE(record->value, record->value_bytes), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_END);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            (void)fprintf(stderr, "nodag-bench-records: %s\n", rd_kafka_err2str(code));
            exit(EXIT_STATUS_FAILED);
        }
        (void)rd_kafka_poll(handle, POLL_MS);
    }
    (void)rd_kafka_poll(handle, 0);
}

static int fill(const struct main_settings *settings, struct record *record)
{
    bool skipped = strcmp(settings->what, "skipped") == 0;
    struct deliveries deliveries = {0};
    rd_kafka_conf_t *conf = conf_new(settings, producer_rows);
    conf_set(conf, "linger.ms", "20");
    conf_set(conf, "queue.buffering.max.kbytes", "131072");
    rd_kafka_conf_set_opaque(conf, &deliveries);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *handle = handle_new(RD_KAFKA_PRODUCER, conf);
    for (int64_t i = settings->first; i < settings->first + settings->count; i++) {
        if (skipped)
            record_make_skipped(record, i, (size_t)settings->value_bytes);
        else
            record_make_prediction(record, i);
        produce(handle, topic_name(skipped ? TOPIC_GITHUB_EVENTS : TOPIC_PREDICTIONS), record);
    }
    (void)rd_kafka_flush(handle, STUCK_MS);
    rd_kafka_destroy(handle);
    printf("{\"acknowledged\":%" PRId64 ",\"failed\":%" PRId64 ",\"value_bytes\":%zu,"
           "\"key_bytes\":%zu}\n",
           deliveries.acknowledged, deliveries.failed, record->value_bytes, strlen(record->key));
    return deliveries.acknowledged == settings->count ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

static int64_t wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* One line: produces, waits for the acknowledgement, answers. */
static bool open_one(rd_kafka_t *handle, const struct deliveries *deliveries, char *line,
                     struct record *record)
{
    char *rest = line;
    char *id = strsep(&rest, " ");
    char *number = strsep(&rest, " ");
    if (number == NULL || rest == NULL)
        return false;
    rest[strcspn(rest, "\n")] = '\0';
    record_make_opened(record, strtoll(id, NULL, 10), strtoll(number, NULL, 10), rest);
    int64_t before = deliveries->acknowledged;
    int64_t sent_us = wall_us();
    produce(handle, topic_name(TOPIC_GITHUB_EVENTS), record);
    while (deliveries->acknowledged == before && deliveries->failed == 0)
        (void)rd_kafka_poll(handle, POLL_MS);
    printf("%s %" PRId64 " %" PRId64 "\n", record->key, sent_us, wall_us());
    (void)fflush(stdout);
    return deliveries->failed == 0;
}

static int open_issues(const struct main_settings *settings, struct record *record)
{
    char line[LINE_BYTES];
    struct deliveries deliveries = {0};
    rd_kafka_conf_t *conf = conf_new(settings, producer_rows);
    conf_set(conf, "linger.ms", "0");
    rd_kafka_conf_set_opaque(conf, &deliveries);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *handle = handle_new(RD_KAFKA_PRODUCER, conf);
    bool good = true;
    while (good && fgets(line, sizeof(line), stdin) != NULL)
        good = open_one(handle, &deliveries, line, record);
    rd_kafka_destroy(handle);
    return good ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

/* --- consuming --- */

/* When a share of the records had come. */
struct mark {
    int64_t records; /* so many */
    int64_t us;      /* wall clock */
    double cpu_s;    /* of the process, all threads */
};

static struct mark mark_now(int64_t records)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (struct mark){.records = records,
                         .us = wall_us(),
                         .cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6};
}

/* Polls until all came; false if nothing comes any more. */
static bool consume_all(rd_kafka_t *handle, const struct main_settings *settings,
                        struct mark *ret_from, struct mark *ret_to)
{
    int64_t seen = 0;
    int64_t count = settings->count;
    rd_kafka_headers_t *headers = NULL;
    for (int idle_ms = 0; seen < count && idle_ms < STUCK_MS; idle_ms += POLL_MS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, POLL_MS);
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            seen++;
            idle_ms = 0;
            if (settings->headers)
                (void)rd_kafka_message_headers(message, &headers);
        }
        rd_kafka_message_destroy(message);
        if (seen == (count + 9) / 10)
            *ret_from = mark_now(seen);
        if (seen == count - count / 10)
            *ret_to = mark_now(seen);
    }
    return seen == count;
}

static int consume(const struct main_settings *settings)
{
    struct mark from = {0};
    struct mark to = {0};
    rd_kafka_conf_t *conf = conf_new(settings, consumer_rows);
    conf_set(conf, "group.id", settings->group);
    rd_kafka_t *handle = handle_new(RD_KAFKA_CONSUMER, conf);
    (void)rd_kafka_poll_set_consumer(handle);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(topics, settings->topic, RD_KAFKA_PARTITION_UA);
    (void)rd_kafka_subscribe(handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    bool good = consume_all(handle, settings, &from, &to);
    (void)rd_kafka_consumer_close(handle);
    rd_kafka_destroy(handle);
    printf("{\"complete\":%s,\"records\":%" PRId64 ",\"seconds\":%.6f,\"cpu_s\":%.6f}\n",
           good ? "true" : "false", to.records - from.records, (double)(to.us - from.us) / 1e6,
           to.cpu_s - from.cpu_s);
    return good ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

static int rewind_group(const struct main_settings *settings)
{
    enum topic topic = TOPIC_COUNT;
    if (topic_from_name(settings->topic, &topic) != 0)
        return EXIT_STATUS_USAGE;
    rd_kafka_conf_t *conf = conf_new(settings, consumer_rows);
    conf_set(conf, "group.id", settings->group);
    rd_kafka_t *handle = handle_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    for (int32_t p = 0; p < topic_row(topic)->partitions; p++)
        rd_kafka_topic_partition_list_add(list, settings->topic, p)->offset = 0;
    rd_kafka_resp_err_t code = rd_kafka_commit(handle, list, 0);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)fprintf(stderr, "nodag-bench-records: %s\n", rd_kafka_err2str(code));
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-bench-records",
        .summary = "fills topics for the labeler's benchmark and consumes them as its limit",
        .usage = "--what WHAT [OPTION…]",
        .description = "A part of tests/bench/labeler.",
        .rows = main_rows,
        .row_count = ARRAY_COUNT(main_rows),
    };
    struct main_settings settings = {0};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    if (strcmp(settings.what, "consume") == 0)
        return consume(&settings);
    if (strcmp(settings.what, "rewind") == 0)
        return rewind_group(&settings);
    struct record *record = MEM_NEW(struct record);
    record->value = mem_alloc(RECORD_VALUE_MAX_BYTES);
    status = strcmp(settings.what, "opened") == 0 ? open_issues(&settings, record)
                                                  : fill(&settings, record);
    mem_free(record->value);
    mem_free(record);
    return status;
}
