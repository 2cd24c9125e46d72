/*
 * Well-formed UTF-8, checked over pieces of any size. Source: The Unicode Standard 15.0, table 3-7.
 *
 * Design: overlong forms, surrogates and what lies beyond U+10FFFF are refused, as RFC 8259 §8.1 and every consumer's
 * parser expect; what looks past the bytes of one piece is kept in `struct utf8`.
 *
 * Invariant: the verdict does not depend on where the pieces are cut.
 */
#ifndef NODAG_BASE_UTF8_H
#define NODAG_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* A check under way; all zero at start. The text may end here if `left` is 0. */
struct utf8 {
    unsigned left; /* bytes that the sequence under way still needs: 0..3 */
    uint8_t least; /* least value of the next of them */
    uint8_t most;  /* most */
};

/* Checks the next piece. Returns `byte_count`, or the index of the first byte that is wrong. Any thread. */
size_t utf8_feed(struct utf8 *utf8, const uint8_t *bytes, size_t byte_count);

/* Returns the length of the well-formed sequence that begins at `bytes`: 1..4, or 0 if there is none within `byte_count`. Any thread. */
size_t utf8_sequence_bytes(const uint8_t *bytes, size_t byte_count);

/*
 * Replaces every byte of a NUL-terminated text that is not part of a well-formed sequence by '?': what was cut in the middle of a
 * character, or came from outside, can then stand in JSON. Any thread.
 */
void utf8_clean(char *text);

#endif
