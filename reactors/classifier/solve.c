/*
 * liblinear behind a narrow interface: see solve.h.
 */
#include "reactors/classifier/solve.h"

#include <linear.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Value of the constant feature; the larger, the less its weight is held back. */
#define BIAS_FEATURE 1.0

/* Where a fit stops; liblinear's default for dual solvers. */
#define STOP_EPSILON 0.1

/* Bias of a label that no row or every row carries: sure of it. */
#define CERTAIN_BIAS 10.0

/*
 * Added to the rows that have a feature before their share is taken, so that no ratio is infinite.
 */
#define RATIO_SMOOTHING 1.0

/* Rows laid out for liblinear. */
struct solve_rows {
    struct feature_node **nodes; /* owned arrays, ended by index -1; one for each row */
    float **values;              /* owned arrays: the nodes' values before scaling */
    uint32_t *copies;            /* owned: how often each row counts */
    double *having;              /* owned: for each feature, how many rows (by copies) have it */
    size_t row_count;            /* used */
    size_t row_capacity;         /* allocated */
    size_t copy_count;           /* sum of copies */
    size_t feature_count;        /* without the bias */
};

struct solve_rows *solve_rows_new(size_t feature_count)
{
    struct solve_rows *rows = MEM_NEW(struct solve_rows);
    rows->feature_count = feature_count;
    rows->having = mem_alloc_array(feature_count, sizeof(*rows->having));
    return rows;
}

void solve_rows_free(struct solve_rows *rows)
{
    if (rows == NULL)
        return;
    for (size_t r = 0; r < rows->row_count; r++) {
        free(rows->nodes[r]);
        free(rows->values[r]);
    }
    free(rows->nodes);
    free(rows->values);
    free(rows->copies);
    free(rows->having);
    free(rows);
}

static int compare_nodes(const void *left, const void *right)
{
    const struct feature_node *a = left;
    const struct feature_node *b = right;
    return (a->index > b->index) - (a->index < b->index);
}

void solve_rows_add(struct solve_rows *rows, const struct space_vector *vector, uint32_t copies)
{
    if (rows->row_count == rows->row_capacity) {
        rows->row_capacity = 2 * rows->row_capacity + 256;
        rows->nodes =
            mem_resize_array(rows->nodes, rows->row_capacity, sizeof(struct feature_node *));
        rows->values = mem_resize_array(rows->values, rows->row_capacity, sizeof(float *));
        rows->copies = mem_resize_array(rows->copies, rows->row_capacity, sizeof(*rows->copies));
    }
    struct feature_node *nodes = mem_alloc_array(vector->count + 2, sizeof(*nodes));
    for (size_t v = 0; v < vector->count; v++)
        nodes[v] = (struct feature_node){.index = (int)vector->values[v].feature + 1,
                                         .value = (double)vector->values[v].value};
    qsort(nodes, vector->count, sizeof(*nodes), compare_nodes);
    nodes[vector->count] =
        (struct feature_node){.index = (int)rows->feature_count + 1, .value = BIAS_FEATURE};
    nodes[vector->count + 1].index = -1;
    float *values = mem_alloc_array(vector->count, sizeof(*values));
    for (size_t v = 0; v < vector->count; v++) {
        values[v] = (float)nodes[v].value;
        rows->having[nodes[v].index - 1] += copies;
    }
    rows->values[rows->row_count] = values;
    rows->nodes[rows->row_count] = nodes;
    rows->copies[rows->row_count++] = copies;
    rows->copy_count += copies;
}

static void print_nothing(const char *text)
{
    (void)text;
}

/* True for a node that stands for a feature, not for the bias or the end. */
static bool is_feature(const struct solve_rows *rows, const struct feature_node *node)
{
    return node->index >= 1 && (size_t)node->index <= rows->feature_count;
}

