/*
 * How often people changed labels: a fold of the topic `issues`, for `newLabels`.
 *
 * Design: of each issue the newest time that a person put each label there and took it away is kept, as a
 * row of 8 bytes for each; names of labels and repositories stand once. A count walks all rows: some
 * milliseconds for a million, and it is asked for at most every few seconds. A change counts by its own
 * time (the event's), so the count is a function of the topic, whenever it was read.
 *
 * Of one label on one issue two changes count at most, the newest of each way: flapping is no new data.
 *
 * Invariants: at most LABELS_ISSUES_MAX issues with changes, and LABELS_CHANGES_MAX of each (the
 * newest); what is left out is counted in labels_left_out.
 */
#ifndef NODAG_TRAINER_LABELS_H
#define NODAG_TRAINER_LABELS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "topics/bus.h"

/* Most issues that people changed labels of: about 200 MB. */
#define LABELS_ISSUES_MAX 2000000

/* Most changes of one issue. */
#define LABELS_CHANGES_MAX 32

/* Most different names of labels, and of repositories. */
#define LABELS_NAMES_MAX 500000

/* A fold of `issues`. */
struct labels;

/* Makes an empty one; owned. */
struct labels *labels_new(void);

/* Frees it; NULL allowed. */
void labels_free(struct labels *labels);
DEFINE_CLEANUP(struct labels *, labels_free)

/* Folds one record. Owner's thread. */
void labels_apply(struct labels *labels, const struct bus_record *record);

/*
 * Counts people's changes after `since_ms` (since 1970; 0: all) of labels and in repositories that the
 * lists of globs match. Owner's thread.
 */
uint64_t labels_count(const struct labels *labels, const json_t *repositories,
                      const json_t *label_globs, int64_t since_ms);

/* Returns how many issues or changes were left out because of a limit. Owner's thread. */
size_t labels_left_out(const struct labels *labels);

#endif
