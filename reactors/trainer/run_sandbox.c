/*
 * Making the sandbox: see run_sandbox.h.
 *
 *      wrapper   unshare ─▶ fork ─▶ waits, passes the exit status on
 *      init      loopback up, root entered, rights dropped ─▶ fork ─▶ reaps all, ends with the program
 *      program   limits, filter, execve
 *
 * Design: what the wrapper is to do stands in one JSON argument, made by sandbox_command from a struct and read back here. Failures before the program runs
 * go to standard error, which is the run's log, with status RUN_SANDBOX_FAILED.
 *
 * Invariants: the program starts only if every step before it worked; init holds no descriptor but 0, 1, 2 and the wrapper's pipe.
 */
#include "reactors/trainer/run_sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/run_sandbox_private.h"

/* Words before the program: executable, RUN_SANDBOX_ARGUMENT, the JSON text. */
#define WORDS_BEFORE 3

/* The kernel's OOM killer takes a sandbox before anything of nodag. */
#define OOM_SCORE "1000"

/* ---- the command line ---- */

void sandbox_show(struct sandbox *sandbox, const char *from, const char *to, bool writable)
{
    assert(sandbox->shown_count < SANDBOX_SHOWN_MAX);
    sandbox->shown[sandbox->shown_count++] =
        (struct sandbox_shown){.from = from, .to = to, .writable = writable};
}

static char *settings_text(const struct sandbox *sandbox)
{
    CLEANUP(json_release) json_t *shown = json_array();
    for (size_t i = 0; i < sandbox->shown_count; i++)
        (void)json_array_append_new(
            shown, json_pack("{s:s, s:s, s:b}", "from", sandbox->shown[i].from, "to",
                             sandbox->shown[i].to, "writable", (int)sandbox->shown[i].writable));
    CLEANUP(json_release)
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:I, s:O}", "root", sandbox->root, "scratch",
                  sandbox->scratch, "folder", sandbox->folder, "uid", (json_int_t)sandbox->uid,
                  "gid", (json_int_t)sandbox->gid, "network", (int)sandbox->network, "memory_bytes",
                  (json_int_t)sandbox->memory_bytes, "file_bytes", (json_int_t)sandbox->file_bytes,
                  "shown", shown);
    assert(json != NULL);
    return json_write(json, NULL);
}

char **sandbox_command(const struct sandbox *sandbox, const char *self, const char *const *argv)
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    char **words = mem_alloc_array(WORDS_BEFORE + count + 1, sizeof(*words));
    words[0] = mem_copy_text(self);
    words[1] = mem_copy_text(RUN_SANDBOX_ARGUMENT);
    words[2] = settings_text(sandbox);
    for (size_t i = 0; i < count; i++)
        words[WORDS_BEFORE + i] = mem_copy_text(argv[i]);
    return words;
}

