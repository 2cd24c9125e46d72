/*
 * A table for people: columns as wide as their widest cell, on a terminal or in a file; private to
 * this room's commands.
 *
 * Design: rows are collected, then printed. Cells may come from strangers, so control characters
 * and invalid UTF-8 are written as \xNN: no record can move the cursor or change a colour.
 *
 * Invariant: all rows have the columns of the table.
 */
#ifndef NODAG_TOPICS_TEXT_TABLE_H
#define NODAG_TOPICS_TEXT_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/cleanup.h"

/* Most columns of a table. */
#define TEXT_TABLE_COLUMNS_MAX 8

/* A table. */
struct text_table;

/*
 * Makes a table with these headings (copied), 1..TEXT_TABLE_COLUMNS_MAX of them; owned. Any thread.
 */
struct text_table *text_table_new(const char *const *headings, size_t column_count);

/* Frees it; NULL allowed. */
void text_table_free(struct text_table *table);
DEFINE_CLEANUP(struct text_table *, text_table_free)

/* Adds a row of as many cells (copied) as there are columns; NULL is an empty cell. Any thread. */
void text_table_add(struct text_table *table, const char *const *cells);

/* Prints headings and rows; no line ends in spaces. Any thread. */
void text_table_print(const struct text_table *table, FILE *stream);

/*
 * Appends bytes with everything that a terminal would act on written as \xNN. ERR_TOO_LARGE as
 * buffer_append. Any thread.
 */
int text_escape(struct buffer *buffer, const char *text, size_t text_bytes) MUST_CHECK;

#endif
