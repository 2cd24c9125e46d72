/*
 * The memory of deliveries: see dedup.h.
 *
 * Design: entries stand in a hash table with chains; published ones also in a list by age, oldest first, from
 * which they are dropped when there are too many or they are too old. Looking up drops what is too old, so that
 * no timer is needed.
 *
 *      buckets: [ ]─▶entry─▶entry      oldest ─▶ entry ─▶ entry ─▶ … ─▶ newest
 *               [ ]─▶entry
 *
 * The hash is keyed by chance: GUIDs are chosen by whoever knows a secret.
 *
 * Invariant: an entry is in the list exactly if it is published.
 */
#include "ingest/github/dedup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Least buckets; there is one for each delivery that may be remembered: half a megabyte for 65536. */
#define BUCKETS_MIN 64

/* Odd 64-bit constant of the multiplicative mix (the golden ratio, as in splitmix64). */
#define HASH_MULTIPLIER 0x9e3779b97f4a7c15u

struct dedup_entry {
    struct dedup_key key;
    struct dedup_entry *chain;    /* next in its bucket */
    struct dedup_entry *newer;    /* next in the list by age, if published */
    struct dedup_waiter *waiters; /* first who waits */
    struct dedup_waiter **last;   /* the link at the end of the waiters */
    int64_t published_ms;         /* when; -1: in flight */
};

struct dedup {
    struct loop *loop; /* borrowed */
    size_t published_max;
    int64_t age_max_ms;
    uint64_t hash_seed[2];
    size_t bucket_count;          /* a power of two */
    struct dedup_entry **buckets; /* owned, and so are the entries */
    struct dedup_entry *oldest;   /* of the published */
    struct dedup_entry *newest;
    size_t published_count;
    size_t in_flight_count;
};

struct dedup *dedup_new(struct loop *loop, size_t published_max, int64_t age_max_ms)
{
    struct dedup *dedup = MEM_NEW(struct dedup);
    dedup->loop = loop;
    dedup->published_max = published_max;
    dedup->age_max_ms = age_max_ms;
    dedup->hash_seed[0] = loop_random(loop);
    dedup->hash_seed[1] = loop_random(loop);
    dedup->bucket_count = BUCKETS_MIN;
    while (dedup->bucket_count < published_max)
        dedup->bucket_count *= 2;
    dedup->buckets = mem_alloc_array(dedup->bucket_count, sizeof(struct dedup_entry *));
    return dedup;
}

void dedup_free(struct dedup *dedup)
{
    if (dedup == NULL)
        return;
    for (size_t i = 0; i < dedup->bucket_count; i++) {
        struct dedup_entry *entry = dedup->buckets[i];
        while (entry != NULL) {
            struct dedup_entry *chain = entry->chain;
            while (entry->waiters != NULL)
                dedup_leave(entry->waiters);
            free(entry);
            entry = chain;
        }
    }
    free(dedup->buckets);
    free(dedup);
}

struct dedup_key dedup_key_of(const struct delivery_head *head)
{
    struct dedup_key key = {0};
    memcpy(key.guid, head->guid, sizeof(key.guid));
    memcpy(&key.signed_as, head->mac, sizeof(key.signed_as));
    /* Ids beyond 64 bits wrap; that they then share a key with another needs the same GUID as well. */
    for (size_t i = 0; i < head->hook_id.bytes; i++)
        key.hook_id = key.hook_id * 10 + (uint64_t)(head->hook_id.data[i] - '0');
    return key;
}

static uint64_t mix(uint64_t value)
{
    value *= HASH_MULTIPLIER;
    return value ^ value >> 32;
}

static struct dedup_entry **bucket_of(struct dedup *dedup, const struct dedup_key *key)
{
    uint64_t half[2];
    memcpy(half, key->guid, sizeof(half));
    uint64_t hash = mix(half[0] ^ dedup->hash_seed[0]);
    hash = mix(hash ^ half[1]);
    hash = mix(hash ^ key->hook_id ^ dedup->hash_seed[1]);
    return &dedup->buckets[hash & (dedup->bucket_count - 1)];
}

static bool key_equal(const struct dedup_key *left, const struct dedup_key *right)
{
    return left->hook_id == right->hook_id && left->signed_as == right->signed_as &&
           memcmp(left->guid, right->guid, sizeof(left->guid)) == 0;
}

