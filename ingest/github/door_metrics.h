/*
 * What the door counts: one place for names, help texts and labels.
 *
 * Design: labels come from small tables (statuses, reasons, known events) and from the configuration (ids of
 * secrets), never from what a stranger sends.
 *
 * Invariant: every request that reaches the door adds one to nodag_ingest_github_deliveries_total, with what
 * came of it.
 */
#ifndef NODAG_INGEST_GITHUB_DOOR_METRICS_H
#define NODAG_INGEST_GITHUB_DOOR_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/metrics.h"
#include "ingest/github/head.h"
#include "ingest/github/secrets.h"

/* The door's families and the series that are used for every delivery. */
struct door_metrics;

/* Declares everything in the registry (borrowed); owned. Loop thread. */
struct door_metrics *door_metrics_new(struct metrics *registry);

/* Frees it; the registry keeps its numbers. NULL allowed. Loop thread. */
void door_metrics_free(struct door_metrics *metrics);
DEFINE_CLEANUP(struct door_metrics *, door_metrics_free)

/* Counts a request with its status (0: none was sent) and reason; `duration_ms` is from head to answer. Loop thread. */
void door_metrics_answer(struct door_metrics *metrics, int status, enum reason reason,
                         int64_t duration_ms);

/* Counts a refusal by the HTTP server itself (limits, framing). Loop thread. */
void door_metrics_server_refusal(struct door_metrics *metrics, int status);

/* Counts a published event: its name by github_event_label and the bytes of its payload. Loop thread. */
void door_metrics_event(struct door_metrics *metrics, const char *label, size_t payload_bytes);

/* Notes when a secret matched, in milliseconds since 1970. Loop thread. */
void door_metrics_secret_matched(struct door_metrics *metrics, const char *secret_id,
                                 int64_t wall_ms);

/* Notes the set in force: how many secrets, and a series at 0 for each that never matched. Loop thread. */
void door_metrics_secrets(struct door_metrics *metrics, const struct secrets *secrets);

/* Counts a reading of the secrets; false: it was invalid and the former set stays in force. Loop thread. */
void door_metrics_secrets_read(struct door_metrics *metrics, bool is_valid);

/* Sets how many requests are between head and answer and how many records wait for the broker. Loop thread. */
void door_metrics_in_flight(struct door_metrics *metrics, size_t requests, size_t records);

#endif
