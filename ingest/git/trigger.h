/*
 * The trigger: a small HTTP port that a post-receive hook or a CI job calls so that a repository is looked at now.
 *
 *      POST /trigger   X-Hub-Signature-256: sha256=HMAC of the body
 *      {"repository":"https://h/o/r","ref":"refs/heads/main"}
 *
 *      202  the repository will be looked at        401  signature missing or wrong     429  too often; a
 *      look is due anyway
 *      404  no such path, or repository not watched 400  body is no such JSON           405, 413, 408 …
 *
 * Design: it says nothing and changes nothing but when the next look is: polling is the truth. `ref` is
 * taken for symmetry and not looked at, because a look sees all refs. A repeated or replayed request costs
 * at most one look, and looks are wake_interval_ms apart; the rate limit keeps a hook that runs wild from
 * costing more than answers.
 *
 * Invariants: nothing of a body is parsed before its signature was found valid; a request that is refused
 * for its rate has a look before it that is still to come, so that nothing is lost.
 */
#ifndef NODAG_INGEST_GIT_TRIGGER_H
#define NODAG_INGEST_GIT_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "ingest/git/watcher.h"

/* Largest body: a URL and a ref. */
#define TRIGGER_BODY_MAX_BYTES 4096

/* Most secrets at once: each costs an HMAC over the body. */
#define TRIGGER_SECRETS_MAX 8

/* Requests of one repository that are answered 202 at once … */
#define TRIGGER_BURST 10
/* … and how soon there is one more. */
#define TRIGGER_REFILL_MS 1000

/* Most open connections. */
#define TRIGGER_CONNECTIONS_MAX 64

/* The port. */
struct trigger;

/*
 * Starts listening on "host:port"; no secret is known yet, so everything is refused. Owned. Errors as
 * http_server_new. Loop thread.
 */
int trigger_new(struct loop *loop, struct watcher *watcher, const char *address,
                struct trigger **ret_trigger, struct error *error) MUST_CHECK;

/*
 * Reads the secrets' files and puts them into force together; else the former ones stay. Errors of
 * file_read_secret; ERR_TOO_LARGE. Loop thread.
 */
int trigger_read_secrets(struct trigger *trigger, const char *const *files, size_t count,
                         struct error *error) MUST_CHECK;

/* Returns its port. Loop thread. */
uint16_t trigger_port(const struct trigger *trigger);

/* Takes no more connections. Loop thread. */
void trigger_quiesce(struct trigger *trigger);

/* Stops and frees it; NULL allowed. Loop thread. */
void trigger_free(struct trigger *trigger);
DEFINE_CLEANUP(struct trigger *, trigger_free)

#endif
