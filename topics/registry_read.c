/*
 * What `nodag models` and `nodag runs` share: see registry_command.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/registry_command.h"
#include "topics/topic_scan.h"

/* Longest line that is printed. */
#define LINE_MAX_BYTES ((size_t)64 << 10)

/* A reading under way. */
struct reading {
    struct loop *loop;                    /* borrowed */
    const struct option_program *program; /* whose errors */
    struct registry_table *table;         /* borrowed */
    int status;                           /* exit status */
};

static void on_record(void *argument, const struct bus_record *record)
{
    struct reading *reading = argument;
    json_t *value = NULL;
    if (record->key == NULL)
        return;
    CLEANUP(mem_free) char *key = mem_copy_bytes(record->key, record->key_bytes);
    (void)json_object_del(reading->table->records, key);
    if (record->value == NULL)
        return;
    if (json_read(record->value, record->value_bytes, &value, NULL) != 0 ||
        json_object_set_new(reading->table->records, key, value) != 0)
        reading->table->refused++;
}

static void on_caught_up(void *argument)
{
    struct reading *reading = argument;
    loop_stop(reading->loop);
}

static void on_failed(void *argument, const struct error *error)
{
    struct reading *reading = argument;
    reading->status = command_fail(reading->program, error);
    loop_stop(reading->loop);
}

bool registry_read(const struct option_program *program, const struct bus_kafka_settings *kafka,
                   enum topic topic, struct registry_table *ret_table, int *ret_status)
{
    static const struct scan_handler handler = {
        .record = on_record, .caught_up = on_caught_up, .failed = on_failed};
    const struct scan_start start = {.kind = SCAN_FROM_BEGINNING};
    struct error error = {0};
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    CLEANUP(topic_scan_free) struct topic_scan *scan = NULL;
    *ret_table = (struct registry_table){.records = json_object()};
    struct reading reading = {.loop = loop, .program = program, .table = ret_table};
    if (topic_scan_new(loop, kafka, topic, start, &handler, &reading, &scan, &error) != 0)
        reading.status = command_fail(program, &error);
    else
        loop_run(loop);
    ret_table->now_ms = loop_wall_ms(loop);
    *ret_status = reading.status;
    if (reading.status == EXIT_STATUS_OK)
        return true;
    registry_release(ret_table);
    return false;
}

void registry_release(struct registry_table *table)
{
    json_decref(table->records);
    *table = (struct registry_table){.records = NULL};
}

/* ---- list and show ---- */

static int compare_created(const void *left, const void *right)
{
    return strcmp(json_text_or(*(json_t *const *)left, "created_at", ""),
                  json_text_or(*(json_t *const *)right, "created_at", ""));
}

/* Lists the records that the settings want, by creation; owned array. */
static json_t **sort_records(const struct registry_view *view, const struct registry_table *table,
                             const struct registry_settings *settings, size_t *ret_count)
{
    const char *key = NULL;
    json_t *record = NULL;
    size_t count = 0;
    json_t **list = mem_alloc_array(json_object_size(table->records) + 1, sizeof(json_t *));
    json_object_foreach(table->records, key, record)
    {
        bool is_hidden = view->hides_collected && !settings->all &&
                         json_is_true(json_object_get(record, "collected"));
        if (!is_hidden && (settings->model == NULL ||
                           strcmp(json_text_or(record, "model", ""), settings->model) == 0))
            list[count++] = record;
    }
    qsort(list, count, sizeof(json_t *), compare_created);
    *ret_count = count;
    return list;
}

static void print_list(const struct registry_view *view, const struct registry_table *table,
                       const struct registry_settings *settings)
{
    size_t count = 0;
    CLEANUP(mem_free) json_t **list = sort_records(view, table, settings, &count);
    CLEANUP(text_table_free)
    struct text_table *text = text_table_new(view->headings, view->heading_count);
    for (size_t i = 0; i < count; i++)
        view->add(text, list[i], table->now_ms);
    text_table_print(text, stdout);
}

static void print_json(const json_t *value)
{
    CLEANUP(mem_free) char *text = json_write(value, NULL);
    (void)puts(text);
}

