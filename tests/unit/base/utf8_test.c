/*
 * Tests of the UTF-8 check.
 *
 * Design: one table of texts with the index of the first wrong byte; each is fed whole and byte by byte, which
 * must agree. Code points are written by an encoder of their own.
 */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static const struct {
    const char *text;
    size_t bad_at; /* length of the text: nothing is wrong in it */
    unsigned left; /* bytes that are missing at its end */
} cases[] = {
    {"", 0, 0},
    {"plain", 5, 0},
    {"exactly8", 8, 0},
    {"more than eight bytes", 21, 0},
    {"\xc2\x80", 2, 0},             /* U+0080, the least of two bytes */
    {"\xdf\xbf", 2, 0},             /* U+07FF */
    {"\xe0\xa0\x80", 3, 0},         /* U+0800 */
    {"\xed\x9f\xbf", 3, 0},         /* U+D7FF, below the surrogates */
    {"\xee\x80\x80", 3, 0},         /* U+E000, above them */
    {"\xf0\x90\x80\x80", 4, 0},     /* U+10000 */
    {"\xf4\x8f\xbf\xbf", 4, 0},     /* U+10FFFF, the last */
    {"1234567\xe2\x82\xac", 10, 0}, /* across the first word */
    {"\x80", 0, 0},                 /* a tail without a head */
    {"\xc0\x80", 0, 0},             /* overlong NUL */
    {"\xc1\xbf", 0, 0},             /* overlong */
    {"\xe0\x9f\xbf", 1, 2},         /* overlong */
    {"\xed\xa0\x80", 1, 2},         /* a surrogate */
    {"\xf0\x8f\xbf\xbf", 1, 3},     /* overlong */
    {"\xf4\x90\x80\x80", 1, 3},     /* beyond U+10FFFF */
    {"\xf5\x80\x80\x80", 0, 0},     /* no such head */
    {"\xff", 0, 0},
    {"12345678\xfe", 8, 0},
    {"\xc3(", 1, 1},    /* a head without its tail */
    {"\xe2\x82", 2, 1}, /* cut short */
    {"\xf0", 1, 3},     /* cut short */
};

static void test_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct utf8 utf8 = {0};
        size_t end = utf8_feed(&utf8, (const uint8_t *)cases[i].text, strlen(cases[i].text));
        if (end != cases[i].bad_at || utf8.left != cases[i].left)
            fail_msg("case %zu: stopped at %zu with %u left", i, end, utf8.left);
        bool is_whole = cases[i].bad_at == strlen(cases[i].text) && cases[i].left == 0;
        if (utf8_is_valid(cases[i].text, strlen(cases[i].text)) != is_whole)
            fail_msg("case %zu: valid or not", i);
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct utf8 utf8 = {0};
        size_t at = 0;
        while (at < strlen(cases[i].text) &&
               utf8_feed(&utf8, (const uint8_t *)cases[i].text + at, 1) == 1)
            at++;
        if (at != cases[i].bad_at || utf8.left != cases[i].left)
            fail_msg("case %zu: stopped at %zu with %u left", i, at, utf8.left);
    }
}

/* Walking by sequences stops at the beginning of the first one that is not well-formed. */
static void test_sequence_by_sequence(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const uint8_t *text = (const uint8_t *)cases[i].text;
        size_t byte_count = strlen(cases[i].text);
        size_t expected = cases[i].bad_at;
        while (cases[i].left > 0 && expected > 0 && text[expected] < 0xc2)
            expected--; /* back to the head of the sequence that is not complete */
        if (cases[i].left > 0 && expected == cases[i].bad_at)
            expected--;
        size_t at = 0;
        for (size_t step = 1; step > 0; at += step)
            step = utf8_sequence_bytes(text + at, byte_count - at);
        if (at != expected)
            fail_msg("case %zu: stopped at %zu, not at %zu", i, at, expected);
    }
}

/* Writes a number in the form of UTF-8, surrogates too; returns its bytes. */
static size_t encode(uint32_t code_point, uint8_t ret_bytes[4])
{
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code_point >>= 6)
        ret_bytes[i] = (uint8_t)(0x80 | (code_point & 0x3f));
    ret_bytes[0] = (uint8_t)(heads[length] | code_point);
    return length;
}

/* Every character is read back, whole only; a surrogate is none. */
static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point < 0x110100; code_point++) {
        uint8_t bytes[4];
        size_t length = encode(code_point, bytes);
        bool is_none = (code_point >= 0xd800 && code_point <= 0xdfff) || code_point > 0x10ffff;
        assert_int_equal(utf8_sequence_bytes(bytes, 4), is_none ? 0 : length);
        assert_int_equal(utf8_sequence_bytes(bytes, length - 1), 0);
        if (!is_none)
            assert_int_equal(utf8_code_point(bytes, length), code_point);
        bytes[length - 1] |= 0xc0; /* no tail, and no head of one byte */
        assert_int_equal(utf8_sequence_bytes(bytes, length), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_sequence_by_sequence),
        cmocka_unit_test(test_every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
