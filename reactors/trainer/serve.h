/*
 * /needsTrain over HTTP: whether a model needs training, for a controller that watches or drives nodag as
 * the original did (ModelSync). Read-only.
 *
 *      GET /needsTrain[?model=NAME]     200, 400, 404 or 503 with needs_sync.h's form
 *      GET /healthz                     200
 *
 * Invariant: bodies are refused; anything but GET is 405.
 */
#ifndef NODAG_TRAINER_SERVE_H
#define NODAG_TRAINER_SERVE_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "reactors/trainer/trainer.h"

/* The server. */
struct serve;

/* Listens on "host:port"; `trainer` is borrowed. Owned. The codes of http_server_new. Loop thread. */
int serve_new(struct loop *loop, const char *address, struct trainer *trainer,
              struct serve **ret_serve, struct error *error) MUST_CHECK;

/* Returns the port that it listens on. Loop thread. */
uint16_t serve_port(const struct serve *serve);

/* Closes and frees; NULL allowed. Loop thread. */
void serve_free(struct serve *serve);
DEFINE_CLEANUP(struct serve *, serve_free)

#endif
