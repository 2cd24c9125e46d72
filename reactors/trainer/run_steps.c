/*
 * What the steps of a run start, but for environment and upload: see run_supervisor.h.
 *
 * Design: fetch, checkout and data set run with nodag's rights on the supervisor's own folders; notebook and report run in the sandbox and
 * see the scratch folder, the data set, the environment and the nodag executable.
 *
 * Invariant: what the sandbox wrote is judged here, by what lies there, not by an exit status alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/git_mirror.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/run_cache.h"
#include "reactors/trainer/run_outputs.h"
#include "reactors/trainer/run_private.h"

/* Largest pack or file of a repository that is fetched. */
#define FETCH_FILE_MAX_BYTES ((int64_t)4 << 30)

/* Where the sandbox sees the parameters. */
#define SANDBOX_PARAMETERS "/run/parameters.json"

/* Folders that a walk over the checkout keeps open. */
#define WALK_OPEN_MAX 32

/* Most words of a path list in the sandbox' environment. */
#define ENVIRONMENT_MAX 24

/* What every program in the sandbox gets: nothing of ours. */
static const char *const sandbox_environment[] = {
    "PATH=" SANDBOX_VENV "/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME=" SANDBOX_SCRATCH "/user",
    "TMPDIR=/tmp",
    "LANG=C.UTF-8",
    "LC_ALL=C.UTF-8",
    "TZ=UTC",
    "USER=nodag-run",
    "MPLCONFIGDIR=" SANDBOX_SCRATCH "/user/matplotlib",
    "IPYTHONDIR=" SANDBOX_SCRATCH "/user/ipython",
    "JUPYTER_CONFIG_DIR=" SANDBOX_SCRATCH "/user/jupyter/config",
    "JUPYTER_DATA_DIR=" SANDBOX_SCRATCH "/user/jupyter/data",
    "JUPYTER_RUNTIME_DIR=" SANDBOX_SCRATCH "/user/jupyter/runtime",
    "JUPYTER_PLATFORM_DIRS=1",
    "PYTHONDONTWRITEBYTECODE=1",
    "PYTHONNOUSERSITE=1",
    "PYTHONUNBUFFERED=1",
    "PYDEVD_DISABLE_FILE_VALIDATION=1",
    "PIP_NO_CACHE_DIR=1",
    "PIP_NO_INPUT=1",
    "PIP_DISABLE_PIP_VERSION_CHECK=1",
    NULL,
};

/* ---- sandbox ---- */

/* True if the path lies in what every sandbox sees. */
static bool is_system_path(const char *path)
{
    return strncmp(path, "/usr/", 5) == 0 || strcmp(path, "/usr") == 0 ||
           strncmp(path, "/bin/", 5) == 0;
}

void run_start_sandbox(struct run *run, struct sandbox *sandbox, const char *const *argv)
{
    CLEANUP(mem_free) char *programs = mem_copy_text(run->settings.nodag);
    char *slash = strrchr(programs, '/');
    if (slash != NULL)
        *slash = '\0';
    sandbox->root = run->root;
    sandbox->scratch = run->scratch;
    sandbox->uid = run->settings.uid;
    sandbox->gid = run->settings.gid;
    sandbox->memory_bytes = run->spec.memory_bytes;
    sandbox->file_bytes = run->spec.output_bytes;
    if (!is_system_path(run->prefix))
        sandbox_show(sandbox, run->prefix, run->prefix, false);
    if (!is_system_path(programs))
        sandbox_show(sandbox, programs, programs, false);
    CLEANUP(sandbox_command_free)
    char **words = sandbox_command(sandbox, run->settings.self, argv);
    struct child_spec spec = {.argv = (const char *const *)words,
                              .env = sandbox_environment,
                              .folder = "/",
                              .output_file = run->log};
    run_start_child(run, &spec, true);
}

/* The sandbox of notebook and report. */
static void start_in_environment(struct run *run, const char *folder, bool network,
                                 const char *const *argv)
{
    CLEANUP(mem_free)
    char *parameters = mem_format("%s/parameters.json", run->settings.folder);
    struct sandbox sandbox = {.folder = folder, .network = network};
    sandbox_show(&sandbox, run->venv, SANDBOX_VENV, false);
    sandbox_show(&sandbox, run->data, run->data_name, false);
    sandbox_show(&sandbox, parameters, SANDBOX_PARAMETERS, false);
    run_start_sandbox(run, &sandbox, argv);
}

/* ---- repository ---- */

int run_start_fetch(struct run *run, struct error *error)
{
    const struct git_command_limits limits = {.deadline_ms = run->spec.deadline_ms,
                                              .file_max_bytes = FETCH_FILE_MAX_BYTES};
    CLEANUP(mem_free) char *config = git_config_text(&run->access);
    struct git_command command;
    int code = git_mirror_prepare(run->mirror, config, error);
    if (code != 0)
        return code;
    git_command_fetch_commit(&command, &run->access, run->mirror, run->spec.commit, &limits);
    run_start_child(run, &command.spec, false);
    git_command_release(&command);
    return 0;
}

