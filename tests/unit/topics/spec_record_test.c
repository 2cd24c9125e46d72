/*
 * The records of `specs`: what is written is read back equal, a table of values that are no records,
 * the messages that publish them, and the fold that keeps what it could read last.
 */
#include "topics/spec_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "topics/spec_store.h"

#define DOCUMENT                                                                                   \
    "{\"apiVersion\":\"nodag.dev/"                                                                 \
    "v1\",\"kind\":\"Labeler\",\"metadata\":{\"name\":\"a\"},\"spec\":{"                           \
    "\"labels\":{\"include\":[\"x\"]},\"models\":[{\"file\":\"m\"}],\"repositories\":[\"o/r\"]}}"
#define PLACE                                                                                      \
    "\"repository\":\"https://h/"                                                                  \
    "r\",\"branch\":\"main\",\"path\":\"p.yaml\",\"commit\":\"c1\",\"line\":3"
#define VALID "{" PLACE ",\"document\":" DOCUMENT "}"
#define INVALID "{" PLACE ",\"reason\":\"p.yaml:3: wrong\"}"
#define TIME "\"first_published\":\"2026-11-01T08:00:00Z\""

static int decode(const char *key, const char *text, struct spec_record **ret_record,
                  struct error *error)
{
    return spec_record_decode(key, text, strlen(text), ret_record, error);
}

