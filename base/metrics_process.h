/*
 * The metrics that every Prometheus client library has about its process: what metrics_add_process adds.
 * Source: the Prometheus project's "Writing client libraries" page (process metrics); proc(5).
 *
 * Design: apart from metrics.c, which knows nothing of /proc. Only metrics.c includes this.
 *
 * Invariant: what cannot be read keeps its last value; a metric is never a failure.
 */
#ifndef NODAG_BASE_METRICS_PROCESS_H
#define NODAG_BASE_METRICS_PROCESS_H

#include "base/metrics.h"

/* The handles of the process metrics. */
struct metrics_process;

/* Declares the process metrics in `metrics` (borrowed); owned. Loop thread. */
struct metrics_process *metrics_process_new(struct metrics *metrics);

/* Reads /proc and refreshes the metrics. Loop thread. */
void metrics_process_refresh(struct metrics_process *process);

/* Frees the handles; NULL allowed. Loop thread. */
void metrics_process_free(struct metrics_process *process);

#endif
