/*
 * All watched repositories: see watcher.h.
 *
 * Design: an array; a configuration is applied by taking over those that stay and making those that are
 * new. There are hundreds at most, so they are found by looking at each.
 */
#include "ingest/git/watcher.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/git/git_metrics.h"
#include "ingest/git/heads.h"
#include "ingest/git/work.h"

/* What the watcher passed through `void *` starts with. */
#define WATCHER_MAGIC 0x3a7c4e5u

/* How mirrors' folders end. */
#define MIRROR_ENDING ".git"

struct watcher {
    unsigned magic;
    struct repository_world world;
    struct git_metrics metrics;
    struct watcher_handler handler;
    void *argument;
    struct repository **repositories; /* owned */
    size_t count;
    void (*drained)(void *argument); /* NULL: not draining, or told already */
    void *drained_argument;
};

/* ---- what was published ---- */

static void on_heads_loaded(void *argument)
{
    struct watcher *watcher = CAST_CHECKED(struct watcher, argument, WATCHER_MAGIC);
    LOG_INFO("what was published is known", LOG_INT("repositories", watcher->count));
    watcher->handler.known(watcher->argument, true, NULL);
}

static void on_heads_trouble(void *argument, const char *reason)
{
    struct watcher *watcher = CAST_CHECKED(struct watcher, argument, WATCHER_MAGIC);
    if (reason != NULL)
        watcher->handler.known(watcher->argument, false, reason);
}

static void on_heads_unreadable(void *argument, const struct bus_record *record,
                                const struct error *error)
{
    struct watcher *watcher = CAST_CHECKED(struct watcher, argument, WATCHER_MAGIC);
    metric_add(watcher->metrics.unreadable, 1);
    LOG_WARNING("a record cannot be read and is left out",
                LOG_TEXT("topic", topic_name(record->topic)),
                LOG_INT("partition", record->partition), LOG_INT("offset", record->offset),
                LOG_TEXT("detail", error->text));
}

/* ---- draining ---- */

static void check_drained(struct watcher *watcher)
{
    if (watcher->drained != NULL && watcher->world.publication_count == 0)
        TAKE(watcher->drained)(watcher->drained_argument);
}

static void on_settled(void *argument)
{
    check_drained(CAST_CHECKED(struct watcher, argument, WATCHER_MAGIC));
}

void watcher_drain(struct watcher *watcher, void (*drained)(void *argument), void *argument)
{
    for (size_t i = 0; i < watcher->count; i++)
        repository_stop(watcher->repositories[i]);
    watcher->drained = drained;
    watcher->drained_argument = argument;
    check_drained(watcher);
}

/* ---- making ---- */

struct watcher *watcher_new(struct loop *loop, struct bus *bus, struct metrics *registry,
                            const struct watcher_settings *settings,
                            const struct watcher_handler *handler, void *argument)
{
    static const struct heads_handler heads_handler = {
        .loaded = on_heads_loaded, .trouble = on_heads_trouble, .unreadable = on_heads_unreadable};
    struct watcher *watcher = MEM_NEW(struct watcher);
    watcher->magic = WATCHER_MAGIC;
    watcher->handler = *handler;
    watcher->argument = argument;
    git_metrics_declare(&watcher->metrics, registry);
    watcher->world = (struct repository_world){
        .loop = loop,
        .bus = bus,
        .heads = heads_new(loop, bus, &heads_handler, watcher),
        .children = settings->children,
        .suspects = settings->suspects,
        .metrics = &watcher->metrics,
        .settings = settings->repository,
        .argument = watcher,
        .settled = on_settled,
    };
    return watcher;
}

void watcher_set_reader(struct watcher *watcher, const struct repository_reader *reader,
                        void *argument)
{
    watcher->world.reader = reader;
    watcher->world.reader_argument = argument;
}

void watcher_leave_bus(struct watcher *watcher)
{
    for (size_t i = 0; i < watcher->count; i++)
        repository_free(watcher->repositories[i]);
    watcher->count = 0;
    heads_watch(watcher->world.heads, NULL, 0);
    heads_leave(watcher->world.heads);
}

void watcher_free(struct watcher *watcher)
{
    if (watcher == NULL)
        return;
    watcher_leave_bus(watcher);
    heads_free(watcher->world.heads);
    free(watcher->repositories);
    watcher->magic = 0;
    free(watcher);
}

struct git_metrics *watcher_metrics(struct watcher *watcher)
{
    return &watcher->metrics;
}

/* ---- mirrors of nobody ---- */

