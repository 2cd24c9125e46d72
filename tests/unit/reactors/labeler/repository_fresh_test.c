/*
 * How what is known of a repository stays true: freshness on the fake clock, touches by webhooks,
 * and configurations that were invalid and are mended.
 */
#include "reactors/labeler/repository.h"

#include "tests/unit/reactors/labeler/repository_bench.h"

/* --- freshness --- */

static void test_freshness(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "predicted-labels: [bug]\n";
    bench->script.organisation_file = "label-alias: {a: b}\n";
    assert_int_equal(ask(bench, "o/r")->code, 0);
    size_t first = count_asked(bench);
    assert_int_equal(first, 4);
    loop_advance(bench->loop, REPOSITORY_FRESH_MS - 3 * LOOK_MS);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(count_asked(bench), first);

    /* Then it is read again, and what has not changed costs no rate limit. */
    loop_advance(bench->loop, 3 * LOOK_MS);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug");
    assert_int_equal(count_asked(bench), 2 * first);
    assert_int_equal(bench->unchanged, first);
    bench->script.own_file = "predicted-labels: [area/x]\n";
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
    assert_int_equal(bench->unchanged, 2 * first - 1);
}

/* What cannot be read again is never replaced by "no configuration", nor believed for ever. */
static void test_unreachable_when_no_longer_fresh(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "predicted-labels: [area/x]\n";
    assert_int_equal(ask(bench, "o/r")->code, 0);
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    bench->script.status[ROUTE_OWN_FILE] = 502;
    assert_int_equal(ask(bench, "o/r")->code, ERR_UNAVAILABLE);
    bench->script.status[ROUTE_OWN_FILE] = 0;
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
}

static void test_touch(void **state)
{
    struct bench *bench = *state;
    repositories_touch(bench->repositories, "o/r", NULL); /* of nobody */
    repositories_touch(bench->repositories, "", NULL);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    repositories_touch(bench->repositories, "O/R", NULL);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1); /* only the next user reads again */
    bench->script.labels = "[{\"name\":\"new\"}]";
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [new] | bug");
    assert_int_equal(bench->asked[ROUTE_LABELS], 2);

    /* A touch during a look counts for the one after it. */
    repositories_touch(bench->repositories, "o/r", NULL);
    bench->told_count = 0;
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, 3 * ANSWER_MS);
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
}

/* A push to OWNER/.github concerns all repositories of OWNER and nobody else's. */
static void test_touch_of_the_organisation(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(ask(bench, "o/s")->code, 0);
    assert_int_equal(ask(bench, "oo/r")->code, 0);
    repositories_touch(bench->repositories, "O/.github", NULL);
    bench->script.organisation_file = "label-alias: {bug: kind/bug}\n";
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | kind/bug");
    assert_string_equal(ask(bench, "o/s")->seen, "4711 o/s [Bug] [area/x] | kind/bug");
    size_t asked = count_asked(bench);
    assert_int_equal(ask(bench, "oo/r")->code, 0);
    assert_int_equal(count_asked(bench), asked);
}

/* --- invalid and mended --- */

static void test_mended_by_a_push(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/R")->code, ERR_INPUT);
    size_t asked = count_asked(bench);
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT); /* from memory */
    assert_int_equal(count_asked(bench), asked);
    bench->script.own_file = "predicted-labels: []\n";
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS); /* nobody asks */
    assert_string_equal(bench->mended, "o/r;");
    assert_true(count_invalid(bench) == 0.0);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
    loop_advance(bench->loop, 3 * REPOSITORY_FRESH_MS);
    assert_string_equal(bench->mended, "o/r;"); /* once */
}

/* The organisation's file is mended: every repository of it is. */
static void test_mended_by_a_push_to_the_organisation(void **state)
{
    struct bench *bench = *state;
    bench->script.organisation_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT);
    assert_int_equal(ask(bench, "o/s")->code, ERR_INPUT);
    assert_true(count_invalid(bench) == 2.0);
    bench->script.organisation_file = NULL;
    repositories_touch(bench->repositories, "o/.github", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_non_null(strstr(bench->mended, "o/r;"));
    assert_non_null(strstr(bench->mended, "o/s;"));
    assert_int_equal(strlen(bench->mended), strlen("o/r;o/s;"));
    assert_true(count_invalid(bench) == 0.0);
}

/* A push that arrives while the look that finds the file invalid is under way is not forgotten. */
static void test_mended_during_the_look(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    while (bench->asked[ROUTE_OWN_FILE] == 0)
        assert_true(loop_step(bench->loop));
    bench->script.own_file = NULL;
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told[0].code, ERR_INPUT);
    assert_string_equal(bench->mended, "o/r;");
}

/* Without any push it is looked at each REPOSITORY_FRESH_MS, also while GitHub is away; each text
 * is said once. */
static void test_mended_without_a_push(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT);
    loop_advance(bench->loop, 2 * REPOSITORY_FRESH_MS);
    assert_int_equal(bench->asked[ROUTE_OWN_FILE], 3);
    assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"), 1);
    bench->script.own_file = "wrong\n\n";
    bench->script.status[ROUTE_LABELS] = 502;
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_true(count_invalid(bench) == 1.0); /* away is not mended */
    bench->script.status[ROUTE_LABELS] = 0;
    bench->script.own_file = "predicted-labels: wrong\n";
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"), 2);
    assert_string_equal(bench->mended, "");
    bench->script.own_file = NULL;
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_string_equal(bench->mended, "o/r;");
    assert_true(count_invalid(bench) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_freshness),
        BENCH_TEST(test_unreachable_when_no_longer_fresh),
        BENCH_TEST(test_touch),
        BENCH_TEST(test_touch_of_the_organisation),
        BENCH_TEST(test_mended_by_a_push),
        BENCH_TEST(test_mended_by_a_push_to_the_organisation),
        BENCH_TEST(test_mended_during_the_look),
        BENCH_TEST(test_mended_without_a_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
