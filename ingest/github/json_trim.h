/*
 * Cuts what is too long to be of use out of a JSON text on its way to the parser.
 *
 * Why: yajl keeps a string or number that spans pieces, begins it anew with each piece and decodes it at once when it
 * ends. One string of 25 MB in a payload held the loop up for half a second and took its size again in memory.
 * What is longer than every value that anybody wants can lose its middle before the parser sees it.
 *
 * Design: a filter that knows three things of JSON: where strings begin and end, what an escape is, what a digit is. It
 * splits a piece into bytes that go on to the parser and bytes that are dropped, and copies nothing.
 *
 *      "aaaaaaaaaaaaaaaaaaaaaaaaaa…aaaaaaa"        12345678901234567890…890.5
 *       └─ string_bytes ─┘└─ dropped ────┘└ kept     └ digits ┘└─ dropped ┘└ kept
 *
 * The parser still decides what is JSON. It sees every byte outside of strings but surplus digits, so that it stops at
 * the first thing that is out of order and the filter cannot be out of step with it while it goes on. What a parser
 * would refuse within the dropped part of a string (RFC 8259 §7: control characters, unknown escapes) is refused here.
 *
 * Invariants: the verdict on the text is the parser's verdict on what is kept, together with `is_broken`; a string that
 * lost something keeps at least string_bytes raw bytes and no half of an escape; where the pieces are cut does not
 * matter; UTF-8 is not looked at.
 */
#ifndef NODAG_INGEST_GITHUB_JSON_TRIM_H
#define NODAG_INGEST_GITHUB_JSON_TRIM_H

#include <stdbool.h>
#include <stddef.h>

/* Least `digits`: with one, 00 would pass for 0. */
#define JSON_TRIM_DIGITS_MIN 2

/* Where in the text the filter is. */
enum json_trim_state {
    JSON_TRIM_OUTSIDE, /* of any string */
    JSON_TRIM_STRING,  /* in a string */
    JSON_TRIM_ESCAPE,  /* behind its backslash */
    JSON_TRIM_HEX,     /* in the digits of \uXXXX */
};

/* A filter under way; the members not named first are zero at start. */
struct json_trim {
    size_t
        string_bytes; /* raw bytes that a string keeps, ≥ 1; up to 5 more, to the end of an escape */
    size_t digits;    /* digits in a row that are kept, ≥ JSON_TRIM_DIGITS_MIN */
    enum json_trim_state state; /* where it is */
    unsigned hex_left;          /* JSON_TRIM_HEX: digits to come */
    size_t
        run; /* raw bytes of the string, or digits in a row, so far; not counted above the limit */
    bool is_dropping; /* in the part of a string that is dropped */
};

/* What becomes of the front of a piece: `keep_bytes` go to the parser, then `drop_bytes` are left out. */
struct json_trim_cut {
    size_t keep_bytes; /* for the parser */
    size_t drop_bytes; /* that follow them */
    bool is_broken;    /* the byte behind these cannot stand in a string: the text is no JSON */
};

/*
 * Splits the front of a piece. The two counts are together at least 1, unless the piece is empty or broken; call again
 * with the rest until there is none, or the parser refuses what was kept. After `is_broken` the filter is of no use.
 * Any thread.
 */
struct json_trim_cut json_trim_next(struct json_trim *trim, const char *bytes, size_t byte_count);

#endif
