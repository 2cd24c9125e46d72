/*
 * nodag import github: options, wiring, and what is shown of an import of a repository.
 *
 * The bar goes by time: from the first issue's last change to now. How many issues a repository has, REST
 * does not tell in one answer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/http_client.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/clients/forge.h"
#include "reactors/importer/import_command.h"
#include "reactors/importer/place.h"
#include "reactors/importer/repository_import.h"

/* ce_source of the events: the importer's name, which stays when a repository is renamed. */
#define SOURCE "urn:nodag:import:github"

/* Waits shorter than this are not worth a line. */
#define WAIT_SAID_MS 5000

/* What the command line says. */
struct github_settings {
    struct bus_kafka_settings kafka;
    struct forge_settings forge;
    const char *since;
    const char *state;
    double share;
    bool follow;
    int64_t interval_ms;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "since",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct github_settings, since),
     .value_name = "TIME",
     .group = "What",
     .help = "Only issues changed at or after this time (2024-01-31 or 2024-01-31T12:00:00Z). What "
             "an import that was stopped tells, to go on from there."},
    {.name = "state",
     .kind = OPTION_FILE,
     .offset = offsetof(struct github_settings, state),
     .help = "Keep the place in this small file, and go on from it: then the same command goes on "
             "by itself. One file for each repository."},
    {.name = "follow",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct github_settings, follow),
     .help = "Then keep polling: for a trial without any webhook. Issues that are deleted, or "
             "transferred away, are not seen: only webhooks tell of them."},
    {.name = "interval",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct github_settings, interval_ms),
     .default_value = "60s",
     .least = 1000,
     .most = 86400000,
     .help = "Between two polls. A poll that finds nothing new costs no rate limit."},
    {.name = "budget",
     .kind = OPTION_PERCENT,
     .offset = offsetof(struct github_settings, share),
     .default_value = "50%",
     .help = "Share of the forge's hourly limit that may be used up, by whomever; the rest is left "
             "to others "
             "with the same token or App. When it is used up, it waits for the next hour."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct github_settings, json),
     .help = "Print a JSON object in the end."},
    FORGE_OPTION_ROWS(struct github_settings, forge),
    BUS_KAFKA_CONNECT_ROWS(struct github_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag import github",
    .summary = "Publishes a repository's issues, with who labeled them, from GitHub's REST API.",
    .usage = "[OPTION…] OWNER/REPO",
    .description =
        "One request for a hundred issues and one for each issue's timeline: some 5,000 issues an "
        "hour with "
        "all of a token's limit, 60 without a token. Pull requests are passed over. It can be "
        "stopped at any time (Ctrl-C) and says how to go on. Needs the permissions Metadata: read "
        "and "
        "Issues: read.\n"
        "Not seen: issues that were deleted or transferred away; who labeled, where the account is "
        "gone.",
    .examples =
        "nodag import github kubeflow/kubeflow --forge-token-file token --state kubeflow.place\n"
        "nodag import github kubeflow/kubeflow --forge-token-file token --follow --interval 30s",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* The command while it runs. */
struct github_command {
    struct import_run run;
    struct github_settings settings;
    const char *repository; /* borrowed; as the command line has it */
    int64_t since_ms;
    int64_t repository_id;
    struct repository_import *import; /* owned */
    bool was_waiting;                 /* the wait at hand was told */
    bool was_resting;                 /* the end of the list was told */
};

/* ---- what is shown ---- */

static double share_of(const struct github_command *command,
                       const struct repository_import_progress *progress)
{
    int64_t now_ms = loop_wall_ms(command->run.loop);
    if (progress->is_resting)
        return 1;
    if (progress->first_ms < 0 || progress->read_ms < 0 || now_ms <= progress->first_ms)
        return 0;
    return (double)(progress->read_ms - progress->first_ms) / (double)(now_ms - progress->first_ms);
}

static char *write_progress(const struct repository_import_progress *progress)
{
    char at[TIME_TEXT_BYTES] = "the beginning";
    if (progress->read_ms >= 0)
        time_to_text(progress->read_ms, at);
    return mem_format("%zu issues published, %zu pull requests passed over, at %s%s%s",
                      progress->published, progress->pull_requests, at,
                      progress->wait_ms > 0 ? "; waits: " : "",
                      progress->wait_ms > 0 ? progress->why : "");
}

static void say_wait(struct github_command *command,
                     const struct repository_import_progress *progress)
{
    bool is_long = progress->wait_ms >= WAIT_SAID_MS && !progress->is_resting;
    if (is_long && !command->was_waiting) {
        CLEANUP(mem_free)
        char *text =
            mem_format("waits %" PRId64 " s: %s", (progress->wait_ms + 999) / 1000, progress->why);
        progress_say(command->run.progress, text);
    }
    command->was_waiting = is_long;
}

static void on_progress(void *argument, const struct repository_import_progress *progress)
{
    struct github_command *command = argument;
    say_wait(command, progress);
    CLEANUP(mem_free) char *text = write_progress(progress);
    if (progress->is_resting && progress->wait_ms > 0 && !command->was_resting) {
        command->was_resting = true;
        CLEANUP(mem_free) char *line = mem_format("up to date; follows. %s", text);
        progress_say(command->run.progress, line);
    }
    progress_show(command->run.progress, share_of(command, progress), text);
}

static void on_noticed(void *argument, const char *text)
{
    struct github_command *command = argument;
    progress_say(command->run.progress, text);
}

static void on_placed(void *argument, int64_t repository_id, int64_t place_ms)
{
    struct github_command *command = argument;
    struct error error = {0};
    if (command->settings.state == NULL)
        return;
    if (place_write(command->settings.state, command->settings.forge.api_url, command->repository,
                    repository_id, place_ms, &error) != 0)
        progress_say(command->run.progress, error.text);
}

static void on_ended(void *argument, int code, const struct error *error)
{
    struct github_command *command = argument;
    import_run_end(&command->run, code, error);
}

static void on_stop(void *argument)
{
    struct github_command *command = argument;
    repository_import_stop(command->import);
}

/* ---- the end ---- */

static void print_json(const struct github_command *command,
                       const struct repository_import_progress *progress)
{
    char place[TIME_TEXT_BYTES];
    time_to_text(progress->place_ms, place);
    import_print_json(json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b}", "source", "github", "repository",
        progress->repository != NULL ? progress->repository : command->repository, "repository_id",
        (json_int_t)progress->repository_id, "published", (json_int_t)progress->published,
        "pull_requests", (json_int_t)progress->pull_requests, "gone", (json_int_t)progress->gone,
        "unknown_hands", (json_int_t)progress->unknown_hands, "skipped",
        (json_int_t)progress->skipped, "place", place, "complete", command->run.code == 0));
}

