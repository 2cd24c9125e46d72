/*
 * An evaluation as one HTML file that a person reads in a browser: averages, a table, and for each
 * label a precision-recall curve and a reliability curve as inline SVG. Light and dark, no scripts,
 * nothing loaded.
 *
 * Invariant: every text that comes from a model or data is escaped.
 */
#ifndef NODAG_CLASSIFIER_REPORT_H
#define NODAG_CLASSIFIER_REPORT_H

#include <stddef.h>

#include "base/buffer.h"
#include "reactors/classifier/evaluate.h"

/* Largest report: 2,000 labels of a few KB each. */
#define REPORT_BYTES_MAX ((size_t)32 << 20)

/* Appends the report to `buffer`. ERR_TOO_LARGE over the buffer's limit. Any thread. */
int report_html(const struct evaluation *evaluation, struct buffer *buffer) MUST_CHECK;

#endif
