/*
 * Which versions are in use: a fold of the topics `deployments` and `serving`.
 *
 * Design: every text in their records that could be a version counts as named, wherever it stands: a
 * version that is wanted, current, proposed, loaded, pinned. So a new member of those records can keep a
 * version that nobody needs, and can never lose one that somebody does. A record that cannot be read, or
 * has too many texts, protects everything.
 *
 * Invariant: at most NAMED_RECORDS_MAX records with NAMED_TEXTS_MAX texts each.
 */
#ifndef NODAG_TRAINER_NAMED_H
#define NODAG_TRAINER_NAMED_H

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "topics/bus.h"

/* Most records; beyond them everything is protected. */
#define NAMED_RECORDS_MAX 20000

/* Most texts of one record. */
#define NAMED_TEXTS_MAX 512

/* The fold. */
struct named;

/* Makes an empty one; owned. */
struct named *named_new(void);

/* Frees it; NULL allowed. */
void named_free(struct named *named);
DEFINE_CLEANUP(struct named *, named_free)

/* Folds one record of either topic. Owner's thread. */
void named_apply(struct named *named, const struct bus_record *record);

/* Returns true if a record names the version, alone or as MODEL/VERSION, or if that is not known. */
bool named_has(const struct named *named, const char *model, const char *version);

/* Returns true if any text within a JSON value is the version, alone or as MODEL/VERSION. Any thread. */
bool named_in(const json_t *value, const char *model, const char *version);

#endif
