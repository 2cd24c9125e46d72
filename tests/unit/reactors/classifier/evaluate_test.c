/*
 * Tests of reactors/classifier/evaluate.c and report.c: intervals against known values, averages
 * against a count by hand, and a report that is one sound file whatever labels are called.
 */
#include "reactors/classifier/evaluate.h"

#include <math.h>

#include "tests/unit/reactors/classifier/sample.h"

#include "base/json_text.h"
#include "reactors/classifier/report.h"

/* Everything that a judgement needs, made from the sample. */
struct judged {
    struct dataset *dataset;         /* owned */
    const struct dataset_row **rows; /* owned array */
    void *bytes;                     /* owned */
    struct classifier *classifier;   /* owned */
    struct evaluation *evaluation;   /* owned */
};

static void judge(struct judged *judged, const char *new_name)
{
    struct train_config config;
    struct error error = {0};
    size_t byte_count = 0;
    sample_config(&config);
    judged->dataset = sample_dataset();
    if (new_name != NULL) {
        free(judged->dataset->label_names[0]);
        judged->dataset->label_names[0] = mem_copy_text(new_name);
    }
    judged->rows = sample_rows(judged->dataset);
    judged->bytes = sample_train(judged->dataset, &config, &byte_count);
    assert_int_equal(classifier_load_bytes(judged->bytes, byte_count, &judged->classifier, &error),
                     0);
    judged->evaluation = evaluate_model(judged->classifier, judged->dataset, judged->rows,
                                        judged->dataset->row_count);
}

static void release(struct judged *judged)
{
    evaluate_free(judged->evaluation);
    classifier_free(judged->classifier);
    free(judged->bytes);
    free(judged->rows);
    dataset_free(judged->dataset);
}

static void test_wilson(void **state)
{
    (void)state;
    /* Values by the formula of Wilson (1927) as statistics packages print them. */
    static const struct {
        size_t right;
        size_t count;
        double low;
        double high;
    } cases[] = {
        {0, 10, 0, 0.2775},        {10, 10, 0.7225, 1}, {5, 10, 0.2366, 0.7634},
        {80, 100, 0.7112, 0.8666}, {1, 1, 0.2065, 1},
    };
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        struct evaluate_figure figure = evaluate_wilson(cases[c].right, cases[c].count);
        assert_true(fabs(figure.low - cases[c].low) < 1e-4 &&
                    fabs(figure.high - cases[c].high) < 1e-4);
    }
    assert_true(isnan(evaluate_wilson(0, 0).value));
}

static void test_counts_and_averages(void **state)
{
    (void)state;
    struct judged judged;
    judge(&judged, NULL);
    const struct evaluation *evaluation = judged.evaluation;
    struct classifier_score scores[8];
    size_t right[8] = {0};
    size_t predicted[8] = {0};
    size_t support[8] = {0};
    for (size_t r = 0; r < judged.dataset->row_count; r++) {
        struct classifier_issue issue = dataset_issue(judged.rows[r]);
        classifier_predict(judged.classifier, &issue, scores);
        for (size_t l = 0; l < evaluation->label_count; l++) {
            bool carries = false;
            for (size_t k = 0; k < judged.rows[r]->label_count; k++)
                carries = carries || strcmp(judged.dataset->label_names[judged.rows[r]->labels[k]],
                                            scores[l].label) == 0;
            support[l] += carries;
            predicted[l] += scores[l].predicted;
            right[l] += carries && scores[l].predicted;
        }
    }
    double recall = 0;
    double precision = 0;
    size_t predicted_labels = 0;
    for (size_t l = 0; l < evaluation->label_count; l++) {
        assert_int_equal(evaluation->labels[l].support, support[l]);
        assert_int_equal(evaluation->labels[l].predicted, predicted[l]);
        assert_int_equal(evaluation->labels[l].right, right[l]);
        recall += (double)right[l] / (double)support[l];
        predicted_labels += predicted[l] > 0;
        if (predicted[l] > 0)
            precision += (double)right[l] / (double)predicted[l];
    }
    assert_int_equal(evaluation->supported_count, evaluation->label_count);
    assert_int_equal(evaluation->unknown_label_count, 1);    /* rare */
    assert_true(predicted_labels < evaluation->label_count); /* noise is not predicted */
    assert_true(fabs(evaluation->macro.recall.value - recall / (double)evaluation->label_count) <
                1e-9);
    assert_true(fabs(evaluation->macro.precision.value - precision / (double)predicted_labels) <
                1e-9);
    assert_true(evaluation->macro.f1.low <= evaluation->macro.f1.value &&
                evaluation->macro.f1.value <= evaluation->macro.f1.high);
    assert_true(evaluation->labels[sample_label(judged.classifier, "bug")].average_precision >
                0.95);
    assert_true(
        isnan(evaluation->labels[sample_label(judged.classifier, "noise")].precision.value));
    release(&judged);
}

static void test_figures_repeat(void **state)
{
    (void)state;
    struct judged first;
    struct judged second;
    judge(&first, NULL);
    judge(&second, NULL);
    CLEANUP(json_release) json_t *left = evaluate_to_json(first.evaluation);
    CLEANUP(json_release) json_t *right = evaluate_to_json(second.evaluation);
    assert_true(json_equal(left, right));
    release(&first);
    release(&second);
}

/* Every opened element is closed in order; returns false where not. */
static bool is_balanced(const char *html)
{
    static const char *const empty[] = {"meta", "!doctype", "rect", "line", "circle", "polyline"};
    char open[32][16];
    size_t depth = 0;
    for (const char *tag = strchr(html, '<'); tag != NULL; tag = strchr(tag + 1, '<')) {
        bool closes = tag[1] == '/';
        const char *name = tag + 1 + closes;
        size_t length = strcspn(name, " >/");
        bool is_empty = false;
        for (size_t e = 0; e < ARRAY_COUNT(empty); e++)
            is_empty =
                is_empty || (strlen(empty[e]) == length && strncmp(empty[e], name, length) == 0);
        if (is_empty)
            continue;
        if (length == 0 || length >= sizeof(open[0]))
            return false;
        if (closes) {
            if (depth == 0 || strncmp(open[--depth], name, length) != 0 ||
                open[depth][length] != '\0')
                return false;
            continue;
        }
        if (depth == ARRAY_COUNT(open))
            return false;
        memcpy(open[depth], name, length);
        open[depth++][length] = '\0';
    }
    return depth == 0;
}

static void test_report_is_sound_and_escaped(void **state)
{
    (void)state;
    struct judged judged;
    judge(&judged, "<script>\"&");
    CLEANUP(buffer_release) struct buffer html = BUFFER_INIT(REPORT_BYTES_MAX);
    assert_int_equal(report_html(judged.evaluation, &html), 0);
    assert_null(strstr(html.data, "<script"));
    assert_non_null(strstr(html.data, "&lt;script&gt;&quot;&amp;"));
    assert_null(strstr(html.data, "http"));
    assert_null(strstr(html.data, "nan"));
    assert_non_null(strstr(html.data, "prefers-color-scheme:dark"));
    assert_non_null(strstr(html.data, classifier_version(judged.classifier)));
    assert_true(is_balanced(html.data));
    CLEANUP(buffer_release) struct buffer small = BUFFER_INIT(1000);
    assert_int_equal(report_html(judged.evaluation, &small), ERR_TOO_LARGE);
    release(&judged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_counts_and_averages),
        cmocka_unit_test(test_figures_repeat),
        cmocka_unit_test(test_report_is_sound_and_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
