/*
 * One simulated history: people, GitHub, Kafka, one or two labelers and perhaps a historian, driven by two
 * seeds.
 *
 * Design: the people's seed decides what people do; the order's seed decides everything else: when
 * webhooks arrive (late, twice, out of order), how Kafka and GitHub behave, when labelers crash and
 * start. So the same doings of people can be run in many orders.
 *
 *   quiet       people act first; then the events are delivered while everything fails. The end
 * must not depend on the order. concurrent  people act while labelers work.
 *
 * Invariants that are checked: every event is accounted for (stored offset = end, nothing pending,
 * undecodable ones on dead.letters); one comment; no human decision overridden; no label is added that
 * somebody removed by an event that stood before the one that nodag handled; labels at the end are what
 * model, document and people say.
 */
#ifndef NODAG_TESTS_SIM_SIM_H
#define NODAG_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Longest text about the end of a history. */
#define SIM_TEXT_BYTES 8192

/* What to run. */
struct sim_plan {
    uint64_t people_seed; /* what people do */
    uint64_t order_seed;  /* everything else */
    bool concurrent;      /* people act while labelers work */
    bool by_record;       /* first looks by the topic issues, which a historian writes */
    FILE *history;        /* where the history is printed, or NULL */
};

/* What came of it. */
struct sim_result {
    char failure[SIM_TEXT_BYTES];     /* "" or the first broken invariant */
    char fingerprint[SIM_TEXT_BYTES]; /* labels and comments of all issues at the end */
    unsigned long events;             /* records delivered */
    unsigned long requests;           /* made on GitHub */
    unsigned long crashes;            /* of labelers and historians */
    unsigned long by_record;          /* looks by a record of issues */
};

/* Trains the small model that all simulations use. Returns false and prints why if that fails.
 * Once, first. */
bool sim_prepare(void);

/* Frees the model. */
void sim_finish(void);

/* Runs one history to its end. */
void sim_run(const struct sim_plan *plan, struct sim_result *ret_result);

#endif
