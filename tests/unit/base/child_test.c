/*
 * Tests of base/child.c with real processes: what a child sees, how it ends, that nothing of its group is left, the
 * queue, and that it dies with the daemon.
 *
 * Most cases are rows of a table: a shell script and what must come of it. Whether a process is left is asked of the
 * kernel by its number, which scripts print. Waiting is for conditions; GUARD_MS is only for those that never come.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"

/* Longest time that a test waits. */
#define GUARD_MS 20000

/* A deadline that no child here reaches by itself. */
#define LONG_MS 60000

/* Most children of one test. */
#define CHILDREN_MAX 8

/* Output kept unless a test says less. */
#define OUTPUT_BYTES 4096

/* What came of one child. */
struct outcome {
    struct bench *bench;
    bool is_done;
    int code;
    int exit_status;
    int exit_signal;
    char output[OUTPUT_BYTES + 1];
    char errors[OUTPUT_BYTES + 1];
    size_t place; /* which one it was to end */
};

/* A loop with children. */
struct bench {
    struct loop *loop;
    struct children *children;
    struct loop_timer *guard;
    struct outcome outcomes[CHILDREN_MAX];
    size_t done_count;
    size_t wanted_count; /* the loop stops at so many */
};

static void on_guard(void *argument)
{
    (void)argument;
    fail_msg("waited too long");
}

static void bench_open(struct bench *bench, size_t running_max)
{
    *bench = (struct bench){.loop = loop_new_real()};
    bench->children = children_new(bench->loop, running_max);
    bench->guard = loop_timer_new(bench->loop, on_guard, NULL);
    loop_timer_set(bench->guard, GUARD_MS);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        bench->outcomes[i].bench = bench;
}

static void bench_close(struct bench *bench)
{
    children_free(bench->children);
    loop_timer_free(bench->guard);
    loop_free(bench->loop);
}

static void on_done(void *argument, const struct child_result *result)
{
    struct outcome *outcome = argument;
    assert_false(outcome->is_done);
    outcome->is_done = true;
    outcome->code = result->code;
    outcome->exit_status = result->exit_status;
    outcome->exit_signal = result->exit_signal;
    assert_int_equal(strlen(result->output), result->output_bytes);
    (void)snprintf(outcome->output, sizeof(outcome->output), "%s", result->output);
    (void)snprintf(outcome->errors, sizeof(outcome->errors), "%s", result->errors);
    struct bench *bench = outcome->bench;
    outcome->place = bench->done_count++;
    if (bench->done_count == bench->wanted_count)
        loop_stop(bench->loop);
}

static void bench_await(struct bench *bench, size_t count)
{
    bench->wanted_count = count;
    if (bench->done_count < count)
        loop_run(bench->loop);
}

/* Turns the loop until the condition holds. */
struct condition {
    struct bench *bench;
    struct loop_timer *timer;
    bool (*holds)(const void *argument);
    const void *argument;
};

static void on_condition(void *argument)
{
    struct condition *condition = argument;
    if (condition->holds(condition->argument))
        loop_stop(condition->bench->loop);
    else
        loop_timer_set(condition->timer, 5);
}

static void bench_await_condition(struct bench *bench, bool (*holds)(const void *),
                                  const void *argument)
{
    struct condition condition = {.bench = bench, .holds = holds, .argument = argument};
    condition.timer = loop_timer_new(bench->loop, on_condition, &condition);
    loop_timer_set(condition.timer, 0);
    loop_run(bench->loop);
    loop_timer_free(condition.timer);
}

static const char *const environment[] = {"PATH=/usr/bin:/bin", "GIVEN=yes", NULL};

static struct child *start_shell(struct bench *bench, size_t index, const char *script,
                                 const struct child_spec *base)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct child_spec spec = base != NULL ? *base : (struct child_spec){0};
    spec.argv = argv;
    spec.env = environment;
    if (spec.deadline_ms == 0)
        spec.deadline_ms = LONG_MS;
    if (spec.output_max_bytes == 0)
        spec.output_max_bytes = OUTPUT_BYTES;
    if (spec.errors_max_bytes == 0)
        spec.errors_max_bytes = OUTPUT_BYTES;
    return child_start(bench->children, &spec, on_done, &bench->outcomes[index]);
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

