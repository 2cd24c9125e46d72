/*
 * Reading repositories: what they are, their labels, their files.
 * Sources: GitHub REST API, "REST API endpoints for repositories", "… for labels", "… for
 * repository contents".
 *
 * All of it is conditional: it is asked again and again and seldom changes. Files come as JSON
 * with base64, because that form tells a file from a folder, a link and a submodule; GitHub gives
 * it up to 1 MB.
 */
#include <openssl/evp.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/* Largest file that is read: GitHub gives larger ones without content. */
#define FILE_MAX_BYTES ((size_t)1 << 20)

/* First size of an array of names: one page. */
#define NAMES_FIRST_COUNT 100

/* Longest part of a path that an error text shows. */
#define PATH_SHOWN_BYTES 160

/* ---- a repository ---- */

/* What an answer is read into. */
struct repository_answer {
    struct forge_repository repository; /* borrows from body */
    json_t *body;                       /* owned */
};

static void free_repository_answer(void *argument)
{
    struct repository_answer *answer = argument;
    json_decref(answer->body);
    free(answer);
}

static int read_repository(struct forge_call *call, int status, const json_t *body,
                           struct error *error)
{
    (void)status;
    struct repository_answer *answer = MEM_NEW(struct repository_answer);
    struct forge_repository *repository = &answer->repository;
    answer->body = json_incref((json_t *)body);
    call->answer = answer;
    repository->id = json_int_or(body, "id", 0);
    repository->full_name = json_text_or(body, "full_name", NULL);
    repository->default_branch = json_text_or(body, "default_branch", "");
    repository->owner_id = json_int_or(json_object_get(body, "owner"), "id", 0);
    repository->is_archived = json_is_true(json_object_get(body, "archived"));
    if (repository->id <= 0)
        return error_set(error, ERR_INPUT, "id is missing");
    if (repository->full_name == NULL || !forge_url_is_repository(repository->full_name))
        return error_set(error, ERR_INPUT, "full_name is not OWNER/NAME");
    int code = json_get_bool(body, "private", &repository->is_private, error);
    return code == 0 ? 0 : ERR_INPUT;
}

static void deliver_repository(struct forge_call *call, const struct forge_result *result)
{
    const struct repository_answer *answer = call->answer;
    call->done.repository(call->argument, result, result->code == 0 ? &answer->repository : NULL);
}

static const struct forge_operation repository_operation = {
    .name = "read the repository",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_conditional = true,
    .hidden_is_absent = true,
    .read = read_repository,
    .deliver = deliver_repository,
    .release = free_repository_answer,
};

/* ---- labels ---- */

/* What the pages are read into. */
struct names_answer {
    char **names; /* owned array of owned texts */
    size_t count;
    size_t capacity;
};

static void free_names_answer(void *argument)
{
    struct names_answer *answer = argument;
    for (size_t i = 0; i < answer->count; i++)
        free(answer->names[i]);
    free(answer->names);
    free(answer);
}

static void add_name(struct names_answer *answer, const char *name)
{
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity == 0 ? NAMES_FIRST_COUNT : answer->capacity * 2;
        answer->names = mem_resize_array(answer->names, answer->capacity, sizeof(*answer->names));
    }
    answer->names[answer->count++] = mem_copy_text(name);
}

static int read_labels(struct forge_call *call, int status, const json_t *body, struct error *error)
{
    (void)status;
    if (!json_is_array(body))
        return error_set(error, ERR_INPUT, "a list of labels is an array");
    if (call->answer == NULL)
        call->answer = MEM_NEW(struct names_answer);
    for (size_t i = 0; i < json_array_size(body); i++) {
        const char *name = json_text_or(json_array_get(body, i), "name", NULL);
        if (name == NULL)
            return error_set(error, ERR_INPUT, "label %zu of page %zu has no name", i,
                             call->page_count + 1);
        add_name(call->answer, name);
    }
    return 0;
}

static void deliver_names(struct forge_call *call, const struct forge_result *result)
{
    const struct names_answer *answer = call->answer;
    bool is_good = result->code == 0;
    call->done.names(call->argument, result, is_good ? (const char *const *)answer->names : NULL,
                     is_good ? answer->count : 0);
}

static const struct forge_operation labels_operation = {
    .name = "list the labels of",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_conditional = true,
    .is_list = true,
    .read = read_labels,
    .deliver = deliver_names,
    .release = free_names_answer,
};

/* ---- files ---- */

/* What an answer is read into. */
struct file_answer {
    char *bytes; /* owned, NUL-terminated */
    size_t byte_count;
};

