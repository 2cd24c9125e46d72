/*
 * What is known of a repository: absent, invalid, unreachable and hidden told apart, waiters, freshness, touches, mending, and the
 * cache's end.
 *
 * Design: the real forge client, without credentials, over a scripted GitHub with the organisation `o` on the simulated loop. The
 * scripted one counts what it is asked for by kind and answers after a moment, so that several ask while a look is under way.
 */
#include "reactors/labeler/repository.h"

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

/* Longest request line and body of the scripted GitHub. */
#define LINE_BYTES 512
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

static enum route find_route(const char *path)
{
    bool is_organisation = strncmp(path, "/repos/o/.github", strlen("/repos/o/.github")) == 0;
    if (strstr(path, "/contents/") != NULL)
        return is_organisation ? ROUTE_ORGANISATION_FILE : ROUTE_OWN_FILE;
    if (strstr(path, "/labels?") != NULL)
        return ROUTE_LABELS;
    return is_organisation ? ROUTE_ORGANISATION : ROUTE_REPOSITORY;
}

static int write_file(struct bench *bench, const char *text)
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

static int write_repository(struct bench *bench, const char *path)
{
    const struct script *script = &bench->script;
    const char *name = path + strlen("/repos/");
    (void)snprintf(bench->body, sizeof(bench->body),
                   "{\"id\":4711,\"full_name\":\"%s\",\"private\":false,\"archived\":%s}",
                   script->full_name != NULL ? script->full_name : name,
                   script->is_archived ? "true" : "false");
    return 200;
}

static int write_answer(struct bench *bench, enum route route, const char *path)
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
static void answer_request(void *world, const struct http_request *request,
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

static void on_mended(void *argument, const char *name)
{
    struct bench *bench = argument;
    size_t used = strlen(bench->mended);
    (void)snprintf(bench->mended + used, sizeof(bench->mended) - used, "%s;", name);
}

static int bench_begin(void **state)
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

static int bench_end(void **state)
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
static size_t count_logged(struct bench *bench, const char *wanted)
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

static double count_invalid(struct bench *bench)
{
    struct buffer text = BUFFER_INIT(1u << 16);
    assert_int_equal(metrics_print(bench->metrics, &text), 0);
    const char *line = strstr(text.data, "\nnodag_labeler_repositories_invalid ");
    double value = line != NULL ? strtod(strchr(line, ' '), NULL) : -1;
    buffer_release(&text);
    return value;
}

/* See repository_fn. */
static void on_told(void *argument, int code, int64_t retry_after_ms,
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
static size_t count_asked(const struct bench *bench)
{
    size_t count = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        count += bench->asked[i];
    return count;
}

/* --- what a look finds --- */

/* A state of the world and what is told. */
struct look {
    const char *name;
    struct script script;
    int code;
    const char *wanted;     /* what is seen; or a part of the text */
    int64_t retry_after_ms; /* what is told of it */
    bool is_invalid;        /* counted and logged as invalid */
};

static const struct look looks[] = {
    {"no configuration at all", {0}, 0, "4711 o/r [Bug] [area/x] | bug", 0, false},
    {"hidden organisation",
     {.organisation_hidden = true},
     0,
     "4711 o/r [Bug] [area/x] | bug",
     0,
     false},
    {"organisation's file",
     {.organisation_file = "label-alias: {bug: kind/bug}\n"},
     0,
     "4711 o/r [Bug] [area/x] | kind/bug",
     0,
     false},
    {"own file over it",
     {.organisation_file = "label-alias: {bug: kind/bug}\npredicted-labels: [x]\n",
      .own_file = "label-alias: {bug: defect}\n"},
     0,
     "4711 o/r [Bug] [area/x] | defect not allowed",
     0,
     false},
    {"own file alone, organisation hidden",
     {.organisation_hidden = true, .own_file = "predicted-labels: [bug]\n"},
     0,
     "4711 o/r [Bug] [area/x] | bug",
     0,
     false},
    {"renamed", {.full_name = "o/new"}, 0, "4711 o/new [Bug] [area/x] | bug", 0, false},
    {"archived", {.is_archived = true}, 0, "4711 o/r archived [Bug] [area/x] | bug", 0, false},
    {"no labels", {.labels = "[]"}, 0, "4711 o/r | bug", 0, false},
    {"invalid organisation's file",
     {.organisation_file = "- x\n"},
     ERR_INPUT,
     "o/.github/.github/issue_label_bot.yaml:1:1: the file must be a mapping",
     0,
     true},
    {"invalid own file",
     {.own_file = "label-alias: 7\n"},
     ERR_INPUT,
     "o/r/.github/issue_label_bot.yaml:1:14: `label-alias` must be a mapping",
     0,
     true},
    {"a folder of that name", {.own_file = "/"}, ERR_INPUT, "it is a folder, not a file", 0, true},
    {"repository not visible", {.status = {[ROUTE_REPOSITORY] = 404}}, ERR_NOT_FOUND, "", 0, false},
    {"labels unreachable", {.status = {[ROUTE_LABELS] = 502}}, ERR_UNAVAILABLE, "", 0, false},
    {"organisation's file unreachable",
     {.status = {[ROUTE_ORGANISATION_FILE] = 500}},
     ERR_UNAVAILABLE,
     "",
     0,
     false},
    {"own file unreachable", {.status = {[ROUTE_OWN_FILE] = 503}}, ERR_UNAVAILABLE, "", 0, false},
    {"own file without an answer",
     {.code = {[ROUTE_OWN_FILE] = ERR_TIMEOUT}},
     ERR_TIMEOUT,
     "",
     0,
     false},
    {"whether the organisation is hidden is unreachable",
     {.status = {[ROUTE_ORGANISATION] = 502}},
     ERR_UNAVAILABLE,
     "",
     0,
     false},
    {"limited", {.status = {[ROUTE_OWN_FILE] = 429}}, ERR_RATE_LIMITED, "", 7000, false},
    {"labels forbidden", {.status = {[ROUTE_LABELS] = 401}}, ERR_DENIED, "", 0, false},
};

static void test_looks(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(looks); i++) {
        const struct look *look = &looks[i];
        if (i > 0) {
            assert_int_equal(bench_end(state), 0);
            assert_int_equal(bench_begin(state), 0);
        }
        struct bench *bench = *state;
        bench->script = look->script;
        const struct told *told = ask(bench, "o/r");
        if (told->code != look->code)
            fail_msg("%s: %s \"%s\", want %s", look->name, err_name(told->code), told->text,
                     err_name(look->code));
        if (strstr(look->code == 0 ? told->seen : told->text, look->wanted) == NULL)
            fail_msg("%s: \"%s%s\", want \"%s\"", look->name, told->seen, told->text, look->wanted);
        assert_int_equal(told->retry_after_ms, look->retry_after_ms);
        assert_true(look->code == 0 || look->is_invalid || told->text[0] != '\0');
        assert_true(count_invalid(bench) == (look->is_invalid ? 1.0 : 0.0));
        assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"),
                         look->is_invalid ? 1 : 0);
        assert_int_equal(count_logged(bench, "is not visible to nodag"),
                         look->script.organisation_hidden ? 1 : 0);
    }
}