int registry_list(const struct registry_view *view, int argc, char **argv)
{
    struct registry_settings settings = {0};
    struct registry_table table;
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(view->list, argc, argv, &settings, &first, &status) ||
        !registry_read(view->list, &settings.kafka, view->topic, &table, &status))
        return status;
    if (settings.json)
        print_json(table.records);
    else
        print_list(view, &table, &settings);
    registry_release(&table);
    return EXIT_STATUS_OK;
}

const json_t *registry_find(const struct registry_view *view, const struct option_program *program,
                            const struct registry_table *table, const char *name, int *ret_status)
{
    const char *key = NULL;
    json_t *record = NULL;
    struct error error = {0};
    json_object_foreach(table->records, key, record)
    {
        if (strcmp(key, name) == 0 ||
            strcmp(json_text_or(record, view->name_member, ""), name) == 0)
            return record;
    }
    (void)error_set(&error, ERR_NOT_FOUND, "no %s %s is recorded; `%s` lists them",
                    view->name_member, name, view->lister);
    *ret_status = command_fail(program, &error);
    return NULL;
}

int registry_show(const struct registry_view *view, int argc, char **argv)
{
    struct registry_settings settings = {0};
    struct registry_table table;
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(view->show, argc, argv, &settings, &first, &status) ||
        !registry_read(view->show, &settings.kafka, view->topic, &table, &status))
        return status;
    const json_t *record = registry_find(view, view->show, &table, argv[first], &status);
    if (record != NULL && settings.json)
        print_json(record);
    else if (record != NULL)
        view->print(record);
    registry_release(&table);
    return status;
}

/* ---- parts of records ---- */

void registry_age(const char *time_text, int64_t now_ms, char ret_text[REGISTRY_AGE_BYTES])
{
    int64_t then_ms = 0;
    ret_text[0] = '\0';
    if (time_text == NULL || time_from_text(time_text, strlen(time_text), &then_ms) != 0)
        return;
    int64_t age_s = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
    if (age_s < 120)
        (void)snprintf(ret_text, REGISTRY_AGE_BYTES, "%" PRId64 "s", age_s);
    else if (age_s < 7200)
        (void)snprintf(ret_text, REGISTRY_AGE_BYTES, "%" PRId64 "min", age_s / 60);
    else if (age_s < 172800)
        (void)snprintf(ret_text, REGISTRY_AGE_BYTES, "%" PRId64 "h", age_s / 3600);
    else
        (void)snprintf(ret_text, REGISTRY_AGE_BYTES, "%" PRId64 "d", age_s / 86400);
}

bool registry_number(const json_t *metric, double *ret_number)
{
    const json_t *number = json_is_object(metric) ? json_object_get(metric, "value") : metric;
    if (!json_is_number(number))
        return false;
    *ret_number = json_number_value(number);
    return true;
}

const json_t *registry_label(const json_t *metrics, const char *label)
{
    const json_t *labels = json_object_get(metrics, "labels");
    if (json_is_object(labels))
        return json_object_get(labels, label);
    for (size_t i = 0; i < json_array_size(labels); i++)
        if (strcmp(json_text_or(json_array_get(labels, i), "name", ""), label) == 0)
            return json_array_get(labels, i);
    return NULL;
}

void registry_print(const char *name, const char *text)
{
    CLEANUP(buffer_release) struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    (void)!text_escape(&line, text, strlen(text));
    (void)printf("%s: %s\n", name, line.data != NULL ? line.data : "");
}

void registry_print_erased(const json_t *erased)
{
    size_t index = 0;
    const json_t *entry = NULL;
    json_array_foreach(erased, index, entry)
    {
        int64_t rows = json_int_or(entry, "rows", 0);
        CLEANUP(mem_free)
        char *name = mem_format("erased %s", json_text_or(entry, "artefact", "?"));
        CLEANUP(mem_free)
        char *text =
            rows > 0
                ? mem_format("%" PRId64 " rows at a person's request, %s; it was %s", rows,
                             json_text_or(entry, "at", "?"), json_text_or(entry, "sha256", "?"))
                : mem_format("at a person's request, %s", json_text_or(entry, "at", "?"));
        registry_print(name, text);
    }
}
