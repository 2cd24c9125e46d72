/*
 * Allocation that aborts instead of failing: see memory.h.
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static _Noreturn void mem_abort(size_t bytes)
{
    fprintf(stderr, "nodag: out of memory: %zu bytes asked; aborting, a restart replays\n", bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    return mem_alloc_array(1, bytes);
}

void *mem_alloc_array(size_t count, size_t element_bytes)
{
    void *memory = calloc(count > 0 ? count : 1, element_bytes > 0 ? element_bytes : 1);
    if (memory == NULL)
        mem_abort(element_bytes);
    return memory;
}

void *mem_resize_array(void *memory, size_t count, size_t element_bytes)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, element_bytes, &bytes))
        mem_abort(SIZE_MAX);
    void *resized = realloc(memory, bytes > 0 ? bytes : 1);
    if (resized == NULL)
        mem_abort(bytes);
    return resized;
}

char *mem_copy_text(const char *text)
{
    return text == NULL ? NULL : mem_copy_bytes(text, strlen(text));
}

char *mem_copy_bytes(const void *bytes, size_t byte_count)
{
    char *copy = mem_alloc(byte_count + 1);
    if (byte_count > 0)
        memcpy(copy, bytes, byte_count);
    return copy;
}

char *mem_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        mem_abort(0);
    return text;
}