/* The scale of every feature for one label: see the head of solve.h. Owned. */
static double *find_scales(const struct solve_rows *rows, const bool *carries, double ratio_share)
{
    double *scales = mem_alloc_array(rows->feature_count, sizeof(*scales));
    CLEANUP(mem_free) double *with = mem_alloc_array(rows->feature_count, sizeof(*with));
    double with_rows = 0;
    for (size_t r = 0; r < rows->row_count; r++) {
        if (!carries[r])
            continue;
        with_rows += rows->copies[r];
        for (const struct feature_node *node = rows->nodes[r]; is_feature(rows, node); node++)
            with[node->index - 1] += rows->copies[r];
    }
    double without_rows = (double)rows->copy_count - with_rows;
    for (size_t f = 0; f < rows->feature_count; f++) {
        double share = (with[f] + RATIO_SMOOTHING) / (with_rows + 2 * RATIO_SMOOTHING);
        double other_share =
            (rows->having[f] - with[f] + RATIO_SMOOTHING) / (without_rows + 2 * RATIO_SMOOTHING);
        scales[f] = 1 - ratio_share + ratio_share * fabs(log(share / other_share));
    }
    return scales;
}

static void scale_nodes(const struct solve_rows *rows, const double *scales)
{
    for (size_t r = 0; r < rows->row_count; r++) {
        struct feature_node *nodes = rows->nodes[r];
        for (size_t n = 0; is_feature(rows, &nodes[n]); n++)
            nodes[n].value = (double)rows->values[r][n] * scales[nodes[n].index - 1];
    }
}

/* Lets liblinear fit scaled rows, and gives weights for unscaled ones. */
static void run_solver(const struct solve_rows *rows, const struct solve_config *config, double *y,
                       struct feature_node **x, const double *scales, double *ret_weights,
                       double *ret_bias)
{
    struct problem problem = {.l = (int)rows->copy_count,
                              .n = (int)rows->feature_count + 1,
                              .y = y,
                              .x = x,
                              .bias = BIAS_FEATURE};
    struct parameter parameter = {
        .solver_type = config->loss == SOLVE_LOSS_HINGE ? L2R_L2LOSS_SVC_DUAL : L2R_LR_DUAL,
        .eps = STOP_EPSILON,
        .C = config->cost};
    set_print_string_function(print_nothing);
    /* check: allow srand: liblinear shuffles by rand(), a fit repeats only if it is seeded */
    srand(config->seed);
    struct model *model = train(&problem, &parameter);
    double sign = model->label[0] > 0 ? 1 : -1; /* the first class seen is the positive one */
    for (size_t f = 0; f < rows->feature_count; f++)
        ret_weights[f] = sign * model->w[f] * scales[f];
    *ret_bias = sign * model->w[rows->feature_count] * BIAS_FEATURE;
    free_and_destroy_model(&model);
}

void solve_label(struct solve_rows *rows, const struct solve_config *config, const bool *carries,
                 double *ret_weights, double *ret_bias)
{
    CLEANUP(mem_free) double *y = mem_alloc_array(rows->copy_count, sizeof(*y));
    CLEANUP(mem_free)
    struct feature_node **x = mem_alloc_array(rows->copy_count, sizeof(struct feature_node *));
    size_t copies = 0;
    size_t carrying = 0;
    for (size_t r = 0; r < rows->row_count; r++)
        for (uint32_t c = 0; c < rows->copies[r]; c++) {
            x[copies] = rows->nodes[r];
            y[copies++] = carries[r] ? 1 : -1;
            carrying += carries[r];
        }
    memset(ret_weights, 0, rows->feature_count * sizeof(*ret_weights));
    *ret_bias = carrying == 0 ? -CERTAIN_BIAS : CERTAIN_BIAS;
    if (carrying == 0 || carrying == copies)
        return;
    CLEANUP(mem_free) double *scales = find_scales(rows, carries, config->ratio_share);
    scale_nodes(rows, scales);
    run_solver(rows, config, y, x, scales, ret_weights, ret_bias);
}
