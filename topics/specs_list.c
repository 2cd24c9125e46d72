/*
 * nodag specs list and show: the documents as they are published on the topic `specs`.
 *
 * Design: folds the topic from its beginning to its end into the same store that reactors use, so
 * that people see what reactors see.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/spec_store.h"
#include "topics/specs_command.h"
#include "topics/text_table.h"
#include "topics/topic_scan.h"
#include "topics/topics_command.h"

/* Length of a commit as people write it. */
#define LIST_COMMIT_BYTES 10

/* What the command line says. */
struct list_settings {
    struct bus_kafka_settings kafka; /* --brokers … */
    const char *kind;                /* --kind */
    bool invalid;                    /* --invalid */
    bool json;                       /* --json */
};

static const struct option_row list_rows[] = {
    {.name = "kind",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct list_settings, kind),
     .choices = "Model|Deployment|Labeler|File",
     .group = "What",
     .help = "Only this kind; File: files in which something has no readable kind and name."},
    {.name = "invalid",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct list_settings, invalid),
     .help = "Only where something is not valid."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct list_settings, json),
     .help = "Print a JSON object: the records by their keys."},
    BUS_KAFKA_CONNECT_ROWS(struct list_settings, kafka),
};

static const struct option_program list_program = {
    .name = "nodag specs list",
    .summary = "Prints the documents that are published: desired state.",
    .usage = "[OPTION…]",
    .description =
        "VALID yes: the newest version is in force. no: there never was a valid one. "
        "older: the newest version is not valid, and the last valid one is in force; the "
        "reason says what is wrong with the newer.",
    .examples = "nodag specs\n"
                "nodag specs list --invalid",
    .rows = list_rows,
    .row_count = ARRAY_COUNT(list_rows),
};

static const struct option_row show_rows[] = {
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct list_settings, json),
     .group = "What",
     .help = "Print the record as it stands in the topic."},
    BUS_KAFKA_CONNECT_ROWS(struct list_settings, kafka),
};

static const struct option_program show_program = {
    .name = "nodag specs show",
    .summary = "Prints one document: what is in force, and what is wrong with a newer version.",
    .usage = "[OPTION…] KIND/NAME",
    .examples = "nodag specs show Labeler/label-bot",
    .rows = show_rows,
    .row_count = ARRAY_COUNT(show_rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* --- reading --- */

/* The fold. */
struct fold {
    struct loop *loop;                    /* borrowed */
    const struct option_program *program; /* whose errors */
    struct spec_store *store;             /* owned by the caller */
    int status;                           /* exit status */
};

static void fold_record(void *argument, const struct bus_record *record)
{
    struct fold *fold = argument;
    char key[SUBJECT_KEY_BYTES];
    (void)spec_store_apply(fold->store, record, key);
}

static void fold_caught_up(void *argument)
{
    struct fold *fold = argument;
    loop_stop(fold->loop);
}

static void fold_failed(void *argument, const struct error *error)
{
    struct fold *fold = argument;
    fold->status = command_fail(fold->program, error);
    loop_stop(fold->loop);
}

/* Reads the whole topic into the fold's store. Returns false after having said why. */
static bool fold_read(struct fold *fold, const struct bus_kafka_settings *settings)
{
    static const struct scan_handler handler = {
        .record = fold_record, .caught_up = fold_caught_up, .failed = fold_failed};
    const struct scan_start start = {.kind = SCAN_FROM_BEGINNING};
    CLEANUP(topic_scan_free) struct topic_scan *scan = NULL;
    struct error error = {0};
    if (topic_scan_new(fold->loop, settings, TOPIC_SPECS, start, &handler, fold, &scan, &error) !=
        0) {
        fold->status = command_fail(fold->program, &error);
        return false;
    }
    loop_run(fold->loop);
    return fold->status == EXIT_STATUS_OK;
}

/* --- printing --- */

static bool is_wanted(const struct spec_entry *entry, const struct list_settings *settings)
{
    if (settings->invalid && entry->record->reason == NULL)
        return false;
    size_t kind_bytes = strcspn(entry->key, "/");
    return settings->kind == NULL || (strlen(settings->kind) == kind_bytes &&
                                      strncmp(settings->kind, entry->key, kind_bytes) == 0);
}

static const char *validity(const struct spec_record *record)
{
    if (record->reason == NULL)
        return "yes";
    return record->valid != NULL ? "older" : "no";
}

/* Writes how long ago a time was. */
static void write_age(int64_t then_ms, int64_t now_ms, char text[32])
{
    int64_t age_s = (now_ms - then_ms) / 1000;
    text[0] = '\0';
    if (then_ms < 0)
        return;
    if (age_s < 0)
        age_s = 0;
    if (age_s < 120)
        (void)snprintf(text, 32, "%" PRId64 "s", age_s);
    else if (age_s < 7200)
        (void)snprintf(text, 32, "%" PRId64 "min", age_s / 60);
    else if (age_s < 172800)
        (void)snprintf(text, 32, "%" PRId64 "h", age_s / 3600);
    else
        (void)snprintf(text, 32, "%" PRId64 "d", age_s / 86400);
}

static void add_row(struct text_table *table, const struct spec_entry *entry, int64_t now_ms)
{
    const struct spec_record *record = entry->record;
    const struct spec_place *place =
        record->reason != NULL ? &record->invalid_place : &record->valid_place;
    char age[32];
    char commit[LIST_COMMIT_BYTES + 1];
    size_t kind_bytes = strcspn(entry->key, "/");
    const char *name = entry->key + kind_bytes + (entry->key[kind_bytes] == '/' ? 1 : 0);
    CLEANUP(mem_free) char *kind = mem_copy_bytes(entry->key, kind_bytes);
    CLEANUP(mem_free)
    char *source = mem_format("%s %s:%d", place->repository, place->path, place->line);
    CLEANUP(mem_free)
    char *reason = mem_copy_text(record->reason != NULL ? record->reason : "");
    reason[strcspn(reason, "\n")] = '\0'; /* `show` prints all of it */
    (void)snprintf(commit, sizeof(commit), "%s", place->commit != NULL ? place->commit : "");
    write_age(record->first_published_ms, now_ms, age);
    const char *cells[] = {kind, name, validity(record), source, commit, age, reason};
    text_table_add(table, cells);
}

static void print_table(const struct spec_entry *entries, size_t count,
                        const struct list_settings *settings, int64_t now_ms)
{
    static const char *const headings[] = {"KIND",   "NAME", "VALID", "SOURCE",
                                           "COMMIT", "AGE",  "REASON"};
    CLEANUP(text_table_free)
    struct text_table *table = text_table_new(headings, ARRAY_COUNT(headings));
    size_t printed = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(&entries[i], settings))
            continue;
        add_row(table, &entries[i], now_ms);
        printed++;
    }
    if (printed > 0)
        text_table_print(table, stdout);
    else
        (void)puts(settings->invalid ? "Nothing is invalid." : "No documents are published.");
}

