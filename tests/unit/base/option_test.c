/*
 * Tests of base/option.c, option_value.c and option_help.c: what each kind of value may be, which source wins, every
 * complaint by its exact words, and the whole of a --help.
 */
#include "base/option.h"

#include <fcntl.h>
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
    {.name = "text", .letter = 't', .kind = OPTION_TEXT,
     .offset = offsetof(struct test_settings, text), .group = "Texts",
     .help = "A text."},
    {.name = "choice", .kind = OPTION_CHOICE, .offset = offsetof(struct test_settings, choice),
     .default_value = "json", .choices = "json|text|html", .help = "How it is printed."},
    {.name = "file", .letter = 'f', .kind = OPTION_FILE,
     .offset = offsetof(struct test_settings, file), .help = "A file."},
    {.name = "secret-file", .kind = OPTION_SECRET_FILE,
     .offset = offsetof(struct test_settings, secret_file), .help = "A file with a secret."},
    {.name = "integer", .letter = 'n', .kind = OPTION_INTEGER,
     .offset = offsetof(struct test_settings, integer), .default_value = "5", .least = -10,
     .most = 10, .group = "Numbers", .help = "A whole number."},
    {.name = "size", .kind = OPTION_BYTES, .offset = offsetof(struct test_settings, size_bytes),
     .default_value = "25MiB", .least = 1024, .most = INT64_C(1) << 30,
     .help = "Largest body that is read before the answer is 413; raise it only where a proxy in "
             "front allows as much."},
    {.name = "drain-timeout", .kind = OPTION_DURATION,
     .offset = offsetof(struct test_settings, duration_ms), .default_value = "10s", .least = 1000,
     .most = 5400000, .help = "How long work in flight may take after SIGTERM."},
    {.name = "share", .kind = OPTION_PERCENT, .offset = offsetof(struct test_settings, share),
     .help = "A share."},
    {.name = "number", .kind = OPTION_NUMBER, .offset = offsetof(struct test_settings, number),
     .least = 1, .most = INT64_MAX, .default_value = "1.5", .help = "A number."},
    {.name = "flag", .letter = 'v', .kind = OPTION_FLAG,
     .offset = offsetof(struct test_settings, flag), .group = "Flags", .help = "Off by default."},
    {.name = "on", .letter = 'o', .kind = OPTION_FLAG, .offset = offsetof(struct test_settings, on),
     .default_value = "true", .help = "Switches off what is on by default."},
    {.name = "list", .letter = 'l', .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct test_settings, list), .default_value = "a;b",
     .value_name = "NAME=VALUE", .help = "Several values."},
    {.name = "config", .kind = OPTION_FILE, .offset = offsetof(struct test_settings, config),
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
static void parse(struct test_parse *parse, const char *arguments)
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

static int clear_environment(void **state)
{
    (void)state;
    return clearenv();
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } cases[] = {
        {"0", 0}, {"512", 512}, {"512B", 512}, {"64KiB", 65536}, {"64Ki", 65536},
        {"25MB", 25000000}, {"25M", 25000000}, {"1k", 1000}, {"1K", 1000}, {"1kB", 1000},
        {"3GiB", INT64_C(3) << 30}, {"2TB", INT64_C(2000000000000)},
        {"9223372036854775807", INT64_MAX},
        {"", -1}, {"B", -1}, {"-1", -1}, {"+1", -1}, {" 1", -1}, {"1 ", -1}, {"1 KiB", -1},
        {"1.5GiB", -1}, {"64kib", -1}, {"64KIB", -1}, {"1x", -1}, {"0x10", -1},
        {"9223372036854775808", -1}, {"9223372036854775807K", -1}, {"8388608TiB", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t bytes = -1;
        int code = option_parse_bytes(cases[i].text, &bytes);
        assert_int_equal(code, cases[i].bytes < 0 ? ERR_INPUT : 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t duration_ms; /* -1: refused */
    } cases[] = {
        {"0", 0}, {"0s", 0}, {"250ms", 250}, {"5s", 5000}, {"10m", 600000}, {"2h", 7200000},
        {"30d", INT64_C(2592000000)}, {"1h30m", 5400000}, {"1d2h3m4s5ms", 93784005},
        {"1d5ms", 86400005}, {"90m", 5400000},
        {"", -1}, {"5", -1}, {"s", -1}, {"-5s", -1}, {"5 s", -1}, {"5S", -1}, {"5sec", -1},
        {"5s5s", -1}, {"5s1m", -1}, {"5ms1s", -1}, {"1h30", -1}, {"1.5h", -1}, {"5w", -1},
        {"9223372036854775807ms", INT64_MAX}, {"9223372036854775808ms", -1},
        {"9223372036854775807s", -1}, {"106751991167d12h", -1}, {"5s ", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t duration_ms = -1;
        int code = option_parse_duration_ms(cases[i].text, &duration_ms);
        assert_int_equal(code, cases[i].duration_ms < 0 ? ERR_INPUT : 0);
        assert_int_equal(duration_ms, cases[i].duration_ms);
    }
}

static void test_percents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double share; /* -1: refused */
    } cases[] = {
        {"0", 0}, {"0%", 0}, {"5%", 0.05}, {"0.05", 0.05}, {"100%", 1}, {"1", 1}, {"12.5%", 0.125},
        {"", -1}, {"%", -1}, {"5", -1}, {"101%", -1}, {"1.01", -1}, {"-5%", -1}, {"5 %", -1},
        {".5", -1}, {"5.%", -1}, {"nan", -1}, {"inf", -1}, {"1e-2", -1}, {"0x1", -1}, {"5%%", -1},
        {"0.00000000000000000000000000000000000000000001", -1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        double share = -1;
        int code = option_parse_percent(cases[i].text, &share);
        assert_int_equal(code, cases[i].share < 0 ? ERR_INPUT : 0);
        assert_true(share == cases[i].share);
    }
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
        {"-x", "unknown option -x"},
        {"-vx", "unknown option -x"},
        {"--text", "--text needs a value: --text TEXT"},
        {"--list", "--list needs a value: --list NAME=VALUE"},
        {"--choice", "--choice needs a value: --choice json|text|html"},
        {"-vn", "-n needs a value: -n N"},
        {"--choice jsn",
         "--choice: 'jsn' (on the command line) is not one of json|text|html; did you mean 'json'?"},
        {"--choice yaml", "--choice: 'yaml' (on the command line) is not one of json|text|html"},
        {"--choice json|text",
         "--choice: 'json|text' (on the command line) is not one of json|text|html"},
        {"--file=", "--file: '' (on the command line) is not a path; name a file"},
        {"--secret-file=",
         "--secret-file: '' (on the command line) is not a path; name the file that holds the "
         "secret"},
        {"--integer 11", "--integer: '11' (on the command line) is out of bounds; it must be -10 to 10"},
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
        {"--share 5", "--share: '5' (on the command line) is not a share; write for example 5% or 0.05"},
        {"--number 0.5",
         "--number: '0.5' (on the command line) is out of bounds; it must be at least 1"},
        {"--number 1e3",
         "--number: '1e3' (on the command line) is not a number; write for example 0.5"},
        {"--flag=maybe",
         "--flag: 'maybe' (on the command line) is not a truth value; write true or false"},
        {"a b c", "unexpected argument 'c'"},
        {"-n 11 -n 3", "--integer: '11' (on the command line) is out of bounds; it must be -10 to 10"},
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
    char arguments[8 * (OPTION_LIST_MAX + 1)] = "";
    struct test_parse got;
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        strcat(arguments, "-lx ");
    parse(&got, arguments);
    assert_int_equal(got.code, 0);
    assert_int_equal(got.settings.list.count, OPTION_LIST_MAX);
    strcat(arguments, "-ly");
    parse(&got, arguments);
    assert_int_equal(got.code, ERR_USAGE);
    assert_string_equal(got.error.text, "--list: more than 64 values (on the command line)");
}

static void test_stronger_sources_win(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *path = mem_copy_text(write_file("# a comment\n"
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
    assert_string_equal(got.error.text, "--integer: 'many' (in NODAG_INTEGER) is not a whole number; "
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
    CLEANUP(mem_free) char *expected = mem_format(
        "--size: '5' (in %s:3) is out of bounds; it must be 1KiB to 1GiB", path);
    parse(&got, arguments);
    assert_string_equal(got.error.text, expected);
    assert_int_equal(unlink(path), 0);

    parse(&got, "--config /nonexistent/nodag.conf");
    assert_int_equal(got.code, ERR_USAGE);
    assert_string_equal(
        got.error.text,
        "--config: cannot read /nonexistent/nodag.conf: No such file or directory");
}

static void test_required_and_positionals(void **state)
{
    (void)state;
    static const struct option_row row = {
        .name = "brokers", .kind = OPTION_TEXT, .value_name = "LIST", .required = true, .help = "B."};
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
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_percents),
        cmocka_unit_test_setup(test_defaults, clear_environment),
        cmocka_unit_test_setup(test_all_ways_to_write_a_flag, clear_environment),
        cmocka_unit_test_setup(test_complaints, clear_environment),
        cmocka_unit_test_setup(test_lists_are_bounded, clear_environment),
        cmocka_unit_test_setup(test_stronger_sources_win, clear_environment),
        cmocka_unit_test_setup(test_complaints_name_their_source, clear_environment),
        cmocka_unit_test_setup(test_required_and_positionals, clear_environment),
        cmocka_unit_test_setup(test_what_every_program_answers, clear_environment),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
