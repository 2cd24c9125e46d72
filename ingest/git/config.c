/*
 * Which repositories are watched: see config.h.
 */
#include "ingest/git/config.h"

#include <assert.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/option.h"
#include "ingest/git/config_private.h"

/* Where patterns begin to match. */
#define BRANCH_PREFIX "refs/heads/"
/* See above. */
#define TAG_PREFIX "refs/tags/"

/* ---- memory ---- */

void patterns_release(struct patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->items[i]);
    free(patterns->items);
    *patterns = (struct patterns){.count = 0};
}

void patterns_copy(struct patterns *copy, const struct patterns *patterns)
{
    copy->items = mem_alloc_array(patterns->count, sizeof(*copy->items));
    copy->count = patterns->count;
    for (size_t i = 0; i < patterns->count; i++)
        copy->items[i] = mem_copy_text(patterns->items[i]);
}

bool patterns_equal(const struct patterns *left, const struct patterns *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++)
        if (strcmp(left->items[i], right->items[i]) != 0)
            return false;
    return true;
}

void repository_config_release(struct repository_config *config)
{
    patterns_release(&config->branches);
    patterns_release(&config->tags);
    free(config->credentials_file);
    free(config->known_hosts_file);
    free(config->ca_file);
}

void repository_config_free(struct repository_config *config)
{
    if (config == NULL)
        return;
    repository_config_release(config);
    free(config);
}

void repository_config_copy_to(struct repository_config *copy,
                               const struct repository_config *config)
{
    *copy = *config;
    patterns_copy(&copy->branches, &config->branches);
    patterns_copy(&copy->tags, &config->tags);
    copy->credentials_file = mem_copy_text(config->credentials_file);
    copy->known_hosts_file = mem_copy_text(config->known_hosts_file);
    copy->ca_file = mem_copy_text(config->ca_file);
}

struct repository_config *repository_config_copy(const struct repository_config *config)
{
    struct repository_config *copy = MEM_NEW(struct repository_config);
    repository_config_copy_to(copy, config);
    return copy;
}

static bool text_same(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

bool repository_config_equal(const struct repository_config *left,
                             const struct repository_config *right)
{
    return strcmp(left->url.text, right->url.text) == 0 &&
           patterns_equal(&left->branches, &right->branches) &&
           patterns_equal(&left->tags, &right->tags) &&
           text_same(left->credentials_file, right->credentials_file) &&
           text_same(left->known_hosts_file, right->known_hosts_file) &&
           text_same(left->ca_file, right->ca_file) && left->interval_ms == right->interval_ms;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->count; i++)
        repository_config_release(&config->items[i]);
    for (size_t i = 0; i < config->source_count; i++)
        source_config_release(&config->sources[i]);
    for (size_t i = 0; i < config->access_count; i++)
        access_config_release(&config->accesses[i]);
    free(config->items);
    free(config->sources);
    free(config->accesses);
    free(config);
}

size_t config_count(const struct config *config)
{
    return config->count;
}

const struct repository_config *config_at(const struct config *config, size_t index)
{
    assert(index < config->count);
    return &config->items[index];
}

/* ---- reading ---- */

static int read_patterns(const struct config_reader *reader, const struct yaml_node *node,
                         const char *name, struct patterns *ret_patterns)
{
    if (node->kind != YAML_SEQUENCE || node->count > CONFIG_PATTERNS_MAX)
        return yaml_error(
            reader->stream, node, reader->error, ERR_INPUT,
            "`%s` must be a list of at most %d patterns such as [main, \"release-*\"]", name,
            CONFIG_PATTERNS_MAX);
    ret_patterns->items = mem_alloc_array(node->count, sizeof(*ret_patterns->items));
    for (size_t i = 0; i < node->count; i++) {
        const char *text = NULL;
        int code = yaml_read_text(reader->stream, node->items[i], &text, reader->error);
        if (code != 0)
            return code;
        if (text[0] == '\0' || strncmp(text, "refs/", 5) == 0 || strlen(text) >= GIT_REF_BYTES)
            return yaml_error(reader->stream, node->items[i], reader->error, ERR_INPUT,
                              "a pattern is the name of a branch or tag without refs/heads/ or "
                              "refs/tags/, with * and ? where it may vary");
        ret_patterns->items[ret_patterns->count++] = mem_copy_text(text);
    }
    return 0;
}

