/*
 * Tests of base/yaml_text.c: the trees of valid texts in a compact notation, every refusal by its exact words, the
 * limits at their edges, and the readers.
 *
 * The notation: a plain scalar stands as it is, a quoted one in quotes, a list as [a b], a mapping as {name=value},
 * each with @line:column before it where a case asks for positions; documents are separated by ` | `.
 */
#include "base/yaml_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"

static void print_node(FILE *stream, const struct yaml_node *node, bool positions)
{
    if (node == NULL) {
        fprintf(stream, "NULL");
        return;
    }
    if (positions)
        fprintf(stream, "@%d:%d ", node->line, node->column);
    if (node->kind == YAML_SCALAR) {
        assert_int_equal(strlen(node->text), node->text_bytes);
        fprintf(stream, node->quoted ? "\"%s\"" : "%s", node->text);
        return;
    }
    fputs(node->kind == YAML_MAPPING ? "{" : "[", stream);
    for (size_t i = 0; i < node->count; i++) {
        fputs(i > 0 ? " " : "", stream);
        if (node->kind == YAML_MAPPING) {
            print_node(stream, node->names[i], positions);
            fputs("=", stream);
        }
        print_node(stream, node->items[i], positions);
    }
    fputs(node->kind == YAML_MAPPING ? "}" : "]", stream);
}

/* The notation of a whole stream; owned. */
static char *notation(const struct yaml_stream *stream, bool positions)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);
    assert_non_null(out);
    for (size_t i = 0; i < yaml_document_count(stream); i++) {
        fputs(i > 0 ? " | " : "", out);
        print_node(out, yaml_document(stream, i), positions);
    }
    (void)fclose(out);
    return text;
}

/* Parses what must be valid; owned. */
static struct yaml_stream *parse_or_fail(const char *text)
{
    struct yaml_stream *stream = NULL;
    struct error error = {0};
    if (yaml_parse("f.yaml", text, strlen(text), &stream, &error) != 0)
        fail_msg("%s\n%s", text, error.text);
    return stream;
}

static void test_trees(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *tree;
    } cases[] = {
        {"", ""},
        {"# only a comment\n", ""},
        {"---\n", "NULL"},
        {"---\n---\na\n", "NULL | a"},
        {"--- |\n a\n b\n...\n---\n- 1\n", "\"a\nb\n\" | [1]"},
        {"a: 1\nb: [x, \"y\", 'z']\nc: {d: , e: null}\n", "{a=1 b=[x \"y\" \"z\"] c={d= e=null}}"},
        {"- a\n-\n- - b\n  - c\n", "[a  [b c]]"},
        {"? a\n: b\n", "{a=b}"},
        {"? a\n", "{a=}"},
        {"a: >\n folded\n text\n", "{a=\"folded text\n\"}"},
        {"\"\\u00e4\\t\": ü\n", "{\"ä\t\"=ü}"},
        {"!!str 5: !!int 6\n", "{\"5\"=6}"},
        {"a: ! 5\nb: !!bool \"true\"\nc: !!float 1\nd: !!null ''\n", "{a=\"5\" b=true c=1 d=}"},
        {"!!map {a: !!seq [1]}", "{a=[1]}"},
        {"! {a: ! [1]}", "{a=[1]}"},
        {"%YAML 1.1\n--- a\n", "a"},
        {"{}\n", "{}"},
        {"[]", "[]"},
        {"\xef\xbb\xbf"
         "a: 1\n",
         "{a=1}"},
        {"a: 1\r\nb: 2\r\n", "{a=1 b=2}"},
        {"<<: {a: 1}\n", "{<<={a=1}}"},
        {"a: {a: {a: 1}}\nb: {a: 1}", "{a={a={a=1}} b={a=1}}"},
        {"[{a: 1}, {a: 1}]", "[{a=1} {a=1}]"},
        {"url: http://x/y#z\n", "{url=http://x/y#z}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(yaml_stream_free) struct yaml_stream *stream = parse_or_fail(cases[i].text);
        CLEANUP(mem_free) char *tree = notation(stream, false);
        assert_string_equal(tree, cases[i].tree);
    }
}

