/*
 * One request at the door, from its head to its answer.
 *
 *      on_head  address 403, 503 · path 404 · method 405 · draining 503 · headers 400, 415, 401 · client's limit 429
 *               no candidate 401
 *      on_body  bytes → HMAC of each candidate, and into the buffer
 *      on_end   signature 401 ─▶ parse ─▶ JSON 400 · scope 403 ─▶ repeated? ─▶ publish ─▶ 202, or 503 by the deadline
 *
 * The HTTP server has refused declared and actual sizes (413) and broken framing before. Nothing that is not
 * authenticated is parsed; nothing is answered 2xx that the broker has not acknowledged.
 *
 * Invariants: every request is answered once and counted once; all candidates are compared, whichever matches, each in
 * constant time; the body is never copied: its buffer goes to the bus.
 */
#ifndef NODAG_INGEST_GITHUB_DELIVERY_H
#define NODAG_INGEST_GITHUB_DELIVERY_H

#include "base/http_server.h"
#include "ingest/github/door.h"

/* What the HTTP server calls; its argument is a struct door. */
extern const struct http_handler delivery_handler;

/*
 * Answers 503 to all requests whose bodies are not complete, and waits for them no more: the end of a drain's
 * patience. Loop thread.
 */
void delivery_cut_unfinished(struct door *door);

#endif
