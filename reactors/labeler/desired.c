/*
 * What the labeler's documents say now: see desired.h.
 */
#include "reactors/labeler/desired.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"

/* Guards against a struct of another type. */
#define DESIRED_MAGIC 0x64736972u

struct desired {
    unsigned magic;                         /* DESIRED_MAGIC */
    struct loop *loop;                      /* borrowed */
    struct desired_handler handler;         /* whom it tells */
    void *argument;                         /* of handler */
    struct spec_table *table;               /* owned */
    struct document_set *documents;         /* owned */
    bool from_folder;                       /* files' own faults are the labeler's to tell */
    bool is_deferred;                       /* a new set will be made */
    char *conflicts[DESIRED_CONFLICTS_MAX]; /* owned: repositories that two documents match */
    size_t conflict_count;                  /* how many */
    struct metrics_family *count_metric;    /* NULL without metrics */
    struct metric *conflict_metric;         /* NULL without metrics */
};

static void desired_forget_conflicts(struct desired *desired)
{
    for (size_t i = 0; i < desired->conflict_count; i++)
        mem_free(desired->conflicts[i]);
    desired->conflict_count = 0;
    if (desired->conflict_metric != NULL)
        metric_set(desired->conflict_metric, 0);
}

/* Returns true if a record is about a Labeler, or a file of the labeler's own folder. */
static bool desired_is_concerned(const struct desired *desired, const char *key)
{
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    return spec_key_parse(key, &kind, &name) == 0 ? kind == SPEC_LABELER : desired->from_folder;
}

/* Says what is wrong with one record. */
static void desired_log(const struct desired *desired, const char *key)
{
    const struct spec_record *record = spec_store_find(spec_table_records(desired->table), key);
    if (record == NULL || record->reason == NULL || !desired_is_concerned(desired, key))
        return;
    LOG_ERROR("a document is not valid; what was valid before stays in force",
              LOG_TEXT("document", key), LOG_TEXT("reason", record->reason),
              LOG_TEXT("repository", record->invalid_place.repository),
              LOG_TEXT("in_force", record->valid != NULL ? "the last valid version" : "nothing"));
}

static void desired_count(const struct desired *desired, const struct spec_entry *entries)
{
    static const char *const states[] = {"valid", "invalid"};
    size_t invalid = 0;
    for (size_t i = 0; i < spec_store_count(spec_table_records(desired->table)); i++)
        if (entries[i].record->reason != NULL && desired_is_concerned(desired, entries[i].key))
            invalid++;
    LOG_INFO("Labeler documents read", LOG_INT("documents", document_count(desired->documents)),
             LOG_INT("not_valid", invalid));
    if (desired->count_metric == NULL)
        return;
    metric_set(metrics_series(desired->count_metric, &states[0]),
               (double)document_count(desired->documents));
    metric_set(metrics_series(desired->count_metric, &states[1]), (double)invalid);
}

/* Makes the set that is in force now; returns the one before, owned. */
static struct document_set *desired_replace(struct desired *desired)
{
    struct document_set *before = desired->documents;
    CLEANUP(mem_free)
    struct spec_entry *entries = spec_store_list(spec_table_records(desired->table));
    desired->documents = document_set_from_specs(spec_table_records(desired->table));
    desired_forget_conflicts(desired);
    desired_count(desired, entries);
    return before;
}

static void desired_remake(void *argument)
{
    struct desired *desired = CAST_CHECKED(struct desired, argument, DESIRED_MAGIC);
    desired->is_deferred = false;
    CLEANUP(document_set_free) struct document_set *before = desired_replace(desired);
    desired->handler.changed(desired->argument, before);
}

static void desired_remake_soon(struct desired *desired)
{
    if (!desired->is_deferred)
        loop_defer(desired->loop, desired_remake, desired);
    desired->is_deferred = true;
}

