/*
 * `nodag model cv`: stratified cross-validation of single-label data, thresholds off.
 *
 * Design: within each repository and label the rows are dealt to the folds in a random order, so
 * that every fold has the same mix. Each fold is predicted by a fit on the others; the prediction
 * is the label with the highest decision value. The figure is macro F1 over the labels within each
 * repository, averaged over repositories, as the NLBSE tool competition on issue reports counts it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/classifier/command.h"
#include "reactors/classifier/fit.h"
#include "reactors/classifier/text.h"

/* What the command line says. */
struct cv_settings {
    const char *data; /* file */
    int64_t folds;    /* 2 … 20 */
    int64_t seed;     /* of dealing rows to folds */
    bool json;        /* print JSON */
};

static const struct option_row ROWS[] = {
    {.name = "data",
     .kind = OPTION_FILE,
     .offset = offsetof(struct cv_settings, data),
     .required = true,
     .help = "Labelled issues with exactly one label each: CSV or JSON lines, as for train."},
    {.name = "folds",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct cv_settings, folds),
     .default_value = "5",
     .least = 2,
     .most = 20,
     .help = "Parts that the rows are dealt to."},
    {.name = "seed",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct cv_settings, seed),
     .default_value = "1",
     .least = 0,
     .most = UINT32_MAX,
     .help = "Another seed deals the rows otherwise; the spread is the figure's noise."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct cv_settings, json),
     .help = "Print the figures as JSON, with the fold and the answer of every row."},
};

static const struct option_program PROGRAM = {
    .name = "nodag model cv",
    .summary = "cross-validate: how well can these labels be learnt?",
    .description =
        "For data with one label an issue, without thresholds: the likeliest label is the answer. "
        "For labels with thresholds, split by time: train --until, then eval --from.",
    .examples = "  nodag model cv --data issues.csv --folds 5\n",
    .rows = ROWS,
    .row_count = ARRAY_COUNT(ROWS),
};

/* A row as it is dealt and judged. */
struct cv_row {
    const struct dataset_row *row; /* borrowed */
    uint64_t rank;                 /* random order within its repository and label */
    size_t fold;                   /* which part it is in */
    size_t repository;             /* number of its repository */
    uint32_t answer;               /* predicted label */
};

/* What is being judged. */
struct cv {
    const struct dataset *dataset; /* borrowed */
    struct cv_row *rows;           /* owned; sorted by repository, label, rank */
    size_t row_count;              /* rows */
    size_t fold_count;             /* parts */
    size_t repository_count;       /* distinct repositories */
};

static int compare_rows(const void *left, const void *right)
{
    const struct cv_row *a = left;
    const struct cv_row *b = right;
    int by_repository = strcasecmp(a->row->repository, b->row->repository);
    if (by_repository != 0)
        return by_repository;
    if (a->row->labels[0] != b->row->labels[0])
        return a->row->labels[0] < b->row->labels[0] ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return (a->row->line > b->row->line) - (a->row->line < b->row->line);
}

/* Deals the rows: within a repository and label, in random order, one fold after the other. */
static void deal_rows(struct cv *cv, uint32_t seed)
{
    for (size_t r = 0; r < cv->row_count; r++) {
        const struct dataset_row *row = &cv->dataset->rows[r];
        uint64_t line = row->line;
        cv->rows[r] = (struct cv_row){.row = row, .rank = text_hash(seed, &line, sizeof(line))};
    }
    qsort(cv->rows, cv->row_count, sizeof(*cv->rows), compare_rows);
    for (size_t r = 0; r < cv->row_count; r++) {
        bool is_new =
            r == 0 || strcasecmp(cv->rows[r - 1].row->repository, cv->rows[r].row->repository) != 0;
        cv->repository_count += is_new;
        cv->rows[r].repository = cv->repository_count - 1;
        cv->rows[r].fold = r % cv->fold_count;
    }
}

static void predict_fold(struct cv *cv, size_t fold, uint32_t seed)
{
    const struct dataset *dataset = cv->dataset;
    CLEANUP(mem_free)
    const struct dataset_row **others = mem_alloc_array(cv->row_count, sizeof(*others));
    CLEANUP(mem_free) uint32_t *labels = mem_alloc_array(dataset->label_count, sizeof(*labels));
    CLEANUP(mem_free) double *decisions = mem_alloc_array(dataset->label_count, sizeof(*decisions));
    size_t other_count = 0;
    for (size_t r = 0; r < cv->row_count; r++)
        if (cv->rows[r].fold != fold)
            others[other_count++] = cv->rows[r].row;
    for (size_t l = 0; l < dataset->label_count; l++)
        labels[l] = (uint32_t)l;
    struct fit_config config;
    fit_config_init(&config);
    config.solve.seed = seed;
    CLEANUP(fit_free)
    struct fit *fit =
        fit_rows(&config, others, other_count, labels, dataset->label_count, NULL, NULL);
    for (size_t r = 0; r < cv->row_count; r++) {
        struct cv_row *row = &cv->rows[r];
        if (row->fold != fold)
            continue;
        struct classifier_issue issue = dataset_issue(row->row);
        fit_decide(fit, &issue, decisions);
        for (uint32_t l = 1; l < dataset->label_count; l++)
            if (decisions[l] > decisions[row->answer])
                row->answer = l;
    }
}

