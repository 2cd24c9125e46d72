/*
 * nodag import gharchive: options, wiring, and what is shown of an import of dumps.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "reactors/importer/archive_import.h"
#include "reactors/importer/import_command.h"
#include "topics/spec_value.h"

/* ce_source of the events. */
#define SOURCE "urn:nodag:import:gharchive"

/* What the command line says. */
struct gharchive_settings {
    struct bus_kafka_settings kafka;
    struct option_list repositories;
    bool keep_going;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "repositories",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct gharchive_settings, repositories),
     .value_name = "GLOB",
     .required = true,
     .group = "What",
     .help = "Only repositories whose owner/name matches, for example 'kubeflow/*'; may be given "
             "several times. A dump has all of GitHub."},
    {.name = "keep-going",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct gharchive_settings, keep_going),
     .help = "Pass over damaged lines and files, tell each and count them, instead of ending."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct gharchive_settings, json),
     .help = "Print a JSON object in the end."},
    BUS_KAFKA_CONNECT_ROWS(struct gharchive_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag import gharchive",
    .summary = "Publishes the issues of hourly dumps of GH Archive.",
    .usage = "[OPTION…] FILE.json.gz…",
    .description =
        "Reads IssuesEvent and IssueCommentEvent since 2015. The dumps lack `labeled` events in "
        "places: every "
        "label from them counts as put there by an unknown hand, and is no example of what "
        "people do. `nodag import github` knows the hands.\n"
        "The order of the files does not matter, and the same files again change nothing.",
    .examples = "nodag import gharchive --repositories 'kubeflow/*' 2024-01-{01..31}-*.json.gz",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = -1,
};

/* The command while it runs. */
struct gharchive_command {
    struct import_run run;
    struct gharchive_settings settings;
    struct archive_import_settings what;
    struct archive_import *import; /* owned */
    struct archive_import_progress progress;
    size_t sized_file;  /* whose size is known */
    double sized_bytes; /* its size; 0: unknown */
};

/* ---- what is shown ---- */

static double share_of(struct gharchive_command *command)
{
    const struct archive_import_progress *progress = &command->progress;
    if (progress->file >= command->what.file_count)
        return 1;
    if (command->sized_file != progress->file || command->sized_bytes <= 0) {
        struct stat about;
        bool is_known = stat(command->what.files[progress->file], &about) == 0;
        command->sized_bytes = is_known ? (double)about.st_size : 0;
        command->sized_file = progress->file;
    }
    double part =
        command->sized_bytes > 0 ? (double)progress->file_bytes / command->sized_bytes : 0;
    return ((double)progress->file + part) / (double)command->what.file_count;
}

static void on_progress(void *argument, const struct archive_import_progress *progress)
{
    struct gharchive_command *command = argument;
    command->progress = *progress;
    CLEANUP(mem_free)
    char *text = mem_format("%zu events published, %zu lines, file %zu of %zu", progress->published,
                            progress->lines, progress->file + 1, command->what.file_count);
    progress_show(command->run.progress, share_of(command), text);
}

static void on_noticed(void *argument, const char *text)
{
    struct gharchive_command *command = argument;
    CLEANUP(mem_free) char *line = mem_format("passed over: %s", text);
    progress_say(command->run.progress, line);
}

static void on_ended(void *argument, int code, const struct error *error)
{
    struct gharchive_command *command = argument;
    import_run_end(&command->run, code, error);
}

static void on_stop(void *argument)
{
    struct gharchive_command *command = argument;
    archive_import_stop(command->import);
}

/* ---- the end ---- */

static void print_json(const struct gharchive_command *command)
{
    const struct archive_import_progress *progress = &command->progress;
    import_print_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b}", "source", "gharchive", "files",
        (json_int_t)progress->file, "lines", (json_int_t)progress->lines, "published",
        (json_int_t)progress->published, "pull_requests",
        (json_int_t)progress->kinds[ARCHIVE_PULL_REQUEST], "unwanted",
        (json_int_t)progress->kinds[ARCHIVE_UNWANTED], "before_2015",
        (json_int_t)progress->kinds[ARCHIVE_OLD], "other",
        (json_int_t)progress->kinds[ARCHIVE_OTHER], "skipped", (json_int_t)progress->skipped,
        "labels_by", "unknown", "complete", command->run.code == 0));
}

static void say_end(struct gharchive_command *command)
{
    const struct archive_import_progress *progress = &command->progress;
    CLEANUP(mem_free)
    char *text = mem_format(
        "%zu events published, of %zu lines: %zu on pull requests, %zu of other repositories, %zu "
        "from before 2015 (without the issue), %zu about other things, %zu damaged",
        progress->published, progress->lines, progress->kinds[ARCHIVE_PULL_REQUEST],
        progress->kinds[ARCHIVE_UNWANTED], progress->kinds[ARCHIVE_OLD],
        progress->kinds[ARCHIVE_OTHER], progress->skipped);
    progress_say(command->run.progress, text);
    progress_say(command->run.progress,
                 "labels from GH Archive count as put there by an unknown hand: the dumps lack "
                 "`labeled` events in places");
    if (command->run.code != 0 && progress->file < command->what.file_count) {
        CLEANUP(mem_free)
        char *how = mem_format("not to the end; to go on: the same command from %s on",
                               command->what.files[progress->file]);
        progress_say(command->run.progress, how);
    }
    if (command->settings.json)
        print_json(command);
}

/* ---- the beginning ---- */

static void run_import(struct gharchive_command *command)
{
    static const struct archive_import_handler handler = {
        .progress = on_progress, .noticed = on_noticed, .ended = on_ended};
    command->import = archive_import_new(command->run.loop, command->run.bus, SOURCE,
                                         &command->what, &handler, command);
    loop_run(command->run.loop);
    say_end(command);
    import_run_close_bus(&command->run);
    archive_import_free(command->import);
}

int import_gharchive(int argc, char **argv)
{
    struct gharchive_command command = {.sized_bytes = 0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!import_begin(&program, argc, argv, &command.settings, &first, &status))
        return status;
    command.what = (struct archive_import_settings){
        .files = (const char *const *)argv + first,
        .file_count = (size_t)(argc - first),
        .globs = command.settings.repositories.items,
        .glob_count = command.settings.repositories.count,
        .keep_going = command.settings.keep_going,
    };
    struct error error = {0};
    int code =
        import_run_open(&command.run, &program, &command.settings.kafka, on_stop, &command, &error);
    if (code == 0)
        run_import(&command);
    else
        import_run_end(&command.run, code, &error);
    status = import_run_status(&command.run);
    import_run_close(&command.run);
    return status;
}
