/*
 * Tests of what reactors/trainer/ removes: what history limits say, artefacts of runs that were lost, and what these left in
 * their directories; beside runs under way, whose own it must not touch.
 */
#include "tests/unit/reactors/trainer/trainer_world.h"

#include <time.h>

/* What count_stored counts. */
static size_t stored;

static int count_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)path;
    (void)status;
    (void)place;
    stored += kind == FTW_F;
    return 0;
}

/* Counts the artefacts in the store. */
static size_t count_stored(const struct world *world)
{
    CLEANUP(mem_free) char *folder = mem_format("%s/artefacts", world->folder);
    stored = 0;
    assert_int_equal(nftw(folder, count_file, 16, FTW_PHYS), 0);
    return stored;
}

static void test_history_is_collected(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A,
                   "{\"fresh\":{\"maxAge\":\"1m\"},\"history\":{\"successful\":2,\"failed\":1}}");
    world_begin(world);
    for (size_t i = 0; i < 5; i++) {
        while (world->supervisor_count == i)
            world_pass(world, 1000);
        world_end(world, i, "SUCCEEDED");
        if (i == 0) { /* the first version is deployed */
            CLEANUP(run_record_free) struct run_record *run = NULL;
            world_pass(world, 2000);
            run = world_last_run(world);
            CLEANUP(mem_free)
            char *value = mem_format("{\"current\":{\"version\":\"m/%s\"}}", run->run);
            const struct bus_message message = {.topic = TOPIC_DEPLOYMENTS,
                                                .partition = 0,
                                                .key = "prod",
                                                .key_bytes = 4,
                                                .value = value,
                                                .value_bytes = strlen(value)};
            (void)bus_memory_append(world->cluster, &message);
        }
    }
    world_document(world, "m", COMMIT_A,
                   "{\"fresh\":{\"maxAge\":\"1d\"},\"history\":{\"successful\":2,\"failed\":1}}");
    world_pass(world, 2 * MINUTE_MS);
    /* the deployed first and the newest two: a model and a log each, and the data that all share */
    assert_int_equal(count_stored(world), 3 * 2 + 1);
    world_check(world);
    /* killed and started again, nothing more is removed */
    world_kill(world);
    world_begin(world);
    world_pass(world, 2 * MINUTE_MS);
    assert_int_equal(count_stored(world), 3 * 2 + 1);
}

/* Writes what a supervisor has stored so far: one artefact, with this text. */
static void note_stored(struct world *world, size_t supervisor, const char *text)
{
    CLEANUP(json_release)
    json_t *noted = json_pack("{s:o}", "log", world_store(world, text));
    assert_int_equal(
        run_directory_write(world->supervisors[supervisor].folder, RUN_FILE_STORED, noted, NULL),
        0);
}

/* The record of a failed run of a model; owned. */
static struct run_record *find_failed(const struct world *world, const char *model)
{
    struct run_record *run = NULL;
    for (int64_t i = bus_memory_end(world->cluster, TOPIC_RUNS, 0); i > 0; i--) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_RUNS, 0, i - 1);
        if (record->value != NULL)
            assert_int_equal(run_record_decode(record->key, record->key_bytes, record->value,
                                               record->value_bytes, &run, NULL),
                             0);
        if (run != NULL && run->state == RUN_FAILED && strcmp(run->model, model) == 0)
            return run;
        run_record_free(TAKE(run));
    }
    fail_msg("%s has not failed", model);
    return NULL;
}

/*
 * Beside a run under way removals go on, so that they never wait for ever; but while anybody stores they wait, and what a
 * run under way has stored stays.
 */
