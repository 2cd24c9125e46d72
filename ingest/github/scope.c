/*
 * The scope of a secret: see scope.h.
 *
 * Design: patterns are kept as written and matched by fnmatch(3), which knows no escapes here and lets no `*`
 * cross the slash. Names from a payload are copied into small buffers first, and only if they are made of the
 * characters that names have.
 */
#include "ingest/github/scope.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

/* Characters of owners' and repositories' names. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

/* Those and the wildcards. */
#define PATTERN_CHARACTERS NAME_CHARACTERS "*?"

/* How fnmatch reads patterns here. */
#define MATCH_FLAGS (FNM_NOESCAPE | FNM_PATHNAME | FNM_CASEFOLD)

/* Memory of a name "owner/repository" from a payload. */
#define NAME_BYTES (SCOPE_PATTERN_MAX_BYTES + 1)

/* Returns true if the text is one or more of the characters, `slashes` slashes apart. */
static bool is_name(const char *text, const char *characters, size_t slashes)
{
    for (;;) {
        size_t part_bytes = strspn(text, characters);
        if (part_bytes == 0)
            return false;
        text += part_bytes;
        if (*text == '\0')
            return slashes == 0;
        if (*text != '/' || slashes == 0)
            return false;
        text++;
        slashes--;
    }
}

int scope_add(struct scope *scope, const char *pattern, struct error *error)
{
    if (strlen(pattern) > SCOPE_PATTERN_MAX_BYTES || scope->count == SCOPE_PATTERNS_MAX)
        return error_set(error, ERR_TOO_LARGE,
                         "a scope has at most %d patterns of at most %d characters",
                         SCOPE_PATTERNS_MAX, SCOPE_PATTERN_MAX_BYTES);
    bool is_everything = strcmp(pattern, "*") == 0;
    if (!is_everything && !is_name(pattern, NAME_CHARACTERS, 0) &&
        !is_name(pattern, PATTERN_CHARACTERS, 1))
        return error_set(error, ERR_INPUT,
                         "'%s' is no scope: write an organisation or user (kubeflow), a pattern of "
                         "repositories (kubeflow/*, kubeflow/pipelines), or * for everything",
                         pattern);
    scope->is_everything |= is_everything;
    scope->patterns = mem_resize_array(scope->patterns, scope->count + 1, sizeof(*scope->patterns));
    scope->patterns[scope->count++] = mem_copy_text(pattern);
    return 0;
}

void scope_release(struct scope *scope)
{
    for (size_t i = 0; i < scope->count; i++)
        free(scope->patterns[i]);
    free(scope->patterns);
    *scope = (struct scope){0};
}

/* Returns true if the scope has the owner as a whole. */
static bool has_owner(const struct scope *scope, const char *owner)
{
    char name[NAME_BYTES + 2];
    (void)snprintf(name, sizeof(name), "%s/x",
                   owner); /* some repository: whichever it is must match */
    for (size_t i = 0; i < scope->count; i++) {
        const char *slash = strchr(scope->patterns[i], '/');
        if (slash == NULL
                ? strcasecmp(scope->patterns[i], owner) == 0
                : strcmp(slash, "/*") == 0 && fnmatch(scope->patterns[i], name, MATCH_FLAGS) == 0)
            return true;
    }
    return false;
}

/* Returns true if the scope has the repository "owner/name". */
static bool has_repository(const struct scope *scope, const char *full_name)
{
    char owner[NAME_BYTES];
    (void)snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(full_name, "/"), full_name);
    for (size_t i = 0; i < scope->count; i++) {
        if (fnmatch(scope->patterns[i], full_name, MATCH_FLAGS) == 0)
            return true;
    }
    return has_owner(scope, owner);
}

/* Copies a name out of the payload. Returns false if it is none. */
static bool read_name(const struct payload *payload, enum payload_field field, size_t slashes,
                      char ret_name[NAME_BYTES])
{
    struct text text = payload_text(payload, field);
    if (payload_kind(payload, field) != PAYLOAD_IS_TEXT || text.bytes >= NAME_BYTES ||
        memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(ret_name, text.data, text.bytes);
    ret_name[text.bytes] = '\0';
    return is_name(ret_name, NAME_CHARACTERS, slashes);
}

static bool is_named(const struct payload *payload, enum payload_field field)
{
    enum payload_kind kind = payload_kind(payload, field);
    return kind != PAYLOAD_IS_ABSENT && kind != PAYLOAD_IS_NULL;
}

int scope_check(const struct scope *scope, const struct payload *payload, struct error *error)
{
    /* What names an owner: the member that says somebody is named, the member with the name, its words. */
    static const struct {
        enum payload_field presence;
        enum payload_field login;
        const char *text;
    } owners[] = {
        {PAYLOAD_REPOSITORY_OWNER_LOGIN, PAYLOAD_REPOSITORY_OWNER_LOGIN, "repository's owner"},
        {PAYLOAD_ORGANIZATION, PAYLOAD_ORGANIZATION_LOGIN, "organisation"},
        {PAYLOAD_INSTALLATION_ACCOUNT, PAYLOAD_INSTALLATION_ACCOUNT_LOGIN,
         "installation's account"},
    };
    if (scope->is_everything)
        return 0;
    char full_name[NAME_BYTES] = "";
    if (is_named(payload, PAYLOAD_REPOSITORY) &&
        (!read_name(payload, PAYLOAD_REPOSITORY_FULL_NAME, 1, full_name) ||
         !has_repository(scope, full_name)))
        return error_set(
            error, ERR_DENIED,
            "the payload's repository is outside the scope of the secret that signed it");
    size_t owner_bytes = strcspn(full_name, "/");
    for (size_t i = 0; i < ARRAY_COUNT(owners); i++) {
        char login[NAME_BYTES];
        if (!is_named(payload, owners[i].presence))
            continue;
        bool is_inside =
            read_name(payload, owners[i].login, 0, login) &&
            ((strlen(login) == owner_bytes && strncasecmp(login, full_name, owner_bytes) == 0) ||
             has_owner(scope, login));
        if (!is_inside)
            return error_set(error, ERR_DENIED,
                             "the payload's %s is outside the scope of the secret that signed it",
                             owners[i].text);
    }
    return 0;
}
