/*
 * The worker's reading of documents: see work_documents.h.
 */
#include "ingest/git/work_documents.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/git_mirror.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "ingest/git/work.h"
#include "topics/spec_document.h"
#include "topics/spec_value.h"

/* The files that are to be read. */
struct found_files {
    const json_t *globs; /* borrowed */
    char **paths;        /* owned, each owned */
    size_t count;
    int64_t skipped;   /* names that are no UTF-8 */
    bool has_too_many; /* the walk was stopped */
};

static bool is_wanted(const struct found_files *found, const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot == NULL || (strcmp(dot, ".yaml") != 0 && strcmp(dot, ".yml") != 0))
        return false;
    size_t index = 0;
    const json_t *glob = NULL;
    json_array_foreach(found->globs, index, glob)
    {
        if (json_is_string(glob) && spec_glob_matches(json_string_value(glob), path))
            return true;
    }
    return false;
}

static bool take_file(void *argument, const char *path, int64_t bytes)
{
    (void)bytes;
    struct found_files *found = argument;
    if (!is_wanted(found, path))
        return true;
    if (!utf8_is_valid(path, strlen(path))) {
        found->skipped++;
        return true;
    }
    if (found->count == WORK_FILES_MAX) {
        found->has_too_many = true;
        return false;
    }
    found->paths[found->count++] = mem_copy_text(path);
    return true;
}

static json_t *make_fault(const char *path, const char *fault)
{
    return json_pack("{s:s, s:s}", "path", path, "fault", fault);
}

/* The content as it will stand in the answer, or why it cannot. `left_bytes`: of all files. */
static json_t *make_file(const char *path, const struct buffer *content, size_t *left_bytes)
{
    const char *text = content->data != NULL ? content->data : "";
    size_t bytes = content->size_bytes;
    if (!utf8_is_valid(text, bytes) || memchr(text, '\0', bytes) != NULL)
        return make_fault(path, "it is no UTF-8 text");
    if (bytes > *left_bytes) {
        CLEANUP(mem_free)
        char *fault = mem_format("with it the files of its source have more than %u bytes; move "
                                 "some elsewhere",
                                 WORK_FILES_MAX_BYTES);
        return make_fault(path, fault);
    }
    *left_bytes -= bytes;
    return json_pack("{s:s, s:s%}", "path", path, "text", text, bytes);
}

static int read_file(struct git_mirror *mirror, const char *commit, const char *path,
                     bool is_lenient, size_t *left_bytes, json_t *files, struct error *error)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(SPEC_FILE_MAX_BYTES);
    struct error reason = {.text = ""};
    json_t *file = NULL;
    int code = git_mirror_read(mirror, commit, path, &content, &reason);
    if (code == ERR_TOO_LARGE)
        file = make_fault(path, "it is larger than 1 MiB; split it");
    else if (code != 0 && is_lenient)
        file = make_fault(path, "it is damaged in the repository");
    else if (code != 0)
        return error_set(error, code == ERR_NOT_FOUND ? ERR_CORRUPT : code, "%s", reason.text);
    else
        file = make_file(path, &content, left_bytes);
    (void)json_array_append_new(files, file);
    return 0;
}

static int read_files(struct git_mirror *mirror, const char *commit, const json_t *request,
                      struct found_files *found, json_t *files, struct error *error)
{
    bool is_lenient = json_is_true(json_object_get(request, "lenient"));
    size_t left_bytes = WORK_FILES_MAX_BYTES;
    int code = git_mirror_walk(mirror, commit, take_file, found, error);
    if (code == 0 && found->has_too_many)
        code =
            error_set(error, ERR_TOO_LARGE, "more than %d files match the paths", WORK_FILES_MAX);
    for (size_t i = 0; i < found->count && code == 0; i++)
        code = read_file(mirror, commit, found->paths[i], is_lenient, &left_bytes, files, error);
    return code;
}

_Static_assert(SPEC_FILE_MAX_BYTES == 1 << 20, "what is said of a large file is true");

int work_do_documents(const json_t *request, const char *folder, json_t *answer,
                      struct error *error)
{
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    const char *commit = NULL;
    int code = json_get_text(request, "commit", &commit, error);
    if (code == 0)
        code = git_mirror_open(folder, &mirror, error);
    if (code != 0)
        return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
    json_t *files = json_array();
    (void)json_object_set_new(answer, "files", files);
    struct found_files found = {.globs = json_object_get(request, "paths")};
    found.paths = mem_alloc_array(WORK_FILES_MAX, sizeof(*found.paths));
    code = read_files(mirror, commit, request, &found, files, error);
    (void)json_object_set_new(answer, "skipped", json_integer(found.skipped));
    for (size_t i = 0; i < found.count; i++)
        free(found.paths[i]);
    free(found.paths);
    return code;
}
