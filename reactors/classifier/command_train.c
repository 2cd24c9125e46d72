/*
 * `nodag model train`: a data set becomes a model file, and a table says what it learnt.
 *
 * Invariant: the table is read from the finished model, the same bytes that are written: what it
 * says holds for the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "reactors/classifier/classifier.h"
#include "reactors/classifier/command.h"
#include "reactors/classifier/table.h"
#include "reactors/classifier/train.h"

/* What the command line says. */
struct train_settings {
    const char *data;             /* file */
    const char *model;            /* file to write */
    const char *until;            /* time, NULL: all rows */
    double precision_target;      /* 0..1 */
    int64_t min_examples;         /* ≥ 1 */
    struct option_list labels;    /* patterns */
    struct option_list exclusive; /* patterns */
    int64_t seed;                 /* of the solver's order */
};

static const struct option_row ROWS[] = {
    {.name = "data",
     .kind = OPTION_FILE,
     .offset = offsetof(struct train_settings, data),
     .required = true,
     .group = "Input and output",
     .help = "Labelled issues: CSV with the columns repo,created_at,label,title,body, or JSON "
             "lines with the same names."},
    {.name = "model",
     .letter = 'o',
     .kind = OPTION_FILE,
     .offset = offsetof(struct train_settings, model),
     .required = true,
     .help = "The model file to write. It is replaced at once when it is complete, or not at all."},
    {.name = "until",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct train_settings, until),
     .value_name = "TIME",
     .help = "Use only rows created before this time, so that later ones can judge the model (eval "
             "--from)."},
    {.name = "precision-target",
     .kind = OPTION_PERCENT,
     .offset = offsetof(struct train_settings, precision_target),
     .default_value = "80%",
     .group = "Labels",
     .help = "Each label's threshold keeps this precision, as far as held-out rows tell. Higher: "
             "fewer labels, and fewer wrong ones."},
    {.name = "min-examples",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct train_settings, min_examples),
     .default_value = "30",
     .least = 1,
     .most = 1000000,
     .help = "Rows that must carry a label for it to be learnt."},
    {.name = "labels",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct train_settings, labels),
     .value_name = "GLOB",
     .help = "Learn only labels that match, e.g. 'area/*'. Several times for several patterns."},
    {.name = "exclusive",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct train_settings, exclusive),
     .value_name = "GLOB",
     .help = "Of the labels that match, e.g. 'kind/*', at most one is predicted for an issue."},
    {.name = "seed",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct train_settings, seed),
     .default_value = "1",
     .least = 0,
     .most = UINT32_MAX,
     .group = "Other",
     .help = "Order in which the solver visits rows. The same data, options and seed give the same "
             "bytes."},
};

static const struct option_program PROGRAM = {
    .name = "nodag model train",
    .summary = "learn labels from labelled issues, and write a model file",
    .description = "Probabilities and thresholds are calibrated on the newest rows, scored by "
                   "models that have only seen older ones. "
                   "A label that does not reach the precision target there is kept, with its "
                   "probability, and never predicted.",
    .examples = "  nodag model train --data issues.csv --model labels.model --exclusive 'kind/*'\n"
                "  nodag model train --data notes.csv --until 2025-12-01 --model old.model\n"
                "  nodag model eval  --data notes.csv --from 2025-12-01 --model old.model\n",
    .rows = ROWS,
    .row_count = ARRAY_COUNT(ROWS),
};

static int train_and_write(const struct train_settings *settings, struct error *error)
{
    double start_s = command_clock_s();
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    CLEANUP(mem_free) const struct dataset_row **rows = NULL;
    size_t row_count = 0;
    int result = dataset_read(settings->data, &dataset, error);
    if (result == 0)
        result = command_pick_rows(dataset, NULL, settings->until, &rows, &row_count, error);
    if (result != 0)
        return result;
    struct train_config config;
    train_config_init(&config);
    config.precision_target = settings->precision_target;
    config.examples_min = (uint32_t)settings->min_examples;
    config.label_globs = settings->labels.items;
    config.label_glob_count = settings->labels.count;
    config.exclusive = settings->exclusive.items;
    config.exclusive_count = settings->exclusive.count;
    config.fit.solve.seed = (uint32_t)settings->seed;
    CLEANUP(mem_free) void *bytes = NULL;
    size_t byte_count = 0;
    result = train_model(dataset, rows, row_count, &config, command_show_progress, NULL, &bytes,
                         &byte_count, error);
    command_show_progress(NULL, NULL, 1);
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    if (result == 0)
        result = classifier_load_bytes(bytes, byte_count, &classifier, error);
    if (result == 0)
        result = file_write_atomically(settings->model, bytes, byte_count, error);
    if (result != 0)
        return result;
    table_print_model(stdout, classifier);
    printf("\n%s: version %s, %.1f MB, trained in %.1f s. Next: nodag model eval --model %s --data "
           "FILE\n",
           settings->model, classifier_version(classifier), (double)byte_count / 1e6,
           command_clock_s() - start_s, settings->model);
    return 0;
}

int command_train(int argc, char **argv)
{
    struct train_settings settings = {0};
    struct error error = {0};
    int status = 0;
    if (!option_begin(&PROGRAM, argc, argv, &settings, NULL, &status))
        return status;
    return train_and_write(&settings, &error) == 0 ? EXIT_STATUS_OK : command_fail(&error);
}
