/*
 * The life of a daemon: see daemon.h.
 *
 *      options ─▶ log, loop, metrics, admin server, signals ─▶ start ─▶ … ─▶ drain ─▶ stop ─▶ status
 *                                                               │             │
 *                             could not: status 1 or 2 ◀────────┘             └─▶ too slow, second signal: status 1
 *
 * Design: everything from `start` on happens on the loop. A daemon that ends in order is stopped and freed. One
 * that ran over its drain time, or got a second signal, is left as it is: stopping might wait for what did not come
 * in the first place, and the kernel frees faster.
 *
 * Invariants: the status is 0 only if the drain was said to be done; a ready file of an earlier run is removed
 * before the start.
 */
#include "base/daemon.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/daemon_internal.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

/* Largest ready file: a handful of short lines. */
#define DAEMON_READY_MAX_BYTES 65536

/* Longest name of a daemon in its log lines. */
#define DAEMON_NAME_BYTES 64

struct daemon {
    const struct daemon_spec *spec;         /* borrowed */
    const struct daemon_settings *settings; /* borrowed; the daemon's own settings begin with it */
    struct loop *loop;                      /* owned */
    struct metrics *metrics;                /* owned */
    struct metric *ready_metric;            /* borrowed from metrics */
    struct daemon_health health;
    struct daemon_admin *admin;     /* owned */
    struct loop_signal *terminate;  /* SIGTERM; owned */
    struct loop_signal *interrupt;  /* SIGINT; owned */
    struct loop_signal *hang_up;    /* SIGHUP; owned */
    struct loop_timer *drain_timer; /* owned */
    struct buffer ready_text;       /* the lines of the ready file */
    bool was_ready;                 /* the ready file was written */
    bool is_ready;                  /* as last logged */
    bool drained;                   /* daemon_drained was called */
    bool abandoned;                 /* ends without stopping: see above */
    int status;                     /* of the process: an enum exit_status */
    void *self;                     /* the daemon's own state */
};

/* Options that every daemon has. */
static const struct option_row common_rows[] = {
    {.name = "admin-address",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct daemon_settings, admin_address),
     .default_value = "127.0.0.1:0",
     .value_name = "HOST:PORT",
     .group = "Running",
     .help =
         "Where /healthz, /readyz and /metrics are answered. Port 0 takes any free one; the log "
         "and the ready file say which."},
    {.name = "log-level",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct daemon_settings, log_level),
     .default_value = "info",
     .choices = "debug|info|warning|error",
     .help = "Least level of the lines on standard error."},
    {.name = "drain-timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct daemon_settings, drain_timeout_ms),
     .default_value = "25s",
     .least = 1,
     .most = 3600000,
     .help =
         "How long SIGTERM waits for what is under way, before the daemon gives up and ends with "
         "status 1. Keep it below the supervisor's own limit."},
    {.name = "ready-file",
     .kind = OPTION_FILE,
     .offset = offsetof(struct daemon_settings, ready_file),
     .help = "Written once the daemon is ready for the first time, with lines name=value such as "
             "admin_port=40123: for supervisors and tests."},
    {.name = "config",
     .kind = OPTION_FILE,
     .offset = offsetof(struct daemon_settings, config_file),
     .help =
         "A file with options, one `name = value` a line; environment and flags stand above it."},
};

/* What a daemon left behind when it was abandoned; for leak checkers. */
static struct daemon *abandoned_daemon;

/* ---- readiness ---- */

/* Writes the ready file, once. */
static void daemon_write_ready_file(struct daemon *daemon)
{
    daemon->was_ready = true;
    if (daemon->settings->ready_file == NULL)
        return;
    struct error error;
    int code = file_write_atomically(daemon->settings->ready_file, daemon->ready_text.data,
                                     daemon->ready_text.size_bytes, &error);
    if (code != 0)
        daemon_fail(daemon, error.text);
}

/* Looks at the readiness after something about it may have changed: log, metric, ready file. */
static void daemon_look_at_readiness(struct daemon *daemon)
{
    bool is_ready = daemon_health_is_ready(&daemon->health);
    metric_set(daemon->ready_metric, is_ready ? 1 : 0);
    if (is_ready == daemon->is_ready)
        return;
    daemon->is_ready = is_ready;
    if (is_ready) {
        LOG_INFO("ready", LOG_INT("admin_port", daemon_admin_port(daemon->admin)));
        if (!daemon->was_ready)
            daemon_write_ready_file(daemon);
    } else if (!daemon->health.draining) {
        CLEANUP(buffer_release) struct buffer reasons = BUFFER_INIT(DAEMON_REASONS_MAX_BYTES);
        daemon_health_print(&daemon->health, &reasons);
        LOG_WARNING("not ready any more", LOG_TEXT("reasons", reasons.data));
    }
}

