/*
 * The subcommands of `nodag model`, and what they share. Private to the command.
 *
 * Design: each command is a function with main's signature; argv[0] is the command's name. Results
 * go to standard output, progress and errors to standard error, so that output can be piped.
 *
 * Invariant: exit statuses are those of base/option.h.
 */
#ifndef NODAG_CLASSIFIER_COMMAND_H
#define NODAG_CLASSIFIER_COMMAND_H

#include <stddef.h>

#include "base/error.h"
#include "base/option.h"
#include "reactors/classifier/dataset.h"

/* `nodag model train`: data → model file. Returns an exit status. Main thread. */
int command_train(int argc, char **argv);

/* `nodag model eval`: how good a model is on data. Returns an exit status. Main thread. */
int command_eval(int argc, char **argv);

/* `nodag model cv`: cross-validation without a model file. Returns an exit status. Main thread. */
int command_cv(int argc, char **argv);

/* `nodag model explain`: which words made a label. Returns an exit status. Main thread. */
int command_explain(int argc, char **argv);

/* `nodag model show`: what a model says of itself. Returns an exit status. Main thread. */
int command_show(int argc, char **argv);

/* Prints "nodag model: text" to standard error; returns EXIT_STATUS_FAILED. Main thread. */
int command_fail(const struct error *error);

/*
 * Picks the rows created at or after `from` and before `until` (times as in data sets; NULL is no
 * bound): owned array of borrowed rows. ERR_USAGE a time is not valid; ERR_INPUT no row is left.
 * Main thread.
 */
int command_pick_rows(const struct dataset *dataset, const char *from, const char *until,
                      const struct dataset_row ***ret_rows, size_t *ret_count,
                      struct error *error) MUST_CHECK;

/*
 * Shows on standard error, if it is a terminal, what is being done and how far; NULL ends the line.
 * Main thread.
 */
void command_show_progress(void *context, const char *stage, double share);

/* Returns the seconds of a monotonic clock, for telling how long something took. Any thread. */
double command_clock_s(void);

#endif
