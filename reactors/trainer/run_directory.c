/*
 * Files of a run's directory: see run_directory.h.
 *
 * Invariant: every file but the lock and the log is complete whenever it is seen.
 */
#include "reactors/trainer/run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"

static char *path_of(const char *folder, const char *name)
{
    return mem_format("%s/%s", folder, name);
}

static int code_of(int number)
{
    switch (number) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

static int fail(struct error *error, const char *path)
{
    int number = errno;
    return error_set(error, code_of(number), "%s: %s", path, strerror(number));
}

/* Makes an error that has its text a corrupt file's. */
static int fail_corrupt(struct error *error, const char *path)
{
    if (error != NULL)
        error->code = ERR_CORRUPT;
    return error_prefix(error, ERR_CORRUPT, "%s", path);
}

/* ---- reading and writing ---- */

int run_directory_write(const char *folder, const char *name, const json_t *json,
                        struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, name);
    size_t bytes = 0;
    CLEANUP(mem_free) char *text = json_write(json, &bytes);
    return file_write_atomically(path, text, bytes, error);
}

int run_directory_read(const char *folder, const char *name, json_t **ret_json, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, name);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(RUN_FILE_MAX_BYTES);
    CLEANUP(json_release) json_t *json = NULL;
    int code = file_read(path, &text, error);
    if (code != 0)
        return code;
    code = json_read(text.data != NULL ? text.data : "", text.size_bytes, &json, error);
    if (code == 0 && !json_is_object(json))
        code = error_set(error, ERR_INPUT, "not a JSON object");
    if (code != 0)
        return fail_corrupt(error, path);
    *ret_json = TAKE(json);
    return 0;
}

/* ---- the lock ---- */

/* The whole file, from its first byte. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

int run_directory_take(const char *folder, int *ret_fd, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, RUN_FILE_LOCK);
    CLEANUP(mem_free) char *temporary = mem_format("%s.%d", path, (int)getpid());
    struct flock lock = whole_file();
    (void)unlink(temporary);
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(error, temporary);
    int code = 0;
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        code = fail(error, temporary);
    else if (link(temporary, path) != 0)
        code = errno == EEXIST ? error_set(error, ERR_CONFLICT,
                                           "%s: another supervisor has this run, or had it; a run "
                                           "that was lost is tried again under a new name",
                                           folder)
                               : fail(error, path);
    (void)unlink(temporary);
    if (code != 0) {
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

/* What the lock says. */
enum lock_sight {
    LOCK_NONE, /* there was no supervisor yet */
    LOCK_HELD, /* it lives */
    LOCK_FREE, /* it died */
};

static int look_at_lock(const char *folder, enum lock_sight *ret_sight, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, RUN_FILE_LOCK);
    struct flock lock = whole_file();
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *ret_sight = LOCK_NONE;
        return 0;
    }
    if (fd < 0)
        return fail(error, path);
    int code = fcntl(fd, F_OFD_GETLK, &lock) != 0 ? fail(error, path) : 0;
    (void)close(fd);
    if (code == 0)
        *ret_sight = lock.l_type == F_UNLCK ? LOCK_FREE : LOCK_HELD;
    return code;
}

int run_uploads_lock(const char *runs, bool alone, int *ret_fd, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(runs, RUN_UPLOADS_LOCK);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(error, path);
    if (flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        int code = errno == EWOULDBLOCK
                       ? error_set(error, ERR_CONFLICT, "%s: artefacts are being %s", path,
                                   alone ? "stored" : "removed")
                       : fail(error, path);
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- the trainer's side ---- */

int run_directory_create(const char *folder, const json_t *spec, struct error *error)
{
    enum lock_sight lock = LOCK_NONE;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fail(error, folder);
    int code = look_at_lock(folder, &lock, error);
    if (code != 0)
        return code;
    if (lock != LOCK_NONE)
        return error_set(error, ERR_CONFLICT, "%s: a supervisor has this run, or had it", folder);
    code = run_directory_write(folder, RUN_FILE_SPEC, spec, error);
    if (code == 0)
        file_sync_folder(folder);
    return code;
}

int run_directory_cancel(const char *folder, const char *reason, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, RUN_FILE_CANCEL);
    return file_write_atomically(path, reason, strlen(reason), error);
}

static int read_time(const json_t *json, const char *name, int64_t *ret_ms, struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(json, name, &text, error);
    if (code == 0 && time_from_text(text, strlen(text), ret_ms) != 0)
        code = error_set(error, ERR_INPUT, "%s is no time", name);
    return code;
}

static int read_result(const char *folder, struct run_result *ret_result, struct error *error)
{
    CLEANUP(json_release) json_t *json = NULL;
    struct run_result result = {.state = RUN_FAILED};
    const char *state = NULL;
    int code = run_directory_read(folder, RUN_FILE_RESULT, &json, error);
    if (code != 0)
        return code;
    code = json_get_text(json, "state", &state, error);
    if (code == 0 && (!run_state_from_name(state, &result.state) ||
                      !run_state_is_terminal(result.state) || result.state == RUN_LOST))
        code = error_set(error, ERR_INPUT, "state is none that a supervisor writes");
    if (code == 0)
        code = read_time(json, "started_at", &result.started_ms, error);
    if (code == 0)
        code = read_time(json, "ended_at", &result.ended_ms, error);
    if (code != 0)
        return fail_corrupt(error, folder);
    (void)snprintf(result.reason, sizeof(result.reason), "%s", json_text_or(json, "reason", ""));
    result.json = TAKE(json);
    *ret_result = result;
    return 0;
}

void run_result_release(struct run_result *result)
{
    json_decref(result->json);
    *result = (struct run_result){.state = RUN_FAILED};
}

int run_directory_observe(const char *folder, enum run_sight *ret_sight,
                          struct run_result *ret_result, struct error *error)
{
    CLEANUP(mem_free) char *path = path_of(folder, RUN_FILE_SPEC);
    enum lock_sight lock = LOCK_NONE;
    if (access(path, F_OK) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return fail(error, path);
        *ret_sight = RUN_SIGHT_ABSENT;
        return 0;
    }
    /* The lock first: a result that is not there although the lock was free before will never be. */
    int code = look_at_lock(folder, &lock, error);
    if (code != 0)
        return code;
    code = read_result(folder, ret_result, error);
    if (code == 0) {
        *ret_sight = RUN_SIGHT_FINISHED;
        return 0;
    }
    if (code != ERR_NOT_FOUND)
        return code;
    static const enum run_sight sights[] = {[LOCK_NONE] = RUN_SIGHT_ABSENT,
                                            [LOCK_HELD] = RUN_SIGHT_RUNNING,
                                            [LOCK_FREE] = RUN_SIGHT_GONE};
    *ret_sight = sights[lock];
    return 0;
}

const char *run_sight_name(enum run_sight sight)
{
    static const char *const names[] = {
        [RUN_SIGHT_ABSENT] = "ABSENT",       [RUN_SIGHT_RUNNING] = "RUNNING",
        [RUN_SIGHT_FINISHED] = "FINISHED",   [RUN_SIGHT_GONE] = "GONE",
        [RUN_SIGHT_ELSEWHERE] = "ELSEWHERE",
    };
    return names[sight];
}
