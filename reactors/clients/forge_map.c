/*
 * The bounded map: see forge_map.h.
 *
 * Entries lie in one array without order. `used` is a running number, so the entry with the
 * smallest one is the oldest; 64 bits do not wrap within the life of anything.
 */
#include "reactors/clients/forge_map.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"

/* First size of the array; it doubles up to the map's maximum. */
#define MAP_FIRST_COUNT 16

/* FNV-1a, 64 bits (Fowler, Noll, Vo): start and factor. */
#define MAP_HASH_START 0xcbf29ce484222325u
/* See above. */
#define MAP_HASH_FACTOR 0x100000001b3u

struct map_entry {
    uint64_t hash;
    uint64_t used; /* larger: more recently */
    char *key;     /* owned */
    void *value;   /* owned, freed by the map's function */
};

struct forge_map {
    size_t count_max;
    forge_map_free_fn free_value;
    struct map_entry *entries; /* owned */
    size_t count;
    size_t capacity;
    uint64_t next_used;
};

static uint64_t hash_key(const char *key)
{
    uint64_t hash = MAP_HASH_START;
    for (const char *place = key; *place != '\0'; place++)
        hash = (hash ^ (unsigned char)*place) * MAP_HASH_FACTOR;
    return hash;
}

static struct map_entry *find_entry(struct forge_map *map, const char *key)
{
    uint64_t hash = hash_key(key);
    for (size_t i = 0; i < map->count; i++) {
        struct map_entry *entry = &map->entries[i];
        if (entry->hash == hash && strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

/* Frees entry `index`; the last one takes its place. */
static void remove_entry(struct forge_map *map, size_t index)
{
    struct map_entry gone = map->entries[index];
    map->count--;
    map->entries[index] = map->entries[map->count];
    free(gone.key);
    map->free_value(gone.value);
}

struct forge_map *forge_map_new(size_t count_max, forge_map_free_fn free_value)
{
    assert(count_max > 0);
    struct forge_map *map = MEM_NEW(struct forge_map);
    map->count_max = count_max;
    map->free_value = free_value;
    return map;
}

void forge_map_free(struct forge_map *map)
{
    if (map == NULL)
        return;
    while (map->count > 0)
        remove_entry(map, map->count - 1);
    free(map->entries);
    free(map);
}

void *forge_map_find(struct forge_map *map, const char *key)
{
    struct map_entry *entry = find_entry(map, key);
    if (entry == NULL)
        return NULL;
    entry->used = map->next_used++;
    return entry->value;
}

bool forge_map_remove_oldest(struct forge_map *map)
{
    if (map->count == 0)
        return false;
    size_t oldest = 0;
    for (size_t i = 1; i < map->count; i++) {
        if (map->entries[i].used < map->entries[oldest].used)
            oldest = i;
    }
    remove_entry(map, oldest);
    return true;
}

static void make_room(struct forge_map *map)
{
    if (map->count == map->count_max)
        (void)forge_map_remove_oldest(map);
    if (map->count < map->capacity)
        return;
    size_t capacity = map->capacity == 0 ? MAP_FIRST_COUNT : map->capacity * 2;
    if (capacity > map->count_max)
        capacity = map->count_max;
    map->entries = mem_resize_array(map->entries, capacity, sizeof(*map->entries));
    map->capacity = capacity;
}

void forge_map_put(struct forge_map *map, const char *key, void *value_taken)
{
    assert(value_taken != NULL && strlen(key) <= FORGE_MAP_KEY_BYTES);
    struct map_entry *entry = find_entry(map, key);
    if (entry != NULL) {
        void *old = entry->value;
        entry->value = value_taken;
        entry->used = map->next_used++;
        map->free_value(old);
        return;
    }
    make_room(map);
    map->entries[map->count] = (struct map_entry){
        .hash = hash_key(key),
        .used = map->next_used++,
        .key = mem_copy_text(key),
        .value = value_taken,
    };
    map->count++;
}

void forge_map_remove_if(struct forge_map *map, forge_map_match_fn match, const void *argument)
{
    size_t index = 0;
    while (index < map->count) {
        if (match(map->entries[index].value, argument))
            remove_entry(map, index);
        else
            index++;
    }
}

size_t forge_map_count(const struct forge_map *map)
{
    return map->count;
}
