/*
 * Issue text to tokens: what a person wrote is kept, what machines wrote is made alike.
 *
 * Design: two small iterators. The scanner cuts a Markdown body into segments (at most one line
 * each), and says of each whether it is prose, machine output (fenced code, log lines, stack
 * traces) or an HTML comment, which a template hides in an issue. The tokeniser turns a segment into
 * lower-case tokens; URLs, versions, numbers, hashes, paths and mentions become placeholders
 * such as "<url>", and compound identifiers also give their parts:
 *
 *     "LegacySidecars"  ─▶  whole "legacysidecars", parts "legacy" "sidecars"
 *
 * Invariants: any bytes are text (bad UTF-8 separates words); time is linear in the bytes read, and
 * the bytes read are bounded; tokens are valid UTF-8 of 1 … TEXT_TOKEN_BYTES_MAX bytes.
 */
#ifndef NODAG_CLASSIFIER_TEXT_H
#define NODAG_CLASSIFIER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of a title that are read: GitHub allows 256 characters, change descriptions are a
 * paragraph.
 */
#define TEXT_TITLE_BYTES_MAX ((size_t)4096)

/* Bytes of a body that are read: the first screens say what an issue is about, logs follow. */
#define TEXT_BODY_BYTES_MAX ((size_t)24 * 1024)

/* Longest token, in bytes; what is longer is no word. */
#define TEXT_TOKEN_BYTES_MAX ((size_t)40)

/* What a segment is. */
enum text_kind {
    TEXT_KIND_PROSE,   /* a person's words, or a template's */
    TEXT_KIND_CODE,    /* inside a fence */
    TEXT_KIND_FENCE,   /* the line that opens a fence; its text is the language */
    TEXT_KIND_LOG,     /* outside a fence, but it looks like a log line or a stack frame */
    TEXT_KIND_COMMENT, /* inside an HTML comment, without its marks */
};

/* A piece of a body, at most one line, without its line end. Borrowed from the body. */
struct text_segment {
    const char *bytes;   /* not NUL-terminated */
    size_t byte_count;   /* may be 0 */
    enum text_kind kind; /* what it is */
};

/* Where the scanner stands. Initialise with text_scan(). */
struct text_scanner {
    const char *cursor;      /* next byte to look at */
    const char *end;         /* one past the last byte that is read */
    char fence;              /* '`' or '~' inside a fence, else 0 */
    size_t fence_length;     /* characters of the fence that opened */
    const char *comment_end; /* inside a comment: where it ends; else NULL */
};

/* What a token is good for. */
enum text_token_kind {
    TEXT_TOKEN_PART,  /* member of word n-grams */
    TEXT_TOKEN_WHOLE, /* a compound whose parts follow: only by itself */
};

/* One token: bytes in the tokens' arena. */
struct text_token {
    uint32_t offset;           /* first byte in the arena */
    uint8_t length;            /* 1 … TEXT_TOKEN_BYTES_MAX */
    bool is_placeholder;       /* "<url>" and its kind: no character n-grams */
    enum text_token_kind kind; /* what it is good for */
};

/*
 * A growing list of tokens with their bytes. Zero-initialise; release with text_tokens_release().
 */
struct text_tokens {
    char *bytes;              /* owned arena */
    size_t byte_count;        /* used */
    size_t byte_capacity;     /* allocated */
    struct text_token *items; /* owned */
    size_t count;             /* used */
    size_t capacity;          /* allocated */
    size_t count_max;         /* tokens beyond this are dropped; set by the caller */
};

/*
 * Starts scanning the first TEXT_BODY_BYTES_MAX bytes of `body` (borrowed while scanning). Any
 * thread.
 */
struct text_scanner text_scan(const char *body, size_t body_bytes);

/* Gives the next segment; false at the end. Any thread. */
bool text_scan_next(struct text_scanner *scanner, struct text_segment *ret_segment);

/* Appends the tokens of `bytes` (any bytes) until tokens->count_max is reached. Any thread. */
void text_tokenise(struct text_tokens *tokens, const char *bytes, size_t byte_count);

/*
 * Appends one token as it is, e.g. a placeholder; `text` has 1 … TEXT_TOKEN_BYTES_MAX bytes. Any
 * thread.
 */
void text_tokens_add(struct text_tokens *tokens, const char *text, size_t text_bytes,
                     enum text_token_kind kind, bool is_placeholder);

/* Empties the list and keeps its memory. Any thread. */
void text_tokens_clear(struct text_tokens *tokens);

/* Frees the memory; the list is empty and usable again. Any thread. */
void text_tokens_release(struct text_tokens *tokens);

/*
 * Writes the key by which a line is known as a template's line: lower case, white space single,
 * without Markdown marks at its ends. `ret_key` has room for `key_capacity` bytes, longer keys are
 * cut; returns the bytes written, 0 for a line without letters. Any thread.
 */
size_t text_line_key(const char *line, size_t line_bytes, char *ret_key, size_t key_capacity);

/*
 * Returns a 64-bit hash of bytes under a seed: fixed for ever, it stands in model files. Any
 * thread.
 */
uint64_t text_hash(uint64_t seed, const void *bytes, size_t byte_count);

#endif
