/*
 * What a source of documents may define: `allow: {names, targets, labels}` of the door's
 * configuration.
 *
 * Design: three lists of globs; an absent list allows everything. `names`: what its documents may be
 * called, "NAME" or "KIND/NAME". `targets`: what they may act on: the repositories of Labelers and
 * the target repositories of Deployments. `labels`: what its Labelers may include. A document's glob
 * is allowed only if everything that it can match is (spec_glob_covers).
 *
 * Invariant: pure functions; where it cannot be told, it is not allowed.
 */
#ifndef NODAG_TOPICS_SPEC_ALLOW_H
#define NODAG_TOPICS_SPEC_ALLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "topics/spec_schema.h"

/* A list of globs; everything borrowed. */
struct spec_globs {
    bool is_set;              /* false: everything is allowed */
    size_t count;             /* entries; 0 with is_set: nothing is allowed */
    const char *const *items; /* NUL-terminated */
};

/* What a source may define; all zero: everything. */
struct spec_allow {
    struct spec_globs names;   /* see above */
    struct spec_globs targets; /* see above */
    struct spec_globs labels;  /* see above */
};

/* Returns true if a source may define a document of this kind and name. Any thread. */
bool spec_allows_name(const struct spec_allow *allow, enum spec_kind kind, const char *name);

/*
 * Returns NULL if a valid document keeps to targets and labels, else what it is that its source may
 * not define; owned, for people. Any thread.
 */
char *spec_allow_breach(const struct spec_allow *allow, enum spec_kind kind,
                        const json_t *document);

#endif
