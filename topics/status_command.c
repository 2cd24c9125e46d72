/*
 * nodag-status: what is pending. Runs as `nodag status`.
 *
 * Design: folds the topic `pending` from its beginning to its end: the newest record of each key
 * counts, a tombstone removes it. A record that is no JSON is shown as damaged, not left out:
 * somebody must see it.
 *
 * Invariant: memory is bounded by what is pending, which the reactors bound, and by KEYS_MAX.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/text_table.h"
#include "topics/topic_scan.h"
#include "topics/topics_command.h"

/* Most keys that are held: a hundred times what a busy installation should ever have waiting. */
#define KEYS_MAX 1000000

/* What the command line says. */
struct status_settings {
    struct bus_kafka_settings kafka;
    const char *reactor;
    const char *outcome;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "reactor",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct status_settings, reactor),
     .value_name = "NAME",
     .group = "What",
     .help = "Only this reactor, for example labeler."},
    {.name = "outcome",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct status_settings, outcome),
     .choices = "RETRY|AFTER|STALLED",
     .help = "Only this outcome. STALLED is what waits for a person."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct status_settings, json),
     .help = "Print a JSON array with an object for each key."},
    BUS_KAFKA_CONNECT_ROWS(struct status_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag status",
    .summary = "Prints what is pending: what waits, why, and until when.",
    .usage = "[OPTION…]",
    .description =
        "RETRY: it failed and is tried again, with growing pauses. AFTER: it asked to be looked at "
        "again later. STALLED: a person must change something; the reason says what.",
    .examples = "nodag status --outcome STALLED\n"
                "nodag status --reactor labeler --json | jq -r '.[].reason' | sort | uniq -c",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
};

/* The fold. */
struct fold {
    struct loop *loop;
    json_t *pending; /* owned: key → object */
    int status;
};

/* One key, for sorting and printing; everything borrowed from the fold. */
struct item {
    const char *reactor; /* up to the '|' */
    size_t reactor_bytes;
    const char *key; /* behind it */
    json_t *value;
};

static void fold_record(void *argument, const struct bus_record *record)
{
    struct fold *fold = argument;
    if (record->key == NULL)
        return;
    CLEANUP(mem_free) char *key = mem_copy_bytes(record->key, record->key_bytes);
    if (record->value == NULL) {
        (void)json_object_del(fold->pending, key);
        return;
    }
    json_t *value = NULL;
    if (json_read(record->value, record->value_bytes, &value, NULL) != 0 ||
        !json_is_object(value)) {
        json_decref(value);
        value = json_pack("{s:s, s:s}", "outcome", "DAMAGED", "reason",
                          "the record is no JSON object; see `nodag tail pending`");
    }
    if (json_object_size(fold->pending) < KEYS_MAX)
        (void)json_object_set_new(fold->pending, key, value);
    else
        json_decref(value);
}

static void fold_caught_up(void *argument)
{
    struct fold *fold = argument;
    loop_stop(fold->loop);
}

static void fold_failed(void *argument, const struct error *error)
{
    struct fold *fold = argument;
    fold->status = command_fail(&program, error);
    loop_stop(fold->loop);
}

/* ---- printing ---- */

/* What needs a person comes first. */
static int outcome_rank(const char *outcome)
{
    static const char *const order[] = {"DAMAGED", "STALLED", "RETRY", "AFTER"};
    size_t rank = 0;
    while (rank < ARRAY_COUNT(order) && strcmp(order[rank], outcome) != 0)
        rank++;
    return (int)rank;
}

static int compare_items(const void *left_item, const void *right_item)
{
    const struct item *left = left_item;
    const struct item *right = right_item;
    int order = outcome_rank(json_text_or(left->value, "outcome", "")) -
                outcome_rank(json_text_or(right->value, "outcome", ""));
    return order != 0 ? order : strcmp(left->reactor, right->reactor);
}

static bool is_wanted(const struct item *item, const struct status_settings *settings)
{
    if (settings->reactor != NULL &&
        (strlen(settings->reactor) != item->reactor_bytes ||
         memcmp(settings->reactor, item->reactor, item->reactor_bytes) != 0))
        return false;
    return settings->outcome == NULL ||
           strcmp(settings->outcome, json_text_or(item->value, "outcome", "")) == 0;
}

