/*
 * What is made of the tables besides validation: JSON Schema, the reference for people, and reading
 * a document with its defaults. See spec_schema.h.
 */
#include "topics/spec_schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/option.h"

/* Longest path of a field. */
#define SPEC_PATH_BYTES 128

/* Longest reference. */
#define SPEC_REFERENCE_MAX_BYTES (256u << 10)

const char *spec_field_below(const struct spec_field *field, const char *parent)
{
    size_t parent_bytes = strlen(parent);
    const char *name = field->path;
    if (parent_bytes > 0) {
        if (strncmp(name, parent, parent_bytes) != 0 || name[parent_bytes] != '.')
            return NULL;
        name += parent_bytes + 1;
    }
    return strchr(name, '.') == NULL ? name : NULL;
}

const struct spec_field *spec_field_find(enum spec_kind kind, const char *path)
{
    const struct spec_kind_row *row = spec_kind_row(kind);
    for (size_t i = 0; i < row->field_count; i++)
        if (strcmp(row->fields[i].path, path) == 0)
            return &row->fields[i];
    return NULL;
}

/* --- JSON Schema --- */

static json_t *schema_object(const struct spec_kind_row *row, const char *parent);

static json_t *schema_choices(const char *choices)
{
    json_t *list = json_array();
    for (const char *at = choices; *at != '\0';) {
        size_t bytes = strcspn(at, "|");
        (void)json_array_append_new(list, json_stringn(at, bytes));
        at += bytes + (at[bytes] == '|' ? 1 : 0);
    }
    return list;
}

static json_t *schema_default(const struct spec_field *field)
{
    if (field->type == SPEC_BOOL)
        return json_boolean(strcmp(field->default_value, "true") == 0);
    if (field->type == SPEC_INTEGER)
        return json_integer(strtoll(field->default_value, NULL, 10));
    return json_string(field->default_value);
}

/* The schema of one value: the field's, or that of an entry of its list. */
static json_t *schema_value(const struct spec_kind_row *row, const struct spec_field *field)
{
    char path[SPEC_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s%s", field->path, field->is_list ? "[]" : "");
    if (field->type == SPEC_OBJECT)
        return schema_object(row, path);
    json_t *schema = spec_value_schema(field->type);
    if (field->type == SPEC_CHOICE)
        (void)json_object_set_new(schema, "enum", schema_choices(field->choices));
    if (field->type == SPEC_MAP)
        (void)json_object_set_new(schema, "additionalProperties",
                                  json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"));
    bool is_number = field->type == SPEC_INTEGER || field->type == SPEC_NUMBER;
    if (is_number && field->most > field->least) {
        (void)json_object_set_new(schema, "minimum", json_real(field->least));
        (void)json_object_set_new(schema, "maximum", json_real(field->most));
    }
    return schema;
}

static json_t *schema_field(const struct spec_kind_row *row, const struct spec_field *field)
{
    json_t *schema = schema_value(row, field);
    if (field->is_list) {
        double most = field->most > 0 ? field->most : SPEC_LIST_MAX;
        schema = json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", schema, "minItems",
                           field->is_required ? 1 : 0, "maxItems", (int)most);
    }
    (void)json_object_set_new(schema, "description", json_string(field->help));
    if (field->default_value != NULL)
        (void)json_object_set_new(schema, "default", schema_default(field));
    return schema;
}

/* A field that may be absent may also be null. */
static json_t *schema_or_null(json_t *schema)
{
    return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
}

static json_t *schema_object(const struct spec_kind_row *row, const char *parent)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    for (size_t i = 0; i < row->field_count; i++) {
        const struct spec_field *field = &row->fields[i];
        const char *name = spec_field_below(field, parent);
        if (name == NULL)
            continue;
        json_t *schema = schema_field(row, field);
        (void)json_object_set_new(properties, name,
                                  field->is_required ? schema : schema_or_null(schema));
        if (field->is_required)
            (void)json_array_append_new(required, json_string(name));
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0,
                     "properties", properties, "required", required);
}

