/*
 * Tests of the filter before the parser: by itself, and as the payload extraction uses it.
 *
 * Design: tables say what is kept of a text; every text is cut at every place and the pieces must agree. Then random
 * JSON, whole and with one byte spoilt, is read with and without the filter, and everything that can be asked must be
 * equal: tokens are chosen around the limits and far above them.
 */
#include "ingest/github/json_trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/generator.h"
#include "base/memory.h"
#include "ingest/github/payload.h"

/* Limits of the tables: strings keep four bytes, numbers three digits. */
#define SMALL_TRIM ((struct json_trim){.string_bytes = 4, .digits = 3})

/* Largest text of these tests. */
#define TEXT_MAX_BYTES (4u << 20)

/* Random texts for each of the two properties, and the seed of the first. */
#define ROUNDS 120

/* Deepest nesting, and most members, of a random text. */
#define RANDOM_DEPTH 4
#define RANDOM_MEMBERS 5

/* What a filter leaves of a text that is given in pieces; returns false if it found it broken. */
static bool trim_text(struct json_trim trim, const char *text, size_t text_bytes,
                      size_t piece_bytes, struct buffer *kept)
{
    for (size_t at = 0; at < text_bytes;) {
        size_t left = text_bytes - at;
        size_t given_bytes = left < piece_bytes ? left : piece_bytes;
        struct json_trim_cut cut = json_trim_next(&trim, text + at, given_bytes);
        assert_true(cut.keep_bytes + cut.drop_bytes <= given_bytes);
        assert_int_equal(buffer_append(kept, text + at, cut.keep_bytes), 0);
        if (cut.is_broken)
            return false;
        assert_true(cut.keep_bytes + cut.drop_bytes > 0);
        at += cut.keep_bytes + cut.drop_bytes;
    }
    return true;
}

static const struct {
    const char *text;
    const char *kept; /* NULL: broken */
} cases[] = {
    {"", ""},
    {"{\"a\":[1,true,null,-2.5e+7]}", "{\"a\":[1,true,null,-2.5e+7]}"},
    {"\"abcd\"", "\"abcd\""},
    {"\"abcde\"", "\"abcd\""},
    {"\"abcdefghijklmnopqrstuvwxyz\",\"a\"", "\"abcd\",\"a\""},
    {"{\"longer key\":\"longer value\"}", "{\"long\":\"long\"}"},

    /* A quote behind a backslash ends nothing, kept or dropped; neither does one behind two of them too few. */
    {"\"a\\\"b\",1", "\"a\\\"b\",1"},
    {"\"abcdef\\\"ghi\",1", "\"abcd\",1"},
    {"\"abcdef\\\\\",1", "\"abcd\",1"},
    {"\"abcdef\\\\\\\"\",1", "\"abcd\",1"},
    {"\"\\\\\\\\\\\\\",1", "\"\\\\\\\\\",1"},

    /* An escape is kept whole or dropped whole. */
    {"\"abc\\nefg\"", "\"abc\\n\""},
    {"\"abc\\u0041efg\"", "\"abc\\u0041\""},
    {"\"abcd\\u0041efg\"", "\"abcd\""},
    {"\"\\u00411\\u0042\"", "\"\\u0041\""},
    {"\"abcd\\b\\f\\n\\r\\t\\\"\\\\\\/\\uaBc9\"", "\"abcd\""},

    /* What a parser would refuse, where it does not see it. */
    {"\"abcdef\x01\"", NULL},
    {"\"abcdefghijklmnopqrst\n\"", NULL},
    {"\"abcdef\\x41\"", NULL},
    {"\"abcdef\\u00g0\"", NULL},
    {"\"abcdef\\u004\"", NULL},
    {"\"abcdef\\\x01\"", NULL},
    {"\"abc\x01 kept for the parser\"", "\"abc\x01\""},
    {"\"a\\x kept for the parser\"", "\"a\\x \""},

    /* Digits in a row, wherever they stand. */
    {"123", "123"},
    {"1234", "123"},
    {"-123456789.987654321e-123456789", "-123.987e-123"},
    {"[12345,12,123456]", "[123,12,123]"},
    {"\"12345\"", "\"1234\""},
    {"0000", "000"},
    {"tru1234", "tru123"},

    /* Not ended: the parser says so. */
    {"\"abcdefgh", "\"abcd"},
    {"\"abcdefgh\\", "\"abcd"},
    {"\"abcdefgh\\u12", "\"abcd"},
};

