/*
 * Tests of the watcher and its repositories in a simulated world: see git_world.h.
 *
 * The strongest test lets chance move the remote, break children and the broker, and kill the daemon, for
 * many seeds; then everything is mended and the topic must tell the remote's whole state: each ref's
 * records form a chain without gap, and a second record of one event is the same event.
 */
#include "ingest/git/watcher.h"

#include "tests/unit/ingest/git/git_world.h"

/* Seeds of the story by chance. */
#define SEEDS 150

/* What happens in one story. */
#define STEPS 100

/* The daemon's only repository. */
#define CONFIG "repositories: [{url: '" URL "', interval: "

static const struct git_world_setup minutely = {
    .config = CONFIG "60s}]", .interval_ms = 60000, .backoff_max_ms = 1800000};

/* Looks often. */
static const struct git_world_setup hasty = {
    .config = CONFIG "5s}]", .interval_ms = 60000, .backoff_max_ms = 1800000};

/* ---- what the topic tells ---- */

/* What was told of one ref. */
struct told {
    unsigned state;
    int64_t move;
    char id[256]; /* of the last event */
};

static void check_record(const struct bus_record *record, struct told told[FAKE_REFS])
{
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    struct event event;
    assert_int_equal(git_push_read(record->value, record->value_bytes, &push, NULL), 0);
    assert_int_equal(envelope_decode(record->headers, record->header_count, &event, NULL), 0);
    struct told *one = &told[fake_ref(push.ref)];
    if (text_equals(event.id, one->id))
        return; /* told again: the same event */
    assert_int_equal(fake_state(push.old_id), one->state);
    assert_int_equal(push.move, one->move + 1);
    one->state = fake_state(push.new_id);
    one->move = push.move;
    (void)snprintf(one->id, sizeof(one->id), "%.*s", (int)event.id.bytes, event.id.data);
}

/* Checks the chains; returns how many records there are. */
static size_t read_topic(const struct git_world *world, struct told told[FAKE_REFS])
{
    size_t count = 0;
    memset(told, 0, FAKE_REFS * sizeof(*told));
    for (int32_t p = 0; p < 3; p++) {
        int64_t end = bus_memory_end(world->cluster, TOPIC_GIT_PUSHES, p);
        for (int64_t offset = 0; offset < end; offset++, count++)
            check_record(bus_memory_record(world->cluster, TOPIC_GIT_PUSHES, p, offset), told);
    }
    return count;
}

static void check_all_told(const struct git_world *world)
{
    struct told told[FAKE_REFS];
    (void)read_topic(world, told);
    for (unsigned i = 0; i < FAKE_REFS; i++)
        assert_int_equal(told[i].state, world->git.remote.states[i]);
}

static size_t count_told(const struct git_world *world)
{
    struct told told[FAKE_REFS];
    return read_topic(world, told);
}

/* ---- stories ---- */

static void test_first_look_and_quiet(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 1, &minutely);
    world.git.remote.states[0] = 1;
    world.git.remote.states[3] = 7;
    loop_advance(world.loop, 10000);
    assert_true(world.is_known);
    check_all_told(&world);
    assert_int_equal(count_told(&world), 2);
    /* An hour of nothing: a look a minute, give or take a tenth, and no record. */
    size_t before = world.git.listed;
    loop_advance(world.loop, 3600000);
    assert_in_range(world.git.listed - before, 54, 67);
    assert_int_equal(count_told(&world), 2);
    assert_int_equal(world.git.running_most, 1);
    git_world_close(&world);
}

static void test_wakes(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 2, &minutely);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 10000);
    size_t before = world.git.listed;
    assert_false(watcher_wake_url(world.watcher, URL "/other", "trigger"));
    assert_int_equal(watcher_wake_named(world.watcher, "OWNER/name", 10, "webhook"), 1);
    assert_int_equal(watcher_wake_named(world.watcher, "owner/nam", 9, "webhook"), 0);
    loop_advance(world.loop, 1000);
    assert_int_equal(world.git.listed, before + 1);
    /* A thousand wakes in ten seconds are a look every two seconds at most. */
    for (int i = 0; i < 1000; i++) {
        assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
        loop_advance(world.loop, 10);
    }
    assert_in_range(world.git.listed - before, 4, 7);
    /* A wake during a look is followed by one more. */
    loop_advance(world.loop, 5000);
    before = world.git.listed;
    assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
    while (world.git.running == 0)
        assert_true(loop_step(world.loop));
    assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
    loop_advance(world.loop, 5000);
    assert_int_equal(world.git.listed, before + 2);
    git_world_close(&world);
}

static void test_backoff(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 3, &minutely);
    world.git.faults.fails = 1000;
    loop_advance(world.loop, 24 * 3600000LL);
    /* 1, 2, 4, 8, 16 minutes, then one in half an hour. */
    double failures = metric_value(
        metrics_series(watcher_metrics(world.watcher)->failing, (const char *[]){URL}));
    assert_in_range((uint64_t)failures, 45, 60);
    world.git.faults.fails = 0;
    world.git.remote.states[1] = 1;
    assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
    loop_advance(world.loop, 1800000);
    check_all_told(&world);
    git_world_close(&world);
}

static void test_empty_remote_is_not_believed(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 4, &minutely);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 10000);
    world.git.is_empty = true;
    loop_advance(world.loop, 3600000);
    assert_int_equal(count_told(&world), 1);
    world.git.is_empty = false;
    world.git.remote.states[0] = 0; /* really gone, while another is there */
    world.git.remote.states[1] = 1;
    loop_advance(world.loop, 3600000);
    check_all_told(&world);
    git_world_close(&world);
}

