/*
 * A YAML text → its documents: see spec_document.h.
 */
#include "topics/spec_document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/nearest.h"

/* Longest piece of the text that an error quotes. */
#define DOCUMENT_QUOTE_MAX_BYTES 60

/* Stands for the file in errors of base/yaml_text.h; taken off again. */
#define DOCUMENT_SOURCE "file"

_Static_assert(SPEC_KEY_BYTES > sizeof("Deployment/") + SPEC_NAME_MAX_BYTES, "keys fit");

/* Returns a scalar's text, or "". */
static const char *document_text(const struct yaml_node *node)
{
    return !yaml_is_null(node) && node->kind == YAML_SCALAR ? node->text : "";
}

/* Returns true if a document is not nodag's; a slip of the pen in nodag.dev/v1 is. */
static bool document_is_foreign(const struct yaml_node *root)
{
    static const char *const own[] = {SPEC_API_VERSION};
    const char *version = document_text(yaml_get(root, "apiVersion"));
    return version[0] != '\0' && strncmp(version, SPEC_API_GROUP, strlen(SPEC_API_GROUP)) != 0 &&
           nearest_name(version, own, 1) == NULL;
}

static void document_refuse_kind(const struct yaml_node *where, const char *kind,
                                 struct spec_errors *faults)
{
    const char *near = spec_kind_nearest(kind);
    if (kind[0] == '\0')
        spec_errors_add(faults, where->line, where->column,
                        "`kind` is required; write Model, Deployment or Labeler");
    else if (near != NULL)
        spec_errors_add(faults, where->line, where->column,
                        "`kind: %.*s` is not known; did you mean %s?", DOCUMENT_QUOTE_MAX_BYTES,
                        kind, near);
    else
        spec_errors_add(faults, where->line, where->column,
                        "`kind: %.*s` is not known; write Model, Deployment or Labeler",
                        DOCUMENT_QUOTE_MAX_BYTES, kind);
}

/* Reads kind and name; what is missing becomes a fault of the file. */
static bool document_read_key(const struct yaml_node *root, struct spec_errors *faults,
                              enum spec_kind *ret_kind, const char **ret_name)
{
    const struct yaml_node *kind_node = yaml_get(root, "kind");
    const struct yaml_node *name_node = yaml_get(yaml_get(root, "metadata"), "name");
    const char *kind = document_text(kind_node);
    const char *name = document_text(name_node);
    if (kind[0] == '\0' || spec_kind_from_name(kind, ret_kind) != 0) {
        document_refuse_kind(kind_node != NULL ? kind_node : root, kind, faults);
        return false;
    }
    if (spec_value_fault(SPEC_NAME, name) != NULL) {
        const struct yaml_node *where = name_node != NULL ? name_node : root;
        spec_errors_add(faults, where->line, where->column,
                        "`metadata: {name: %.*s}` is no name of a %s; %s", DOCUMENT_QUOTE_MAX_BYTES,
                        name, kind, spec_value_fault(SPEC_NAME, name));
        return false;
    }
    *ret_name = name;
    return true;
}

static void document_read(struct spec_file_documents *file, const struct yaml_stream *stream,
                          const struct yaml_node *root, enum spec_strictness strictness)
{
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    if (root->kind != YAML_MAPPING) {
        spec_errors_add(&file->faults, root->line, root->column,
                        "a document must be a mapping with apiVersion, kind, metadata and spec");
        return;
    }
    if (document_is_foreign(root)) {
        file->foreign++;
        return;
    }
    if (!document_read_key(root, &file->faults, &kind, &name))
        return;
    struct spec_document *document = &file->documents[file->count++];
    document->kind = kind;
    document->line = root->line;
    (void)snprintf(document->key, sizeof(document->key), "%s/%s", spec_kind_row(kind)->name, name);
    document->name = strchr(document->key, '/') + 1;
    document->value = spec_check(kind, stream, root, strictness, &document->errors);
}

void spec_document_refuse(struct spec_document *document, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    spec_errors_add(&document->errors, document->line, 0, "%s", text);
    json_decref(document->value);
    document->value = NULL;
}

/* Two documents with one key: neither counts. */
static void document_find_doubles(struct spec_file_documents *file)
{
    for (size_t i = 0; i < file->count; i++) {
        for (size_t j = 0; j < file->count; j++) {
            if (i == j || strcmp(file->documents[i].key, file->documents[j].key) != 0)
                continue;
            spec_document_refuse(&file->documents[i],
                                 "%s stands in this file twice, also in line %d; rename or remove "
                                 "one of the two",
                                 file->documents[i].key, file->documents[j].line);
            break;
        }
    }
}

struct spec_file_documents *spec_documents_read(const char *text, size_t text_bytes,
                                                enum spec_strictness strictness)
{
    struct spec_file_documents *file = MEM_NEW(struct spec_file_documents);
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
    struct error error = {0};
    if (yaml_parse(DOCUMENT_SOURCE, text, text_bytes, &stream, &error) != 0) {
        spec_errors_take(&file->faults, DOCUMENT_SOURCE, &error);
        return file;
    }
    size_t count = yaml_document_count(stream);
    if (count > SPEC_FILE_DOCUMENTS_MAX) {
        spec_errors_add(&file->faults, 0, 0, "more than %d documents; split the file",
                        SPEC_FILE_DOCUMENTS_MAX);
        return file;
    }
    file->documents = mem_alloc_array(count, sizeof(file->documents[0]));
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *root = yaml_document(stream, i);
        if (!yaml_is_null(root))
            document_read(file, stream, root, strictness);
    }
    document_find_doubles(file);
    return file;
}

void spec_documents_free(struct spec_file_documents *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < file->count; i++) {
        json_decref(file->documents[i].value);
        spec_errors_release(&file->documents[i].errors);
    }
    spec_errors_release(&file->faults);
    mem_free(file->documents);
    mem_free(file);
}
