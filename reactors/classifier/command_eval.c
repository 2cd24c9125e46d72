/*
 * `nodag model eval`: how good a model is on labelled rows that it has not seen.
 */
#include <stdio.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "reactors/classifier/command.h"
#include "reactors/classifier/evaluate.h"
#include "reactors/classifier/report.h"
#include "reactors/classifier/table.h"

/* Rows over which a prediction is timed. */
#define TIMED_ROWS ((size_t)2000)

/* Room for a title or a repository's name in the predictions. */
#define TITLE_BYTES 1024

/* Largest file of predictions: a hundred thousand rows of a hundred labels. */
#define PREDICTIONS_BYTES_MAX ((size_t)512 << 20)

/* What the command line says. */
struct eval_settings {
    const char *model;       /* file */
    const char *data;        /* file */
    const char *from;        /* time, NULL: no bound */
    const char *until;       /* time, NULL: no bound */
    bool json;               /* print JSON */
    const char *html;        /* report to write, NULL: none */
    const char *predictions; /* file to write, NULL: none */
};

static const struct option_row ROWS[] = {
    {.name = "model",
     .kind = OPTION_FILE,
     .offset = offsetof(struct eval_settings, model),
     .required = true,
     .group = "Input",
     .help = "The model file."},
    {.name = "data",
     .kind = OPTION_FILE,
     .offset = offsetof(struct eval_settings, data),
     .required = true,
     .help = "Labelled issues that the model has not seen: CSV or JSON lines, as for train."},
    {.name = "from",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct eval_settings, from),
     .value_name = "TIME",
     .help = "Only rows created at this time or later."},
    {.name = "until",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct eval_settings, until),
     .value_name = "TIME",
     .help = "Only rows created before this time."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct eval_settings, json),
     .group = "Output",
     .help = "Print all figures as JSON instead of a table."},
    {.name = "html",
     .kind = OPTION_FILE,
     .offset = offsetof(struct eval_settings, html),
     .help =
         "Write a report with precision-recall and reliability curves; one file for a browser."},
    {.name = "predictions",
     .kind = OPTION_FILE,
     .offset = offsetof(struct eval_settings, predictions),
     .help =
         "Write each row's labels, predicted labels and probabilities as JSON lines: for curves "
         "and for reading what went wrong."},
};

static const struct option_program PROGRAM = {
    .name = "nodag model eval",
    .summary = "judge a model on labelled issues",
    .description = "Give it rows that the model was not trained on; on its own training rows every "
                   "model looks good.",
    .examples = "  nodag model eval --model labels.model --data newer.csv\n"
                "  nodag model eval --model old.model --data notes.csv --from 2025-12-01 --html "
                "report.html\n",
    .rows = ROWS,
    .row_count = ARRAY_COUNT(ROWS),
};

static int write_report(const struct evaluation *evaluation, const char *path, struct error *error)
{
    CLEANUP(buffer_release) struct buffer html = BUFFER_INIT(REPORT_BYTES_MAX);
    int result = report_html(evaluation, &html);
    if (result != 0)
        return error_set(error, result, "the report would be larger than %zu bytes",
                         REPORT_BYTES_MAX);
    return file_write_atomically(path, html.data, html.size_bytes, error);
}

/* One row: what people said, what the model says. */
static json_t *row_to_json(const struct dataset *dataset, const struct dataset_row *row,
                           const struct classifier_score *scores, size_t score_count)
{
    char created_at[TIME_TEXT_BYTES];
    time_to_text(row->created_at_ms, created_at);
    json_t *labels = json_array();
    json_t *predicted = json_array();
    json_t *probabilities = json_object();
    for (size_t l = 0; l < row->label_count; l++)
        (void)json_array_append_new(labels, json_string(dataset->label_names[row->labels[l]]));
    for (size_t s = 0; s < score_count; s++) {
        (void)json_object_set_new(probabilities, scores[s].label, json_real(scores[s].probability));
        if (scores[s].predicted)
            (void)json_array_append_new(predicted, json_string(scores[s].label));
    }
    char title[TITLE_BYTES];
    char repository[TITLE_BYTES];
    (void)snprintf(title, sizeof(title), "%s", row->title);
    (void)snprintf(repository, sizeof(repository), "%s", row->repository);
    utf8_clean(title);
    utf8_clean(repository);
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "line", (int)row->line, "repo",
                     repository, "created_at", created_at, "title", title, "labels", labels,
                     "predicted", predicted, "probabilities", probabilities);
}

