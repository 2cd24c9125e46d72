/*
 * The order of a run's steps, its verdict and its limits: see run_supervisor.h.
 *
 *      step starts ─▶ child ─▶ end ─▶ run_step_over ──no verdict──▶ next step ─ … ─▶ clean ─▶ result
 *          └──────── fails ──────────▶ verdict ─────────────────▶ report ─▶ upload ─▶ clean ─▶ result
 *
 * Invariants: run_step_over defers, so steps never nest; after `is_over` nothing is written.
 */
#include "reactors/trainer/run_supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/trainer/run_private.h"
#include "reactors/trainer/run_watch.h"

/* Deadline of a child: never before the run's own, which ends it with a reason. */
#define CHILD_DEADLINE_MS (RUN_DEADLINE_MOST_MS + RUN_AFTERWARDS_MS)

/* Reason that is read from the cancel file. */
#define CANCEL_MAX_BYTES 400

/* End of the log that is searched for a last line. */
#define LOG_END_BYTES 8192

/* A step. */
static const struct {
    const char *name;
    int (*start)(struct run *run, struct error *error);
    void (*end)(struct run *run, const struct child_result *result);
} steps[STEP_COUNT] = {
#define RUN_STEP_ROW(step, text, start_fn, end_fn) [step] = {text, start_fn, end_fn},
    RUN_STEPS(RUN_STEP_ROW)
#undef RUN_STEP_ROW
};

static void run_begin_step(void *argument);

/* ---- log ---- */

void run_log(struct run *run, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    int fd = open(run->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || bytes < 0)
        return;
    size_t used = strlen(line);
    line[used++] = '\n';
    ssize_t written = write(fd, line, used);
    (void)written; /* a full disk shows elsewhere */
    (void)close(fd);
}

void run_last_line(struct run *run, char *ret_line, size_t line_bytes)
{
    char end[LOG_END_BYTES + 1];
    struct error error = {0};
    int fd = open(run->log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    ssize_t got =
        fd < 0 ? -1
               : pread(fd, end, LOG_END_BYTES, size > LOG_END_BYTES ? size - LOG_END_BYTES : 0);
    if (fd >= 0)
        (void)close(fd);
    ret_line[0] = '\0';
    while (got > 0 && (unsigned char)end[got - 1] <= ' ')
        got--;
    if (got <= 0)
        return;
    end[got] = '\0';
    const char *line = strrchr(end, '\n');
    line = line != NULL ? line + 1 : end;
    if (strncmp(line, "==> ", 4) == 0)
        return;
    (void)error_set(&error, ERR_IO, "%s", line); /* makes it UTF-8 */
    (void)snprintf(ret_line, line_bytes, "%s", error.text);
}

/* ---- verdict ---- */

void run_set_verdict(struct run *run, enum run_state state, const char *format, ...)
{
    struct error error = {0};
    char text[RUN_REASON_BYTES];
    va_list arguments;
    if (run->has_verdict)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)error_set(&error, ERR_IO, "%s", text); /* makes it UTF-8 */
    run->has_verdict = true;
    run->verdict = state;
    (void)snprintf(run->reason, sizeof(run->reason), "%s", error.text);
    run_log(run, "==> %s: %s", run_state_name(state), run->reason);
    if (!run->is_afterwards && run->deadline != NULL) {
        run->is_afterwards = true;
        loop_timer_set(run->deadline, RUN_AFTERWARDS_MS);
    }
}

bool run_child_failed(struct run *run, const struct child_result *result, const char *what)
{
    char line[RUN_REASON_BYTES / 2];
    if (run->has_verdict)
        return true;
    if (result->code == 0 && result->exit_status == 0)
        return false;
    run_last_line(run, line, sizeof(line));
    if (result->code != 0)
        run_set_verdict(run, RUN_FAILED, "%s: %s: %s", what, err_text(result->code),
                        result->errors[0] != '\0' ? result->errors : line);
    else if (result->exit_signal != 0)
        run_set_verdict(run, RUN_FAILED, "%s: ended by signal %d (%s): %s", what,
                        result->exit_signal, strsignal(result->exit_signal), line);
    else
        run_set_verdict(run, RUN_FAILED, "%s (exit status %d): %s", what, result->exit_status,
                        result->errors[0] != '\0' ? result->errors : line);
    return true;
}

/* ---- the result ---- */

static void run_write_result(struct run *run)
{
    char started[TIME_TEXT_BYTES];
    char ended[TIME_TEXT_BYTES];
    time_to_text(run->started_ms, started);
    time_to_text(loop_wall_ms(run->loop), ended);
    enum run_state state = run->has_verdict ? run->verdict : RUN_SUCCEEDED;
    CLEANUP(json_release)
    json_t *result = json_pack("{s:s, s:s, s:s, s:s, s:O}", "state", run_state_name(state),
                               "reason", run->reason, "started_at", started, "ended_at", ended,
                               "artefacts", run->artefacts);
    assert(result != NULL);
    if (run->metrics != NULL)
        (void)json_object_set(result, "metrics", run->metrics);
    run->is_over = true;
    int code = run_directory_write(run->settings.folder, RUN_FILE_RESULT, result, &run->outcome);
    (void)code; /* stands in outcome */
    loop_stop(run->loop);
}

