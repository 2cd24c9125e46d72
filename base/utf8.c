/*
 * The UTF-8 check over pieces: see utf8.h.
 *
 * Design: what may follow is kept as a count and the range of the next byte, so that a piece may end anywhere. Payloads
 * are mostly ASCII, so eight bytes are looked at together where they can be.
 */
#include "base/utf8.h"

#include <string.h>

/* Bytes looked at together. */
#define WORD_BYTES sizeof(uint64_t)

/* The bit that no ASCII byte has, for each byte of a word. */
#define WORD_NOT_ASCII 0x8080808080808080u

/* Returns true if the next WORD_BYTES bytes are all ASCII. */
static bool is_ascii_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return (word & WORD_NOT_ASCII) == 0;
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

bool utf8_is_valid(const void *bytes, size_t byte_count)
{
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, bytes, byte_count) == byte_count && utf8.left == 0;
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
