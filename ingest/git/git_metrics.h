/*
 * The metrics of the git door.
 *
 * Design: repositories are a label, because there are at most CONFIG_REPOSITORIES_MAX and each has its
 * owner; URLs hold no secrets. A dashboard asks two questions: is each repository up to date
 * (nodag_git_last_success_timestamp_seconds), and why not (failures by reason).
 *
 * Invariant: a reason is the name of an error code in lower-case, so that there are few.
 */
#ifndef NODAG_INGEST_GIT_GIT_METRICS_H
#define NODAG_INGEST_GIT_GIT_METRICS_H

#include "base/metrics.h"

/* The families; borrowed from the registry. */
struct git_metrics {
    struct metrics_family *looks;    /* counter by result: unmoved, moved, failed */
    struct metrics_family *failures; /* counter by repository and reason */
    struct metrics_family *failing;  /* gauge by repository: failures in a row */
    struct metrics_family *pushes;   /* counter by repository */
    struct metrics_family
        *last_success;            /* gauge by repository: time of the last look that worked */
    struct metrics_family *heads; /* gauge by repository: refs that match */
    struct metrics_family *mirror_bytes;    /* gauge by repository */
    struct metrics_family *wakes;           /* counter by source: timer, trigger, webhook */
    struct metrics_family *triggers;        /* counter by status */
    struct metrics_family *reloads;         /* counter by result */
    struct metrics_family *sources;         /* gauge by state: read, unread */
    struct metrics_family *documents;       /* gauge by state: valid, invalid */
    struct metrics_family *specs;           /* counter by kind: record, tombstone */
    struct metrics_family *source_failures; /* counter by repository: commits that cannot be read */
    struct metric *look_seconds;            /* histogram */
    struct metric *repositories;            /* gauge */
    struct metric *children_running;        /* gauge */
    struct metric *children_waiting;        /* gauge */
    struct metric *unreadable;              /* counter: records of git.pushes that cannot be read */
    struct metric *skipped_refs;            /* counter: refs with names that are not taken */
};

/* Declares everything. Loop thread. */
void git_metrics_declare(struct git_metrics *metrics, struct metrics *registry);

/* Adds 1 to a family's series with one label. Loop thread. */
void git_metrics_count(struct metrics_family *family, const char *label);

/* Sets a gauge of a repository. Loop thread. */
void git_metrics_set(struct metrics_family *family, const char *repository, double value);

/* Counts a failure. Loop thread. */
void git_metrics_failure(const struct git_metrics *metrics, const char *repository, int code);

#endif
