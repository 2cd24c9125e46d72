/*
 * The webhook secrets: see secrets.h.
 *
 * Design: the secrets stand sorted by their lookup key in one array, so that those of one hook are neighbours
 * and a binary search finds the first. Headers and configuration make the same keys:
 *
 *      ""                       default
 *      "hook 109948940"         by hook
 *      "target integration 7"   by target
 *
 * Invariant: the bytes of a secret are in memory only while its HMAC key is made (base/signature.h).
 */
#include "ingest/github/secrets.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/signature.h"
#include "base/yaml_text.h"

struct secrets {
    size_t holders; /* how many secrets_free calls are still to come */
    size_t count;
    struct secret *items; /* owned, sorted by lookup */
};

/* ---- making and freeing ---- */

static void secret_release(struct secret *secret)
{
    free(secret->id);
    free(secret->file);
    hmac_key_free(secret->key);
    scope_release(&secret->scope);
}

struct secrets *secrets_hold(struct secrets *secrets)
{
    secrets->holders++;
    return secrets;
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL || --secrets->holders > 0)
        return;
    for (size_t i = 0; i < secrets->count; i++)
        secret_release(&secrets->items[i]);
    free(secrets->items);
    free(secrets);
}

static struct secrets *secrets_new(size_t count)
{
    struct secrets *secrets = MEM_NEW(struct secrets);
    secrets->holders = 1;
    secrets->count = count;
    secrets->items = mem_alloc_array(count, sizeof(*secrets->items));
    return secrets;
}

/* ---- the configuration ---- */

/* Reads `id`: it becomes a label and a header, so that its characters are few. */
static int read_secret_id(const struct yaml_stream *stream, const struct yaml_node *item,
                          struct secret *secret, struct error *error)
{
    const struct yaml_node *node = yaml_get(item, "id");
    const char *id = NULL;
    if (node == NULL)
        return yaml_error(stream, item, error, ERR_INPUT,
                          "a secret needs an id: a short name for metrics and logs");
    int code = yaml_read_text(stream, node, &id, error);
    if (code != 0)
        return code;
    size_t id_bytes = strlen(id);
    if (id_bytes == 0 || id_bytes > SECRET_ID_MAX_BYTES ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != id_bytes)
        return yaml_error(stream, node, error, ERR_INPUT,
                          "an id is made of letters, digits, '_', '.' and '-', at most %d",
                          SECRET_ID_MAX_BYTES);
    secret->id = mem_copy_text(id);
    return 0;
}

/* Reads `file`; a relative path starts at the folder of the configuration. */
static int read_secret_file(const struct yaml_stream *stream, const struct yaml_node *item,
                            const char *config_path, struct secret *secret, struct error *error)
{
    const struct yaml_node *node = yaml_get(item, "file");
    const char *file = NULL;
    if (node == NULL)
        return yaml_error(
            stream, item, error, ERR_INPUT,
            "a secret needs a file: the path of a file that holds nothing but the secret");
    int code = yaml_read_text(stream, node, &file, error);
    if (code != 0)
        return code;
    const char *slash = strrchr(config_path, '/');
    if (file[0] == '/' || slash == NULL)
        secret->file = mem_copy_text(file);
    else
        secret->file = mem_format("%.*s/%s", (int)(slash - config_path), config_path, file);
    return 0;
}

/* Reads what the secret is looked up by into `lookup`. */
static int read_secret_lookup(const struct yaml_stream *stream, const struct yaml_node *item,
                              struct secret *secret, struct error *error)
{
    const struct yaml_node *hook = yaml_get(item, "hook_id");
    const struct yaml_node *type = yaml_get(item, "target_type");
    const struct yaml_node *target = yaml_get(item, "target_id");
    const char *type_text = NULL;
    int64_t id = 0;
    if ((type == NULL) != (target == NULL))
        return yaml_error(stream, type != NULL ? type : target, error, ERR_INPUT,
                          "target_type and target_id belong together");
    if (hook != NULL && type != NULL)
        return yaml_error(stream, hook, error, ERR_INPUT,
                          "a secret is for a hook_id or for a target, not for both");
    if (hook != NULL) {
        int code = yaml_read_int(stream, hook, 1, INT64_MAX, &id, error);
        if (code == 0)
            (void)snprintf(secret->lookup, sizeof(secret->lookup), "hook %lld", (long long)id);
        return code;
    }
    if (type == NULL)
        return 0;
    int code = yaml_read_text(stream, type, &type_text, error);
    if (code == 0)
        code = yaml_read_int(stream, target, 1, INT64_MAX, &id, error);
    if (code != 0)
        return code;
    size_t type_bytes = strlen(type_text);
    if (type_bytes == 0 || type_bytes > HEAD_TARGET_TYPE_MAX_BYTES ||
        strspn(type_text, "abcdefghijklmnopqrstuvwxyz_") != type_bytes)
        return yaml_error(
            stream, type, error, ERR_INPUT,
            "target_type is repository, organization, integration (an App), or what else "
            "X-GitHub-Hook-Installation-Target-Type says");
    (void)snprintf(secret->lookup, sizeof(secret->lookup), "target %s %lld", type_text,
                   (long long)id);
    return 0;
}

