/*
 * From decision values to probabilities, and from probabilities to a threshold that keeps a
 * precision.
 *
 * Design: both are learnt on rows that the model has not seen (train.h). Probabilities are Platt's
 * logistic fit: two numbers, so they can be multiplied into the weights, and a label with few
 * examples does not overfit as it would with isotonic steps. A threshold is the highest that
 * reaches the best recall at which the precision holds. That precision is estimated: the count of
 * what is predicted, and beside it some rows more of which the mean calibrated probability is
 * right. So a label with hundreds of predictions stands on its count, which is luck where little is
 * predicted, and a label with few borrows from the fit over all rows.
 *
 * Measured on seven releases of time-ordered data, each predicted by a model of what is older, for
 * a target of .80 (macro precision and recall): .828 and .348 with precision by count and by mean
 * probability both, on the newest 40% of the rows; .831 and .360 as it is now, with half of them.
 * What did not help: the count alone (recall at precision .84 from .36 to .33), 5 or 10 rows in
 * place of 50 (.345) or 200 (no better), a lower confidence bound (the same trade), 10 predictions
 * instead of 5 (steadier, recall −.013), one threshold for all labels (recall at precision .82 from
 * .375 to .357), newer rows counted more (no better).
 */
#ifndef NODAG_CLASSIFIER_CALIBRATE_H
#define NODAG_CLASSIFIER_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>

/* probability = 1 / (1 + exp(-(slope × decision + offset))) */
struct calibrate_platt {
    double slope;  /* > 0; or 0 if decisions say nothing: the offset is the share's log odds */
    double offset; /* finite */
};

/* A label's threshold. */
struct calibrate_threshold {
    bool found;       /* false: no threshold keeps the precision with enough predictions */
    double threshold; /* probability from which it is predicted, 0..1 */
    double precision; /* of what is predicted, estimated as above; at least the target */
    double recall;    /* of what carries the label */
    size_t predicted; /* rows at or above the threshold */
};

/* What a threshold has to keep. */
struct calibrate_target {
    double precision;     /* 0..1 */
    size_t predicted_min; /* rows that must be predicted for the precision to mean anything, ≥ 1 */
};

/*
 * Fits Platt's parameters to `count` decisions, by Newton's method on smoothed targets (Lin, Lin,
 * Weng: A note on Platt's probabilistic outputs, 2007). Any thread.
 */
struct calibrate_platt calibrate_fit_platt(const double *decisions, const bool *carries,
                                           size_t count);

/* Returns the probability of a decision. Any thread. */
double calibrate_probability(const struct calibrate_platt *platt, double decision);

/* Finds the lowest threshold that keeps the target on `count` rows. Any thread. */
struct calibrate_threshold calibrate_find_threshold(const double *probabilities,
                                                    const bool *carries, size_t count,
                                                    const struct calibrate_target *target);

#endif
