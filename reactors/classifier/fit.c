/*
 * Fitting labels on rows, by space.h and solve.h. See fit.h.
 */
#include "reactors/classifier/fit.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

/* A made fit. */
struct fit {
    struct space_builder *builder; /* owned */
    float *weights;                /* owned: [label][feature] */
    double *biases;                /* owned: for each label */
    size_t label_count;            /* at least 1 */
};

void fit_config_init(struct fit_config *config)
{
    *config = (struct fit_config){
        .solve = {.loss = SOLVE_LOSS_HINGE, .cost = 0.1, .ratio_share = 0.4, .seed = 1}};
    features_config_init(&config->features);
}

void fit_free(struct fit *fit)
{
    if (fit == NULL)
        return;
    space_builder_free(fit->builder);
    free(fit->weights);
    free(fit->biases);
    free(fit);
}

/* Lays the rows' vectors out for the solver. */
static struct solve_rows *lay_out(const struct feature_space *space,
                                  const struct dataset_row *const *rows, size_t row_count)
{
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(false);
    struct space_vector vector = {0};
    struct solve_rows *layout = solve_rows_new(space->count);
    for (size_t r = 0; r < row_count; r++) {
        struct classifier_issue issue = dataset_issue(rows[r]);
        features_extract(&space->config, &space->templates, &issue, bag);
        space_vectorise(space, bag, issue.repository, &vector);
        solve_rows_add(layout, &vector, rows[r]->copies);
    }
    space_vector_release(&vector);
    return layout;
}

struct fit *fit_rows(const struct fit_config *config, const struct dataset_row *const *rows,
                     size_t row_count, const uint32_t *labels, size_t label_count,
                     fit_progress_fn *progress, void *context)
{
    assert(row_count > 0 && label_count > 0);
    struct fit *fit = MEM_NEW(struct fit);
    fit->builder = space_learn(&config->features, rows, row_count);
    const struct feature_space *space = space_of(fit->builder);
    CLEANUP(solve_rows_free) struct solve_rows *layout = lay_out(space, rows, row_count);
    fit->label_count = label_count;
    fit->weights = mem_alloc_array(label_count * space->count, sizeof(*fit->weights));
    fit->biases = mem_alloc_array(label_count, sizeof(*fit->biases));
    CLEANUP(mem_free) double *weights = mem_alloc_array(space->count, sizeof(*weights));
    CLEANUP(mem_free) bool *carries = mem_alloc_array(row_count, sizeof(*carries));
    for (size_t l = 0; l < label_count; l++) {
        if (progress != NULL)
            progress(context, l, label_count);
        for (size_t r = 0; r < row_count; r++)
            carries[r] = dataset_row_has(rows[r], labels[l]);
        solve_label(layout, &config->solve, carries, weights, &fit->biases[l]);
        for (size_t f = 0; f < space->count; f++)
            fit->weights[l * space->count + f] = (float)weights[f];
    }
    return fit;
}

void fit_decide(const struct fit *fit, const struct classifier_issue *issue, double *ret_decisions)
{
    const struct feature_space *space = space_of(fit->builder);
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(false);
    struct space_vector vector = {0};
    features_extract(&space->config, &space->templates, issue, bag);
    space_vectorise(space, bag, issue->repository, &vector);
    for (size_t l = 0; l < fit->label_count; l++) {
        const float *weights = fit->weights + l * space->count;
        ret_decisions[l] = fit->biases[l];
        for (size_t v = 0; v < vector.count; v++)
            ret_decisions[l] +=
                (double)weights[vector.values[v].feature] * (double)vector.values[v].value;
    }
    space_vector_release(&vector);
}

const struct feature_space *fit_space(const struct fit *fit)
{
    return space_of(fit->builder);
}

float *fit_weights(struct fit *fit)
{
    return fit->weights;
}

const double *fit_biases(const struct fit *fit)
{
    return fit->biases;
}
