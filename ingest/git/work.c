/*
 * The daemon's side of the worker: requests and answers. See work.h.
 */
#include "ingest/git/work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

/* ---- requests ---- */

char *work_write_prepare(const char *folder, const char *config, size_t *ret_bytes)
{
    CLEANUP(json_release)
    json_t *request =
        json_pack("{s:s, s:s, s:s}", "do", "prepare", "folder", folder, "config", config);
    assert(request != NULL);
    return json_write(request, ret_bytes);
}

char *work_write_discard(const char *folder, size_t *ret_bytes)
{
    CLEANUP(json_release)
    json_t *request = json_pack("{s:s, s:s}", "do", "discard", "folder", folder);
    assert(request != NULL);
    return json_write(request, ret_bytes);
}

char *work_write_describe(const char *folder, const char *repository, const struct work_move *moves,
                          size_t count, size_t *ret_bytes)
{
    assert(count <= WORK_MOVES_MAX);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *old_id = moves[i].old_id[0] != '\0' ? moves[i].old_id : NULL;
        json_t *move =
            json_pack("{s:s, s:s?, s:I, s:b}", "ref", moves[i].ref, "old", old_id, "move",
                      (json_int_t)moves[i].move, "deleted", moves[i].is_deleted ? 1 : 0);
        assert(move != NULL); /* refs are UTF-8 */
        (void)json_array_append_new(list, move);
    }
    CLEANUP(json_release)
    json_t *request = json_pack("{s:s, s:s, s:s, s:o}", "do", "describe", "folder", folder,
                                "repository", repository, "moves", list);
    assert(request != NULL);
    return json_write(request, ret_bytes);
}

char *work_write_documents(const char *folder, const char *commit, const struct patterns *paths,
                           bool is_lenient, size_t *ret_bytes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < paths->count; i++)
        (void)json_array_append_new(list, json_string(paths->items[i]));
    CLEANUP(json_release)
    json_t *request = json_pack("{s:s, s:s, s:s, s:o, s:b}", "do", "documents", "folder", folder,
                                "commit", commit, "paths", list, "lenient", is_lenient ? 1 : 0);
    assert(request != NULL);
    return json_write(request, ret_bytes);
}

/* ---- answers ---- */

void work_answer_release(struct work_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        git_push_release(&answer->results[i].push);
    free(answer->results);
    json_decref(answer->memory);
    *answer = (struct work_answer){.count = 0};
}

/* The code of a name as err_name writes it; ERR_BUG for any other. */
static int code_from_name(const char *name, size_t bytes)
{
    static const int codes[] = {
#define CODE_OF(code_name, value, class, text) code_name,
        ERR_TABLE(CODE_OF)
#undef CODE_OF
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        const char *known = err_name(codes[i]);
        if (strlen(known) == bytes && strncmp(known, name, bytes) == 0)
            return codes[i];
    }
    return ERR_BUG;
}

static int read_result(json_t *item, struct work_result *result)
{
    json_t *push = json_object_get(item, "push");
    const char *code = json_text_or(item, "code", NULL);
    if (push != NULL) {
        size_t bytes = 0;
        CLEANUP(mem_free) char *text = json_write(push, &bytes);
        return git_push_read(text, bytes, &result->push, NULL);
    }
    if (code != NULL) {
        result->code = code_from_name(code, strlen(code));
        result->text = json_text_or(item, "text", "");
        return 0;
    }
    result->is_unmoved = json_is_true(json_object_get(item, "unmoved"));
    return result->is_unmoved ? 0 : ERR_INPUT;
}

/* A worker that failed says "CODE: text" last; sanitizers and libraries may have talked before. */
static int read_failure(const struct child_result *result, struct error *error)
{
    if (result->code != 0)
        return error_set(error, result->code, "reading the mirror: %s: %s", err_text(result->code),
                         result->errors);
    size_t bytes = result->errors_bytes;
    while (bytes > 0 && result->errors[bytes - 1] == '\n')
        bytes--;
    size_t start = bytes;
    while (start > 0 && result->errors[start - 1] != '\n')
        start--;
    const char *line = result->errors + start;
    const char *colon = memchr(line, ':', bytes - start);
    int code = colon != NULL ? code_from_name(line, (size_t)(colon - line)) : ERR_BUG;
    if (result->exit_signal != 0) /* what it read ended it: the mirror is not to be trusted */
        return error_set(error, ERR_CORRUPT, "reading the mirror was ended by signal %d",
                         result->exit_signal);
    return error_set(error, code, "%.*s", (int)(bytes - start), line);
}

int work_read_answer(const struct child_result *result, size_t count,
                     struct work_answer *ret_answer, struct error *error)
{
    CLEANUP(work_answer_release) struct work_answer answer = {.count = 0};
    if (result->code != 0 || result->exit_status != 0)
        return read_failure(result, error);
    if (json_read(result->output, result->output_bytes, &answer.memory, NULL) != 0)
        return error_set(error, ERR_BUG, "the worker's answer is no JSON");
    answer.bytes = json_int_or(answer.memory, "bytes", -1);
    json_t *list = json_object_get(answer.memory, "results");
    if (json_array_size(list) != count)
        return error_set(error, ERR_BUG, "the worker answered %zu moves instead of %zu",
                         json_array_size(list), count);
    answer.results = mem_alloc_array(count, sizeof(*answer.results));
    for (; answer.count < count; answer.count++) {
        int code = read_result(json_array_get(list, answer.count), &answer.results[answer.count]);
        if (code != 0)
            return error_set(error, ERR_BUG, "the worker's result %zu is none", answer.count);
    }
    *ret_answer = answer;
    answer = (struct work_answer){.count = 0};
    return 0;
}

void work_documents_release(struct work_documents *documents)
{
    free(documents->files);
    json_decref(documents->memory);
    *documents = (struct work_documents){.count = 0};
}

int work_read_documents(const struct child_result *result, struct work_documents *ret_documents,
                        struct error *error)
{
    CLEANUP(work_documents_release) struct work_documents documents = {.count = 0};
    if (result->code != 0 || result->exit_status != 0)
        return read_failure(result, error);
    if (json_read(result->output, result->output_bytes, &documents.memory, NULL) != 0)
        return error_set(error, ERR_BUG, "the worker's answer is no JSON");
    json_t *list = json_object_get(documents.memory, "files");
    documents.skipped = json_int_or(documents.memory, "skipped", 0);
    documents.files = mem_alloc_array(json_array_size(list), sizeof(*documents.files));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *text = json_object_get(item, "text");
        struct spec_file *file = &documents.files[documents.count++];
        *file = (struct spec_file){.path = json_text_or(item, "path", NULL),
                                   .text = json_string_value(text),
                                   .text_bytes = json_string_length(text),
                                   .fault = json_text_or(item, "fault", NULL)};
        if (file->path == NULL || (file->text == NULL) == (file->fault == NULL))
            return error_set(error, ERR_BUG, "the worker's file %zu is none", i);
    }
    *ret_documents = documents;
    documents = (struct work_documents){.count = 0};
    return 0;
}
