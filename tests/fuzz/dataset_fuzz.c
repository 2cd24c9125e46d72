/*
 * Fuzz target: any bytes as a file of labelled issues, as CSV and as JSON lines.
 *
 * Design: what is accepted is checked against dataset.h, then written as CSV with every field quoted and read once
 * more: it must be the same rows. Asserted besides: an error names the file, a line, and why.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/classifier/dataset.h"

/* Largest weight of a row, by dataset.h. */
#define WEIGHT_MAX 100

/* Room for the rows written again: quoting at most doubles them. */
#define WRITTEN_MAX_BYTES ((size_t)64 << 20)

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_row(const struct dataset *dataset, const struct dataset_row *row)
{
    require(strchr(row->repository, '/') != NULL);
    require(row->title[row->title_bytes] == '\0' && row->body[row->body_bytes] == '\0');
    require(row->copies >= 1 && row->copies <= WEIGHT_MAX && row->line >= 1);
    for (size_t l = 0; l < row->label_count; l++) {
        require(row->labels[l] < dataset->label_count);
        require(l == 0 || row->labels[l - 1] < row->labels[l]);
        require(dataset_row_has(row, row->labels[l]));
    }
}

static void check_dataset(const struct dataset *dataset)
{
    require(dataset->row_count >= 1 && strlen(dataset->sha256) == CLASSIFIER_SHA256_BYTES - 1);
    for (size_t l = 0; l < dataset->label_count; l++)
        require(l == 0 || strcmp(dataset->label_names[l - 1], dataset->label_names[l]) < 0);
    for (size_t r = 0; r < dataset->row_count; r++)
        check_row(dataset, &dataset->rows[r]);
}

/* ---- written again ---- */

static void append(struct buffer *buffer, const void *bytes, size_t byte_count)
{
    require(buffer_append(buffer, bytes, byte_count) == 0);
}

static void append_quoted(struct buffer *buffer, const char *bytes, size_t byte_count)
{
    append(buffer, "\"", 1);
    for (size_t i = 0; i < byte_count; i++)
        append(buffer, bytes[i] == '"' ? "\"\"" : bytes + i, bytes[i] == '"' ? 2 : 1);
    append(buffer, "\",", 2);
}

static void append_row(struct buffer *buffer, const struct dataset *dataset,
                       const struct dataset_row *row)
{
    char time[TIME_TEXT_BYTES];
    char copies[TIME_TEXT_BYTES];
    time_to_text(row->created_at_ms, time);
    (void)snprintf(copies, sizeof(copies), "%u\n", row->copies);
    append_quoted(buffer, row->repository, strlen(row->repository));
    append_quoted(buffer, time, strlen(time));
    append(buffer, "\"", 1);
    for (size_t l = 0; l < row->label_count; l++) {
        const char *name = dataset->label_names[row->labels[l]];
        for (const char *c = name; *c != '\0'; c++)
            append(buffer, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
        append(buffer, ";", 1);
    }
    append(buffer, "\",", 2);
    append_quoted(buffer, row->title, row->title_bytes);
    append_quoted(buffer, row->body, row->body_bytes);
    append(buffer, copies, strlen(copies));
}

static void check_same_row(const struct dataset *left, const struct dataset_row *one,
                           const struct dataset *right, const struct dataset_row *other)
{
    require(strcmp(one->repository, other->repository) == 0);
    require(one->created_at_ms == other->created_at_ms && one->copies == other->copies);
    require(one->title_bytes == other->title_bytes &&
            memcmp(one->title, other->title, one->title_bytes) == 0);
    require(one->body_bytes == other->body_bytes &&
            memcmp(one->body, other->body, one->body_bytes) == 0);
    require(one->label_count == other->label_count);
    for (size_t l = 0; l < one->label_count; l++)
        require(strcmp(left->label_names[one->labels[l]], right->label_names[other->labels[l]]) ==
                0);
}

static void check_written_again(const struct dataset *dataset)
{
    static const char head[] = "repo,created_at,label,title,body,weight\n";
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(WRITTEN_MAX_BYTES);
    append(&text, head, sizeof(head) - 1);
    for (size_t r = 0; r < dataset->row_count; r++)
        append_row(&text, dataset, &dataset->rows[r]);
    CLEANUP(dataset_free) struct dataset *again = NULL;
    struct error error = {0};
    require(dataset_read_bytes("again.csv", text.data, text.size_bytes, &again, &error) == 0);
    require(again->row_count == dataset->row_count);
    for (size_t r = 0; r < dataset->row_count; r++)
        check_same_row(dataset, &dataset->rows[r], again, &again->rows[r]);
}

static void read_as(const char *name, const uint8_t *bytes, size_t byte_count)
{
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    struct error error = {0};
    int code = dataset_read_bytes(name, bytes, byte_count, &dataset, &error);
    if (code != 0) {
        require(dataset == NULL && error.code == code);
        require(strncmp(error.text, name, strlen(name)) == 0);
        return;
    }
    check_dataset(dataset);
    check_written_again(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    read_as("fuzz.csv", bytes, byte_count);
    read_as("fuzz.jsonl", bytes, byte_count);
    return 0;
}
