/*
 * The log: one JSON object a line on standard error, with a rate limit for each place that logs.
 *
 * Design: a line has `time`, `level`, `daemon`, `message` and the fields that the caller names.
 * Each LOG_… macro holds a static `struct log_site`; a site that logs more than LOG_SITE_BURST
 * lines within LOG_SITE_WINDOW_MS is silenced until the window ends, and its next line says how
 * many were left out (`suppressed`). Libraries do not log, they return errors; daemons log once, at
 * the place that knows the key.
 *
 * Invariants: a line is valid JSON whatever bytes the fields hold (invalid UTF-8 is replaced); a
 * line is written by one write() and is at most 16 KiB long, what does not fit is left out and
 * `"truncated":true` says so; secrets and payloads are never given to it. The log alone reads the
 * machine's clocks by itself (it has no loop, and any thread may log); log_set_clock replaces them.
 */
#ifndef NODAG_BASE_LOG_H
#define NODAG_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Lines that one place may log within a window before it is silenced: enough to see a burst begin.
 */
#define LOG_SITE_BURST 20

/* Length of a site's window, in milliseconds. */
#define LOG_SITE_WINDOW_MS 10000

/* How important a line is. */
enum log_level {
    LOG_LEVEL_DEBUG,   /* for developers; off by default */
    LOG_LEVEL_INFO,    /* what a person wants to see in normal operation */
    LOG_LEVEL_WARNING, /* something is degraded and nodag goes on by itself */
    LOG_LEVEL_ERROR,   /* a person must do something */
};

/* Which member of a field holds its value. */
enum log_field_kind {
    LOG_FIELD_TEXT,  /* text and text_bytes */
    LOG_FIELD_INT,   /* integer */
    LOG_FIELD_FLOAT, /* number */
    LOG_FIELD_BOOL,  /* integer, 0 or 1 */
};

/* One named value of a line; made by LOG_TEXT, LOG_BYTES, LOG_INT, LOG_FLOAT and LOG_BOOL. */
struct log_field {
    const char *name;         /* borrowed */
    enum log_field_kind kind; /* which member holds */
    const char *text;         /* borrowed; NULL is written as null */
    size_t text_bytes;        /* length of text */
    int64_t integer;          /* integer or boolean */
    double number;            /* floating point */
};

/* The rate limit of one place in the code; static storage, zero at start. */
struct log_site {
    int64_t window_start_ms; /* monotonic start of the present window */
    unsigned lines;          /* lines in it so far */
    unsigned suppressed;     /* lines left out since the last one written */
};

/*
 * Sets the daemon's name (copied) and the least level that is written. Called once by main before
 * any other thread exists. Until then lines carry the name "nodag" and the level is INFO.
 */
void log_configure(const char *daemon_name, enum log_level least_level);

/* Reads a level's name (debug, info, warning, error). ERR_INPUT if it is none of them. Any thread.
 */
int log_level_parse(const char *text, enum log_level *ret_level) MUST_CHECK;

/* Sends lines to `fd` (borrowed) instead of standard error: for tests. Any thread. */
void log_set_fd(int fd);

/* Where the log's times come from; both functions may be called by any thread. */
struct log_clock {
    int64_t (*wall_ms)(void *argument); /* milliseconds since 1970, for `time` */
    int64_t (*monotonic_ms)(
        void *argument); /* milliseconds, never going back, for the rate limit */
    void *argument;      /* given to both; borrowed until the clock is replaced */
};

/* Takes times from `clock` (copied; NULL: the machine's clocks again): for tests and the
 * simulation. Any thread. */
void log_set_clock(const struct log_clock *clock);

/* Writes one line unless the level is too low or the site is over its rate. Any thread. */
void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields, size_t field_count);

/*
 * Field constructors: a NUL-terminated text (may be NULL), bytes with a length, a whole number, a
 * number, a truth.
 */
struct log_field log_field_text(const char *name, const char *text);
/* A text given by pointer and length. */
struct log_field log_field_bytes(const char *name, const char *text, size_t text_bytes);
/* A whole number. */
struct log_field log_field_int(const char *name, int64_t integer);
/* A number. */
struct log_field log_field_float(const char *name, double number);
/* A truth value. */
struct log_field log_field_bool(const char *name, bool truth);

/* Short names for use inside LOG_INFO and its siblings. */
#define LOG_TEXT(name, value) log_field_text(name, value)
/* See log_field_bytes. */
#define LOG_BYTES(name, value, value_bytes) log_field_bytes(name, value, value_bytes)
/* See log_field_int. */
#define LOG_INT(name, value) log_field_int(name, (int64_t)(value))
/* See log_field_float. */
#define LOG_FLOAT(name, value) log_field_float(name, value)
/* See log_field_bool. */
#define LOG_BOOL(name, value) log_field_bool(name, value)

/* Writes a line at `level`: LOG_AT(level, "message", LOG_TEXT("key", key), …); at least one field.
 */
#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        const struct log_field log_fields_[] = {__VA_ARGS__};                                      \
        log_write(&log_site_, level, message, log_fields_,                                         \
                  sizeof(log_fields_) / sizeof(log_fields_[0]));                                   \
    } while (0)

/* LOG_AT for each level. */
#define LOG_DEBUG(message, ...) LOG_AT(LOG_LEVEL_DEBUG, message, __VA_ARGS__)
/* Normal operation. */
#define LOG_INFO(message, ...) LOG_AT(LOG_LEVEL_INFO, message, __VA_ARGS__)
/* Degraded, going on. */
#define LOG_WARNING(message, ...) LOG_AT(LOG_LEVEL_WARNING, message, __VA_ARGS__)
/* A person must act. */
#define LOG_ERROR(message, ...) LOG_AT(LOG_LEVEL_ERROR, message, __VA_ARGS__)

#endif
