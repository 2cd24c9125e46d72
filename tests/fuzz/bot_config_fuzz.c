/*
 * Fuzz target: any bytes as a repository's issue_label_bot.yaml, merged over a good one of its
 * organisation. What is refused says where and changes nothing; what is accepted answers for any
 * label, and merging it twice changes nothing more.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reactors/labeler/bot_config.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* The organisation's file. */
static const char organisation[] =
    "label-alias: {bug: kind/bug}\npredicted-labels: [kind/bug, bug]\n";

/* Labels that are asked for. */
static const char *const labels[] = {"bug", "kind/bug", "BUG", "a", "~", ""};

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct error error = {0};
    struct bot_config *config = bot_config_new();
    require(bot_config_merge(config, "organisation", organisation, strlen(organisation), &error) ==
            0);
    int code = bot_config_merge(config, "fuzz", (const char *)bytes, byte_count, &error);
    if (code != 0) {
        require(error.code == code && strncmp(error.text, "fuzz:", 5) == 0);
        require(strcmp(bot_config_alias(config, "bug"), "kind/bug") == 0);
        require(bot_config_allows(config, "kind/bug") && !bot_config_allows(config, "a"));
        bot_config_free(config);
        return 0;
    }
    struct bot_config *twice = bot_config_new();
    require(bot_config_merge(twice, "organisation", organisation, strlen(organisation), &error) ==
            0);
    require(bot_config_merge(twice, "fuzz", (const char *)bytes, byte_count, &error) == 0);
    require(bot_config_merge(twice, "fuzz", (const char *)bytes, byte_count, &error) == 0);
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        const char *written = bot_config_alias(config, labels[i]);
        require(strcmp(written, bot_config_alias(twice, labels[i])) == 0);
        require(bot_config_allows(config, written) == bot_config_allows(twice, written));
    }
    bot_config_free(twice);
    bot_config_free(config);
    return 0;
}
