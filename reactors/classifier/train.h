/*
 * Training: a data set → the bytes of a calibrated model file.
 *
 * Design: a model is used on issues that are newer than all it was trained on, so it is calibrated
 * that way. The newest part of the rows is cut into blocks by time; each block is scored by a fit
 * on everything older. On these scores the probabilities and thresholds are learnt (calibrate.h).
 * The model itself is then fitted on all rows.
 *
 *     time ─▶   [ older rows, fit only ][block 1][block 2] … [block n]
 *                └──── fit ────▶ scores   │        │
 *                └──────── fit ───────▶ scores     │
 *                └──────────── fit ──────────▶ scores
 *
 * Where the rows' times do not allow that (all the same, too few), blocks are drawn at random, and
 * the model says so.
 *
 * Invariant: the same data set and configuration give the same bytes.
 */
#ifndef NODAG_CLASSIFIER_TRAIN_H
#define NODAG_CLASSIFIER_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "reactors/classifier/dataset.h"
#include "reactors/classifier/fit.h"

/* What to train. Lists are borrowed for the call. */
struct train_config {
    struct fit_config fit;   /* text to weights */
    double precision_target; /* thresholds keep it on held-out rows, 0..1 */
    uint32_t examples_min;   /* rows that must carry a label for it to be learnt, ≥ 1 */
    uint32_t held_out_min;   /* held-out rows that must carry a label for it to be predicted */
    const char *const *label_globs; /* fnmatch(3): a label must match one, if there are any */
    size_t label_glob_count;        /* how many; 0 is all labels */
    const char *const *exclusive;   /* fnmatch(3): of what matches, one is predicted */
    size_t exclusive_count;         /* how many */
};

/* Called as training goes on: what is done now, and how much of it, 0..1. Same thread. */
typedef void train_progress_fn(void *context, const char *stage, double share);

/* Fills in the defaults. Any thread. */
void train_config_init(struct train_config *config);

/*
 * Trains on `rows` of `dataset` (both borrowed, at least one row). `progress` may be NULL.
 * `*ret_bytes` is owned, aligned for classifier_load_bytes(). ERR_INPUT no label has enough
 * examples; ERR_TOO_LARGE the model would be. Main thread of a command.
 */
int train_model(const struct dataset *dataset, const struct dataset_row *const *rows,
                size_t row_count, const struct train_config *config, train_progress_fn *progress,
                void *context, void **ret_bytes, size_t *ret_byte_count,
                struct error *error) MUST_CHECK;

/*
 * Picks the labels that a configuration asks for, ascending numbers, owned; their count in
 * `ret_count`, maybe 0. Any thread.
 */
uint32_t *train_pick_labels(const struct dataset *dataset, const struct dataset_row *const *rows,
                            size_t row_count, const struct train_config *config, size_t *ret_count);

#endif
