/*
 * Times as texts: RFC 3339 both ways, HTTP dates one way.
 *
 * Design: strict. What GitHub, CloudEvents and our own records write is RFC 3339; anything else is
 * refused. So are times before 1970 and after 9999: nothing that nodag handles is that old, and
 * what is read can always be written.
 *
 * Invariants: pure functions, independent of locale and time zone; reading what was written gives
 * the same number.
 */
#ifndef NODAG_BASE_TIME_TEXT_H
#define NODAG_BASE_TIME_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of a written time with its NUL: 2026-11-01T12:34:56.789Z. */
#define TIME_TEXT_BYTES 32

/*
 * Writes milliseconds since 1970 as UTC, with three digits of fraction where they are not 0. What
 * lies outside the years 1970..9999 is written as the nearest time within. Any thread.
 */
void time_to_text(int64_t wall_ms, char ret_text[TIME_TEXT_BYTES]);

/*
 * Reads an RFC 3339 date-time (T or space, Z or offset, fraction cut to ms), or YYYY-MM-DD as its
 * midnight UTC. A leap second (23:59:60 UTC) is the midnight after it. ERR_INPUT for anything else.
 * Any thread.
 */
int time_from_text(const char *text, size_t text_bytes, int64_t *ret_wall_ms) MUST_CHECK;

/*
 * Reads an HTTP date (RFC 9110 §5.6.7, IMF-fixdate; the weekday is not compared with the date).
 * ERR_INPUT for anything else, the obsolete forms among it. Any thread.
 */
int time_from_http_date(const char *text, int64_t *ret_wall_ms) MUST_CHECK;

#endif
