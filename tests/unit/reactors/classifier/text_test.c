/*
 * Tests of reactors/classifier/text.c: what becomes of words, versions, URLs, code, logs and
 * comments, as tables; and that any bytes are a text.
 */
#include "reactors/classifier/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/utf8.h"

/* Tokens joined by spaces; wholes in brackets, because they stand beside their parts. */
static char *joined_tokens(const char *bytes, size_t byte_count)
{
    struct text_tokens tokens = {.count_max = 1000};
    struct buffer joined = BUFFER_INIT(1 << 20);
    text_tokenise(&tokens, bytes, byte_count);
    for (size_t t = 0; t < tokens.count; t++) {
        bool is_whole = tokens.items[t].kind == TEXT_TOKEN_WHOLE;
        assert_int_equal(buffer_append_format(&joined, "%s%s%.*s%s", t == 0 ? "" : " ",
                                              is_whole ? "[" : "", (int)tokens.items[t].length,
                                              tokens.bytes + tokens.items[t].offset,
                                              is_whole ? "]" : ""),
                         0);
    }
    text_tokens_release(&tokens);
    return joined.data == NULL ? mem_copy_text("") : buffer_take(&joined);
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *tokens;
    } cases[] = {
        {"", ""},
        {" \t\r\n", ""},
        {"It breaks, HERE.", "it breaks here"},
        {"I don't; the pod's log", "i don't the pod log"},
        {"Why?? Really?!", "why ? really ?"},
        {"LegacySidecarContainers", "[legacysidecarcontainers] legacy sidecar containers"},
        {"HTTPServer getURL2x", "[httpserver] http server [geturl2x] get url2x"},
        {"kube-apiserver", "[kube-apiserver] kube apiserver"},
        {"snake_case_name", "[snake_case_name] snake case name"},
        {"pkg/util/foo.go", "[pkg/util/foo.go] pkg util foo go"},
        {"-flag --other a- -", "flag other a"},
        {"v1.28.3 1.2 2.0.0-rc.1", "<ver> <ver> <ver>"},
        {"12 #345 0x1F deadbeef1 deadbeef", "<num> <num> <hex> <hex> deadbeef"},
        {"v1beta1 utf8 e2e", "v1beta1 utf8 e2e"},
        {"see https://GitHub.com/a/b?c=d.", "see <url> [<url:github.com>]"},
        {"(http://x.y/z)", "<url> [<url:x.y>]"},
        {"http://", "<url>"},
        {"![shot](https://a.b/c.png)", "<img> shot <url> [<url:a.b>]"},
        {"<img width=3 src=x> text", "<img> text"},
        {"<img without an end", "<img> without an end"},
        {"cc @some-one and a@b", "cc <mention> and a <mention>"},
        {"Größe naïve Ä", "größe naïve Ä"},
        {"日本語 text", "日 本 語 text"},
        {"“quoted” – dash… 🎉", "quoted dash 🎉"},
        {"a\xff"
         "b \xc3 \xed\xa0\x80 \xc0\xaf",
         "a b"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *tokens = joined_tokens(cases[i].text, strlen(cases[i].text));
        if (strcmp(tokens, cases[i].tokens) != 0)
            fail_msg("\"%s\" gives \"%s\" and not \"%s\"", cases[i].text, tokens, cases[i].tokens);
    }
}

static void test_long_words(void **state)
{
    (void)state;
    char word[400];
    memset(word, 'a', sizeof(word));
    CLEANUP(mem_free) char *longer = joined_tokens(word, sizeof(word));
    assert_string_equal(longer, "<long>");
    CLEANUP(mem_free) char *dropped = joined_tokens(word, TEXT_TOKEN_BYTES_MAX + 1);
    assert_string_equal(dropped, "");
    CLEANUP(mem_free) char *kept = joined_tokens(word, TEXT_TOKEN_BYTES_MAX);
    assert_int_equal(strlen(kept), TEXT_TOKEN_BYTES_MAX);
}

