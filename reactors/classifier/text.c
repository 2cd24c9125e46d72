/*
 * The scanner and the tokeniser: see text.h.
 *
 * What did not help, measured on the two benchmark sets: keeping version numbers and hashes as they are (every one
 * is seen once), stemming, stop words (small words tell questions from reports).
 */
#include "reactors/classifier/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"

/* Shortest fence (CommonMark 0.31, section 4.5). */
#define FENCE_LENGTH_MIN 3

/* Hex digits from which a run of them is a hash and no word. */
#define HEX_DIGITS_MIN 7

/* Bytes in which the end of an HTML tag is looked for; a bound keeps hostile text linear. */
#define TAG_BYTES_MAX ((size_t)512)

/* Bytes of one compound that are looked at: longer ones are machine output. */
#define COMPOUND_BYTES_MAX 128

/* First code point of the scripts that are written without spaces (CJK radicals); each is a token. */
#define CODE_POINT_CJK_FIRST 0x2E80u

/* Signs between word characters that keep a compound together. */
#define JOINERS "-./'_+"

static bool is_ascii_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ascii_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char ascii_lower(char c)
{
    return is_ascii_upper(c) ? (char)(c + ('a' - 'A')) : c;
}

static bool starts_with(const char *bytes, size_t byte_count, const char *lower_prefix)
{
    size_t length = strlen(lower_prefix);
    if (byte_count < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (ascii_lower(bytes[i]) != lower_prefix[i])
            return false;
    return true;
}

/* --- hashing ------------------------------------------------------------------------------------------------ */

static uint64_t hash_mix(uint64_t value)
{
    value ^= value >> 32;
    value *=
        0xd6e8feb86659fd93u; /* an odd constant with good avalanche; any change makes a new file format */
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93u;
    value ^= value >> 32;
    return value;
}

uint64_t text_hash(uint64_t seed, const void *bytes, size_t byte_count)
{
    const unsigned char *cursor = bytes;
    uint64_t hash = hash_mix(seed + 0x9e3779b97f4a7c15u) ^ byte_count;
    while (byte_count > 0) {
        uint64_t word = 0;
        size_t step = byte_count < sizeof(word) ? byte_count : sizeof(word);
        for (size_t i = 0; i < step; i++)
            word |= (uint64_t)cursor[i] << (8 * i);
        hash = hash_mix(hash ^ word);
        cursor += step;
        byte_count -= step;
    }
    return hash_mix(hash);
}

/* --- UTF-8 -------------------------------------------------------------------------------------------------- */

size_t text_utf8_length(const char *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    const unsigned char *u = (const unsigned char *)bytes;
    if (u[0] < 0x80)
        return 1;
    size_t length = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || byte_count < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xf0 && u[1] < 0x90);
    bool outside = (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf4 && u[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

/* The code point of a valid sequence of `length` bytes. */
static uint32_t utf8_code_point(const char *bytes, size_t length)
{
    const unsigned char *u = (const unsigned char *)bytes;
    if (length == 1)
        return u[0];
    uint32_t code_point = u[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        code_point = (code_point << 6) | (u[i] & 0x3fu);
    return code_point;
}

/* Length of the word character at `bytes`; 0 if it is none. Signs and spaces of Unicode are none. */
static size_t word_char_length(const char *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    if ((unsigned char)bytes[0] < 0x80)
        return is_ascii_alpha(bytes[0]) || is_ascii_digit(bytes[0]);
    size_t length = text_utf8_length(bytes, byte_count);
    if (length == 0)
        return 0;
    uint32_t code_point = utf8_code_point(bytes, length);
    bool is_sign = code_point < 0xaa || (code_point >= 0x2000 && code_point < 0x2c00) ||
                   (code_point >= 0x3000 && code_point < 0x3005) || code_point == 0xfeff ||
                   (code_point >= 0xff00 && code_point < 0xff10) || code_point == 0xfffd;
    return is_sign ? 0 : length;
}

/* --- the scanner -------------------------------------------------------------------------------------------- */

struct text_scanner text_scan(const char *body, size_t body_bytes)
{
    size_t bytes = body_bytes < TEXT_BODY_BYTES_MAX ? body_bytes : TEXT_BODY_BYTES_MAX;
    const char *start = body == NULL ? "" : body;
    return (struct text_scanner){.cursor = start, .end = start + (body == NULL ? 0 : bytes)};
}

/* The fence that a line carries after its indentation and quote marks: its character and length; 0 for none. */
static size_t line_fence(const char *line, size_t line_bytes, char *ret_fence)
{
    size_t i = 0;
    while (i < line_bytes && (is_blank(line[i]) || line[i] == '>'))
        i++;
    if (i == line_bytes || (line[i] != '`' && line[i] != '~'))
        return 0;
    size_t start = i;
    while (i < line_bytes && line[i] == line[start])
        i++;
    if (i - start < FENCE_LENGTH_MIN)
        return 0;
    if (line[start] == '`' && memchr(line + i, '`', line_bytes - i) != NULL)
        return 0; /* ```inline``` */
    *ret_fence = line[start];
    return i - start;
}

/* True for "12:34" or "2023-01" near the start of a line, as log lines begin. */
static bool looks_like_time(const char *line, size_t line_bytes)
{
    size_t i = line_bytes > 0 && line[0] == '[' ? 1 : 0;
    if (i < line_bytes && (line[i] == 'I' || line[i] == 'W' || line[i] == 'E') &&
        i + 5 < line_bytes && is_ascii_digit(line[i + 1]) && is_ascii_digit(line[i + 4]) &&
        line[i + 5] == ' ')
        return true; /* glog: I0102 12:34:56 */
    size_t digits = 0;
    while (i < line_bytes && is_ascii_digit(line[i])) {
        digits++;
        i++;
    }
    bool is_clock = digits == 2 && i + 2 < line_bytes && line[i] == ':' &&
                    is_ascii_digit(line[i + 1]) && is_ascii_digit(line[i + 2]);
    bool is_date = digits == 4 && i + 3 < line_bytes && (line[i] == '-' || line[i] == '/') &&
                   is_ascii_digit(line[i + 1]) && is_ascii_digit(line[i + 2]) &&
                   line[i + 3] == line[i];
    return is_clock || is_date;
}

/* True for a stack frame, a log line, or a line of little but signs and digits. */
static bool looks_like_log(const char *line, size_t line_bytes)
{
    while (line_bytes > 0 && is_blank(line[0])) {
        line++;
        line_bytes--;
    }
    bool is_frame =
        (starts_with(line, line_bytes, "at ") && memchr(line, '(', line_bytes) != NULL) ||
        starts_with(line, line_bytes, "file \"") || starts_with(line, line_bytes, "goroutine ") ||
        starts_with(line, line_bytes, "traceback (most") ||
        (line_bytes > 1 && line[0] == '#' && is_ascii_digit(line[1]) &&
         memchr(line, '(', line_bytes) != NULL);
    if (is_frame || looks_like_time(line, line_bytes))
        return true;
    size_t letters = 0;
    size_t others = 0;
    for (size_t i = 0; i < line_bytes; i++) {
        letters += is_ascii_alpha(line[i]) || (unsigned char)line[i] >= 0x80;
        others += !is_blank(line[i]) && !is_ascii_alpha(line[i]) && (unsigned char)line[i] < 0x80;
    }
    return letters > 0 && letters + others >= 40 && others > letters;
}

/* Moves the cursor behind the comment that starts at it. */
static void skip_comment(struct text_scanner *scanner)
{
    const char *close = memmem(scanner->cursor, (size_t)(scanner->end - scanner->cursor), "-->", 3);
    scanner->cursor = close == NULL ? scanner->end : close + 3;
}

static bool scan_fenced(struct text_scanner *scanner, const char *line, size_t line_bytes,
                        struct text_segment *ret_segment)
{
    char fence = 0;
    size_t fence_length = line_fence(line, line_bytes, &fence);
    if (scanner->fence != 0) {
        bool closes = fence == scanner->fence && fence_length >= scanner->fence_length;
        if (closes)
            scanner->fence = 0;
        *ret_segment = (struct text_segment){
            .bytes = line, .byte_count = closes ? 0 : line_bytes, .kind = TEXT_KIND_CODE};
        return true;
    }
    if (fence_length == 0)
        return false;
    scanner->fence = fence;
    scanner->fence_length = fence_length;
    *ret_segment =
        (struct text_segment){.bytes = line, .byte_count = line_bytes, .kind = TEXT_KIND_FENCE};
    return true;
}

bool text_scan_next(struct text_scanner *scanner, struct text_segment *ret_segment)
{
    static const char comment_open[] = "<!--";
    size_t comment_bytes = sizeof(comment_open) - 1;
    size_t left = (size_t)(scanner->end - scanner->cursor);
    while (scanner->fence == 0 && left >= comment_bytes &&
           memcmp(scanner->cursor, comment_open, comment_bytes) == 0) {
        skip_comment(scanner);
        left = (size_t)(scanner->end - scanner->cursor);
    }
    if (left == 0)
        return false;
    const char *line = scanner->cursor;
    const char *line_end = memchr(line, '\n', left);
    size_t line_bytes = line_end == NULL ? left : (size_t)(line_end - line);
    scanner->cursor = line_end == NULL ? scanner->end : line_end + 1;
    if (scan_fenced(scanner, line, line_bytes, ret_segment))
        return true;
    const char *comment = memmem(line, line_bytes, comment_open, comment_bytes);
    if (comment != NULL) {
        line_bytes = (size_t)(comment - line);
        scanner->cursor = comment;
    }
    *ret_segment = (struct text_segment){
        .bytes = line,
        .byte_count = line_bytes,
        .kind = looks_like_log(line, line_bytes) ? TEXT_KIND_LOG : TEXT_KIND_PROSE};
    return true;
}

size_t text_line_key(const char *line, size_t line_bytes, char *ret_key, size_t key_capacity)
{
    static const char marks[] = "#*_:>-|= \t\r";
    while (line_bytes > 0 && line[0] != '\0' && strchr(marks, line[0]) != NULL) {
        line++;
        line_bytes--;
    }
    while (line_bytes > 0 && line[line_bytes - 1] != '\0' &&
           strchr(marks, line[line_bytes - 1]) != NULL)
        line_bytes--;
    size_t length = 0;
    bool has_letter = false;
    for (size_t i = 0; i < line_bytes && length < key_capacity; i++) {
        if (is_blank(line[i]) && length > 0 && ret_key[length - 1] == ' ')
            continue;
        ret_key[length++] = is_blank(line[i]) ? ' ' : ascii_lower(line[i]);
        has_letter = has_letter || is_ascii_alpha(line[i]) || (unsigned char)line[i] >= 0x80;
    }
    return has_letter ? length : 0;
}

/* --- tokens ------------------------------------------------------------------------------------------------- */

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

/* --- compounds ---------------------------------------------------------------------------------------------- */

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

/* Appends the parts of a compound; returns how many there were. With `tokens` NULL it only counts. */
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

/* --- the tokeniser ------------------------------------------------------------------------------------------ */

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
        size_t step = text_utf8_length(bytes + i, byte_count - i);
        if (step > 1 && word_char_length(bytes + i, byte_count - i) > 0)
            text_tokens_add(tokens, bytes + i, step, TEXT_TOKEN_PART, false); /* CJK */
        i += step > 0 ? step : 1;
    }
}
