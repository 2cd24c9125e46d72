/*
 * Tests of the memory bus: the contract over many seeds with and without delays, then what is its
 * own: faults, crashes, chance.
 *
 * Design: everything runs on the simulated loop. Each case is run for many seeds, because a case
 * that holds for one order of events proves little.
 */
#include "topics/bus_memory.h"

#include "tests/unit/topics/bus_contract_cases.h"

/* Seeds that each case of the contract and of the faults runs with. */
#define SEEDS 50

/* Steps after which a condition is taken for one that never holds. */
#define STEPS_MAX 1000000

/* The wall clock of the simulation: 2026-11-01T00:00:00Z. */
#define WALL_MS 1793491200000

/* A world on the simulated loop. */
struct memory_world {
    struct contract_world world; /* first */
    struct bus_memory *cluster;
};

static struct bus *world_open(struct contract_world *world)
{
    return bus_memory_open(((struct memory_world *)world)->cluster);
}

static void world_close(struct contract_world *world, struct bus *bus)
{
    (void)world;
    bus_memory_close(bus);
}

static void world_wait(struct contract_world *world, bool (*condition)(void *argument),
                       void *argument)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        if (condition(argument))
            return;
        if (!loop_step(world->loop))
            fail_msg("the world stands still and the condition does not hold");
    }
    fail_msg("the condition does not become true");
}

static void world_begin(struct memory_world *world, uint64_t seed, int64_t delay_max_ms)
{
    *world = (struct memory_world){.world = {.open = world_open,
                                             .close = world_close,
                                             .wait = world_wait,
                                             .commits_at_give_up = true}};
    world->world.loop = loop_new_simulated(seed, WALL_MS);
    world->cluster = bus_memory_new(world->world.loop, CONTRACT_PARTITIONS);
    const struct bus_memory_faults faults = {.delay_max_ms = delay_max_ms};
    bus_memory_set_faults(world->cluster, &faults);
}

static void world_end(struct memory_world *world)
{
    bus_memory_free(world->cluster);
    loop_free(world->world.loop);
}

static void test_contract(void **state)
{
    const struct contract_case *contract_case = *state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_world world;
        world_begin(&world, seed, seed % 2 == 0 ? 0 : 20);
        contract_case->run(&world.world);
        world_end(&world);
    }
}

/* ---- faults ---- */

static struct bus_message numbered_message(const char *text)
{
    return (struct bus_message){.topic = TOPIC_GITHUB_EVENTS,
                                .partition = 0,
                                .key = text,
                                .key_bytes = strlen(text),
                                .value = text,
                                .value_bytes = strlen(text)};
}

static void test_publish_refused(void **state)
{
    (void)state;
    struct memory_world world;
    world_begin(&world, 1, 0);
    const struct bus_memory_faults faults = {.publish_refused = 1000};
    bus_memory_set_faults(world.cluster, &faults);
    struct bus *bus = bus_memory_open(world.cluster);
    struct contract_deliveries deliveries = {0};
    const struct bus_message message = numbered_message("1");
    assert_int_equal(bus_publish(bus, &message, contract_on_delivered, &deliveries),
                     ERR_QUEUE_FULL);
    loop_advance(world.world.loop, 1000);
    assert_int_equal(deliveries.delivered, 0);
    bus_memory_close(bus);
    world_end(&world);
}

/* Failed messages do not stand in the topic, unsure ones do; both say ERR_TIMEOUT. */
static void test_publish_failed_and_unsure(void **state)
{
    (void)state;
    for (int unsure = 0; unsure < 2; unsure++) {
        struct memory_world world;
        world_begin(&world, 1, 10);
        const struct bus_memory_faults faults = {.publish_failed = unsure == 0 ? 1000 : 0,
                                                 .publish_unsure = unsure == 1 ? 1000 : 0};
        bus_memory_set_faults(world.cluster, &faults);
        struct bus *bus = bus_memory_open(world.cluster);
        struct contract_deliveries deliveries = {0};
        const struct bus_message message = numbered_message("1");
        contract_publish(bus, &deliveries, &message);
        world_wait(&world.world, contract_all_delivered, &deliveries);
        assert_int_equal(deliveries.failed, 1);
        assert_int_equal(deliveries.offset, -1);
        assert_int_equal(bus_memory_end(world.cluster, TOPIC_GITHUB_EVENTS, 0), unsure);
        bus_memory_close(bus);
        world_end(&world);
    }
}

/*
 * A crash keeps a beginning of what was under way, in order, and tells every owner. Both ends must
 * occur.
 */
