/*
 * Issues that were read → events on `github.events`, and which of them the brokers have.
 *
 * Design: what is published is read back first by the rules of its readers (topics/history_event.h), so
 * that nothing a forge or an archive says can put a record on the topic that its consumers refuse. The
 * ce_id is made of repository, number, updated_at and the value: the same thing read twice is the same
 * event.
 *
 * Invariants: what was accepted is counted as in flight until the bus says what came of it; nobody is
 * told from within publisher_send.
 */
#ifndef NODAG_IMPORTER_PUBLISHER_H
#define NODAG_IMPORTER_PUBLISHER_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/bus.h"
#include "topics/history_event.h"

/* Most events that wait for their acknowledgement: a few seconds of a broker's work. */
#define PUBLISHER_FLIGHT_MAX 1000

/* Publishes issues. */
struct publisher;

/*
 * Makes one on a bus (borrowed). `source` (borrowed) becomes ce_source. `acknowledged(argument)` runs
 * after each acknowledgement or failure. Owned. Loop thread.
 */
struct publisher *publisher_new(struct bus *bus, const char *source,
                                void (*acknowledged)(void *argument), void *argument);

/* Frees it; the bus must have been freed before if anything is in flight. NULL allowed. Loop thread. */
void publisher_free(struct publisher *publisher);
DEFINE_CLEANUP(struct publisher *, publisher_free)

/*
 * Publishes an issue. ERR_QUEUE_FULL: too much is in flight, try after the next acknowledgement;
 * ERR_INPUT, ERR_TOO_LARGE: this issue cannot be an event, with the reason; others: the bus refuses.
 * Loop thread.
 */
int publisher_send(struct publisher *publisher, const struct history_issue *issue,
                   struct error *error) MUST_CHECK;

/* Returns how many events are not acknowledged yet. Loop thread. */
size_t publisher_in_flight(const struct publisher *publisher);

/* Returns how many events were acknowledged in all. Loop thread. */
size_t publisher_count(const struct publisher *publisher);

/* Returns the first failure since the last call, 0 for none, and forgets it. Loop thread. */
int publisher_take_failure(struct publisher *publisher);

#endif
