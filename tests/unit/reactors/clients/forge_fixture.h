/*
 * What the tests of the forge client share: a forge on the simulated loop and a scripted GitHub.
 *
 * Design: a script is a table of exchanges: the request that must come next, and its answer. The
 * fixture asserts that requests come in that order, with the headers that each row demands, and
 * that none is left over. Results are printed into one text, so that a case's expectation is one
 * string. Every error text is searched for secrets.
 *
 * Invariant: nothing here waits: time passes by the fake clock alone.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_CLIENTS_FORGE_FIXTURE_H
#define NODAG_TESTS_UNIT_REACTORS_CLIENTS_FORGE_FIXTURE_H

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/time_text.h"
#include "reactors/clients/forge.h"
#include "tests/unit/reactors/clients/http_fake.h"

/* Where the scripted forge lives; with a path, as on Enterprise. */
#define FIXTURE_URL "https://forge.test/api/v3"

/* Wall clock at the start: 2026-11-01T12:00:00Z. */
#define FIXTURE_WALL_MS INT64_C(1793534400000)

/* Longest printed result. */
#define FIXTURE_RESULT_BYTES 16384

/* Most exchanges of a script. */
#define FIXTURE_SCRIPT_MAX 14

/* Secrets of the tests: none may turn up in an error text. */
#define FIXTURE_TOKEN "secret-token-1"
/* See above. */
#define FIXTURE_TOKEN_2 "secret-token-2"

/* One request that must come, and its answer. */
struct exchange {
    const char *request; /* "METHOD PATH" below FIXTURE_URL; NULL ends a script */
    const char
        *sent;  /* lines the request must have: "Header: value", "Header: -" (none), "body: text";
                            "Authorization: JWT" is verified by the App's public key */
    int status; /* of the answer; 0: 200 */
    const char *headers; /* of the answer, lines */
    const char *body;    /* of the answer */
    int code;            /* no answer, but this */
    int64_t delay_ms;    /* until the answer */
};

/* How the forge under test is set up. */
enum fixture_mode {
    FIXTURE_TOKEN_MODE, /* a token; the default */
    FIXTURE_APP_MODE,   /* App 1234 */
    FIXTURE_NONE_MODE,  /* neither */
};

/* Everything of one test. */
struct fixture {
    struct loop *loop;                  /* owned */
    struct http_fake fake;              /* the transport */
    struct metrics *metrics;            /* owned */
    struct forge *forge;                /* owned; NULL after it was freed in a test */
    const struct exchange *script;      /* borrowed */
    size_t next;                        /* of the script */
    const char *name;                   /* of the case, for failures */
    size_t result_count;                /* callbacks that ran */
    struct forge_result result;         /* the last; its error is cleared */
    char error_text[ERROR_TEXT_BYTES];  /* its text */
    char printed[FIXTURE_RESULT_BYTES]; /* what came, as text */
};

/* The App's key and the files that settings name; made once for each executable. */
static EVP_PKEY *fixture_key;
/* See above. */
static char fixture_key_file[64];
/* See above. */
static char fixture_token_file[64];

/* Writes a secret file anew. */
static inline void fixture_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Writes a key as PEM, PKCS#1 as GitHub gives it. */
static inline void fixture_write_key(const char *path, EVP_PKEY *key)
{
    BIO *file = BIO_new_file(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_free(file), 1);
}

/* Group setup: makes key and files. */
static inline int fixture_begin(void **state)
{
    (void)state;
    fixture_key = EVP_RSA_gen(2048);
    const char *folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    (void)snprintf(fixture_key_file, sizeof(fixture_key_file), "%.40s/forge-key-XXXXXX", folder);
    (void)snprintf(fixture_token_file, sizeof(fixture_token_file), "%.40s/forge-token-XXXXXX",
                   folder);
    int key_fd = mkstemp(fixture_key_file);
    int token_fd = mkstemp(fixture_token_file);
    if (fixture_key == NULL || key_fd < 0 || token_fd < 0)
        return -1;
    close(key_fd);
    close(token_fd);
    return 0;
}