static void check_case(size_t index, size_t piece_bytes)
{
    CLEANUP(buffer_release) struct buffer kept = BUFFER_INIT(TEXT_MAX_BYTES);
    const char *text = cases[index].text;
    bool is_whole = trim_text(SMALL_TRIM, text, strlen(text), piece_bytes, &kept);
    if (is_whole != (cases[index].kept != NULL))
        fail_msg("'%s' in pieces of %zu: broken is %d", text, piece_bytes, !is_whole);
    if (is_whole && strcmp(kept.data != NULL ? kept.data : "", cases[index].kept) != 0)
        fail_msg("'%s' in pieces of %zu: kept '%s'", text, piece_bytes, kept.data);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t piece_bytes = 1; piece_bytes <= 40; piece_bytes++)
            check_case(i, piece_bytes);
}

/* NUL is a control character like others, and no end of the text. */
static void test_nul_in_a_dropped_part(void **state)
{
    (void)state;
    static const char text[] = "\"abcdef\0\"";
    static const char escape[] = "\"abcdef\\\0\"";
    CLEANUP(buffer_release) struct buffer kept = BUFFER_INIT(TEXT_MAX_BYTES);
    assert_false(trim_text(SMALL_TRIM, text, sizeof(text) - 1, 100, &kept));
    assert_false(trim_text(SMALL_TRIM, escape, sizeof(escape) - 1, 100, &kept));
}

/* Every byte in every place of a word: eight bytes are looked at together. */
static void test_every_byte_in_a_dropped_part(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t place = 6; place < 30; place++) {
            char text[] = "\"abcdefghijklmnopqrstuvwxyz0123456\",\"x\"";
            text[place] = (char)byte;
            CLEANUP(buffer_release) struct buffer kept = BUFFER_INIT(TEXT_MAX_BYTES);
            bool is_whole = trim_text(SMALL_TRIM, text, sizeof(text) - 1, 100, &kept);
            bool is_escape = byte == '\\' && strchr("bfnrtu", text[place + 1]) != NULL;
            if (is_whole !=
                (byte >= ' ' && (byte != '\\' || (is_escape && text[place + 1] != 'u'))))
                fail_msg("byte %u at %zu: broken is %d", byte, place, !is_whole);
            if (is_whole && byte != '"')
                assert_string_equal(kept.data, "\"abcd\",\"x\"");
        }
}

/* ---- random texts ---- */

static void append(struct buffer *text, const char *what)
{
    assert_int_equal(buffer_append_text(text, what), 0);
}

/* A length: mostly short, sometimes about the limit `about`, sometimes far above. */
static size_t random_length(struct generator *chance, size_t about)
{
    uint64_t kind = generator_next(chance) % 16;
    if (kind == 0)
        return 3 * about + generator_next(chance) % about;
    if (kind <= 2)
        return about - 8 + generator_next(chance) % 16;
    return generator_next(chance) % 30;
}

static void append_string(struct generator *chance, struct buffer *text)
{
    static const char *const characters[] = {
        "a", "b",       " ", "7",        "\\\"", "\\\\",           "\\n",     "\\/", "\\u0041",
        "{", "\\u0000", "[", "\xc3\xa9", ":",    "\\ud83d\\ude00", "\\ud800", "]",   "}"};
    append(text, "\"");
    size_t most = text->size_bytes + random_length(chance, PAYLOAD_TOKEN_MAX_BYTES);
    uint64_t kind = generator_next(chance) % 4;
    while (text->size_bytes < most)
        append(text, kind == 0   ? "x"
                     : kind == 1 ? "\\u0041" /* the most that a character takes */
                                 : characters[generator_next(chance) % ARRAY_COUNT(characters)]);
    append(text, "\"");
}

