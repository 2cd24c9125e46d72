/*
 * What the fields of a document mean together, beyond the form of each: see spec_check.h. The
 * functions take a tree of any form: what is missing or of another kind was said by the form's
 * check.
 */
#include <string.h>

#include "base/cleanup.h"
#include "topics/spec_check.h"

/* Longest piece of the text that an error quotes. */
#define MEANING_QUOTE_MAX_BYTES 60

static bool meaning_is_list(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SEQUENCE;
}

/* Returns a scalar's text, or NULL. */
static const char *meaning_text(const struct yaml_node *node)
{
    return !yaml_is_null(node) && node->kind == YAML_SCALAR ? node->text : NULL;
}

/* --- Labeler --- */

/* Each entry of `models` names exactly one source. */
static void meaning_models(const struct yaml_node *models, struct spec_errors *errors)
{
    static const char *const names[] = {"from", "model", "file"};
    for (size_t i = 0; meaning_is_list(models) && i < models->count; i++) {
        const struct yaml_node *entry = models->items[i];
        size_t named = 0;
        for (size_t j = 0; j < ARRAY_COUNT(names); j++)
            named += yaml_is_null(yaml_get(entry, names[j])) ? 0 : 1;
        if (entry->kind == YAML_MAPPING && named != 1)
            spec_errors_add(errors, entry->line, entry->column,
                            "an entry of `models` names exactly one of `from`, `model` and `file`");
    }
}

static void meaning_include(const struct yaml_node *include, struct spec_errors *errors)
{
    for (size_t i = 0; meaning_is_list(include) && i < include->count; i++) {
        const struct yaml_node *entry = include->items[i];
        const char *glob = meaning_text(entry);
        if (glob != NULL && spec_label_is_futile(glob))
            spec_errors_add(errors, entry->line, entry->column,
                            "`%.*s` reaches only labels on which automation elsewhere acts, and "
                            "those are written only where they are named literally; name each",
                            MEANING_QUOTE_MAX_BYTES, glob);
    }
}

static void meaning_of_labeler(const struct yaml_node *spec, enum spec_strictness strictness,
                               struct spec_errors *errors)
{
    const struct yaml_node *since = yaml_get(spec, "since");
    meaning_models(yaml_get(spec, "models"), errors);
    meaning_include(yaml_get(yaml_get(spec, "labels"), "include"), errors);
    if (strictness == SPEC_FROM_FOLDER && spec != NULL && spec->kind == YAML_MAPPING &&
        yaml_is_null(since)) {
        const struct yaml_node *where = since != NULL ? since : spec;
        spec_errors_add(errors, where->line, where->column,
                        "`since` is required in a document that is read from a folder: events from "
                        "before that day are not acted on (for example `since: 2026-11-01`)");
    }
}

/* --- Deployment --- */

static void meaning_of_deployment(const struct yaml_node *spec, struct spec_errors *errors)
{
    static const char *const names[] = {"configMap", "workload"};
    const struct yaml_node *rollout = yaml_get(spec, "rollout");
    const char *evidence = meaning_text(yaml_get(rollout, "evidence"));
    bool is_cluster = evidence != NULL && strcmp(evidence, "cluster") == 0;
    for (size_t i = 0; i < ARRAY_COUNT(names) && rollout != NULL; i++) {
        const struct yaml_node *node = yaml_get(rollout, names[i]);
        if (is_cluster && yaml_is_null(node))
            spec_errors_add(errors, rollout->line, rollout->column,
                            "`evidence: cluster` needs `%s` too", names[i]);
        else if (!is_cluster && !yaml_is_null(node))
            spec_errors_add(errors, node->line, node->column,
                            "`%s` belongs to `evidence: cluster`; add that, or remove it",
                            names[i]);
    }
    const struct yaml_node *pin = yaml_get(spec, "pin");
    const struct yaml_node *veto = yaml_get(spec, "veto");
    const char *pinned = meaning_text(pin);
    for (size_t i = 0; pinned != NULL && meaning_is_list(veto) && i < veto->count; i++) {
        const char *vetoed = meaning_text(veto->items[i]);
        if (vetoed != NULL && strcmp(vetoed, pinned) == 0)
            spec_errors_add(errors, pin->line, pin->column,
                            "`pin: %.*s` is vetoed too; remove one of the two",
                            MEANING_QUOTE_MAX_BYTES, pinned);
    }
}

void spec_check_meaning(enum spec_kind kind, const struct yaml_node *root,
                        enum spec_strictness strictness, struct spec_errors *errors)
{
    const struct yaml_node *spec = yaml_get(root, "spec");
    if (kind == SPEC_LABELER)
        meaning_of_labeler(spec, strictness, errors);
    else if (kind == SPEC_DEPLOYMENT)
        meaning_of_deployment(spec, errors);
}
