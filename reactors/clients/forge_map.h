/*
 * A bounded map from text to anything, which forgets what was used least recently: internal to the
 * forge client.
 *
 * Design: what the forge client remembers (installations, repositories, answers with an ETag) is
 * named by the world, so each memory has a maximum. A few thousand entries are searched one after
 * the other by a 64-bit hash, which takes microseconds beside a request over the network and keeps
 * this file short.
 *
 * Invariants: at most count_max entries; every value is freed exactly once, by the function given
 * at the start.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_MAP_H
#define NODAG_REACTORS_CLIENTS_FORGE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* Longest key: a URL with its credential. */
#define FORGE_MAP_KEY_BYTES 8448

/* A map. */
struct forge_map;

/* Frees a value; must accept every value that was put in. Loop thread. */
typedef void (*forge_map_free_fn)(void *value);

/* Says whether a value is meant; `argument` is the caller's. Loop thread. */
typedef bool (*forge_map_match_fn)(const void *value, const void *argument);

/* Makes an empty map for 1 or more entries; owned. Loop thread. */
struct forge_map *forge_map_new(size_t count_max, forge_map_free_fn free_value);

/* Frees the map and its values; NULL allowed. Loop thread. */
void forge_map_free(struct forge_map *map);
DEFINE_CLEANUP(struct forge_map *, forge_map_free)

/*
 * Returns the value of `key` (borrowed until the next put or remove) and marks it as used; or
 * NULL. Loop thread.
 */
void *forge_map_find(struct forge_map *map, const char *key);

/*
 * Puts `value_taken` (not NULL) under `key` (copied) and frees what was there, or the oldest if
 * full. Loop thread.
 */
void forge_map_put(struct forge_map *map, const char *key, void *value_taken);

/* Removes all values that `match` says yes to. Loop thread. */
void forge_map_remove_if(struct forge_map *map, forge_map_match_fn match, const void *argument);

/* Removes the value that was used least recently; false if the map is empty. Loop thread. */
bool forge_map_remove_oldest(struct forge_map *map);

/* Returns how many entries there are. Loop thread. */
size_t forge_map_count(const struct forge_map *map);

#endif
