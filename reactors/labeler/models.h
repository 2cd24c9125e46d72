/*
 * The models of the labeler's documents: loaded once, shared, loaded again when their file changes.
 *
 * Design: one entry for each path. A file that cannot be loaded is said once (log, metric) and the
 * last good model of that path stays in force; a path without any good model yet makes its
 * documents' keys wait. Several models of one document are joined: the union of their labels, and
 * for a label that two know the more probable opinion.
 *
 * Invariant: a model is never changed in place; a job uses a model only within one turn of the
 * loop.
 */
#ifndef NODAG_LABELER_MODELS_H
#define NODAG_LABELER_MODELS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/metrics.h"
#include "reactors/classifier/classifier.h"
#include "reactors/labeler/document.h"

/* Words that speak for a label, at most. */
#define MODELS_WORDS_MAX 4

/* One label as the models of a document see it; borrowed from the opinion. */
struct model_opinion_label {
    struct classifier_score score; /* label text borrowed from the model */
    const char *model;             /* version of the model, borrowed */
    char *words; /* owned: words that speak for it, '\n' between them; "" unless asked for */
};

/* What the models of a document say of one text. */
struct model_opinion {
    struct model_opinion_label *labels; /* owned */
    size_t label_count;                 /* of them */
    char *version;                      /* owned: versions joined by '+', as records have it */
};

/* All models. */
struct models;

/* Makes an empty collection; `metrics` may be NULL. Owned. Loop thread. */
struct models *models_new(struct metrics *metrics);

/* Frees it; NULL allowed. Loop thread. */
void models_free(struct models *models);
DEFINE_CLEANUP(struct models *, models_free)

/* Loads what the documents name and is new or has changed (by path). Returns the number that could
 * not be loaded. Loop thread. */
size_t models_load(struct models *models, const struct document_set *documents);

/* Puts a model under a path by hand (takes it): for tests and the simulation. Loop thread. */
void models_put(struct models *models, const char *path, struct classifier *classifier);

/* Returns the joined version of a document's models (borrowed until the next load), NULL if one has
 * no good file yet. Loop thread. */
const char *models_version(struct models *models, const struct document *document);

/*
 * Asks a document's models for an issue's labels; with `with_words`, for predicted ones also why.
 * Owned result. ERR_UNAVAILABLE: one of the models has no good file yet; ERR_UNSUPPORTED: one comes
 * from a version or a Deployment. Loop thread.
 */
int models_ask(struct models *models, const struct document *document,
               const struct classifier_issue *issue, bool with_words,
               struct model_opinion **ret_opinion, struct error *error) MUST_CHECK;

/* Frees an opinion; NULL allowed. */
void model_opinion_free(struct model_opinion *opinion);
DEFINE_CLEANUP(struct model_opinion *, model_opinion_free)

#endif