static void free_file_answer(void *argument)
{
    struct file_answer *answer = argument;
    free(answer->bytes);
    free(answer);
}

/* Decodes base64 with line ends in it (RFC 2045 §6.8). Owned bytes. */
static int decode_base64(const char *text, char **ret_bytes, size_t *ret_count)
{
    size_t length = strlen(text);
    CLEANUP(mem_free) unsigned char *bytes = mem_alloc(length / 4 * 3 + 4);
    EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
    int body_bytes = 0;
    int tail_bytes = 0;
    EVP_DecodeInit(context);
    int code =
        EVP_DecodeUpdate(context, bytes, &body_bytes, (const unsigned char *)text, (int)length);
    if (code >= 0)
        code = EVP_DecodeFinal(context, bytes + body_bytes, &tail_bytes);
    EVP_ENCODE_CTX_free(context);
    if (code < 0)
        return ERR_INPUT;
    *ret_count = (size_t)(body_bytes + tail_bytes);
    bytes[*ret_count] = '\0';
    *ret_bytes = (char *)TAKE(bytes);
    return 0;
}

static int read_file(struct forge_call *call, int status, const json_t *body, struct error *error)
{
    (void)status;
    if (json_is_array(body))
        return error_set(error, ERR_INPUT, "it is a folder, not a file");
    const char *type = json_text_or(body, "type", "");
    if (strcmp(type, "file") != 0)
        return error_set(error, ERR_INPUT, "it is a %.20s, not a file", type);
    if (json_int_or(body, "size", 0) > (int64_t)FILE_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "the file has more than %zu bytes", FILE_MAX_BYTES);
    const char *content = json_text_or(body, "content", NULL);
    if (content == NULL || strcmp(json_text_or(body, "encoding", ""), "base64") != 0)
        return error_set(error, ERR_INPUT, "the file came without content in base64");
    struct file_answer *answer = MEM_NEW(struct file_answer);
    call->answer = answer;
    int code = decode_base64(content, &answer->bytes, &answer->byte_count);
    return code == 0 ? 0 : error_set(error, code, "the file's content is not base64");
}

static void deliver_file(struct forge_call *call, const struct forge_result *result)
{
    const struct file_answer *answer = call->answer;
    bool is_good = result->code == 0;
    call->done.file(call->argument, result, is_good ? answer->bytes : NULL,
                    is_good ? answer->byte_count : 0);
}

static const struct forge_operation file_operation = {
    .name = "read the file",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_conditional = true,
    .needs_proof = true,
    .read = read_file,
    .deliver = deliver_file,
    .release = free_file_answer,
};

/* ---- calls ---- */

/* Makes a call about a repository that `path` below it answers. */
static struct forge_call *new_repository_call(struct forge *forge,
                                              const struct forge_operation *operation,
                                              const char *repository, const char *path,
                                              void *argument)
{
    struct forge_call *call = forge_call_new(forge, operation, repository, argument);
    forge_call_ask(call, "%s", path);
    if (call->outcome.error.code == 0)
        forge_call_set_what(call, mem_copy_text(repository));
    return call;
}

struct forge_call *forge_get_repository(struct forge *forge, const char *repository,
                                        forge_repository_fn done, void *argument)
{
    struct forge_call *call =
        new_repository_call(forge, &repository_operation, repository, "", argument);
    call->done.repository = done;
    return forge_call_start(call);
}

struct forge_call *forge_list_labels(struct forge *forge, const char *repository,
                                     forge_names_fn done, void *argument)
{
    struct forge_call *call =
        new_repository_call(forge, &labels_operation, repository, "/labels?per_page=100", argument);
    call->done.names = done;
    return forge_call_start(call);
}

struct forge_call *forge_get_file(struct forge *forge, const char *repository, const char *path,
                                  forge_file_fn done, void *argument)
{
    CLEANUP(mem_free) char *encoded = NULL;
    int code = forge_url_encode_path(path, &encoded);
    CLEANUP(mem_free) char *below = mem_format("/contents/%s", encoded != NULL ? encoded : "");
    struct forge_call *call =
        new_repository_call(forge, &file_operation, repository, below, argument);
    call->done.file = done;
    char shown[PATH_SHOWN_BYTES];
    forge_answer_clean_text(path, sizeof(shown), shown);
    if (code != 0)
        (void)forge_call_fail(call, code, "\"%s\" is not the path of a file", shown);
    else if (call->outcome.error.code == 0)
        forge_call_set_what(call, mem_format("%s of %s", shown, repository));
    return forge_call_start(call);
}
