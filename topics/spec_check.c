/*
 * Checking the form of a document: see spec_check.h. A walk over the YAML tree along the table; its
 * depth is the table's.
 */
#include "topics/spec_check.h"

#include <float.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/option.h"
#include "topics/envelope.h"

/* Longest piece of the text that an error quotes. */
#define SPEC_QUOTE_MAX_BYTES 60

/* Most fields below one parent. */
#define SPEC_NAMES_MAX 32

/* Longest path of a field. */
#define SPEC_CHECK_PATH_BYTES 128

/* Longest list of known names in an error. */
#define SPEC_KNOWN_BYTES 256

/* ":LINE:COLUMN: ", or a duration. */
#define SPEC_POSITION_BYTES 32

/* What the functions below share. */
struct spec_checker {
    const struct spec_kind_row *kind; /* whose table */
    const struct yaml_stream *stream; /* for base/yaml_text.h */
    struct spec_errors *errors;       /* where errors go */
};

/* --- errors --- */

/* Makes a text that may quote a stranger's fit for terminals and JSON. */
static void spec_clean_text(char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t step = text_printable_bytes(text, left);
        if (step == 0)
            *text = '?';
        step = step == 0 ? 1 : step;
        text += step;
        left -= step;
    }
}

void spec_errors_add(struct spec_errors *errors, int line, int column, const char *format, ...)
{
    if (errors->count == SPEC_ERRORS_MAX) {
        errors->left_out++;
        return;
    }
    char text[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    spec_clean_text(text);
    errors->items[errors->count++] =
        (struct spec_error){.line = line, .column = column, .text = mem_copy_text(text)};
}

/* Reads "NUMBER:" and moves on behind it; 0 if there is none. */
static int spec_take_number(const char **at)
{
    char *end = NULL;
    long number = strtol(*at, &end, 10);
    if (end == *at || *end != ':' || number <= 0 || number > INT32_MAX)
        return 0;
    *at = end + 1;
    return (int)number;
}

void spec_errors_take(struct spec_errors *errors, const char *source, const struct error *error)
{
    const char *at = error->text;
    size_t source_bytes = strlen(source);
    if (strncmp(at, source, source_bytes) == 0 && at[source_bytes] == ':')
        at += source_bytes + 1;
    int line = spec_take_number(&at);
    int column = line > 0 ? spec_take_number(&at) : 0;
    at += *at == ' ' ? 1 : 0;
    spec_errors_add(errors, line, column, "%s", at);
}

static int spec_compare_errors(const void *left_error, const void *right_error)
{
    const struct spec_error *left = left_error;
    const struct spec_error *right = right_error;
    int order = (left->line > right->line) - (left->line < right->line);
    return order != 0 ? order : (left->column > right->column) - (left->column < right->column);
}

void spec_errors_sort(struct spec_errors *errors)
{
    if (errors->count > 1)
        qsort(errors->items, errors->count, sizeof(errors->items[0]), spec_compare_errors);
}

void spec_errors_write(const struct spec_errors *errors, const char *source, struct buffer *buffer)
{
    for (size_t i = 0; i < errors->count; i++) {
        const struct spec_error *error = &errors->items[i];
        const char *end = i > 0 || buffer->size_bytes > 0 ? "\n" : "";
        int code =
            error->line == 0 ? buffer_append_format(buffer, "%s%s: %s", end, source, error->text)
            : error->column == 0
                ? buffer_append_format(buffer, "%s%s:%d: %s", end, source, error->line, error->text)
                : buffer_append_format(buffer, "%s%s:%d:%d: %s", end, source, error->line,
                                       error->column, error->text);
        if (code != 0)
            return;
    }
    if (errors->left_out > 0)
        (void)!buffer_append_format(buffer, "\n%s: and %zu more", source, errors->left_out);
}

void spec_errors_release(struct spec_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        mem_free(errors->items[i].text);
    *errors = (struct spec_errors){0};
}

/* An error at a node. */
#define SPEC_WRONG(checker, node, ...)                                                             \
    spec_errors_add((checker)->errors, (node)->line, (node)->column, __VA_ARGS__)

/* --- scalars --- */

/* What a field is called in errors: the last part of its path. */
static const char *spec_short_name(const struct spec_field *field)
{
    const char *dot = strrchr(field->path, '.');
    return dot != NULL ? dot + 1 : field->path;
}

/* Takes an error of base/yaml_text.h, whose position is the node's, with the field's name before it. */
static json_t *spec_refuse(struct spec_checker *checker, const struct spec_field *field,
                           const struct yaml_node *node, const struct error *error)
{
    char position[SPEC_POSITION_BYTES];
    (void)snprintf(position, sizeof(position), ":%d:%d: ", node->line, node->column);
    const char *text = strstr(error->text, position);
    text = text != NULL ? text + strlen(position) : error->text;
    SPEC_WRONG(checker, node, "`%s`: %s", spec_short_name(field), text);
    return NULL;
}

static bool spec_is_choice(const char *choices, const char *text)
{
    size_t text_bytes = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        size_t bytes = strcspn(at, "|");
        if (bytes == text_bytes && memcmp(at, text, bytes) == 0)
            return true;
        at += bytes + (at[bytes] == '|' ? 1 : 0);
    }
    return false;
}

