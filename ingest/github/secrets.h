/*
 * The webhook secrets: a set that is read whole, looked up by headers and replaced whole.
 *
 * Design: the configuration is one YAML document:
 *
 *      secrets:
 *        - id: kubeflow-2026            # names the secret in metrics, logs and the header ce_githubsecretid
 *          file: /run/secrets/kubeflow  # the secret; relative paths start at the configuration's folder
 *          hook_id: 109948940           # for this hook (X-GitHub-Hook-ID) …
 *          organisations: [kubeflow]
 *        - id: app
 *          file: app-secret
 *          target_type: integration     # … or for this target (X-GitHub-Hook-Installation-Target-Type and -ID) …
 *          target_id: 29310
 *          organisations: ["*"]
 *        - id: default                  # … or for whatever has no secret of its own
 *          file: default-secret
 *          repositories: [octo/kube*, octocat/hello-?]
 *
 * The candidates of a delivery are the secrets of its hook; if there are none, those of its target; if there
 * are none, the defaults. A hook that has a secret of its own is not opened by any other. Several secrets with
 * the same hook, target or default are all valid: that is how one is rotated. A scope is required (scope.h):
 * `organisations: ["*"]` says everything.
 *
 * Invariants: a set is immutable and counted: a delivery holds the set that it began with; a configuration with
 * any fault makes no set; at most SECRETS_CANDIDATES_MAX candidates for any headers; ids are unique.
 */
#ifndef NODAG_INGEST_GITHUB_SECRETS_H
#define NODAG_INGEST_GITHUB_SECRETS_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/error.h"
#include "ingest/github/head.h"
#include "ingest/github/scope.h"

/* Most secrets of one set: each is a series of a metric (base/metrics.h keeps 1000 of a family). */
#define SECRETS_MAX 900

/* Most secrets that a delivery is tried with: each costs an HMAC over the whole body. */
#define SECRETS_CANDIDATES_MAX 8

/* Longest id of a secret. */
#define SECRET_ID_MAX_BYTES 64

/* Where a secret is looked up: key of the lookup, with a NUL. */
#define SECRET_LOOKUP_BYTES (HEAD_TARGET_TYPE_MAX_BYTES + HEAD_ID_MAX_BYTES + 16)

/* One secret. */
struct secret {
    char *id;                         /* owned */
    char *file;                       /* owned */
    struct hmac_key *key;             /* owned */
    struct scope scope;               /* whose events it may sign */
    char lookup[SECRET_LOOKUP_BYTES]; /* "hook 5", "target integration 7", or "" for the defaults */
};

/* A set of secrets. */
struct secrets;

/*
 * A set as text: reads the configuration from memory. See secrets_load for the rest. `read_secret` reads one
 * secret's file.
 */
struct secrets_source {
    const char *path;  /* of the configuration, for errors and relative paths */
    const char *text;  /* the configuration; not NUL-terminated */
    size_t text_bytes; /* its length */
    /* Reads a secret from its file into `secret`; see file_read_secret. */
    int (*read_secret)(const char *path, struct buffer *secret, struct error *error);
};

/*
 * Reads a configuration file and the secrets that it names. ERR_INPUT, ERR_TOO_LARGE with file, line and
 * column; ERR_NOT_FOUND, ERR_DENIED, ERR_IO with the path. Owned. Loop thread.
 */
int secrets_load(const char *path, struct secrets **ret_secrets, struct error *error) MUST_CHECK;

/* As secrets_load, from memory: for tests and the fuzz target. Owned. Any thread. */
int secrets_parse(const struct secrets_source *source, struct secrets **ret_secrets,
                  struct error *error) MUST_CHECK;

/*
 * Makes a set of one secret, with the id "default", for all hooks; `patterns` are its scope. Owned. Errors as
 * secrets_load. Loop thread.
 */
int secrets_load_single(const char *file, const char *const *patterns, size_t pattern_count,
                        struct secrets **ret_secrets, struct error *error) MUST_CHECK;

/* Counts one more holder; returns `secrets`. Loop thread. */
struct secrets *secrets_hold(struct secrets *secrets);

/* Counts one holder less; the last one wipes and frees. NULL allowed. Loop thread. */
void secrets_free(struct secrets *secrets);
DEFINE_CLEANUP(struct secrets *, secrets_free)

/* Returns how many secrets the set has: 1..SECRETS_MAX. Any thread. */
size_t secrets_count(const struct secrets *secrets);

/* Returns a secret, index < count; borrowed. Any thread. */
const struct secret *secrets_at(const struct secrets *secrets, size_t index);

/*
 * Finds the candidates for a head: writes them (borrowed) to `ret_candidates` and returns how many:
 * 0..SECRETS_CANDIDATES_MAX. Any thread.
 */
size_t secrets_candidates(const struct secrets *secrets, const struct delivery_head *head,
                          const struct secret *ret_candidates[SECRETS_CANDIDATES_MAX]);

#endif