void run_end_fetch(struct run *run, const struct child_result *result)
{
    char what[RUN_REASON_BYTES / 2];
    (void)snprintf(what, sizeof(what), "commit %.12s of %s could not be fetched", run->spec.commit,
                   run->spec.repository.text);
    (void)run_child_failed(run, result, what);
    run_step_over(run);
}

int run_start_checkout(struct run *run, struct error *error)
{
    const struct git_command_limits limits = {.deadline_ms = run->spec.deadline_ms,
                                              .file_max_bytes = FETCH_FILE_MAX_BYTES};
    CLEANUP(mem_free) char *folder = mem_format("%s/" RUN_CHECKOUT, run->scratch);
    struct git_command command;
    (void)error;
    git_command_checkout(&command, &run->access, run->mirror, run->spec.commit, folder, &limits);
    run_start_child(run, &command.spec, false);
    git_command_release(&command);
    return 0;
}

/* Whose files of the checkout become: nftw(3) has no argument for its function. */
static uid_t owner_uid;
/* See owner_uid. */
static gid_t owner_gid;

static int give_away(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return lchown(path, owner_uid, owner_gid) == 0 ? 0 : 1;
}

void run_end_checkout(struct run *run, const struct child_result *result)
{
    CLEANUP(mem_free) char *folder = mem_format("%s/" RUN_CHECKOUT, run->scratch);
    struct error error = {0};
    int fd = -1;
    owner_uid = run->settings.uid;
    owner_gid = run->settings.gid;
    if (run_child_failed(run, result, "the commit could not be checked out")) {
        run_step_over(run);
        return;
    }
    if (run_output_open(folder, run->spec.notebook, INT64_MAX, &fd, &error) != 0)
        run_set_verdict(run, RUN_FAILED, "the notebook is not in commit %.12s: %s",
                        run->spec.commit, error.text);
    else
        (void)close(fd);
    if (geteuid() == 0 && nftw(folder, give_away, WALK_OPEN_MAX, FTW_PHYS) != 0)
        run_set_verdict(run, RUN_FAILED, "the checkout could not be given to the run's user: %s",
                        strerror(errno));
    run_step_over(run);
}

/* ---- data set ---- */

int run_start_dataset(struct run *run, struct error *error)
{
    const char *words[RUN_DATASET_WORDS_MAX + 1] = {"cp", "--", run->spec.dataset_file, run->data};
    struct child_spec spec = {.argv = words,
                              .env = (const char *const *)environ,
                              .folder = run->settings.folder,
                              .output_file = run->log};
    (void)error;
    for (size_t i = 0; i < json_array_size(run->spec.dataset_argv); i++) {
        const char *word = json_string_value(json_array_get(run->spec.dataset_argv, i));
        words[i] = strcmp(word, RUN_DATASET_PLACE) == 0 ? run->data : word;
    }
    run_start_child(run, &spec, false);
    return 0;
}

/* The sandbox' user must be able to read it; nobody else comes through the run's directory. */
void run_end_dataset(struct run *run, const struct child_result *result)
{
    if (!run_child_failed(run, result, "the data set could not be written") &&
        chmod(run->data, 0644) != 0)
        run_set_verdict(run, RUN_FAILED, "the data set was not written: %s", strerror(errno));
    run_step_over(run);
}

/* ---- notebook ---- */

/* Parameters of the document, and those that every notebook gets. */
static int write_parameters(struct run *run, struct error *error)
{
    CLEANUP(json_release)
    json_t *parameters =
        run->spec.parameters != NULL ? json_deep_copy(run->spec.parameters) : json_object();
    CLEANUP(json_release)
    json_t *own = json_pack("{s:s, s:s, s:s, s:s, s:s}", "data", run->data_name, "model",
                            SANDBOX_SCRATCH "/" RUN_OUT_MODEL, "metrics",
                            SANDBOX_SCRATCH "/" RUN_OUT_METRICS, "predictions",
                            SANDBOX_SCRATCH "/" RUN_OUT_PREDICTIONS, "nodag", run->settings.nodag);
    CLEANUP(mem_free) char *path = mem_format("%s/parameters.json", run->settings.folder);
    (void)json_object_update(parameters, own);
    int code = run_directory_write(run->settings.folder, "parameters.json", parameters, error);
    if (code == 0 && chmod(path, 0644) != 0)
        code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    return code;
}

int run_start_notebook(struct run *run, struct error *error)
{
    CLEANUP(mem_free)
    char *notebook = mem_format(SANDBOX_SCRATCH "/" RUN_CHECKOUT "/%s", run->spec.notebook);
    CLEANUP(mem_free) char *folder = mem_copy_text(notebook);
    *strrchr(folder, '/') = '\0';
    const char *const words[] = {SANDBOX_VENV "/bin/python",
                                 "-m",
                                 "papermill",
                                 notebook,
                                 SANDBOX_SCRATCH "/" RUN_OUT_NOTEBOOK,
                                 "--parameters_file",
                                 SANDBOX_PARAMETERS,
                                 "--cwd",
                                 folder,
                                 "--kernel",
                                 "python3",
                                 "--no-progress-bar",
                                 "--log-output",
                                 NULL};
    int code = write_parameters(run, error);
    if (code == 0)
        start_in_environment(run, folder, run->spec.network, words);
    return code;
}

