/*
 * liblinear behind a narrow interface: see solve.h.
 */
#include "reactors/classifier/solve.h"

#include <linear.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Value of the constant feature; the larger, the less its weight is held back. */
#define BIAS_FEATURE 1.0

/* Where a fit stops; liblinear's default for dual solvers. */
#define STOP_EPSILON 0.1

/* Bias of a label that no row or every row carries: sure of it. */
#define CERTAIN_BIAS 10.0

/* Rows laid out for liblinear. */
struct solve_rows {
    struct feature_node **nodes; /* owned arrays, ended by index -1; one for each row */
    uint32_t *copies;            /* owned: how often each row counts */
    size_t row_count;            /* used */
    size_t row_capacity;         /* allocated */
    size_t copy_count;           /* sum of copies */
    size_t feature_count;        /* without the bias */
};

struct solve_rows *solve_rows_new(size_t feature_count)
{
    struct solve_rows *rows = MEM_NEW(struct solve_rows);
    rows->feature_count = feature_count;
    return rows;
}

void solve_rows_free(struct solve_rows *rows)
{
    if (rows == NULL)
        return;
    for (size_t r = 0; r < rows->row_count; r++)
        free(rows->nodes[r]);
    free(rows->nodes);
    free(rows->copies);
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
        rows->nodes = mem_resize_array(rows->nodes, rows->row_capacity, sizeof(struct feature_node *));
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
    rows->nodes[rows->row_count] = nodes;
    rows->copies[rows->row_count++] = copies;
    rows->copy_count += copies;
}

static void print_nothing(const char *text)
{
    (void)text;
}

void solve_label(const struct solve_rows *rows, const struct solve_config *config, const bool *carries,
                 double *ret_weights, double *ret_bias)
{
    double *y = mem_alloc_array(rows->copy_count, sizeof(*y));
    struct feature_node **x = mem_alloc_array(rows->copy_count, sizeof(*x));
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
    if (carrying > 0 && carrying < copies) {
        struct problem problem = {.l = (int)copies,
                                  .n = (int)rows->feature_count + 1,
                                  .y = y,
                                  .x = x,
                                  .bias = BIAS_FEATURE};
        struct parameter parameter = {
            .solver_type = config->loss == SOLVE_LOSS_HINGE ? L2R_L2LOSS_SVC_DUAL : L2R_LR_DUAL,
            .eps = STOP_EPSILON,
            .C = config->cost};
        set_print_string_function(print_nothing);
        srand(config->seed);
        struct model *model = train(&problem, &parameter);
        double sign = model->label[0] > 0 ? 1 : -1; /* the first class seen is the positive one */
        for (size_t f = 0; f < rows->feature_count; f++)
            ret_weights[f] = sign * model->w[f];
        *ret_bias = sign * model->w[rows->feature_count] * BIAS_FEATURE;
        free_and_destroy_model(&model);
    }
    free(x);
    free(y);
}
