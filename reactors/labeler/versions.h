/*
 * Versions of models from the registry: what the topic `models` says of them, and the ones that the
 * documents name, fetched and loaded.
 *
 *      topic `models` ──apply──▶ version_table.h: content, size, collected
 *                                           │
 *      documents ──want──▶ UNKNOWN ─▶ QUEUED ─▶ FETCHING ─▶ LOADING ─▶ LOADED
 *                             │         ▲ │        │            │
 *                         COLLECTED     │ └────────┴────────────┴─▶ FAILED
 *                                       └──────── backoff ─────────────┘
 *
 * Design: a wanted version is fetched from the artefact store into a folder (model_cache.h) by the store's own streaming
 * client, which compares the SHA-256, and then digested again piece by piece while it is loaded: so a
 * file of the folder that went bad is found too, and no step holds up the loop. What fails is tried
 * again with backoff, for ever: the store may come back, a damaged artefact may be mended.
 *
 * Invariants: a model is given out only while its content's SHA-256 is the one that the topic said
 * when it was loaded; what was loaded stays until something newer of the same version is, or nobody
 * wants it; one is fetched or loaded at a time, so that the folder's limit holds.
 */
#ifndef NODAG_LABELER_VERSIONS_H
#define NODAG_LABELER_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "reactors/classifier/classifier.h"
#include "reactors/clients/artefacts.h"
#include "reactors/labeler/model_cache.h"
#include "topics/bus.h"

/* Wait after the first failure; it doubles. */
#define VERSIONS_BACKOFF_LEAST_MS 1000

/* Longest wait where the store is away. */
#define VERSIONS_BACKOFF_MOST_MS 60000

/* Longest wait where a person must mend something: what is damaged is not fetched every minute. */
#define VERSIONS_BACKOFF_MENDED_MS (10LL * 60 * 1000)

/* Where versions come from; texts are borrowed for the life of `struct versions`. */
struct versions_settings {
    struct artefact_settings artefacts; /* --artefacts… */
    struct model_cache cache;           /* --model-cache… */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct versions_settings. */
#define VERSIONS_OPTION_ROWS(type, member)                                                         \
    ARTEFACT_OPTION_ROWS(type, member.artefacts),                                                  \
        {.name = "model-cache",                                                                    \
         .kind = OPTION_FILE,                                                                      \
         .offset = offsetof(type, member.cache.folder),                                            \
         .default_value = "/var/cache/nodag/models",                                               \
         .value_name = "DIR",                                                                      \
         .help = "Folder for models fetched from there. Replicas of one machine may share it."},   \
    {                                                                                              \
        .name = "model-cache-size", .kind = OPTION_BYTES,                                          \
        .offset = offsetof(type, member.cache.most_bytes), .default_value = "2GiB", .least = 1024, \
        .most = INT64_C(1) << 50,                                                                  \
        .help = "Most bytes of that folder; what was used longest ago is removed."                 \
    }

/* All versions. */
struct versions;

/*
 * Makes an empty one. `loop`, `http` (NULL: no store but a folder) and `metrics` (NULL allowed) are
 * borrowed. `changed(argument)` is called after a version was loaded. A file store is opened, and its
 * folder made, only when a version is wanted: who uses none needs none. Owned. The codes of
 * artefact_store_new. Loop thread.
 */
int versions_new(struct loop *loop, struct http_client *http, struct metrics *metrics,
                 const struct versions_settings *settings, loop_fn changed, void *argument,
                 struct versions **ret_versions, struct error *error) MUST_CHECK;

/* Cancels what is under way and frees; NULL allowed. Loop thread. */
void versions_free(struct versions *versions);
DEFINE_CLEANUP(struct versions *, versions_free)

/* Folds one record of `models` (borrowed). Loop thread. */
void versions_apply(struct versions *versions, const struct bus_record *record);

/* The topic has been read to the end that it had: what is not there is said from now on. Loop thread. */
void versions_are_read(struct versions *versions);

/*
 * Says which versions are needed from now on (names are copied; one may stand twice): new ones are
 * fetched, others are freed. Loop thread.
 */
void versions_want(struct versions *versions, const char *const *names, size_t count);

/* Returns a wanted version's model, NULL until it is loaded; borrowed until the next call of
 * versions_want or `changed`. Loop thread. */
const struct classifier *versions_find(const struct versions *versions, const char *name);

/*
 * Says why a wanted version cannot be used yet. ERR_UNAVAILABLE: it will be tried again by itself;
 * ERR_NOT_FOUND (collected), ERR_CORRUPT, ERR_DENIED, ERR_INPUT, ERR_TOO_LARGE, ERR_UNSUPPORTED: a
 * person must change something. ERR_BUG where it can be used. Loop thread.
 */
int versions_why_not(const struct versions *versions, const char *name,
                     struct error *error) MUST_CHECK;

/* A person asks to look again: what failed is tried at once. Loop thread. */
void versions_retry(struct versions *versions);

#endif
