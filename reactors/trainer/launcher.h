/*
 * Starting supervisors of runs: processes that outlive the trainer.
 *
 * Design: `struct launcher` is a narrow interface, so that tests can play the supervisor. The real one
 * starts `nodag-train-run RUN_DIR` in a session of its own, with a small environment, without any
 * descriptor of the trainer's; its own complaints go to the file `supervisor.log` of the directory.
 * What it does is seen through the directory (run_directory.h), never through the process; the process is
 * only reaped. base/child.h is not used: its children die with the daemon, and that is what a run
 * must not.
 *
 * Source: posix_spawn(3), POSIX_SPAWN_SETSID; posix_spawn_file_actions_addclosefrom_np(3).
 */
#ifndef NODAG_TRAINER_LAUNCHER_H
#define NODAG_TRAINER_LAUNCHER_H

#include "base/cleanup.h"
#include "base/error.h"

/* Most supervisors that are reaped; more is a runaway. */
#define LAUNCHER_CHILDREN_MAX 1024

/* The narrow interface. */
struct launcher {
    /*
     * Starts the supervisor of a directory; it may turn out to be a second one, and then ends by itself.
     * ERR_NOT_FOUND, ERR_DENIED (the program), ERR_IO, ERR_QUEUE_FULL. Loop thread.
     */
    int (*start)(struct launcher *launcher, const char *run_folder, struct error *error);
    /* Reaps what has ended; called now and then. */
    void (*reap)(struct launcher *launcher);
};

/*
 * Makes the real one. `program` is the path of nodag-train-run, `cache` the folder for what runs share
 * (NULL: the supervisor's own choice); both are copied. Owned.
 */
struct launcher *launcher_new(const char *program, const char *cache);

/* Frees the real one; supervisors go on. NULL allowed. Loop thread. */
void launcher_free(struct launcher *launcher);
DEFINE_CLEANUP(struct launcher *, launcher_free)

#endif
