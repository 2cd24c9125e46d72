/*
 * Training: labels are picked, calibrated on held-out rows and fitted on all. See train.h.
 *
 * What did not help: a second model on the scores of all labels, so that labels that go together
 * find each other (recall at precision .80 from .407 to .411 at best, mean average precision from
 * .583 to .587); newer rows weighed more in fitting (+.003 … +.007 recall at a half-life of two to
 * four years, within noise, for three times the rows).
 */
#include "reactors/classifier/train.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/classifier/calibrate.h"
#include "reactors/classifier/held_out.h"
#include "reactors/classifier/model_file.h"

/* Predictions on held-out rows from which a label's precision means something. */
#define PREDICTED_MIN 5

/* Longest reason why a label is not predicted. */
#define REASON_BYTES 160

void train_config_init(struct train_config *config)
{
    *config = (struct train_config){.precision_target = 0.8, .examples_min = 30, .held_out_min = 5};
    fit_config_init(&config->fit);
}

/* What one training works on. */
struct training {
    const struct dataset *dataset;         /* borrowed */
    const struct train_config *config;     /* borrowed */
    const struct dataset_row *const *rows; /* borrowed: sorted by time */
    size_t row_count;                      /* rows */
    const uint32_t *labels;                /* borrowed: numbers of the labels to learn */
    size_t label_count;                    /* labels */
    const struct held_out *held_out;       /* borrowed */
    struct model_label *model_labels;      /* borrowed: label_count, being filled */
    char (*reasons)[REASON_BYTES];         /* borrowed: label_count texts */
    train_progress_fn *progress;           /* may be NULL */
    void *context;                         /* of progress */
};

/*
 * --- labels
 * -------------------------------------------------------------------------------------------------
 */

/* The number of the first pattern that matches, -1 if none does. */
static int first_match(const char *name, const char *const *patterns, size_t count)
{
    for (size_t p = 0; p < count; p++)
        if (fnmatch(patterns[p], name, 0) == 0)
            return (int)p;
    return -1;
}

static uint32_t *count_examples(const struct dataset *dataset,
                                const struct dataset_row *const *rows, size_t row_count)
{
    uint32_t *examples = mem_alloc_array(dataset->label_count, sizeof(*examples));
    for (size_t r = 0; r < row_count; r++)
        for (size_t l = 0; l < rows[r]->label_count; l++)
            examples[rows[r]->labels[l]]++;
    return examples;
}

uint32_t *train_pick_labels(const struct dataset *dataset, const struct dataset_row *const *rows,
                            size_t row_count, const struct train_config *config, size_t *ret_count)
{
    CLEANUP(mem_free) uint32_t *examples = count_examples(dataset, rows, row_count);
    uint32_t *labels = mem_alloc_array(dataset->label_count, sizeof(*labels));
    size_t count = 0;
    for (size_t l = 0; l < dataset->label_count; l++) {
        bool is_wanted = config->label_glob_count == 0 ||
                         first_match(dataset->label_names[l], config->label_globs,
                                     config->label_glob_count) >= 0;
        if (is_wanted && examples[l] > 0 && examples[l] >= config->examples_min)
            labels[count++] = (uint32_t)l;
    }
    *ret_count = count;
    return labels;
}

/*
 * --- calibration
 * --------------------------------------------------------------------------------------------
 */

/* Says why a label will never be predicted. */
static void set_reason(const struct training *training, size_t l, uint32_t held_out_examples)
{
    if (held_out_examples < training->config->held_out_min)
        snprintf(training->reasons[l], REASON_BYTES, "%u held-out issues carry it, %u are needed",
                 held_out_examples, training->config->held_out_min);
    else
        snprintf(training->reasons[l], REASON_BYTES,
                 "no threshold reaches precision %.2f on held-out issues",
                 training->config->precision_target);
}

