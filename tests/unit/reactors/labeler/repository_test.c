/*
 * What is known of a repository: absent, invalid, unreachable and hidden told apart, waiters, and
 * the cache's end. How it stays known is in repository_fresh_test.c.
 */
#include "reactors/labeler/repository.h"

#include "tests/unit/reactors/labeler/repository_bench.h"

/* --- what a look finds --- */

/* A state of the world and what is told. */
struct look {
    const char *name;
    struct script script;
    int code;
    const char *wanted;     /* what is seen; or a part of the text */
    int64_t retry_after_ms; /* what is told of it */
    bool is_invalid;        /* counted and logged as invalid */
};

static const struct look looks[] = {
    {"no configuration at all", {0}, 0, "4711 o/r [Bug] [area/x] | bug", 0, false},
    {"hidden organisation",
     {.organisation_hidden = true},
     0,
     "4711 o/r [Bug] [area/x] | bug",
     0,
     false},
    {"organisation's file",
     {.organisation_file = "label-alias: {bug: kind/bug}\n"},
     0,
     "4711 o/r [Bug] [area/x] | kind/bug",
     0,
     false},
    {"own file over it",
     {.organisation_file = "label-alias: {bug: kind/bug}\npredicted-labels: [x]\n",
      .own_file = "label-alias: {bug: defect}\n"},
     0,
     "4711 o/r [Bug] [area/x] | defect not allowed",
     0,
     false},
    {"own file alone, organisation hidden",
     {.organisation_hidden = true, .own_file = "predicted-labels: [bug]\n"},
     0,
     "4711 o/r [Bug] [area/x] | bug",
     0,
     false},
    {"renamed", {.full_name = "o/new"}, 0, "4711 o/new [Bug] [area/x] | bug", 0, false},
    {"archived", {.is_archived = true}, 0, "4711 o/r archived [Bug] [area/x] | bug", 0, false},
    {"no labels", {.labels = "[]"}, 0, "4711 o/r | bug", 0, false},
    {"invalid organisation's file",
     {.organisation_file = "- x\n"},
     ERR_INPUT,
     "o/.github/.github/issue_label_bot.yaml:1:1: the file must be a mapping",
     0,
     true},
    {"invalid own file",
     {.own_file = "label-alias: 7\n"},
     ERR_INPUT,
     "o/r/.github/issue_label_bot.yaml:1:14: `label-alias` must be a mapping",
     0,
     true},
    {"a folder of that name", {.own_file = "/"}, ERR_INPUT, "it is a folder, not a file", 0, true},
    {"repository not visible", {.status = {[ROUTE_REPOSITORY] = 404}}, ERR_NOT_FOUND, "", 0, false},
    {"labels unreachable", {.status = {[ROUTE_LABELS] = 502}}, ERR_UNAVAILABLE, "", 0, false},
    {"organisation's file unreachable",
     {.status = {[ROUTE_ORGANISATION_FILE] = 500}},
     ERR_UNAVAILABLE,
     "",
     0,
     false},
    {"own file unreachable", {.status = {[ROUTE_OWN_FILE] = 503}}, ERR_UNAVAILABLE, "", 0, false},
    {"own file without an answer",
     {.code = {[ROUTE_OWN_FILE] = ERR_TIMEOUT}},
     ERR_TIMEOUT,
     "",
     0,
     false},
    {"whether the organisation is hidden is unreachable",
     {.status = {[ROUTE_ORGANISATION] = 502}},
     ERR_UNAVAILABLE,
     "",
     0,
     false},
    {"limited", {.status = {[ROUTE_OWN_FILE] = 429}}, ERR_RATE_LIMITED, "", 7000, false},
    {"labels forbidden", {.status = {[ROUTE_LABELS] = 401}}, ERR_DENIED, "", 0, false},
};

static void test_looks(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(looks); i++) {
        const struct look *look = &looks[i];
        if (i > 0) {
            assert_int_equal(bench_end(state), 0);
            assert_int_equal(bench_begin(state), 0);
        }
        struct bench *bench = *state;
        bench->script = look->script;
        const struct told *told = ask(bench, "o/r");
        if (told->code != look->code)
            fail_msg("%s: %s \"%s\", want %s", look->name, err_name(told->code), told->text,
                     err_name(look->code));
        if (strstr(look->code == 0 ? told->seen : told->text, look->wanted) == NULL)
            fail_msg("%s: \"%s%s\", want \"%s\"", look->name, told->seen, told->text, look->wanted);
        assert_int_equal(told->retry_after_ms, look->retry_after_ms);
        assert_true(look->code == 0 || look->is_invalid || told->text[0] != '\0');
        assert_true(count_invalid(bench) == (look->is_invalid ? 1.0 : 0.0));
        assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"),
                         look->is_invalid ? 1 : 0);
        assert_int_equal(count_logged(bench, "is not visible to nodag"),
                         look->script.organisation_hidden ? 1 : 0);
    }
}

