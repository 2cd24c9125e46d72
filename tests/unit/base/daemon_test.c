/*
 * Tests of base/daemon.c: whole lives of a small daemon, each in a child process, driven by a list of steps on its
 * own loop.
 *
 * A step sets a condition of readiness, sends a signal to the process, asks the admin server, or looks at what the
 * daemon was called for. The child's exit status is what daemon_main() returned, or BROKEN if a step did not hold.
 */
#include "base/daemon.h"

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
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/memory.h"

/* Exit status of a child whose step did not hold: none of enum exit_status. */
#define BROKEN 77

/* Longest life of a child. */
#define LIFE_MAX_S 30

/* Longest URL and file content below. */
#define TEXT_BYTES 512

/* What a step does. */
enum step_kind {
    STEP_END,     /* nothing more: the daemon goes on until something ends it */
    STEP_READY,   /* condition `text` holds */
    STEP_UNREADY, /* condition `text` does not hold, for reason `more` */
    STEP_SIGNAL,  /* sends signal `number` */
    STEP_ASK,     /* GET `text` gives status `number` and a body that contains `more` */
    STEP_POST,    /* POST `text` gives status `number` and Allow */
    STEP_CALLS,   /* the daemon's functions were called in this order: `text` */
    STEP_FILE,    /* the ready file holds `text` */
    STEP_FAIL,    /* daemon_fail */
    STEP_DRAINED, /* daemon_drained */
};

/* One step. */
struct step {
    enum step_kind kind;
    const char *text;
    int number;
    const char *more;
};

/* The life that is being lived; one a process. */
static const struct step *next_step;
static int start_code;         /* what start returns */
static bool start_gives_self;  /* what start leaves in ret_self */
static char calls[TEXT_BYTES]; /* a letter for each call: s d r x */
static char ready_path[TEXT_BYTES];
static struct daemon *the_daemon;
static struct http_client *client;
static char self_object;

static void broken(const char *why, const char *what)
{
    fprintf(stderr, "step did not hold: %s: %s\n", why, what != NULL ? what : "");
    _exit(BROKEN);
}

static void note_call(char letter)
{
    size_t length = strlen(calls);
    calls[length] = letter;
    calls[length + 1] = '\0';
}

static void run_steps(void *argument);

static void next_soon(void)
{
    loop_defer(daemon_loop(the_daemon), run_steps, calls);
}

static void on_answer(void *argument, int code, const struct http_response *response,
                      const struct error *error)
{
    const struct step *step = argument;
    if (code != 0)
        broken("no answer", error->text);
    if (response->status != step->number)
        broken("other status", response->body);
    if (step->more != NULL && strstr(response->body, step->more) == NULL)
        broken("other body", response->body);
    if (step->kind == STEP_POST && http_response_header(response, "Allow") == NULL)
        broken("no Allow", step->text);
    next_soon();
}

/* Asks the admin server; its port is in the ready file. */
static void ask(const struct step *step)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TEXT_BYTES);
    if (file_read(ready_path, &text, NULL) != 0)
        broken("no ready file", ready_path);
    const char *port = strstr(text.data, "admin_port=");
    if (port == NULL)
        broken("no port", text.data);
    char url[TEXT_BYTES];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%ld%s", strtol(port + 11, NULL, 10),
                   step->text);
    const struct http_request request = {.method = step->kind == STEP_POST ? "POST" : "GET",
                                         .url = url};
    (void)http_send(client, &request, on_answer, (void *)(uintptr_t)step);
}

static void check_file(const char *expected)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TEXT_BYTES);
    int code = file_read(ready_path, &text, NULL);
    if (code != 0 || strstr(text.data, expected) == NULL)
        broken("ready file", expected);
}

/* Runs one step; the next follows on the loop. */
static void run_steps(void *argument)
{
    (void)argument;
    const struct step *step = next_step++;
    switch (step->kind) {
    case STEP_END:
        next_step = step;
        return;
    case STEP_READY:
        daemon_set_ready(the_daemon, step->text, true, NULL);
        break;
    case STEP_UNREADY:
        daemon_set_ready(the_daemon, step->text, false, step->more);
        break;
    case STEP_SIGNAL:
        (void)raise(step->number);
        break;
    case STEP_ASK:
    case STEP_POST:
        ask(step);
        return;
    case STEP_CALLS:
        /* A signal is handled in a later turn of the loop: look again until it was. */
        if (strcmp(calls, step->text) != 0)
            next_step = step;
        break;
    case STEP_FILE:
        check_file(step->text);
        break;
    case STEP_FAIL:
        daemon_fail(the_daemon, "the test said so");
        break;
    case STEP_DRAINED:
        daemon_drained(the_daemon);
        break;
    }
    next_soon();
}

