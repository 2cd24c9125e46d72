/*
 * The removal of what collect.h chooses: records, artefacts, run directories. See trainer_private.h.
 *
 * Design: nothing is removed while any run is under way, and no run begins while something is being removed:
 * a run may upload bytes that are in the store already, and would find them gone when its record names
 * them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/collect.h"
#include "reactors/trainer/trainer_private.h"

/* Most entries of a run directory that are removed in one go, and its depth. Supervisors clean up behind
 * themselves, so there are few. */
#define REMOVE_ENTRIES_MAX 20000
/* See above. */
#define REMOVE_DEPTH_MAX 32

/* ---- directories ---- */

/* Removes what is in an open directory (taken). Symbolic links are removed, not followed. */
static bool empty_folder(int fd, size_t depth, size_t *left)
{
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        (void)close(fd);
        return false;
    }
    bool is_empty = true;
    for (struct dirent *entry = readdir(folder); entry != NULL && *left > 0;
         entry = readdir(folder)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (*left)--;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0 || depth == 0) {
            if (below >= 0)
                (void)close(below);
            is_empty = false;
            continue;
        }
        is_empty = empty_folder(below, depth - 1, left) &&
                   unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0 && is_empty;
    }
    (void)closedir(folder);
    return is_empty && *left > 0;
}

static void remove_folder(const struct trainer *trainer, const char *run)
{
    size_t left = REMOVE_ENTRIES_MAX;
    CLEANUP(mem_free) char *path = observe_folder(trainer, run);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!empty_folder(fd, REMOVE_DEPTH_MAX, &left) || rmdir(path) != 0)
        LOG_WARNING(
            "the directory of a collected run could not be removed whole; remove it by hand",
            LOG_TEXT("folder", path));
}

/* ---- steps ---- */

/* The last step: nothing of it is left but its record. */
static void finish_removal(struct trainer_job *job)
{
    struct trainer *trainer = job->trainer;
    for (size_t i = 0; i < job->remove_count; i++)
        mem_free(job->remove[i]);
    mem_free(TAKE(job->remove));
    job->remove_count = 0;
    trainer->collecting--;
    if (strcmp(job->run->host, trainer->ground.settings->host) == 0)
        remove_folder(trainer, job->run->run);
    json_decref(job->run->artefacts);
    job->run->artefacts = NULL;
    act_publish_run(job, !job->keeps_record);
}

static void remove_next(struct trainer_job *job);

static void on_removed(void *argument, int code, const struct artefact *artefact,
                       const struct error *error)
{
    struct trainer_job *job = CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC);
    (void)artefact;
    job->removal = NULL;
    if (code != 0 && code != ERR_NOT_FOUND) {
        trainer_job_finish(job, KERNEL_RETRY, 0, error->text);
        return;
    }
    if (job->trainer->metrics.collected != NULL)
        metric_add(job->trainer->metrics.collected, 1);
    job->removed++;
    remove_next(job);
}

static void remove_next(struct trainer_job *job)
{
    if (job->removed == job->remove_count) {
        finish_removal(job);
        return;
    }
    job->removal =
        artefact_remove(job->trainer->ground.artefacts, job->remove[job->removed], on_removed, job);
}

/* Removes the artefacts of job->run, which is recorded as collected. */
static void remove_artefacts(struct trainer_job *job)
{
    struct trainer *trainer = job->trainer;
    size_t run_count = 0;
    size_t version_count = 0;
    CLEANUP(mem_free)
    const struct run_record **runs = registry_list_runs(trainer->registry, NULL, &run_count);
    CLEANUP(mem_free)
    const struct model_record **versions =
        registry_list_models(trainer->registry, NULL, &version_count);
    job->remove = collect_unreferenced(job->run, runs, run_count, versions, version_count,
                                       &job->remove_count);
    job->removed = 0;
    trainer->collecting++;
    LOG_INFO("a run is collected", LOG_TEXT("run", job->run->run),
             LOG_INT("artefacts", job->remove_count));
    remove_next(job);
}

static bool is_named(void *argument, const char *version)
{
    const struct trainer_job *job = argument;
    const struct spec_store *store = spec_table_records(job->trainer->specs);
    const char *model = job->model->name;
    size_t count = spec_store_count(store);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    for (size_t i = 0; i < count; i++)
        if (entries[i].record->valid != NULL && named_in(entries[i].record->valid, model, version))
            return true;
    return named_has(job->trainer->named, model, version);
}

static bool any_run_is_under_way(const struct run_record *const *runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!run_state_is_terminal(runs[i]->state))
            return true;
    return false;
}

/* Does the next step for a run that was chosen. */
static void remove_run(struct trainer_job *job, const struct collect_choice *choice)
{
    const struct model_record *version =
        registry_find_model(job->trainer->registry, choice->run->model, choice->run->run);
    job->keeps_record = choice->keeps_record;
    if (version != NULL && !version->collected) {
        job->version = model_record_copy(version);
        job->version->collected = true;
        act_publish_version(job);
        return;
    }
    job->run = run_record_copy(choice->run);
    if (!choice->run->collected) {
        job->run->collected = true;
        act_publish_run(job, false);
        return;
    }
    remove_artefacts(job);
}

bool remove_begin(struct trainer_job *job)
{
    const struct registry *registry = job->trainer->registry;
    size_t all_count = 0;
    struct collect_facts facts = {.keep_successful = job->wish->keep_successful,
                                  .keep_failed = job->wish->keep_failed,
                                  .is_named = is_named,
                                  .argument = job};
    if (!job->wish->plan.present || job->trainer->ground.artefacts == NULL)
        return false;
    CLEANUP(mem_free)
    const struct run_record **all = registry_list_runs(registry, NULL, &all_count);
    CLEANUP(mem_free)
    const struct run_record **runs =
        registry_list_runs(registry, job->model->name, &facts.run_count);
    const struct model_record *newest = registry_newest(registry, job->model->name);
    facts.runs = runs;
    facts.newest = newest != NULL ? newest->version : NULL;
    const struct collect_choice choice = collect_choose(&facts);
    if (choice.run == NULL || any_run_is_under_way(all, all_count))
        return false;
    remove_run(job, &choice);
    return true;
}
