/*
 * Tables that people read on a terminal: see table.h.
 */
#include "reactors/classifier/table.h"

#include <math.h>
#include <string.h>

/* Widest name column; longer names push their row to the right. */
#define NAME_WIDTH_MAX 40

static int name_width(const struct classifier *classifier)
{
    size_t width = strlen("label");
    for (size_t l = 0; l < classifier_label_count(classifier); l++) {
        size_t length = strlen(classifier_label_at(classifier, l)->name);
        if (length > width && length <= NAME_WIDTH_MAX)
            width = length;
    }
    return (int)width;
}

void table_print_model(FILE *stream, const struct classifier *classifier)
{
    int width = name_width(classifier);
    size_t count = classifier_label_count(classifier);
    size_t predictable = 0;
    fprintf(stream, "%-*s  examples  threshold  precision  recall\n", width, "label");
    for (size_t l = 0; l < count; l++) {
        const struct classifier_label *label = classifier_label_at(classifier, l);
        fprintf(stream, "%-*s  %8u  ", width, label->name, label->examples);
        predictable += label->predictable;
        if (label->predictable)
            fprintf(stream, "%9.3f  %9.3f  %6.3f\n", label->threshold, label->precision,
                    label->recall);
        else
            fprintf(stream, "%9s  never predicted: %s\n", "-", label->reason);
    }
    fprintf(stream,
            "%zu of %zu labels can be predicted. Precision and recall are those on held-out issues "
            "when it was trained.\n",
            predictable, count);
}

static void print_averages(FILE *stream, const char *name, const struct evaluate_averages *averages)
{
    const struct {
        const char *name;
        const struct evaluate_figure *figure;
    } figures[] = {
        {"precision", &averages->precision}, {"recall", &averages->recall}, {"F1", &averages->f1}};
    fprintf(stream, "%s average:", name);
    for (size_t f = 0; f < ARRAY_COUNT(figures); f++) {
        char value[EVALUATE_TEXT_BYTES];
        char low[EVALUATE_TEXT_BYTES];
        char high[EVALUATE_TEXT_BYTES];
        fprintf(stream, "  %s %s (%s to %s)", figures[f].name,
                evaluate_value_text(figures[f].figure->value, value),
                evaluate_value_text(figures[f].figure->low, low),
                evaluate_value_text(figures[f].figure->high, high));
    }
    fprintf(stream, "\n");
}

static void print_interval(FILE *stream, const struct evaluate_figure *figure)
{
    char value[EVALUATE_TEXT_BYTES];
    fprintf(stream, "  %9s", evaluate_value_text(figure->value, value));
    if (isnan(figure->value))
        fprintf(stream, " %11s", "");
    else
        fprintf(stream, " %.2f to %.2f", figure->low, figure->high);
}

void table_print_evaluation(FILE *stream, const struct evaluation *evaluation)
{
    int width = name_width(evaluation->classifier);
    fprintf(stream, "%-*s  support  predicted  threshold  precision %11s     recall %11s     F1\n",
            width, "label", "95%", "95%");
    for (size_t l = 0; l < evaluation->label_count; l++) {
        const struct evaluate_label *label = &evaluation->labels[l];
        char threshold[EVALUATE_TEXT_BYTES];
        fprintf(stream, "%-*s  %7zu  %9zu  %9s", width, label->label->name, label->support,
                label->predicted,
                evaluate_value_text(label->label->predictable ? label->label->threshold : NAN,
                                    threshold));
        print_interval(stream, &label->precision);
        print_interval(stream, &label->recall);
        fprintf(stream, "  %.3f\n", label->f1);
    }
    print_averages(stream, "macro", &evaluation->macro);
    print_averages(stream, "micro", &evaluation->micro);
    char error_text[EVALUATE_TEXT_BYTES];
    fprintf(stream,
            "%zu rows; averages over the %zu labels that they carry, a label never predicted "
            "counting as recall 0 and F1 0 "
            "(macro precision: labels predicted at least once). Intervals: 95%%.\n"
            "Probabilities are off by %s on average (expected calibration error).\n",
            evaluation->row_count, evaluation->supported_count,
            evaluate_value_text(evaluation->expected_calibration_error, error_text));
    if (evaluation->unknown_label_count > 0)
        fprintf(stream, "%zu labels of the data are unknown to the model and not judged.\n",
                evaluation->unknown_label_count);
}
