/*
 * What was erased at a person's request stays so in the trainer's registry, whichever record is read first; and a version that was
 * rewritten keeps its place among the versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/registry.h"

#define SHA(digit) digit digit digit digit digit digit digit digit
#define OLD SHA("aaaaaaaa")
#define NEW SHA("dddddddd")

static json_t *artefacts(const char *dataset, bool has_log)
{
    json_t *made = json_object();
    const char *const names[] = {"model", "dataset", "log"};
    for (size_t i = 0; i < (has_log ? 3 : 2); i++)
        (void)json_object_set_new(made, names[i],
                                  json_pack("{s:s, s:s, s:i}", "uri", "file:///s", "sha256",
                                            i == 1 ? dataset : SHA("cccccccc"), "size_bytes", 1));
    return made;
}

static struct run_record *new_run(bool is_erased)
{
    struct run_record *run = run_record_new();
    char **const texts[] = {&run->run,  &run->model,      &run->cause,  &run->executor,
                            &run->host, &run->repository, &run->commit, &run->notebook};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        record_set_text(texts[i], "m-1");
    run->state = RUN_SUCCEEDED;
    run->attempt = 1;
    run->artefacts = artefacts(is_erased ? NEW : OLD, !is_erased);
    if (is_erased)
        run->erased = record_erased_add(NULL, "dataset", OLD, 1700000000000, 3);
    return run;
}

static struct model_record *new_version(const char *version, bool is_erased)
{
    struct model_record *record = model_record_new();
    record_set_text(&record->model, "m");
    record_set_text(&record->version, version);
    record_set_text(&record->run, version);
    record_set_text(&record->repository, "r");
    record_set_text(&record->commit, "c");
    record_set_text(&record->notebook, "n");
    record_set_text(&record->snapshot, is_erased ? NEW : OLD);
    record->artefacts = artefacts(is_erased ? NEW : OLD, false);
    record->metrics = json_object();
    record->thresholds = json_object();
    if (is_erased)
        record->erased = record_erased_add(NULL, "dataset", OLD, 1700000000000, 3);
    return record;
}

static const char *dataset_of(const json_t *of)
{
    return record_artefact_text(of, "dataset", "sha256");
}

/* A record that was written by somebody who did not know of it: newer, or older and read late. */
static void test_it_stays(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        CLEANUP(registry_free) struct registry *registry = registry_new();
        bool missed = registry_put_run(registry, "m-1", new_run(is_late == 0), 7);
        assert_false(missed);
        missed = registry_put_run(registry, "m-1", new_run(is_late != 0), is_late ? 5 : 9);
        assert_true(missed); /* so it is published again */
        const struct run_record *run = registry_find_run(registry, "m-1");
        assert_string_equal(dataset_of(run->artefacts), NEW);
        assert_int_equal(json_array_size(run->erased), 1);
        missed = registry_put_run(registry, "m-1", run_record_copy(run), 11);
        assert_false(missed);
        missed = registry_put_model(registry, new_version("m-1", is_late == 0), 7);
        assert_false(missed);
        missed = registry_put_model(registry, new_version("m-1", is_late != 0), is_late ? 5 : 9);
        assert_true(missed);
        const struct model_record *version = registry_find_model(registry, "m", "m-1");
        assert_string_equal(dataset_of(version->artefacts), NEW);
        assert_string_equal(version->snapshot, NEW);
    }
}

static void test_the_newest_stays_the_newest(void **state)
{
    (void)state;
    CLEANUP(registry_free) struct registry *registry = registry_new();
    (void)registry_put_model(registry, new_version("m-1", false), 1);
    (void)registry_put_model(registry, new_version("m-2", false), 2);
    struct model_record *rewritten = new_version("m-1", true);
    rewritten->order = 2; /* it stood at offset 1 */
    (void)registry_put_model(registry, rewritten, 3);
    assert_string_equal(registry_newest(registry, "m")->version, "m-2");
    rewritten = new_version("m-2", true);
    rewritten->order = 3;
    (void)registry_put_model(registry, rewritten, 4);
    assert_string_equal(registry_newest(registry, "m")->version, "m-2");
    (void)registry_put_model(registry, new_version("m-3", false), 5);
    assert_string_equal(registry_newest(registry, "m")->version, "m-3");
}

/* There and back, and what is refused. */
static void test_records(void **state)
{
    (void)state;
    CLEANUP(model_record_free) struct model_record *version = new_version("m-1", true);
    CLEANUP(model_record_free) struct model_record *read = NULL;
    size_t bytes = 0;
    struct error error = {0};
    version->order = 4;
    CLEANUP(mem_free) char *value = model_record_encode(version, &bytes);
    assert_int_equal(model_record_decode("m/m-1", 5, value, bytes, &read, &error), 0);
    assert_int_equal(read->order, 4);
    assert_true(json_equal(read->erased, version->erased));
    CLEANUP(mem_free) char *again = model_record_encode(read, NULL);
    assert_string_equal(again, value);
    char *rows = strstr(value, "\"rows\":3");
    assert_non_null(rows);
    rows[strlen("\"rows\":")] = '-'; /* "rows":- is no JSON */
    struct model_record *none = NULL;
    assert_int_equal(model_record_decode("m/m-1", 5, value, bytes, &none, &error), ERR_INPUT);
    (void)json_array_append_new(version->erased, json_string("x"));
    CLEANUP(mem_free) char *bad = model_record_encode(version, &bytes);
    assert_int_equal(model_record_decode("m/m-1", 5, bad, bytes, &none, &error), ERR_INPUT);
    assert_non_null(strstr(error.text, "erased"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_it_stays),
                                       cmocka_unit_test(test_the_newest_stays_the_newest),
                                       cmocka_unit_test(test_records)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
