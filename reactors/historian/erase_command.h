/*
 * What the files of `nodag erase` share; private to the command.
 *
 *   erase_main.c    options, the question, the order of steps
 *   erase_report.c  the plan, the report, what remains
 *   erase_topics.c  reading `issues`, `runs`, `models`; requests and records out
 *   erase_store.c   data sets and what quotes them
 *
 * Design: one step after the other. A step starts something on the loop and runs the loop until that is
 * over, because a command has nothing else to do; but the reading of `issues` goes on all the time, so that
 * what the historian did is seen. The order of effects, each of which may be done again after a crash:
 *
 *      request for each issue ─▶ (the historian's record) ─▶ data set without the rows, stored
 *          ─▶ records that name it instead ─▶ old data set and what quoted it removed
 *
 * then everything is read again, until there is nothing to do.
 *
 * Invariants: nothing is removed from the store that any record names; a record is published after what it
 * names was stored; exit statuses are those of base/option.h, and ERASE_STATUS_OPEN.
 */
#ifndef NODAG_HISTORIAN_ERASE_COMMAND_H
#define NODAG_HISTORIAN_ERASE_COMMAND_H

#include "base/http_client.h"
#include "base/loop.h"
#include "base/option.h"
#include "reactors/clients/artefacts.h"
#include "reactors/historian/erase_found.h"
#include "reactors/historian/erase_records.h"
#include "reactors/historian/erase_target.h"
#include "topics/bus_kafka.h"
#include "topics/topic_scan.h"

/* Exit status: what could be done now is done, and something is left that the same command finishes later. */
#define ERASE_STATUS_OPEN 3

/* What the command line says. */
struct erase_settings {
    struct bus_kafka_settings kafka;    /* --brokers … */
    struct artefact_settings artefacts; /* --artefacts … */
    const char *scratch;                /* --scratch */
    int64_t wait_ms;                    /* --wait */
    bool dry_run;                       /* --dry-run */
    bool yes;                           /* --yes */
    bool json;                          /* --json */
};

/* One data set of the store, and what was found in it. */
struct erase_dataset {
    char sha256[DIGEST_TEXT_BYTES];   /* its name */
    char replaced[DIGEST_TEXT_BYTES]; /* what took its place; "": nothing yet */
    size_t rows;                      /* that are to go */
    size_t untold;                    /* of which nobody can tell whose they are */
    uint64_t version;                 /* of erase_found that it was looked through with; 0: never */
    bool is_missing;                  /* it is not in the store */
    bool is_named;                    /* by a record, now */
};

/* The command under way. */
struct erase_command {
    const struct option_program *program;  /* borrowed */
    const struct erase_settings *settings; /* borrowed */
    struct loop *loop;                     /* owned */
    struct erase_target target;            /* whose text */
    struct erase_found *found;             /* owned; issues */
    struct erase_records *records;         /* owned; runs and versions */
    struct topic_scan *issues;             /* owned; goes on until the end */
    struct bus *bus;                       /* owned; NULL until something is published */
    struct http_client *http;              /* owned; for a store behind HTTP */
    struct artefact_store *store;          /* owned; NULL until data sets are looked at */
    char *scratch;                         /* owned; folder for copies; NULL: none yet */
    int scratch_fd;                        /* of it, locked; -1: none */
    struct erase_dataset *datasets;        /* owned; all that were looked at */
    size_t dataset_count;                  /* of them */
    int64_t request_ms;                    /* when the request was made, since 1970 */
    int64_t shown_ms;                      /* when progress was last printed */
    bool is_terminal;                      /* progress is drawn over itself */
    bool is_done;                          /* the loop was stopped by what was waited for */
    size_t in_flight;                      /* records that are not acknowledged */
    int64_t published;                     /* offset of the last that was */
    size_t asked;                          /* requests published */
    size_t rewritten;                      /* records of runs and versions */
    size_t removed;                        /* objects of the store */
    size_t unreadable;                     /* records of `issues` */
    struct error error;                    /* of what was waited for */
};

/* ---- erase_main.c ---- */

/* Shows how far it is: drawn over itself on a terminal, now and then elsewhere. */
void erase_show(struct erase_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- erase_report.c ---- */

/* What there is to do, or what was done; lists are owned JSON arrays of texts. */
struct erase_tally {
    struct erase_counts issues; /* … */
    size_t datasets;            /* with rows that are to go, or went */
    size_t rows;                /* these */
    size_t untold;              /* rows of which nobody can tell whose they are */
    size_t files;               /* that may quote them */
    json_t *versions;           /* of models that were trained on them */
    json_t *earlier;            /* of models whose data was erased by other requests */
    json_t *runs;               /* without a version, that read them */
    json_t *under_way;          /* runs that are not over */
};

/* Counts; release it by erase_tally_release. `is_done`: what this command did, else what it will do. */
void erase_tally(const struct erase_command *command, bool is_done, struct erase_tally *ret_tally);

/* Frees its lists. */
void erase_tally_release(struct erase_tally *tally);

/* Prints what will be done, on standard error. */
void erase_print_plan(const struct erase_command *command, const struct erase_tally *tally,
                      const char *name);

/* Prints what was done, or with `is_dry` would be, and what remains: text or JSON on standard output. */
void erase_print_report(const struct erase_command *command, const struct erase_tally *tally,
                        const char *name, bool is_dry);

/* ---- erase_topics.c: all return 0, or a code with a text ---- */

/* Finds the ids of a repository that is given by name. */
int erase_read_names(struct erase_command *command, struct error *error) MUST_CHECK;

/* Reads `issues` to its end, and goes on reading while the loop runs. */
int erase_read_issues(struct erase_command *command, struct error *error) MUST_CHECK;

/* Reads `runs` and `models` to their ends. */
int erase_read_records(struct erase_command *command, struct error *error) MUST_CHECK;

/* Publishes a request for every wanted issue that was not asked for yet. */
int erase_ask(struct erase_command *command, struct error *error) MUST_CHECK;

/* Waits until all of them are done, `wait_ms` at most; what is left is counted by erase_found_count. */
int erase_await(struct erase_command *command, int64_t wait_ms, struct error *error) MUST_CHECK;

/* Publishes the record that takes the place of another (`value` is taken) and waits for the broker. */
int erase_publish(struct erase_command *command, const struct erase_record *record, json_t *value,
                  struct error *error) MUST_CHECK;

/* Frees what these have. */
void erase_topics_close(struct erase_command *command);

/* ---- erase_store.c: likewise ---- */

/* Looks through every data set that a record names, unless that was done with the same issues. */
int erase_look(struct erase_command *command, struct error *error) MUST_CHECK;

/* Replaces the data sets that hold rows that are to go, and rewrites the records that name them. */
int erase_replace(struct erase_command *command, struct error *error) MUST_CHECK;

/* Removes the objects that no record names any more. */
int erase_remove(struct erase_command *command, struct error *error) MUST_CHECK;

/* Frees what these have; no copy stays behind. */
void erase_store_close(struct erase_command *command);

#endif