/* The record as an object; new reference. */
static json_t *record_object(const struct spec_record *record)
{
    size_t bytes = 0;
    json_t *object = NULL;
    CLEANUP(mem_free) char *text = spec_record_encode(record, &bytes);
    return json_read(text, bytes, &object, NULL) == 0 ? object : json_null();
}

static void print_json(const struct spec_entry *entries, size_t count,
                       const struct list_settings *settings)
{
    CLEANUP(json_release) json_t *all = json_object();
    for (size_t i = 0; i < count; i++)
        if (is_wanted(&entries[i], settings))
            (void)json_object_set_new(all, entries[i].key, record_object(entries[i].record));
    CLEANUP(mem_free) char *text = json_write(all, NULL);
    (void)puts(text);
}

int specs_list(int argc, char **argv)
{
    struct list_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&list_program, argc, argv, &settings, &first, &status))
        return status;
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    CLEANUP(spec_store_free) struct spec_store *store = spec_store_new();
    struct fold fold = {.loop = loop, .program = &list_program, .store = store};
    if (!fold_read(&fold, &settings.kafka))
        return fold.status;
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    if (settings.json)
        print_json(entries, spec_store_count(store), &settings);
    else
        print_table(entries, spec_store_count(store), &settings, loop_wall_ms(loop));
    return EXIT_STATUS_OK;
}

/* --- one document --- */

static void print_escaped(const char *text)
{
    CLEANUP(buffer_release) struct buffer line = BUFFER_INIT(SPEC_REASON_MAX_BYTES * 4);
    (void)!text_escape(&line, text, strlen(text));
    (void)fputs(line.data != NULL ? line.data : "", stdout);
}

static void print_place(const char *what, const struct spec_place *place)
{
    (void)printf("%s: ", what);
    print_escaped(place->repository);
    (void)putchar(' ');
    print_escaped(place->path);
    (void)printf(":%d", place->line);
    if (place->commit != NULL) {
        (void)fputs(" at ", stdout);
        print_escaped(place->commit);
    }
    (void)putchar('\n');
}

static void print_record(const struct spec_record *record)
{
    char time_text[TIME_TEXT_BYTES];
    if (record->reason != NULL) {
        print_place("not valid", &record->invalid_place);
        for (const char *at = record->reason; *at != '\0';) {
            size_t bytes = strcspn(at, "\n");
            CLEANUP(mem_free) char *line = mem_copy_bytes(at, bytes);
            (void)fputs("  ", stdout);
            print_escaped(line);
            (void)putchar('\n');
            at += bytes + (at[bytes] == '\n' ? 1 : 0);
        }
    }
    if (record->valid == NULL) {
        (void)puts("in force: nothing");
        return;
    }
    print_place("in force", &record->valid_place);
    time_to_text(record->first_published_ms, time_text);
    (void)printf("first published: %s\n", time_text);
    CLEANUP(mem_free) char *text = json_dumps(record->valid, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    (void)puts(text);
}

int specs_show(int argc, char **argv)
{
    struct list_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&show_program, argc, argv, &settings, &first, &status))
        return status;
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    CLEANUP(spec_store_free) struct spec_store *store = spec_store_new();
    struct fold fold = {.loop = loop, .program = &show_program, .store = store};
    if (!fold_read(&fold, &settings.kafka))
        return fold.status;
    const struct spec_record *record = spec_store_find(store, argv[first]);
    struct error error = {0};
    if (record == NULL) {
        (void)error_set(&error, ERR_NOT_FOUND,
                        "no document %s is published; `nodag specs` lists those that are",
                        argv[first]);
        return command_fail(&show_program, &error);
    }
    if (settings.json) {
        CLEANUP(mem_free) char *text = spec_record_encode(record, NULL);
        (void)puts(text);
        return EXIT_STATUS_OK;
    }
    print_record(record);
    return EXIT_STATUS_OK;
}
