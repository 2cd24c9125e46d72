/*
 * Writing: labels of an issue, and comments.
 * Sources: GitHub REST API, "REST API endpoints for labels" (POST and DELETE
 * /repos/{owner}/{repo}/issues/{issue_number}/labels), "… for issue comments".
 *
 * Each write counts against the budget. Labels are added by POST, which leaves the others alone,
 * never by PUT, which replaces them all. A label is removed by its name as one segment of the
 * path; a name that a URL cannot carry is refused, because without the segment the same request
 * means "remove all labels".
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/*
 * Longest comment that is sent; GitHub takes 65,536 characters, of up to four bytes, and says so
 * itself.
 */
#define COMMENT_MAX_BYTES (65536 * 4)

/* Longest name of a label that is sent; GitHub takes 50 characters. */
#define LABEL_MAX_BYTES 512

/* Largest number of an issue or a comment. */
#define NUMBER_MAX ((int64_t)1 << 53)

/* GitHub's message where the issue is there but does not have the label. */
#define LABEL_ABSENT_MESSAGE "Label does not exist"

/* Status of "none". */
#define STATUS_NOT_FOUND 404

/* ---- answers ---- */

/*
 * 404 is two things here: the label is not on the issue, which is what was wanted, or there is no
 * issue.
 */
static int read_removal(struct forge_call *call, int status, const json_t *body,
                        struct error *error)
{
    (void)call;
    (void)error;
    if (status != STATUS_NOT_FOUND)
        return 0;
    const char *message = json_text_or(body, "message", "");
    return strcasecmp(message, LABEL_ABSENT_MESSAGE) == 0 ? 0 : ERR_NOT_FOUND;
}

/* A deleted comment: that it was gone already counts as done. */
static int read_deletion(struct forge_call *call, int status, const json_t *body,
                         struct error *error)
{
    (void)call;
    (void)status;
    (void)body;
    (void)error;
    return 0;
}

static int read_comment(struct forge_call *call, int status, const json_t *body,
                        struct error *error)
{
    (void)status;
    int64_t id = json_int_or(body, "id", 0);
    if (id <= 0)
        return error_set(error, ERR_INPUT, "the comment has no id");
    int64_t *answer = MEM_NEW(int64_t);
    *answer = id;
    call->answer = answer;
    return 0;
}

static void deliver_written(struct forge_call *call, const struct forge_result *result)
{
    const int64_t *id = call->answer;
    call->done.written(call->argument, result, result->code == 0 && id != NULL ? *id : 0);
}

static const struct forge_operation add_labels_operation = {
    .name = "add labels to",
    .method = "POST",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_write = true,
    .deliver = deliver_written,
};

static const struct forge_operation remove_label_operation = {
    .name = "remove a label from",
    .method = "DELETE",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_write = true,
    .absent_is_answer = true,
    .read = read_removal,
    .deliver = deliver_written,
};

static const struct forge_operation create_comment_operation = {
    .name = "comment on",
    .method = "POST",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_write = true,
    .read = read_comment,
    .deliver = deliver_written,
};

static const struct forge_operation edit_comment_operation = {
    .name = "edit the comment",
    .method = "PATCH",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_write = true,
    .read = read_comment,
    .deliver = deliver_written,
};

static const struct forge_operation delete_comment_operation = {
    .name = "delete the comment",
    .method = "DELETE",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_write = true,
    .absent_is_answer = true,
    .read = read_deletion,
    .deliver = deliver_written,
};

/* ---- calls ---- */

static struct forge_call *new_write(struct forge *forge, const struct forge_operation *operation,
                                    const char *repository, int64_t number, forge_written_fn done,
                                    void *argument)
{
    struct forge_call *call = forge_call_new(forge, operation, repository, argument);
    call->done.written = done;
    if (forge_url_is_repository(repository))
        forge_call_set_what(call, mem_format("%s#%" PRId64, repository, number));
    if (number <= 0 || number > NUMBER_MAX)
        (void)forge_call_fail(call, ERR_INPUT, "numbers and ids start at 1");
    return call;
}

/* Appends a label's name to an array; false if it cannot be one. */
static bool append_label(json_t *names, const char *label)
{
    size_t length = strlen(label);
    json_t *name = length > 0 && length <= LABEL_MAX_BYTES ? json_string(label) : NULL;
    return json_array_append_new(names, name) == 0;
}

