/*
 * nodag-topics: the topics of topics/topic.h in a cluster. Runs as `nodag topics COMMAND`.
 *
 * Design: a table of subcommands; `--list-options` names them, so that the shell can complete them.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/option.h"
#include "topics/topics_command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"create", topics_create, "make the topics that are missing, each as it should be"},
    {"list", topics_list, "print the topics with their settings and about how many records"},
    {"check", topics_check, "compare the topics with what they should be; --fix sets what is safe"},
    {"acls", topics_acls, "print the least rights that each daemon needs"},
};

static void print_help(FILE *stream)
{
    (void)fputs("Usage: nodag topics COMMAND [OPTION…]\n\n"
                "The topics in which nodag keeps everything that happens.\n\nCommands:\n",
                stream);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        (void)fprintf(stream, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\nExamples:\n"
                "  nodag topics create --brokers kafka:9092\n"
                "  nodag topics check && echo as it should be\n\n"
                "`nodag topics COMMAND --help` says what a command takes.\n",
                stream);
}

static int complain(const char *name)
{
    const char *known[ARRAY_COUNT(commands)];
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        known[i] = commands[i].name;
    const char *near = nearest_name(name, known, ARRAY_COUNT(known));
    if (near != NULL)
        (void)fprintf(stderr, "nodag topics: there is no command \"%s\"; did you mean %s?\n", name,
                      near);
    else
        (void)fprintf(
            stderr, "nodag topics: there is no command \"%s\"\nTry 'nodag topics --help'.\n", name);
    return EXIT_STATUS_USAGE;
}

static void print_list(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        (void)puts(commands[i].name);
    (void)puts("--help\n--version\n--list-options");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (name[0] == '\0') {
        print_help(stderr);
        return EXIT_STATUS_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        print_help(stdout);
    else if (strcmp(name, "--version") == 0)
        (void)printf("nodag topics %s\n", NODAG_VERSION);
    else if (strcmp(name, "--list-options") == 0)
        print_list();
    else
        return complain(name);
    return EXIT_STATUS_OK;
}