/* Finds probability and threshold of one label, and multiplies the calibration into its weights. */
static void calibrate_label(struct training *training, size_t l, struct fit *fit)
{
    const struct held_out *held_out = training->held_out;
    size_t count = held_out->row_count;
    CLEANUP(mem_free) double *decisions = mem_alloc_array(count, sizeof(*decisions));
    CLEANUP(mem_free) bool *carries = mem_alloc_array(count, sizeof(*carries));
    struct model_label *model_label = &training->model_labels[l];
    struct classifier_label *label = &model_label->label;
    for (size_t r = 0; r < count; r++) {
        decisions[r] = held_out->decisions[r * held_out->label_count + l];
        carries[r] = dataset_row_has(held_out->rows[r], training->labels[l]);
        label->held_out_examples += carries[r];
    }
    struct calibrate_platt platt = calibrate_fit_platt(decisions, carries, count);
    for (size_t r = 0; r < count; r++)
        decisions[r] = calibrate_probability(&platt, decisions[r]);
    const struct calibrate_target target = {.precision = training->config->precision_target,
                                            .predicted_min = PREDICTED_MIN};
    struct calibrate_threshold threshold = {0};
    if (platt.slope > 0 && label->held_out_examples >= training->config->held_out_min)
        threshold = calibrate_find_threshold(decisions, carries, count, &target);
    label->predictable = threshold.found;
    label->threshold = threshold.found ? threshold.threshold : NAN;
    label->precision = threshold.found ? threshold.precision : NAN;
    label->recall = threshold.found ? threshold.recall : NAN;
    if (!threshold.found)
        set_reason(training, l, label->held_out_examples);
    model_label->bias = platt.slope * fit_biases(fit)[l] + platt.offset;
    size_t feature_count = fit_space(fit)->count;
    for (size_t f = 0; f < feature_count; f++)
        fit_weights(fit)[l * feature_count + f] *= (float)platt.slope;
}

/*
 * --- provenance
 * ---------------------------------------------------------------------------------------------
 */

static json_t *texts_to_json(const char *const *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t t = 0; t < count; t++)
        json_array_append_new(array, json_string(texts[t]));
    return array;
}

static json_t *time_to_json(int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    time_to_text(ms, text);
    return json_string(text);
}

/*
 * Macro averages over all labels at their thresholds; a label that is never predicted has recall 0.
 */
static json_t *metrics_to_json(const struct training *training)
{
    double precision = 0;
    double recall = 0;
    size_t predictable = 0;
    size_t supported = 0;
    for (size_t l = 0; l < training->label_count; l++) {
        const struct classifier_label *label = &training->model_labels[l].label;
        supported += label->held_out_examples > 0;
        if (!label->predictable)
            continue;
        predictable++;
        precision += label->precision;
        recall += label->recall;
    }
    json_t *metrics = json_object();
    json_object_set_new(metrics, "predictable_labels", json_integer((json_int_t)predictable));
    json_object_set_new(metrics, "macro_precision",
                        predictable == 0 ? json_null()
                                         : json_real(precision / (double)predictable));
    json_object_set_new(metrics, "macro_recall",
                        supported == 0 ? json_null() : json_real(recall / (double)supported));
    return metrics;
}

static json_t *about_to_json(const struct training *training)
{
    const struct train_config *config = training->config;
    json_t *trained = json_object();
    json_object_set_new(trained, "data_sha256", json_string(training->dataset->sha256));
    json_object_set_new(trained, "rows", json_integer((json_int_t)training->row_count));
    json_object_set_new(trained, "first_created_at",
                        time_to_json(training->rows[0]->created_at_ms));
    json_object_set_new(trained, "last_created_at",
                        time_to_json(training->rows[training->row_count - 1]->created_at_ms));
    json_object_set_new(trained, "precision_target", json_real(config->precision_target));
    json_object_set_new(trained, "min_examples", json_integer(config->examples_min));
    json_object_set_new(trained, "labels",
                        texts_to_json(config->label_globs, config->label_glob_count));
    json_object_set_new(trained, "exclusive",
                        texts_to_json(config->exclusive, config->exclusive_count));
    json_object_set_new(
        trained, "loss",
        json_string(config->fit.solve.loss == SOLVE_LOSS_HINGE ? "squared hinge" : "logistic"));
    json_object_set_new(trained, "cost", json_real(config->fit.solve.cost));
    json_object_set_new(trained, "ratio_share", json_real(config->fit.solve.ratio_share));
    json_object_set_new(trained, "seed", json_integer(config->fit.solve.seed));
    json_t *held_out = json_object();
    json_object_set_new(held_out, "rows", json_integer((json_int_t)training->held_out->row_count));
    json_object_set_new(held_out, "blocks",
                        json_integer((json_int_t)training->held_out->block_count));
    json_object_set_new(held_out, "by",
                        json_string(training->held_out->by_time ? "time" : "chance"));
    json_object_set_new(trained, "held_out", held_out);
    json_t *about = json_object();
    json_object_set_new(about, "nodag", json_string(NODAG_VERSION));
    json_object_set_new(about, "training", trained);
    json_object_set_new(about, "metrics", metrics_to_json(training));
    return about;
}

