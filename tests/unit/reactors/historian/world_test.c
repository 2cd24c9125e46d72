/*
 * A simulated world: issues live their lives, their webhooks are delivered in any order, late, lost in a crash's replay and doubled,
 * while replicas come, go and are killed between any two steps and the broker misbehaves. In the end every record says the truth.
 *
 * Design: the truth is made first: each issue is edited, labeled, closed, deleted by hands that are drawn, one act a second, and each
 * act makes the webhook that GitHub would send, with the issue as it is then. What is compared with is the issue in the end, not
 * another fold. A seed makes a world; NODAG_SEEDS says how many (default 60), NODAG_SEED the first.
 *
 * Now and then a person asks for an issue's text to be erased: from then on, whatever is delivered, its record is empty.
 *
 * In every second world a repository is deleted while webhooks of its issues still come: all of them happened before.
 *
 * Invariants, for every seed: every event is finished; each issue's newest record is the truth, or a tombstone if it was deleted; an
 * event that is delivered once more when all is done changes nothing.
 */
#include "tests/unit/reactors/historian/historian_fixture.h"
#include "topics/history_erasure.h"

/* Issues of a world. */
#define WORLD_ISSUES 12

/* Labels that there are. */
#define WORLD_LABELS 4

/* Acts of an issue at most. */
#define WORLD_ACTS 16

/* Webhooks of a world at most: all, and some doubled. */
#define WORLD_HOOKS (WORLD_ISSUES * WORLD_ACTS * 2)

/* The world's own clock ticks so often, in milliseconds: a step of the loop never jumps over hours. */
#define WORLD_TICK_MS 20

/* Steps between two things that happen to the processes. */
#define WORLD_STEPS 400

static const char *const label_names[WORLD_LABELS] = {"area/x", "bug", "help wanted", "kind/y"};

/* Hands: login, type, and what nodag calls them. */
static const struct {
    const char *login;
    const char *type;
    enum issue_actor by;
} hands[] = {
    {"ann", "User", ISSUE_PERSON},
    {"bo", "User", ISSUE_PERSON},
    {"nodag[bot]", "Bot", ISSUE_THIS_BOT},
    {"ci[bot]", "Bot", ISSUE_OTHER_BOT},
};

/* What is true of a label. */
struct truth_label {
    bool ever;      /* it was there once */
    bool present;   /* it is there */
    size_t added;   /* hand that put it there last */
    size_t removed; /* hand that took it away last */
};

/* What is true of an issue. */
struct truth {
    char title[32];                          /* now */
    bool closed;                             /* now */
    bool deleted;                            /* for ever */
    bool erased;                             /* for ever */
    int64_t at_s;                            /* of the newest act */
    struct truth_label labels[WORLD_LABELS]; /* now */
};

/* A webhook that is to be delivered; its texts are owned. */
struct delivery {
    struct hook hook;
    char *id;
    char *title;
    char *labels;
};

/* A world. */
struct world {
    struct fixture *fixture;
    struct loop_timer *tick; /* see WORLD_TICK_MS */
    uint64_t chance;         /* of the world's own generator */
    struct truth truths[WORLD_ISSUES];
    struct delivery deliveries[WORLD_HOOKS];
    bool withdraws; /* repository 1 is deleted */
    size_t count;   /* of them */
};

/* A generator of its own, so that the world does not depend on how the loop draws. */
static size_t draw(struct world *world, size_t bound)
{
    world->chance = world->chance * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(world->chance >> 33) % bound;
}

static void world_tick(void *argument)
{
    struct world *world = argument;
    loop_timer_set(world->tick, WORLD_TICK_MS);
}

/* ---- lives ---- */

static char *truth_labels(const struct truth *truth)
{
    struct buffer text = BUFFER_INIT(1024);
    assert_int_equal(buffer_append_text(&text, ""), 0);
    for (size_t i = 0; i < WORLD_LABELS; i++)
        if (truth->labels[i].present)
            assert_int_equal(
                buffer_append_format(&text, "%s%s", text.size_bytes > 0 ? "," : "", label_names[i]),
                0);
    return text.data != NULL ? buffer_take(&text) : mem_copy_text("");
}

static void world_tell(struct world *world, size_t issue, const char *action, const char *label,
                       size_t hand)
{
    const struct truth *truth = &world->truths[issue];
    struct delivery *delivery = &world->deliveries[world->count];
    delivery->id = mem_format("act-%zu", world->count++);
    delivery->title = mem_copy_text(truth->title);
    delivery->labels = truth_labels(truth);
    delivery->hook = (struct hook){.action = action,
                                   .id = delivery->id,
                                   .at_s = truth->at_s,
                                   .repository_id = 1 + (int64_t)issue % 3,
                                   .number = 1 + (int64_t)issue,
                                   .title = delivery->title,
                                   .state = truth->closed ? "closed" : "open",
                                   .labels = delivery->labels,
                                   .label = label,
                                   .sender = hands[hand].login,
                                   .sender_type = hands[hand].type};
}

