/*
 * The parts of the configuration that are about documents: where they come from, and how repositories are
 * reached that only a source or a document names. See config.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "ingest/git/config_private.h"

/* What stands for the owner's repositories while a prefix is read: a URL needs a path. */
#define PREFIX_REST "/x"

/* ---- memory ---- */

void access_config_release(struct access_config *access)
{
    free(access->prefix);
    free(access->credentials_file);
    free(access->known_hosts_file);
    free(access->ca_file);
}

void source_config_release(struct source_config *source)
{
    free(source->branch);
    patterns_release(&source->paths);
    patterns_release(&source->names);
    patterns_release(&source->targets);
    patterns_release(&source->labels);
}

void source_config_copy(struct source_config *copy, const struct source_config *source)
{
    *copy = *source;
    copy->branch = mem_copy_text(source->branch);
    patterns_copy(&copy->paths, &source->paths);
    patterns_copy(&copy->names, &source->names);
    patterns_copy(&copy->targets, &source->targets);
    patterns_copy(&copy->labels, &source->labels);
}

struct config *config_copy(const struct config *config)
{
    struct config *copy = MEM_NEW(struct config);
    *copy = *config;
    copy->items = mem_alloc_array(config->count, sizeof(*copy->items));
    for (size_t i = 0; i < config->count; i++)
        repository_config_copy_to(&copy->items[i], &config->items[i]);
    copy->sources = mem_alloc_array(config->source_count, sizeof(*copy->sources));
    for (size_t i = 0; i < config->source_count; i++)
        source_config_copy(&copy->sources[i], &config->sources[i]);
    copy->accesses = mem_alloc_array(config->access_count, sizeof(*copy->accesses));
    for (size_t i = 0; i < config->access_count; i++) {
        const struct access_config *access = &config->accesses[i];
        copy->accesses[i] =
            (struct access_config){.prefix = mem_copy_text(access->prefix),
                                   .credentials_file = mem_copy_text(access->credentials_file),
                                   .known_hosts_file = mem_copy_text(access->known_hosts_file),
                                   .ca_file = mem_copy_text(access->ca_file)};
    }
    return copy;
}

bool config_has_sources(const struct config *config)
{
    return config->has_sources;
}

size_t config_source_count(const struct config *config)
{
    return config->source_count;
}

const struct source_config *config_source_at(const struct config *config, size_t index)
{
    assert(index < config->source_count);
    return &config->sources[index];
}

/* ---- credentials ---- */

/* Returns true if a server may take the path for another one than it looks: a prefix says nothing then. */
static bool has_dot_parts(const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '%' && (strncasecmp(at, "%2e", 3) == 0 || strncasecmp(at, "%2f", 3) == 0))
            return true;
        if (*at != '/' || at[1] != '.')
            continue;
        size_t dots = strspn(at + 1, ".");
        if (dots <= 2 && (at[1 + dots] == '/' || at[1 + dots] == '\0'))
            return true;
    }
    return false;
}

/* The longest prefix that the URL lies below; NULL: none. */
static const struct access_config *find_access(const struct config *config,
                                               const struct git_url *url)
{
    const struct access_config *found = NULL;
    size_t found_bytes = 0;
    for (size_t i = 0; i < config->access_count && !has_dot_parts(url->path); i++) {
        size_t bytes = strlen(config->accesses[i].prefix);
        if (strncmp(config->accesses[i].prefix, url->text, bytes) != 0 ||
            (url->text[bytes] != '/' && url->text[bytes] != '\0') || bytes <= found_bytes)
            continue;
        found = &config->accesses[i];
        found_bytes = bytes;
    }
    return found;
}

void config_set_access(const struct config *config, struct repository_config *item)
{
    const struct access_config *access = find_access(config, &item->url);
    if (access == NULL || item->credentials_file != NULL || item->known_hosts_file != NULL ||
        item->ca_file != NULL)
        return;
    item->credentials_file = mem_copy_text(access->credentials_file);
    item->known_hosts_file = mem_copy_text(access->known_hosts_file);
    item->ca_file = mem_copy_text(access->ca_file);
}

