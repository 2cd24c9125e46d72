/*
 * What the tests of the watcher and of the documents share: a simulated world with one daemon, its remote in memory
 * (fake_git.h), and a cluster in memory, which lives on when the daemon is killed.
 *
 * Design: header only; each test file is its own program. The daemon has documents if the setup says what a branch
 * holds.
 *
 * Invariant: a function of the seed and the calls.
 */
#ifndef NODAG_TESTS_UNIT_INGEST_GIT_GIT_WORLD_H
#define NODAG_TESTS_UNIT_INGEST_GIT_GIT_WORLD_H

#include "tests/unit/ingest/git/fake_git.h"

#include "base/log.h"
#include "ingest/git/documents.h"
#include "ingest/git/watcher.h"
#include "topics/bus_memory.h"

/* Wall clock at the start. */
#define GIT_WORLD_WALL_MS 1700000000000

/* The repository. */
#define URL "https://host.example/owner/name"

/* What a daemon is started with. */
struct git_world_setup {
    const char *config;     /* at first */
    int64_t interval_ms;    /* between looks, where the configuration does not say */
    int64_t backoff_max_ms; /* of a repository that fails */
    /* The files of a branch, as fake_git.h's; NULL: no documents. */
    void (*documents)(unsigned ref, unsigned state, json_t *files);
};

/* A world with one daemon. */
struct git_world {
    struct loop *loop;
    struct bus_memory *cluster;
    struct fake_git git;
    const struct git_world_setup *setup;
    const char *config; /* of the daemon */
    struct metrics *metrics;
    struct bus *bus;             /* NULL: the daemon is down */
    struct watcher *watcher;     /* likewise */
    struct documents *documents; /* likewise, or there are none */
    bool is_known;               /* of the watcher */
    bool documents_are_known;
    size_t named; /* calls */
};

static inline void git_world_on_known(void *argument, bool is_known, const char *reason)
{
    assert_int_equal(is_known, reason == NULL);
    ((struct git_world *)argument)->is_known = is_known;
}

static inline void git_world_on_documents_known(void *argument, bool is_known, const char *reason)
{
    (void)reason;
    ((struct git_world *)argument)->documents_are_known = is_known;
}

static inline void git_world_on_named(void *argument)
{
    ((struct git_world *)argument)->named++;
}

static inline void git_world_on_unread(void *argument, const char *repository)
{
    (void)watcher_wake_url(((struct git_world *)argument)->watcher, repository, "timer");
}

/* For draining: the argument is a bool. */
static inline void git_world_on_drained(void *argument)
{
    *(bool *)argument = true;
}

/* Gives a configuration to the daemon, or to the next one if it is down. */
static inline void git_world_apply(struct git_world *world, const char *text)
{
    const struct config_defaults defaults = {.interval_ms = world->setup->interval_ms};
    CLEANUP(config_free) struct config *config = NULL;
    struct error error = {.text = ""};
    if (config_parse("x", text, strlen(text), &defaults, &config, &error) != 0)
        fail_msg("%s", error.text);
    world->config = text;
    if (world->watcher == NULL)
        return;
    watcher_apply(world->watcher, config, true);
    if (world->documents != NULL)
        documents_apply(world->documents, config);
}

static inline void git_world_start(struct git_world *world)
{
    static const struct watcher_handler handler = {.known = git_world_on_known};
    static const struct documents_handler documents_handler = {.known =
                                                                   git_world_on_documents_known,
                                                               .named = git_world_on_named,
                                                               .unread = git_world_on_unread};
    const struct watcher_settings settings = {
        .repository = {.state = "/nowhere",
                       .program = "/nowhere/nodag-ingest-git",
                       .list_deadline_ms = 60000,
                       .fetch_deadline_ms = 600000,
                       .work_deadline_ms = 300000,
                       .wake_interval_ms = 2000,
                       .backoff_max_ms = world->setup->backoff_max_ms,
                       .mirror_max_bytes = 1 << 30},
        .children = &world->git.children,
        .suspects = &world->git.children,
    };
    world->metrics = metrics_new();
    world->bus = bus_memory_open(world->cluster);
    world->watcher =
        watcher_new(world->loop, world->bus, world->metrics, &settings, &handler, world);
    if (world->setup->documents != NULL) {
        world->documents = documents_new(world->loop, world->bus, watcher_metrics(world->watcher),
                                         &documents_handler, world);
        watcher_set_reader(world->watcher, &documents_reader, world->documents);
    }
    git_world_apply(world, world->config);
}

/* As kill -9: what was on its way may or may not arrive. */
static inline void git_world_kill(struct git_world *world)
{
    if (world->watcher == NULL)
        return;
    watcher_leave_bus(world->watcher);
    if (world->documents != NULL)
        documents_leave_bus(world->documents);
    bus_memory_close(TAKE(world->bus));
    watcher_free(TAKE(world->watcher));
    documents_free(TAKE(world->documents));
    metrics_free(TAKE(world->metrics));
    assert_int_equal(world->git.running, 0);
}

/* Makes a world with a daemon; `setup` is borrowed for its life. */
static inline void git_world_open(struct git_world *world, uint64_t seed,
                                  const struct git_world_setup *setup)
{
    log_configure("test", LOG_LEVEL_ERROR);
    *world = (struct git_world){.loop = loop_new_simulated(seed, GIT_WORLD_WALL_MS),
                                .setup = setup,
                                .config = setup->config};
    world->cluster = bus_memory_new(world->loop, 3);
    fake_git_open(&world->git, world->loop);
    world->git.documents = setup->documents;
    git_world_start(world);
}

static inline void git_world_close(struct git_world *world)
{
    git_world_kill(world);
    bus_memory_free(world->cluster);
    loop_free(world->loop);
}

/* Lets the broker and children fail by chance; half of the seeds have long delays, so that old records are still being
 * read when newer ones are acknowledged. */
static inline void git_world_break(struct git_world *world, uint64_t seed)
{
    const struct bus_memory_faults faults = {.publish_refused = 50,
                                             .publish_failed = 50,
                                             .publish_unsure = 50,
                                             .delay_max_ms = seed % 2 == 0 ? 2000 : 60000};
    bus_memory_set_faults(world->cluster, &faults);
    world->git.faults = (struct fake_faults){.fails = 50, .hangs = 10, .corrupt = 50};
}

/* Ends every fault. */
static inline void git_world_mend(struct git_world *world)
{
    const struct bus_memory_faults none = {0};
    bus_memory_set_faults(world->cluster, &none);
    world->git.faults = (struct fake_faults){.fails = 0};
    world->git.is_empty = false;
    world->git.broken_ref = FAKE_REFS;
}

/* Kills the daemon by chance's hand; its mirror may be gone too. */
static inline void git_world_kill_by_chance(struct git_world *world)
{
    git_world_kill(world);
    if (loop_random_below(world->loop, 2) == 0)
        world->git.mirror = (struct fake_repository){.states = {0}};
}

#endif
