/*
 * Tests of reactors/trainer/: runs from the document to the version, in a world in memory; the trainer killed between any
 * two steps.
 */
#include "tests/unit/reactors/trainer/trainer_world.h"

#include "reactors/trainer/run_spec.h"
#include "topics/issue_record.h"

static void test_a_model_is_made(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A,
                   "{\"train\":{\"notebook\":\"n.ipynb\",\"deadline\":\"30d\"}}");
    world_begin(world);
    world_pass(world, 5000);
    assert_int_equal(world->supervisor_count, 1);
    assert_int_equal(world_count_state(world, "PENDING"), 1);
    assert_int_equal(world_count_state(world, "RUNNING"), 1);
    /* What the trainer writes is what the supervisor reads, which knows no other members. */
    struct run_spec spec;
    CLEANUP(json_release) json_t *json = NULL;
    assert_int_equal(run_directory_read(world->supervisors[0].folder, RUN_FILE_SPEC, &json, NULL),
                     0);
    assert_int_equal(run_spec_read(json, &spec, NULL), 0);
    assert_string_equal(spec.commit, COMMIT_A);
    assert_string_equal(json_string_value(json_array_get(spec.dataset_argv, 1)), "m");
    run_spec_release(&spec);
    world_end(world, 0, "SUCCEEDED");
    world_pass(world, 5000);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 1);
    CLEANUP(run_record_free) struct run_record *run = world_last_run(world);
    assert_string_equal(run->commit, COMMIT_A);
    assert_int_equal(bus_memory_end(world->cluster, TOPIC_MODELS, 0), 1);
    const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_MODELS, 0, 0);
    CLEANUP(model_record_free) struct model_record *model = NULL;
    assert_int_equal(model_record_decode(record->key, record->key_bytes, record->value,
                                         record->value_bytes, &model, NULL),
                     0);
    assert_string_equal(model->version, run->run);
    assert_float_equal(json_number_value(json_object_get(model->thresholds, "kind/bug")), 0.25, 0);
    world_pass(world, 60 * MINUTE_MS);
    assert_int_equal(world->supervisor_count, 1); /* it is fresh for ever */
    world_check(world);
}

/* Every number of steps after which the trainer is killed, once with a supervisor that ends by itself. */
static void kill_everywhere(void **state, const char *ends_as, size_t expected_runs)
{
    (void)state;
    size_t steps = 0;
    size_t kills = 0;
    for (size_t kill_at = 1; kill_at < 400; kill_at++) {
        struct world world;
        world_setup(&world);
        const struct bus_memory_faults slow = {.delay_max_ms = 20};
        bus_memory_set_faults(world.cluster, &slow);
        world.ends_as = ends_as;
        world_document(&world, "m", COMMIT_A, "{}");
        world_begin(&world);
        for (steps = 0; steps < kill_at && loop_wall_ms(world.loop) < WORLD_WALL_MS + 30000;
             steps++) {
            if (!loop_step(world.loop))
                break;
            if (steps % 3 == 2)
                world_tend(&world);
        }
        world_kill(&world);
        world_begin(&world);
        world_pass(&world, 5 * MINUTE_MS);
        world_check(&world);
        assert_int_equal(world_count_state(&world, ends_as), expected_runs);
        assert_int_equal(world_count_state(&world, "PENDING"), expected_runs);
        if (strcmp(ends_as, "SUCCEEDED") == 0)
            assert_int_equal(bus_memory_end(world.cluster, TOPIC_MODELS, 0), 1);
        assert_int_equal(world.supervisor_count, expected_runs); /* none ran in vain */
        world_teardown(&world);
        if (steps < kill_at)
            break;
        kills++;
    }
    assert_true(kills > 40); /* the life of a run has that many steps */
}

static void test_killed_everywhere(void **state)
{
    kill_everywhere(state, "SUCCEEDED", 1);
}

static void test_killed_everywhere_while_failing(void **state)
{
    kill_everywhere(state, "FAILED", 3);
}

static void test_killed_again_and_again(void **state)
{
    struct world *world = *state;
    world->ends_as = "FAILED";
    world_document(world, "m", COMMIT_A, "{}");
    for (size_t i = 1; i < 120; i++) {
        world_begin(world);
        for (size_t step = 0; step < i; step++)
            (void)loop_step(world->loop);
        world_tend(world);
        world_kill(world);
    }
    world_begin(world);
    world_pass(world, 60 * MINUTE_MS);
    world_check(world);
    assert_int_equal(world_count_state(world, "FAILED"), 3);
    CLEANUP(run_record_free) struct run_record *run = world_last_run(world);
    assert_int_equal(run->attempt, 3);
}

