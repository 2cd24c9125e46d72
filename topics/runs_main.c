/*
 * nodag-runs: training runs: which there were, why, and how they ended. Runs as `nodag runs`.
 */
#include "base/cleanup.h"
#include "topics/registry_command.h"
#include "topics/subcommand.h"

int main(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"list", runs_list, "print the runs, newest last (default)"},
        {"show", runs_show, "print one: why it was begun, how it ended, notebook and log"},
    };
    static const struct subcommand_program program = {
        .name = "nodag runs",
        .description =
            "Training runs, as the trainer published them on the topic runs. To stop one, write\n"
            "`suspend: true` into its Model document. Nothing here changes them.\n",
        .examples = "  nodag runs --model kubeflow-labels\n"
                    "  nodag runs show kubeflow-labels-0123456789ab-1\n",
        .items = commands,
        .count = ARRAY_COUNT(commands),
        .otherwise = runs_list,
    };
    return subcommand_main(&program, argc, argv);
}
