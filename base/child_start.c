/*
 * From a spec to a running process: see child_start.h.
 *
 *      parent                                  child, between fork and execve
 *      paths, pipes, memory file prepared
 *      fork ──────────────────────────────────▶ setsid, signals as new, death signal, limits,
 *      read the report pipe  ◀── {step, errno} ─ descriptors 0 1 2, all others closed, chdir, execve
 *      end of file: it runs                     (a failure is reported, then _exit)
 *
 * Invariant: everything that the child needs stands in `struct plan` before the fork.
 */
#include "base/child_start.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

/* Where programs are looked for if the environment has no PATH. */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Exit status of a child that could not become its program; as shells have it. */
#define STATUS_NOT_STARTED 127

/* Steps of the child that can fail: name, and what is said of it. */
#define STEP_TABLE(X)                                                                              \
    X(STEP_SESSION, "no session of its own")                                                       \
    X(STEP_DEATH_SIGNAL, "no signal at the daemon's end")                                          \
    X(STEP_LIMITS, "its limits cannot be set")                                                     \
    X(STEP_DESCRIPTORS, "its descriptors cannot be set")                                           \
    X(STEP_FOLDER, "its working directory cannot be entered")                                      \
    X(STEP_PROGRAM, "the program cannot be executed")

/* The steps of STEP_TABLE. */
enum step {
#define STEP_ENUM(name, text) name,
    STEP_TABLE(STEP_ENUM)
#undef STEP_ENUM
        STEP_COUNT,
};

/* What a child reports that could not start. */
struct report {
    int step;         /* enum step */
    int error_number; /* errno */
};

/* What the child needs, prepared before the fork. */
struct plan {
    const struct child_spec *spec;
    const struct child_guard *guard;
    char *program;  /* owned: path */
    pid_t parent;   /* who forks */
    int input_fd;   /* for 0 */
    int output_fd;  /* for 1 */
    int errors_fd;  /* for 2 */
    int report_fd;  /* closed by execve */
    sigset_t empty; /* no signal */
};

/* ---- the child: async-signal-safe calls only ---- */

static _Noreturn void child_fail(const struct plan *plan, enum step step)
{
    const struct report report = {.step = (int)step, .error_number = errno};
    ssize_t written = write(plan->report_fd, &report, sizeof(report));
    (void)written; /* nobody is left to be told */
    _exit(STATUS_NOT_STARTED);
}

/* Signals are as in a new process: what the daemon ignores or handles is none of the child's business. */
static void child_reset_signals(const struct plan *plan)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL); /* KILL, STOP and the C library's own are refused */
    (void)sigprocmask(SIG_SETMASK, &plan->empty, NULL);
}

static void child_die_with_parent(const struct plan *plan)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        child_fail(plan, STEP_DEATH_SIGNAL);
    if (getppid() != plan->parent)
        _exit(STATUS_NOT_STARTED); /* it died before the line above */
    child_guard_announce(plan->guard, getpid());
}

static void child_limit(const struct plan *plan, int resource, int64_t limit)
{
    const struct rlimit value = {.rlim_cur = (rlim_t)limit, .rlim_max = (rlim_t)limit};
    if (limit > 0 && setrlimit((__rlimit_resource_t)resource, &value) != 0)
        child_fail(plan, STEP_LIMITS);
}

static void child_set_limits(const struct plan *plan)
{
    const struct child_limits *limits = &plan->spec->limits;
    child_limit(plan, RLIMIT_CORE, 1); /* next to nothing: a core would hold secrets */
    child_limit(plan, RLIMIT_FSIZE, limits->file_max_bytes);
    child_limit(plan, RLIMIT_AS, limits->memory_max_bytes);
    child_limit(plan, RLIMIT_CPU, limits->cpu_max_s);
}

/* The three descriptors are ≥ 3, so that none is overwritten before it is copied. */
static void child_set_descriptors(const struct plan *plan)
{
    if (dup2(plan->input_fd, STDIN_FILENO) < 0 || dup2(plan->output_fd, STDOUT_FILENO) < 0 ||
        dup2(plan->errors_fd, STDERR_FILENO) < 0)
        child_fail(plan, STEP_DESCRIPTORS);
    /* Not closed but marked: the report pipe must live until execve. */
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        child_fail(plan, STEP_DESCRIPTORS);
}

