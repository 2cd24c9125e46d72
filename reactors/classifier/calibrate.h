/*
 * From decision values to probabilities, and from probabilities to a threshold that keeps a
 * precision.
 *
 * Design: both are learnt on rows that the model has not seen (train.h). Probabilities are Platt's
 * logistic fit: two numbers, so they can be multiplied into the weights, and a label with few
 * examples does not overfit as it would with isotonic steps. A threshold is the highest that
 * reaches the best recall at which the precision holds both by count and by the mean calibrated
 * probability: the count alone is luck where little is predicted, the mean alone trusts the fit.
 *
 * What did not help: the count alone (macro precision .77 on later releases for a target of .80),
 * counts shrunk towards one half or towards the mean probability (no better), a margin of 0.3 or
 * 0.5 standard errors over the target (as good as the least probability in calibrate.c, but recall
 * is less), newer rows counted more (no better).
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
    double precision; /* of what is predicted, by count */
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
