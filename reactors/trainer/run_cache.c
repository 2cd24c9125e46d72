/*
 * The cache of virtual environments: see run_cache.h.
 */
#include "reactors/trainer/run_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/memory.h"

/* Entries of the cache that are looked at. */
#define ENTRIES_MAX 10000

/* Endings of names; see run_cache.h. */
#define BUILDING ".building"
/* See above. */
#define UNUSED ".unused"

int run_cache_open_lock(const char *environment, int *ret_fd, struct error *error)
{
    CLEANUP(mem_free) char *path = mem_format("%s.lock", environment);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    *ret_fd = fd;
    return 0;
}

bool run_cache_lock(int fd, bool alone)
{
    return flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0;
}

void run_cache_unlock(int fd)
{
    (void)flock(fd, LOCK_UN);
}

void run_cache_note_use(const char *environment)
{
    /* Where it fails the environment is made again one day. */
    (void)utimensat(AT_FDCWD, environment, NULL, AT_SYMLINK_NOFOLLOW);
}

/* What follows the key in a name: "" for an environment; NULL: it is none of ours. */
static const char *ending_of(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == DIGEST_TEXT_BYTES - 1 ? name + digits : NULL;
}

static bool is_old(const char *path, int64_t now_ms)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) &&
           now_ms - (int64_t)status.st_mtim.tv_sec * 1000 > RUN_CACHE_UNUSED_MS;
}

/* Renames an old entry unless somebody has its lock; true if it may be deleted now. */
static bool retire(const char *cache, const char *name, const char *unused, int64_t now_ms)
{
    CLEANUP(mem_free) char *path = mem_format("%s/%s", cache, name);
    CLEANUP(mem_free)
    char *environment = mem_format("%s/%.*s", cache, (int)(DIGEST_TEXT_BYTES - 1), name);
    struct error error = {0};
    int fd = -1;
    if (!is_old(path, now_ms) || run_cache_open_lock(environment, &fd, &error) != 0)
        return false;
    /* It may have been used since it was looked at. */
    bool is_retired = run_cache_lock(fd, true) && is_old(path, now_ms) && rename(path, unused) == 0;
    (void)close(fd);
    return is_retired;
}

size_t run_cache_retire(const char *cache, int64_t now_ms, char *ret_paths[RUN_CACHE_RETIRED_MAX])
{
    size_t count = 0;
    size_t entries = 0;
    DIR *folder = opendir(cache);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder);
         entry != NULL && entries < ENTRIES_MAX && count < RUN_CACHE_RETIRED_MAX;
         entry = readdir(folder), entries++) {
        const char *ending = ending_of(entry->d_name);
        if (ending == NULL)
            continue;
        CLEANUP(mem_free)
        char *unused =
            mem_format("%s/%.*s" UNUSED, cache, (int)(DIGEST_TEXT_BYTES - 1), entry->d_name);
        bool is_kept = ending[0] == '\0' || strcmp(ending, BUILDING) == 0;
        if (strcmp(ending, UNUSED) == 0 ||
            (is_kept && retire(cache, entry->d_name, unused, now_ms)))
            ret_paths[count++] = TAKE(unused);
    }
    (void)closedir(folder);
    return count;
}
