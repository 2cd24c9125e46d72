/*
 * nodag-mock: librdkafka's mock cluster in a process of its own, with nodag's topics.
 *
 * Design: for a first look where there is no Java, and for fault tests that want a broker which starts in a blink and can
 * be killed. The cluster lives in librdkafka's own threads; the loop only waits for the signal. What the mock can not do is
 * told by --help and by the log, because nobody should learn it from lost records.
 *
 * Invariants: every topic of topics/topic.h is there, with its number of partitions, before anybody is told where the
 * broker listens; it listens on the loopback only.
 *
 * Source: rdkafka_mock.h and rdkafka_mock*.c of librdkafka 2.0.2. That API is marked experimental: no daemon uses it.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/memory.h"
#include "topics/topic.h"

/* One broker: a second one would add nothing to a first look. */
#define MOCK_BROKERS 1

/*
 * Pause before each topic, in milliseconds. The mock's thread loses the wake-up of a request that comes while it finishes the
 * one before, and finds it a second later (librdkafka 2.0.2, rd_kafka_mock_cluster_io_poll): it gets the time to fall asleep.
 */
#define MOCK_PAUSE_MS 5

/* Longest complaint of librdkafka. */
#define MOCK_TEXT_BYTES 256

/* The settings: those of every daemon, and no others. */
struct mock_settings {
    struct daemon_settings daemon;
};

/* The running cluster. */
struct mock {
    struct daemon *daemon;            /* borrowed */
    rd_kafka_t *handle;               /* owned: the cluster keeps its books in one */
    rd_kafka_mock_cluster_t *cluster; /* owned */
    struct loop_timer *timer;         /* owned: the pause before the next topic */
    enum topic next_topic;            /* TOPIC_COUNT: all are there */
};

static void mock_on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    enum { SYSLOG_WARNING = 4 };
    LOG_AT(level <= SYSLOG_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "librdkafka",
           LOG_TEXT("facility", facility), LOG_TEXT("text", text));
}

/* All topics are there: from here on it is of use. */
static void mock_announce(struct mock *mock)
{
    const char *brokers = rd_kafka_mock_cluster_bootstraps(mock->cluster);
    LOG_WARNING("this is a mock: nothing survives its end, and of each partition only the newest "
                "5 MiB are kept",
                LOG_TEXT("brokers", brokers), LOG_INT("topics", TOPIC_COUNT));
    daemon_announce(mock->daemon, "brokers", brokers);
    printf("%s\n", brokers);
    (void)fflush(stdout);
    daemon_set_ready(mock->daemon, "topics", true, NULL);
}

/* Creates the next topic. */
static void mock_on_timer(void *argument)
{
    struct mock *mock = argument;
    const struct topic_row *row = topic_row(mock->next_topic);
    rd_kafka_resp_err_t code =
        rd_kafka_mock_topic_create(mock->cluster, row->name, row->partitions, MOCK_BROKERS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        LOG_ERROR("the mock cluster refuses a topic", LOG_TEXT("topic", row->name),
                  LOG_TEXT("reason", rd_kafka_err2str(code)));
        daemon_fail(mock->daemon, "not all topics could be made");
        return;
    }
    mock->next_topic++;
    if (mock->next_topic < TOPIC_COUNT)
        loop_timer_set(mock->timer, MOCK_PAUSE_MS);
    else
        mock_announce(mock);
}

static int mock_start(struct daemon *daemon, void *settings, void **ret_self, struct error *error)
{
    (void)settings;
    struct mock *mock = MEM_NEW(struct mock);
    mock->daemon = daemon;
    *ret_self = mock;
    char text[MOCK_TEXT_BYTES];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, mock_on_log);
    mock->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (mock->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_IO, "librdkafka does not start: %s", text);
    }
    mock->cluster = rd_kafka_mock_cluster_new(mock->handle, MOCK_BROKERS);
    if (mock->cluster == NULL)
        return error_set(error, ERR_IO,
                         "librdkafka's mock cluster does not start: it found no free port on "
                         "127.0.0.1, or no memory");
    daemon_set_ready(daemon, "topics", false, "not all of them are made yet");
    mock->timer = loop_timer_new(daemon_loop(daemon), mock_on_timer, mock);
    loop_timer_set(mock->timer, MOCK_PAUSE_MS);
    return 0;
}

static void mock_drain(void *self)
{
    daemon_drained(((struct mock *)self)->daemon);
}

static void mock_stop(void *self)
{
    struct mock *mock = self;
    if (mock == NULL)
        return;
    loop_timer_free(mock->timer);
    if (mock->cluster != NULL)
        rd_kafka_mock_cluster_destroy(mock->cluster);
    if (mock->handle != NULL)
        rd_kafka_destroy(mock->handle);
    mem_free(mock);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag mock",
                .summary = "runs an in-memory Kafka with nodag's topics, for a first look and for "
                           "fault tests",
                .usage = "[OPTION…]",
                .description =
                    "It is the mock cluster of librdkafka, on a free port of 127.0.0.1, until "
                    "SIGTERM or Ctrl-C.\n"
                    "Standard output and the ready file (`brokers=…`) say where. Producers "
                    "(idempotent ones too) and\n"
                    "consumer groups with committed offsets work. It is not for anything that must "
                    "be kept:\n"
                    "\n"
                    "    - nothing survives its end, neither records nor offsets;\n"
                    "    - of each partition only the newest 5 MiB are kept, as they came over "
                    "the wire (or 100,000\n"
                    "      batches): a slow consumer loses records, a compacted topic forgets "
                    "keys, and a record\n"
                    "      over that size, with the one after it, can never be read;\n"
                    "    - nothing is compacted, no retention and no message size is enforced;\n"
                    "    - no CreateTopics and no DescribeConfigs: the topics are there from the "
                    "start, and\n"
                    "      `nodag topics create` and `check` cannot work; a misspelt topic is made "
                    "by asking for it;\n"
                    "    - no look-up of offsets by time: `nodag tail --since` finds nothing;\n"
                    "    - no static membership (--replica is ignored): a member that was killed "
                    "holds its partitions\n"
                    "      until its session ends, and the first join of a group takes 3 s;\n"
                    "    - no TLS, no SASL, no ACLs, no transactions for readers.\n",
                .examples = "    nodag mock --ready-file /tmp/mock.ready\n"
                            "    nodag tail github.events --brokers \"$(sed -n s/^brokers=//p "
                            "/tmp/mock.ready)\"\n",
            },
        .settings_bytes = sizeof(struct mock_settings),
        .start = mock_start,
        .drain = mock_drain,
        .stop = mock_stop,
    };
    return daemon_main(&spec, argc, argv);
}
