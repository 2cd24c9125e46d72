/*
 * Counts of hashes: see counter.h. The keys are hashes already, so their low bits choose the slot.
 */
#include "reactors/classifier/counter.h"

#include <stdlib.h>

#include "base/memory.h"

/* Slots of a new table; it doubles when half full. */
#define SLOTS_MIN ((size_t)1 << 12)

struct counter *counter_new(void)
{
    struct counter *counter = MEM_NEW(struct counter);
    counter->slot_count = SLOTS_MIN;
    counter->slots = mem_alloc_array(counter->slot_count, sizeof(*counter->slots));
    return counter;
}

void counter_free(struct counter *counter)
{
    if (counter == NULL)
        return;
    free(counter->slots);
    free(counter);
}

static uint64_t counter_key(uint64_t hash)
{
    return hash == 0 ? 1 : hash;
}

/* The slot of a key, or the empty one where it belongs. */
static struct counter_slot *counter_find(const struct counter *counter, uint64_t key)
{
    size_t slot = key & (counter->slot_count - 1);
    while (counter->slots[slot].hash != 0 && counter->slots[slot].hash != key)
        slot = (slot + 1) & (counter->slot_count - 1);
    return &counter->slots[slot];
}

static void counter_grow(struct counter *counter)
{
    struct counter_slot *old = counter->slots;
    size_t old_count = counter->slot_count;
    counter->slot_count *= 2;
    counter->slots = mem_alloc_array(counter->slot_count, sizeof(*counter->slots));
    for (size_t s = 0; s < old_count; s++)
        if (old[s].hash != 0)
            *counter_find(counter, old[s].hash) = old[s];
    free(old);
}

void counter_add(struct counter *counter, uint64_t hash, uint32_t unit)
{
    uint64_t key = counter_key(hash);
    struct counter_slot *slot = counter_find(counter, key);
    if (slot->hash == 0) {
        *slot = (struct counter_slot){.hash = key, .count = 1, .last_in = unit};
        counter->used++;
        if (2 * counter->used > counter->slot_count)
            counter_grow(counter);
        return;
    }
    if (slot->last_in != unit) {
        slot->count++;
        slot->last_in = unit;
    }
}

uint32_t counter_get(const struct counter *counter, uint64_t hash)
{
    return counter_find(counter, counter_key(hash))->count;
}

static int compare_hashes(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

uint64_t *counter_sorted(const struct counter *counter, uint32_t least, size_t *ret_count)
{
    uint64_t *hashes = mem_alloc_array(counter->used, sizeof(*hashes));
    size_t count = 0;
    for (size_t s = 0; s < counter->slot_count; s++)
        if (counter->slots[s].hash != 0 && counter->slots[s].count >= least)
            hashes[count++] = counter->slots[s].hash;
    qsort(hashes, count, sizeof(*hashes), compare_hashes);
    *ret_count = count;
    return hashes;
}