/* One ref that cannot be fetched holds up no other; the mirror is thrown away once, not again and again. */
static void test_broken_ref(void **state)
{
    (void)state;
    struct git_world world;
    struct told told[FAKE_REFS];
    git_world_open(&world, 5, &minutely);
    for (unsigned i = 0; i < FAKE_REFS; i++)
        world.git.remote.states[i] = i + 1;
    world.git.broken_ref = 2;
    loop_advance(world.loop, 600000);
    (void)read_topic(&world, told);
    for (unsigned i = 0; i < FAKE_REFS; i++)
        assert_int_equal(told[i].state, i == 2 ? 0 : i + 1);
    assert_int_equal(world.git.discarded, 1);
    world.git.broken_ref = FAKE_REFS;
    loop_advance(world.loop, 3600000);
    check_all_told(&world);
    git_world_close(&world);
}

/* A repository that is added later is compared with what was published of it before. */
static void test_added_later(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 6, &minutely);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 10000);
    git_world_apply(&world, "repositories: []");
    assert_false(watcher_wake_url(world.watcher, URL, "trigger"));
    world.git.remote.states[0] = 2;
    loop_advance(world.loop, 600000);
    assert_int_equal(count_told(&world), 1);
    git_world_apply(&world, "repositories: [{url: '" URL "'}]");
    loop_advance(world.loop, 60000);
    check_all_told(&world);
    assert_int_equal(count_told(&world), 2);
    git_world_close(&world);
}

/* A head that moved back between the listing and the fetch did not move. */
static void test_moved_back(void **state)
{
    (void)state;
    struct git_world world;
    git_world_open(&world, 8, &minutely);
    world.git.remote.states[0] = 1;
    world.git.remote.states[1] = 1;
    loop_advance(world.loop, 10000);
    size_t before = world.git.listed;
    world.git.remote.states[0] = 2;
    world.git.remote.states[1] = 2;
    assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
    while (world.git.listed == before)
        assert_true(loop_step(world.loop));
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 10000);
    check_all_told(&world);
    assert_int_equal(count_told(&world), 3);
    struct metrics_family *looks = watcher_metrics(world.watcher)->looks;
    assert_true(metric_value(metrics_series(looks, (const char *[]){"failed"})) == 0);
    git_world_close(&world);
}

/* Draining waits for what is on its way to the broker, and begins nothing. */
static void test_drain(void **state)
{
    (void)state;
    struct git_world world;
    bool is_drained = false;
    git_world_open(&world, 7, &minutely);
    const struct bus_memory_faults slow = {.delay_max_ms = 5000};
    bus_memory_set_faults(world.cluster, &slow);
    world.git.remote.states[0] = 1;
    loop_advance(world.loop, 60000);
    world.git.remote.states[0] = 2;
    size_t before = world.git.listed;
    assert_true(watcher_wake_url(world.watcher, URL, "trigger"));
    while (world.git.listed == before || world.git.running > 0) /* then the record is on its way */
        assert_true(loop_step(world.loop));
    watcher_drain(world.watcher, git_world_on_drained, &is_drained);
    assert_false(is_drained);
    loop_advance(world.loop, 60000);
    assert_true(is_drained);
    check_all_told(&world);
    size_t listed = world.git.listed;
    loop_advance(world.loop, 600000);
    assert_int_equal(world.git.listed, listed);
    git_world_close(&world);
}

/* ---- chance ---- */

static void step_by_chance(struct git_world *world)
{
    struct fake_git *git = &world->git;
    unsigned ref = (unsigned)loop_random_below(world->loop, FAKE_REFS);
    switch (loop_random_below(world->loop, 8)) {
    case 0:
        git->remote.states[ref] = 0;
        break;
    case 1:
        git->is_empty = !git->is_empty;
        break;
    case 2:
        git->broken_ref = ref;
        break;
    case 3:
        git_world_kill_by_chance(world);
        break;
    default: /* mostly back and forth between few states, so that A→B, B→A, A→B happens */
        git->remote.states[ref] = 1 + (unsigned)loop_random_below(world->loop, 3);
        break;
    }
    if (world->watcher == NULL && loop_random_below(world->loop, 2) == 0)
        git_world_start(world);
    if (world->watcher != NULL && loop_random_below(world->loop, 2) == 0)
        (void)watcher_wake_url(world->watcher, URL, "trigger");
    loop_advance(world->loop, (int64_t)loop_random_below(world->loop, 20000));
}

static void test_by_chance(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct git_world world;
        git_world_open(&world, seed, &hasty);
        git_world_break(&world, seed);
        for (int i = 0; i < STEPS; i++)
            step_by_chance(&world);
        git_world_mend(&world);
        world.git.remote.states[0] = 9; /* never quite empty: that would not be believed */
        if (world.watcher == NULL)
            git_world_start(&world);
        loop_advance(world.loop, 3 * 3600000LL);
        print_message("seed %llu: %zu records\n", (unsigned long long)seed, count_told(&world));
        check_all_told(&world);
        assert_int_equal(world.git.running_most, 1);
        git_world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_look_and_quiet),
        cmocka_unit_test(test_wakes),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_empty_remote_is_not_believed),
        cmocka_unit_test(test_broken_ref),
        cmocka_unit_test(test_added_later),
        cmocka_unit_test(test_moved_back),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