/* Writes choices as people read them: "a or b or c". */
static void spec_write_choices(const char *choices, char ret_text[SPEC_KNOWN_BYTES])
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (const char *at = choices; *at != '\0' && used < SPEC_KNOWN_BYTES;) {
        size_t bytes = strcspn(at, "|");
        used += (size_t)snprintf(ret_text + used, SPEC_KNOWN_BYTES - used, "%s%.*s",
                                 at == choices ? "" : " or ", (int)bytes, at);
        at += bytes + (at[bytes] == '|' ? 1 : 0);
    }
}

/* Writes a duration in the largest unit in which it is whole. */
static void spec_write_duration(double duration_ms, char ret_text[SPEC_POSITION_BYTES])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    int64_t whole_ms = (int64_t)duration_ms;
    size_t i = 0;
    while (whole_ms % units[i].ms != 0)
        i++;
    (void)snprintf(ret_text, SPEC_POSITION_BYTES, "%lld%s", (long long)(whole_ms / units[i].ms),
                   units[i].unit);
}

/* Returns true if a duration is within the field's bounds, or says that it is not. */
static bool spec_check_duration(struct spec_checker *checker, const struct spec_field *field,
                                const struct yaml_node *node)
{
    char least[SPEC_POSITION_BYTES];
    char most[SPEC_POSITION_BYTES];
    int64_t duration_ms = 0;
    if (option_parse_duration_ms(node->text, &duration_ms) != 0 ||
        ((double)duration_ms >= field->least && (double)duration_ms <= field->most))
        return true;
    spec_write_duration(field->least, least);
    spec_write_duration(field->most, most);
    SPEC_WRONG(checker, node, "`%s: %.*s` is out of bounds; write %s to %s", spec_short_name(field),
               SPEC_QUOTE_MAX_BYTES, node->text, least, most);
    return false;
}

/* Checks a text value against its type, choices and bounds. A wrong URL is not quoted: it may hold a
 * password, and errors are published. */
static bool spec_check_text(struct spec_checker *checker, const struct spec_field *field,
                            const struct yaml_node *node)
{
    const char *name = spec_short_name(field);
    bool is_url = field->type == SPEC_HTTP_URL || field->type == SPEC_GIT_URL;
    const char *text = is_url ? "…" : node->text;
    if (field->type == SPEC_CHOICE && !spec_is_choice(field->choices, text)) {
        char known[SPEC_KNOWN_BYTES];
        spec_write_choices(field->choices, known);
        SPEC_WRONG(checker, node, "`%s: %.*s` is not known; write %s", name, SPEC_QUOTE_MAX_BYTES,
                   text, known);
        return false;
    }
    const char *fault = spec_value_fault(field->type, node->text);
    if (fault != NULL) {
        SPEC_WRONG(checker, node, "`%s: %.*s` is no %s; %s", name, SPEC_QUOTE_MAX_BYTES, text,
                   spec_type_name(field->type), fault);
        return false;
    }
    return field->type != SPEC_DURATION || spec_check_duration(checker, field, node);
}

