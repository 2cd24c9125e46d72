/*
 * `.github/issue_label_bot.yaml`: see bot_config.h. Label names are compared without regard to
 * case, as GitHub does.
 */
#include "reactors/labeler/bot_config.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/yaml_text.h"

/* One alias. */
struct bot_alias {
    char *label;   /* owned: what the model says */
    char *written; /* owned: what is written */
};

struct bot_config {
    struct bot_alias *aliases; /* owned */
    size_t alias_count;        /* of them */
    char **allowed;            /* owned list of owned names; NULL: everything is allowed */
    size_t allowed_count;      /* of them */
    bool has_allowed;          /* predicted-labels was there, maybe empty */
};

struct bot_config *bot_config_new(void)
{
    return MEM_NEW(struct bot_config);
}

static void bot_config_clear_allowed(struct bot_config *config)
{
    for (size_t i = 0; i < config->allowed_count; i++)
        mem_free(config->allowed[i]);
    mem_free(config->allowed);
    config->allowed = NULL;
    config->allowed_count = 0;
}

void bot_config_free(struct bot_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->alias_count; i++) {
        mem_free(config->aliases[i].label);
        mem_free(config->aliases[i].written);
    }
    mem_free(config->aliases);
    bot_config_clear_allowed(config);
    mem_free(config);
}

/* Checks that a node is a list or mapping of texts of bounded length. */
static int bot_config_check(const struct yaml_stream *stream, const struct yaml_node *node,
                            enum yaml_kind kind, const char *what, struct error *error)
{
    if (node->kind != kind)
        return yaml_error(stream, node, error, ERR_INPUT, "%s", what);
    if (node->count > BOT_CONFIG_ENTRIES_MAX)
        return yaml_error(stream, node, error, ERR_TOO_LARGE, "more than %d entries",
                          BOT_CONFIG_ENTRIES_MAX);
    for (size_t i = 0; i < node->count; i++) {
        const char *text = NULL;
        int code = yaml_read_text(stream, node->items[i], &text, error);
        if (code != 0)
            return code;
    }
    return 0;
}

static void bot_config_set_alias(struct bot_config *config, const char *label, const char *written)
{
    for (size_t i = 0; i < config->alias_count; i++) {
        if (strcasecmp(config->aliases[i].label, label) == 0) {
            mem_free(config->aliases[i].written);
            config->aliases[i].written = mem_copy_text(written);
            return;
        }
    }
    config->aliases =
        mem_resize_array(config->aliases, config->alias_count + 1, sizeof(config->aliases[0]));
    config->aliases[config->alias_count++] =
        (struct bot_alias){.label = mem_copy_text(label), .written = mem_copy_text(written)};
}

static void bot_config_set_allowed(struct bot_config *config, const struct yaml_node *node)
{
    bot_config_clear_allowed(config);
    config->has_allowed = true;
    config->allowed = mem_alloc_array(node->count, sizeof(config->allowed[0]));
    for (size_t i = 0; i < node->count; i++)
        config->allowed[config->allowed_count++] = mem_copy_text(node->items[i]->text);
}

int bot_config_merge(struct bot_config *config, const char *source, const char *text,
                     size_t text_bytes, struct error *error)
{
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
    int code = yaml_parse(source, text, text_bytes, &stream, error);
    if (code != 0)
        return code;
    const struct yaml_node *root =
        yaml_document_count(stream) > 0 ? yaml_document(stream, 0) : NULL;
    if (yaml_is_null(root))
        return 0;
    if (root->kind != YAML_MAPPING)
        return yaml_error(stream, root, error, ERR_INPUT,
                          "the file must be a mapping with `label-alias` and `predicted-labels`");
    const struct yaml_node *aliases = yaml_get(root, "label-alias");
    const struct yaml_node *allowed = yaml_get(root, "predicted-labels");
    if (!yaml_is_null(aliases))
        code = bot_config_check(stream, aliases, YAML_MAPPING,
                                "`label-alias` must be a mapping from label to label", error);
    if (code == 0 && !yaml_is_null(allowed))
        code = bot_config_check(stream, allowed, YAML_SEQUENCE,
                                "`predicted-labels` must be a list of labels", error);
    if (code != 0)
        return code;
    for (size_t i = 0; !yaml_is_null(aliases) && i < aliases->count; i++)
        bot_config_set_alias(config, aliases->names[i]->text, aliases->items[i]->text);
    if (!yaml_is_null(allowed))
        bot_config_set_allowed(config, allowed);
    return 0;
}

const char *bot_config_alias(const struct bot_config *config, const char *label)
{
    for (size_t i = 0; i < config->alias_count; i++)
        if (strcasecmp(config->aliases[i].label, label) == 0)
            return config->aliases[i].written;
    return label;
}

bool bot_config_allows(const struct bot_config *config, const char *written_label)
{
    if (!config->has_allowed)
        return true;
    for (size_t i = 0; i < config->allowed_count; i++)
        if (strcasecmp(config->allowed[i], written_label) == 0)
            return true;
    return false;
}
