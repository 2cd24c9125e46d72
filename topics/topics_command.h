/*
 * The subcommands of `nodag topics`, and what they share; private to the command.
 *
 * Design: each subcommand is a function with main's signature, in a file of its own; argv[0] is its
 * name. Results go to standard output, everything else to standard error.
 *
 * Invariant: exit statuses are those of base/option.h.
 */
#ifndef NODAG_TOPICS_TOPICS_COMMAND_H
#define NODAG_TOPICS_TOPICS_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/option.h"
#include "topics/bus_kafka.h"

/* Settings of all subcommands; each has rows for those that it takes. */
struct topics_settings {
    struct bus_kafka_settings kafka; /* --brokers, --kafka-properties */
    int64_t replication;             /* --replication; 0: by the number of brokers */
    int64_t retention_ms;            /* --retention */
    bool dry_run;                    /* --dry-run */
    bool fix;                        /* --fix */
    bool json;                       /* --json */
    const char *principal_prefix;    /* --principal-prefix */
    const char *format;              /* --format */
};

/* Rows for what the topics depend on besides the table. */
#define TOPICS_PLAN_ROWS                                                                           \
    {.name = "replication",                                                                        \
     .kind = OPTION_INTEGER,                                                                       \
     .offset = offsetof(struct topics_settings, replication),                                      \
     .least = 1,                                                                                   \
     .most = 32767,                                                                                \
     .default_value = NULL,                                                                        \
     .group = "Topics",                                                                            \
     .help = "Replicas of each partition; without it 3, or 1 where there are fewer brokers."},     \
    {                                                                                              \
        .name = "retention", .kind = OPTION_DURATION,                                              \
        .offset = offsetof(struct topics_settings, retention_ms), .default_value = "90d",          \
        .least = 3600000, .most = 3650LL * 24 * 3600 * 1000,                                       \
        .help = "How long raw events are kept (topic github.events)."                              \
    }

/* `nodag topics create`. Returns an exit status. Main thread. */
int topics_create(int argc, char **argv);

/* `nodag topics list`. Returns an exit status. Main thread. */
int topics_list(int argc, char **argv);

/* `nodag topics check`. Returns an exit status. Main thread. */
int topics_check(int argc, char **argv);

/* `nodag topics acls`. Returns an exit status. Main thread. */
int topics_acls(int argc, char **argv);

/*
 * Parses the options of a program of this room and quietens the log to errors. Returns true if it
 * shall run, else `*ret_status` is what to exit with. `ret_first` as option_parse. Main thread.
 */
bool command_begin(const struct option_program *program, int argc, char **argv, void *settings,
                   int *ret_first, int *ret_status);

/*
 * Prints "NAME: text" to standard error; returns EXIT_STATUS_FAILED, or EXIT_STATUS_USAGE where the
 * input was at fault. Main thread.
 */
int command_fail(const struct option_program *program, const struct error *error);

#endif
