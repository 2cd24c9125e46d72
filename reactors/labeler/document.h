/*
 * `Labeler` documents: the desired state of the labeler, as people write it.
 *
 * Design: one YAML text with one or several documents becomes an immutable set. Everything is
 * checked here, with file, line and column: unknown names, wrong types, patterns that two documents
 * share. What the rest of the labeler reads is plain structs.
 *
 * Invariants: `labels.include` is never empty; trigger labels (labels on which automation elsewhere
 * acts) are written only where include names them literally; of two documents that match one
 * repository the set says so instead of choosing.
 */
#ifndef NODAG_LABELER_DOCUMENT_H
#define NODAG_LABELER_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Most documents in one set. */
#define DOCUMENT_COUNT_MAX 256

/* Most entries of one list in a document. */
#define DOCUMENT_LIST_MAX 256

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
    struct document_list model_files;  /* paths of model files */
    int64_t since_ms;                  /* events from before are not acted on */
    enum document_relabel relabel;     /* see there */
    enum document_comment comment;     /* see there */
    double holdback; /* share of issues, 0..1, that are predicted and never written */
};

/* A set of documents. */
struct document_set;

/*
 * Reads a YAML text. `source` names it in errors. Owned result. ERR_INPUT with "source:line:column:
 * what, and what to do"; ERR_TOO_LARGE. Any thread.
 */
int document_set_parse(const char *source, const char *text, size_t text_bytes,
                       struct document_set **ret_set, struct error *error) MUST_CHECK;

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
