/*
 * `push` webhooks that already stand on github.events wake the repositories that they are about.
 *
 * Design: the topic is read from its end, without a group: a webhook of the past wakes nobody, because the
 * first look after a start sees what it told. Only headers are looked at: the type, and the repository's
 * name, which the URLs of watched repositories end with.
 *
 * Invariant: a webhook causes nothing but a look, whoever sent it.
 */
#ifndef NODAG_INGEST_GIT_WEBHOOKS_H
#define NODAG_INGEST_GIT_WEBHOOKS_H

#include "base/cleanup.h"
#include "base/loop.h"
#include "ingest/git/watcher.h"
#include "topics/bus.h"

/* How soon the topic's number of partitions is asked for again. */
#define WEBHOOKS_RETRY_MS 2000

/* The reader. */
struct webhooks;

/* Begins to read as soon as the topic is known; everything is borrowed. Owned. Loop thread. */
struct webhooks *webhooks_new(struct loop *loop, struct bus *bus, struct watcher *watcher);

/* Stops and frees it; NULL allowed. Loop thread. */
void webhooks_free(struct webhooks *webhooks);
DEFINE_CLEANUP(struct webhooks *, webhooks_free)

#endif
