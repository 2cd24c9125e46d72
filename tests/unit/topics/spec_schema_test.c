/*
 * The tables of the kinds: well-formed, and what is made of them: JSON Schema, the reference, and
 * values with their defaults.
 */
#include "topics/spec_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/option.h"
#include "topics/spec_check.h"

/* Every row has a parent of a fitting type before it, a help text, and a default that is a value. */
static void test_tables(void **state)
{
    (void)state;
    for (int kind = 0; kind < SPEC_KIND_COUNT; kind++) {
        const struct spec_kind_row *row = spec_kind_row((enum spec_kind)kind);
        for (size_t i = 0; i < row->field_count; i++) {
            const struct spec_field *field = &row->fields[i];
            assert_ptr_equal(spec_field_find((enum spec_kind)kind, field->path), field);
            assert_true(field->help != NULL && field->help[0] != '\0');
            assert_true((field->type == SPEC_CHOICE) == (field->choices != NULL));
            assert_true(field->default_value == NULL || !field->is_required);
            if (field->default_value != NULL && field->type != SPEC_CHOICE)
                assert_null(spec_value_fault(field->type, field->default_value));
            const char *dot = strrchr(field->path, '.');
            if (dot == NULL)
                continue;
            size_t parents = 0;
            for (size_t j = 0; j < i; j++) {
                char path[128];
                (void)snprintf(path, sizeof(path), "%s%s", row->fields[j].path,
                               row->fields[j].is_list ? "[]" : "");
                if (row->fields[j].type == SPEC_OBJECT && spec_field_below(field, path) != NULL)
                    parents++;
            }
            if (parents != 1)
                fail_msg("%s has %zu parents above it", field->path, parents);
        }
    }
}

static void test_schemas(void **state)
{
    (void)state;
    for (int kind = 0; kind < SPEC_KIND_COUNT; kind++) {
        CLEANUP(json_release) json_t *schema = spec_schema_make((enum spec_kind)kind);
        assert_string_equal(json_text_or(schema, "$schema", ""),
                            "https://json-schema.org/draft/2020-12/schema");
        assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
        assert_int_equal(json_array_size(json_object_get(schema, "required")), 4);
        json_t *spec = json_walk(schema, "properties.spec");
        assert_true(json_is_false(json_object_get(spec, "additionalProperties")));
    }
    CLEANUP(json_release) json_t *labeler = spec_schema_make(SPEC_LABELER);
    json_t *models = json_walk(labeler, "properties.spec.properties.models");
    assert_int_equal(json_int_or(models, "minItems", 0), 1);
    assert_non_null(json_walk(models, "items.properties.from"));
    assert_int_equal(json_int_or(json_object_get(models, "items"), "maxProperties", 0), 1);
    json_t *comment = json_walk(labeler, "properties.spec.properties.comment.anyOf");
    assert_string_equal(json_text_or(json_array_get(comment, 0), "default", ""), "silent");
    assert_string_equal(json_text_or(json_array_get(comment, 1), "type", ""), "null");
}

static void test_reference(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *text = spec_schema_describe(SPEC_MODEL);
    assert_non_null(strstr(text, "## Model\n"));
    assert_non_null(strstr(text, "| `spec.train.executor` | `local`, `kubernetes-job`, "
                                 "`tekton-pipelinerun` | `local` | "));
    assert_non_null(
        strstr(text, "| `spec.train.notebook` | path within a repository | required | "));
}

static void test_values(void **state)
{
    (void)state;
    CLEANUP(json_release)
    json_t *model = json_pack("{s:{s:{s:s, s:b}, s:{s:i}, s:{s:n}}}", "spec", "train", "deadline",
                              "90s", "network", 1, "labels", "minExamples", 7, "fresh", "maxAge");
    assert_int_equal(spec_get_duration_ms(SPEC_MODEL, model, "spec.train.deadline"), 90000);
    assert_int_equal(spec_get_duration_ms(SPEC_MODEL, model, "spec.fresh.maxAge"), -1);
    assert_true(spec_get_bool(SPEC_MODEL, model, "spec.train.network"));
    assert_false(spec_get_bool(SPEC_MODEL, model, "spec.suspend"));
    assert_int_equal(spec_get_integer(SPEC_MODEL, model, "spec.labels.minExamples"), 7);
    assert_int_equal(spec_get_integer(SPEC_MODEL, model, "spec.history.failed"), 10);
    assert_int_equal(spec_get_integer(SPEC_MODEL, model, "spec.fresh.newLabels"), -1);
    assert_string_equal(spec_get_text(SPEC_MODEL, model, "spec.train.executor"), "local");
    assert_null(spec_get_text(SPEC_MODEL, model, "spec.train.notebook"));
    CLEANUP(json_release)
    json_t *deployment = json_pack("{s:{s:{s:f}}}", "spec", "gate", "atLeast", 0.5);
    assert_true(spec_get_number(SPEC_DEPLOYMENT, deployment, "spec.gate.atLeast") == 0.5);
    assert_true(spec_get_number(SPEC_DEPLOYMENT, deployment, "spec.gate.notWorseThanCurrentBy") ==
                -1.0);
    CLEANUP(json_release)
    json_t *labeler = json_pack("{s:{s:{s:s}}}", "spec", "audit", "holdback", "5%");
    double share = spec_get_number(SPEC_LABELER, labeler, "spec.audit.holdback");
    assert_true(share > 0.0499 && share < 0.0501);
    CLEANUP(json_release) json_t *nothing = json_object();
    assert_true(spec_get_number(SPEC_LABELER, nothing, "spec.audit.holdback") == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
