/*
 * Tests of the set of secrets.
 *
 * Design: configurations are texts; a secret's "file" is read by a function here that makes the bytes from the
 * path, so that nothing but secrets_load itself touches a disk. Tables for lookups and for every fault that a
 * person can make.
 */
#include "ingest/github/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"

/* The bytes of a secret are its path; paths that contain "missing" cannot be read. */
static int read_secret(const char *path, struct buffer *secret, struct error *error)
{
    if (strstr(path, "missing") != NULL)
        return error_set(error, ERR_NOT_FOUND, "%s: no such file", path);
    return buffer_append_text(secret, path);
}

static int parse(const char *text, struct secrets **ret_secrets, struct error *error)
{
    const struct secrets_source source = {.path = "/etc/nodag/secrets.yaml",
                                          .text = text,
                                          .text_bytes = strlen(text),
                                          .read_secret = read_secret};
    return secrets_parse(&source, ret_secrets, error);
}

static const char configuration[] =
    "secrets:\n"
    "  - {id: hook-old, file: a, hook_id: 5, organisations: [octo]}\n"
    "  - {id: hook-new, file: b, hook_id: 5, organisations: [octo]}\n"
    "  - {id: app, file: /abs/c, target_type: integration, target_id: 7, organisations: ['*']}\n"
    "  - {id: org, file: d, target_type: organization, target_id: 7, repositories: [octo/*, "
    "other/x]}\n"
    "  - {id: fallback, file: e, organisations: [octo], repositories: [cat/x]}\n"
    "  - {id: long-hook, file: f, hook_id: 9223372036854775807, organisations: [octo]}\n";

static void test_lookup(void **state)
{
    (void)state;
    static const struct {
        const char *hook_id, *target_type, *target_id;
        const char *ids; /* of the candidates, sorted, separated by spaces */
    } cases[] = {
        {"5", NULL, NULL, "hook-new hook-old"},
        {"5", "integration", "7", "hook-new hook-old"},
        {"05", NULL, NULL, "hook-new hook-old"},
        {"6", "integration", "7", "app"},
        {NULL, "integration", "7", "app"},
        {NULL, "integration", "007", "app"},
        {NULL, "organization", "7", "org"},
        {NULL, "repository", "7", "fallback"},
        {NULL, "integration", "8", "fallback"},
        {NULL, "integration", NULL, "fallback"},
        {NULL, NULL, "7", "fallback"},
        {NULL, NULL, NULL, "fallback"},
        {"55", NULL, NULL, "fallback"},
        {"9223372036854775807", NULL, NULL, "long-hook"},
        {"99999999999999999999", NULL, NULL, "fallback"},
    };
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct error error = {0};
    if (parse(configuration, &secrets, &error) != 0)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct delivery_head head = {.hook_id = text_of(cases[i].hook_id),
                                           .target_type = text_of(cases[i].target_type),
                                           .target_id = text_of(cases[i].target_id)};
        const struct secret *candidates[SECRETS_CANDIDATES_MAX];
        size_t count = secrets_candidates(secrets, &head, candidates);
        char ids[200] = "";
        if (count == 2 && strcmp(candidates[0]->id, candidates[1]->id) > 0) {
            const struct secret *first = candidates[0];
            candidates[0] = candidates[1];
            candidates[1] = first;
        }
        for (size_t k = 0; k < count; k++)
            (void)snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%s", k > 0 ? " " : "",
                           candidates[k]->id);
        if (strcmp(ids, cases[i].ids) != 0)
            fail_msg("case %zu: candidates '%s' instead of '%s'", i, ids, cases[i].ids);
    }
}

static void test_without_default_there_may_be_no_candidate(void **state)
{
    (void)state;
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct error error;
    assert_int_equal(
        parse("secrets: [{id: a, file: a, hook_id: 5, organisations: [o]}]", &secrets, &error), 0);
    const struct secret *candidates[SECRETS_CANDIDATES_MAX];
    const struct delivery_head head = {.hook_id = text_of("6")};
    assert_int_equal(secrets_candidates(secrets, &head, candidates), 0);
}

