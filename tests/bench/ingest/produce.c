/*
 * nodag-bench-produce: the limit. What librdkafka's idempotent producer can do with the same payloads.
 *
 * Design: acks=all, linger.ms=0, the door's compression and its level, partitioner, key and headers of the door's
 * sizes; K records are outstanding, and each acknowledgement sends the next, from one thread. Nothing is copied,
 * checked or parsed: no door on librdkafka can be faster.
 *
 * Prints one line of JSON (see meter.h), with `cpu_s`, the processor time that it used. A record that fails ends it
 * with exit status 1.
 */
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "tests/bench/ingest/meter.h"
#include "tests/bench/ingest/pool.h"

/* How long acknowledgements are waited for after the end, and a poll at most. */
#define FLUSH_MS 10000
#define POLL_MS 100

/* Most records outstanding. */
#define OUTSTANDING_MAX 65536

struct produce_settings {
    struct meter_settings meter;
    const char *brokers;
    const char *topic;
    const char *pool;
    const char *compression;
    struct option_list properties;
    int64_t outstanding;
};

/* One of the records outstanding. */
struct slot {
    struct producer *producer; /* borrowed */
    int64_t started_us;        /* of the record under way */
};

struct producer {
    rd_kafka_t *handle;      /* owned */
    rd_kafka_topic_t *topic; /* owned */
    struct pool pool;
    struct meter meter;
    size_t next;        /* payload */
    size_t outstanding; /* now */
    const char *failed; /* what went wrong first, or NULL; static storage */
};

#define AT(member) offsetof(struct produce_settings, member)

/* clang-format off: a row is an option */
static const struct option_row produce_rows[] = {
    POOL_OPTION_ROW(struct produce_settings, pool, "Records"),
    {.name = "outstanding",
     .kind = OPTION_INTEGER,
     .offset = AT(outstanding),
     .default_value = "16",
     .least = 1,
     .most = OUTSTANDING_MAX,
     .help = "How many records wait for their acknowledgement."},
    {.name = "brokers",
     .kind = OPTION_TEXT,
     .offset = AT(brokers),
     .default_value = "127.0.0.1:9092",
     .help = "Where the broker is."},
    {.name = "topic",
     .kind = OPTION_TEXT,
     .offset = AT(topic),
     .default_value = "github.events",
     .help = "Where to; it must exist."},
    {.name = "compression",
     .kind = OPTION_TEXT,
     .offset = AT(compression),
     .default_value = "zstd",
     .help = "compression.codec of librdkafka."},
    {.name = "property",
     .kind = OPTION_TEXT_LIST,
     .offset = AT(properties),
     .value_name = "NAME=VALUE",
     .help = "Any other property of librdkafka; may be repeated."},
    METER_OPTION_ROWS(struct produce_settings, meter),
};
/* clang-format on */

/* Headers of the door's record of such a payload, with values of their lengths; ce_id and the signature apart. */
static const struct {
    const char *name;
    const char *value;
} headers[] = {
    {"ce_specversion", "1.0"},
    {"ce_source", "https://api.github.com/repos/Codertocat/Hello-World"},
    {"ce_type", "com.github.issues.unlabeled"},
    {"ce_subject", "100001"},
    {"ce_time", "2019-05-15T15:20:18.000Z"},
    {"content-type", "application/json"},
    {"ce_githubrepository", "Codertocat/Hello-World"},
    {"ce_githubevent", "issues"},
    {"ce_githubhookid", "109948940"},
    {"ce_githubtargettype", "repository"},
    {"ce_githubtargetid", "186853002"},
    {"ce_githubsender", "Codertocat"},
    {"ce_githubsendertype", "User"},
    {"ce_githubsecretid", "secret"},
};

/* A GUID that no other has: as many bytes as GitHub's. */
#define GUID_BYTES 37

static rd_kafka_headers_t *make_headers(const struct payload_item *item, size_t number)
{
    char guid[GUID_BYTES];
    (void)snprintf(guid, sizeof(guid), "00000000-0000-4000-8000-%012zx", number);
    rd_kafka_headers_t *made = rd_kafka_headers_new(ARRAY_COUNT(headers) + 2);
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++)
        (void)rd_kafka_header_add(made, headers[i].name, -1, headers[i].value, -1);
    (void)rd_kafka_header_add(made, "ce_id", -1, guid, -1);
    (void)rd_kafka_header_add(made, "ce_githubsignature", -1, item->signature, -1);
    return made;
}