static json_t *spec_check_scalar(struct spec_checker *checker, const struct spec_field *field,
                                 const struct yaml_node *node)
{
    struct error error = {0};
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    const char *text = NULL;
    bool bounded = field->most > field->least;
    int code = 0;
    switch (field->type) {
    case SPEC_BOOL:
        code = yaml_read_bool(checker->stream, node, &truth, &error);
        return code == 0 ? json_boolean(truth) : spec_refuse(checker, field, node, &error);
    case SPEC_INTEGER:
        code = yaml_read_int(checker->stream, node, bounded ? (int64_t)field->least : INT64_MIN,
                             bounded ? (int64_t)field->most : INT64_MAX, &integer, &error);
        return code == 0 ? json_integer(integer) : spec_refuse(checker, field, node, &error);
    case SPEC_NUMBER:
        code = yaml_read_number(checker->stream, node, bounded ? field->least : -DBL_MAX,
                                bounded ? field->most : DBL_MAX, &number, &error);
        return code == 0 ? json_real(number) : spec_refuse(checker, field, node, &error);
    default:
        code = yaml_read_text(checker->stream, node, &text, &error);
        if (code != 0)
            return spec_refuse(checker, field, node, &error);
        return spec_check_text(checker, field, node) ? json_string(text) : NULL;
    }
}

/* --- mappings and lists --- */

static json_t *spec_check_field(struct spec_checker *checker, const struct spec_field *field,
                                const struct yaml_node *node);

/* A value of a free mapping: true or false, a number as JSON writes it, or a text. */
static json_t *spec_check_free(struct spec_checker *checker, const struct spec_field *field,
                               const struct yaml_node *node)
{
    bool truth = false;
    int64_t integer = 0;
    double number = 0;
    if (yaml_read_bool(checker->stream, node, &truth, NULL) == 0)
        return json_boolean(truth);
    if (yaml_read_int(checker->stream, node, INT64_MIN, INT64_MAX, &integer, NULL) == 0)
        return json_integer(integer);
    if (yaml_read_number(checker->stream, node, -DBL_MAX, DBL_MAX, &number, NULL) == 0)
        return json_real(number);
    struct spec_field text = {.path = field->path, .type = SPEC_TEXT};
    return spec_check_scalar(checker, &text, node);
}

/* Returns true for what a notebook's parameter may be called. */
static bool spec_is_identifier(const char *text)
{
    static const char known[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t bytes = strlen(text);
    return bytes >= 1 && bytes <= SPEC_NAME_MAX_BYTES && strspn(text, known) == bytes &&
           strchr("0123456789", text[0]) == NULL;
}

static json_t *spec_check_map(struct spec_checker *checker, const struct spec_field *field,
                              const struct yaml_node *node)
{
    if (node->kind != YAML_MAPPING || (double)node->count > field->most) {
        SPEC_WRONG(checker, node, "`%s` must be a mapping with at most %g entries",
                   spec_short_name(field), field->most);
        return NULL;
    }
    json_t *map = json_object();
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *name = node->names[i];
        if (!spec_is_identifier(name->text)) {
            SPEC_WRONG(checker, name, "`%.*s` is no parameter's name; write letters, digits and _",
                       SPEC_QUOTE_MAX_BYTES, name->text);
            continue;
        }
        json_t *value = spec_check_free(checker, field, node->items[i]);
        if (value != NULL)
            (void)json_object_set_new(map, name->text, value);
    }
    return map;
}

/* Says that a name is not known, and which was meant or which are. */
static void spec_unknown_name(struct spec_checker *checker, const struct yaml_node *node,
                              const char *const *names, size_t name_count)
{
    const char *near = nearest_name(node->text, names, name_count);
    if (near != NULL) {
        SPEC_WRONG(checker, node, "unknown name '%.*s'; did you mean '%s'?", SPEC_QUOTE_MAX_BYTES,
                   node->text, near);
        return;
    }
    char known[SPEC_KNOWN_BYTES] = "";
    for (size_t i = 0, used = 0; i < name_count && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 names[i]);
    SPEC_WRONG(checker, node, "unknown name '%.*s'; known here: %s", SPEC_QUOTE_MAX_BYTES,
               node->text, known);
}

/* Collects the fields directly below a path; returns how many. */
static size_t spec_children(const struct spec_checker *checker, const char *parent,
                            const struct spec_field *fields[SPEC_NAMES_MAX],
                            const char *names[SPEC_NAMES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < checker->kind->field_count && count < SPEC_NAMES_MAX; i++) {
        const char *name = spec_field_below(&checker->kind->fields[i], parent);
        if (name == NULL)
            continue;
        fields[count] = &checker->kind->fields[i];
        names[count++] = name;
    }
    return count;
}

