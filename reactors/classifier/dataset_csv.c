/*
 * CSV (RFC 4180) to rows.
 *
 * Design: one pass over the bytes. A quoted field is copied without its doubled quotes into a
 * scratch buffer; an unquoted one is used in place. Lines are counted over every byte, so that an
 * error after a quoted line break names the right line.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "reactors/classifier/dataset_rows.h"

/* Columns of a file: ours and whatever else an export has. */
#define COLUMNS_MAX 64

/* The state of a pass. */
struct csv {
    const char *cursor;                        /* next byte */
    const char *end;                           /* one past the last */
    size_t line;                               /* of cursor, from 1 */
    char *scratch;                             /* owned: unquoted bytes of the current record */
    size_t scratch_used;                       /* bytes */
    size_t column_count;                       /* of the record read last */
    struct dataset_value columns[COLUMNS_MAX]; /* of the record read last */
};

static void csv_release(struct csv *csv)
{
    free(csv->scratch);
}

/* Reads a field that begins with a quote; the cursor stands behind its closing quote afterwards. */
static int csv_read_quoted(struct csv *csv, struct dataset_value *ret_value, struct error *error)
{
    size_t open_line = csv->line;
    char *start = csv->scratch + csv->scratch_used;
    size_t length = 0;
    csv->cursor++;
    for (;;) {
        if (csv->cursor == csv->end) {
            csv->line = open_line;
            return error_set(error, ERR_INPUT,
                             "a quoted field begins here and never ends; close it with \"");
        }
        char c = *csv->cursor++;
        if (c == '\n')
            csv->line++;
        if (c == '"') {
            if (csv->cursor == csv->end || *csv->cursor != '"')
                break;
            csv->cursor++;
        }
        start[length++] = c;
    }
    csv->scratch_used += length;
    *ret_value = (struct dataset_value){.bytes = start, .byte_count = length};
    return 0;
}

static int csv_read_plain(struct csv *csv, struct dataset_value *ret_value, struct error *error)
{
    const char *start = csv->cursor;
    while (csv->cursor < csv->end && *csv->cursor != ',' && *csv->cursor != '\n') {
        if (*csv->cursor == '"')
            return error_set(
                error, ERR_INPUT,
                "a quote inside an unquoted field; put the field in quotes and double the quote");
        csv->cursor++;
    }
    size_t length = (size_t)(csv->cursor - start);
    bool ends_line = csv->cursor == csv->end || *csv->cursor == '\n';
    if (ends_line && length > 0 && start[length - 1] == '\r')
        length--;
    *ret_value = (struct dataset_value){.bytes = start, .byte_count = length};
    return 0;
}

/* Steps over what stands behind a field. `*ret_more` is true behind a comma. */
static int csv_end_field(struct csv *csv, bool *ret_more, struct error *error)
{
    if (csv->cursor < csv->end && *csv->cursor == ',') {
        csv->cursor++;
        *ret_more = true;
        return 0;
    }
    if (csv->cursor < csv->end && *csv->cursor == '\r' &&
        (csv->cursor + 1 == csv->end || csv->cursor[1] == '\n'))
        csv->cursor++;
    if (csv->cursor < csv->end && *csv->cursor != '\n')
        return error_set(error, ERR_INPUT,
                         "text after the closing quote of a field; double quotes inside a field");
    if (csv->cursor < csv->end) {
        csv->cursor++;
        csv->line++;
    }
    *ret_more = false;
    return 0;
}

/* Reads one record into csv->columns. */
static int csv_read_record(struct csv *csv, struct error *error)
{
    csv->column_count = 0;
    csv->scratch_used = 0;
    bool more = true;
    while (more) {
        if (csv->column_count == COLUMNS_MAX)
            return error_set(error, ERR_TOO_LARGE, "more than %d columns", COLUMNS_MAX);
        struct dataset_value *value = &csv->columns[csv->column_count];
        bool is_quoted = csv->cursor < csv->end && *csv->cursor == '"';
        int result =
            is_quoted ? csv_read_quoted(csv, value, error) : csv_read_plain(csv, value, error);
        if (result == 0)
            result = csv_end_field(csv, &more, error);
        if (result != 0)
            return result;
        csv->column_count++;
    }
    return 0;
}

static bool value_is(const struct dataset_value *value, const char *text)
{
    return value->byte_count == strlen(text) && memcmp(value->bytes, text, value->byte_count) == 0;
}

/*
 * Finds the columns by the header line: `columns[field]` is the column number or -1. On error
 * `*ret_line` is where.
 */
static int csv_read_header(struct csv *csv, int columns[DATASET_FIELD_COUNT], size_t *ret_line,
                           struct error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    size_t mark_bytes = sizeof(byte_order_mark) - 1;
    if ((size_t)(csv->end - csv->cursor) >= mark_bytes &&
        memcmp(csv->cursor, byte_order_mark, mark_bytes) == 0)
        csv->cursor += mark_bytes;
    int result = csv_read_record(csv, error);
    *ret_line = result == 0 ? 1 : csv->line;
    if (result != 0)
        return result;
    for (int field = 0; field < DATASET_FIELD_COUNT; field++) {
        columns[field] = -1;
        for (size_t c = 0; c < csv->column_count; c++) {
            if (!value_is(&csv->columns[c], DATASET_FIELD_NAMES[field]))
                continue;
            if (columns[field] >= 0)
                return error_set(error, ERR_INPUT, "the column %s is there twice",
                                 DATASET_FIELD_NAMES[field]);
            columns[field] = (int)c;
        }
        if (columns[field] < 0 && field != DATASET_WEIGHT)
            return error_set(error, ERR_INPUT,
                             "the first line has no column %s; it must name "
                             "repo,created_at,label,title,body (weight is optional)",
                             DATASET_FIELD_NAMES[field]);
    }
    return 0;
}

static int csv_read_rows(struct csv *csv, struct dataset_rows *rows, size_t *ret_line,
                         struct error *error)
{
    int columns[DATASET_FIELD_COUNT];
    int result = csv_read_header(csv, columns, ret_line, error);
    size_t expected = csv->column_count;
    while (result == 0 && csv->cursor < csv->end) {
        size_t line = csv->line;
        result = csv_read_record(csv, error);
        *ret_line = result == 0 ? line : csv->line;
        if (result != 0)
            break;
        if (csv->column_count == 1 && csv->columns[0].byte_count == 0)
            continue; /* an empty line */
        if (csv->column_count != expected)
            return error_set(error, ERR_INPUT,
                             "%zu fields where the header has %zu; is a comma not in quotes?",
                             csv->column_count, expected);
        struct dataset_value values[DATASET_FIELD_COUNT] = {{0}};
        for (int field = 0; field < DATASET_FIELD_COUNT; field++)
            if (columns[field] >= 0)
                values[field] = csv->columns[columns[field]];
        result = dataset_rows_add(rows, line, values, error);
    }
    return result;
}

int dataset_read_csv(struct dataset_rows *rows, const char *bytes, size_t byte_count,
                     size_t *ret_line, struct error *error)
{
    struct csv csv = {.cursor = bytes, .end = bytes + byte_count, .line = 1};
    csv.scratch = mem_alloc(byte_count); /* a record is never longer than the file */
    int result = csv_read_rows(&csv, rows, ret_line, error);
    csv_release(&csv);
    return result;
}
