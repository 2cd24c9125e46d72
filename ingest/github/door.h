/*
 * The door: what all requests share.
 *
 * Design: main.c makes one door and gives it the bus and the secrets; the HTTP server hands requests to
 * delivery.c, which finds everything else here. Publications live apart from requests, because a client may
 * leave while its record is on the way to the broker.
 *
 *      request ──▶ delivery ──waits──▶ dedup entry ◀──finishes── publication ◀──delivered── bus
 *
 * Draining: new requests are answered 503; bodies that are still arriving get DOOR_DRAIN_BODY_MS; everything
 * under way gets its answer; then `drained` is called.
 *
 * Invariants: loop thread only; the bus outlives the door's last publication (main.c flushes before it frees).
 */
#ifndef NODAG_INGEST_GITHUB_DOOR_H
#define NODAG_INGEST_GITHUB_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "ingest/github/admission.h"
#include "ingest/github/dedup.h"
#include "ingest/github/door_metrics.h"
#include "ingest/github/parse_queue.h"
#include "ingest/github/secrets.h"
#include "topics/bus.h"

/* How long bodies that are still arriving are waited for when the door drains. */
#define DOOR_DRAIN_BODY_MS 5000

/* Settings of the door; texts are borrowed for its life. */
struct door_settings {
    const char *path;           /* the one path that takes deliveries */
    size_t body_max_bytes;      /* of one delivery */
    int64_t answer_deadline_ms; /* from the complete body to the answer */
    const struct admission
        *admission; /* who may come in; NULL: everybody; borrowed for the door's life */
    size_t requests_per_client_max; /* under way of one client address; 0: no limit */
};

/* A request under way; see delivery.c. */
struct delivery;

/* A record on its way to the broker. */
struct publication;

/* The door. Members are for delivery.c and door.c. */
struct door {
    struct loop *loop; /* borrowed */
    struct bus *bus;   /* borrowed */
    struct door_settings settings;
    struct door_metrics *metrics;          /* owned */
    struct secrets *secrets;               /* held: the set in force */
    struct dedup *dedup;                   /* owned */
    struct parse_queue *parse_queue;       /* owned */
    struct delivery *first_delivery;       /* requests under way */
    size_t delivery_count;                 /* how many */
    struct publication *first_publication; /* records on their way */
    size_t publication_count;              /* how many */
    bool is_draining;                      /* new requests get 503 */
    struct loop_timer *drain_timer;        /* owned; ends the wait for bodies */
    void (*drained)(void *argument);       /* NULL once called */
    void *drained_argument;                /* for drained */
};

/* Makes a door without secrets; owned. Loop thread. */
struct door *door_new(struct loop *loop, struct bus *bus, struct metrics *registry,
                      const struct door_settings *settings);

/*
 * Frees it; its requests must have been closed (the server freed). Records on their way are forgotten. NULL
 * allowed. Loop thread.
 */
void door_free(struct door *door);
DEFINE_CLEANUP(struct door *, door_free)

/* Puts a set of secrets (taken) into force; requests under way go on with theirs. Loop thread. */
void door_take_secrets(struct door *door, struct secrets *secrets);

/*
 * Begins to drain; calls `drained(argument)` once, when no request and no record is under way; maybe from
 * within this call. Loop thread.
 */
void door_drain(struct door *door, void (*drained)(void *argument), void *argument);

/*
 * Hands a record to the bus for a dedup entry, which is finished with the outcome, at once if the bus refuses
 * it. The message's value is taken (made by base/memory.h) whatever comes of it; `label` (static) names the
 * event in metrics. Loop thread.
 */
void door_publish(struct door *door, struct dedup_entry *entry, const struct bus_message *message,
                  const char *label);

/* Calls `drained` if the door drains and nothing is under way any more; after every end of something. Loop thread. */
void door_check_drained(struct door *door);

#endif