/* "https://Host/owner/" in its one form, "https://host/owner". */
static int read_prefix(const struct config_reader *reader, const struct yaml_node *item,
                       char **ret_prefix)
{
    const struct yaml_node *node = yaml_get(item, "prefix");
    const char *text = NULL;
    struct git_url url;
    struct error error = {.text = ""};
    if (node == NULL)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT, "`prefix` is missing");
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    size_t bytes = strlen(text);
    while (bytes > 0 && text[bytes - 1] == '/')
        bytes--;
    CLEANUP(mem_free) char *whole = mem_format("%.*s%s", (int)bytes, text, PREFIX_REST);
    code = git_url_parse(whole, &url, &error);
    if (code == 0 && (url.scheme == GIT_SCHEME_FILE || has_dot_parts(url.path)))
        code = error_set(&error, ERR_INPUT,
                         "a prefix is the beginning of URLs such as https://host/owner/");
    if (code != 0)
        return yaml_error(reader->stream, node, reader->error, code, "%s", error.text);
    *ret_prefix = mem_format("%.*s", (int)(strlen(url.text) - strlen(PREFIX_REST)), url.text);
    return 0;
}

static int read_access(const struct config_reader *reader, const struct yaml_node *item,
                       struct access_config *access)
{
    static const char *const names[] = {"prefix", "file", "known_hosts", "ca", NULL};
    if (item->kind != YAML_MAPPING)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "credentials are a mapping such as {prefix: https://host/owner/, file: "
                          "/run/secrets/token}");
    int code = yaml_check_names(reader->stream, item, names, reader->error);
    if (code == 0)
        code = read_prefix(reader, item, &access->prefix);
    if (code == 0)
        code = config_read_path(reader, item, "file", &access->credentials_file);
    if (code == 0)
        code = config_read_path(reader, item, "known_hosts", &access->known_hosts_file);
    if (code == 0)
        code = config_read_path(reader, item, "ca", &access->ca_file);
    if (code != 0)
        return code;
    /* What is wrong with the files is wrong for each repository below. */
    CLEANUP(mem_free) char *example = mem_format("%s%s", access->prefix, PREFIX_REST);
    struct repository_config some = {.credentials_file = access->credentials_file,
                                     .known_hosts_file = access->known_hosts_file,
                                     .ca_file = access->ca_file};
    struct error error = {.text = ""};
    code = git_url_parse(example, &some.url, &error);
    if (code == 0)
        code = config_check_access(&some, &error);
    return code == 0 ? 0 : yaml_error(reader->stream, item, reader->error, code, "%s", error.text);
}

int config_read_credentials(const struct config_reader *reader, const struct yaml_node *root,
                            struct config *config)
{
    const struct yaml_node *list = yaml_get(root, "credentials");
    int code = 0;
    if (list == NULL)
        return 0;
    if (list->kind != YAML_SEQUENCE || list->count > CONFIG_CREDENTIALS_MAX)
        return yaml_error(reader->stream, list, reader->error, ERR_INPUT,
                          "`credentials` must be a list of at most %d", CONFIG_CREDENTIALS_MAX);
    config->accesses = mem_alloc_array(list->count, sizeof(*config->accesses));
    for (size_t i = 0; i < list->count && code == 0; i++) {
        config->access_count++; /* so that what it has is freed, whatever comes */
        code = read_access(reader, list->items[i], &config->accesses[i]);
        for (size_t j = 0; j < i && code == 0; j++)
            if (strcmp(config->accesses[i].prefix, config->accesses[j].prefix) == 0)
                code = yaml_error(reader->stream, list->items[i], reader->error, ERR_INPUT,
                                  "the prefix %s stands twice", config->accesses[i].prefix);
    }
    return code;
}

/* ---- what is added ---- */

static struct repository_config *find_repository(struct config *config, const char *url)
{
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->items[i].url.text, url) == 0)
            return &config->items[i];
    return NULL;
}

static bool has_pattern(const struct patterns *patterns, const char *pattern)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (strcmp(patterns->items[i], pattern) == 0)
            return true;
    return false;
}