void sandbox_command_free(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

bool sandbox_is_asked(int argc, char **argv)
{
    return argc > WORDS_BEFORE && strcmp(argv[1], RUN_SANDBOX_ARGUMENT) == 0;
}

/* Reads what settings_text wrote; texts are borrowed from `json`. */
static int read_settings(const json_t *json, struct sandbox *sandbox, struct error *error)
{
    int64_t uid = 0;
    int64_t gid = 0;
    int code = json_get_text(json, "root", &sandbox->root, error);
    if (code == 0)
        code = json_get_text(json, "scratch", &sandbox->scratch, error);
    if (code == 0)
        code = json_get_text(json, "folder", &sandbox->folder, error);
    if (code == 0)
        code = json_get_int(json, "uid", &uid, error);
    if (code == 0)
        code = json_get_int(json, "gid", &gid, error);
    if (code == 0)
        code = json_get_bool(json, "network", &sandbox->network, error);
    if (code == 0)
        code = json_get_int(json, "memory_bytes", &sandbox->memory_bytes, error);
    if (code == 0)
        code = json_get_int(json, "file_bytes", &sandbox->file_bytes, error);
    sandbox->uid = (uid_t)uid;
    sandbox->gid = (gid_t)gid;
    const json_t *shown = json_object_get(json, "shown");
    for (size_t i = 0; i < json_array_size(shown) && i < SANDBOX_SHOWN_MAX && code == 0; i++) {
        const json_t *item = json_array_get(shown, i);
        sandbox_show(sandbox, json_text_or(item, "from", ""), json_text_or(item, "to", ""),
                     json_is_true(json_object_get(item, "writable")));
    }
    return code;
}

/* ---- steps ---- */

static int fail(struct error *error, const char *what)
{
    int number = errno;
    return error_set(error, number == EPERM || number == EACCES ? ERR_DENIED : ERR_IO, "%s: %s",
                     what, strerror(number));
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    (void)close(fd);
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

/* New namespaces for the children of this process; without root a user namespace, in which our own user is all there is. */
static int leave_the_machine(const struct sandbox *sandbox, struct error *error)
{
    bool is_root = geteuid() == 0;
    pid_t supervisor = getppid();
    CLEANUP(mem_free) char *uids = mem_format("%u %u 1", geteuid(), geteuid());
    CLEANUP(mem_free) char *gids = mem_format("%u %u 1", getegid(), getegid());
    int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                (sandbox->network ? 0 : CLONE_NEWNET) | (is_root ? 0 : CLONE_NEWUSER);
    if (unshare(flags) != 0) {
        int number = errno;
        return error_set(
            error, ERR_UNSUPPORTED,
            "no namespaces (%s): a run needs them to be kept apart from nodag. Start the trainer "
            "as root with CAP_SYS_ADMIN, or allow user namespaces (sysctl, AppArmor, the "
            "container's seccomp profile)",
            strerror(number));
    }
    if (is_root)
        return 0;
    if (write_text("/proc/self/setgroups", "deny") != 0 ||
        write_text("/proc/self/uid_map", uids) != 0 || write_text("/proc/self/gid_map", gids) != 0)
        return fail(error, "map the user into its namespace");
    /* New capabilities have cleared the death signal that child_start had set. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != supervisor)
        return error_set(error, ERR_CANCELLED, "the supervisor is gone");
    return 0;
}

/* A new network namespace has a loopback that is down. */
static int raise_loopback(struct error *error)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int code = 0;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        code = fail(error, "bring the loopback up");
    if (fd >= 0)
        (void)close(fd);
    return code;
}

static int drop_rights(const struct sandbox *sandbox, struct error *error)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(sandbox->gid, sandbox->gid, sandbox->gid) != 0 ||
         setresuid(sandbox->uid, sandbox->uid, sandbox->uid) != 0))
        return fail(error, "become the run's user");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(error, "give up new privileges");
    (void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL); /* ENOSYS: no keys */
    return 0;
}

static int limit(__rlimit_resource_t resource, int64_t soft, int64_t hard)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return -1;
    rlim_t most = hard < 0 ? now.rlim_max : (rlim_t)hard;
    if (most > now.rlim_max)
        most = now.rlim_max;
    now = (struct rlimit){.rlim_cur = (rlim_t)soft < most ? (rlim_t)soft : most, .rlim_max = most};
    return setrlimit(resource, &now);
}

/* Of each process. Memory is a soft limit, for the sake of a clear MemoryError; the watch is the hard one. */
static int set_limits(const struct sandbox *sandbox, struct error *error)
{
    if (limit(RLIMIT_CORE, 0, 0) != 0 ||
        limit(RLIMIT_FSIZE, sandbox->file_bytes, sandbox->file_bytes) != 0 ||
        limit(RLIMIT_NPROC, SANDBOX_PROCESSES_MAX, SANDBOX_PROCESSES_MAX) != 0 ||
        limit(RLIMIT_NOFILE, SANDBOX_FILES_MAX, SANDBOX_FILES_MAX) != 0 ||
        limit(RLIMIT_DATA, sandbox->memory_bytes + SANDBOX_RESERVE_BYTES, -1) != 0)
        return fail(error, "set limits");
    return 0;
}

