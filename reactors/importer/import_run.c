/*
 * What the subcommands of `nodag import` share: see import_command.h.
 */
#include <signal.h>
#include <stdio.h>

#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/importer/import_command.h"

/* Until an event that no broker acknowledges counts as failed: a broker's restart passes by. */
#define MESSAGE_TIMEOUT_MS 30000

/* Bound of the producer's queue: a page of issues at its worst. */
#define QUEUE_MAX_BYTES (64LL << 20)

/* Exit status after a signal, as shells have it. */
#define STATUS_SIGNAL 128

bool import_begin(const struct option_program *program, int argc, char **argv, void *settings,
                  int *ret_first, int *ret_status)
{
    bool runs = option_begin(program, argc, argv, settings, ret_first, ret_status);
    /* The libraries' own lines would stand between those of the command. */
    log_configure(program->name, LOG_LEVEL_ERROR);
    return runs;
}

/* A second signal ends it at once: what is in flight may or may not arrive. */
static void run_on_signal(struct import_run *run, int signal_number)
{
    if (run->signal_number != 0) {
        struct error error = {0};
        import_run_end(run, error_set(&error, ERR_CANCELLED, "ended at once"), &error);
        return;
    }
    run->signal_number = signal_number;
    run->stop(run->argument);
}

static void run_on_interrupt(void *argument)
{
    run_on_signal(argument, SIGINT);
}

static void run_on_terminate(void *argument)
{
    run_on_signal(argument, SIGTERM);
}

static void run_on_kafka(void *argument, bool reachable, const char *reason)
{
    struct import_run *run = argument;
    CLEANUP(mem_free)
    char *text = reachable ? mem_format("Kafka at %s is reached", run->brokers)
                           : mem_format("Kafka at %s cannot be reached: %s; is tried on",
                                        run->brokers, reason);
    if (!reachable)
        progress_say(run->progress, text);
}

int import_run_open(struct import_run *run, const struct option_program *program,
                    const struct bus_kafka_settings *kafka, void (*stop)(void *argument),
                    void *argument, struct error *error)
{
    struct bus_kafka_settings settings = *kafka;
    settings.message_timeout_ms = MESSAGE_TIMEOUT_MS;
    settings.queue_max_bytes = QUEUE_MAX_BYTES;
    run->program = program;
    run->stop = stop;
    run->argument = argument;
    run->brokers = kafka->brokers;
    run->loop = loop_new_real();
    run->progress = progress_new(run->loop, program->name);
    run->interrupt = loop_signal_new(run->loop, SIGINT, run_on_interrupt, run);
    run->terminate = loop_signal_new(run->loop, SIGTERM, run_on_terminate, run);
    return bus_kafka_new(run->loop, &settings, "nodag-import", NULL, run_on_kafka, run, &run->bus,
                         error);
}

void import_run_close_bus(struct import_run *run)
{
    bus_kafka_free(run->bus);
    run->bus = NULL;
}

void import_run_close(struct import_run *run)
{
    bus_kafka_free(run->bus);
    loop_signal_free(run->terminate);
    loop_signal_free(run->interrupt);
    progress_free(run->progress);
    loop_free(run->loop);
}

void import_run_end(struct import_run *run, int code, const struct error *error)
{
    run->code = code;
    if (code != 0)
        run->error = *error;
    loop_stop(run->loop);
}

int import_run_status(const struct import_run *run)
{
    if (run->signal_number != 0)
        return STATUS_SIGNAL + run->signal_number;
    if (run->code == 0)
        return EXIT_STATUS_OK;
    (void)fprintf(stderr, "%s: %s\n", run->program->name, run->error.text);
    return run->code == ERR_USAGE ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
}

void import_print_json(json_t *object_taken)
{
    CLEANUP(json_release) json_t *object = object_taken;
    CLEANUP(mem_free) char *text = json_write(object, NULL);
    (void)puts(text);
}
