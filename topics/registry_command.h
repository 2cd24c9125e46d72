/*
 * The subcommands of `nodag models` and `nodag runs`, and what they share; private to these commands.
 *
 * Design: as topics_command.h: each is a function with main's signature. They read the topic whole and
 * keep the newest record of each key.
 *
 * Invariant: exit statuses are those of base/option.h.
 */
#ifndef NODAG_TOPICS_REGISTRY_COMMAND_H
#define NODAG_TOPICS_REGISTRY_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "topics/bus_kafka.h"
#include "topics/topics_command.h"

/* Length of a commit or hash as people write it. */
#define REGISTRY_SHORT_BYTES 10

/* Room for an age as people read it. */
#define REGISTRY_AGE_BYTES 32

/* What the command lines say. */
struct registry_settings {
    struct bus_kafka_settings kafka; /* --brokers … */
    const char *model;               /* --model */
    bool json;                       /* --json */
    bool all;                        /* --all */
};

/* Newest records by key: an object of JSON values, in the order of keys. */
struct registry_table {
    json_t *records; /* owned */
    size_t refused;  /* records that are no JSON */
    int64_t now_ms;  /* wall clock after reading */
};

/*
 * Reads a compacted topic to its end. False after having said why, with the status to exit with. To be
 * released. Main thread.
 */
bool registry_read(const struct option_program *program, const struct bus_kafka_settings *kafka,
                   enum topic topic, struct registry_table *ret_table, int *ret_status);

/* Frees what a table owns. */
void registry_release(struct registry_table *table);

/* Writes how long ago a time (RFC 3339, or NULL) was; "" where there is none. Any thread. */
void registry_age(const char *time_text, int64_t now_ms, char ret_text[REGISTRY_AGE_BYTES]);

/*
 * Finds the number that a metric is: itself, or its member `value`. False where it is none. Any thread.
 */
bool registry_number(const json_t *metric, double *ret_number);

/* Finds a label's metrics in a version's: of a list of {name, …} or an object by name. NULL; borrowed. */
const json_t *registry_label(const json_t *metrics, const char *label);

/* Prints "NAME: text" with everything that a terminal would act on escaped. Main thread. */
void registry_print(const char *name, const char *text);

/* `nodag models list`. Returns an exit status. Main thread. */
int models_list(int argc, char **argv);
/* `nodag models show`. Likewise. */
int models_show(int argc, char **argv);
/* `nodag models diff`. Likewise. */
int models_diff(int argc, char **argv);
/* `nodag runs list`. Likewise. */
int runs_list(int argc, char **argv);
/* `nodag runs show`. Likewise. */
int runs_show(int argc, char **argv);

#endif