static int on_start(struct daemon *daemon, void *settings, void **ret_self, struct error *error)
{
    (void)settings;
    note_call('s');
    the_daemon = daemon;
    if (start_gives_self)
        *ret_self = &self_object;
    if (start_code != 0)
        return error_set(error, start_code, "as the test wants");
    const struct http_client_settings client_settings = {.user_agent = "test"};
    client = http_client_new_curl(daemon_loop(daemon), &client_settings);
    daemon_announce(daemon, "test_port", "1234");
    next_soon();
    return 0;
}

static void on_reload(void *self)
{
    assert_ptr_equal(self, &self_object);
    note_call('r');
}

static void on_drain(void *self)
{
    assert_ptr_equal(self, &self_object);
    note_call('d');
}

static void on_stop(void *self)
{
    assert_ptr_equal(self, &self_object);
    http_client_free_curl(client);
    loop_cancel_deferred(daemon_loop(the_daemon), calls);
    client = NULL;
    /* The parent sees only the status: say there that stop was called. */
    CLEANUP(mem_free) char *path = mem_format("%s.stopped", ready_path);
    if (file_write_atomically(path, "", 0, NULL) != 0)
        broken("cannot write", path);
}

/* Settings of the daemon under test: the common ones alone. */
struct test_settings {
    struct daemon_settings common;
};

/* Lives one life in a child; returns its exit status, and whether stop was called. */
static int live(const char *const *arguments, bool *ret_stopped)
{
    static const struct daemon_spec spec = {
        .program = {.name = "nodag test", .summary = "a daemon under test", .usage = "[OPTION…]"},
        .settings_bytes = sizeof(struct test_settings),
        .start = on_start,
        .reload = on_reload,
        .drain = on_drain,
        .stop = on_stop,
    };
    char *argv[16] = {(char *)(uintptr_t) "nodag-test", (char *)(uintptr_t) "--ready-file",
                      ready_path};
    int argc = 3;
    for (; *arguments != NULL; arguments++)
        argv[argc++] = (char *)(uintptr_t)*arguments;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(LIFE_MAX_S);
        int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(quiet, STDOUT_FILENO);
        if (getenv("NODAG_TEST_VERBOSE") == NULL)
            log_set_fd(quiet);
        exit(daemon_main(&spec, argc, argv)); /* not _exit: leak checkers look at what is left */
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    CLEANUP(mem_free) char *path = mem_format("%s.stopped", ready_path);
    *ret_stopped = unlink(path) == 0;
    return WEXITSTATUS(status);
}

