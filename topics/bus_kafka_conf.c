/*
 * The Kafka bus: from settings and the file of properties to librdkafka's configuration; error
 * codes; librdkafka's log.
 *
 * Design: a configuration is made in three layers, the later winning: our defaults, which the file
 * may change; the file; and what carries a promise, which the file may not even name
 * (kafka_properties_read refuses it with the reason). The file is checked once against a scratch
 * configuration, so that a mistake is told with its line before anything starts.
 * Source: librdkafka's CONFIGURATION.md; Apache Kafka's protocol guide for the fetch sizes (KIP-74:
 * a first batch that is larger than the fetch size is still given whole).
 *
 * Invariant: no value of the file is ever written into an error or a log: it may be a secret.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* Largest file of properties: some hundred lines, or a PEM certificate chain in one. */
#define PROPERTIES_MAX_BYTES 262144

/* Most properties in the file: librdkafka has fewer. */
#define PROPERTIES_MAX_COUNT 256

/* Room over the largest topic's messages for the framing of a batch. */
#define FRAMING_BYTES 65536

/* What a role gets before (`promised` false) or after the file. */
struct kafka_row {
    unsigned roles;
    const char *name;
    const char *value;
    bool promised;
};

enum { KAFKA_CONSUMERS = KAFKA_GROUP | KAFKA_READER };
enum { KAFKA_EVERY = KAFKA_CONSUMERS | KAFKA_PRODUCER | KAFKA_COMMAND };

static const struct kafka_row rows[] = {
    /* Back within a second when a broker comes back; the default waits up to ten. */
    {KAFKA_EVERY, "reconnect.backoff.max.ms", "1000", false},
    /*
     * A webhook waits for its answer: nothing is gained by letting messages wait for company. librdkafka (2.0.2) waits
     * in whole milliseconds: with 0.3 a lone message of 10 KB took 1.6 ms instead of 0.4, and 16 or 64 at a time took
     * no less processor time.
     */
    {KAFKA_PRODUCER, "linger.ms", "0", false},
    {KAFKA_PRODUCER, "compression.codec", "zstd", false},
    /*
     * librdkafka makes a compressor for each batch, and a batch has one to a few messages. It clears its tables first,
     * 750 KB at zstd's usual level and 64 KB at level 1: of the 60 µs that librdkafka's thread takes for a message of
     * 10 KB, 16 at a time, that saves 17. What is stored is 6 % larger.
     */
    {KAFKA_PRODUCER, "compression.level", "1", false},
    /* Bounds what is fetched ahead; one record of 28 MiB still fits. */
    {KAFKA_CONSUMERS, "queued.max.messages.kbytes", "32768", false},
    {KAFKA_CONSUMERS, "fetch.wait.max.ms", "100", false},
    {KAFKA_CONSUMERS, "fetch.error.backoff.ms", "100", false},

    /* With the broker's default such topics would be made with one partition and no policy. */
    {KAFKA_EVERY, "allow.auto.create.topics", "false", true},
    {KAFKA_PRODUCER, "acks", "all", true},
    {KAFKA_PRODUCER, "enable.idempotence", "true", true},
    {KAFKA_PRODUCER, "partitioner", "murmur2_random", true},
    {KAFKA_GROUP, "enable.auto.commit", "true", true},
    {KAFKA_GROUP, "auto.commit.interval.ms", "1000", true},
    /* bus_kafka_group.c abandons what was not given up a minute before the broker would. */
    {KAFKA_GROUP, "max.poll.interval.ms", "300000", true},
    {KAFKA_CONSUMERS, "enable.auto.offset.store", "false", true},
    {KAFKA_CONSUMERS, "auto.offset.reset", "earliest", true},
    {KAFKA_CONSUMERS, "isolation.level", "read_committed", true},
    {KAFKA_GROUP, "partition.assignment.strategy", "range,roundrobin", true},
    {KAFKA_READER, "enable.auto.commit", "false", true},
    {KAFKA_READER, "enable.partition.eof", "true", true},
    /* Two first batches of 28 MiB and their framing; ordinary fetches stay at fetch.max.bytes. */
    {KAFKA_CONSUMERS, "receive.message.max.bytes", "67108864", true},
};

/* What the file may not name, besides the promised rows, and why. */
static const struct {
    const char *name;
    const char *why;
} refused[] = {
    {"bootstrap.servers", "give --brokers instead"},
    {"metadata.broker.list", "give --brokers instead"},
    {"group.instance.id", "give --replica instead"},
    {"message.timeout.ms", "give --message-timeout instead"},
    {"delivery.timeout.ms", "give --message-timeout instead"},
    {"queue.buffering.max.kbytes", "give --queue-bytes instead"},
    {"request.required.acks",
     "a record counts as published only when all in-sync replicas have it"},
    {"group.id", "each consumer has its own"},
    {"client.id", "each process has its own"},
    {"transactional.id", "transactions are not used"},
    {"enable.gapless.guarantee", "one record that fails must not stop the others"},
    {"message.max.bytes", "the size is part of the topics' contract"},
    {"fetch.max.bytes", "the size is part of the topics' contract"},
    {"enabled_events", "nodag needs its own"},
    {"log.queue", "nodag takes the log itself"},
    {"test.mock.num.brokers", "each part of a process would talk to a cluster of its own"},
};

