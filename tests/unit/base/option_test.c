/*
 * Tests of base/option.c: which source wins, and every complaint by its exact words. What a size, a duration and a
 * share may be: option_value_test.c; what people read: option_help_test.c.
 */
#include "base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "tests/unit/base/option_program.h"

/* Writes a file with this content into a new folder; the path is static. */
static const char *write_file(const char *content)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/nodag-option-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    (void)close(fd);
    return path;
}

static void test_defaults(void **state)
{
    (void)state;
    struct test_parse got;
    parse(&got, "");
    assert_int_equal(got.code, 0);
    assert_int_equal(got.result, OPTION_RUN);
    assert_int_equal(got.first, 1);
    assert_null(got.settings.text);
    assert_string_equal(got.settings.choice, "json");
    assert_null(got.settings.file);
    assert_int_equal(got.settings.integer, 5);
    assert_int_equal(got.settings.size_bytes, 25 << 20);
    assert_int_equal(got.settings.duration_ms, 10000);
    assert_true(got.settings.share == 0);
    assert_true(got.settings.number == 1.5);
    assert_false(got.settings.flag);
    assert_true(got.settings.on);
    assert_int_equal(got.settings.list.count, 2);
    assert_string_equal(got.settings.list.items[1], "b");
}

static void test_all_ways_to_write_a_flag(void **state)
{
    (void)state;
    struct test_parse got;
    parse(&got, "one --text=a=b -n -7 --size 2KiB -vo --drain-timeout 1m30s --share=5% --flag=no "
                "--number 7 -lx --list y --list=z=1;2 --choice html -f - --file=-x --text _ -- -n");
    if (got.code != 0)
        fail_msg("%s", got.error.text);
    assert_string_equal(got.settings.text, "");
    assert_int_equal(got.settings.integer, -7);
    assert_int_equal(got.settings.size_bytes, 2048);
    assert_false(got.settings.flag);
    assert_true(got.settings.on);
    assert_int_equal(got.settings.duration_ms, 90000);
    assert_true(got.settings.share == 0.05);
    assert_true(got.settings.number == 7);
    assert_string_equal(got.settings.choice, "html");
    assert_string_equal(got.settings.file, "-x");
    assert_int_equal(got.settings.list.count, 3);
    assert_string_equal(got.settings.list.items[0], "x");
    assert_string_equal(got.settings.list.items[2], "z=1;2");
    assert_int_equal(got.first, got.argc - 2);
    assert_string_equal(got.argv[got.first], "one");
    assert_string_equal(got.argv[got.first + 1], "-n");

    parse(&got, "--no-on -v - a");
    assert_int_equal(got.code, 0);
    assert_false(got.settings.on);
    assert_true(got.settings.flag);
    assert_string_equal(got.argv[got.first], "-");
    assert_string_equal(got.argv[got.first + 1], "a");
}