/* Group teardown. */
static inline int fixture_end(void **state)
{
    (void)state;
    EVP_PKEY_free(fixture_key);
    (void)unlink(fixture_key_file);
    (void)unlink(fixture_token_file);
    return 0;
}

/* ---- the App's JWT ---- */

/* Decodes base64url; returns the number of bytes. */
static inline size_t fixture_decode(const char *text, size_t length, unsigned char *bytes)
{
    char padded[4096] = "";
    assert_true(length < sizeof(padded) - 4);
    for (size_t i = 0; i < length; i++)
        padded[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    size_t padding = (4 - length % 4) % 4;
    memset(padded + length, '=', padding);
    int count = EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)(length + padding));
    assert_true(count >= 0);
    return (size_t)count - padding;
}

/* Verifies signature and claims of "Bearer JWT" at the time `wall_ms`. */
static inline void fixture_check_jwt(EVP_PKEY *key, const char *authorization, int64_t wall_ms)
{
    assert_non_null(authorization);
    assert_memory_equal(authorization, "Bearer ", 7);
    const char *jwt = authorization + 7;
    const char *claims_text = strchr(jwt, '.') + 1;
    const char *signature_text = strchr(claims_text, '.') + 1;
    unsigned char bytes[4096] = "";
    size_t count = fixture_decode(jwt, (size_t)(claims_text - 1 - jwt), bytes);
    bytes[count] = '\0';
    assert_string_equal((char *)bytes, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
    count = fixture_decode(claims_text, (size_t)(signature_text - 1 - claims_text), bytes);
    CLEANUP(json_release) json_t *claims = NULL;
    assert_int_equal(json_read((char *)bytes, count, &claims, NULL), 0);
    int64_t now_s = wall_ms / 1000;
    assert_int_equal(json_int_or(claims, "iat", 0), now_s - 60);
    assert_true(json_int_or(claims, "exp", 0) > now_s);
    assert_true(json_int_or(claims, "exp", 0) - json_int_or(claims, "iat", 0) <= 600);
    assert_string_equal(json_text_or(claims, "iss", ""), "1234");
    count = fixture_decode(signature_text, strlen(signature_text), bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(context, bytes, count, (const unsigned char *)jwt,
                                      (size_t)(signature_text - 1 - jwt)),
                     1);
    EVP_MD_CTX_free(context);
}

/* ---- the scripted GitHub ---- */

/* Fails the test with the case's name. */
#define FIXTURE_FAIL(fixture, ...)                                                                 \
    do {                                                                                           \
        print_error("case \"%s\", exchange %zu: ", (fixture)->name, (fixture)->next);              \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)

/* Checks one line of exchange.sent. */
static inline void fixture_check_line(struct fixture *fixture, const struct http_request *request,
                                      const char *line)
{
    char name[64] = "";
    size_t name_bytes = strcspn(line, ":");
    assert_true(name_bytes < sizeof(name));
    memcpy(name, line, name_bytes);
    const char *expected = line + name_bytes + 2;
    const char *found =
        strcmp(name, "body") == 0 ? request->body : http_fake_request_header(request, name);
    if (strcmp(expected, "JWT") == 0)
        fixture_check_jwt(fixture_key, found, loop_wall_ms(fixture->loop));
    else if (strcmp(expected, "-") == 0 ? found != NULL
                                        : found == NULL || strcmp(found, expected) != 0)
        FIXTURE_FAIL(fixture, "%s is \"%s\", not \"%s\"", name, found != NULL ? found : "(none)",
                     expected);
}

/* See http_fake_fn: the next row of the script. */
static inline void fixture_answer(void *world, const struct http_request *request,
                                  struct http_fake_answer *answer)
{
    struct fixture *fixture = world;
    char asked[16384];
    assert_memory_equal(request->url, FIXTURE_URL, strlen(FIXTURE_URL));
    (void)snprintf(asked, sizeof(asked), "%s %s", request->method,
                   request->url + strlen(FIXTURE_URL));
    const struct exchange *exchange = &fixture->script[fixture->next];
    if (exchange->request == NULL || strcmp(exchange->request, asked) != 0)
        FIXTURE_FAIL(fixture, "asked for \"%s\", not \"%s\"", asked,
                     exchange->request != NULL ? exchange->request : "(nothing)");
    assert_string_equal(http_fake_request_header(request, "Accept"), "application/vnd.github+json");
    assert_string_equal(http_fake_request_header(request, "X-GitHub-Api-Version"), "2022-11-28");
    assert_memory_equal(http_fake_request_header(request, "User-Agent"), "nodag/", 6);
    CLEANUP(mem_free) char *sent = mem_copy_text(exchange->sent);
    char *rest = sent;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        fixture_check_line(fixture, request, line);
    fixture->next++;
    *answer = (struct http_fake_answer){
        .code = exchange->code,
        .status = exchange->status,
        .headers = exchange->headers,
        .body = exchange->body,
        .delay_ms = exchange->delay_ms,
    };
}

/* ---- results ---- */

/* Appends to what was printed. */
static inline void fixture_print(struct fixture *fixture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void fixture_print(struct fixture *fixture, const char *format, ...)
{
    size_t used = strlen(fixture->printed);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fixture->printed + used, sizeof(fixture->printed) - used, format, arguments);
    va_end(arguments);
}

/* Takes the result of any callback; true if it was good. */
static inline bool fixture_take(struct fixture *fixture, const struct forge_result *result)
{
    fixture->result_count++;
    fixture->result = *result;
    fixture->result.error = NULL;
    assert_non_null(result->error);
    assert_int_equal(result->error->code, result->code);
    (void)snprintf(fixture->error_text, sizeof(fixture->error_text), "%s", result->error->text);
    assert_null(strstr(fixture->error_text, "secret"));
    assert_null(strstr(fixture->error_text, "Bearer"));
    assert_true((result->code == ERR_RATE_LIMITED) == (result->retry_after_ms != 0));
    if (result->code == 0)
        assert_int_equal(fixture->error_text[0], '\0');
    else
        fixture_print(fixture, "%s;", err_name(result->code));
    return result->code == 0;
}

/* See forge_issue_fn. */
static inline void fixture_on_issue(void *argument, const struct forge_result *result,
                                    const struct forge_issue *issue)
{
    struct fixture *fixture = argument;
    if (!fixture_take(fixture, result)) {
        assert_null(issue);
        return;
    }
    char time[TIME_TEXT_BYTES];
    time_to_text(issue->created_ms, time);
    fixture_print(fixture, "%s#%" PRId64 " %s%s%s %s \"%s\" \"%s\"", issue->repository,
                  issue->number, issue->is_open ? "open" : "closed",
                  issue->is_pull_request ? " pull" : "", issue->is_locked ? " locked" : "", time,
                  issue->title, issue->body);
    for (size_t i = 0; i < issue->label_count; i++)
        fixture_print(fixture, " [%s]", issue->labels[i]);
    fixture_print(fixture, ";");
}

/* See forge_timeline_fn. */
static inline void fixture_on_timeline(void *argument, const struct forge_result *result,
                                       const struct forge_timeline_item *items, size_t count)
{
    struct fixture *fixture = argument;
    if (!fixture_take(fixture, result)) {
        assert_null(items);
        assert_int_equal(count, 0);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct forge_timeline_item *item = &items[i];
        char time[TIME_TEXT_BYTES];
        time_to_text(item->time_ms, time);
        const char *kinds[] = {"+", "-", "#"};
        fixture_print(fixture, "%s %s%s%s ", time, item->actor, item->is_own ? " own" : "",
                      item->is_bot ? " bot" : "");
        fixture_print(fixture, "%s", kinds[item->kind]);
        if (item->kind == FORGE_TIMELINE_COMMENTED)
            fixture_print(fixture, "%" PRId64 " \"%s\";", item->comment_id, item->body);
        else
            fixture_print(fixture, "%s;", item->label);
    }
    fixture_print(fixture, "%zu items;", count);
}

/* See forge_repository_fn. */
static inline void fixture_on_repository(void *argument, const struct forge_result *result,
                                         const struct forge_repository *repository)
{
    struct fixture *fixture = argument;
    if (fixture_take(fixture, result))
        fixture_print(fixture, "%" PRId64 " %s%s%s;", repository->id, repository->full_name,
                      repository->is_archived ? " archived" : "",
                      repository->is_private ? " private" : "");
}

/* See forge_names_fn. */
static inline void fixture_on_names(void *argument, const struct forge_result *result,
                                    const char *const *names, size_t count)
{
    struct fixture *fixture = argument;
    if (!fixture_take(fixture, result))
        return;
    for (size_t i = 0; i < count; i++)
        fixture_print(fixture, "[%s]", names[i]);
    fixture_print(fixture, ";");
}

/* See forge_file_fn. */
static inline void fixture_on_file(void *argument, const struct forge_result *result,
                                   const char *bytes, size_t byte_count)
{
    struct fixture *fixture = argument;
    if (fixture_take(fixture, result))
        fixture_print(fixture, "%zu \"%.*s\";", byte_count, (int)byte_count, bytes);
}

/* See forge_text_fn. */
static inline void fixture_on_text(void *argument, const struct forge_result *result,
                                   const char *text)
{
    struct fixture *fixture = argument;
    if (fixture_take(fixture, result))
        fixture_print(fixture, "%s;", text);
}

/* See forge_written_fn. */
static inline void fixture_on_written(void *argument, const struct forge_result *result, int64_t id)
{
    struct fixture *fixture = argument;
    if (fixture_take(fixture, result))
        fixture_print(fixture, "done %" PRId64 ";", id);
    else
        assert_int_equal(id, 0);
}

/* ---- asking ---- */

/* What a test asks of the forge. */
enum fixture_ask {
    ASK_ISSUE,      /* forge_get_issue */
    ASK_TIMELINE,   /* forge_get_timeline */
    ASK_REPOSITORY, /* forge_get_repository */
    ASK_LABELS,     /* forge_list_labels */
    ASK_FILE,       /* forge_get_file */
    ASK_IDENTITY,   /* forge_get_identity */
    ASK_ADD,        /* forge_add_labels: text and text_2 */
    ASK_REMOVE,     /* forge_remove_label */
    ASK_COMMENT,    /* forge_create_comment */
    ASK_EDIT,       /* forge_edit_comment */
};

/* A question with its arguments. */
struct question {
    enum fixture_ask ask;   /* which */
    const char *repository; /* NULL: "o/r" */
    int64_t number;         /* 0: 7 */
    const char *text;       /* label, path, comment; NULL: "bug" */
    const char *text_2;     /* second label */
};

/* Asks; the answer goes to the fixture. */
static inline struct forge_call *fixture_ask(struct fixture *fixture,
                                             const struct question *question)
{
    struct forge *forge = fixture->forge;
    const char *repository = question->repository != NULL ? question->repository : "o/r";
    int64_t number = question->number != 0 ? question->number : 7;
    const char *text = question->text != NULL ? question->text : "bug";
    const char *const labels[] = {text, question->text_2};
    switch (question->ask) {
    case ASK_ISSUE:
        return forge_get_issue(forge, repository, number, fixture_on_issue, fixture);
    case ASK_TIMELINE:
        return forge_get_timeline(forge, repository, number, fixture_on_timeline, fixture);
    case ASK_REPOSITORY:
        return forge_get_repository(forge, repository, fixture_on_repository, fixture);
    case ASK_LABELS:
        return forge_list_labels(forge, repository, fixture_on_names, fixture);
    case ASK_FILE:
        return forge_get_file(forge, repository, text, fixture_on_file, fixture);
    case ASK_IDENTITY:
        return forge_get_identity(forge, fixture_on_text, fixture);
    case ASK_ADD:
        return forge_add_labels(forge, repository, number, labels, question->text_2 != NULL ? 2 : 1,
                                fixture_on_written, fixture);
    case ASK_REMOVE:
        return forge_remove_label(forge, repository, number, text, fixture_on_written, fixture);
    case ASK_COMMENT:
        return forge_create_comment(forge, repository, number, text, fixture_on_written, fixture);
    case ASK_EDIT:
        return forge_edit_comment(forge, repository, number, text, fixture_on_written, fixture);
    }
    return NULL;
}

/* Runs the loop until nothing is left to do. */
static inline void fixture_run(struct fixture *fixture)
{
    while (loop_step(fixture->loop)) {
    }
}

/* ---- life ---- */

/* Makes a forge of the mode; `login` may be NULL. */
static inline void fixture_make_forge(struct fixture *fixture, enum fixture_mode mode,
                                      const char *login, int64_t writes_per_hour)
{
    struct forge_settings settings = {
        .api_url = FIXTURE_URL "/",
        .token_file = mode == FIXTURE_TOKEN_MODE ? fixture_token_file : NULL,
        .app_id = mode == FIXTURE_APP_MODE ? "1234" : NULL,
        .app_key_file = mode == FIXTURE_APP_MODE ? fixture_key_file : NULL,
        .login = login,
        .writes_per_hour = writes_per_hour,
    };
    struct error error = {0};
    fixture_write_file(fixture_token_file, FIXTURE_TOKEN "\n");
    fixture_write_key(fixture_key_file, fixture_key);
    int code = forge_new(fixture->loop, &fixture->fake.client, &settings, fixture->metrics,
                         &fixture->forge, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(code, 0);
}

/* Sets everything up, with a script (borrowed) and the default budget. */
static inline void fixture_init(struct fixture *fixture, const char *name, enum fixture_mode mode,
                                const char *login, const struct exchange *script)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->name = name;
    fixture->script = script;
    fixture->loop = loop_new_simulated(1, FIXTURE_WALL_MS);
    fixture->metrics = metrics_new();
    http_fake_init(&fixture->fake, fixture->loop, fixture_answer, fixture);
    fixture_make_forge(fixture, mode, login, FORGE_WRITES_PER_HOUR);
}

/* Checks that the script was used up, and frees everything. */
static inline void fixture_release(struct fixture *fixture)
{
    if (fixture->script[fixture->next].request != NULL)
        FIXTURE_FAIL(fixture, "never asked for \"%s\"", fixture->script[fixture->next].request);
    forge_free(fixture->forge);
    assert_int_equal(fixture->fake.call_count, 0);
    metrics_free(fixture->metrics);
    loop_free(fixture->loop);
}

/* Forgets printed results. */
static inline void fixture_clear(struct fixture *fixture)
{
    fixture->printed[0] = '\0';
}

/* ---- tables of cases ---- */

/* One question and what comes of it. */
struct forge_case {
    const char *name;                           /* what is shown */
    enum fixture_mode mode;                     /* how the forge is set up */
    const char *login;                          /* --forge-login */
    struct question question;                   /* what is asked */
    struct exchange script[FIXTURE_SCRIPT_MAX]; /* what goes over the wire */
    const char *printed;                        /* what came */
    const char *error_text;                     /* part of the error text; NULL: not looked at */
    int64_t retry_after_ms;                     /* with ERR_RATE_LIMITED */
    bool effect_unsure;                         /* of the result */
};

/* Runs a table of cases. */
static inline void fixture_run_cases(const struct forge_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct forge_case *one = &cases[i];
        struct fixture fixture;
        fixture_init(&fixture, one->name, one->mode, one->login, one->script);
        (void)fixture_ask(&fixture, &one->question);
        assert_int_equal(fixture.result_count, 0);
        fixture_run(&fixture);
        if (fixture.result_count != 1 || strcmp(fixture.printed, one->printed) != 0)
            FIXTURE_FAIL(&fixture, "%zu results: %s (%s), not %s", fixture.result_count,
                         fixture.printed, fixture.error_text, one->printed);
        if (one->error_text != NULL && strstr(fixture.error_text, one->error_text) == NULL)
            FIXTURE_FAIL(&fixture, "error text \"%s\" without \"%s\"", fixture.error_text,
                         one->error_text);
        if (fixture.result.retry_after_ms != one->retry_after_ms ||
            fixture.result.effect_unsure != one->effect_unsure)
            FIXTURE_FAIL(&fixture, "again after %lld ms, unsure %d",
                         (long long)fixture.result.retry_after_ms, fixture.result.effect_unsure);
        fixture_release(&fixture);
    }
}

#endif
