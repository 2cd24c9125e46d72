/*
 * What config.c (repositories) and config_sources.c (sources, credentials, what is added) share.
 */
#ifndef NODAG_INGEST_GIT_CONFIG_PRIVATE_H
#define NODAG_INGEST_GIT_CONFIG_PRIVATE_H

#include "base/yaml_text.h"
#include "ingest/git/config.h"

/* How repositories below a prefix are reached. */
struct access_config {
    char *prefix; /* owned: "https://host/owner", in the one form, without a slash at the end */
    char *credentials_file; /* owned; NULL: none */
    char *known_hosts_file; /* likewise */
    char *ca_file;          /* likewise */
};

/* See config.h. */
struct config {
    size_t count;                    /* repositories */
    struct repository_config *items; /* owned */
    bool has_sources;                /* the name stands in the file */
    size_t source_count;             /* how many */
    struct source_config *sources;   /* owned */
    size_t access_count;             /* how many */
    struct access_config *accesses;  /* owned */
    int64_t interval_ms;             /* of repositories that name none */
};

/* What the readers share; everything borrowed. */
struct config_reader {
    const char *path;                 /* of the file */
    const struct yaml_stream *stream; /* for positions */
    struct error *error;
    const struct config_defaults *defaults;
};

/* Frees a list of texts and empties it. */
void patterns_release(struct patterns *patterns);

/* Copies a list of texts; to be released. */
void patterns_copy(struct patterns *copy, const struct patterns *patterns);

/* Returns true if both have the same texts in the same order. */
bool patterns_equal(const struct patterns *left, const struct patterns *right);

/* Frees what a repository's configuration owns. */
void repository_config_release(struct repository_config *config);

/* Copies into an empty struct; to be released. */
void repository_config_copy_to(struct repository_config *copy,
                               const struct repository_config *config);

/* Reads a path; a relative one starts at the folder of the configuration. ERR_INPUT with its place. */
int config_read_path(const struct config_reader *reader, const struct yaml_node *item,
                     const char *name, char **ret_path) MUST_CHECK;

/* Reads a URL as a member of `item`. ERR_INPUT, ERR_TOO_LARGE with its place. */
int config_read_url(const struct config_reader *reader, const struct yaml_node *item,
                    const char *name, struct git_url *ret_url) MUST_CHECK;

/* Gives a repository that names no files those of its prefix, if there are some. */
void config_set_access(const struct config *config, struct repository_config *item);

/* Returns 0 if what the URL needs is there; else ERR_INPUT. */
int config_check_access(const struct repository_config *item, struct error *error) MUST_CHECK;

/* Reads `credentials`; before the repositories. ERR_INPUT with the place. */
int config_read_credentials(const struct config_reader *reader, const struct yaml_node *root,
                            struct config *config) MUST_CHECK;

/* Reads `sources`, and has their repositories watched; after the repositories. ERR_INPUT with the place. */
int config_read_sources(const struct config_reader *reader, const struct yaml_node *root,
                        struct config *config) MUST_CHECK;

/* Frees one. */
void access_config_release(struct access_config *access);

#endif
