/*
 * What the commands of this room share: see topics_command.h.
 */
#include <stdio.h>

#include "base/log.h"
#include "topics/topics_command.h"

bool command_begin(const struct option_program *program, int argc, char **argv, void *settings,
                   int *ret_first, int *ret_status)
{
    bool runs = option_begin(program, argc, argv, settings, ret_first, ret_status);
    /*
     * librdkafka's own lines would stand between those of the command, which tells its failures
     * itself.
     */
    log_configure(program->name, LOG_LEVEL_ERROR);
    return runs;
}

int command_fail(const struct option_program *program, const struct error *error)
{
    (void)fprintf(stderr, "%s: %s\n", program->name, error->text);
    return error->code == ERR_USAGE ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
}
