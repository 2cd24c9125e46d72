/*
 * What `nodag erase` says: the plan, the report, what remains. See erase_command.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/historian/erase_command.h"
#include "topics/record_erased.h"
#include "topics/record_json.h"
#include "topics/topics_admin.h"

/* Milliseconds of a day. */
#define DAY_MS (24LL * 3600 * 1000)

/* ---- counting ---- */

/* Rows of a record's data set that are to go. */
static size_t rows_of(const struct erase_command *command, const json_t *value)
{
    const char *sha256 = erase_record_dataset(value);
    for (size_t i = 0; sha256 != NULL && i < command->dataset_count; i++)
        if (strcmp(command->datasets[i].sha256, sha256) == 0)
            return command->datasets[i].rows;
    return 0;
}

/* True if this command erased something of a record. */
static bool is_ours(const struct erase_command *command, const json_t *value)
{
    char at[TIME_TEXT_BYTES];
    size_t index = 0;
    const json_t *entry = NULL;
    time_to_text(command->request_ms, at);
    json_array_foreach(json_object_get(value, "erased"), index, entry)
    {
        if (strcmp(json_text_or(entry, "at", ""), at) == 0)
            return true;
    }
    return false;
}

/* Notes what may quote a record's data: all but the model, its figures and the data. */
static void add_files(json_t *files, const json_t *value)
{
    const char *name = NULL;
    json_t *item = NULL;
    json_object_foreach(json_object_get(value, "artefacts"), name, item)
    {
        if (strcmp(name, "model") != 0 && strcmp(name, "metrics") != 0 &&
            strcmp(name, "dataset") != 0)
            (void)json_object_set_new(files, json_text_or(item, "sha256", ""), json_null());
    }
}

static void tally_record(const struct erase_command *command, const struct erase_record *record,
                         bool is_done, struct erase_tally *tally, json_t *files)
{
    bool is_version = record->topic == TOPIC_MODELS;
    bool is_affected =
        is_done ? is_ours(command, record->value) : rows_of(command, record->value) > 0;
    if (erase_record_is_under_way(record))
        (void)json_array_append_new(tally->under_way, json_string(record->key));
    if (is_affected) {
        (void)json_array_append_new(is_version ? tally->versions : tally->runs,
                                    json_string(record->key));
        add_files(files, record->value);
    } else if (is_version && json_array_size(json_object_get(record->value, "erased")) > 0) {
        (void)json_array_append_new(tally->earlier, json_string(record->key));
    }
}

void erase_tally(const struct erase_command *command, bool is_done, struct erase_tally *ret_tally)
{
    size_t count = 0;
    CLEANUP(json_release) json_t *files = json_object();
    CLEANUP(mem_free) struct erase_record *list = erase_records_list(command->records, &count);
    *ret_tally = (struct erase_tally){.issues = erase_found_count(command->found),
                                      .versions = json_array(),
                                      .earlier = json_array(),
                                      .runs = json_array(),
                                      .under_way = json_array()};
    for (size_t i = 0; i < count; i++)
        tally_record(command, &list[i], is_done, ret_tally, files);
    for (size_t i = 0; i < command->dataset_count; i++) {
        const struct erase_dataset *dataset = &command->datasets[i];
        bool counts = is_done ? dataset->replaced[0] != '\0' : dataset->rows > 0;
        ret_tally->datasets += counts;
        ret_tally->rows += counts ? dataset->rows : 0;
        ret_tally->untold += dataset->is_named ? dataset->untold : 0;
    }
    ret_tally->files = json_object_size(files);
}

void erase_tally_release(struct erase_tally *tally)
{
    json_decref(tally->versions);
    json_decref(tally->earlier);
    json_decref(tally->runs);
    json_decref(tally->under_way);
}

/* ---- the plan ---- */

static void print_list(FILE *stream, const char *before, const json_t *list)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(list, index, item)
    {
        (void)fprintf(stream, "%s%s", index == 0 ? before : ", ", json_string_value(item));
    }
    if (json_array_size(list) > 0)
        (void)fputc('\n', stream);
}

