/*
 * Tests of the trainer's plan: tables of (document, runs, facts) → the next step, and a walk through thousands of random
 * histories that asks for the promises: never two runs at once, never a hot loop, every run ended once.
 *
 * A run in a table is written as STATE[sight][@ended minute]: letters for the state (P R S F C L) and the sight (a absent,
 * r running, f finished with SUCCEEDED, x finished with FAILED, g gone, e elsewhere).
 */
#include "reactors/trainer/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/loop.h"

/* Runs of one history. */
#define RUNS_MAX 64

/* One minute of the tables' clock. */
#define MINUTE_MS 60000

/* Where the clock stands in the tables. */
#define NOW_MS (1000 * (int64_t)MINUTE_MS)

/* Deadline of every run. */
#define DEADLINE_MS (10 * (int64_t)MINUTE_MS)

static struct plan_run read_run(const char *text)
{
    static const char states[] = "PRSFCL";
    static char names[RUNS_MAX][8];
    static unsigned next;
    struct plan_run run = {.cause = "0", .attempt = 1, .deadline_ms = DEADLINE_MS};
    char *name = names[next++ % RUNS_MAX];
    (void)snprintf(name, sizeof(names[0]), "run-%u", next % RUNS_MAX);
    run.name = name;
    run.state = (enum run_state)(strchr(states, text[0]) - states);
    run.sight = text[1] == 'r'   ? RUN_SIGHT_RUNNING
                : text[1] == 'f' ? RUN_SIGHT_FINISHED
                : text[1] == 'x' ? RUN_SIGHT_FINISHED
                : text[1] == 'g' ? RUN_SIGHT_GONE
                : text[1] == 'e' ? RUN_SIGHT_ELSEWHERE
                                 : RUN_SIGHT_ABSENT;
    run.result = text[1] == 'f' ? RUN_SUCCEEDED : RUN_FAILED;
    run.result_reason = "as its result says";
    run.cancelling = strchr(text, '!') != NULL;
    const char *at = strchr(text, '@');
    int64_t minute = at != NULL ? strtol(at + 1, NULL, 10) : 995;
    run.started_ms = run.state == RUN_PENDING ? 0 : minute * MINUTE_MS;
    run.ended_ms = run_state_is_terminal(run.state) ? minute * MINUTE_MS : 0;
    return run;
}

/* What the document says: d deleted, s suspended, a maxAge 1 h, n newLabels 50, p onPush, y needsSync. */
static struct plan_wish read_wish(const char *text)
{
    return (struct plan_wish){.name = "labels",
                              .spec_sha = "5bec",
                              .present = strchr(text, 'd') == NULL,
                              .suspend = strchr(text, 's') != NULL,
                              .max_age_ms = strchr(text, 'a') != NULL ? 60 * MINUTE_MS : 0,
                              .new_labels = strchr(text, 'n') != NULL ? 50 : 0,
                              .on_push = strchr(text, 'p') != NULL,
                              .needs_sync = strchr(text, 'y') != NULL};
}

/* What is known: m model made at minute 950, o at 900, f far and g near in the future; l 49 labels, L 50; ? labels not known; p paths
 * differ; h no head; y needsSync true. */
static struct plan_facts read_facts(const char *text)
{
    struct plan_facts facts = {.now_ms = NOW_MS,
                               .has_model = strpbrk(text, "mofg") != NULL,
                               .model = strpbrk(text, "mofg") != NULL ? "labels-0-1" : NULL,
                               .labels_known = strchr(text, '?') == NULL,
                               .head_known = strchr(text, 'h') == NULL,
                               .paths_differ = strchr(text, 'p') != NULL,
                               .sync_known = true,
                               .sync = strchr(text, 'y') != NULL};
    facts.head = facts.head_known ? "c0ffee" : NULL;
    facts.model_ms = (strchr(text, 'o') != NULL   ? 900
                      : strchr(text, 'f') != NULL ? 2000
                      : strchr(text, 'g') != NULL ? 1030
                                                  : 950) *
                     (int64_t)MINUTE_MS;
    facts.labels = strchr(text, 'L') != NULL ? 50 : 49;
    return facts;
}