void daemon_set_ready(struct daemon *daemon, const char *condition, bool holds, const char *reason)
{
    bool changed = daemon_health_set(&daemon->health, condition, holds, reason);
    if (changed && !holds)
        LOG_DEBUG("a condition of readiness does not hold", LOG_TEXT("condition", condition),
                  LOG_TEXT("reason", reason));
    daemon_look_at_readiness(daemon);
}

void daemon_announce(struct daemon *daemon, const char *name, const char *value)
{
    assert(!daemon->was_ready);
    assert(strpbrk(name, "=\n") == NULL && strchr(value, '\n') == NULL);
    int code = buffer_append_format(&daemon->ready_text, "%s=%s\n", name, value);
    assert(code == 0);
    (void)code;
}

/* ---- the end ---- */

void daemon_drained(struct daemon *daemon)
{
    daemon->drained = true;
    loop_stop(daemon->loop);
}

void daemon_fail(struct daemon *daemon, const char *text)
{
    LOG_ERROR("ending after a failure", LOG_TEXT("reason", text));
    daemon->status = EXIT_STATUS_FAILED;
    daemon->drained = false;
    loop_stop(daemon->loop);
}

static void daemon_abandon(struct daemon *daemon)
{
    daemon->abandoned = true;
    daemon->status = EXIT_STATUS_FAILED;
    loop_stop(daemon->loop);
}

static void daemon_on_drain_timer(void *argument)
{
    struct daemon *daemon = argument;
    LOG_ERROR("draining took too long; what was under way is replayed by the next start",
              LOG_INT("drain_timeout_ms", daemon->settings->drain_timeout_ms));
    daemon_abandon(daemon);
}

static void daemon_on_terminate(void *argument)
{
    struct daemon *daemon = argument;
    if (daemon->health.draining) {
        LOG_ERROR("second signal: ending at once", LOG_BOOL("drained", false));
        daemon_abandon(daemon);
        return;
    }
    LOG_INFO("draining", LOG_INT("drain_timeout_ms", daemon->settings->drain_timeout_ms));
    daemon->health.draining = true;
    daemon_look_at_readiness(daemon);
    loop_timer_set(daemon->drain_timer, daemon->settings->drain_timeout_ms);
    if (daemon->health.started && daemon->spec->drain != NULL)
        daemon->spec->drain(daemon->self);
    else
        daemon_drained(daemon);
}

static void daemon_on_hang_up(void *argument)
{
    struct daemon *daemon = argument;
    bool reloads = daemon->health.started && daemon->spec->reload != NULL;
    LOG_INFO("SIGHUP", LOG_BOOL("reloads", reloads));
    if (reloads)
        daemon->spec->reload(daemon->self);
}

/* ---- the beginning ---- */

/* Runs on the loop: the daemon's own start. */
static void daemon_on_start(void *argument)
{
    struct daemon *daemon = argument;
    if (daemon->health.draining)
        return;
    struct error error = {.code = 0};
    int code =
        daemon->spec->start(daemon, (void *)(uintptr_t)daemon->settings, &daemon->self, &error);
    if (code != 0) {
        LOG_ERROR("cannot start", LOG_TEXT("reason", error.text), LOG_TEXT("code", err_name(code)));
        bool is_configuration = code == ERR_USAGE || code == ERR_INPUT;
        daemon->status = is_configuration ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
        loop_stop(daemon->loop);
        return;
    }
    daemon->health.started = true;
    daemon_look_at_readiness(daemon);
}

/* The program with the common rows behind its own; the array of rows is the caller's to free. */
static struct option_program merge_program(const struct option_program *own)
{
    size_t row_count = own->row_count + ARRAY_COUNT(common_rows);
    struct option_row *rows = mem_alloc_array(row_count, sizeof(*rows));
    if (own->row_count > 0)
        memcpy(rows, own->rows, own->row_count * sizeof(*rows));
    memcpy(rows + own->row_count, common_rows, sizeof(common_rows));
    struct option_program merged = *own;
    merged.rows = rows;
    merged.row_count = row_count;
    return merged;
}

