/*
 * Tests of base/option_help.c: what --help, --version and --list-options print, the whole of a --help at 80 columns,
 * and the complaint about a bad command line.
 */
#include "base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/base/option_program.h"

/* Runs a parse whose output on `fd` (1 or 2) is returned; static. */
static const char *captured(int fd, const char *arguments, struct test_parse *got)
{
    static char text[8192];
    FILE *stream = fd == STDOUT_FILENO ? stdout : stderr;
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stream);
    int saved = dup(fd);
    assert_true(saved >= 0 && dup2(fileno(file), fd) >= 0);
    parse(got, arguments);
    if (fd == STDERR_FILENO)
        assert_int_equal(option_complain(&test_program, &got->error), EXIT_STATUS_USAGE);
    (void)fflush(stream);
    assert_true(dup2(saved, fd) >= 0);
    (void)close(saved);
    rewind(file);
    size_t got_bytes = fread(text, 1, sizeof(text) - 1, file);
    text[got_bytes] = '\0';
    (void)fclose(file);
    return text;
}

static void test_what_every_program_answers(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        const char *start;
    } cases[] = {
        {"--help", "nodag test - tries the options\n"},
        {"-h", "nodag test - tries the options\n"},
        {"-vh", "nodag test - tries the options\n"},
        {"--flag --help --nonsense", "nodag test - tries the options\n"},
        {"--version", "nodag test " NODAG_VERSION "\n"},
        {"--list-options", "--text\n--choice\n--file\n--secret-file\n--integer\n--size\n"
                           "--drain-timeout\n--share\n--number\n--flag\n--no-flag\n--on\n--no-on\n"
                           "--list\n--config\n--help\n--version\n--list-options\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct test_parse got;
        const char *output = captured(STDOUT_FILENO, cases[i].arguments, &got);
        assert_int_equal(got.code, 0);
        assert_int_equal(got.result, OPTION_EXIT);
        assert_int_equal(got.first, got.argc);
        assert_int_equal(strncmp(output, cases[i].start, strlen(cases[i].start)), 0);
    }
    struct test_parse got;
    assert_string_equal(captured(STDERR_FILENO, "--txt", &got),
                        "nodag test: unknown option --txt; did you mean --text?\n"
                        "Try 'nodag test --help'.\n");
}

/* The whole of it, at 80 columns. */
static const char expected_help[] =
    "nodag test - tries the options\n"
    "\n"
    "Usage:\n"
    "  nodag test [OPTION…] TOPIC [MORE]\n"
    "\n"
    "This is a paragraph that is long enough to be wrapped at the width of a page,\n"
    "which is eighty columns here.\n"
    "\n"
    "  stands = as it is\n"
    "\n"
    "Another paragraph.\n"
    "\n"
    "Texts:\n"
    "  -t, --text TEXT              A text. [NODAG_TEXT]\n"
    "      --choice json|text|html  How it is printed. [default: json; NODAG_CHOICE]\n"
    "  -f, --file FILE              A file. [NODAG_FILE]\n"
    "      --secret-file FILE       A file with a secret. [NODAG_SECRET_FILE]\n"
    "\n"
    "Numbers:\n"
    "  -n, --integer N              A whole number. [default: 5; -10 to 10;\n"
    "                               NODAG_INTEGER]\n"
    "      --size SIZE              Largest body that is read before the answer is\n"
    "                               413; raise it only where a proxy in front allows\n"
    "                               as much. [default: 25MiB; 1KiB to 1GiB;\n"
    "                               NODAG_SIZE]\n"
    "      --drain-timeout TIME     How long work in flight may take after SIGTERM.\n"
    "                               [default: 10s; 1s to 1h30m; NODAG_DRAIN_TIMEOUT]\n"
    "      --share PERCENT          A share. [NODAG_SHARE]\n"
    "      --number NUMBER          A number. [default: 1.5; at least 1;\n"
    "                               NODAG_NUMBER]\n"
    "\n"
    "Flags:\n"
    "  -v, --flag                   Off by default. [NODAG_FLAG]\n"
    "      --no-on                  Switches off what is on by default. [NODAG_ON]\n"
    "  -l, --list NAME=VALUE        Several values. [may be repeated; default: a;b;\n"
    "                               NODAG_LIST]\n"
    "      --config FILE            A file with options. [NODAG_CONFIG]\n"
    "\n"
    "Help:\n"
    "  -h, --help                   Prints this and ends.\n"
    "      --version                Prints the version and ends.\n"
    "      --list-options           Prints the flags, one a line, for shell\n"
    "                               completion.\n"
    "\n"
    "Settings come from flags, else from the environment variables named in brackets\n"
    "(several values separated by `;`), else from the file of --config (lines `name =\n"
    "value`, and lines that begin with #), else they are the defaults.\n"
    "\n"
    "Examples:\n"
    "  nodag test --flag topic\n"
    "  nodag test -n 3 topic\n";

static void test_help(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    option_print_help(&test_program, stream);
    (void)fclose(stream);
    assert_string_equal(text, expected_help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_every_program_answers, clear_environment),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