static json_t *spec_check_object(struct spec_checker *checker, const char *path,
                                 const struct yaml_node *node)
{
    const struct spec_field *fields[SPEC_NAMES_MAX];
    const char *names[SPEC_NAMES_MAX];
    size_t count = spec_children(checker, path, fields, names);
    json_t *object = json_object();
    for (size_t i = 0; i < node->count; i++) {
        size_t known = 0;
        while (known < count && strcmp(names[known], node->names[i]->text) != 0)
            known++;
        if (known == count)
            spec_unknown_name(checker, node->names[i], names, count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *value = yaml_get(node, names[i]);
        if (yaml_is_null(value)) {
            if (fields[i]->is_required)
                SPEC_WRONG(checker, value != NULL ? value : node, "`%s` is required: %s", names[i],
                           fields[i]->help);
            continue;
        }
        json_t *made = spec_check_field(checker, fields[i], value);
        if (made != NULL)
            (void)json_object_set_new(object, names[i], made);
    }
    return object;
}

/* One value: the field's, or an entry of its list. */
static json_t *spec_check_one(struct spec_checker *checker, const struct spec_field *field,
                              const struct yaml_node *node)
{
    char path[SPEC_CHECK_PATH_BYTES];
    if (field->type == SPEC_MAP)
        return spec_check_map(checker, field, node);
    if (field->type != SPEC_OBJECT)
        return spec_check_scalar(checker, field, node);
    if (node->kind != YAML_MAPPING) {
        SPEC_WRONG(checker, node, "%s`%s` must be a mapping: %s",
                   field->is_list ? "an entry of " : "", spec_short_name(field), field->help);
        return NULL;
    }
    (void)snprintf(path, sizeof(path), "%s%s", field->path, field->is_list ? "[]" : "");
    return spec_check_object(checker, path, node);
}

static json_t *spec_check_list(struct spec_checker *checker, const struct spec_field *field,
                               const struct yaml_node *node)
{
    double most = field->most > 0 ? field->most : SPEC_LIST_MAX;
    size_t least = field->is_required ? 1 : 0;
    if (node->kind != YAML_SEQUENCE || node->count < least || (double)node->count > most) {
        SPEC_WRONG(checker, node, "`%s` must be a list with %zu to %g entries",
                   spec_short_name(field), least, most);
        return NULL;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < node->count; i++) {
        json_t *entry = spec_check_one(checker, field, node->items[i]);
        if (entry != NULL)
            (void)json_array_append_new(list, entry);
    }
    return list;
}

static json_t *spec_check_field(struct spec_checker *checker, const struct spec_field *field,
                                const struct yaml_node *node)
{
    return field->is_list ? spec_check_list(checker, field, node)
                          : spec_check_one(checker, field, node);
}

json_t *spec_check(enum spec_kind kind, const struct yaml_stream *stream,
                   const struct yaml_node *root, enum spec_strictness strictness,
                   struct spec_errors *errors)
{
    struct spec_checker checker = {.kind = spec_kind_row(kind), .stream = stream, .errors = errors};
    size_t before = errors->count + errors->left_out;
    json_t *value = spec_check_object(&checker, "", root);
    spec_check_meaning(kind, root, strictness, errors);
    spec_errors_sort(errors);
    if (errors->count + errors->left_out == before)
        return value;
    json_decref(value);
    return NULL;
}

int spec_check_value(enum spec_kind kind, const json_t *document, struct error *error)
{
    if (!json_is_object(document))
        return error_set(error, ERR_INPUT, "a document must be an object");
    CLEANUP(mem_free) char *text = json_write(document, NULL);
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
    int code = yaml_parse("record", text, strlen(text), &stream, error);
    if (code != 0)
        return code;
    CLEANUP(spec_errors_release) struct spec_errors errors = {0};
    const struct yaml_node *root = yaml_document(stream, 0);
    json_decref(spec_check(kind, stream, root, SPEC_FROM_GIT, &errors));
    return errors.count == 0 ? 0 : error_set(error, ERR_INPUT, "%s", errors.items[0].text);
}
