/*
 * nodag dataset: what a Model would be trained on.
 *
 * Design: the topic is read twice: the first time for the newest name of each repository and for the
 * offsets where it ends, the second time for the issues that the Model wants (dataset_rows.h). So only
 * those are in memory. The offsets that were used are printed, and given again they give the same
 * data set, as long as the topic has not compacted away what stood there; what a training run used is
 * kept with its model.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/loop.h"
#include "base/memory.h"
#include "reactors/historian/dataset_rows.h"
#include "topics/spec_table.h"
#include "topics/topic_scan.h"
#include "topics/topics_command.h"

/* Largest file of offsets. */
#define OFFSETS_MAX_BYTES ((size_t)64 << 10)

/* What the command line says. */
struct dataset_settings {
    struct bus_kafka_settings kafka;  /* --brokers … */
    struct spec_table_settings specs; /* --specs */
    const char *offsets;              /* --offsets */
    const char *offsets_out;          /* --offsets-out */
    const char *format;               /* --format */
    bool count_unknown;               /* --count-unknown */
};

/* The command under way. */
struct dataset_command {
    const struct dataset_settings *settings; /* borrowed */
    struct loop *loop;                       /* owned */
    struct spec_store *specs;                /* owned; documents of the topic */
    struct spec_table *folder;               /* owned; documents of --specs */
    struct dataset_rows *rows;               /* owned */
    int64_t ends[TOPIC_PARTITIONS_MAX];      /* read below these offsets; -1: to the end */
    int64_t seen[TOPIC_PARTITIONS_MAX];      /* after the newest offset that was read */
    bool is_second;                          /* pass */
    size_t unreadable;                       /* records */
    int status;                              /* exit status */
};