static const struct {
    const char *what;
    const char *wish;
    const char *facts;
    const char *runs[4]; /* NULL ends them */
    enum plan_action action;
    int64_t number; /* START: reasons; WAIT: minute, -1 never; others: index of the run */
    enum run_state state;
} cases[] = {
    /* ---- freshness ---- */
    {"no model", "", "", {NULL}, PLAN_START, 1 << PLAN_NO_MODEL, 0},
    {"no model, and no head to train with", "", "h", {NULL}, PLAN_WAIT, -1, 0},
    {"fresh for ever", "", "m", {NULL}, PLAN_WAIT, -1, 0},
    {"fresh until its age", "a", "m", {NULL}, PLAN_WAIT, 1010, 0},
    {"too old", "a", "o", {NULL}, PLAN_START, 1 << PLAN_MAX_AGE, 0},
    {"made in the future: the clock was moved back", "a", "g", {NULL}, PLAN_WAIT, 1060, 0},
    {"… by more than maxAge", "a", "f", {NULL}, PLAN_START, 1 << PLAN_MAX_AGE, 0},
    {"one label is missing", "n", "m", {NULL}, PLAN_WAIT, -1, 0},
    {"enough labels", "n", "mL", {NULL}, PLAN_START, 1 << PLAN_NEW_LABELS, 0},
    {"enough labels, which nobody asked for", "", "mL", {NULL}, PLAN_WAIT, -1, 0},
    {"labels are not known yet", "n", "mL?", {NULL}, PLAN_WAIT, -1, 0},
    {"a push", "p", "mp", {NULL}, PLAN_START, 1 << PLAN_ON_PUSH, 0},
    {"a push that does not matter", "", "mp", {NULL}, PLAN_WAIT, -1, 0},
    {"the lambda says so", "y", "my", {NULL}, PLAN_START, 1 << PLAN_NEEDS_SYNC, 0},
    {"several reasons",
     "anp",
     "oLp",
     {NULL},
     PLAN_START,
     1 << PLAN_MAX_AGE | 1 << PLAN_NEW_LABELS | 1 << PLAN_ON_PUSH,
     0},
    /* ---- people ---- */
    {"deleted", "d", "", {NULL}, PLAN_WAIT, -1, 0},
    {"suspended", "s", "", {NULL}, PLAN_WAIT, -1, 0},
    {"deleted while it runs", "d", "", {"Rr"}, PLAN_CANCEL, 0, 0},
    {"suspended while it runs", "s", "", {"Rr"}, PLAN_CANCEL, 0, 0},
    {"told to stop already", "s", "", {"Rr!"}, PLAN_WAIT, -1, 0},
    {"suspended before it was started", "s", "", {"Pa"}, PLAN_FINISH, 0, RUN_CANCELLED},
    {"suspended, but it was faster", "s", "", {"Rf"}, PLAN_FINISH, 0, RUN_SUCCEEDED},
    /* ---- runs ---- */
    {"it runs", "", "", {"Rr"}, PLAN_WAIT, -1, 0},
    {"it runs, its record is late", "", "", {"Pr"}, PLAN_MARK, 0, 0},
    {"recorded, not started", "", "", {"Pa"}, PLAN_LAUNCH, 0, 0},
    {"it is done", "", "", {"Rf"}, PLAN_FINISH, 0, RUN_SUCCEEDED},
    {"it has failed", "", "", {"Rx"}, PLAN_FINISH, 0, RUN_FAILED},
    {"its supervisor is gone", "", "", {"Rg"}, PLAN_FINISH, 0, RUN_LOST},
    {"its directory is gone", "", "", {"Ra"}, PLAN_FINISH, 0, RUN_LOST},
    {"it was started, and its supervisor is gone", "", "", {"Pg"}, PLAN_FINISH, 0, RUN_LOST},
    {"on another host", "", "", {"Re@995"}, PLAN_WAIT, 1015, 0},
    {"on another host, for too long", "", "", {"Re@979"}, PLAN_FINISH, 0, RUN_LOST},
    {"two at once: the later one goes", "", "", {"Rr@996", "Rr@995"}, PLAN_CANCEL, 0, 0},
    {"two at once: one was never started", "", "", {"Rr@996", "Pa"}, PLAN_FINISH, 1, RUN_CANCELLED},
    {"an old one beside it is over", "", "", {"S@900", "Rr"}, PLAN_WAIT, -1, 0},
    /* ---- budget ---- */
    {"after a failure it waits", "", "", {"F@1000"}, PLAN_WAIT, 1001, 0},
    {"after the wait it tries again", "", "", {"F@999"}, PLAN_START, 1 << PLAN_NO_MODEL, 0},
    {"a lost run counts", "", "", {"L@1000"}, PLAN_WAIT, 1001, 0},
    {"a cancelled run does not", "", "", {"C@1000"}, PLAN_START, 1 << PLAN_NO_MODEL, 0},
    {"the wait doubles", "", "", {"F@990", "F@991", "F@998"}, PLAN_WAIT, 1002, 0},
    {"a success begins anew",
     "",
     "",
     {"F@990", "F@991", "S@992"},
     PLAN_START,
     1 << PLAN_NO_MODEL,
     0},
    {"a clock that was moved back makes no wait",
     "",
     "",
     {"F@5000"},
     PLAN_START,
     1 << PLAN_NO_MODEL,
     0},
    {"… but the next failure does", "", "", {"F@5000", "F@1000"}, PLAN_WAIT, 1002, 0},
    {"a clock that was set by a little", "", "", {"F@1001"}, PLAN_WAIT, 1002, 0},
};

