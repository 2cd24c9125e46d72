/*
 * `Labeler` documents: the desired state of the labeler.
 *
 * Design: what is right in a document by its form is topics/spec_schema.h's table, and whoever
 * publishes or reads one has checked that. Here its meaning begins: a set of plain structs, made anew
 * whenever the documents change, and the questions that the rest of the labeler has: which document
 * matches a repository, may this label be written, is this issue held back.
 *
 * Invariants: `labels.include` is never empty; trigger labels (labels on which automation elsewhere
 * acts) are written only where include names them literally; of two documents that match one
 * repository the set says so instead of choosing; a set does not change but by document_set_add.
 */
#ifndef NODAG_LABELER_DOCUMENT_H
#define NODAG_LABELER_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/spec_store.h"

/* What the comment under an issue is. */
enum document_comment {
    DOCUMENT_COMMENT_SILENT, /* none is written */
    DOCUMENT_COMMENT_EDIT,   /* one, edited */
};

/* What a new model means for issues that were labelled by an older one. */
enum document_relabel {
    DOCUMENT_RELABEL_NONE, /* nothing */
    DOCUMENT_RELABEL_OPEN, /* open ones are looked at again */
};

/* Where a model comes from. */
enum document_model_source {
    DOCUMENT_MODEL_FILE,       /* a file where the labeler runs */
    DOCUMENT_MODEL_VERSION,    /* a version, from the artefact store */
    DOCUMENT_MODEL_DEPLOYMENT, /* what a Deployment has rolled out */
};

/* One entry of `models`; owned by the set. */
struct document_model {
    enum document_model_source source; /* see there */
    const char *text;                  /* path, version, or name of the Deployment */
};

/* A list of texts; owned by the set. */
struct document_list {
    size_t count;       /* entries */
    const char **items; /* NUL-terminated */
};

/* One `Labeler` document; owned by its set. */
struct document {
    const char *name;                  /* metadata.name */
    struct document_list repositories; /* globs over owner/name, without regard to case */
    struct document_list include;      /* globs over labels as they are written */
    struct document_model *models;     /* at least one */
    size_t model_count;                /* of them */
    int64_t since_ms; /* events from before are not acted on; default: first published */
    enum document_relabel relabel; /* see there */
    enum document_comment comment; /* see there */
    json_t *value;                 /* the whole document */
    double holdback;               /* share of issues, 0..1, that are predicted and never written */
};

/* A set of documents. */
struct document_set;

/* Makes an empty set; owned. */
struct document_set *document_set_new(void);

/* Adds a document that was accepted by spec_check (keeps a reference), first published at that time
 * since 1970. Any thread. */
void document_set_add(struct document_set *set, json_t *document, int64_t first_published_ms);

/* Makes a set of all Labelers that are in force; owned. Any thread. */
struct document_set *document_set_from_specs(const struct spec_store *specs);

/* Frees a set; NULL allowed. */
void document_set_free(struct document_set *set);
DEFINE_CLEANUP(struct document_set *, document_set_free)

/* Returns how many documents there are. */
size_t document_count(const struct document_set *set);

/* Returns document `index` < count; borrowed. */
const struct document *document_at(const struct document_set *set, size_t index);

/*
 * Finds the document that matches "owner/name". ERR_NOT_FOUND: none; ERR_CONFLICT: two match, both
 * are named in the text. Borrowed result.
 */
int document_find(const struct document_set *set, const char *repository,
                  const struct document **ret_document, struct error *error) MUST_CHECK;

/* Returns true if two documents (NULL: none) say the same. */
bool document_equals(const struct document *left, const struct document *right);

/* Returns true if include allows writing this label: a glob matches, and it is no trigger label or
 * is named literally. */
bool document_includes_label(const struct document *document, const char *label);

/* Returns true for labels on which automation elsewhere acts (ok-to-test, lgtm, approved,
 * do-not-merge/…). */
bool document_is_trigger_label(const char *label);

/* Returns true if the issue with this key belongs to the audit's holdback: a hash of the key
 * decides, so always the same. */
bool document_holds_back(const struct document *document, const char *key);

#endif