/* "nodag labeler" logs as "nodag-labeler". */
static void configure_log(const struct daemon *daemon)
{
    char name[DAEMON_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s", daemon->spec->program.name);
    for (char *space = strchr(name, ' '); space != NULL; space = strchr(space, ' '))
        *space = '-';
    enum log_level level = LOG_LEVEL_INFO;
    int code = log_level_parse(daemon->settings->log_level, &level);
    assert(code == 0); /* the option's choices are the levels */
    (void)code;
    log_configure(name, level);
}

static void declare_metrics(struct daemon *daemon)
{
    static const char *const labels[] = {"version", NULL};
    static const char *const values[] = {NODAG_VERSION};
    metrics_add_process(daemon->metrics);
    struct metrics_family *family =
        metrics_declare(daemon->metrics, METRICS_GAUGE, "nodag_build_info",
                        "Always 1; its label says the version.", labels);
    metric_set(metrics_series(family, values), 1);
    family = metrics_declare(daemon->metrics, METRICS_GAUGE, "nodag_ready",
                             "1 while the daemon is ready, as /readyz says.", NULL);
    daemon->ready_metric = metrics_single(family);
}

/* Everything around the daemon's own work. */
static int daemon_prepare(struct daemon *daemon, struct error *error)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (daemon->settings->ready_file != NULL && unlink(daemon->settings->ready_file) != 0 &&
        errno != ENOENT)
        return error_set(error, ERR_IO, "--ready-file: cannot remove the old %s: %s",
                         daemon->settings->ready_file, strerror(errno));
    daemon->loop = loop_new_real();
    daemon->metrics = metrics_new();
    daemon->ready_text = BUFFER_INIT(DAEMON_READY_MAX_BYTES);
    declare_metrics(daemon);
    daemon->terminate = loop_signal_new(daemon->loop, SIGTERM, daemon_on_terminate, daemon);
    daemon->interrupt = loop_signal_new(daemon->loop, SIGINT, daemon_on_terminate, daemon);
    daemon->hang_up = loop_signal_new(daemon->loop, SIGHUP, daemon_on_hang_up, daemon);
    daemon->drain_timer = loop_timer_new(daemon->loop, daemon_on_drain_timer, daemon);
    int code = daemon_admin_new(daemon->loop, daemon->settings->admin_address, &daemon->health,
                                daemon->metrics, &daemon->admin, error);
    if (code != 0)
        return error_prefix(error, code, "--admin-address");
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)daemon_admin_port(daemon->admin));
    daemon_announce(daemon, "admin_port", port);
    return 0;
}

static void daemon_release(struct daemon *daemon)
{
    if (daemon->self != NULL && daemon->spec->stop != NULL)
        daemon->spec->stop(daemon->self);
    daemon_admin_free(daemon->admin);
    loop_signal_free(daemon->terminate);
    loop_signal_free(daemon->interrupt);
    loop_signal_free(daemon->hang_up);
    loop_timer_free(daemon->drain_timer);
    metrics_free(daemon->metrics);
    loop_free(daemon->loop);
    daemon_health_release(&daemon->health);
    buffer_release(&daemon->ready_text);
    free(daemon);
}

/* Runs a daemon whose options are read; returns its exit status. */
static int daemon_run(const struct daemon_spec *spec, const struct daemon_settings *settings)
{
    struct daemon *daemon = MEM_NEW(struct daemon);
    daemon->spec = spec;
    daemon->settings = settings;
    configure_log(daemon);
    struct error error;
    int code = daemon_prepare(daemon, &error);
    if (code != 0) {
        LOG_ERROR("cannot start", LOG_TEXT("reason", error.text), LOG_TEXT("code", err_name(code)));
        daemon_release(daemon);
        return code == ERR_INPUT ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
    }
    LOG_INFO("starting", LOG_TEXT("version", NODAG_VERSION), LOG_INT("pid", getpid()),
             LOG_INT("admin_port", daemon_admin_port(daemon->admin)));
    loop_defer(daemon->loop, daemon_on_start, daemon);
    loop_run(daemon->loop);
    int status = daemon->drained ? EXIT_STATUS_OK : daemon->status;
    if (daemon->abandoned) {
        abandoned_daemon = daemon;
        return status;
    }
    LOG_INFO("ended", LOG_INT("status", status));
    daemon_release(daemon);
    return status;
}

int daemon_main(const struct daemon_spec *spec, int argc, char **argv)
{
    assert(spec->settings_bytes >= sizeof(struct daemon_settings));
    const struct option_program program = merge_program(&spec->program);
    CLEANUP(mem_free) void *settings = mem_alloc(spec->settings_bytes);
    int first = 0;
    enum option_result result = OPTION_RUN;
    struct error error = {.code = 0};
    int code = option_parse(&program, argc, argv, settings, &first, &result, &error);
    int status = EXIT_STATUS_OK;
    if (code != 0)
        status = option_complain(&program, &error);
    else if (result == OPTION_RUN)
        status = daemon_run(spec, settings);
    free((void *)(uintptr_t)program.rows);
    if (abandoned_daemon != NULL)
        settings = NULL; /* still the daemon's, until the process ends */
    return status;
}

struct loop *daemon_loop(struct daemon *daemon)
{
    return daemon->loop;
}

struct metrics *daemon_metrics(struct daemon *daemon)
{
    return daemon->metrics;
}
