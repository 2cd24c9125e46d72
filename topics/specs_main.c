/*
 * nodag-specs: desired state as it is published, and the check of documents. Runs as `nodag specs`.
 */
#include "base/cleanup.h"
#include "topics/specs_command.h"
#include "topics/subcommand.h"

int main(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"list", specs_list, "print the documents: valid or not, and where they stand (default)"},
        {"show", specs_show, "print one: what is in force, and what is wrong with a newer one"},
        {"check", specs_check, "check files as they would be checked when they are pushed"},
        {"schema", specs_schema, "print the JSON Schema of a kind, for editors, or its reference"},
    };
    static const struct subcommand_program program = {
        .name = "nodag specs",
        .description =
            "What people want: documents of kind Model, Deployment and Labeler. They are written "
            "in\n"
            "git; nodag ingest-git publishes them on the topic specs, and a document that is not\n"
            "valid beside the last valid one, which stays in force. Nothing here changes them.\n",
        .examples = "  nodag specs\n"
                    "  nodag specs show Labeler/label-bot\n"
                    "  nodag specs check nodag/ && git push\n"
                    "  nodag specs schema Labeler > labeler.schema.json\n",
        .items = commands,
        .count = ARRAY_COUNT(commands),
        .otherwise = specs_list,
    };
    return subcommand_main(&program, argc, argv);
}