/* Has a branch (NULL: all) watched of a repository that is. */
static void add_branch(struct repository_config *item, const char *branch)
{
    const char *pattern = branch != NULL ? branch : "*";
    struct patterns *branches = &item->branches;
    CLEANUP(mem_free) char *ref = mem_format("refs/heads/%s", pattern);
    if (has_pattern(branches, pattern) || (branch != NULL && repository_config_wants(item, ref)))
        return;
    branches->items =
        mem_resize_array(branches->items, branches->count + 1, sizeof(*branches->items));
    branches->items[branches->count++] = mem_copy_text(pattern);
}

/* Makes what stands for a repository that the file does not list. */
static int make_repository(const struct config *config, const struct git_url *url,
                           struct repository_config *item, struct error *error)
{
    *item = (struct repository_config){.url = *url, .interval_ms = config->interval_ms};
    if (config->count == CONFIG_REPOSITORIES_MAX)
        return error_set(error, ERR_TOO_LARGE, "more than %d repositories",
                         CONFIG_REPOSITORIES_MAX);
    if (url->scheme == GIT_SCHEME_HTTP && !url->is_loopback)
        return error_set(error, ERR_INPUT,
                         "%s is not encrypted; use https://, or list it under `repositories` with "
                         "`insecure: true`",
                         url->text);
    config_set_access(config, item);
    return config_check_access(item, error);
}

static int add_repository(struct config *config, const struct git_url *url, const char *branch,
                          struct error *error)
{
    struct repository_config *item = find_repository(config, url->text);
    if (item == NULL) {
        struct repository_config made;
        int code = make_repository(config, url, &made, error);
        if (code != 0) {
            repository_config_release(&made);
            return code;
        }
        config->items = mem_resize_array(config->items, config->count + 1, sizeof(*config->items));
        item = &config->items[config->count++];
        *item = made;
    }
    add_branch(item, branch);
    return 0;
}

int config_add_named(struct config *config, const char *url_text, const char *branch,
                     struct error *error)
{
    struct git_url url;
    const char *colon = strchr(url_text, ':');
    bool is_short = strstr(url_text, "://") == NULL && colon != NULL; /* git@host:owner/name */
    CLEANUP(mem_free)
    char *whole = is_short ? mem_format("ssh://%.*s/%s", (int)(colon - url_text), url_text,
                                        colon[1] == '/' ? colon + 2 : colon + 1)
                           : mem_copy_text(url_text);
    int code = git_url_parse(whole, &url, error);
    if (code != 0)
        return code;
    bool is_listed = find_repository(config, url.text) != NULL;
    if (url.scheme == GIT_SCHEME_FILE && !is_listed)
        return error_set(error, ERR_INPUT,
                         "%s lies on this machine; list it under `repositories` if it may be read",
                         url.text);
    if (has_dot_parts(url.path) && !is_listed)
        return error_set(error, ERR_INPUT, "%s has . or .. in its path", url.text);
    return add_repository(config, &url, branch, error);
}

/* ---- sources ---- */

/* Reads a list of texts; `least` many at least. */
static int read_globs(const struct config_reader *reader, const struct yaml_node *node,
                      const char *name, size_t least, struct patterns *ret_patterns)
{
    if (node->kind != YAML_SEQUENCE || node->count > CONFIG_PATTERNS_MAX || node->count < least)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "`%s` must be a list of %zu to %d globs", name, least,
                          CONFIG_PATTERNS_MAX);
    ret_patterns->items = mem_alloc_array(node->count, sizeof(*ret_patterns->items));
    for (size_t i = 0; i < node->count; i++) {
        const char *text = NULL;
        int code = yaml_read_text(reader->stream, node->items[i], &text, reader->error);
        if (code != 0)
            return code;
        if (text[0] == '\0' || text[0] == '/')
            return yaml_error(reader->stream, node->items[i], reader->error, ERR_INPUT,
                              "an entry of `%s` is a glob such as \"area/*\"; it does not begin "
                              "with a slash",
                              name);
        ret_patterns->items[ret_patterns->count++] = mem_copy_text(text);
    }
    return 0;
}

