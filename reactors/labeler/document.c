/*
 * `Labeler` documents: see document.h. Source of the form: the project's architecture, "Desired
 * state lives in git".
 */
#include "reactors/labeler/document.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/option.h"
#include "base/time_text.h"
#include "base/yaml_text.h"

/* Labels on which automation elsewhere acts; writing one could start builds, approve or merge. */
static const char *const document_trigger_labels[] = {
    "ok-to-test",    "needs-ok-to-test",
    "lgtm",          "approve*",
    "safe to test",  "safe-to-test",
    "auto-merge",    "automerge",
    "merge*",        "tide/*",
    "do-not-merge*", "do not merge*",
    "cherry-pick*",  "backport*",
    "run-*",         "deploy*",
    "release*",      "retest*",
    "kodiak:*",      "ci:*",
    "lifecycle/*",   "stale",
    "hold",          "needs-rebase",
    "needs-triage",  "dependencies",
};

struct document_set {
    size_t count;                                  /* documents */
    struct document documents[DOCUMENT_COUNT_MAX]; /* in file order */
    struct yaml_stream *stream;                    /* owns all texts */
};

/* What the readers below share. */
struct document_reader {
    const struct yaml_stream *stream; /* for positions */
    struct error *error;              /* where texts go */
};

static int document_read_list(const struct document_reader *reader, const struct yaml_node *parent,
                              const struct yaml_node *node, const char *name,
                              struct document_list *ret_list)
{
    if (node == NULL || node->kind != YAML_SEQUENCE || node->count == 0)
        return yaml_error(reader->stream, node != NULL ? node : parent, reader->error, ERR_INPUT,
                          "`%s` must be a list with at least one entry", name);
    if (node->count > DOCUMENT_LIST_MAX)
        return yaml_error(reader->stream, node, reader->error, ERR_TOO_LARGE,
                          "`%s` has more than %d entries", name, DOCUMENT_LIST_MAX);
    struct document_list list = {.items = mem_alloc_array(node->count, sizeof(list.items[0]))};
    for (size_t i = 0; i < node->count; i++) {
        int code = yaml_read_text(reader->stream, node->items[i], &list.items[i], reader->error);
        if (code == 0 && list.items[i][0] == '\0')
            code = yaml_error(reader->stream, node->items[i], reader->error, ERR_INPUT,
                              "an entry of `%s` is empty", name);
        if (code != 0) {
            mem_free(list.items);
            return code;
        }
        list.count++;
    }
    *ret_list = list;
    return 0;
}

static int document_read_choice(const struct document_reader *reader, const struct yaml_node *node,
                                const char *name, const char *const choices[2], int *ret_index)
{
    if (node == NULL)
        return 0;
    const char *text = NULL;
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    for (int i = 0; i < 2; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                      "`%s: %s` is not known; write `%s` or `%s`", name, text, choices[0],
                      choices[1]);
}

static int document_read_since(const struct document_reader *reader, const struct yaml_node *spec,
                               int64_t *ret_since_ms)
{
    const struct yaml_node *node = yaml_get(spec, "since");
    if (node == NULL)
        return yaml_error(reader->stream, spec, reader->error, ERR_INPUT,
                          "`since` is required in a document that is read from a file: events from "
                          "before that day "
                          "are not acted on (for example `since: 2026-11-01`)");
    const char *text = NULL;
    int code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    if (time_from_text(text, strlen(text), ret_since_ms) != 0)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "`since: %s` is no date; write 2026-11-01 or 2026-11-01T08:00:00Z", text);
    return 0;
}

/* Puts the path of one entry of `models` into *ret_file. */
static int document_read_model(const struct document_reader *reader, const struct yaml_node *node,
                               const char **ret_file)
{
    static const char *const names[] = {"from", "model", "file", NULL};
    if (node->kind != YAML_MAPPING || node->count != 1)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "an entry of `models` names exactly one of `from`, `model` and `file`");
    int code = yaml_check_names(reader->stream, node, names, reader->error);
    if (code != 0)
        return code;
    const struct yaml_node *file = yaml_get(node, "file");
    if (file == NULL)
        return yaml_error(reader->stream, node, reader->error, ERR_UNSUPPORTED,
                          "`%s` needs the records of a deployer, which this version does not have; "
                          "use `file: PATH`",
                          node->names[0]->text);
    return yaml_read_text(reader->stream, file, ret_file, reader->error);
}

static int document_read_models(const struct document_reader *reader, const struct yaml_node *spec,
                                struct document_list *ret_files)
{
    const struct yaml_node *node = yaml_get(spec, "models");
    if (node == NULL || node->kind != YAML_SEQUENCE || node->count == 0 ||
        node->count > DOCUMENT_LIST_MAX)
        return yaml_error(
            reader->stream, node != NULL ? node : spec, reader->error, ERR_INPUT,
            "`models` must be a list with 1 to %d entries such as `- {file: label.model}`",
            DOCUMENT_LIST_MAX);
    struct document_list files = {.items = mem_alloc_array(node->count, sizeof(files.items[0]))};
    for (size_t i = 0; i < node->count; i++) {
        int code = document_read_model(reader, node->items[i], &files.items[i]);
        if (code != 0) {
            mem_free(files.items);
            return code;
        }
        files.count++;
    }
    *ret_files = files;
    return 0;
}

