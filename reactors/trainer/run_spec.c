/*
 * Reading run.json: see run_spec.h.
 */
#include "reactors/trainer/run_spec.h"

#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

/* Digits of a commit: SHA-1 or SHA-256. */
#define SHA1_DIGITS 40
/* See SHA1_DIGITS. */
#define SHA256_DIGITS 64

static const char *const known[] = {"run",          "model",   "cause",       "attempt",
                                    "repository",   "commit",  "notebook",    "requirements",
                                    "parameters",   "network", "deadline_ms", "memory_bytes",
                                    "output_bytes", "dataset", "artefacts",   "git"};
static const char *const known_artefacts[] = {"url", "endpoint", "region", "credentials_file"};
static const char *const known_git[] = {"credentials", "known_hosts", "ca"};
static const char *const known_dataset[] = {"file", "argv"};

/* Refuses members that nobody reads. */
static int check_names(const json_t *object, const char *where, const char *const *names,
                       size_t count, struct error *error)
{
    const char *name = NULL;
    json_t *value = NULL;
    if (!json_is_object(object))
        return error_set(error, ERR_INPUT, "%s is not an object", where);
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < count; i++)
            is_known |= strcmp(name, names[i]) == 0;
        if (!is_known)
            return error_set(error, ERR_INPUT, "%s has a member `%s` that nobody knows", where,
                             name);
    }
    return 0;
}

/* A text that must be there and not empty. */
static int need_text(const json_t *object, const char *name, const char **ret_text,
                     struct error *error)
{
    int code = json_get_text(object, name, ret_text, error);
    if (code == 0 && **ret_text == '\0')
        code = error_set(error, ERR_INPUT, "`%s` is empty", name);
    return code == ERR_NOT_FOUND ? error_set(error, ERR_INPUT, "`%s` is missing", name) : code;
}

/* A text that may be missing. */
static int may_text(const json_t *object, const char *name, const char **ret_text,
                    struct error *error)
{
    int code = json_get_text(object, name, ret_text, error);
    return code == ERR_NOT_FOUND ? 0 : code;
}

/* A whole number that may be missing. */
static int may_number(const json_t *object, const char *name, int64_t least, int64_t most,
                      int64_t otherwise, int64_t *ret_number, struct error *error)
{
    int64_t number = 0;
    int code = json_get_int(object, name, &number, error);
    if (code == ERR_NOT_FOUND) {
        *ret_number = otherwise;
        return 0;
    }
    if (code == 0 && (number < least || number > most))
        code = error_set(error, ERR_INPUT, "`%s` must lie in %lld..%lld", name, (long long)least,
                         (long long)most);
    if (code == 0)
        *ret_number = number;
    return code;
}

bool run_path_is_inside(const char *path)
{
    if (path[0] == '\0' || strlen(path) >= 4096)
        return false;
    for (;;) {
        size_t bytes = strcspn(path, "/");
        if (bytes == 0 || (bytes == 1 && path[0] == '.') ||
            (bytes == 2 && memcmp(path, "..", 2) == 0))
            return false;
        if (path[bytes] == '\0')
            return true;
        path += bytes + 1;
    }
}

static bool is_commit(const char *text)
{
    size_t digits = strspn(text, "0123456789abcdef");
    return text[digits] == '\0' && (digits == SHA1_DIGITS || digits == SHA256_DIGITS);
}

static int read_source(struct run_spec *spec, struct error *error)
{
    const json_t *json = spec->json;
    const char *repository = NULL;
    int code = need_text(json, "repository", &repository, error);
    if (code == 0) {
        CLEANUP(mem_free)
        char *url = mem_format("%s%s", repository[0] == '/' ? "file://" : "", repository);
        code = git_url_parse(url, &spec->repository, error);
    }
    if (code == 0)
        code = need_text(json, "commit", &spec->commit, error);
    if (code == 0 && !is_commit(spec->commit))
        code = error_set(error, ERR_INPUT, "`commit` is not a full hash");
    if (code == 0)
        code = need_text(json, "notebook", &spec->notebook, error);
    if (code == 0 && !run_path_is_inside(spec->notebook))
        code = error_set(error, ERR_INPUT, "`notebook` is not a path in the repository");
    if (code == 0)
        code = may_text(json, "requirements", &spec->requirements, error);
    if (code == 0 && spec->requirements != NULL && !run_path_is_inside(spec->requirements))
        code = error_set(error, ERR_INPUT, "`requirements` is not a path in the repository");
    const json_t *git = json_object_get(json, "git");
    if (code != 0 || git == NULL)
        return code;
    code = check_names(git, "`git`", known_git, ARRAY_COUNT(known_git), error);
    if (code == 0)
        code = may_text(git, "credentials", &spec->git_credentials, error);
    if (code == 0)
        code = may_text(git, "known_hosts", &spec->git_known_hosts, error);
    if (code == 0)
        code = may_text(git, "ca", &spec->git_ca, error);
    return code;
}

