/*
 * What the trainer's tests share: a world in memory with a real folder of run directories, in which the test plays the
 * supervisors.
 *
 * Design: a supervisor is the lock on its directory, held by this process, and a result that the test writes. It outlives
 * the trainer, which may be killed between any two steps of the loop. The topics are looked at after the fact.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_TRAINER_TRAINER_WORLD_H
#define NODAG_TESTS_UNIT_REACTORS_TRAINER_TRAINER_WORLD_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/trainer/run_directory.h"
#include "reactors/trainer/trainer.h"
#include "topics/bus_memory.h"
#include "topics/model_record.h"
#include "topics/run_record.h"

#define WORLD_WALL_MS 1800000000000
#define SUPERVISORS_MAX 64
#define MINUTE_MS 60000
#define COMMIT_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define COMMIT_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* A supervisor that the trainer started. */
struct supervisor {
    char *folder; /* owned */
    int fd;       /* lock; -1: it is gone */
};

struct world {
    struct launcher launcher; /* first */
    char folder[64];
    char runs[128];
    char url[160];
    struct loop *loop;
    struct bus_memory *cluster;
    struct bus *bus;
    struct artefact_store *artefacts;
    struct metrics *metrics;
    struct trainer *trainer;
    struct trainer_settings settings;
    struct supervisor supervisors[SUPERVISORS_MAX];
    size_t supervisor_count; /* that took a directory */
    size_t starts;           /* calls of start */
    const char *
        ends_as; /* state that a supervisor ends with as soon as it began; NULL: the test ends it */
    int64_t lag_ms;        /* how far the clock of supervisors is behind */
    bool is_slow;          /* a supervisor takes its directory when the test lets it (world_take) */
    char slow_folder[256]; /* of the one that waits */
    const char *host;      /* of the trainer; NULL: here */
    bool repeats;          /* the broker loses acknowledgements: a record may come twice */
    bool refuses;          /* supervisors cannot be started */
    struct children children;    /* delete what their command line names, at once */
    struct child_result deleted; /* what they say of it */
    child_done_fn on_deleted;    /* whom they tell; NULL: no child runs */
    void *on_deleted_argument;
};

static const struct kernel_settings world_kernel = {
    .concurrency = 8,
    .keys_max = 100,
    .backoff_least_ms = 100,
    .backoff_most_ms = 1000,
    .sweep_interval_ms = 3600000,
    .revoke_timeout_ms = 5000,
};

static const struct spec_table_settings world_specs = {.folder = NULL};

/* ---- supervisors ---- */

static inline void world_put_artefact(void *argument, int code, const struct artefact *artefact,
                                      const struct error *error)
{
    (void)error;
    assert_int_equal(code, 0);
    *(struct artefact *)argument = *artefact;
}

/* Stores a text; returns {uri, sha256, size_bytes}. */
static inline json_t *world_store(struct world *world, const char *text)
{
    char path[160];
    struct artefact artefact = {.uri = ""};
    (void)snprintf(path, sizeof(path), "%s/upload", world->folder);
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fflush(file);
    (void)artefact_put(world->artefacts, dup(fileno(file)), world_put_artefact, &artefact);
    (void)fclose(file);
    while (artefact.uri[0] == '\0')
        assert_true(loop_step(world->loop));
    return json_pack("{s:s, s:s, s:I}", "uri", artefact.uri, "sha256", artefact.sha256,
                     "size_bytes", (json_int_t)artefact.size_bytes);
}

/* Ends a supervisor with a result; its artefacts are in the store already. */
static inline void world_end_with(struct world *world, size_t i, const char *state,
                                  json_t *artefacts)
{
    char time[TIME_TEXT_BYTES];
    struct supervisor *supervisor = &world->supervisors[i];
    time_to_text(loop_wall_ms(world->loop) - world->lag_ms, time);
    CLEANUP(json_release)
    json_t *result =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:{s:f, s:[{s:s, s:f}]}}", "state", state, "reason",
                  strcmp(state, "SUCCEEDED") == 0 ? "" : "it was made to fail", "started_at", time,
                  "ended_at", time, "artefacts", artefacts, "metrics", "f1_macro", 0.5, "labels",
                  "name", "kind/bug", "threshold", 0.25);
    assert_non_null(result);
    assert_int_equal(run_directory_write(supervisor->folder, RUN_FILE_RESULT, result, NULL), 0);
    (void)close(supervisor->fd);
    supervisor->fd = -1;
}