void erase_print_plan(const struct erase_command *command, const struct erase_tally *tally,
                      const char *name)
{
    (void)fprintf(stderr, "What nodag has of %s:\n", name);
    (void)fprintf(stderr, "  %zu issues: title, body and every login go; state and labels stay\n",
                  tally->issues.text);
    if (command->target.login != NULL)
        (void)fprintf(stderr, "  %zu issues of others: logins of those who labeled go\n",
                      tally->issues.names);
    (void)fprintf(
        stderr,
        "  %zu stored data sets: %zu rows go, and %zu files that may quote them (notebooks, "
        "reports, logs, predictions)\n",
        tally->datasets, tally->rows, tally->files);
    print_list(stderr, "  trained on it: ", tally->versions);
    if (tally->issues.erased > 0)
        (void)fprintf(stderr, "  (%zu issues are erased already; rows of these go, too)\n",
                      tally->issues.erased);
}

/* ---- what remains ---- */

/* The value in force of a topic's configuration in ms; `otherwise` where it cannot be asked. */
static int64_t ask(const struct admin_view *view, enum topic topic, const char *name,
                   int64_t otherwise)
{
    const char *value = view != NULL ? admin_config_value(&view->topics[topic], name) : NULL;
    return value != NULL ? strtoll(value, NULL, 10) : otherwise;
}

/* Until when something of now stays; "for ever". */
static void write_until(int64_t now_ms, int64_t keep_ms, char ret_text[TIME_TEXT_BYTES])
{
    if (keep_ms < 0) {
        (void)snprintf(ret_text, TIME_TEXT_BYTES, "for ever");
        return;
    }
    time_to_text(now_ms + keep_ms, ret_text);
    ret_text[strlen("2026-01-01")] = '\0';
}

/* How long what this command cannot erase stays; new reference. */
static json_t *ask_remains(const struct erase_command *command)
{
    CLEANUP(admin_free) struct admin *admin = NULL;
    CLEANUP(admin_view_free) struct admin_view *view = NULL;
    struct error error = {0};
    char events[TIME_TEXT_BYTES];
    char letters[TIME_TEXT_BYTES];
    int code = admin_new(&command->settings->kafka, &admin, &error);
    if (code == 0)
        code = admin_look(admin, true, &view, &error);
    (void)code; /* without the right to ask nodag's defaults are told */
    int64_t events_ms = ask(view, TOPIC_GITHUB_EVENTS, "retention.ms", TOPIC_RETENTION_EVENTS_MS);
    int64_t letters_ms = ask(view, TOPIC_DEAD_LETTERS, "retention.ms", TOPIC_RETENTION_EVENTS_MS);
    write_until(command->request_ms, events_ms, events);
    write_until(command->request_ms, letters_ms, letters);
    return json_pack(
        "{s:b, s:s, s:I, s:s, s:I, s:I, s:I}", "asked", view != NULL, "github.events_until", events,
        "github.events_retention_ms", (json_int_t)events_ms, "dead.letters_until", letters,
        "issues_segment_ms", (json_int_t)ask(view, TOPIC_ISSUES, "segment.ms", TOPIC_SEGMENT_MS),
        "models_segment_ms", (json_int_t)ask(view, TOPIC_MODELS, "segment.ms", TOPIC_SEGMENT_MS),
        "runs_lag_ms",
        (json_int_t)ask(view, TOPIC_RUNS, "min.compaction.lag.ms", TOPIC_LAG_HISTORY_MS));
}

static void print_remains(const json_t *remains)
{
    (void)printf(
        "What remains, and until when%s:\n",
        json_is_true(json_object_get(remains, "asked"))
            ? ""
            : " (by nodag's defaults: the cluster does not tell; `nodag topics acls erase` "
              "prints the rights)");
    (void)printf("  github.events: webhooks as GitHub sent them; nodag reads no erased text from "
                 "them again. Until %s (retention.ms, %lld days)\n",
                 json_text_or(remains, "github.events_until", "?"),
                 (long long)(json_int_or(remains, "github.events_retention_ms", 0) / DAY_MS));
    (void)printf("  dead.letters: webhooks that could not be read, as they came. Until %s\n",
                 json_text_or(remains, "dead.letters_until", "?"));
    (void)printf("  issues, models: the records of before, until Kafka compacts them: segments "
                 "close after %lld min, and the cleaner comes after that\n",
                 (long long)(json_int_or(remains, "issues_segment_ms", 0) / 60000));
    (void)printf(
        "  runs: names of artefacts that are gone, and reasons of failed runs: the records "
        "of before stay %lld days (min.compaction.lag.ms)\n",
        (long long)(json_int_or(remains, "runs_lag_ms", 0) / DAY_MS));
    (void)puts(
        "  directories of runs, on the trainer's hosts: logs, and what a killed run left, until "
        "history limits collect the run");
    (void)puts("  predictions: digests of texts, no text");
    (void)puts("  GitHub; copies that people made; issues opened from now on, which are new: erase "
               "again if need be");
}

