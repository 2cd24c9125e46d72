/*
 * The guard: a small process that kills the groups of all children when the daemon is gone, however it went.
 *
 * Design: PR_SET_PDEATHSIG reaches a child but not what the child started: a git that is killed leaves its
 * transports behind, which may
 * hang for as long as the other side likes. So a process is forked that reads a pipe of which only the
 * daemon (and each child until
 * it is its program) holds the other end. A child announces itself through it before it executes anything;
 * the daemon takes it back when its
 * group is empty. The end of the pipe is the end of the daemon: the guard kills what is left and ends.
 *
 *      child  ──+pid──▶ ┌───────┐
 *      daemon ──-pid──▶ │ guard │ ── end of the pipe: SIGKILL to every group that is left
 *                       └───────┘
 *
 * Source: pipe(7): writes of up to PIPE_BUF bytes are atomic.
 *
 * Invariants: the guard makes async-signal-safe calls only, because it is a fork of a process that may have
 * threads; it holds no
 * descriptor but the pipe; a group is in its list from before its program runs until after the group is empty.
 */
#ifndef NODAG_BASE_CHILD_GUARD_H
#define NODAG_BASE_CHILD_GUARD_H

#include <sys/types.h>

/* Most groups at once. */
#define CHILD_GUARD_GROUPS_MAX 1024

/* A guard. */
struct child_guard {
    pid_t pid;    /* of the guard's process; -1: there is none */
    int write_fd; /* owned; closed on exec; -1: there is none */
};

/*
 * Starts the guard. Without processes or descriptors left there is none, and only the children themselves
 * die with the daemon. Loop thread.
 */
void child_guard_start(struct child_guard *guard);

/* Announces the calling process' own group; between fork and execve. Async-signal-safe. */
void child_guard_announce(const struct child_guard *guard, pid_t pid);

/* Takes a group back. Loop thread. */
void child_guard_withdraw(const struct child_guard *guard, pid_t pid);

/* Ends the guard, which kills what was not taken back. Loop thread. */
void child_guard_end(struct child_guard *guard);

#endif
