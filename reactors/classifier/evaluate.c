/*
 * Judging a model on labelled rows: counts, intervals, averages. See evaluate.h.
 */
#include "reactors/classifier/evaluate.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

/* 97.5% point of the normal distribution: 95% intervals. */
#define NORMAL_95 1.959963984540054

/* Resamplings behind an average's interval, and how few there may be for large data. */
#define RESAMPLES_MAX ((size_t)1000)
#define RESAMPLES_MIN ((size_t)100)

/* Row draws over all resamplings: bounds the time to about a second. */
#define DRAWS_MAX ((size_t)50000000)

/* Start of the bootstrap's random numbers: fixed, so that figures repeat. */
#define BOOTSTRAP_SEED 20240501u

void evaluate_free(struct evaluation *evaluation)
{
    if (evaluation == NULL)
        return;
    free(evaluation->labels);
    free(evaluation->probabilities);
    free(evaluation->carries);
    free(evaluation);
}

struct evaluate_figure evaluate_wilson(size_t right, size_t count)
{
    if (count == 0)
        return (struct evaluate_figure){.value = NAN, .low = NAN, .high = NAN};
    double n = (double)count;
    double share = (double)right / n;
    double z2 = NORMAL_95 * NORMAL_95;
    double centre = (share + z2 / (2 * n)) / (1 + z2 / n);
    double half = NORMAL_95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    return (struct evaluate_figure){
        .value = share, .low = fmax(0, centre - half), .high = fmin(1, centre + half)};
}

/*
 * --- counting
 * -----------------------------------------------------------------------------------------------
 */

/* What a row did for a label: carried, predicted, or both. */
struct outcome {
    uint32_t label;    /* number in the model */
    bool is_carried;   /* by the row */
    bool is_predicted; /* by the model */
};

/* The outcomes of all rows, one after the other. */
struct outcomes {
    struct outcome *items; /* owned */
    size_t count;          /* used */
    size_t capacity;       /* allocated */
    size_t *ends;          /* owned: for each row, where its outcomes end */
};

static void add_outcome(struct outcomes *outcomes, struct outcome outcome)
{
    if (outcomes->count == outcomes->capacity) {
        outcomes->capacity = 2 * outcomes->capacity + 1024;
        outcomes->items =
            mem_resize_array(outcomes->items, outcomes->capacity, sizeof(*outcomes->items));
    }
    outcomes->items[outcomes->count++] = outcome;
}

/*
 * The model's labels as numbers of the data set; UINT32_MAX if the data set has none of that name.
 */
static uint32_t *map_labels(struct evaluation *evaluation, const struct dataset *dataset)
{
    uint32_t *numbers = mem_alloc_array(evaluation->label_count, sizeof(*numbers));
    evaluation->unknown_label_count = dataset->label_count;
    for (size_t l = 0; l < evaluation->label_count; l++) {
        numbers[l] = UINT32_MAX;
        for (size_t d = 0; d < dataset->label_count; d++)
            if (strcmp(dataset->label_names[d], evaluation->labels[l].label->name) == 0)
                numbers[l] = (uint32_t)d;
        evaluation->unknown_label_count -= numbers[l] != UINT32_MAX;
    }
    return numbers;
}

static void count_score(struct evaluation *evaluation, size_t l, size_t r,
                        const struct classifier_score *score, bool carries)
{
    struct evaluate_label *label = &evaluation->labels[l];
    evaluation->probabilities[l * evaluation->row_count + r] = (float)score->probability;
    evaluation->carries[l * evaluation->row_count + r] = carries;
    label->support += carries;
    label->predicted += score->predicted;
    label->right += carries && score->predicted;
    size_t bin = (size_t)(score->probability * EVALUATE_BINS);
    struct evaluate_bin *counted = &label->bins[bin < EVALUATE_BINS ? bin : EVALUATE_BINS - 1];
    counted->count++;
    counted->right += carries;
    counted->probability_sum += score->probability;
}

