/*
 * The scalar values of documents: see spec_value.h.
 */
#include "topics/spec_value.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/option.h"
#include "base/time_text.h"
#include "topics/envelope.h"
#include "topics/spec_path.h"

/* Longest label of GitHub's is 50 characters; a glob for several may say more. */
#define SPEC_LABEL_MAX_BYTES 200

/* Labels on which automation elsewhere acts; writing one could start builds, approve or merge. */
static const char *const spec_trigger_labels[] = {
    "ok-to-test",    "needs-ok-to-test",
    "lgtm",          "approve*",
    "safe to test",  "safe-to-test",
    "auto-merge",    "automerge",
    "merge*",        "tide/*",
    "do-not-merge*", "do not merge*",
    "cherry-pick*",  "backport*",
    "run-*",         "deploy*",
    "release*",      "retest*",
    "kodiak:*",      "ci:*",
    "lifecycle/*",   "stale",
    "hold",          "needs-rebase",
    "needs-triage",  "dependencies",
};

/* Type names, JSON types and patterns by type. */
static const struct {
    const char *name;
    const char *json;
    const char *pattern;
} spec_types[] = {
#define SPEC_TYPE_ROW(id, name, json, pattern) [id] = {name, json, pattern},
    SPEC_TYPE_TABLE(SPEC_TYPE_ROW)
#undef SPEC_TYPE_ROW
};

const char *spec_type_name(enum spec_type type)
{
    return spec_types[type].name;
}

json_t *spec_value_schema(enum spec_type type)
{
    if (type == SPEC_PERCENT) /* 5% or 0.05 */
        return json_pack("{s:[s,s], s:s, s:i, s:i}", "type", "string", "number", "pattern",
                         "^[0-9]+([.][0-9]+)?%?$", "minimum", 0, "maximum", 1);
    json_t *schema = json_pack("{s:s}", "type", spec_types[type].json);
    if (spec_types[type].pattern != NULL)
        (void)json_object_set_new(schema, "pattern", json_string(spec_types[type].pattern));
    return schema;
}