/* ---- the file of properties ---- */

static const char *why_refused(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        if (strcmp(name, refused[i].name) == 0)
            return refused[i].why;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].promised && strcmp(name, rows[i].name) == 0)
            return "nodag's guarantees rest on its own value";
    }
    return NULL;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* Checks one property; errors are without file and line. */
static int check_property(rd_kafka_conf_t *scratch, const struct kafka_properties *properties,
                          const char *name, const char *value, struct error *error)
{
    const char *why = why_refused(name);
    if (why != NULL)
        return error_set(error, ERR_DENIED, "%s cannot be set here: %s", name, why);
    for (size_t i = 0; i < properties->count; i++) {
        if (strcmp(properties->names[i], name) == 0)
            return error_set(error, ERR_INPUT, "%s stands twice; remove one line", name);
    }
    switch (rd_kafka_conf_set(scratch, name, value, NULL, 0)) {
    case RD_KAFKA_CONF_UNKNOWN:
        return error_set(error, ERR_INPUT,
                         "librdkafka has no property %s; its CONFIGURATION.md lists them", name);
    case RD_KAFKA_CONF_INVALID:
        return error_set(error, ERR_INPUT,
                         "the value of %s is not valid; librdkafka's CONFIGURATION.md says what is",
                         name);
    case RD_KAFKA_CONF_OK:
        break;
    }
    return 0;
}

/* Takes one line (NUL-terminated, changed). */
static int read_line(rd_kafka_conf_t *scratch, struct kafka_properties *properties, char *line,
                     struct error *error)
{
    char *name = trim(line);
    if (*name == '\0' || *name == '#')
        return 0;
    char *equals = strchr(name, '=');
    if (equals == NULL)
        return error_set(error, ERR_INPUT, "expected name=value");
    *equals = '\0';
    char *value = trim(equals + 1);
    name = trim(name);
    if (properties->count == PROPERTIES_MAX_COUNT)
        return error_set(error, ERR_TOO_LARGE, "more than %d properties", PROPERTIES_MAX_COUNT);
    int code = check_property(scratch, properties, name, value, error);
    if (code != 0)
        return code;
    properties->names[properties->count] = name;
    properties->values[properties->count] = value;
    properties->count++;
    return 0;
}

static int read_lines(rd_kafka_conf_t *scratch, struct kafka_properties *properties,
                      const char *path, struct error *error)
{
    int number = 1;
    char *rest = properties->text.data;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"), number++) {
        int code = read_line(scratch, properties, line, error);
        if (code != 0)
            return error_prefix(error, code, "%s:%d", path, number);
    }
    return 0;
}

int kafka_properties_read(const char *path, struct kafka_properties *ret_properties,
                          struct error *error)
{
    *ret_properties = (struct kafka_properties){.text = BUFFER_INIT(PROPERTIES_MAX_BYTES)};
    if (path == NULL)
        return 0;
    int code = file_read(path, &ret_properties->text, error);
    if (code != 0)
        return code;
    if (ret_properties->text.data == NULL)
        return 0;
    if (memchr(ret_properties->text.data, '\0', ret_properties->text.size_bytes) != NULL)
        return error_set(error, ERR_INPUT, "%s: not a text file: it has NUL bytes", path);
    ret_properties->names = mem_alloc_array(PROPERTIES_MAX_COUNT, sizeof(char *));
    ret_properties->values = mem_alloc_array(PROPERTIES_MAX_COUNT, sizeof(char *));
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    code = read_lines(scratch, ret_properties, path, error);
    rd_kafka_conf_destroy(scratch);
    return code;
}

void kafka_properties_release(struct kafka_properties *properties)
{
    if (properties->text.data != NULL)
        explicit_bzero(properties->text.data, properties->text.size_bytes);
    buffer_release(&properties->text);
    free(properties->names);
    free(properties->values);
    *properties = (struct kafka_properties){.text = BUFFER_INIT(PROPERTIES_MAX_BYTES)};
}

/* ---- librdkafka's log ---- */

