/*
 * `.github/issue_label_bot.yaml`: what the people who own a repository's issues say about labels.
 *
 * Design: two files count, the organisation's (in its `.github` repository) and the repository's
 * own, merged deeply: the repository's `label-alias` entries win over the organisation's of the
 * same name, its `predicted-labels` replaces the organisation's. Unknown names are allowed, because
 * the file belongs to its owners and other bots may read it.
 *
 * Form:   label-alias: {bug: kind/bug}          a label that the model names is written under
 * another name predicted-labels: [kind/bug, …]       only these are written (names after alias);
 * absent: all
 *
 * Invariant: pure functions of the bytes.
 */
#ifndef NODAG_LABELER_BOT_CONFIG_H
#define NODAG_LABELER_BOT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Where the file stands in a repository. */
#define BOT_CONFIG_PATH ".github/issue_label_bot.yaml"

/* Most aliases, and most predicted labels, of one file. */
#define BOT_CONFIG_ENTRIES_MAX 1000

/* A merged configuration. */
struct bot_config;

/* Makes an empty one: no alias, everything allowed; owned. */
struct bot_config *bot_config_new(void);

/*
 * Merges a file's text over what is there. `source` names it in errors. ERR_INPUT, ERR_TOO_LARGE
 * with position; then nothing is changed.
 */
int bot_config_merge(struct bot_config *config, const char *source, const char *text,
                     size_t text_bytes, struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. */
void bot_config_free(struct bot_config *config);
DEFINE_CLEANUP(struct bot_config *, bot_config_free)

/* Returns the name under which a label is written: its alias or itself; borrowed from config or the
 * argument. */
const char *bot_config_alias(const struct bot_config *config, const char *label);

/* Returns true if the label (name after alias) may be written. */
bool bot_config_allows(const struct bot_config *config, const char *written_label);

#endif
