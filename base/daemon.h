/*
 * What every daemon is around its own work: options, log, loop, metrics, health, signals, drain.
 *
 * Design: a daemon's main() fills a `struct daemon_spec` and calls daemon_main. Common options (--admin-address,
 * --log-level, --drain-timeout, --ready-file, --config) are added to the daemon's own. The admin server answers
 * /healthz (the loop turns), /readyz (daemon_set_ready; else 503 with the reasons), /metrics. SIGTERM and SIGINT
 * drain: readiness falls at once, `drain` is called, the daemon exits 0 when it says it is done or with 1 when
 * the deadline passes; a second signal exits with 1 at once (`stop` is not called then). A start that fails for
 * its input (ERR_USAGE, ERR_INPUT) exits 2, otherwise 1. SIGHUP calls `reload`.
 *
 * Invariants: `start` runs once, on the loop; nothing is served ready before it said so.
 */
#ifndef NODAG_BASE_DAEMON_H
#define NODAG_BASE_DAEMON_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"

/* Settings that every daemon has; the first member of its own settings struct. */
struct daemon_settings {
    const char
        *admin_address; /* --admin-address: host:port of /healthz, /readyz, /metrics; port 0: any */
    const char *log_level;    /* --log-level */
    int64_t drain_timeout_ms; /* --drain-timeout */
    const char *ready_file; /* --ready-file: written once ready, with the ports, for supervisors and
                               tests */
    const char *config_file; /* --config: a file with options */
};

/* A running daemon. */
struct daemon;

/* What a daemon is. Functions get the `self` that `start` returned. All on the loop thread. */
struct daemon_spec {
    struct option_program program; /* its rows need not name the common options */
    size_t settings_bytes;         /* size of the settings struct */
    /* Makes the daemon's own state; on failure returns a code and the text why, and what stands in
     * *ret_self is stopped. */
    int (*start)(struct daemon *daemon, void *settings, void **ret_self, struct error *error);
    /* Reads configuration again; may be NULL. */
    void (*reload)(void *self);
    /* Begins to finish: stops taking work; calls daemon_drained when done. */
    void (*drain)(void *self);
    /* Frees everything; NULL self allowed. */
    void (*stop)(void *self);
};

/* Runs the daemon; returns the exit status of the process. Main thread. */
int daemon_main(const struct daemon_spec *spec, int argc, char **argv);

/* The daemon's loop; borrowed. */
struct loop *daemon_loop(struct daemon *daemon);

/* The daemon's metrics; borrowed. */
struct metrics *daemon_metrics(struct daemon *daemon);

/* Says whether one named condition of readiness holds, with the reason where not. Ready: at least
 * one condition was set and all hold. */
void daemon_set_ready(struct daemon *daemon, const char *condition, bool holds, const char *reason);

/* Adds "name=value" to the ready file (a port, for example); before the first readiness. */
void daemon_announce(struct daemon *daemon, const char *name, const char *value);

/* Says that draining is done: the process ends with status 0. */
void daemon_drained(struct daemon *daemon);

/* Ends the process with status 1 after a failure that cannot be lived with; `text` is logged. */
void daemon_fail(struct daemon *daemon, const char *text);

#endif
