/*
 * Allocation that cannot fail for the caller.
 *
 * Design: on Linux a small allocation practically never returns NULL, and a daemon that met one
 * could not go on in any useful way: everything it holds is replayable from Kafka, so it prints one
 * line and aborts, and its supervisor starts it anew. What a stranger can make large (bodies,
 * queues, records) is never left to this: it has a named limit where it is read.
 *
 * Invariants: no function here returns NULL; multiplication is checked; only memory.c calls malloc
 * and friends.
 */
#ifndef NODAG_BASE_MEMORY_H
#define NODAG_BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* Returns `bytes` (0 allowed) of zeroed memory, owned by the caller, freed by free(). Any thread.
 */
void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));

/* Returns zeroed memory for `count` elements of `element_bytes`, owned; aborts if the product
 * overflows. Any thread. */
void *mem_alloc_array(size_t count, size_t element_bytes) __attribute__((malloc, returns_nonnull));

/* Resizes `memory` (taken; NULL allowed) to `count` elements; new bytes are not zeroed. Owned
 * result. Any thread. */
void *mem_resize_array(void *memory, size_t count, size_t element_bytes)
    __attribute__((returns_nonnull));

/* Returns an owned copy of a NUL-terminated text; NULL gives NULL. Any thread. */
char *mem_copy_text(const char *text);

/* Returns an owned copy of `bytes` bytes followed by a NUL that does not count. Any thread. */
char *mem_copy_bytes(const void *bytes, size_t byte_count) __attribute__((returns_nonnull));

/* Returns an owned text made by printf. Any thread. */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Zeroed memory for one object of a type, owned. */
#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

/* CLEANUP(mem_free): frees an owned `char *` or other pointer by free(). */
static inline void mem_free(void *memory)
{
    free(memory);
}

/* The cleanup function behind CLEANUP(mem_free), for a pointer variable of any type. */
static inline __attribute__((unused)) void mem_free_cleanup(void *variable)
{
    free(*(void **)variable);
}

#endif