static int document_read_holdback(const struct document_reader *reader,
                                  const struct yaml_node *spec, double *ret_share)
{
    static const char *const names[] = {"holdback", NULL};
    const struct yaml_node *audit = yaml_get(spec, "audit");
    if (audit == NULL)
        return 0;
    if (audit->kind != YAML_MAPPING)
        return yaml_error(reader->stream, audit, reader->error, ERR_INPUT,
                          "`audit` must be a mapping: {holdback: 5%%}");
    int code = yaml_check_names(reader->stream, audit, names, reader->error);
    const struct yaml_node *node = yaml_get(audit, "holdback");
    if (code != 0 || node == NULL)
        return code;
    const char *text = NULL;
    code = yaml_read_text(reader->stream, node, &text, reader->error);
    if (code != 0)
        return code;
    double share = 0;
    if (option_parse_percent(text, &share) != 0 || share < 0 || share > 1)
        return yaml_error(reader->stream, node, reader->error, ERR_INPUT,
                          "`holdback: %s` is no share; write 5%% or 0.05", text);
    *ret_share = share;
    return 0;
}

static int document_read_spec(const struct document_reader *reader, const struct yaml_node *spec,
                              struct document *document)
{
    static const char *const names[] = {"repositories", "labels",  "models", "since",
                                        "relabel",      "comment", "audit",  NULL};
    static const char *const label_names[] = {"include", NULL};
    static const char *const relabel_choices[] = {"none", "open"};
    static const char *const comment_choices[] = {"silent", "edit"};
    int code = yaml_check_names(reader->stream, spec, names, reader->error);
    if (code == 0)
        code = document_read_list(reader, spec, yaml_get(spec, "repositories"), "repositories",
                                  &document->repositories);
    const struct yaml_node *labels = yaml_get(spec, "labels");
    if (code == 0 && (labels == NULL || labels->kind != YAML_MAPPING))
        code = yaml_error(reader->stream, labels != NULL ? labels : spec, reader->error, ERR_INPUT,
                          "`labels: {include: […]}` is required: nothing else is ever written");
    if (code == 0)
        code = yaml_check_names(reader->stream, labels, label_names, reader->error);
    if (code == 0)
        code = document_read_list(reader, labels, yaml_get(labels, "include"), "include",
                                  &document->include);
    if (code == 0)
        code = document_read_models(reader, spec, &document->model_files);
    if (code == 0)
        code = document_read_since(reader, spec, &document->since_ms);
    int relabel = DOCUMENT_RELABEL_NONE;
    int comment = DOCUMENT_COMMENT_SILENT;
    if (code == 0)
        code = document_read_choice(reader, yaml_get(spec, "relabel"), "relabel", relabel_choices,
                                    &relabel);
    if (code == 0)
        code = document_read_choice(reader, yaml_get(spec, "comment"), "comment", comment_choices,
                                    &comment);
    document->relabel = (enum document_relabel)relabel;
    document->comment = (enum document_comment)comment;
    if (code == 0)
        code = document_read_holdback(reader, spec, &document->holdback);
    return code;
}

/* Reads a text that must be there. */
static int document_read_required(const struct document_reader *reader,
                                  const struct yaml_node *parent, const char *name,
                                  const char **ret_text)
{
    const struct yaml_node *node = yaml_get(parent, name);
    if (yaml_is_null(node))
        return yaml_error(reader->stream, node != NULL ? node : parent, reader->error, ERR_INPUT,
                          "`%s` is required", name);
    int code = yaml_read_text(reader->stream, node, ret_text, reader->error);
    if (code == 0 && (*ret_text)[0] == '\0')
        code = yaml_error(reader->stream, node, reader->error, ERR_INPUT, "`%s` is empty", name);
    return code;
}