/* Sends the next payload in this slot. */
static void produce_next(struct slot *slot)
{
    struct producer *producer = slot->producer;
    size_t number = producer->next++;
    const struct payload_item *item = &producer->pool.items[number % producer->pool.count];
    rd_kafka_headers_t *made = make_headers(item, number);
    slot->started_us = meter_now_us();
    rd_kafka_resp_err_t code =
        rd_kafka_producev(producer->handle, RD_KAFKA_V_RKT(producer->topic), RD_KAFKA_V_MSGFLAGS(0),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)item->body, item->body_bytes),
                          RD_KAFKA_V_KEY((void *)(uintptr_t)item->key, strlen(item->key)),
                          RD_KAFKA_V_HEADERS(made), RD_KAFKA_V_OPAQUE(slot), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_headers_destroy(made);
        producer->failed = rd_kafka_err2str(code);
        return;
    }
    producer->outstanding++;
}

static void on_delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *argument)
{
    (void)handle;
    (void)argument;
    struct slot *slot = message->_private;
    struct producer *producer = slot->producer;
    int64_t now_us = meter_now_us();
    producer->outstanding--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->failed = rd_kafka_err2str(message->err);
        return;
    }
    meter_note(&producer->meter, slot->started_us, now_us);
    if (!meter_is_over(&producer->meter, now_us) && producer->failed == NULL)
        produce_next(slot);
}

static int set_property(rd_kafka_conf_t *conf, const char *name, const char *value,
                        struct error *error)
{
    char text[ERROR_TEXT_BYTES / 2];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(error, ERR_INPUT, "%s", text);
}

/* Sets what the door sets, then what the command line adds. */
static int set_properties(const struct produce_settings *settings, rd_kafka_conf_t *conf,
                          struct error *error)
{
    const char *const properties[][2] = {
        {"bootstrap.servers", settings->brokers},
        {"acks", "all"},
        {"enable.idempotence", "true"},
        {"linger.ms", "0"},
        {"compression.codec", settings->compression},
        {"compression.level", "1"},
        {"partitioner", "murmur2_random"},
        {"client.id", "nodag-bench-produce"},
    };
    int code = 0;
    for (size_t i = 0; i < ARRAY_COUNT(properties) && code == 0; i++)
        code = set_property(conf, properties[i][0], properties[i][1], error);
    for (size_t i = 0; i < settings->properties.count && code == 0; i++) {
        CLEANUP(mem_free) char *name = mem_copy_text(settings->properties.items[i]);
        char *equals = strchr(name, '=');
        if (equals == NULL)
            return error_set(error, ERR_USAGE, "--property %s: write NAME=VALUE", name);
        *equals = '\0';
        code = set_property(conf, name, equals + 1, error);
    }
    return code;
}

static int open_producer(const struct produce_settings *settings, struct producer *producer,
                         struct error *error)
{
    char text[ERROR_TEXT_BYTES / 2];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int code = set_properties(settings, conf, error);
    if (code != 0) {
        rd_kafka_conf_destroy(conf);
        return code;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_INPUT, "%s", text);
    }
    producer->topic = rd_kafka_topic_new(producer->handle, settings->topic, NULL);
    return 0;
}

static int run(const struct produce_settings *settings, struct producer *producer,
               struct error *error)
{
    int code = pool_read(settings->pool, &producer->pool, error);
    if (code == 0)
        code = open_producer(settings, producer, error);
    if (code != 0)
        return code;
    struct slot *slots = mem_alloc_array((size_t)settings->outstanding, sizeof(*slots));
    double cpu_before_s = meter_cpu_s();
    meter_start(&producer->meter, &settings->meter);
    for (int64_t i = 0; i < settings->outstanding && producer->failed == NULL; i++) {
        slots[i] = (struct slot){.producer = producer};
        produce_next(&slots[i]);
    }
    while (producer->outstanding > 0 && producer->failed == NULL)
        (void)rd_kafka_poll(producer->handle, POLL_MS);
    if (producer->failed != NULL)
        code = error_set(error, ERR_UNAVAILABLE, "%s: %s", settings->topic, producer->failed);
    else
        (void)meter_print(&producer->meter, stdout, meter_cpu_s() - cpu_before_s);
    (void)rd_kafka_flush(producer->handle, FLUSH_MS);
    free(slots);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-bench-produce",
        .summary = "how many records a second librdkafka's idempotent producer gets acknowledged",
        .usage = "[OPTION…]",
        .rows = produce_rows,
        .row_count = ARRAY_COUNT(produce_rows),
    };
    struct produce_settings settings = {0};
    struct producer producer = {0};
    struct error error = {0};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    int code = run(&settings, &producer, &error);
    if (code != 0)
        (void)fprintf(stderr, "%s: %s\n", program.name, error.text);
    if (producer.topic != NULL)
        rd_kafka_topic_destroy(producer.topic);
    if (producer.handle != NULL)
        rd_kafka_destroy(producer.handle);
    pool_release(&producer.pool);
    meter_release(&producer.meter);
    return code == 0 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
