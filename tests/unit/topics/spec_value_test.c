/*
 * The scalar values of documents, globs that cover globs, labels on which automation acts, and paths
 * to one value: tables.
 */
#include "topics/spec_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "topics/spec_path.h"

/* One text and whether it is a value. */
struct value {
    enum spec_type type;
    const char *text;
    bool good;
};

static const struct value values[] = {
    {SPEC_TEXT, "any text", true},
    {SPEC_TEXT, "", false},
    {SPEC_TEXT, "a\nb", false},
    {SPEC_TEXT, "caf\xc3\xa9", true},
    {SPEC_TEXT, "caf\xc3", false},
    {SPEC_NAME, "label-bot", true},
    {SPEC_NAME, "a.b", true},
    {SPEC_NAME, "-a", false},
    {SPEC_NAME, "a-", false},
    {SPEC_NAME, "A", false},
    {SPEC_NAME, "a/b", false},
    {SPEC_NAME, "", false},
    {SPEC_VERSION, "labels/labels-0a1b-2", true},
    {SPEC_VERSION, "../x", false},
    {SPEC_VERSION, "a b", false},
    {SPEC_DURATION, "1h30m", true},
    {SPEC_DURATION, "1 h", false},
    {SPEC_PERCENT, "0.05", true},
    {SPEC_PERCENT, "5%", true},
    {SPEC_PERCENT, "-1%", false},
    {SPEC_PERCENT, "1.1", false},
    {SPEC_TIME, "2026-11-01T08:00:00Z", true},
    {SPEC_TIME, "yesterday", false},
    {SPEC_REPOSITORY, "kubeflow/*", true},
    {SPEC_REPOSITORY, "*/*", true},
    {SPEC_REPOSITORY, "*", false},
    {SPEC_REPOSITORY, "a/b/c", false},
    {SPEC_REPOSITORY, "/b", false},
    {SPEC_REPOSITORY, "a/", false},
    {SPEC_LABEL, "good first issue", true},
    {SPEC_LABEL, " x", false},
    {SPEC_GLOB, "notebooks/**", true},
    {SPEC_GLOB, "/notebooks", false},
    {SPEC_FILE, "a/b.yaml", true},
    {SPEC_FILE, "a//b", false},
    {SPEC_FILE, "a/./b", false},
    {SPEC_FILE, "a/..", false},
    {SPEC_FILE, "..a/b", true},
    {SPEC_BRANCH, "auto-update", true},
    {SPEC_BRANCH, "a/b", true},
    {SPEC_BRANCH, "-x", false},
    {SPEC_BRANCH, "a..b", false},
    {SPEC_BRANCH, "a.lock", false},
    {SPEC_BRANCH, "a//b", false},
    {SPEC_BRANCH, "a:b", false},
    {SPEC_BRANCH, "a@{1}", false},
    {SPEC_HTTP_URL, "http://127.0.0.1:8000/x", true},
    {SPEC_HTTP_URL, "https://h", true},
    {SPEC_HTTP_URL, "https://", false},
    {SPEC_HTTP_URL, "https:///x", false},
    {SPEC_HTTP_URL, "https://u@h/x", false},
    {SPEC_HTTP_URL, "https://h/a@b", true},
    {SPEC_HTTP_URL, "ftp://h", false},
    {SPEC_GIT_URL, "https://github.com/o/r", true},
    {SPEC_GIT_URL, "git@github.com:o/r.git", true},
    {SPEC_GIT_URL, "ssh://git@h/o/r", true},
    {SPEC_GIT_URL, "ssh://git:secret@h/o/r", false},
    {SPEC_GIT_URL, "https://token@github.com/o/r", false},
    {SPEC_GIT_URL, "file:///srv/r.git", true},
    {SPEC_GIT_URL, "file://host/r.git", false},
    {SPEC_GIT_URL, "-oProxyCommand=x@h:y", false},
    {SPEC_GIT_URL, "ext::sh -c x", false},
    {SPEC_GIT_URL, "../r", false},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(values); i++)
        if ((spec_value_fault(values[i].type, values[i].text) == NULL) != values[i].good)
            fail_msg("%s `%s`: want %s", spec_type_name(values[i].type), values[i].text,
                     values[i].good ? "a value" : "none");
}

static void test_longest(void **state)
{
    (void)state;
    char text[SPEC_TEXT_MAX_BYTES + 2];
    memset(text, 'a', sizeof(text));
    text[SPEC_NAME_MAX_BYTES] = '\0';
    assert_null(spec_value_fault(SPEC_NAME, text));
    text[SPEC_NAME_MAX_BYTES] = 'a';
    text[SPEC_NAME_MAX_BYTES + 1] = '\0';
    assert_non_null(spec_value_fault(SPEC_NAME, text));
    text[SPEC_NAME_MAX_BYTES + 1] = 'a';
    text[SPEC_TEXT_MAX_BYTES] = '\0';
    assert_null(spec_value_fault(SPEC_TEXT, text));
    text[SPEC_TEXT_MAX_BYTES] = 'a';
    text[SPEC_TEXT_MAX_BYTES + 1] = '\0';
    assert_non_null(spec_value_fault(SPEC_TEXT, text));
}