/* ---- what comes of a child ---- */

/* One script. */
struct row {
    const char *name;
    const char *script;
    struct child_spec spec;
    int code;
    int exit_status;
    int exit_signal;
    const char *output; /* NULL: not looked at */
    const char *errors;
};

static const struct row rows[] = {
    {"ends well", "echo out; echo err >&2", {0}, 0, 0, 0, "out\n", "err\n"},
    {"ends badly", "exit 3", {0}, 0, 3, 0, "", ""},
    {"ends by a signal", "kill -9 $$", {0}, 0, -1, SIGKILL, "", ""},
    {"sees the environment given", "echo $GIVEN $HOME.", {0}, 0, 0, 0, "yes .\n", ""},
    {"has no input", "cat", {0}, 0, 0, 0, "", ""},
    {"reads its input",
     "cat; echo end",
     {.input = "a\nb\n", .input_bytes = 4},
     0,
     0,
     0,
     "a\nb\nend\n",
     ""},
    {"works in its folder", "pwd", {.folder = "/usr"}, 0, 0, 0, "/usr\n", ""},
    {"leads group and session",
     "test $(ps -o pgid= -p $$) = $$ && test $(ps -o sid= -p $$) = $$",
     {0},
     0,
     0,
     0,
     "",
     ""},
    {"has three descriptors", "ls /proc/self/fd | tr '\\n' ' '", {0}, 0, 0, 0, "0 1 2 3 ", ""},
    {"has no signal ignored or blocked",
     "grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'",
     {0},
     0,
     0,
     0,
     "SigBlk:0000000000000000SigIgn:0000000000000000",
     ""},
    {"over its deadline", "sleep 60", {.deadline_ms = 50}, ERR_TIMEOUT, -1, SIGTERM, "", ""},
    {"over its deadline, and tidies up",
     "trap 'echo bye; exit 0' TERM; echo up; sleep 60 & wait",
     {.deadline_ms = 300},
     ERR_TIMEOUT,
     0,
     0,
     "up\nbye\n",
     ""},
    {"deaf to SIGTERM",
     "trap '' TERM; while :; do sleep 1; done",
     {.deadline_ms = 100, .grace_ms = 50},
     ERR_TIMEOUT,
     -1,
     SIGKILL,
     NULL,
     NULL},
    {"talks too much", "yes", {.output_max_bytes = 4}, ERR_TOO_LARGE, -1, SIGTERM, "", NULL},
    {"says just enough", "printf 1234", {.output_max_bytes = 4}, 0, 0, 0, "1234", ""},
    {"says one byte too much",
     "printf 12345",
     {.output_max_bytes = 4},
     ERR_TOO_LARGE,
     0,
     0,
     NULL,
     ""},
    {"complains at length",
     "for i in 1 2 3 4 5 6; do echo $i >&2; done",
     {.errors_max_bytes = 5},
     0,
     0,
     0,
     "",
     "\n5\n6\n"},
    {"writes too large a file",
     "exec dd if=/dev/zero of=/dev/shm/nodag-child-test bs=1000 count=9 2>/dev/null",
     {.limits = {.file_max_bytes = 4000}},
     0,
     -1,
     SIGXFSZ,
     "",
     ""},
    {"no such folder",
     "true",
     {.folder = "/nowhere"},
     ERR_NOT_FOUND,
     -1,
     0,
     "",
     "sh: its working directory cannot be entered: No such file or directory"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct bench bench;
        bench_open(&bench, 1);
        print_message("%s\n", row->name);
        start_shell(&bench, 0, row->script, &row->spec);
        assert_false(bench.outcomes[0].is_done);
        bench_await(&bench, 1);
        const struct outcome *outcome = &bench.outcomes[0];
        assert_int_equal(outcome->code, row->code);
        /* What overflowed may also have ended by itself before it was told to. */
        if (row->code != ERR_TOO_LARGE) {
            assert_int_equal(outcome->exit_status, row->exit_status);
            assert_int_equal(outcome->exit_signal, row->exit_signal);
        }
        if (row->output != NULL)
            assert_string_equal(outcome->output, row->output);
        if (row->errors != NULL)
            assert_string_equal(outcome->errors, row->errors);
        assert_int_equal(children_running(bench.children), 0);
        bench_close(&bench);
    }
    (void)unlink("/dev/shm/nodag-child-test");
}