static void world_act(struct world *world, size_t issue)
{
    struct truth *truth = &world->truths[issue];
    size_t hand = draw(world, ARRAY_COUNT(hands));
    size_t which = draw(world, WORLD_LABELS);
    struct truth_label *label = &truth->labels[which];
    truth->at_s += 1 + (int64_t)draw(world, 3);
    switch (draw(world, 6)) {
    case 0:
        (void)snprintf(truth->title, sizeof(truth->title), "title of %lld", (long long)truth->at_s);
        world_tell(world, issue, "edited", NULL, hand);
        return;
    case 1:
        truth->closed = !truth->closed;
        world_tell(world, issue, truth->closed ? "closed" : "reopened", NULL, hand);
        return;
    default:
        break;
    }
    label->present = !label->present;
    label->ever = true;
    if (label->present)
        label->added = hand;
    else
        label->removed = hand;
    world_tell(world, issue, label->present ? "labeled" : "unlabeled", label_names[which], hand);
}

static void world_live(struct world *world, size_t issue)
{
    struct truth *truth = &world->truths[issue];
    size_t acts = 1 + draw(world, WORLD_ACTS - 2);
    (void)snprintf(truth->title, sizeof(truth->title), "opened");
    world_tell(world, issue, "opened", NULL, 0);
    for (size_t i = 1; i < acts; i++)
        world_act(world, issue);
    if (draw(world, 6) == 0) {
        truth->deleted = true; /* GitHub does not touch updated_at then */
        world_tell(world, issue, "deleted", NULL, 0);
    }
}

/* ---- delivery ---- */

/* Any order; some twice. */
static void world_shuffle(struct world *world)
{
    size_t whole = world->count;
    for (size_t i = 0; i < whole / 4; i++) {
        const struct delivery *again = &world->deliveries[draw(world, whole)];
        world->deliveries[world->count++].hook = again->hook;
    }
    for (size_t i = world->count; i > 1; i--) {
        size_t other = draw(world, i);
        struct delivery swapped = world->deliveries[i - 1];
        world->deliveries[i - 1] = world->deliveries[other];
        world->deliveries[other] = swapped;
    }
}

/* Something happens to a process: it is killed, or drains, or starts. */
static void world_disturb(struct world *world)
{
    struct fixture *fixture = world->fixture;
    size_t which = draw(world, FIXTURE_PROCESSES);
    if (fixture->processes[which].bus == NULL)
        fixture_start(fixture, which);
    else
        fixture_kill(fixture, which);
}

/*
 * Where the deletion comes: when each issue of the repository was heard of. An issue whose first event comes after a deletion that was
 * worked off by a process that is gone is not known to be gone: nothing durable says so.
 */
static size_t world_deletion(struct world *world)
{
    bool heard[WORLD_ISSUES + 1] = {false};
    size_t unheard = (WORLD_ISSUES + 2) / 3;
    size_t first = 0;
    for (; first < world->count && unheard > 0; first++) {
        const struct hook *hook = &world->deliveries[first].hook;
        if (hook->repository_id != 1 || heard[hook->number])
            continue;
        heard[hook->number] = true;
        unheard--;
    }
    return first + draw(world, world->count - first + 1);
}

/* A person asks for the text of an issue to be erased. */
static void world_erase(struct world *world, size_t issue)
{
    const struct history_erasure erasure = {.repository_id = 1 + (int64_t)issue % 3,
                                            .repository = "o/r",
                                            .owner_id = 9,
                                            .number = 1 + (int64_t)issue,
                                            .state = "open"};
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    char key[SUBJECT_KEY_BYTES];
    char *value = history_erasure_write(&erasure, NULL);
    struct event event =
        history_erasure_envelope(&erasure, "nodag erase", FIXTURE_WALL_MS, id, subject);
    subject_key_issue(erasure.repository_id, erasure.number, key);
    fixture_append(world->fixture, HISTORY_ERASED_TYPE, id, event.time_ms, "o/r", key, value);
    mem_free(value);
    world->truths[issue].erased = true;
}

static void world_deliver(struct world *world)
{
    struct fixture *fixture = world->fixture;
    size_t deletion = world_deletion(world);
    for (size_t i = 0; i <= world->count; i++) {
        if (world->withdraws && i == deletion)
            fixture_hook(fixture, &(struct hook){.event = "repository", .action = "deleted"});
        if (i == world->count)
            break;
        fixture_hook(fixture, &world->deliveries[i].hook);
        for (size_t step = draw(world, WORLD_STEPS); step > 0; step--)
            (void)loop_step(fixture->loop);
        if (draw(world, 12) == 0)
            world_disturb(world);
        if (draw(world, 40) == 0)
            world_erase(world, draw(world, WORLD_ISSUES));
    }
}

/* ---- the truth ---- */