/* Finds a secret by its id. */
static const struct secret *by_id(const struct secrets *secrets, const char *id)
{
    for (size_t i = 0; i < secrets_count(secrets); i++) {
        if (strcmp(secrets_at(secrets, i)->id, id) == 0)
            return secrets_at(secrets, i);
    }
    fail_msg("no secret %s", id);
    return NULL;
}

static void test_files_scopes_and_keys(void **state)
{
    (void)state;
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct error error;
    assert_int_equal(parse(configuration, &secrets, &error), 0);
    assert_int_equal(secrets_count(secrets), 6);
    assert_string_equal(by_id(secrets, "hook-old")->file, "/etc/nodag/a");
    assert_string_equal(by_id(secrets, "app")->file, "/abs/c");
    assert_true(by_id(secrets, "app")->scope.is_everything);
    assert_int_equal(by_id(secrets, "org")->scope.count, 2);
    assert_int_equal(by_id(secrets, "fallback")->scope.count, 2);
    /* The key is that of the file's bytes: HMAC-SHA-256("/abs/c", "payload") by another implementation. */
    static const char expected[] =
        "c5e59f782971bf1ae1788f9de4d80a5588f4064903e628c6c4a98ae7cf45d3c1";
    uint8_t mac[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    CLEANUP(hmac_free) struct hmac *hmac = hmac_new(by_id(secrets, "app")->key);
    hmac_update(hmac, "payload", strlen("payload"));
    hmac_finish(hmac, mac);
    digest_to_text(mac, text);
    assert_string_equal(text, expected);
}

static void test_a_set_lives_until_its_last_holder(void **state)
{
    (void)state;
    struct secrets *secrets = NULL;
    struct error error;
    assert_int_equal(parse(configuration, &secrets, &error), 0);
    struct secrets *held = secrets_hold(secrets);
    secrets_free(secrets);
    assert_int_equal(secrets_count(held), 6);
    secrets_free(held); /* the leak check of the build sees to the rest */
}

static void test_faults_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says; /* part of the error */
    } cases[] = {
        {"", "mapping"},
        {"[]", "mapping"},
        {"secrets: [{id: a, file: a, organisations: [o]}]\n---\nsecrets: []\n", "one document"},
        {"secret: []", "secret"},
        {"{}", "`secrets`"},
        {"secrets: {}", "`secrets`"},
        {"secrets: []", "`secrets`"},
        {"secrets: [a]", "mapping"},
        {"secrets: [{file: a, organisations: [o]}]", "id"},
        {"secrets: [{id: '', file: a, organisations: [o]}]", "id"},
        {"secrets: [{id: 'a b', file: a, organisations: [o]}]", "id"},
        {"secrets: [{id: [a], file: a, organisations: [o]}]", "1:"},
        {"secrets: [{id: a, organisations: [o]}]", "file"},
        {"secrets: [{id: a, file: missing, organisations: [o]}]", "no such file"},
        {"secrets: [{id: a, file: a}]", "scope"},
        {"secrets: [{id: a, file: a, organisations: []}]", "scope"},
        {"secrets: [{id: a, file: a, organisations: o}]", "list"},
        {"secrets: [{id: a, file: a, organisations: [o/x]}]", "slash"},
        {"secrets: [{id: a, file: a, organisations: ['o*']}]", "no scope"},
        {"secrets: [{id: a, file: a, repositories: [o]}]", "owner/name"},
        {"secrets: [{id: a, file: a, repositories: ['*']}]", "owner/name"},
        {"secrets: [{id: a, file: a, repositories: [o/x/y]}]", "no scope"},
        {"secrets: [{id: a, file: a, organizations: [o]}]", "organisations"},
        {"secrets: [{id: a, file: a, organisations: [o], hook_id: x}]", "1:"},
        {"secrets: [{id: a, file: a, organisations: [o], hook_id: 0}]", "1:"},
        {"secrets: [{id: a, file: a, organisations: [o], hook_id: -5}]", "1:"},
        {"secrets: [{id: a, file: a, organisations: [o], target_id: 5}]", "belong together"},
        {"secrets: [{id: a, file: a, organisations: [o], target_type: integration}]",
         "belong together"},
        {"secrets: [{id: a, file: a, organisations: [o], target_type: Integration, target_id: 5}]",
         "target_type"},
        {"secrets: [{id: a, file: a, organisations: [o], hook_id: 1, target_type: x, target_id: "
         "5}]",
         "not for both"},
        {"secrets: [{id: a, file: a, organisations: [o]}, {id: a, file: b, organisations: [o]}]",
         "two secrets"},
        {"secrets: [{id: a, file: a, organisations: [o], id: b}]", "1:"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct secrets *secrets = NULL;
        struct error error = {0};
        int code = parse(cases[i].text, &secrets, &error);
        if (code == 0 || secrets != NULL || strstr(error.text, cases[i].says) == NULL ||
            strstr(error.text, "secrets.yaml") == NULL)
            fail_msg("%s: code %d, error '%s' does not say '%s'", cases[i].text, code, error.text,
                     cases[i].says);
    }
}

