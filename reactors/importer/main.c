/*
 * nodag-import: history from before the first webhook. Runs as `nodag import`.
 *
 * It publishes events, as a door of ingest does, and lives here all the same: it reads the forge's REST
 * API, so it needs the forge client with its limits and credentials, which doors must not include,
 * and it runs when a person asks for it. It decides nothing and is no reactor: it has no kernel, no
 * group and no state on a topic.
 */
#include "base/cleanup.h"
#include "reactors/importer/import_command.h"
#include "topics/subcommand.h"

int main(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"github", import_github, "read a repository's issues from GitHub's REST API"},
        {"gharchive", import_gharchive, "read hourly dumps of GH Archive"},
    };
    static const struct subcommand_program program = {
        .name = "nodag import",
        .description =
            "A cold start: publishes issues from before the first webhook on github.events, as\n"
            "unsigned events of nodag's own type. The same import again makes the same events, "
            "which\n"
            "consumers know again by their id.\n",
        .examples = "  nodag import github kubeflow/kubeflow --forge-token-file token\n"
                    "  nodag import gharchive --repositories 'kubeflow/*' 2024-01-01-*.json.gz\n",
        .items = commands,
        .count = ARRAY_COUNT(commands),
    };
    return subcommand_main(&program, argc, argv);
}
