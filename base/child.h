/*
 * Child processes with deadlines, on the loop: git's network work, and later training runs.
 *
 * Design: `struct children` is a narrow interface (function pointers), so that the simulation can play the
 * children. The real one starts each child as the leader of a session and process group of its own:
 *
 *      child_start ─▶ waits for a place ─▶ runs ──exits──▶ rest of its group: SIGKILL ─▶ done(result)
 *                                           │
 *                        deadline, output over its limit, child_stop: SIGTERM to the group, grace, SIGKILL to it
 *
 * A child sees nothing of the daemon but what the spec names: its environment is given whole, standard input is empty
 * or the bytes given, every other descriptor is closed, signals are as a shell would set them. It and
 * its group are killed when the daemon dies (child_guard.h). The daemon is a subreaper: what a child leaves
 * behind in its group comes to it, is killed and is
 * reaped, also where the daemon is process 1 of a container. What leaves the group by setsid(2) is not followed: give
 * such programs a container.
 *
 * Sources: setsid(2), PR_SET_PDEATHSIG(2const), PR_SET_CHILD_SUBREAPER(2const), waitpid(2).
 *
 * Invariants: `done` runs exactly once for each child that was started, never from within child_start or child_stop,
 * unless the child was abandoned; when it runs, no process of the child's group is alive (but see
 * CHILD_GONE_MS); at most `running_max` children run at once, the others wait in their order.
 */
#ifndef NODAG_BASE_CHILD_H
#define NODAG_BASE_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* From SIGTERM to SIGKILL where the spec says 0. */
#define CHILD_GRACE_MS 5000

/*
 * How long the killed rest of a group is waited for: only the kernel can hold it up longer (a dead network
 * file system).
 */
#define CHILD_GONE_MS 10000

/* Most children that wait for a place: owners start one for each thing that they own, so more is a runaway. */
#define CHILD_WAITING_MAX 10000

/* Most places of one set of children; the guard keeps that many groups. */
#define CHILD_RUNNING_MAX 1000

/* Most words of a command line, and most variables of an environment. */
#define CHILD_WORDS_MAX 256

/* Limits of one child, by setrlimit(2); 0: none. They hold for each process of it, not for their sum. */
struct child_limits {
    int64_t file_max_bytes;   /* largest file that it writes (RLIMIT_FSIZE) */
    int64_t memory_max_bytes; /* address space (RLIMIT_AS) */
    int64_t cpu_max_s;        /* processor time (RLIMIT_CPU) */
};

/* What to run; everything is copied by child_start. */
struct child_spec {
    const char *const *
        argv; /* program and arguments, NULL-terminated; without a slash it is looked for on the PATH of env */
    const char *const *env;  /* the whole environment, "NAME=value", NULL-terminated; NULL: empty */
    const char *folder;      /* working directory; NULL: / */
    const void *input;       /* bytes of standard input; NULL: none */
    size_t input_bytes;      /* how many */
    int64_t deadline_ms;     /* from its start to SIGTERM; > 0 */
    int64_t grace_ms;        /* from SIGTERM to SIGKILL; 0: CHILD_GRACE_MS */
    size_t output_max_bytes; /* of standard output; more ends the child with ERR_TOO_LARGE */
    size_t errors_max_bytes; /* of standard error that are kept, the last ones; more is no fault */
    const char *
        output_file; /* both are appended to this file (made with mode 0600) instead; NULL: they are kept */
    struct child_limits limits;
};

/* What came of a child; borrowed, valid during the callback. */
struct child_result {
    /*
     * 0: it ended by itself, as exit_status or exit_signal says. ERR_TIMEOUT: ended at its deadline.
     * ERR_TOO_LARGE: ended for its
     * output. ERR_CANCELLED: ended by child_stop. ERR_NOT_FOUND, ERR_DENIED, ERR_IO: it could not be started.
     * ERR_QUEUE_FULL: too many waited.
     */
    int code;
    int exit_status;     /* 0..255; -1 if a signal ended it or it never ran */
    int exit_signal;     /* the signal that ended it, or 0 */
    const char *output;  /* standard output, NUL-terminated, never NULL */
    size_t output_bytes; /* length */
    const char *
        errors; /* end of standard error, NUL-terminated, never NULL; where it could not be started: why */
    size_t errors_bytes; /* length */
    int64_t run_ms;      /* how long it ran */
};

/* What came of a child. Loop thread. */
typedef void (*child_done_fn)(void *argument, const struct child_result *result);

/* A child that waits or runs; borrowed from its owner until `done` ran or it was abandoned. */
struct child;

/* The narrow interface. Implementations embed it as their first member. */
struct children {
    /* See child_start. */
    struct child *(*start)(struct children *children, const struct child_spec *spec,
                           child_done_fn done, void *argument);
    /* See child_stop. */
    void (*stop)(struct children *children, struct child *child);
    /* See child_abandon. */
    void (*abandon)(struct children *children, struct child *child);
    /* See child_process_id; NULL: these children are no processes. */
    pid_t (*process_id)(const struct children *children, const struct child *child);
};

/*
 * Makes the real children on a real loop; at most `running_max`, 1..CHILD_RUNNING_MAX, run at once. Several
 * share a loop. Owned. Loop thread.
 */
struct children *children_new(struct loop *loop, size_t running_max);

/* Kills what runs and frees; `done` is not called any more. NULL allowed. Loop thread. */
void children_free(struct children *children);
DEFINE_CLEANUP(struct children *, children_free)

/* Returns how many children of the real implementation run now. Loop thread. */
size_t children_running(const struct children *children);

/* Returns how many wait for a place. Loop thread. */
size_t children_waiting(const struct children *children);

/*
 * Starts a child as soon as there is a place; `done(argument, …)` runs later. Returns a borrowed handle.
 * Loop thread.
 */
static inline struct child *child_start(struct children *children, const struct child_spec *spec,
                                        child_done_fn done, void *argument)
{
    return children->start(children, spec, done, argument);
}

/* Asks a child to end: SIGTERM, grace, SIGKILL; `done` follows. Again has no effect. Loop thread. */
static inline void child_stop(struct children *children, struct child *child)
{
    children->stop(children, child);
}

/* Kills a child at once and forgets it: its `done` does not run. Loop thread. */
static inline void child_abandon(struct children *children, struct child *child)
{
    children->abandon(children, child);
}

/*
 * Returns the process of a child, also its group and session; 0 while it waits, or where children are no
 * processes. Loop thread.
 */
static inline pid_t child_process_id(const struct children *children, const struct child *child)
{
    return children->process_id != NULL ? children->process_id(children, child) : 0;
}

#endif
