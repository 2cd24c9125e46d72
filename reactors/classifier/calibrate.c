/*
 * Platt's fit and thresholds: see calibrate.h.
 */
#include "reactors/classifier/calibrate.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

/* Newton steps, and halvings of one: the function is convex, ten are usual. */
#define NEWTON_STEPS_MAX 100
#define HALVINGS_MAX 40

/* Keeps the Hessian invertible. */
#define RIDGE 1e-12

/* Where the gradient counts as 0. */
#define GRADIENT_EPSILON 1e-6

/* Rows for a fit with the smoothed targets. */
struct platt_problem {
    const double *decisions; /* borrowed */
    const bool *carries;     /* borrowed */
    size_t count;            /* rows */
    double target_yes;       /* (yes + 1) / (yes + 2) */
    double target_no;        /* 1 / (no + 2) */
};

static double platt_loss(const struct platt_problem *problem, double slope, double offset)
{
    double loss = 0;
    for (size_t r = 0; r < problem->count; r++) {
        double logit = slope * problem->decisions[r] + offset;
        double target = problem->carries[r] ? problem->target_yes : problem->target_no;
        loss += (logit > 0 ? logit + log1p(exp(-logit)) : log1p(exp(logit))) - target * logit;
    }
    return loss;
}

/* Gradient and Hessian of the loss. */
struct platt_slopes {
    double by_slope;         /* first derivative */
    double by_offset;        /* first derivative */
    double by_slope_slope;   /* second derivative */
    double by_slope_offset;  /* second derivative */
    double by_offset_offset; /* second derivative */
};

static struct platt_slopes platt_derive(const struct platt_problem *problem, double slope,
                                        double offset)
{
    struct platt_slopes sum = {.by_slope_slope = RIDGE, .by_offset_offset = RIDGE};
    for (size_t r = 0; r < problem->count; r++) {
        double decision = problem->decisions[r];
        double probability = 1 / (1 + exp(-(slope * decision + offset)));
        double target = problem->carries[r] ? problem->target_yes : problem->target_no;
        double curvature = probability * (1 - probability);
        sum.by_slope += (probability - target) * decision;
        sum.by_offset += probability - target;
        sum.by_slope_slope += curvature * decision * decision;
        sum.by_slope_offset += curvature * decision;
        sum.by_offset_offset += curvature;
    }
    return sum;
}

/* One Newton step with halving until the loss falls. Returns false if it does not fall any more. */
static bool platt_step(const struct platt_problem *problem, const struct platt_slopes *slopes,
                       double *loss, double *slope, double *offset)
{
    double determinant = slopes->by_slope_slope * slopes->by_offset_offset -
                         slopes->by_slope_offset * slopes->by_slope_offset;
    double slope_step = -(slopes->by_offset_offset * slopes->by_slope -
                          slopes->by_slope_offset * slopes->by_offset) /
                        determinant;
    double offset_step =
        -(slopes->by_slope_slope * slopes->by_offset - slopes->by_slope_offset * slopes->by_slope) /
        determinant;
    double step = 1;
    for (int h = 0; h < HALVINGS_MAX; h++, step /= 2) {
        double new_loss =
            platt_loss(problem, *slope + step * slope_step, *offset + step * offset_step);
        if (new_loss < *loss) {
            *slope += step * slope_step;
            *offset += step * offset_step;
            *loss = new_loss;
            return true;
        }
    }
    return false;
}

struct calibrate_platt calibrate_fit_platt(const double *decisions, const bool *carries,
                                           size_t count)
{
    size_t yes = 0;
    for (size_t r = 0; r < count; r++)
        yes += carries[r];
    double yes_share = ((double)yes + 1) / ((double)count + 2);
    struct calibrate_platt prior = {.slope = 0, .offset = log(yes_share / (1 - yes_share))};
    if (yes == 0 || yes == count)
        return prior;
    const struct platt_problem problem = {.decisions = decisions,
                                          .carries = carries,
                                          .count = count,
                                          .target_yes = ((double)yes + 1) / ((double)yes + 2),
                                          .target_no = 1 / ((double)(count - yes) + 2)};
    double slope = 0;
    double offset = prior.offset;
    double loss = platt_loss(&problem, slope, offset);
    for (int s = 0; s < NEWTON_STEPS_MAX; s++) {
        struct platt_slopes slopes = platt_derive(&problem, slope, offset);
        if (fabs(slopes.by_slope) < GRADIENT_EPSILON && fabs(slopes.by_offset) < GRADIENT_EPSILON)
            break;
        if (!platt_step(&problem, &slopes, &loss, &slope, &offset))
            break;
    }
    bool is_sound = slope > 0 && isfinite(slope) && isfinite(offset);
    return is_sound ? (struct calibrate_platt){.slope = slope, .offset = offset} : prior;
}

double calibrate_probability(const struct calibrate_platt *platt, double decision)
{
    return 1 / (1 + exp(-(platt->slope * decision + platt->offset)));
}

/*
 * --- thresholds
 * ---------------------------------------------------------------------------------------------
 */

/*
 * Nothing is predicted that is less likely than this share of the target: many sure rows must not
 * buy unlikely ones.
 */
#define PROBABILITY_SHARE_MIN 0.6

/* Rows that the mean probability counts for, beside the rows that were counted. */
#define PRIOR_ROWS 50.0

/* A row's probability and truth. */
struct scored_row {
    double probability; /* calibrated */
    bool carries;       /* the label */
};

static int compare_scored(const void *left, const void *right)
{
    const struct scored_row *a = left;
    const struct scored_row *b = right;
    if (a->probability != b->probability)
        return a->probability < b->probability ? 1 : -1;
    return (int)b->carries - (int)a->carries;
}

struct calibrate_threshold calibrate_find_threshold(const double *probabilities,
                                                    const bool *carries, size_t count,
                                                    const struct calibrate_target *target)
{
    CLEANUP(mem_free) struct scored_row *rows = mem_alloc_array(count, sizeof(*rows));
    size_t yes = 0;
    for (size_t r = 0; r < count; r++) {
        rows[r] = (struct scored_row){.probability = probabilities[r], .carries = carries[r]};
        yes += carries[r];
    }
    qsort(rows, count, sizeof(*rows), compare_scored);
    struct calibrate_threshold best = {0};
    size_t right = 0;
    size_t best_right = 0;
    double expected = 0;
    double least = PROBABILITY_SHARE_MIN * target->precision;
    for (size_t r = 0; r < count; r++) {
        right += rows[r].carries;
        expected += rows[r].probability;
        double predicted = (double)(r + 1);
        bool is_cut = r + 1 == count || rows[r + 1].probability < rows[r].probability;
        double precision =
            ((double)right + PRIOR_ROWS * expected / predicted) / (predicted + PRIOR_ROWS);
        bool is_kept = precision >= target->precision && rows[r].probability >= least;
        if (!is_cut || !is_kept || right == best_right || r + 1 < target->predicted_min)
            continue;
        best_right = right; /* a lower cut must find more, not only err as often as it may */
        double below = r + 1 < count ? rows[r + 1].probability : 0;
        best = (struct calibrate_threshold){.found = true,
                                            .threshold = (rows[r].probability + below) / 2,
                                            .precision = precision,
                                            .recall = yes == 0 ? 0 : (double)right / (double)yes,
                                            .predicted = r + 1};
    }
    return best;
}
