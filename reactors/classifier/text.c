/*
 * Hashes and the scanner that cuts a body into prose, code and logs: see text.h. The
 * tokeniser is in tokens.c.
 */
#include "reactors/classifier/text.h"

#include <string.h>

#include "reactors/classifier/text_chars.h"

/* Shortest fence (CommonMark 0.31, section 4.5). */
#define FENCE_LENGTH_MIN 3

/* The marks of a comment (CommonMark 0.31, section 6.6). */
#define COMMENT_OPEN "<!--"
#define COMMENT_CLOSE "-->"

/*
 * --- hashing
 * ------------------------------------------------------------------------------------------------
 */

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

/*
 * --- the scanner
 * --------------------------------------------------------------------------------------------
 */

struct text_scanner text_scan(const char *body, size_t body_bytes)
{
    size_t bytes = body_bytes < TEXT_BODY_BYTES_MAX ? body_bytes : TEXT_BODY_BYTES_MAX;
    const char *start = body == NULL ? "" : body;
    return (struct text_scanner){.cursor = start, .end = start + (body == NULL ? 0 : bytes)};
}

/*
 * The fence that a line carries after its indentation and quote marks: its character and length; 0
 * for none.
 */
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

/* Length of the rest of a line, without its end; moves the cursor behind that. */
static size_t take_line(struct text_scanner *scanner, const char *limit)
{
    size_t left = (size_t)(limit - scanner->cursor);
    const char *line_end = memchr(scanner->cursor, '\n', left);
    size_t line_bytes = line_end == NULL ? left : (size_t)(line_end - scanner->cursor);
    scanner->cursor = line_end == NULL ? limit : line_end + 1;
    return line_bytes;
}

/*
 * Enters the comment that begins at the cursor, if one does; without a closing mark it reaches to
 * the body's end.
 */
static void open_comment(struct text_scanner *scanner)
{
    size_t left = (size_t)(scanner->end - scanner->cursor);
    if (!starts_with(scanner->cursor, left, COMMENT_OPEN))
        return;
    scanner->cursor += strlen(COMMENT_OPEN);
    scanner->comment_end =
        memmem(scanner->cursor, left - strlen(COMMENT_OPEN), COMMENT_CLOSE, strlen(COMMENT_CLOSE));
    if (scanner->comment_end == NULL)
        scanner->comment_end = scanner->end;
}

/* The next line of the comment that the cursor is in; leaves it at its end. */
static struct text_segment scan_comment(struct text_scanner *scanner)
{
    const char *line = scanner->cursor;
    size_t line_bytes = take_line(scanner, scanner->comment_end);
    if (line + line_bytes == scanner->comment_end) {
        if (scanner->comment_end < scanner->end)
            scanner->cursor += strlen(COMMENT_CLOSE);
        scanner->comment_end = NULL;
    }
    return (struct text_segment){
        .bytes = line, .byte_count = line_bytes, .kind = TEXT_KIND_COMMENT};
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
    if (scanner->comment_end == NULL && scanner->fence == 0)
        open_comment(scanner);
    if (scanner->cursor == scanner->end)
        return false;
    if (scanner->comment_end != NULL) {
        *ret_segment = scan_comment(scanner);
        return true;
    }
    const char *line = scanner->cursor;
    size_t line_bytes = take_line(scanner, scanner->end);
    if (scan_fenced(scanner, line, line_bytes, ret_segment))
        return true;
    const char *comment = memmem(line, line_bytes, COMMENT_OPEN, strlen(COMMENT_OPEN));
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