static void score_rows(struct evaluation *evaluation, const struct dataset *dataset,
                       const struct dataset_row *const *rows, struct outcomes *outcomes)
{
    CLEANUP(mem_free) uint32_t *numbers = map_labels(evaluation, dataset);
    CLEANUP(mem_free)
    struct classifier_score *scores = mem_alloc_array(evaluation->label_count, sizeof(*scores));
    for (size_t r = 0; r < evaluation->row_count; r++) {
        struct classifier_issue issue = dataset_issue(rows[r]);
        classifier_predict(evaluation->classifier, &issue, scores);
        for (size_t l = 0; l < evaluation->label_count; l++) {
            bool carries = numbers[l] != UINT32_MAX && dataset_row_has(rows[r], numbers[l]);
            count_score(evaluation, l, r, &scores[l], carries);
            if (carries || scores[l].predicted)
                add_outcome(outcomes, (struct outcome){.label = (uint32_t)l,
                                                       .is_carried = carries,
                                                       .is_predicted = scores[l].predicted});
        }
        outcomes->ends[r] = outcomes->count;
    }
}

/*
 * --- averages
 * -----------------------------------------------------------------------------------------------
 */

/* Counts of one label in a resampling. */
struct tally {
    size_t support;   /* rows that carry it */
    size_t predicted; /* rows for which it was predicted */
    size_t right;     /* both */
};

/* The six averages, in the order of `struct evaluate_averages`, macro then micro. */
enum { AVERAGE_COUNT = 6 };

static double ratio(size_t part, size_t whole)
{
    return whole == 0 ? NAN : (double)part / (double)whole;
}

static void average(const struct tally *tallies, size_t count, double ret_averages[AVERAGE_COUNT])
{
    struct tally all = {0};
    double precision = 0;
    double recall = 0;
    double f1 = 0;
    size_t predicted_labels = 0;
    size_t supported_labels = 0;
    for (size_t l = 0; l < count; l++) {
        const struct tally *tally = &tallies[l];
        all.support += tally->support;
        all.predicted += tally->predicted;
        all.right += tally->right;
        if (tally->support == 0)
            continue;
        supported_labels++;
        recall += ratio(tally->right, tally->support);
        f1 += 2 * ratio(tally->right, tally->support + tally->predicted);
        if (tally->predicted == 0)
            continue;
        predicted_labels++;
        precision += ratio(tally->right, tally->predicted);
    }
    ret_averages[0] = predicted_labels == 0 ? NAN : precision / (double)predicted_labels;
    ret_averages[1] = supported_labels == 0 ? NAN : recall / (double)supported_labels;
    ret_averages[2] = supported_labels == 0 ? NAN : f1 / (double)supported_labels;
    ret_averages[3] = ratio(all.right, all.predicted);
    ret_averages[4] = ratio(all.right, all.support);
    ret_averages[5] = 2 * ratio(all.right, all.support + all.predicted);
}

/* Next random number (SplitMix64). */
static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t value = *state;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static void tally_row(const struct outcomes *outcomes, size_t row, struct tally *tallies)
{
    for (size_t o = row == 0 ? 0 : outcomes->ends[row - 1]; o < outcomes->ends[row]; o++) {
        struct tally *tally = &tallies[outcomes->items[o].label];
        tally->support += outcomes->items[o].is_carried;
        tally->predicted += outcomes->items[o].is_predicted;
        tally->right += outcomes->items[o].is_carried && outcomes->items[o].is_predicted;
    }
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    if (isnan(a) || isnan(b))
        return (int)isnan(a) - (int)isnan(b);
    return (a > b) - (a < b);
}

/* The 95% interval of sorted values; those that are NaN stand last and do not count. */
static struct evaluate_figure interval(double value, const double *sorted, size_t count)
{
    while (count > 0 && isnan(sorted[count - 1]))
        count--;
    if (count == 0)
        return (struct evaluate_figure){.value = value, .low = NAN, .high = NAN};
    size_t tail = (size_t)(0.025 * (double)count);
    return (struct evaluate_figure){
        .value = value, .low = sorted[tail], .high = sorted[count - 1 - tail]};
}

