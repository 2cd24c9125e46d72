/*
 * The virtual environment of a run: see run_supervisor.h.
 *
 *      python ─▶ key ─▶ lock together ─▶ CACHE/KEY is there? ──yes────────────────────────────▶ notebook
 *                                             └─no─▶ lock alone ─▶ sweep ─▶ venv ─▶ pip ─▶ rename ─▶ lock together ─▶ notebook
 *
 * Invariant: CACHE/KEY is complete whenever it is there.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/run_cache.h"
#include "reactors/trainer/run_outputs.h"
#include "reactors/trainer/run_private.h"

/* Largest requirements.txt. */
#define REQUIREMENTS_MAX_BYTES ((size_t)1 << 20)

/* Its name beside a notebook, and where the sandbox sees it. */
#define REQUIREMENTS_NAME "requirements.txt"
/* See above. */
#define SANDBOX_REQUIREMENTS "/run/requirements.txt"
/* Where the sandbox sees pip's configuration. */
#define SANDBOX_PIP_CONFIG "/etc/pip.conf"

/* How often the lock of an environment that another run builds is tried. */
#define LOCK_RETRY_MS 500

/* What the interpreter says of itself. */
#define PYTHON_ANSWER_MAX_BYTES 8192

/* Asks an interpreter what it is; a virtual environment's says where its base is. */
static const char python_question[] =
    "import sys, json; print(json.dumps({'version': sys.version, 'prefix': sys.base_prefix, "
    "'program': getattr(sys, '_base_executable', sys.executable)}))";

/* ---- requirements ---- */

/* Reads the requirements that hold for the run into `text`. */
static int read_requirements(struct run *run, struct buffer *text, struct error *error)
{
    CLEANUP(mem_free) char *checkout = mem_format("%s/" RUN_CHECKOUT, run->scratch);
    if (run->spec.requirements != NULL)
        return run_output_read(checkout, run->spec.requirements, text, error);
    const char *slash = strrchr(run->spec.notebook, '/');
    int bytes = slash != NULL ? (int)(slash - run->spec.notebook) + 1 : 0;
    CLEANUP(mem_free)
    char *beside = mem_format("%.*s" REQUIREMENTS_NAME, bytes, run->spec.notebook);
    int code = run_output_read(checkout, beside, text, error);
    return code == ERR_NOT_FOUND ? file_read(run->settings.requirements, text, error) : code;
}

/*
 * Only names, versions, markers and hashes: pip builds what a path or URL names whatever --only-binary says, and options or ${VARIABLES} would lead
 * there. So a push cannot run code while the network is open.
 */
static int check_requirements(const struct buffer *text, struct error *error)
{
    const char *line = text->data != NULL ? text->data : "";
    for (int number = 1; *line != '\0'; number++) {
        size_t bytes = strcspn(line, "\n");
        size_t blank = strspn(line, " \t\r");
        CLEANUP(mem_free)
        char *words = mem_copy_bytes(line + (blank < bytes ? blank : bytes),
                                     blank < bytes ? bytes - blank : 0);
        bool is_hash = strncmp(words, "--hash=sha256:", 14) == 0;
        words[strcspn(words, "#")] = '\0';
        if (words[0] != '\0' && ((!is_hash && !isalnum((unsigned char)words[0])) ||
                                 strpbrk(words, "/@$") != NULL || strstr(words, " -e") != NULL))
            return error_set(error, ERR_INPUT,
                             REQUIREMENTS_NAME " line %d: only names with versions, markers and "
                                               "--hash=sha256:… are taken; no paths, URLs, options "
                                               "or variables",
                             number);
        line += bytes + (line[bytes] == '\n' ? 1 : 0);
    }
    return strlen(text->data != NULL ? text->data : "") == text->size_bytes
               ? 0
               : error_set(error, ERR_INPUT, REQUIREMENTS_NAME " holds a NUL character");
}

static int copy_requirements(struct run *run, struct buffer *text, struct error *error)
{
    int code = read_requirements(run, text, error);
    run->requirements = mem_format("%s/" REQUIREMENTS_NAME, run->settings.folder);
    if (code == 0)
        code = check_requirements(text, error);
    if (code == 0)
        code = file_write_atomically(run->requirements, text->data != NULL ? text->data : "",
                                     text->size_bytes, error);
    if (code == 0 && chmod(run->requirements, 0644) != 0)
        code = error_set(error, ERR_IO, "%s: %s", run->requirements, strerror(errno));
    return code;
}

/* ---- interpreter ---- */

int run_start_python(struct run *run, struct error *error)
{
    const char *const words[] = {run->settings.python, "-I", "-c", python_question, NULL};
    const char *path = getenv("PATH");
    CLEANUP(mem_free)
    char *variable = mem_format("PATH=%s", path != NULL ? path : "/usr/local/bin:/usr/bin:/bin");
    const char *const env[] = {variable, NULL};
    struct child_spec spec = {.argv = words,
                              .env = env,
                              .output_max_bytes = PYTHON_ANSWER_MAX_BYTES,
                              .errors_max_bytes = PYTHON_ANSWER_MAX_BYTES};
    (void)error;
    run_start_child(run, &spec, false);
    return 0;
}

/* Names the environment by what goes into it. */
static void name_environment(struct run *run, const struct buffer *requirements,
                             const char *version)
{
    uint8_t bytes[DIGEST_BYTES];
    char key[DIGEST_TEXT_BYTES];
    CLEANUP(digest_free) struct digest *digest = digest_new();
    digest_update(digest, version, strlen(version) + 1);
    digest_update(digest, run->prefix, strlen(run->prefix) + 1);
    digest_update(digest, requirements->data != NULL ? requirements->data : "",
                  requirements->size_bytes);
    digest_finish(digest, bytes);
    digest_to_text(bytes, key);
    run->venv = mem_format("%s/%s", run->settings.cache, key);
    run->building = mem_format("%s.building", run->venv);
}

