/*
 * The worker: does one request with a mirror and ends. See work.h.
 *
 * Invariant: it writes the answer in one piece, at its end; before that nothing goes to standard output.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/git_describe.h"
#include "base/git_mirror.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/option.h"
#include "ingest/git/work.h"
#include "ingest/git/work_documents.h"

/* Times that RFC 3339 can write: 1970..9999. */
#define TIME_MOST_MS 253402300799999

_Static_assert(GIT_MOVE_COMMITS_MAX <= GIT_PUSH_COMMITS_MAX &&
                   GIT_MOVE_PATHS_MAX <= GIT_PUSH_PATHS_MAX,
               "what is described fits into a record");

/* ---- describing ---- */

static bool can_be_written(int64_t time_ms)
{
    return time_ms >= 0 && time_ms <= TIME_MOST_MS;
}

/* A push as the JSON value that its record will be. */
static json_t *make_push(const struct git_push *push)
{
    size_t bytes = 0;
    json_t *value = NULL;
    CLEANUP(mem_free) char *text = git_push_write(push, &bytes);
    int code = json_read(text, bytes, &value, NULL);
    return code == 0 ? json_pack("{s:o}", "push", value) : NULL;
}

static json_t *make_moved(const char *repository, const struct work_move *asked,
                          const struct git_move *move)
{
    CLEANUP(git_push_release)
    struct git_push push = {
        .repository = repository,
        .ref = asked->ref,
        .old_id = asked->old_id[0] != '\0' ? asked->old_id : NULL,
        .new_id = move->new_id,
        .move = asked->move,
        .forced = move->forced,
        .has_time = move->has_time && can_be_written(move->time_ms),
        .time_ms = move->time_ms,
        .commit_count = move->commit_count,
        .commits_truncated = move->commits_truncated,
        .path_count = move->path_count,
        .paths_truncated = move->paths_truncated,
    };
    push.commits = mem_alloc_array(move->commit_count, sizeof(*push.commits));
    for (size_t i = 0; i < move->commit_count; i++) {
        const struct git_move_commit *commit = &move->commits[i];
        push.commits[i] = (struct git_push_commit){.id = commit->id,
                                                   .author = commit->author,
                                                   .subject = commit->subject,
                                                   .has_time = can_be_written(commit->time_ms),
                                                   .time_ms = commit->time_ms};
    }
    push.paths = mem_alloc_array(move->path_count, sizeof(*push.paths));
    for (size_t i = 0; i < move->path_count; i++)
        push.paths[i] = move->paths[i];
    return make_push(&push);
}

static json_t *make_failed(int code, const struct error *error)
{
    return json_pack("{s:s, s:s}", "code", err_name(code), "text", error->text);
}

static json_t *make_deleted(struct git_mirror *mirror, const char *repository,
                            const struct work_move *asked)
{
    struct error error = {.text = ""};
    const struct git_push push = {
        .repository = repository, .ref = asked->ref, .old_id = asked->old_id, .move = asked->move};
    int code = git_mirror_forget(mirror, asked->ref, &error);
    return code == 0 ? make_push(&push) : make_failed(code, &error);
}

static json_t *describe_one(struct git_mirror *mirror, const char *repository,
                            const struct work_move *asked)
{
    CLEANUP(git_move_release) struct git_move move = {.paths = NULL};
    struct error error = {.text = ""};
    if (asked->is_deleted)
        return make_deleted(mirror, repository, asked);
    int code = git_describe_move(mirror, asked->ref, asked->old_id, &move, &error);
    if (code != 0)
        return make_failed(code, &error);
    if (strcmp(move.new_id, asked->old_id) == 0)
        return json_pack("{s:b}", "unmoved", 1);
    return make_moved(repository, asked, &move);
}

static int read_move(const json_t *item, struct work_move *move, struct error *error)
{
    move->old_id = json_text_or(item, "old", "");
    int code = json_get_text(item, "ref", &move->ref, error);
    if (code == 0)
        code = json_get_int(item, "move", &move->move, error);
    return code == 0 ? json_get_bool(item, "deleted", &move->is_deleted, error) : code;
}

static int do_describe(const json_t *request, const char *folder, json_t *answer,
                       struct error *error)
{
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    const char *repository = NULL;
    int code = json_get_text(request, "repository", &repository, error);
    if (code == 0)
        code = git_mirror_open(folder, &mirror, error);
    if (code != 0)
        return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
    json_t *results = json_array();
    (void)json_object_set_new(answer, "results", results);
    const json_t *moves = json_object_get(request, "moves");
    for (size_t i = 0; i < json_array_size(moves) && code == 0; i++) {
        struct work_move move;
        code = read_move(json_array_get(moves, i), &move, error);
        if (code == 0)
            (void)json_array_append_new(results, describe_one(mirror, repository, &move));
    }
    (void)json_object_set_new(answer, "bytes", json_integer(git_mirror_bytes(folder)));
    return code;
}

/* ---- the others ---- */

static int do_prepare(const json_t *request, const char *folder, json_t *answer,
                      struct error *error)
{
    const char *config = NULL;
    int code = json_get_text(request, "config", &config, error);
    if (code == 0)
        code = git_mirror_prepare(folder, config, error);
    if (code == 0)
        (void)json_object_set_new(answer, "bytes", json_integer(git_mirror_bytes(folder)));
    return code;
}

static int do_request(const json_t *request, json_t *answer, struct error *error)
{
    const char *what = json_text_or(request, "do", "");
    const char *folder = NULL;
    int code = json_get_text(request, "folder", &folder, error);
    if (code != 0)
        return code;
    if (strcmp(what, "prepare") == 0)
        return do_prepare(request, folder, answer, error);
    if (strcmp(what, "describe") == 0)
        return do_describe(request, folder, answer, error);
    if (strcmp(what, "documents") == 0)
        return work_do_documents(request, folder, answer, error);
    if (strcmp(what, "discard") == 0)
        return git_mirror_discard(folder, error);
    return error_set(error, ERR_INPUT, "nothing is known of \"%s\"", what);
}

/* Reads standard input to its end. */
static int read_input(struct buffer *text)
{
    char bytes[65536];
    for (;;) {
        ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? ERR_IO : 0;
        int code = buffer_append(text, bytes, (size_t)got);
        if (code != 0)
            return code;
    }
}

static int write_answer(const json_t *answer)
{
    size_t left = 0;
    CLEANUP(mem_free) char *text = json_write(answer, &left);
    for (const char *at = text; left > 0;) {
        ssize_t written = write(STDOUT_FILENO, at, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return ERR_IO;
        at += written;
        left -= (size_t)written;
    }
    return 0;
}

bool work_is_asked(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], WORK_ARGUMENT) == 0;
}

int work_main(void)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(WORK_REQUEST_MAX_BYTES);
    CLEANUP(json_release) json_t *request = NULL;
    CLEANUP(json_release) json_t *answer = json_object();
    struct error error = {.text = ""};
    int code = read_input(&text);
    if (code == 0)
        code = json_read(text.data != NULL ? text.data : "", text.size_bytes, &request, &error);
    if (code == 0)
        code = do_request(request, answer, &error);
    if (code == 0)
        code = write_answer(answer);
    if (code != 0)
        (void)fprintf(stderr, "%s: %s\n", err_name(code),
                      error.text[0] != '\0' ? error.text : err_text(code));
    return code == 0 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
