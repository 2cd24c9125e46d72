/*
 * Tests of the file of properties and of the settings that carry a promise.
 *
 * Design: tables: a file's text with the error that it must give, what every handle must have been
 * given, and what the file may change.
 */
#include "tests/unit/topics/bus_kafka_world.h"

static void test_properties_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *names; /* what the error must name */
        const char *hides; /* what it must not */
    } cases[] = {
        {"", 0, NULL, NULL},
        {"\r\n  # comment = x\r\n security.protocol = plaintext \r\n", 0, NULL, NULL},
        {"sasl.password=a=b#c", 0, NULL, NULL},
        {"acks=1", ERR_DENIED, ":1", NULL},
        {"\n\nenable.idempotence=false", ERR_DENIED, ":3", NULL},
        {"bootstrap.servers=x:1", ERR_DENIED, "--brokers", NULL},
        {"group.instance.id=x", ERR_DENIED, "--replica", NULL},
        {"partitioner=random", ERR_DENIED, "partitioner", NULL},
        {"no.such.property=hunter2", ERR_INPUT, "no.such.property", "hunter2"},
        {"security.protocol=hunter2", ERR_INPUT, "security.protocol", "hunter2"},
        {"sasl.password=hunter2\nsasl.password=x", ERR_INPUT, ":2", "hunter2"},
        {"hunter2", ERR_INPUT, "name=value", "hunter2"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char path[] = "/tmp/nodag-properties-XXXXXX";
        struct kafka_properties properties;
        struct error error = {0};
        write_file(path, cases[i].text);
        int code = kafka_properties_read(path, &properties, &error);
        kafka_properties_release(&properties);
        (void)unlink(path);
        if (code != cases[i].code)
            fail_msg("case %zu: %s %s", i, err_name(code), error.text);
        if (cases[i].names != NULL)
            assert_non_null(strstr(error.text, cases[i].names));
        if (cases[i].hides != NULL)
            assert_null(strstr(error.text, cases[i].hides));
    }
    struct kafka_properties properties;
    struct error error = {0};
    assert_int_equal(kafka_properties_read("/nonexistent/file", &properties, &error),
                     ERR_NOT_FOUND);
    kafka_properties_release(&properties);
}

/*
 * No handle can be made without what carries a promise, whatever the defaults of librdkafka become.
 */
static void test_promises_are_set(void **state)
{
    (void)state;
    static const struct {
        enum kafka_role role;
        const char *name, *value;
    } cases[] = {
        {KAFKA_PRODUCER, "acks", "-1"},
        {KAFKA_PRODUCER, "enable.idempotence", "true"},
        {KAFKA_PRODUCER, "partitioner", "murmur2_random"},
        {KAFKA_PRODUCER, "message.timeout.ms", "5000"},
        {KAFKA_PRODUCER, "queue.buffering.max.kbytes", "32768"},
        {KAFKA_PRODUCER, "allow.auto.create.topics", "false"},
        {KAFKA_GROUP, "group.id", "g"},
        {KAFKA_GROUP, "group.instance.id", "pod-0"},
        {KAFKA_GROUP, "enable.auto.offset.store", "false"},
        {KAFKA_GROUP, "isolation.level", "read_committed"},
        {KAFKA_GROUP, "auto.offset.reset", "smallest"},
        {KAFKA_GROUP, "partition.assignment.strategy", "range,roundrobin"},
        {KAFKA_READER, "enable.auto.commit", "false"},
        {KAFKA_READER, "isolation.level", "read_committed"},
        {KAFKA_READER, "enable.partition.eof", "true"},
    };
    const struct bus_kafka_settings settings = {.brokers = "127.0.0.1:1",
                                                .replica = "pod-0",
                                                .message_timeout_ms = 5000,
                                                .queue_max_bytes = 32 << 20};
    const struct kafka_properties none = {.count = 0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rd_kafka_conf_t *conf = NULL;
        struct error error = {0};
        char value[64];
        size_t value_bytes = sizeof(value);
        assert_int_equal(
            kafka_conf_new(&settings, &none, "test", cases[i].role, "g", &conf, &error), 0);
        assert_int_equal(rd_kafka_conf_get(conf, cases[i].name, value, &value_bytes),
                         RD_KAFKA_CONF_OK);
        assert_string_equal(value, cases[i].value);
        rd_kafka_conf_destroy(conf);
    }
}

/* Our defaults hold where the file says nothing, and where it does the file. */
static void test_defaults_give_way_to_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *name, *usual, *given;
    } cases[] = {
        {"compression.codec", "zstd", "lz4"},
        {"compression.level", "1", "3"},
        {"linger.ms", "0", "5"},
    };
    const struct bus_kafka_settings settings = {
        .brokers = "127.0.0.1:1", .message_timeout_ms = 5000, .queue_max_bytes = 32 << 20};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(cases); i++) {
        bool has_file = i % 2 == 1;
        char path[] = "/tmp/nodag-properties-XXXXXX";
        char text[64];
        (void)snprintf(text, sizeof(text), "%s=%s\n", cases[i / 2].name, cases[i / 2].given);
        write_file(path, has_file ? text : "");
        struct kafka_properties properties;
        rd_kafka_conf_t *conf = NULL;
        struct error error = {0};
        char value[64];
        size_t value_bytes = sizeof(value);
        assert_int_equal(kafka_properties_read(path, &properties, &error), 0);
        assert_int_equal(
            kafka_conf_new(&settings, &properties, "test", KAFKA_PRODUCER, NULL, &conf, &error), 0);
        assert_int_equal(rd_kafka_conf_get(conf, cases[i / 2].name, value, &value_bytes),
                         RD_KAFKA_CONF_OK);
        assert_string_equal(value, has_file ? cases[i / 2].given : cases[i / 2].usual);
        rd_kafka_conf_destroy(conf);
        kafka_properties_release(&properties);
        (void)unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties_are_checked),
        cmocka_unit_test(test_promises_are_set),
        cmocka_unit_test(test_defaults_give_way_to_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