static _Noreturn void child_become(const struct plan *plan)
{
    static char *const no_environment[] = {NULL};
    const struct child_spec *spec = plan->spec;
    if (setsid() < 0)
        child_fail(plan, STEP_SESSION);
    child_reset_signals(plan);
    child_die_with_parent(plan);
    child_set_limits(plan);
    child_set_descriptors(plan);
    if (chdir(spec->folder != NULL ? spec->folder : "/") != 0)
        child_fail(plan, STEP_FOLDER);
    char *const *env =
        spec->env != NULL ? (char *const *)(uintptr_t)spec->env : (char *const *)no_environment;
    (void)execve(plan->program, (char *const *)(uintptr_t)spec->argv, env);
    child_fail(plan, STEP_PROGRAM);
}

/* ---- the parent ---- */

static const char *find_path(const char *const *env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++)
        if (strncmp(env[i], "PATH=", 5) == 0)
            return env[i] + 5;
    return DEFAULT_PATH;
}

/* Finds the program as execvp(3) does, but on the child's own PATH. Owned; NULL if there is none. */
static char *find_program(const struct child_spec *spec)
{
    const char *name = spec->argv[0];
    if (strchr(name, '/') != NULL)
        return mem_copy_text(name);
    for (const char *path = find_path(spec->env);;) {
        size_t bytes = strcspn(path, ":");
        char *candidate = mem_format("%.*s/%s", (int)bytes, path, name);
        if (bytes > 0 && access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
        if (path[bytes] == '\0')
            return NULL;
        path += bytes + 1;
    }
}

/* Moves a descriptor (taken) to 3 or above, closed on exec. Returns it, or -1. */
static int raise_fd(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)close(fd);
    return raised;
}

/* A pipe whose ends are ≥ 3. */
static int open_pipe(int ret_ends[2])
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    ret_ends[0] = raise_fd(ends[0]);
    ret_ends[1] = raise_fd(ends[1]);
    return ret_ends[0] < 0 || ret_ends[1] < 0 ? -1 : 0;
}

