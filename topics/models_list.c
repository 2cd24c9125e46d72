/*
 * nodag models list, show and diff: see models_main.c.
 *
 * Design: metrics are what a run wrote, so they are read leniently: numbers, or objects with a `value`,
 * wherever they stand; labels as a list with names or an object by name.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/registry_command.h"

/* Deepest nesting of metrics that is printed. */
#define METRICS_DEPTH_MAX 4

/* Room for a number as people read it. */
#define NUMBER_BYTES 24

/* Metrics of a label that are compared, in this order. */
static const char *const label_metrics[] = {"f1", "precision", "recall"};

static const struct option_row list_rows[] = {
    REGISTRY_MODEL_ROW,
    {.name = "all",
     .letter = 'a',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct registry_settings, all),
     .help = "Those too whose artefacts were collected."},
    REGISTRY_LIST_ROWS,
};

static const struct option_program list_program = {
    .name = "nodag models list",
    .summary = "Prints the versions of models, newest last.",
    .usage = "[OPTION…]",
    .examples = "nodag models --model kubeflow-labels",
    .rows = list_rows,
    .row_count = ARRAY_COUNT(list_rows),
};

static const struct option_row show_rows[] = {
    REGISTRY_SHOW_ROWS,
};

static const struct option_program show_program = {
    .name = "nodag models show",
    .summary = "Prints one version: metrics, data, code, run, notebook.",
    .usage = "[OPTION…] VERSION",
    .description = "VERSION is the version's name, or MODEL/VERSION.",
    .examples = "nodag models show kubeflow-labels-0123456789ab-1",
    .rows = show_rows,
    .row_count = ARRAY_COUNT(show_rows),
    .positional_least = 1,
    .positional_most = 1,
};

static const struct option_row diff_rows[] = {
    BUS_KAFKA_CONNECT_ROWS(struct registry_settings, kafka),
};

static const struct option_program diff_program = {
    .name = "nodag models diff",
    .summary = "Prints two versions side by side: each label's metrics, and what changed.",
    .usage = "[OPTION…] A B",
    .description = "A number stands as A → B. Labels that only one of them has are marked with a "
                   "dash.",
    .examples = "nodag models diff kubeflow-labels-0123456789ab-1 kubeflow-labels-ba9876543210-1",
    .rows = diff_rows,
    .row_count = ARRAY_COUNT(diff_rows),
    .positional_least = 2,
    .positional_most = 2,
};

/* ---- numbers ---- */

static void write_number(const json_t *metric, char ret_text[NUMBER_BYTES])
{
    double number = 0;
    if (registry_number(metric, &number))
        (void)snprintf(ret_text, NUMBER_BYTES, "%.4g", number);
    else
        (void)snprintf(ret_text, NUMBER_BYTES, "-");
}

/* Finds the macro-averaged F1, however it was written. */
static const json_t *macro_f1(const json_t *metrics)
{
    const json_t *flat = json_object_get(metrics, "f1_macro");
    return flat != NULL ? flat : json_walk(metrics, "macro.f1");
}

/* ---- list ---- */

static void add_version(struct text_table *text, const json_t *version, int64_t now_ms)
{
    char age[REGISTRY_AGE_BYTES];
    char f1[NUMBER_BYTES];
    char commit[REGISTRY_SHORT_BYTES + 1];
    char data[REGISTRY_SHORT_BYTES + 1];
    const json_t *metrics = json_object_get(version, "metrics");
    registry_age(json_text_or(version, "created_at", NULL), now_ms, age);
    write_number(macro_f1(metrics), f1);
    (void)snprintf(commit, sizeof(commit), "%s", json_text_or(version, "commit", ""));
    (void)snprintf(data, sizeof(data), "%s",
                   json_text_or(json_object_get(version, "snapshot"), "sha256", ""));
    const char *const cells[] = {json_text_or(version, "model", "?"),
                                 json_text_or(version, "version", "?"),
                                 age,
                                 f1,
                                 data,
                                 commit,
                                 json_is_true(json_object_get(version, "collected")) ? "collected"
                                                                                     : ""};
    text_table_add(text, cells);
}

/* ---- one ---- */

/* Prints the numbers of metrics that are not labels', each by its path. */
static void print_metrics(const json_t *metrics, const char *path, size_t depth)
{
    const char *name = NULL;
    json_t *metric = NULL;
    json_object_foreach((json_t *)(uintptr_t)metrics, name, metric)
    {
        char number[NUMBER_BYTES];
        double value = 0;
        CLEANUP(mem_free) char *below = mem_format("%s%s%s", path, *path != '\0' ? "." : "", name);
        write_number(metric, number);
        if (registry_number(metric, &value))
            registry_print(below, number);
        else if (depth < METRICS_DEPTH_MAX && strcmp(below, "labels") != 0)
            print_metrics(metric, below, depth + 1);
    }
}

/* Calls for each label of a version's metrics. */
static void each_label(const json_t *metrics, void (*visit)(void *argument, const char *label),
                       void *argument)
{
    const json_t *labels = json_object_get(metrics, "labels");
    const char *name = NULL;
    json_t *item = NULL;
    json_object_foreach((json_t *)(uintptr_t)labels, name, item)
    {
        visit(argument, name);
    }
    for (size_t i = 0; i < json_array_size(labels); i++)
        visit(argument, json_text_or(json_array_get(labels, i), "name", "?"));
}