static const struct issue_label *find_or_none(const struct issue_record *record, const char *name)
{
    return issue_record_find_label(record, name);
}

static void check_label(const struct issue_record *record, const struct truth_label *truth,
                        const char *name, bool is_erased)
{
    const struct issue_label *label = find_or_none(record, name);
    if (!truth->ever) {
        assert_null(label);
        return;
    }
    assert_non_null(label);
    assert_int_equal(issue_label_is_present(record, label), truth->present);
    const struct issue_action *last = issue_label_last(record, label);
    size_t hand = truth->present ? truth->added : truth->removed;
    assert_non_null(last);
    assert_int_equal(last->by, hands[hand].by);
    if (is_erased)
        assert_null(last->login);
    else
        assert_string_equal(last->login, hands[hand].login);
}

static void check_issue(const struct world *world, size_t issue)
{
    const struct truth *truth = &world->truths[issue];
    char key[SUBJECT_KEY_BYTES];
    subject_key_issue(1 + (int64_t)issue % 3, 1 + (int64_t)issue, key);
    if (truth->deleted) {
        assert_gone(world->fixture, key, "deleted");
        return;
    }
    if (world->withdraws && issue % 3 == 0) {
        const struct bus_record *newest =
            bus_memory_latest(world->fixture->cluster, TOPIC_ISSUES, key);
        if (newest == NULL || newest->value == NULL) /* or it never had one */
            return;
        struct issue_record *stub = fixture_record(world->fixture, key);
        assert_true(truth->erased && stub->erased_ms > 0 && stub->label_count == 0);
        issue_record_free(stub);
        return;
    }
    struct issue_record *record = fixture_record(world->fixture, key);
    assert_non_null(record);
    assert_string_equal(record->title.data, truth->erased ? "" : truth->title);
    assert_int_equal(record->erased_ms, truth->erased ? FIXTURE_WALL_MS : 0);
    assert_int_equal(record->author_login == NULL, truth->erased);
    assert_string_equal(record->state, truth->closed ? "closed" : "open");
    assert_int_equal(record->updated_ms, FIXTURE_EVENTS_MS + truth->at_s * 1000);
    for (size_t i = 0; i < WORLD_LABELS; i++)
        check_label(record, &truth->labels[i], label_names[i], truth->erased);
    issue_record_free(record);
}

static void world_check(struct world *world)
{
    struct fixture *fixture = world->fixture;
    bus_memory_set_faults(fixture->cluster, &(struct bus_memory_faults){0});
    if (fixture->processes[0].bus == NULL)
        fixture_start(fixture, 0);
    fixture_settle(fixture);
    for (size_t i = 0; i < WORLD_ISSUES; i++)
        check_issue(world, i);
    int64_t count = fixture_record_count(fixture);
    for (size_t i = 0; i < world->count; i += 5)
        fixture_hook(fixture, &world->deliveries[i].hook);
    fixture_settle(fixture);
    assert_int_equal(fixture_record_count(fixture), count);
}

static void world_run(uint64_t seed)
{
    struct world *world = MEM_NEW(struct world);
    world->chance = seed * 2654435761u + 17;
    world->withdraws = seed % 2 == 0;
    world->fixture = MEM_NEW(struct fixture);
    world->fixture->loop = loop_new_simulated(seed, FIXTURE_WALL_MS);
    world->fixture->cluster = bus_memory_new(world->fixture->loop, FIXTURE_PARTITIONS);
    const struct bus_memory_faults faults = {.publish_refused = (unsigned)draw(world, 60),
                                             .publish_failed = (unsigned)draw(world, 60),
                                             .publish_unsure = (unsigned)draw(world, 60),
                                             .rebalance = (unsigned)draw(world, 20),
                                             .delay_max_ms = (int64_t)draw(world, 50)};
    world->tick = loop_timer_new(world->fixture->loop, world_tick, world);
    world_tick(world);
    for (size_t i = 0; i < WORLD_ISSUES; i++)
        world_live(world, i);
    world_shuffle(world);
    bus_memory_set_faults(world->fixture->cluster, &faults);
    fixture_start(world->fixture, 0);
    world_deliver(world);
    world_check(world);
    for (size_t i = 0; i < world->count; i++) {
        mem_free(world->deliveries[i].id);
        mem_free(world->deliveries[i].title);
        mem_free(world->deliveries[i].labels);
    }
    void *fixture = world->fixture;
    loop_timer_free(world->tick);
    mem_free(world);
    (void)teardown(&fixture);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_worlds(void **state)
{
    (void)state;
    uint64_t first = setting("NODAG_SEED", 1);
    uint64_t count = setting("NODAG_SEEDS", 60);
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        world_run(seed);
    }
}

/* A withdrawal passed by an issue whose job was under way and ended before the round did. */
static void test_skipped_by_a_withdrawal(void **state)
{
    (void)state;
    world_run(5124);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worlds),
                                       cmocka_unit_test(test_skipped_by_a_withdrawal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
