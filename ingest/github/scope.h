/*
 * The scope of a secret: whose events it may sign.
 *
 * Design: a secret is known to the people who set a webhook up; its scope says how far their word goes. A scope
 * is a list of patterns, each of one of these forms:
 *
 *      *               everything
 *      owner           an organisation or user: all its repositories, and events about itself
 *      owner/pattern   repositories whose name matches (`*` any run of characters, `?` one); with `*` alone after the
 *                      slash it equals owner
 *
 * A payload is inside if everything that it names is: its repository (repository.full_name), that repository's
 * owner, its organisation and the account of its installation. Owners need no pattern of their own where they
 * own the repository that was allowed. So a secret for one repository can speak about that repository, but not
 * about the organisation as a whole (`installation`, `membership`, …). A payload that names nobody (security
 * advisories, an App's ping) is inside every scope. GitHub's names do not depend on case; neither does this.
 *
 * Invariant: what is named in an odd way (no text, too long, characters that GitHub has in no name) is outside
 * of every scope but `*`.
 */
#ifndef NODAG_INGEST_GITHUB_SCOPE_H
#define NODAG_INGEST_GITHUB_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "ingest/github/payload.h"

/* Most patterns of one scope: an organisation with more repositories than that is named as a whole. */
#define SCOPE_PATTERNS_MAX 256

/* Longest pattern: GitHub's longest owner (39) and repository name (100), and some. */
#define SCOPE_PATTERN_MAX_BYTES 255

/* A scope; all zero is one in which nothing that is named is inside. */
struct scope {
    bool is_everything; /* a pattern was `*` */
    size_t count;       /* of patterns */
    char **patterns;    /* owned texts in an owned array */
};

/*
 * Adds a pattern (copied). ERR_INPUT if it has none of the forms, ERR_TOO_LARGE beyond SCOPE_PATTERNS_MAX. Any
 * thread.
 */
int scope_add(struct scope *scope, const char *pattern, struct error *error) MUST_CHECK;

/* Frees the patterns; the scope is empty then. Any thread. */
void scope_release(struct scope *scope);

/* Returns 0 if the payload is inside; ERR_DENIED with what lies outside. Any thread. */
int scope_check(const struct scope *scope, const struct payload *payload,
                struct error *error) MUST_CHECK;

#endif
