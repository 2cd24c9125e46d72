/*
 * Tests of the documents of sources in a simulated world: see git_world.h.
 *
 * Three branches of one repository are three sources. What a branch holds is a function of the state that it
 * stands at (write_documents), so that a test can say what must be in force. The strongest test lets chance
 * move the branches, break children and the broker, change the configuration and kill the daemon, for many
 * seeds; then everything is mended, `specs` must say what the branches hold, and a restart must add nothing.
 */
#include "ingest/git/documents.h"

#include "tests/unit/ingest/git/git_world.h"

#include "topics/spec_store.h"

/* Branches that are sources. */
#define SOURCES 3u

/* Seeds of the story by chance, and what happens in one. */
#define SEEDS 100
/* See above. */
#define STEPS 80

#define SOURCE(branch) "  - {repository: '" URL "', branch: " branch ", paths: ['*']}\n"
#define ALL "sources:\n" SOURCE("b0") SOURCE("b1") SOURCE("b2")
#define TWO "sources:\n" SOURCE("b0") SOURCE("b1")

/* Looks at the repository come rarely by themselves. */
#define LISTED "repositories: [{url: '" URL "', interval: 1h}]\n"

/*
 * One Labeler of the branch, whose label names the state; every third state is invalid. In even states there
 * is one more whose name all branches share. State 7 has a Deployment.
 */
static void write_documents(unsigned ref, unsigned state, json_t *files)
{
    CLEANUP(mem_free)
    char *own =
        mem_format("apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: own-%u}\nspec:\n"
                   "  repositories: [\"own-%u/x\"]\n  labels: {include: [\"kind/%u\"]}\n"
                   "  models: [{file: m}]\n%s",
                   ref, ref, state, state % 3 == 0 ? "  wrong: 1\n" : "");
    (void)json_array_append_new(files, json_pack("{s:s, s:s}", "path", "own.yaml", "text", own));
    if (state % 2 == 0)
        (void)json_array_append_new(
            files, json_pack("{s:s, s:s}", "path", "shared.yaml", "text",
                             "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: shared}\n"
                             "spec:\n  repositories: [shared/x]\n  labels: {include: [a]}\n"
                             "  models: [{file: m}]\n"));
    if (state == 7)
        (void)json_array_append_new(
            files,
            json_pack("{s:s, s:s}", "path", "deployment.yaml", "text",
                      "apiVersion: nodag.dev/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
                      "  model: m\n"
                      "  target: {repository: 'https://h/t', base: main, file: f, path: /a}\n"));
}

static const struct git_world_setup all = {
    .config = ALL, .interval_ms = 5000, .backoff_max_ms = 60000, .documents = write_documents};

/* Without sources. */
static const struct git_world_setup listed = {
    .config = LISTED, .interval_ms = 5000, .backoff_max_ms = 60000, .documents = write_documents};

/* ---- what the topic says ---- */

static int64_t count_records(const struct git_world *world)
{
    return bus_memory_end(world->cluster, TOPIC_SPECS, 0);
}

/* Folds the topic; every record must be readable. Owned. */
static struct spec_store *read_topic(const struct git_world *world)
{
    struct spec_store *store = spec_store_new();
    for (int64_t offset = 0; offset < count_records(world); offset++) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_SPECS, 0, offset);
        char key[SUBJECT_KEY_BYTES];
        CLEANUP(spec_record_free) struct spec_record *read = NULL;
        (void)snprintf(key, sizeof(key), "%.*s", (int)record->key_bytes, record->key);
        if (record->value != NULL)
            assert_int_equal(
                spec_record_decode(key, record->value, record->value_bytes, &read, NULL), 0);
        (void)spec_store_apply(store, record, key);
    }
    return store;
}

static const char *label_in_force(const struct spec_record *record)
{
    return json_string_value(json_array_get(spec_get(record->valid, "spec.labels.include"), 0));
}