static size_t fill(const char *const *texts, struct plan_run *runs)
{
    size_t count = 0;
    for (; count < 4 && texts[count] != NULL; count++)
        runs[count] = read_run(texts[count]);
    return count;
}

static int64_t number_of(const struct plan *plan)
{
    if (plan->action == PLAN_START)
        return plan->reasons;
    if (plan->action != PLAN_WAIT)
        return (int64_t)plan->run;
    return plan->next_ms == INT64_MAX ? -1 : plan->next_ms / MINUTE_MS;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct plan_run runs[4];
        struct plan_wish wish = read_wish(cases[i].wish);
        struct plan_facts facts = read_facts(cases[i].facts);
        struct plan plan;
        facts.runs = runs;
        facts.run_count = fill(cases[i].runs, runs);
        plan_make(&wish, &facts, &plan);
        bool right = plan.action == cases[i].action && number_of(&plan) == cases[i].number;
        if (plan.action == PLAN_FINISH)
            right = right && plan.state == cases[i].state && plan.reason[0] != '\0';
        if (!right)
            fail_msg("%s: action %d, number %lld, state %d", cases[i].what, (int)plan.action,
                     (long long)number_of(&plan), (int)plan.state);
    }
}

/* The wait after a failure is what was set, and doubles from there. */
static void test_backoff(void **state)
{
    (void)state;
    static const int64_t waits_ms[] = {200, 400, 800};
    struct plan_wish wish = read_wish("");
    struct plan_facts facts = read_facts("");
    struct plan_run runs[] = {read_run("F@1000"), read_run("F@1000"), read_run("F@1000")};
    struct plan plan;
    facts.backoff_ms = 200;
    facts.runs = runs;
    for (facts.run_count = 1; facts.run_count <= 2; facts.run_count++) {
        plan_make(&wish, &facts, &plan);
        assert_int_equal(plan.action, PLAN_WAIT);
        assert_int_equal(plan.next_ms - facts.now_ms, waits_ms[facts.run_count - 1]);
    }
}