/* Every branch unless the repository says otherwise; no tags. */
static int read_refs(const struct config_reader *reader, const struct yaml_node *item,
                     struct repository_config *config)
{
    const struct yaml_node *branches = yaml_get(item, "branches");
    const struct yaml_node *tags = yaml_get(item, "tags");
    int code = 0;
    if (branches != NULL) {
        code = read_patterns(reader, branches, "branches", &config->branches);
    } else {
        config->branches.items = mem_alloc_array(1, sizeof(*config->branches.items));
        config->branches.items[0] = mem_copy_text("*");
        config->branches.count = 1;
    }
    if (code == 0 && tags != NULL)
        code = read_patterns(reader, tags, "tags", &config->tags);
    if (code == 0 && config->branches.count == 0 && config->tags.count == 0)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "neither `branches` nor `tags` names anything to watch");
    return code;
}

int config_read_path(const struct config_reader *reader, const struct yaml_node *item,
                     const char *name, char **ret_path)
{
    const struct yaml_node *node = yaml_get(item, name);
    const char *path = NULL;
    if (node == NULL)
        return 0;
    int code = yaml_read_text(reader->stream, node, &path, reader->error);
    if (code != 0)
        return code;
    if (path[0] == '/') {
        *ret_path = mem_copy_text(path);
        return 0;
    }
    const char *slash = strrchr(reader->path, '/');
    CLEANUP(mem_free)
    char *folder = slash == NULL ? mem_copy_text(".")
                                 : mem_format("%.*s/", (int)(slash - reader->path), reader->path);
    char whole[PATH_MAX];
    if (realpath(folder, whole) == NULL)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "the folder of this file is not known; write an absolute path");
    *ret_path = mem_format("%s/%s", whole, path);
    return 0;
}

static int read_interval(const struct config_reader *reader, const struct yaml_node *item,
                         struct repository_config *config)
{
    const struct yaml_node *node = yaml_get(item, "interval");
    const char *text = NULL;
    config->interval_ms = reader->defaults->interval_ms;
    if (node == NULL)
        return 0;
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    if (option_parse_duration_ms(text, &config->interval_ms) != 0 ||
        config->interval_ms < CONFIG_INTERVAL_LEAST_MS ||
        config->interval_ms > CONFIG_INTERVAL_MOST_MS)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "`interval: %s` is no time between 1s and 24h; write 60s", text);
    return 0;
}

/* http is for this machine, or for who says that he knows. */
static int check_insecure(const struct config_reader *reader, const struct yaml_node *item,
                          const struct repository_config *config)
{
    const struct yaml_node *node = yaml_get(item, "insecure");
    bool is_insecure = false;
    int code = node != NULL ? yaml_read_bool(reader->stream, node, &is_insecure, reader->error) : 0;
    if (code == 0 && config->url.scheme == GIT_SCHEME_HTTP && !config->url.is_loopback &&
        !is_insecure)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "%s is not encrypted: anybody on the way can change what it says. Use "
                          "https://, or write `insecure: true`",
                          config->url.text);
    return code;
}

int config_read_url(const struct config_reader *reader, const struct yaml_node *item,
                    const char *name, struct git_url *ret_url)
{
    const struct yaml_node *node = yaml_get(item, name);
    const char *text = NULL;
    struct error error = {.text = ""};
    if (node == NULL)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT, "`%s` is missing", name);
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code == 0)
        code = git_url_parse(text, ret_url, &error);
    return error.code == 0
               ? code
               : yaml_error(reader->stream, node, reader->error, code, "%s", error.text);
}

int config_check_access(const struct repository_config *item, struct error *error)
{
    const struct git_access access = {.url = item->url,
                                      .credentials_file = item->credentials_file,
                                      .known_hosts_file = item->known_hosts_file,
                                      .ca_file = item->ca_file};
    return git_access_check(&access, error);
}

static int check_access(const struct config_reader *reader, const struct yaml_node *node,
                        const struct repository_config *item)
{
    struct error error = {.text = ""};
    int code = config_check_access(item, &error);
    return code == 0 ? 0 : yaml_error(reader->stream, node, reader->error, code, "%s", error.text);
}