static void desired_on_changed(void *argument, const char *key)
{
    struct desired *desired = CAST_CHECKED(struct desired, argument, DESIRED_MAGIC);
    if (!desired_is_concerned(desired, key))
        return;
    desired_log(desired, key);
    desired_remake_soon(desired);
}

static void desired_on_ready(void *argument)
{
    struct desired *desired = CAST_CHECKED(struct desired, argument, DESIRED_MAGIC);
    const struct spec_store *records = spec_table_records(desired->table);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(records);
    for (size_t i = 0; i < spec_store_count(records); i++)
        desired_log(desired, entries[i].key);
    document_set_free(desired_replace(desired));
    if (document_count(desired->documents) == 0)
        LOG_WARNING("no Labeler document is in force: no issue is labelled until there is one");
    desired->handler.ready(desired->argument);
}

static void desired_on_failed(void *argument, const struct error *error)
{
    (void)argument;
    LOG_ERROR("the folder of documents cannot be read; what was read before stays in force",
              LOG_TEXT("reason", error->text));
}

int desired_new(struct loop *loop, struct bus *bus, struct metrics *metrics,
                const struct spec_table_settings *settings, const struct desired_handler *handler,
                void *argument, struct desired **ret_desired, struct error *error)
{
    static const struct spec_table_handler table_handler = {
        .ready = desired_on_ready, .changed = desired_on_changed, .failed = desired_on_failed};
    static const char *const by_state[] = {"state", NULL};
    CLEANUP(desired_free) struct desired *desired = MEM_NEW(struct desired);
    desired->magic = DESIRED_MAGIC;
    desired->loop = loop;
    desired->handler = *handler;
    desired->argument = argument;
    desired->from_folder = settings->folder != NULL;
    desired->documents = document_set_new();
    int code = spec_table_new(loop, bus, settings, &table_handler, desired, &desired->table, error);
    if (code != 0)
        return code;
    if (metrics != NULL) {
        desired->count_metric =
            metrics_declare(metrics, METRICS_GAUGE, "nodag_labeler_documents",
                            "Labeler documents: valid ones in force, and newer ones that are not "
                            "valid.",
                            by_state);
        desired->conflict_metric = metrics_single(metrics_declare(
            metrics, METRICS_GAUGE, "nodag_labeler_repositories_in_conflict",
            "Repositories with issues that two Labeler documents match: nothing is written there.",
            NULL));
    }
    *ret_desired = TAKE(desired);
    return 0;
}

void desired_free(struct desired *desired)
{
    if (desired == NULL)
        return;
    loop_cancel_deferred(desired->loop, desired);
    spec_table_free(desired->table);
    document_set_free(desired->documents);
    for (size_t i = 0; i < desired->conflict_count; i++)
        mem_free(desired->conflicts[i]);
    desired->magic = 0;
    mem_free(desired);
}

const struct document_set *desired_documents(const struct desired *desired)
{
    return desired->documents;
}

bool desired_is_ready(const struct desired *desired)
{
    return spec_table_is_ready(desired->table);
}

void desired_reload(struct desired *desired)
{
    struct error error = {0};
    if (spec_table_reload(desired->table, &error) != 0)
        desired_on_failed(desired, &error);
    if (desired_is_ready(desired))
        desired_remake_soon(desired);
}

void desired_note_conflict(struct desired *desired, const char *repository, const char *text)
{
    for (size_t i = 0; i < desired->conflict_count; i++)
        if (strcasecmp(desired->conflicts[i], repository) == 0)
            return;
    LOG_ERROR("two Labeler documents match a repository: nothing is written there",
              LOG_TEXT("repository", repository), LOG_TEXT("reason", text));
    if (desired->conflict_count == DESIRED_CONFLICTS_MAX)
        return;
    desired->conflicts[desired->conflict_count++] = mem_copy_text(repository);
    if (desired->conflict_metric != NULL)
        metric_set(desired->conflict_metric, (double)desired->conflict_count);
}