/* One warning for an organisation, whichever of its repositories are asked for and how often. */
static void test_hidden_is_said_once(void **state)
{
    struct bench *bench = *state;
    bench->script.organisation_hidden = true;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ask(bench, "o/r")->code, 0);
        assert_int_equal(ask(bench, "o/s")->code, 0);
        loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    }
    assert_int_equal(count_logged(bench, "is not visible to nodag"), 1);
}

/* --- waiting --- */

static void test_one_look_for_all_who_wait(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 3; i++)
        (void)repositories_get(bench->repositories, i == 1 ? "O/R" : "o/r", on_told, bench);
    loop_advance(bench->loop, 2 * ANSWER_MS);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    assert_int_equal(bench->told_count, 0);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 4);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1);
    assert_int_equal(bench->asked[ROUTE_OWN_FILE], 1);
}

static void test_cancel(void **state)
{
    struct bench *bench = *state;
    struct repository_waiter *first = repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    struct repository_waiter *last = repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, ANSWER_MS);
    repositories_cancel(bench->repositories, first);
    repositories_cancel(bench->repositories, last);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 1);

    /* Also the last one of a look, and one who would be told from memory. */
    struct repository_waiter *fresh = repositories_get(bench->repositories, "o/r", on_told, bench);
    repositories_cancel(bench->repositories, fresh);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 1);
    assert_int_equal(ask(bench, "o/r")->code, 0);
}

/* One who, when told, withdraws the next and asks again: for the same repository and another. */
struct busybody {
    struct bench *bench;
    struct repository_waiter *other; /* to be cancelled */
    unsigned rounds;                 /* asks again so often */
};

static void on_busybody(void *argument, int code, int64_t retry_after_ms,
                        const struct repository *repository, const char *text)
{
    struct busybody *busybody = argument;
    struct bench *bench = busybody->bench;
    on_told(bench, code, retry_after_ms, repository, text);
    if (busybody->other != NULL)
        repositories_cancel(bench->repositories, TAKE(busybody->other));
    if (busybody->rounds-- > 0)
        (void)repositories_get(bench->repositories, "o/r", on_busybody, busybody);
}

static void check_busybody(struct bench *bench, int code)
{
    struct busybody busybody = {.bench = bench, .rounds = 2};
    bench->told_count = 0;
    (void)repositories_get(bench->repositories, "o/r", on_busybody, &busybody);
    busybody.other = repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 4); /* three rounds, and the one who stayed */
    for (size_t i = 0; i < bench->told_count; i++)
        assert_int_equal(bench->told[i].code, code);
}

/* Also where each look fails, so that whoever asks again begins a new one while others are being
 * told. */
static void test_asking_again_while_told(void **state)
{
    struct bench *bench = *state;
    check_busybody(bench, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1);
    repositories_touch(bench->repositories, "o/r", NULL);
    bench->script.status[ROUTE_LABELS] = 502;
    check_busybody(bench, ERR_UNAVAILABLE);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
}

/* Freed with a look under way and others waiting: nobody is told, nothing is left (bench_end,
 * sanitizers). */
static void test_free_while_waiting(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench, "o/s")->code, 0);
    (void)repositories_get(bench->repositories, "o/s", on_told, bench); /* to be told from memory */
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    repositories_free(TAKE(bench->repositories));
    bench->told_count = 0;
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 0);
}

/* --- the end of the cache --- */

/* Asks for o/rN. */
static void ask_numbered(struct bench *bench, int number)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "o/r%d", number);
    assert_int_equal(ask(bench, name)->code, 0);
}

/* Beyond the maximum the one that was used longest ago goes, never one that somebody waits for. */
static void test_eviction(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < REPOSITORY_COUNT_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "o/r%d", i);
        struct repository_waiter *waiter =
            repositories_get(bench->repositories, name, on_told, bench);
        if (i > 2) /* its look ends without anybody who waits */
            repositories_cancel(bench->repositories, waiter);
    }
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 3);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX);
    ask_numbered(bench, 0); /* used just now: then 1 is the oldest */
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX);
    ask_numbered(bench, REPOSITORY_COUNT_MAX);
    ask_numbered(bench, 0);
    ask_numbered(bench, 2);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX + 1);
    ask_numbered(bench, 1);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_looks),
        BENCH_TEST(test_hidden_is_said_once),
        BENCH_TEST(test_one_look_for_all_who_wait),
        BENCH_TEST(test_cancel),
        BENCH_TEST(test_asking_again_while_told),
        BENCH_TEST(test_free_while_waiting),
        BENCH_TEST(test_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
