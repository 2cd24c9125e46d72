/*
 * Tests of a secret's scope.
 *
 * Design: tables of (patterns, payload, inside?). Payloads are small texts; what they name is all that counts.
 */
#include "ingest/github/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* Payloads that name a repository, an organisation, an installation. */
#define REPOSITORY(name, owner)                                                                    \
    "\"repository\":{\"full_name\":\"" name "\",\"owner\":{\"login\":\"" owner "\"}}"
#define ORGANISATION(login) "\"organization\":{\"login\":\"" login "\"}"
#define INSTALLATION(login) "\"installation\":{\"account\":{\"login\":\"" login "\"}}"

static const struct {
    const char *patterns; /* separated by spaces */
    const char *members;  /* of the payload */
    bool is_inside;
} cases[] = {
    {"octo", REPOSITORY("octo/hello", "octo"), true},
    {"octo", REPOSITORY("Octo/Hello", "Octo"), true},
    {"OCTO", REPOSITORY("octo/hello", "octo"), true},
    {"octo", REPOSITORY("octocat/hello", "octocat"), false},
    {"octocat", REPOSITORY("octo/hello", "octo"), false},
    {"octo", REPOSITORY("octo/hello", "octo") "," ORGANISATION("octo"), true},
    {"octo", ORGANISATION("octo"), true},
    {"octo", ORGANISATION("other"), false},
    {"octo", INSTALLATION("octo"), true},
    {"octo", INSTALLATION("other"), false},
    {"a b octo", ORGANISATION("octo"), true},

    {"octo/hello", REPOSITORY("octo/hello", "octo"), true},
    {"octo/hello", REPOSITORY("octo/HELLO", "octo"), true},
    {"octo/hello", REPOSITORY("octo/hello2", "octo"), false},
    {"octo/hello", REPOSITORY("octo/hello", "octo") "," ORGANISATION("octo"), true},
    {"octo/hello", REPOSITORY("octo/hello", "octo") "," ORGANISATION("other"), false},
    {"octo/hello", REPOSITORY("octo/hello", "other"), false}, /* two members that disagree */
    {"octo/hello other", REPOSITORY("octo/hello", "other"), true},
    {"octo/hello", ORGANISATION("octo"), false}, /* one repository does not speak for the whole */
    {"octo/hello", INSTALLATION("octo"), false},
    {"octo/hel*", REPOSITORY("octo/hello", "octo"), true},
    {"octo/hel*", REPOSITORY("octo/world", "octo"), false},
    {"octo/hell?", REPOSITORY("octo/hello", "octo"), true},
    {"octo/hell?", REPOSITORY("octo/hell", "octo"), false},
    {"octo/*", REPOSITORY("octo/.github", "octo"), true},
    {"octo/*", ORGANISATION("octo"), true},
    {"octo/**", ORGANISATION("octo"), false},
    {"octo/*", INSTALLATION("octo"), true},
    {"octo/*", REPOSITORY("octocat/x", "octocat"), false},
    {"octo*/*", REPOSITORY("octocat/x", "octocat"), true},
    {"octo*/x", REPOSITORY("octocat/x", "octocat") "," ORGANISATION("octocat"), true},
    {"octo*/x", ORGANISATION("octocat"), false},

    /* A payload that names nobody. */
    {"octo", "\"zen\":\"Design for failure.\"", true},
    {"octo", "\"sender\":{\"login\":\"other\"}", true},
    {"octo", "\"repository\":null,\"organization\":null", true},
    {"octo", "\"installation\":{\"id\":5}", true},

    /* Odd names are outside, not absent. */
    {"octo", "\"repository\":{}", false},
    {"octo", "\"repository\":7", false},
    {"octo", "\"repository\":\"octo/hello\"", false},
    {"octo", "\"repository\":[{\"full_name\":\"octo/hello\"}]", false},
    {"octo", "\"repository\":{\"full_name\":7}", false},
    {"octo", "\"repository\":{\"full_name\":\"octo\"}", false},
    {"octo", "\"repository\":{\"full_name\":\"octo/\"}", false},
    {"octo", "\"repository\":{\"full_name\":\"/hello\"}", false},
    {"octo", "\"repository\":{\"full_name\":\"octo/a/b\"}", false},
    {"octo/*", "\"repository\":{\"full_name\":\"octo/a b\"}", false},
    {"octo/*", "\"repository\":{\"full_name\":\"octo/a\\u0000b\"}", false},
    {"octo/*", "\"repository\":{\"full_name\":\"octo/*\"}", false},
    {"octo/*", "\"repository\":{\"full_name\":\"octo/\\ud83d\\ude00\"}", false},
    {"octo", "\"organization\":{}", false},
    {"octo", "\"organization\":{\"login\":null}", false},
    {"octo", "\"organization\":{\"login\":\"octo/x\"}", false},
    {"octo", "\"installation\":{\"account\":{}}", false},
    {"octo", REPOSITORY("octo/x", "octo") ",\"repository\":{\"full_name\":\"other/x\"}", false},
    {"octo", "\"repository\":{\"full_name\":\"octo/x\",\"owner\":{\"login\":5}}", false},

    {"*", REPOSITORY("any/thing", "any"), true},
    {"*", "\"repository\":7", true},
    {"octo *", ORGANISATION("other"), true},
};

