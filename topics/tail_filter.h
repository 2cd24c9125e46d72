/*
 * Which records `nodag tail` shows: by key, name, type and time. Pure; private to the command.
 *
 * Design: everything is decided by key, headers and timestamp; no payload is parsed.
 */
#ifndef NODAG_TOPICS_TAIL_FILTER_H
#define NODAG_TOPICS_TAIL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "topics/bus.h"

/* Bounds of time that bind nothing. */
#define TAIL_TIME_NONE INT64_MIN

/* What a record must be; zero-initialised but for the times, everything matches. */
struct tail_filter {
    const char *key;         /* the whole key; NULL: any */
    const char *repository;  /* owner/name, borrowed, not NUL-terminated; NULL: any */
    size_t repository_bytes; /* length */
    int64_t number;          /* of the issue; 0: any */
    const char *type;        /* glob for ce_type; NULL: any */
    int64_t since_ms;        /* not older than this; TAIL_TIME_NONE */
    int64_t until_ms;        /* older than this; TAIL_TIME_NONE */
};

/* Takes "owner/repo" or "owner/repo#number" (borrowed). ERR_USAGE. Any thread. */
int tail_filter_set_name(struct tail_filter *filter, const char *name,
                         struct error *error) MUST_CHECK;

/*
 * Reads a point in time: RFC 3339, a date, or how long ago it was (10m, 2h, 30d). ERR_USAGE. Any
 * thread.
 */
int tail_parse_time(const char *text, int64_t now_ms, int64_t *ret_wall_ms,
                    struct error *error) MUST_CHECK;

/* Returns true if key, name or type are asked for. Any thread. */
bool tail_filter_is_selective(const struct tail_filter *filter);

/* Returns true if the record is to be shown. Any thread. */
bool tail_filter_matches(const struct tail_filter *filter, const struct bus_record *record);

#endif
