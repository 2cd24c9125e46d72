/*
 * nodag runs list and show: see runs_main.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/registry_command.h"
#include "topics/text_table.h"

/* Rows of both, without those of Kafka. */
#define LIST_ROWS                                                                                  \
    {.name = "model",                                                                              \
     .letter = 'm',                                                                                \
     .kind = OPTION_TEXT,                                                                          \
     .offset = offsetof(struct registry_settings, model),                                          \
     .value_name = "NAME",                                                                         \
     .group = "What",                                                                              \
     .help = "Only this model's."},                                                                \
    {                                                                                              \
        .name = "json", .kind = OPTION_FLAG, .offset = offsetof(struct registry_settings, json),   \
        .help = "Print JSON: the records by their keys."                                           \
    }

static const struct option_row list_rows[] = {
    LIST_ROWS,
    BUS_KAFKA_CONNECT_ROWS(struct registry_settings, kafka),
};

static const struct option_program list_program = {
    .name = "nodag runs list",
    .summary = "Prints the training runs, newest last.",
    .usage = "[OPTION…]",
    .description = "WHY are the reasons that made the model stale; TEXT is why the run is in its "
                   "state.",
    .examples = "nodag runs --model kubeflow-labels",
    .rows = list_rows,
    .row_count = ARRAY_COUNT(list_rows),
};

static const struct option_row show_rows[] = {
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct registry_settings, json),
     .group = "What",
     .help = "Print the record as it stands in the topic."},
    BUS_KAFKA_CONNECT_ROWS(struct registry_settings, kafka),
};

static const struct option_program show_program = {
    .name = "nodag runs show",
    .summary = "Prints one run.",
    .usage = "[OPTION…] RUN",
    .examples = "nodag runs show kubeflow-labels-0123456789ab-1",
    .rows = show_rows,
    .row_count = ARRAY_COUNT(show_rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* Joins the texts of a list. */
static char *join(const json_t *list)
{
    char *joined = mem_copy_text("");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        char *longer = mem_format("%s%s%s", joined, i > 0 ? " " : "", text != NULL ? text : "?");
        mem_free(joined);
        joined = longer;
    }
    return joined;
}

static int compare_created(const void *left, const void *right)
{
    return strcmp(json_text_or(*(json_t *const *)left, "created_at", ""),
                  json_text_or(*(json_t *const *)right, "created_at", ""));
}

/* Lists the records of a model (NULL: all) by creation; owned array. */
static json_t **sorted(const struct registry_table *table, const char *model, size_t *ret_count)
{
    const char *key = NULL;
    json_t *record = NULL;
    json_t **list = mem_alloc_array(json_object_size(table->records) + 1, sizeof(json_t *));
    *ret_count = 0;
    json_object_foreach(table->records, key, record)
    {
        if (model == NULL || strcmp(json_text_or(record, "model", ""), model) == 0)
            list[(*ret_count)++] = record;
    }
    qsort(list, *ret_count, sizeof(json_t *), compare_created);
    return list;
}

static void print_table(const struct registry_table *table, const char *model)
{
    static const char *const headings[] = {"RUN", "MODEL", "STATE", "AGE", "WHY", "COMMIT", "TEXT"};
    CLEANUP(text_table_free)
    struct text_table *text = text_table_new(headings, ARRAY_COUNT(headings));
    size_t count = 0;
    CLEANUP(mem_free) json_t **list = sorted(table, model, &count);
    for (size_t i = 0; i < count; i++) {
        char age[REGISTRY_AGE_BYTES];
        char commit[REGISTRY_SHORT_BYTES + 1];
        CLEANUP(mem_free) char *why = join(json_object_get(list[i], "stale"));
        registry_age(json_text_or(list[i], "created_at", NULL), table->now_ms, age);
        (void)snprintf(commit, sizeof(commit), "%s", json_text_or(list[i], "commit", ""));
        const char *const cells[] = {json_text_or(list[i], "run", "?"),
                                     json_text_or(list[i], "model", "?"),
                                     json_text_or(list[i], "state", "?"),
                                     age,
                                     why,
                                     commit,
                                     json_text_or(list[i], "reason", "")};
        text_table_add(text, cells);
    }
    text_table_print(text, stdout);
}

int runs_list(int argc, char **argv)
{
    struct registry_settings settings = {0};
    struct registry_table table;
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&list_program, argc, argv, &settings, &first, &status) ||
        !registry_read(&list_program, &settings.kafka, TOPIC_RUNS, &table, &status))
        return status;
    if (settings.json) {
        CLEANUP(mem_free) char *text = json_write(table.records, NULL);
        (void)puts(text);
    } else {
        print_table(&table, settings.model);
    }
    registry_release(&table);
    return EXIT_STATUS_OK;
}

/* ---- one run ---- */

static void print_artefacts(const json_t *artefacts)
{
    const char *name = NULL;
    json_t *item = NULL;
    json_object_foreach((json_t *)(uintptr_t)artefacts, name, item)
    {
        registry_print(name, json_text_or(item, "uri", "?"));
    }
}

static void print_run(const json_t *run)
{
    static const char *const names[] = {"run",      "model",      "state",      "reason",
                                        "executor", "host",       "repository", "commit",
                                        "notebook", "created_at", "started_at", "ended_at"};
    CLEANUP(mem_free) char *why = join(json_object_get(run, "stale"));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (json_text_or(run, names[i], "")[0] != '\0')
            registry_print(names[i], json_text_or(run, names[i], ""));
    registry_print("why", why);
    (void)printf("attempt: %lld\n", (long long)json_int_or(run, "attempt", 0));
    if (json_is_true(json_object_get(run, "collected")))
        (void)puts("collected: its artefacts are gone");
    (void)puts("artefacts");
    print_artefacts(json_object_get(run, "artefacts"));
}

int runs_show(int argc, char **argv)
{
    struct registry_settings settings = {0};
    struct registry_table table;
    struct error error = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&show_program, argc, argv, &settings, &first, &status) ||
        !registry_read(&show_program, &settings.kafka, TOPIC_RUNS, &table, &status))
        return status;
    const json_t *run = json_object_get(table.records, argv[first]);
    if (run == NULL) {
        (void)error_set(&error, ERR_NOT_FOUND, "no run %s is recorded; `nodag runs` lists them",
                        argv[first]);
        status = command_fail(&show_program, &error);
    } else if (settings.json) {
        CLEANUP(mem_free) char *text = json_write(run, NULL);
        (void)puts(text);
    } else {
        print_run(run);
    }
    registry_release(&table);
    return status;
}
