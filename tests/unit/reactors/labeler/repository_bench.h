/*
 * What the tests of repository.h share: the cache on the real forge client, without credentials,
 * over a scripted GitHub with the organisation `o` on the simulated loop. The scripted one counts
 * what it is asked for by kind and answers after a moment, so that several ask while a look is
 * under way.
 *
 * Invariant: nothing here waits: time passes by the fake clock alone.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_LABELER_REPOSITORY_BENCH_H
#define NODAG_TESTS_UNIT_REACTORS_LABELER_REPOSITORY_BENCH_H

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/labeler/repository.h"
#include "tests/unit/reactors/clients/http_fake.h"

/* Where the scripted GitHub lives. */
#define BASE_URL "http://forge"

/* Wall clock at the start: 2026-11-01T12:00:00Z. */
#define WALL_MS INT64_C(1793534400000)

/* How long an answer takes, in milliseconds. */
#define ANSWER_MS 10

/* Longer than any look, far shorter than REPOSITORY_FRESH_MS. */
#define LOOK_MS 1000

/* Most answers that a test keeps. */
#define TOLD_MAX 8

/* Longest request line of the scripted GitHub. */
#define LINE_BYTES 512

/* Longest body of it. */
#define BODY_BYTES 4096

/* A name for repository_is in the scripted GitHub. */
enum route {
    ROUTE_REPOSITORY,        /* /repos/o/NAME */
    ROUTE_LABELS,            /* /repos/o/NAME/labels */
    ROUTE_ORGANISATION_FILE, /* /repos/o/.github/contents/… */
    ROUTE_ORGANISATION,      /* /repos/o/.github */
    ROUTE_OWN_FILE,          /* /repos/o/NAME/contents/… */
    ROUTE_COUNT,
};

/* What GitHub has, and how it fails. */
struct script {
    bool organisation_hidden;      /* o/.github answers 404 to everything */
    const char *organisation_file; /* text; NULL: absent */
    const char *own_file;          /* text; NULL: absent; "/": a folder */
    const char *labels;            /* JSON; NULL: two labels */
    const char *full_name;         /* of the repository; NULL: as asked */
    bool is_archived;              /* of the repository */
    int status[ROUTE_COUNT];       /* answers so, if not 0 */
    int code[ROUTE_COUNT];         /* no answer but this, if not 0 */
};

/* One answer to a waiter. */
struct told {
    int code;
    int64_t retry_after_ms;
    char text[ERROR_TEXT_BYTES];
    char seen[LINE_BYTES]; /* "ID NAME labels… | alias of bug, allowed or not" */
};

/* A test's world. */
struct bench {
    struct loop *loop;                 /* simulated */
    struct http_fake fake;             /* transport */
    struct forge *forge;               /* over it */
    struct metrics *metrics;           /* of the cache */
    struct repositories *repositories; /* under test */
    struct script script;              /* GitHub */
    size_t asked[ROUTE_COUNT];         /* requests by kind */
    size_t unchanged;                  /* answered by 304 */
    char body[BODY_BYTES];             /* of the answer being made */
    char headers[LINE_BYTES];          /* likewise */
    struct told told[TOLD_MAX];        /* in order */
    size_t told_count;                 /* of them */
    char mended[LINE_BYTES];           /* names of mended repositories */
    int log_fd;                        /* what was logged */
};

/* --- the scripted GitHub --- */

/* Which kind of request a path is. */
static inline enum route find_route(const char *path)
{
    bool is_organisation = strncmp(path, "/repos/o/.github", strlen("/repos/o/.github")) == 0;
    if (strstr(path, "/contents/") != NULL)
        return is_organisation ? ROUTE_ORGANISATION_FILE : ROUTE_OWN_FILE;
    if (strstr(path, "/labels?") != NULL)
        return ROUTE_LABELS;
    return is_organisation ? ROUTE_ORGANISATION : ROUTE_REPOSITORY;
}

/* A file as GitHub gives it; its status. */
static inline int write_file(struct bench *bench, const char *text)
{
    if (text == NULL)
        return 404;
    char encoded[BODY_BYTES / 2];
    assert_true(strlen(text) < sizeof(encoded) / 2);
    (void)EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)text, (int)strlen(text));
    (void)snprintf(
        bench->body, sizeof(bench->body),
        strcmp(text, "/") == 0
            ? "[]"
            : "{\"type\":\"file\",\"encoding\":\"base64\",\"size\":%zu,\"content\":\"%s\"}",
        strlen(text), encoded);
    return 200;
}

/* A repository as GitHub gives it; its status. */
static inline int write_repository(struct bench *bench, const char *path)
{
    const struct script *script = &bench->script;
    const char *name = path + strlen("/repos/");
    (void)snprintf(bench->body, sizeof(bench->body),
                   "{\"id\":4711,\"full_name\":\"%s\",\"private\":false,\"archived\":%s}",
                   script->full_name != NULL ? script->full_name : name,
                   script->is_archived ? "true" : "false");
    return 200;
}

/* What the script has for a request; its status. */
static inline int write_answer(struct bench *bench, enum route route, const char *path)
{
    const struct script *script = &bench->script;
    switch (route) {
    case ROUTE_LABELS:
        (void)snprintf(bench->body, sizeof(bench->body), "%s",
                       script->labels != NULL ? script->labels
                                              : "[{\"name\":\"Bug\"},{\"name\":\"area/x\"}]");
        return 200;
    case ROUTE_ORGANISATION_FILE:
        return script->organisation_hidden ? 404 : write_file(bench, script->organisation_file);
    case ROUTE_ORGANISATION:
        return script->organisation_hidden ? 404 : write_repository(bench, path);
    case ROUTE_OWN_FILE:
        return write_file(bench, script->own_file);
    default:
        return write_repository(bench, path);
    }
}