/* One warning for an organisation, however many of its repositories are asked for, however often. */
static void test_hidden_is_said_once(void **state)
{
    struct bench *bench = *state;
    bench->script.organisation_hidden = true;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ask(bench, "o/r")->code, 0);
        assert_int_equal(ask(bench, "o/s")->code, 0);
        loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    }
    assert_int_equal(count_logged(bench, "is not visible to nodag"), 1);
}

/* --- waiting --- */

static void test_one_look_for_all_who_wait(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 3; i++)
        (void)repositories_get(bench->repositories, i == 1 ? "O/R" : "o/r", on_told, bench);
    loop_advance(bench->loop, 2 * ANSWER_MS);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    assert_int_equal(bench->told_count, 0);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 4);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1);
    assert_int_equal(bench->asked[ROUTE_OWN_FILE], 1);
}

static void test_cancel(void **state)
{
    struct bench *bench = *state;
    struct repository_waiter *first = repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    struct repository_waiter *last = repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, ANSWER_MS);
    repositories_cancel(bench->repositories, first);
    repositories_cancel(bench->repositories, last);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 1);

    /* Also the last one of a look, and one who would be told from memory. */
    struct repository_waiter *fresh = repositories_get(bench->repositories, "o/r", on_told, bench);
    repositories_cancel(bench->repositories, fresh);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 1);
    assert_int_equal(ask(bench, "o/r")->code, 0);
}

/* One who, when told, withdraws the next and asks again: for the same repository and another. */
struct busybody {
    struct bench *bench;
    struct repository_waiter *other; /* to be cancelled */
    unsigned rounds;                 /* asks again so often */
};

static void on_busybody(void *argument, int code, int64_t retry_after_ms,
                        const struct repository *repository, const char *text)
{
    struct busybody *busybody = argument;
    struct bench *bench = busybody->bench;
    on_told(bench, code, retry_after_ms, repository, text);
    if (busybody->other != NULL)
        repositories_cancel(bench->repositories, TAKE(busybody->other));
    if (busybody->rounds-- > 0)
        (void)repositories_get(bench->repositories, "o/r", on_busybody, busybody);
}

