/*
 * Which repositories are watched, and which of them may define documents: one YAML document, read whole and
 * replaced whole.
 *
 *      repositories:
 *        - url: https://github.com/kubeflow/code-intelligence
 *          branches: [master, "release-*"]   # patterns; default: every branch. `*` matches slashes too
 *          tags: ["v*"]                      # default: none
 *          credentials: /run/secrets/token   # https: a token, or lines username=… and password=…; ssh: a private key
 *          interval: 60s                     # between two looks
 *        - url: ssh://git@host/owner/name
 *          credentials: /run/secrets/key
 *          known_hosts: known_hosts          # required with ssh; relative paths start at this file's folder
 *        - url: https://git.example.org/a
 *          ca: /run/secrets/ca.pem           # instead of the system's certificate authorities
 *        - url: http://git.internal/a
 *          insecure: true                    # required for http beyond this machine
 *
 *      credentials:                          # for repositories below a prefix that have none of their own
 *        - prefix: https://github.com/acme/
 *          file: /run/secrets/acme-token       # and known_hosts, ca
 *      sources:                              # documents of nodag.dev/v1, published on `specs`
 *        - repository: https://github.com/acme/desired-state
 *          branch: main
 *          paths: ["nodag*.yaml"]              # globs, as in documents: `*` matches slashes too
 *          allow: {names: [label-bot], targets: ["acme*"], labels: ["area*"]}   # default: everything
 *
 * Design: whoever asks what is watched sees one list: a source's repository and branch are added to it when
 * the file is read, and what documents name is added to a copy (config_add_named). A repository that stands in
 * the file keeps its own access and gets the branch only. One that a document names is reached as the file
 * says for its prefix, else as everybody can: a document, which others write, chooses neither a credential nor
 * a path of this machine nor a connection that is not encrypted.
 *
 *      no `sources`     this daemon has nothing to do with documents
 *      `sources: []`    there are none: those that were published are withdrawn
 *
 * Invariants: a configuration with any fault makes none; a URL stands once; a branch of a repository is one
 * source; files that are named need not exist yet, because they are read when they are needed.
 */
#ifndef NODAG_INGEST_GIT_CONFIG_H
#define NODAG_INGEST_GIT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/git_command.h"

/* Most repositories: each is a series of several metrics (base/metrics.h keeps 1000 of a family). */
#define CONFIG_REPOSITORIES_MAX 900

/* Most patterns of one list. */
#define CONFIG_PATTERNS_MAX 64

/* Most sources: the files of all are kept in memory. */
#define CONFIG_SOURCES_MAX 64

/* Most prefixes with credentials. */
#define CONFIG_CREDENTIALS_MAX 256

/* Bounds of an interval. */
#define CONFIG_INTERVAL_LEAST_MS 1000
/* See above. */
#define CONFIG_INTERVAL_MOST_MS (24 * 3600 * 1000)

/* Texts of a list. */
struct patterns {
    char **items; /* owned, each owned */
    size_t count; /* 0..CONFIG_PATTERNS_MAX */
};

/* One repository. */
struct repository_config {
    struct git_url url;
    struct patterns branches;
    struct patterns tags;
    char *credentials_file; /* owned; NULL: none */
    char *known_hosts_file; /* likewise */
    char *ca_file;          /* likewise */
    int64_t interval_ms;    /* between two looks */
};

/* One source of documents. */
struct source_config {
    struct git_url url;      /* of the repository */
    char *branch;            /* owned: "main" */
    struct patterns paths;   /* globs of its files, 1..CONFIG_PATTERNS_MAX */
    bool has_names;          /* names were given; false: everything is allowed */
    bool has_targets;        /* likewise */
    bool has_labels;         /* likewise */
    struct patterns names;   /* see topics/spec_allow.h */
    struct patterns targets; /* likewise */
    struct patterns labels;  /* likewise */
};

/* All of them. */
struct config;

/* What is the same for every repository. */
struct config_defaults {
    int64_t interval_ms; /* where a repository names none */
};

/*
 * Reads the file. ERR_INPUT, ERR_TOO_LARGE with file, line and column; ERR_NOT_FOUND, ERR_DENIED, ERR_IO.
 * Owned. Loop thread.
 */
int config_load(const char *path, const struct config_defaults *defaults,
                struct config **ret_config, struct error *error) MUST_CHECK;

/* As config_load, from memory; `path` is for errors and relative files. Owned. Any thread. */
int config_parse(const char *path, const char *text, size_t text_bytes,
                 const struct config_defaults *defaults, struct config **ret_config,
                 struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. */
void config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free)

/* Returns how many repositories there are. */
size_t config_count(const struct config *config);

/* Returns one, index < count; borrowed. */
const struct repository_config *config_at(const struct config *config, size_t index);

/* Returns true if `sources` stands in the file, be it empty. */
bool config_has_sources(const struct config *config);

/* Returns how many sources there are. */
size_t config_source_count(const struct config *config);

/* Returns one, index < count; borrowed. */
const struct source_config *config_source_at(const struct config *config, size_t index);

/* Copies what a source says into an empty struct; to be released. Any thread. */
void source_config_copy(struct source_config *copy, const struct source_config *source);

/* Frees what a source owns. */
void source_config_release(struct source_config *source);

/* Copies a configuration; owned. Any thread. */
struct config *config_copy(const struct config *config);

/*
 * Adds a repository that a document names, and a branch of it (NULL: all). `url` may also be of the form
 * git@host:owner/name. ERR_INPUT, ERR_TOO_LARGE with what is wrong with it, or where credentials for it are
 * missing; then nothing was added. Any thread.
 */
int config_add_named(struct config *config, const char *url, const char *branch,
                     struct error *error) MUST_CHECK;

/* Returns true if a ref, "refs/heads/…" or "refs/tags/…", is watched. Any thread. */
bool repository_config_wants(const struct repository_config *config, const char *ref);

/* Copies one; owned. Any thread. */
struct repository_config *repository_config_copy(const struct repository_config *config);

/* Returns true if both are the same. Any thread. */
bool repository_config_equal(const struct repository_config *left,
                             const struct repository_config *right);

/* Frees a copy; NULL allowed. */
void repository_config_free(struct repository_config *config);

#endif