/* A descriptor that reads the input: a file in memory, so that nobody must feed a pipe. */
static int open_input(const struct child_spec *spec)
{
    if (spec->input == NULL)
        return raise_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int fd = raise_fd(memfd_create("child-input", MFD_CLOEXEC));
    const char *bytes = spec->input;
    size_t left = spec->input_bytes;
    while (fd >= 0 && left > 0) {
        ssize_t written = write(fd, bytes, left);
        if (written <= 0) {
            (void)close(fd);
            return -1;
        }
        bytes += written;
        left -= (size_t)written;
    }
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Opens what becomes 0, 1 and 2 of the child, and our ends of it. */
static int open_descriptors(struct plan *plan, struct child_process *process)
{
    const struct child_spec *spec = plan->spec;
    plan->input_fd = open_input(spec);
    if (spec->output_file != NULL) {
        plan->output_fd = raise_fd(
            open(spec->output_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600));
        plan->errors_fd =
            plan->output_fd < 0 ? -1 : fcntl(plan->output_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return plan->input_fd < 0 || plan->errors_fd < 0 ? -1 : 0;
    }
    int output[2] = {-1, -1};
    int errors[2] = {-1, -1};
    int failed = open_pipe(output) | open_pipe(errors);
    process->output_fd = output[0];
    plan->output_fd = output[1];
    process->errors_fd = errors[0];
    plan->errors_fd = errors[1];
    if (failed != 0 || plan->input_fd < 0)
        return -1;
    return fcntl(output[0], F_SETFL, O_NONBLOCK) | fcntl(errors[0], F_SETFL, O_NONBLOCK);
}

static int code_of(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

/* Waits until the child is its program, or has said why not. */
static int await_exec(const struct plan *plan, pid_t pid, int report_fd, struct error *error)
{
    static const char *const texts[STEP_COUNT] = {
#define STEP_TEXT(name, text) [name] = (text),
        STEP_TABLE(STEP_TEXT)
#undef STEP_TEXT
    };
    struct report report;
    ssize_t got = 0;
    do {
        got = read(report_fd, &report, sizeof(report));
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(report))
        return 0;
    (void)waitpid(pid, NULL, 0);
    assert(report.step >= 0 && report.step < STEP_COUNT);
    return error_set(error, code_of(report.error_number), "%s: %s: %s", plan->spec->argv[0],
                     texts[report.step], strerror(report.error_number));
}

/* Forks; the child's signals are blocked until it has reset them, so that no handler of ours runs there. */
static pid_t fork_child(const struct plan *plan)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        child_become(plan);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int start_planned(struct plan *plan, struct child_process *process, struct error *error)
{
    int report[2] = {-1, -1};
    if (open_descriptors(plan, process) != 0 || open_pipe(report) != 0) {
        int number = errno;
        close_fd(&report[0]);
        close_fd(&report[1]);
        return error_set(error, code_of(number), "%s: its descriptors cannot be opened%s%s: %s",
                         plan->spec->argv[0], plan->spec->output_file != NULL ? ": " : "",
                         plan->spec->output_file != NULL ? plan->spec->output_file : "",
                         strerror(number));
    }
    plan->report_fd = report[1];
    process->pid = fork_child(plan);
    int code = 0;
    close_fd(&report[1]);
    if (process->pid < 0)
        code = error_set(error, ERR_IO, "%s: no process can be made: %s", plan->spec->argv[0],
                         strerror(errno));
    else
        code = await_exec(plan, process->pid, report[0], error);
    close_fd(&report[0]);
    return code;
}

int child_process_start(const struct child_spec *spec, const struct child_guard *guard,
                        struct child_process *ret_process, struct error *error)
{
    struct child_process process = {.pid = -1, .output_fd = -1, .errors_fd = -1};
    struct plan plan = {.spec = spec,
                        .guard = guard,
                        .parent = getpid(),
                        .input_fd = -1,
                        .output_fd = -1,
                        .errors_fd = -1};
    (void)sigemptyset(&plan.empty);
    CLEANUP(mem_free) char *program = find_program(spec);
    plan.program = program;
    int code = program == NULL ? error_set(error, ERR_NOT_FOUND,
                                           "%s: there is no such program on the PATH (%s)",
                                           spec->argv[0], find_path(spec->env))
                               : start_planned(&plan, &process, error);
    close_fd(&plan.input_fd);
    close_fd(&plan.output_fd);
    close_fd(&plan.errors_fd);
    if (code == 0) {
        *ret_process = process;
        return 0;
    }
    close_fd(&process.output_fd);
    close_fd(&process.errors_fd);
    return code;
}

/* ---- the spec's copy ---- */

static char **copy_words(const char *const *words)
{
    size_t count = 0;
    while (words != NULL && words[count] != NULL)
        count++;
    assert(count <= CHILD_WORDS_MAX);
    char **copy = mem_alloc_array(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_copy_text(words[i]);
    return copy;
}

static void free_words(const char *const *words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free((void *)(uintptr_t)words[i]);
    free((void *)(uintptr_t)words);
}

void child_spec_copy(const struct child_spec *spec, struct child_spec *copy)
{
    *copy = *spec;
    copy->argv = (const char *const *)copy_words(spec->argv);
    copy->env = (const char *const *)copy_words(spec->env);
    copy->folder = mem_copy_text(spec->folder);
    copy->output_file = mem_copy_text(spec->output_file);
    copy->input = spec->input != NULL ? mem_copy_bytes(spec->input, spec->input_bytes) : NULL;
}

void child_spec_release(struct child_spec *spec)
{
    free_words(spec->argv);
    free_words(spec->env);
    free((void *)(uintptr_t)spec->folder);
    free((void *)(uintptr_t)spec->output_file);
    if (spec->input != NULL) /* it may hold a secret */
        explicit_bzero((void *)(uintptr_t)spec->input, spec->input_bytes);
    free((void *)(uintptr_t)spec->input);
}
