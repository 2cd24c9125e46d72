/*
 * One table of options for each daemon or command → flags, environment, configuration file and
 * `--help`.
 *
 * Design: a program declares a struct with its settings and a `struct option_row` for each member.
 * option_parse fills the struct from, in rising order of precedence: the row's default, the file
 * named by --config where the program has a row of that name (lines `name = value`, lines of `#`
 * comments), the environment (`NODAG_` + the name in capitals with `_` for `-`; an empty variable
 * counts as absent), the flags (`--name value`,
 * `--name=value`, `-x value`, `-xvalue`; a boolean is `--name` or `--no-name`; `--` ends them).
 * Every value is checked against the row's bounds, wherever it came from and even where a stronger
 * source overrides it, and an error says where that was. A repeatable option takes all values of
 * the strongest source that has any: several flags, several lines of the file, or one variable or
 * default with the values separated by `;`. `--help` (grouped, with default, unit and environment
 * name), `--version`, and `--list-options` (one flag a line, for shell completion) belong to every
 * program.
 *
 * Invariants: a value out of bounds is refused, never clamped; an unknown name is an error with the
 * nearest known name as a hint; a value of kind OPTION_SECRET_FILE is a path, and only the path is
 * ever shown.
 */
#ifndef NODAG_BASE_OPTION_H
#define NODAG_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Most values that one repeatable option takes: a limit against runaway scripts. */
#define OPTION_LIST_MAX 64

/* Exit statuses that every nodag program shares. */
enum exit_status {
    EXIT_STATUS_OK = 0,     /* it worked */
    EXIT_STATUS_FAILED = 1, /* it was tried and failed; the message says what to do next */
    EXIT_STATUS_USAGE =
        2, /* the command line or the configuration is not valid; nothing was done */
    EXIT_STATUS_DRIFT = 3, /* a check ran and found differences */
};

/* What a value is and how it is written. The member behind it has the C type in brackets. */
enum option_kind {
    OPTION_TEXT,        /* any text [const char *]; NULL if absent */
    OPTION_CHOICE,      /* one of row.choices, "a|b|c" [const char *] */
    OPTION_FILE,        /* a path [const char *] */
    OPTION_SECRET_FILE, /* a path of a file with a secret [const char *] */
    OPTION_INTEGER,     /* a whole number [int64_t] */
    OPTION_BYTES,       /* a size: 512, 64KiB, 25MB [int64_t, bytes] */
    OPTION_DURATION,    /* a time: 250ms, 5s, 10m, 2h, 30d [int64_t, milliseconds] */
    OPTION_PERCENT,     /* 5% or 0.05 [double, 0..1] */
    OPTION_NUMBER,      /* a number [double] */
    OPTION_FLAG,        /* present or not [bool] */
    OPTION_TEXT_LIST,   /* repeatable text [struct option_list] */
};

/* Values of a repeatable option, in the order given. */
struct option_list {
    size_t count;                       /* 0..OPTION_LIST_MAX */
    const char *items[OPTION_LIST_MAX]; /* borrowed from the parse's memory, which lives as long as
                                           the process */
};

/* One option. */
struct option_row {
    const char *name;      /* long name without dashes; also the key in the configuration file */
    char letter;           /* short flag, or 0 */
    enum option_kind kind; /* how the value is written */
    size_t offset;         /* offsetof() the member in the settings struct */
    const char *default_value; /* as a person would write it; NULL: absent (texts), 0, false */
    int64_t
        least; /* least value of numbers, in the member's unit; ignored where least == most == 0 */
    int64_t most;           /* most, likewise */
    bool required;          /* absent is an error */
    const char *choices;    /* for OPTION_CHOICE */
    const char *value_name; /* what stands for the value in --help: FILE, URL; NULL: by kind */
    const char *group;      /* heading in --help; NULL: the one before */
    const char *help;       /* one or two sentences: what it does, when to change it */
};

/* One program: what --help prints around its options. */
struct option_program {
    const char *name;        /* "nodag labeler": as people call it */
    const char *summary;     /* one line */
    const char *usage;       /* after the name, e.g. "[OPTION…] TOPIC"; or NULL */
    const char *description; /* paragraphs that teach, or NULL; lines that begin with a space stand
                                as they are */
    const char *examples;    /* example lines, printed last, or NULL */
    const struct option_row *rows; /* the options */
    size_t row_count;              /* how many */
    int positional_least;          /* least number of other arguments */
    int positional_most;           /* most; -1: any number */
};

/* What option_parse says should happen now. */
enum option_result {
    OPTION_RUN,  /* go on */
    OPTION_EXIT, /* --help, --version or --list-options was answered on standard output: exit with
                    status 0 */
};

/*
 * Fills `settings` (a struct that the rows' offsets fit) from defaults, file, environment and
 * `argv`. `ret_first` becomes the index of the first positional argument (argv is permuted so that
 * they stand last). Strings live as long as the process. ERR_USAGE with a text that names the
 * option, where the value came from and what would be valid; then `settings` and the order of argv
 * are unspecified. Before threads.
 */
int option_parse(const struct option_program *program, int argc, char **argv, void *settings,
                 int *ret_first, enum option_result *ret_result, struct error *error) MUST_CHECK;

/*
 * option_parse for a main function: says what is wrong. Returns true if the program shall run, else `*ret_status` is
 * what to exit with. `ret_first` may be NULL where nothing is positional. Before threads.
 */
bool option_begin(const struct option_program *program, int argc, char **argv, void *settings,
                  int *ret_first, int *ret_status) MUST_CHECK;

/* Prints `--help` of the program to `stream`. Any thread. */
void option_print_help(const struct option_program *program, FILE *stream);

/* Prints "NAME: text" and a hint at --help to standard error; returns EXIT_STATUS_USAGE. Any
 * thread. */
int option_complain(const struct option_program *program, const struct error *error);

/*
 * Reads a size such as `64KiB` (K, M, G, T with i: powers of 1024; without: of 1000; B may be left
 * out). ERR_INPUT. Any thread.
 */
int option_parse_bytes(const char *text, int64_t *ret_bytes) MUST_CHECK;

/*
 * Reads a duration such as `250ms`, `5s`, `1h30m`, `30d` or `0` into milliseconds; units must fall.
 * ERR_INPUT. Any thread.
 */
int option_parse_duration_ms(const char *text, int64_t *ret_ms) MUST_CHECK;

/* Reads `5%` or `0.05` into 0..1; what lies outside is ERR_INPUT. Any thread. */
int option_parse_percent(const char *text, double *ret_share) MUST_CHECK;

#endif