static void test_collection_beside_a_run(void **state)
{
    struct world *world = *state;
    int fd = -1;
    world_document(world, "m", COMMIT_A, "{\"history\":{\"failed\":0}}");
    world_begin(world);
    world_pass(world, 2000);
    world_document(world, "other", COMMIT_A, "{}");
    world_pass(world, 2000);
    assert_int_equal(world->supervisor_count, 2);
    CLEANUP(mem_free) char *text = mem_format("log of %s", world->supervisors[0].folder);
    assert_int_equal(run_uploads_lock(world->runs, false, &fd, NULL), 0);
    world_end(world, 0, "FAILED");
    world_pass(world, 20000);
    assert_int_equal(count_stored(world), 1); /* its log: somebody stores something */
    note_stored(world, 1, text);
    (void)close(fd);
    world_pass(world, 20000);
    assert_int_equal(count_stored(world), 1); /* the other has stored the same */
    world_end_with(world, 1, "FAILED", json_object());
    world_pass(world, 2 * MINUTE_MS);
    CLEANUP(run_record_free) struct run_record *other = find_failed(world, "other");
    assert_int_equal(json_object_size(other->artefacts), 1); /* what it stored and did not say */
    assert_int_equal(world->supervisor_count, 4);            /* both are tried again */
    world_end(world, 2, "FAILED");
    assert_int_equal(count_stored(world), 2);
    world_pass(world, 20000);
    assert_int_equal(count_stored(world), 1); /* removed beside the run of the other */
    world_check(world);
}

/* Whoever found the lock taken comes back soon, although nothing else is to be done. */
static void test_removal_is_tried_again(void **state)
{
    struct world *world = *state;
    int fd = -1;
    world_document(world, "m", COMMIT_A,
                   "{\"fresh\":{\"maxAge\":\"1m\"},\"history\":{\"successful\":1}}");
    world_begin(world);
    world_pass(world, 2000);
    world_end(world, 0, "SUCCEEDED");
    while (world->supervisor_count < 2)
        world_pass(world, 1000);
    world_document(world, "m", COMMIT_A,
                   "{\"fresh\":{\"maxAge\":\"1d\"},\"history\":{\"successful\":1}}");
    assert_int_equal(run_uploads_lock(world->runs, false, &fd, NULL), 0);
    world_end(world, 1, "SUCCEEDED");
    world_pass(world, 5000);
    assert_int_equal(count_stored(world), 5);
    (void)close(fd);
    world_pass(world, 3000);
    assert_int_equal(count_stored(world), 3);
}

/* A store that does not remove holds up no run, and is asked again later. */
static void test_removal_fails(void **state)
{
    struct world *world = *state;
    const char *spec = "{\"fresh\":{\"maxAge\":\"1m\"},\"history\":{\"successful\":1}}";
    world_document(world, "m", COMMIT_A, spec);
    world_begin(world);
    world_pass(world, 2000);
    world_end(world, 0, "SUCCEEDED");
    world_pass(world, 2000);
    CLEANUP(run_record_free) struct run_record *first = world_last_run(world);
    const char *path = record_artefact_text(first->artefacts, "model", "uri") + strlen("file://");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* no artefact can be removed here */
    for (size_t i = 1; i < 4; i++) {
        while (world->supervisor_count == i)
            world_pass(world, 1000);
        world_end(world, i, "SUCCEEDED");
        world_pass(world, 3000);
        assert_int_equal(world_count_state(world, "SUCCEEDED"), i + 1);
    }
    assert_int_equal(bus_memory_end(world->cluster, TOPIC_PENDING, 0), 0); /* nothing waited */
    assert_int_equal(rmdir(path), 0);
    world_document(world, "m", COMMIT_A,
                   "{\"fresh\":{\"maxAge\":\"1d\"},\"history\":{\"successful\":1}}");
    world_pass(world, 25 * MINUTE_MS);
    assert_int_equal(count_stored(world), 3);
    world_check(world);
}

/* What a lost run had stored is named by its record, and goes with it. */
static void test_lost_artefacts_are_collected(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A, "{\"history\":{\"failed\":1}}");
    world_begin(world);
    world_pass(world, 3000);
    note_stored(world, 0, "half");
    world_kill_supervisor(world, 0);
    world_pass(world, 3000);
    CLEANUP(run_record_free) struct run_record *run = world_last_run(world);
    assert_int_equal(run->state, RUN_LOST);
    assert_non_null(json_object_get(run->artefacts, "log"));
    assert_int_equal(count_stored(world), 1);
    world_pass(world, 2 * MINUTE_MS);
    world_end(world, 1, "FAILED");
    world_pass(world, 20000);
    assert_int_equal(count_stored(world), 1); /* the second's log; the limit is one */
    world_check(world);
}

