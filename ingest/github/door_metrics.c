/*
 * What the door counts: see door_metrics.h.
 *
 * Design: families are declared once; the series of good deliveries are looked up once and kept, the rest by label when
 * they are needed.
 */
#include "ingest/github/door_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

/* Status of the answer to a good delivery. */
#define STATUS_ACCEPTED 202

/* Upper bounds of the buckets for times from head to answer, in seconds; the sender gives up after 10. */
static const double duration_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                         0.25,  0.5,    1,     2.5,  5,     8,    10};

/* Milliseconds in a second. */
#define MS_PER_SECOND 1000.0

/* Characters of a status as a label, with a NUL. */
#define STATUS_TEXT_BYTES 12

struct door_metrics {
    struct metrics_family *deliveries; /* borrowed from the registry, as all below */
    struct metrics_family *server_refusals;
    struct metrics_family *events;
    struct metrics_family *secret_matched;
    struct metrics_family *secrets_reads;
    struct metric *published; /* the series of deliveries that nearly all are in */
    struct metric *duration;
    struct metric *payload_bytes;
    struct metric *secrets_count;
    struct metric *secrets_valid;
    struct metric *requests;
    struct metric *records;
};

static struct metric *declare_single(struct metrics *registry, enum metrics_kind kind,
                                     const char *name, const char *help)
{
    return metrics_single(metrics_declare(registry, kind, name, help, NULL));
}

static struct metric *deliveries_series(struct door_metrics *metrics, int status,
                                        enum reason reason)
{
    char status_text[STATUS_TEXT_BYTES];
    (void)snprintf(status_text, sizeof(status_text), "%d", status);
    const char *const labels[] = {status_text, reason_text(reason)};
    return metrics_series(metrics->deliveries, labels);
}

/* The families with labels. */
static void declare_families(struct door_metrics *metrics, struct metrics *registry)
{
    static const char *const answer_labels[] = {"status", "reason", NULL};
    static const char *const status_labels[] = {"status", NULL};
    static const char *const event_labels[] = {"event", NULL};
    static const char *const secret_labels[] = {"secret", NULL};
    static const char *const result_labels[] = {"result", NULL};
    metrics->deliveries =
        metrics_declare(registry, METRICS_COUNTER, "nodag_ingest_github_deliveries_total",
                        "Requests by the status of their answer (0: the client left first) and the "
                        "reason for it.",
                        answer_labels);
    metrics->server_refusals = metrics_declare(
        registry, METRICS_COUNTER, "nodag_ingest_github_server_refusals_total",
        "Requests refused before they were deliveries: sizes, time limits, HTTP framing.",
        status_labels);
    metrics->events = metrics_declare(registry, METRICS_COUNTER, "nodag_ingest_github_events_total",
                                      "Events published, by X-GitHub-Event.", event_labels);
    metrics->secret_matched = metrics_declare(
        registry, METRICS_GAUGE, "nodag_ingest_github_secret_last_matched_seconds",
        "Unix time at which a secret last matched a signature; 0: not since the start.",
        secret_labels);
    metrics->secrets_reads = metrics_declare(
        registry, METRICS_COUNTER, "nodag_ingest_github_secrets_reads_total",
        "Readings of the secrets, by result; after an invalid one the former set stays in force.",
        result_labels);
}

struct door_metrics *door_metrics_new(struct metrics *registry)
{
    struct door_metrics *metrics = MEM_NEW(struct door_metrics);
    declare_families(metrics, registry);
    metrics->published = deliveries_series(metrics, STATUS_ACCEPTED, REASON_PUBLISHED);
    metrics->duration =
        metrics_single(metrics_declare_histogram(registry, "nodag_ingest_github_delivery_seconds",
                                                 "Time from a request's head to its answer.", NULL,
                                                 duration_bounds, ARRAY_COUNT(duration_bounds)));
    metrics->payload_bytes =
        declare_single(registry, METRICS_COUNTER, "nodag_ingest_github_payload_bytes_total",
                       "Bytes of the payloads published.");
    metrics->secrets_count =
        declare_single(registry, METRICS_GAUGE, "nodag_ingest_github_secrets", "Secrets in force.");
    metrics->secrets_valid = declare_single(
        registry, METRICS_GAUGE, "nodag_ingest_github_secrets_valid",
        "1 if the secrets as they are configured now are in force, 0 if they are invalid "
        "and the former set stays.");
    metrics->requests =
        declare_single(registry, METRICS_GAUGE, "nodag_ingest_github_requests_in_flight",
                       "Requests between their head and their answer.");
    metrics->records =
        declare_single(registry, METRICS_GAUGE, "nodag_ingest_github_records_in_flight",
                       "Records that wait for the broker's acknowledgement.");
    return metrics;
}

void door_metrics_free(struct door_metrics *metrics)
{
    free(metrics);
}

void door_metrics_answer(struct door_metrics *metrics, int status, enum reason reason,
                         int64_t duration_ms)
{
    bool is_usual = status == STATUS_ACCEPTED && reason == REASON_PUBLISHED;
    metric_add(is_usual ? metrics->published : deliveries_series(metrics, status, reason), 1);
    metric_observe(metrics->duration, (double)duration_ms / MS_PER_SECOND);
}

void door_metrics_server_refusal(struct door_metrics *metrics, int status)
{
    char status_text[STATUS_TEXT_BYTES];
    (void)snprintf(status_text, sizeof(status_text), "%d", status);
    const char *const labels[] = {status_text};
    metric_add(metrics_series(metrics->server_refusals, labels), 1);
}

void door_metrics_event(struct door_metrics *metrics, const char *label, size_t payload_bytes)
{
    const char *const labels[] = {label};
    metric_add(metrics_series(metrics->events, labels), 1);
    metric_add(metrics->payload_bytes, (double)payload_bytes);
}

void door_metrics_secret_matched(struct door_metrics *metrics, const char *secret_id,
                                 int64_t wall_ms)
{
    const char *const labels[] = {secret_id};
    metric_set(metrics_series(metrics->secret_matched, labels), (double)wall_ms / MS_PER_SECOND);
}

void door_metrics_secrets(struct door_metrics *metrics, const struct secrets *secrets)
{
    metric_set(metrics->secrets_count, (double)secrets_count(secrets));
    for (size_t i = 0; i < secrets_count(secrets); i++) {
        const char *const labels[] = {secrets_at(secrets, i)->id};
        (void)metrics_series(metrics->secret_matched, labels);
    }
}

void door_metrics_secrets_read(struct door_metrics *metrics, bool is_valid)
{
    const char *const labels[] = {is_valid ? "valid" : "invalid"};
    metric_add(metrics_series(metrics->secrets_reads, labels), 1);
    metric_set(metrics->secrets_valid, is_valid ? 1 : 0);
}

void door_metrics_in_flight(struct door_metrics *metrics, size_t requests, size_t records)
{
    metric_set(metrics->requests, (double)requests);
    metric_set(metrics->records, (double)records);
}