json_t *spec_schema_make(enum spec_kind kind)
{
    const struct spec_kind_row *row = spec_kind_row(kind);
    json_t *schema = schema_object(row, "");
    (void)json_object_set_new(schema, "$schema",
                              json_string("https://json-schema.org/draft/2020-12/schema"));
    (void)json_object_set_new(schema, "title", json_string(row->name));
    (void)json_object_set_new(schema, "description", json_string(row->summary));
    if (kind == SPEC_LABELER) {
        json_t *entry = json_walk(schema, "properties.spec.properties.models.items");
        assert(entry != NULL);
        (void)json_object_set_new(entry, "minProperties", json_integer(1));
        (void)json_object_set_new(entry, "maxProperties", json_integer(1));
    }
    return schema;
}

/* --- the reference --- */

static void describe_field(struct buffer *text, const struct spec_field *field)
{
    (void)!buffer_append_format(text, "| `%s` | %s", field->path, field->is_list ? "list: " : "");
    if (field->type == SPEC_CHOICE) {
        for (const char *at = field->choices; *at != '\0';) {
            size_t bytes = strcspn(at, "|");
            (void)!buffer_append_format(text, "%s`%.*s`", at == field->choices ? "" : ", ",
                                        (int)bytes, at);
            at += bytes + (at[bytes] == '|' ? 1 : 0);
        }
    } else {
        (void)!buffer_append_text(text, spec_type_name(field->type));
    }
    bool has_default = field->default_value != NULL;
    (void)!buffer_append_format(text, " | %s%s%s | %s |\n", has_default ? "`" : "",
                                has_default          ? field->default_value
                                : field->is_required ? "required"
                                                     : "",
                                has_default ? "`" : "", field->help);
}

char *spec_schema_describe(enum spec_kind kind)
{
    const struct spec_kind_row *row = spec_kind_row(kind);
    struct buffer text = BUFFER_INIT(SPEC_REFERENCE_MAX_BYTES);
    (void)!buffer_append_format(&text,
                                "## %s\n\n%s\n\n| field | value | default | |\n|---|---|---|---|\n",
                                row->name, row->summary);
    for (size_t i = 0; i < row->field_count; i++)
        describe_field(&text, &row->fields[i]);
    return buffer_take(&text);
}

/* --- reading --- */

const json_t *spec_get(const json_t *document, const char *path)
{
    const json_t *value = json_walk(document, path);
    return json_is_null(value) ? NULL : value;
}

const char *spec_get_text(enum spec_kind kind, const json_t *document, const char *path)
{
    const struct spec_field *field = spec_field_find(kind, path);
    assert(field != NULL);
    const json_t *value = spec_get(document, path);
    return json_is_string(value) ? json_string_value(value) : field->default_value;
}

int64_t spec_get_duration_ms(enum spec_kind kind, const json_t *document, const char *path)
{
    const char *text = spec_get_text(kind, document, path);
    int64_t duration_ms = -1;
    if (text != NULL && option_parse_duration_ms(text, &duration_ms) != 0)
        return -1;
    return duration_ms;
}

int64_t spec_get_integer(enum spec_kind kind, const json_t *document, const char *path)
{
    const json_t *value = spec_get(document, path);
    const char *text = spec_get_text(kind, document, path);
    if (json_is_integer(value))
        return json_integer_value(value);
    return text != NULL ? strtoll(text, NULL, 10) : -1;
}

double spec_get_number(enum spec_kind kind, const json_t *document, const char *path)
{
    const json_t *value = spec_get(document, path);
    const char *text = spec_get_text(kind, document, path);
    double number = -1;
    if (json_is_number(value))
        return json_number_value(value);
    if (text == NULL)
        return -1;
    return option_parse_percent(text, &number) == 0 ? number : strtod(text, NULL);
}

bool spec_get_bool(enum spec_kind kind, const json_t *document, const char *path)
{
    const json_t *value = spec_get(document, path);
    const char *text = spec_get_text(kind, document, path);
    return json_is_boolean(value) ? json_is_true(value) : text != NULL && strcmp(text, "true") == 0;
}