static void test_segments(void **state)
{
    (void)state;
    /* Each segment as its kind's letter and its text. */
    static const struct {
        const char *body;
        const char *segments;
    } cases[] = {
        {"", ""},
        {"one\ntwo", "P(one)P(two)"},
        {"one\r\n\r\n", "P(one\r)P(\r)"},
        {"a <!-- hidden --> b", "P(a )H( hidden )P( b)"},
        {"<!-- hidden\nstill\n-->\nseen", "H( hidden)H(still)H()P()P(seen)"},
        {"<!-- a --><!-- b -->c", "H( a )H( b )P(c)"},
        {"<!--", ""},
        {"<!---->", "H()"},
        {"<!-- ```\n<!-- -->\nseen", "H( ```)H(<!-- )P()P(seen)"},
        {"seen <!-- for ever\nhidden", "P(seen )H( for ever)H(hidden)"},
        {"```go\nx := 1\n```\nafter", "F(```go)C(x := 1)C()P(after)"},
        {"~~~\n```\n~~~~\nafter", "F(~~~)C(```)C()P(after)"},
        {"````\n```\n````", "F(````)C(```)C()"},
        {"  > ```\n<!-- code -->\n", "F(  > ```)C(<!-- code -->)"},
        {"```inline``` text", "P(```inline``` text)"},
        {"``no``", "P(``no``)"},
        {"    at foo (bar.js:1)", "L(    at foo (bar.js:1))"},
        {"at home", "P(at home)"},
        {"Traceback (most recent call last):", "L(Traceback (most recent call last):)"},
        {"  File \"x.py\", line 3", "L(  File \"x.py\", line 3)"},
        {"2024-05-01T12:00:00Z starting", "L(2024-05-01T12:00:00Z starting)"},
        {"[12:34:56] starting", "L([12:34:56] starting)"},
        {"I0501 12:34:56.7 main.go:3] x", "L(I0501 12:34:56.7 main.go:3] x)"},
        {"#0 0x1234 in main ()", "L(#0 0x1234 in main ())"},
        {"# 12 monkeys", "P(# 12 monkeys)"},
        {"2024 was a good year", "P(2024 was a good year)"},
        {"0x00 0x11 0x22 0x33 0x44 0x55 0x66 0x77 0x88 0x99",
         "L(0x00 0x11 0x22 0x33 0x44 0x55 0x66 0x77 0x88 0x99)"},
    };
    static const char kinds[] = {[TEXT_KIND_PROSE] = 'P',
                                 [TEXT_KIND_CODE] = 'C',
                                 [TEXT_KIND_FENCE] = 'F',
                                 [TEXT_KIND_LOG] = 'L',
                                 [TEXT_KIND_COMMENT] = 'H'};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer got = BUFFER_INIT(1 << 16);
        struct text_scanner scanner = text_scan(cases[i].body, strlen(cases[i].body));
        struct text_segment segment;
        assert_int_equal(buffer_append_text(&got, ""), 0);
        while (text_scan_next(&scanner, &segment))
            assert_int_equal(buffer_append_format(&got, "%c(%.*s)", kinds[segment.kind],
                                                  (int)segment.byte_count, segment.bytes),
                             0);
        const char *text = got.data == NULL ? "" : got.data;
        if (strcmp(text, cases[i].segments) != 0)
            fail_msg("\"%s\" gives %s and not %s", cases[i].body, text, cases[i].segments);
    }
}

static void test_line_keys(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *key;
    } cases[] = {
        {"### Expected behaviour", "expected behaviour"},
        {"**Version:**", "version"},
        {"  - [x] I have   searched\r", "[x] i have searched"},
        {"_No response_", "no response"},
        {"---", ""},
        {"12 + 3", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char key[64];
        size_t bytes = text_line_key(cases[i].line, strlen(cases[i].line), key, sizeof(key));
        assert_int_equal(bytes, strlen(cases[i].key));
        assert_memory_equal(key, cases[i].key, bytes);
    }
    char tiny[4];
    assert_int_equal(text_line_key("abcdefgh", 8, tiny, sizeof(tiny)), sizeof(tiny));
}

static void test_hash_is_fixed(void **state)
{
    (void)state;
    /* These numbers stand in model files: another value here is another file format. */
    assert_int_equal(text_hash(0, "", 0), UINT64_C(0x3da4588b8c08334f));
    assert_int_equal(text_hash(1, "title", 5), UINT64_C(0x5bee683865d40183));
    assert_true(text_hash(1, "title", 5) != text_hash(2, "title", 5));
    assert_true(text_hash(1, "a", 1) != text_hash(1, "a\0", 2));
}

/*
 * Random bytes from a small alphabet of dangerous ones: nothing is read outside, every token is
 * sound.
 */
static void test_any_bytes_are_text(void **state)
{
    (void)state;
    static const char alphabet[] = "aZ0 .-_/'`~<!-->[(@#?\n\r\0\xc3\xa4\xe2\x82\xff\xf0\x9f:http";
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        size_t bytes = (size_t)(random >> 40) % 48;
        CLEANUP(mem_free) char *text = mem_alloc(bytes);
        for (size_t i = 0; i < bytes; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[i] = alphabet[(size_t)(random >> 33) % (sizeof(alphabet) - 1)];
        }
        random += 0x9e3779b97f4a7c15u;
        struct text_tokens tokens = {.count_max = 20};
        struct text_scanner scanner = text_scan(text, bytes);
        struct text_segment segment;
        while (text_scan_next(&scanner, &segment)) {
            assert_true(segment.bytes >= text &&
                        segment.bytes + segment.byte_count <= text + bytes);
            text_tokenise(&tokens, segment.bytes, segment.byte_count);
        }
        assert_true(tokens.count <= 20);
        for (size_t t = 0; t < tokens.count; t++) {
            size_t at = tokens.items[t].offset;
            size_t end = at + tokens.items[t].length;
            assert_true(tokens.items[t].length > 0 &&
                        tokens.items[t].length <= TEXT_TOKEN_BYTES_MAX);
            while (at < end) {
                size_t step = utf8_sequence_bytes(tokens.bytes + at, end - at);
                assert_true(step > 0);
                at += step;
            }
        }
        text_tokens_release(&tokens);
    }
}

static void test_only_the_beginning_is_read(void **state)
{
    (void)state;
    size_t bytes = TEXT_BODY_BYTES_MAX + 100;
    CLEANUP(mem_free) char *body = mem_alloc(bytes);
    memset(body, 'x', bytes);
    struct text_scanner scanner = text_scan(body, bytes);
    struct text_segment segment;
    assert_true(text_scan_next(&scanner, &segment));
    assert_int_equal(segment.byte_count, TEXT_BODY_BYTES_MAX);
    assert_false(text_scan_next(&scanner, &segment));
    scanner = text_scan(NULL, 0);
    assert_false(text_scan_next(&scanner, &segment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_line_keys),
        cmocka_unit_test(test_hash_is_fixed),
        cmocka_unit_test(test_any_bytes_are_text),
        cmocka_unit_test(test_only_the_beginning_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
