/*
 * Tables for people: what a model says of itself, and how it did. Private to the command.
 */
#ifndef NODAG_CLASSIFIER_TABLE_H
#define NODAG_CLASSIFIER_TABLE_H

#include <stdio.h>

#include "reactors/classifier/classifier.h"
#include "reactors/classifier/evaluate.h"

/*
 * Prints the labels of a model with thresholds, and which of them are never predicted and why. Main
 * thread.
 */
void table_print_model(FILE *stream, const struct classifier *classifier);

/* Prints an evaluation: a row for each label, then averages with intervals. Main thread. */
void table_print_evaluation(FILE *stream, const struct evaluation *evaluation);

#endif
