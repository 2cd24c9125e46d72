/*
 * The filter before the parser: see json_trim.h.
 *
 * Design: one walk for what is kept and one for what is dropped. They share the state, so that a piece may end within
 * either. The first checks nothing, because the parser sees the same bytes; the second checks what the parser would.
 *
 * Invariant: is_dropping changes only in JSON_TRIM_STRING, that is, between characters and escapes.
 */
#include "ingest/github/json_trim.h"

#include <stdint.h>
#include <string.h>

/* Digits of \uXXXX. */
#define HEX_DIGITS 4

/* Bytes below this are control characters: they stand in no string (RFC 8259 §7). */
#define FIRST_PRINTABLE 0x20

/* Bytes looked at together. */
#define WORD_BYTES sizeof(uint64_t)

/* A word with this byte in every place. */
#define WORD_OF(byte) (UINT64_C(0x0101010101010101) * (byte))

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_hex_digit(char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* Returns a word that is 0 exactly if no byte of `word` is below `bound` ≤ 0x80. */
static uint64_t any_below(uint64_t word, uint64_t bound)
{
    return (word - WORD_OF(bound)) & ~word & WORD_OF(0x80);
}

/* Returns true if the next WORD_BYTES bytes are plain: no quote, no backslash, no control character. */
static bool is_plain_word(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return (any_below(word, FIRST_PRINTABLE) | any_below(word ^ WORD_OF('"'), 1) |
            any_below(word ^ WORD_OF('\\'), 1)) == 0;
}

/* Takes one byte of a string without judging it. */
static void keep_in_string(struct json_trim *trim, char byte)
{
    trim->run++;
    if (trim->state == JSON_TRIM_HEX) {
        trim->hex_left--;
        if (trim->hex_left == 0)
            trim->state = JSON_TRIM_STRING;
    } else if (trim->state == JSON_TRIM_ESCAPE) {
        trim->state = byte == 'u' ? JSON_TRIM_HEX : JSON_TRIM_STRING;
        trim->hex_left = HEX_DIGITS;
    } else if (byte == '\\') {
        trim->state = JSON_TRIM_ESCAPE;
    } else if (byte == '"') {
        trim->state = JSON_TRIM_OUTSIDE;
        trim->run = 0;
    }
}

/* Returns how many bytes are kept; when it stops early, the next byte is to be dropped. */
static size_t keep(struct json_trim *trim, const char *bytes, size_t byte_count)
{
    for (size_t at = 0; at < byte_count; at++) {
        char byte = bytes[at];
        if (trim->state != JSON_TRIM_OUTSIDE) {
            if (trim->state == JSON_TRIM_STRING && trim->run >= trim->string_bytes && byte != '"') {
                trim->is_dropping = true;
                return at;
            }
            keep_in_string(trim, byte);
        } else if (is_digit(byte)) {
            if (trim->run == trim->digits)
                return at;
            trim->run++;
        } else {
            trim->run = 0;
            if (byte == '"')
                trim->state = JSON_TRIM_STRING;
        }
    }
    return byte_count;
}

/* Takes one byte of a string that is dropped, which is not its end. Returns false if it cannot stand there. */
static bool drop_in_string(struct json_trim *trim, char byte)
{
    if (trim->state == JSON_TRIM_HEX) {
        trim->hex_left--;
        if (trim->hex_left == 0)
            trim->state = JSON_TRIM_STRING;
        return is_hex_digit(byte);
    }
    if (trim->state == JSON_TRIM_ESCAPE) {
        trim->state = byte == 'u' ? JSON_TRIM_HEX : JSON_TRIM_STRING;
        trim->hex_left = HEX_DIGITS;
        return byte != '\0' && strchr("\"\\/bfnrtu", byte) != NULL;
    }
    if (byte == '\\')
        trim->state = JSON_TRIM_ESCAPE;
    return (unsigned char)byte >= FIRST_PRINTABLE;
}

/* Drops up to the end of the string, which is kept. */
static size_t drop_string(struct json_trim *trim, const char *bytes, size_t byte_count,
                          bool *ret_broken)
{
    size_t at = 0;
    while (at < byte_count) {
        if (trim->state == JSON_TRIM_STRING && byte_count - at >= WORD_BYTES &&
            is_plain_word(bytes + at)) {
            at += WORD_BYTES;
            continue;
        }
        if (trim->state == JSON_TRIM_STRING && bytes[at] == '"') {
            trim->is_dropping = false;
            break;
        }
        if (!drop_in_string(trim, bytes[at])) {
            *ret_broken = true;
            break;
        }
        at++;
    }
    return at;
}

static size_t drop_digits(const char *bytes, size_t byte_count)
{
    size_t at = 0;
    while (at < byte_count && is_digit(bytes[at]))
        at++;
    return at;
}

struct json_trim_cut json_trim_next(struct json_trim *trim, const char *bytes, size_t byte_count)
{
    struct json_trim_cut cut = {0};
    if (trim->is_dropping && trim->state == JSON_TRIM_STRING && byte_count > 0 && bytes[0] == '"')
        trim->is_dropping = false;
    if (!trim->is_dropping)
        cut.keep_bytes = keep(trim, bytes, byte_count);
    const char *rest = bytes + cut.keep_bytes;
    size_t rest_bytes = byte_count - cut.keep_bytes;
    if (trim->is_dropping)
        cut.drop_bytes = drop_string(trim, rest, rest_bytes, &cut.is_broken);
    else if (trim->state == JSON_TRIM_OUTSIDE)
        cut.drop_bytes = drop_digits(rest, rest_bytes);
    return cut;
}