/* The broker forgets records, keeps some that it says it lost, moves the partition; and the trainer dies, for many seeds. */
static void test_bad_broker(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 60; seed++) {
        struct world world;
        world_setup_seed(&world, seed);
        const struct bus_memory_faults bad = {.publish_refused = 100,
                                              .publish_failed = 150,
                                              .publish_unsure = 150,
                                              .rebalance = 20,
                                              .delay_max_ms = 2000};
        const struct bus_memory_faults none = {0};
        bus_memory_set_faults(world.cluster, &bad);
        world.repeats = true;
        world.ends_as = seed % 2 == 0 ? "SUCCEEDED" : "FAILED";
        world_document(&world, "m", COMMIT_A, "{\"fresh\":{\"maxAge\":\"7m\"}}");
        for (unsigned i = 0; i < 4; i++) {
            world_begin(&world);
            world_pass(&world, 3 * MINUTE_MS);
            world_kill(&world);
        }
        bus_memory_set_faults(world.cluster, &none);
        world_begin(&world);
        world_pass(&world, 10 * MINUTE_MS);
        world_check(&world);
        assert_true(world_count_state(&world, world.ends_as) >= 2);
        world_teardown(&world);
    }
}

static void test_lost_supervisor(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 3000);
    world_kill(world);
    world_kill_supervisor(world, 0);
    world_begin(world);
    world_pass(world, 3000);
    assert_int_equal(world_count_state(world, "LOST"), 1);
    assert_int_equal(world_count_state(world, "PENDING"), 1);
    world_pass(world, 2 * MINUTE_MS);
    assert_int_equal(world_count_state(world, "PENDING"), 2); /* tried again within the budget */
    world_check(world);
}

/* Until a supervisor has its directory it is neither running nor lost. */
static void test_slow_supervisor(void **state)
{
    struct world *world = *state;
    world->is_slow = true;
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 10000);
    assert_int_equal(world_count_state(world, "PENDING"), 1);
    assert_int_equal(world_count_state(world, "RUNNING"), 0);
    assert_int_equal(world->starts, 1);
    world_take(world, world->slow_folder);
    world_pass(world, 3000);
    assert_int_equal(world_count_state(world, "RUNNING"), 1);
    assert_int_equal(world_count_state(world, "LOST"), 0);
    world_check(world);
}

/* Publishes an issue of acme/x on which a person put kind/bug at this time. */
static void label_issue(struct world *world, int64_t number, int64_t time_ms)
{
    char key[64];
    size_t bytes = 0;
    CLEANUP(issue_record_free) struct issue_record *issue = issue_record_new(1, number);
    issue->repository = mem_copy_text("acme/x");
    issue->state = mem_copy_text("open");
    issue->title.data = mem_copy_text("t");
    issue->title.bytes = 1;
    issue->as_of.time_ms = time_ms;
    struct issue_label *label = issue_record_put_label(issue, "kind/bug");
    label->added.by = ISSUE_PERSON;
    label->added.stamp.time_ms = time_ms;
    CLEANUP(mem_free) char *value = issue_record_encode(issue, &bytes);
    (void)snprintf(key, sizeof(key), "1#%lld", (long long)number);
    const struct bus_message message = {.topic = TOPIC_ISSUES,
                                        .partition = 0,
                                        .key = key,
                                        .key_bytes = strlen(key),
                                        .value = value,
                                        .value_bytes = bytes};
    (void)bus_memory_append(world->cluster, &message);
}

static void test_new_labels(void **state)
{
    struct world *world = *state;
    world->ends_as = "SUCCEEDED";
    label_issue(world, 1, WORLD_WALL_MS - 1000); /* before the data: not new */
    world_document(world, "m", COMMIT_A, "{\"fresh\":{\"newLabels\":2}}");
    world_begin(world);
    world_pass(world, MINUTE_MS);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 1);
    label_issue(world, 2, loop_wall_ms(world->loop));
    world_pass(world, MINUTE_MS);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 1);
    label_issue(world, 3, loop_wall_ms(world->loop));
    world_pass(world, MINUTE_MS);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 2);
    world_pass(world, 30 * MINUTE_MS); /* counted from the new data on */
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 2);
    world_check(world);
}

static void test_failures_back_off_and_stall(void **state)
{
    struct world *world = *state;
    world->ends_as = "FAILED";
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 5000);
    assert_int_equal(world_count_state(world, "FAILED"), 1);
    world_pass(world, 30000);
    assert_int_equal(world_count_state(world, "PENDING"), 1); /* it backs off */
    world_pass(world, 6 * 60 * MINUTE_MS);
    assert_int_equal(world_count_state(world, "FAILED"), 3); /* … and stalls */
    const struct bus_record *pending =
        bus_memory_latest(world->cluster, TOPIC_PENDING, "trainer|Model/m");
    assert_non_null(pending);
    assert_non_null(memmem(pending->value, pending->value_bytes, "STALLED", 7));
    assert_non_null(memmem(pending->value, pending->value_bytes, "3 attempts have failed", 22));
    world_document(world, "m", COMMIT_B, "{}");
    world_pass(world, 5 * MINUTE_MS); /* another commit is another cause */
    assert_int_equal(world_count_state(world, "PENDING"), 4);
    world_check(world);
}