static void check_busybody(struct bench *bench, int code)
{
    struct busybody busybody = {.bench = bench, .rounds = 2};
    bench->told_count = 0;
    (void)repositories_get(bench->repositories, "o/r", on_busybody, &busybody);
    busybody.other = repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 4); /* three rounds, and the one who stayed */
    for (size_t i = 0; i < bench->told_count; i++)
        assert_int_equal(bench->told[i].code, code);
}

/* Also where each look fails, so that whoever asks again begins a new one while others are being told. */
static void test_asking_again_while_told(void **state)
{
    struct bench *bench = *state;
    check_busybody(bench, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1);
    repositories_touch(bench->repositories, "o/r", NULL);
    bench->script.status[ROUTE_LABELS] = 502;
    check_busybody(bench, ERR_UNAVAILABLE);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
}

/* Freed with a look under way and others waiting: nobody is told, nothing is left (bench_end, sanitizers). */
static void test_free_while_waiting(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench, "o/s")->code, 0);
    (void)repositories_get(bench->repositories, "o/s", on_told, bench); /* to be told from memory */
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    repositories_free(TAKE(bench->repositories));
    bench->told_count = 0;
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 0);
}

/* --- freshness --- */

static void test_freshness(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "predicted-labels: [bug]\n";
    bench->script.organisation_file = "label-alias: {a: b}\n";
    assert_int_equal(ask(bench, "o/r")->code, 0);
    size_t first = count_asked(bench);
    assert_int_equal(first, 4);
    loop_advance(bench->loop, REPOSITORY_FRESH_MS - 3 * LOOK_MS);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(count_asked(bench), first);

    /* Then it is read again, and what has not changed costs no rate limit. */
    loop_advance(bench->loop, 3 * LOOK_MS);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug");
    assert_int_equal(count_asked(bench), 2 * first);
    assert_int_equal(bench->unchanged, first);
    bench->script.own_file = "predicted-labels: [area/x]\n";
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
    assert_int_equal(bench->unchanged, 2 * first - 1);
}

/* What cannot be read again is never replaced by "no configuration", nor believed for ever. */
static void test_unreachable_when_no_longer_fresh(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "predicted-labels: [area/x]\n";
    assert_int_equal(ask(bench, "o/r")->code, 0);
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    bench->script.status[ROUTE_OWN_FILE] = 502;
    assert_int_equal(ask(bench, "o/r")->code, ERR_UNAVAILABLE);
    bench->script.status[ROUTE_OWN_FILE] = 0;
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
}

static void test_touch(void **state)
{
    struct bench *bench = *state;
    repositories_touch(bench->repositories, "o/r", NULL); /* of nobody */
    repositories_touch(bench->repositories, "", NULL);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    repositories_touch(bench->repositories, "O/R", NULL);
    assert_int_equal(bench->asked[ROUTE_LABELS], 1); /* only the next user reads again */
    bench->script.labels = "[{\"name\":\"new\"}]";
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [new] | bug");
    assert_int_equal(bench->asked[ROUTE_LABELS], 2);

    /* A touch during a look counts for the one after it. */
    repositories_touch(bench->repositories, "o/r", NULL);
    bench->told_count = 0;
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    loop_advance(bench->loop, 3 * ANSWER_MS);
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(bench->asked[ROUTE_LABELS], 4);
}

/* A push to OWNER/.github concerns all repositories of OWNER and nobody else's. */
static void test_touch_of_the_organisation(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench, "o/r")->code, 0);
    assert_int_equal(ask(bench, "o/s")->code, 0);
    assert_int_equal(ask(bench, "oo/r")->code, 0);
    repositories_touch(bench->repositories, "O/.github", NULL);
    bench->script.organisation_file = "label-alias: {bug: kind/bug}\n";
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | kind/bug");
    assert_string_equal(ask(bench, "o/s")->seen, "4711 o/s [Bug] [area/x] | kind/bug");
    size_t asked = count_asked(bench);
    assert_int_equal(ask(bench, "oo/r")->code, 0);
    assert_int_equal(count_asked(bench), asked);
}

/* --- invalid and mended --- */

static void test_mended_by_a_push(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/R")->code, ERR_INPUT);
    size_t asked = count_asked(bench);
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT); /* from memory */
    assert_int_equal(count_asked(bench), asked);
    bench->script.own_file = "predicted-labels: []\n";
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS); /* nobody asks */
    assert_string_equal(bench->mended, "o/r;");
    assert_true(count_invalid(bench) == 0.0);
    assert_string_equal(ask(bench, "o/r")->seen, "4711 o/r [Bug] [area/x] | bug not allowed");
    loop_advance(bench->loop, 3 * REPOSITORY_FRESH_MS);
    assert_string_equal(bench->mended, "o/r;"); /* once */
}

