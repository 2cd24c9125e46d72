/*
 * The addresses from which GitHub delivers webhooks: asked from GitHub, kept fresh, remembered in a file.
 *
 * Source: GitHub REST API, "Meta": GET /meta, member `hooks`. GitHub adds and removes ranges now and then and asks
 * those who keep lists to ask for them. Enterprise servers may leave the member out; then there is no list to keep.
 *
 *      start ──▶ cache file ──▶ in force ◀──────────── 200 with a valid list, another than before ─┐
 *                   ▲               │ every refresh interval (±10%), with If-None-Match           │
 *                   └── written ────┴──▶ GET /meta ──▶ 304 or the same list: confirmed ───────────┤
 *                                            └──▶ anything else: the set stays, again with backoff ┘
 *
 * Design: a list is used whole or not at all: one entry that is no range, no entries, or a range of everything makes
 * the answer invalid, and the last good set stays in force for as long as it takes. Certificates are always verified,
 * by base/http_client.h. The file holds the set, the ETag, the time of the last confirmation and the URL that was
 * asked: a file of another GitHub is not used. It is trusted as the configuration is.
 *
 * Logging: a change of the set; the first failure after a success, or another kind of failure; the first success after
 * failures. Invariants: loop thread only; at most one request under way; a set once in force is replaced, never lost.
 */
#ifndef NODAG_INGEST_GITHUB_HOOK_RANGES_H
#define NODAG_INGEST_GITHUB_HOOK_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/address_range.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/metrics.h"

/* Largest answer of /meta: GitHub's has some 200 KB, most of it the ranges of its hosted runners. */
#define HOOK_RANGES_ANSWER_MAX_BYTES ((size_t)2 << 20)

/* First wait after a failure, which doubles, and the longest; never longer than the refresh interval. */
#define HOOK_RANGES_RETRY_LEAST_MS 5000
/* See HOOK_RANGES_RETRY_LEAST_MS: GitHub allows 60 anonymous requests an hour. */
#define HOOK_RANGES_RETRY_MOST_MS 600000

/* Settings; texts are copied. */
struct hook_ranges_settings {
    const char *api_url;    /* root of the REST API, without a slash at its end */
    const char *cache_file; /* where the last good answer is kept, or NULL */
    int64_t refresh_ms;     /* between two questions, > 0 */
};

/* The ranges, and what keeps them fresh. */
struct hook_ranges;

/*
 * Reads the cache file, if there is one, and asks GitHub; owned. Whatever is wrong with the file is logged and it is
 * not used. `on_known(argument)` is called once, when a set is in force for the first time, maybe from within this
 * call; the client and the registry are borrowed. Loop thread.
 */
struct hook_ranges *hook_ranges_new(struct loop *loop, struct http_client *client,
                                    const struct hook_ranges_settings *settings,
                                    struct metrics *registry, void (*on_known)(void *argument),
                                    void *argument);

/* Cancels what is under way and frees; NULL allowed. Loop thread. */
void hook_ranges_free(struct hook_ranges *hooks);
DEFINE_CLEANUP(struct hook_ranges *, hook_ranges_free)

/* Returns the set in force (borrowed until the loop turns), NULL while none is known. Loop thread. */
const struct address_ranges *hook_ranges_set(const struct hook_ranges *hooks);

/* Asks GitHub now, unless a request is under way. Loop thread. */
void hook_ranges_refresh(struct hook_ranges *hooks);

/* Sets the gauges that change with time: before each exposition. Loop thread. */
void hook_ranges_collect(struct hook_ranges *hooks);

/*
 * Reads the member `hooks` of a JSON object. ERR_INPUT with a text if there is none, if it is empty, or if any entry
 * is no range or is a range of all addresses; ERR_TOO_LARGE beyond ADDRESS_RANGES_MAX. Owned result. Any thread.
 */
int hook_ranges_parse(const char *text, size_t text_bytes, struct address_ranges **ret_ranges,
                      struct error *error) MUST_CHECK;

#endif
