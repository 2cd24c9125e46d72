/*
 * Fuzz target: any bytes as YAML. What base/yaml_text.c accepts is walked whole, and every promise of its header is
 * asserted on the way: limits, positions, unique names, texts without NULs; an error always has a text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml_text.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_readers(const struct yaml_stream *stream, const struct yaml_node *node)
{
    static const char *const names[] = {"apiVersion", "kind", "metadata", "spec", NULL};
    struct error error = {0};
    const char *text = NULL;
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    require(yaml_read_text(stream, node, &text, &error) == 0 || error.text[0] != '\0');
    if (yaml_read_int(stream, node, -10, 10, &integer, &error) == 0)
        require(integer >= -10 && integer <= 10);
    if (yaml_read_number(stream, node, 0, 1, &number, &error) == 0)
        require(number >= 0 && number <= 1);
    (void)!yaml_read_bool(stream, node, &truth, &error);
    (void)!yaml_check_names(stream, node, names, &error);
}

/* Walks a node; returns how many there are below and including it. */
static size_t check_node(const struct yaml_stream *stream, const struct yaml_node *node, int depth)
{
    require(node->line >= 1 && node->column >= 1 && depth <= YAML_DEPTH_MAX);
    check_readers(stream, node);
    if (node->kind == YAML_SCALAR) {
        require(node->text != NULL && strlen(node->text) == node->text_bytes);
        return 1;
    }
    size_t nodes = 1;
    for (size_t i = 0; i < node->count; i++) {
        nodes += check_node(stream, node->items[i], depth + 1);
        if (node->kind == YAML_SEQUENCE)
            continue;
        nodes += check_node(stream, node->names[i], depth + 1);
        /* A second one of the same name would not be found. Only the first few: this is quadratic. */
        if (i < 50)
            require(yaml_get(node, node->names[i]->text) == node->items[i]);
    }
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct error error = {0};
    struct yaml_stream *stream = NULL;
    int code = yaml_parse("fuzz", (const char *)bytes, byte_count, &stream, &error);
    if (code != 0) {
        require(stream == NULL && error.code == code && strncmp(error.text, "fuzz:", 5) == 0);
        return 0;
    }
    size_t nodes = 0;
    for (size_t i = 0; i < yaml_document_count(stream); i++) {
        const struct yaml_node *root = yaml_document(stream, i);
        nodes += root == NULL ? 1 : check_node(stream, root, 0);
    }
    require(nodes <= YAML_NODES_MAX);
    yaml_stream_free(stream);
    return 0;
}
