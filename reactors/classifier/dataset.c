/*
 * Rows of labelled issues: limits, label numbers, and choosing the format. See dataset.h.
 */
#include "reactors/classifier/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "reactors/classifier/dataset_rows.h"
#include "reactors/classifier/text.h"

/* Largest file: a million issues of 1 KB. */
#define FILE_BYTES_MAX ((int64_t)1 << 30)

/* Most rows: what trains in minutes. */
#define ROWS_MAX ((size_t)1000000)

/* Largest title or body. GitHub's bodies have at most 65,536 characters. */
#define TEXT_FIELD_BYTES_MAX ((size_t)1 << 20)

/* Longest repository name: 39 + 1 + 100 characters on GitHub. */
#define REPOSITORY_BYTES_MAX ((size_t)200)

/* Longest label name: 50 characters on GitHub, of up to 4 bytes. */
#define LABEL_BYTES_MAX ((size_t)200)

/* Labels of one row: GitHub allows 100. */
#define ROW_LABELS_MAX ((size_t)100)

/* Distinct labels of a file. */
#define LABELS_MAX ((size_t)10000)

/* Longest written number or time. */
#define SHORT_FIELD_BYTES_MAX ((size_t)63)

/* Largest weight of a row. */
#define WEIGHT_MAX 100

const char *const DATASET_FIELD_NAMES[DATASET_FIELD_COUNT] = {
    [DATASET_REPO] = "repo",   [DATASET_CREATED_AT] = "created_at",
    [DATASET_LABEL] = "label", [DATASET_TITLE] = "title",
    [DATASET_BODY] = "body",   [DATASET_WEIGHT] = "weight",
};

/* A distinct label name while rows are added; its number is the order of first sight. */
struct label_slot {
    char *name;      /* owned; NULL is an empty slot */
    uint32_t number; /* order of first sight */
};

/* Rows being collected. */
struct dataset_rows {
    struct dataset *dataset;  /* borrowed */
    size_t row_capacity;      /* allocated rows */
    struct label_slot *slots; /* owned hash table */
    size_t slot_count;        /* a power of two */
};

static void row_release(struct dataset_row *row)
{
    free(row->repository);
    free(row->title);
    free(row->body);
    free(row->labels);
}

void dataset_free(struct dataset *dataset)
{
    if (dataset == NULL)
        return;
    for (size_t r = 0; r < dataset->row_count; r++)
        row_release(&dataset->rows[r]);
    for (size_t l = 0; l < dataset->label_count; l++)
        free(dataset->label_names[l]);
    free(dataset->rows);
    free(dataset->label_names);
    free(dataset);
}

struct classifier_issue dataset_issue(const struct dataset_row *row)
{
    return (struct classifier_issue){.title = row->title,
                                     .title_bytes = row->title_bytes,
                                     .body = row->body,
                                     .body_bytes = row->body_bytes,
                                     .repository = row->repository};
}

bool dataset_row_has(const struct dataset_row *row, uint32_t label)
{
    for (size_t l = 0; l < row->label_count; l++)
        if (row->labels[l] == label)
            return true;
    return false;
}

/*
 * --- fields
 * -------------------------------------------------------------------------------------------------
 */

static bool is_text(const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count;) {
        size_t step = utf8_sequence_bytes(bytes + i, byte_count - i);
        if (step == 0 || (unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f)
            return false;
        i += step;
    }
    return true;
}

static int parse_repository(const struct dataset_value *value, char **ret_repository,
                            struct error *error)
{
    if (value->byte_count == 0 || value->byte_count > REPOSITORY_BYTES_MAX)
        return error_set(error, ERR_INPUT, "repo must have 1 to %zu bytes, it has %zu",
                         REPOSITORY_BYTES_MAX, value->byte_count);
    if (!is_text(value->bytes, value->byte_count))
        return error_set(error, ERR_INPUT, "repo is not printable UTF-8");
    const char *slash = memchr(value->bytes, '/', value->byte_count);
    if (slash == NULL || slash == value->bytes || slash == value->bytes + value->byte_count - 1)
        return error_set(error, ERR_INPUT, "repo must be owner/name, it is \"%.*s\"",
                         (int)value->byte_count, value->bytes);
    *ret_repository = mem_copy_bytes(value->bytes, value->byte_count);
    return 0;
}

static int parse_time(const struct dataset_value *value, int64_t *ret_ms, struct error *error)
{
    static const char without_offset[] = "2001-02-03 04:05:06";
    char text[SHORT_FIELD_BYTES_MAX + 2];
    size_t length = value->byte_count;
    int result = ERR_INPUT;
    if (length <= SHORT_FIELD_BYTES_MAX) {
        memcpy(text, value->bytes, length);
        if (length == sizeof(without_offset) - 1)
            text[length++] = 'Z';
        result = time_from_text(text, length, ret_ms);
    }
    if (result != 0)
        return error_set(
            error, ERR_INPUT,
            "created_at must be a time such as 2024-05-01 12:34:56 or 2024-05-01T12:34:56Z, "
            "it is \"%.*s\"",
            (int)(length < 40 ? length : 40), value->bytes);
    return 0;
}

