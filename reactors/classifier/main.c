/*
 * nodag-model: train, judge and explain models. Runs as `nodag model COMMAND`.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/option.h"
#include "reactors/classifier/command.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} COMMANDS[] = {
    {"train", command_train, "learn labels from labelled issues, and write a model file"},
    {"eval", command_eval, "judge a model on labelled issues: a table, JSON or an HTML report"},
    {"explain", command_explain, "say which words made a label likely, and how much"},
    {"show", command_show, "print what a model says of itself"},
    {"cv", command_cv, "cross-validate: how well can these labels be learnt?"},
};

static void print_help(FILE *stream)
{
    fprintf(stream, "Usage: nodag model COMMAND [OPTION…]\n\nModels that label issues: make one, "
                    "judge it, ask it why.\n\n"
                    "Commands:\n");
    for (size_t c = 0; c < ARRAY_COUNT(COMMANDS); c++)
        fprintf(stream, "  %-8s  %s\n", COMMANDS[c].name, COMMANDS[c].summary);
    fprintf(stream, "\nExample:\n"
                    "  nodag model train --data issues.csv --model labels.model\n"
                    "  nodag model explain --model labels.model --repo owner/name --title 'It "
                    "crashes at start'\n\n"
                    "`nodag model COMMAND --help` says what a command takes.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return EXIT_STATUS_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("nodag %s\n", NODAG_VERSION);
        return EXIT_STATUS_OK;
    }
    for (size_t c = 0; c < ARRAY_COUNT(COMMANDS); c++)
        if (strcmp(name, COMMANDS[c].name) == 0)
            return COMMANDS[c].run(argc - 1, argv + 1);
    if (name[0] != '\0')
        fprintf(stderr, "nodag model: there is no command \"%s\"\n\n", name);
    print_help(stderr);
    return EXIT_STATUS_USAGE;
}
