/*
 * nodag-models: the versions of models: what they are good at and where they came from. Runs as
 * `nodag models`.
 */
#include "base/cleanup.h"
#include "topics/registry_command.h"
#include "topics/subcommand.h"

int main(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"list", models_list, "print the versions, newest last (default)"},
        {"show", models_show, "print one: metrics, data, code, run, notebook"},
        {"diff", models_diff, "print two side by side: metrics of each label"},
    };
    static const struct subcommand_program program = {
        .name = "nodag models",
        .description =
            "Versions of models, as the trainer published them on the topic models. A version is\n"
            "named after the run that made it. Nothing here changes them.\n",
        .examples =
            "  nodag models\n"
            "  nodag models show kubeflow-labels-0123456789ab-1\n"
            "  nodag models diff kubeflow-labels-0123456789ab-1 kubeflow-labels-ba9876543210-1\n",
        .items = commands,
        .count = ARRAY_COUNT(commands),
        .otherwise = models_list,
    };
    return subcommand_main(&program, argc, argv);
}