static void test_positions(void **state)
{
    (void)state;
    CLEANUP(yaml_stream_free)
    struct yaml_stream *stream =
        parse_or_fail("# c\na: 1\nb:\n  - \"x\"\n  - {ä: ü, z: 3}\n---\n  late\n");
    CLEANUP(mem_free) char *tree = notation(stream, true);
    assert_string_equal(tree, "@2:1 {@2:1 a=@2:4 1 @3:1 b=@4:3 [@4:5 \"x\" "
                              "@5:5 {@5:6 ä=@5:9 ü @5:12 z=@5:15 3}]} | @7:3 late");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error; /* after "f.yaml:" */
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n",
         "3:1: the name 'a' stands here a second time; the first is in line 1"},
        {"x:\n  {b: 1, \"b\": 2}\n",
         "2:10: the name 'b' stands here a second time; the first is in line 2"},
        {"c: 1\nc: 1\na: 1\na: 1\n",
         "4:1: the name 'a' stands here a second time; the first is in line 3"},
        {"a: &x 1\n", "1:4: anchors (&name) are not supported; write the value where it is needed"},
        {"a: &x [1]\n",
         "1:4: anchors (&name) are not supported; write the value where it is needed"},
        {"&x {a: 1}\n",
         "1:1: anchors (&name) are not supported; write the value where it is needed"},
        {"a: *x\n", "1:4: aliases (*name) are not supported; write the value where it is needed"},
        {"*x : a\n", "1:1: aliases (*name) are not supported; write the value where it is needed"},
        {"a: !mine 1\n", "1:4: this tag (!name) is not supported; remove it"},
        {"a: !!binary aGk=\n", "1:4: this tag (!name) is not supported; remove it"},
        {"a: !!set {b}\n", "1:4: this tag (!name) is not supported; remove it"},
        {"a: !!map [b]\n", "1:4: this tag (!name) is not supported; remove it"},
        {"a: !!seq x\n", "1:4: this tag (!name) is not supported; remove it"},
        {"%TAG !e! tag:example.com,2000:\n---\n!e!x 1\n",
         "3:1: this tag (!name) is not supported; remove it"},
        {"\"a\\0b\"\n", "1:1: this text holds a NUL character"},
        {"? [a]\n: b\n", "1:3: the name of a mapping must be a text"},
        {"{a: 1}: b\n", "1:1: the name of a mapping must be a text"},
        {"a: b: c\n", "1:5: mapping values are not allowed in this context"},
        {"a: 'x\n", "2:1: found unexpected end of stream while scanning a quoted scalar"},
        {"a:\n\t- 1\n", "2:1: found character that cannot start any token while scanning for the "
                        "next token"},
        {"[a\n", "2:1: did not find expected ',' or ']' while parsing a flow sequence"},
        {"- a\nb\n", "3:1: could not find expected ':' while scanning a simple key"},
        {"- a\nb: 1\n",
         "2:1: did not find expected '-' indicator while parsing a block collection"},
        {"a: \"\\q\"\n", "1:5: found unknown escape character while parsing a quoted scalar"},
        {"%YAML 3.0\n---\na\n", "1:1: found incompatible YAML document"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct yaml_stream *stream = NULL;
        struct error error = {0};
        CLEANUP(mem_free) char *expected = mem_format("f.yaml:%s", cases[i].error);
        assert_int_equal(
            yaml_parse("f.yaml", cases[i].text, strlen(cases[i].text), &stream, &error), ERR_INPUT);
        assert_string_equal(error.text, expected);
        assert_null(stream);
        assert_int_equal(yaml_parse("f.yaml", cases[i].text, strlen(cases[i].text), &stream, NULL),
                         ERR_INPUT);
    }
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t text_bytes;
        const char *error;
    } cases[] = {
        {"a: \xff", 4, "f.yaml: byte 3: invalid leading UTF-8 octet"},
        {"a: \xc3", 4, "f.yaml: byte 3: incomplete UTF-8 octet sequence"},
        {"a: \xc3x", 5, "f.yaml: byte 4: invalid trailing UTF-8 octet"},
        {"a: \xed\xa0\x80", 6, "f.yaml: byte 3: invalid Unicode character"},
        {"a: \x01", 4, "f.yaml: byte 3: control characters are not allowed"},
        {"a: \0", 4, "f.yaml: byte 3: control characters are not allowed"},
        {"\xff\xfe"
         "a\0",
         4, "f.yaml: byte 0: invalid leading UTF-8 octet"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct yaml_stream *stream = NULL;
        struct error error = {0};
        assert_int_equal(yaml_parse("f.yaml", cases[i].text, cases[i].text_bytes, &stream, &error),
                         ERR_INPUT);
        assert_string_equal(error.text, cases[i].error);
    }
}

