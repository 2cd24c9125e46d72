/*
 * The labeler: *open issues carry the labels that the model predicts, minus what people decided
 * otherwise*.
 *
 *   github.events ─ route ─▶ key ID#number ─▶ observe ─▶ plan ─▶ act ─▶ predictions
 *                                              (forge)   (pure)  (forge)
 *
 * Design: one job for each key under way: the repository's knowledge, the issue, its timeline (two
 * reads), the plan, the writes one after the other, the record of the decision. Every step looks
 * first and every write may be repeated, so a job that was cut anywhere starts again from the
 * beginning and does no harm.
 *
 * Everything outside (loop, bus, forge) is handed in: the daemon hands in the real ones, the
 * simulation a world of its own.
 *
 * Invariants: those of plan.h; a key is DONE only after its record was acknowledged; the newest
 * documents and models are used by every job from its observation on.
 */
#ifndef NODAG_LABELER_LABELER_H
#define NODAG_LABELER_LABELER_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "reactors/clients/forge.h"
#include "reactors/kernel/kernel.h"
#include "reactors/labeler/document.h"
#include "reactors/labeler/fresh.h"
#include "reactors/labeler/models.h"
#include "topics/bus.h"
#include "topics/spec_table.h"

/* What the labeler stands on; borrowed for its life. */
struct labeler_ground {
    struct loop *loop;                       /* time and order */
    struct bus *bus;                         /* events in, records out */
    struct forge *forge;                     /* GitHub */
    struct metrics *metrics;                 /* NULL: none */
    const struct kernel_settings *kernel;    /* concurrency, backoff, sweep */
    const struct spec_table_settings *specs; /* where the documents come from */
    const struct fresh_settings *fresh;      /* NULL: the forge is asked, always */
    /* Told of each look at an issue (its key) by a record of `issues`; NULL: nobody is. For the simulation. */
    void (*looked)(void *argument, const char *key);
    void *looked_argument; /* of looked */
};

/* A running labeler. */
struct labeler;

/*
 * Starts: reads the documents and asks the forge who nodag is (again and again until it answers),
 * then joins `github.events`. Takes `models`, also when it fails. Owned. The codes of spec_table_new.
 * Loop thread.
 */
int labeler_new(const struct labeler_ground *ground, struct models *models,
                struct labeler **ret_labeler, struct error *error) MUST_CHECK;

/* Returns the documents that are in force; borrowed until the next turn of the loop. Loop thread. */
const struct document_set *labeler_documents(const struct labeler *labeler);

/*
 * Calls `changed(argument)` whenever labeler_documents gives another set, before any key is looked at
 * because of it: for whoever loads their models. Loop thread.
 */
void labeler_on_documents(struct labeler *labeler, loop_fn changed, void *argument);

/* A person asks to look again: a folder of documents is read, stalled keys are woken. Loop thread. */
void labeler_reload(struct labeler *labeler);

/* Returns the models, to load them again. Borrowed. */
struct models *labeler_models(struct labeler *labeler);

/* The models changed: wakes keys that wait for one, and those that are tried again later while their
 * document's models can be used. Loop thread. */
void labeler_models_changed(struct labeler *labeler);

/* Calls `changed(argument)` when labeler_unready_reason may have changed. Loop thread. */
void labeler_on_ready(struct labeler *labeler, loop_fn changed, void *argument);

/* Returns NULL when it works, else why not yet; static storage. Loop thread. */
const char *labeler_unready_reason(const struct labeler *labeler);

/* Returns how many issues were looked at by a record of the topic issues, without the forge. For tests. Loop
 * thread. */
size_t labeler_looks_by_record(const struct labeler *labeler);

/* Finishes what is under way, leaves the group, calls `drained(argument)`. Loop thread. */
void labeler_drain(struct labeler *labeler, void (*drained)(void *argument), void *argument);

/* Abandons everything and frees; NULL allowed. Loop thread. */
void labeler_free(struct labeler *labeler);
DEFINE_CLEANUP(struct labeler *, labeler_free)

#endif
