/*
 * nodag topics check: compares the topics of a cluster with the table.
 *
 * Design: one row for each difference with what may be done about it. --fix sets configurations,
 * which never moves a record, and nothing else: partitions are refused because keys would lose
 * their order, replicas are Kafka's own tools' matter. The exit status says whether differences are
 * left.
 */
#include <jansson.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "topics/text_table.h"
#include "topics/topic_plan.h"
#include "topics/topics_admin.h"
#include "topics/topics_command.h"

static const struct option_row rows[] = {
    BUS_KAFKA_CONNECT_ROWS(struct topics_settings, kafka),
    TOPICS_PLAN_ROWS,
    {.name = "fix",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct topics_settings, fix),
     .help = "Set the configurations that differ; never partitions."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct topics_settings, json),
     .help = "Print a JSON array with an object for each difference."},
};

static const struct option_program program = {
    .name = "nodag topics check",
    .summary = "Compares the topics of a cluster with what they should be.",
    .usage = "[OPTION…]",
    .description = "Prints a row for each difference. The exit status is 0 if there is none, 3 if "
                   "some are left, 1 if the cluster could not be asked.",
    .examples = "nodag topics check --brokers kafka:9092\n"
                "nodag topics check --fix",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
};

/* All differences of a cluster. */
struct drifts {
    struct topic_drift items[TOPIC_COUNT * TOPIC_DRIFTS_MAX];
    bool fixed[TOPIC_COUNT]; /* the FIXABLE ones of this topic were set */
    size_t count;
};

static void collect(const struct admin_view *view, const struct topics_settings *settings,
                    struct drifts *drifts)
{
    int replication = settings->replication > 0 ? (int)settings->replication
                                                : topic_plan_replication(view->brokers);
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        struct topic_plan plan;
        const struct topic_found found = admin_found(view, (enum topic)t);
        topic_plan_make((enum topic)t, replication, settings->retention_ms, &plan);
        drifts->count += topic_plan_compare(&plan, &found, &drifts->items[drifts->count]);
    }
}

/* Sets what can be set, topic by topic. */
static int fix(struct admin *admin, const struct admin_view *view, struct drifts *drifts,
               struct error *error)
{
    for (size_t first = 0, end = 0; first < drifts->count; first = end) {
        enum topic topic = drifts->items[first].topic;
        bool fixable = false;
        for (end = first; end < drifts->count && drifts->items[end].topic == topic; end++)
            fixable = fixable || drifts->items[end].kind == TOPIC_DRIFT_FIXABLE;
        if (!fixable)
            continue;
        int code =
            admin_alter(admin, &view->topics[topic], &drifts->items[first], end - first, error);
        if (code != 0)
            return code;
        drifts->fixed[topic] = true;
    }
    return 0;
}

static bool is_fixed(const struct drifts *drifts, const struct topic_drift *drift)
{
    return drift->kind == TOPIC_DRIFT_FIXABLE && drifts->fixed[drift->topic];
}

static void print_table(const struct drifts *drifts)
{
    static const char *const headings[] = {"TOPIC", "WHAT", "FOUND", "WANTED", "WHAT TO DO"};
    if (drifts->count == 0) {
        (void)printf("All %d topics are as they should be.\n", TOPIC_COUNT);
        return;
    }
    CLEANUP(text_table_free)
    struct text_table *table = text_table_new(headings, ARRAY_COUNT(headings));
    for (size_t i = 0; i < drifts->count; i++) {
        const struct topic_drift *drift = &drifts->items[i];
        const char *cells[] = {topic_name(drift->topic), drift->what, drift->found, drift->wanted,
                               is_fixed(drifts, drift) ? "was set now"
                                                       : topic_drift_advice(drift->kind)};
        text_table_add(table, cells);
    }
    text_table_print(table, stdout);
}

static void print_json(const struct drifts *drifts)
{
    static const char *const kinds[] = {
        [TOPIC_DRIFT_MISSING] = "missing",
        [TOPIC_DRIFT_FIXABLE] = "fixable",
        [TOPIC_DRIFT_REFUSED] = "refused",
        [TOPIC_DRIFT_MANUAL] = "manual",
    };
    CLEANUP(json_release) json_t *list = json_array();
    for (size_t i = 0; i < drifts->count; i++) {
        const struct topic_drift *drift = &drifts->items[i];
        json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "topic", topic_name(drift->topic),
                                "what", drift->what, "found", drift->found, "wanted", drift->wanted,
                                "kind", kinds[drift->kind], "fixed", is_fixed(drifts, drift));
        (void)json_array_append_new(list, row);
    }
    CLEANUP(mem_free) char *text = json_write(list, NULL);
    (void)puts(text);
}

int topics_check(int argc, char **argv)
{
    struct topics_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct error error = {0};
    CLEANUP(admin_free) struct admin *admin = NULL;
    CLEANUP(admin_view_free) struct admin_view *view = NULL;
    CLEANUP(mem_free) struct drifts *drifts = MEM_NEW(struct drifts);
    int code = admin_new(&settings.kafka, &admin, &error);
    if (code == 0)
        code = admin_look(admin, true, &view, &error);
    if (code == 0)
        collect(view, &settings, drifts);
    if (code == 0 && settings.fix)
        code = fix(admin, view, drifts, &error);
    if (code != 0)
        return command_fail(&program, &error);
    if (settings.json)
        print_json(drifts);
    else
        print_table(drifts);
    for (size_t i = 0; i < drifts->count; i++) {
        if (!is_fixed(drifts, &drifts->items[i]))
            return EXIT_STATUS_DRIFT;
    }
    return EXIT_STATUS_OK;
}