/* ---- the report ---- */

static void print_json(const struct erase_command *command, const struct erase_tally *tally,
                       const char *name, bool is_dry, json_t *remains)
{
    CLEANUP(json_release)
    json_t *report = json_pack(
        "{s:s, s:b, s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:O, s:O, s:O, s:O, "
        "s:O}",
        "target", name, "dry_run", is_dry ? 1 : 0, "issues", "wanted",
        (json_int_t)tally->issues.text, "names_wanted", (json_int_t)tally->issues.names, "erased",
        (json_int_t)tally->issues.erased, "asked", (json_int_t)command->asked, "datasets", "count",
        (json_int_t)tally->datasets, "rows", (json_int_t)tally->rows, "untold_rows",
        (json_int_t)tally->untold, "files", (json_int_t)tally->files, "records_rewritten",
        (json_int_t)command->rewritten, "objects_removed", (json_int_t)command->removed, "versions",
        tally->versions, "versions_earlier", tally->earlier, "runs", tally->runs, "runs_under_way",
        tally->under_way, "remains", remains);
    CLEANUP(mem_free) char *text = json_write(report, NULL);
    (void)puts(text);
}

/* What a person has to do still. */
static void print_open(const struct erase_command *command, const struct erase_tally *tally)
{
    if (tally->issues.open > 0)
        (void)printf("NOT DONE YET: %zu issues. No historian has folded the requests within the "
                     "time; they stand on github.events and are not lost. Start `nodag historian`, "
                     "then run this again: it waits and says when it is done.\n",
                     tally->issues.open);
    if (json_array_size(tally->under_way) > 0) {
        print_list(stdout, "NOT DONE YET: runs under way, which may have read the data before: ",
                   tally->under_way);
        (void)puts("  Run this again when they are over.");
    }
    if (tally->untold > 0)
        (void)printf("LOOK AT IT: %zu rows of stored data sets do not say which issue they are of "
                     "(no repo, number and created_at); they stayed.\n",
                     tally->untold);
    if (command->unreadable > 0 || erase_records_refused(command->records) > 0)
        (void)printf("LOOK AT IT: %zu records of issues and %zu of runs and models could not be "
                     "read; they stayed.\n",
                     command->unreadable, erase_records_refused(command->records));
}

static void print_text(const struct erase_command *command, const struct erase_tally *tally,
                       const char *name)
{
    (void)printf("%s: %zu requests published; %zu issues are erased, by this request or earlier "
                 "ones; %zu rows of %zu data sets are gone; %zu files removed, %zu records of runs "
                 "and versions say so.\n",
                 name, command->asked, tally->issues.erased, tally->rows, tally->datasets,
                 command->removed, command->rewritten);
    print_list(stdout, "Trained on this text: ", tally->versions);
    if (json_array_size(tally->versions) > 0)
        (void)puts("  A model does not change by this: train anew, and let history limits collect "
                   "these, or remove them.");
    print_list(stdout, "Trained on what was erased earlier: ", tally->earlier);
    print_open(command, tally);
}

void erase_print_report(const struct erase_command *command, const struct erase_tally *tally,
                        const char *name, bool is_dry)
{
    CLEANUP(json_release) json_t *remains = ask_remains(command);
    if (command->settings->json) {
        print_json(command, tally, name, is_dry, remains);
        return;
    }
    if (!is_dry)
        print_text(command, tally, name);
    print_remains(remains);
}