/* See http_fake_fn. */
static inline void answer_request(void *world, const struct http_request *request,
                                  struct http_fake_answer *answer)
{
    struct bench *bench = world;
    const char *path = request->url + strlen(BASE_URL);
    enum route route = find_route(path);
    bench->asked[route]++;
    snprintf(bench->body, sizeof(bench->body), "{\"message\":\"scripted\"}");
    answer->code = bench->script.code[route];
    answer->delay_ms = ANSWER_MS;
    answer->status = write_answer(bench, route, path);
    if (bench->script.status[route] != 0)
        answer->status = bench->script.status[route];
    (void)snprintf(bench->headers, sizeof(bench->headers), "ETag: \"%zx\"\nRetry-After: 7\n",
                   (size_t)bench->body[0] + strlen(bench->body) * 256);
    const char *known = http_fake_request_header(request, "If-None-Match");
    if (answer->status == 200 && known != NULL &&
        strncmp(bench->headers + 6, known, strlen(known)) == 0) {
        answer->status = 304;
        bench->unchanged++;
    }
    answer->headers = bench->headers;
    answer->body = answer->status == 304 ? "" : bench->body;
}

/* --- the bench --- */

/* Notes whose configuration was mended. */
static inline void on_mended(void *argument, const char *name)
{
    struct bench *bench = argument;
    size_t used = strlen(bench->mended);
    (void)snprintf(bench->mended + used, sizeof(bench->mended) - used, "%s;", name);
}

/* Setup of a test. */
static inline int bench_begin(void **state)
{
    struct bench *bench = MEM_NEW(struct bench);
    bench->loop = loop_new_simulated(1, WALL_MS);
    http_fake_init(&bench->fake, bench->loop, answer_request, bench);
    bench->metrics = metrics_new();
    const struct forge_settings settings = {.api_url = BASE_URL,
                                            .writes_per_hour = FORGE_WRITES_PER_HOUR};
    int code = forge_new(bench->loop, &bench->fake.client, &settings, NULL, &bench->forge, NULL);
    char path[] = "/tmp/nodag-repository-XXXXXX";
    bench->log_fd = mkstemp(path);
    if (code != 0 || bench->log_fd < 0)
        return -1;
    (void)unlink(path);
    log_set_fd(bench->log_fd);
    bench->repositories = repositories_new(bench->loop, bench->forge, bench->metrics);
    repositories_on_mended(bench->repositories, on_mended, bench);
    *state = bench;
    return 0;
}

/* Teardown of a test; fails where a request is left over. */
static inline int bench_end(void **state)
{
    struct bench *bench = *state;
    repositories_free(bench->repositories);
    size_t left = bench->fake.call_count;
    forge_free(bench->forge);
    metrics_free(bench->metrics);
    loop_free(bench->loop);
    log_set_fd(STDERR_FILENO);
    (void)close(bench->log_fd);
    mem_free(bench);
    return left == 0 ? 0 : -1;
}

/* Times that this text stands in the log. */
static inline size_t count_logged(struct bench *bench, const char *wanted)
{
    static char text[1u << 16];
    ssize_t size = pread(bench->log_fd, text, sizeof(text) - 1, 0);
    assert_true(size >= 0);
    text[size] = '\0';
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        count++;
    return count;
}

/* The metric of invalid repositories. */
static inline double count_invalid(struct bench *bench)
{
    struct buffer text = BUFFER_INIT(1u << 16);
    assert_int_equal(metrics_print(bench->metrics, &text), 0);
    const char *line = strstr(text.data, "\nnodag_labeler_repositories_invalid ");
    double value = line != NULL ? strtod(strchr(line, ' '), NULL) : -1;
    buffer_release(&text);
    return value;
}

/* See repository_fn. */
static inline void on_told(void *argument, int code, int64_t retry_after_ms,
                           const struct repository *repository, const char *text)
{
    struct bench *bench = argument;
    assert_true(bench->told_count < TOLD_MAX);
    assert_true((code == 0) == (repository != NULL));
    struct told *told = &bench->told[bench->told_count++];
    *told = (struct told){.code = code, .retry_after_ms = retry_after_ms};
    (void)snprintf(told->text, sizeof(told->text), "%s", text);
    if (repository == NULL)
        return;
    int used = snprintf(told->seen, sizeof(told->seen), "%lld %s%s", (long long)repository->id,
                        repository->full_name, repository->is_archived ? " archived" : "");
    for (size_t i = 0; i < repository->label_count; i++)
        used += snprintf(told->seen + used, sizeof(told->seen) - (size_t)used, " [%s]",
                         repository->labels[i]);
    const char *written = bot_config_alias(repository->config, "bug");
    (void)snprintf(told->seen + used, sizeof(told->seen) - (size_t)used, " | %s%s", written,
                   bot_config_allows(repository->config, written) ? "" : " not allowed");
}

/* Asks, lets the look end, and returns what was told. */
static const struct told *ask(struct bench *bench, const char *name)
{
    bench->told_count = 0;
    (void)repositories_get(bench->repositories, name, on_told, bench);
    assert_int_equal(bench->told_count, 0); /* never from within */
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 1);
    return &bench->told[0];
}

/* Requests so far. */
static inline size_t count_asked(const struct bench *bench)
{
    size_t count = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        count += bench->asked[i];
    return count;
}

/* A test with a bench of its own. */
#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

#endif