static void test_complaints(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        const char *error;
    } cases[] = {
        {"--txt x", "unknown option --txt; did you mean --text?"},
        {"--helpp", "unknown option --helpp; did you mean --help?"},
        {"--frobnicate=5", "unknown option --frobnicate"},
        {"--no-text", "unknown option --no-text"},
        {"--", ""},
        {"-n -10 --size 1024 --drain-timeout 1s --number 1", ""}, /* bounds are valid */
        {"-n 10 --size 1GiB --drain-timeout 1h30m", ""},
        {"-x", "unknown option -x"},
        {"-vx", "unknown option -x"},
        {"--text", "--text needs a value: --text TEXT"},
        {"--list", "--list needs a value: --list NAME=VALUE"},
        {"--choice", "--choice needs a value: --choice json|text|html"},
        {"-vn", "-n needs a value: -n N"},
        {"--choice jsn", "--choice: 'jsn' (on the command line) is not one of json|text|html; did "
                         "you mean 'json'?"},
        {"--choice yaml", "--choice: 'yaml' (on the command line) is not one of json|text|html"},
        {"--choice json|text",
         "--choice: 'json|text' (on the command line) is not one of json|text|html"},
        {"--file=", "--file: '' (on the command line) is not a path; name a file"},
        {"--secret-file=",
         "--secret-file: '' (on the command line) is not a path; name the file that holds the "
         "secret"},
        {"--integer 11",
         "--integer: '11' (on the command line) is out of bounds; it must be -10 to 10"},
        {"-n -11", "--integer: '-11' (on the command line) is out of bounds; it must be -10 to 10"},
        {"-n 1.0",
         "--integer: '1.0' (on the command line) is not a whole number; write for example 12"},
        {"-n 99999999999999999999",
         "--integer: '99999999999999999999' (on the command line) is not a whole number; write for "
         "example 12"},
        {"--size 1023",
         "--size: '1023' (on the command line) is out of bounds; it must be 1KiB to 1GiB"},
        {"--size big",
         "--size: 'big' (on the command line) is not a size; write for example 512, 64KiB or 25MB"},
        {"--drain-timeout 2h",
         "--drain-timeout: '2h' (on the command line) is out of bounds; it must be 1s to 1h30m"},
        {"--drain-timeout 10",
         "--drain-timeout: '10' (on the command line) is not a time; write for example 250ms, 5s, "
         "1h30m or 30d"},
        {"--share 5",
         "--share: '5' (on the command line) is not a share; write for example 5% or 0.05"},
        {"--number 0.5",
         "--number: '0.5' (on the command line) is out of bounds; it must be at least 1"},
        {"--number 1e3",
         "--number: '1e3' (on the command line) is not a number; write for example 0.5"},
        {"--flag=maybe",
         "--flag: 'maybe' (on the command line) is not a truth value; write true or false"},
        {"a b c", "unexpected argument 'c'"},
        {"-n 11 -n 3",
         "--integer: '11' (on the command line) is out of bounds; it must be -10 to 10"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct test_parse got;
        parse(&got, cases[i].arguments);
        assert_string_equal(got.error.text, cases[i].error);
        assert_int_equal(got.code, cases[i].error[0] == '\0' ? 0 : ERR_USAGE);
    }
}

static void test_lists_are_bounded(void **state)
{
    (void)state;
    char arguments[4 * (OPTION_LIST_MAX + 1) + 1] = "";
    struct test_parse got;
    for (size_t i = 0; i < OPTION_LIST_MAX; i++)
        memcpy(arguments + 4 * i, "-lx ", sizeof("-lx "));
    parse(&got, arguments);
    assert_int_equal(got.code, 0);
    assert_int_equal(got.settings.list.count, OPTION_LIST_MAX);
    memcpy(arguments + strlen(arguments), "-ly", sizeof("-ly"));
    parse(&got, arguments);
    assert_int_equal(got.code, ERR_USAGE);
    assert_string_equal(got.error.text, "--list: more than 64 values (on the command line)");
}

static void test_stronger_sources_win(void **state)
{
    (void)state;
    CLEANUP(mem_free)
    char *path = mem_copy_text(write_file("# a comment\n"
                                          "\n"
                                          "  integer = 1\r\n"
                                          "text=from file # no comment\n"
                                          "drain-timeout = 2s\n"
                                          "list = f1;x\n"
                                          "list = f2\n"
                                          "flag = yes"));
    CLEANUP(mem_free) char *arguments = mem_format("--config %s", path);
    CLEANUP(mem_free) char *more = mem_format("--config %s -n 3 -l c", path);
    struct test_parse got;
    parse(&got, arguments);
    if (got.code != 0)
        fail_msg("%s", got.error.text);
    assert_int_equal(got.settings.integer, 1);
    assert_string_equal(got.settings.text, "from file # no comment");
    assert_int_equal(got.settings.duration_ms, 2000);
    assert_true(got.settings.flag);
    assert_int_equal(got.settings.list.count, 2);
    assert_string_equal(got.settings.list.items[0], "f1;x");

    assert_int_equal(setenv("NODAG_INTEGER", "2", 1), 0);
    assert_int_equal(setenv("NODAG_DRAIN_TIMEOUT", "", 1), 0); /* counts as absent */
    assert_int_equal(setenv("NODAG_LIST", "e1;;e2;", 1), 0);
    parse(&got, arguments);
    assert_int_equal(got.settings.integer, 2);
    assert_int_equal(got.settings.duration_ms, 2000);
    assert_int_equal(got.settings.list.count, 2);
    assert_string_equal(got.settings.list.items[1], "e2");

    parse(&got, more);
    assert_int_equal(got.settings.integer, 3);
    assert_int_equal(got.settings.list.count, 1);
    assert_string_equal(got.settings.list.items[0], "c");

    assert_int_equal(setenv("NODAG_CONFIG", path, 1), 0);
    parse(&got, "");
    assert_string_equal(got.settings.text, "from file # no comment");
    assert_int_equal(unlink(path), 0);
}

