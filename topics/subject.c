/*
 * Subject keys and the partition of a key: see subject.h.
 *
 * Design: keys are plain text, so that they can be read on a terminal and typed. Reading is strict:
 * decimal without sign, spaces or leading zeros, so that one subject has one key and so one
 * partition.
 *
 * The partitioner is Apache Kafka's default one for keyed records: 32-bit MurmurHash2 (Austin
 * Appleby's public algorithm) with the seed that Kafka's Java client fixed, its sign bit cleared,
 * modulo the number of partitions.
 * Source: Apache Kafka's documentation of the producer's default partitioner and librdkafka's
 * `murmur2`.
 */
#include "topics/subject.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The constants of MurmurHash2 and Kafka's seed. */
#define MURMUR2_SEED 0x9747b28cu
/* See above. */
#define MURMUR2_MULTIPLIER 0x5bd1e995u
/* See above. */
#define MURMUR2_SHIFT 24

void subject_key_issue(int64_t repository_id, int64_t number, char ret_key[SUBJECT_KEY_BYTES])
{
    assert(repository_id > 0 && number > 0);
    (void)snprintf(ret_key, SUBJECT_KEY_BYTES, "%lld#%lld", (long long)repository_id,
                   (long long)number);
}

/* Reads a decimal > 0 without leading zeros that fills bytes [0, byte_count) wholly. */
static bool read_decimal(const char *bytes, size_t byte_count, int64_t *ret_value)
{
    int64_t value = 0;
    if (byte_count == 0 || bytes[0] == '0')
        return false;
    for (size_t i = 0; i < byte_count; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, bytes[i] - '0', &value))
            return false;
    }
    *ret_value = value;
    return true;
}

int subject_key_parse_issue(const char *key, size_t key_bytes, int64_t *ret_repository_id,
                            int64_t *ret_number)
{
    const char *hash = key_bytes > 0 ? memchr(key, '#', key_bytes) : NULL;
    if (hash == NULL)
        return ERR_INPUT;
    size_t id_bytes = (size_t)(hash - key);
    int64_t repository_id = 0;
    int64_t number = 0;
    if (!read_decimal(key, id_bytes, &repository_id) ||
        !read_decimal(hash + 1, key_bytes - id_bytes - 1, &number))
        return ERR_INPUT;
    *ret_repository_id = repository_id;
    *ret_number = number;
    return 0;
}

int subject_key_pending(const char *reactor, const char *key, char ret_key[SUBJECT_KEY_BYTES])
{
    size_t reactor_bytes = strlen(reactor);
    size_t key_bytes = strlen(key);
    if (reactor_bytes >= SUBJECT_KEY_BYTES || key_bytes >= SUBJECT_KEY_BYTES ||
        reactor_bytes + 1 + key_bytes >= SUBJECT_KEY_BYTES)
        return ERR_TOO_LARGE;
    memcpy(ret_key, reactor, reactor_bytes);
    ret_key[reactor_bytes] = '|';
    memcpy(ret_key + reactor_bytes + 1, key, key_bytes + 1);
    return 0;
}

/* MurmurHash2 with Kafka's seed; words are read as little-endian, whatever the machine. */
static uint32_t murmur2(const uint8_t *bytes, size_t byte_count)
{
    uint32_t hash = MURMUR2_SEED ^ (uint32_t)byte_count;
    for (; byte_count >= 4; bytes += 4, byte_count -= 4) {
        uint32_t word = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                        (uint32_t)bytes[3] << 24;
        word *= MURMUR2_MULTIPLIER;
        word ^= word >> MURMUR2_SHIFT;
        word *= MURMUR2_MULTIPLIER;
        hash *= MURMUR2_MULTIPLIER;
        hash ^= word;
    }
    if (byte_count > 0) {
        for (size_t i = byte_count; i > 0; i--)
            hash ^= (uint32_t)bytes[i - 1] << (8 * (i - 1));
        hash *= MURMUR2_MULTIPLIER;
    }
    hash ^= hash >> 13;
    hash *= MURMUR2_MULTIPLIER;
    hash ^= hash >> 15;
    return hash;
}

int32_t subject_key_partition(const void *key, size_t key_bytes, int32_t partitions)
{
    assert(partitions >= 1);
    uint32_t positive = murmur2(key, key_bytes) & 0x7fffffffu;
    return (int32_t)(positive % (uint32_t)partitions);
}
