/*
 * What a Model document wants, with everything that the trainer needs of it: plain members instead of
 * JSON.
 *
 * Invariant: a wish is a function of its record; equal documents have equal hashes, wherever they stand.
 */
#ifndef NODAG_TRAINER_WISH_H
#define NODAG_TRAINER_WISH_H

#include <jansson.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "reactors/trainer/plan.h"
#include "topics/spec_record.h"

/* A wish. Texts that are not owned are borrowed from `document`. */
struct wish {
    struct plan_wish plan;       /* what the plan sees; its texts are this struct's */
    json_t *document;            /* owned reference; NULL: it was deleted */
    char *name;                  /* owned */
    char sha[DIGEST_TEXT_BYTES]; /* of the document */
    struct spec_place place;     /* owned texts; where it stands */
    const json_t *repositories;  /* list of globs */
    const json_t *labels;        /* list of globs */
    int64_t min_examples;        /* issues that must carry a label before it is learnt */
    const json_t *on_push;       /* list of globs, or NULL */
    const char *needs_sync_url;  /* or NULL */
    const char *notebook;        /* path in the repository */
    const json_t *parameters;    /* object, or NULL */
    const char *executor;        /* local, … */
    bool network;                /* a run may open connections */
    int64_t deadline_ms;         /* of a run */
    size_t keep_successful;      /* runs */
    size_t keep_failed;          /* runs */
};

/* Makes the wish of the Model `name` from its record (NULL: there is none); owned. Any thread. */
struct wish *wish_new(const char *name, const struct spec_record *record);

/* Frees it; NULL allowed. */
void wish_free(struct wish *wish);
DEFINE_CLEANUP(struct wish *, wish_free)

/* Returns true if any of a list of globs matches; false for NULL. Any thread. */
bool wish_matches(const json_t *globs, const char *text);

#endif