static inline void world_end(struct world *world, size_t i, const char *state)
{
    json_t *artefacts = json_object();
    CLEANUP(mem_free) char *model = mem_format("model of %s", world->supervisors[i].folder);
    CLEANUP(mem_free) char *log = mem_format("log of %s", world->supervisors[i].folder);
    if (strcmp(state, "SUCCEEDED") == 0) {
        json_object_set_new(artefacts, "model", world_store(world, model));
        json_object_set_new(artefacts, "dataset", world_store(world, "always the same data"));
    }
    json_object_set_new(artefacts, "log", world_store(world, log));
    world_end_with(world, i, state, artefacts);
}

/* The supervisor dies without a result. */
static inline void world_kill_supervisor(struct world *world, size_t i)
{
    (void)close(world->supervisors[i].fd);
    world->supervisors[i].fd = -1;
}

/* The process of a supervisor takes its directory, unless another has it. */
static inline void world_take(struct world *world, const char *run_folder)
{
    int fd = -1;
    if (run_directory_take(run_folder, &fd, NULL) != 0)
        return; /* a second one ends by itself */
    assert_true(world->supervisor_count < SUPERVISORS_MAX);
    struct supervisor *supervisor = &world->supervisors[world->supervisor_count++];
    *supervisor = (struct supervisor){.folder = mem_copy_text(run_folder), .fd = fd};
}

static inline int world_start(struct launcher *launcher, const char *run_folder,
                              struct error *error)
{
    struct world *world = (struct world *)launcher;
    world->starts++;
    if (world->refuses)
        return error_set(error, ERR_NOT_FOUND, "no such program");
    if (world->slow_folder[0] == '\0' && world->is_slow)
        (void)snprintf(world->slow_folder, sizeof(world->slow_folder), "%s", run_folder);
    else
        world_take(world, run_folder);
    return 0;
}

static inline void world_reap(struct launcher *launcher)
{
    (void)launcher;
}

/* Ends what is to end by itself. */
static inline void world_tend(struct world *world)
{
    for (size_t i = 0; world->ends_as != NULL && i < world->supervisor_count; i++)
        if (world->supervisors[i].fd >= 0)
            world_end_with(
                world, i, world->ends_as,
                json_pack("{s:{s:s, s:s, s:i}}", "model", "uri", "file:///m", "sha256",
                          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                          "size_bytes", 1));
}

/* ---- children ---- */

