/*
 * Error codes with a class, and an error text that is written once.
 *
 * Design: a function that can fail returns 0 or one of the negative codes below. The class of a
 * code says what a caller may do about it: try again later (retriable), give up until somebody
 * changes something (terminal), or report a defect in nodag itself (bug). Where a person has to act
 * on the failure, the function also takes a `struct error *` and writes there what failed, where,
 * and what to do next.
 *
 * Invariants: an error text is valid UTF-8, whatever went into it; the table ERR_TABLE is the only list of codes; outputs are touched on success only;
 * libraries never log, they return.
 */
#ifndef NODAG_BASE_ERROR_H
#define NODAG_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/* Longest error text, in bytes with its terminating NUL: a few lines on a terminal. Longer texts
 * are cut. */
#define ERROR_TEXT_BYTES 512

/* Marks a function whose result must not be ignored. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* What a caller may do about an error. */
enum err_class {
    ERR_CLASS_RETRIABLE, /* the world may be different in a moment: try again with backoff */
    ERR_CLASS_TERMINAL,  /* the same call will fail again until a person or the input changes */
    ERR_CLASS_BUG,       /* nodag broke a rule of its own */
};

/* Every error code: name, negative value, class, short text. */
#define ERR_TABLE(X)                                                                               \
    X(ERR_TIMEOUT, -1, RETRIABLE, "a deadline passed")                                             \
    X(ERR_UNAVAILABLE, -2, RETRIABLE, "the other side cannot be reached or is not ready")          \
    X(ERR_QUEUE_FULL, -3, RETRIABLE, "a queue is at its limit")                                    \
    X(ERR_RATE_LIMITED, -4, RETRIABLE, "a rate limit or budget says: later")                       \
    X(ERR_CONFLICT, -5, RETRIABLE, "somebody else changed it meanwhile")                           \
    X(ERR_CANCELLED, -6, RETRIABLE, "cancelled before it was done")                                \
    X(ERR_IO, -7, RETRIABLE, "input or output failed")                                             \
    X(ERR_INPUT, -20, TERMINAL, "the input is not valid")                                          \
    X(ERR_TOO_LARGE, -21, TERMINAL, "over a size or count limit")                                  \
    X(ERR_NOT_FOUND, -22, TERMINAL, "there is no such thing")                                      \
    X(ERR_DENIED, -23, TERMINAL, "not permitted")                                                  \
    X(ERR_UNSUPPORTED, -24, TERMINAL, "not supported here")                                        \
    X(ERR_CORRUPT, -25, TERMINAL,                                                                  \
      "damaged: a checksum or an invariant of the format does not hold")                           \
    X(ERR_USAGE, -26, TERMINAL, "the command line is not valid")                                   \
    X(ERR_BUG, -40, BUG, "a rule of nodag itself was broken")

/* The codes of ERR_TABLE. */
enum err {
#define ERR_ENUM(name, value, class, text) name = (value), /* see ERR_TABLE */
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* A failure that a person will read: the code and what failed, where, and what to do next. */
struct error {
    int code;                    /* 0 or one of enum err */
    char text[ERROR_TEXT_BYTES]; /* NUL-terminated; empty when code is 0 */
};

/* Returns the class of a negative code; a code that the table does not have is a bug. Any thread.
 */
enum err_class err_class(int code);

/* Returns true if trying again later can help. Any thread. */
bool err_is_retriable(int code);

/* Returns the name of a code as it stands in ERR_TABLE, "OK" for 0; static storage. Any thread. */
const char *err_name(int code);

/* Returns the short text of a code; static storage. Any thread. */
const char *err_text(int code);

/*
 * Writes code and text (printf format) into `error` and returns code, so that `return error_set(…)`
 * reads well. `error` may be NULL: then only the code is passed on. Any thread.
 */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Puts "context: " (printf format) before the text that `error` already has; the code stays. For
 * the one layer that knows the file or the key. `error` may be NULL. Returns the code given. Any
 * thread.
 */
int error_prefix(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