/* librdkafka's lines become ours. Its worst is our warning: it goes on by itself. Any thread. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    /*
     * "X is a consumer property": the file is shared by producers and consumers, as it should be.
     * And the mock cluster says of itself at every turn that it is too old to be told not to create
     * topics.
     */
    if (strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "AUTOCREATE") == 0)
        return;
    enum { SYSLOG_WARNING = 4, SYSLOG_DEBUG = 7 };
    if (level <= SYSLOG_WARNING)
        LOG_WARNING("librdkafka", LOG_TEXT("client", rd_kafka_name(handle)),
                    LOG_TEXT("facility", facility), LOG_TEXT("text", text));
    else if (level < SYSLOG_DEBUG)
        LOG_INFO("librdkafka", LOG_TEXT("client", rd_kafka_name(handle)),
                 LOG_TEXT("facility", facility), LOG_TEXT("text", text));
    else
        LOG_DEBUG("librdkafka", LOG_TEXT("client", rd_kafka_name(handle)),
                  LOG_TEXT("facility", facility), LOG_TEXT("text", text));
}

/* ---- configurations ---- */

/* The first failure of a series of settings. */
struct kafka_setter {
    rd_kafka_conf_t *conf;
    int code;
    struct error *error;
};

static void set_text(struct kafka_setter *setter, const char *name, const char *value)
{
    if (setter->code != 0)
        return;
    char text[KAFKA_TEXT_BYTES];
    if (rd_kafka_conf_set(setter->conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        setter->code =
            error_set(setter->error, ERR_INPUT, "librdkafka refuses its property %s", name);
}

static void set_number(struct kafka_setter *setter, const char *name, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    set_text(setter, name, text);
}

static void set_rows(struct kafka_setter *setter, enum kafka_role role, bool promised)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if ((rows[i].roles & role) != 0 && rows[i].promised == promised)
            set_text(setter, rows[i].name, rows[i].value);
    }
}

/* What depends on the settings. */
static void set_settings(struct kafka_setter *setter, const struct bus_kafka_settings *settings,
                         enum kafka_role role, const char *group_name)
{
    set_text(setter, "bootstrap.servers", settings->brokers);
    set_number(setter, "message.max.bytes", TOPIC_DEAD_LETTER_MAX_BYTES + FRAMING_BYTES);
    if (role == KAFKA_PRODUCER) {
        set_number(setter, "message.timeout.ms", settings->message_timeout_ms);
        set_number(setter, "queue.buffering.max.kbytes", settings->queue_max_bytes / 1024);
    }
    if ((role & KAFKA_CONSUMERS) != 0)
        set_number(setter, "fetch.max.bytes", TOPIC_DEAD_LETTER_MAX_BYTES + FRAMING_BYTES);
    if (role == KAFKA_GROUP) {
        set_text(setter, "group.id", group_name);
        if (settings->replica != NULL)
            set_text(setter, "group.instance.id", settings->replica);
    }
}

/* Which events each role takes from its queue. */
static int role_events(enum kafka_role role)
{
    switch (role) {
    case KAFKA_PRODUCER:
        return RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR;
    case KAFKA_GROUP:
        return RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR |
               RD_KAFKA_EVENT_FETCH;
    case KAFKA_READER:
        return RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_FETCH;
    case KAFKA_COMMAND:
        return RD_KAFKA_EVENT_ERROR;
    }
    return 0;
}

int kafka_conf_new(const struct bus_kafka_settings *settings,
                   const struct kafka_properties *properties, const char *client_name,
                   enum kafka_role role, const char *group_name, rd_kafka_conf_t **ret_conf,
                   struct error *error)
{
    struct kafka_setter setter = {.conf = rd_kafka_conf_new(), .error = error};
    set_text(&setter, "client.id", client_name);
    set_rows(&setter, role, false);
    for (size_t i = 0; i < properties->count; i++)
        set_text(&setter, properties->names[i], properties->values[i]);
    set_settings(&setter, settings, role, group_name);
    set_rows(&setter, role, true);
    if (setter.code != 0) {
        rd_kafka_conf_destroy(setter.conf);
        return setter.code;
    }
    rd_kafka_conf_set_events(setter.conf, role_events(role));
    rd_kafka_conf_set_log_cb(setter.conf, on_log);
    *ret_conf = setter.conf;
    return 0;
}

int kafka_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret_handle,
                     struct error *error)
{
    char text[KAFKA_TEXT_BYTES];
    rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof(text));
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_INPUT, "librdkafka refuses the configuration: %s", text);
    }
    *ret_handle = handle;
    return 0;
}

/* ---- error codes ---- */

int kafka_error_code(rd_kafka_resp_err_t kafka_error)
{
    switch (kafka_error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return 0;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return ERR_TIMEOUT;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return ERR_QUEUE_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return ERR_TOO_LARGE;
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED:
        return ERR_INPUT;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return ERR_DENIED;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        return ERR_UNAVAILABLE;
    default:
        return ERR_IO;
    }
}
