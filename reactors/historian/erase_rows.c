/*
 * A data set without some rows: see erase_rows.h.
 */
#include "reactors/historian/erase_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Longest value of a column that is read. */
#define VALUE_MAX_BYTES 1024

/* The format. */
enum rows_format {
    ROWS_UNKNOWN, /* nothing but white space came yet */
    ROWS_JSON,    /* an object a line */
    ROWS_CSV,     /* RFC 4180 */
};

/* Columns of CSV that are read. */
enum rows_column { COLUMN_REPO, COLUMN_NUMBER, COLUMN_CREATED, COLUMN_COUNT };

static const char *const column_names[COLUMN_COUNT] = {"repo", "number", "created_at"};

struct erase_rows {
    const struct erase_rows_handler *handler; /* borrowed */
    void *argument;                           /* of it */
    enum rows_format format;                  /* … */
    struct buffer row;                        /* the row so far */
    bool is_quoted;                           /* CSV: within quotes */
    bool has_header;                          /* CSV: it was read */
    size_t columns[COLUMN_COUNT];             /* CSV: places; ERASE_COLUMNS_MAX: none */
    struct erase_rows_counts counts;          /* so far */
};

struct erase_rows *erase_rows_new(const struct erase_rows_handler *handler, void *argument)
{
    struct erase_rows *rows = MEM_NEW(struct erase_rows);
    rows->handler = handler;
    rows->argument = argument;
    rows->row = BUFFER_INIT(ERASE_ROW_MAX_BYTES);
    return rows;
}

void erase_rows_free(struct erase_rows *rows)
{
    if (rows == NULL)
        return;
    buffer_release(&rows->row);
    mem_free(rows);
}

/* ---- what a row says ---- */

/* What a row says of its issue. */
struct row_says {
    char repository[VALUE_MAX_BYTES]; /* "": nothing */
    int64_t number;                   /* 0: nothing */
    int64_t created_ms;               /* -1: nothing */
};

/* Times without an offset are UTC, as nodag model reads them. */
static int64_t read_time(const char *text, size_t bytes)
{
    int64_t time_ms = -1;
    if (time_from_text(text, bytes, &time_ms) == 0)
        return time_ms;
    CLEANUP(mem_free) char *utc = mem_format("%.*sZ", (int)bytes, text);
    return time_from_text(utc, strlen(utc), &time_ms) == 0 ? time_ms : -1;
}

static int64_t read_number(const char *text)
{
    char *end = NULL;
    long long number = strtoll(text, &end, 10);
    return end != text && *end == '\0' && number > 0 ? number : 0;
}

static bool says_json(const struct buffer *row, struct row_says *says)
{
    CLEANUP(json_release) json_t *object = NULL;
    if (json_read(row->data, row->size_bytes, &object, NULL) != 0 || !json_is_object(object))
        return false;
    const char *repository = json_text_or(object, "repo", "");
    const char *created = json_text_or(object, "created_at", "");
    const json_t *number = json_object_get(object, "number");
    if (strlen(repository) < sizeof(says->repository))
        memcpy(says->repository, repository, strlen(repository) + 1);
    says->number = json_is_string(number) ? read_number(json_string_value(number))
                                          : json_int_or(object, "number", 0);
    if (says->number < 0)
        says->number = 0;
    if (strlen(created) < VALUE_MAX_BYTES)
        says->created_ms = read_time(created, strlen(created));
    return true;
}

/*
 * Reads the field at `*at` and goes behind the comma after it. What does not fit into `ret_value` makes it
 * empty. Returns false after the last field.
 */
static bool csv_field(const char **at, const char *end, char ret_value[VALUE_MAX_BYTES])
{
    size_t bytes = 0;
    bool is_quoted = false;
    const char *from = *at;
    for (; from < end && (is_quoted || *from != ','); from++) {
        bool is_doubled = is_quoted && *from == '"' && from + 1 < end && from[1] == '"';
        if (*from == '"' && !is_doubled) {
            is_quoted = !is_quoted;
            continue;
        }
        from += is_doubled;
        if (bytes < VALUE_MAX_BYTES)
            ret_value[bytes++] = *from;
    }
    while (bytes > 0 && bytes < VALUE_MAX_BYTES && from == end &&
           (ret_value[bytes - 1] == '\n' || ret_value[bytes - 1] == '\r'))
        bytes--;
    ret_value[bytes < VALUE_MAX_BYTES ? bytes : 0] = '\0';
    *at = from + (from < end);
    return from < end;
}