static inline int world_remove(const char *path, const struct stat *status, int kind,
                               struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline struct world *world_of_children(struct children *children)
{
    return (struct world *)((char *)children - offsetof(struct world, children));
}

static inline void world_tell_deleted(void *argument)
{
    struct world *world = argument;
    child_done_fn done = TAKE(world->on_deleted);
    done(world->on_deleted_argument, &world->deleted);
}

/* `rm -rf --one-file-system -- PATH…` */
static inline struct child *world_delete(struct children *children, const struct child_spec *spec,
                                         child_done_fn done, void *argument)
{
    struct world *world = world_of_children(children);
    assert_string_equal(spec->argv[0], "rm");
    assert_string_equal(spec->argv[3], "--");
    assert_null(world->on_deleted); /* one at a time */
    for (size_t i = 4; spec->argv[i] != NULL; i++)
        assert_int_equal(nftw(spec->argv[i], world_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
    world->on_deleted = done;
    world->on_deleted_argument = argument;
    loop_defer(world->loop, world_tell_deleted, world);
    return (struct child *)world;
}

static inline void world_abandon_child(struct children *children, struct child *child)
{
    struct world *world = world_of_children(children);
    (void)child;
    loop_cancel_deferred(world->loop, world);
    world->on_deleted = NULL;
}

/* ---- the trainer ---- */

static inline void world_begin(struct world *world)
{
    static const char *const argv[] = {"dataset", "{model}", "{file}", NULL};
    struct error error = {0};
    world->bus = bus_memory_open(world->cluster);
    world->metrics = metrics_new();
    world->settings = (struct trainer_settings){
        .runs = world->runs,
        .host = world->host != NULL ? world->host : "here",
        .dataset_argv = argv,
        .artefacts = {.url = world->url},
        .memory_bytes = 1 << 30,
        .output_bytes = 1 << 30,
        .sync_interval_ms = 60000,
    };
    const struct trainer_ground ground = {
        .loop = world->loop,
        .bus = world->bus,
        .artefacts = world->artefacts,
        .launcher = &world->launcher,
        .children = &world->children,
        .metrics = world->metrics,
        .kernel = &world_kernel,
        .specs = &world_specs,
        .settings = &world->settings,
    };
    assert_int_equal(trainer_new(&ground, &world->trainer, &error), 0);
}

/* The trainer dies between two steps. */
static inline void world_kill(struct world *world)
{
    trainer_free(TAKE(world->trainer));
    bus_memory_close(TAKE(world->bus));
    metrics_free(TAKE(world->metrics));
}

static inline void world_setup_seed(struct world *world, uint64_t seed)
{
    *world = (struct world){.launcher = {.start = world_start, .reap = world_reap},
                            .children = {.start = world_delete, .abandon = world_abandon_child},
                            .deleted = {.output = "", .errors = ""}};
    log_configure("test", LOG_LEVEL_ERROR);
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/nodag-trainer-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->runs, sizeof(world->runs), "%s/runs", world->folder);
    (void)snprintf(world->url, sizeof(world->url), "file://%s/artefacts", world->folder);
    assert_int_equal(mkdir(world->runs, 0700), 0);
    world->loop = loop_new_simulated(seed, WORLD_WALL_MS);
    world->cluster = bus_memory_new(world->loop, 1);
    const struct artefact_settings artefacts = {.url = world->url};
    assert_int_equal(artefact_store_new(world->loop, NULL, &artefacts, &world->artefacts, NULL), 0);
}

static inline void world_setup(struct world *world)
{
    world_setup_seed(world, 1);
}

static inline void world_teardown(struct world *world)
{
    if (world->trainer != NULL)
        world_kill(world);
    for (size_t i = 0; i < world->supervisor_count; i++) {
        if (world->supervisors[i].fd >= 0)
            (void)close(world->supervisors[i].fd);
        mem_free(world->supervisors[i].folder);
    }
    artefact_store_free(world->artefacts);
    bus_memory_free(world->cluster);
    loop_free(world->loop);
    assert_int_equal(nftw(world->folder, world_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Lets time pass in steps that supervisors notice. */
static inline void world_pass(struct world *world, int64_t duration_ms)
{
    for (int64_t left_ms = duration_ms; left_ms > 0; left_ms -= 500) {
        loop_advance(world->loop, left_ms < 500 ? left_ms : 500);
        world_tend(world);
    }
}

/* ---- topics ---- */

/* Publishes the document of the model `name`; `spec` is merged into a plain one (JSON text). */
static inline void world_document(struct world *world, const char *name, const char *commit,
                                  const char *spec)
{
    char key[128];
    CLEANUP(json_release)
    json_t *plain = json_loads("{\"data\":{\"repositories\":[\"acme/*\"]},"
                               "\"labels\":{\"include\":[\"kind/*\"]},"
                               "\"train\":{\"notebook\":\"notebooks/train.ipynb\"}}",
                               0, NULL);
    CLEANUP(json_release) json_t *more = json_loads(spec, 0, NULL);
    assert_non_null(more);
    (void)json_object_update(plain, more);
    CLEANUP(spec_record_free) struct spec_record *record = spec_record_new();
    record->first_published_ms = WORLD_WALL_MS;
    record->valid = json_pack("{s:s, s:s, s:{s:s}, s:O}", "apiVersion", "nodag.dev/v1", "kind",
                              "Model", "metadata", "name", name, "spec", plain);
    const struct spec_place place = {.repository = (char *)(uintptr_t) "https://forge/acme/code",
                                     .branch = (char *)(uintptr_t) "main",
                                     .path = (char *)(uintptr_t) "nodag/model.yaml",
                                     .commit = (char *)(uintptr_t)commit,
                                     .line = 1};
    spec_place_set(&record->valid_place, &place);
    (void)snprintf(key, sizeof(key), "Model/%s", name);
    CLEANUP(spec_message_free)
    struct spec_message *message = spec_message_make(key, record, loop_wall_ms(world->loop));
    (void)bus_memory_append(world->cluster, &message->message);
}

static inline void world_delete_document(struct world *world, const char *name)
{
    char key[128];
    (void)snprintf(key, sizeof(key), "Model/%s", name);
    CLEANUP(spec_message_free)
    struct spec_message *message = spec_message_make(key, NULL, loop_wall_ms(world->loop));
    (void)bus_memory_append(world->cluster, &message->message);
}

/* What the topic `runs` says of one state. */
static inline size_t world_count_state(const struct world *world, const char *state)
{
    size_t count = 0;
    int64_t end = bus_memory_end(world->cluster, TOPIC_RUNS, 0);
    for (int64_t i = 0; i < end; i++) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_RUNS, 0, i);
        CLEANUP(run_record_free) struct run_record *run = NULL;
        if (record->value == NULL)
            continue;
        assert_int_equal(run_record_decode(record->key, record->key_bytes, record->value,
                                           record->value_bytes, &run, NULL),
                         0);
        count += !run->collected && strcmp(run_state_name(run->state), state) == 0;
    }
    return count;
}

/* The newest record of the newest run; owned. */
static inline struct run_record *world_last_run(const struct world *world)
{
    struct run_record *run = NULL;
    for (int64_t i = bus_memory_end(world->cluster, TOPIC_RUNS, 0); i > 0 && run == NULL; i--) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_RUNS, 0, i - 1);
        if (record->value != NULL)
            assert_int_equal(run_record_decode(record->key, record->key_bytes, record->value,
                                               record->value_bytes, &run, NULL),
                             0);
    }
    assert_non_null(run);
    return run;
}

/* A run as the topic told of it so far. */
struct told {
    char name[128];
    char model[64];
    char state[16];
    bool is_over;
};

/*
 * Checks the promises over the whole history of `runs`: never two runs of a model at once, and one terminal record
 * for each.
 */
static inline void world_check(const struct world *world)
{
    static struct told told[512];
    size_t count = 0;
    int64_t end = bus_memory_end(world->cluster, TOPIC_RUNS, 0);
    for (int64_t i = 0; i < end; i++) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_RUNS, 0, i);
        CLEANUP(run_record_free) struct run_record *run = NULL;
        struct told *of = NULL;
        for (size_t j = 0; j < count; j++)
            if (strlen(told[j].name) == record->key_bytes &&
                memcmp(told[j].name, record->key, record->key_bytes) == 0)
                of = &told[j];
        if (record->value == NULL) {
            assert_true(of != NULL && of->is_over);
            continue;
        }
        assert_int_equal(run_record_decode(record->key, record->key_bytes, record->value,
                                           record->value_bytes, &run, NULL),
                         0);
        if (of == NULL) {
            assert_true(count < ARRAY_COUNT(told));
            of = &told[count++];
            *of = (struct told){.is_over = false};
            (void)snprintf(of->name, sizeof(of->name), "%s", run->run);
            (void)snprintf(of->model, sizeof(of->model), "%s", run->model);
        }
        if (run->collected)
            continue;
        /* Nothing comes after the terminal record but itself, where the broker said that it had lost it. */
        if (world->repeats && of->is_over && strcmp(of->state, run_state_name(run->state)) == 0)
            continue;
        assert_false(of->is_over);
        (void)snprintf(of->state, sizeof(of->state), "%s", run_state_name(run->state));
        of->is_over = run_state_is_terminal(run->state);
        size_t open = 0;
        for (size_t j = 0; j < count; j++)
            open += !told[j].is_over && strcmp(told[j].model, run->model) == 0;
        assert_true(open <= 1);
    }
}

/* ---- a world for each test ---- */

static inline int world_setup_test(void **state)
{
    struct world *world = MEM_NEW(struct world);
    world_setup(world);
    *state = world;
    return 0;
}

static inline int world_teardown_test(void **state)
{
    world_teardown(*state);
    mem_free(*state);
    return 0;
}

#define WORLD_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, world_setup_test, world_teardown_test)

#endif
