/*
 * Tests of subject keys and of the partitioner.
 *
 * Design: tables. The partitioner is held against the hashes that Apache Kafka's own tests name for
 * its Java client, and against librdkafka's murmur2 partitioner over keys of every length modulo 4.
 */
#include "topics/subject.h"

#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void test_issue_keys_round_trip(void **state)
{
    (void)state;
    static const struct {
        int64_t repository_id, number;
        const char *key;
    } cases[] = {
        {1, 1, "1#1"},
        {112647343, 4711, "112647343#4711"},
        {INT64_MAX, INT64_MAX, "9223372036854775807#9223372036854775807"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char key[SUBJECT_KEY_BYTES];
        int64_t repository_id = 0;
        int64_t number = 0;
        subject_key_issue(cases[i].repository_id, cases[i].number, key);
        assert_string_equal(key, cases[i].key);
        assert_int_equal(subject_key_parse_issue(key, strlen(key), &repository_id, &number), 0);
        assert_int_equal(repository_id, cases[i].repository_id);
        assert_int_equal(number, cases[i].number);
    }
}

static void test_other_forms_are_no_issue_keys(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "#",
        "1",
        "1#",
        "#1",
        "0#1",
        "1#0",
        "01#1",
        "1#01",
        "-1#1",
        "1#-1",
        "+1#1",
        " 1#1",
        "1#1 ",
        "1#1#1",
        "1##1",
        "a#1",
        "1#1.0",
        "9223372036854775808#1",
        "1#99999999999999999999",
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t repository_id = -7;
        int64_t number = -7;
        int code = subject_key_parse_issue(cases[i], strlen(cases[i]), &repository_id, &number);
        if (code != ERR_INPUT)
            fail_msg("\"%s\" was taken for an issue key", cases[i]);
        assert_int_equal(repository_id, -7);
        assert_int_equal(number, -7);
    }
    int64_t ignored = 0;
    assert_int_equal(subject_key_parse_issue(NULL, 0, &ignored, &ignored), ERR_INPUT);
    /* A NUL within is no end. */
    assert_int_equal(subject_key_parse_issue("1#1\0", 4, &ignored, &ignored), ERR_INPUT);
}

static void test_pending_keys(void **state)
{
    (void)state;
    char key[SUBJECT_KEY_BYTES];
    char longest[SUBJECT_KEY_BYTES];
    assert_int_equal(subject_key_pending("labeler", "12#3", key), 0);
    assert_string_equal(key, "labeler|12#3");
    memset(longest, 'k', sizeof(longest));
    longest[SUBJECT_KEY_BYTES - sizeof("labeler|")] = '\0';
    assert_int_equal(subject_key_pending("labeler", longest, key), 0);
    assert_int_equal(strlen(key), SUBJECT_KEY_BYTES - 1);
    longest[SUBJECT_KEY_BYTES - sizeof("labeler|")] = 'k';
    longest[SUBJECT_KEY_BYTES - sizeof("labeler|") + 1] = '\0';
    assert_int_equal(subject_key_pending("labeler", longest, key), ERR_TOO_LARGE);
}

/* The hashes are those of Apache Kafka's UtilsTest.testMurmur2. */
static void test_partitions_as_the_java_client(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    static const int32_t partitions[] = {1, 2, 12, 100, INT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t k = 0; k < ARRAY_COUNT(partitions); k++)
            assert_int_equal(
                subject_key_partition(cases[i].key, strlen(cases[i].key), partitions[k]),
                (cases[i].hash & 0x7fffffff) % partitions[k]);
    }
}

static void test_partitions_as_librdkafka(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        char key[64];
        int length = snprintf(key, sizeof(key), "%d#%.*s\xc3\xa9", i * 7919, i % 9, "123456789");
        int32_t expected =
            rd_kafka_msg_partitioner_murmur2(NULL, key, (size_t)length, 12, NULL, NULL);
        assert_int_equal(subject_key_partition(key, (size_t)length, 12), expected);
    }
    assert_int_equal(subject_key_partition("", 0, 12),
                     rd_kafka_msg_partitioner_murmur2(NULL, "", 0, 12, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_issue_keys_round_trip),
        cmocka_unit_test(test_other_forms_are_no_issue_keys),
        cmocka_unit_test(test_pending_keys),
        cmocka_unit_test(test_partitions_as_the_java_client),
        cmocka_unit_test(test_partitions_as_librdkafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
