/*
 * Answers that the forge may confirm by 304: internal to the forge client.
 * Source: GitHub REST API, "Use conditional requests if appropriate": a 304 does not count against
 * the rate limit.
 *
 * Design: for each (credential, URL) the ETag, the body and the link to the next page, bounded in
 * number and in bytes. The credential belongs to the key because two installations may see
 * different things under one URL. Bodies are kept as they came and are parsed again, which keeps
 * one path for 200 and 304.
 *
 * Invariants: FORGE_CACHE_COUNT_MAX entries, FORGE_CACHE_MAX_BYTES in all; what was used least
 * recently goes first.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_CACHE_H
#define NODAG_REACTORS_CLIENTS_FORGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Most answers kept: a repository needs about four (two files, two pages of labels). */
#define FORGE_CACHE_COUNT_MAX 2048

/* Most bytes of bodies kept. */
#define FORGE_CACHE_MAX_BYTES ((size_t)16 << 20)

/* Largest body that is kept: label pages and configuration files are far smaller. */
#define FORGE_CACHE_BODY_MAX_BYTES ((size_t)256 << 10)

/* Longest ETag that is kept and sent back: GitHub's have 68 characters. */
#define FORGE_CACHE_ETAG_MAX_BYTES 256

/* A cache. */
struct forge_cache;

/* One answer; borrowed until the next forge_cache_put. */
struct forge_cached {
    const char *etag;  /* as the forge gave it, with quotes and W/ */
    const char *body;  /* NUL-terminated */
    size_t body_bytes; /* length */
    const char *link;  /* the Link header, or NULL */
};

/* Makes an empty cache; owned. Loop thread. */
struct forge_cache *forge_cache_new(void);

/* Frees it; NULL allowed. Loop thread. */
void forge_cache_free(struct forge_cache *cache);
DEFINE_CLEANUP(struct forge_cache *, forge_cache_free)

/*
 * Returns the answer kept for `url` as `installation_id` (0: not of an installation) sees it, or
 * NULL. Loop thread.
 */
const struct forge_cached *forge_cache_find(struct forge_cache *cache, int64_t installation_id,
                                            const char *url);

/*
 * Keeps an answer (copied); one without a usable ETag or over the limits is not kept. Loop thread.
 */
void forge_cache_put(struct forge_cache *cache, int64_t installation_id, const char *url,
                     const struct forge_cached *answer);

#endif