bool spec_is_glob(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

bool spec_glob_matches(const char *glob, const char *text)
{
    return fnmatch(glob, text, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

/*
 * A glob is matched as if it were a text: what it holds of * and ? is then taken in by a * of the
 * wide one, which also takes in whatever they stand for. That does not hold where the wide one has
 * ? or [, nor for brackets in the narrow one, of which each stands for one of several characters:
 * there only what stands before the bracket is compared, with a wide one of the form prefix*.
 */
bool spec_glob_covers(const char *wide, const char *narrow)
{
    if (strcasecmp(wide, narrow) == 0 || strcmp(wide, "*") == 0)
        return true;
    if (!spec_is_glob(narrow))
        return spec_glob_matches(wide, narrow);
    if (strpbrk(wide, "?[]") != NULL)
        return false;
    size_t literal_bytes = strcspn(narrow, "[");
    if (narrow[literal_bytes] == '\0')
        return spec_glob_matches(wide, narrow);
    size_t prefix_bytes = strcspn(wide, "*");
    return prefix_bytes + 1 == strlen(wide) && prefix_bytes <= literal_bytes &&
           strncasecmp(wide, narrow, prefix_bytes) == 0;
}

bool spec_label_is_trigger(const char *label)
{
    for (size_t i = 0; i < ARRAY_COUNT(spec_trigger_labels); i++)
        if (spec_glob_matches(spec_trigger_labels[i], label))
            return true;
    return false;
}

bool spec_label_is_futile(const char *glob)
{
    for (size_t i = 0; spec_is_glob(glob) && i < ARRAY_COUNT(spec_trigger_labels); i++)
        if (spec_glob_covers(spec_trigger_labels[i], glob))
            return true;
    return false;
}

/* --- what is a value of a type --- */

static bool spec_is_printable(const char *text, size_t most_bytes)
{
    size_t left = strlen(text);
    if (left == 0 || left > most_bytes)
        return false;
    while (left > 0) {
        size_t step = text_printable_bytes(text, left);
        if (step == 0)
            return false;
        text += step;
        left -= step;
    }
    return true;
}

static bool spec_is_name(const char *text)
{
    static const char ends[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char middle[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t bytes = strlen(text);
    return bytes >= 1 && bytes <= SPEC_NAME_MAX_BYTES && strspn(text, middle) == bytes &&
           strchr(ends, text[0]) != NULL && strchr(ends, text[bytes - 1]) != NULL;
}

static bool spec_is_version(const char *text)
{
    static const char known[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
    return text[0] != '\0' && strchr("._/-", text[0]) == NULL &&
           strspn(text, known) == strlen(text);
}

/* Returns true for OWNER/NAME without spaces, one slash. */
static bool spec_is_repository(const char *text)
{
    const char *slash = strchr(text, '/');
    return slash != NULL && slash != text && slash[1] != '\0' && strchr(slash + 1, '/') == NULL &&
           strpbrk(text, " \t\\") == NULL;
}

/* Returns true if no part of a /-separated path is empty, "." or "..". */
static bool spec_is_clean_path(const char *text)
{
    for (;;) {
        size_t bytes = strcspn(text, "/");
        bool is_dots = bytes <= 2 && strncmp(text, "..", bytes) == 0; /* also the empty part */
        if (is_dots)
            return false;
        if (text[bytes] == '\0')
            return true;
        text += bytes + 1;
    }
}

/* The rules of git check-ref-format that matter for a branch. */
static bool spec_is_branch(const char *text)
{
    size_t bytes = strlen(text);
    bool is_lock = bytes >= 5 && strcmp(text + bytes - 5, ".lock") == 0;
    return text[0] != '-' && text[0] != '.' && strpbrk(text, " ~^:?*[\\") == NULL &&
           strstr(text, "..") == NULL && strstr(text, "@{") == NULL && strstr(text, "/.") == NULL &&
           !is_lock && text[bytes - 1] != '.' && spec_is_clean_path(text);
}

/* Returns where the host of a URL with this scheme begins, or NULL. */
static const char *spec_after_scheme(const char *text, const char *scheme)
{
    size_t bytes = strlen(scheme);
    return strncmp(text, scheme, bytes) == 0 && text[bytes] != '\0' ? text + bytes : NULL;
}

/* Returns true for http(s)://HOST… without user information, which would be a secret on a topic. */
static bool spec_is_http_url(const char *text)
{
    const char *host = spec_after_scheme(text, "https://");
    if (host == NULL)
        host = spec_after_scheme(text, "http://");
    if (host == NULL || strpbrk(text, " \"<>\\") != NULL)
        return false;
    size_t host_bytes = strcspn(host, "/?#");
    return host_bytes > 0 && host[0] != ':' && memchr(host, '@', host_bytes) == NULL;
}

/* Returns true for USER:PASSWORD@HOST…, which would be a secret on a topic. */
static bool spec_has_password(const char *host)
{
    size_t host_bytes = strcspn(host, "/");
    const char *at = memchr(host, '@', host_bytes);
    return at != NULL && memchr(host, ':', (size_t)(at - host)) != NULL;
}

static bool spec_is_git_url(const char *text)
{
    static const char *const schemes[] = {"ssh://", "git://", "file:///"};
    if (spec_is_http_url(text))
        return true;
    if (text[0] == '-' || strchr(text, ' ') != NULL)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        const char *host = spec_after_scheme(text, schemes[i]);
        if (host != NULL)
            return !spec_has_password(host);
    }
    const char *at = strchr(text, '@'); /* git@host:path */
    const char *colon = strchr(text, ':');
    return at != NULL && at != text && colon != NULL && at + 1 < colon && colon[1] != '\0' &&
           strstr(text, "://") == NULL;
}

static bool spec_is_time(const char *text)
{
    int64_t wall_ms = 0;
    return time_from_text(text, strlen(text), &wall_ms) == 0;
}

static bool spec_is_duration(const char *text)
{
    int64_t duration_ms = 0;
    return option_parse_duration_ms(text, &duration_ms) == 0;
}

static bool spec_is_percent(const char *text)
{
    double share = 0;
    return option_parse_percent(text, &share) == 0 && share >= 0 && share <= 1;
}

static bool spec_is_target_path(const char *text)
{
    struct spec_path path;
    return spec_path_parse(text, &path) == 0;
}

static bool spec_is_relative(const char *text)
{
    return text[0] != '/' && spec_is_clean_path(text);
}

static bool spec_is_any(const char *text)
{
    (void)text;
    return true;
}

static bool spec_is_label(const char *text)
{
    return strlen(text) <= SPEC_LABEL_MAX_BYTES && text[0] != ' ';
}

/* What is a value of a type, and what to write instead. Types that are not here: YAML tells. */
static const struct {
    bool (*check)(const char *text);
    const char *advice;
} spec_checks[SPEC_TYPE_COUNT] = {
    [SPEC_TEXT] = {spec_is_any, "write a text of at most 1000 bytes without control characters"},
    [SPEC_NAME] = {spec_is_name, "write 1 to 63 small letters, digits, - and . that begin and end "
                                 "with a letter or digit"},
    [SPEC_VERSION] = {spec_is_version, "write the name of the run that made the model"},
    [SPEC_DURATION] = {spec_is_duration, "write a duration such as 15m, 24h or 365d"},
    [SPEC_PERCENT] = {spec_is_percent, "write a share such as 5% or 0.05"},
    [SPEC_TIME] = {spec_is_time, "write a date such as 2026-11-01 or 2026-11-01T08:00:00Z"},
    [SPEC_REPOSITORY] = {spec_is_repository, "write owner/name; * stands for any characters: "
                                             "\"kubeflow/*\""},
    [SPEC_LABEL] = {spec_is_label, "write a label, or a glob such as \"area/*\""},
    [SPEC_GLOB] = {spec_is_relative, "write a glob of paths within the repository, such as "
                                     "\"notebooks/**\""},
    [SPEC_FILE] = {spec_is_relative, "write a path within the repository, without . and .."},
    [SPEC_BRANCH] = {spec_is_branch, "write a branch such as auto-update"},
    [SPEC_HTTP_URL] = {spec_is_http_url, "write http://… or https://… without user information"},
    [SPEC_GIT_URL] = {spec_is_git_url, "write https://HOST/OWNER/NAME without user information, or "
                                       "git@HOST:OWNER/NAME"},
    [SPEC_TARGET_PATH] = {spec_is_target_path,
                          "write keys with / before each, [N] for the Nth item, [field=value] for "
                          "the item with that value: \"/orgs/[name=kubeflow]/model\""},
};

const char *spec_value_fault(enum spec_type type, const char *text)
{
    if (spec_checks[type].check == NULL)
        return NULL;
    bool is_good = spec_is_printable(text, SPEC_TEXT_MAX_BYTES) && spec_checks[type].check(text);
    return is_good ? NULL : spec_checks[type].advice;
}