static void on_discarded(void *argument, const struct child_result *result)
{
    (void)argument;
    if (result->code != 0 || result->exit_status != 0)
        LOG_WARNING("a mirror that is not needed any more cannot be deleted",
                    LOG_BYTES("detail", result->errors, result->errors_bytes));
}

static void discard(struct watcher *watcher, const char *folder)
{
    const struct repository_settings *settings = &watcher->world.settings;
    const char *const argv[] = {settings->program, WORK_ARGUMENT, NULL};
    size_t bytes = 0;
    CLEANUP(mem_free) char *request = work_write_discard(folder, &bytes);
    const struct child_spec spec = {.argv = argv,
                                    .folder = settings->state,
                                    .input = request,
                                    .input_bytes = bytes,
                                    .deadline_ms = settings->work_deadline_ms,
                                    .output_max_bytes = 1024,
                                    .errors_max_bytes = 1024};
    LOG_INFO("deleting a mirror that is not needed any more", LOG_TEXT("folder", folder));
    child_start(watcher->world.suspects, &spec, on_discarded, watcher);
}

static bool is_mirror_of_somebody(const struct watcher *watcher, const char *folder)
{
    for (size_t i = 0; i < watcher->count; i++)
        if (strcmp(repository_mirror(watcher->repositories[i]), folder) == 0)
            return true;
    return false;
}

static void discard_unwatched(struct watcher *watcher)
{
    const char *state = watcher->world.settings.state;
    DIR *folder = opendir(state);
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        size_t bytes = strlen(entry->d_name);
        size_t ending_bytes = sizeof(MIRROR_ENDING) - 1;
        if (bytes <= ending_bytes ||
            strcmp(entry->d_name + bytes - ending_bytes, MIRROR_ENDING) != 0)
            continue;
        CLEANUP(mem_free) char *path = mem_format("%s/%s", state, entry->d_name);
        if (!is_mirror_of_somebody(watcher, path))
            discard(watcher, path);
    }
    (void)closedir(folder);
}

/* ---- the configuration ---- */

static struct repository *take_repository(struct watcher *watcher, const char *url)
{
    for (size_t i = 0; i < watcher->count; i++) {
        struct repository *repository = watcher->repositories[i];
        if (repository != NULL && strcmp(repository_config_of(repository)->url.text, url) == 0)
            return TAKE(watcher->repositories[i]);
    }
    return NULL;
}

/* A new one; its first look comes by chance within the spread, so that many do not come at once. */
static struct repository *make_repository(struct watcher *watcher,
                                          const struct repository_config *config)
{
    struct repository *repository = repository_new(&watcher->world, config);
    int64_t spread_ms =
        config->interval_ms < WATCHER_SPREAD_MS ? config->interval_ms : WATCHER_SPREAD_MS;
    int64_t delay_ms = (int64_t)loop_random_below(watcher->world.loop, (uint64_t)spread_ms);
    repository_wake(repository, delay_ms, "timer");
    return repository;
}

void watcher_apply(struct watcher *watcher, const struct config *config, bool is_whole)
{
    size_t count = config_count(config);
    struct repository **repositories = mem_alloc_array(count, sizeof(*repositories));
    CLEANUP(mem_free) const char **urls = mem_alloc_array(count, sizeof(*urls));
    for (size_t i = 0; i < count; i++) {
        const struct repository_config *item = config_at(config, i);
        repositories[i] = take_repository(watcher, item->url.text);
        if (repositories[i] != NULL)
            repository_configure(repositories[i], item);
        else
            repositories[i] = make_repository(watcher, item);
        urls[i] = item->url.text;
    }
    for (size_t i = 0; i < watcher->count; i++)
        repository_free(watcher->repositories[i]);
    free(watcher->repositories);
    watcher->repositories = repositories;
    watcher->count = count;
    metric_set(watcher->metrics.repositories, (double)count);
    heads_watch(watcher->world.heads, urls, count);
    if (is_whole)
        discard_unwatched(watcher);
}

bool watcher_wake_url(struct watcher *watcher, const char *url, const char *source)
{
    for (size_t i = 0; i < watcher->count; i++) {
        if (strcmp(repository_config_of(watcher->repositories[i])->url.text, url) == 0) {
            repository_wake(watcher->repositories[i], 0, source);
            return true;
        }
    }
    return false;
}

size_t watcher_wake_named(struct watcher *watcher, const char *name, size_t name_bytes,
                          const char *source)
{
    size_t woken = 0;
    for (size_t i = 0; i < watcher->count; i++) {
        if (git_url_is_named(&repository_config_of(watcher->repositories[i])->url, name,
                             name_bytes)) {
            repository_wake(watcher->repositories[i], 0, source);
            woken++;
        }
    }
    return woken;
}