/* Adds the patterns of one list to the scope. `with_slash`: they are repositories. */
static int read_patterns(const struct yaml_stream *stream, const struct yaml_node *list,
                         bool with_slash, struct scope *scope, struct error *error)
{
    if (list == NULL)
        return 0;
    if (list->kind != YAML_SEQUENCE)
        return yaml_error(stream, list, error, ERR_INPUT, "expected a list, as in [kubeflow]");
    for (size_t i = 0; i < list->count; i++) {
        const char *pattern = NULL;
        int code = yaml_read_text(stream, list->items[i], &pattern, error);
        if (code != 0)
            return code;
        bool is_repository = strchr(pattern, '/') != NULL;
        if (is_repository != with_slash)
            return yaml_error(stream, list->items[i], error, ERR_INPUT,
                              with_slash
                                  ? "a repository is written owner/name"
                                  : "an organisation is written without a slash; repositories "
                                    "belong to `repositories`");
        struct error reason;
        code = scope_add(scope, pattern, &reason);
        if (code != 0)
            return yaml_error(stream, list->items[i], error, code, "%s", reason.text);
    }
    return 0;
}

static int read_secret_scope(const struct yaml_stream *stream, const struct yaml_node *item,
                             struct secret *secret, struct error *error)
{
    int code = read_patterns(stream, yaml_get(item, "organisations"), false, &secret->scope, error);
    if (code == 0)
        code = read_patterns(stream, yaml_get(item, "repositories"), true, &secret->scope, error);
    if (code == 0 && secret->scope.count == 0)
        return yaml_error(stream, item, error, ERR_INPUT,
                          "a secret needs a scope: organisations, repositories or both; "
                          "organisations: [\"*\"] says everything");
    return code;
}

/* Reads one item of the list into `secret`, which its set frees whatever comes of it. */
static int read_item(const struct secrets_source *source, const struct yaml_stream *stream,
                     const struct yaml_node *item, struct secret *secret, struct error *error)
{
    static const char *const names[] = {"id",        "file",          "hook_id",      "target_type",
                                        "target_id", "organisations", "repositories", NULL};
    if (item->kind != YAML_MAPPING)
        return yaml_error(stream, item, error, ERR_INPUT, "a secret is a mapping with id and file");
    int code = yaml_check_names(stream, item, names, error);
    if (code == 0)
        code = read_secret_id(stream, item, secret, error);
    if (code == 0)
        code = read_secret_file(stream, item, source->path, secret, error);
    if (code == 0)
        code = read_secret_lookup(stream, item, secret, error);
    if (code == 0)
        code = read_secret_scope(stream, item, secret, error);
    if (code != 0)
        return code;
    struct error reason;
    code = signature_key_read(secret->file, source->read_secret, &secret->key, &reason);
    if (code != 0)
        return yaml_error(stream, yaml_get(item, "file"), error, code, "%s", reason.text);
    return 0;
}

static int compare_lookup(const void *left, const void *right)
{
    return strcmp(((const struct secret *)left)->lookup, ((const struct secret *)right)->lookup);
}

static int compare_id(const void *left, const void *right)
{
    return strcmp(((const struct secret *)left)->id, ((const struct secret *)right)->id);
}

/* Checks what holds for the whole set, and leaves it sorted by lookup. */
static int check_set(struct secrets *secrets, const char *path, struct error *error)
{
    size_t item_bytes = sizeof(*secrets->items);
    qsort(secrets->items, secrets->count, item_bytes, compare_id);
    for (size_t i = 1; i < secrets->count; i++) {
        if (compare_id(&secrets->items[i - 1], &secrets->items[i]) == 0)
            return error_set(error, ERR_INPUT, "%s: two secrets have the id %s", path,
                             secrets->items[i].id);
    }
    qsort(secrets->items, secrets->count, item_bytes, compare_lookup);
    for (size_t i = SECRETS_CANDIDATES_MAX; i < secrets->count; i++) {
        const struct secret *first = &secrets->items[i - SECRETS_CANDIDATES_MAX];
        if (compare_lookup(first, &secrets->items[i]) == 0)
            return error_set(
                error, ERR_TOO_LARGE,
                "%s: more than %d secrets for %s; each delivery is tried with all of them, "
                "so remove those that are no longer used",
                path, SECRETS_CANDIDATES_MAX,
                first->lookup[0] == '\0' ? "the default" : first->lookup);
    }
    return 0;
}

