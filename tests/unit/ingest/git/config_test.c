/*
 * Tests of ingest/git/config.c: what is read, what is refused and where, and which refs patterns name.
 */
#include "ingest/git/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"

static const struct config_defaults defaults = {.interval_ms = 60000};

static int parse(const char *text, struct config **ret_config, struct error *error)
{
    return config_parse("/etc/nodag/repositories.yaml", text, strlen(text), &defaults, ret_config,
                        error);
}

static void test_whole(void **state)
{
    (void)state;
    static const char text[] =
        "repositories:\n"
        "  - url: HTTPS://Host.example/o/r/\n"
        "    branches: [main, 'release-*']\n"
        "    tags: [v?]\n"
        "    credentials: /run/secrets/token\n"
        "    ca: /run/ca.pem\n"
        "    interval: 5m\n"
        "  - url: ssh://git@host/o/r\n"
        "    known_hosts: /run/known_hosts\n"
        "  - {url: 'http://host/a', insecure: true, branches: [], tags: ['*']}\n"
        "  - url: http://127.0.0.1:3000/a\n"
        "  - url: file:///srv/a\n";
    CLEANUP(config_free) struct config *config = NULL;
    struct error error = {.text = ""};
    if (parse(text, &config, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(config_count(config), 5);
    const struct repository_config *first = config_at(config, 0);
    assert_string_equal(first->url.text, "https://host.example/o/r");
    assert_string_equal(first->credentials_file, "/run/secrets/token");
    assert_string_equal(first->ca_file, "/run/ca.pem");
    assert_int_equal(first->interval_ms, 300000);
    assert_int_equal(config_at(config, 1)->interval_ms, 60000);
    assert_string_equal(config_at(config, 1)->known_hosts_file, "/run/known_hosts");
    assert_true(repository_config_wants(first, "refs/heads/main"));
    assert_true(repository_config_wants(first, "refs/heads/release-1/x")); /* `*` matches slashes */
    assert_true(repository_config_wants(first, "refs/tags/v1"));
    assert_false(repository_config_wants(first, "refs/tags/v12"));
    assert_false(repository_config_wants(first, "refs/heads/v1"));
    assert_false(repository_config_wants(first, "refs/heads/mains"));
    assert_false(repository_config_wants(first, "refs/pull/1/head"));
    assert_true(repository_config_wants(config_at(config, 1), "refs/heads/any/thing"));
    assert_false(repository_config_wants(config_at(config, 1), "refs/tags/any"));
    assert_false(repository_config_wants(config_at(config, 2), "refs/heads/main"));
}

/* A relative path starts at the configuration's folder. */
static void test_relative_path(void **state)
{
    (void)state;
    static const char text[] = "repositories: [{url: 'https://h/a', credentials: token}]";
    CLEANUP(config_free) struct config *config = NULL;
    assert_int_equal(config_parse("/usr/x.yaml", text, strlen(text), &defaults, &config, NULL), 0);
    assert_string_equal(config_at(config, 0)->credentials_file, "/usr/token");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"", "expected one document"},
        {"[]", "mapping with `repositories`"},
        {"{}", "must be a list"},
        {"repositories: {}", "must be a list"},
        {"repositories: [], sources: []", "yaml:1:"},
        {"repositories: []\nsources: []", "sources"},
        {"repositories: [1]", "is a mapping"},
        {"repositories: [{}]", "needs a `url`"},
        {"repositories: [{url: 'git@h:a'}]", "yaml:1:22: the repository's URL must begin"},
        {"repositories: [{url: 'https://u:secret@h/a'}]", "password"},
        {"repositories: [{url: 'https://h/a', branch: [x]}]", "branches"},
        {"repositories: [{url: 'https://h/a', branches: x}]", "must be a list"},
        {"repositories: [{url: 'https://h/a', branches: ['']}]", "a pattern is"},
        {"repositories: [{url: 'https://h/a', branches: [refs/heads/x]}]", "without refs/heads/"},
        {"repositories: [{url: 'https://h/a', branches: []}]", "neither"},
        {"repositories: [{url: 'https://h/a', interval: 1}]", "interval"},
        {"repositories: [{url: 'https://h/a', interval: 500ms}]", "interval"},
        {"repositories: [{url: 'https://h/a', interval: 25h}]", "interval"},
        {"repositories: [{url: 'http://h/a'}]", "not encrypted"},
        {"repositories: [{url: 'http://h/a', insecure: yes}]", "yaml:1:"},
        {"repositories: [{url: 'http://h/a', insecure: true, credentials: /t}]", "unencrypted"},
        {"repositories: [{url: 'ssh://h/a'}]", "known_hosts"},
        {"repositories: [{url: 'https://h/a', known_hosts: /k}]", "known_hosts"},
        {"repositories: [{url: 'https://h/a', credentials: '/t x'}]", "credentials"},
        {"repositories: [{url: 'https://h/a'}, {url: 'HTTPS://H:443/a/'}]", "stands twice"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct config *config = NULL;
        struct error error = {.text = ""};
        if (parse(rows[i].text, &config, &error) != ERR_INPUT)
            fail_msg("%s is accepted", rows[i].text);
        if (strstr(error.text, rows[i].reason) == NULL)
            fail_msg("%s → %s", rows[i].text, error.text);
        assert_null(strstr(error.text, "secret"));
    }
}

static void test_copies(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "repositories: [{url: 'https://h/a'}]",
        "repositories: [{url: 'https://h/a', tags: [x]}]",
        "repositories: [{url: 'https://h/a', branches: [x]}]",
        "repositories: [{url: 'https://h/a', interval: 2s}]",
        "repositories: [{url: 'https://h/a', credentials: /x}]",
        "repositories: [{url: 'https://h/a', ca: /x}]",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        CLEANUP(config_free) struct config *left = NULL;
        assert_int_equal(parse(texts[i], &left, NULL), 0);
        struct repository_config *copy = repository_config_copy(config_at(left, 0));
        for (size_t j = 0; j < ARRAY_COUNT(texts); j++) {
            CLEANUP(config_free) struct config *right = NULL;
            assert_int_equal(parse(texts[j], &right, NULL), 0);
            assert_int_equal(repository_config_equal(copy, config_at(right, 0)), i == j);
        }
        repository_config_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_relative_path),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
