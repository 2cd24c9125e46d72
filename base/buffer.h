/*
 * A growable byte buffer that knows its maximum.
 *
 * Design: whoever makes a buffer says how large it may become; an append that would go over fails
 * and changes nothing. The content is always followed by a NUL that does not count, so text can be
 * read as a C string.
 *
 * Invariants: size_bytes ≤ limit_bytes; data is never NULL after the first append.
 */
#ifndef NODAG_BASE_BUFFER_H
#define NODAG_BASE_BUFFER_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

/* A byte buffer; fields are read-only for callers. Initialise with BUFFER_INIT. */
struct buffer {
    char *data;            /* owned; NULL while nothing was appended */
    size_t size_bytes;     /* bytes in use */
    size_t capacity_bytes; /* bytes allocated, without the NUL */
    size_t limit_bytes;    /* most bytes it may hold */
};

/* An empty buffer that may hold up to `limit` bytes. */
#define BUFFER_INIT(limit) ((struct buffer){.limit_bytes = (limit)})

/* Appends bytes. ERR_TOO_LARGE, and nothing appended, if the limit would be passed. Owner's thread.
 */
int buffer_append(struct buffer *buffer, const void *bytes, size_t byte_count) MUST_CHECK;

/* Appends a NUL-terminated text without its NUL. ERR_TOO_LARGE as buffer_append. Owner's thread. */
int buffer_append_text(struct buffer *buffer, const char *text) MUST_CHECK;

/* Appends printf output. ERR_TOO_LARGE as buffer_append. Owner's thread. */
int buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3))) MUST_CHECK;

/* Allocates for `byte_count` bytes in all at once. ERR_TOO_LARGE over the limit. Owner's thread. */
int buffer_reserve(struct buffer *buffer, size_t byte_count) MUST_CHECK;

/* Empties the buffer and keeps its memory. Owner's thread. */
void buffer_clear(struct buffer *buffer);

/* Frees the memory; the buffer is empty and usable again. Owner's thread. */
void buffer_release(struct buffer *buffer);

/* Hands the content over (owned, NUL-terminated, never NULL) and leaves the buffer empty. Owner's
 * thread. */
char *buffer_take(struct buffer *buffer);

/* The cleanup function behind CLEANUP(buffer_release), for a `struct buffer` variable. */
static inline __attribute__((unused)) void buffer_release_cleanup(struct buffer *buffer)
{
    buffer_release(buffer);
}

#endif
