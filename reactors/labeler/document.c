/*
 * `Labeler` documents: see document.h. Source of the form: topics/spec_kinds.c.
 */
#include "reactors/labeler/document.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "topics/holdback.h"

struct document_set {
    size_t count;               /* documents */
    struct document *documents; /* owned, in the order of their names */
};

struct document_set *document_set_new(void)
{
    return MEM_NEW(struct document_set);
}

/* Lists a field's texts, which stay the value's. */
static struct document_list document_list_texts(const json_t *value, const char *path)
{
    const json_t *array = spec_get(value, path);
    struct document_list list = {
        .items = mem_alloc_array(json_array_size(array), sizeof(list.items[0]))};
    size_t index = 0;
    const json_t *entry = NULL;
    json_array_foreach(array, index, entry) list.items[list.count++] = json_string_value(entry);
    return list;
}

static void document_read_models(struct document *document)
{
    static const char *const names[] = {[DOCUMENT_MODEL_FILE] = "file",
                                        [DOCUMENT_MODEL_VERSION] = "model",
                                        [DOCUMENT_MODEL_DEPLOYMENT] = "from"};
    const json_t *array = spec_get(document->value, "spec.models");
    document->models = mem_alloc_array(json_array_size(array), sizeof(document->models[0]));
    size_t index = 0;
    const json_t *entry = NULL;
    json_array_foreach(array, index, entry)
    {
        for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
            const char *text = json_string_value(json_object_get(entry, names[i]));
            if (text != NULL)
                document->models[document->model_count++] =
                    (struct document_model){.source = (enum document_model_source)i, .text = text};
        }
    }
}

/* Returns true if a choice stands at its second value. */
static bool document_chose(const json_t *value, const char *path, const char *choice)
{
    return strcmp(spec_get_text(SPEC_LABELER, value, path), choice) == 0;
}

void document_set_add(struct document_set *set, json_t *value, int64_t first_published_ms)
{
    struct document document = {
        .name = json_string_value(spec_get(value, "metadata.name")),
        .value = json_incref(value),
        .repositories = document_list_texts(value, "spec.repositories"),
        .include = document_list_texts(value, "spec.labels.include"),
        .since_ms = first_published_ms,
        .relabel = document_chose(value, "spec.relabel", "open") ? DOCUMENT_RELABEL_OPEN
                                                                 : DOCUMENT_RELABEL_NONE,
        .comment = document_chose(value, "spec.comment", "edit") ? DOCUMENT_COMMENT_EDIT
                                                                 : DOCUMENT_COMMENT_SILENT,
        .holdback = spec_get_number(SPEC_LABELER, value, "spec.audit.holdback"),
    };
    const char *since = json_string_value(spec_get(value, "spec.since"));
    if (since != NULL && time_from_text(since, strlen(since), &document.since_ms) != 0)
        document.since_ms = first_published_ms; /* not for a document that was accepted */
    document_read_models(&document);
    set->documents = mem_resize_array(set->documents, set->count + 1, sizeof(set->documents[0]));
    set->documents[set->count++] = document;
}

struct document_set *document_set_from_specs(const struct spec_store *specs)
{
    struct document_set *set = document_set_new();
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(specs);
    for (size_t i = 0; i < spec_store_count(specs); i++) {
        enum spec_kind kind = SPEC_KIND_COUNT;
        const char *name = NULL;
        const struct spec_record *record = entries[i].record;
        if (record->valid != NULL && spec_key_parse(entries[i].key, &kind, &name) == 0 &&
            kind == SPEC_LABELER)
            document_set_add(set, record->valid, record->first_published_ms);
    }
    return set;
}

void document_set_free(struct document_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        mem_free(set->documents[i].repositories.items);
        mem_free(set->documents[i].include.items);
        mem_free(set->documents[i].models);
        json_decref(set->documents[i].value);
    }
    mem_free(set->documents);
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
        if (spec_glob_matches(list->items[i], text))
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
    return spec_label_is_trigger(label);
}

bool document_equals(const struct document *left, const struct document *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    return left->since_ms == right->since_ms && json_equal(left->value, right->value) != 0;
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
    return holdback_includes(key, document->holdback);
}