/* Makes a folder of a run's directory with a file in it. */
static void litter(const char *folder, const char *name)
{
    CLEANUP(mem_free) char *path = mem_format("%s/%s", folder, name);
    CLEANUP(mem_free) char *file = mem_format("%s/file", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_write_atomically(file, "x", 1, NULL), 0);
}

static bool is_there(const char *folder, const char *name)
{
    CLEANUP(mem_free) char *path = mem_format("%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* What a killed supervisor left goes, its log stays; what runs is not touched; nor what is no run's. */
static void test_leftovers_are_deleted(void **state)
{
    struct world *world = *state;
    CLEANUP(json_release) json_t *spec = json_object();
    CLEANUP(mem_free) char *stray = mem_format("%s/stray-1", world->runs);
    /* Files have the machine's time. */
    loop_move_wall(world->loop, (int64_t)time(NULL) * 1000 - loop_wall_ms(world->loop));
    world_document(world, "m", COMMIT_A, "{}");
    world_document(world, "other", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 3000);
    litter(world->runs, "not-a-run");
    assert_int_equal(run_directory_create(stray, spec, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        litter(world->supervisors[i].folder, "scratch");
        litter(world->supervisors[i].folder, "mirror.git");
        litter(world->supervisors[i].folder, "log");
    }
    world_kill_supervisor(world, 0);
    world_pass(world, 30000);
    assert_int_equal(world_count_state(world, "LOST"), 1);
    assert_false(is_there(world->supervisors[0].folder, "scratch"));
    assert_false(is_there(world->supervisors[0].folder, "mirror.git"));
    assert_true(is_there(world->supervisors[0].folder, "log"));
    assert_true(is_there(world->supervisors[1].folder, "scratch"));
    /* A directory that no record names goes when it is old. */
    world_pass(world, 130 * MINUTE_MS);
    assert_true(is_there(stray, RUN_FILE_SPEC));
    loop_move_wall(world->loop, (int64_t)8 * 24 * 60 * MINUTE_MS);
    world_pass(world, 61 * MINUTE_MS);
    assert_false(is_there(stray, RUN_FILE_SPEC));
    assert_true(is_there(world->runs, "not-a-run"));
    assert_true(is_there(world->supervisors[1].folder, "scratch")); /* it is not over */
    /* It is killed while no trainer is there. */
    world_kill(world);
    world_kill_supervisor(world, 1);
    world_begin(world);
    world_pass(world, 30000);
    assert_false(is_there(world->supervisors[1].folder, "scratch"));
    world_check(world);
    /* It died before it had deleted what there was. */
    world_kill(world);
    litter(world->supervisors[0].folder, "root");
    world_begin(world);
    world_pass(world, 5000);
    assert_false(is_there(world->supervisors[0].folder, "root"));
}

/* A run that counts as lost, because nobody here could see it, and is not: what it works with stays. */
static void test_what_lives_keeps_its_folder(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A, "{\"train\":{\"notebook\":\"n\",\"deadline\":\"1h\"}}");
    world_begin(world);
    world_pass(world, 3000);
    litter(world->supervisors[0].folder, "scratch");
    world_kill(world);
    world->host = "another name of this machine";
    world_begin(world);
    world_pass(world, 90 * MINUTE_MS);
    assert_int_equal(world_count_state(world, "LOST"), 1);
    world_pass(world, 61 * MINUTE_MS);
    assert_true(is_there(world->supervisors[0].folder, "scratch"));
    world_kill_supervisor(world, 0);
    world_pass(world, 61 * MINUTE_MS);
    assert_false(is_there(world->supervisors[0].folder, "scratch"));
    world_check(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_history_is_collected),         WORLD_TEST(test_collection_beside_a_run),
        WORLD_TEST(test_removal_is_tried_again),       WORLD_TEST(test_removal_fails),
        WORLD_TEST(test_lost_artefacts_are_collected), WORLD_TEST(test_leftovers_are_deleted),
        WORLD_TEST(test_what_lives_keeps_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