static void test_suspend_and_delete_cancel(void **state)
{
    for (int deletes = 0; deletes < 2; deletes++) {
        struct world *world = *state;
        world_document(world, "m", COMMIT_A, "{}");
        world_begin(world);
        world_pass(world, 3000);
        size_t i = world->supervisor_count - 1;
        if (deletes == 1)
            world_delete_document(world, "m");
        else
            world_document(world, "m", COMMIT_A, "{\"suspend\":true}");
        world_pass(world, 3000);
        CLEANUP(mem_free)
        char *cancel = mem_format("%s/" RUN_FILE_CANCEL, world->supervisors[i].folder);
        assert_int_equal(access(cancel, F_OK), 0);
        world_end(world, i, "CANCELLED");
        world_pass(world, 10 * MINUTE_MS);
        assert_int_equal(world_count_state(world, "CANCELLED"), deletes + 1);
        assert_int_equal(world->supervisor_count, i + 1); /* nothing is started */
        world_check(world);
        world_kill(world);
    }
}

static void test_age_makes_stale(void **state)
{
    struct world *world = *state;
    world->ends_as = "SUCCEEDED";
    world_document(world, "m", COMMIT_A, "{\"fresh\":{\"maxAge\":\"30m\"}}");
    world_begin(world);
    world_pass(world, 20 * MINUTE_MS);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 1);
    world_pass(world, 15 * MINUTE_MS);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 2);
    world_check(world);
}

/* A clock that was moved back, and equal times: what was published last is the newest, and it is young. */
static void test_clock_moved(void **state)
{
    struct world *world = *state;
    world->ends_as = "SUCCEEDED";
    world_document(world, "m", COMMIT_A, "{\"fresh\":{\"maxAge\":\"30m\"}}");
    world_begin(world);
    world_pass(world, 20 * MINUTE_MS);
    world->lag_ms = 3 * 60 * MINUTE_MS;
    for (size_t i = 1; i < 6; i++) {
        assert_int_equal(world_count_state(world, "SUCCEEDED"), i);
        world_pass(world, 30 * MINUTE_MS);
    }
    world_check(world);
}

static void test_two_models(void **state)
{
    struct world *world = *state;
    world_document(world, "one", COMMIT_A, "{}");
    world_document(world, "two", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 5000);
    assert_int_equal(world->supervisor_count, 2);
    world_check(world);
}

static void test_document_changes_before_the_start(void **state)
{
    struct world *world = *state;
    world->refuses = true;
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 3000);
    assert_int_equal(world_count_state(world, "PENDING"), 1);
    assert_true(world->starts > 1); /* it is tried again and again */
    world->refuses = false;
    world_document(world, "m", COMMIT_A,
                   "{\"train\":{\"notebook\":\"n.ipynb\",\"parameters\":{\"c\":2}}}");
    world_pass(world, 10000);
    assert_int_equal(world_count_state(world, "CANCELLED"), 1);
    assert_int_equal(world_count_state(world, "RUNNING"), 1);
    CLEANUP(json_release) json_t *spec = NULL;
    assert_int_equal(run_directory_read(world->supervisors[0].folder, RUN_FILE_SPEC, &spec, NULL),
                     0);
    assert_int_equal(json_integer_value(json_walk(spec, "parameters.c")), 2);
    world_check(world);
}

/* A trainer that was away counts what people did since the supervisor began, not since it came back. */
static void test_snapshot_is_the_supervisors(void **state)
{
    struct world *world = *state;
    world->is_slow = true;
    world_document(world, "m", COMMIT_A, "{\"fresh\":{\"newLabels\":2}}");
    world_begin(world);
    world_pass(world, 1000);
    world_kill(world);
    world_take(world, world->slow_folder);
    int64_t began_ms = loop_wall_ms(world->loop);
    world_pass(world, 10 * MINUTE_MS);
    label_issue(world, 1, loop_wall_ms(world->loop) - 1000);
    label_issue(world, 2, loop_wall_ms(world->loop) - 1000);
    world_begin(world);
    world_pass(world, 5000);
    world->lag_ms = loop_wall_ms(world->loop) - began_ms;
    world_end(world, 0, "SUCCEEDED");
    world_pass(world, MINUTE_MS);
    assert_int_equal(world_count_state(world, "PENDING"), 2); /* both count */
    world_check(world);
}

