/*
 * What the commands of this room share: see topics_command.h.
 */
#include <stdio.h>

#include "base/log.h"
#include "topics/topics_command.h"

bool command_begin(const struct option_program *program, int argc, char **argv, void *settings,
                   int *ret_first, int *ret_status)
{
    struct error error = {0};
    enum option_result result = OPTION_RUN;
    int code = option_parse(program, argc, argv, settings, ret_first, &result, &error);
    *ret_status = EXIT_STATUS_OK;
    if (code != 0)
        *ret_status = option_complain(program, &error);
    /*
     * librdkafka's own lines would stand between those of the command, which tells its failures
     * itself.
     */
    log_configure(program->name, LOG_LEVEL_ERROR);
    return code == 0 && result == OPTION_RUN;
}

int command_fail(const struct option_program *program, const struct error *error)
{
    (void)fprintf(stderr, "%s: %s\n", program->name, error->text);
    return error->code == ERR_USAGE ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
}
