/*
 * A trained model in use: load its file, ask for label probabilities, ask why.
 *
 * Design: this is all that a reactor needs. The file is mapped, not copied, and checked completely
 * at load (checksum over everything, then every count, offset and size), so that nothing after the
 * load can fail on what the file says. A loaded model is immutable: there is no global state, and
 * predicting allocates its own scratch memory, so one model may serve many threads.
 *
 *     text ─▶ features ─▶ one calibrated logit a label ─▶ probability ─▶ threshold ─▶ predicted
 *
 * Invariants: a label that is not predictable is never predicted; of an exclusive group at most one
 * label is.
 */
#ifndef NODAG_CLASSIFIER_CLASSIFIER_H
#define NODAG_CLASSIFIER_CLASSIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/*
 * Characters of a model's short version, with the terminating NUL: the first 12 hex digits of its
 * SHA-256.
 */
#define CLASSIFIER_VERSION_BYTES 13

/* Characters of a SHA-256 in hex, with the terminating NUL. */
#define CLASSIFIER_SHA256_BYTES 65

/* A loaded model. */
struct classifier;

/*
 * One issue to look at. All pointers are borrowed for the call; any bytes are allowed, NUL and bad
 * UTF-8 too.
 */
struct classifier_issue {
    const char *title;      /* may be NULL if title_bytes is 0 */
    size_t title_bytes;     /* only the first TEXT_TITLE_BYTES_MAX of text.h are read */
    const char *body;       /* may be NULL if body_bytes is 0 */
    size_t body_bytes;      /* only the first TEXT_BODY_BYTES_MAX of text.h are read */
    const char *repository; /* "owner/name"; NULL or unknown: what all repositories share */
};

/* What the model knows about one label. Borrowed from the model. */
struct classifier_label {
    const char *name; /* UTF-8 */
    double threshold; /* probability from which it is predicted, 0..1; above 1 if not predictable */
    bool predictable; /* false: it did not reach the precision target, it is never predicted */
    const char *reason;  /* why it is not predictable; "" if it is */
    int exclusive_group; /* number of its exclusive group, from 0; -1 for none */
    uint32_t examples;   /* training rows that carried it */
    double precision;    /* at the threshold, estimated on held-out rows; NaN if not predictable */
    double recall;       /* at the threshold, on held-out rows; NaN if not predictable */
    uint32_t held_out_examples; /* held-out rows that carried it */
};

/* The model's opinion of one label for one issue. */
struct classifier_score {
    const char *label;  /* borrowed from the model */
    double probability; /* calibrated, 0..1 */
    double threshold;   /* as in classifier_label */
    bool predictable;   /* as in classifier_label */
    bool predicted; /* probability ≥ threshold, predictable, and the best of its exclusive group */
};

/* One word (or word pair, piece of a word, template line …) and what it did for a label. */
struct classifier_reason {
    char *text; /* owned by the explanation; valid UTF-8, printable, e.g. "panic", "does anyone" */
    const char *field;   /* "title", "body", "text" (both), "code", "form", "shape"; static */
    double contribution; /* added to the logit; shared and per-repository parts together */
};

/* Why a label got its probability. Freed by classifier_explanation_free(). */
struct classifier_explanation {
    double probability;  /* = 1 / (1 + exp(-logit)) */
    double logit;        /* = bias + the contributions of the reasons + rest */
    double bias;         /* what the label gets before any word */
    double rest;         /* contributions of the words that were not among the top ones */
    size_t reason_count; /* entries in reasons */
    struct classifier_reason *reasons; /* owned; largest absolute contribution first */
};

/*
 * Maps and checks a model file. `path` is borrowed. `*ret_classifier` (owned) is freed by
 * classifier_free(). The file must not be changed in place while it is mapped; nodag itself only
 * ever renames a new one over it. ERR_NOT_FOUND no such file; ERR_IO it cannot be read;
 * ERR_TOO_LARGE; ERR_UNSUPPORTED a newer format; ERR_CORRUPT damaged, cut short or not a model.
 * `error` says which check failed and what to do. Any thread.
 */
int classifier_load(const char *path, struct classifier **ret_classifier,
                    struct error *error) MUST_CHECK;

/* A load that is done piece by piece: a file of many MB must not hold up an event loop. */
struct classifier_loading;

/*
 * Maps a model file as classifier_load() does, and checks its beginning; the rest is for
 * classifier_loading_step(). `*ret_loading` is owned. The codes of classifier_load(). Any thread.
 */
int classifier_loading_new(const char *path, struct classifier_loading **ret_loading,
                           struct error *error) MUST_CHECK;

/*
 * Digests the next `piece_bytes` of the file; after the last ones checks everything else (some
 * milliseconds at most) and then gives the model, owned, in `*ret_classifier`, which is NULL until
 * then. After an error or the model the loading can only be freed. The codes of classifier_load().
 * Owner's thread.
 */
int classifier_loading_step(struct classifier_loading *loading, size_t piece_bytes,
                            struct classifier **ret_classifier, struct error *error) MUST_CHECK;

/* Frees a loading; NULL is fine. Owner's thread. */
void classifier_loading_free(struct classifier_loading *loading);

DEFINE_CLEANUP(struct classifier_loading *, classifier_loading_free)

/*
 * As classifier_load(), from memory, for tests and fuzzing: `bytes` is borrowed until the model is
 * freed and must be aligned to 8 bytes. ERR_UNSUPPORTED, ERR_CORRUPT and ERR_TOO_LARGE as above.
 * Any thread.
 */
int classifier_load_bytes(const void *bytes, size_t byte_count, struct classifier **ret_classifier,
                          struct error *error) MUST_CHECK;

/* Unmaps a model; NULL is fine. Any thread, when nobody uses it any more. */
void classifier_free(struct classifier *classifier);

DEFINE_CLEANUP(struct classifier *, classifier_free)

/*
 * Returns the short version (12 hex digits of the file's SHA-256), borrowed from the model. Any
 * thread.
 */
const char *classifier_version(const struct classifier *classifier);

/* Returns the whole SHA-256 of the file in hex, borrowed from the model. Any thread. */
const char *classifier_sha256(const struct classifier *classifier);

/*
 * Returns the JSON header (provenance, features, labels, metrics; NUL-terminated), borrowed. Any
 * thread.
 */
const char *classifier_header_json(const struct classifier *classifier);

/* Returns the number of labels, at least 1. Any thread. */
size_t classifier_label_count(const struct classifier *classifier);

/* Returns label number `index` (0 … count-1), borrowed from the model. Any thread. */
const struct classifier_label *classifier_label_at(const struct classifier *classifier,
                                                   size_t index);

/*
 * Scores every label for one issue, in the model's order. `ret_scores` has room for
 * classifier_label_count() entries. It cannot fail: any bytes are an issue. Linear in the bounded
 * text; under a millisecond. Any thread.
 */
void classifier_predict(const struct classifier *classifier, const struct classifier_issue *issue,
                        struct classifier_score *ret_scores);

/*
 * Says which words made label number `label_index` likely or unlikely, the `reason_max` strongest
 * by name, the others summed. `*ret_explanation` is filled; free its content by
 * classifier_explanation_free(). Any thread.
 */
void classifier_explain(const struct classifier *classifier, const struct classifier_issue *issue,
                        size_t label_index, size_t reason_max,
                        struct classifier_explanation *ret_explanation);

/* Frees the content of an explanation and empties it. Any thread. */
void classifier_explanation_free(struct classifier_explanation *explanation);

#endif