static void test_complaints_name_their_source(void **state)
{
    (void)state;
    struct test_parse got;
    assert_int_equal(setenv("NODAG_INTEGER", "many", 1), 0);
    parse(&got, "-n 3"); /* a bad value is found even where it is overridden */
    assert_int_equal(got.code, ERR_USAGE);
    assert_string_equal(got.error.text,
                        "--integer: 'many' (in NODAG_INTEGER) is not a whole number; "
                        "write for example 12");
    assert_int_equal(unsetenv("NODAG_INTEGER"), 0);

    static const struct {
        const char *content;
        const char *error; /* after the path */
    } cases[] = {
        {"integer = 4\ninteger = 5\n", ":2: 'integer' is set a second time"},
        {"\nintegr = 4\n", ":2: unknown option 'integr'; did you mean 'integer'?"},
        {"frobnicate = 4\n", ":1: unknown option 'frobnicate'"},
        {"integer 4\n", ":1: no '=' in this line; write name = value"},
        {"config = other\n", ":1: 'config' cannot stand in a configuration file"},
        {"= 5\n", ":1: unknown option ''"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *path = mem_copy_text(write_file(cases[i].content));
        CLEANUP(mem_free) char *arguments = mem_format("--config=%s", path);
        CLEANUP(mem_free) char *expected = mem_format("%s%s", path, cases[i].error);
        parse(&got, arguments);
        assert_int_equal(got.code, ERR_USAGE);
        assert_string_equal(got.error.text, expected);
        assert_int_equal(unlink(path), 0);
    }
    CLEANUP(mem_free) char *path = mem_copy_text(write_file("\n\n size = 5\n"));
    CLEANUP(mem_free) char *arguments = mem_format("--config=%s", path);
    CLEANUP(mem_free)
    char *expected =
        mem_format("--size: '5' (in %s:3) is out of bounds; it must be 1KiB to 1GiB", path);
    parse(&got, arguments);
    assert_string_equal(got.error.text, expected);
    assert_int_equal(unlink(path), 0);

    parse(&got, "--config /nonexistent/nodag.conf");
    assert_int_equal(got.code, ERR_USAGE);
    assert_string_equal(got.error.text,
                        "--config: cannot read /nonexistent/nodag.conf: No such file or directory");
}

static void test_required_and_positionals(void **state)
{
    (void)state;
    static const struct option_row row = {.name = "brokers",
                                          .kind = OPTION_TEXT,
                                          .value_name = "LIST",
                                          .required = true,
                                          .help = "B."};
    static const struct option_program program = {.name = "nodag x",
                                                  .summary = "s",
                                                  .usage = "TOPIC",
                                                  .rows = &row,
                                                  .row_count = 1,
                                                  .positional_least = 1,
                                                  .positional_most = -1};
    static const struct {
        int argc;
        char *argv[5];
        const char *error;
    } cases[] = {
        {2, {"x", "a"}, "--brokers is missing: give --brokers LIST or set NODAG_BROKERS"},
        {3, {"x", "--brokers", "b"}, "an argument is missing: nodag x TOPIC"},
        {5, {"x", "--brokers", "b", "c", "d"}, ""},
        {0, {NULL}, "--brokers is missing: give --brokers LIST or set NODAG_BROKERS"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *argv[5];
        const char *brokers = NULL;
        int first = 0;
        enum option_result result = OPTION_EXIT;
        struct error error = {0};
        memcpy(argv, cases[i].argv, sizeof(argv));
        int code =
            option_parse(&program, cases[i].argc, argv, (void *)&brokers, &first, &result, &error);
        assert_int_equal(code, cases[i].error[0] == '\0' ? 0 : ERR_USAGE);
        assert_string_equal(error.text, cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, clear_environment),
        cmocka_unit_test_setup(test_all_ways_to_write_a_flag, clear_environment),
        cmocka_unit_test_setup(test_complaints, clear_environment),
        cmocka_unit_test_setup(test_lists_are_bounded, clear_environment),
        cmocka_unit_test_setup(test_stronger_sources_win, clear_environment),
        cmocka_unit_test_setup(test_complaints_name_their_source, clear_environment),
        cmocka_unit_test_setup(test_required_and_positionals, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
