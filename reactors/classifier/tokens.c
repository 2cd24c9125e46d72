/*
 * The tokeniser: a segment becomes lower-case words, their parts, and placeholders. See text.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "reactors/classifier/text.h"
#include "reactors/classifier/text_chars.h"

/* Hex digits from which a run of them is a hash and no word. */
#define HEX_DIGITS_MIN 7

/* Bytes in which the end of an HTML tag is looked for; a bound keeps hostile text linear. */
#define TAG_BYTES_MAX ((size_t)512)

/* Bytes of one compound that are looked at: longer ones are machine output. */
#define COMPOUND_BYTES_MAX 128

/*
 * First code point of the scripts that are written without spaces (CJK radicals); each is a token.
 */
#define CODE_POINT_CJK_FIRST 0x2E80u

/* Signs between word characters that keep a compound together. */
#define JOINERS "-./'_+"

/*
 * --- characters
 * ---------------------------------------------------------------------------------------------
 */

/*
 * Length of the word character at `bytes`; 0 if it is none. Signs and spaces of Unicode are none.
 */
static size_t word_char_length(const char *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    if ((unsigned char)bytes[0] < 0x80)
        return is_ascii_alpha(bytes[0]) || is_ascii_digit(bytes[0]);
    size_t length = utf8_sequence_bytes(bytes, byte_count);
    if (length == 0)
        return 0;
    uint32_t code_point = utf8_code_point(bytes, length);
    bool is_sign = code_point < 0xaa || (code_point >= 0x2000 && code_point < 0x2c00) ||
                   (code_point >= 0x3000 && code_point < 0x3005) || code_point == 0xfeff ||
                   (code_point >= 0xff00 && code_point < 0xff10) || code_point == 0xfffd;
    return is_sign ? 0 : length;
}

/*
 * --- tokens
 * -------------------------------------------------------------------------------------------------
 */

void text_tokens_add(struct text_tokens *tokens, const char *text, size_t text_bytes,
                     enum text_token_kind kind, bool is_placeholder)
{
    if (tokens->count >= tokens->count_max || text_bytes == 0 || text_bytes > TEXT_TOKEN_BYTES_MAX)
        return;
    if (tokens->byte_count + text_bytes > tokens->byte_capacity) {
        tokens->byte_capacity = 2 * tokens->byte_capacity + 16 * TEXT_TOKEN_BYTES_MAX;
        tokens->bytes = mem_resize_array(tokens->bytes, tokens->byte_capacity, 1);
    }
    if (tokens->count == tokens->capacity) {
        tokens->capacity = 2 * tokens->capacity + 64;
        tokens->items = mem_resize_array(tokens->items, tokens->capacity, sizeof(*tokens->items));
    }
    memcpy(tokens->bytes + tokens->byte_count, text, text_bytes);
    tokens->items[tokens->count++] = (struct text_token){.offset = (uint32_t)tokens->byte_count,
                                                         .length = (uint8_t)text_bytes,
                                                         .is_placeholder = is_placeholder,
                                                         .kind = kind};
    tokens->byte_count += text_bytes;
}

static void add_placeholder(struct text_tokens *tokens, const char *text)
{
    text_tokens_add(tokens, text, strlen(text), TEXT_TOKEN_PART, true);
}

static void add_lower(struct text_tokens *tokens, const char *bytes, size_t byte_count,
                      enum text_token_kind kind)
{
    char lower[TEXT_TOKEN_BYTES_MAX];
    if (byte_count > sizeof(lower))
        return;
    for (size_t i = 0; i < byte_count; i++)
        lower[i] = ascii_lower(bytes[i]);
    text_tokens_add(tokens, lower, byte_count, kind, false);
}

void text_tokens_clear(struct text_tokens *tokens)
{
    tokens->count = 0;
    tokens->byte_count = 0;
}

void text_tokens_release(struct text_tokens *tokens)
{
    free(tokens->bytes);
    free(tokens->items);
    *tokens = (struct text_tokens){.count_max = tokens->count_max};
}

