/*
 * Tests of what is the S3 store's own and needs no server: where it asks, and what a refusal means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"
#include "reactors/clients/artefact_s3_answer.h"
#include "reactors/clients/artefacts.h"

/* Headers of every answer. */
static const char *find_header(const struct http_response *response, const char *name)
{
    (void)response;
    if (strcmp(name, "Date") == 0)
        return "Sun, 22 Nov 2026 08:00:00 GMT";
    return strcmp(name, "x-amz-bucket-region") == 0 ? "eu-north-1" : NULL;
}

static const struct s3_request_name asked_for = {
    .doing = "store", .uri = "s3://bucket/sha256/ab/ab", .credentials_file = "/etc/keys"};

static void test_refusals_say_what_to_do(void **state)
{
    static const struct {
        int status;
        const char *body;
        int code;
        const char *says;
    } cases[] = {
        {403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", ERR_DENIED, "correct /etc/keys"},
        {403, "<Error><Code>InvalidAccessKeyId</Code></Error>", ERR_DENIED, "correct /etc/keys"},
        {400, "<Error><Code>ExpiredToken</Code></Error>", ERR_DENIED, "new keys into /etc/keys"},
        {403, "<Error><Code>AccessDenied</Code></Error>", ERR_DENIED, "s3:PutObject"},
        {403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", ERR_DENIED,
         "clock it is Sun, 22 Nov"},
        {403, "", ERR_DENIED, "the keys in /etc/keys"},
        {404, "<Error><Code>NoSuchBucket</Code></Error>", ERR_INPUT, "make the bucket"},
        {301, "<Error><Code>PermanentRedirect</Code></Error>", ERR_INPUT,
         "set the region to eu-north-1"},
        {301, "", ERR_INPUT, "set the region to eu-north-1"},
        {400, "", ERR_INPUT, "set the region to eu-north-1"},
        {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
         ERR_INPUT, "set the region to eu-west-1"},
        {400, "<Error><Code>RequestTimeout</Code></Error>", ERR_UNAVAILABLE, "stood still"},
        {400, "<Error><Code>IncompleteBody</Code></Error>", ERR_UNAVAILABLE, "cut"},
        {400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", ERR_IO, "other bytes"},
        {409, "<Error><Code>OperationAborted</Code></Error>", ERR_CONFLICT, "409 Operation"},
        {307, "<Error><Code>TemporaryRedirect</Code></Error>", ERR_UNAVAILABLE, "307"},
        {503, "<Error><Code>SlowDown</Code></Error>", ERR_UNAVAILABLE, "503 SlowDown"},
        {502, "no <XML, and no end", ERR_UNAVAILABLE, "502"},
        {418, "<Code>a\nb%s\x80</Code>", ERR_INPUT, "418 a"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error = {0};
        const struct http_response response = {.status = cases[i].status,
                                               .body = cases[i].body,
                                               .body_bytes = strlen(cases[i].body),
                                               .get_header = find_header};
        int code = s3_answer_refused(&asked_for, &response, &error);
        if (code != cases[i].code || strstr(error.text, cases[i].says) == NULL)
            fail_msg("%d %s: %d %s", cases[i].status, cases[i].body, code, error.text);
        assert_non_null(strstr(error.text, "cannot store s3://bucket/sha256/ab/ab: it answered"));
        assert_int_equal(error.code, code);
    }
}

/* A long word is cut; one without an end is no harm. */
static void test_hostile_answers(void **state)
{
    static char body[20000];
    (void)state;
    (void)snprintf(body, sizeof(body), "<Code>%019000d", 7);
    struct error error = {0};
    const struct http_response response = {
        .status = 503, .body = body, .body_bytes = strlen(body), .get_header = find_header};
    assert_int_equal(s3_answer_refused(&asked_for, &response, &error), ERR_UNAVAILABLE);
    assert_true(strlen(error.text) < 200);
}

static void test_what_is_absent(void **state)
{
    static const struct {
        int status;
        const char *body;
        bool absent;
    } cases[] = {
        {404, "", true},
        {404, "<Code>NoSuchKey</Code>", true},
        {404, "<Code>NoSuchBucket</Code>", false},
        {403, "", false},
        {200, "", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct http_response response = {
            .status = cases[i].status, .body = cases[i].body, .get_header = find_header};
        assert_int_equal(s3_answer_is_absent(&response), cases[i].absent);
        assert_int_equal(s3_answer_is_success(&response), cases[i].status == 200);
    }
}

/* Where each place is asked: the URL of the request that was sent last. */
struct asked {
    struct http_client interface;
    char url[256];
};

static struct http_call *remember_url(struct http_client *interface,
                                      const struct http_request *request, http_done_fn done,
                                      void *argument)
{
    (void)done;
    (void)argument;
    struct asked *asked = (struct asked *)interface;
    (void)snprintf(asked->url, sizeof(asked->url), "%s", request->url);
    return (struct http_call *)asked;
}

static void forget(struct http_client *interface, struct http_call *call)
{
    (void)interface;
    (void)call;
}

static void on_done(void *argument, int code, const struct artefact *artefact,
                    const struct error *error)
{
    (void)argument;
    (void)code;
    (void)artefact;
    (void)error;
    fail(); /* it is cancelled */
}

static void test_addresses(void **state)
{
    static const struct {
        const char *url;
        const char *endpoint;
        const char *region;
        const char *starts;
    } cases[] = {
        {"s3://bucket", NULL, NULL, "https://bucket.s3.us-east-1.amazonaws.com/sha256/"},
        {"s3://bucket/a/b", NULL, "eu-west-1",
         "https://bucket.s3.eu-west-1.amazonaws.com/a/b/sha256/"},
        {"s3://my.bucket/a", NULL, NULL, "https://s3.us-east-1.amazonaws.com/my.bucket/a/sha256/"},
        {"s3://my.bucket/a.b", "https://[::1]:9000", NULL,
         "https://[::1]:9000/my.bucket/a.b/sha256/"},
        {"s3://bucket", "http://store/s3/", NULL, "http://store/s3/bucket/sha256/"},
    };
    (void)state;
    static const char keys[] = "access_key_id: a\nsecret_access_key: b\n";
    char path[] = "/tmp/nodag-keys-XXXXXX";
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    int fd = mkstemp(path);
    assert_int_equal(write(fd, keys, strlen(keys)), strlen(keys));
    (void)close(fd);
    struct asked asked = {.interface = {.send = remember_url, .cancel = forget}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error = {0};
        CLEANUP(artefact_store_free) struct artefact_store *store = NULL;
        const struct artefact_settings settings = {.url = cases[i].url,
                                                   .endpoint = cases[i].endpoint,
                                                   .region = cases[i].region,
                                                   .credentials_file = path};
        assert_int_equal(artefact_store_new(loop, &asked.interface, &settings, &store, &error), 0);
        CLEANUP(mem_free) char *sha256 = mem_format("%064d", 7);
        artefact_cancel(store, artefact_remove(store, sha256, on_done, NULL));
        if (strncmp(asked.url, cases[i].starts, strlen(cases[i].starts)) != 0)
            fail_msg("%s: asked at %s", cases[i].url, asked.url);
    }
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_say_what_to_do),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_what_is_absent),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