/*
 * liblinear weighs classes, not rows; so a row that weighs n is used n times, and n is a whole
 * number.
 */
static int parse_weight(const struct dataset_value *value, uint32_t *ret_copies,
                        struct error *error)
{
    *ret_copies = 1;
    if (value->bytes == NULL || value->byte_count == 0)
        return 0;
    char text[SHORT_FIELD_BYTES_MAX + 1] = {0};
    char *end = text;
    long copies = 0;
    if (value->byte_count <= SHORT_FIELD_BYTES_MAX) {
        memcpy(text, value->bytes, value->byte_count);
        copies = strtol(text, &end, 10);
    }
    if (end != text + value->byte_count || copies < 1 || copies > WEIGHT_MAX)
        return error_set(error, ERR_INPUT, "weight must be a whole number from 1 to %d",
                         WEIGHT_MAX);
    *ret_copies = (uint32_t)copies;
    return 0;
}

/* The number of a label; a new one is taken up. */
static int label_number(struct dataset_rows *rows, const char *name, size_t name_bytes,
                        uint32_t *ret_number, struct error *error)
{
    struct dataset *dataset = rows->dataset;
    size_t slot = text_hash(0, name, name_bytes) & (rows->slot_count - 1);
    while (rows->slots[slot].name != NULL) {
        if (strlen(rows->slots[slot].name) == name_bytes &&
            memcmp(rows->slots[slot].name, name, name_bytes) == 0) {
            *ret_number = rows->slots[slot].number;
            return 0;
        }
        slot = (slot + 1) & (rows->slot_count - 1);
    }
    if (dataset->label_count == LABELS_MAX)
        return error_set(error, ERR_TOO_LARGE, "more than %zu distinct labels", LABELS_MAX);
    rows->slots[slot].name = mem_copy_bytes(name, name_bytes);
    rows->slots[slot].number = (uint32_t)dataset->label_count++;
    *ret_number = rows->slots[slot].number;
    return 0;
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static int parse_labels(struct dataset_rows *rows, const struct dataset_value *value,
                        struct dataset_row *row, struct error *error)
{
    uint32_t numbers[ROW_LABELS_MAX];
    size_t count = 0;
    const char *cursor = value->bytes;
    const char *end = value->bytes + value->byte_count;
    while (cursor < end) {
        const char *semicolon = memchr(cursor, ';', (size_t)(end - cursor));
        const char *name_end = semicolon == NULL ? end : semicolon;
        const char *name = cursor;
        cursor = semicolon == NULL ? end : semicolon + 1;
        while (name < name_end && *name == ' ')
            name++;
        while (name_end > name && name_end[-1] == ' ')
            name_end--;
        size_t name_bytes = (size_t)(name_end - name);
        if (name_bytes == 0)
            continue;
        if (name_bytes > LABEL_BYTES_MAX || !is_text(name, name_bytes))
            return error_set(error, ERR_INPUT,
                             "a label must be printable UTF-8 of at most %zu bytes",
                             LABEL_BYTES_MAX);
        if (count == ROW_LABELS_MAX)
            return error_set(error, ERR_TOO_LARGE, "more than %zu labels in a row", ROW_LABELS_MAX);
        int result = label_number(rows, name, name_bytes, &numbers[count], error);
        if (result != 0)
            return result;
        count++;
    }
    row->labels = mem_alloc_array(count, sizeof(*row->labels));
    memcpy(row->labels, numbers, count * sizeof(*numbers));
    row->label_count = count;
    return 0;
}

static int parse_texts(const struct dataset_value values[DATASET_FIELD_COUNT],
                       struct dataset_row *row, struct error *error)
{
    for (int field = DATASET_TITLE; field <= DATASET_BODY; field++)
        if (values[field].byte_count > TEXT_FIELD_BYTES_MAX)
            return error_set(error, ERR_TOO_LARGE, "%s of %zu bytes; the limit is %zu",
                             DATASET_FIELD_NAMES[field], values[field].byte_count,
                             TEXT_FIELD_BYTES_MAX);
    row->title_bytes = values[DATASET_TITLE].byte_count;
    row->title = mem_copy_bytes(values[DATASET_TITLE].bytes, row->title_bytes);
    row->body_bytes = values[DATASET_BODY].byte_count;
    row->body = mem_copy_bytes(values[DATASET_BODY].bytes, row->body_bytes);
    return 0;
}

int dataset_rows_add(struct dataset_rows *rows, size_t line,
                     const struct dataset_value values[DATASET_FIELD_COUNT], struct error *error)
{
    struct dataset *dataset = rows->dataset;
    struct dataset_row row = {.line = line};
    if (dataset->row_count == ROWS_MAX)
        return error_set(error, ERR_TOO_LARGE, "more than %zu rows", ROWS_MAX);
    int result = parse_repository(&values[DATASET_REPO], &row.repository, error);
    if (result == 0)
        result = parse_time(&values[DATASET_CREATED_AT], &row.created_at_ms, error);
    if (result == 0)
        result = parse_weight(&values[DATASET_WEIGHT], &row.copies, error);
    if (result == 0)
        result = parse_labels(rows, &values[DATASET_LABEL], &row, error);
    if (result == 0)
        result = parse_texts(values, &row, error);
    if (result != 0) {
        row_release(&row);
        return result;
    }
    if (dataset->row_count == rows->row_capacity) {
        rows->row_capacity = 2 * rows->row_capacity + 256;
        dataset->rows = mem_resize_array(dataset->rows, rows->row_capacity, sizeof(*dataset->rows));
    }
    dataset->rows[dataset->row_count++] = row;
    return 0;
}

/*
 * --- label numbers by name
 * ----------------------------------------------------------------------------------
 */

static int compare_slots(const void *left, const void *right)
{
    const struct label_slot *a = left;
    const struct label_slot *b = right;
    return strcmp(a->name, b->name);
}

/* Sorts the names, renumbers every row's labels, and drops repeats within a row. */
static void sort_labels(struct dataset_rows *rows)
{
    struct dataset *dataset = rows->dataset;
    struct label_slot *sorted = mem_alloc_array(dataset->label_count, sizeof(*sorted));
    uint32_t *new_number = mem_alloc_array(dataset->label_count, sizeof(*new_number));
    size_t count = 0;
    for (size_t s = 0; s < rows->slot_count; s++)
        if (rows->slots[s].name != NULL)
            sorted[count++] = rows->slots[s];
    qsort(sorted, count, sizeof(*sorted), compare_slots);
    dataset->label_names = mem_alloc_array(count, sizeof(*dataset->label_names));
    for (size_t l = 0; l < count; l++) {
        new_number[sorted[l].number] = (uint32_t)l;
        dataset->label_names[l] = sorted[l].name;
    }
    for (size_t r = 0; r < dataset->row_count; r++) {
        struct dataset_row *row = &dataset->rows[r];
        for (size_t l = 0; l < row->label_count; l++)
            row->labels[l] = new_number[row->labels[l]];
        qsort(row->labels, row->label_count, sizeof(*row->labels), compare_numbers);
        size_t kept = 0;
        for (size_t l = 0; l < row->label_count; l++)
            if (kept == 0 || row->labels[kept - 1] != row->labels[l])
                row->labels[kept++] = row->labels[l];
        row->label_count = kept;
    }
    free(sorted);
    free(new_number);
}

/*
 * --- files
 * --------------------------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text);
    size_t ending_length = strlen(ending);
    return length >= ending_length && strcasecmp(text + length - ending_length, ending) == 0;
}

/* By the name's ending, else by the first sign. */
static bool is_json_lines(const char *name, const char *bytes, size_t byte_count)
{
    if (ends_with(name, ".csv"))
        return false;
    if (ends_with(name, ".jsonl") || ends_with(name, ".ndjson") || ends_with(name, ".json"))
        return true;
    size_t i = 0;
    while (i < byte_count &&
           (bytes[i] == ' ' || bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == '\t'))
        i++;
    return i < byte_count && bytes[i] == '{';
}

int dataset_read_bytes(const char *name, const void *bytes, size_t byte_count,
                       struct dataset **ret_dataset, struct error *error)
{
    CLEANUP(dataset_free) struct dataset *dataset = MEM_NEW(struct dataset);
    struct dataset_rows rows = {.dataset = dataset, .slot_count = 4 * LABELS_MAX};
    while ((rows.slot_count & (rows.slot_count - 1)) != 0)
        rows.slot_count &= rows.slot_count - 1;
    rows.slots = mem_alloc_array(rows.slot_count, sizeof(*rows.slots));
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(bytes, byte_count, digest);
    digest_to_text(digest, dataset->sha256);
    size_t line = 1;
    int result = is_json_lines(name, bytes, byte_count)
                     ? dataset_read_json_lines(&rows, bytes, byte_count, &line, error)
                     : dataset_read_csv(&rows, bytes, byte_count, &line, error);
    sort_labels(&rows);
    free(rows.slots);
    if (result != 0)
        return error_prefix(error, result, "%s:%zu", name, line);
    if (dataset->row_count == 0)
        return error_set(error, ERR_INPUT, "%s: no rows", name);
    *ret_dataset = TAKE(dataset);
    return 0;
}

static int read_mapped(const char *path, int descriptor, struct dataset **ret_dataset,
                       struct error *error)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERR_INPUT, "%s: not a regular file", path);
    if (status.st_size > FILE_BYTES_MAX)
        return error_set(error, ERR_TOO_LARGE, "%s: %jd bytes; the limit is %jd", path,
                         (intmax_t)status.st_size, (intmax_t)FILE_BYTES_MAX);
    if (status.st_size == 0)
        return error_set(error, ERR_INPUT, "%s: empty", path);
    size_t bytes = (size_t)status.st_size;
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapped == MAP_FAILED)
        return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    int result = dataset_read_bytes(path, mapped, bytes, ret_dataset, error);
    (void)munmap(mapped, bytes);
    return result;
}

int dataset_read(const char *path, struct dataset **ret_dataset, struct error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set(error, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                         strerror(errno));
    int result = read_mapped(path, descriptor, ret_dataset, error);
    (void)close(descriptor);
    return result;
}