/* What makes another cause, and what does not. */
static void test_causes(void **state)
{
    (void)state;
    struct plan_wish wish = read_wish("npy");
    struct plan_facts facts = read_facts("mLpy");
    struct plan first;
    struct plan next;
    plan_make(&wish, &facts, &first);
    assert_int_equal(first.action, PLAN_START);
    assert_non_null(strstr(first.name, first.cause));
    facts.labels = 99; /* the second fifty is not full */
    facts.now_ms += 5;
    plan_make(&wish, &facts, &next);
    assert_string_equal(next.name, first.name);
#define ASSERT_OTHER_CAUSE(change)                                                                 \
    do {                                                                                           \
        wish = read_wish("npy");                                                                   \
        facts = read_facts("mLpy");                                                                \
        change;                                                                                    \
        plan_make(&wish, &facts, &next);                                                           \
        assert_int_equal(next.action, PLAN_START);                                                 \
        assert_string_not_equal(next.cause, first.cause);                                          \
    } while (0)
    ASSERT_OTHER_CAUSE(facts.labels = 100);
    ASSERT_OTHER_CAUSE(facts.head = "decaf");
    ASSERT_OTHER_CAUSE(facts.model = "labels-0-2");
    ASSERT_OTHER_CAUSE(facts.paths_differ = false);
    ASSERT_OTHER_CAUSE(facts.sync_parameters = "{\"a\":1}");
    ASSERT_OTHER_CAUSE(wish.spec_sha = "5bed");
    ASSERT_OTHER_CAUSE(wish.name = "other");
#undef ASSERT_OTHER_CAUSE
}

/* After PLAN_ATTEMPTS_MAX failures of one cause nothing is started until the cause changes. */
static void test_stalls_until_the_cause_changes(void **state)
{
    (void)state;
    struct plan_wish wish = read_wish("");
    struct plan_facts facts = read_facts("");
    struct plan_run runs[PLAN_ATTEMPTS_MAX];
    struct plan plan;
    char causes[PLAN_ATTEMPTS_MAX][PLAN_CAUSE_DIGITS + 1];
    facts.runs = runs;
    for (uint32_t i = 0; i < PLAN_ATTEMPTS_MAX; i++) {
        plan_make(&wish, &facts, &plan);
        assert_int_equal(plan.action, PLAN_START);
        assert_int_equal(plan.attempt, i + 1);
        (void)snprintf(causes[i], sizeof(causes[i]), "%s", plan.cause);
        runs[i] = read_run("F");
        runs[i].cause = causes[i];
        runs[i].attempt = plan.attempt;
        runs[i].ended_ms = facts.now_ms;
        facts.run_count = i + 1;
        facts.now_ms += PLAN_BACKOFF_MOST_MS;
    }
    plan_make(&wish, &facts, &plan);
    assert_int_equal(plan.action, PLAN_STALL);
    assert_string_not_equal(plan.reason, "");
    facts.head = "decaf";
    plan_make(&wish, &facts, &plan);
    assert_int_equal(plan.action, PLAN_START);
    assert_int_equal(plan.attempt, 1);
}

static void test_states(void **state)
{
    (void)state;
    static const char *const names[] = {"PENDING", "RUNNING",   "SUCCEEDED",
                                        "FAILED",  "CANCELLED", "LOST"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        enum run_state found = RUN_PENDING;
        assert_true(run_state_from_name(names[i], &found));
        assert_string_equal(run_state_name(found), names[i]);
        assert_int_equal(run_state_is_terminal(found), i >= 2);
    }
    enum run_state found = RUN_PENDING;
    assert_false(run_state_from_name("DONE", &found));
    assert_string_equal(plan_reason_id(PLAN_NO_MODEL), "no-model");
}

/* ---- random histories ---- */

/* A model's history under a random world. */
struct walk {
    struct loop *loop; /* for chance */
    struct plan_wish wish;
    struct plan_facts facts;
    struct plan_run runs[RUNS_MAX];
    char names[RUNS_MAX][PLAN_RUN_NAME_BYTES];
    char causes[RUNS_MAX][PLAN_CAUSE_DIGITS + 1];
    unsigned ended[RUNS_MAX]; /* how often it was given a terminal state */
    char model[PLAN_RUN_NAME_BYTES];
};

static void walk_start(struct walk *walk, const struct plan *plan)
{
    size_t i = walk->facts.run_count++;
    assert_true(i < RUNS_MAX);
    for (size_t other = 0; other < i; other++) {
        assert_true(run_state_is_terminal(walk->runs[other].state)); /* never two at once */
        assert_string_not_equal(walk->names[other], plan->name);
    }
    (void)snprintf(walk->names[i], sizeof(walk->names[i]), "%s", plan->name);
    (void)snprintf(walk->causes[i], sizeof(walk->causes[i]), "%s", plan->cause);
    walk->runs[i] = (struct plan_run){.name = walk->names[i],
                                      .cause = walk->causes[i],
                                      .attempt = plan->attempt,
                                      .state = RUN_PENDING,
                                      .deadline_ms = DEADLINE_MS};
}

