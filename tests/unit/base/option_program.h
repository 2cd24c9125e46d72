/*
 * The program whose options the tests of base/option.c and option_help.c parse: one row for each kind of value, and a
 * parse of a line of arguments.
 *
 * Invariant: the settings are filled with rubbish before each parse, so that a default that is not set is seen.
 */
#ifndef NODAG_TESTS_UNIT_BASE_OPTION_PROGRAM_H
#define NODAG_TESTS_UNIT_BASE_OPTION_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/option.h"

/* Most arguments of a case. */
#define TEST_ARGUMENTS_MAX 80

/* One member for each kind. */
struct test_settings {
    const char *text;
    const char *choice;
    const char *file;
    const char *secret_file;
    int64_t integer;
    int64_t size_bytes;
    int64_t duration_ms;
    double share;
    double number;
    bool flag;
    bool on;
    struct option_list list;
    const char *config;
};

static const struct option_row test_rows[] = {
    {.name = "text",
     .letter = 't',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct test_settings, text),
     .group = "Texts",
     .help = "A text."},
    {.name = "choice",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct test_settings, choice),
     .default_value = "json",
     .choices = "json|text|html",
     .help = "How it is printed."},
    {.name = "file",
     .letter = 'f',
     .kind = OPTION_FILE,
     .offset = offsetof(struct test_settings, file),
     .help = "A file."},
    {.name = "secret-file",
     .kind = OPTION_SECRET_FILE,
     .offset = offsetof(struct test_settings, secret_file),
     .help = "A file with a secret."},
    {.name = "integer",
     .letter = 'n',
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct test_settings, integer),
     .default_value = "5",
     .least = -10,
     .most = 10,
     .group = "Numbers",
     .help = "A whole number."},
    {.name = "size",
     .kind = OPTION_BYTES,
     .offset = offsetof(struct test_settings, size_bytes),
     .default_value = "25MiB",
     .least = 1024,
     .most = INT64_C(1) << 30,
     .help = "Largest body that is read before the answer is 413; raise it only where a proxy in "
             "front allows as much."},
    {.name = "drain-timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct test_settings, duration_ms),
     .default_value = "10s",
     .least = 1000,
     .most = 5400000,
     .help = "How long work in flight may take after SIGTERM."},
    {.name = "share",
     .kind = OPTION_PERCENT,
     .offset = offsetof(struct test_settings, share),
     .help = "A share."},
    {.name = "number",
     .kind = OPTION_NUMBER,
     .offset = offsetof(struct test_settings, number),
     .least = 1,
     .most = INT64_MAX,
     .default_value = "1.5",
     .help = "A number."},
    {.name = "flag",
     .letter = 'v',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct test_settings, flag),
     .group = "Flags",
     .help = "Off by default."},
    {.name = "on",
     .letter = 'o',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct test_settings, on),
     .default_value = "true",
     .help = "Switches off what is on by default."},
    {.name = "list",
     .letter = 'l',
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct test_settings, list),
     .default_value = "a;b",
     .value_name = "NAME=VALUE",
     .help = "Several values."},
    {.name = "config",
     .kind = OPTION_FILE,
     .offset = offsetof(struct test_settings, config),
     .help = "A file with options."},
};

static const struct option_program test_program = {
    .name = "nodag test",
    .summary = "tries the options",
    .usage = "[OPTION…] TOPIC [MORE]",
    .description = "This is a paragraph that is long enough to be wrapped at the width of a page, "
                   "which is eighty columns here.\n\n  stands = as it is\n\nAnother paragraph.",
    .examples = "nodag test --flag topic\nnodag test -n 3 topic",
    .rows = test_rows,
    .row_count = ARRAY_COUNT(test_rows),
    .positional_least = 0,
    .positional_most = 2,
};

/* What one parse gave. */
struct test_parse {
    struct test_settings settings;
    char *argv[TEST_ARGUMENTS_MAX + 1];
    int argc;
    int first;
    enum option_result result;
    int code;
    struct error error;
};

/* Parses arguments that are separated by one space each (`_` stands for an empty argument). */
static inline void parse(struct test_parse *parse, const char *arguments)
{
    static char copy[4096]; /* settings point into it until the next parse */
    memset(parse, 0, sizeof(*parse));
    memset(&parse->settings, 0x5a, sizeof(parse->settings)); /* defaults must overwrite */
    (void)snprintf(copy, sizeof(copy), "nodag-test %s", arguments);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(parse->argc < TEST_ARGUMENTS_MAX);
        if (strcmp(word, "_") == 0)
            word[0] = '\0';
        parse->argv[parse->argc++] = word;
    }
    parse->code = option_parse(&test_program, parse->argc, parse->argv, &parse->settings,
                               &parse->first, &parse->result, &parse->error);
}

/* A setup: no variable of the environment of the test run reaches a case. */
static inline int clear_environment(void **state)
{
    (void)state;
    return clearenv();
}

#endif