static int write_predictions(const struct classifier *classifier, const struct dataset *dataset,
                             const struct dataset_row *const *rows, size_t row_count,
                             const char *path, struct error *error)
{
    size_t score_count = classifier_label_count(classifier);
    CLEANUP(mem_free)
    struct classifier_score *scores = mem_alloc_array(score_count, sizeof(*scores));
    CLEANUP(buffer_release) struct buffer lines = BUFFER_INIT(PREDICTIONS_BYTES_MAX);
    for (size_t r = 0; r < row_count; r++) {
        struct classifier_issue issue = dataset_issue(rows[r]);
        classifier_predict(classifier, &issue, scores);
        CLEANUP(json_release) json_t *row = row_to_json(dataset, rows[r], scores, score_count);
        CLEANUP(mem_free) char *text = json_write(row, NULL);
        if (buffer_append_format(&lines, "%s\n", text) != 0)
            return error_set(error, ERR_TOO_LARGE, "%s would be larger than %zu bytes", path,
                             PREDICTIONS_BYTES_MAX);
    }
    return file_write_atomically(path, lines.data, lines.size_bytes, error);
}

/* Microseconds that one prediction takes, over at most TIMED_ROWS rows. */
static double time_prediction_us(const struct classifier *classifier,
                                 const struct dataset_row *const *rows, size_t row_count)
{
    size_t count = row_count < TIMED_ROWS ? row_count : TIMED_ROWS;
    CLEANUP(mem_free)
    struct classifier_score *scores =
        mem_alloc_array(classifier_label_count(classifier), sizeof(*scores));
    double start_s = command_clock_s();
    for (size_t r = 0; r < count; r++) {
        struct classifier_issue issue = dataset_issue(rows[r]);
        classifier_predict(classifier, &issue, scores);
    }
    return 1e6 * (command_clock_s() - start_s) / (double)count;
}

static int judge(const struct eval_settings *settings, struct error *error)
{
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    CLEANUP(mem_free) const struct dataset_row **rows = NULL;
    size_t row_count = 0;
    int result = classifier_load(settings->model, &classifier, error);
    if (result == 0)
        result = dataset_read(settings->data, &dataset, error);
    if (result == 0)
        result =
            command_pick_rows(dataset, settings->from, settings->until, &rows, &row_count, error);
    if (result != 0)
        return result;
    CLEANUP(evaluate_free)
    struct evaluation *evaluation = evaluate_model(classifier, dataset, rows, row_count);
    if (settings->html != NULL)
        result = write_report(evaluation, settings->html, error);
    if (result == 0 && settings->predictions != NULL)
        result =
            write_predictions(classifier, dataset, rows, row_count, settings->predictions, error);
    if (result != 0)
        return result;
    double prediction_us = time_prediction_us(classifier, rows, row_count);
    if (settings->json) {
        CLEANUP(json_release) json_t *json = evaluate_to_json(evaluation);
        json_object_set_new(json, "prediction_us", json_real(prediction_us));
        CLEANUP(mem_free) char *text = json_write(json, NULL);
        printf("%s\n", text);
        return 0;
    }
    table_print_evaluation(stdout, evaluation);
    printf("A prediction takes %.0f µs.\n", prediction_us);
    if (settings->html != NULL)
        printf("report: %s\n", settings->html);
    return 0;
}

int command_eval(int argc, char **argv)
{
    struct eval_settings settings = {0};
    struct error error = {0};
    int status = 0;
    if (!option_begin(&PROGRAM, argc, argv, &settings, NULL, &status))
        return status;
    return judge(&settings, &error) == 0 ? EXIT_STATUS_OK : command_fail(&error);
}
