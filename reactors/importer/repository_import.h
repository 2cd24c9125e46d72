/*
 * A repository's issues, read from the forge's REST API and published as history events.
 *
 * Design: issues are listed by their last change, the oldest first, from a time on; so the place of an
 * import is one time, and who goes on asks for what was changed at or after it. Pages are not
 * counted: an issue that somebody changes meanwhile moves to the end of the list, everything behind it moves up by one,
 * and a page by number would miss one. Each page asks anew from the time of the last issue seen.
 *
 *      since ──▶ [ 100 issues, by updated_at ] ──▶ since = updated_at of the last ──▶ …
 *                     │ each: its timeline → event → published
 *                     └ all acknowledged: that is the place
 *
 * Only where a whole page was changed within one second (a script did it) the pages of that second
 * are read by number, and again until a pass finds nothing new. What was seen of the second that is
 * asked from is known by what it said, so it is not read twice, and not missed if it changed within
 * that second.
 *
 * One request at a time, as GitHub asks of its clients; a stated share of its limit is used, the rest is left
 * to others. Failures that may pass are waited out.
 *
 * What REST does not show: issues that were deleted, or transferred away, before the import or after
 * it read them; they are only missing from the list.
 *
 * Invariants: the place never goes back, and everything before it is acknowledged; `ended` is told
 * once, last; no request is made while another is under way.
 */
#ifndef NODAG_IMPORTER_REPOSITORY_IMPORT_H
#define NODAG_IMPORTER_REPOSITORY_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "reactors/clients/forge.h"
#include "topics/bus.h"

/* Failures in a row that are waited out, unless it follows: about six minutes. */
#define REPOSITORY_IMPORT_TRIES_MAX 10

/* Longest text that says why it waits. */
#define REPOSITORY_IMPORT_WHY_BYTES 320

/* What to import; texts borrowed until repository_import_new returns. */
struct repository_import_settings {
    const char *repository; /* owner/name, an old name too */
    int64_t repository_id;  /* which it must be; 0: any */
    int64_t since_ms;       /* issues changed at or after this, since 1970; 0: all */
    double share;           /* of the forge's limit that may be used, 0..1 */
    bool follow;            /* go on polling at the end of the list */
    int64_t interval_ms;    /* between polls */
};

/* How far it is; borrowed for the callback. */
struct repository_import_progress {
    const char *repository; /* owner/name as it is now; NULL: not known yet */
    int64_t repository_id;  /* 0: not known yet */
    size_t published;       /* events acknowledged */
    size_t pull_requests;   /* passed over */
    size_t gone;            /* listed, and deleted before their timeline was read */
    size_t unknown_hands;   /* their timeline is too long: by whom labels are is unknown */
    size_t skipped;         /* could not be events; told by `noticed` */
    int64_t first_ms;       /* updated_at of the first issue seen; -1: none yet */
    int64_t read_ms;        /* updated_at of the last issue read; -1: none yet */
    int64_t place_ms;       /* see above */
    bool is_resting;        /* at the end of the list, until the next poll */
    int64_t wait_ms;        /* it waits for this long; 0: it does not */
    char why[REPOSITORY_IMPORT_WHY_BYTES]; /* why it waits */
    struct forge_quota quota;              /* what is left of the limit */
};

/* Whom to tell; loop thread. */
struct repository_import_handler {
    /* Something of the progress changed. */
    void (*progress)(void *argument, const struct repository_import_progress *progress);
    /* The place went on. */
    void (*placed)(void *argument, int64_t repository_id, int64_t place_ms);
    /* Something that a person should know, one line; it goes on. */
    void (*noticed)(void *argument, const char *text);
    /* It is over: 0, ERR_CANCELLED after repository_import_stop, or why not. May free the import. */
    void (*ended)(void *argument, int code, const struct error *error);
};

/* An import. */
struct repository_import;

/* Makes and starts one; everything borrowed. Owned. Loop thread. */
struct repository_import *repository_import_new(struct loop *loop, struct forge *forge,
                                                struct bus *bus, const char *source,
                                                const struct repository_import_settings *settings,
                                                const struct repository_import_handler *handler,
                                                void *argument);

/* Frees it; the bus must have been freed before if it has not ended. NULL allowed. Loop thread. */
void repository_import_free(struct repository_import *import);
DEFINE_CLEANUP(struct repository_import *, repository_import_free)

/* Stops: what is published is waited for, then `ended` is told ERR_CANCELLED. Loop thread. */
void repository_import_stop(struct repository_import *import);

/* How far it is; borrowed until the import goes on. Loop thread. */
const struct repository_import_progress *
repository_import_progress(const struct repository_import *import);

#endif
