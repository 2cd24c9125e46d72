/*
 * What an import read of the second that it asks from: an issue is known again by what it said.
 *
 * Design: a list in order of reading; it holds one page and the issues of one second, so it is searched
 * from its end.
 */
#ifndef NODAG_IMPORTER_SEEN_H
#define NODAG_IMPORTER_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* What was seen. */
struct seen;

/* Makes an empty one; owned. Any thread. */
struct seen *seen_new(void);

/* Frees it; NULL allowed. */
void seen_free(struct seen *seen);
DEFINE_CLEANUP(struct seen *, seen_free)

/* Remembers an issue as it was at `updated_ms`: by a hash of `value`. */
void seen_add(struct seen *seen, int64_t number, int64_t updated_ms, const char *value,
              size_t value_bytes);

/* Returns true if it was seen like this. */
bool seen_has(const struct seen *seen, int64_t number, int64_t updated_ms, const char *value,
              size_t value_bytes);

/* Returns how many are remembered. */
size_t seen_count(const struct seen *seen);

/* Forgets all but the first `count`. */
void seen_cut(struct seen *seen, size_t count);

/* Forgets those changed before a time. */
void seen_forget_before(struct seen *seen, int64_t time_ms);

#endif
