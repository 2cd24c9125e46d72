/*
 * YAML into a small tree: see yaml_text.h.
 *
 * Design: libyaml's events, not its documents: the document interface expands aliases and has no limits of its own.
 * The tree is built without recursion over a stack of open collections; the first thing that is refused ends it.
 *
 *      event ─▶ yaml_take_event ─┬─ scalar, start ─▶ new node ─▶ attached to the open collection (or to the stream)
 *                                └─ end ─▶ duplicate names are looked for, the collection is closed
 *
 * A mapping that waits for a value has one name more than items (`names_count` in its frame); a node that comes in
 * is its next name or its next value.
 *
 * Invariants: every node is in `nodes`, so that freeing needs no walk; at most YAML_NODES_MAX of them; no event
 * survives the function that took it.
 */
#include "base/yaml_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/memory.h"

/* Most documents of one text: a file of desired state has a handful. */
#define YAML_DOCUMENTS_MAX 1000

/*
 * Most directives (lines that begin with %) of one text: libyaml compares every %TAG with all before it, which
 * took half a minute for a megabyte of them.
 */
#define YAML_DIRECTIVES_MAX 16

/* Longest piece of the text that an error quotes. */
#define YAML_QUOTE_MAX_BYTES 60

struct yaml_stream {
    char *source;             /* owned; names the file in errors */
    struct yaml_node **nodes; /* owned, and so is what it points to */
    size_t node_count;        /* ≤ YAML_NODES_MAX */
    struct yaml_node **roots; /* owned array; a root for each document */
    size_t document_count;    /* ≤ YAML_DOCUMENTS_MAX */
};

/* A collection whose end has not come yet. */
struct yaml_frame {
    struct yaml_node *node; /* borrowed from the stream */
    size_t names_count;     /* mapping: names so far; count or count + 1 */
};

/* One call of yaml_parse. */
struct yaml_builder {
    yaml_parser_t parser;                     /* libyaml's */
    struct yaml_stream *stream;               /* owned until handed out */
    struct yaml_frame frames[YAML_DEPTH_MAX]; /* the open collections, outermost first */
    size_t depth;                             /* frames in use */
    struct error *error;                      /* borrowed; may be NULL */
};

static int yaml_error_at(const struct yaml_stream *stream, size_t line, size_t column,
                         struct error *error, int code, const char *text)
{
    return error_set(error, code, "%s:%zu:%zu: %s", stream->source, line, column, text);
}

/* An error at libyaml's mark, which counts from 0. */
static int yaml_refuse(const struct yaml_builder *builder, yaml_mark_t mark, int code,
                       const char *text)
{
    return yaml_error_at(builder->stream, mark.line + 1, mark.column + 1, builder->error, code,
                         text);
}

int yaml_error(const struct yaml_stream *stream, const struct yaml_node *node, struct error *error,
               int code, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (node == NULL)
        return error_set(error, code, "%s: %s", stream->source, text);
    return yaml_error_at(stream, (size_t)node->line, (size_t)node->column, error, code, text);
}

/* Returns true if an array that grows by doubling is full at `count`. */
static bool yaml_array_is_full(size_t count)
{
    return (count & (count - 1)) == 0;
}

/* Appends to an array of nodes whose capacity is the next power of two. */
static struct yaml_node **yaml_append(struct yaml_node **array, size_t count,
                                      struct yaml_node *node)
{
    if (yaml_array_is_full(count))
        array = mem_resize_array(array, count == 0 ? 1 : 2 * count, sizeof(struct yaml_node *));
    array[count] = node;
    return array;
}

/* Makes a node that the stream owns. ERR_TOO_LARGE over the limit. */
static int yaml_make_node(struct yaml_builder *builder, enum yaml_kind kind, yaml_mark_t mark,
                          struct yaml_node **ret_node)
{
    struct yaml_stream *stream = builder->stream;
    if (stream->node_count == YAML_NODES_MAX)
        return yaml_refuse(builder, mark, ERR_TOO_LARGE, "too many values in one file");
    struct yaml_node *node = MEM_NEW(struct yaml_node);
    node->kind = kind;
    node->line = (int)(mark.line + 1);
    node->column = (int)(mark.column + 1);
    stream->nodes = yaml_append(stream->nodes, stream->node_count, node);
    stream->node_count++;
    *ret_node = node;
    return 0;
}

/* Puts a finished or opened node where it belongs: a document's root, a list's item, a mapping's name or value. */
static int yaml_attach(struct yaml_builder *builder, struct yaml_node *node, yaml_mark_t mark)
{
    struct yaml_stream *stream = builder->stream;
    if (builder->depth == 0) {
        if (stream->document_count == YAML_DOCUMENTS_MAX)
            return yaml_refuse(builder, mark, ERR_TOO_LARGE, "too many documents in one file");
        stream->roots = yaml_append(stream->roots, stream->document_count, node);
        stream->document_count++;
        return 0;
    }
    struct yaml_frame *frame = &builder->frames[builder->depth - 1];
    struct yaml_node *parent = frame->node;
    if (parent->kind == YAML_MAPPING && frame->names_count == parent->count) {
        if (node->kind != YAML_SCALAR)
            return yaml_refuse(builder, mark, ERR_INPUT, "the name of a mapping must be a text");
        parent->names = yaml_append(parent->names, frame->names_count, node);
        frame->names_count++;
        return 0;
    }
    parent->items = yaml_append(parent->items, parent->count, node);
    parent->count++;
    return 0;
}