static int status_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int complain(const struct error *error)
{
    (void)fprintf(stderr, "sandbox: %s\n", error->text);
    (void)fflush(stderr);
    return RUN_SANDBOX_FAILED;
}

/* ---- the three processes ---- */

/* Ends a process, past what the C library and sanitizers do at an end: they would start processes of their own, which would be in the new namespace. */
static _Noreturn void leave(int status)
{
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

static int run_program(const struct sandbox *sandbox, char **argv)
{
    struct error error = {0};
    (void)signal(SIGTERM, SIG_DFL);
    int code = set_limits(sandbox, &error);
    if (code == 0 && chdir(sandbox->folder) != 0)
        code = fail(&error, sandbox->folder);
    if (code == 0)
        code = sandbox_filter_calls(&error);
    if (code != 0)
        return complain(&error);
    (void)execvp(argv[0], argv);
    (void)error_set(&error, ERR_NOT_FOUND, "%s: %s", argv[0], strerror(errno));
    return complain(&error);
}

/* Until here nothing of the run's own code ran. The pipe's end tells that the wrapper died before the death signal was set. */
static int prepare_init(const struct sandbox *sandbox, int wrapper_fd, struct error *error)
{
    (void)write_text("/proc/self/oom_score_adj", OOM_SCORE);
    int code = sandbox->network ? 0 : raise_loopback(error);
    if (code == 0)
        code = sandbox_enter_root(sandbox, error);
    if (code == 0)
        code = drop_rights(sandbox, error);
    if (code != 0)
        return code;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return fail(error, "die with the supervisor");
    struct pollfd end = {.fd = wrapper_fd, .events = POLLIN};
    return poll(&end, 1, 0) != 0 ? error_set(error, ERR_CANCELLED, "the supervisor is gone") : 0;
}

static int run_init(const struct sandbox *sandbox, int wrapper_fd, char **argv)
{
    struct error error = {0};
    if (prepare_init(sandbox, wrapper_fd, &error) != 0)
        return complain(&error);
    pid_t program = fork();
    if (program < 0) {
        (void)fail(&error, "fork");
        return complain(&error);
    }
    if (program == 0) {
        (void)close(wrapper_fd);
        leave(run_program(sandbox, argv));
    }
    for (;;) {
        int status = 0;
        pid_t ended = waitpid(-1, &status, 0);
        if (ended == program)
            return status_of(status);
        if (ended < 0 && errno != EINTR)
            return RUN_SANDBOX_FAILED;
    }
}

static int run_wrapper(const struct sandbox *sandbox, char **argv)
{
    struct error error = {0};
    int ends[2];
    int status = 0;
    /* The group is told to end as a whole: the program decides, not we. */
    (void)signal(SIGTERM, SIG_IGN);
    int code = leave_the_machine(sandbox, &error);
    if (code == 0 && pipe2(ends, O_CLOEXEC) != 0)
        code = fail(&error, "make a pipe");
    if (code != 0)
        return complain(&error);
    pid_t init = fork();
    if (init < 0) {
        (void)fail(&error, "fork");
        return complain(&error);
    }
    if (init == 0) {
        (void)close(ends[1]);
        leave(run_init(sandbox, ends[0], argv));
    }
    (void)close(ends[0]);
    while (waitpid(init, &status, 0) < 0 && errno == EINTR)
        continue;
    return status_of(status);
}

void sandbox_main(int argc, char **argv)
{
    struct sandbox sandbox = {.uid = 0};
    struct error error = {0};
    CLEANUP(json_release) json_t *json = NULL;
    assert(argc > WORDS_BEFORE);
    int code = json_read(argv[2], strlen(argv[2]), &json, &error);
    if (code == 0)
        code = read_settings(json, &sandbox, &error);
    leave(code == 0 ? run_wrapper(&sandbox, argv + WORDS_BEFORE) : complain(&error));
}
