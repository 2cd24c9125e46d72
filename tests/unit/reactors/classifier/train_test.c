/*
 * Tests of training as a whole: what can be learnt is learnt, what cannot is never predicted and
 * says why; the same data gives the same bytes; what training computed is what a loaded model says.
 */
#include "reactors/classifier/train.h"

#include <math.h>

#include "tests/unit/reactors/classifier/sample.h"

#include "reactors/classifier/fit.h"

/* Largest difference between a weight and its stored form, summed over a text. */
#define STORED_TOLERANCE 0.01

static struct classifier *load_or_fail(const void *bytes, size_t byte_count)
{
    struct error error = {0};
    struct classifier *classifier = NULL;
    if (classifier_load_bytes(bytes, byte_count, &classifier, &error) != 0)
        fail_msg("%s", error.text);
    return classifier;
}

static bool predicts(const struct classifier *classifier, const struct classifier_issue *issue,
                     const char *label)
{
    struct classifier_score scores[16];
    assert_true(classifier_label_count(classifier) <= ARRAY_COUNT(scores));
    classifier_predict(classifier, issue, scores);
    return scores[sample_label(classifier, label)].predicted;
}

static void fail_with_scores(const struct classifier *classifier,
                             const struct classifier_issue *issue)
{
    struct classifier_score scores[16];
    classifier_predict(classifier, issue, scores);
    for (size_t l = 0; l < classifier_label_count(classifier); l++)
        print_error("  %s %.3f, threshold %.3f\n", scores[l].label, scores[l].probability,
                    scores[l].threshold);
    fail_msg("%s: %s", issue->repository == NULL ? "no repository" : issue->repository,
             issue->title);
}