static void append_digits(struct generator *chance, struct buffer *text, size_t about)
{
    append(text, "5");
    for (size_t left = random_length(chance, about); left > 0; left--)
        append(text, "4");
}

static void append_number(struct generator *chance, struct buffer *text)
{
    uint64_t parts = generator_next(chance);
    append(text, (parts & 1) != 0 ? "-" : "");
    append_digits(chance, text, PAYLOAD_VALUE_MAX_BYTES);
    if ((parts & 6) == 6) {
        append(text, ".");
        append_digits(chance, text, PAYLOAD_VALUE_MAX_BYTES);
    }
    if ((parts & 24) == 24) {
        append(text, "E+");
        append_digits(chance, text, PAYLOAD_VALUE_MAX_BYTES);
    }
}

/* A time, with a fraction that may be longer than anything that is kept. */
static void append_time(struct generator *chance, struct buffer *text)
{
    append(text, "\"2020-01-01T00:00:00.");
    append_digits(chance, text, PAYLOAD_TOKEN_MAX_BYTES);
    append(text, "Z\"");
}

/* A member's name: often one that is followed. */
static void append_name(struct generator *chance, struct buffer *text)
{
    static const char *const names[] = {"action", "issue", "number", "updated_at", "repository",
                                        "id",     "owner", "login",  "full_name",  "sender"};
    uint64_t which = generator_next(chance) % (ARRAY_COUNT(names) + 2);
    if (which >= ARRAY_COUNT(names)) {
        append_string(chance, text);
        return;
    }
    append(text, "\"");
    append(text, names[which]);
    append(text, "\"");
}

static void append_value(struct generator *chance, struct buffer *text, size_t depth)
{
    uint64_t kind = generator_next(chance) % (depth == 0 ? 4 : 8);
    if (kind == 0)
        append_number(chance, text);
    else if (kind == 1)
        append(text, "null");
    else if (kind == 2)
        append_time(chance, text);
    else if (kind == 3)
        append_string(chance, text);
    if (kind <= 3)
        return;
    append(text, kind == 4 ? "[" : "{");
    for (uint64_t members = generator_next(chance) % RANDOM_MEMBERS; members > 0; members--) {
        if (kind != 4) {
            append_name(chance, text);
            append(text, ": ");
        }
        append_value(chance, text, depth - 1);
        append(text, members > 1 ? "," : "");
    }
    append(text, kind == 4 ? "]" : "}");
}

/* Makes {"repository": …, …}. */
static void random_text(struct generator *chance, struct buffer *text)
{
    append(text, "{\"repository\":");
    append_value(chance, text, RANDOM_DEPTH);
    for (int i = 0; i < RANDOM_MEMBERS; i++) {
        append(text, ",");
        append_name(chance, text);
        append(text, ":");
        append_value(chance, text, RANDOM_DEPTH);
    }
    append(text, "}");
}

/* ---- the extraction with and without ---- */

/* Reads a text, in pieces if it is trimmed; NULL if it is no JSON. */
static struct payload *read_text(const struct buffer *text, bool is_trimmed, size_t piece_bytes)
{
    struct payload *payload = payload_new();
    struct error error = {0};
    int code = 0;
    if (is_trimmed)
        payload_trim(payload);
    for (size_t at = 0; at < text->size_bytes && code == 0; at += piece_bytes) {
        size_t left = text->size_bytes - at;
        code =
            payload_feed(payload, text->data + at, left < piece_bytes ? left : piece_bytes, &error);
    }
    if (code == 0)
        code = payload_finish(payload, &error);
    if (code == 0)
        return payload;
    assert_int_equal(code, ERR_INPUT);
    assert_non_null(strstr(error.text, "the body"));
    payload_free(payload);
    return NULL;
}