static void test_covers(void **state)
{
    (void)state;
    static const struct {
        const char *wide;
        const char *narrow;
        bool covers;
    } cases[] = {
        {"*", "anything", true},    {"*", "[ab]?*", true},
        {"o/*", "o/r", true},       {"o/*", "O/R", true},
        {"o/*", "o/*", true},       {"o/*", "o/r*", true},
        {"o/*", "o/?", true},       {"o/*", "p/*", false},
        {"o/*", "*", false},        {"o/*", "o*/*", false},
        {"o/?", "o/*", false},      {"o/?", "o/r", true},
        {"o/?", "o/?", true}, /* the same text */
        {"o/??", "o/*r", false},    {"o/[ab]", "o/a", true},
        {"o/[ab]", "o/[a]", false}, /* it would, but it cannot be told */
        {"*a*", "[abc]x", false},   {"a*", "a[bc]", true},
        {"ab*", "a[bc]", false},    {"a*c", "a[b]c", false},
        {"o/r", "o/r2", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (spec_glob_covers(cases[i].wide, cases[i].narrow) != cases[i].covers)
            fail_msg("%s and %s: want %d", cases[i].wide, cases[i].narrow, (int)cases[i].covers);
}

/* Every text over a small alphabet: what is covered is never matched by the narrow one alone. */
static void test_covers_is_sound(void **state)
{
    (void)state;
    static const char letters[] = "ab*?[]";
    static const char texts[][4] = {"",   "a",   "b",   "aa",  "ab",  "ba",
                                    "bb", "aab", "aba", "bab", "abb", "bba"};
    enum { LETTERS = 6, GLOBS = LETTERS * LETTERS * LETTERS * LETTERS };
    char globs[GLOBS][5];
    for (int i = 0; i < GLOBS; i++)
        (void)snprintf(globs[i], sizeof(globs[i]), "%c%c%c%c", letters[i % LETTERS],
                       letters[i / LETTERS % LETTERS], letters[i / LETTERS / LETTERS % LETTERS],
                       letters[i / LETTERS / LETTERS / LETTERS]);
    size_t covered = 0;
    for (int i = 0; i < GLOBS; i += 5) {
        for (int j = 0; j < GLOBS; j += 3) {
            if (!spec_glob_covers(globs[i], globs[j]))
                continue;
            covered++;
            for (size_t k = 0; k < ARRAY_COUNT(texts); k++)
                if (spec_glob_matches(globs[j], texts[k]) && !spec_glob_matches(globs[i], texts[k]))
                    fail_msg("%s covers %s, but not %s", globs[i], globs[j], texts[k]);
        }
    }
    assert_true(covered > 100);
}

static void test_futile(void **state)
{
    (void)state;
    static const struct {
        const char *glob;
        bool futile;
    } cases[] = {
        {"do-not-merge/*", true}, {"tide/?", true},  {"lgtm", false}, {"l*", false}, {"*", false},
        {"area/*", false},        {"Release*", true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (spec_label_is_futile(cases[i].glob) != cases[i].futile)
            fail_msg("%s: want %d", cases[i].glob, (int)cases[i].futile);
}

/* --- paths --- */

/* Writes a path's steps apart, so that the table below can say what they must be. */
static void describe_path(const struct spec_path *path, char said[256])
{
    size_t used = 0;
    if (path->document_kind.data != NULL)
        used += (size_t)snprintf(said, 256, "#%.*s|%.*s", (int)path->document_kind.bytes,
                                 path->document_kind.data, (int)path->document_name.bytes,
                                 path->document_name.data);
    for (size_t i = 0; i < path->step_count; i++) {
        const struct spec_path_step *step = &path->steps[i];
        if (step->kind == SPEC_PATH_INDEX)
            used += (size_t)snprintf(said + used, 256 - used, " %zu", step->index);
        else if (step->kind == SPEC_PATH_KEY)
            used += (size_t)snprintf(said + used, 256 - used, " %.*s", (int)step->name.bytes,
                                     step->name.data);
        else
            used += (size_t)snprintf(said + used, 256 - used, " %.*s=%.*s", (int)step->name.bytes,
                                     step->name.data, (int)step->value.bytes, step->value.data);
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *said; /* NULL: none */
    } cases[] = {
        {"/orgs/[name=kubeflow]/model", " orgs name=kubeflow model"},
        {"/a", " a"},
        {"/a/[0]/[9999]", " a 0 9999"},
        {"/[url=https://h/x]/v", " url=https://h/x v"},
        {"#ConfigMap/bot/data/model", "#ConfigMap|bot data model"},
        {"#ConfigMap/bot", NULL},
        {"#/bot/a", NULL},
        {"", NULL},
        {"/", NULL},
        {"a", NULL},
        {"/a/", NULL},
        {"//a", NULL},
        {"/[", NULL},
        {"/[]", NULL},
        {"/[x]", NULL},
        {"/[10000]", NULL},
        {"/[=x]", NULL},
        {"/[x=]", NULL},
        {"/[0]a", NULL},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct spec_path path;
        char said[256] = "";
        int code = spec_path_parse(cases[i].text, &path);
        if (code == 0)
            describe_path(&path, said);
        if ((code == 0) != (cases[i].said != NULL) ||
            (cases[i].said != NULL && strcmp(said, cases[i].said) != 0))
            fail_msg("%s: found \"%s\"", cases[i].text, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_longest),
        cmocka_unit_test(test_covers), cmocka_unit_test(test_covers_is_sound),
        cmocka_unit_test(test_futile), cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