static int read_repository(const struct config_reader *reader, const struct yaml_node *item,
                           const struct config *whole, struct repository_config *config)
{
    static const char *const names[] = {"url", "branches", "tags",     "credentials", "known_hosts",
                                        "ca",  "interval", "insecure", NULL};
    if (item->kind != YAML_MAPPING)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "a repository is a mapping such as {url: https://host/owner/name}");
    int code = yaml_check_names(reader->stream, item, names, reader->error);
    if (code == 0)
        code = config_read_url(reader, item, "url", &config->url);
    if (code == 0)
        code = read_refs(reader, item, config);
    if (code == 0)
        code = config_read_path(reader, item, "credentials", &config->credentials_file);
    if (code == 0)
        code = config_read_path(reader, item, "known_hosts", &config->known_hosts_file);
    if (code == 0)
        code = config_read_path(reader, item, "ca", &config->ca_file);
    if (code == 0)
        code = read_interval(reader, item, config);
    if (code == 0)
        code = check_insecure(reader, item, config);
    if (code != 0)
        return code;
    config_set_access(whole, config);
    return check_access(reader, item, config);
}

static int check_repeated(const struct config_reader *reader, const struct yaml_node *list,
                          const struct config *config)
{
    for (size_t i = 0; i < config->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(config->items[i].url.text, config->items[j].url.text) == 0)
                return yaml_error(reader->stream, list->items[i], reader->error, ERR_INPUT,
                                  "%s stands twice; name all its branches and tags in one place",
                                  config->items[i].url.text);
    return 0;
}

/* Reads the list, which may be left out where there are sources. */
static int read_repositories(const struct config_reader *reader, const struct yaml_node *root,
                             struct config *config)
{
    const struct yaml_node *list = yaml_get(root, "repositories");
    int code = 0;
    if (list == NULL && yaml_get(root, "sources") != NULL)
        return 0;
    if (list == NULL || list->kind != YAML_SEQUENCE || list->count > CONFIG_REPOSITORIES_MAX)
        return yaml_error(reader->stream, list != NULL ? list : root, reader->error, ERR_INPUT,
                          "`repositories` must be a list of at most %d", CONFIG_REPOSITORIES_MAX);
    config->items = mem_alloc_array(list->count, sizeof(*config->items));
    for (size_t i = 0; i < list->count && code == 0; i++) {
        config->count++; /* so that what it has is freed, whatever comes */
        code = read_repository(reader, list->items[i], config, &config->items[i]);
    }
    return code == 0 ? check_repeated(reader, list, config) : code;
}

static int read_document(const struct config_reader *reader, const struct yaml_node *root,
                         struct config *config)
{
    static const char *const names[] = {"repositories", "credentials", "sources", NULL};
    if (root == NULL || root->kind != YAML_MAPPING)
        return yaml_error(reader->stream, root, reader->error, ERR_INPUT,
                          "expected one document, a mapping with `repositories` or `sources`");
    int code = yaml_check_names(reader->stream, root, names, reader->error);
    if (code != 0)
        return code;
    code = config_read_credentials(reader, root, config);
    if (code == 0)
        code = read_repositories(reader, root, config);
    return code == 0 ? config_read_sources(reader, root, config) : code;
}

int config_parse(const char *path, const char *text, size_t text_bytes,
                 const struct config_defaults *defaults, struct config **ret_config,
                 struct error *error)
{
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
    CLEANUP(config_free) struct config *config = MEM_NEW(struct config);
    int code = yaml_parse(path, text, text_bytes, &stream, error);
    if (code != 0)
        return code;
    config->interval_ms = defaults->interval_ms;
    const struct config_reader reader = {
        .path = path, .stream = stream, .error = error, .defaults = defaults};
    code = read_document(
        &reader, yaml_document_count(stream) == 1 ? yaml_document(stream, 0) : NULL, config);
    if (code == 0)
        *ret_config = TAKE(config);
    return code;
}

int config_load(const char *path, const struct config_defaults *defaults,
                struct config **ret_config, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(YAML_TEXT_MAX_BYTES);
    int code = file_read(path, &text, error);
    if (code != 0)
        return code;
    return config_parse(path, text.data != NULL ? text.data : "", text.size_bytes, defaults,
                        ret_config, error);
}

/* ---- asking ---- */

static bool matches(const struct patterns *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (fnmatch(patterns->items[i], name, FNM_NOESCAPE) == 0)
            return true;
    return false;
}

bool repository_config_wants(const struct repository_config *config, const char *ref)
{
    if (strncmp(ref, BRANCH_PREFIX, sizeof(BRANCH_PREFIX) - 1) == 0)
        return matches(&config->branches, ref + sizeof(BRANCH_PREFIX) - 1);
    if (strncmp(ref, TAG_PREFIX, sizeof(TAG_PREFIX) - 1) == 0)
        return matches(&config->tags, ref + sizeof(TAG_PREFIX) - 1);
    return false;
}