static void scope_from(const char *patterns, struct scope *scope)
{
    CLEANUP(mem_free) char *copy = mem_copy_text(patterns);
    char *rest = NULL;
    struct error error;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        assert_int_equal(scope_add(scope, word, &error), 0);
}

static void test_inside_and_outside(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scope scope = {0};
        scope_from(cases[i].patterns, &scope);
        CLEANUP(mem_free) char *text = mem_format("{%s}", cases[i].members);
        CLEANUP(payload_free) struct payload *payload = payload_new();
        struct error error = {0};
        assert_int_equal(payload_feed(payload, text, strlen(text), &error), 0);
        assert_int_equal(payload_finish(payload, &error), 0);
        int code = scope_check(&scope, payload, &error);
        if (code != (cases[i].is_inside ? 0 : ERR_DENIED))
            fail_msg("scope '%s', payload %s: code %d", cases[i].patterns, text, code);
        if (code != 0)
            assert_non_null(strstr(error.text, "outside the scope"));
        scope_release(&scope);
    }
}

static void test_long_names_are_outside(void **state)
{
    (void)state;
    struct scope scope = {0};
    scope_from("octo/*", &scope);
    char name[SCOPE_PATTERN_MAX_BYTES + 1] = "";
    memset(name, 'x', sizeof(name) - 1);
    CLEANUP(mem_free) char *text = mem_format("{\"repository\":{\"full_name\":\"octo/%s\"}}", name);
    CLEANUP(payload_free) struct payload *payload = payload_new();
    struct error error = {0};
    assert_int_equal(payload_feed(payload, text, strlen(text), &error), 0);
    assert_int_equal(scope_check(&scope, payload, &error), ERR_DENIED);
    scope_release(&scope);
}

static void test_patterns(void **state)
{
    (void)state;
    static const char *const good[] = {"*",       "octo",         "octo-org", "octo_shortcode",
                                       "octo/x",  "octo/.github", "*/x",      "octo/*",
                                       "o?to/x-*"};
    static const char *const bad[] = {"",
                                      "/",
                                      "octo/",
                                      "/x",
                                      "octo/x/y",
                                      "octo*",
                                      "?",
                                      "**",
                                      "octo/[ab]",
                                      "octo/x y",
                                      "https://github.com/octo/x",
                                      "octo,other",
                                      "octo\\x"};
    struct scope scope = {0};
    struct error error;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        if (scope_add(&scope, good[i], &error) != 0)
            fail_msg("'%s' was refused: %s", good[i], error.text);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (scope_add(&scope, bad[i], &error) != ERR_INPUT)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(scope.count, ARRAY_COUNT(good));
    scope_release(&scope);
}

static void test_patterns_are_bounded(void **state)
{
    (void)state;
    struct scope scope = {0};
    struct error error;
    for (size_t i = 0; i < SCOPE_PATTERNS_MAX; i++)
        assert_int_equal(scope_add(&scope, "octo", &error), 0);
    assert_int_equal(scope_add(&scope, "octo", &error), ERR_TOO_LARGE);
    scope_release(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside_and_outside),
        cmocka_unit_test(test_long_names_are_outside),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_patterns_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