/* F1 of one label in one repository. */
static double label_f1(const struct cv *cv, size_t repository, uint32_t label)
{
    size_t right = 0;
    size_t carried = 0;
    size_t predicted = 0;
    for (size_t r = 0; r < cv->row_count; r++) {
        const struct cv_row *row = &cv->rows[r];
        if (row->repository != repository)
            continue;
        carried += row->row->labels[0] == label;
        predicted += row->answer == label;
        right += row->row->labels[0] == label && row->answer == label;
    }
    return carried + predicted == 0 ? 0 : 2 * (double)right / (double)(carried + predicted);
}

static const char *repository_name(const struct cv *cv, size_t repository)
{
    size_t r = 0;
    while (cv->rows[r].repository != repository)
        r++;
    return cv->rows[r].row->repository;
}

static int compare_lines(const void *left, const void *right)
{
    const struct cv_row *a = left;
    const struct cv_row *b = right;
    return (a->row->line > b->row->line) - (a->row->line < b->row->line);
}

/*
 * Every row in file order with its fold and answer, so that others can be judged on the same folds.
 */
static json_t *rows_to_json(const struct cv *cv)
{
    json_t *array = json_array();
    CLEANUP(mem_free) struct cv_row *rows = mem_alloc_array(cv->row_count, sizeof(*rows));
    memcpy(rows, cv->rows, cv->row_count * sizeof(*rows));
    qsort(rows, cv->row_count, sizeof(*rows), compare_lines);
    for (size_t r = 0; r < cv->row_count; r++)
        json_array_append_new(array,
                              json_pack("{s:I, s:I, s:s}", "line", (json_int_t)rows[r].row->line,
                                        "fold", (json_int_t)rows[r].fold, "answer",
                                        cv->dataset->label_names[rows[r].answer]));
    return array;
}

/* Macro F1 of one repository. */
static double repository_f1(const struct cv *cv, size_t repository)
{
    double sum = 0;
    for (uint32_t l = 0; l < cv->dataset->label_count; l++)
        sum += label_f1(cv, repository, l);
    return sum / (double)cv->dataset->label_count;
}

static void print_json(const struct cv *cv, double mean)
{
    json_t *repositories = json_object();
    for (size_t p = 0; p < cv->repository_count; p++)
        json_object_set_new(repositories, repository_name(cv, p), json_real(repository_f1(cv, p)));
    CLEANUP(json_release)
    json_t *all = json_pack("{s:f, s:o, s:o}", "macro_f1", mean, "repositories", repositories,
                            "rows", rows_to_json(cv));
    CLEANUP(mem_free) char *text = json_write(all, NULL);
    printf("%s\n", text);
}

static void print_table(const struct cv *cv, double mean)
{
    for (size_t p = 0; p < cv->repository_count; p++) {
        printf("%s\n", repository_name(cv, p));
        for (uint32_t l = 0; l < cv->dataset->label_count; l++)
            printf("  %-24s F1 %.4f\n", cv->dataset->label_names[l], label_f1(cv, p, l));
        printf("  %-24s F1 %.4f\n", "macro", repository_f1(cv, p));
    }
    printf("macro F1, averaged over %zu repositories: %.4f\n", cv->repository_count, mean);
}

static void print_figures(const struct cv *cv, bool as_json)
{
    double sum = 0;
    for (size_t p = 0; p < cv->repository_count; p++)
        sum += repository_f1(cv, p);
    double mean = sum / (double)cv->repository_count;
    if (as_json)
        print_json(cv, mean);
    else
        print_table(cv, mean);
}

static int cross_validate(const struct cv_settings *settings, struct error *error)
{
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    int result = dataset_read(settings->data, &dataset, error);
    if (result != 0)
        return result;
    for (size_t r = 0; r < dataset->row_count; r++)
        if (dataset->rows[r].label_count != 1)
            return error_set(
                error, ERR_INPUT,
                "%s:%zu: %zu labels where cv needs exactly one; for several labels use "
                "train --until and eval --from",
                settings->data, dataset->rows[r].line, dataset->rows[r].label_count);
    if (dataset->row_count < (size_t)settings->folds)
        return error_set(error, ERR_INPUT, "%s: fewer rows than folds", settings->data);
    struct cv cv = {.dataset = dataset,
                    .rows = mem_alloc_array(dataset->row_count, sizeof(*cv.rows)),
                    .row_count = dataset->row_count,
                    .fold_count = (size_t)settings->folds};
    deal_rows(&cv, (uint32_t)settings->seed);
    for (size_t f = 0; f < cv.fold_count; f++) {
        command_show_progress(NULL, "folds", (double)f / (double)cv.fold_count);
        predict_fold(&cv, f, (uint32_t)settings->seed);
    }
    command_show_progress(NULL, NULL, 1);
    print_figures(&cv, settings->json);
    free(cv.rows);
    return 0;
}

int command_cv(int argc, char **argv)
{
    struct cv_settings settings = {0};
    struct error error = {0};
    int status = 0;
    if (!option_begin(&PROGRAM, argc, argv, &settings, NULL, &status))
        return status;
    return cross_validate(&settings, &error) == 0 ? EXIT_STATUS_OK : command_fail(&error);
}
