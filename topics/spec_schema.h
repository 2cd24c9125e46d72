/*
 * The form of documents: one table for each kind, from which validation (spec_check.h), JSON Schema
 * for editors and the reference for people are made.
 *
 * Design: a row for each field, by its path from the document's root ("spec.fresh.maxAge"; below a
 * list of mappings "spec.models[].file"), parents before their children. A field that is absent or
 * null has its default; a reactor reads values with the functions below, which know the defaults, so
 * none of them is written down twice.
 *
 * Invariants: an unknown field is an error; a document that was accepted stays accepted by later
 * versions of v1: fields may be added, bounds may widen.
 */
#ifndef NODAG_TOPICS_SPEC_SCHEMA_H
#define NODAG_TOPICS_SPEC_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "topics/spec_value.h"

/* The apiVersion of all documents; another one that begins with SPEC_API_GROUP is an error, any
 * other is not nodag's. */
#define SPEC_API_VERSION "nodag.dev/v1"
/* See SPEC_API_VERSION. */
#define SPEC_API_GROUP "nodag.dev/"

/* Most entries of a list that has no bound of its own. */
#define SPEC_LIST_MAX 256

/* The kinds of documents. */
enum spec_kind {
    SPEC_MODEL,      /* a fresh model exists: the trainer's */
    SPEC_DEPLOYMENT, /* the configuration names the right model: the deployer's */
    SPEC_LABELER,    /* issues carry the predicted labels: the labeler's */
    SPEC_KIND_COUNT, /* how many */
};

/* One field. */
struct spec_field {
    const char *path;          /* from the root; "[]" stands for each entry of a list */
    enum spec_type type;       /* of the value, or of each entry of a list */
    bool is_list;              /* a list of such values */
    bool is_required;          /* absent or null is an error where its parent is there */
    const char *default_value; /* as a person would write it; NULL: none */
    double least;              /* least number, milliseconds, or entries of a list */
    double most;               /* most, likewise; both 0: no bound (lists: SPEC_LIST_MAX) */
    const char *choices;       /* SPEC_CHOICE: "a|b" */
    const char *help;          /* what it does, for people */
};

/* One kind. */
struct spec_kind_row {
    const char *name;                /* "Model" */
    const char *summary;             /* what is kept true */
    const struct spec_field *fields; /* parents before children */
    size_t field_count;              /* how many */
};

/* Returns the row of a kind < SPEC_KIND_COUNT; static storage. Any thread. */
const struct spec_kind_row *spec_kind_row(enum spec_kind kind);

/* Finds a kind by its name as it stands in documents. ERR_NOT_FOUND. Any thread. */
int spec_kind_from_name(const char *name, enum spec_kind *ret_kind) MUST_CHECK;

/* Returns the nearest kind's name to one that is none, or NULL; static storage. Any thread. */
const char *spec_kind_nearest(const char *name);

/*
 * Returns the field's own name if it stands directly below `parent` ("" for the root; "spec.models[]"
 * below entries of a list), else NULL; borrowed. Any thread.
 */
const char *spec_field_below(const struct spec_field *field, const char *parent);

/* Finds a field by its path; NULL if there is none. Static storage. Any thread. */
const struct spec_field *spec_field_find(enum spec_kind kind, const char *path);

/* Returns the JSON Schema (draft 2020-12) of a kind's documents; new reference. Any thread. */
json_t *spec_schema_make(enum spec_kind kind);

/* Returns the reference of a kind as Markdown; owned. Any thread. */
char *spec_schema_describe(enum spec_kind kind);

/*
 * Returns the value of a field in a document that was accepted (borrowed), or NULL where it is
 * absent or null. The path must not go through a list. Any thread.
 */
const json_t *spec_get(const json_t *document, const char *path);

/* Returns a text field, its default, or NULL; borrowed. Asserts that the kind has it. Any thread. */
const char *spec_get_text(enum spec_kind kind, const json_t *document, const char *path);

/* Returns a duration field in milliseconds, its default, or -1. Asserts as spec_get_text. Any
 * thread. */
int64_t spec_get_duration_ms(enum spec_kind kind, const json_t *document, const char *path);

/* Returns a whole number, its default, or -1. Asserts as spec_get_text. Any thread. */
int64_t spec_get_integer(enum spec_kind kind, const json_t *document, const char *path);

/* Returns a number or a share (0..1), its default, or -1. Asserts as spec_get_text. Any thread. */
double spec_get_number(enum spec_kind kind, const json_t *document, const char *path);

/* Returns a truth, its default, or false. Asserts as spec_get_text. Any thread. */
bool spec_get_bool(enum spec_kind kind, const json_t *document, const char *path);

#endif
