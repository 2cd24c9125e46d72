/*
 * Fuzz target: any bytes as the answers of a forge, through the client that reads them.
 *
 * Design: the input's first line chooses the call (i issue, t timeline, l labels of a repository, f file, r
 * repository, n identity, a add labels, d remove a label, c comment, e edit a comment, x delete one) and who
 * asks (- nobody, by a login that was set; t a token; a a GitHub App). Then come the answers, each "STATUS",
 * header lines, an empty line and the body, separated by a line "%%"; status 0 is no answer at all. Requests get
 * them in turn, the last one again and again. Each call is made twice, so that the second one meets what the
 * client remembers (ETags, tokens, installations). Asserted: the promises of forge.h: one callback for each
 * call, a text for each error, and an answer only where all is well, with texts that are texts.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/memory.h"
#include "reactors/clients/forge.h"
#include "reactors/clients/forge_call.h"
#include "tests/unit/reactors/clients/http_fake.h"

/* Longest input: pages are read again and again, up to FORGE_PAGES_MAX times. */
#define INPUT_MAX_BYTES (64u << 10)

/* Most answers of one input. */
#define ANSWERS_MAX 16

/* Longest block of headers of an answer: the double's values are no longer. */
#define HEADERS_MAX_BYTES 2000

/* Steps of a millisecond in which a call must have ended: its requests are answered at once. */
#define STEPS_MAX 1000

/* Size of the App's key: the least that is accepted. */
#define KEY_BITS 2048

/* Wall clock at the start, since 1970: 2026-11-01. */
#define WALL_MS INT64_C(1793491200000)

/* Login where the settings name one. */
#define LOGIN "nodag[bot]"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* The answers, and how many calls came back. */
struct world {
    struct http_fake_answer answers[ANSWERS_MAX]; /* texts in the input's copy */
    size_t answer_count;                          /* ≥ 1 */
    size_t next;                                  /* of them */
    size_t done_count;                            /* callbacks */
};

/* Files with secrets: made once, removed at the end. */
static char token_path[] = "/tmp/nodag-fuzz-token-XXXXXX";
/* See token_path. */
static char key_path[] = "/tmp/nodag-fuzz-key-XXXXXX";

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- callbacks: what forge.h promises ---- */

static void check_result(struct world *world, const struct forge_result *result, bool has_answer)
{
    world->done_count++;
    require((result->code == 0) == has_answer);
    require(result->code == 0 || result->error->text[0] != '\0');
    require((result->code == ERR_RATE_LIMITED) == (result->retry_after_ms > 0));
    require(result->retry_after_ms == 0 || result->retry_after_ms >= 1000);
}

static void on_issue(void *argument, const struct forge_result *result,
                     const struct forge_issue *issue)
{
    check_result(argument, result, issue != NULL);
    if (issue == NULL)
        return;
    require(issue->number > 0 && issue->title != NULL && issue->body != NULL);
    require(forge_url_is_repository(issue->repository));
    for (size_t i = 0; i < issue->label_count; i++)
        require(strlen(issue->labels[i]) < INPUT_MAX_BYTES);
}

static void on_timeline(void *argument, const struct forge_result *result,
                        const struct forge_timeline_item *items, size_t count)
{
    check_result(argument, result, items != NULL || (result->code == 0 && count == 0));
    for (size_t i = 0; i < count; i++) {
        const struct forge_timeline_item *item = &items[i];
        bool is_comment = item->kind == FORGE_TIMELINE_COMMENTED;
        require(item->actor != NULL && (item->label != NULL) == !is_comment);
        require(!is_comment || (item->comment_id > 0 && item->body != NULL));
        require(!is_comment || item->is_own || item->body[0] == '\0');
    }
}

static void on_names(void *argument, const struct forge_result *result, const char *const *names,
                     size_t count)
{
    check_result(argument, result, names != NULL || (result->code == 0 && count == 0));
    for (size_t i = 0; i < count; i++)
        require(strlen(names[i]) < INPUT_MAX_BYTES);
}

static void on_file(void *argument, const struct forge_result *result, const char *bytes,
                    size_t byte_count)
{
    check_result(argument, result, bytes != NULL);
    require(bytes == NULL || bytes[byte_count] == '\0');
}

static void on_repository(void *argument, const struct forge_result *result,
                          const struct forge_repository *repository)
{
    check_result(argument, result, repository != NULL);
    require(repository == NULL ||
            (repository->id > 0 && forge_url_is_repository(repository->full_name)));
}

static void on_text(void *argument, const struct forge_result *result, const char *text)
{
    check_result(argument, result, text != NULL);
    require(text == NULL || strlen(text) < INPUT_MAX_BYTES);
}

static void on_written(void *argument, const struct forge_result *result, int64_t id)
{
    check_result(argument, result, result->code == 0);
    require(result->code == 0 || id == 0);
    require(id >= 0);
}

/* ---- calls ---- */

