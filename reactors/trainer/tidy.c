/*
 * Run directories that nobody cleans: what a killed supervisor left, and directories that no record names. See trainer_private.h.
 *
 * Design: when this replica begins to act, after each run that was lost, and every TIDY_INTERVAL_MS, the folder of run directories is
 * looked through, and a child deletes what was found:
 *
 *      the run is over, and its supervisor gone      scratch, mirror, data: what supervisors delete themselves. The rest (log, state)
 *                                                    stays until history limits remove the run
 *      no record names it, nothing of it has         all of it
 *      changed for TIDY_STRAY_MS
 *
 * Invariants: the directory of a run that is not over is not touched, nor one whose supervisor lives; nothing is touched before
 * the records were read, nor what is no run's directory.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/trainer_private.h"

/* Between two looks. */
#define TIDY_INTERVAL_MS 3600000

/* Age of a directory that no record names: records may be late, and somebody may want to look. */
#define TIDY_STRAY_MS ((int64_t)7 * 24 * 3600 * 1000)

/* Directories of one look; there are a few for each model. */
#define TIDY_ENTRIES_MAX 20000

/* Paths that one child deletes; then comes the next look. */
#define TIDY_PATHS_MAX 64

/* How long that child may take: a scratch folder may be gigabytes. */
#define TIDY_DEADLINE_MS 600000

/* What a supervisor deletes itself when it ends: run_supervisor.h. */
static const char *const leftovers[] = {"scratch", "root", "mirror.git", "data.jsonl", "data.csv"};

/* What is to be deleted. */
struct rubbish {
    char *paths[TIDY_PATHS_MAX]; /* owned */
    size_t count;                /* of them */
};

static void add(struct rubbish *rubbish, char *path)
{
    struct stat status;
    if (rubbish->count < TIDY_PATHS_MAX && lstat(path, &status) == 0)
        rubbish->paths[rubbish->count++] = path;
    else
        mem_free(path);
}

static void rubbish_release(struct rubbish *rubbish)
{
    for (size_t i = 0; i < rubbish->count; i++)
        mem_free(rubbish->paths[i]);
}

/* What may be deleted of one directory, if nobody works in it. */
static void gather(const struct trainer *trainer, const char *name, const char *folder,
                   struct rubbish *rubbish)
{
    const struct run_record *record = registry_find_run(trainer->registry, name);
    int64_t now_ms = loop_wall_ms(trainer->ground.loop);
    struct stat status;
    CLEANUP(mem_free) char *spec = mem_format("%s/" RUN_FILE_SPEC, folder);
    if ((record != NULL && !run_state_is_terminal(record->state)) || access(spec, F_OK) != 0)
        return;
    if (record == NULL && lstat(folder, &status) == 0 &&
        now_ms - (int64_t)status.st_mtim.tv_sec * 1000 > TIDY_STRAY_MS)
        add(rubbish, mem_copy_text(folder));
    for (size_t i = 0; record != NULL && i < ARRAY_COUNT(leftovers); i++)
        add(rubbish, mem_format("%s/%s", folder, leftovers[i]));
}

/* Returns true if a supervisor has the directory, or nobody knows. */
static bool is_in_use(const char *folder)
{
    struct run_result result = {.state = RUN_FAILED};
    enum run_sight sight = RUN_SIGHT_RUNNING;
    int code = run_directory_observe(folder, &sight, &result, NULL);
    run_result_release(&result);
    return code == ERR_CORRUPT ? false : code != 0 || sight == RUN_SIGHT_RUNNING;
}

/* Judges one directory: cheaply first, because most hold nothing to delete. */
static void judge(const struct trainer *trainer, const char *name, struct rubbish *rubbish)
{
    size_t before = rubbish->count;
    CLEANUP(mem_free) char *folder = observe_folder(trainer, name);
    gather(trainer, name, folder, rubbish);
    if (rubbish->count > before && is_in_use(folder))
        while (rubbish->count > before)
            mem_free(rubbish->paths[--rubbish->count]);
}

static void on_deleted(void *argument, const struct child_result *result)
{
    struct trainer *trainer = argument;
    trainer->tidy_child = NULL;
    if (result->code != 0 || result->exit_status != 0)
        LOG_WARNING("what a run left could not be deleted; it is tried again in an hour",
                    LOG_TEXT("reason", result->errors));
    else if (trainer->tidy_is_cut)
        loop_timer_set(trainer->tidy_timer, 0);
}

static void delete_all(struct trainer *trainer, const struct rubbish *rubbish)
{
    static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    const char *argv[TIDY_PATHS_MAX + 5] = {"rm", "-rf", "--one-file-system", "--"};
    for (size_t i = 0; i < rubbish->count; i++) {
        argv[i + 4] = rubbish->paths[i];
        LOG_INFO("what a run left is deleted", LOG_TEXT("path", rubbish->paths[i]));
    }
    const struct child_spec spec = {.argv = argv,
                                    .env = env,
                                    .folder = "/",
                                    .deadline_ms = TIDY_DEADLINE_MS,
                                    .output_max_bytes = 1024,
                                    .errors_max_bytes = 1024};
    trainer->tidy_child = child_start(trainer->ground.children, &spec, on_deleted, trainer);
}

void tidy_look(void *argument)
{
    struct trainer *trainer = argument;
    struct rubbish rubbish = {.count = 0};
    size_t entries = 0;
    loop_timer_set(trainer->tidy_timer, TIDY_INTERVAL_MS);
    if (trainer->tidy_child != NULL || trainer->ground.children == NULL ||
        trainer->kernel == NULL || !kernel_is_ready(trainer->kernel))
        return;
    DIR *folder = opendir(trainer->ground.settings->runs);
    if (folder == NULL)
        return; /* whoever starts a run will say it */
    for (struct dirent *entry = readdir(folder);
         entry != NULL && entries < TIDY_ENTRIES_MAX && rubbish.count < TIDY_PATHS_MAX;
         entry = readdir(folder), entries++)
        if (entry->d_name[0] != '.')
            judge(trainer, entry->d_name, &rubbish);
    (void)closedir(folder);
    trainer->tidy_is_cut = rubbish.count == TIDY_PATHS_MAX;
    if (rubbish.count > 0)
        delete_all(trainer, &rubbish);
    rubbish_release(&rubbish);
}