/* What a branch's own Labeler must say at its state. */
static void check_own(const struct spec_store *store, unsigned ref, unsigned state)
{
    char key[SUBJECT_KEY_BYTES];
    char label[32];
    char commit[41];
    (void)snprintf(key, sizeof(key), "Labeler/own-%u", ref);
    (void)snprintf(label, sizeof(label), "kind/%u", state);
    fake_id(ref, state, commit);
    const struct spec_record *record = spec_store_find(store, key);
    assert_non_null(record);
    if (state % 3 == 0) {
        assert_string_equal(record->invalid_place.commit, commit);
        return;
    }
    assert_non_null(record->valid);
    assert_string_equal(label_in_force(record), label);
    assert_null(record->reason);
}

/* The topic must say what the branches hold. */
static void check_all(const struct git_world *world)
{
    CLEANUP(spec_store_free) struct spec_store *store = read_topic(world);
    size_t shared = 0;
    for (unsigned i = 0; i < SOURCES; i++) {
        unsigned state = world->git.remote.states[i];
        if (state == 0)
            continue;
        check_own(store, i, state);
        shared += state % 2 == 0 ? 1 : 0;
    }
    const struct spec_record *record = spec_store_find(store, "Labeler/shared");
    if (shared == 1)
        assert_true(record != NULL && record->valid != NULL && record->reason == NULL);
    if (shared > 1)
        assert_true(record != NULL && record->reason != NULL);
}

/* ---- stories ---- */

static void test_published_once(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 1, &all);
    for (unsigned i = 0; i < SOURCES; i++)
        world.git.remote.states[i] = 1;
    loop_advance(world.loop, 20000);
    assert_true(world.documents_are_known);
    check_all(&world);
    assert_int_equal(count_records(&world), 3);
    size_t read = world.git.documents_read;
    loop_advance(world.loop, 600000);
    assert_int_equal(count_records(&world), 3);
    assert_int_equal(world.git.documents_read, read); /* what stands still is not read again */
    git_world_kill(&world);
    git_world_start(&world);
    loop_advance(world.loop, 60000);
    assert_int_equal(count_records(&world), 3);
    assert_int_equal(world.git.documents_read, read + 3); /* once after a start */
    world.git.remote.states[1] = 2;
    loop_advance(world.loop, 60000);
    check_all(&world);
    assert_int_equal(count_records(&world), 5);
    git_world_close(&world);
}

static size_t count_keys(const struct git_world *world)
{
    CLEANUP(spec_store_free) struct spec_store *store = read_topic(world);
    return spec_store_count(store);
}

static void test_sources_of_the_configuration(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 2, &listed);
    for (unsigned i = 0; i < SOURCES; i++)
        world.git.remote.states[i] = 1;
    loop_advance(world.loop, 20000);
    assert_int_equal(count_records(&world) + (int64_t)world.git.documents_read, 0);
    git_world_apply(&world, LISTED ALL); /* the heads are published already */
    loop_advance(world.loop, 20000);
    check_all(&world);
    size_t read = world.git.documents_read;
    git_world_apply(&world, LISTED ALL);
    loop_advance(world.loop, 20000);
    assert_int_equal(world.git.documents_read, read);
    git_world_apply(&world, LISTED TWO "  - {repository: '" URL "', branch: b2, paths: [other]}\n");
    loop_advance(world.loop, 20000);
    assert_int_equal(world.git.documents_read, read + 1); /* whose paths changed */
    git_world_apply(&world, LISTED TWO);
    loop_advance(world.loop, 20000);
    assert_int_equal(count_keys(&world), 2);
    git_world_apply(&world, LISTED); /* no `sources`: hands off */
    loop_advance(world.loop, 20000);
    assert_int_equal(count_keys(&world), 2);
    git_world_apply(&world, "sources: []");
    loop_advance(world.loop, 20000);
    assert_int_equal(count_keys(&world), 0);
    git_world_close(&world);
}

