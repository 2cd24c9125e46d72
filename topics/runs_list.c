/*
 * nodag runs list and show: see runs_main.c.
 */
#include <stdio.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/registry_command.h"

static const struct option_row list_rows[] = {
    REGISTRY_MODEL_ROW,
    REGISTRY_LIST_ROWS,
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
    REGISTRY_SHOW_ROWS,
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

static void add_run(struct text_table *text, const json_t *run, int64_t now_ms)
{
    char age[REGISTRY_AGE_BYTES];
    char commit[REGISTRY_SHORT_BYTES + 1];
    CLEANUP(mem_free) char *why = join(json_object_get(run, "stale"));
    registry_age(json_text_or(run, "created_at", NULL), now_ms, age);
    (void)snprintf(commit, sizeof(commit), "%s", json_text_or(run, "commit", ""));
    const char *const cells[] = {json_text_or(run, "run", "?"),
                                 json_text_or(run, "model", "?"),
                                 json_text_or(run, "state", "?"),
                                 age,
                                 why,
                                 commit,
                                 json_text_or(run, "reason", "")};
    text_table_add(text, cells);
}

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
    registry_print_erased(json_object_get(run, "erased"));
}

static const char *const headings[] = {"RUN", "MODEL", "STATE", "AGE", "WHY", "COMMIT", "TEXT"};

static const struct registry_view view = {
    .topic = TOPIC_RUNS,
    .name_member = "run",
    .lister = "nodag runs",
    .list = &list_program,
    .show = &show_program,
    .headings = headings,
    .heading_count = ARRAY_COUNT(headings),
    .add = add_run,
    .print = print_run,
};

int runs_list(int argc, char **argv)
{
    return registry_list(&view, argc, argv);
}

int runs_show(int argc, char **argv)
{
    return registry_show(&view, argc, argv);
}