static void find_averages(struct evaluation *evaluation, const struct outcomes *outcomes)
{
    size_t rows = evaluation->row_count;
    size_t resamples = DRAWS_MAX / rows;
    resamples = resamples > RESAMPLES_MAX   ? RESAMPLES_MAX
                : resamples < RESAMPLES_MIN ? RESAMPLES_MIN
                                            : resamples;
    CLEANUP(mem_free)
    double *samples = mem_alloc_array(resamples * AVERAGE_COUNT, sizeof(*samples));
    CLEANUP(mem_free)
    struct tally *tallies = mem_alloc_array(evaluation->label_count, sizeof(*tallies));
    double averages[AVERAGE_COUNT];
    for (size_t r = 0; r < rows; r++)
        tally_row(outcomes, r, tallies);
    average(tallies, evaluation->label_count, averages);
    uint64_t random = BOOTSTRAP_SEED;
    for (size_t s = 0; s < resamples; s++) {
        double sample[AVERAGE_COUNT];
        memset(tallies, 0, evaluation->label_count * sizeof(*tallies));
        for (size_t r = 0; r < rows; r++)
            tally_row(outcomes, (size_t)(next_random(&random) % rows), tallies);
        average(tallies, evaluation->label_count, sample);
        for (size_t a = 0; a < AVERAGE_COUNT; a++)
            samples[a * resamples + s] = sample[a];
    }
    struct evaluate_figure figures[AVERAGE_COUNT];
    for (size_t a = 0; a < AVERAGE_COUNT; a++) {
        qsort(samples + a * resamples, resamples, sizeof(*samples), compare_doubles);
        figures[a] = interval(averages[a], samples + a * resamples, resamples);
    }
    evaluation->macro = (struct evaluate_averages){figures[0], figures[1], figures[2]};
    evaluation->micro = (struct evaluate_averages){figures[3], figures[4], figures[5]};
}

/*
 * --- figures of a label
 * -------------------------------------------------------------------------------------
 */

/* A row and its probability, for sorting. */
struct ranked_row {
    float probability; /* of the label */
    uint32_t row;      /* number */
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked_row *a = left;
    const struct ranked_row *b = right;
    if (a->probability > b->probability || a->probability < b->probability)
        return a->probability < b->probability ? 1 : -1;
    return (a->row > b->row) - (a->row < b->row);
}

uint32_t *evaluate_order(const struct evaluation *evaluation, size_t label)
{
    assert(label < evaluation->label_count);
    size_t count = evaluation->row_count;
    CLEANUP(mem_free) struct ranked_row *ranked = mem_alloc_array(count, sizeof(*ranked));
    uint32_t *order = mem_alloc_array(count, sizeof(*order));
    for (size_t r = 0; r < count; r++)
        ranked[r] = (struct ranked_row){.probability = evaluation->probabilities[label * count + r],
                                        .row = (uint32_t)r};
    qsort(ranked, count, sizeof(*ranked), compare_ranked);
    for (size_t r = 0; r < count; r++)
        order[r] = ranked[r].row;
    return order;
}

static void find_label_figures(struct evaluation *evaluation, size_t l)
{
    struct evaluate_label *label = &evaluation->labels[l];
    label->precision = evaluate_wilson(label->right, label->predicted);
    label->recall = evaluate_wilson(label->right, label->support);
    label->f1 = label->right == 0 ? 0 : 2 * ratio(label->right, label->support + label->predicted);
    label->average_precision = NAN;
    evaluation->supported_count += label->support > 0;
    if (label->support == 0)
        return;
    CLEANUP(mem_free) uint32_t *order = evaluate_order(evaluation, l);
    size_t right = 0;
    double sum = 0;
    for (size_t r = 0; r < evaluation->row_count; r++) {
        if (!evaluation->carries[l * evaluation->row_count + order[r]])
            continue;
        right++;
        sum += (double)right / (double)(r + 1);
    }
    label->average_precision = sum / (double)label->support;
}

static double calibration_error(const struct evaluation *evaluation)
{
    double error = 0;
    double total = 0;
    for (size_t b = 0; b < EVALUATE_BINS; b++) {
        double probability = 0;
        double right = 0;
        double count = 0;
        for (size_t l = 0; l < evaluation->label_count; l++) {
            probability += evaluation->labels[l].bins[b].probability_sum;
            right += (double)evaluation->labels[l].bins[b].right;
            count += (double)evaluation->labels[l].bins[b].count;
        }
        error += fabs(probability - right);
        total += count;
    }
    return total > 0 ? error / total : NAN;
}

