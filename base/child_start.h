/*
 * Between child.c and child_start.c: the step from a spec to a running process.
 *
 * Design: fork and execve, because posix_spawn can set neither limits nor the death signal. Between the two only
 * async-signal-safe calls are made, on memory that was prepared before: the process has other threads,
 * whose locks a fork
 * copies as they are. What fails there comes back through a pipe that execve closes.
 *
 * Invariant: after a failure no process and no descriptor is left.
 */
#ifndef NODAG_BASE_CHILD_START_H
#define NODAG_BASE_CHILD_START_H

#include <sys/types.h>

#include "base/child.h"
#include "base/child_guard.h"
#include "base/error.h"

/* Fills an owned copy of a spec, with all that it points to. Loop thread. */
void child_spec_copy(const struct child_spec *spec, struct child_spec *copy);

/* Wipes the input of a copy and frees what it owns. Loop thread. */
void child_spec_release(struct child_spec *copy);

/* A process that was started. */
struct child_process {
    pid_t pid;     /* also its group and session */
    int output_fd; /* owned: reads its standard output, not blocking; -1 if that goes to a file */
    int errors_fd; /* owned: likewise for standard error */
};

/*
 * Starts the process of a spec and announces it to the guard. ERR_NOT_FOUND (no such program or folder),
 * ERR_DENIED, ERR_IO with a text that names
 * the program. Blocks for the time of a fork and an exec. Loop thread.
 */
int child_process_start(const struct child_spec *spec, const struct child_guard *guard,
                        struct child_process *ret_process, struct error *error) MUST_CHECK;

#endif