/*
 * --- compounds
 * ----------------------------------------------------------------------------------------------
 */

/* Numbers, versions and hashes say little by their digits. Returns their placeholder or NULL. */
static const char *compound_placeholder(const char *word, size_t length)
{
    size_t digits = 0;
    size_t dots = 0;
    size_t hex_letters = 0;
    size_t others = 0;
    for (size_t i = 0; i < length; i++) {
        char c = ascii_lower(word[i]);
        digits += is_ascii_digit(c);
        dots += c == '.';
        hex_letters += c >= 'a' && c <= 'f';
        others += !is_ascii_digit(c) && c != '.' && !(c >= 'a' && c <= 'f');
    }
    if (digits == length)
        return "<num>";
    bool has_v = ascii_lower(word[0]) == 'v' && length > 1 && is_ascii_digit(word[1]);
    if (dots > 0 && (is_ascii_digit(word[0]) || has_v))
        return "<ver>";
    if (length > 2 && word[0] == '0' && ascii_lower(word[1]) == 'x')
        return "<hex>";
    if (others == 0 && dots == 0 && digits > 0 && hex_letters > 0 && length >= HEX_DIGITS_MIN)
        return "<hex>";
    return NULL;
}

/* True if a new part begins at `i`: fooBar, HTTPServer, foo-bar. `i` > 0. */
static bool part_begins(const char *word, size_t length, size_t i)
{
    if (!is_ascii_upper(word[i]))
        return false;
    bool after_lower = !is_ascii_upper(word[i - 1]) &&
                       (is_ascii_alpha(word[i - 1]) || is_ascii_digit(word[i - 1]));
    bool before_lower = i + 1 < length && is_ascii_alpha(word[i + 1]) &&
                        !is_ascii_upper(word[i + 1]) && is_ascii_upper(word[i - 1]);
    return after_lower || before_lower;
}

/*
 * Appends the parts of a compound; returns how many there were. With `tokens` NULL it only counts.
 */
static size_t compound_parts(struct text_tokens *tokens, const char *word, size_t length)
{
    size_t parts = 0;
    size_t start = 0;
    for (size_t i = 0; i <= length; i++) {
        bool is_joiner =
            i < length && word[i] != '\'' && word[i] != '\0' && strchr(JOINERS, word[i]) != NULL;
        bool ends = i == length || is_joiner || (i > start && part_begins(word, length, i));
        if (!ends)
            continue;
        if (i > start) {
            parts++;
            if (tokens != NULL) {
                const char *placeholder = compound_placeholder(word + start, i - start);
                if (placeholder != NULL)
                    add_placeholder(tokens, placeholder);
                else
                    add_lower(tokens, word + start, i - start, TEXT_TOKEN_PART);
            }
        }
        start = is_joiner ? i + 1 : i;
    }
    return parts;
}

static void tokenise_compound(struct text_tokens *tokens, const char *word, size_t length)
{
    if (length > 2 && word[length - 2] == '\'' && ascii_lower(word[length - 1]) == 's')
        length -= 2;
    if (length > COMPOUND_BYTES_MAX) {
        add_placeholder(tokens, "<long>");
        return;
    }
    const char *placeholder = compound_placeholder(word, length);
    if (placeholder != NULL) {
        add_placeholder(tokens, placeholder);
        return;
    }
    if (compound_parts(NULL, word, length) > 1)
        add_lower(tokens, word, length, TEXT_TOKEN_WHOLE);
    (void)compound_parts(tokens, word, length);
}

/*
 * --- the tokeniser
 * ------------------------------------------------------------------------------------------
 */

/* Length of the compound at `bytes`: word characters with single joiners between them. */
static size_t compound_length(const char *bytes, size_t byte_count)
{
    size_t length = 0;
    while (length < byte_count) {
        size_t step = word_char_length(bytes + length, byte_count - length);
        if (step > 1 && utf8_code_point(bytes + length, step) >= CODE_POINT_CJK_FIRST)
            break;
        if (step == 0 && length > 0 && bytes[length] != '\0' &&
            strchr(JOINERS, bytes[length]) != NULL &&
            word_char_length(bytes + length + 1, byte_count - length - 1) > 0)
            step = 1;
        if (step == 0)
            break;
        length += step;
    }
    return length;
}

