/*
 * nodag specs check: the validation of documents for people and their continuous integration.
 *
 * Design: all arguments together are one source, as if they were pushed together: the same plan that
 * publishes documents finds duplicates among them, and says what is wrong. Besides, Labelers that
 * certainly match the same repositories are named: when they run, neither would act there.
 */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "topics/spec_document.h"
#include "topics/spec_folder.h"
#include "topics/spec_set.h"
#include "topics/specs_command.h"
#include "topics/topics_command.h"

/* What stands for the arguments as a source. */
#define CHECK_SOURCE "the files given"

/* What the command line says. */
struct check_settings {
    bool from_folder;         /* --from-folder */
    bool json;                /* --json */
    struct option_list names; /* --allow-name */
    struct option_list targets;
    struct option_list labels;
};

static const struct option_row rows[] = {
    {.name = "from-folder",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct check_settings, from_folder),
     .group = "What",
     .help = "Check them as a daemon with --specs reads them: a Labeler needs `since` then."},
    {.name = "allow-name",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct check_settings, names),
     .value_name = "GLOB",
     .help = "What the source may define: NAME or KIND/NAME; as allow.names at the door. Without "
             "it everything."},
    {.name = "allow-target",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct check_settings, targets),
     .value_name = "GLOB",
     .help = "What its documents may act on; as allow.targets."},
    {.name = "allow-label",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct check_settings, labels),
     .value_name = "GLOB",
     .help = "What its Labelers may include; as allow.labels."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct check_settings, json),
     .group = "Output",
     .help = "Print a JSON object: valid documents, and errors with file, line and column."},
};

static const struct option_program program = {
    .name = "nodag specs check",
    .summary = "Checks documents as they are checked when they are published.",
    .usage = "[OPTION…] FILE|DIR…",
    .description =
        "Of a folder all .yaml and .yml files are read, also in folders below. Documents "
        "of other apiVersions are passed over. Everything wrong is printed as "
        "file:line:column: what; what to do. Exit status 0: all valid; 1: not.",
    .examples = "nodag specs check nodag/\n"
                "nodag specs check --json labeler.yaml | jq -r '.errors[].text'",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1000,
};

/* Everything that was read. */
struct check {
    struct spec_folder **folders; /* owned; one for each argument */
    size_t folder_count;          /* how many */
    struct spec_file *files;      /* owned array; texts are the folders' */
    size_t file_count;            /* how many */
    struct buffer errors;         /* lines */
};

/* Reads an argument; its files are called as a person would call them. */
static int check_read(struct check *check, const char *path, struct error *error)
{
    struct spec_folder *folder = NULL;
    int code = spec_folder_read(path, &folder, error);
    if (code != 0)
        return code;
    check->folders[check->folder_count++] = folder;
    check->files = mem_resize_array(check->files, check->file_count + folder->file_count,
                                    sizeof(check->files[0]));
    size_t path_bytes = strlen(path);
    const char *slash = path_bytes > 0 && path[path_bytes - 1] == '/' ? "" : "/";
    for (size_t i = 0; i < folder->file_count; i++) {
        struct spec_file *file = &folder->files[i];
        if (strcmp(file->path, path) != 0) {
            char *whole = mem_format("%s%s%s", path, slash, file->path);
            free((char *)(uintptr_t)file->path); /* const for readers only */
            file->path = whole;
        }
        check->files[check->file_count++] = *file;
    }
    return 0;
}

static void check_release(struct check *check)
{
    for (size_t i = 0; i < check->folder_count; i++)
        spec_folder_free(check->folders[i]);
    mem_free(check->folders);
    mem_free(check->files);
    buffer_release(&check->errors);
}

/* --- Labelers that match the same --- */

/* Returns an entry of `left` that certainly matches what an entry of `right` does, or NULL. */
static const char *check_overlap(const json_t *left, const json_t *right)
{
    size_t i = 0;
    size_t j = 0;
    const json_t *one = NULL;
    const json_t *other = NULL;
    json_array_foreach(left, i, one)
    {
        json_array_foreach(right, j, other)
        {
            if (spec_glob_covers(json_string_value(one), json_string_value(other)))
                return json_string_value(other);
            if (spec_glob_covers(json_string_value(other), json_string_value(one)))
                return json_string_value(one);
        }
    }
    return NULL;
}

static void check_pair(struct check *check, const struct spec_change *left,
                       const struct spec_change *right)
{
    const char *both = check_overlap(spec_get(left->record->valid, "spec.repositories"),
                                     spec_get(right->record->valid, "spec.repositories"));
    if (both == NULL)
        return;
    (void)!buffer_append_format(
        &check->errors,
        "%s%s:%d: %s and %s (%s:%d) both match %s, so neither would act there; "
        "change `repositories` of one of them",
        check->errors.size_bytes > 0 ? "\n" : "", right->record->valid_place.path,
        right->record->valid_place.line, right->key, left->key, left->record->valid_place.path,
        left->record->valid_place.line, both);
}

