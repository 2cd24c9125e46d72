/*
 * Ownership helpers: cleanup on scope exit, handing over, and magic numbers for what passes through
 * `void *`.
 *
 * Design: an owned local is declared `CLEANUP(thing_free) struct thing *thing = NULL;` and is freed
 * whenever the scope is left; `TAKE(thing)` hands it over and leaves NULL. DEFINE_CLEANUP makes the
 * pointer-to-pointer function that the compiler's cleanup attribute needs. A struct that travels
 * through a `void *` starts with `unsigned magic`, and the receiver checks it with CAST_CHECKED.
 *
 * Invariant: every `_free()` accepts NULL, so a cleanup never asks.
 */
#ifndef NODAG_BASE_CLEANUP_H
#define NODAG_BASE_CLEANUP_H

#include <assert.h>
#include <stddef.h>

/* Frees the variable by `free_function` (made known by DEFINE_CLEANUP) when its scope is left. */
#define CLEANUP(free_function) __attribute__((cleanup(free_function##_cleanup)))

/* Makes `free_function` usable in CLEANUP for variables of pointer type `type`. */
#define DEFINE_CLEANUP(type, free_function)                                                        \
    static inline __attribute__((unused)) void free_function##_cleanup(type *variable)             \
    {                                                                                              \
        if (*variable != NULL)                                                                     \
            free_function(*variable);                                                              \
    }

/* Hands over an owned pointer: its value is the expression's, the variable becomes NULL. */
#define TAKE(variable)                                                                             \
    __extension__({                                                                                \
        __typeof__(variable) take_value_ = (variable);                                             \
        (variable) = NULL;                                                                         \
        take_value_;                                                                               \
    })

/* Converts `void *pointer` to `type *` and asserts that it is one: alive, and with the type's
 * magic. */
#define CAST_CHECKED(type, pointer, expected_magic)                                                \
    __extension__({                                                                                \
        type *cast_value_ = (pointer);                                                             \
        assert(cast_value_ != NULL && cast_value_->magic == (expected_magic));                     \
        cast_value_;                                                                               \
    })

/* Number of elements of an array (not of a pointer). */
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
