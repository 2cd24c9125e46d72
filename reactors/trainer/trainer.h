/*
 * The trainer: *a fresh model exists* for each Model document.
 *
 *   specs (topic or folder) ─┐
 *   runs, models            ─┤                                       ┌─▶ runs, models
 *   issues (labels)         ─┼─▶ key Model/NAME ─▶ observe ─▶ plan ─▶ act
 *   git.pushes (heads)      ─┤    (one at a time)   (pure)         └─▶ run directories, supervisors
 *   deployments, serving    ─┘
 *
 * Design: the home topic `specs` has one partition, so one replica acts and the others stand by. A job
 * asks the plan again after each action until there is nothing to do now. The order of a run's effects,
 * each of which may be repeated after a crash because all names are deterministic:
 *
 *      runs: PENDING ─▶ run directory ─▶ supervisor ─▶ runs: RUNNING ─▶ (its result) ─▶ models ─▶ runs: its end
 *
 * While a run is under way its directory is looked at every TRAINER_LOOK_MS. What is waited for without
 * a fault is waited for by the trainer's own timers, which a restart sets again; only faults, failures
 * and what a person must change go to the topic `pending`.
 *
 * One that slept and woke up as if nothing had happened would say what another replica has said: see TRAINER_SLEPT_MS.
 *
 * Everything outside (loop, bus, HTTP, artefacts, supervisors) is handed in.
 *
 * Invariants: of one model at most one run is not terminal; a run gets one terminal record; a version's
 * record is published before its run's end, and after its artefacts were stored.
 */
#ifndef NODAG_TRAINER_TRAINER_H
#define NODAG_TRAINER_TRAINER_H

#include "base/child.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "reactors/clients/artefacts.h"
#include "reactors/kernel/kernel.h"
#include "reactors/trainer/launcher.h"
#include "topics/bus.h"
#include "topics/spec_table.h"

/* How often the directory of a run under way is looked at, in milliseconds. */
#define TRAINER_LOOK_MS 1000

/* What a run needs besides its document. Texts are borrowed. */
struct trainer_settings {
    const char *runs;         /* folder of run directories; absolute */
    const char *host;         /* who may see that folder */
    const char *dataset_file; /* --dataset: a file of examples for every run; NULL: dataset_argv */
    const char *const
        *dataset_argv; /* command that writes the data set of a model; NULL-terminated;
                                        "{model}" stands for its name, "{file}" for the file, "{run}" at
                                        the beginning of a word for the run's directory */
    struct artefact_settings artefacts; /* for run.json */
    const char *git_credentials;        /* for run.json; NULL: none */
    const char *git_known_hosts;        /* likewise */
    const char *git_ca;                 /* likewise */
    int64_t memory_bytes;               /* of a run */
    int64_t output_bytes;               /* of a run */
    int64_t sync_interval_ms;           /* how often needsSyncUrl is asked */
    int64_t backoff_ms;                 /* see struct plan_facts */
};

/* What the trainer stands on; borrowed for its life. */
struct trainer_ground {
    struct loop *loop; /* time and order */
    struct bus *bus;   /* records in and out */
    struct http_client
        *http; /* for needsSyncUrl: refuses link-local addresses; NULL: it is not asked */
    struct artefact_store *artefacts; /* for collection */
    struct launcher *launcher;        /* supervisors */
    struct children *children; /* git, for documents of a folder; NULL: folders have no code */
    struct metrics *metrics;   /* NULL: none */
    const struct kernel_settings *kernel;    /* concurrency, backoff, sweep */
    const struct spec_table_settings *specs; /* where the documents come from */
    const struct trainer_settings *settings; /* see there */
};

/* A running trainer. */
struct trainer;

/* Reads the documents, then joins `specs`. Owned. The codes of spec_table_new. Loop thread. */
int trainer_new(const struct trainer_ground *ground, struct trainer **ret_trainer,
                struct error *error) MUST_CHECK;

/* Calls `changed(argument)` when trainer_unready_reason may have changed. Loop thread. */
void trainer_on_ready(struct trainer *trainer, loop_fn changed, void *argument);

/*
 * Returns NULL when it works or stands by, else why not yet; static storage. Loop thread.
 */
const char *trainer_unready_reason(const struct trainer *trainer);

/* A person asks to look again: a folder of documents is read, stalled models are looked at. */
void trainer_reload(struct trainer *trainer);

/*
 * Says whether a model needs training, in the form of needs_sync.h: an owned text and the HTTP status that
 * goes with it: 200; 404: no such Model; 503: this replica stands by or reads its tables still. `name` NULL:
 * the only Model there is, else 400. Loop thread.
 */
int trainer_describe(const struct trainer *trainer, const char *name, char **ret_text,
                     size_t *ret_bytes);

/* Finishes what is under way (not the runs, which go on), leaves the group, calls `drained(argument)`. Loop
 * thread. */
void trainer_drain(struct trainer *trainer, void (*drained)(void *argument), void *argument);

/* Abandons everything but the runs, and frees; NULL allowed. Loop thread. */
void trainer_free(struct trainer *trainer);
DEFINE_CLEANUP(struct trainer *, trainer_free)

#endif
