/*
 * How `nodag tail` shows a record: see tail_print.h.
 *
 * Design: for people, a line with place, time and key, then the headers in two columns, then the
 * payload or its size. The JSON form has the members topic, partition, offset, time, key, headers
 * and value; bytes that are not UTF-8 stand under the same name with `_base64` behind it; a header
 * that stands several times is an array.
 */
#include "topics/tail_print.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/text_table.h"

/* ANSI sequences: bold, dim, and back to normal. */
#define ANSI_BOLD "\x1b[1m"
/* See above. */
#define ANSI_DIM "\x1b[2m"
/* See above. */
#define ANSI_END "\x1b[0m"

/* Widest column of header names; longer names push their value to the right. */
#define HEADER_NAME_WIDTH 24

/* ---- JSON ---- */

/* Sets a member to text, or under NAME_base64 to bytes that are none, or to null. */
static void set_bytes(json_t *object, const char *name, const char *bytes, size_t byte_count)
{
    if (bytes == NULL) {
        (void)json_object_set_new(object, name, json_null());
        return;
    }
    json_t *text = json_stringn(bytes, byte_count);
    if (text != NULL) {
        (void)json_object_set_new(object, name, text);
        return;
    }
    /* Base64 takes four characters for three bytes, and EVP_EncodeBlock writes a NUL. */
    CLEANUP(mem_free) char *encoded = mem_alloc((byte_count + 2) / 3 * 4 + 1);
    (void)EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)bytes, (int)byte_count);
    CLEANUP(mem_free) char *encoded_name = mem_format("%s_base64", name);
    (void)json_object_set_new(object, encoded_name, json_string(encoded));
}

/* Makes an array of what a second header with the same name would overwrite. */
static void add_header(json_t *headers, const struct event_header *header)
{
    CLEANUP(json_release) json_t *one = json_object();
    set_bytes(one, header->name, header->value, header->value_bytes);
    const char *name = json_object_iter_key(json_object_iter(one));
    json_t *value = json_object_iter_value(json_object_iter(one));
    if (name == NULL)
        return; /* a header's name that is not UTF-8 has no place in JSON */
    json_t *before = json_object_get(headers, name);
    if (before == NULL) {
        (void)json_object_set(headers, name, value);
    } else if (json_is_array(before)) {
        (void)json_array_append(before, value);
    } else {
        json_t *list = json_array();
        (void)json_array_append(list, before);
        (void)json_array_append(list, value);
        (void)json_object_set_new(headers, name, list);
    }
}

static int render_json(const struct bus_record *record, struct buffer *buffer)
{
    char time_text[TIME_TEXT_BYTES] = "";
    if (record->timestamp_ms >= 0)
        time_to_text(record->timestamp_ms, time_text);
    CLEANUP(json_release)
    json_t *object =
        json_pack("{s:s, s:i, s:I, s:s}", "topic", topic_name(record->topic), "partition",
                  (int)record->partition, "offset", (json_int_t)record->offset, "time", time_text);
    json_t *headers = json_object();
    for (size_t i = 0; i < record->header_count; i++)
        add_header(headers, &record->headers[i]);
    (void)json_object_set_new(object, "headers", headers);
    set_bytes(object, "key", record->key, record->key_bytes);
    set_bytes(object, "value", record->value, record->value_bytes);
    size_t text_bytes = 0;
    CLEANUP(mem_free) char *text = json_write(object, &text_bytes);
    int code = buffer_append(buffer, text, text_bytes);
    return code == 0 ? buffer_append_text(buffer, "\n") : code;
}

/* ---- for people ---- */

/* The first failure of a series of appends. */
struct page {
    const struct tail_style *style;
    struct buffer *buffer;
    int code;
};

static void put(struct page *page, const char *text)
{
    if (page->code == 0)
        page->code = buffer_append_text(page->buffer, text);
}

/* Puts an ANSI sequence where colours are wanted. */
static void put_ansi(struct page *page, const char *sequence)
{
    if (page->style->colour)
        put(page, sequence);
}

static void put_escaped(struct page *page, const char *text, size_t text_bytes)
{
    if (page->code == 0)
        page->code = text_escape(page->buffer, text, text_bytes);
}

static void put_title(struct page *page, const struct bus_record *record)
{
    char time_text[TIME_TEXT_BYTES] = "no time";
    if (record->timestamp_ms >= 0)
        time_to_text(record->timestamp_ms, time_text);
    put_ansi(page, ANSI_BOLD);
    if (page->code == 0)
        page->code = buffer_append_format(page->buffer, "%s/%d@%lld", topic_name(record->topic),
                                          (int)record->partition, (long long)record->offset);
    put_ansi(page, ANSI_END);
    put(page, "  ");
    put(page, time_text);
    put(page, "  key ");
    if (record->key != NULL)
        put_escaped(page, record->key, record->key_bytes);
    else
        put(page, "(none)");
    put(page, "\n");
}

static void put_header(struct page *page, const struct event_header *header)
{
    put(page, "  ");
    put_ansi(page, ANSI_DIM);
    put_escaped(page, header->name, strlen(header->name));
    put_ansi(page, ANSI_END);
    for (size_t width = strlen(header->name); width < HEADER_NAME_WIDTH; width++)
        put(page, " ");
    put(page, " ");
    if (header->value != NULL)
        put_escaped(page, header->value, header->value_bytes);
    else
        put(page, "(null)");
    put(page, "\n");
}

/* Puts a payload so that it cannot act on a terminal; line ends and tabs stay. */
static void put_for_terminal(struct page *page, const char *bytes, size_t byte_count)
{
    for (size_t at = 0; at < byte_count;) {
        size_t end = at;
        while (end < byte_count && bytes[end] != '\n' && bytes[end] != '\t')
            end++;
        put_escaped(page, bytes + at, end - at);
        if (end < byte_count)
            put(page, bytes[end] == '\n' ? "\n" : "\t");
        at = end + 1;
    }
}

static void put_bytes(struct page *page, const char *bytes, size_t byte_count)
{
    if (page->style->terminal)
        put_for_terminal(page, bytes, byte_count);
    else if (page->code == 0)
        page->code = buffer_append(page->buffer, bytes, byte_count);
}

static void put_payload(struct page *page, const struct bus_record *record)
{
    CLEANUP(json_release) json_t *value = NULL;
    CLEANUP(mem_free) char *pretty = NULL;
    if (page->style->payload == TAIL_PAYLOAD_PRETTY &&
        json_read(record->value, record->value_bytes, &value, NULL) == 0)
        pretty = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (pretty != NULL)
        put_bytes(page, pretty, strlen(pretty));
    else
        put_bytes(page, record->value, record->value_bytes);
    put(page, "\n");
}

static int render_for_people(const struct tail_style *style, const struct bus_record *record,
                             struct buffer *buffer)
{
    struct page page = {.style = style, .buffer = buffer};
    put_title(&page, record);
    for (size_t i = 0; i < record->header_count; i++)
        put_header(&page, &record->headers[i]);
    if (record->value == NULL)
        put(&page, "  (tombstone: the key is deleted)\n");
    else if (style->payload != TAIL_PAYLOAD_NONE)
        put_payload(&page, record);
    else if (page.code == 0)
        page.code = buffer_append_format(buffer, "  (%zu bytes; --payload shows them)\n",
                                         record->value_bytes);
    put(&page, "\n");
    return page.code;
}

int tail_render(const struct tail_style *style, const struct bus_record *record,
                struct buffer *buffer)
{
    return style->json ? render_json(record, buffer) : render_for_people(style, record, buffer);
}
