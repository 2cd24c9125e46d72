/*
 * Prometheus metrics: counters, gauges and histograms with labels, printed in the text exposition
 * format 0.0.4. Source: the Prometheus project's "Exposition formats" page.
 *
 * Design: a registry owns families; a family owns the series of its label values, found by hash. A
 * handle to a series stays valid as long as the registry, so hot paths look it up once. The number
 * of series of a family is bounded by METRICS_SERIES_MAX: what comes beyond is counted in one
 * series with all label values "other", so that no stranger can make memory grow by naming things.
 *
 * Invariants: loop thread only; a counter never falls; a name is registered once with one help
 * text.
 */
#ifndef NODAG_BASE_METRICS_H
#define NODAG_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"

/* Most series of one family: label values come from configuration and small enums, never from
 * payloads. */
#define METRICS_SERIES_MAX 1000

/* Most labels of one family. */
#define METRICS_LABELS_MAX 4

/* Largest exposition text, in bytes. */
#define METRICS_TEXT_MAX_BYTES (8u << 20)

/* All metrics of one daemon. */
struct metrics;

/* One family: a name with label names. Borrowed from its registry. */
struct metrics_family;

/* One series: a family with label values. Borrowed from its registry. */
struct metric;

/* What kind of number a family holds. */
enum metrics_kind {
    METRICS_COUNTER,   /* only rises */
    METRICS_GAUGE,     /* rises and falls */
    METRICS_HISTOGRAM, /* distribution over buckets */
};

/* Makes an empty registry; owned. Loop thread. */
struct metrics *metrics_new(void);

/* Frees the registry and all that it lent; NULL allowed. Loop thread. */
void metrics_free(struct metrics *metrics);
DEFINE_CLEANUP(struct metrics *, metrics_free)

/*
 * Declares a family. `name` follows Prometheus' rules (asserted) and ends with its unit;
 * `label_names` holds up to METRICS_LABELS_MAX names, NULL-terminated, or is NULL; all texts are
 * borrowed for the registry's life. A second declaration with the same name returns the first. Loop
 * thread.
 */
struct metrics_family *metrics_declare(struct metrics *metrics, enum metrics_kind kind,
                                       const char *name, const char *help,
                                       const char *const *label_names);

/* Declares a histogram with rising bucket bounds (borrowed); +Inf is added. Loop thread. */
struct metrics_family *metrics_declare_histogram(struct metrics *metrics, const char *name,
                                                 const char *help, const char *const *label_names,
                                                 const double *bounds, size_t bound_count);

/*
 * Returns the series for these label values (as many as the family has names; copied), made at 0 if
 * new. Loop thread.
 */
struct metric *metrics_series(struct metrics_family *family, const char *const *label_values);

/* Returns the series of a family without labels. Loop thread. */
struct metric *metrics_single(struct metrics_family *family);

/* Adds `amount` ≥ 0 to a counter, or any amount to a gauge. Loop thread. */
void metric_add(struct metric *metric, double amount);

/* Sets a gauge. Loop thread. */
void metric_set(struct metric *metric, double value);

/* Adds one observation to a histogram. Loop thread. */
void metric_observe(struct metric *metric, double value);

/* Returns the present value of a counter or gauge: for tests and readiness. Loop thread. */
double metric_value(const struct metric *metric);

/*
 * Registers a function that refreshes gauges before each exposition (process memory, queue
 * lengths). Loop thread.
 */
void metrics_on_collect(struct metrics *metrics, void (*function)(void *argument), void *argument);

/* Appends the exposition text to `text`. ERR_TOO_LARGE if the buffer's limit is passed. Loop
 * thread. */
int metrics_print(struct metrics *metrics, struct buffer *text) MUST_CHECK;

/*
 * Declares and refreshes the process metrics (memory, CPU, descriptors, start time), as client
 * libraries do. Loop thread.
 */
void metrics_add_process(struct metrics *metrics);

#endif