/* A text of `count` times `piece`, between `start` and `end`; owned. */
static char *repeated(const char *start, const char *piece, size_t count, const char *end)
{
    size_t piece_bytes = strlen(piece);
    char *text = mem_alloc(strlen(start) + count * piece_bytes + strlen(end) + 1);
    size_t used = strlen(start);
    memcpy(text, start, used);
    for (size_t i = 0; i < count; i++, used += piece_bytes)
        memcpy(text + used, piece, piece_bytes);
    memcpy(text + used, end, strlen(end));
    return text;
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        const char *piece;
        size_t count;
        const char *end;
        const char *error; /* "": valid */
    } cases[] = {
        {"", "[", YAML_DEPTH_MAX, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", ""},
        {"", "[", YAML_DEPTH_MAX + 1, "", "f.yaml:1:33: nested too deep"},
        {"", "{a: ", YAML_DEPTH_MAX + 1, "", "f.yaml:1:129: nested too deep"},
        {"", "- ", YAML_DEPTH_MAX + 1, "", "f.yaml:1:65: nested too deep"},
        {"", "[", 500000, "", "f.yaml:1:33: nested too deep"},
        {"", "- 1\n", YAML_NODES_MAX - 1, "", ""},
        {"", "- 1\n", YAML_NODES_MAX, "", "f.yaml:50000:3: too many values in one file"},
        /* libyaml would compare each with all before it. */
        {"\"a\n", "%\n", 16, "\"", ""},
        {"\"a\n", "%\n", 17, "\"", "f.yaml: more than 16 lines begin with %; indent them"},
        {"a\r", "%\xe2\x80\xa8", 17, "", "f.yaml: more than 16 lines begin with %; indent them"},
        {"a\xc2\x85", "%\xc2\x85", 17, "", "f.yaml: more than 16 lines begin with %; indent them"},
        {"", "- 5%\n- 'x%'\n", 17, "", ""},
        {"", "---\n", 1000, "", ""},
        {"", "---\n", 1001, "", "f.yaml:1002:1: too many documents in one file"},
        {"a: \"", "x", YAML_TEXT_MAX_BYTES - 5, "\"", ""},
        {"a: \"", "x", YAML_TEXT_MAX_BYTES - 4, "\"",
         "f.yaml: 1048577 bytes, more than the 1048576 that are read"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error = {0};
        CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
        CLEANUP(mem_free)
        char *text = repeated(cases[i].start, cases[i].piece, cases[i].count, cases[i].end);
        int code = yaml_parse("f.yaml", text, strlen(text), &stream, &error);
        assert_string_equal(error.text, cases[i].error);
        assert_int_equal(code, cases[i].error[0] == '\0' ? 0 : ERR_TOO_LARGE);
    }
}

static void test_get_and_check_names(void **state)
{
    (void)state;
    static const char *const names[] = {"include", "exclude", "minExamples", NULL};
    static const struct {
        const char *text;
        const char *error; /* "": valid */
    } cases[] = {
        {"include: 1\nminExamples: 2\n", ""},
        {"{}", ""},
        {"---\n", ""},
        {"include: 1\nexlude: 2\n", "f.yaml:2:1: unknown name 'exlude'; did you mean 'exclude'?"},
        {"a: 2\n", "f.yaml:1:1: unknown name 'a'; known here: include, exclude, minExamples"},
        {"[a]\n", "f.yaml:1:1: a list where a mapping is needed"},
        {"a\n", "f.yaml:1:1: a text where a mapping is needed"},
        {"~\n", "f.yaml:1:1: nothing where a mapping is needed"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error = {0};
        CLEANUP(yaml_stream_free) struct yaml_stream *stream = parse_or_fail(cases[i].text);
        int code = yaml_check_names(stream, yaml_document(stream, 0), names, &error);
        assert_string_equal(error.text, cases[i].error);
        assert_int_equal(code, cases[i].error[0] == '\0' ? 0 : ERR_INPUT);
    }
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = parse_or_fail("a: {b: c}\nd: [e]\n");
    const struct yaml_node *root = yaml_document(stream, 0);
    assert_string_equal(yaml_get(yaml_get(root, "a"), "b")->text, "c");
    assert_null(yaml_get(root, "e"));
    assert_null(yaml_get(yaml_get(root, "d"), "e"));
    assert_null(yaml_get(yaml_get(root, "gone"), "e"));
    yaml_stream_free(NULL);
}

/* What a case of the readers asks for. */
enum reader { READ_TEXT, READ_INT, READ_NUMBER, READ_BOOL };

/* Reads `node` by one of the readers and writes what came out as text. */
static int read_as(enum reader reader, const struct yaml_stream *stream,
                   const struct yaml_node *node, char ret_text[64], struct error *error)
{
    const char *text = NULL;
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    int code = reader == READ_TEXT     ? yaml_read_text(stream, node, &text, error)
               : reader == READ_INT    ? yaml_read_int(stream, node, -5, 1000, &integer, error)
               : reader == READ_NUMBER ? yaml_read_number(stream, node, 0, 1, &number, error)
                                       : yaml_read_bool(stream, node, &truth, error);
    if (reader == READ_TEXT)
        (void)snprintf(ret_text, 64, "%s", text == NULL ? "-" : text);
    else if (reader == READ_INT)
        (void)snprintf(ret_text, 64, "%lld", (long long)integer);
    else if (reader == READ_NUMBER)
        (void)snprintf(ret_text, 64, "%g", number);
    else
        (void)snprintf(ret_text, 64, "%s", truth ? "true" : "false");
    return code;
}

static void test_readers(void **state)
{
    (void)state;
    static const struct {
        enum reader reader;
        const char *value; /* of the name `v` */
        const char *read;  /* NULL: refused */
        const char *error; /* after "f.yaml:1:4: " */
    } cases[] = {
        {READ_TEXT, "abc", "abc", ""},
        {READ_TEXT, "5", "5", ""},
        {READ_TEXT, "\"\"", "", ""},
        {READ_TEXT, "\"null\"", "null", ""},
        {READ_TEXT, "!!str ~", "~", ""},
        {READ_TEXT, "null", NULL, "nothing where a text is needed"},
        {READ_TEXT, "~", NULL, "nothing where a text is needed"},
        {READ_TEXT, "[a]", NULL, "a list where a text is needed"},
        {READ_TEXT, "{a: b}", NULL, "a mapping where a text is needed"},
        {READ_INT, "0", "0", ""},
        {READ_INT, "-5", "-5", ""},
        {READ_INT, "1000", "1000", ""},
        {READ_INT, "1001", NULL, "1001 is out of bounds; it must be -5 to 1000"},
        {READ_INT, "-6", NULL, "-6 is out of bounds; it must be -5 to 1000"},
        {READ_INT, "99999999999999999999", NULL,
         "99999999999999999999 is out of bounds; it must be -5 to 1000"},
        {READ_INT, "\"5\"", NULL,
         "a quoted text where a whole number is needed; remove the quotes"},
        {READ_INT, "five", NULL, "'five' is not a whole number"},
        {READ_INT, "5.0", NULL, "'5.0' is not a whole number"},
        {READ_INT, "010", NULL, "'010' is not a whole number"},
        {READ_INT, "0x10", NULL, "'0x10' is not a whole number"},
        {READ_INT, "1_000", NULL, "'1_000' is not a whole number"},
        {READ_INT, "+5", NULL, "'+5' is not a whole number"},
        {READ_INT, "1:30", NULL, "'1:30' is not a whole number"},
        {READ_INT, "5 5", NULL, "'5 5' is not a whole number"},
        {READ_INT, "null", NULL, "nothing where a whole number is needed"},
        {READ_INT, "[5]", NULL, "a list where a whole number is needed"},
        {READ_NUMBER, "0.5", "0.5", ""},
        {READ_NUMBER, "1", "1", ""},
        {READ_NUMBER, "5e-1", "0.5", ""},
        {READ_NUMBER, "0.05E+1", "0.5", ""},
        {READ_NUMBER, "1.01", NULL, "1.01 is out of bounds; it must be 0 to 1"},
        {READ_NUMBER, "-0.1", NULL, "-0.1 is out of bounds; it must be 0 to 1"},
        {READ_NUMBER, "1e999", NULL, "1e999 is out of bounds; it must be 0 to 1"},
        {READ_NUMBER, ".5", NULL, "'.5' is not a number"},
        {READ_NUMBER, "5.", NULL, "'5.' is not a number"},
        {READ_NUMBER, "1e", NULL, "'1e' is not a number"},
        {READ_NUMBER, ".nan", NULL, "'.nan' is not a number"},
        {READ_NUMBER, ".inf", NULL, "'.inf' is not a number"},
        {READ_NUMBER, "nan", NULL, "'nan' is not a number"},
        {READ_NUMBER, "'0.5'", NULL, "a quoted text where a number is needed; remove the quotes"},
        {READ_BOOL, "true", "true", ""},
        {READ_BOOL, "false", "false", ""},
        {READ_BOOL, "yes", NULL, "'yes' where true or false is needed"},
        {READ_BOOL, "True", NULL, "'True' where true or false is needed"},
        {READ_BOOL, "1", NULL, "'1' where true or false is needed"},
        {READ_BOOL, "\"true\"", NULL,
         "a quoted text where true or false is needed; remove the quotes"},
        {READ_BOOL, "{}", NULL, "a mapping where true or false is needed"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char read[64];
        struct error error = {0};
        CLEANUP(mem_free) char *text = mem_format("v: %s\n", cases[i].value);
        CLEANUP(mem_free)
        char *expected =
            mem_format("%s%s", cases[i].read == NULL ? "f.yaml:1:4: " : "", cases[i].error);
        CLEANUP(yaml_stream_free) struct yaml_stream *stream = parse_or_fail(text);
        const struct yaml_node *node = yaml_get(yaml_document(stream, 0), "v");
        int code = read_as(cases[i].reader, stream, node, read, &error);
        assert_string_equal(error.text, expected);
        assert_int_equal(code, cases[i].read == NULL ? ERR_INPUT : 0);
        if (cases[i].read != NULL)
            assert_string_equal(read, cases[i].read);
    }
}

static void test_absent_nodes(void **state)
{
    (void)state;
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = parse_or_fail("a:\nb: ''\n");
    const struct yaml_node *root = yaml_document(stream, 0);
    char read[64];
    struct error error = {0};
    assert_true(yaml_is_null(NULL));
    assert_true(yaml_is_null(yaml_get(root, "a")));
    assert_false(yaml_is_null(yaml_get(root, "b")));
    assert_false(yaml_is_null(root));
    assert_int_equal(read_as(READ_INT, stream, NULL, read, &error), ERR_INPUT);
    assert_string_equal(error.text, "f.yaml: nothing where a whole number is needed");
    assert_int_equal(yaml_error(stream, yaml_get(root, "b"), &error, ERR_DENIED, "no %d", 5),
                     ERR_DENIED);
    assert_string_equal(error.text, "f.yaml:2:4: no 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),    cmocka_unit_test(test_positions),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_get_and_check_names),
        cmocka_unit_test(test_readers),  cmocka_unit_test(test_absent_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