/* Returns how many records say the same as the one of their key before them. */
static size_t count_repeated(const struct git_world *world)
{
    size_t repeated = 0;
    for (int64_t i = 0; i < count_records(world); i++) {
        const struct bus_record *record = bus_memory_record(world->cluster, TOPIC_SPECS, 0, i);
        for (int64_t j = i - 1; j >= 0; j--) {
            const struct bus_record *before = bus_memory_record(world->cluster, TOPIC_SPECS, 0, j);
            if (before->key_bytes != record->key_bytes ||
                memcmp(before->key, record->key, record->key_bytes) != 0)
                continue;
            if (before->value_bytes == record->value_bytes && record->value != NULL &&
                memcmp(before->value, record->value, record->value_bytes) == 0)
                repeated++;
            break;
        }
    }
    return repeated;
}

/* However late what was published is read back, nothing is published twice. */
static void test_late_reading(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 8, &all);
    const struct bus_memory_faults slow = {.delay_max_ms = 10000};
    for (unsigned i = 0; i < SOURCES; i++)
        world.git.remote.states[i] = 1;
    loop_advance(world.loop, 20000);
    bus_memory_set_faults(world.cluster, &slow);
    for (unsigned i = 0; i < 300; i++) {
        world.git.remote.states[i % SOURCES] = 1 + i % 5;
        loop_advance(world.loop, 3000);
    }
    loop_advance(world.loop, 600000);
    check_all(&world);
    assert_int_equal(count_repeated(&world), 0);
    assert_true(count_records(&world) > 20);
    git_world_close(&world);
}

/* What the broker did not take is published when it does, without anything else happening. */
static void test_broker_away(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 9, &all);
    const struct bus_memory_faults refused = {.publish_refused = 1000};
    const struct bus_memory_faults none = {0};
    for (unsigned i = 0; i < SOURCES; i++)
        world.git.remote.states[i] = 1;
    while (world.git.documents_read < SOURCES)
        assert_true(loop_step(world.loop));
    bus_memory_set_faults(world.cluster, &refused);
    loop_advance(world.loop, 600000);
    assert_int_equal(count_records(&world), 0);
    bus_memory_set_faults(world.cluster, &none);
    loop_advance(world.loop, 2 * DOCUMENTS_AGAIN_MOST_MS);
    check_all(&world);
    git_world_close(&world);
}

/* Before everything that was published is known nothing is withdrawn, and nothing of a source unread. */
static void test_unreadable_source_stays(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 3, &all);
    for (unsigned i = 0; i < SOURCES; i++)
        world.git.remote.states[i] = 1;
    loop_advance(world.loop, 20000);
    git_world_kill(&world);
    world.git.faults.fails = 1000;
    git_world_start(&world);
    loop_advance(world.loop, 600000);
    assert_int_equal(count_records(&world), 3);
    world.git.faults.fails = 0;
    world.git.remote.states[0] = 0; /* a branch that is gone withdraws nothing */
    loop_advance(world.loop, 600000);
    assert_int_equal(count_records(&world), 3);
    git_world_close(&world);
}

/* A record of somebody else is put right, but not at once. */
static void test_stranger(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 4, &all);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 20000);
    const struct bus_message message = {.topic = TOPIC_SPECS,
                                        .partition = 0,
                                        .key = "Labeler/own-0",
                                        .key_bytes = strlen("Labeler/own-0")};
    (void)bus_memory_append(world.cluster, &message);
    loop_advance(world.loop, DOCUMENTS_CORRECT_MS / 2);
    assert_int_equal(count_records(&world), 2);
    loop_advance(world.loop, DOCUMENTS_CORRECT_MS);
    assert_int_equal(count_records(&world), 3);
    check_all(&world);
    git_world_close(&world);
}

static void note_named(void *argument, const char *key, const char *repository, const char *branch)
{
    assert_string_equal(key, "Deployment/d");
    assert_string_equal(repository, "https://h/t");
    assert_string_equal(branch, "main");
    (*(size_t *)argument)++;
}

