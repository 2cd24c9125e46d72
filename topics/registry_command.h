/*
 * The subcommands of `nodag models` and `nodag runs`, and what they share; private to these commands.
 *
 * Design: as topics_command.h: each is a function with main's signature. They read the topic whole and
 * keep the newest record of each key. What differs in listing and showing is a struct registry_view.
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
#include "topics/text_table.h"
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

/* Option row of lists: --model. */
#define REGISTRY_MODEL_ROW                                                                         \
    {                                                                                              \
        .name = "model", .letter = 'm', .kind = OPTION_TEXT,                                       \
        .offset = offsetof(struct registry_settings, model), .value_name = "NAME",                 \
        .group = "What", .help = "Only this model's."                                              \
    }

/* Option rows: --json (`group_name`: NULL in a group under way), and how the cluster is reached. */
#define REGISTRY_READ_ROWS(group_name, help_text)                                                  \
    {.name = "json",                                                                               \
     .kind = OPTION_FLAG,                                                                          \
     .offset = offsetof(struct registry_settings, json),                                           \
     .group = (group_name),                                                                        \
     .help = (help_text)},                                                                         \
        BUS_KAFKA_CONNECT_ROWS(struct registry_settings, kafka)

/* Option rows of a list, after others of the group "What". */
#define REGISTRY_LIST_ROWS REGISTRY_READ_ROWS(NULL, "Print JSON: the records by their keys.")

/* Option rows of one record. */
#define REGISTRY_SHOW_ROWS REGISTRY_READ_ROWS("What", "Print the record as it stands in the topic.")

/* Newest records by key: an object of JSON values, in the order of keys. */
struct registry_table {
    json_t *records; /* owned */
    size_t refused;  /* records that are no JSON */
    int64_t now_ms;  /* wall clock after reading */
};

/* How the records of a topic are listed and shown. */
struct registry_view {
    enum topic topic;                  /* compacted */
    const char *name_member;           /* names a record, besides its key */
    const char *lister;                /* command that lists all of them */
    bool hides_collected;              /* lists leave out `collected` records without --all */
    const struct option_program *list; /* takes REGISTRY_MODEL_ROW, REGISTRY_LIST_ROWS */
    const struct option_program *show; /* takes REGISTRY_SHOW_ROWS and one name */
    const char *const *headings;       /* of the list */
    size_t heading_count;              /* of them */
    /* Adds a record's row to the list. */
    void (*add)(struct text_table *text, const json_t *record, int64_t now_ms);
    /* Prints one record. */
    void (*print)(const json_t *record);
};

/* Runs `list`: records of --model by creation, or JSON. Returns an exit status. Main thread. */
int registry_list(const struct registry_view *view, int argc, char **argv);

/* Runs `show`. Likewise. */
int registry_show(const struct registry_view *view, int argc, char **argv);

/*
 * Finds a record by its key or name_member; NULL after having said in the name of `program` that there is
 * none, with the status to exit with. Borrowed. Main thread.
 */
const json_t *registry_find(const struct registry_view *view, const struct option_program *program,
                            const struct registry_table *table, const char *name, int *ret_status);

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

/* Prints what of a record's artefacts was erased at a request: a line each; none for NULL. Main thread. */
void registry_print_erased(const json_t *erased);

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
