/*
 * Subject keys: what a record is about, as the bytes that decide its partition and so its order.
 *
 * Design: see the topics table. A repository's id survives renames and transfers of the repository,
 * so keys are made of ids and names stay in headers. Partitions are chosen as every Kafka client's
 * murmur2 partitioner does.
 */
#ifndef NODAG_TOPICS_SUBJECT_H
#define NODAG_TOPICS_SUBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Longest key that nodag writes or reads, with a NUL: repository URLs with refs are the longest. */
#define SUBJECT_KEY_BYTES 1024

/* Writes "ID#NUMBER" (an issue, pull request or discussion). Both > 0. Any thread. */
void subject_key_issue(int64_t repository_id, int64_t number, char ret_key[SUBJECT_KEY_BYTES]);

/* Reads "ID#NUMBER". ERR_INPUT for any other form. Any thread. */
int subject_key_parse_issue(const char *key, size_t key_bytes, int64_t *ret_repository_id,
                            int64_t *ret_number) MUST_CHECK;

/* Writes "REACTOR|KEY", the key of `pending`. ERR_TOO_LARGE. Any thread. */
int subject_key_pending(const char *reactor, const char *key,
                        char ret_key[SUBJECT_KEY_BYTES]) MUST_CHECK;

/* Returns the partition of a key as Kafka's default (murmur2) partitioner computes it; partitions
 * ≥ 1. Any thread. */
int32_t subject_key_partition(const void *key, size_t key_bytes, int32_t partitions);

#endif
