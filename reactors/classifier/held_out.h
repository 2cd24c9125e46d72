/*
 * Scores of rows by fits that have not seen them: what calibration is learnt on. Private to
 * training.
 *
 * Invariant: every scored row was scored exactly once, by a fit on other rows only; older ones only
 * if by_time.
 */
#ifndef NODAG_CLASSIFIER_HELD_OUT_H
#define NODAG_CLASSIFIER_HELD_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/train.h"

/* Decisions for held-out rows. Freed by held_out_free(). */
struct held_out {
    const struct dataset_row **rows; /* owned array of borrowed rows */
    double *decisions;               /* owned: [row][label] */
    size_t row_count;                /* scored rows */
    size_t label_count;              /* labels of each */
    size_t block_count;              /* fits that were made */
    bool by_time;                    /* false: drawn at random */
};

/*
 * Scores held-out rows of `rows`, which are sorted by time. Labels are numbers in their data set.
 * Owned. Main thread of a command.
 */
struct held_out *held_out_score(const struct fit_config *config,
                                const struct dataset_row *const *rows, size_t row_count,
                                const uint32_t *labels, size_t label_count,
                                train_progress_fn *progress, void *context);

/* Frees scores; NULL is fine. Any thread. */
void held_out_free(struct held_out *held_out);

DEFINE_CLEANUP(struct held_out *, held_out_free)

#endif