static void csv_header(struct erase_rows *rows)
{
    const char *at = rows->row.data;
    const char *end = at + rows->row.size_bytes;
    char value[VALUE_MAX_BYTES];
    bool more = true;
    for (size_t c = 0; c < COLUMN_COUNT; c++)
        rows->columns[c] = ERASE_COLUMNS_MAX;
    for (size_t place = 0; more && place < ERASE_COLUMNS_MAX; place++) {
        more = csv_field(&at, end, value);
        for (size_t c = 0; c < COLUMN_COUNT; c++)
            if (strcmp(value, column_names[c]) == 0)
                rows->columns[c] = place;
    }
    rows->has_header = true;
}

static void says_csv(const struct erase_rows *rows, struct row_says *says)
{
    const char *at = rows->row.data;
    const char *end = at + rows->row.size_bytes;
    char value[VALUE_MAX_BYTES];
    bool more = true;
    for (size_t place = 0; more && place < ERASE_COLUMNS_MAX; place++) {
        more = csv_field(&at, end, value);
        if (place == rows->columns[COLUMN_REPO])
            memcpy(says->repository, value, strlen(value) + 1);
        if (place == rows->columns[COLUMN_NUMBER])
            says->number = read_number(value);
        if (place == rows->columns[COLUMN_CREATED])
            says->created_ms = read_time(value, strlen(value));
    }
}

/* ---- rows ---- */

static bool is_blank(const struct buffer *row)
{
    for (size_t i = 0; i < row->size_bytes; i++)
        if (strchr(" \t\r\n", row->data[i]) == NULL || row->data[i] == '\0')
            return false;
    return true;
}

/* The row is whole: it goes or stays. */
static int row_end(struct erase_rows *rows, struct error *error)
{
    struct row_says says = {.created_ms = -1};
    bool is_row = rows->row.size_bytes > 0 && !is_blank(&rows->row);
    bool is_told = true;
    if (is_row && rows->format == ROWS_CSV && !rows->has_header) {
        csv_header(rows);
        is_row = false;
    } else if (is_row && rows->format == ROWS_CSV) {
        says_csv(rows, &says);
    } else if (is_row) {
        is_told = says_json(&rows->row, &says);
    }
    is_told = is_told && (says.repository[0] != '\0' || (says.number > 0 && says.created_ms >= 0));
    const char *repository = says.repository[0] != '\0' ? says.repository : NULL;
    bool is_erased =
        is_row && is_told &&
        rows->handler->is_wanted(rows->argument, repository, says.number, says.created_ms);
    int code = 0;
    if (!is_erased && rows->row.size_bytes > 0)
        code = rows->handler->write(rows->argument, rows->row.data, rows->row.size_bytes, error);
    rows->counts.erased += is_erased;
    rows->counts.kept += is_row && !is_erased;
    rows->counts.untold += is_row && !is_told;
    buffer_clear(&rows->row);
    rows->is_quoted = false;
    return code;
}

/* How many of the bytes belong to the row; `ret_is_whole` becomes true where it ends with them. */
static size_t row_part(struct erase_rows *rows, const char *bytes, size_t byte_count,
                       bool *ret_is_whole)
{
    *ret_is_whole = true;
    for (size_t i = 0; i < byte_count; i++) {
        if (rows->format == ROWS_CSV && bytes[i] == '"')
            rows->is_quoted = !rows->is_quoted; /* a doubled one ends and begins */
        if (bytes[i] == '\n' && !rows->is_quoted)
            return i + 1;
    }
    *ret_is_whole = false;
    return byte_count;
}

/* Empty lines before the first row say nothing of the format. */
static void rows_guess(struct erase_rows *rows, const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count && rows->format == ROWS_UNKNOWN; i++)
        if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r' && bytes[i] != '\n')
            rows->format = bytes[i] == '{' ? ROWS_JSON : ROWS_CSV;
}

int erase_rows_feed(struct erase_rows *rows, const char *bytes, size_t byte_count,
                    struct error *error)
{
    if (rows->format == ROWS_UNKNOWN)
        rows_guess(rows, bytes, byte_count);
    while (byte_count > 0) {
        bool is_whole = false;
        size_t part = row_part(rows, bytes, byte_count, &is_whole);
        if (buffer_append(&rows->row, bytes, part) != 0)
            return error_set(error, ERR_TOO_LARGE, "row %zu is longer than %zu bytes",
                             rows->counts.kept + rows->counts.erased + 1, ERASE_ROW_MAX_BYTES);
        int code = is_whole ? row_end(rows, error) : 0;
        if (code != 0)
            return code;
        bytes += part;
        byte_count -= part;
    }
    return 0;
}

int erase_rows_end(struct erase_rows *rows, struct erase_rows_counts *ret_counts,
                   struct error *error)
{
    int code = row_end(rows, error);
    if (code == 0)
        *ret_counts = rows->counts;
    return code;
}