/* After a gap it says nothing until it has had time to learn what others did. */
static void test_sleep(void **state)
{
    struct world *world = *state;
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    world_pass(world, 3000);
    world_end(world, 0, "SUCCEEDED");
    loop_move_wall(world->loop, 7000);
    world_pass(world, 9000);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 0);
    assert_int_equal(bus_memory_end(world->cluster, TOPIC_MODELS, 0), 0);
    world_pass(world, 3000);
    assert_int_equal(world_count_state(world, "SUCCEEDED"), 1);
    world_check(world);
}

/* The wall clock is set, far forward and back, at any moment of several lives of runs, some of which are lost. */
static void test_wall_clock_is_set(void **state)
{
    (void)state;
    static const int64_t changes_ms[] = {3600000, -3600000, 86400000, -2 * 86400000, 1000, -1000};
    for (unsigned seed = 1; seed < 40; seed++) {
        struct world world;
        world_setup_seed(&world, seed);
        world_document(&world, "m", COMMIT_A, "{\"fresh\":{\"maxAge\":\"20m\"}}");
        world_begin(&world);
        for (size_t i = 0; i < 60; i++) {
            uint64_t what = loop_random_below(world.loop, 6);
            size_t newest = world.supervisor_count;
            world_pass(&world, (int64_t)loop_random_below(world.loop, 5 * MINUTE_MS));
            if (what < 3)
                loop_move_wall(world.loop,
                               changes_ms[loop_random_below(world.loop, ARRAY_COUNT(changes_ms))]);
            else if (what == 3 && newest > 0 && world.supervisors[newest - 1].fd >= 0)
                world_kill_supervisor(&world, newest - 1);
            else if (what == 4 && newest > 0 && world.supervisors[newest - 1].fd >= 0)
                world_end(&world, newest - 1, "SUCCEEDED");
            else if (what == 5) {
                world_kill(&world);
                world_begin(&world);
            }
            world_check(&world);
        }
        world.ends_as = "SUCCEEDED";
        world_document(&world, "m", COMMIT_B, "{}"); /* it may have stalled */
        world_pass(&world, 3 * 60 * MINUTE_MS);
        assert_true(world_count_state(&world, "SUCCEEDED") >
                    0); /* it never waits for the old time */
        world_check(&world);
        world_teardown(&world);
    }
}

/* Nothing is desired: it is ready, and does nothing. */
static void test_without_documents(void **state)
{
    struct world *world = *state;
    world_begin(world);
    world_pass(world, MINUTE_MS);
    assert_null(trainer_unready_reason(world->trainer));
    assert_int_equal(bus_memory_end(world->cluster, TOPIC_RUNS, 0), 0);
    world_document(world, "m", COMMIT_A, "{}");
    world_pass(world, 3000);
    assert_int_equal(world_count_state(world, "RUNNING"), 1);
}

static void test_needs_train(void **state)
{
    struct world *world = *state;
    CLEANUP(mem_free) char *text = NULL;
    size_t bytes = 0;
    world_document(world, "m", COMMIT_A, "{}");
    world_begin(world);
    assert_int_equal(trainer_describe(world->trainer, "m", &text, &bytes), 503);
    world_pass(world, 3000);
    mem_free(TAKE(text));
    assert_int_equal(trainer_describe(world->trainer, NULL, &text, &bytes), 200);
    assert_string_equal(text, "{\"apiVersion\":\"v1alpha1\",\"errors\":[],\"kind\":\"NeedsSync\","
                              "\"needsSync\":true,\"parameters\":{\"commit\":\"" COMMIT_A
                              "\",\"model\":\"m\",\"reason\":\"there is no model yet\"}}");
    mem_free(TAKE(text));
    assert_int_equal(trainer_describe(world->trainer, "other", &text, &bytes), 404);
    world_end(world, 0, "SUCCEEDED");
    world_pass(world, 3000);
    mem_free(TAKE(text));
    assert_int_equal(trainer_describe(world->trainer, "m", &text, &bytes), 200);
    assert_non_null(strstr(text, "\"needsSync\":false"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a_model_is_made),
        cmocka_unit_test(test_killed_everywhere),
        cmocka_unit_test(test_killed_everywhere_while_failing),
        WORLD_TEST(test_killed_again_and_again),
        cmocka_unit_test(test_bad_broker),
        WORLD_TEST(test_lost_supervisor),
        WORLD_TEST(test_slow_supervisor),
        WORLD_TEST(test_new_labels),
        WORLD_TEST(test_failures_back_off_and_stall),
        WORLD_TEST(test_suspend_and_delete_cancel),
        WORLD_TEST(test_age_makes_stale),
        WORLD_TEST(test_clock_moved),
        WORLD_TEST(test_two_models),
        WORLD_TEST(test_document_changes_before_the_start),
        WORLD_TEST(test_snapshot_is_the_supervisors),
        WORLD_TEST(test_sleep),
        cmocka_unit_test(test_wall_clock_is_set),
        WORLD_TEST(test_without_documents),
        WORLD_TEST(test_needs_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
