/*
 * Scoring held-out rows: see held_out.h and the picture in train.h.
 */
#include "reactors/classifier/held_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/classifier/text.h"

/* Share of the rows, the newest, that are scored. */
#define TIME_SHARE 0.5

/* Blocks by time: more give fresher fits, and cost a fit each. */
#define TIME_BLOCKS 8

/* Blocks drawn at random, where time does not help. */
#define RANDOM_BLOCKS 5

/* Rows that must be older than the first block. */
#define OLDER_ROWS_MIN 50

/* Longest text of a stage. */
#define STAGE_BYTES 64

void held_out_free(struct held_out *held_out)
{
    if (held_out == NULL)
        return;
    free(held_out->rows);
    free(held_out->decisions);
    free(held_out);
}

/* What all blocks have in common. */
struct scoring {
    const struct fit_config *config; /* borrowed */
    const uint32_t *labels;          /* borrowed */
    train_progress_fn *progress;     /* may be NULL */
    void *context;                   /* of progress */
    char stage[STAGE_BYTES];         /* what is being done */
    struct held_out *result;         /* borrowed */
};

static void report_labels(void *context, size_t done, size_t total)
{
    struct scoring *scoring = context;
    if (scoring->progress != NULL)
        scoring->progress(scoring->context, scoring->stage, (double)done / (double)total);
}

/* Fits on `older` and appends the scores of `block`. */
static void score_block(struct scoring *scoring, const struct dataset_row *const *older,
                        size_t older_count, const struct dataset_row *const *block,
                        size_t block_count)
{
    struct held_out *result = scoring->result;
    snprintf(scoring->stage, sizeof(scoring->stage), "calibrating, block %zu",
             result->block_count + 1);
    CLEANUP(fit_free)
    struct fit *fit = fit_rows(scoring->config, older, older_count, scoring->labels,
                               result->label_count, report_labels, scoring);
    for (size_t r = 0; r < block_count; r++) {
        struct classifier_issue issue = dataset_issue(block[r]);
        fit_decide(fit, &issue, result->decisions + result->row_count * result->label_count);
        result->rows[result->row_count++] = block[r];
    }
    result->block_count++;
}

/*
 * The row at or after `wanted` whose time differs from the one before it: a block never splits a
 * moment.
 */
static size_t next_moment(const struct dataset_row *const *rows, size_t row_count, size_t wanted)
{
    while (wanted > 0 && wanted < row_count &&
           rows[wanted]->created_at_ms == rows[wanted - 1]->created_at_ms)
        wanted++;
    return wanted;
}

/* The nearest row to `wanted` at which a block may begin. */
static size_t nearest_moment(const struct dataset_row *const *rows, size_t row_count, size_t wanted)
{
    size_t after = next_moment(rows, row_count, wanted);
    size_t before = wanted;
    while (before > 0 && before < row_count &&
           rows[before]->created_at_ms == rows[before - 1]->created_at_ms)
        before--;
    return before > 0 && wanted - before <= after - wanted ? before : after;
}

static void score_by_time(struct scoring *scoring, const struct dataset_row *const *rows,
                          size_t row_count)
{
    size_t start = row_count - (size_t)(TIME_SHARE * (double)row_count);
    size_t first = nearest_moment(rows, row_count, start);
    for (size_t b = 0; b < TIME_BLOCKS && first < row_count; b++) {
        size_t wanted = start + (row_count - start) * (b + 1) / TIME_BLOCKS;
        size_t end = b + 1 == TIME_BLOCKS ? row_count : nearest_moment(rows, row_count, wanted);
        if (end <= first)
            continue;
        if (first >= OLDER_ROWS_MIN)
            score_block(scoring, rows, first, rows + first, end - first);
        first = end;
    }
    scoring->result->by_time = true;
}

/* A row's place in a random order that depends on its texts and the seed only. */
struct shuffled_row {
    uint64_t rank;                 /* hash */
    const struct dataset_row *row; /* borrowed */
};

static int compare_shuffled(const void *left, const void *right)
{
    const struct shuffled_row *a = left;
    const struct shuffled_row *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return (a->row->line > b->row->line) - (a->row->line < b->row->line);
}

static void score_at_random(struct scoring *scoring, const struct dataset_row *const *rows,
                            size_t row_count)
{
    CLEANUP(mem_free) struct shuffled_row *order = mem_alloc_array(row_count, sizeof(*order));
    CLEANUP(mem_free)
    const struct dataset_row **others = mem_alloc_array(row_count, sizeof(*others));
    CLEANUP(mem_free) const struct dataset_row **block = mem_alloc_array(row_count, sizeof(*block));
    for (size_t r = 0; r < row_count; r++)
        order[r] = (struct shuffled_row){
            .rank = text_hash(scoring->config->solve.seed, rows[r]->title, rows[r]->title_bytes),
            .row = rows[r]};
    qsort(order, row_count, sizeof(*order), compare_shuffled);
    for (size_t b = 0; b < RANDOM_BLOCKS; b++) {
        size_t other_count = 0;
        size_t block_count = 0;
        for (size_t r = 0; r < row_count; r++) {
            if (r % RANDOM_BLOCKS == b)
                block[block_count++] = order[r].row;
            else
                others[other_count++] = order[r].row;
        }
        if (other_count > 0 && block_count > 0)
            score_block(scoring, others, other_count, block, block_count);
    }
}

struct held_out *held_out_score(const struct fit_config *config,
                                const struct dataset_row *const *rows, size_t row_count,
                                const uint32_t *labels, size_t label_count,
                                train_progress_fn *progress, void *context)
{
    struct held_out *result = MEM_NEW(struct held_out);
    result->label_count = label_count;
    result->rows = mem_alloc_array(row_count, sizeof(*result->rows));
    result->decisions = mem_alloc_array(row_count * label_count, sizeof(*result->decisions));
    struct scoring scoring = {.config = config,
                              .labels = labels,
                              .progress = progress,
                              .context = context,
                              .result = result};
    score_by_time(&scoring, rows, row_count);
    if ((double)result->row_count < TIME_SHARE / 2 * (double)row_count) {
        result->row_count = 0;
        result->block_count = 0;
        result->by_time = false;
        score_at_random(&scoring, rows, row_count);
    }
    return result;
}