static const struct option_row rows[] = {
    {.name = "offsets",
     .kind = OPTION_FILE,
     .offset = offsetof(struct dataset_settings, offsets),
     .group = "What",
     .help =
         "Read only below these offsets: a file that --offsets-out wrote. The same offsets give "
         "the same data set, as long as the topic still has what stood there."},
    {.name = "count-unknown",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct dataset_settings, count_unknown),
     .help = "Labels by an unknown hand count as people's: for issues that were imported without "
             "their timelines."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct dataset_settings, format),
     .choices = "json|csv",
     .default_value = "json",
     .group = "Output",
     .help = "JSON lines, or CSV with a header; nodag model train reads both."},
    {.name = "offsets-out",
     .kind = OPTION_FILE,
     .offset = offsetof(struct dataset_settings, offsets_out),
     .help = "Write the offsets that were used to this file."},
    {.name = "specs",
     .letter = 'd',
     .kind = OPTION_FILE,
     .offset = offsetof(struct dataset_settings, specs.folder),
     .value_name = "DIR",
     .group = "Documents",
     .help = "Take the Model, and the Labelers with their holdback, from the .yaml files of this "
             "folder. Without it they come from the topic specs."},
    BUS_KAFKA_CONNECT_ROWS(struct dataset_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag dataset",
    .summary = "Prints what a Model would be trained on: issues with the labels that people put "
               "there.",
    .usage = "[OPTION…] MODEL",
    .description =
        "Reads the topic issues and prints each issue that the Model document MODEL wants: one "
        "line "
        "each, sorted. `label` has the labels that a person put there and that are still there; "
        "`removed` those that a person took away; `by_bots` and `unknown` those of other hands, "
        "which are not learnt from. Issues in a Labeler's audit holdback are marked (held_back) "
        "and "
        "weigh 1/holdback: what people put there was not influenced. A summary goes to standard "
        "error.",
    .examples =
        "nodag dataset kubeflow-labels > data.jsonl\n"
        "nodag model train --data data.jsonl --model label.model\n"
        "nodag dataset kubeflow-labels --specs documents/ --format csv --offsets-out offsets.json",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* ---- offsets ---- */

static int offsets_read(struct dataset_command *command, const char *path, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(OFFSETS_MAX_BYTES);
    CLEANUP(json_release) json_t *root = NULL;
    int code = file_read(path, &text, error);
    if (code == 0)
        code = json_read(text.data != NULL ? text.data : "", text.size_bytes, &root, error);
    if (code != 0)
        return code;
    const json_t *offsets = json_object_get(root, "offsets");
    const char *name = NULL;
    json_t *offset = NULL;
    if (strcmp(json_text_or(root, "topic", ""), topic_name(TOPIC_ISSUES)) != 0 ||
        !json_is_object(offsets))
        return error_set(error, ERR_INPUT, "%s: no offsets of the topic issues", path);
    for (size_t i = 0; i < ARRAY_COUNT(command->ends); i++)
        command->ends[i] = 0; /* a partition that is not named had no records */
    json_object_foreach((json_t *)(uintptr_t)offsets, name, offset)
    {
        char *end = NULL;
        long partition = strtol(name, &end, 10);
        if (*end != '\0' || partition < 0 || partition >= TOPIC_PARTITIONS_MAX ||
            !json_is_integer(offset) || json_integer_value(offset) < 0)
            return error_set(error, ERR_INPUT, "%s: \"%.40s\" is no partition with its offset",
                             path, name);
        command->ends[partition] = json_integer_value(offset);
    }
    return 0;
}

/* The offsets that were used, as a JSON text; owned. */
static char *offsets_write(const struct dataset_command *command, size_t *ret_bytes)
{
    json_t *offsets = json_object();
    for (int partition = 0; partition < TOPIC_PARTITIONS_MAX; partition++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%d", partition);
        if (command->ends[partition] > 0)
            (void)json_object_set_new(offsets, name, json_integer(command->ends[partition]));
    }
    CLEANUP(json_release)
    json_t *root = json_pack("{s:s, s:o}", "topic", topic_name(TOPIC_ISSUES), "offsets", offsets);
    return json_write(root, ret_bytes);
}

/* ---- reading ---- */

static void on_caught_up(void *argument)
{
    struct dataset_command *command = argument;
    loop_stop(command->loop);
}

static void on_failed(void *argument, const struct error *error)
{
    struct dataset_command *command = argument;
    command->status = command_fail(&program, error);
    loop_stop(command->loop);
}

static void on_spec(void *argument, const struct bus_record *record)
{
    struct dataset_command *command = argument;
    char key[SUBJECT_KEY_BYTES];
    (void)spec_store_apply(command->specs, record, key);
}

static void on_issue(void *argument, const struct bus_record *record)
{
    struct dataset_command *command = argument;
    struct issue_record *found = NULL;
    int64_t end = command->ends[record->partition];
    if ((end >= 0 && record->offset >= end) || record->key == NULL)
        return;
    command->seen[record->partition] = record->offset + 1;
    if (record->value == NULL) {
        CLEANUP(mem_free) char *key = mem_copy_bytes(record->key, record->key_bytes);
        if (command->is_second)
            dataset_rows_remove(command->rows, key);
        return;
    }
    int code = issue_record_decode(record->key, record->key_bytes, record->value,
                                   record->value_bytes, &found, NULL);
    if (code != 0) {
        command->unreadable += command->is_second;
    } else if (command->is_second) {
        dataset_rows_add(command->rows, found);
    } else {
        dataset_rows_note(command->rows, found);
        issue_record_free(found);
    }
}

/* Reads a topic to its end. Returns false after having said why not. */
static bool read_topic(struct dataset_command *command, enum topic topic,
                       const struct scan_handler *handler)
{
    const struct scan_start start = {.kind = SCAN_FROM_BEGINNING};
    CLEANUP(topic_scan_free) struct topic_scan *scan = NULL;
    struct error error = {0};
    int code = topic_scan_new(command->loop, &command->settings->kafka, topic, start, handler,
                              command, &scan, &error);
    if (code != 0) {
        command->status = command_fail(&program, &error);
        return false;
    }
    loop_run(command->loop);
    return command->status == EXIT_STATUS_OK;
}

static bool read_issues(struct dataset_command *command)
{
    static const struct scan_handler handler = {
        .record = on_issue, .caught_up = on_caught_up, .failed = on_failed};
    if (!read_topic(command, TOPIC_ISSUES, &handler))
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(command->ends); i++)
        if (command->ends[i] < 0)
            command->ends[i] = command->seen[i];
    command->is_second = true;
    return read_topic(command, TOPIC_ISSUES, &handler);
}

/* ---- documents ---- */

static void folder_changed(void *argument, const char *key)
{
    (void)argument;
    (void)key;
}

