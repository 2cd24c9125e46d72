/*
 * The metrics of the git door: see git_metrics.h.
 */
#include "ingest/git/git_metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Bounds of the histogram of looks, in seconds: ls-remote takes tenths, a first fetch minutes. */
static const double look_bounds[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

void git_metrics_declare(struct git_metrics *metrics, struct metrics *registry)
{
    static const char *const by_repository[] = {"repository", NULL};
    static const char *const by_reason[] = {"repository", "reason", NULL};
    static const char *const by_result[] = {"result", NULL};
    static const char *const by_source[] = {"source", NULL};
    static const char *const by_state[] = {"state", NULL};
    static const char *const by_kind[] = {"kind", NULL};
    static const char *const by_status[] = {"status", NULL};
    const struct {
        struct metrics_family **family;
        enum metrics_kind kind;
        const char *name;
        const char *help;
        const char *const *labels;
    } families[] = {
        {&metrics->looks, METRICS_COUNTER, "nodag_git_looks_total",
         "Looks at a repository that ended.", by_result},
        {&metrics->failures, METRICS_COUNTER, "nodag_git_failures_total",
         "Looks that failed, by repository and reason.", by_reason},
        {&metrics->failing, METRICS_GAUGE, "nodag_git_failures_in_a_row",
         "How often the last looks failed in a row; 0: the last one worked.", by_repository},
        {&metrics->pushes, METRICS_COUNTER, "nodag_git_pushes_total",
         "Moves of heads that were published.", by_repository},
        {&metrics->last_success, METRICS_GAUGE, "nodag_git_last_success_timestamp_seconds",
         "When a look last worked.", by_repository},
        {&metrics->heads, METRICS_GAUGE, "nodag_git_heads", "Branches and tags that are watched.",
         by_repository},
        {&metrics->mirror_bytes, METRICS_GAUGE, "nodag_git_mirror_bytes",
         "Size of the local mirror.", by_repository},
        {&metrics->wakes, METRICS_COUNTER, "nodag_git_wakes_total",
         "What caused a look: timer, trigger or webhook.", by_source},
        {&metrics->triggers, METRICS_COUNTER, "nodag_git_triggers_total",
         "Requests at the trigger's port, by status.", by_status},
        {&metrics->sources, METRICS_GAUGE, "nodag_git_sources",
         "Sources of documents: read, or unread since the start.", by_state},
        {&metrics->documents, METRICS_GAUGE, "nodag_git_documents",
         "Keys of specs with a valid document, and with an invalid one (or both).", by_state},
        {&metrics->specs, METRICS_COUNTER, "nodag_git_specs_total",
         "Records of specs that were handed to the broker.", by_kind},
        {&metrics->source_failures, METRICS_COUNTER, "nodag_git_source_failures_total",
         "Commits whose documents cannot be read as a whole.", by_repository},
        {&metrics->reloads, METRICS_COUNTER, "nodag_git_configuration_reads_total",
         "Readings of the configuration: valid or invalid.", by_result},
    };
    const struct {
        struct metric **metric;
        enum metrics_kind kind;
        const char *name;
        const char *help;
    } singles[] = {
        {&metrics->repositories, METRICS_GAUGE, "nodag_git_repositories",
         "Repositories that are watched."},
        {&metrics->children_running, METRICS_GAUGE, "nodag_git_children_running",
         "Child processes that run."},
        {&metrics->children_waiting, METRICS_GAUGE, "nodag_git_children_waiting",
         "Child processes that wait for a place."},
        {&metrics->unreadable, METRICS_COUNTER, "nodag_git_unreadable_records_total",
         "Records of git.pushes that could not be read."},
        {&metrics->skipped_refs, METRICS_COUNTER, "nodag_git_skipped_refs_total",
         "Refs that were left out for their names."},
    };
    for (size_t i = 0; i < ARRAY_COUNT(families); i++)
        *families[i].family = metrics_declare(registry, families[i].kind, families[i].name,
                                              families[i].help, families[i].labels);
    for (size_t i = 0; i < ARRAY_COUNT(singles); i++)
        *singles[i].metric = metrics_single(
            metrics_declare(registry, singles[i].kind, singles[i].name, singles[i].help, NULL));
    metrics->look_seconds = metrics_single(
        metrics_declare_histogram(registry, "nodag_git_look_seconds",
                                  "How long looks took, with what was fetched and published.", NULL,
                                  look_bounds, ARRAY_COUNT(look_bounds)));
}

void git_metrics_count(struct metrics_family *family, const char *label)
{
    metric_add(metrics_series(family, &label), 1);
}

void git_metrics_set(struct metrics_family *family, const char *repository, double value)
{
    metric_set(metrics_series(family, &repository), value);
}

void git_metrics_failure(const struct git_metrics *metrics, const char *repository, int code)
{
    char reason[32];
    const char *name = err_name(code);
    (void)snprintf(reason, sizeof(reason), "%s", strncmp(name, "ERR_", 4) == 0 ? name + 4 : name);
    for (char *at = reason; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    const char *const values[] = {repository, reason};
    metric_add(metrics_series(metrics->failures, values), 1);
}
