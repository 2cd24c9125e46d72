/*
 * Well-formed UTF-8, checked over pieces of any size. Source: The Unicode Standard 15.0, table 3-7.
 *
 * Design: overlong forms, surrogates and what lies beyond U+10FFFF are refused, as RFC 8259 §8.1 and every consumer's
 * parser expect; what looks past the bytes of one piece is kept in `struct utf8`. What walks over characters is inline,
 * because classifying a text is little else; the rules stand once, in utf8_begin.
 *
 * Invariant: the verdict does not depend on where the pieces are cut.
 */
#ifndef NODAG_BASE_UTF8_H
#define NODAG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the second and later bytes of a sequence are, where the first does not narrow it. */
#define UTF8_TAIL_LEAST 0x80
/* See above. */
#define UTF8_TAIL_MOST 0xbf

/* A check under way; all zero at start. The text may end here if `left` is 0. */
struct utf8 {
    unsigned left; /* bytes that the sequence under way still needs: 0..3 */
    uint8_t least; /* least value of the next of them */
    uint8_t most;  /* most */
};

/* Checks the next piece. Returns `byte_count`, or the index of the first byte that is wrong. Any thread. */
size_t utf8_feed(struct utf8 *utf8, const uint8_t *bytes, size_t byte_count);

/* Returns true if the bytes are well-formed from beginning to end. Any thread. */
bool utf8_is_valid(const void *bytes, size_t byte_count);

/* Takes the first byte of a sequence of several. Returns false if none begins so. Any thread. */
static inline bool utf8_begin(struct utf8 *utf8, uint8_t byte)
{
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    utf8->left = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    utf8->least = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : UTF8_TAIL_LEAST; /* overlong below */
    utf8->most = byte == 0xed   ? 0x9f /* surrogates above */
                 : byte == 0xf4 ? 0x8f /* nothing above */
                                : UTF8_TAIL_MOST;
    return true;
}

/* Returns the length of the well-formed sequence that begins at `bytes`: 1..4, or 0 if there is none within `byte_count`. Any thread. */
static inline size_t utf8_sequence_bytes(const void *bytes, size_t byte_count)
{
    const uint8_t *at = bytes;
    struct utf8 utf8 = {0};
    if (byte_count == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (!utf8_begin(&utf8, at[0]) || byte_count <= utf8.left || at[1] < utf8.least ||
        at[1] > utf8.most)
        return 0;
    for (size_t i = 2; i <= utf8.left; i++)
        if (at[i] < UTF8_TAIL_LEAST || at[i] > UTF8_TAIL_MOST)
            return 0;
    return 1 + utf8.left;
}

/* Returns the code point of the well-formed sequence of `length` bytes at `bytes`. Any thread. */
static inline uint32_t utf8_code_point(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    if (length == 1)
        return at[0];
    uint32_t code_point = at[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        code_point = (code_point << 6) | (at[i] & 0x3fu);
    return code_point;
}

/*
 * Replaces every byte of a NUL-terminated text that is not part of a well-formed sequence by '?': what was cut in the middle of a
 * character, or came from outside, can then stand in JSON. Any thread.
 */
void utf8_clean(char *text);

#endif