/* Lists what is wanted, in the order of printing; owned array. */
static struct item *list_items(json_t *pending, const struct status_settings *settings,
                               size_t *ret_count)
{
    struct item *items = mem_alloc_array(json_object_size(pending) + 1, sizeof(*items));
    size_t count = 0;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(pending, key, value)
    {
        struct item item = {.reactor = key, .reactor_bytes = strcspn(key, "|"), .value = value};
        item.key = key + item.reactor_bytes + (key[item.reactor_bytes] == '|' ? 1 : 0);
        if (is_wanted(&item, settings))
            items[count++] = item;
    }
    qsort(items, count, sizeof(*items), compare_items);
    *ret_count = count;
    return items;
}

/* Writes how long it is until a time, "now" where it has passed, or nothing where there is none. */
static void write_wait(const json_t *value, int64_t now_ms, char text[32])
{
    const char *not_before = json_text_or(value, "not_before", "");
    int64_t due_ms = 0;
    text[0] = '\0';
    if (strcmp(json_text_or(value, "outcome", ""), "STALLED") == 0 ||
        time_from_text(not_before, strlen(not_before), &due_ms) != 0)
        return;
    int64_t wait_s = (due_ms - now_ms + 999) / 1000;
    if (wait_s <= 0)
        (void)snprintf(text, 32, "now");
    else if (wait_s < 120)
        (void)snprintf(text, 32, "in %" PRId64 "s", wait_s);
    else if (wait_s < 7200)
        (void)snprintf(text, 32, "in %" PRId64 "min", wait_s / 60);
    else
        (void)snprintf(text, 32, "in %" PRId64 "h", wait_s / 3600);
}

static void print_table(const struct item *items, size_t count, int64_t now_ms)
{
    static const char *const headings[] = {"OUTCOME",  "REACTOR",  "KEY",   "NAME",
                                           "ATTEMPTS", "NEXT TRY", "REASON"};
    if (count == 0) {
        (void)puts("Nothing is pending.");
        return;
    }
    CLEANUP(text_table_free)
    struct text_table *table = text_table_new(headings, ARRAY_COUNT(headings));
    for (size_t i = 0; i < count; i++) {
        char attempts[24];
        char wait[32];
        CLEANUP(mem_free)
        char *reactor = mem_copy_bytes(items[i].reactor, items[i].reactor_bytes);
        (void)snprintf(attempts, sizeof(attempts), "%" PRId64,
                       json_int_or(items[i].value, "attempts", 0));
        write_wait(items[i].value, now_ms, wait);
        const char *cells[] = {json_text_or(items[i].value, "outcome", "?"), reactor,  items[i].key,
                               json_text_or(items[i].value, "note", ""),     attempts, wait,
                               json_text_or(items[i].value, "reason", "")};
        text_table_add(table, cells);
    }
    text_table_print(table, stdout);
}

static void print_json(const struct item *items, size_t count)
{
    CLEANUP(json_release) json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_copy(items[i].value);
        (void)json_object_set_new(object, "reactor",
                                  json_stringn(items[i].reactor, items[i].reactor_bytes));
        (void)json_object_set_new(object, "key", json_string(items[i].key));
        (void)json_array_append_new(list, object);
    }
    CLEANUP(mem_free) char *text = json_write(list, NULL);
    (void)puts(text);
}

static void print(const struct fold *fold, const struct status_settings *settings)
{
    size_t count = 0;
    CLEANUP(mem_free) struct item *items = list_items(fold->pending, settings, &count);
    if (settings->json)
        print_json(items, count);
    else
        print_table(items, count, loop_wall_ms(fold->loop));
}

int main(int argc, char **argv)
{
    static const struct scan_handler handler = {
        .record = fold_record, .caught_up = fold_caught_up, .failed = fold_failed};
    const struct scan_start start = {.kind = SCAN_FROM_BEGINNING};
    struct status_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    CLEANUP(json_release) json_t *pending = json_object();
    CLEANUP(topic_scan_free) struct topic_scan *scan = NULL;
    struct fold fold = {.loop = loop, .pending = pending};
    struct error error = {0};
    if (topic_scan_new(loop, &settings.kafka, TOPIC_PENDING, start, &handler, &fold, &scan,
                       &error) != 0)
        return command_fail(&program, &error);
    loop_run(loop);
    if (fold.status == EXIT_STATUS_OK)
        print(&fold, &settings);
    return fold.status;
}