/*
 * --- training
 * -----------------------------------------------------------------------------------------------
 */

static void report_fit(void *context, size_t done, size_t total)
{
    const struct training *training = context;
    if (training->progress != NULL)
        training->progress(training->context, "fitting on all rows", (double)done / (double)total);
}

static int make_model(struct training *training, void **ret_bytes, size_t *ret_byte_count,
                      struct error *error)
{
    const struct train_config *config = training->config;
    CLEANUP(mem_free)
    uint32_t *examples = count_examples(training->dataset, training->rows, training->row_count);
    CLEANUP(fit_free)
    struct fit *fit = fit_rows(&config->fit, training->rows, training->row_count, training->labels,
                               training->label_count, report_fit, training);
    for (size_t l = 0; l < training->label_count; l++) {
        const char *name = training->dataset->label_names[training->labels[l]];
        training->model_labels[l].label = (struct classifier_label){
            .name = name,
            .reason = training->reasons[l],
            .exclusive_group = first_match(name, config->exclusive, config->exclusive_count),
            .examples = examples[training->labels[l]]};
        calibrate_label(training, l, fit);
    }
    CLEANUP(json_release) json_t *about = about_to_json(training);
    const struct model_parts parts = {.space = fit_space(fit),
                                      .labels = training->model_labels,
                                      .label_count = training->label_count,
                                      .weights = fit_weights(fit),
                                      .about = about};
    return model_image(&parts, ret_bytes, ret_byte_count, error);
}

static int compare_times(const void *left, const void *right)
{
    const struct dataset_row *a = *(const struct dataset_row *const *)left;
    const struct dataset_row *b = *(const struct dataset_row *const *)right;
    if (a->created_at_ms != b->created_at_ms)
        return a->created_at_ms < b->created_at_ms ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

int train_model(const struct dataset *dataset, const struct dataset_row *const *rows,
                size_t row_count, const struct train_config *config, train_progress_fn *progress,
                void *context, void **ret_bytes, size_t *ret_byte_count, struct error *error)
{
    assert(row_count > 0);
    CLEANUP(mem_free)
    const struct dataset_row **sorted = mem_alloc_array(row_count, sizeof(*sorted));
    for (size_t r = 0; r < row_count; r++)
        sorted[r] = rows[r];
    qsort(sorted, row_count, sizeof(*sorted), compare_times);
    size_t label_count = 0;
    CLEANUP(mem_free)
    uint32_t *labels = train_pick_labels(dataset, sorted, row_count, config, &label_count);
    if (label_count == 0)
        return error_set(error, ERR_INPUT,
                         "none of the %zu labels is wanted and has %u examples in %zu rows; lower "
                         "--min-examples, widen --labels, or bring more data",
                         dataset->label_count, config->examples_min, row_count);
    if (label_count > MODEL_LABELS_MAX)
        return error_set(error, ERR_TOO_LARGE,
                         "%zu labels, the limit is %zu; choose by --labels or --min-examples",
                         label_count, MODEL_LABELS_MAX);
    CLEANUP(held_out_free)
    struct held_out *held_out =
        held_out_score(&config->fit, sorted, row_count, labels, label_count, progress, context);
    CLEANUP(mem_free)
    struct model_label *model_labels = mem_alloc_array(label_count, sizeof(*model_labels));
    CLEANUP(mem_free) char(*reasons)[REASON_BYTES] = mem_alloc_array(label_count, sizeof(*reasons));
    struct training training = {.dataset = dataset,
                                .config = config,
                                .rows = sorted,
                                .row_count = row_count,
                                .labels = labels,
                                .label_count = label_count,
                                .held_out = held_out,
                                .model_labels = model_labels,
                                .reasons = reasons,
                                .progress = progress,
                                .context = context};
    return make_model(&training, ret_bytes, ret_byte_count, error);
}
