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
        {"repositories: [1]", "is a mapping"},
        {"repositories: [{}]", "`url` is missing"},
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

/* The beginning of a source; a row adds what follows. */
#define SOURCE "sources: [{repository: 'https://h/a', branch: main, paths: ['n*']"

static void test_sources(void **state)
{
    (void)state;
    static const char text[] = "repositories: [{url: 'https://h/b', branches: [x], ca: /ca}]\n"
                               "credentials:\n"
                               "  - {prefix: 'HTTPS://H/a/', file: /t}\n"
                               "  - {prefix: 'https://h', file: /wide}\n"
                               "sources:\n"
                               "  - {repository: 'https://H/a/', branch: main, paths: ['n*']}\n"
                               "  - {repository: 'https://h/a', branch: two, paths: [x],\n"
                               "     allow: {names: [], targets: ['acme*']}}\n"
                               "  - {repository: 'https://h/b', branch: main, paths: [x]}\n";
    CLEANUP(config_free) struct config *config = NULL;
    struct error error = {.text = ""};
    if (parse(text, &config, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(config_has_sources(config));
    assert_int_equal(config_source_count(config), 3);
    assert_int_equal(config_count(config), 2);
    const struct repository_config *listed = config_at(config, 0);
    const struct repository_config *added = config_at(config, 1);
    assert_true(repository_config_wants(listed, "refs/heads/main"));
    assert_true(repository_config_wants(listed, "refs/heads/x"));
    assert_null(listed->credentials_file); /* it has an authority of its own: nothing is mixed */
    assert_string_equal(added->url.text, "https://h/a");
    assert_string_equal(added->credentials_file, "/t");
    assert_true(repository_config_wants(added, "refs/heads/two"));
    assert_false(repository_config_wants(added, "refs/heads/three"));
    const struct source_config *second = config_source_at(config, 1);
    assert_true(second->has_names && second->names.count == 0);
    assert_true(second->has_targets && !second->has_labels);
}

static void test_sources_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } rows[] = {
        {"sources: {}", "must be a list"},
        {"sources: [1]", "yaml:1:11: a source is a mapping"},
        {"sources: [{repository: 'https://h/a'}]", "`branch` is missing"},
        {"sources: [{repository: 'https://h/a', branch: 'm*', paths: [x]}]", "one branch"},
        {"sources: [{repository: 'https://h/a', branch: refs/heads/m, paths: [x]}]", "one branch"},
        {"sources: [{repository: 'https://h/a', branch: m}]", "`paths` is missing"},
        {"sources: [{repository: 'https://h/a', branch: m, paths: []}]", "1 to 64"},
        {"sources: [{repository: 'https://h/a', branch: m, paths: [/x]}]", "with a slash"},
        {"sources: [{repository: 'http://h/a', branch: m, paths: [x]}]", "not encrypted"},
        {"sources: [{repository: 'ssh://h/a', branch: m, paths: [x]}]", "known_hosts"},
        {"sources: [{repository: 'https://u:secret@h/a', branch: m, paths: [x]}]", "password"},
        {SOURCE ", allow: []}]", "`allow` is a mapping"},
        {SOURCE ", allow: {name: [x]}}]", "name"},
        {SOURCE ", allow: {names: x}}]", "must be a list"},
        {SOURCE "}, {repository: 'https://h/a', branch: main, paths: [x]}]", "stands twice"},
        {"repositories: []\ncredentials: [{file: /x}]", "`prefix` is missing"},
        {"repositories: []\ncredentials: [{prefix: 'h/a', file: /x}]", "must begin with"},
        {"repositories: []\ncredentials: [{prefix: 'file:///a', file: /x}]", "a prefix is"},
        {"repositories: []\ncredentials: [{prefix: 'https://h/a/..', file: /x}]", "a prefix is"},
        {"repositories: []\ncredentials: [{prefix: 'http://h/', file: /x}]", "unencrypted"},
        {"repositories: []\ncredentials: [{prefix: 'ssh://h/', file: /x}]", "known_hosts"},
        {"repositories: []\ncredentials: [{prefix: 'https://h', file: /x}, {prefix: "
         "'https://H:443/', file: /y}]",
         "stands twice"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct config *config = NULL;
        struct error error = {.text = ""};
        if (parse(rows[i].text, &config, &error) != ERR_INPUT)
            fail_msg("%s is accepted", rows[i].text);
        if (strstr(error.text, rows[i].reason) == NULL || strstr(error.text, "yaml:") == NULL)
            fail_msg("%s → %s", rows[i].text, error.text);
        assert_null(strstr(error.text, "secret"));
    }
}

/* What documents name: with which credentials, on which branches, and what is not watched at all. */
static void test_named(void **state)
{
    (void)state;
    static const char text[] =
        "repositories:\n"
        "  - {url: 'file:///srv/a', branches: [x]}\n"
        "  - {url: 'https://h/acme/listed', branches: [x], credentials: /own}\n"
        "credentials:\n"
        "  - {prefix: 'https://h/acme', file: /acme}\n"
        "  - {prefix: 'https://h/acme/deep', file: /deep}\n"
        "  - {prefix: 'ssh://git@h/', file: /key, known_hosts: /known}\n";
    static const struct {
        const char *url;
        const char *branch;
        const char *ref;         /* that is watched then; NULL: refused */
        const char *credentials; /* or what the refusal says */
    } rows[] = {
        {"https://h/acme/one", "main", "refs/heads/main", "/acme"},
        {"https://H/acme/one", NULL, "refs/heads/any", "/acme"},
        {"https://h/acme/deep/one", "main", "refs/heads/main", "/deep"},
        {"https://h/acme-evil/one", "main", "refs/heads/main", NULL},
        {"https://h.evil/acme/one", "main", "refs/heads/main", NULL},
        {"https://h:444/acme/one", "main", "refs/heads/main", NULL},
        {"https://h/acme/listed", "main", "refs/heads/main", "/own"},
        {"git@h:owner/name", "main", "refs/heads/main", "/key"},
        {"file:///srv/a", "main", "refs/heads/main", NULL},
        {"https://h/acme/../evil/one", "main", NULL, "in its path"},
        {"https://h/acme/%2E%2e/evil/one", "main", NULL, "in its path"},
        {"https://h/acme%2F../one", "main", NULL, "in its path"},
        {"file:///srv/b", "main", NULL, "this machine"},
        {"http://h/one", "main", NULL, "not encrypted"},
        {"ssh://git@other/one", "main", NULL, "known_hosts"},
        {"ext::sh", "main", NULL, ""},
        {"git://h/one", "main", NULL, "must begin"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(config_free) struct config *file = NULL;
        struct error error = {.text = ""};
        assert_int_equal(parse(text, &file, NULL), 0);
        CLEANUP(config_free) struct config *config = config_copy(file);
        int code = config_add_named(config, rows[i].url, rows[i].branch, &error);
        if ((code == 0) != (rows[i].ref != NULL) ||
            (code != 0 && strstr(error.text, rows[i].credentials) == NULL))
            fail_msg("%s: %d %s", rows[i].url, code, error.text);
        if (code != 0) {
            assert_int_equal(config_count(config), 2);
            continue;
        }
        const struct repository_config *found = NULL;
        for (size_t j = 0; j < config_count(config); j++)
            if (repository_config_wants(config_at(config, j), rows[i].ref))
                found = config_at(config, j);
        assert_non_null(found);
        if (rows[i].credentials == NULL)
            assert_null(found->credentials_file);
        else
            assert_string_equal(found->credentials_file, rows[i].credentials);
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
        cmocka_unit_test(test_whole),           cmocka_unit_test(test_relative_path),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_sources),
        cmocka_unit_test(test_sources_refused), cmocka_unit_test(test_named),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