/* The organisation's file is mended: every repository of it is. */
static void test_mended_by_a_push_to_the_organisation(void **state)
{
    struct bench *bench = *state;
    bench->script.organisation_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT);
    assert_int_equal(ask(bench, "o/s")->code, ERR_INPUT);
    assert_true(count_invalid(bench) == 2.0);
    bench->script.organisation_file = NULL;
    repositories_touch(bench->repositories, "o/.github", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_non_null(strstr(bench->mended, "o/r;"));
    assert_non_null(strstr(bench->mended, "o/s;"));
    assert_int_equal(strlen(bench->mended), strlen("o/r;o/s;"));
    assert_true(count_invalid(bench) == 0.0);
}

/* A push that arrives while the look that finds the file invalid is under way is not forgotten. */
static void test_mended_during_the_look(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    (void)repositories_get(bench->repositories, "o/r", on_told, bench);
    while (bench->asked[ROUTE_OWN_FILE] == 0)
        assert_true(loop_step(bench->loop));
    bench->script.own_file = NULL;
    repositories_touch(bench->repositories, "o/r", NULL);
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told[0].code, ERR_INPUT);
    assert_string_equal(bench->mended, "o/r;");
}

/* Without any push it is looked at each REPOSITORY_FRESH_MS, also while GitHub is away; each text is said once. */
static void test_mended_without_a_push(void **state)
{
    struct bench *bench = *state;
    bench->script.own_file = "- wrong\n";
    assert_int_equal(ask(bench, "o/r")->code, ERR_INPUT);
    loop_advance(bench->loop, 2 * REPOSITORY_FRESH_MS);
    assert_int_equal(bench->asked[ROUTE_OWN_FILE], 3);
    assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"), 1);
    bench->script.own_file = "wrong\n\n";
    bench->script.status[ROUTE_LABELS] = 502;
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_true(count_invalid(bench) == 1.0); /* away is not mended */
    bench->script.status[ROUTE_LABELS] = 0;
    bench->script.own_file = "predicted-labels: wrong\n";
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_int_equal(count_logged(bench, "issue_label_bot.yaml is invalid"), 2);
    assert_string_equal(bench->mended, "");
    bench->script.own_file = NULL;
    loop_advance(bench->loop, REPOSITORY_FRESH_MS);
    assert_string_equal(bench->mended, "o/r;");
    assert_true(count_invalid(bench) == 0.0);
}

/* --- the end of the cache --- */

/* Asks for o/rN. */
static void ask_numbered(struct bench *bench, int number)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "o/r%d", number);
    assert_int_equal(ask(bench, name)->code, 0);
}

/* Beyond the maximum the one that was used longest ago goes, never one that somebody waits for. */
static void test_eviction(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < REPOSITORY_COUNT_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "o/r%d", i);
        struct repository_waiter *waiter =
            repositories_get(bench->repositories, name, on_told, bench);
        if (i > 2) /* its look ends without anybody who waits */
            repositories_cancel(bench->repositories, waiter);
    }
    loop_advance(bench->loop, LOOK_MS);
    assert_int_equal(bench->told_count, 3);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX);
    ask_numbered(bench, 0); /* used just now: then 1 is the oldest */
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX);
    ask_numbered(bench, REPOSITORY_COUNT_MAX);
    ask_numbered(bench, 0);
    ask_numbered(bench, 2);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX + 1);
    ask_numbered(bench, 1);
    assert_int_equal(bench->asked[ROUTE_LABELS], REPOSITORY_COUNT_MAX + 2);
}

#define BENCH_TEST(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_looks),
        BENCH_TEST(test_hidden_is_said_once),
        BENCH_TEST(test_one_look_for_all_who_wait),
        BENCH_TEST(test_cancel),
        BENCH_TEST(test_asking_again_while_told),
        BENCH_TEST(test_free_while_waiting),
        BENCH_TEST(test_freshness),
        BENCH_TEST(test_unreachable_when_no_longer_fresh),
        BENCH_TEST(test_touch),
        BENCH_TEST(test_touch_of_the_organisation),
        BENCH_TEST(test_mended_by_a_push),
        BENCH_TEST(test_mended_by_a_push_to_the_organisation),
        BENCH_TEST(test_mended_during_the_look),
        BENCH_TEST(test_mended_without_a_push),
        BENCH_TEST(test_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