static void start_call(struct forge *forge, char operation, struct world *world)
{
    static const char *const labels[] = {"bug", "area/x"};
    static const char repository[] = "acme/rocket";
    switch (operation) {
    case 't':
        (void)forge_get_timeline(forge, repository, 1, on_timeline, world);
        break;
    case 'l':
        (void)forge_list_labels(forge, repository, on_names, world);
        break;
    case 'f':
        (void)forge_get_file(forge, repository, ".github/issue_label_bot.yaml", on_file, world);
        break;
    case 'r':
        (void)forge_get_repository(forge, repository, on_repository, world);
        break;
    case 'n':
        (void)forge_get_identity(forge, on_text, world);
        break;
    case 'a':
        (void)forge_add_labels(forge, repository, 1, labels, 2, on_written, world);
        break;
    case 'd':
        (void)forge_remove_label(forge, repository, 1, labels[1], on_written, world);
        break;
    case 'c':
        (void)forge_create_comment(forge, repository, 1, "text", on_written, world);
        break;
    case 'e':
        (void)forge_edit_comment(forge, repository, 1, "text", on_written, world);
        break;
    case 'x':
        (void)forge_delete_comment(forge, repository, 1, on_written, world);
        break;
    default:
        (void)forge_get_issue(forge, repository, 1, on_issue, world);
    }
}

static void answer_next(void *argument, const struct http_request *request,
                        struct http_fake_answer *answer)
{
    struct world *world = argument;
    (void)request;
    *answer = world->answers[world->next];
    if (world->next + 1 < world->answer_count)
        world->next++;
}

/* ---- secrets ---- */

static void remove_files(void)
{
    (void)unlink(token_path);
    (void)unlink(key_path);
}

static void make_files(void)
{
    static bool is_done;
    if (is_done)
        return;
    is_done = true;
    FILE *token = fdopen(mkstemp(token_path), "w");
    FILE *key = fdopen(mkstemp(key_path), "w");
    EVP_PKEY *pair = EVP_RSA_gen(KEY_BITS);
    require(token != NULL && key != NULL && pair != NULL && fputs("secret", token) >= 0);
    require(PEM_write_PrivateKey(key, pair, NULL, NULL, 0, NULL, NULL) == 1);
    EVP_PKEY_free(pair);
    require(fclose(token) == 0 && fclose(key) == 0 && atexit(remove_files) == 0);
}

static void choose_who(char who, struct forge_settings *settings)
{
    if (who == 't') {
        make_files();
        settings->token_file = token_path;
    } else if (who == 'a') {
        make_files();
        settings->app_id = "1";
        settings->app_key_file = key_path;
    } else {
        settings->login = LOGIN;
    }
}

/* ---- the input ---- */

/* Ends the text before the next separator; returns what follows it, or NULL. */
static char *cut_at(char *text, const char *separator)
{
    char *found = strstr(text, separator);
    if (found == NULL)
        return NULL;
    *found = '\0';
    return found + strlen(separator);
}

/* Reads one answer. False if it is too large. */
static bool read_answer(char *text, struct http_fake_answer *ret_answer)
{
    char *headers = cut_at(text, "\n");
    char *body = NULL;
    if (headers != NULL && headers[0] == '\n') {
        body = headers + 1;
        headers = NULL;
    } else if (headers != NULL) {
        body = cut_at(headers, "\n\n");
    }
    long status = strtol(text, NULL, 10);
    *ret_answer = (struct http_fake_answer){
        .code = status == 0 ? ERR_UNAVAILABLE : 0,
        .status = status >= 100 && status <= 599 ? (int)status : 200,
        .headers = headers,
        .body = body != NULL ? body : "",
    };
    return headers == NULL || strlen(headers) <= HEADERS_MAX_BYTES;
}

static bool read_answers(char *text, struct world *world)
{
    while (text != NULL && world->answer_count < ANSWERS_MAX) {
        char *rest = cut_at(text, "\n%%\n");
        if (!read_answer(text, &world->answers[world->answer_count]))
            return false;
        world->answer_count++;
        text = rest;
    }
    return world->answer_count > 0;
}

static void run(char operation, char who, struct world *world)
{
    struct loop *loop = loop_new_simulated(1, WALL_MS);
    struct http_fake http;
    http_fake_init(&http, loop, answer_next, world);
    struct forge_settings settings = {.api_url = "https://api.github.com", .writes_per_hour = 500};
    choose_who(who, &settings);
    struct forge *forge = NULL;
    struct error error = {0};
    require(forge_new(loop, &http.client, &settings, NULL, &forge, &error) == 0);
    for (size_t call = 1; call <= 2; call++) {
        start_call(forge, operation, world);
        for (int step = 0; step < STEPS_MAX && world->done_count < call; step++)
            loop_advance(loop, 1);
        require(world->done_count == call && http.call_count == 0);
    }
    forge_free(forge);
    loop_free(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    if (byte_count < 3 || byte_count > INPUT_MAX_BYTES || bytes[2] != '\n')
        return 0;
    CLEANUP(mem_free) char *text = mem_copy_bytes(bytes, byte_count);
    struct world world = {0};
    if (read_answers(text + 3, &world))
        run(text[0], text[1], &world);
    return 0;
}