int secrets_parse(const struct secrets_source *source, struct secrets **ret_secrets,
                  struct error *error)
{
    static const char *const names[] = {"secrets", NULL};
    CLEANUP(yaml_stream_free) struct yaml_stream *stream = NULL;
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    int code = yaml_parse(source->path, source->text, source->text_bytes, &stream, error);
    if (code != 0)
        return code;
    const struct yaml_node *root =
        yaml_document_count(stream) == 1 ? yaml_document(stream, 0) : NULL;
    if (root == NULL || root->kind != YAML_MAPPING)
        return error_set(error, ERR_INPUT, "%s: expected one document, a mapping with `secrets`",
                         source->path);
    code = yaml_check_names(stream, root, names, error);
    if (code != 0)
        return code;
    const struct yaml_node *list = yaml_get(root, "secrets");
    if (list == NULL || list->kind != YAML_SEQUENCE || list->count == 0 ||
        list->count > SECRETS_MAX)
        return yaml_error(stream, list != NULL ? list : root, error, ERR_INPUT,
                          "`secrets` must be a list of 1 to %d secrets", SECRETS_MAX);
    secrets = secrets_new(list->count);
    for (size_t i = 0; i < list->count && code == 0; i++)
        code = read_item(source, stream, list->items[i], &secrets->items[i], error);
    if (code == 0)
        code = check_set(secrets, source->path, error);
    if (code == 0)
        *ret_secrets = TAKE(secrets);
    return code;
}

int secrets_load(const char *path, struct secrets **ret_secrets, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(YAML_TEXT_MAX_BYTES);
    int code = file_read(path, &text, error);
    if (code != 0)
        return code;
    struct secrets_source source = {.path = path,
                                    .text = text.data != NULL ? text.data : "",
                                    .text_bytes = text.size_bytes,
                                    .read_secret = file_read_secret};
    return secrets_parse(&source, ret_secrets, error);
}

int secrets_load_single(const char *file, const char *const *patterns, size_t pattern_count,
                        struct secrets **ret_secrets, struct error *error)
{
    CLEANUP(secrets_free) struct secrets *secrets = secrets_new(1);
    struct secret *secret = &secrets->items[0];
    secret->id = mem_copy_text("default");
    secret->file = mem_copy_text(file);
    for (size_t i = 0; i < pattern_count; i++) {
        int code = scope_add(&secret->scope, patterns[i], error);
        if (code != 0)
            return code;
    }
    int code = signature_key_read(secret->file, file_read_secret, &secret->key, error);
    if (code == 0)
        *ret_secrets = TAKE(secrets);
    return code;
}

/* ---- looking up ---- */

size_t secrets_count(const struct secrets *secrets)
{
    return secrets->count;
}

const struct secret *secrets_at(const struct secrets *secrets, size_t index)
{
    assert(index < secrets->count);
    return &secrets->items[index];
}

/* Writes the secrets with this lookup key; returns how many. */
static size_t find(const struct secrets *secrets, const char *lookup,
                   const struct secret **ret_candidates)
{
    size_t low = 0;
    size_t high = secrets->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(secrets->items[middle].lookup, lookup) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t count = 0;
    while (low + count < secrets->count &&
           strcmp(secrets->items[low + count].lookup, lookup) == 0) {
        assert(count < SECRETS_CANDIDATES_MAX);
        ret_candidates[count] = &secrets->items[low + count];
        count++;
    }
    return count;
}

/* Leading zeros do not make another id. */
static struct text without_zeros(struct text digits)
{
    while (digits.bytes > 1 && digits.data[0] == '0') {
        digits.data++;
        digits.bytes--;
    }
    return digits;
}

size_t secrets_candidates(const struct secrets *secrets, const struct delivery_head *head,
                          const struct secret *ret_candidates[SECRETS_CANDIDATES_MAX])
{
    char lookup[SECRET_LOOKUP_BYTES];
    size_t count = 0;
    if (head->hook_id.data != NULL) {
        struct text id = without_zeros(head->hook_id);
        (void)snprintf(lookup, sizeof(lookup), "hook %.*s", (int)id.bytes, id.data);
        count = find(secrets, lookup, ret_candidates);
    }
    if (count == 0 && head->target_type.data != NULL && head->target_id.data != NULL) {
        struct text id = without_zeros(head->target_id);
        (void)snprintf(lookup, sizeof(lookup), "target %.*s %.*s", (int)head->target_type.bytes,
                       head->target_type.data, (int)id.bytes, id.data);
        count = find(secrets, lookup, ret_candidates);
    }
    return count > 0 ? count : find(secrets, "", ret_candidates);
}