static void test_crash_keeps_a_beginning(void **state)
{
    (void)state;
    int64_t least = INT64_MAX;
    int64_t most = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_world world;
        world_begin(&world, seed, 5);
        struct bus *bus = bus_memory_open(world.cluster);
        struct contract_deliveries deliveries = {0};
        static const char *const texts[] = {"0", "1", "2", "3"};
        for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
            const struct bus_message message = numbered_message(texts[i]);
            contract_publish(bus, &deliveries, &message);
        }
        bus_memory_close(bus);
        loop_advance(world.world.loop, 1000);
        assert_int_equal(deliveries.delivered, ARRAY_COUNT(texts));
        assert_int_equal(deliveries.failed, ARRAY_COUNT(texts));
        int64_t end = bus_memory_end(world.cluster, TOPIC_GITHUB_EVENTS, 0);
        for (int64_t i = 0; i < end; i++)
            assert_memory_equal(bus_memory_record(world.cluster, TOPIC_GITHUB_EVENTS, 0, i)->value,
                                texts[i], 1);
        least = end < least ? end : least;
        most = end > most ? end : most;
        world_end(&world);
    }
    assert_int_equal(least, 0);
    assert_true(most >= 2);
}

/*
 * Rebalances by fault: whatever happens, all that was never stored comes again, and with stores
 * everything ends committed.
 */
static void test_rebalances_lose_nothing(void **state)
{
    (void)state;
    size_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_world world;
        world_begin(&world, seed, seed % 2 == 0 ? 0 : 10);
        struct bus *left_bus = bus_memory_open(world.cluster);
        struct bus *right_bus = bus_memory_open(world.cluster);
        contract_fill(&world.world, left_bus, TOPIC_GITHUB_EVENTS, 0, CONTRACT_RECORDS);
        struct bus_memory_faults faults = {.rebalance = 50, .delay_max_ms = 10};
        bus_memory_set_faults(world.cluster, &faults);
        struct contract_member left = {.stores = true};
        struct contract_member right = {.stores = true};
        contract_member_join(left_bus, "faulty", &left);
        contract_member_join(right_bus, "faulty", &right);
        loop_advance(world.world.loop, 60000);
        assert_true(left.record_count + right.record_count >= CONTRACT_RECORDS);
        for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
            assert_int_equal(bus_memory_committed(world.cluster, "faulty", TOPIC_GITHUB_EVENTS, p),
                             bus_memory_end(world.cluster, TOPIC_GITHUB_EVENTS, p));
        lost += left.lost_count + right.lost_count;
        bus_memory_close(left_bus);
        bus_memory_close(right_bus);
        world_end(&world);
    }
    assert_true(lost > 0);
}

/*
 * A process that is killed loses its membership at once; another goes on from the committed
 * offsets.
 */
static void test_killed_member_is_replaced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_world world;
        world_begin(&world, seed, 10);
        struct bus *left_bus = bus_memory_open(world.cluster);
        contract_fill(&world.world, left_bus, TOPIC_GITHUB_EVENTS, 0, CONTRACT_RECORDS);
        struct contract_member left = {.stores = true, .wanted_records = CONTRACT_RECORDS / 2};
        contract_member_join(left_bus, "killed", &left);
        world_wait(&world.world, contract_member_has, &left);
        size_t before = left.record_count;
        bus_memory_close(left_bus);
        int64_t committed = 0;
        for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
            committed += bus_memory_committed(world.cluster, "killed", TOPIC_GITHUB_EVENTS, p);
        struct bus *right_bus = bus_memory_open(world.cluster);
        struct contract_member right = {.wanted_records = (size_t)(CONTRACT_RECORDS - committed)};
        contract_member_join(right_bus, "killed", &right);
        world_wait(&world.world, contract_member_has, &right);
        loop_advance(world.world.loop, 60000);
        assert_int_equal(right.record_count, CONTRACT_RECORDS - committed);
        assert_int_equal(left.record_count, before);
        bus_memory_close(right_bus);
        world_end(&world);
    }
}

/*
 * Who does not give up in five minutes is out, as with max.poll.interval.ms; what it stores then
 * does not count.
 */
static void test_owner_that_never_gives_up_loses(void **state)
{
    (void)state;
    struct memory_world world;
    world_begin(&world, 3, 10);
    struct bus *left_bus = bus_memory_open(world.cluster);
    struct bus *right_bus = bus_memory_open(world.cluster);
    struct contract_member left = {.holds = true, .wanted_owned = CONTRACT_PARTITIONS};
    struct contract_member right = {0};
    contract_member_join(left_bus, "never", &left);
    world_wait(&world.world, contract_member_has, &left);
    contract_member_join(right_bus, "never", &right);
    world_wait(&world.world, contract_member_is_asked, &left);
    loop_advance(world.world.loop, 299000);
    assert_int_equal(right.owned_count, 0);
    loop_advance(world.world.loop, 2000);
    assert_int_equal(left.lost_count, 1);
    struct contract_pair pair = {.left = &left, .right = &right};
    left.holds = false;
    world_wait(&world.world, contract_pair_owns_all, &pair);
    bus_memory_close(left_bus);
    bus_memory_close(right_bus);
    world_end(&world);
}