static size_t count_named(const struct git_world *world)
{
    size_t count = 0;
    documents_visit_named(world->documents, note_named, &count);
    return count;
}

static void test_named(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 5, &all);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 20000);
    assert_int_equal(count_named(&world), 0);
    size_t before = world.named;
    world.git.remote.states[0] = 7;
    loop_advance(world.loop, 20000);
    assert_int_equal(count_named(&world), 1);
    assert_int_equal(world.named, before + 1);
    git_world_kill(&world);
    git_world_start(&world);
    world.git.faults.fails = 1000; /* known from the topic, not from git */
    loop_advance(world.loop, 20000);
    assert_int_equal(count_named(&world), 1);
    world.git.faults.fails = 0;
    world.git.remote.states[0] = 8;
    loop_advance(world.loop, 120000);
    assert_int_equal(count_named(&world), 0);
    git_world_close(&world);
}

/* Draining waits for what is on its way, and publishes nothing more. */
static void test_drain(void **state)
{
    (void)state;
    struct git_world world;
    bool is_drained = false;
    git_world_open(&world, 6, &all);
    const struct bus_memory_faults slow = {.delay_max_ms = 5000};
    bus_memory_set_faults(world.cluster, &slow);
    world.git.remote.states[0] = 1;
    while (count_records(&world) == 0) /* it stands there, and the daemon does not know yet */
        assert_true(loop_step(world.loop));
    world.git.remote.states[1] = 1;
    documents_drain(world.documents, git_world_on_drained, &is_drained);
    loop_advance(world.loop, 120000);
    assert_true(is_drained);
    assert_int_equal(count_records(&world), 1);
    git_world_close(&world);
}

/* ---- chance ---- */

static void step_by_chance(struct git_world *world)
{
    static const char *const configs[] = {ALL, ALL, TWO};
    struct fake_git *git = &world->git;
    unsigned ref = (unsigned)loop_random_below(world->loop, SOURCES);
    switch (loop_random_below(world->loop, 10)) {
    case 0:
        git->remote.states[ref] = 0;
        break;
    case 1:
        git->is_empty = !git->is_empty;
        break;
    case 2:
        git_world_kill_by_chance(world);
        break;
    case 3:
        git_world_apply(world, configs[loop_random_below(world->loop, ARRAY_COUNT(configs))]);
        break;
    default: /* mostly back and forth between few states, so that what was is again */
        git->remote.states[ref] = 1 + (unsigned)loop_random_below(world->loop, 4);
        break;
    }
    if (world->watcher == NULL && loop_random_below(world->loop, 2) == 0)
        git_world_start(world);
    loop_advance(world->loop, (int64_t)loop_random_below(world->loop, 20000));
}

static void mend(struct git_world *world)
{
    git_world_mend(world);
    for (unsigned i = 0; i < SOURCES; i++) /* one that is gone would go on counting */
        if (world->git.remote.states[i] == 0)
            world->git.remote.states[i] = 5;
    git_world_apply(world, ALL);
    if (world->watcher == NULL)
        git_world_start(world);
    loop_advance(world->loop, 3600000);
}

static void test_by_chance(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct git_world world;
        git_world_open(&world, seed, &all);
        git_world_break(&world, seed);
        for (int i = 0; i < STEPS; i++)
            step_by_chance(&world);
        mend(&world);
        print_message("seed %llu: %lld records\n", (unsigned long long)seed,
                      (long long)count_records(&world));
        check_all(&world);
        int64_t count = count_records(&world);
        git_world_kill(&world);
        git_world_start(&world);
        loop_advance(world.loop, 600000);
        assert_int_equal(count_records(&world), count);
        git_world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_once),
        cmocka_unit_test(test_sources_of_the_configuration),
        cmocka_unit_test(test_late_reading),
        cmocka_unit_test(test_broker_away),
        cmocka_unit_test(test_unreadable_source_stays),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
