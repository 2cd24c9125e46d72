/*
 * nodag-train-run: the supervisor of one run, and what its children run (run_sandbox.h, base/git_credential.h).
 *
 * Design: this file is options, signals and the lock. Exit status 0: the result is written, whatever it says; RUN_EXIT_TAKEN: the directory has or had
 * another supervisor; 1: no result could be written, or the directory is not one; 2: usage.
 *
 * Invariant: nothing is done before the lock is held.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/git_credential.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/option.h"
#include "reactors/trainer/run_check.h"
#include "reactors/trainer/run_directory.h"
#include "reactors/trainer/run_sandbox.h"
#include "reactors/trainer/run_supervisor.h"

/* The run's user where none is named: above what systems give to people and services, below what containers map. */
#define USER_DEFAULT "62001"

/* Where an installation keeps the requirements of the example notebook, seen from the executables. */
#define REQUIREMENTS_PLACE "../share/nodag/notebooks/requirements.txt"

/* The command line. */
struct main_settings {
    const char *cache;
    const char *python;
    const char *nodag;
    const char *requirements;
    const char *pip_config;
    int64_t user;
    int64_t group;
    int64_t upload_patience_ms;
    bool observe;
    bool check;
};

/* Offsets into the settings, short enough to be read in the table. */
#define AT(member) offsetof(struct main_settings, member)

/* clang-format off: a row is an option */
static const struct option_row main_rows[] = {
    {.name = "cache",
     .kind = OPTION_FILE,
     .offset = AT(cache),
     .default_value = "/var/cache/nodag/environments",
     .value_name = "FOLDER",
     .group = "Environment",
     .help = "Folder of virtual environments, for this user alone. It may be deleted while nothing "
             "runs."},
    {.name = "python",
     .kind = OPTION_TEXT,
     .offset = AT(python),
     .default_value = "python3",
     .value_name = "PROGRAM",
     .help = "The interpreter that environments are made with."},
    {.name = "requirements",
     .kind = OPTION_FILE,
     .offset = AT(requirements),
     .help = "requirements.txt for repositories that have none beside the notebook. Default: the "
             "example notebook's."},
    {.name = "pip-config",
     .kind = OPTION_FILE,
     .offset = AT(pip_config),
     .default_value = "/etc/pip.conf",
     .help = "pip's configuration, seen only while an environment is built, by the run's user: a "
             "password in it is not secret from "
             "who can push."},
    {.name = "nodag",
     .kind = OPTION_FILE,
     .offset = AT(nodag),
     .help = "The executable that notebooks call for `nodag model`. Its folder is shown to them, "
             "read-only. Default: beside this one."},
    {.name = "run-user",
     .kind = OPTION_INTEGER,
     .offset = AT(user),
     .default_value = USER_DEFAULT,
     .least = 1,
     .most = INT32_MAX,
     .value_name = "UID",
     .group = "Rights",
     .help =
         "Started as root: the number of the user that notebooks run as. It should own nothing."},
    {.name = "run-group",
     .kind = OPTION_INTEGER,
     .offset = AT(group),
     .default_value = USER_DEFAULT,
     .least = 1,
     .most = INT32_MAX,
     .value_name = "GID",
     .help = "Likewise the number of its only group."},
    {.name = "upload-patience",
     .kind = OPTION_DURATION,
     .offset = AT(upload_patience_ms),
     .default_value = "10m",
     .least = 0,
     .most = 86400000,
     .group = "Artefacts",
     .help = "How long an artefact store that cannot be reached is tried again, before the run has "
             "failed; not beyond its "
             "deadline."},
    {.name = "observe",
     .kind = OPTION_FLAG,
     .offset = AT(observe),
     .group = "Other",
     .help = "Run nothing: print as JSON what is seen of the run."},
    {.name = "check",
     .kind = OPTION_FLAG,
     .offset = AT(check),
     .help = "Run nothing, without RUN_DIR: tell whether a sandbox can be made on this machine "
             "(status 0), or why not (status 1)."},
};
/* clang-format on */

static const struct option_program program = {
    .name = "nodag-train-run",
    .summary = "run one training notebook, in a sandbox, and store what it leaves",
    .usage = "[OPTION…] RUN_DIR\n  nodag-train-run --check",
    .description = "The trainer starts it for each run. RUN_DIR holds run.json, which says what to "
                   "run; at the "
                   "end it holds result.json. Only one supervisor ever takes a directory.",
    .examples = "  nodag-train-run --observe runs/labels-0123456789ab-1\n"
                "  nodag-train-run --check\n",
    .rows = main_rows,
    .row_count = ARRAY_COUNT(main_rows),
    .positional_most = 1,
};

/* What signals reach. */
struct watched {
    struct run *run; /* borrowed */
};

static void on_signal(void *argument)
{
    struct watched *watched = argument;
    run_cancel(watched->run, "the supervisor was told to stop (SIGTERM)");
}

static int fail(const struct error *error)
{
    (void)fprintf(stderr, "nodag-train-run: %s\n", error->text);
    return error->code == ERR_CONFLICT ? RUN_EXIT_TAKEN : EXIT_STATUS_FAILED;
}