static bool read_specs(struct dataset_command *command)
{
    static const struct scan_handler scan = {
        .record = on_spec, .caught_up = on_caught_up, .failed = on_failed};
    static const struct spec_table_handler handler = {
        .ready = on_caught_up, .changed = folder_changed, .failed = on_failed};
    struct error error = {0};
    if (command->settings->specs.folder == NULL)
        return read_topic(command, TOPIC_SPECS, &scan);
    int code = spec_table_new(command->loop, NULL, &command->settings->specs, &handler, command,
                              &command->folder, &error);
    if (code != 0) {
        command->status = command_fail(&program, &error);
        return false;
    }
    loop_run(command->loop);
    return command->status == EXIT_STATUS_OK;
}

/* The Model; NULL after having said why not. */
static const json_t *find_model(struct dataset_command *command, const struct spec_store *specs,
                                const char *name)
{
    CLEANUP(mem_free) char *key = mem_format("Model/%s", name);
    const struct spec_record *record = spec_store_find(specs, key);
    struct error error = {0};
    if (record != NULL && record->valid != NULL)
        return record->valid;
    (void)error_set(&error, ERR_NOT_FOUND, "%s: %s", key,
                    record != NULL ? record->reason
                                   : "there is no such document; `nodag specs list --kind Model` "
                                     "lists those that are published, --specs DIR reads a folder");
    command->status = command_fail(&program, &error);
    return NULL;
}

/* ---- the command ---- */

static bool write_line(void *argument, const char *bytes, size_t byte_count)
{
    struct dataset_command *command = argument;
    if (fwrite(bytes, 1, byte_count, stdout) == byte_count)
        return true;
    command->status = EXIT_STATUS_FAILED;
    return false;
}

static void print_summary(const struct dataset_command *command,
                          const struct dataset_counts *counts)
{
    (void)fprintf(stderr,
                  "%zu issues, %zu labels: %zu put there by people, %zu taken away by people; %zu "
                  "issues held back\n",
                  counts->rows, counts->labels, counts->examples, counts->removed,
                  counts->held_back);
    (void)fprintf(
        stderr,
        "left out: %zu labels by bots, %zu by an unknown hand%s, %zu labels with too few "
        "examples, %zu that the format cannot hold, %zu issues that are too old, %zu whose "
        "text was erased\n",
        counts->by_bots, counts->unknown,
        counts->unknown > 0 ? " (--count-unknown takes them)" : "", counts->rare,
        counts->unwritable, counts->too_old, counts->erased);
    if (command->unreadable > 0)
        (void)fprintf(stderr, "%zu records could not be read\n", command->unreadable);
}

static int write_all(struct dataset_command *command)
{
    struct dataset_counts counts;
    struct error error = {0};
    size_t offsets_bytes = 0;
    enum dataset_format format =
        strcmp(command->settings->format, "csv") == 0 ? DATASET_CSV : DATASET_JSON;
    dataset_rows_write(command->rows, format, write_line, command, &counts);
    if (fflush(stdout) != 0 || command->status != EXIT_STATUS_OK) {
        (void)error_set(&error, ERR_IO, "standard output cannot be written");
        return command_fail(&program, &error);
    }
    print_summary(command, &counts);
    CLEANUP(mem_free) char *offsets = offsets_write(command, &offsets_bytes);
    if (command->settings->offsets_out == NULL)
        (void)fprintf(stderr, "offsets: %s\n", offsets);
    else if (file_write_atomically(command->settings->offsets_out, offsets, offsets_bytes,
                                   &error) != 0)
        return command_fail(&program, &error);
    return EXIT_STATUS_OK;
}

static int run(struct dataset_command *command, const char *name)
{
    struct error error = {0};
    const char *offsets = command->settings->offsets;
    for (size_t i = 0; i < ARRAY_COUNT(command->ends); i++)
        command->ends[i] = -1;
    if (offsets != NULL && offsets_read(command, offsets, &error) != 0)
        return command_fail(&program, &error);
    if (!read_specs(command))
        return command->status;
    const struct spec_store *specs =
        command->folder != NULL ? spec_table_records(command->folder) : command->specs;
    const json_t *model = find_model(command, specs, name);
    if (model == NULL)
        return command->status;
    command->rows = dataset_rows_new(model, specs, command->settings->count_unknown);
    return read_issues(command) ? write_all(command) : command->status;
}

int main(int argc, char **argv)
{
    struct dataset_settings settings = {.offsets = NULL};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct dataset_command command = {
        .settings = &settings, .loop = loop_new_real(), .specs = spec_store_new()};
    status = run(&command, argv[first]);
    dataset_rows_free(command.rows);
    spec_table_free(command.folder);
    spec_store_free(command.specs);
    loop_free(command.loop);
    return status;
}
