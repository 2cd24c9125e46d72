/*
 * The supervisor of one run: executor `local`.
 *
 * Design: a process for each run, started by the trainer and independent of it. It takes the run's directory (run_directory.h) and goes through
 * steps, one child process at a time:
 *
 *      fetch, checkout   the repository at the run's commit, with nodag's git credentials
 *      dataset           a copy of a file, or what a command writes, with nodag's rights
 *      python            which interpreter is this
 *      environment       requirements.txt → virtual environment in the cache        sandbox, with network
 *      notebook          papermill                                                  sandbox
 *      report            nbconvert to HTML                                          sandbox, no network
 *      upload            to the artefact store, with nodag's keys
 *      clean             scratch, mirror, data set, and environments that nobody has used for long (run_cache.h) are deleted
 *
 * Whatever fails, is over a limit or is cancelled sets the verdict, once; then report and upload follow all the same, because a
 * failed run is what people look at. These may take RUN_AFTERWARDS_MS beyond the deadline.
 *
 * An environment is CACHE/KEY, KEY = SHA-256 of requirements and interpreter. It is built beside, under its lock, by the run's user in a
 * sandbox, then renamed; runs see it read-only. pip gets wheels only: building a source package would run its code with the network open.
 * The cache may be deleted while nothing runs.
 *
 * Invariants: exactly one result, written last; SUCCEEDED only if papermill and nbconvert ended with 0, no cell of the notebook has an
 * error, and model, metrics, predictions, notebook and HTML are stored; no process of a run outlives its supervisor, however
 * that ends; code of the repository runs in the sandbox only.
 */
#ifndef NODAG_TRAINER_RUN_SUPERVISOR_H
#define NODAG_TRAINER_RUN_SUPERVISOR_H

#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* For report, upload and cleaning, after the deadline or a cancellation. */
#define RUN_AFTERWARDS_MS 180000

/* From SIGTERM to SIGKILL for a notebook: papermill saves after each cell already. */
#define RUN_GRACE_MS 3000

/* How a supervisor is set up; texts are borrowed for its life. Paths are absolute. */
struct run_settings {
    const char *folder;         /* the run's directory */
    const char *self;           /* this executable */
    const char *cache;          /* folder of environments */
    const char *python;         /* interpreter: a path, or a name on the PATH */
    const char *nodag;          /* the executable that notebooks call */
    const char *requirements;   /* where the repository has none */
    const char *pip_config;     /* pip.conf that building an environment sees; NULL: none */
    uid_t uid;                  /* started as root: the run's user */
    gid_t gid;                  /* likewise */
    int64_t upload_patience_ms; /* how long a store that is away is waited for */
};

/* A supervisor. */
struct run;

/*
 * Begins a run in a directory that was taken; `loop_stop` is called when the result is written. A spec that cannot be read becomes a result, too. Owned. Loop
 * thread.
 */
struct run *run_new(struct loop *loop, const struct run_settings *settings);

/* Stops the run as cancelled, because of `reason`; a second time: without report and uploads. Loop thread. */
void run_cancel(struct run *run, const char *reason);

/* Returns 0 if the result was written. ERR_IO with the reason where it could not be: then there is none. Loop thread. */
int run_outcome(const struct run *run, struct error *error) MUST_CHECK;

/* Kills what runs and frees; NULL allowed. Loop thread. */
void run_free(struct run *run);
DEFINE_CLEANUP(struct run *, run_free)

#endif
