/*
 * What a run uses as a whole: memory of all its processes, bytes of all that it wrote.
 *
 * Design: setrlimit(2) limits a process; a notebook starts many. So the processes below the sandbox's wrapper are found in /proc, and a sample
 * adds up
 *
 *      memory      RssAnon + RssShmem of each (proc_pid_status(5)); pages that a fork shares count for each, so it errs on the safe side
 *      output      blocks of the files below scratch and of the log, and of files that are open in them and have no name any more
 *                  (deleted files, memfd_create(2))
 *
 * Between two samples a process may go over; RLIMIT_DATA and the sandbox's OOM score bound what that can do.
 *
 * Invariant: a sample never follows a link and never fails: what vanishes meanwhile counts as nothing.
 */
#ifndef NODAG_TRAINER_RUN_WATCH_H
#define NODAG_TRAINER_RUN_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Time between two samples. */
#define RUN_WATCH_INTERVAL_MS 200

/* Most processes that are looked at: SANDBOX_PROCESSES_MAX and some. */
#define RUN_WATCH_PROCESSES_MAX 1024

/* Processes of a run. */
struct run_processes {
    pid_t pids[RUN_WATCH_PROCESSES_MAX];
    size_t count;
};

/* What they use. */
struct run_usage {
    int64_t memory_bytes;
    int64_t unnamed_bytes; /* open files without a name */
};

/* Finds `root` and all that descend from it. Blocks for reads of /proc. Any thread. */
void run_watch_find(pid_t root, struct run_processes *ret_processes);

/* Adds up what they use. Likewise. */
struct run_usage run_watch_sample(const struct run_processes *processes);

/* Kills them all, by SIGKILL. Any thread. */
void run_watch_kill(const struct run_processes *processes);

/* Returns the bytes on disk of a file, or of all below a folder; at most `most` + the last file. Blocks. Any thread. */
int64_t run_watch_disk_bytes(const char *path, int64_t most);

#endif
