/*
 * The nearest known name to one that is not known: the hint in "unknown option --brokrs; did you mean --brokers?".
 *
 * Design: Levenshtein distance over bytes. A name counts as near if at most a third of it (at least one, at most
 * three characters) must be changed; anything further would be a guess that misleads.
 *
 * Invariant: a pure function of its arguments.
 */
#ifndef NODAG_BASE_NEAREST_H
#define NODAG_BASE_NEAREST_H

#include <stddef.h>

/* Longest name that is compared; longer ones have no neighbours. */
#define NEAREST_NAME_MAX_BYTES 64

/*
 * Returns the element of `known` (`known_count` borrowed texts; NULL elements are skipped) that is nearest to
 * `name`, the first of several, or NULL if none is near. Any thread.
 */
const char *nearest_name(const char *name, const char *const *known, size_t known_count);

#endif
