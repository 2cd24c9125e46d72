/*
 * How good a model is on labelled rows: figures for each label and over all, with their
 * uncertainty.
 *
 * Design: every row is scored once; all figures come from that table of scores. Precision and
 * recall of a label have Wilson intervals, averages have bootstrap intervals over rows, both 95%.
 * Only labels that the model knows are judged, and averages are over those of them that the rows
 * carry at least once.
 *
 * Invariants: a label that is never predicted counts as recall 0 and F1 0, and not at all in macro
 * precision, for it has none; the same model and rows give the same figures, the bootstrap too.
 */
#ifndef NODAG_CLASSIFIER_EVALUATE_H
#define NODAG_CLASSIFIER_EVALUATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/classifier.h"
#include "reactors/classifier/dataset.h"

/* Bins of a reliability curve: tenths of probability. */
#define EVALUATE_BINS 10

/* Bytes of a written value with its NUL. */
#define EVALUATE_TEXT_BYTES 16

/* A figure with its 95% interval; NaN where there is none. */
struct evaluate_figure {
    double value; /* 0..1 */
    double low;   /* lower end */
    double high;  /* upper end */
};

/* Scores that fell into one tenth of probability. */
struct evaluate_bin {
    size_t count;           /* scores */
    size_t right;           /* of which the row carries the label */
    double probability_sum; /* of the scores */
};

/* Figures of one label. */
struct evaluate_label {
    const struct classifier_label *label; /* borrowed from the model */
    size_t support;                       /* rows that carry it */
    size_t predicted;                     /* rows for which it was predicted */
    size_t right;                         /* of those, rows that carry it */
    struct evaluate_figure precision;     /* right of predicted */
    struct evaluate_figure recall;        /* right of support */
    double f1;                            /* harmonic mean of both, 0 if never right */
    double average_precision; /* area under the precision-recall curve; NaN without support */
    struct evaluate_bin bins[EVALUATE_BINS]; /* reliability */
};

/* Averages. */
struct evaluate_averages {
    struct evaluate_figure precision; /* see the head of this file */
    struct evaluate_figure recall;    /* likewise */
    struct evaluate_figure f1;        /* likewise */
};

/* All figures. Freed by evaluate_free(). */
struct evaluation {
    const struct classifier *classifier; /* borrowed */
    size_t row_count;                    /* rows judged */
    size_t label_count;                  /* labels of the model */
    size_t supported_count;              /* labels that rows carry */
    size_t unknown_label_count;          /* labels of the data that the model does not know */
    struct evaluate_label *labels;       /* owned: in the model's order */
    struct evaluate_averages macro;      /* each label counts the same */
    struct evaluate_averages micro;      /* each prediction counts the same */
    double expected_calibration_error; /* mean |probability − share|, over the bins of all labels */
    float *probabilities;              /* owned: [label][row] */
    bool *carries;                     /* owned: [label][row] */
};

/* Judges a model (borrowed until evaluate_free) on rows, at least one. Owned. Any thread. */
struct evaluation *evaluate_model(const struct classifier *classifier,
                                  const struct dataset *dataset,
                                  const struct dataset_row *const *rows, size_t row_count);

/* Frees an evaluation; NULL is fine. Any thread. */
void evaluate_free(struct evaluation *evaluation);

DEFINE_CLEANUP(struct evaluation *, evaluate_free)

/* Returns the Wilson 95% interval of `right` out of `count`; NaN for none. Any thread. */
struct evaluate_figure evaluate_wilson(size_t right, size_t count);

/* Writes a value as "0.812", or "-" for NaN, to `ret_text`; returns it or the "-". Any thread. */
const char *evaluate_value_text(double value, char ret_text[EVALUATE_TEXT_BYTES]);

/* Returns all figures as JSON, new reference. Any thread. */
json_t *evaluate_to_json(const struct evaluation *evaluation);

/*
 * Row numbers by falling probability of one label, owned: the order behind curves. Ties stand in
 * row order. Any thread.
 */
uint32_t *evaluate_order(const struct evaluation *evaluation, size_t label);

#endif
