/*
 * Fuzz target: the head of a delivery and the configuration of the secrets, and the choice between them.
 *
 * Design: the input is lines of header values up to an empty line (event, delivery, hook, target type, target
 * id, content type, signature; a line "-" is a header that was not sent), then the YAML. Asserted: a refusal
 * has a status and a text; an accepted head is printable; a configuration is refused with its place or every
 * set made of it keeps the promises of secrets.h: bounded candidates, unique ids, a scope for each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ingest/github/head.h"
#include "ingest/github/secrets.h"

/* Header lines at the start of an input. */
#define HEADER_COUNT 7

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* A secret is the name of its file; some files cannot be read. */
static int read_secret(const char *path, struct buffer *secret, struct error *error)
{
    if (strchr(path, '!') != NULL)
        return error_set(error, ERR_NOT_FOUND, "cannot read %s", path);
    return buffer_append_text(secret, path[0] == '\0' ? "x" : path);
}

/* Cuts the header lines off the text; returns the rest. */
static char *cut_headers(char *text, const char *values[HEADER_COUNT])
{
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        char *end = strchr(text, '\n');
        if (end == NULL || end == text)
            break;
        *end = '\0';
        values[i] = strcmp(text, "-") == 0 ? NULL : text;
        text = end + 1;
    }
    return text;
}

static bool is_printable(struct text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    return true;
}

/* Returns true if the head was accepted. */
static bool check_head(const char *const values[HEADER_COUNT], struct delivery_head *ret_head)
{
    const struct head_input input = {.event = values[0],
                                     .delivery = values[1],
                                     .hook_id = values[2],
                                     .target_type = values[3],
                                     .target_id = values[4],
                                     .content_type = values[5],
                                     .signature = values[6]};
    struct refusal refusal = {0};
    if (head_read(&input, ret_head, &refusal) != 0) {
        require(refusal.status >= 400 && refusal.status < 500 && refusal.text[0] != '\0');
        return false;
    }
    require(ret_head->event.bytes > 0 && ret_head->delivery.bytes == HEAD_DELIVERY_BYTES);
    require(is_printable(ret_head->event) && is_printable(ret_head->delivery) &&
            is_printable(ret_head->hook_id) && is_printable(ret_head->target_type) &&
            is_printable(ret_head->target_id) && is_printable(ret_head->signature));
    return true;
}

static void check_set(const struct secrets *secrets)
{
    size_t count = secrets_count(secrets);
    require(count >= 1 && count <= SECRETS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct secret *secret = secrets_at(secrets, i);
        require(secret->key != NULL && secret->scope.count > 0);
        require(strlen(secret->id) >= 1 && strlen(secret->id) <= SECRET_ID_MAX_BYTES);
        for (size_t k = 0; k < i && k < 50; k++)
            require(strcmp(secret->id, secrets_at(secrets, k)->id) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    CLEANUP(mem_free) char *text = mem_copy_bytes(bytes, byte_count);
    const char *values[HEADER_COUNT] = {NULL};
    char *configuration = cut_headers(text, values);
    struct delivery_head head = {0};
    bool is_accepted = check_head(values, &head);
    const struct secrets_source source = {
        .path = "fuzz/secrets.yaml",
        .text = configuration,
        .text_bytes = byte_count - (size_t)(configuration - text),
        .read_secret = read_secret,
    };
    struct secrets *secrets = NULL;
    struct error error = {0};
    if (secrets_parse(&source, &secrets, &error) != 0) {
        require(secrets == NULL && strstr(error.text, "secrets.yaml") != NULL);
        return 0;
    }
    check_set(secrets);
    const struct secret *candidates[SECRETS_CANDIDATES_MAX];
    if (is_accepted)
        require(secrets_candidates(secrets, &head, candidates) <= SECRETS_CANDIDATES_MAX);
    secrets_free(secrets);
    return 0;
}
