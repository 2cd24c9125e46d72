/*
 * Fuzz target: the git door's file of repositories.
 *
 * Invariants under test: a configuration that is accepted has valid, different URLs and something to watch,
 * and its copies are
 * equal.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "ingest/git/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    return 0;
}
