/*
 * What base/daemon.c and base/daemon_admin.c share: the conditions of readiness and the admin server.
 *
 * Invariant: a daemon is ready if it has started, does not drain, has at least one condition, and all hold.
 */
#ifndef NODAG_BASE_DAEMON_INTERNAL_H
#define NODAG_BASE_DAEMON_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/daemon.h"
#include "base/error.h"
#include "base/http_server.h"

/* Most conditions of readiness: each part of a daemon has one. */
#define DAEMON_CONDITIONS_MAX 16

/* Longest text of all reasons together. */
#define DAEMON_REASONS_MAX_BYTES 16384

/* One named condition of readiness. */
struct daemon_condition {
    char *name;   /* owned */
    bool holds;   /* whether it holds */
    char *reason; /* owned; why not, or NULL */
};

/* The health of a daemon. */
struct daemon_health {
    bool started;  /* `start` has returned */
    bool draining; /* a signal asked for the end */
    struct daemon_condition
        conditions[DAEMON_CONDITIONS_MAX]; /* the first condition_count are used */
    size_t condition_count;                /* how many */
};

/* Returns whether the daemon is ready. Loop thread. */
bool daemon_health_is_ready(const struct daemon_health *health);

/* Appends the reasons why it is not ready, one a line ("name: reason"); too many are cut. Loop thread. */
void daemon_health_print(const struct daemon_health *health, struct buffer *text);

/* Sets a condition; the texts are copied. Returns true if anything about it changed. Loop thread. */
bool daemon_health_set(struct daemon_health *health, const char *name, bool holds,
                       const char *reason);

/* Frees the conditions. Loop thread. */
void daemon_health_release(struct daemon_health *health);

/* The server of /healthz, /readyz and /metrics. */
struct daemon_admin;

/*
 * Starts the admin server on "host:port"; health and metrics are borrowed. Owned result. Errors as http_server_new.
 * Loop thread.
 */
int daemon_admin_new(struct loop *loop, const char *address, const struct daemon_health *health,
                     struct metrics *metrics, struct daemon_admin **ret_admin,
                     struct error *error) MUST_CHECK;

/* Returns its port. Loop thread. */
uint16_t daemon_admin_port(const struct daemon_admin *admin);

/* Stops and frees it; NULL allowed. Loop thread. */
void daemon_admin_free(struct daemon_admin *admin);

#endif
