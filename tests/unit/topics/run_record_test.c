/*
 * Tests of topics/run_record.c, model_record.c and record_json.c: what is written reads back to the same bytes, and what no
 * record can be is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/model_record.h"
#include "topics/run_record.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ARTEFACT "{\"sha256\":\"" SHA "\",\"size_bytes\":3,\"uri\":\"file:///a\"}"

/* In the one form: sorted, compact. */
#define RUN                                                                                        \
    "{\"artefacts\":{\"log\":" ARTEFACT "},\"attempt\":2,\"cause\":\"0a\",\"collected\":false,"    \
    "\"commit\":\"8c\",\"created_at\":\"2026-11-01T08:00:00Z\",\"deadline_ms\":7200000,"           \
    "\"ended_at\":\"2026-11-01T08:02:00Z\",\"executor\":\"local\",\"host\":\"h\",\"model\":\"m\"," \
    "\"notebook\":\"n.ipynb\",\"reason\":\"it broke\",\"repository\":\"https://h/o/r\","           \
    "\"run\":\"m-0a-2\",\"spec_sha256\":\"\",\"stale\":[\"no-model\"],\"started_at\":null,"        \
    "\"state\":\"FAILED\"}"
#define MODEL                                                                                      \
    "{\"artefacts\":{\"model\":" ARTEFACT "},\"collected\":true,\"commit\":\"8c\",\"created_at\":" \
    "\"2026-11-01T08:00:00Z\",\"metrics\":{\"f1_macro\":0.5},\"model\":\"m\",\"notebook\":\"\","   \
    "\"repository\":\"https://h/o/r\",\"run\":\"m-0a-2\",\"snapshot\":{\"offsets\":{\"0\":4},"     \
    "\"sha256\":\"" SHA "\",\"taken_at\":null},\"thresholds\":{\"kind/bug\":0.25},"                \
    "\"version\":\"m-0a-2\"}"

/* One text of a record replaced by another; owned. */
static char *replace(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);
    assert_non_null(at);
    return mem_format("%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
}

static int decode_run(const char *key, const char *text)
{
    CLEANUP(run_record_free) struct run_record *record = NULL;
    struct error error = {0};
    int code = run_record_decode(key, strlen(key), text, strlen(text), &record, &error);
    assert_int_equal(code != 0, error.text[0] != '\0');
    return code;
}

static int decode_model(const char *key, const char *text)
{
    CLEANUP(model_record_free) struct model_record *record = NULL;
    struct error error = {0};
    int code = model_record_decode(key, strlen(key), text, strlen(text), &record, &error);
    assert_int_equal(code != 0, error.text[0] != '\0');
    return code;
}

static void test_read_back(void **state)
{
    (void)state;
    CLEANUP(run_record_free) struct run_record *run = NULL;
    assert_int_equal(run_record_decode("m-0a-2", 6, RUN, strlen(RUN), &run, NULL), 0);
    CLEANUP(run_record_free) struct run_record *copy = run_record_copy(run);
    CLEANUP(mem_free) char *text = run_record_encode(copy, NULL);
    assert_string_equal(text, RUN);
    CLEANUP(model_record_free) struct model_record *model = NULL;
    assert_int_equal(model_record_decode("m/m-0a-2", 8, MODEL, strlen(MODEL), &model, NULL), 0);
    CLEANUP(model_record_free) struct model_record *model_copy = model_record_copy(model);
    CLEANUP(mem_free) char *model_text = model_record_encode(model_copy, NULL);
    assert_string_equal(model_text, MODEL);
    assert_string_equal(record_artefact_text(model->artefacts, "model", "sha256"), SHA);
    assert_null(record_artefact_text(model->artefacts, "log", "sha256"));
}

