/*
 * JSON in and out: see json_text.h.
 *
 * Design: jansson reads; the writer is our own, because jansson 2.14 prints every real with 17 digits
 * (0.1 → 0.10000000000000001), which people would then read in records and comments. Ours prints the fewest
 * digits that read back as the same number. Its two parts, the escape of one character and the text of one
 * number, are shared with the log, whose lines never become a tree.
 *
 * Invariant: what json_write printed, json_read reads as an equal value.
 */
#include "base/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

/* First allocation of a text that is being written: most records are smaller. */
#define JSON_WRITER_START_BYTES 1024

/*
 * Deepest value that is written: what jansson reads (JSON_PARSER_MAX_DEPTH) with as much again for what wraps it.
 */
#define JSON_WRITER_DEPTH_MAX 4096

/* Digits that are enough for any double, and digits that are enough for those that people write. */
#define JSON_DIGITS_MOST 17
#define JSON_DIGITS_LEAST 15

/* Longest name that json_walk takes between two dots. */
#define JSON_NAME_MAX_BYTES 128

/* A growing text. */
struct json_writer {
    char *data;            /* owned */
    size_t size_bytes;     /* in use */
    size_t capacity_bytes; /* allocated */
};

size_t json_escape(const char *text, size_t text_bytes, char ret_escaped[JSON_ESCAPE_BYTES])
{
    static const char short_names[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, its letter */
    unsigned char first = (unsigned char)text[0];
    size_t length = utf8_sequence_bytes(text, text_bytes);
    if (length == 0) {
        (void)snprintf(ret_escaped, JSON_ESCAPE_BYTES, "\xef\xbf\xbd"); /* U+FFFD */
        return 1;
    }
    if (length > 1 || (first >= 0x20 && first != '"' && first != '\\' && first != 0x7f)) {
        memcpy(ret_escaped, text, length);
        ret_escaped[length] = '\0';
        return length;
    }
    for (size_t i = 0; i + 1 < sizeof(short_names) - 1; i += 2) {
        if ((unsigned char)short_names[i] == first) {
            (void)snprintf(ret_escaped, JSON_ESCAPE_BYTES, "\\%c", short_names[i + 1]);
            return 1;
        }
    }
    (void)snprintf(ret_escaped, JSON_ESCAPE_BYTES, "\\u%04x", (unsigned)first);
    return 1;
}

void json_number_to_text(double number, char ret_text[JSON_NUMBER_BYTES])
{
    if (!isfinite(number)) {
        (void)snprintf(ret_text, JSON_NUMBER_BYTES, "null");
        return;
    }
    for (int digits = JSON_DIGITS_LEAST; digits <= JSON_DIGITS_MOST; digits++) {
        (void)snprintf(ret_text, JSON_NUMBER_BYTES, "%.*g", digits, number);
        if (strtod(ret_text, NULL) == number)
            break;
    }
    if (strpbrk(ret_text, ".e") == NULL) {
        size_t used = strlen(ret_text);
        (void)snprintf(ret_text + used, JSON_NUMBER_BYTES - used, ".0");
    }
}

/* The text of jansson's error without the piece of input that it quotes: that could be a secret. */
static int json_read_failed(const json_error_t *failure, struct error *error)
{
    const char *quotation = strstr(failure->text, " near ");
    size_t text_bytes =
        quotation == NULL ? strlen(failure->text) : (size_t)(quotation - failure->text);
    return error_set(error, ERR_INPUT, "line %d, column %d: %.*s", failure->line, failure->column,
                     (int)text_bytes, failure->text);
}

int json_read(const char *text, size_t text_bytes, json_t **ret_value, struct error *error)
{
    if (text_bytes > JSON_TEXT_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "%zu bytes of JSON, more than the %u that are read",
                         text_bytes, JSON_TEXT_MAX_BYTES);
    if (text_bytes == 0)
        return error_set(error, ERR_INPUT, "empty where JSON is needed");
    json_error_t failure;
    json_t *value = json_loadb(text, text_bytes,
                               JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &failure);
    if (value == NULL)
        return json_read_failed(&failure, error);
    *ret_value = value;
    return 0;
}

static void json_put(struct json_writer *writer, const char *bytes, size_t byte_count)
{
    if (byte_count > writer->capacity_bytes - writer->size_bytes) {
        size_t wanted = writer->capacity_bytes;
        while (byte_count > wanted - writer->size_bytes)
            wanted *= 2;
        writer->data = mem_resize_array(writer->data, wanted, 1);
        writer->capacity_bytes = wanted;
    }
    memcpy(writer->data + writer->size_bytes, bytes, byte_count);
    writer->size_bytes += byte_count;
}

static void json_put_text(struct json_writer *writer, const char *text)
{
    json_put(writer, text, strlen(text));
}

static void json_put_string(struct json_writer *writer, const char *text, size_t text_bytes)
{
    char escaped[JSON_ESCAPE_BYTES];
    json_put(writer, "\"", 1);
    for (size_t used = 0; used < text_bytes;) {
        used += json_escape(text + used, text_bytes - used, escaped);
        json_put_text(writer, escaped);
    }
    json_put(writer, "\"", 1);
}

static void json_put_value(struct json_writer *writer, const json_t *value, int depth);

static int json_compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void json_put_object(struct json_writer *writer, const json_t *object, int depth)
{
    size_t count = json_object_size(object);
    CLEANUP(mem_free) const char **names = mem_alloc_array(count, sizeof(*names));
    size_t used = 0;
    /* jansson's iterators are not const-correct; nothing is changed here. */
    json_t *unchanged = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(unchanged); at != NULL;
         at = json_object_iter_next(unchanged, at))
        names[used++] = json_object_iter_key(at);
    qsort(names, count, sizeof(*names), json_compare_names);
    for (size_t i = 0; i < count; i++) {
        json_put(writer, i == 0 ? "{" : ",", 1);
        json_put_string(writer, names[i], strlen(names[i]));
        json_put(writer, ":", 1);
        json_put_value(writer, json_object_get(object, names[i]), depth + 1);
    }
    json_put_text(writer, count == 0 ? "{}" : "}");
}

