/*
 * The UTF-8 check over pieces: see utf8.h.
 *
 * Design: what may follow is kept as a count and the range of the next byte, so that a piece may end anywhere. Payloads
 * are mostly ASCII, so eight bytes are looked at together where they can be.
 */
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* Bytes looked at together. */
#define WORD_BYTES sizeof(uint64_t)

/* The bit that no ASCII byte has, for each byte of a word. */
#define WORD_NOT_ASCII 0x8080808080808080u

/* What the second and later bytes of a sequence are, where the first does not narrow it. */
#define UTF8_TAIL_LEAST 0x80
/* See above. */
#define UTF8_TAIL_MOST 0xbf

/* Returns true if the next WORD_BYTES bytes are all ASCII. */
static bool is_ascii_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return (word & WORD_NOT_ASCII) == 0;
}

/* Takes the first byte of a sequence (Unicode 15, table 3-7). Returns false if none begins so. */
static bool utf8_begin(struct utf8 *utf8, uint8_t byte)
{
    utf8->least = UTF8_TAIL_LEAST;
    utf8->most = UTF8_TAIL_MOST;
    if (byte >= 0xc2 && byte <= 0xdf) {
        utf8->left = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        utf8->left = 2;
        if (byte == 0xe0)
            utf8->least = 0xa0; /* shorter forms are overlong */
        if (byte == 0xed)
            utf8->most = 0x9f; /* beyond lie the surrogates */
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        utf8->left = 3;
        if (byte == 0xf0)
            utf8->least = 0x90; /* shorter forms are overlong */
        if (byte == 0xf4)
            utf8->most = 0x8f; /* beyond lies nothing */
    } else {
        return false;
    }
    return true;
}

size_t utf8_feed(struct utf8 *utf8, const uint8_t *bytes, size_t byte_count)
{
    for (size_t at = 0; at < byte_count;) {
        if (utf8->left == 0 && byte_count - at >= WORD_BYTES && is_ascii_word(bytes + at)) {
            at += WORD_BYTES;
            continue;
        }
        uint8_t byte = bytes[at];
        if (utf8->left > 0) {
            if (byte < utf8->least || byte > utf8->most)
                return at;
            utf8->left--;
            utf8->least = UTF8_TAIL_LEAST;
            utf8->most = UTF8_TAIL_MOST;
        } else if (byte >= 0x80 && !utf8_begin(utf8, byte)) {
            return at;
        }
        at++;
    }
    return byte_count;
}

size_t utf8_sequence_bytes(const uint8_t *bytes, size_t byte_count)
{
    struct utf8 utf8 = {0};
    if (byte_count == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    if (!utf8_begin(&utf8, bytes[0]) || utf8.left >= byte_count)
        return 0;
    size_t rest = utf8.left;
    return utf8_feed(&utf8, bytes + 1, rest) == rest ? 1 + rest : 0;
}

void utf8_clean(char *text)
{
    size_t byte_count = strlen(text);
    size_t begun = 0; /* where the sequence under way begins */
    struct utf8 utf8 = {0};
    for (size_t at = 0; at < byte_count;) {
        if (utf8.left == 0)
            begun = at;
        if (utf8_feed(&utf8, (const uint8_t *)text + at, 1) == 1) {
            at++;
            continue;
        }
        text[begun] = '?';
        utf8 = (struct utf8){0};
        at = begun + 1; /* what followed may begin a sequence of its own */
    }
    if (utf8.left > 0)
        memset(text + begun, '?', byte_count - begun);
}