static void test_program_that_is_not_there(void **state)
{
    (void)state;
    static const char *const names[] = {"nodag-no-such-program", "/nowhere/program", "/etc/passwd"};
    static const int codes[] = {ERR_NOT_FOUND, ERR_NOT_FOUND, ERR_DENIED};
    struct bench bench;
    bench_open(&bench, 1);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const char *const argv[] = {names[i], NULL};
        const struct child_spec spec = {.argv = argv, .env = environment, .deadline_ms = LONG_MS};
        child_start(bench.children, &spec, on_done, &bench.outcomes[i]);
    }
    bench_await(&bench, ARRAY_COUNT(names));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        assert_int_equal(bench.outcomes[i].code, codes[i]);
        assert_int_equal(bench.outcomes[i].exit_status, -1);
        assert_non_null(strstr(bench.outcomes[i].errors, names[i]));
    }
    bench_close(&bench);
}

/* ---- groups ---- */

/* A child that leaves others behind, in each way of ending; they ignore SIGTERM. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    static const char leaver[] = "(trap '' TERM; exec sleep 60) >/dev/null 2>&1 & echo $!; ";
    static const struct {
        const char *rest;
        int64_t deadline_ms;
    } ends[] = {{"exit 0", LONG_MS}, {"kill -9 $$", LONG_MS}, {"wait", 300}};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        struct bench bench;
        bench_open(&bench, 1);
        CLEANUP(mem_free) char *script = mem_format("%s%s", leaver, ends[i].rest);
        const struct child_spec spec = {.deadline_ms = ends[i].deadline_ms, .grace_ms = 100};
        start_shell(&bench, 0, script, &spec);
        bench_await(&bench, 1);
        pid_t left = (pid_t)strtol(bench.outcomes[0].output, NULL, 10);
        assert_true(left > 1);
        assert_false(is_alive(left)); /* not even as a zombie */
        bench_close(&bench);
    }
}

/* A pipe that a process outside of the group holds open does not hold up `done`. */
static void test_pipe_held_open_elsewhere(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1);
    start_shell(&bench, 0,
                "setsid sleep 60 & p=$!; while [ $(ps -o sid= -p $p) != $p ]; do :; done; echo $p",
                NULL);
    bench_await(&bench, 1);
    pid_t outside = (pid_t)strtol(bench.outcomes[0].output, NULL, 10);
    assert_true(outside > 1);
    assert_int_equal(kill(outside, SIGKILL), 0);
    assert_int_equal(waitpid(outside, NULL, 0), outside); /* we are the subreaper */
    bench_close(&bench);
}

/* ---- queue, stop, abandon ---- */

static void test_queue_keeps_order_and_limit(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 1);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        start_shell(&bench, i, "true", NULL);
    assert_int_equal(children_waiting(bench.children), CHILDREN_MAX);
    bench_await(&bench, 1);
    assert_true(children_running(bench.children) <= 1);
    bench_await(&bench, CHILDREN_MAX);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        assert_int_equal(bench.outcomes[i].place, i);
    assert_int_equal(children_waiting(bench.children), 0);
    bench_close(&bench);
}

static bool file_exists(const void *path)
{
    return access(path, F_OK) == 0;
}