static void test_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *text;
    } cases[] = {
        {"Labeler/a", "{" TIME ",\"invalid\":null,\"valid\":" VALID "}"},
        {"Labeler/a", "{" TIME ",\"invalid\":" INVALID ",\"valid\":" VALID "}"},
        {"Labeler/a", "{\"first_published\":null,\"invalid\":" INVALID ",\"valid\":null}"},
        {"File/r/p", "{\"first_published\":null,\"invalid\":" INVALID ",\"valid\":null}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(spec_record_free) struct spec_record *record = NULL;
        CLEANUP(spec_record_free) struct spec_record *again = NULL;
        struct error error = {0};
        if (decode(cases[i].key, cases[i].text, &record, &error) != 0)
            fail_msg("%s: %s", cases[i].text, error.text);
        CLEANUP(mem_free) char *written = spec_record_encode(record, NULL);
        assert_int_equal(decode(cases[i].key, written, &again, NULL), 0);
        CLEANUP(spec_record_free) struct spec_record *copy = spec_record_copy(again);
        CLEANUP(mem_free) char *twice = spec_record_encode(copy, NULL);
        assert_string_equal(written, twice);
        json_t *left = json_loads(cases[i].text, 0, NULL);
        json_t *right = json_loads(written, 0, NULL);
        assert_true(json_equal(left, right) != 0);
        json_decref(left);
        json_decref(right);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *text;
    } cases[] = {
        {"Labeler/a", ""},
        {"Labeler/a", "[]"},
        {"Labeler/a", "{}"},
        {"Labeler/a", "{\"first_published\":null,\"invalid\":null,\"valid\":null}"},
        {"Labeler/b", "{" TIME ",\"valid\":" VALID "}"}, /* another name */
        {"Model/a", "{" TIME ",\"valid\":" VALID "}"},   /* another kind */
        {"File/r/p", "{" TIME ",\"valid\":" VALID "}"},  /* no kind at all */
        {"Labeler/a", "{\"valid\":" VALID "}"},          /* no time */
        {"Labeler/a", "{\"first_published\":\"now\",\"valid\":" VALID "}"},
        {"Labeler/a", "{" TIME ",\"valid\":{\"document\":" DOCUMENT "}}"}, /* from nowhere */
        {"Labeler/a", "{" TIME ",\"valid\":{" PLACE ",\"document\":{}}}"},
        {"Labeler/a", "{" TIME ",\"valid\":{" PLACE "}}"},
        {"Labeler/a", "{\"invalid\":{" PLACE "}}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct spec_record *record = NULL;
        struct error error = {0};
        if (decode(cases[i].key, cases[i].text, &record, &error) != ERR_INPUT ||
            error.text[0] == '\0' || record != NULL)
            fail_msg("%s: accepted", cases[i].text);
    }
}

static void test_keys(void **state)
{
    (void)state;
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    assert_int_equal(spec_key_parse("Deployment/prod-1", &kind, &name), 0);
    assert_int_equal(kind, SPEC_DEPLOYMENT);
    assert_string_equal(name, "prod-1");
    static const char *const none[] = {"",          "Labeler", "Labeler/",
                                       "Labeler/A", "File/a",  "labeler/a"};
    for (size_t i = 0; i < ARRAY_COUNT(none); i++)
        assert_int_equal(spec_key_parse(none[i], &kind, &name), ERR_NOT_FOUND);
}

/* --- messages --- */

static void test_messages(void **state)
{
    (void)state;
    CLEANUP(spec_record_free) struct spec_record *record = NULL;
    assert_int_equal(decode("Labeler/a", "{" TIME ",\"valid\":" VALID "}", &record, NULL), 0);
    CLEANUP(spec_message_free)
    struct spec_message *made = spec_message_make("Labeler/a", record, 1000);
    struct event event;
    assert_int_equal(
        envelope_decode(made->message.headers, made->message.header_count, &event, NULL), 0);
    assert_true(text_equals(event.type, "dev.nodag.spec"));
    assert_true(text_equals(event.subject, "Labeler/a"));
    assert_true(text_equals(event.source, "https://h/r"));
    assert_true(text_equals(event.data_schema, SPEC_RECORD_SCHEMA));
    assert_int_equal(event.time_ms, 1000);
    assert_int_equal(made->message.topic, TOPIC_SPECS);
    bus_message_check(&made->message);
    CLEANUP(spec_record_free) struct spec_record *read = NULL;
    assert_int_equal(spec_record_decode("Labeler/a", made->message.value, made->message.value_bytes,
                                        &read, NULL),
                     0);
    CLEANUP(spec_message_free)
    struct spec_message *gone = spec_message_make("Labeler/a", NULL, 2000);
    CLEANUP(spec_message_free)
    struct spec_message *later = spec_message_make("Labeler/a", record, 3000);
    assert_null(gone->message.value);
    /* A record that comes again is an event of its own: consumers drop what has an id that they saw. */
    assert_string_not_equal(made->id, later->id);
    assert_string_not_equal(gone->id, made->id);
}

/* --- the fold --- */

static bool apply(struct spec_store *store, const char *key, const char *value)
{
    char changed[SUBJECT_KEY_BYTES] = "";
    const struct bus_record record = {
        .topic = TOPIC_SPECS,
        .key = key,
        .key_bytes = strlen(key),
        .value = value,
        .value_bytes = value != NULL ? strlen(value) : 0,
    };
    bool has_changed = spec_store_apply(store, &record, changed);
    if (has_changed)
        assert_string_equal(changed, key);
    return has_changed;
}

static void test_fold(void **state)
{
    (void)state;
    CLEANUP(spec_store_free) struct spec_store *store = spec_store_new();
    assert_false(apply(store, "Labeler/a", NULL));
    assert_true(apply(store, "Labeler/a", "{" TIME ",\"valid\":" VALID "}"));
    assert_true(apply(store, "File/r/p", "{\"invalid\":" INVALID "}"));
    assert_int_equal(spec_store_count(store), 2);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    assert_string_equal(entries[0].key, "File/r/p");
    assert_string_equal(entries[1].key, "Labeler/a");
    assert_true(apply(store, "Labeler/a", "no JSON"));
    const struct spec_record *record = spec_store_find(store, "Labeler/a");
    assert_non_null(record->valid); /* what could be read last stays */
    assert_non_null(strstr(record->reason, "cannot be used"));
    assert_true(apply(store, "Labeler/b", "no JSON"));
    assert_null(spec_store_find(store, "Labeler/b")->valid);
    assert_true(apply(store, "Labeler/a", NULL));
    assert_null(spec_store_find(store, "Labeler/a"));
    const struct bus_record no_key = {.topic = TOPIC_SPECS, .value = "{}", .value_bytes = 2};
    char key[SUBJECT_KEY_BYTES];
    assert_false(spec_store_apply(store, &no_key, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_keys),      cmocka_unit_test(test_messages),
        cmocka_unit_test(test_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
