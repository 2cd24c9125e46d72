/*
 * The scalar values of documents: what a duration, a name, a glob or a URL is, said once for
 * validation, JSON Schema and people.
 *
 * Design: one table (SPEC_TYPE_TABLE) of types. A value is a text as it stands in YAML; numbers and
 * truths, which YAML tells by themselves, are read by base/yaml_text.h and have no check here.
 *
 * Invariants: pure functions; no accepted text holds a control character, so that it can stand in
 * JSON, in a header and on a terminal.
 */
#ifndef NODAG_TOPICS_SPEC_VALUE_H
#define NODAG_TOPICS_SPEC_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Longest name of a document: it becomes part of branches, runs and comments (DNS-1123 label). */
#define SPEC_NAME_MAX_BYTES 63

/* Longest text value. */
#define SPEC_TEXT_MAX_BYTES 1000

/*
 * Every type: enum name, how people call it, JSON type, JSON Schema pattern (NULL: none). Patterns
 * are what an editor can say; spec_value_fault is what counts.
 */
#define SPEC_TYPE_TABLE(X)                                                                         \
    X(SPEC_OBJECT, "mapping", "object", NULL)                                                      \
    X(SPEC_MAP, "mapping of texts, numbers and truths", "object", NULL)                            \
    X(SPEC_BOOL, "true or false", "boolean", NULL)                                                 \
    X(SPEC_INTEGER, "whole number", "integer", NULL)                                               \
    X(SPEC_NUMBER, "number", "number", NULL)                                                       \
    X(SPEC_CHOICE, "choice", "string", NULL)                                                       \
    X(SPEC_TEXT, "text", "string", NULL)                                                           \
    X(SPEC_NAME, "name", "string", "^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")                        \
    X(SPEC_VERSION, "model version", "string", "^[A-Za-z0-9][A-Za-z0-9._/-]*$")                    \
    X(SPEC_DURATION, "duration", "string", "^0$|^([0-9]+(d|h|ms|m|s))+$")                          \
    X(SPEC_PERCENT, "share", "string", NULL)                                                       \
    X(SPEC_TIME, "time", "string", "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$")                       \
    X(SPEC_REPOSITORY, "owner/name or a glob of it", "string", "^[^/ ]+/[^/ ]+$")                  \
    X(SPEC_LABEL, "label or a glob of labels", "string", NULL)                                     \
    X(SPEC_GLOB, "glob of paths", "string", "^[^/].*$")                                            \
    X(SPEC_FILE, "path within a repository", "string", "^[^/].*$")                                 \
    X(SPEC_BRANCH, "branch", "string", "^[^-/][^ ~^:?*\\\\\\[]*$")                                 \
    X(SPEC_HTTP_URL, "URL", "string", "^https?://[^/@]+(/.*)?$")                                   \
    X(SPEC_GIT_URL, "repository's URL", "string",                                                  \
      "^(https?|ssh|git|file)://.+$|^[^/:]+@[^:]+:.+$")                                            \
    X(SPEC_TARGET_PATH, "path within a document", "string", "^(#[^/]+/[^/]+)?/.+$")

/* What a value is. */
enum spec_type {
#define SPEC_TYPE_ENUM(id, name, json, pattern) id, /* see SPEC_TYPE_TABLE */
    SPEC_TYPE_TABLE(SPEC_TYPE_ENUM)
#undef SPEC_TYPE_ENUM
        SPEC_TYPE_COUNT /* how many */
};

/* Returns how people call a type; static storage. Any thread. */
const char *spec_type_name(enum spec_type type);

/*
 * Returns NULL if `text` is a value of the type (for the types that YAML tells by itself: always),
 * else what a value looks like: "write …" (static storage). Any thread.
 */
const char *spec_value_fault(enum spec_type type, const char *text);

/* Returns the JSON Schema of a type: {"type": …, "pattern": …}; new reference. Any thread. */
json_t *spec_value_schema(enum spec_type type);

/* Returns true if `text` has a character that a glob does not take literally: * ? or [. Any thread.
 */
bool spec_is_glob(const char *text);

/*
 * Returns true if a glob matches a text, as everywhere in nodag's documents: without regard to
 * case, * also over slashes, no escapes. Any thread.
 */
bool spec_glob_matches(const char *glob, const char *text);

/*
 * Returns true if everything that `narrow` (a glob or a literal text) matches is certainly matched
 * by `wide` too. False also where it cannot be told. Any thread.
 */
bool spec_glob_covers(const char *wide, const char *narrow);

/*
 * Returns true for labels on which automation elsewhere acts (ok-to-test, lgtm, approved,
 * do-not-merge/…): they are written only where a document names them literally. Any thread.
 */
bool spec_label_is_trigger(const char *label);

/* Returns true for a glob that can reach nothing but such labels, and so nothing at all. Any
 * thread. */
bool spec_label_is_futile(const char *glob);

#endif