/* ---- chance ---- */

/* What a run looked like, as a hash of the order of its records. */
struct history {
    uint64_t hash;
    size_t count;
};

static void history_record(void *argument, const struct bus_record *record)
{
    struct history *history = argument;
    history->hash =
        history->hash * 31 + (uint64_t)record->partition * 1000 + (uint64_t)record->offset + 1;
    history->count++;
}

static void history_caught_up(void *argument, int32_t partition)
{
    struct history *history = argument;
    history->hash = history->hash * 31 + (uint64_t)partition;
}

static uint64_t run_history(uint64_t seed, int64_t delay_max_ms)
{
    struct memory_world world;
    world_begin(&world, seed, delay_max_ms);
    struct bus *bus = bus_memory_open(world.cluster);
    struct history history = {0};
    struct bus_reader *reader = NULL;
    struct error error = {0};
    const struct bus_reader_handler handler = {.record = history_record,
                                               .caught_up = history_caught_up};
    assert_int_equal(bus_read(bus, TOPIC_GITHUB_EVENTS, &handler, &history, &reader, &error), 0);
    for (int32_t p = 0; p < CONTRACT_PARTITIONS; p++)
        bus_reader_add(reader, p);
    contract_fill(&world.world, bus, TOPIC_GITHUB_EVENTS, 0, 50);
    loop_advance(world.world.loop, 60000);
    assert_int_equal(history.count, 50);
    bus_memory_close(bus); /* ends the reader, too */
    world_end(&world);
    return history.hash;
}

/* A run is a function of its seed, and other seeds give other orders, with and without delays. */
static void test_order_is_the_seeds(void **state)
{
    (void)state;
    for (int64_t delay_max_ms = 0; delay_max_ms <= 10; delay_max_ms += 10) {
        size_t different = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            assert_true(run_history(seed, delay_max_ms) == run_history(seed, delay_max_ms));
            different += run_history(seed, delay_max_ms) != run_history(seed + 1, delay_max_ms);
        }
        assert_true(different > SEEDS / 2);
    }
}

/* ---- what tests look at ---- */

static void test_append_latest_and_end(void **state)
{
    (void)state;
    struct memory_world world;
    world_begin(&world, 1, 0);
    static const struct {
        int32_t partition;
        const char *key, *value;
    } records[] = {
        {0, "a", "1"}, {1, "b", "2"}, {3, "a", "3"}, {0, "b", "4"}, {1, "a", NULL}, {2, "c", "5"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(records); i++) {
        const struct bus_message message = {
            .topic = TOPIC_PENDING,
            .partition = records[i].partition,
            .key = records[i].key,
            .key_bytes = 1,
            .value = records[i].value,
            .value_bytes = records[i].value != NULL ? 1 : 0,
        };
        (void)bus_memory_append(world.cluster, &message);
    }
    assert_int_equal(bus_memory_end(world.cluster, TOPIC_PENDING, 0), 2);
    assert_int_equal(bus_memory_end(world.cluster, TOPIC_SPECS, 0), 0);
    assert_null(bus_memory_latest(world.cluster, TOPIC_PENDING, "a")->value);
    assert_memory_equal(bus_memory_latest(world.cluster, TOPIC_PENDING, "b")->value, "4", 1);
    assert_null(bus_memory_latest(world.cluster, TOPIC_PENDING, "absent"));
    assert_int_equal(bus_memory_record(world.cluster, TOPIC_PENDING, 3, 0)->timestamp_ms, WALL_MS);
    assert_int_equal(bus_memory_committed(world.cluster, "none", TOPIC_PENDING, 0), 0);
    world_end(&world);
}

int main(void)
{
    enum { CONTRACT_COUNT = ARRAY_COUNT(contract_cases) };
    struct CMUnitTest tests[CONTRACT_COUNT + 8] = {
        [CONTRACT_COUNT] = cmocka_unit_test(test_publish_refused),
        cmocka_unit_test(test_publish_failed_and_unsure),
        cmocka_unit_test(test_crash_keeps_a_beginning),
        cmocka_unit_test(test_rebalances_lose_nothing),
        cmocka_unit_test(test_killed_member_is_replaced),
        cmocka_unit_test(test_owner_that_never_gives_up_loses),
        cmocka_unit_test(test_order_is_the_seeds),
        cmocka_unit_test(test_append_latest_and_end),
    };
    for (size_t i = 0; i < CONTRACT_COUNT; i++)
        tests[i] = (struct CMUnitTest){.name = contract_cases[i].name,
                                       .test_func = test_contract,
                                       .initial_state = (void *)(uintptr_t)&contract_cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
