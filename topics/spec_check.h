/*
 * Checking one document of a YAML text against its kind's table, and what its fields mean together.
 *
 * Design: everything wrong is collected, not only the first, up to SPEC_ERRORS_MAX; each with line
 * and column and what to do about it. What is right becomes a JSON value: mappings and lists as they
 * are, numbers and truths as such, everything else as the text that was written; defaults are not
 * filled in (spec_schema.h reads them).
 *
 * Invariants: a value is made only of a document without an error; a value that was made is accepted
 * again when it is written as JSON and read (JSON is YAML): readers of records check by that.
 */
#ifndef NODAG_TOPICS_SPEC_CHECK_H
#define NODAG_TOPICS_SPEC_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/yaml_text.h"
#include "topics/spec_schema.h"

/* Most errors that are kept of one document or file: more help nobody at once. */
#define SPEC_ERRORS_MAX 20

/* One error. */
struct spec_error {
    int line;   /* from 1; 0: the file as a whole */
    int column; /* from 1; 0: the line, or the file, as a whole */
    char *text; /* owned: what is wrong; what to do */
};

/* What is wrong; all zero: nothing. Freed by spec_errors_release. */
struct spec_errors {
    size_t count;                             /* kept, 0..SPEC_ERRORS_MAX */
    size_t left_out;                          /* further ones */
    struct spec_error items[SPEC_ERRORS_MAX]; /* see spec_errors_sort */
};

/* Adds an error (printf). Any thread. */
void spec_errors_add(struct spec_errors *errors, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds what base/yaml_text.h wrote ("source:line:column: text") without the source. Any thread. */
void spec_errors_take(struct spec_errors *errors, const char *source, const struct error *error);

/* Orders the errors by line and column. Any thread. */
void spec_errors_sort(struct spec_errors *errors);

/*
 * Appends all errors as lines "source:line:column: text" without a last line end; what is beyond
 * the buffer's limit is left out. Any thread.
 */
void spec_errors_write(const struct spec_errors *errors, const char *source, struct buffer *buffer);

/* Frees the texts; the errors are empty and usable again. Any thread. */
void spec_errors_release(struct spec_errors *errors);

/* The cleanup function behind CLEANUP(spec_errors_release), for a `struct spec_errors` variable. */
static inline __attribute__((unused)) void spec_errors_release_cleanup(struct spec_errors *errors)
{
    spec_errors_release(errors);
}

/* How a document is judged. */
enum spec_strictness {
    SPEC_FROM_GIT = 0,    /* `since` of a Labeler may be left out: it is known when it came */
    SPEC_FROM_FOLDER = 1, /* it is required: nobody knows when it came */
};

/*
 * Checks the form of a document (a mapping) against its kind and its meaning; adds errors. Returns
 * the value (new reference), or NULL where anything is wrong. Any thread.
 */
json_t *spec_check(enum spec_kind kind, const struct yaml_stream *stream,
                   const struct yaml_node *root, enum spec_strictness strictness,
                   struct spec_errors *errors);

/* Checks a value that came from a record in the same way. ERR_INPUT with the first error. Any
 * thread. */
int spec_check_value(enum spec_kind kind, const json_t *document, struct error *error) MUST_CHECK;

/* spec_meaning.c: what fields mean together; tolerates any form. Adds errors. Any thread. */
void spec_check_meaning(enum spec_kind kind, const struct yaml_node *root,
                        enum spec_strictness strictness, struct spec_errors *errors);

#endif
