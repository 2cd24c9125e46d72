/*
 * ASCII without locale: what scanner and tokeniser agree on about single characters. Private to
 * text.c and tokens.c.
 *
 * Invariant: bytes above 0x7f are nothing of all this; they belong to UTF-8 sequences or to nobody.
 */
#ifndef NODAG_CLASSIFIER_TEXT_CHARS_H
#define NODAG_CLASSIFIER_TEXT_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* True for A … Z and a … z. Any thread. */
static inline bool is_ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* True for 0 … 9. Any thread. */
static inline bool is_ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True for A … Z. Any thread. */
static inline bool is_ascii_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/* True for white space within a line. Any thread. */
static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Returns the lower-case form of A … Z, and any other byte as it is. Any thread. */
static inline char ascii_lower(char c)
{
    return is_ascii_upper(c) ? (char)(c + ('a' - 'A')) : c;
}

/* True if the bytes begin with a lower-case text, in any case. Any thread. */
static inline bool starts_with(const char *bytes, size_t byte_count, const char *lower_prefix)
{
    size_t length = strlen(lower_prefix);
    if (byte_count < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (ascii_lower(bytes[i]) != lower_prefix[i])
            return false;
    return true;
}

#endif