/* A file that would be larger than all output may be (RLIMIT_FSIZE) fails its write at once, before the watch can see it: the same verdict. */
static void set_failure(struct run *run, const char *reason)
{
    if (strstr(reason, strerror(EFBIG)) != NULL)
        run_set_verdict(run, RUN_FAILED, RUN_OUTPUT_REASON " (%s)",
                        (long long)(run->spec.output_bytes >> 20), reason);
    else
        run_set_verdict(run, RUN_FAILED, "%s", reason);
}

/* Looks for a failed cell, whatever papermill's exit status was; true if there is one. */
static bool find_failure(struct run *run)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(RUN_NOTEBOOK_MAX_BYTES);
    struct error error = {0};
    char reason[RUN_REASON_BYTES];
    int code = run_output_read(run->scratch, RUN_OUT_NOTEBOOK, &text, &error);
    if (code == 0 && run_notebook_failure(text.data != NULL ? text.data : "", text.size_bytes,
                                          reason, sizeof(reason)))
        set_failure(run, reason);
    else if (code != 0 && code != ERR_NOT_FOUND)
        run_set_verdict(run, RUN_FAILED, "the executed notebook: %s", error.text);
    return run->has_verdict;
}

void run_end_notebook(struct run *run, const struct child_result *result)
{
    if (!run->has_verdict && !find_failure(run))
        (void)run_child_failed(run, result, "papermill failed");
    run_step_over(run);
}

/* ---- report ---- */

int run_start_report(struct run *run, struct error *error)
{
    static const char *const words[] = {SANDBOX_VENV "/bin/python",
                                        "-m",
                                        "nbconvert",
                                        "--to",
                                        "html",
                                        "--output-dir",
                                        SANDBOX_SCRATCH "/out",
                                        "--output",
                                        "notebook.html",
                                        "--TagRemovePreprocessor.enabled=True",
                                        "--TagRemovePreprocessor.remove_input_tags=hide-input",
                                        SANDBOX_SCRATCH "/" RUN_OUT_NOTEBOOK,
                                        NULL};
    int fd = -1;
    int code = run_output_open(run->scratch, RUN_OUT_NOTEBOOK, INT64_MAX, &fd, error);
    if (code == 0) {
        (void)close(fd);
        start_in_environment(run, SANDBOX_SCRATCH "/out", false, words);
        return 0;
    }
    if (!run->has_verdict)
        return code;
    run_step_over(run); /* it failed before there was anything to show */
    return 0;
}

/* What a success must have left, beside what the two programs wrote. */
static void check_outputs(struct run *run)
{
    static const char *const needed[] = {RUN_OUT_HTML, RUN_OUT_MODEL, RUN_OUT_PREDICTIONS};
    struct error error = {0};
    for (size_t i = 0; i < ARRAY_COUNT(needed) && !run->has_verdict; i++) {
        int fd = -1;
        if (run_output_open(run->scratch, needed[i], ARTEFACT_MAX_BYTES, &fd, &error) != 0)
            run_set_verdict(run, RUN_FAILED, "the notebook ended, but %s", error.text);
        else
            (void)close(fd);
    }
    int code = run_output_metrics(run->scratch, RUN_OUT_METRICS, &run->metrics, &error);
    if (code != 0)
        run_set_verdict(run, RUN_FAILED, "the notebook ended, but %s", error.text);
}

void run_end_report(struct run *run, const struct child_result *result)
{
    (void)run_child_failed(run, result, "nbconvert failed");
    check_outputs(run);
    run_step_over(run);
}

/* ---- cleaning ---- */

/* What of the run is stored elsewhere or of no use to people (the data set is the store's, where it can be erased), and environments. */
int run_start_clean(struct run *run, struct error *error)
{
    char *unused[RUN_CACHE_RETIRED_MAX];
    size_t count = run_cache_retire(run->settings.cache, loop_wall_ms(run->loop), unused);
    const char *words[8 + RUN_CACHE_RETIRED_MAX + 1] = {
        "rm", "-rf", "--one-file-system", "--", run->scratch, run->mirror, run->root};
    size_t used = 7;
    for (size_t i = 0; i < count; i++)
        words[used++] = unused[i];
    if (run->data != NULL)
        words[used++] = run->data;
    struct child_spec spec = {
        .argv = words, .folder = run->settings.folder, .output_file = run->log};
    (void)error;
    run_start_child(run, &spec, false);
    for (size_t i = 0; i < count; i++)
        mem_free(unused[i]);
    return 0;
}

/* What cannot be deleted costs room, nothing else. */
void run_end_clean(struct run *run, const struct child_result *result)
{
    if (result->code != 0 || result->exit_status != 0)
        run_log(run, "==> scratch could not be deleted");
    run_step_over(run);
}
