/*
 * nodag topics list: the topics with their settings and about how many records they hold.
 *
 * Design: records are counted as offsets between beginning and end, which is cheap to ask;
 * compaction and transactions leave gaps, so it is an upper bound, and printed as one where the
 * topic is compacted.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "topics/text_table.h"
#include "topics/topics_admin.h"
#include "topics/topics_command.h"

static const struct option_row rows[] = {
    BUS_KAFKA_CONNECT_ROWS(struct topics_settings, kafka),
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct topics_settings, json),
     .group = "Output",
     .help = "Print a JSON array with an object for each topic."},
};

static const struct option_program program = {
    .name = "nodag topics list",
    .summary = "Prints the topics with their settings and about how many records they hold.",
    .usage = "[OPTION…]",
    .description = "RECORDS counts offsets between beginning and end: in a compacted topic fewer "
                   "records may be left.",
    .examples = "nodag topics list --brokers kafka:9092",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
};

/* Writes milliseconds as days, hours or what is left. */
static void write_duration(int64_t duration_ms, char text[32])
{
    enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };
    if (duration_ms < 0)
        (void)snprintf(text, 32, "for ever");
    else if (duration_ms % DAY_MS == 0)
        (void)snprintf(text, 32, "%" PRId64 "d", duration_ms / DAY_MS);
    else if (duration_ms % HOUR_MS == 0)
        (void)snprintf(text, 32, "%" PRId64 "h", duration_ms / HOUR_MS);
    else
        (void)snprintf(text, 32, "%" PRId64 "ms", duration_ms);
}

static void add_row(struct text_table *table, enum topic topic, const struct admin_topic *found,
                    int64_t records)
{
    char partitions[16] = "";
    char replicas[16] = "";
    char retention[32] = "";
    char count[32] = "";
    if (!found->exists) {
        const char *cells[] = {topic_name(topic), "missing", NULL, NULL, NULL, NULL};
        text_table_add(table, cells);
        return;
    }
    const char *policy = admin_config_value(found, "cleanup.policy");
    const char *kept = admin_config_value(found, "retention.ms");
    bool deletes = policy != NULL && strstr(policy, "delete") != NULL;
    (void)snprintf(partitions, sizeof(partitions), "%d", found->partitions);
    (void)snprintf(replicas, sizeof(replicas), "%d", found->replication);
    (void)snprintf(count, sizeof(count), "%s%" PRId64, deletes || records == 0 ? "" : "≤ ",
                   records);
    write_duration(deletes && kept != NULL ? strtoll(kept, NULL, 10) : -1, retention);
    const char *cells[] = {topic_name(topic), partitions, replicas, policy, retention, count};
    text_table_add(table, cells);
}

static json_t *make_object(enum topic topic, const struct admin_topic *found, int64_t records)
{
    json_t *object = json_pack("{s:s, s:b}", "topic", topic_name(topic), "exists", found->exists);
    if (!found->exists)
        return object;
    json_t *configs = json_object();
    for (size_t i = 0; i < found->config_count; i++) {
        if (found->configs[i].set_on_topic && found->configs[i].value != NULL)
            (void)json_object_set_new(configs, found->configs[i].name,
                                      json_string(found->configs[i].value));
    }
    (void)json_object_set_new(object, "partitions", json_integer(found->partitions));
    (void)json_object_set_new(object, "replicas", json_integer(found->replication));
    (void)json_object_set_new(object, "records_at_most", json_integer(records));
    (void)json_object_set_new(object, "configs", configs);
    return object;
}

static void print_json(const struct admin_view *view, const int64_t *records)
{
    CLEANUP(json_release) json_t *list = json_array();
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        (void)json_array_append_new(list, make_object((enum topic)t, &view->topics[t], records[t]));
    CLEANUP(mem_free) char *text = json_write(list, NULL);
    (void)puts(text);
}

static void print_table(const struct admin_view *view, const int64_t *records)
{
    static const char *const headings[] = {"TOPIC",   "PARTITIONS", "REPLICAS",
                                           "CLEANUP", "KEPT",       "RECORDS"};
    CLEANUP(text_table_free)
    struct text_table *table = text_table_new(headings, ARRAY_COUNT(headings));
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        add_row(table, (enum topic)t, &view->topics[t], records[t]);
    text_table_print(table, stdout);
}

int topics_list(int argc, char **argv)
{
    struct topics_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct error error = {0};
    int64_t records[TOPIC_COUNT] = {0};
    CLEANUP(admin_free) struct admin *admin = NULL;
    CLEANUP(admin_view_free) struct admin_view *view = NULL;
    int code = admin_new(&settings.kafka, &admin, &error);
    if (code == 0)
        code = admin_look(admin, true, &view, &error);
    for (size_t t = 0; t < TOPIC_COUNT && code == 0; t++) {
        if (view->topics[t].exists)
            code = admin_count_records(admin, (enum topic)t, view->topics[t].partitions,
                                       &records[t], &error);
    }
    if (code != 0)
        return command_fail(&program, &error);
    if (settings.json)
        print_json(view, records);
    else
        print_table(view, records);
    return EXIT_STATUS_OK;
}