static int read_answer(struct run *run, const struct child_result *result, struct error *error)
{
    CLEANUP(json_release) json_t *answer = NULL;
    CLEANUP(buffer_release) struct buffer requirements = BUFFER_INIT(REQUIREMENTS_MAX_BYTES);
    const char *version = NULL;
    const char *prefix = NULL;
    const char *program = NULL;
    int code = json_read(result->output, result->output_bytes, &answer, error);
    if (code == 0)
        code = json_get_text(answer, "version", &version, error);
    if (code == 0)
        code = json_get_text(answer, "prefix", &prefix, error);
    if (code == 0)
        code = json_get_text(answer, "program", &program, error);
    if (code != 0)
        return error_prefix(error, code, "%s did not say what it is", run->settings.python);
    run->prefix = mem_copy_text(prefix);
    run->python = mem_copy_text(program);
    code = copy_requirements(run, &requirements, error);
    if (code != 0)
        return error_prefix(error, code, "requirements");
    name_environment(run, &requirements, version);
    run_log(run, "%s, Python %s", run->python, version);
    return 0;
}

void run_end_python(struct run *run, const struct child_result *result)
{
    struct error error = {0};
    if (!run_child_failed(run, result, "there is no Python to run with (--python)") &&
        read_answer(run, result, &error) != 0)
        run_set_verdict(run, RUN_FAILED, "%s", error.text);
    run_step_over(run);
}

/* ---- the cache ---- */

static bool environment_is_there(const struct run *run)
{
    return access(run->venv, F_OK) == 0;
}

/* It is there, and stays while its lock is held: until the end of the run. */
static void use_environment(struct run *run)
{
    run_cache_note_use(run->venv);
    run_go_to(run, STEP_NOTEBOOK);
}

/* Whoever waits for the lock finds the environment made by another, or makes it. */
static void on_lock_retry(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    if (run_cache_lock(run->environment_fd, false) && environment_is_there(run))
        use_environment(run);
    else if (run_cache_lock(run->environment_fd, true) && !environment_is_there(run))
        run_step_over(run);
    else {
        run_cache_unlock(run->environment_fd);
        loop_timer_set(run->retry, LOCK_RETRY_MS);
    }
}

int run_start_wait(struct run *run, struct error *error)
{
    int code = file_make_folders(run->settings.cache, 0755, error);
    if (code == 0)
        code = file_make_folders(run->venv, 0700, error); /* the cache itself */
    if (code == 0)
        code = run_cache_open_lock(run->venv, &run->environment_fd, error);
    if (code != 0)
        return code;
    run->retry = loop_timer_new(run->loop, on_lock_retry, run);
    loop_timer_set(run->retry, 0);
    return 0;
}

/* What a builder that died left behind. */
int run_start_sweep(struct run *run, struct error *error)
{
    const char *const words[] = {"rm", "-rf", "--one-file-system", "--", run->building, NULL};
    struct child_spec spec = {.argv = words, .output_file = run->log};
    (void)error;
    run_start_child(run, &spec, false);
    return 0;
}

void run_end_sweep(struct run *run, const struct child_result *result)
{
    if (!run_child_failed(run, result, "an unfinished environment could not be deleted") &&
        (mkdir(run->building, 0755) != 0 ||
         (geteuid() == 0 && chown(run->building, run->settings.uid, run->settings.gid) != 0)))
        run_set_verdict(run, RUN_FAILED, "%s: %s", run->building, strerror(errno));
    run_step_over(run);
}

/* ---- building ---- */

static void start_building(struct run *run, const char *const *words)
{
    struct sandbox sandbox = {.folder = SANDBOX_SCRATCH "/user", .network = true};
    sandbox_show(&sandbox, run->building, SANDBOX_VENV, true);
    sandbox_show(&sandbox, run->requirements, SANDBOX_REQUIREMENTS, false);
    if (run->settings.pip_config != NULL && access(run->settings.pip_config, F_OK) == 0)
        sandbox_show(&sandbox, run->settings.pip_config, SANDBOX_PIP_CONFIG, false);
    run_start_sandbox(run, &sandbox, words);
}

int run_start_venv(struct run *run, struct error *error)
{
    const char *const words[] = {run->python, "-I", "-m", "venv", SANDBOX_VENV, NULL};
    (void)error;
    start_building(run, words);
    return 0;
}

void run_end_venv(struct run *run, const struct child_result *result)
{
    (void)run_child_failed(run, result, "no virtual environment could be made");
    run_step_over(run);
}

int run_start_pip(struct run *run, struct error *error)
{
    static const char *const words[] = {SANDBOX_VENV "/bin/python",
                                        "-I",
                                        "-m",
                                        "pip",
                                        "install",
                                        "--quiet",
                                        "--only-binary=:all:",
                                        "--requirement",
                                        SANDBOX_REQUIREMENTS,
                                        NULL};
    (void)error;
    start_building(run, words);
    return 0;
}

void run_end_pip(struct run *run, const struct child_result *result)
{
    if (!run_child_failed(run, result,
                          "the packages of " REQUIREMENTS_NAME " could not be installed") &&
        rename(run->building, run->venv) != 0)
        run_set_verdict(run, RUN_FAILED, "%s: %s", run->venv, strerror(errno));
    if (!run->has_verdict)
        file_sync_folder(run->venv);
    (void)run_cache_lock(run->environment_fd, false); /* others may use it now */
    run_step_over(run);
}
