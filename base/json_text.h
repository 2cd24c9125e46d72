/*
 * JSON records and configuration: jansson behind limits, strict reading of members, and a writer.
 *
 * Design: json_read refuses duplicate keys, nesting beyond jansson's 2048 and oversized texts. The
 * json_get_… functions read one member with a type; an absent member and a wrong type are told
 * apart, and the error names the member. Webhook payloads do not come here: they are streamed
 * (ingest/github), because a dense tree would take many times their size.
 *
 * Invariant: ownership follows jansson's words: "new" references are the caller's, "borrowed" are
 * not.
 */
#ifndef NODAG_BASE_JSON_TEXT_H
#define NODAG_BASE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Largest JSON text that is read into a tree: GitHub answers (a timeline page with comments is the
 * largest). */
#define JSON_TEXT_MAX_BYTES (32u << 20)

/* Frees a reference; for CLEANUP(json_release). */
static inline void json_release(json_t *value)
{
    json_decref(value);
}
DEFINE_CLEANUP(json_t *, json_release)

/* Bytes of one escaped character with its NUL, and of one written number with its NUL. */
#define JSON_ESCAPE_BYTES 8
/* See JSON_ESCAPE_BYTES. */
#define JSON_NUMBER_BYTES 32

/*
 * Parses a whole text, which may be any JSON value. A text member may hold \u0000; json_get_text
 * tells. ERR_INPUT with line and column (never with a piece of the text, which may be secret), also
 * for whole numbers beyond 64 bits; ERR_TOO_LARGE. New reference. Any thread.
 */
int json_read(const char *text, size_t text_bytes, json_t **ret_value,
              struct error *error) MUST_CHECK;

/*
 * Prints compactly with sorted keys and shortest numbers: equal values give equal bytes. Numbers
 * that JSON cannot write (infinite, not a number) become null. Owned, NUL-terminated text, its
 * length in `ret_bytes` (may be NULL). Any thread.
 */
char *json_write(const json_t *value, size_t *ret_bytes) __attribute__((returns_nonnull));

/*
 * Writes the first character of `text` (≥ 1 byte) as it stands in a JSON text, with a NUL; a byte
 * that is no UTF-8 becomes U+FFFD. Returns how many bytes of `text` that was, ≥ 1. Any thread.
 */
size_t json_escape(const char *text, size_t text_bytes,
                   char ret_escaped[JSON_ESCAPE_BYTES]) MUST_CHECK;

/*
 * Writes the shortest text that reads back as the same number and stays a real ("2.0"); "null" for
 * what is none. Any thread.
 */
void json_number_to_text(double number, char ret_text[JSON_NUMBER_BYTES]);

/*
 * Reads a text member (borrowed). ERR_NOT_FOUND if absent or null; ERR_INPUT if it is no text or
 * holds a NUL character, or if `object` is no object (as for all json_get_… functions). Any thread.
 */
int json_get_text(const json_t *object, const char *name, const char **ret_text,
                  struct error *error) MUST_CHECK;

/* Reads a whole-number member. ERR_NOT_FOUND, ERR_INPUT. Any thread. */
int json_get_int(const json_t *object, const char *name, int64_t *ret_integer,
                 struct error *error) MUST_CHECK;

/* Reads a number member. ERR_NOT_FOUND, ERR_INPUT. Any thread. */
int json_get_number(const json_t *object, const char *name, double *ret_number,
                    struct error *error) MUST_CHECK;

/* Reads a boolean member. ERR_NOT_FOUND, ERR_INPUT. Any thread. */
int json_get_bool(const json_t *object, const char *name, bool *ret_truth,
                  struct error *error) MUST_CHECK;

/* Returns the text member or `otherwise` (both borrowed) when absent or of another type. Any
 * thread. */
const char *json_text_or(const json_t *object, const char *name, const char *otherwise);

/* Returns the whole-number member or `otherwise`. Any thread. */
int64_t json_int_or(const json_t *object, const char *name, int64_t otherwise);

/* Walks a dotted path of object members ("user.login"); NULL if any is absent. Borrowed. Any
 * thread. */
json_t *json_walk(const json_t *value, const char *path);

#endif
