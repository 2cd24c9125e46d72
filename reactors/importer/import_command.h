/*
 * The subcommands of `nodag import`, and what they share; private to the command.
 *
 * Design: a run has a loop, a bus and a progress. It ends when its import says so; SIGINT and SIGTERM
 * ask it to stop, a second one ends it at once. Results go to standard output, everything else to standard
 * error.
 *
 * Invariant: exit statuses are those of base/option.h, and 128 + signal after a signal.
 */
#ifndef NODAG_IMPORTER_IMPORT_COMMAND_H
#define NODAG_IMPORTER_IMPORT_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/option.h"
#include "reactors/importer/progress.h"
#include "topics/bus_kafka.h"

/* A run of the command. */
struct import_run {
    const struct option_program *program; /* borrowed */
    struct loop *loop;                    /* owned */
    struct bus *bus;                      /* owned */
    struct progress *progress;            /* owned */
    struct loop_signal *interrupt;        /* owned */
    struct loop_signal *terminate;        /* owned */
    void (*stop)(void *argument);         /* asks the import to stop */
    void *argument;                       /* its argument */
    int signal_number;                    /* which came; 0: none */
    int code;                             /* how it ended */
    struct error error;                   /* why */
    const char *brokers;                  /* borrowed; for texts */
};

/* `nodag import github`. Returns an exit status. Main thread. */
int import_github(int argc, char **argv);

/* `nodag import gharchive`. Returns an exit status. Main thread. */
int import_gharchive(int argc, char **argv);

/*
 * Parses the options and quietens the log. Returns true if it shall run, else `*ret_status` is what to exit with.
 * Main thread.
 */
bool import_begin(const struct option_program *program, int argc, char **argv, void *settings,
                  int *ret_first, int *ret_status);

/* Makes what a run has; release it by import_run_close also after an error. As bus_kafka_new. Main thread. */
int import_run_open(struct import_run *run, const struct option_program *program,
                    const struct bus_kafka_settings *kafka, void (*stop)(void *argument),
                    void *argument, struct error *error) MUST_CHECK;

/* Frees the bus: before the import is freed. Main thread. */
void import_run_close_bus(struct import_run *run);

/* Frees all else: after the import. Main thread. */
void import_run_close(struct import_run *run);

/* An import's `ended`: `run` ends. Loop thread. */
void import_run_end(struct import_run *run, int code, const struct error *error);

/* Prints why it failed, if it did, and returns the exit status. Main thread. */
int import_run_status(const struct import_run *run);

/* Prints a JSON object (taken) on standard output. Main thread. */
void import_print_json(json_t *object_taken);

#endif