struct evaluation *evaluate_model(const struct classifier *classifier,
                                  const struct dataset *dataset,
                                  const struct dataset_row *const *rows, size_t row_count)
{
    assert(row_count > 0);
    struct evaluation *evaluation = MEM_NEW(struct evaluation);
    evaluation->classifier = classifier;
    evaluation->row_count = row_count;
    evaluation->label_count = classifier_label_count(classifier);
    evaluation->labels = mem_alloc_array(evaluation->label_count, sizeof(*evaluation->labels));
    size_t cells = evaluation->label_count * row_count;
    evaluation->probabilities = mem_alloc_array(cells, sizeof(*evaluation->probabilities));
    evaluation->carries = mem_alloc_array(cells, sizeof(*evaluation->carries));
    for (size_t l = 0; l < evaluation->label_count; l++)
        evaluation->labels[l].label = classifier_label_at(classifier, l);
    struct outcomes outcomes = {.ends = mem_alloc_array(row_count, sizeof(*outcomes.ends))};
    score_rows(evaluation, dataset, rows, &outcomes);
    for (size_t l = 0; l < evaluation->label_count; l++)
        find_label_figures(evaluation, l);
    find_averages(evaluation, &outcomes);
    evaluation->expected_calibration_error = calibration_error(evaluation);
    free(outcomes.items);
    free(outcomes.ends);
    return evaluation;
}

const char *evaluate_value_text(double value, char ret_text[EVALUATE_TEXT_BYTES])
{
    if (isnan(value))
        return "-";
    snprintf(ret_text, EVALUATE_TEXT_BYTES, "%.3f", value);
    return ret_text;
}

/*
 * --- JSON
 * ---------------------------------------------------------------------------------------------------
 */

static json_t *number_or_null(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *figure_to_json(const struct evaluate_figure *figure)
{
    json_t *object = json_object();
    json_object_set_new(object, "value", number_or_null(figure->value));
    json_object_set_new(object, "low", number_or_null(figure->low));
    json_object_set_new(object, "high", number_or_null(figure->high));
    return object;
}

static json_t *averages_to_json(const struct evaluate_averages *averages)
{
    json_t *object = json_object();
    json_object_set_new(object, "precision", figure_to_json(&averages->precision));
    json_object_set_new(object, "recall", figure_to_json(&averages->recall));
    json_object_set_new(object, "f1", figure_to_json(&averages->f1));
    return object;
}

static json_t *label_to_json(const struct evaluate_label *label)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(label->label->name));
    json_object_set_new(object, "support", json_integer((json_int_t)label->support));
    json_object_set_new(object, "predicted", json_integer((json_int_t)label->predicted));
    json_object_set_new(object, "right", json_integer((json_int_t)label->right));
    json_object_set_new(object, "predictable", json_boolean(label->label->predictable));
    json_object_set_new(object, "threshold",
                        label->label->predictable ? json_real(label->label->threshold)
                                                  : json_null());
    json_object_set_new(object, "precision", figure_to_json(&label->precision));
    json_object_set_new(object, "recall", figure_to_json(&label->recall));
    json_object_set_new(object, "f1", number_or_null(label->f1));
    json_object_set_new(object, "average_precision", number_or_null(label->average_precision));
    return object;
}

json_t *evaluate_to_json(const struct evaluation *evaluation)
{
    json_t *labels = json_array();
    for (size_t l = 0; l < evaluation->label_count; l++)
        json_array_append_new(labels, label_to_json(&evaluation->labels[l]));
    json_t *object = json_object();
    json_object_set_new(object, "model", json_string(classifier_version(evaluation->classifier)));
    json_object_set_new(object, "model_sha256",
                        json_string(classifier_sha256(evaluation->classifier)));
    json_object_set_new(object, "rows", json_integer((json_int_t)evaluation->row_count));
    json_object_set_new(object, "supported_labels",
                        json_integer((json_int_t)evaluation->supported_count));
    json_object_set_new(object, "unknown_labels",
                        json_integer((json_int_t)evaluation->unknown_label_count));
    json_object_set_new(object, "macro", averages_to_json(&evaluation->macro));
    json_object_set_new(object, "micro", averages_to_json(&evaluation->micro));
    json_object_set_new(object, "expected_calibration_error",
                        number_or_null(evaluation->expected_calibration_error));
    json_object_set_new(object, "labels", labels);
    return object;
}
