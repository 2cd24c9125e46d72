/*
 * Tests of reactors/classifier/calibrate.c: Platt's fit finds what made the data, survives data
 * without information, and thresholds keep their target and nothing lower.
 */
#include "reactors/classifier/calibrate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"

/* Rows of made data. */
#define ROWS 20000

static void test_platt_finds_the_parameters(void **state)
{
    (void)state;
    static double decisions[ROWS];
    static bool carries[ROWS];
    static const struct calibrate_platt cases[] = {{1, 0}, {3, -2}, {0.5, 1}, {10, -5}};
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        uint64_t random = 9;
        for (size_t r = 0; r < ROWS; r++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            decisions[r] = (double)(random >> 40) / (double)(1 << 24) * 4 - 2;
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            carries[r] = (double)(random >> 40) / (double)(1 << 24) <
                         calibrate_probability(&cases[c], decisions[r]);
        }
        struct calibrate_platt platt = calibrate_fit_platt(decisions, carries, ROWS);
        assert_true(fabs(platt.slope - cases[c].slope) < 0.08 * cases[c].slope);
        assert_true(fabs(platt.offset - cases[c].offset) < 0.08 * (1 + fabs(cases[c].offset)));
    }
}

static void test_platt_without_information(void **state)
{
    (void)state;
    static const double same[] = {1, 1, 1, 1};
    static const double falling[] = {4, 3, 2, 1};
    static const bool some[] = {true, false, false, true};
    static const bool last[] = {false, false, true, true};
    static const bool none[] = {false, false, false, false};
    static const bool all[] = {true, true, true, true};
    assert_true(calibrate_fit_platt(same, some, 4).slope == 0);
    assert_true(calibrate_fit_platt(falling, last, 4).slope == 0); /* the wrong way round */
    assert_true(calibrate_fit_platt(falling, none, 4).slope == 0);
    assert_true(calibrate_fit_platt(falling, all, 4).slope == 0);
    assert_true(calibrate_fit_platt(falling, none, 0).slope == 0);
    struct calibrate_platt rare = calibrate_fit_platt(falling, none, 4);
    assert_true(fabs(calibrate_probability(&rare, 100) - 1.0 / 6) < 1e-9);
}

static void test_platt_of_separable_data_is_finite(void **state)
{
    (void)state;
    static const double decisions[] = {-1000, -1, -0.5, 0.5, 1, 1e6};
    static const bool carries[] = {false, false, false, true, true, true};
    struct calibrate_platt platt = calibrate_fit_platt(decisions, carries, ARRAY_COUNT(carries));
    assert_true(isfinite(platt.slope) && isfinite(platt.offset) && platt.slope >= 0);
    assert_true(calibrate_probability(&platt, 1e6) >= calibrate_probability(&platt, -1000));
}

/* Rows, and where their threshold belongs. */
static const struct {
    const char *name;
    double precision;
    size_t predicted_min;
    size_t count;
    double probabilities[12];
    bool carries[12];
    bool found;
    double threshold;
    size_t predicted;
} THRESHOLD_CASES[] = {
    {"between right and wrong",
     0.8,
     2,
     6,
     {.99, .95, .9, .2, .1, .05},
     {1, 1, 1, 0, 0, 0},
     true,
     .55,
     3},
    {"order does not matter",
     0.8,
     2,
     6,
     {.05, .95, .1, .99, .2, .9},
     {0, 1, 0, 1, 0, 1},
     true,
     .55,
     3},
    {"nothing is right", 0.8, 2, 4, {.99, .95, .9, .2}, {0, 0, 0, 0}, false, 0, 0},
    {"too few", 0.8, 4, 4, {.99, .95, .3, .2}, {1, 1, 0, 0}, false, 0, 0},
    {"right, but the probabilities do not say so",
     0.8,
     2,
     4,
     {.5, .4, .3, .2},
     {1, 1, 1, 1},
     false,
     0,
     0},
    {"barely likely, and wrong", 0.8, 2, 4, {.81, .805, .8, .8}, {1, 0, 1, 0}, false, 0, 0},
    {"barely likely, and right", 0.8, 2, 4, {.81, .805, .8, .8}, {1, 1, 1, 1}, true, .4, 4},
    {"few wrong ones are luck", 0.8, 2, 4, {.99, .98, .97, .2}, {1, 0, 1, 0}, true, .585, 3},
    {"some wrong ones are worth it",
     0.5,
     2,
     6,
     {.99, .95, .9, .8, .2, .1},
     {1, 0, 1, 1, 0, 0},
     true,
     .5,
     4},
    {"equals are not split",
     0.65,
     2,
     6,
     {.66, .66, .66, .66, .66, .1},
     {1, 1, 0, 0, 0, 0},
     false,
     0,
     0},
    {"all", 0.8, 2, 3, {.99, .98, .97}, {1, 1, 1}, true, .485, 3},
    {"unlikely ones are not bought",
     0.8,
     2,
     5,
     {.99, .99, .99, .98, .3},
     {1, 1, 1, 1, 1},
     true,
     .64,
     4},
    {"a low target lowers that",
     0.3,
     2,
     5,
     {.99, .99, .99, .98, .3},
     {1, 1, 1, 1, 1},
     true,
     .15,
     5},
    {"no rows", 0.8, 1, 0, {0}, {0}, false, 0, 0},
};

static void test_thresholds(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_COUNT(THRESHOLD_CASES); c++) {
        const struct calibrate_target target = {.precision = THRESHOLD_CASES[c].precision,
                                                .predicted_min = THRESHOLD_CASES[c].predicted_min};
        struct calibrate_threshold got =
            calibrate_find_threshold(THRESHOLD_CASES[c].probabilities, THRESHOLD_CASES[c].carries,
                                     THRESHOLD_CASES[c].count, &target);
        if (got.found != THRESHOLD_CASES[c].found ||
            got.predicted != THRESHOLD_CASES[c].predicted ||
            fabs(got.threshold - THRESHOLD_CASES[c].threshold) > 1e-9)
            fail_msg("%s: found %d, threshold %f, predicted %zu", THRESHOLD_CASES[c].name,
                     got.found, got.threshold, got.predicted);
        assert_true(!got.found || got.precision >= THRESHOLD_CASES[c].precision);
    }
}

/* Where there are many, what was counted outweighs the probabilities, either way. */
static void test_many_rows_stand_on_their_count(void **state)
{
    (void)state;
    static const struct {
        double probability;
        int right_of_ten;
        bool found;
    } cases[] = {{.95, 5, false}, {.95, 9, true}, {.7, 9, true}, {.7, 8, false}};
    const struct calibrate_target target = {.precision = 0.8, .predicted_min = 5};
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        double probabilities[400];
        bool carries[400];
        for (int r = 0; r < 400; r++) {
            probabilities[r] = cases[c].probability;
            carries[r] = r % 10 < cases[c].right_of_ten;
        }
        struct calibrate_threshold got =
            calibrate_find_threshold(probabilities, carries, ARRAY_COUNT(carries), &target);
        if (got.found != cases[c].found)
            fail_msg("%d of 10 at %.2f: found %d", cases[c].right_of_ten, cases[c].probability,
                     got.found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_platt_finds_the_parameters),
        cmocka_unit_test(test_platt_without_information),
        cmocka_unit_test(test_platt_of_separable_data_is_finite),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_many_rows_stand_on_their_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