/* Fails unless both ways of reading agree in everything. Returns true if the text is JSON. */
static bool check_equal(const struct buffer *text, size_t piece_bytes, uint64_t seed)
{
    CLEANUP(payload_free) struct payload *plain = read_text(text, false, text->size_bytes);
    CLEANUP(payload_free) struct payload *trimmed = read_text(text, true, piece_bytes);
    if ((plain == NULL) != (trimmed == NULL))
        fail_msg("seed %llu: %s only without the filter", (unsigned long long)seed,
                 plain != NULL ? "JSON" : "no JSON");
    if (plain == NULL)
        return false;
    for (int i = PAYLOAD_NONE + 1; i < PAYLOAD_FIELD_COUNT; i++) {
        enum payload_field field = (enum payload_field)i;
        struct text one = payload_text(plain, field);
        struct text other = payload_text(trimmed, field);
        if (payload_kind(plain, field) != payload_kind(trimmed, field) ||
            one.bytes != other.bytes ||
            (one.bytes > 0 && memcmp(one.data, other.data, one.bytes) != 0))
            fail_msg("seed %llu: field %d differs", (unsigned long long)seed, i);
    }
    if (payload_latest_ms(plain) != payload_latest_ms(trimmed))
        fail_msg("seed %llu: the latest time differs", (unsigned long long)seed);
    return true;
}

static void test_extraction_is_the_same(void **state)
{
    (void)state;
    size_t unusable_count = 0;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct generator chance;
        generator_seed(&chance, seed);
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
        random_text(&chance, &text);
        size_t piece_bytes = 1 + generator_next(&chance) % (seed % 2 == 0 ? 20000 : 300);
        assert_true(check_equal(&text, piece_bytes, seed));
        CLEANUP(payload_free) struct payload *payload = read_text(&text, true, piece_bytes);
        unusable_count += payload_kind(payload, PAYLOAD_ACTION) == PAYLOAD_IS_UNUSABLE;
    }
    assert_true(unusable_count > 0); /* the limits were reached */
}

static void test_the_verdict_on_spoilt_texts_is_the_same(void **state)
{
    (void)state;
    static const char spoils[] = "\"\\\x01{}[],:0ux\xff\n";
    size_t good_count = 0;
    size_t bad_count = 0;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct generator chance;
        generator_seed(&chance, ROUNDS + seed);
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
        random_text(&chance, &text);
        size_t place = generator_next(&chance) % text.size_bytes;
        text.data[place] = spoils[generator_next(&chance) % (sizeof(spoils) - 1)];
        bool is_json = check_equal(&text, 1 + generator_next(&chance) % 20000, ROUNDS + seed);
        good_count += is_json;
        bad_count += !is_json;
    }
    assert_true(good_count > 0 && bad_count > 0);
}

/* Of one huge token the parser sees little, however the text is cut: that is what the filter is for. */
static void test_huge_tokens_are_kept_from_the_parser(void **state)
{
    (void)state;
    static const char *const fills[] = {"y", "\\n", "\\u0041", "\xc3\xa9", "\\\\"};
    for (size_t i = 0; i <= ARRAY_COUNT(fills); i++) {
        bool is_number = i == ARRAY_COUNT(fills);
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
        CLEANUP(buffer_release) struct buffer kept = BUFFER_INIT(TEXT_MAX_BYTES);
        append(&text, is_number ? "[" : "[\"");
        while (text.size_bytes < (1u << 20))
            append(&text, is_number ? "7" : fills[i]);
        append(&text, is_number ? "]" : "\"]");
        const struct json_trim trim = {.string_bytes = PAYLOAD_TOKEN_MAX_BYTES,
                                       .digits = PAYLOAD_VALUE_MAX_BYTES + 1};
        assert_true(trim_text(trim, text.data, text.size_bytes, 1000, &kept));
        assert_in_range(kept.size_bytes, 1, PAYLOAD_TOKEN_MAX_BYTES + 16);
        assert_true(check_equal(&text, 131072, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_nul_in_a_dropped_part),
        cmocka_unit_test(test_every_byte_in_a_dropped_part),
        cmocka_unit_test(test_extraction_is_the_same),
        cmocka_unit_test(test_the_verdict_on_spoilt_texts_is_the_same),
        cmocka_unit_test(test_huge_tokens_are_kept_from_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
