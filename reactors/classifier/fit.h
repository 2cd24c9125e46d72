/*
 * Fitting: labelled rows → a feature space and one linear model for each label. Not calibrated yet.
 *
 * Design: what is fitted on all rows for a model file, on earlier rows for calibration and on folds
 * for cross-validation is the same thing, so that figures are about what is deployed.
 *
 * Invariant: a fit depends only on the rows in their order, the labels and the configuration.
 */
#ifndef NODAG_CLASSIFIER_FIT_H
#define NODAG_CLASSIFIER_FIT_H

#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/dataset.h"
#include "reactors/classifier/features.h"
#include "reactors/classifier/solve.h"
#include "reactors/classifier/space.h"

/* How a fit is made; stands in the model file. */
struct fit_config {
    struct features_config features; /* text to features */
    struct solve_config solve;       /* features to weights */
};

/* Called while a fit is made: `done` of `total` labels. Same thread as the fit. */
typedef void fit_progress_fn(void *context, size_t done, size_t total);

/* A made fit. Opaque. */
struct fit;

/* Fills in the defaults, chosen by measurement. Any thread. */
void fit_config_init(struct fit_config *config);

/*
 * Fits `labels` (numbers in the data set of the rows) on `rows`; all borrowed for the call, at
 * least one each. `progress` may be NULL. Owned. Main thread of a command: liblinear uses rand().
 */
struct fit *fit_rows(const struct fit_config *config, const struct dataset_row *const *rows,
                     size_t row_count, const uint32_t *labels, size_t label_count,
                     fit_progress_fn *progress, void *context);

/* Frees a fit; NULL is fine. Any thread. */
void fit_free(struct fit *fit);

DEFINE_CLEANUP(struct fit *, fit_free)

/*
 * Writes each label's decision value for an issue, in the labels' order: above 0 is likely. Any
 * thread.
 */
void fit_decide(const struct fit *fit, const struct classifier_issue *issue, double *ret_decisions);

/* Returns the feature space, borrowed from the fit. Any thread. */
const struct feature_space *fit_space(const struct fit *fit);

/*
 * Returns the weights [label][feature], borrowed and writable: calibration scales them. Any thread.
 */
float *fit_weights(struct fit *fit);

/* Returns the bias of each label, borrowed from the fit. Any thread. */
const double *fit_biases(const struct fit *fit);

#endif
