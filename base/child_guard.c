/*
 * The guard of children: see child_guard.h.
 */
#include "base/child_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the pipe carries: a group that is there, or, below 0, one that is gone. */
typedef pid_t message;

/* Adds or removes a group. */
static void note(pid_t *groups, size_t *count, message said)
{
    pid_t group = said > 0 ? said : -said;
    for (size_t i = 0; i < *count; i++) {
        if (groups[i] == group) {
            if (said < 0)
                groups[i] = groups[--*count];
            return;
        }
    }
    if (said > 0 && *count < CHILD_GUARD_GROUPS_MAX)
        groups[(*count)++] = group;
}

/* The guard's life. Signals that are meant for the daemon must not end it before the daemon. */
static _Noreturn void guard_run(int read_fd)
{
    static pid_t groups[CHILD_GUARD_GROUPS_MAX];
    size_t count = 0;
    message said = 0;
    (void)setsid();
    (void)prctl(PR_SET_NAME, "nodag-guard");
    if (dup2(read_fd, STDIN_FILENO) < 0)
        _exit(1);
    (void)close_range(STDIN_FILENO + 1, ~0U, 0);
    for (;;) {
        ssize_t got = read(STDIN_FILENO, &said, sizeof(said));
        if (got == (ssize_t)sizeof(said))
            note(groups, &count, said);
        else if (got >= 0 || errno != EINTR)
            break;
    }
    for (size_t i = 0; i < count; i++)
        (void)kill(-groups[i], SIGKILL);
    _exit(0);
}

void child_guard_start(struct child_guard *guard)
{
    int ends[2];
    sigset_t all;
    sigset_t before;
    *guard = (struct child_guard){.pid = -1, .write_fd = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        guard_run(ends[0]); /* all signals stay blocked */
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(ends[0]);
    if (pid < 0) {
        (void)close(ends[1]);
        return;
    }
    guard->pid = pid;
    guard->write_fd = ends[1];
}

/* A guard that is gone cannot be told: then SIGPIPE is what the daemon ignores, and a child has reset. */
static void tell(const struct child_guard *guard, message said)
{
    if (guard->write_fd < 0)
        return;
    ssize_t written = write(guard->write_fd, &said, sizeof(said));
    (void)written;
}

void child_guard_announce(const struct child_guard *guard, pid_t pid)
{
    tell(guard, pid);
}

void child_guard_withdraw(const struct child_guard *guard, pid_t pid)
{
    tell(guard, -pid);
}

void child_guard_end(struct child_guard *guard)
{
    if (guard->write_fd >= 0)
        (void)close(guard->write_fd);
    if (guard->pid > 0)
        (void)waitpid(guard->pid, NULL, 0);
    *guard = (struct child_guard){.pid = -1, .write_fd = -1};
}
