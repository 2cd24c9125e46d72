/*
 * Samples of a run's use: see run_watch.h.
 */
#include "reactors/trainer/run_watch.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file in /proc that is read. */
#define TEXT_BYTES 4096

/* Bytes of a block of st_blocks; stat(3type). */
#define BLOCK_BYTES 512

/* Deepest folder that is entered: the rest cannot be measured and counts as too much. */
#define DEPTH_MAX 128

/* What is assumed of folders deeper than that. */
#define UNMEASURED_BYTES ((int64_t)1 << 50)

/* Reads a small file of /proc; false if it is gone. */
static bool read_text(const char *path, char ret_text[TEXT_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t bytes = read(fd, ret_text, TEXT_BYTES - 1);
    (void)close(fd);
    if (bytes <= 0)
        return false;
    ret_text[bytes] = '\0';
    return true;
}

/* Parent of a process; -1 if it is gone. The name in field 2 may hold anything, so the last ")" counts. */
static pid_t parent_of(pid_t pid)
{
    char path[64];
    char text[TEXT_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_text(path, text))
        return -1;
    const char *end = strrchr(text, ')');
    return end != NULL && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : -1;
}

static bool contains(const struct run_processes *processes, pid_t pid)
{
    for (size_t i = 0; i < processes->count; i++)
        if (processes->pids[i] == pid)
            return true;
    return false;
}

/* A child usually has a higher number than its parent, but numbers wrap: so until a pass finds nothing more. */
void run_watch_find(pid_t root, struct run_processes *ret_processes)
{
    DIR *folder = opendir("/proc");
    ret_processes->pids[0] = root;
    ret_processes->count = 1;
    for (size_t before = 0; folder != NULL && before != ret_processes->count;) {
        before = ret_processes->count;
        rewinddir(folder);
        for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
            pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
            if (pid <= 0 || ret_processes->count == RUN_WATCH_PROCESSES_MAX ||
                contains(ret_processes, pid) || !contains(ret_processes, parent_of(pid)))
                continue;
            ret_processes->pids[ret_processes->count++] = pid;
        }
    }
    if (folder != NULL)
        (void)closedir(folder);
}

static int64_t status_kib(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? strtoll(found + strlen(name), NULL, 10) : 0;
}

static int64_t unnamed_bytes(pid_t pid)
{
    char path[64];
    int64_t bytes = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct stat status;
        if (isdigit((unsigned char)entry->d_name[0]) &&
            fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode) &&
            status.st_nlink == 0)
            bytes += (int64_t)status.st_blocks * BLOCK_BYTES;
    }
    (void)closedir(folder);
    return bytes;
}

struct run_usage run_watch_sample(const struct run_processes *processes)
{
    struct run_usage usage = {0};
    for (size_t i = 0; i < processes->count; i++) {
        char path[64];
        char text[TEXT_BYTES];
        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)processes->pids[i]);
        if (read_text(path, text))
            usage.memory_bytes +=
                (status_kib(text, "\nRssAnon:") + status_kib(text, "\nRssShmem:")) * 1024;
        usage.unnamed_bytes += unnamed_bytes(processes->pids[i]);
    }
    return usage;
}

void run_watch_kill(const struct run_processes *processes)
{
    for (size_t i = 0; i < processes->count; i++)
        (void)kill(processes->pids[i], SIGKILL);
}

/* Takes `fd`. */
static int64_t folder_bytes(int fd, int64_t most, int depth)
{
    DIR *folder = fdopendir(fd);
    int64_t bytes = 0;
    if (folder == NULL) {
        (void)close(fd);
        return 0;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL && bytes <= most;
         entry = readdir(folder)) {
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        bytes += (int64_t)status.st_blocks * BLOCK_BYTES;
        if (!S_ISDIR(status.st_mode))
            continue;
        int inner =
            openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0 && depth < DEPTH_MAX)
            bytes += folder_bytes(inner, most - bytes, depth + 1);
        else if (inner >= 0)
            (void)close(inner);
        if (depth >= DEPTH_MAX)
            bytes += UNMEASURED_BYTES;
    }
    (void)closedir(folder);
    return bytes;
}

int64_t run_watch_disk_bytes(const char *path, int64_t most)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        return folder_bytes(fd, most, 0);
    (void)close(fd);
    return (int64_t)status.st_blocks * BLOCK_BYTES;
}