/* ---- steps ---- */

static void run_write_state(struct run *run)
{
    char since[TIME_TEXT_BYTES];
    struct error error = {0};
    time_to_text(loop_wall_ms(run->loop), since);
    CLEANUP(json_release)
    json_t *state = json_pack("{s:s, s:s, s:i}", "step", steps[run->step].name, "since", since,
                              "pid", (int)getpid());
    if (run_directory_write(run->settings.folder, RUN_FILE_STATE, state, &error) != 0)
        run_log(run, "==> %s", error.text); /* for people only: the run goes on */
}

void run_go_to(struct run *run, enum run_step step)
{
    if (run->is_over)
        return;
    run->step = step;
    loop_defer(run->loop, run_begin_step, run);
}

void run_step_over(struct run *run)
{
    if (run->step == STEP_CLEAN)
        run_write_result(run);
    else if (run->has_verdict && run->step < STEP_REPORT)
        run_go_to(run, STEP_REPORT);
    else
        run_go_to(run, run->step + 1);
}

static void run_begin_step(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    struct error error = {0};
    if (run->is_over || run->child != NULL)
        return;
    if (run->has_verdict && run->step < STEP_REPORT)
        run->step = STEP_REPORT;
    run_write_state(run);
    run_log(run, "==> %s", steps[run->step].name);
    if (steps[run->step].start(run, &error) != 0) {
        run_set_verdict(run, RUN_FAILED, "%s: %s", steps[run->step].name, error.text);
        run_step_over(run);
    }
}

static void run_on_child_done(void *argument, const struct child_result *result)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    run->child = NULL;
    assert(steps[run->step].end != NULL);
    steps[run->step].end(run, result);
}

void run_start_child(struct run *run, struct child_spec *spec, bool is_sandbox)
{
    spec->deadline_ms = CHILD_DEADLINE_MS;
    spec->grace_ms = RUN_GRACE_MS;
    run->child_is_sandbox = is_sandbox;
    run->child = child_start(run->children, spec, run_on_child_done, run);
}

/* ---- limits ---- */

/* Ends what runs; its step's end goes on with the verdict. */
static void run_interrupt(struct run *run)
{
    if (run->child != NULL)
        child_stop(run->children, run->child);
    else if (run->step == STEP_WAIT) {
        loop_timer_clear(run->retry);
        run_step_over(run);
    }
}

void run_cancel(struct run *run, const char *reason)
{
    if (run->is_over)
        return;
    if (run->has_verdict && run->verdict == RUN_CANCELLED) {
        run_write_result(run); /* asked twice: at once */
        return;
    }
    run_set_verdict(run, RUN_CANCELLED, "%s", reason);
    if (run->step < STEP_REPORT)
        run_interrupt(run);
}

static void run_on_deadline(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    if (run->is_over)
        return;
    if (run->is_afterwards) {
        run_set_verdict(run, RUN_FAILED, "report and upload took longer than %d s",
                        RUN_AFTERWARDS_MS / 1000);
        run_write_result(run);
        return;
    }
    bool is_waiting = run->upload_error.code != 0; /* for the store */
    run_set_verdict(run, RUN_FAILED, "the deadline of %lld s passed during the step %s%s%s",
                    (long long)(run->spec.deadline_ms / 1000), steps[run->step].name,
                    is_waiting ? ": " : "", is_waiting ? run->upload_error.text : "");
    if (run->step < STEP_REPORT)
        run_interrupt(run);
}

static void run_look_for_cancel(struct run *run)
{
    CLEANUP(mem_free)
    char *path = mem_format("%s/" RUN_FILE_CANCEL, run->settings.folder);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CANCEL_MAX_BYTES);
    struct error error = {0};
    if (run->has_verdict || access(path, F_OK) != 0)
        return;
    if (file_read(path, &text, &error) != 0 || text.size_bytes == 0)
        run_cancel(run, "cancelled");
    else
        run_cancel(run, text.data);
}

/* Memory does not wait for a grace: what is over it takes more meanwhile. */
static void run_look_at_usage(struct run *run)
{
    struct run_processes processes;
    int64_t most = run->spec.output_bytes;
    run_watch_find(child_process_id(run->children, run->child), &processes);
    struct run_usage usage = run_watch_sample(&processes);
    if (usage.memory_bytes > run->spec.memory_bytes) {
        run_set_verdict(run, RUN_FAILED, "memory: the run used %lld MiB, its limit is %lld MiB",
                        (long long)(usage.memory_bytes >> 20),
                        (long long)(run->spec.memory_bytes >> 20));
        run_watch_kill(&processes);
        return;
    }
    int64_t output_bytes = usage.unnamed_bytes + run_watch_disk_bytes(run->log, most) +
                           run_watch_disk_bytes(run->scratch, most);
    if (output_bytes > most && run->step != STEP_VENV && run->step != STEP_PIP) {
        run_set_verdict(run, RUN_FAILED, RUN_OUTPUT_REASON, (long long)(most >> 20));
        run_watch_kill(&processes);
    }
}

