/*
 * The growable byte buffer: see buffer.h.
 *
 * Growth doubles, so that appending n bytes costs O(n) in all, and never passes the limit: a buffer of 25 MB
 * that is full does not own 32 MB.
 */
#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* First allocation, so that short texts grow once. */
#define BUFFER_FIRST_BYTES 64

/* Makes room for `byte_count` more bytes, which the caller has checked to lie within the limit. */
static void buffer_grow(struct buffer *buffer, size_t byte_count)
{
    size_t needed_bytes = buffer->size_bytes + byte_count;
    if (buffer->data != NULL && needed_bytes <= buffer->capacity_bytes)
        return;
    size_t capacity_bytes = buffer->capacity_bytes * 2;
    if (capacity_bytes < BUFFER_FIRST_BYTES)
        capacity_bytes = BUFFER_FIRST_BYTES;
    if (capacity_bytes < needed_bytes)
        capacity_bytes = needed_bytes;
    if (capacity_bytes > buffer->limit_bytes)
        capacity_bytes = buffer->limit_bytes;
    buffer->data = mem_resize_array(buffer->data, capacity_bytes + 1, 1);
    buffer->capacity_bytes = capacity_bytes;
    buffer->data[buffer->size_bytes] = '\0';
}

/* Returns true if `byte_count` more bytes stay within the limit; written so that nothing can overflow. */
static bool buffer_fits(const struct buffer *buffer, size_t byte_count)
{
    assert(buffer->size_bytes <= buffer->limit_bytes);
    return byte_count <= buffer->limit_bytes - buffer->size_bytes;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t byte_count)
{
    if (!buffer_fits(buffer, byte_count))
        return ERR_TOO_LARGE;
    buffer_grow(buffer, byte_count);
    if (byte_count > 0)
        memcpy(buffer->data + buffer->size_bytes, bytes, byte_count);
    buffer->size_bytes += byte_count;
    buffer->data[buffer->size_bytes] = '\0';
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    size_t byte_count = (size_t)length;
    if (!buffer_fits(buffer, byte_count))
        return ERR_TOO_LARGE;
    buffer_grow(buffer, byte_count);
    va_start(arguments, format);
    (void)vsnprintf(buffer->data + buffer->size_bytes, byte_count + 1, format, arguments);
    va_end(arguments);
    buffer->size_bytes += byte_count;
    return 0;
}

int buffer_reserve(struct buffer *buffer, size_t byte_count)
{
    if (byte_count > buffer->limit_bytes)
        return ERR_TOO_LARGE;
    if (byte_count <= buffer->capacity_bytes)
        return 0;
    buffer->data = mem_resize_array(buffer->data, byte_count + 1, 1);
    buffer->capacity_bytes = byte_count;
    buffer->data[buffer->size_bytes] = '\0';
    return 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size_bytes = 0;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = BUFFER_INIT(buffer->limit_bytes);
}

char *buffer_take(struct buffer *buffer)
{
    buffer_grow(buffer, 0);
    char *data = TAKE(buffer->data);
    *buffer = BUFFER_INIT(buffer->limit_bytes);
    return data;
}
