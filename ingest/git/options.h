/*
 * The options of nodag-ingest-git, and what its --help says.
 *
 * Invariant: every member of the settings is filled by exactly one row.
 */
#ifndef NODAG_INGEST_GIT_OPTIONS_H
#define NODAG_INGEST_GIT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/daemon.h"
#include "base/option.h"
#include "topics/bus_kafka.h"

/* The settings, as the options fill them; what each is stands in its option's help. */
struct ingest_settings {
    struct daemon_settings daemon;
    struct bus_kafka_settings kafka;
    const char *repositories_file;
    const char *state;
    const char *listen;
    struct option_list trigger_secrets;
    bool ignores_webhooks;
    int64_t interval_ms;
    int64_t wake_interval_ms;
    int64_t backoff_max_ms;
    int64_t list_deadline_ms;
    int64_t fetch_deadline_ms;
    int64_t work_deadline_ms;
    int64_t mirror_max_bytes;
    int64_t children_max;
};

/* The table of options with the texts around it; borrowed texts are static. */
extern const struct option_program ingest_program;

#endif