static void run_on_watch(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    if (run->is_over)
        return;
    loop_timer_set(run->watch, RUN_WATCH_INTERVAL_MS);
    run_look_for_cancel(run);
    if (!run->is_over && run->child != NULL && run->child_is_sandbox &&
        child_process_id(run->children, run->child) > 0)
        run_look_at_usage(run);
}

/* ---- life ---- */

/* A folder of the run's user in scratch. */
static int make_folder(const struct run *run, const char *name, struct error *error)
{
    CLEANUP(mem_free)
    char *path = mem_format("%s%s%s", run->scratch, name[0] != '\0' ? "/" : "", name);
    if (mkdir(path, 0700) != 0 ||
        (geteuid() == 0 && chown(path, run->settings.uid, run->settings.gid) != 0))
        return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    return 0;
}

static int run_prepare(struct run *run, struct error *error)
{
    static const char *const folders[] = {"", "user", "tmp", "shm", "out", RUN_CHECKOUT};
    CLEANUP(json_release) json_t *json = NULL;
    int code = run_directory_read(run->settings.folder, RUN_FILE_SPEC, &json, error);
    if (code == 0)
        code = run_spec_read(json, &run->spec, error);
    if (code != 0)
        return code;
    run->has_spec = true;
    run->access = (struct git_access){.url = run->spec.repository,
                                      .credentials_file = run->spec.git_credentials,
                                      .known_hosts_file = run->spec.git_known_hosts,
                                      .ca_file = run->spec.git_ca,
                                      .helper_program = run->settings.self};
    const char *ending =
        run->spec.dataset_file != NULL ? strrchr(run->spec.dataset_file, '.') : NULL;
    ending = ending != NULL && strcmp(ending, ".csv") == 0 ? ending : ".jsonl";
    run->data = mem_format("%s/data%s", run->settings.folder, ending);
    run->data_name = mem_format("/run/data%s", ending);
    code = git_access_check(&run->access, error);
    for (size_t i = 0; i < ARRAY_COUNT(folders) && code == 0; i++)
        code = make_folder(run, folders[i], error);
    if (code == 0 && mkdir(run->root, 0700) != 0)
        code = error_set(error, ERR_IO, "%s: %s", run->root, strerror(errno));
    return code;
}

static void run_on_begin(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    struct error error = {0};
    if (run_prepare(run, &error) != 0) {
        run_set_verdict(run, RUN_FAILED, "the run could not begin: %s", error.text);
        run_go_to(run, run->has_spec ? STEP_UPLOAD : STEP_CLEAN);
        return;
    }
    loop_timer_set(run->deadline, run->spec.deadline_ms);
    loop_timer_set(run->watch, 0);
    run_go_to(run, STEP_FETCH);
}

struct run *run_new(struct loop *loop, const struct run_settings *settings)
{
    struct run *run = MEM_NEW(struct run);
    run->magic = RUN_MAGIC;
    run->loop = loop;
    run->settings = *settings;
    run->environment_fd = -1;
    run->uploads_fd = -1;
    run->scratch = mem_format("%s/scratch", settings->folder);
    run->root = mem_format("%s/root", settings->folder);
    run->mirror = mem_format("%s/mirror.git", settings->folder);
    run->log = mem_format("%s/" RUN_FILE_LOG, settings->folder);
    run->started_ms = loop_wall_ms(loop);
    run->artefacts = json_object();
    run->children = children_new(loop, 1);
    run->watch = loop_timer_new(loop, run_on_watch, run);
    run->deadline = loop_timer_new(loop, run_on_deadline, run);
    loop_defer(loop, run_on_begin, run);
    return run;
}

int run_outcome(const struct run *run, struct error *error)
{
    return run->outcome.code == 0 ? 0
                                  : error_set(error, run->outcome.code, "%s", run->outcome.text);
}

void run_free(struct run *run)
{
    if (run == NULL)
        return;
    loop_cancel_deferred(run->loop, run);
    run_upload_release(run);
    children_free(run->children);
    loop_timer_free(run->watch);
    loop_timer_free(run->deadline);
    loop_timer_free(run->retry);
    if (run->has_spec)
        run_spec_release(&run->spec);
    if (run->environment_fd >= 0)
        (void)close(run->environment_fd);
    char *const owned[] = {run->scratch,      run->root, run->mirror,  run->data,
                           run->data_name,    run->log,  run->python,  run->prefix,
                           run->requirements, run->venv, run->building};
    for (size_t i = 0; i < ARRAY_COUNT(owned); i++)
        free(owned[i]);
    json_decref(run->metrics);
    json_decref(run->artefacts);
    run->magic = 0;
    free(run);
}