/* Says how far it came, and how to go on where it was not to the end. */
static void say_end(struct github_command *command)
{
    const struct repository_import_progress *progress = repository_import_progress(command->import);
    CLEANUP(mem_free)
    char *text = mem_format(
        "%s: %zu issues published, %zu pull requests passed over, %zu gone meanwhile, %zu with a "
        "timeline too long to tell who labeled, %zu skipped",
        progress->repository != NULL ? progress->repository : command->repository,
        progress->published, progress->pull_requests, progress->gone, progress->unknown_hands,
        progress->skipped);
    progress_say(command->run.progress, text);
    if (command->run.code != 0 && progress->place_ms > 0) {
        char place[TIME_TEXT_BYTES];
        time_to_text(progress->place_ms, place);
        CLEANUP(mem_free)
        char *how =
            command->settings.state != NULL
                ? mem_format("not to the end; the same command goes on from %s", place)
                : mem_format("not to the end; to go on: the same command with --since %s", place);
        progress_say(command->run.progress, how);
    }
    if (command->settings.json)
        print_json(command, progress);
}

/* ---- the beginning ---- */

static int find_place(struct github_command *command, struct error *error)
{
    const char *since = command->settings.since;
    if (since != NULL && time_from_text(since, strlen(since), &command->since_ms) != 0)
        return error_set(error, ERR_USAGE,
                         "--since: \"%s\" is no time such as 2024-01-31T12:00:00Z", since);
    if (command->settings.state == NULL)
        return 0;
    int64_t place_ms = 0;
    int code = place_read(command->settings.state, command->settings.forge.api_url,
                          command->repository, &command->repository_id, &place_ms, error);
    if (code == 0 && place_ms > 0)
        command->since_ms = place_ms;
    return code;
}

static void say_beginning(struct github_command *command)
{
    char since[TIME_TEXT_BYTES];
    time_to_text(command->since_ms, since);
    if (command->since_ms > 0) {
        CLEANUP(mem_free) char *text = mem_format("goes on with what changed since %s", since);
        progress_say(command->run.progress, text);
    }
    if (command->settings.forge.token_file == NULL && command->settings.forge.app_id == NULL)
        progress_say(command->run.progress,
                     "without --forge-token-file GitHub answers 60 requests an hour");
    if (command->settings.follow)
        progress_say(command->run.progress, "follows by polling: issues that are deleted or "
                                            "transferred away are not seen without webhooks");
}

static int run_import(struct github_command *command, struct error *error)
{
    static const struct repository_import_handler handler = {
        .progress = on_progress, .placed = on_placed, .noticed = on_noticed, .ended = on_ended};
    const struct http_client_settings http_settings = {.user_agent = "nodag/" NODAG_VERSION,
                                                       .ca_file = command->settings.forge.ca_file};
    CLEANUP(http_client_free_curl)
    struct http_client *http = http_client_new_curl(command->run.loop, &http_settings);
    CLEANUP(forge_free) struct forge *forge = NULL;
    int code = forge_new(command->run.loop, http, &command->settings.forge, NULL, &forge, error);
    if (code != 0)
        return code;
    const struct repository_import_settings settings = {
        .repository = command->repository,
        .repository_id = command->repository_id,
        .since_ms = command->since_ms,
        .share = command->settings.share,
        .follow = command->settings.follow,
        .interval_ms = command->settings.interval_ms,
    };
    say_beginning(command);
    command->import = repository_import_new(command->run.loop, forge, command->run.bus, SOURCE,
                                            &settings, &handler, command);
    loop_run(command->run.loop);
    say_end(command);
    import_run_close_bus(&command->run);
    repository_import_free(command->import);
    return 0;
}

int import_github(int argc, char **argv)
{
    struct github_command command = {.since_ms = 0};
    struct error error = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!import_begin(&program, argc, argv, &command.settings, &first, &status))
        return status;
    command.repository = argv[first];
    int code = find_place(&command, &error);
    if (code == 0)
        code = import_run_open(&command.run, &program, &command.settings.kafka, on_stop, &command,
                               &error);
    if (code == 0)
        code = run_import(&command, &error);
    command.run.program = &program;
    if (code != 0) {
        command.run.code = code;
        command.run.error = error;
    }
    status = import_run_status(&command.run);
    import_run_close(&command.run);
    return status;
}