static int document_read_head(const struct document_reader *reader, const struct yaml_node *root,
                              struct document *document)
{
    static const char *const names[] = {"apiVersion", "kind", "metadata", "spec", NULL};
    static const char *const metadata_names[] = {"name", NULL};
    if (root == NULL || root->kind != YAML_MAPPING)
        return yaml_error(reader->stream, root, reader->error, ERR_INPUT,
                          "a document must be a mapping with apiVersion, kind, "
                          "metadata and spec");
    int code = yaml_check_names(reader->stream, root, names, reader->error);
    if (code != 0)
        return code;
    const char *version = NULL;
    const char *kind = NULL;
    const struct yaml_node *metadata = yaml_get(root, "metadata");
    const struct yaml_node *spec = yaml_get(root, "spec");
    code = document_read_required(reader, root, "apiVersion", &version);
    if (code == 0 && strcmp(version, "nodag.dev/v1") != 0)
        code =
            yaml_error(reader->stream, yaml_get(root, "apiVersion"), reader->error, ERR_UNSUPPORTED,
                       "`apiVersion: %s` is not known; this version reads nodag.dev/v1", version);
    if (code == 0)
        code = document_read_required(reader, root, "kind", &kind);
    if (code == 0 && strcmp(kind, "Labeler") != 0)
        code = yaml_error(reader->stream, yaml_get(root, "kind"), reader->error, ERR_INPUT,
                          "the labeler reads documents of kind Labeler, not %s", kind);
    if (code == 0 && (metadata == NULL || metadata->kind != YAML_MAPPING || spec == NULL ||
                      spec->kind != YAML_MAPPING))
        code = yaml_error(reader->stream, root, reader->error, ERR_INPUT,
                          "`metadata: {name: …}` and `spec: {…}` are required");
    if (code == 0)
        code = yaml_check_names(reader->stream, metadata, metadata_names, reader->error);
    if (code == 0)
        code = document_read_required(reader, metadata, "name", &document->name);
    return code != 0 ? code : document_read_spec(reader, spec, document);
}

static int document_check_unique(const struct document_set *set, const struct yaml_stream *stream,
                                 size_t index, struct error *error)
{
    for (size_t i = 0; i + 1 < set->count; i++)
        if (strcmp(set->documents[i].name, set->documents[set->count - 1].name) == 0)
            return yaml_error(stream, yaml_document(stream, index), error, ERR_INPUT,
                              "a Labeler named `%s` stands above already", set->documents[i].name);
    return 0;
}

int document_set_parse(const char *source, const char *text, size_t text_bytes,
                       struct document_set **ret_set, struct error *error)
{
    CLEANUP(document_set_free) struct document_set *set = MEM_NEW(struct document_set);
    int code = yaml_parse(source, text, text_bytes, &set->stream, error);
    if (code != 0)
        return code;
    struct document_reader reader = {.stream = set->stream, .error = error};
    size_t count = yaml_document_count(set->stream);
    if (count > DOCUMENT_COUNT_MAX)
        return error_set(error, ERR_TOO_LARGE, "%s: more than %d documents", source,
                         DOCUMENT_COUNT_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *root = yaml_document(set->stream, i);
        if (yaml_is_null(root))
            continue;
        set->count++;
        code = document_read_head(&reader, root, &set->documents[set->count - 1]);
        if (code == 0)
            code = document_check_unique(set, set->stream, i, error);
        if (code != 0)
            return code;
    }
    if (set->count == 0)
        return error_set(error, ERR_INPUT, "%s: there is no Labeler document in it", source);
    *ret_set = TAKE(set);
    return 0;
}

void document_set_free(struct document_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        mem_free(set->documents[i].repositories.items);
        mem_free(set->documents[i].include.items);
        mem_free(set->documents[i].model_files.items);
    }
    yaml_stream_free(set->stream);
    mem_free(set);
}

size_t document_count(const struct document_set *set)
{
    return set->count;
}

const struct document *document_at(const struct document_set *set, size_t index)
{
    return &set->documents[index];
}

static bool document_list_matches(const struct document_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (fnmatch(list->items[i], text, FNM_CASEFOLD | FNM_NOESCAPE) == 0)
            return true;
    return false;
}

int document_find(const struct document_set *set, const char *repository,
                  const struct document **ret_document, struct error *error)
{
    const struct document *found = NULL;
    for (size_t i = 0; i < set->count; i++) {
        const struct document *document = &set->documents[i];
        if (!document_list_matches(&document->repositories, repository))
            continue;
        if (found != NULL)
            return error_set(
                error, ERR_CONFLICT,
                "the Labelers `%s` and `%s` both match %s; change `repositories` of one of them",
                found->name, document->name, repository);
        found = document;
    }
    if (found == NULL)
        return error_set(error, ERR_NOT_FOUND, "no Labeler matches %s", repository);
    *ret_document = found;
    return 0;
}

bool document_is_trigger_label(const char *label)
{
    for (size_t i = 0; i < ARRAY_COUNT(document_trigger_labels); i++)
        if (fnmatch(document_trigger_labels[i], label, FNM_CASEFOLD | FNM_NOESCAPE) == 0)
            return true;
    return false;
}

bool document_includes_label(const struct document *document, const char *label)
{
    for (size_t i = 0; i < document->include.count; i++)
        if (strcasecmp(document->include.items[i], label) == 0)
            return true;
    return document_list_matches(&document->include, label) && !document_is_trigger_label(label);
}

bool document_holds_back(const struct document *document, const char *key)
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(key, strlen(key), digest);
    uint32_t draw = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 |
                    (uint32_t)digest[2] << 8 | digest[3];
    return (double)draw / 4294967296.0 < document->holdback;
}
