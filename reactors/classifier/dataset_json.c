/*
 * JSON lines to rows: one object a line, read by jansson.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json_text.h"
#include "reactors/classifier/dataset_rows.h"

/* Bytes of all label names of a row, joined. */
#define LABELS_BYTES_MAX ((size_t)64 * 1024)

/* Longest number, written out. */
#define NUMBER_BYTES_MAX 64

/* Joins an array of label names by ';', as the other format writes them. */
static int join_labels(const json_t *array, struct buffer *labels, struct error *error)
{
    size_t index;
    const json_t *item;
    json_array_foreach(array, index, item)
    {
        const char *name = json_string_value(item);
        if (name == NULL || strchr(name, ';') != NULL || strlen(name) != json_string_length(item))
            return error_set(error, ERR_INPUT, "label must be an array of texts without ';'");
        if ((index > 0 && buffer_append(labels, ";", 1) != 0) ||
            buffer_append_text(labels, name) != 0)
            return error_set(error, ERR_TOO_LARGE, "label names of more than %zu bytes",
                             LABELS_BYTES_MAX);
    }
    return 0;
}

/* The value of one field; `labels` and `number` keep what has to be written out. */
static int read_field(const json_t *object, enum dataset_field field, struct buffer *labels,
                      char number[NUMBER_BYTES_MAX], struct dataset_value *ret_value,
                      struct error *error)
{
    const char *name = DATASET_FIELD_NAMES[field];
    const json_t *item = json_object_get(object, name);
    if (item == NULL && field != DATASET_WEIGHT)
        return error_set(error, ERR_INPUT, "the object has no \"%s\"", name);
    if (item == NULL || (json_is_null(item) && field == DATASET_BODY)) {
        *ret_value = (struct dataset_value){.bytes = item == NULL ? NULL : ""};
        return 0;
    }
    if (field == DATASET_LABEL && json_is_array(item)) {
        int result = join_labels(item, labels, error);
        if (result == 0)
            *ret_value = (struct dataset_value){.bytes = labels->data == NULL ? "" : labels->data,
                                                .byte_count = labels->size_bytes};
        return result;
    }
    if (field == DATASET_WEIGHT && json_is_number(item)) {
        int length = snprintf(number, NUMBER_BYTES_MAX, "%.17g", json_number_value(item));
        *ret_value = (struct dataset_value){.bytes = number, .byte_count = (size_t)length};
        return 0;
    }
    if (!json_is_string(item))
        return error_set(error, ERR_INPUT, "\"%s\" must be a text%s", name,
                         field == DATASET_LABEL    ? " or an array of texts"
                         : field == DATASET_WEIGHT ? " or a number"
                         : field == DATASET_BODY   ? " or null"
                                                   : "");
    *ret_value = (struct dataset_value){.bytes = json_string_value(item),
                                        .byte_count = json_string_length(item)};
    return 0;
}

static int read_line(struct dataset_rows *rows, size_t line, const char *bytes, size_t byte_count,
                     struct error *error)
{
    json_error_t json_error;
    CLEANUP(json_release)
    json_t *object =
        json_loadb(bytes, byte_count, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &json_error);
    if (object == NULL)
        return error_set(error, ERR_INPUT, "not a JSON object in one line: %s", json_error.text);
    CLEANUP(buffer_release) struct buffer labels = BUFFER_INIT(LABELS_BYTES_MAX);
    char number[NUMBER_BYTES_MAX];
    struct dataset_value values[DATASET_FIELD_COUNT] = {{0}};
    for (int field = 0; field < DATASET_FIELD_COUNT; field++) {
        int result =
            read_field(object, (enum dataset_field)field, &labels, number, &values[field], error);
        if (result != 0)
            return result;
    }
    return dataset_rows_add(rows, line, values, error);
}

static bool is_blank_line(const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++)
        if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r')
            return false;
    return true;
}

int dataset_read_json_lines(struct dataset_rows *rows, const char *bytes, size_t byte_count,
                            size_t *ret_line, struct error *error)
{
    const char *end = bytes + byte_count;
    *ret_line = 0;
    for (const char *line = bytes; line < end;) {
        (*ret_line)++;
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t line_bytes = newline == NULL ? (size_t)(end - line) : (size_t)(newline - line);
        if (!is_blank_line(line, line_bytes)) {
            int result = read_line(rows, *ret_line, line, line_bytes, error);
            if (result != 0)
                return result;
        }
        line = newline == NULL ? end : newline + 1;
    }
    return 0;
}