static void test_learns_what_can_be_learnt(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    config.precision_target =
        0.9; /* else thresholds reach down to what is wrong one time in five */
    size_t byte_count = 0;
    CLEANUP(mem_free) void *bytes = sample_train(dataset, &config, &byte_count);
    CLEANUP(classifier_free) struct classifier *classifier = load_or_fail(bytes, byte_count);
    static const struct {
        const char *repository;
        const char *title;
        const char *body;
        bool is_bug;
        bool is_feature;
        bool is_docs;
    } cases[] = {
        {"one/alpha", "It crashes", "after an update it hangs", true, false, false},
        {"two/beta", "It panics", "after an update it fails", true, false, false},
        {"new/repository", "Please support this", "it would be good to add", false, true, false},
        {NULL, "Please allow the parser", "it would be good to provide", false, true, false},
        {"one/alpha", "Please add the page provide", "it would be good to support handle", false,
         true, true},
        {"ONE/Alpha", "Please add the page provide", "it would be good to support handle", false,
         true, true},
        {"two/beta", "Please add the page provide", "it would be good to support handle", false,
         true, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct classifier_issue issue =
            sample_issue(cases[i].repository, cases[i].title, cases[i].body);
        if (predicts(classifier, &issue, "bug") != cases[i].is_bug ||
            predicts(classifier, &issue, "feature") != cases[i].is_feature ||
            predicts(classifier, &issue, "docs") != cases[i].is_docs)
            fail_with_scores(classifier, &issue);
    }
}

static void test_says_why_a_label_is_never_predicted(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    config.examples_min = 2;
    config.precision_target = 0.9;
    size_t byte_count = 0;
    CLEANUP(mem_free) void *bytes = sample_train(dataset, &config, &byte_count);
    CLEANUP(classifier_free) struct classifier *classifier = load_or_fail(bytes, byte_count);
    const struct classifier_label *noise =
        classifier_label_at(classifier, sample_label(classifier, "noise"));
    const struct classifier_label *rare =
        classifier_label_at(classifier, sample_label(classifier, "rare"));
    const struct classifier_label *bug =
        classifier_label_at(classifier, sample_label(classifier, "bug"));
    assert_false(noise->predictable);
    assert_string_equal(noise->reason, "no threshold reaches precision 0.90 on held-out issues");
    assert_true(noise->threshold > 1);
    assert_false(rare->predictable);
    assert_string_equal(rare->reason, "1 held-out issues carry it, 5 are needed");
    assert_int_equal(rare->examples, 3);
    assert_true(bug->predictable);
    assert_string_equal(bug->reason, "");
    assert_true(bug->precision >= 0.9 && bug->recall > 0.8);
    assert_true(bug->threshold > 0 && bug->threshold < 1);
}

static void test_picks_labels(void **state)
{
    (void)state;
    static const char *const only_b[] = {"b*"};
    static const char *const none[] = {"x*"};
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    CLEANUP(mem_free) const struct dataset_row **rows = sample_rows(dataset);
    struct train_config config;
    sample_config(&config);
    size_t count = 0;
    CLEANUP(mem_free)
    uint32_t *all = train_pick_labels(dataset, rows, dataset->row_count, &config, &count);
    assert_int_equal(count, 4);
    for (size_t l = 0; l < count; l++)
        assert_string_not_equal(dataset->label_names[all[l]], "rare");
    config.label_globs = only_b;
    config.label_glob_count = 1;
    CLEANUP(mem_free)
    uint32_t *some = train_pick_labels(dataset, rows, dataset->row_count, &config, &count);
    assert_int_equal(count, 1);
    assert_string_equal(dataset->label_names[some[0]], "bug");
    config.label_globs = none;
    struct error error = {0};
    void *bytes = NULL;
    assert_int_equal(
        train_model(dataset, rows, dataset->row_count, &config, NULL, NULL, &bytes, &count, &error),
        ERR_INPUT);
    assert_non_null(strstr(error.text, "lower --min-examples, widen --labels"));
    assert_null(bytes);
}

static void test_one_of_an_exclusive_group(void **state)
{
    (void)state;
    static const char *const groups[] = {"[bf]*"}; /* bug and feature */
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    config.precision_target = 0.5;
    size_t byte_count = 0;
    struct classifier_issue both = sample_issue("one/alpha", "It crashes, please support",
                                                "after an update it hangs it would be good to add");
    for (size_t count = 0; count < 2; count++) {
        config.exclusive = groups;
        config.exclusive_count = count;
        CLEANUP(mem_free) void *bytes = sample_train(dataset, &config, &byte_count);
        CLEANUP(classifier_free) struct classifier *classifier = load_or_fail(bytes, byte_count);
        struct classifier_score scores[4];
        size_t bug = sample_label(classifier, "bug");
        size_t feature = sample_label(classifier, "feature");
        classifier_predict(classifier, &both, scores);
        int group = count == 0 ? -1 : 0;
        assert_int_equal(classifier_label_at(classifier, bug)->exclusive_group, group);
        assert_int_equal(classifier_label_at(classifier, feature)->exclusive_group, group);
        assert_int_equal(
            classifier_label_at(classifier, sample_label(classifier, "noise"))->exclusive_group,
            -1);
        assert_true(count == 0 || scores[bug].predicted + scores[feature].predicted <= 1);
    }
}

static void test_same_data_same_bytes(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    size_t first_count = 0;
    size_t second_count = 0;
    size_t other_count = 0;
    CLEANUP(mem_free) void *first = sample_train(dataset, &config, &first_count);
    CLEANUP(mem_free) void *second = sample_train(dataset, &config, &second_count);
    config.fit.solve.seed = 2;
    CLEANUP(mem_free) void *other = sample_train(dataset, &config, &other_count);
    assert_int_equal(first_count, second_count);
    assert_memory_equal(first, second, first_count);
    assert_true(other_count != first_count || memcmp(first, other, first_count) != 0);
}

/* A fit and the model made from it agree on every row, but for the rounding of weights. */
static void test_model_says_what_the_fit_says(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    CLEANUP(mem_free) const struct dataset_row **rows = sample_rows(dataset);
    struct train_config config;
    sample_config(&config);
    size_t byte_count = 0;
    CLEANUP(mem_free) void *bytes = sample_train(dataset, &config, &byte_count);
    CLEANUP(classifier_free) struct classifier *classifier = load_or_fail(bytes, byte_count);
    size_t label_count = 0;
    CLEANUP(mem_free)
    uint32_t *labels = train_pick_labels(dataset, rows, dataset->row_count, &config, &label_count);
    assert_int_equal(label_count, classifier_label_count(classifier));
    CLEANUP(fit_free)
    struct fit *fit =
        fit_rows(&config.fit, rows, dataset->row_count, labels, label_count, NULL, NULL);
    for (size_t l = 0; l < label_count; l++) {
        bool has_line = false;
        double slope =
            0; /* the calibration: logit = slope × decision + offset, the same for every row */
        double offset = 0;
        double first[2] = {0};
        for (size_t r = 0; r < dataset->row_count; r++) {
            struct classifier_issue issue = dataset_issue(rows[r]);
            struct classifier_score scores[8];
            double decisions[8];
            classifier_predict(classifier, &issue, scores);
            fit_decide(fit, &issue, decisions);
            double logit = log(scores[l].probability / (1 - scores[l].probability));
            if (r == 0) {
                first[0] = decisions[l];
                first[1] = logit;
            } else if (!has_line && fabs(decisions[l] - first[0]) > 0.3) {
                slope = (logit - first[1]) / (decisions[l] - first[0]);
                offset = logit - slope * decisions[l];
                has_line = true;
                assert_true(slope > -STORED_TOLERANCE);
            } else if (has_line) {
                assert_true(fabs(slope * decisions[l] + offset - logit) <
                            STORED_TOLERANCE * (1 + fabs(logit)));
            }
        }
    }
}

/* Rows of one moment cannot be split by time: chance, and the file says so. */
static void test_rows_without_time_are_split_by_chance(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    for (int same = 0; same < 2; same++) {
        for (size_t r = 0; same == 1 && r < dataset->row_count; r++)
            dataset->rows[r].created_at_ms = 1000;
        size_t byte_count = 0;
        CLEANUP(mem_free) void *bytes = sample_train(dataset, &config, &byte_count);
        CLEANUP(classifier_free) struct classifier *classifier = load_or_fail(bytes, byte_count);
        const char *header = classifier_header_json(classifier);
        assert_non_null(strstr(header, same == 1 ? "\"by\":\"chance\"" : "\"by\":\"time\""));
        assert_non_null(strstr(header, dataset->sha256));
        const struct classifier_label *bug =
            classifier_label_at(classifier, sample_label(classifier, "bug"));
        assert_true(bug->predictable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns_what_can_be_learnt),
        cmocka_unit_test(test_says_why_a_label_is_never_predicted),
        cmocka_unit_test(test_picks_labels),
        cmocka_unit_test(test_one_of_an_exclusive_group),
        cmocka_unit_test(test_same_data_same_bytes),
        cmocka_unit_test(test_model_says_what_the_fit_says),
        cmocka_unit_test(test_rows_without_time_are_split_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
