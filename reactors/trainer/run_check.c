/*
 * A sandbox on trial: see run_check.h.
 */
#include "reactors/trainer/run_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/memory.h"
#include "reactors/trainer/run_sandbox.h"

/* Making a sandbox takes milliseconds. */
#define CHECK_DEADLINE_MS 30000

/* What `true` may reserve and write: nothing like this. */
#define CHECK_BYTES ((int64_t)1 << 30)

/* Folders of a sandbox, parents first; removed from the last one on. */
static const char *const folders[] = {"root", "scratch", "scratch/tmp", "scratch/shm"};

/* The trial. */
struct check {
    struct loop *loop;   /* borrowed */
    struct error *error; /* borrowed */
    int code;
};

static void on_done(void *argument, const struct child_result *result)
{
    struct check *check = argument;
    check->code = 0;
    if (result->code != 0 || result->exit_status != 0)
        check->code = error_set(
            check->error, ERR_UNSUPPORTED, "no sandbox can be made here, so no training runs: %s",
            result->errors_bytes > 0 ? result->errors : "its program did not run");
    loop_stop(check->loop);
}

static int make_folders(const char *folder, struct error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        CLEANUP(mem_free) char *path = mem_format("%s/%s", folder, folders[i]);
        if (mkdir(path, 0755) != 0)
            return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    }
    return 0;
}

static void remove_folders(const char *folder)
{
    for (size_t i = ARRAY_COUNT(folders); i > 0; i--) {
        CLEANUP(mem_free) char *path = mem_format("%s/%s", folder, folders[i - 1]);
        (void)rmdir(path);
    }
    (void)rmdir(folder);
}

static int try_sandbox(const struct run_settings *settings, const char *folder, struct error *error)
{
    static const char *const words[] = {"true", NULL};
    static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    CLEANUP(mem_free) char *root = mem_format("%s/root", folder);
    CLEANUP(mem_free) char *scratch = mem_format("%s/scratch", folder);
    const struct sandbox sandbox = {.root = root,
                                    .scratch = scratch,
                                    .folder = "/",
                                    .uid = settings->uid,
                                    .gid = settings->gid,
                                    .memory_bytes = CHECK_BYTES,
                                    .file_bytes = CHECK_BYTES};
    CLEANUP(sandbox_command_free) char **argv = sandbox_command(&sandbox, settings->self, words);
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    CLEANUP(children_free) struct children *children = children_new(loop, 1);
    const struct child_spec spec = {.argv = (const char *const *)argv,
                                    .env = environment,
                                    .deadline_ms = CHECK_DEADLINE_MS,
                                    .errors_max_bytes = ERROR_TEXT_BYTES};
    struct check check = {.loop = loop, .error = error, .code = ERR_IO};
    (void)child_start(children, &spec, on_done, &check);
    loop_run(loop);
    return check.code;
}

int run_check_sandbox(const struct run_settings *settings, struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    CLEANUP(mem_free)
    char *folder = mem_format("%s/nodag-check-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(folder) == NULL)
        return error_set(error, ERR_IO, "%s: %s", folder, strerror(errno));
    int code = make_folders(folder, error);
    if (code == 0)
        code = try_sandbox(settings, folder, error);
    remove_folders(folder);
    return code;
}