/* Checks an anchor and a tag. Of the tags, only those that the node's kind has anyway are known. */
static int yaml_check_properties(const struct yaml_builder *builder, yaml_mark_t mark,
                                 const yaml_char_t *anchor, const yaml_char_t *tag,
                                 const char *const *known_tags)
{
    if (anchor != NULL)
        return yaml_refuse(builder, mark, ERR_INPUT,
                           "anchors (&name) are not supported; write the value where it is needed");
    if (tag == NULL)
        return 0;
    for (; *known_tags != NULL; known_tags++) {
        if (strcmp((const char *)tag, *known_tags) == 0)
            return 0;
    }
    return yaml_refuse(builder, mark, ERR_INPUT, "this tag (!name) is not supported; remove it");
}

static int yaml_take_scalar(struct yaml_builder *builder, const yaml_event_t *event)
{
    static const char *const tags[] = {YAML_STR_TAG,  "!",           YAML_INT_TAG, YAML_FLOAT_TAG,
                                       YAML_BOOL_TAG, YAML_NULL_TAG, NULL};
    const char *tag = (const char *)event->data.scalar.tag;
    const char *text = (const char *)event->data.scalar.value;
    size_t text_bytes = event->data.scalar.length;
    struct yaml_node *node = NULL;
    int code = yaml_check_properties(builder, event->start_mark, event->data.scalar.anchor,
                                     event->data.scalar.tag, tags);
    if (code != 0)
        return code;
    if (memchr(text, '\0', text_bytes) != NULL)
        return yaml_refuse(builder, event->start_mark, ERR_INPUT,
                           "this text holds a NUL character");
    code = yaml_make_node(builder, YAML_SCALAR, event->start_mark, &node);
    if (code != 0)
        return code;
    bool is_text_by_tag = tag != NULL && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0);
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->quoted = is_text_by_tag || (tag == NULL && !is_plain);
    node->text = mem_copy_bytes(text, text_bytes);
    node->text_bytes = text_bytes;
    return yaml_attach(builder, node, event->start_mark);
}

static int yaml_open(struct yaml_builder *builder, enum yaml_kind kind, yaml_mark_t mark)
{
    struct yaml_node *node = NULL;
    int code = yaml_make_node(builder, kind, mark, &node);
    if (code == 0)
        code = yaml_attach(builder, node, mark);
    if (code != 0)
        return code;
    if (builder->depth == YAML_DEPTH_MAX)
        return yaml_refuse(builder, mark, ERR_TOO_LARGE, "nested too deep");
    builder->frames[builder->depth++] = (struct yaml_frame){.node = node};
    return 0;
}

/* Orders name nodes by text, equal ones by where they stand, so that the later one is reported. */
static int yaml_compare_names(const void *left, const void *right)
{
    const struct yaml_node *a = *(struct yaml_node *const *)left;
    const struct yaml_node *b = *(struct yaml_node *const *)right;
    int order = strcmp(a->text, b->text);
    if (order == 0)
        order = (a->line > b->line) - (a->line < b->line);
    return order != 0 ? order : (a->column > b->column) - (a->column < b->column);
}

static int yaml_check_duplicates(const struct yaml_builder *builder,
                                 const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return 0;
    CLEANUP(mem_free) struct yaml_node **sorted = mem_alloc_array(mapping->count, sizeof(*sorted));
    memcpy(sorted, mapping->names, mapping->count * sizeof(*sorted));
    qsort(sorted, mapping->count, sizeof(*sorted), yaml_compare_names);
    for (size_t i = 1; i < mapping->count; i++) {
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) == 0)
            return yaml_error(builder->stream, sorted[i], builder->error, ERR_INPUT,
                              "the name '%.*s' stands here a second time; the first is in line %d",
                              YAML_QUOTE_MAX_BYTES, sorted[i]->text, sorted[i - 1]->line);
    }
    return 0;
}

