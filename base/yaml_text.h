/*
 * YAML documents for people's configuration: libyaml → a small tree that knows line and column of
 * everything.
 *
 * Design: the tree keeps positions, so that an error can say file:line:column. Scalars keep whether
 * they were quoted (`"5"` is no number). Refused with a position: duplicate names, names that are
 * no scalars, tags other than the core ones, NUL characters, more than YAML_NODES_MAX nodes, more
 * than 16 lines that begin with %, nesting beyond YAML_DEPTH_MAX, anchors and aliases (what they
 * expand to is not bounded by the text). Source: YAML 1.1 as libyaml reads it, UTF-8 only; the core
 * types null, bool, integer and number are decided by the yaml_read_…() functions, and only where
 * JSON and every version of YAML agree: true and false but not yes or on, 8 but not 010, 0x8 or
 * 1_000.
 *
 * Invariant: parsing is a pure function of the bytes; nothing outside the text is opened.
 */
#ifndef NODAG_BASE_YAML_TEXT_H
#define NODAG_BASE_YAML_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Largest YAML text that is read. */
#define YAML_TEXT_MAX_BYTES (1u << 20)

/* Most nodes in one text. */
#define YAML_NODES_MAX 50000

/* Deepest nesting. */
#define YAML_DEPTH_MAX 32

/* What a node is. */
enum yaml_kind {
    YAML_SCALAR,   /* a text */
    YAML_SEQUENCE, /* a list */
    YAML_MAPPING,  /* names with values, in file order */
};

/* One node; all memory belongs to its stream. */
struct yaml_node {
    enum yaml_kind kind;      /* what it is */
    int line;                 /* 1-based position of its start */
    int column;               /* 1-based */
    bool quoted;              /* scalar: was quoted, a block or tagged !!str */
    const char *text;         /* scalar: NUL-terminated; never NULL for scalars */
    size_t text_bytes;        /* scalar: length; NULs inside are refused by the parser */
    size_t count;             /* sequence, mapping: number of items */
    struct yaml_node **items; /* sequence: items; mapping: values */
    struct yaml_node **names; /* mapping: name nodes (scalars), same order as items */
};

/* The documents of one text. */
struct yaml_stream;

/*
 * Parses all documents. `source` (copied) names the file in errors. Owned result. ERR_INPUT,
 * ERR_TOO_LARGE with source:line:column (bytes that are no UTF-8: with their offset). Any thread.
 */
int yaml_parse(const char *source, const char *text, size_t text_bytes,
               struct yaml_stream **ret_stream, struct error *error) MUST_CHECK;

/* Frees a stream and its nodes; NULL allowed. */
void yaml_stream_free(struct yaml_stream *stream);
DEFINE_CLEANUP(struct yaml_stream *, yaml_stream_free)

/* Returns how many documents there are. */
size_t yaml_document_count(const struct yaml_stream *stream);

/* Returns the root of document `index` < count; borrowed; NULL for an empty document. */
const struct yaml_node *yaml_document(const struct yaml_stream *stream, size_t index);

/* Returns the value of `name` in a mapping, or NULL (also for NULL and other kinds). Borrowed. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *name);

/*
 * Writes "source:line:column: text" ("source: text" for a NULL node) into error, which may be NULL,
 * and returns code.
 */
int yaml_error(const struct yaml_stream *stream, const struct yaml_node *node, struct error *error,
               int code, const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * Checks that every name of a mapping is in the NULL-terminated list (at most 64); else ERR_INPUT
 * with the position and the nearest name, or all that are known. A NULL node is fine; one that is
 * no mapping is ERR_INPUT.
 */
int yaml_check_names(const struct yaml_stream *stream, const struct yaml_node *mapping,
                     const char *const *names, struct error *error) MUST_CHECK;

/* Returns true for an absent node, `null`, `~` or an empty plain scalar. */
bool yaml_is_null(const struct yaml_node *node);

/* Reads a scalar as text (borrowed). ERR_INPUT with position if it is no scalar or null. */
int yaml_read_text(const struct yaml_stream *stream, const struct yaml_node *node,
                   const char **ret_text, struct error *error) MUST_CHECK;

/* Reads a whole number within [least, most]. ERR_INPUT with position. */
int yaml_read_int(const struct yaml_stream *stream, const struct yaml_node *node, int64_t least,
                  int64_t most, int64_t *ret_integer, struct error *error) MUST_CHECK;

/* Reads a number within [least, most], as JSON writes them. ERR_INPUT with position. */
int yaml_read_number(const struct yaml_stream *stream, const struct yaml_node *node, double least,
                     double most, double *ret_number, struct error *error) MUST_CHECK;

/* Reads true or false. ERR_INPUT with position. */
int yaml_read_bool(const struct yaml_stream *stream, const struct yaml_node *node, bool *ret_truth,
                   struct error *error) MUST_CHECK;

#endif
