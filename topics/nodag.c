/*
 * nodag: `nodag X …` runs the executable `nodag-X`, as git's command does.
 *
 * Design: a command is looked for beside this executable first, so that a build folder and an
 * installation never mix, then on the PATH, so that anyone can add one in any language. Nothing of
 * a command is linked here. One line about each known command is kept in a table below, because
 * asking ten executables would make `nodag --help` slow; a command that the table does not have is
 * listed by its name.
 *
 *      nodag X args      exec nodag-X args          nodag help X    exec nodag-X --help
 *      nodag | --help    the list                   nodag completion bash
 *
 * Invariant: a command's name has only letters, digits, dashes and dots; so it cannot name a path.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/option.h"

/* What executables of commands begin with. */
#define COMMAND_PREFIX "nodag-"

/* Most commands that are listed: a PATH with more of them is a mistake. */
#define COMMANDS_MAX 256

/*
 * What is known of the commands that come with nodag, in the order in which a newcomer meets them.
 */
static const struct {
    const char *name;
    const char *summary;
} known[] = {
    {"topics", "create, list and check the topics; print the rights that daemons need"},
    {"tail", "read a topic: filter by key, name, type and time"},
    {"status", "what is pending: what waits, why, and until when"},
    {"specs", "desired state: what is published and valid; check documents before a push"},
    {"models", "versions of models: metrics, data, code; compare two"},
    {"runs", "training runs: why, how they ended, notebook and log"},
    {"model", "train, evaluate and explain models"},
    {"import", "history from before the first webhook: GitHub's REST API, or GH Archive"},
    {"dataset", "what a Model would be trained on: issues with the labels that people put there"},
    {"erase", "a person's or a repository's text goes from issues and stored data sets"},
    {"ingest-github", "daemon: GitHub webhooks → events"},
    {"ingest-git", "daemon: git repositories → pushes"},
    {"labeler", "daemon: issues carry the labels that their model predicts"},
    {"historian", "daemon: every issue has one current record, with who labeled it"},
    {"trainer", "daemon: a fresh model exists for each Model document"},
    {"train-run", "one training run in a sandbox, as the trainer starts it; --check: can it here?"},
    {"mock", "a broker in memory, for a first look and for tests"},
};

/* The commands that were found. */
struct commands {
    char *names[COMMANDS_MAX]; /* owned, without the prefix, each once */
    size_t count;              /* how many */
};

/* ---- finding ---- */

/* Writes the folder of this executable. Returns false if the kernel does not tell. */
static bool own_folder(char folder[PATH_MAX])
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    (void)snprintf(folder, PATH_MAX, "%s", dirname(path));
    return true;
}

/* Calls `visit` for the own folder, then for each folder of the PATH, until it returns true. */
static bool visit_folders(bool (*visit)(const char *folder, void *argument), void *argument)
{
    char folder[PATH_MAX];
    if (own_folder(folder) && visit(folder, argument))
        return true;
    const char *path = getenv("PATH");
    CLEANUP(mem_free) char *copy = mem_copy_text(path != NULL ? path : "");
    char *rest = copy;
    for (char *next = strsep(&rest, ":"); next != NULL; next = strsep(&rest, ":")) {
        if (*next == '/' && visit(next, argument))
            return true;
    }
    return false;
}

static bool is_name(const char *name)
{
    if (!isalnum((unsigned char)name[0]))
        return false;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && *name != '-' && *name != '.')
            return false;
    }
    return true;
}

static bool is_executable(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static bool collect_folder(const char *folder, void *argument)
{
    struct commands *commands = argument;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return false;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[PATH_MAX];
        if (strncmp(entry->d_name, COMMAND_PREFIX, strlen(COMMAND_PREFIX)) != 0)
            continue;
        const char *name = entry->d_name + strlen(COMMAND_PREFIX);
        int length = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        bool fits = length > 0 && (size_t)length < sizeof(path);
        if (!fits || commands->count == COMMANDS_MAX || !is_name(name) || !is_executable(path))
            continue;
        bool seen = false;
        for (size_t i = 0; i < commands->count; i++)
            seen = seen || strcmp(commands->names[i], name) == 0;
        if (!seen)
            commands->names[commands->count++] = mem_copy_text(name);
    }
    (void)closedir(directory);
    return false;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void collect(struct commands *commands)
{
    commands->count = 0;
    (void)visit_folders(collect_folder, commands);
    qsort(commands->names, commands->count, sizeof(commands->names[0]), compare_names);
}

static void release(struct commands *commands)
{
    for (size_t i = 0; i < commands->count; i++)
        free(commands->names[i]);
}

/* ---- printing ---- */

static size_t known_index(const char *name)
{
    size_t i = 0;
    while (i < ARRAY_COUNT(known) && strcmp(known[i].name, name) != 0)
        i++;
    return i;
}

static bool was_found(const struct commands *commands, const char *name)
{
    for (size_t i = 0; i < commands->count; i++) {
        if (strcmp(commands->names[i], name) == 0)
            return true;
    }
    return false;
}

static void print_help(FILE *stream)
{
    struct commands commands;
    collect(&commands);
    (void)fputs("Usage: nodag COMMAND [ARGUMENT…]\n\n"
                "A model that labels issues, kept fresh and in use by independent reactors over "
                "Kafka.\n\nCommands:\n",
                stream);
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (was_found(&commands, known[i].name))
            (void)fprintf(stream, "  %-16s%s\n", known[i].name, known[i].summary);
    }
    for (size_t i = 0; i < commands.count; i++) {
        if (known_index(commands.names[i]) == ARRAY_COUNT(known))
            (void)fprintf(stream, "  %s\n", commands.names[i]);
    }
    (void)fputs(
        "\n`nodag help COMMAND` says what a command takes; `nodag completion bash` prints a "
        "script that\ncompletes them: source <(nodag completion bash). Any executable "
        "nodag-NAME on the PATH is a command.\n",
        stream);
    release(&commands);
}

