/*
 * What the three files behind option.h share: option.c (where values come from), option_value.c (what a value is)
 * and option_help.c (what people read about them). Nobody else includes this.
 *
 * Invariant: names are derived in one place, so that an error, `--help` and the look-up in the environment cannot
 * disagree.
 */
#ifndef NODAG_BASE_OPTION_INTERNAL_H
#define NODAG_BASE_OPTION_INTERNAL_H

#include "base/option.h"

/* Longest name of an option with its NUL, and longest name of its environment variable with its NUL (asserted). */
#define OPTION_NAME_BYTES 64
/* See OPTION_NAME_BYTES. */
#define OPTION_ENVIRONMENT_BYTES (OPTION_NAME_BYTES + 8)

/* Longest text of a bound: 9223372036854775807 or a duration of several units. */
#define OPTION_BOUND_BYTES 64

/* A value on its way into the settings. */
struct option_value {
    const struct option_row *row; /* borrowed */
    const char *text;             /* as written; lives as long as the process */
    const char
        *origin; /* "on the command line", "in NODAG_X", "in FILE:LINE": for errors; borrowed */
    bool append; /* a list: adds to what this source gave before, instead of replacing */
};

/* Writes the name of the row's environment variable. Any thread. */
void option_environment_name(const struct option_row *row, char ret_name[OPTION_ENVIRONMENT_BYTES]);

/* Checks the value against its row and stores it in `settings`. ERR_USAGE with the reason. Any thread. */
int option_store(const struct option_value *value, void *settings, struct error *error) MUST_CHECK;

/* Sets the row's member to what "absent" means: NULL, 0, false, an empty list. Any thread. */
void option_store_absent(const struct option_row *row, void *settings);

/*
 * Returns what stands for the row's value in texts: its value_name, its choices, or a word for its kind. Static
 * storage or the row's.
 */
const char *option_placeholder(const struct option_row *row);

/* Returns true if the row has bounds on its number. Any thread. */
bool option_has_bounds(const struct option_row *row);

/* Writes the row's bounds as a person would: "1s to 5m", "at least 1". Any thread. */
void option_bounds_to_text(const struct option_row *row, char ret_text[OPTION_BOUND_BYTES]);

/* Prints the names that a program takes, one flag a line: for shell completion. Any thread. */
void option_print_list(const struct option_program *program, FILE *stream);

#endif