/* Takes an entry out of its bucket and frees it. */
static void forget(struct dedup *dedup, struct dedup_entry *entry)
{
    struct dedup_entry **link = bucket_of(dedup, &entry->key);
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    free(entry);
}

static void forget_oldest(struct dedup *dedup)
{
    struct dedup_entry *entry = dedup->oldest;
    dedup->oldest = entry->newer;
    if (dedup->oldest == NULL)
        dedup->newest = NULL;
    dedup->published_count--;
    forget(dedup, entry);
}

static void forget_aged(struct dedup *dedup)
{
    int64_t now_ms = loop_now_ms(dedup->loop);
    while (dedup->oldest != NULL && now_ms - dedup->oldest->published_ms >= dedup->age_max_ms)
        forget_oldest(dedup);
}

static void wait_for(struct dedup_entry *entry, struct dedup_waiter *waiter)
{
    assert(waiter->entry == NULL && waiter->finished != NULL);
    waiter->entry = entry;
    waiter->next = NULL;
    waiter->previous = entry->last;
    *entry->last = waiter;
    entry->last = &waiter->next;
}

void dedup_leave(struct dedup_waiter *waiter)
{
    if (waiter->entry == NULL)
        return;
    *waiter->previous = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        waiter->entry->last = waiter->previous;
    waiter->entry = NULL;
}

enum dedup_verdict dedup_begin(struct dedup *dedup, const struct dedup_key *key,
                               struct dedup_waiter *waiter, struct dedup_entry **ret_entry)
{
    forget_aged(dedup);
    struct dedup_entry **bucket = bucket_of(dedup, key);
    struct dedup_entry *entry = *bucket;
    while (entry != NULL && !key_equal(&entry->key, key))
        entry = entry->chain;
    if (entry != NULL && entry->published_ms >= 0)
        return DEDUP_PUBLISHED;
    if (entry != NULL) {
        wait_for(entry, waiter);
        return DEDUP_IN_FLIGHT;
    }
    entry = MEM_NEW(struct dedup_entry);
    entry->key = *key;
    entry->published_ms = -1;
    entry->last = &entry->waiters;
    entry->chain = *bucket;
    *bucket = entry;
    dedup->in_flight_count++;
    wait_for(entry, waiter);
    *ret_entry = entry;
    return DEDUP_FIRST;
}

/* Moves everyone who waits for `entry` to `ret_told`, which is fresh. */
static void move_waiters(struct dedup_entry *entry, struct dedup_entry *ret_told)
{
    *ret_told = (struct dedup_entry){.waiters = entry->waiters, .last = entry->last};
    if (entry->waiters == NULL)
        ret_told->last = &ret_told->waiters;
    else
        entry->waiters->previous = &ret_told->waiters;
    for (struct dedup_waiter *waiter = entry->waiters; waiter != NULL; waiter = waiter->next)
        waiter->entry = ret_told;
    entry->waiters = NULL;
    entry->last = &entry->waiters;
}

/* Puts an entry at the end of the list of the published. */
static void remember(struct dedup *dedup, struct dedup_entry *entry)
{
    entry->published_ms = loop_now_ms(dedup->loop);
    *(dedup->newest != NULL ? &dedup->newest->newer : &dedup->oldest) = entry;
    dedup->newest = entry;
    dedup->published_count++;
    while (dedup->published_count > dedup->published_max)
        forget_oldest(dedup);
}

void dedup_finish(struct dedup *dedup, struct dedup_entry *entry, int code)
{
    assert(entry->published_ms < 0);
    dedup->in_flight_count--;
    /* Whoever is told may make others leave, so that the list is whole at every call. */
    struct dedup_entry told;
    move_waiters(entry, &told);
    if (code == 0)
        remember(dedup, entry);
    else
        forget(dedup, entry);
    while (told.waiters != NULL) {
        struct dedup_waiter *waiter = told.waiters;
        dedup_leave(waiter);
        waiter->finished(waiter, code);
    }
}

size_t dedup_published_count(const struct dedup *dedup)
{
    return dedup->published_count;
}

size_t dedup_in_flight_count(const struct dedup *dedup)
{
    return dedup->in_flight_count;
}
