/*
 * A table for people: see text_table.h.
 *
 * Design: cells are escaped when they are added, so that widths are those of what is printed. A
 * column's width is counted in code points; wide and combining characters would be off by some,
 * which moves a column and loses nothing.
 */
#include "topics/text_table.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/envelope.h"

/* Longest cell; longer ones are cut: a reason or a key, not a payload. */
#define CELL_MAX_BYTES 4096

/* Spaces between columns. */
#define GAP 2

struct text_table {
    size_t column_count;                   /* 1..TEXT_TABLE_COLUMNS_MAX */
    size_t widths[TEXT_TABLE_COLUMNS_MAX]; /* in code points */
    char **cells;                          /* owned; rows one after the other, headings first */
    size_t cell_count;                     /* how many */
};

int text_escape(struct buffer *buffer, const char *text, size_t text_bytes)
{
    int code = 0;
    for (size_t at = 0; at < text_bytes && code == 0;) {
        size_t length = text_printable_bytes(text + at, text_bytes - at);
        if (length > 0) {
            code = buffer_append(buffer, text + at, length);
            at += length;
        } else {
            code = buffer_append_format(buffer, "\\x%02x", (unsigned)(unsigned char)text[at]);
            at++;
        }
    }
    return code;
}

static size_t count_code_points(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    return count;
}

void text_table_add(struct text_table *table, const char *const *cells)
{
    table->cells = mem_resize_array(TAKE(table->cells), table->cell_count + table->column_count,
                                    sizeof(*table->cells));
    for (size_t i = 0; i < table->column_count; i++) {
        struct buffer cell = BUFFER_INIT(CELL_MAX_BYTES);
        const char *text = cells[i] != NULL ? cells[i] : "";
        if (text_escape(&cell, text, strlen(text)) != 0)
            text = ""; /* cut there: what was appended so far stands */
        char *escaped = buffer_take(&cell);
        size_t width = count_code_points(escaped);
        if (width > table->widths[i])
            table->widths[i] = width;
        table->cells[table->cell_count++] = escaped;
    }
}

struct text_table *text_table_new(const char *const *headings, size_t column_count)
{
    struct text_table *table = MEM_NEW(struct text_table);
    table->column_count = column_count;
    text_table_add(table, headings);
    return table;
}

void text_table_free(struct text_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void text_table_print(const struct text_table *table, FILE *stream)
{
    size_t owed = 0; /* spaces that only come if something follows them */
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->column_count;
        const char *cell = table->cells[i];
        for (; owed > 0 && cell[0] != '\0'; owed--)
            (void)fputc(' ', stream);
        (void)fputs(cell, stream);
        owed += table->widths[column] - count_code_points(cell) + GAP;
        if (column + 1 < table->column_count)
            continue;
        (void)fputc('\n', stream);
        owed = 0;
    }
}
