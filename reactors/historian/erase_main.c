/*
 * nodag erase: a person's or a repository's text goes. See erase_command.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "reactors/historian/erase_command.h"
#include "topics/topics_command.h"

/* Between two lines of progress where there is no terminal, and two drawings where there is one. */
#define SHOW_LINE_MS 10000
/* See above. */
#define SHOW_DRAW_MS 100

/* Most times that everything is read again: what came meanwhile is little. */
#define ROUNDS_MAX 5

/* Longest answer to the question. */
#define ANSWER_BYTES 16

static const struct option_row rows[] = {
    {.name = "dry-run",
     .letter = 'n',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct erase_settings, dry_run),
     .group = "What",
     .help = "Only say what would be erased, and what would remain."},
    {.name = "yes",
     .letter = 'y',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct erase_settings, yes),
     .help = "Do not ask before it begins. Needed where standard input is no terminal."},
    {.name = "wait",
     .letter = 'w',
     .kind = OPTION_DURATION,
     .offset = offsetof(struct erase_settings, wait_ms),
     .default_value = "2m",
     .most = 24LL * 3600 * 1000,
     .help = "How long the historian may take; what it has not done by then is said."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct erase_settings, json),
     .group = "Output",
     .help = "Print the report as JSON."},
    ARTEFACT_OPTION_ROWS(struct erase_settings, artefacts),
    {.name = "scratch",
     .kind = OPTION_FILE,
     .offset = offsetof(struct erase_settings, scratch),
     .default_value = "/tmp",
     .value_name = "DIR",
     .help = "Where a data set is kept while it is read; nothing stays there."},
    BUS_KAFKA_CONNECT_ROWS(struct erase_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag erase",
    .summary =
        "Erases a person's or a repository's text from issues and stored data sets, and says "
        "what remains.",
    .usage = "[OPTION…] LOGIN|OWNER/REPO|REPOSITORY-ID|OWNER/REPO#NUMBER",
    .description =
        "LOGIN (or @LOGIN): issues that this person opened. Elsewhere only the login goes, of "
        "labels that they put there or took away. OWNER/REPO: all issues of the repository that "
        "has "
        "this name now; #NUMBER: one of them.\n"
        "\n"
        "An erased issue keeps its state and labels, and loses title, body and every login, for "
        "good: no late webhook, no new one and no import brings its text back. What is opened or "
        "labeled afterwards is new: ask again. The historian does it, so one must run. The labeler "
        "reads "
        "webhooks, not this, and goes on.\n"
        "\n"
        "Stored data sets lose the rows of erased issues, whoever asked for it: each is replaced "
        "by "
        "one without them. What a run left that may quote its data (notebook, report, log, "
        "predictions) is removed, and `nodag models show` says so. Models stay; those that were "
        "trained on the text are listed. A row does not name the author: issues of a person that "
        "are gone from the topic issues can only be told by OWNER/REPO#NUMBER.\n"
        "\n"
        "It may be stopped anywhere, and run again: it goes on from there.\n"
        "\n"
        "Exit status: 0 all is done; 1 something failed; 2 the command line is not valid, nothing "
        "was done; 3 something is left that the same command finishes later: no historian yet, a "
        "run under way, rows or records that cannot be read.",
    .examples = "nodag erase --dry-run ann\n"
                "nodag erase ann --artefacts file:///srv/artefacts\n"
                "nodag erase --yes acme/secret-plans --json",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* ---- progress ---- */

void erase_show(struct erase_command *command, const char *format, ...)
{
    int64_t now_ms = loop_now_ms(command->loop);
    va_list arguments;
    if (now_ms - command->shown_ms < (command->is_terminal ? SHOW_DRAW_MS : SHOW_LINE_MS))
        return;
    command->shown_ms = now_ms;
    (void)fputs(command->is_terminal ? "\r\033[K" : "nodag erase: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (!command->is_terminal)
        (void)fputc('\n', stderr);
    (void)fflush(stderr);
}

static void show_nothing(const struct erase_command *command)
{
    if (command->is_terminal)
        (void)fputs("\r\033[K", stderr);
}

/* ---- steps ---- */

/* Everything that is known before anything is done. */
static int look(struct erase_command *command, struct error *error)
{
    int code = erase_read_names(command, error);
    if (code == 0)
        code = erase_read_issues(command, error);
    if (code == 0)
        code = erase_read_records(command, error);
    if (code == 0)
        code = erase_look(command, error);
    show_nothing(command);
    return code;
}

/* One round; `ret_did` says whether there was anything to do. */
static int do_round(struct erase_command *command, int64_t wait_ms, bool *ret_did,
                    struct error *error)
{
    size_t before = command->asked + command->rewritten;
    int code = erase_ask(command, error);
    if (code == 0)
        code = erase_await(command, wait_ms, error);
    if (code == 0)
        code = erase_replace(command, error);
    if (code == 0)
        code = erase_remove(command, error);
    if (code == 0)
        code = erase_read_records(command, error);
    if (code == 0)
        code = erase_look(command, error);
    *ret_did = command->asked + command->rewritten > before;
    return code;
}

static int do_all(struct erase_command *command, struct error *error)
{
    bool did = true;
    int code = 0;
    int64_t wait_ms = command->settings->wait_ms;
    for (int round = 0; round < ROUNDS_MAX && did && code == 0; round++) {
        code = do_round(command, wait_ms, &did, error);
        if (erase_found_count(command->found).open > 0)
            wait_ms = 0; /* nobody folds: once is enough */
    }
    show_nothing(command);
    return code;
}

/* ---- the question ---- */

static int confirm(const struct erase_command *command, const char *name, struct error *error)
{
    char answer[ANSWER_BYTES] = "";
    if (command->settings->yes)
        return 0;
    if (isatty(STDIN_FILENO) != 1)
        return error_set(error, ERR_USAGE,
                         "nothing was erased: standard input is no terminal, where a person could "
                         "be asked; --yes says that it is meant, --dry-run only looks");
    (void)fprintf(stderr, "This cannot be undone. Erase the text of %s? [y/N] ", name);
    (void)fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return 0;
    return error_set(error, ERR_CANCELLED, "nothing was erased");
}

/* ---- the command ---- */

static bool is_open(const struct erase_command *command, const struct erase_tally *tally)
{
    return tally->issues.open > 0 || json_array_size(tally->under_way) > 0 || tally->untold > 0 ||
           command->unreadable > 0 || erase_records_refused(command->records) > 0;
}

static int run(struct erase_command *command, const char *name, struct error *error)
{
    struct erase_tally tally = {.datasets = 0};
    int code = look(command, error);
    if (code != 0)
        return code;
    erase_tally(command, false, &tally);
    if (!command->settings->json || !command->settings->yes)
        erase_print_plan(command, &tally, name);
    if (command->settings->dry_run)
        erase_print_report(command, &tally, name, true);
    else if (tally.issues.text + tally.issues.names + tally.rows > 0)
        code = confirm(command, name, error);
    else /* but what an earlier command did not finish is finished */
        (void)fprintf(stderr,
                      "nothing of %s is on the topic issues or in stored data sets; is it written "
                      "as on GitHub?\n",
                      name);
    erase_tally_release(&tally);
    if (code != 0 || command->settings->dry_run)
        return code;
    code = do_all(command, error);
    if (code != 0)
        return error_prefix(error, code, "stopped in the middle; run it again and it goes on");
    erase_tally(command, true, &tally);
    erase_print_report(command, &tally, name, false);
    bool is_left = is_open(command, &tally);
    erase_tally_release(&tally);
    return is_left ? ERR_TIMEOUT : 0;
}

int main(int argc, char **argv)
{
    struct erase_settings settings = {.scratch = NULL};
    struct error error = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct erase_command command = {.program = &program,
                                    .settings = &settings,
                                    .scratch_fd = -1,
                                    .is_terminal = isatty(STDERR_FILENO) == 1};
    if (erase_target_read(argv[first], &command.target, &error) != 0)
        return option_complain(&program, &error);
    command.loop = loop_new_real();
    command.request_ms = loop_wall_ms(command.loop);
    command.shown_ms = loop_now_ms(command.loop);
    command.found = erase_found_new(&command.target);
    command.records = erase_records_new();
    int code = run(&command, argv[first], &error);
    if (code != 0 && error.text[0] != '\0')
        status = command_fail(&program, &error);
    else if (code != 0)
        status = ERASE_STATUS_OPEN;
    erase_topics_close(&command);
    erase_store_close(&command);
    erase_records_free(command.records);
    erase_found_free(command.found);
    loop_free(command.loop);
    return status;
}
