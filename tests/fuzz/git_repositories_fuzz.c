/*
 * Fuzz target: the git door's file of repositories.
 *
 * Invariants under test: a configuration that is accepted has valid, different URLs and something to watch,
 * and its copies are equal.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "ingest/git/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every source's branch is watched. */
static void check_sources(const struct config *config)
{
    for (size_t i = 0; i < config_source_count(config); i++) {
        const struct source_config *source = config_source_at(config, i);
        bool is_watched = false;
        CLEANUP(mem_free) char *ref = mem_format("refs/heads/%s", source->branch);
        for (size_t j = 0; j < config_count(config); j++)
            is_watched =
                is_watched || (strcmp(config_at(config, j)->url.text, source->url.text) == 0 &&
                               repository_config_wants(config_at(config, j), ref));
        assert(is_watched && source->paths.count > 0);
        (void)is_watched;
    }
}

/* A document adds at most one repository, to a copy, and never a path of this machine. */
static void check_named(const struct config *config)
{
    static const char *const urls[] = {"https://h/a", "https://h/acme/../a", "git@h:o/n",
                                       "file:///x"};
    CLEANUP(config_free) struct config *copy = config_copy(config);
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        size_t before = config_count(copy);
        int code = config_add_named(copy, urls[i], i % 2 == 0 ? "main" : NULL, NULL);
        size_t added = config_count(copy) - before;
        assert(added == 0 || (added == 1 && code == 0 && i != 1 && i != 3));
        (void)code;
        (void)added;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config_defaults defaults = {.interval_ms = 60000};
    CLEANUP(config_free) struct config *config = NULL;
    if (config_parse("/x/y.yaml", (const char *)data, size, &defaults, &config, NULL) != 0)
        return 0;
    for (size_t i = 0; i < config_count(config); i++) {
        const struct repository_config *item = config_at(config, i);
        struct git_url url;
        int code = git_url_parse(item->url.text, &url, NULL);
        assert(code == 0 && item->branches.count + item->tags.count > 0);
        (void)code;
        struct repository_config *copy = repository_config_copy(item);
        assert(repository_config_equal(item, copy));
        repository_config_free(copy);
        (void)repository_config_wants(item, "refs/heads/main");
    }
    check_sources(config);
    check_named(config);
    return 0;
}
