/*
 * Commands of commands: `nodag topics create`, `nodag specs check`; private to this room's commands.
 *
 * Design: a table of names with main-like functions. `--help` lists them, `--list-options` names
 * them for the shell's completion, and a name that is not known gets the nearest one as a hint.
 *
 * Invariant: exit statuses are those of base/option.h.
 */
#ifndef NODAG_TOPICS_SUBCOMMAND_H
#define NODAG_TOPICS_SUBCOMMAND_H

#include <stddef.h>

/* One subcommand. */
struct subcommand {
    const char *name;                  /* as people write it */
    int (*run)(int argc, char **argv); /* argv[0] is its name; returns an exit status */
    const char *summary;               /* one line */
};

/* A command that has subcommands. */
struct subcommand_program {
    const char *name;               /* "nodag topics" */
    const char *description;        /* what they are about: a paragraph, ending in a line end */
    const char *examples;           /* indented lines, each ending in a line end */
    const struct subcommand *items; /* in the order in which a newcomer meets them */
    size_t count;                   /* how many */
    int (*otherwise)(int argc, char **argv); /* without a subcommand; NULL: the help is printed */
};

/* Runs what the command line says; returns the exit status. Main thread. */
int subcommand_main(const struct subcommand_program *program, int argc, char **argv);

#endif