static bool check_is_labeler(const struct spec_change *change)
{
    return change->record->valid != NULL &&
           strncmp(change->key, "Labeler/", strlen("Labeler/")) == 0;
}

static void check_labelers(struct check *check, const struct spec_plan *plan)
{
    for (size_t i = 0; i < plan->change_count; i++)
        for (size_t j = 0; j < i; j++)
            if (check_is_labeler(&plan->changes[i]) && check_is_labeler(&plan->changes[j]))
                check_pair(check, &plan->changes[j], &plan->changes[i]);
}

/* --- printing --- */

/* Splits "file:line:column: text" of one of the files. */
static json_t *check_error_object(const struct check *check, const char *line)
{
    for (size_t i = 0; i < check->file_count; i++) {
        const char *path = check->files[i].path;
        size_t path_bytes = strlen(path);
        if (strncmp(line, path, path_bytes) != 0 || line[path_bytes] != ':')
            continue;
        struct spec_errors errors = {0};
        struct error error = {0};
        (void)error_set(&error, ERR_INPUT, "%s", line);
        spec_errors_take(&errors, path, &error);
        json_t *object =
            json_pack("{s:s, s:i, s:i, s:s}", "file", path, "line", errors.items[0].line, "column",
                      errors.items[0].column, "text", errors.items[0].text);
        spec_errors_release(&errors);
        return object;
    }
    return json_pack("{s:s}", "text", line);
}

static void check_print_json(struct check *check, const struct spec_plan *plan)
{
    CLEANUP(json_release) json_t *valid = json_array();
    CLEANUP(json_release) json_t *errors = json_array();
    for (size_t i = 0; i < plan->change_count; i++)
        if (plan->changes[i].record->valid != NULL)
            (void)json_array_append_new(valid, json_string(plan->changes[i].key));
    char *rest = check->errors.data;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        (void)json_array_append_new(errors, check_error_object(check, line));
    CLEANUP(json_release)
    json_t *result = json_pack("{s:O, s:O}", "valid", valid, "errors", errors);
    CLEANUP(mem_free) char *text = json_write(result, NULL);
    (void)puts(text);
}

static void check_print(const struct check *check, const struct spec_plan *plan)
{
    size_t valid = 0;
    for (size_t i = 0; i < plan->change_count; i++)
        valid += plan->changes[i].record->valid != NULL ? 1 : 0;
    if (check->errors.size_bytes > 0)
        (void)fprintf(stderr, "%s\n", check->errors.data);
    else if (valid == 0)
        (void)fprintf(stderr, "nodag specs check: there is no document of nodag's in %zu files\n",
                      check->file_count);
    (void)printf("%zu valid document%s in %zu file%s\n", valid, valid == 1 ? "" : "s",
                 check->file_count, check->file_count == 1 ? "" : "s");
}

static struct spec_globs check_globs(const struct option_list *list)
{
    return (struct spec_globs){
        .is_set = list->count > 0, .count = list->count, .items = list->items};
}

/* Checks what was read; returns the exit status. */
static int check_run(struct check *check, const struct check_settings *settings)
{
    const struct spec_source source = {
        .repository = CHECK_SOURCE,
        .is_known = true,
        .strictness = settings->from_folder ? SPEC_FROM_FOLDER : SPEC_FROM_GIT,
        .allow = {.names = check_globs(&settings->names),
                  .targets = check_globs(&settings->targets),
                  .labels = check_globs(&settings->labels)},
        .files = check->files,
        .file_count = check->file_count,
    };
    CLEANUP(spec_store_free) struct spec_store *nothing = spec_store_new();
    CLEANUP(spec_plan_free) struct spec_plan *plan = spec_plan_make(&source, 1, nothing, 0);
    for (size_t i = 0; i < plan->change_count; i++)
        if (plan->changes[i].record->reason != NULL)
            (void)!buffer_append_format(&check->errors, "%s%s",
                                        check->errors.size_bytes > 0 ? "\n" : "",
                                        plan->changes[i].record->reason);
    check_labelers(check, plan);
    bool failed = check->errors.size_bytes > 0;
    if (settings->json)
        check_print_json(check, plan);
    else
        check_print(check, plan);
    return failed ? EXIT_STATUS_FAILED : EXIT_STATUS_OK;
}

int specs_check(int argc, char **argv)
{
    struct check_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct check check = {.errors = BUFFER_INIT(SPEC_FOLDER_MAX_BYTES)};
    struct error error = {0};
    int code = 0;
    check.folders = mem_alloc_array((size_t)(argc - first), sizeof(check.folders[0]));
    for (int i = first; i < argc && code == 0; i++)
        code = check_read(&check, argv[i], &error);
    status = code == 0 ? check_run(&check, &settings) : command_fail(&program, &error);
    check_release(&check);
    return status;
}
