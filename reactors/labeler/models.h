/*
 * The models of the labeler's documents: loaded once, shared, loaded again when their file changes.
 *
 * Design: one entry for each path; versions of the registry come from versions.h. A file that cannot
 * be loaded is said once (log, metric) and the last good model of that path stays in force. A document
 * that names other models keeps those that it had until all of the new ones can be used; without any
 * that can be used its keys wait. Several models of one document are joined: the union of their labels,
 * and for a label that two know the more probable opinion.
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
#include "reactors/labeler/versions.h"

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

/* Says where versions come from (borrowed for the models' life); without it documents cannot use them.
 * Loop thread. */
void models_use_versions(struct models *models, struct versions *versions);

/* Folds a record of the topic `models` (borrowed). Loop thread. */
void models_apply(struct models *models, const struct bus_record *record);

/* The topic `models` has been read to the end that it had. Loop thread. */
void models_are_read(struct models *models);

/* Loads the files that the documents name, and settles. Returns the number of files that could not be
 * loaded. Loop thread. */
size_t models_load(struct models *models, const struct document_set *documents);

/*
 * Decides for each document which models are in force, and lets versions.h fetch what is needed: after
 * the documents or a version have changed. Loop thread.
 */
void models_settle(struct models *models, const struct document_set *documents);

/* Puts a model under a path by hand (takes it): for tests and the simulation. Loop thread. */
void models_put(struct models *models, const char *path, struct classifier *classifier);

/* Returns the joined version of the models that are in force for a document (borrowed until the next
 * call), NULL if there are none yet. Loop thread. */
const char *models_version(struct models *models, const struct document *document);

/*
 * Asks a document's models for an issue's labels; with `with_words`, for predicted ones also why.
 * Owned result. ERR_UNAVAILABLE: one of the models cannot be used yet; ERR_UNSUPPORTED: one comes from a
 * Deployment; versions_why_not's codes: a person must change something. Loop thread.
 */
int models_ask(struct models *models, const struct document *document,
               const struct classifier_issue *issue, bool with_words,
               struct model_opinion **ret_opinion, struct error *error) MUST_CHECK;

/* Frees an opinion; NULL allowed. */
void model_opinion_free(struct model_opinion *opinion);
DEFINE_CLEANUP(struct model_opinion *, model_opinion_free)

#endif