/* Two versions' metrics, and the table of their labels. */
struct comparison {
    struct text_table *text; /* borrowed */
    const json_t *left;      /* metrics */
    const json_t *right;     /* metrics; NULL: only one is shown */
    bool only_new;           /* labels of `left` were printed already */
};

static void add_label(void *argument, const char *label)
{
    const struct comparison *comparison = argument;
    char cells[ARRAY_COUNT(label_metrics) + 1][2 * NUMBER_BYTES + 8];
    const char *row[ARRAY_COUNT(label_metrics) + 2] = {label};
    const json_t *left = registry_label(comparison->left, label);
    const json_t *right = registry_label(comparison->right, label);
    double change[2] = {0};
    if (comparison->only_new && left != NULL)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(label_metrics); i++) {
        char before[NUMBER_BYTES];
        char after[NUMBER_BYTES];
        write_number(json_object_get(left, label_metrics[i]), before);
        write_number(json_object_get(right, label_metrics[i]), after);
        (void)snprintf(cells[i], sizeof(cells[i]), comparison->right != NULL ? "%s → %s" : "%s",
                       before, after);
        row[i + 1] = cells[i];
    }
    if (registry_number(json_object_get(left, "f1"), &change[0]) &&
        registry_number(json_object_get(right, "f1"), &change[1]))
        (void)snprintf(cells[ARRAY_COUNT(label_metrics)], sizeof(cells[0]), "%+.4g",
                       change[1] - change[0]);
    else
        (void)snprintf(cells[ARRAY_COUNT(label_metrics)], sizeof(cells[0]), "-");
    row[ARRAY_COUNT(label_metrics) + 1] = cells[ARRAY_COUNT(label_metrics)];
    text_table_add(comparison->text, row);
}

static void print_labels(const json_t *left, const json_t *right)
{
    static const char *const headings[] = {"LABEL", "F1", "PRECISION", "RECALL", "CHANGE OF F1"};
    CLEANUP(text_table_free)
    struct text_table *text =
        text_table_new(headings, right != NULL ? ARRAY_COUNT(headings) : ARRAY_COUNT(headings) - 1);
    struct comparison comparison = {.text = text, .left = left, .right = right};
    each_label(left, add_label, &comparison);
    comparison.only_new = true;
    if (right != NULL)
        each_label(right, add_label, &comparison);
    text_table_print(text, stdout);
}

static void print_version(const json_t *version)
{
    static const char *const names[] = {"model",      "version", "run",     "created_at",
                                        "repository", "commit",  "notebook"};
    const json_t *snapshot = json_object_get(version, "snapshot");
    const char *name = NULL;
    json_t *item = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        registry_print(names[i], json_text_or(version, names[i], ""));
    registry_print("data", json_text_or(snapshot, "sha256", "unknown"));
    registry_print("data as of", json_text_or(snapshot, "taken_at", "unknown"));
    if (json_is_true(json_object_get(version, "collected")))
        (void)puts("collected: its artefacts are gone");
    json_object_foreach(json_object_get(version, "artefacts"), name, item)
    {
        CLEANUP(mem_free) char *title = mem_format("artefact %s", name);
        registry_print(title, json_text_or(item, "uri", "?"));
    }
    registry_print_erased(json_object_get(version, "erased"));
    print_metrics(json_object_get(version, "metrics"), "", 0);
    print_labels(json_object_get(version, "metrics"), NULL);
}

static void print_pair(const char *name, const json_t *left, const json_t *right)
{
    CLEANUP(mem_free)
    char *text = mem_format("%s → %s", json_text_or(left, name, "unknown"),
                            json_text_or(right, name, "unknown"));
    registry_print(name, text);
}

/* ---- the commands ---- */

static const char *const headings[] = {"MODEL", "VERSION", "AGE", "F1", "DATA", "COMMIT", ""};

static const struct registry_view view = {
    .topic = TOPIC_MODELS,
    .name_member = "version",
    .lister = "nodag models --all",
    .hides_collected = true,
    .list = &list_program,
    .show = &show_program,
    .headings = headings,
    .heading_count = ARRAY_COUNT(headings),
    .add = add_version,
    .print = print_version,
};

int models_list(int argc, char **argv)
{
    return registry_list(&view, argc, argv);
}

int models_show(int argc, char **argv)
{
    return registry_show(&view, argc, argv);
}

int models_diff(int argc, char **argv)
{
    struct registry_settings settings = {0};
    struct registry_table table;
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&diff_program, argc, argv, &settings, &first, &status) ||
        !registry_read(&diff_program, &settings.kafka, TOPIC_MODELS, &table, &status))
        return status;
    const json_t *left = registry_find(&view, &diff_program, &table, argv[first], &status);
    const json_t *right =
        left != NULL ? registry_find(&view, &diff_program, &table, argv[first + 1], &status) : NULL;
    if (right != NULL) {
        char before[NUMBER_BYTES];
        char after[NUMBER_BYTES];
        print_pair("version", left, right);
        print_pair("commit", left, right);
        print_pair("created_at", left, right);
        write_number(macro_f1(json_object_get(left, "metrics")), before);
        write_number(macro_f1(json_object_get(right, "metrics")), after);
        (void)printf("f1_macro: %s → %s\n", before, after);
        print_labels(json_object_get(left, "metrics"), json_object_get(right, "metrics"));
    }
    registry_release(&table);
    return status;
}
