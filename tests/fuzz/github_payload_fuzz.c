/*
 * Fuzz target: any bytes as a webhook payload, through everything that happens to it after its signature matched.
 *
 * Design: the first byte says how the rest is cut into pieces. Asserted: the verdict and the values do not
 * depend on the cuts, nor on payload_trim(); the verdict is the same on what json_trim.h leaves of the text with
 * limits that small inputs reach; what jansson, another parser, takes for JSON is taken here; an event made of
 * whatever was read can be encoded, has a key, and is decoded again to the same; scopes give an answer.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "ingest/github/github_event.h"
#include "ingest/github/json_trim.h"
#include "ingest/github/payload.h"
#include "ingest/github/scope.h"

/* How jansson is asked: any value, any string. */
#define JSON_FLAGS (JSON_ALLOW_NUL | JSON_DECODE_ANY)

/* What strings and numbers keep of themselves in the check of the filter. */
#define TRIM_STRING_BYTES 5
/* See above. */
#define TRIM_DIGITS 3

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Reads the text in pieces; NULL if it is no JSON. */
static struct payload *read_text(const char *text, size_t text_bytes, size_t piece_bytes,
                                 bool is_trimmed)
{
    struct payload *payload = payload_new();
    struct error error = {0};
    int code = 0;
    if (is_trimmed)
        payload_trim(payload);
    for (size_t at = 0; at < text_bytes && code == 0; at += piece_bytes) {
        size_t left = text_bytes - at;
        code = payload_feed(payload, text + at, left < piece_bytes ? left : piece_bytes, &error);
    }
    if (code == 0)
        code = payload_finish(payload, &error);
    if (code == 0)
        return payload;
    require(code == ERR_INPUT && error.code == code && error.text[0] != '\0');
    payload_free(payload);
    return NULL;
}

static void check_equal(const struct payload *left, const struct payload *right)
{
    for (int i = PAYLOAD_NONE + 1; i < PAYLOAD_FIELD_COUNT; i++) {
        enum payload_field field = (enum payload_field)i;
        struct text one = payload_text(left, field);
        struct text other = payload_text(right, field);
        require(payload_kind(left, field) == payload_kind(right, field));
        require(one.bytes == other.bytes && (one.data == NULL) == (other.data == NULL));
        require(one.bytes == 0 || memcmp(one.data, other.data, one.bytes) == 0);
        require(one.bytes <= PAYLOAD_VALUE_MAX_BYTES);
    }
    require(payload_latest_ms(left) == payload_latest_ms(right));
}

static bool is_same(struct text left, struct text right)
{
    return left.bytes == right.bytes && (left.data == NULL) == (right.data == NULL) &&
           (left.bytes == 0 || memcmp(left.data, right.data, left.bytes) == 0);
}

/* Makes the event of one name and sends its envelope there and back. */
static void check_event(const struct payload *payload, const char *name)
{
    const struct delivery_head head = {
        .event = text_of(name),
        .delivery = text_of("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        .signature = text_of("sha256=00"),
    };
    struct github_event event;
    struct event_headers headers;
    struct event decoded;
    struct error error;
    github_event_make(&head, payload, "secret", 1, &event);
    require(event.key_bytes > 0 && event.key_bytes == strlen(event.key));
    require(envelope_encode(&event.envelope, &headers, &error) == 0);
    require(envelope_decode(headers.items, headers.count, &decoded, &error) == 0);
    require(is_same(decoded.type, event.envelope.type) &&
            is_same(decoded.source, event.envelope.source) &&
            is_same(decoded.subject, event.envelope.subject) &&
            is_same(decoded.repository, event.envelope.repository) &&
            decoded.time_ms == event.envelope.time_ms);
}

static void check_scope(const struct payload *payload)
{
    struct scope everything = {0};
    struct scope nothing = {0};
    struct scope some = {0};
    struct error error = {0};
    require(scope_add(&everything, "*", &error) == 0);
    require(scope_add(&some, "octo", &error) == 0 && scope_add(&some, "a*/b?c", &error) == 0);
    require(scope_check(&everything, payload, &error) == 0);
    /* What is inside of nothing names nobody, and so is inside of everything else. */
    if (scope_check(&nothing, payload, &error) == 0)
        require(scope_check(&some, payload, &error) == 0);
    scope_release(&everything);
    scope_release(&some);
}

/* Returns true if what the filter leaves of a text is JSON, and it found the text whole. */
static bool trimmed_is_json(const char *text, size_t text_bytes, size_t piece_bytes)
{
    struct json_trim trim = {.string_bytes = TRIM_STRING_BYTES, .digits = TRIM_DIGITS};
    CLEANUP(buffer_release) struct buffer kept = BUFFER_INIT(text_bytes + 1);
    for (size_t at = 0; at < text_bytes;) {
        size_t left = text_bytes - at;
        struct json_trim_cut cut =
            json_trim_next(&trim, text + at, left < piece_bytes ? left : piece_bytes);
        int code = buffer_append(&kept, text + at, cut.keep_bytes);
        require(code == 0);
        if (cut.is_broken)
            return false;
        require(cut.keep_bytes + cut.drop_bytes > 0);
        at += cut.keep_bytes + cut.drop_bytes;
    }
    struct payload *payload =
        read_text(kept.data != NULL ? kept.data : "", kept.size_bytes, kept.size_bytes + 1, false);
    bool is_json = payload != NULL;
    payload_free(payload);
    return is_json;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    static const char *const names[] = {
        "issues", "push",   "commit_comment", "marketplace_purchase",
        "label",  "create", "installation",   "membership",
        "ping",   "other"};
    if (byte_count == 0)
        return 0;
    const char *text = (const char *)bytes + 1;
    size_t text_bytes = byte_count - 1;
    struct payload *whole = read_text(text, text_bytes, text_bytes + 1, false);
    size_t piece_bytes = (size_t)bytes[0] % 16 + 1;
    struct payload *pieces = read_text(text, text_bytes, piece_bytes, true);
    require((whole == NULL) == (pieces == NULL));
    if (utf8_is_valid(text, text_bytes))
        require(trimmed_is_json(text, text_bytes, piece_bytes) == (whole != NULL));
    if (whole == NULL) {
        json_error_t why;
        json_t *value = json_loadb(text, text_bytes, JSON_FLAGS, &why);
        /* jansson takes a NUL byte for the end of the text, and nests deeper. */
        require(value == NULL || memchr(text, '\0', text_bytes) != NULL ||
                text_bytes > PAYLOAD_DEPTH_MAX);
        json_decref(value);
        return 0;
    }
    check_equal(whole, pieces);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        check_event(whole, names[i]);
    check_scope(whole);
    payload_free(whole);
    payload_free(pieces);
    return 0;
}