static int observe(const char *folder)
{
    struct error error = {0};
    struct run_result result = {.state = RUN_FAILED};
    enum run_sight sight = RUN_SIGHT_ABSENT;
    if (run_directory_observe(folder, &sight, &result, &error) != 0)
        return fail(&error);
    CLEANUP(json_release) json_t *seen = json_pack("{s:s}", "sight", run_sight_name(sight));
    if (sight == RUN_SIGHT_FINISHED)
        (void)json_object_set(seen, "result", result.json);
    CLEANUP(mem_free) char *text = json_write(seen, NULL);
    (void)puts(text);
    if (sight == RUN_SIGHT_FINISHED)
        run_result_release(&result);
    return EXIT_STATUS_OK;
}

/* A path as the sandbox and children with other working directories need it; owned. */
static char *absolute(const char *path)
{
    char here[PATH_MAX];
    if (path == NULL || path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
        return mem_copy_text(path);
    return mem_format("%s/%s", here, path);
}

/* Runs the directory that was taken. */
static int supervise(const struct run_settings *settings)
{
    struct error error = {0};
    struct watched watched = {.run = NULL};
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    (void)signal(SIGPIPE, SIG_IGN);
    watched.run = run_new(loop, settings);
    struct loop_signal *terminate = loop_signal_new(loop, SIGTERM, on_signal, &watched);
    struct loop_signal *interrupt = loop_signal_new(loop, SIGINT, on_signal, &watched);
    loop_run(loop);
    loop_signal_free(terminate);
    loop_signal_free(interrupt);
    int code = run_outcome(watched.run, &error);
    run_free(watched.run);
    return code == 0 ? EXIT_STATUS_OK : fail(&error);
}

/* Where this executable is. */
static int find_self(char ret_path[PATH_MAX], struct error *error)
{
    ssize_t bytes = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
    if (bytes < 0)
        return error_set(error, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    ret_path[bytes] = '\0';
    return 0;
}

/* For people and scripts: the answer on standard output, a reason on standard error. */
static int check(const struct main_settings *given)
{
    struct error error = {0};
    char self[PATH_MAX];
    const struct run_settings settings = {
        .self = self, .uid = (uid_t)given->user, .gid = (gid_t)given->group};
    if (find_self(self, &error) != 0 || run_check_sandbox(&settings, &error) != 0)
        return fail(&error);
    (void)puts("training runs can be kept apart on this machine");
    return EXIT_STATUS_OK;
}

static int run_directory(const struct main_settings *given, const char *folder_given)
{
    struct error error = {0};
    char self[PATH_MAX];
    int lock_fd = -1;
    if (find_self(self, &error) != 0)
        return fail(&error);
    const char *slash = strrchr(self, '/');
    int room = slash != NULL ? (int)(slash - self) : 0;
    CLEANUP(mem_free) char *folder = realpath(folder_given, NULL);
    CLEANUP(mem_free) char *cache = absolute(given->cache);
    CLEANUP(mem_free)
    char *nodag =
        given->nodag != NULL ? absolute(given->nodag) : mem_format("%.*s/nodag", room, self);
    CLEANUP(mem_free)
    char *requirements = given->requirements != NULL
                             ? absolute(given->requirements)
                             : mem_format("%.*s/" REQUIREMENTS_PLACE, room, self);
    CLEANUP(mem_free) char *pip_config = absolute(given->pip_config);
    const struct run_settings settings = {.folder = folder,
                                          .self = self,
                                          .cache = cache,
                                          .python = given->python,
                                          .nodag = nodag,
                                          .requirements = requirements,
                                          .pip_config = pip_config,
                                          .uid = (uid_t)given->user,
                                          .gid = (gid_t)given->group,
                                          .upload_patience_ms = given->upload_patience_ms};
    if (folder == NULL)
        (void)error_set(&error, ERR_NOT_FOUND, "%s: %s", folder_given, strerror(errno));
    if (folder == NULL || run_directory_take(folder, &lock_fd, &error) != 0)
        return fail(&error);
    int status = supervise(&settings);
    (void)close(lock_fd);
    return status;
}

int main(int argc, char **argv)
{
    struct main_settings settings = {0};
    struct error error = {0};
    enum option_result what = OPTION_RUN;
    int first = 0;
    if (sandbox_is_asked(argc, argv))
        sandbox_main(argc, argv);
    if (git_credential_is_asked(argc, argv))
        return git_credential_main(argc, argv);
    if (option_parse(&program, argc, argv, &settings, &first, &what, &error) != 0)
        return option_complain(&program, &error);
    if (what == OPTION_EXIT)
        return EXIT_STATUS_OK;
    if (settings.check)
        return check(&settings);
    if (first == argc) {
        (void)error_set(&error, ERR_USAGE, "RUN_DIR is missing: the folder that holds run.json");
        return option_complain(&program, &error);
    }
    return settings.observe ? observe(argv[first]) : run_directory(&settings, argv[first]);
}
