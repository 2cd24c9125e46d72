/*
 * The cache of answers with an ETag: see forge_cache.h.
 *
 * Each value knows its cache, so that the map's free function can take its bytes off the sum,
 * whoever removes it.
 */
#include "reactors/clients/forge_cache.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/clients/forge_map.h"

/* One value of the map: what callers see, and the memory behind it. */
struct cache_value {
    struct forge_cached seen;  /* points into the members below */
    struct forge_cache *cache; /* borrowed */
    char *etag;                /* owned */
    char *body;                /* owned */
    char *link;                /* owned or NULL */
};

struct forge_cache {
    struct forge_map *answers; /* owned; values are struct cache_value */
    size_t body_bytes;         /* sum over all values */
};

static void free_value(void *argument)
{
    struct cache_value *value = argument;
    assert(value->cache->body_bytes >= value->seen.body_bytes);
    value->cache->body_bytes -= value->seen.body_bytes;
    free(value->etag);
    free(value->body);
    free(value->link);
    free(value);
}

struct forge_cache *forge_cache_new(void)
{
    struct forge_cache *cache = MEM_NEW(struct forge_cache);
    cache->answers = forge_map_new(FORGE_CACHE_COUNT_MAX, free_value);
    return cache;
}

void forge_cache_free(struct forge_cache *cache)
{
    if (cache == NULL)
        return;
    forge_map_free(cache->answers);
    free(cache);
}

static void write_key(char key[FORGE_MAP_KEY_BYTES], int64_t installation_id, const char *url)
{
    int written = snprintf(key, FORGE_MAP_KEY_BYTES, "%" PRId64 " %s", installation_id, url);
    assert(written > 0 && written < FORGE_MAP_KEY_BYTES);
    (void)written;
}

const struct forge_cached *forge_cache_find(struct forge_cache *cache, int64_t installation_id,
                                            const char *url)
{
    char key[FORGE_MAP_KEY_BYTES];
    write_key(key, installation_id, url);
    const struct cache_value *value = forge_map_find(cache->answers, key);
    return value == NULL ? NULL : &value->seen;
}

/*
 * An ETag goes back to the forge as a header's value, so nothing but visible ASCII may be in it
 * (RFC 9110 §8.8.3).
 */
static bool etag_is_usable(const char *etag)
{
    if (etag == NULL || etag[0] == '\0' || strlen(etag) > FORGE_CACHE_ETAG_MAX_BYTES)
        return false;
    for (const char *place = etag; *place != '\0'; place++) {
        if (*place < 0x21 || *place > 0x7e)
            return false;
    }
    return true;
}

void forge_cache_put(struct forge_cache *cache, int64_t installation_id, const char *url,
                     const struct forge_cached *answer)
{
    if (!etag_is_usable(answer->etag) || answer->body_bytes > FORGE_CACHE_BODY_MAX_BYTES)
        return;
    char key[FORGE_MAP_KEY_BYTES];
    write_key(key, installation_id, url);
    struct cache_value *value = MEM_NEW(struct cache_value);
    value->cache = cache;
    value->etag = mem_copy_text(answer->etag);
    value->body = mem_copy_bytes(answer->body, answer->body_bytes);
    value->link = mem_copy_text(answer->link);
    value->seen = (struct forge_cached){
        .etag = value->etag,
        .body = value->body,
        .body_bytes = answer->body_bytes,
        .link = value->link,
    };
    cache->body_bytes += answer->body_bytes;
    forge_map_put(cache->answers, key, value);
    while (cache->body_bytes > FORGE_CACHE_MAX_BYTES)
        (void)forge_map_remove_oldest(cache->answers);
}
