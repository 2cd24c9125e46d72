/*
 * The audit's holdback: which issues are predicted and never written.
 *
 * Design: a hash of the key draws a number in [0, 1) for each issue, always the same; an issue is held
 * back if it is below the share. So a larger share holds the same issues back and some more, and
 * everybody who knows the share knows which: the labeler, which does not write on them, and the data
 * set, in which what people put there is unbiased by what nodag would have put there.
 *
 * Invariant: pure.
 */
#ifndef NODAG_TOPICS_HOLDBACK_H
#define NODAG_TOPICS_HOLDBACK_H

#include <stdbool.h>

/* Returns true if the issue with this key (ID#number) belongs to a holdback of `share` (0..1). Any
 * thread. */
bool holdback_includes(const char *key, double share);

#endif