static void walk_finish(struct walk *walk, const struct plan *plan)
{
    struct plan_run *run = &walk->runs[plan->run];
    assert_false(run_state_is_terminal(run->state));
    assert_int_equal(walk->ended[plan->run]++, 0);
    run->state = plan->state;
    run->ended_ms = walk->facts.now_ms;
    if (plan->state != RUN_SUCCEEDED)
        return;
    (void)snprintf(walk->model, sizeof(walk->model), "%s", run->name);
    walk->facts.has_model = true;
    walk->facts.model = walk->model;
    walk->facts.model_ms = walk->facts.now_ms;
    walk->facts.labels = 0;
    walk->facts.paths_differ = false;
}

static void walk_do(struct walk *walk, const struct plan *plan)
{
    struct plan_run *run = &walk->runs[plan->run];
    if (plan->action == PLAN_START)
        walk_start(walk, plan);
    else if (plan->action == PLAN_FINISH)
        walk_finish(walk, plan);
    else if (plan->action == PLAN_CANCEL)
        run->cancelling = true;
    else if (plan->action == PLAN_LAUNCH) {
        run->sight = RUN_SIGHT_RUNNING;
        run->state = RUN_RUNNING;
        run->started_ms = walk->facts.now_ms;
    }
}

/* The world moves: time, people, runs that end or die. */
static void walk_world(struct walk *walk, bool failing)
{
    uint64_t chance = loop_random_below(walk->loop, 100);
    walk->facts.now_ms += (int64_t)loop_random_below(walk->loop, 5) * MINUTE_MS;
    if (chance < 5)
        walk->wish.suspend = !walk->wish.suspend;
    else if (chance < 8)
        walk->wish.present = !walk->wish.present;
    else if (chance < 50)
        walk->facts.labels += loop_random_below(walk->loop, 9);
    else if (chance < 53)
        walk->facts.paths_differ = true;
    else if (chance < 55)
        walk->facts.now_ms -= 30 * MINUTE_MS; /* the clock is set */
    for (size_t i = 0; i < walk->facts.run_count; i++) {
        struct plan_run *run = &walk->runs[i];
        uint64_t end = loop_random_below(walk->loop, 10);
        if (run->sight != RUN_SIGHT_RUNNING || end > 4)
            continue;
        run->sight = end == 0 ? RUN_SIGHT_GONE : RUN_SIGHT_FINISHED;
        run->result = run->cancelling && end < 3 ? RUN_CANCELLED
                      : failing                  ? RUN_FAILED
                                                 : RUN_SUCCEEDED;
    }
}

static size_t walk_history(uint64_t seed, bool failing)
{
    struct walk walk = {
        .loop = loop_new_simulated(seed, 0), .wish = read_wish("anp"), .facts = read_facts("")};
    walk.facts.runs = walk.runs;
    for (unsigned i = 0; i < 600 && walk.facts.run_count < RUNS_MAX; i++) {
        struct plan plan;
        plan_make(&walk.wish, &walk.facts, &plan);
        if (plan.action == PLAN_WAIT)
            assert_true(plan.next_ms == INT64_MAX || plan.next_ms > walk.facts.now_ms);
        walk_do(&walk, &plan);
        if (plan.action == PLAN_WAIT || plan.action == PLAN_STALL)
            walk_world(&walk, failing);
    }
    loop_free(walk.loop);
    return walk.facts.run_count;
}

static void test_random_histories(void **state)
{
    (void)state;
    size_t trained = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        trained += walk_history(seed, false);
        /* 600 steps of two minutes are twenty hours: with an hour's backoff and stalls at most a few dozen runs. */
        assert_true(walk_history(seed, true) < RUNS_MAX);
    }
    assert_true(trained > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),  cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_causes), cmocka_unit_test(test_stalls_until_the_cause_changes),
        cmocka_unit_test(test_states), cmocka_unit_test(test_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