static void test_stop(void **state)
{
    (void)state;
    char folder[] = "/tmp/nodag-child-XXXXXX";
    assert_non_null(mkdtemp(folder));
    CLEANUP(mem_free) char *up = mem_format("%s/up", folder);
    CLEANUP(mem_free) char *script = mem_format("touch %s; exec sleep 60", up);
    struct bench bench;
    bench_open(&bench, 1);
    struct child *running = start_shell(&bench, 0, script, NULL);
    struct child *waiting = start_shell(&bench, 1, "echo never", NULL);
    bench_await_condition(&bench, file_exists, up);
    child_stop(bench.children, waiting);
    child_stop(bench.children, running);
    child_stop(bench.children, running);
    assert_int_equal(bench.done_count, 0);
    bench_await(&bench, 2);
    assert_int_equal(bench.outcomes[0].code, ERR_CANCELLED);
    assert_int_equal(bench.outcomes[0].exit_signal, SIGTERM);
    assert_int_equal(bench.outcomes[1].code, ERR_CANCELLED);
    assert_string_equal(bench.outcomes[1].output, "");
    bench_close(&bench);
    (void)unlink(up);
    (void)rmdir(folder);
}

static void test_abandoned_are_killed_and_silent(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, 2);
    struct child *first = start_shell(&bench, 0, "exec sleep 60", NULL);
    start_shell(&bench, 1, "true", NULL);
    bench_await(&bench, 1);
    child_abandon(bench.children, first);
    start_shell(&bench, 2, "true", NULL);
    start_shell(&bench, 3, "true", NULL);
    bench_await(&bench, 3);
    assert_false(bench.outcomes[0].is_done);
    bench_close(&bench);
}

static bool has_line(const void *argument)
{
    const int *fd = argument;
    char text[32];
    ssize_t got = pread(*fd, text, sizeof(text), 0);
    return got > 0 && memchr(text, '\n', (size_t)got) != NULL;
}

static pid_t read_pid(int fd)
{
    char text[32] = "";
    assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
    return (pid_t)strtol(text, NULL, 10);
}

/* Output goes to a file where one is named, and children_free kills what runs. */
static void test_free_kills(void **state)
{
    (void)state;
    char path[] = "/tmp/nodag-child-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct bench bench;
    bench_open(&bench, 1);
    const struct child_spec spec = {.output_file = path};
    struct child *running = start_shell(&bench, 0, "echo $$; exec sleep 60", &spec);
    struct child *waiting = start_shell(&bench, 1, "echo never", NULL);
    bench_await_condition(&bench, has_line, &fd);
    assert_int_equal(child_process_id(bench.children, running), read_pid(fd));
    assert_int_equal(child_process_id(bench.children, waiting), 0);
    bench_close(&bench);
    assert_false(is_alive(read_pid(fd)));
    assert_int_equal(bench.done_count, 0);
    (void)close(fd);
    (void)unlink(path);
}

/* Lives as a daemon that is killed while its child runs. */
static _Noreturn void live_and_be_killed(const char *path, int fd)
{
    struct bench bench;
    bench_open(&bench, 1);
    const struct child_spec spec = {.output_file = path};
    start_shell(&bench, 0, "trap '' TERM; sleep 60 & echo $$; wait", &spec);
    bench_await_condition(&bench, has_line, &fd);
    (void)raise(SIGKILL);
    _exit(1);
}

static void test_dies_with_the_daemon(void **state)
{
    (void)state;
    char path[] = "/tmp/nodag-child-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t daemon = fork();
    if (daemon == 0)
        live_and_be_killed(path, fd);
    int status = 0;
    assert_int_equal(waitpid(daemon, &status, 0), daemon);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* The child of the dead is ours now; that it ended at all is the test. */
    pid_t child = read_pid(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* What it started is ended by the guard, which is ours now, too. */
    assert_true(waitpid(-child, &status, 0) > 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_true(WIFEXITED(status));
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_program_that_is_not_there),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_pipe_held_open_elsewhere),
        cmocka_unit_test(test_queue_keeps_order_and_limit),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_abandoned_are_killed_and_silent),
        cmocka_unit_test(test_free_kills),
        cmocka_unit_test(test_dies_with_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