/* Makes a configuration with `count` secrets for one hook; owned. */
static char *many_for_one_hook(size_t count)
{
    struct buffer text = BUFFER_INIT(100000);
    assert_int_equal(buffer_append_text(&text, "secrets:\n"), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            buffer_append_format(
                &text, "- {id: s%zu, file: f%zu, hook_id: 5, organisations: [o]}\n", i, i),
            0);
    return buffer_take(&text);
}

static void test_candidates_are_bounded(void **state)
{
    (void)state;
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct secrets *none = NULL;
    struct error error;
    CLEANUP(mem_free) char *fits = many_for_one_hook(SECRETS_CANDIDATES_MAX);
    CLEANUP(mem_free) char *too_many = many_for_one_hook(SECRETS_CANDIDATES_MAX + 1);
    const struct secret *candidates[SECRETS_CANDIDATES_MAX];
    const struct delivery_head head = {.hook_id = text_of("5")};
    assert_int_equal(parse(fits, &secrets, &error), 0);
    assert_int_equal(secrets_candidates(secrets, &head, candidates), SECRETS_CANDIDATES_MAX);
    assert_int_equal(parse(too_many, &none, &error), ERR_TOO_LARGE);
    assert_non_null(strstr(error.text, "more than 8 secrets for hook 5"));
}

static void test_single(void **state)
{
    (void)state;
    char path[] = "/tmp/nodag-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret\n", 7), 7);
    (void)close(fd);
    static const char *const patterns[] = {"octo", "cat/x*"};
    static const char *const bad_patterns[] = {"octo//x"};
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct secrets *none = NULL;
    struct error error = {0};
    assert_int_equal(secrets_load_single(path, patterns, 2, &secrets, &error), 0);
    const struct secret *candidates[SECRETS_CANDIDATES_MAX];
    const struct delivery_head head = {.hook_id = text_of("5")};
    assert_int_equal(secrets_candidates(secrets, &head, candidates), 1);
    assert_string_equal(candidates[0]->id, "default");
    assert_int_equal(secrets_load_single(path, bad_patterns, 1, &none, &error), ERR_INPUT);
    (void)unlink(path);
    assert_int_equal(secrets_load_single(path, patterns, 2, &none, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_without_default_there_may_be_no_candidate),
        cmocka_unit_test(test_files_scopes_and_keys),
        cmocka_unit_test(test_a_set_lives_until_its_last_holder),
        cmocka_unit_test(test_faults_are_named),
        cmocka_unit_test(test_candidates_are_bounded),
        cmocka_unit_test(test_single),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
