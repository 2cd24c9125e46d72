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

#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/collect.h"
#include "reactors/trainer/trainer_private.h"

/* Most entries of a run directory that are removed in one go, and its depth. Supervisors clean up behind
 * themselves, so there are few. */
#define REMOVE_ENTRIES_MAX 20000
/* See above. */
#define REMOVE_DEPTH_MAX 32

/* When a removal that fails is tried again, in milliseconds. */
#define REMOVE_AGAIN_MS 600000

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

void remove_end(struct trainer_job *job)
{
    if (job->remove == NULL)
        return;
    for (size_t i = 0; i < job->remove_count; i++)
        mem_free(job->remove[i]);
    mem_free(TAKE(job->remove));
    job->remove_count = 0;
    (void)close(job->uploads_fd);
}

/* The last step: nothing of it is left but its record. */
static void finish_removal(struct trainer_job *job)
{
    struct trainer *trainer = job->trainer;
    remove_end(job);
    if (strcmp(job->run->host, trainer->ground.settings->host) == 0)
        remove_folder(trainer, job->run->run);
    json_decref(job->run->artefacts);
    job->run->artefacts = NULL;
    act_publish_run(job, !job->keeps_record);
}

static void put_off(struct trainer_job *job, const char *reason)
{
    LOG_WARNING("what history limits say cannot be removed now",
                LOG_TEXT("model", job->model->name), LOG_TEXT("reason", reason),
                LOG_INT("again_in_ms", REMOVE_AGAIN_MS));
    job->model->remove_due_ms = loop_now_ms(job->trainer->ground.loop) + REMOVE_AGAIN_MS;
}

/* A removal has failed: later again; until then runs are looked after. */
static void give_up(struct trainer_job *job, const char *reason)
{
    put_off(job, reason);
    remove_end(job);
    run_record_free(TAKE(job->run));
    observe_plan(job);
}

static void remove_next(struct trainer_job *job);

static void on_removed(void *argument, int code, const struct artefact *artefact,
                       const struct error *error)
{
    struct trainer_job *job = CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC);
    (void)artefact;
    job->removal = NULL;
    if (code != 0 && code != ERR_NOT_FOUND) {
        give_up(job, error->text);
        return;
    }
    if (job->trainer->metrics.collected != NULL)
        metric_add(job->trainer->metrics.collected, 1);
    job->removed++;
    remove_next(job);
}

static void remove_next(struct trainer_job *job)
{
    int64_t waking_ms = trainer_waking_ms(job->trainer);
    if (waking_ms > 0) {
        trainer_job_rest(job, waking_ms);
        return;
    }
    if (job->removed == job->remove_count) {
        finish_removal(job);
        return;
    }
    job->removal =
        artefact_remove(job->trainer->ground.artefacts, job->remove[job->removed], on_removed, job);
}

/* What runs under way on this host have stored: a list of objects of artefacts; new reference. NULL where one cannot be read. */
static json_t *list_uploads(const struct trainer *trainer, const struct run_record *const *runs,
                            size_t run_count, struct error *error)
{
    CLEANUP(json_release) json_t *list = json_array();
    for (size_t i = 0; i < run_count; i++) {
        json_t *stored = NULL;
        if (run_state_is_terminal(runs[i]->state))
            continue;
        CLEANUP(mem_free) char *folder = observe_folder(trainer, runs[i]->run);
        int code = run_directory_read(folder, RUN_FILE_STORED, &stored, error);
        if (code != 0 && code != ERR_NOT_FOUND)
            return NULL;
        if (code == 0)
            (void)json_array_append_new(list, stored);
    }
    return TAKE(list);
}

/* Removes the artefacts of job->run, which is recorded as collected; the lock of uploads is held. */
static void remove_artefacts(struct trainer_job *job)
{
    struct trainer *trainer = job->trainer;
    struct error error = {0};
    size_t run_count = 0;
    size_t version_count = 0;
    CLEANUP(mem_free)
    const struct run_record **runs = registry_list_runs(trainer->registry, NULL, &run_count);
    CLEANUP(mem_free)
    const struct model_record **versions =
        registry_list_models(trainer->registry, NULL, &version_count);
    CLEANUP(json_release) json_t *uploads = list_uploads(trainer, runs, run_count, &error);
    if (uploads == NULL) {
        (void)close(job->uploads_fd);
        give_up(job, error.text);
        return;
    }
    const struct collect_known known = {.runs = runs,
                                        .run_count = run_count,
                                        .versions = versions,
                                        .version_count = version_count,
                                        .uploads = uploads};
    job->remove = collect_unreferenced(job->run, &known, &job->remove_count);
    job->removed = 0;
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

/* What a run on another host has stored cannot be seen from here. */
static bool any_run_is_elsewhere(const struct trainer *trainer,
                                 const struct run_record *const *runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!run_state_is_terminal(runs[i]->state) &&
            strcmp(runs[i]->host, trainer->ground.settings->host) != 0)
            return true;
    return false;
}

/* Takes the lock of uploads. False: some run uploads now, and it is tried again soon. */
static bool take_uploads(struct trainer_job *job)
{
    struct error error = {0};
    int code =
        run_uploads_lock(job->trainer->ground.settings->runs, true, &job->uploads_fd, &error);
    if (code == ERR_CONFLICT)
        job->look_ms = TRAINER_LOOK_MS;
    else if (code != 0)
        put_off(job, error.text);
    return code == 0;
}

/* Does the next step for a run that was chosen; false: not now. */
static bool remove_run(struct trainer_job *job, const struct collect_choice *choice)
{
    const struct model_record *version =
        registry_find_model(job->trainer->registry, choice->run->model, choice->run->run);
    job->keeps_record = choice->keeps_record;
    if (version != NULL && !version->collected) {
        job->version = model_record_copy(version);
        job->version->collected = true;
        act_publish_version(job);
        return true;
    }
    if (choice->run->collected && !take_uploads(job))
        return false;
    job->run = run_record_copy(choice->run);
    if (!choice->run->collected) {
        job->run->collected = true;
        act_publish_run(job, false);
        return true;
    }
    remove_artefacts(job);
    return true;
}

bool remove_begin(struct trainer_job *job)
{
    const struct registry *registry = job->trainer->registry;
    size_t all_count = 0;
    struct collect_facts facts = {.keep_successful = job->wish->keep_successful,
                                  .keep_failed = job->wish->keep_failed,
                                  .is_named = is_named,
                                  .argument = job};
    if (!job->wish->plan.present || job->trainer->ground.artefacts == NULL ||
        loop_now_ms(job->trainer->ground.loop) < job->model->remove_due_ms)
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
    return choice.run != NULL && !any_run_is_elsewhere(job->trainer, all, all_count) &&
           remove_run(job, &choice);
}
