/*
 * What the historian keeps of an issue in memory: its registers without the texts, in few bytes.
 *
 * Design: a million issues stay in memory, so a row is one block of bytes: numbers as varints (7 bits
 * a byte, the top bit says that more follow), texts with their length, and nothing that can be
 * computed: the hash of an action follows from what it says. Title, body, state and names stay on the
 * topic; the record's offset says where.
 *
 * Invariant: packed_read(packed_write(r)) has the stamps, owner, privacy, labels, gone and the marks of
 * erasure of r.
 */
#ifndef NODAG_HISTORIAN_PACKED_H
#define NODAG_HISTORIAN_PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "topics/issue_record.h"

/* Writes a record's registers; owned bytes, their number in ret_bytes. Any thread. */
uint8_t *packed_write(const struct issue_record *record, size_t *ret_bytes);

/* Reads what packed_write wrote; owned, without texts and names. Any thread. */
struct issue_record *packed_read(const uint8_t *bytes, size_t byte_count, int64_t repository_id,
                                 int64_t number);

/* Reads only the owner's id from packed bytes. Any thread. */
int64_t packed_owner(const uint8_t *bytes, size_t byte_count);

#endif
