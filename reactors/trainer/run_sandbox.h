/*
 * The sandbox: what runs code that a push can change, with nothing of nodag in its reach.
 *
 * Design: the supervisor's own executable, called with RUN_SANDBOX_ARGUMENT, makes the sandbox around itself and runs the program in it:
 *
 *      supervisor ── wrapper: new namespaces ── init: process 1 of its own process namespace ── program
 *                       │ dies with supervisor      │ dies with wrapper: the kernel kills all of the namespace
 *
 *      processes   a pid namespace: sees and signals only its own; what daemonises ends with it
 *      files       a root of its own with nothing but what is named: system folders read-only, the interpreter, the virtual environment,
 *                  the data set read-only, the scratch folder writable. No home, no /run, no sockets, no run directory
 *      network     a network namespace with loopback only, unless allowed
 *      rights      started as root: another user and no groups; else a user namespace. No new privileges, no new namespaces, no mounts, no
 *                  kernel keys (a seccomp filter)
 *      limits      setrlimit(2): see below; memory and output as a whole are watched from outside (run_watch.h)
 *
 * Where the kernel refuses a namespace the program does not run: there is no weaker form. In a container this needs
 * CAP_SYS_ADMIN, or user namespaces that the container's seccomp profile lets pass.
 *
 * Sources: namespaces(7), pivot_root(2), mount_setattr(2), PR_SET_PDEATHSIG(2const), PR_SET_NO_NEW_PRIVS(2const), seccomp(2), OFD.
 *
 * Invariants: no process of the sandbox outlives its wrapper; nothing outside scratch can be written by it; nothing that is not in
 * `shown` can be read.
 */
#ifndef NODAG_TRAINER_RUN_SANDBOX_H
#define NODAG_TRAINER_RUN_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/child.h"

/* The first argument that makes the executable the wrapper. */
#define RUN_SANDBOX_ARGUMENT "run-sandbox"

/* Exit status where the sandbox could not be made; the reason is on standard error. */
#define RUN_SANDBOX_FAILED 125

/* Places in the sandbox. */
#define SANDBOX_SCRATCH "/run/notebook"
/* See above. */
#define SANDBOX_VENV "/run/venv"

/* Processes and threads, open files, of the run's user: a notebook with parallel training needs a tenth. */
#define SANDBOX_PROCESSES_MAX 512
/* See above. */
#define SANDBOX_FILES_MAX 2048

/* What a process may reserve beyond the run's memory without using it: stacks, arenas. */
#define SANDBOX_RESERVE_BYTES ((int64_t)1 << 30)

/* Most things shown beside the system's own. */
#define SANDBOX_SHOWN_MAX 16

/* A file or folder that is shown. Texts borrowed. */
struct sandbox_shown {
    const char *from; /* path outside */
    const char *to;   /* absolute path inside */
    bool writable;
};

/* A sandbox. Texts borrowed. */
struct sandbox {
    const char *root; /* an empty folder outside: where the root is built */
    const char
        *scratch; /* folder outside; holds user, tmp and shm; SANDBOX_SCRATCH inside, writable */
    const char *folder;   /* working directory inside */
    uid_t uid;            /* as root: who it runs as; else ignored */
    gid_t gid;            /* likewise */
    bool network;         /* keep the machine's network */
    int64_t memory_bytes; /* soft limit of each process, with SANDBOX_RESERVE_BYTES */
    int64_t file_bytes;   /* largest file */
    struct sandbox_shown shown[SANDBOX_SHOWN_MAX];
    size_t shown_count;
};

/* Shows one more thing. Any thread. */
void sandbox_show(struct sandbox *sandbox, const char *from, const char *to, bool writable);

/*
 * Returns the command line of a program (NULL-terminated `argv`, at most CHILD_WORDS_MAX - 8 words) in the sandbox, for base/child.h; owned, as are
 * its words. `self`: path of this executable. Any thread.
 */
char **sandbox_command(const struct sandbox *sandbox, const char *self, const char *const *argv);

/* Frees a command line; NULL allowed. */
void sandbox_command_free(char **words);
DEFINE_CLEANUP(char **, sandbox_command_free)

/* Returns true if the arguments are the wrapper's. Before anything else. */
bool sandbox_is_asked(int argc, char **argv);

/* Makes the sandbox, runs the program and ends with its exit status (128 + number for a signal), or with RUN_SANDBOX_FAILED. Main thread. */
_Noreturn void sandbox_main(int argc, char **argv);

#endif