static int read_dataset(struct run_spec *spec, struct error *error)
{
    const json_t *dataset = json_object_get(spec->json, "dataset");
    int code = check_names(dataset, "`dataset`", known_dataset, ARRAY_COUNT(known_dataset), error);
    if (code == 0)
        code = may_text(dataset, "file", &spec->dataset_file, error);
    if (code != 0)
        return code;
    spec->dataset_argv = json_object_get(dataset, "argv");
    if ((spec->dataset_file == NULL) == (spec->dataset_argv == NULL))
        return error_set(error, ERR_INPUT, "`dataset` must have one of `file` and `argv`");
    if (spec->dataset_file != NULL)
        return 0;
    size_t count = json_array_size(spec->dataset_argv);
    if (count == 0 || count > RUN_DATASET_WORDS_MAX)
        return error_set(error, ERR_INPUT, "`dataset.argv` must have 1..%d texts",
                         RUN_DATASET_WORDS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(spec->dataset_argv, i)))
            return error_set(error, ERR_INPUT, "`dataset.argv` must be a list of texts");
    return 0;
}

static int read_artefacts(struct run_spec *spec, struct error *error)
{
    const json_t *artefacts = json_object_get(spec->json, "artefacts");
    int code =
        check_names(artefacts, "`artefacts`", known_artefacts, ARRAY_COUNT(known_artefacts), error);
    if (code == 0)
        code = need_text(artefacts, "url", &spec->artefacts_url, error);
    if (code == 0)
        code = may_text(artefacts, "endpoint", &spec->artefacts_endpoint, error);
    if (code == 0)
        code = may_text(artefacts, "region", &spec->artefacts_region, error);
    if (code == 0)
        code = may_text(artefacts, "credentials_file", &spec->artefacts_credentials, error);
    return code;
}

static int read_limits(struct run_spec *spec, struct error *error)
{
    const json_t *json = spec->json;
    int code = json_get_bool(json, "network", &spec->network, error);
    if (code == ERR_NOT_FOUND)
        code = 0;
    if (code == 0)
        code = may_number(json, "deadline_ms", 1, RUN_DEADLINE_MOST_MS, RUN_DEADLINE_DEFAULT_MS,
                          &spec->deadline_ms, error);
    if (code == 0)
        code = may_number(json, "memory_bytes", RUN_MEMORY_LEAST_BYTES, RUN_BYTES_MOST,
                          RUN_MEMORY_DEFAULT_BYTES, &spec->memory_bytes, error);
    if (code == 0)
        code = may_number(json, "output_bytes", RUN_OUTPUT_LEAST_BYTES, RUN_BYTES_MOST,
                          RUN_OUTPUT_DEFAULT_BYTES, &spec->output_bytes, error);
    spec->parameters = json_object_get(json, "parameters");
    if (code == 0 && spec->parameters != NULL && !json_is_object(spec->parameters))
        code = error_set(error, ERR_INPUT, "`parameters` is not an object");
    return code;
}

int run_spec_read(json_t *json, struct run_spec *ret_spec, struct error *error)
{
    struct run_spec spec = {.json = json_incref(json)};
    int code = check_names(json, "run.json", known, ARRAY_COUNT(known), error);
    if (code == 0)
        code = need_text(json, "run", &spec.run, error);
    if (code == 0)
        code = need_text(json, "model", &spec.model, error);
    if (code == 0)
        code = read_source(&spec, error);
    if (code == 0)
        code = read_dataset(&spec, error);
    if (code == 0)
        code = read_artefacts(&spec, error);
    if (code == 0)
        code = read_limits(&spec, error);
    if (code != 0) {
        run_spec_release(&spec);
        return code;
    }
    *ret_spec = spec;
    return 0;
}

void run_spec_release(struct run_spec *spec)
{
    json_decref(spec->json);
    memset(spec, 0, sizeof(*spec));
}