static void print_list(void)
{
    struct commands commands;
    collect(&commands);
    for (size_t i = 0; i < commands.count; i++)
        (void)puts(commands.names[i]);
    (void)puts("help\ncompletion\n--help\n--version\n--list-options");
    release(&commands);
}

static int print_completion(const char *shell)
{
    if (shell == NULL || strcmp(shell, "bash") != 0) {
        (void)fprintf(stderr, "nodag completion: only bash is known: nodag completion bash\n");
        return EXIT_STATUS_USAGE;
    }
    (void)fputs("# Completes nodag's commands and options in bash; every command lists its own.\n"
                "_nodag() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} words=() i\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        case ${COMP_WORDS[i]} in\n"
                "        -*) ;;\n"
                "        *) ((${#words[@]} < 2)) && words+=(\"${COMP_WORDS[i]}\") ;;\n"
                "        esac\n"
                "    done\n"
                "    [[ ${words[0]} == help ]] && words=()\n"
                "    local list\n"
                "    list=$(nodag \"${words[@]}\" --list-options 2>/dev/null) ||\n"
                "        list=$(nodag \"${words[0]}\" --list-options 2>/dev/null)\n"
                "    mapfile -t COMPREPLY < <(compgen -W \"$list\" -- \"$word\")\n"
                "}\n"
                "complete -o default -F _nodag nodag\n",
                stdout);
    return EXIT_STATUS_OK;
}

/* ---- running ---- */

/* A command that is being looked for. */
struct run {
    const char *name; /* without the prefix */
    char **argv;      /* argv[0] is replaced */
    bool refused;     /* it was found, and the kernel did not run it */
};

/* Becomes the command if the folder has it; returns only if not. */
static bool try_folder(const char *folder, void *argument)
{
    struct run *run = argument;
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/" COMMAND_PREFIX "%s", folder, run->name);
    if (length < 0 || (size_t)length >= sizeof(path) || !is_executable(path))
        return false;
    run->argv[0] = path;
    (void)execv(path, run->argv);
    (void)fprintf(stderr, "nodag: %s cannot be run: %s\n", path, strerror(errno));
    run->refused = true;
    return true;
}

static int run_command(char **argv)
{
    struct run run = {.name = argv[0], .argv = argv};
    if (is_name(run.name))
        (void)visit_folders(try_folder, &run);
    if (run.refused)
        return EXIT_STATUS_FAILED;
    struct commands commands;
    collect(&commands);
    const char *near = nearest_name(run.name, (const char *const *)commands.names, commands.count);
    (void)fprintf(stderr, "nodag: there is no command \"%s\"%s%s%s\nTry 'nodag --help'.\n",
                  run.name, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                  near != NULL ? "?" : "");
    release(&commands);
    return EXIT_STATUS_USAGE;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    bool wants_help =
        strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (wants_help && argc > 2) {
        static char help[] = "--help";
        char *arguments[] = {argv[2], help, NULL};
        return run_command(arguments);
    }
    if (wants_help || name[0] == '\0') {
        print_help(wants_help ? stdout : stderr);
        return wants_help ? EXIT_STATUS_OK : EXIT_STATUS_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        (void)printf("nodag %s\n", NODAG_VERSION);
        return EXIT_STATUS_OK;
    }
    if (strcmp(name, "--list-options") == 0) {
        print_list();
        return EXIT_STATUS_OK;
    }
    if (strcmp(name, "completion") == 0)
        return print_completion(argc > 2 ? argv[2] : NULL);
    if (name[0] == '-') {
        (void)fprintf(stderr, "nodag: unknown option %s\nTry 'nodag --help'.\n", name);
        return EXIT_STATUS_USAGE;
    }
    return run_command(argv + 1);
}