struct forge_call *forge_add_labels(struct forge *forge, const char *repository, int64_t number,
                                    const char *const *labels, size_t count, forge_written_fn done,
                                    void *argument)
{
    struct forge_call *call =
        new_write(forge, &add_labels_operation, repository, number, done, argument);
    forge_call_ask(call, "/issues/%" PRId64 "/labels", number);
    CLEANUP(json_release) json_t *names = json_array();
    for (size_t i = 0; i < count; i++) {
        if (!append_label(names, labels[i]))
            (void)forge_call_fail(
                call, ERR_INPUT,
                "the name of label %zu is empty, not UTF-8, or longer than %d bytes", i + 1,
                LABEL_MAX_BYTES);
    }
    if (count == 0 || count > FORGE_ISSUE_LABELS_MAX)
        (void)forge_call_fail(call, ERR_INPUT, "%zu labels at once; 1 to %d are possible", count,
                              FORGE_ISSUE_LABELS_MAX);
    CLEANUP(json_release) json_t *body = json_pack("{s:O}", "labels", names);
    call->body = json_write(body, NULL);
    return forge_call_start(call);
}

struct forge_call *forge_remove_label(struct forge *forge, const char *repository, int64_t number,
                                      const char *label, forge_written_fn done, void *argument)
{
    struct forge_call *call =
        new_write(forge, &remove_label_operation, repository, number, done, argument);
    CLEANUP(mem_free) char *encoded = NULL;
    int code =
        strlen(label) > LABEL_MAX_BYTES ? ERR_TOO_LARGE : forge_url_encode_segment(label, &encoded);
    if (code != 0)
        (void)forge_call_fail(
            call, ERR_INPUT,
            "a label whose name is empty, \".\", \"..\" or longer than %d bytes cannot "
            "be removed by its name; remove it by hand",
            LABEL_MAX_BYTES);
    else
        forge_call_ask(call, "/issues/%" PRId64 "/labels/%s", number, encoded);
    return forge_call_start(call);
}

/* Sets {"body": …} as the call's body. */
static void set_comment_body(struct forge_call *call, const char *body)
{
    if (strlen(body) > COMMENT_MAX_BYTES) {
        (void)forge_call_fail(call, ERR_TOO_LARGE, "a comment of more than %d bytes",
                              COMMENT_MAX_BYTES);
        return;
    }
    CLEANUP(json_release) json_t *text = json_string(body);
    if (text == NULL || body[0] == '\0') {
        (void)forge_call_fail(call, ERR_INPUT, "the text of the comment is empty or not UTF-8");
        return;
    }
    CLEANUP(json_release) json_t *object = json_pack("{s:O}", "body", text);
    call->body = json_write(object, NULL);
}

struct forge_call *forge_create_comment(struct forge *forge, const char *repository, int64_t number,
                                        const char *body, forge_written_fn done, void *argument)
{
    struct forge_call *call =
        new_write(forge, &create_comment_operation, repository, number, done, argument);
    forge_call_ask(call, "/issues/%" PRId64 "/comments", number);
    set_comment_body(call, body);
    return forge_call_start(call);
}

/* Starts a write that addresses a comment by its id. */
static struct forge_call *new_comment_write(struct forge *forge,
                                            const struct forge_operation *operation,
                                            const char *repository, int64_t comment_id,
                                            forge_written_fn done, void *argument)
{
    struct forge_call *call = new_write(forge, operation, repository, comment_id, done, argument);
    if (forge_url_is_repository(repository))
        forge_call_set_what(call, mem_format("%" PRId64 " in %s", comment_id, repository));
    forge_call_ask(call, "/issues/comments/%" PRId64, comment_id);
    return call;
}

struct forge_call *forge_edit_comment(struct forge *forge, const char *repository,
                                      int64_t comment_id, const char *body, forge_written_fn done,
                                      void *argument)
{
    struct forge_call *call =
        new_comment_write(forge, &edit_comment_operation, repository, comment_id, done, argument);
    set_comment_body(call, body);
    return forge_call_start(call);
}

struct forge_call *forge_delete_comment(struct forge *forge, const char *repository,
                                        int64_t comment_id, forge_written_fn done, void *argument)
{
    return forge_call_start(new_comment_write(forge, &delete_comment_operation, repository,
                                              comment_id, done, argument));
}

int64_t forge_write_wait_ms(const struct forge *forge)
{
    return forge_budget_wait_ms(forge->budget, loop_now_ms(forge->loop));
}