static int read_allow(const struct config_reader *reader, const struct yaml_node *item,
                      struct source_config *source)
{
    static const char *const names[] = {"names", "targets", "labels", NULL};
    const struct {
        bool *is_set;
        struct patterns *globs;
    } lists[] = {{&source->has_names, &source->names},
                 {&source->has_targets, &source->targets},
                 {&source->has_labels, &source->labels}};
    const struct yaml_node *allow = yaml_get(item, "allow");
    if (allow != NULL && allow->kind != YAML_MAPPING)
        return yaml_error(reader->stream, allow, reader->error, ERR_INPUT,
                          "`allow` is a mapping such as {names: [\"Labeler/*\"], targets: "
                          "[\"acme/*\"], labels: [\"area/*\"]}");
    int code = allow != NULL ? yaml_check_names(reader->stream, allow, names, reader->error) : 0;
    for (size_t i = 0; i < ARRAY_COUNT(lists) && code == 0; i++) {
        const struct yaml_node *node = yaml_get(allow, names[i]);
        *lists[i].is_set = node != NULL;
        if (node != NULL)
            code = read_globs(reader, node, names[i], 0, lists[i].globs);
    }
    return code;
}

static int read_branch(const struct config_reader *reader, const struct yaml_node *item,
                       char **ret_branch)
{
    const struct yaml_node *node = yaml_get(item, "branch");
    const char *text = NULL;
    if (node == NULL)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT, "`branch` is missing");
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    if (text[0] == '\0' || strncmp(text, "refs/", 5) == 0 || strlen(text) >= GIT_REF_BYTES ||
        strpbrk(text, " ~^:?*[\\") != NULL)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "`branch` is the name of one branch without refs/heads/");
    *ret_branch = mem_copy_text(text);
    return 0;
}

static int read_source(const struct config_reader *reader, const struct yaml_node *item,
                       struct source_config *source)
{
    static const char *const names[] = {"repository", "branch", "paths", "allow", NULL};
    if (item->kind != YAML_MAPPING)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "a source is a mapping such as {repository: https://host/owner/name, "
                          "branch: main, paths: [\"nodag/*\"]}");
    int code = yaml_check_names(reader->stream, item, names, reader->error);
    if (code == 0)
        code = config_read_url(reader, item, "repository", &source->url);
    if (code == 0)
        code = read_branch(reader, item, &source->branch);
    if (code != 0)
        return code;
    const struct yaml_node *paths = yaml_get(item, "paths");
    if (paths == NULL)
        return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                          "`paths` is missing: which files hold documents, such as [\"nodag/*\"]");
    code = read_globs(reader, paths, "paths", 1, &source->paths);
    return code == 0 ? read_allow(reader, item, source) : code;
}

/* A branch of a repository is one source, and it is watched. */
static int settle_source(const struct config_reader *reader, const struct yaml_node *item,
                         struct config *config, size_t index)
{
    const struct source_config *source = &config->sources[index];
    struct error error = {.text = ""};
    for (size_t i = 0; i < index; i++)
        if (strcmp(config->sources[i].url.text, source->url.text) == 0 &&
            strcmp(config->sources[i].branch, source->branch) == 0)
            return yaml_error(reader->stream, item, reader->error, ERR_INPUT,
                              "the branch %s of %s stands twice; name all its paths in one place",
                              source->branch, source->url.text);
    int code = add_repository(config, &source->url, source->branch, &error);
    return code == 0 ? 0 : yaml_error(reader->stream, item, reader->error, code, "%s", error.text);
}

int config_read_sources(const struct config_reader *reader, const struct yaml_node *root,
                        struct config *config)
{
    const struct yaml_node *list = yaml_get(root, "sources");
    int code = 0;
    if (list == NULL)
        return 0;
    if (list->kind != YAML_SEQUENCE || list->count > CONFIG_SOURCES_MAX)
        return yaml_error(reader->stream, list, reader->error, ERR_INPUT,
                          "`sources` must be a list of at most %d", CONFIG_SOURCES_MAX);
    config->has_sources = true;
    config->sources = mem_alloc_array(list->count, sizeof(*config->sources));
    for (size_t i = 0; i < list->count && code == 0; i++) {
        config->source_count++; /* so that what it has is freed, whatever comes */
        code = read_source(reader, list->items[i], &config->sources[i]);
        if (code == 0)
            code = settle_source(reader, list->items[i], config, i);
    }
    return code;
}