static int setup(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    (void)snprintf(ready_path, sizeof(ready_path), "%s/nodag-daemon-test-%d.ready",
                   folder != NULL ? folder : "/tmp", (int)getpid());
    (void)setenv("no_proxy", "*", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(ready_path);
    return 0;
}

/* One life: how it is started, what happens in it, how it ends. */
struct life {
    const char *name;
    int start_code;
    bool no_self;
    const char *arguments[4];
    struct step steps[16];
    int status;
    bool stopped;
};

#define LIFE_ENDS_IN_ORDER                                                                         \
    {STEP_SIGNAL, NULL, SIGTERM, NULL}, {STEP_CALLS, "sd", 0, NULL},                               \
    {                                                                                              \
        STEP_DRAINED, NULL, 0, NULL                                                                \
    }

static const struct life lives[] = {
    {.name = "ready, asked, drained",
     .steps = {{STEP_UNREADY, "b", 0, "b is slow"},
               {STEP_READY, "b", 0, NULL},
               {STEP_FILE, "admin_port=", 0, NULL},
               {STEP_FILE, "test_port=1234\n", 0, NULL},
               {STEP_ASK, "/healthz", 200, "ok"},
               {STEP_ASK, "/readyz", 200, "ready"},
               {STEP_ASK, "/metrics", 200, "\nnodag_ready 1\n"},
               {STEP_ASK, "/metrics", 200, "process_start_time_seconds"},
               {STEP_ASK, "/nothing", 404, "/readyz"},
               {STEP_POST, "/metrics", 405, NULL},
               LIFE_ENDS_IN_ORDER},
     .status = 0,
     .stopped = true},
    {.name = "conditions",
     .steps = {{STEP_READY, "a", 0, NULL},
               {STEP_UNREADY, "b", 0, "b is slow"},
               {STEP_UNREADY, "c", 0, "c is away"},
               {STEP_ASK, "/readyz", 503, "b: b is slow\nc: c is away\n"},
               {STEP_ASK, "/metrics", 200, "\nnodag_ready 0\n"},
               {STEP_READY, "b", 0, NULL},
               {STEP_READY, "c", 0, NULL},
               {STEP_ASK, "/readyz", 200, NULL},
               LIFE_ENDS_IN_ORDER},
     .status = 0,
     .stopped = true},
    {.name = "not ready while draining",
     .steps = {{STEP_READY, "a", 0, NULL},
               {STEP_SIGNAL, NULL, SIGINT, NULL},
               {STEP_CALLS, "sd", 0, NULL},
               {STEP_ASK, "/readyz", 503, "draining"},
               {STEP_ASK, "/healthz", 200, NULL},
               {STEP_DRAINED, NULL, 0, NULL}},
     .status = 0,
     .stopped = true},
    {.name = "reload",
     .steps = {{STEP_SIGNAL, NULL, SIGHUP, NULL},
               {STEP_CALLS, "sr", 0, NULL},
               {STEP_SIGNAL, NULL, SIGHUP, NULL},
               {STEP_CALLS, "srr", 0, NULL},
               {STEP_DRAINED, NULL, 0, NULL}},
     .status = 0,
     .stopped = true},
    {.name = "lives through SIGPIPE",
     .steps = {{STEP_SIGNAL, NULL, SIGPIPE, NULL}, LIFE_ENDS_IN_ORDER},
     .status = 0,
     .stopped = true},
    {.name = "drain too slow",
     .arguments = {"--drain-timeout", "20ms"},
     .steps = {{STEP_SIGNAL, NULL, SIGTERM, NULL}, {STEP_END, NULL, 0, NULL}},
     .status = 1},
    {.name = "second signal",
     .steps = {{STEP_SIGNAL, NULL, SIGTERM, NULL},
               {STEP_CALLS, "sd", 0, NULL},
               {STEP_SIGNAL, NULL, SIGINT, NULL},
               {STEP_END, NULL, 0, NULL}},
     .status = 1},
    {.name = "failure", .steps = {{STEP_FAIL, NULL, 0, NULL}}, .status = 1, .stopped = true},
    {.name = "cannot start", .start_code = ERR_UNAVAILABLE, .status = 1, .no_self = true},
    {.name = "half started", .start_code = ERR_UNAVAILABLE, .status = 1, .stopped = true},
    {.name = "bad configuration", .start_code = ERR_INPUT, .status = 2, .no_self = true},
    {.name = "bad option", .arguments = {"--nonsense"}, .status = 2},
    {.name = "bad admin address", .arguments = {"--admin-address", "localhost"}, .status = 2},
    {.name = "admin address not here",
     .arguments = {"--admin-address", "192.0.2.1:0"},
     .status = 2},
    {.name = "help", .arguments = {"--help"}, .status = 0},
};

static void test_lives(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lives); i++) {
        const struct life *life = &lives[i];
        print_message("    %s\n", life->name);
        next_step = life->steps;
        start_code = life->start_code;
        start_gives_self = !life->no_self;
        bool stopped = false;
        int status = live(life->arguments, &stopped);
        assert_int_equal(status, life->status);
        assert_int_equal(stopped, life->stopped);
    }
}

static void test_old_ready_file_is_removed(void **state)
{
    (void)state;
    assert_int_equal(file_write_atomically(ready_path, "old\n", 4, NULL), 0);
    static const struct step steps[] = {{.kind = STEP_FAIL}, {.kind = STEP_END}};
    static const char *const no_arguments[] = {NULL};
    next_step = steps;
    start_code = 0;
    start_gives_self = true;
    bool stopped = false;
    assert_int_equal(live(no_arguments, &stopped), EXIT_STATUS_FAILED);
    assert_int_equal(access(ready_path, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_old_ready_file_is_removed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
