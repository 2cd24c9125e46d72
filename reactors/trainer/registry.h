/*
 * The registry: what runs there were and which versions of models exist. Folds of the topics `runs` and
 * `models`.
 *
 *      topic ──apply──▶ ┐
 *                       ├─▶ record by key, with the offset that it came at
 *      own publish ─────┘   (its acknowledgement comes before the reader brings it back)
 *
 * Design: what was published and acknowledged counts at once, and what the reader brings later from an
 * older offset does not undo it. So the next plan never sees less than the last action did.
 *
 * What was erased at a person's request stays so: a record that was written by somebody who had not read
 * that yet gets it back (topics/record_erased.h), whichever of the two is read first.
 *
 * Invariants: a record is replaced by one of a higher offset only; at most REGISTRY_RECORDS_MAX of each;
 * a record that cannot be read changes nothing and is counted.
 */
#ifndef NODAG_TRAINER_REGISTRY_H
#define NODAG_TRAINER_REGISTRY_H

#include "topics/bus.h"
#include "topics/model_record.h"
#include "topics/run_record.h"

/* Most runs, and most versions: some KB each. History limits keep them far below it. */
#define REGISTRY_RECORDS_MAX 100000

/* Folds of `runs` and `models`. */
struct registry;

/* Makes an empty one; owned. */
struct registry *registry_new(void);

/* Frees it; NULL allowed. */
void registry_free(struct registry *registry);
DEFINE_CLEANUP(struct registry *, registry_free)

/*
 * Folds one record of `runs` or `models`. Returns the name of the model that it is about (borrowed
 * until the next change), or NULL where nothing changed. Owner's thread.
 */
const char *registry_apply(struct registry *registry, const struct bus_record *record);

/*
 * Takes note of a run record (taken; NULL: tombstone of `name`) that stands at `offset`. Returns true if it
 * did not know of an erasure: then what the registry has is to be published again. Owner's thread.
 */
bool registry_put_run(struct registry *registry, const char *name, struct run_record *record,
                      int64_t offset);

/* Likewise for a version's record; its key is its own. Owner's thread. */
bool registry_put_model(struct registry *registry, struct model_record *record, int64_t offset);

/*
 * Lists the runs of a model (NULL: of all), oldest first by creation and name; owned array of borrowed
 * records. Owner's thread.
 */
const struct run_record **registry_list_runs(const struct registry *registry, const char *model,
                                             size_t *ret_count);

/* Likewise the versions of a model, collected ones among them. Owner's thread. */
const struct model_record **registry_list_models(const struct registry *registry, const char *model,
                                                 size_t *ret_count);

/* Returns a run by name, or NULL; borrowed until the next change. Owner's thread. */
const struct run_record *registry_find_run(const struct registry *registry, const char *name);

/* Returns a version by its model and version, or NULL; borrowed until the next change. */
const struct model_record *registry_find_model(const struct registry *registry, const char *model,
                                               const char *version);

/*
 * Returns the newest version of a model that is not collected, or NULL; borrowed likewise. Newest is what was
 * published last: times lie when clocks are moved, and two may be equal.
 */
const struct model_record *registry_newest(const struct registry *registry, const char *model);

/* Returns how many records could not be read, or were over the limit. Owner's thread. */
size_t registry_refused(const struct registry *registry);

#endif
