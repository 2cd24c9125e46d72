/*
 * Tests of run.json: a whole one, and a table of changes that each make it invalid.
 */
#include "reactors/trainer/run_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/json_text.h"

static const char whole[] =
    "{\"run\":\"labels-0-1\",\"model\":\"labels\",\"cause\":\"0\",\"attempt\":1,"
    "\"repository\":\"/srv/repository\",\"commit\":\"0123456789012345678901234567890123456789\","
    "\"notebook\":\"a/train.ipynb\",\"parameters\":{\"x\":1},\"deadline_ms\":60000,"
    "\"dataset\":{\"file\":\"/srv/data.jsonl\"},\"artefacts\":{\"url\":\"file:///srv/store\"}}";

static json_t *changed(const char *change)
{
    json_t *json = json_loads(whole, 0, NULL);
    assert_non_null(json);
    CLEANUP(json_release) json_t *values = json_loads(change, 0, NULL);
    assert_non_null(values);
    assert_int_equal(json_object_update(json, values), 0);
    return json;
}

static void test_whole(void **state)
{
    (void)state;
    struct error error = {0};
    struct run_spec spec;
    CLEANUP(json_release) json_t *json = changed("{}");
    assert_int_equal(run_spec_read(json, &spec, &error), 0);
    assert_string_equal(spec.repository.text, "file:///srv/repository");
    assert_int_equal(spec.deadline_ms, 60000);
    assert_int_equal(spec.memory_bytes, RUN_MEMORY_DEFAULT_BYTES);
    assert_int_equal(spec.output_bytes, RUN_OUTPUT_DEFAULT_BYTES);
    assert_false(spec.network);
    assert_null(spec.requirements);
    run_spec_release(&spec);
}

static void test_invalid(void **state)
{
    static const struct {
        const char *change;
        const char *says;
    } rows[] = {
        {"{\"run\":\"\"}", "`run` is empty"},
        {"{\"model\":null}", "`model` is missing"},
        {"{\"memory\":5}", "`memory` that nobody knows"},
        {"{\"commit\":\"main\"}", "not a full hash"},
        {"{\"commit\":\"--upload-pack=x\"}", "not a full hash"},
        {"{\"repository\":\"ext::sh -c x\"}", ""},
        {"{\"notebook\":\"/etc/passwd\"}", "`notebook`"},
        {"{\"notebook\":\"a/../../x\"}", "`notebook`"},
        {"{\"notebook\":\"a//x\"}", "`notebook`"},
        {"{\"notebook\":\"./x\"}", "`notebook`"},
        {"{\"requirements\":\"../r\"}", "`requirements`"},
        {"{\"parameters\":[]}", "`parameters`"},
        {"{\"network\":\"no\"}", "network"},
        {"{\"deadline_ms\":0}", "`deadline_ms` must lie in"},
        {"{\"deadline_ms\":604800001}", "`deadline_ms` must lie in"},
        {"{\"memory_bytes\":1}", "`memory_bytes` must lie in"},
        {"{\"output_bytes\":-1}", "`output_bytes` must lie in"},
        {"{\"dataset\":{}}", "one of `file` and `argv`"},
        {"{\"dataset\":{\"file\":\"x\",\"argv\":[\"y\"]}}", "one of `file` and `argv`"},
        {"{\"dataset\":{\"argv\":[]}}", "1..64 texts"},
        {"{\"dataset\":{\"argv\":[1]}}", "list of texts"},
        {"{\"dataset\":{\"argv\":\"sh\"}}", "1..64 texts"},
        {"{\"artefacts\":{}}", "`url` is missing"},
        {"{\"artefacts\":{\"url\":\"file:///x\",\"key\":\"k\"}}", "`key` that nobody knows"},
        {"{\"git\":{\"password\":\"p\"}}", "`password` that nobody knows"},
        {"{\"git\":[]}", "`git` is not an object"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct error error = {0};
        struct run_spec spec;
        CLEANUP(json_release) json_t *json = changed(rows[i].change);
        if (run_spec_read(json, &spec, &error) != ERR_INPUT ||
            strstr(error.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].change, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
