/*
 * Commands of commands, such as `nodag topics create`: see subcommand.h.
 */
#include "topics/subcommand.h"

#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "base/option.h"

/* Most subcommands of one command. */
#define SUBCOMMANDS_MAX 16

static void subcommand_help(const struct subcommand_program *program, FILE *stream)
{
    (void)fprintf(stream, "Usage: %s COMMAND [OPTION…]\n\n%s\nCommands:\n", program->name,
                  program->description);
    for (size_t i = 0; i < program->count; i++)
        (void)fprintf(stream, "  %-8s  %s\n", program->items[i].name, program->items[i].summary);
    (void)fprintf(stream, "\nExamples:\n%s\n`%s COMMAND --help` says what a command takes.\n",
                  program->examples, program->name);
}

static int subcommand_complain(const struct subcommand_program *program, const char *name)
{
    const char *known[SUBCOMMANDS_MAX];
    for (size_t i = 0; i < program->count; i++)
        known[i] = program->items[i].name;
    const char *near = nearest_name(name, known, program->count);
    if (near != NULL)
        (void)fprintf(stderr, "%s: there is no command \"%s\"; did you mean %s?\n", program->name,
                      name, near);
    else
        (void)fprintf(stderr, "%s: there is no command \"%s\"\nTry '%s --help'.\n", program->name,
                      name, program->name);
    return EXIT_STATUS_USAGE;
}

static void subcommand_list(const struct subcommand_program *program)
{
    for (size_t i = 0; i < program->count; i++)
        (void)puts(program->items[i].name);
    (void)puts("--help\n--version\n--list-options");
}

int subcommand_main(const struct subcommand_program *program, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < program->count; i++) {
        if (strcmp(name, program->items[i].name) == 0)
            return program->items[i].run(argc - 1, argv + 1);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        subcommand_help(program, stdout);
    } else if (strcmp(name, "--version") == 0) {
        (void)printf("%s %s\n", program->name, NODAG_VERSION);
    } else if (strcmp(name, "--list-options") == 0) {
        subcommand_list(program);
    } else if (program->otherwise != NULL && (name[0] == '\0' || name[0] == '-')) {
        return program->otherwise(argc, argv);
    } else if (name[0] == '\0') {
        subcommand_help(program, stderr);
        return EXIT_STATUS_USAGE;
    } else {
        return subcommand_complain(program, name);
    }
    return EXIT_STATUS_OK;
}
