/*
 * nodag-topics: the topics of topics/topic.h in a cluster. Runs as `nodag topics COMMAND`.
 */
#include "base/cleanup.h"
#include "topics/subcommand.h"
#include "topics/topics_command.h"

int main(int argc, char **argv)
{
    static const struct subcommand commands[] = {
        {"create", topics_create, "make the topics that are missing, each as it should be"},
        {"list", topics_list, "print the topics with their settings and about how many records"},
        {"check", topics_check,
         "compare the topics with what they should be; --fix sets what is safe"},
        {"acls", topics_acls, "print the least rights that each daemon needs"},
    };
    static const struct subcommand_program program = {
        .name = "nodag topics",
        .description = "The topics in which nodag keeps everything that happens.\n",
        .examples = "  nodag topics create --brokers kafka:9092\n"
                    "  nodag topics check && echo as it should be\n",
        .items = commands,
        .count = ARRAY_COUNT(commands),
    };
    return subcommand_main(&program, argc, argv);
}