static void json_put_array(struct json_writer *writer, const json_t *array, int depth)
{
    size_t count = json_array_size(array);
    for (size_t i = 0; i < count; i++) {
        json_put(writer, i == 0 ? "[" : ",", 1);
        json_put_value(writer, json_array_get(array, i), depth + 1);
    }
    json_put_text(writer, count == 0 ? "[]" : "]");
}

static void json_put_value(struct json_writer *writer, const json_t *value, int depth)
{
    char number[JSON_NUMBER_BYTES];
    assert(depth <= JSON_WRITER_DEPTH_MAX);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_put_object(writer, value, depth);
        break;
    case JSON_ARRAY:
        json_put_array(writer, value, depth);
        break;
    case JSON_STRING:
        json_put_string(writer, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        json_put_text(writer, number);
        break;
    case JSON_REAL:
        json_number_to_text(json_real_value(value), number);
        json_put_text(writer, number);
        break;
    case JSON_TRUE:
        json_put_text(writer, "true");
        break;
    case JSON_FALSE:
        json_put_text(writer, "false");
        break;
    case JSON_NULL:
        json_put_text(writer, "null");
        break;
    }
}

char *json_write(const json_t *value, size_t *ret_bytes)
{
    struct json_writer writer = {.data = mem_alloc(JSON_WRITER_START_BYTES),
                                 .capacity_bytes = JSON_WRITER_START_BYTES};
    json_put_value(&writer, value, 0);
    if (ret_bytes != NULL)
        *ret_bytes = writer.size_bytes;
    json_put(&writer, "", 1); /* the NUL, which does not count */
    return writer.data;
}

/* Finds a member; the errors for "no object" and "absent or null" are the same for all types. */
static int json_get_member(const json_t *object, const char *name, const json_t **ret_member,
                           struct error *error)
{
    if (!json_is_object(object))
        return error_set(error, ERR_INPUT, "no JSON object where member \"%s\" was looked for",
                         name);
    const json_t *member = json_object_get(object, name);
    if (member == NULL || json_is_null(member))
        return error_set(error, ERR_NOT_FOUND, "member \"%s\" is missing", name);
    *ret_member = member;
    return 0;
}

static int json_wrong_type(const json_t *member, const char *name, const char *wanted,
                           struct error *error)
{
    static const char *const type_names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a text",    [JSON_INTEGER] = "a whole number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return error_set(error, ERR_INPUT, "member \"%s\" is %s where %s is needed", name,
                     type_names[json_typeof(member)], wanted);
}

int json_get_text(const json_t *object, const char *name, const char **ret_text,
                  struct error *error)
{
    const json_t *member = NULL;
    int code = json_get_member(object, name, &member, error);
    if (code != 0)
        return code;
    if (!json_is_string(member))
        return json_wrong_type(member, name, "a text", error);
    const char *text = json_string_value(member);
    if (strlen(text) != json_string_length(member))
        return error_set(error, ERR_INPUT, "member \"%s\" holds a NUL character", name);
    *ret_text = text;
    return 0;
}

int json_get_int(const json_t *object, const char *name, int64_t *ret_integer, struct error *error)
{
    const json_t *member = NULL;
    int code = json_get_member(object, name, &member, error);
    if (code != 0)
        return code;
    if (!json_is_integer(member))
        return json_wrong_type(member, name, "a whole number", error);
    *ret_integer = json_integer_value(member);
    return 0;
}

int json_get_number(const json_t *object, const char *name, double *ret_number, struct error *error)
{
    const json_t *member = NULL;
    int code = json_get_member(object, name, &member, error);
    if (code != 0)
        return code;
    if (!json_is_number(member))
        return json_wrong_type(member, name, "a number", error);
    *ret_number = json_number_value(member);
    return 0;
}

int json_get_bool(const json_t *object, const char *name, bool *ret_truth, struct error *error)
{
    const json_t *member = NULL;
    int code = json_get_member(object, name, &member, error);
    if (code != 0)
        return code;
    if (!json_is_boolean(member))
        return json_wrong_type(member, name, "true or false", error);
    *ret_truth = json_is_true(member);
    return 0;
}

const char *json_text_or(const json_t *object, const char *name, const char *otherwise)
{
    const char *text = NULL;
    return json_get_text(object, name, &text, NULL) == 0 ? text : otherwise;
}

int64_t json_int_or(const json_t *object, const char *name, int64_t otherwise)
{
    int64_t integer = 0;
    return json_get_int(object, name, &integer, NULL) == 0 ? integer : otherwise;
}

json_t *json_walk(const json_t *value, const char *path)
{
    json_t *at = (json_t *)(uintptr_t)value; /* borrowed as it came, as jansson's own getters do */
    for (const char *next = path; at != NULL;) {
        size_t name_bytes = strcspn(next, ".");
        char name[JSON_NAME_MAX_BYTES + 1];
        assert(name_bytes <= JSON_NAME_MAX_BYTES); /* paths are written in the source */
        memcpy(name, next, name_bytes);
        name[name_bytes] = '\0';
        at = json_object_get(at, name);
        if (next[name_bytes] == '\0')
            return at;
        next += name_bytes + 1;
    }
    return NULL;
}
