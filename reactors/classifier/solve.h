/*
 * One label against all others: L2-regularised linear models by liblinear.
 *
 * Design: the rows' vectors are laid out once, as liblinear wants them, and every label is fitted
 * on them. A row that weighs n is there n times, which costs a pointer each. Before a label is
 * fitted, each feature is scaled by how much more often the rows that carry the label have it than
 * the others, or the reverse (the log of the ratio of smoothed shares: Wang and Manning, Baselines
 * and bigrams, 2012), mixed with 1. So a word that tells much costs little weight, and rare words
 * that tell nothing are held back. The scale is multiplied into the weights afterwards: what comes
 * out is a plain linear model.
 *
 * What did not help (macro F1 on nlbse24 over five seeds; mean average precision by time on
 * sig-release): averaging with logistic regression (−.002; +.002) or with naive Bayes (±0), one
 * label against each other one (−.005), Crammer and Singer's (−.012), training copies with features
 * left out (−.001), ten fits on halves of the features (−.004), nearest neighbours' labels beside
 * the scores (−.010; +.005, but no recall at precision .82), 100 or 300 latent dimensions (+.001, no
 * recall), words of the label's own name scaled up (+.001, no recall), carrying rows weighed more
 * (−.013).
 *
 * Invariants: the same rows in the same order give the same weights: liblinear shuffles by rand(),
 * which is seeded before each fit. So fits are for commands only, one thread at a time; serving
 * never comes here.
 */
#ifndef NODAG_CLASSIFIER_SOLVE_H
#define NODAG_CLASSIFIER_SOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "reactors/classifier/space.h"

/* Which loss is minimised. */
enum solve_loss {
    SOLVE_LOSS_HINGE,    /* squared hinge, dual (L2R_L2LOSS_SVC_DUAL) */
    SOLVE_LOSS_LOGISTIC, /* logistic, dual (L2R_LR_DUAL) */
};

/* How labels are fitted; stands in the model file. */
struct solve_config {
    enum solve_loss loss; /* see there */
    double cost;          /* liblinear's C: the larger, the closer to the training rows; > 0 */
    double ratio_share;   /* of the log ratio in a feature's scale, the rest is 1; 0 … 1 */
    uint32_t seed;        /* of the order in which rows are visited */
};

/* Rows laid out for fitting. Opaque. */
struct solve_rows;

/* Returns an empty layout over `feature_count` features, owned. Any thread. */
struct solve_rows *solve_rows_new(size_t feature_count);

/* Frees a layout; NULL is fine. Any thread. */
void solve_rows_free(struct solve_rows *rows);

DEFINE_CLEANUP(struct solve_rows *, solve_rows_free)

/* Adds a row that weighs `copies` (at least 1). Any thread. */
void solve_rows_add(struct solve_rows *rows, const struct space_vector *vector, uint32_t copies);

/*
 * Fits one label: `carries[r]` says whether row r (in the order added) carries it. Writes one
 * weight for each feature to `ret_weights` and the bias to `ret_bias`; with no or only carrying
 * rows all are 0 but the bias. Main thread of a command.
 */
void solve_label(struct solve_rows *rows, const struct solve_config *config, const bool *carries,
                 double *ret_weights, double *ret_bias);

#endif
