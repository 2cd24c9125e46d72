/*
 * What the HTTP client needs to know of URLs: whether two share an origin, and what of one may be shown.
 *
 * Invariant: a URL that libcurl cannot parse shares no origin with anything.
 */
#ifndef NODAG_BASE_HTTP_URL_H
#define NODAG_BASE_HTTP_URL_H

#include <stdbool.h>

/* Returns true if two absolute URLs share scheme, host and port, default ports included. Any thread. */
bool http_url_same_origin(const char *left_text, const char *right_text);

/*
 * Returns "METHOD URL" for error texts, without user information, query and fragment, which may be secret. Owned.
 * Any thread.
 */
char *http_url_make_label(const char *method, const char *url);

#endif
