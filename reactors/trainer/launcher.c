/*
 * Starting supervisors of runs, as processes that outlive the trainer: see launcher.h.
 */
#include "reactors/trainer/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

/* First descriptor that a supervisor does not get. */
#define FIRST_FD 3

/* Variables of the trainer's environment that a supervisor gets, options of its own among them. */
static const char *const kept[] = {"PATH",
                                   "HOME",
                                   "LANG",
                                   "LC_ALL",
                                   "TZ",
                                   "TMPDIR",
                                   "SSL_CERT_FILE",
                                   "HTTP_PROXY",
                                   "HTTPS_PROXY",
                                   "NO_PROXY",
                                   "http_proxy",
                                   "https_proxy",
                                   "no_proxy",
                                   "NODAG_PYTHON",
                                   "NODAG_REQUIREMENTS",
                                   "NODAG_PIP_CONFIG",
                                   "NODAG_RUN_USER",
                                   "NODAG_RUN_GROUP",
                                   "NODAG_UPLOAD_PATIENCE",
                                   "ASAN_OPTIONS",
                                   "UBSAN_OPTIONS"};

/* The real one. */
struct spawner {
    struct launcher interface;             /* first */
    char *program;                         /* owned */
    char *cache;                           /* owned, or NULL */
    pid_t children[LAUNCHER_CHILDREN_MAX]; /* to be reaped */
    size_t child_count;                    /* of them */
};

static void spawner_reap(struct launcher *launcher)
{
    struct spawner *spawner = (struct spawner *)launcher;
    for (size_t i = spawner->child_count; i > 0; i--)
        if (waitpid(spawner->children[i - 1], NULL, WNOHANG) != 0)
            spawner->children[i - 1] = spawner->children[--spawner->child_count];
}

/* Fills the environment of a supervisor; texts are owned. */
static size_t make_environment(char **environment)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        const char *value = getenv(kept[i]);
        if (value != NULL)
            environment[count++] = mem_format("%s=%s", kept[i], value);
    }
    environment[count] = NULL;
    return count;
}

static int spawn(struct spawner *spawner, const char *run_folder, pid_t *ret_pid)
{
    char *environment[ARRAY_COUNT(kept) + 1];
    size_t count = make_environment(environment);
    CLEANUP(mem_free) char *log = mem_format("%s/supervisor.log", run_folder);
    char *argv[] = {spawner->program, (char *)(uintptr_t)run_folder, NULL, NULL, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t all;
    sigset_t none;
    if (spawner->cache != NULL) {
        argv[1] = (char *)(uintptr_t) "--cache";
        argv[2] = spawner->cache;
        argv[3] = (char *)(uintptr_t)run_folder;
    }
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    int code = posix_spawn_file_actions_init(&files);
    code = code != 0 ? code : posix_spawnattr_init(&attributes);
    if (code != 0)
        abort(); /* as base/memory.h: an allocation failed */
    code = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (code == 0)
        code = posix_spawn_file_actions_addopen(&files, 1, log,
                                                O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&files, 1, 2);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(&files, FIRST_FD);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    if (code == 0)
        code = posix_spawn(ret_pid, spawner->program, &files, &attributes, argv, environment);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    while (count > 0)
        mem_free(environment[--count]);
    return code;
}

static int spawner_start(struct launcher *launcher, const char *run_folder, struct error *error)
{
    struct spawner *spawner = (struct spawner *)launcher;
    pid_t pid = 0;
    spawner_reap(launcher);
    if (spawner->child_count == LAUNCHER_CHILDREN_MAX)
        return error_set(error, ERR_QUEUE_FULL, "%d supervisors run already",
                         LAUNCHER_CHILDREN_MAX);
    int number = spawn(spawner, run_folder, &pid);
    if (number != 0)
        return error_set(error,
                         number == ENOENT                      ? ERR_NOT_FOUND
                         : number == EACCES || number == EPERM ? ERR_DENIED
                                                               : ERR_IO,
                         "the supervisor %s cannot be started: %s; --supervisor names it",
                         spawner->program, strerror(number));
    spawner->children[spawner->child_count++] = pid;
    return 0;
}

struct launcher *launcher_new(const char *program, const char *cache)
{
    struct spawner *spawner = MEM_NEW(struct spawner);
    spawner->interface = (struct launcher){.start = spawner_start, .reap = spawner_reap};
    spawner->program = mem_copy_text(program);
    spawner->cache = mem_copy_text(cache);
    return &spawner->interface;
}

void launcher_free(struct launcher *launcher)
{
    struct spawner *spawner = (struct spawner *)launcher;
    if (spawner == NULL)
        return;
    mem_free(spawner->program);
    mem_free(spawner->cache);
    mem_free(spawner);
}
