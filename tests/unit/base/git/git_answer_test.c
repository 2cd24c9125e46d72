/*
 * Tests of base/git_answer.c and base/git_credential.c: names of refs, the list of ls-remote, failures by
 * class, and for
 * whom a password is given out.
 */
#include "base/git_answer.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/git_credential.h"
#include "base/memory.h"

#define ID_A "0123456789abcdef0123456789abcdef01234567"
#define ID_B "89abcdef0123456789abcdef0123456789abcdef"

static void test_refs(void **state)
{
    (void)state;
    static const char *const good[] = {"refs/heads/main", "refs/tags/v1.0",      "refs/heads/a/b/c",
                                       "refs/heads/a@b",  "refs/heads/\xc3\xa4", "refs/heads/a|b",
                                       "refs/heads/-x",   "refs/heads/@"};
    static const char *const bad[] = {"",
                                      "HEAD",
                                      "refs/heads/",
                                      "refs/pull/1/head",
                                      "refs/heads/a b",
                                      "refs/heads/a\tb",
                                      "refs/heads/a:b",
                                      "refs/heads/a..b",
                                      "refs/heads/a~",
                                      "refs/heads/a^",
                                      "refs/heads/a?",
                                      "refs/heads/*",
                                      "refs/heads/[a",
                                      "refs/heads/a\\b",
                                      "refs/heads/a@{b",
                                      "refs/heads/.a",
                                      "refs/heads/a.",
                                      "refs/heads/a.lock",
                                      "refs/heads/a//b",
                                      "refs/heads/a/",
                                      "refs/heads/a.lock/b",
                                      "refs/heads/\xff",
                                      "refs/heads/a\x7f",
                                      "refs/heads/a\302\205b",
                                      "refs/heads/a\nb"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        if (!git_ref_is_valid(good[i], strlen(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (git_ref_is_valid(bad[i], strlen(bad[i])))
            fail_msg("%s is accepted", bad[i]);
}

static void test_list(void **state)
{
    (void)state;
    static const char text[] = ID_B "\trefs/tags/v1\n" ID_A "\trefs/heads/main\n" ID_A
                                    "\trefs/heads/a b\n" ID_A "\trefs/notes/x\n";
    CLEANUP(git_list_release) struct git_list list = {.items = NULL};
    assert_int_equal(git_list_parse(text, strlen(text), &list, NULL), 0);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.skipped, 2);
    assert_string_equal(list.items[0].ref, "refs/heads/main");
    assert_string_equal(git_list_find(&list, "refs/tags/v1")->id, ID_B);
    assert_null(git_list_find(&list, "refs/heads/other"));
}

static void test_bad_lists(void **state)
{
    (void)state;
    static const char *const texts[] = {ID_A "\trefs/heads/a",
                                        ID_A " refs/heads/a\n",
                                        "\n",
                                        "0123\trefs/heads/a\n",
                                        "\trefs/heads/a\n",
                                        ID_A "\trefs/heads/a\n" ID_B "\trefs/heads/a\n",
                                        "warning: something\n"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct git_list list;
        if (git_list_parse(texts[i], strlen(texts[i]), &list, NULL) != ERR_INPUT)
            fail_msg("%s is accepted", texts[i]);
    }
    CLEANUP(git_list_release) struct git_list none = {.items = NULL};
    assert_int_equal(git_list_parse("", 0, &none, NULL), 0);
    assert_int_equal(none.count, 0);
    struct git_list list;
    int code = git_list_parse(ID_A "\trefs/heads/a\0b\n", sizeof(ID_A) + 15, &list, NULL);
    assert_int_equal(code, ERR_INPUT); /* a NUL is no part of a name */
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        struct child_result result;
        int code;
    } rows[] = {
        {{.exit_status = 0, .errors = "warning: x"}, 0},
        {{.code = ERR_TIMEOUT, .exit_status = -1, .errors = ""}, ERR_TIMEOUT},
        {{.code = ERR_TOO_LARGE, .exit_status = -1, .errors = ""}, ERR_TOO_LARGE},
        {{.code = ERR_NOT_FOUND, .exit_status = -1, .errors = "git: there is no such program"},
         ERR_NOT_FOUND},
        {{.exit_status = -1, .exit_signal = SIGXFSZ, .errors = ""}, ERR_TOO_LARGE},
        {{.exit_status = -1, .exit_signal = SIGSEGV, .errors = ""}, ERR_IO},
        {{.exit_status = 128,
          .errors = "fatal: unable to access 'http://h/': Could not resolve host: h\n"},
         ERR_UNAVAILABLE},
        {{.exit_status = 128, .errors = "fatal: repository 'http://h/r/' not found\n"},
         ERR_NOT_FOUND},
        {{.exit_status = 128,
          .errors = "fatal: could not read Username for 'http://h': terminal prompts disabled\n"},
         ERR_DENIED},
        {{.exit_status = 128,
          .errors =
              "Host key verification failed.\r\nfatal: Could not read from remote repository.\n"},
         ERR_DENIED},
        {{.exit_status = 128, .errors = "fatal: couldn't find remote ref refs/heads/x\n"},
         ERR_CONFLICT},
        {{.exit_status = 128,
          .errors = "error: object 12: badTree\nfatal: fsck error in packed object\n"},
         ERR_CORRUPT},
        {{.exit_status = 128,
          .errors = "fatal: early EOF\nfatal: fetch-pack: invalid index-pack output\n"},
         ERR_UNAVAILABLE},
        {{.exit_status = 1, .errors = "something new"}, ERR_IO},
        {{.exit_status = 1, .errors = ""}, ERR_IO},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct child_result result = rows[i].result;
        result.errors_bytes = strlen(result.errors);
        struct error error = {.text = ""};
        if (git_failure(&result, &error) != rows[i].code)
            fail_msg("%s: %s", result.errors, err_name(git_failure(&result, NULL)));
        if (rows[i].code != 0)
            assert_true(error.text[0] != '\0');
        assert_null(strchr(error.text, '\n'));
    }
}

/* Only the last words are shown, on one line, clean. */
static void test_words(void **state)
{
    (void)state;
    char long_text[3000];
    memset(long_text, 'x', sizeof(long_text));
    memcpy(long_text + sizeof(long_text) - 20, "\nfa\x1b[1mtal: \xff last\n", 20);
    const struct child_result result = {
        .exit_status = 1, .errors = long_text, .errors_bytes = sizeof(long_text) - 1};
    struct error error;
    long_text[sizeof(long_text) - 1] = '\0';
    assert_int_equal(git_failure(&result, &error), ERR_IO);
    assert_true(strlen(error.text) < 400);
    assert_non_null(strstr(error.text, ";fa [1mtal: ? last"));
}

static void test_credentials(void **state)
{
    (void)state;
    static const char question[] = "protocol=https\nhost=h.example:8443\npath=x\nwwwauth[]=Basic\n";
    static const struct {
        const char *origin;
        const char *secret;
        const char *answer; /* NULL: ERR_INPUT */
    } rows[] = {
        {"https://h.example:8443", "token", "username=x-access-token\npassword=token\n"},
        {"https://h.example:8443", "username=me\npassword=to=ken\n",
         "username=me\npassword=to=ken\n"},
        {"https://h.example:8443", "password=p", "username=x-access-token\npassword=p\n"},
        {"https://h.example", "token", ""},
        {"https://evil.example:8443", "token", ""},
        {"http://h.example:8443", "token", ""},
        {"https://h.example:8443", "username=me\n", NULL},
        {"https://h.example:8443", "one\ntwo", NULL},
        {"https://h.example:8443", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(buffer_release) struct buffer secret = BUFFER_INIT(100);
        CLEANUP(buffer_release) struct buffer answer = BUFFER_INIT(GIT_CREDENTIAL_MAX_BYTES);
        assert_int_equal(buffer_append_text(&secret, rows[i].secret), 0);
        int code = git_credential_answer(question, rows[i].origin, &secret, &answer, NULL);
        assert_int_equal(code, rows[i].answer == NULL ? ERR_INPUT : 0);
        assert_string_equal(answer.data != NULL ? answer.data : "",
                            rows[i].answer == NULL ? "" : rows[i].answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refs),      cmocka_unit_test(test_list),
        cmocka_unit_test(test_bad_lists), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