static void test_refused_runs(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *by;
    } rows[] = {
        {"\"attempt\":2", "\"attempt\":0"},
        {"\"attempt\":2", "\"attempt\":2.5"},
        {"\"state\":\"FAILED\"", "\"state\":\"DONE\""},
        {"\"state\":\"FAILED\"", "\"state\":\"RUNNING\""}, /* with an end */
        {"\"ended_at\":\"2026-11-01T08:02:00Z\"", "\"ended_at\":null"},
        {"\"ended_at\":\"2026-11-01T08:02:00Z\"", "\"ended_at\":\"yesterday\""},
        {"\"started_at\":null,", ""},
        {"\"host\":\"h\"", "\"host\":\"\""},
        {"\"model\":\"m\"", "\"model\":7"},
        {"\"stale\":[\"no-model\"]", "\"stale\":[1]"},
        {"\"size_bytes\":3", "\"size_bytes\":-1"},
        {"\"sha256\":\"01", "\"sha256\":\"g1"},
        {"\"uri\":\"file:///a\"", "\"uri\":\"file:///a\",\"more\":1"},
        {"\"deadline_ms\":7200000", "\"deadline_ms\":-1"},
        {"\"collected\":false", "\"collected\":0"},
        {"\"run\":\"m-0a-2\"", "\"run\":\"m-0a-3\""}, /* not the key's */
    };
    assert_int_equal(decode_run("m-0a-2", RUN), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(mem_free) char *text = replace(RUN, rows[i].what, rows[i].by);
        assert_int_equal(decode_run("m-0a-2", text), ERR_INPUT);
    }
    assert_int_equal(decode_run("m-0a-2", "[]"), ERR_INPUT);
    assert_int_equal(decode_run("m-0a-", RUN), ERR_INPUT);
    assert_int_equal(decode_run("m-0a-21", RUN), ERR_INPUT);
}

static void test_refused_models(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *by;
    } rows[] = {
        {"{\"model\":" ARTEFACT "}", "{\"log\":" ARTEFACT "}"}, /* no model */
        {"\"metrics\":{\"f1_macro\":0.5}", "\"metrics\":[]"},
        {"\"kind/bug\":0.25", "\"kind/bug\":\"high\""},
        {"\"taken_at\":null", "\"taken_at\":12"},
        {"\"collected\":true,", ""},
        {"\"version\":\"m-0a-2\"", "\"version\":\"m-0a-3\""},
        {"\"model\":\"m\"", "\"model\":\"n\""},
    };
    assert_int_equal(decode_model("m/m-0a-2", MODEL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(mem_free) char *text = replace(MODEL, rows[i].what, rows[i].by);
        assert_int_equal(decode_model("m/m-0a-2", text), ERR_INPUT);
    }
}

/* Each state is an event of its own, and a repetition is the same event. */
static void test_envelopes(void **state)
{
    (void)state;
    char id[RUN_RECORD_ID_BYTES];
    char other[RUN_RECORD_ID_BYTES];
    CLEANUP(run_record_free) struct run_record *run = NULL;
    assert_int_equal(run_record_decode("m-0a-2", 6, RUN, strlen(RUN), &run, NULL), 0);
    struct event event = run_record_envelope(run, false, 1, id);
    assert_true(text_equals(event.type, "dev.nodag.run.FAILED"));
    assert_string_equal(id, "m-0a-2/FAILED");
    (void)run_record_envelope(run, false, 2, other);
    assert_string_equal(id, other);
    run->collected = true;
    event = run_record_envelope(run, false, 3, id);
    assert_true(text_equals(event.type, "dev.nodag.run.collected"));
    assert_string_equal(id, "m-0a-2/collected");
    json_decref(run->artefacts);
    run->artefacts = NULL;
    (void)run_record_envelope(run, false, 3, id);
    assert_string_equal(id, "m-0a-2/emptied");
    (void)run_record_envelope(run, true, 3, id);
    assert_string_equal(id, "m-0a-2/deleted");
}

static void test_thresholds(void **state)
{
    (void)state;
    CLEANUP(json_release)
    json_t *metrics = json_loads("{\"labels\":[{\"name\":\"a\",\"threshold\":0.5},{\"name\":\"b\","
                                 "\"threshold\":null},{\"threshold\":1}]}",
                                 0, NULL);
    CLEANUP(json_release) json_t *thresholds = model_thresholds_of(metrics);
    CLEANUP(mem_free) char *text = json_write(thresholds, NULL);
    assert_string_equal(text, "{\"a\":0.5}");
    CLEANUP(json_release) json_t *none = model_thresholds_of(NULL);
    assert_int_equal(json_object_size(none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),      cmocka_unit_test(test_refused_runs),
        cmocka_unit_test(test_refused_models), cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_thresholds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