static size_t url_length(const char *bytes, size_t byte_count)
{
    if (!starts_with(bytes, byte_count, "http://") && !starts_with(bytes, byte_count, "https://") &&
        !starts_with(bytes, byte_count, "www."))
        return 0;
    size_t length = 0;
    while (length < byte_count && (unsigned char)bytes[length] > ' ' && bytes[length] != ')' &&
           bytes[length] != '>' && bytes[length] != ']' && bytes[length] != '"')
        length++;
    return length;
}

/* "<url>", and where to: "<url:github.com>". */
static void tokenise_url(struct text_tokens *tokens, const char *url, size_t length)
{
    add_placeholder(tokens, "<url>");
    const char *host = memmem(url, length, "://", 3);
    host = host == NULL ? url : host + 3;
    size_t host_bytes = 0;
    while (host + host_bytes < url + length &&
           (is_ascii_alpha(host[host_bytes]) || is_ascii_digit(host[host_bytes]) ||
            host[host_bytes] == '.' || host[host_bytes] == '-'))
        host_bytes++;
    char text[TEXT_TOKEN_BYTES_MAX] = "<url:";
    size_t used = strlen(text);
    if (host_bytes == 0 || used + host_bytes + 1 > sizeof(text))
        return;
    for (size_t i = 0; i < host_bytes; i++)
        text[used++] = ascii_lower(host[i]);
    text[used++] = '>';
    text_tokens_add(tokens, text, used, TEXT_TOKEN_WHOLE, true);
}

/* Tokens that are no words. Returns the bytes they take, 0 if there is none at `bytes`. */
static size_t tokenise_special(struct text_tokens *tokens, const char *bytes, size_t byte_count)
{
    size_t url = url_length(bytes, byte_count);
    if (url > 0) {
        tokenise_url(tokens, bytes, url);
        return url;
    }
    if (starts_with(bytes, byte_count, "![") || starts_with(bytes, byte_count, "<img ")) {
        add_placeholder(tokens, "<img>");
        size_t reach = byte_count < TAG_BYTES_MAX ? byte_count : TAG_BYTES_MAX;
        const char *close = bytes[0] == '<' ? memchr(bytes, '>', reach) : NULL;
        if (close == NULL)
            return bytes[0] == '<' ? strlen("<img") : strlen("![");
        return (size_t)(close - bytes) + 1;
    }
    if (bytes[0] == '@' && byte_count > 1 && is_ascii_alpha(bytes[1])) {
        add_placeholder(tokens, "<mention>");
        return 1 + compound_length(bytes + 1, byte_count - 1);
    }
    if (bytes[0] == '?' || bytes[0] == '!') {
        size_t run = 1;
        while (run < byte_count && (bytes[run] == '?' || bytes[run] == '!'))
            run++;
        text_tokens_add(tokens, bytes, 1, TEXT_TOKEN_PART, true);
        return run;
    }
    return 0;
}

void text_tokenise(struct text_tokens *tokens, const char *bytes, size_t byte_count)
{
    size_t i = 0;
    while (i < byte_count && tokens->count < tokens->count_max) {
        size_t special = tokenise_special(tokens, bytes + i, byte_count - i);
        if (special > 0) {
            i += special;
            continue;
        }
        size_t length = compound_length(bytes + i, byte_count - i);
        if (length > 0) {
            tokenise_compound(tokens, bytes + i, length);
            i += length;
            continue;
        }
        size_t step = utf8_sequence_bytes(bytes + i, byte_count - i);
        if (step > 1 && word_char_length(bytes + i, byte_count - i) > 0)
            text_tokens_add(tokens, bytes + i, step, TEXT_TOKEN_PART, false); /* CJK */
        i += step > 0 ? step : 1;
    }
}
