/*
 * The one comment under an issue: its text, and how it is found again.
 *
 * Design: a hidden marker (an HTML comment) names nodag's comment; only a comment by nodag's own
 * account with the marker at its start counts. The text is a function of decisions and reasons, so
 * an unchanged decision writes nothing; and what nodag is about to do reads like what its next look
 * finds done, or every first look back would edit the comment.
 *
 * Invariant: nothing that came from an issue or a label can mention, link or close anything: it
 * stands in code spans without backticks, bars and line ends.
 */
#ifndef NODAG_LABELER_COMMENT_H
#define NODAG_LABELER_COMMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "reactors/labeler/plan.h"

/* The marker, at the start of the comment. */
#define COMMENT_MARKER "<!-- nodag:labeler -->"

/* Largest comment: GitHub's limit is 65,536 characters. */
#define COMMENT_MAX_BYTES 60000

/* Most rows of the table: labels that matter, best first. */
#define COMMENT_ROWS_MAX 12

/* Labels that are not predicted are shown from this probability. */
#define COMMENT_LEAST_PROBABILITY 0.05

/* Returns true if the body is one of nodag's comments. */
bool comment_has_marker(const char *body);

/*
 * Writes the comment. `words[i]` (or NULL) are the words that speak for candidate i, as plain text
 * parts separated by '\n'. Owned result, never NULL.
 */
char *comment_write(const struct plan_input *input, const struct plan *plan,
                    const char *const *words);

#endif