static int yaml_take_event(struct yaml_builder *builder, const yaml_event_t *event)
{
    static const char *const sequence_tags[] = {YAML_SEQ_TAG, "!", NULL};
    static const char *const mapping_tags[] = {YAML_MAP_TAG, "!", NULL};
    int code = 0;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return yaml_refuse(builder, event->start_mark, ERR_INPUT,
                           "aliases (*name) are not supported; write the value where it is needed");
    case YAML_SCALAR_EVENT:
        return yaml_take_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        code = yaml_check_properties(builder, event->start_mark, event->data.sequence_start.anchor,
                                     event->data.sequence_start.tag, sequence_tags);
        return code != 0 ? code : yaml_open(builder, YAML_SEQUENCE, event->start_mark);
    case YAML_MAPPING_START_EVENT:
        code = yaml_check_properties(builder, event->start_mark, event->data.mapping_start.anchor,
                                     event->data.mapping_start.tag, mapping_tags);
        return code != 0 ? code : yaml_open(builder, YAML_MAPPING, event->start_mark);
    case YAML_MAPPING_END_EVENT:
        code = yaml_check_duplicates(builder, builder->frames[builder->depth - 1].node);
        builder->depth--;
        return code;
    case YAML_SEQUENCE_END_EVENT:
        builder->depth--;
        return 0;
    default:
        return 0; /* starts and ends of stream and documents */
    }
}

/* The text of what libyaml found wrong. */
static int yaml_syntax_error(const struct yaml_builder *builder)
{
    const yaml_parser_t *parser = &builder->parser;
    const char *problem = parser->problem == NULL ? "not valid YAML" : parser->problem;
    char text[ERROR_TEXT_BYTES];
    if (parser->error == YAML_READER_ERROR)
        return error_set(builder->error, ERR_INPUT, "%s: byte %zu: %s", builder->stream->source,
                         parser->problem_offset, problem);
    (void)snprintf(text, sizeof(text), "%s%s%s", problem, parser->context == NULL ? "" : " ",
                   parser->context == NULL ? "" : parser->context);
    return yaml_refuse(builder, parser->problem_mark, ERR_INPUT, text);
}

/* Takes events until the stream ends or something is refused. */
static int yaml_build(struct yaml_builder *builder)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&builder->parser, &event))
            return yaml_syntax_error(builder);
        ended = event.type == YAML_STREAM_END_EVENT;
        int code = yaml_take_event(builder, &event);
        yaml_event_delete(&event);
        if (code != 0)
            return code;
    }
    return 0;
}

/* Length of the line break that ends right before `at`, or 0: LF, CR, NEL, LS and PS, as libyaml counts lines. */
static size_t yaml_break_before(const char *text, const char *at)
{
    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < ARRAY_COUNT(breaks); i++) {
        size_t length = strlen(breaks[i]);
        if ((size_t)(at - text) >= length && memcmp(at - length, breaks[i], length) == 0)
            return length;
    }
    return 0;
}

/* Returns true if more lines begin with % than are read, whatever they are: directives, or lines of a long text. */
static bool yaml_has_many_directives(const char *text, size_t text_bytes)
{
    const char *end = text + text_bytes;
    size_t count = 0;
    for (const char *at = text; at < end && count <= YAML_DIRECTIVES_MAX; at++) {
        at = memchr(at, '%', (size_t)(end - at));
        if (at == NULL)
            return false;
        count += at == text || yaml_break_before(text, at) > 0 ? 1 : 0;
    }
    return count > YAML_DIRECTIVES_MAX;
}

int yaml_parse(const char *source, const char *text, size_t text_bytes,
               struct yaml_stream **ret_stream, struct error *error)
{
    if (text_bytes > YAML_TEXT_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "%s: %zu bytes, more than the %u that are read",
                         source, text_bytes, YAML_TEXT_MAX_BYTES);
    if (yaml_has_many_directives(text, text_bytes))
        return error_set(error, ERR_TOO_LARGE, "%s: more than %d lines begin with %%; indent them",
                         source, YAML_DIRECTIVES_MAX);
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = MEM_NEW(struct yaml_stream);
    stream->source = mem_copy_text(source);
    struct yaml_builder builder = {.stream = stream, .error = error};
    if (!yaml_parser_initialize(&builder.parser))
        abort(); /* out of memory, as in memory.c */
    yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&builder.parser, (const unsigned char *)text, text_bytes);
    int code = yaml_build(&builder);
    yaml_parser_delete(&builder.parser);
    if (code != 0)
        return code;
    *ret_stream = TAKE(stream);
    return 0;
}

void yaml_stream_free(struct yaml_stream *stream)
{
    if (stream == NULL)
        return;
    for (size_t i = 0; i < stream->node_count; i++) {
        struct yaml_node *node = stream->nodes[i];
        free((char *)(uintptr_t)node->text); /* const for readers only */
        free(node->items);
        free(node->names);
        free(node);
    }
    free(stream->nodes);
    free(stream->roots);
    free(stream->source);
    free(stream);
}

size_t yaml_document_count(const struct yaml_stream *stream)
{
    return stream->document_count;
}

const struct yaml_node *yaml_document(const struct yaml_stream *stream, size_t index)
{
    assert(index < stream->document_count);
    const struct yaml_node *root = stream->roots[index];
    bool is_empty = root->kind == YAML_SCALAR && !root->quoted && root->text_bytes == 0;
    return is_empty ? NULL : root;
}
