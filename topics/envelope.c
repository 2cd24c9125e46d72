/*
 * The event envelope: see envelope.h.
 *
 * Design: ENVELOPE_TABLE is expanded into an array of (header name, offset of the member,
 * required), and both directions walk it, so that they cannot disagree. specversion and time stand
 * apart: one is a constant, the other a number. In Kafka's binding header values are plain UTF-8
 * without percent-encoding.
 *
 * Invariant: one function, check_value, says what a value may be, for both directions.
 */
#include "topics/envelope.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

/* The only version of CloudEvents that is written and read. */
#define ENVELOPE_SPECVERSION "1.0"

/* Names of the two headers that the table does not have. */
#define HEADER_SPECVERSION "ce_specversion"
/* See above. */
#define HEADER_TIME "ce_time"

/*
 * Shortest RFC 3339 date-time, 2026-11-01T12:34:56Z: keeps out the bare dates that time_from_text
 * reads too.
 */
#define TIME_LEAST_BYTES 20

/* 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write. */
#define TIME_MOST_MS 253402300799999

/* One row of ENVELOPE_TABLE. */
struct attribute {
    const char *header;
    size_t offset; /* of its struct text in struct event */
    bool required;
};

static const struct attribute attributes[] = {
#define ENVELOPE_ATTRIBUTE(member, header_name, is_required)                                       \
    {.header = header_name, .offset = offsetof(struct event, member), .required = is_required},
    ENVELOPE_TABLE(ENVELOPE_ATTRIBUTE)
#undef ENVELOPE_ATTRIBUTE
};

_Static_assert(ARRAY_COUNT(attributes) + 2 <= ENVELOPE_HEADERS_MAX,
               "an event with every attribute must fit");

struct text text_of(const char *string)
{
    return (struct text){.data = string, .bytes = string != NULL ? strlen(string) : 0};
}

bool text_equals(struct text text, const char *string)
{
    return text.data != NULL && text.bytes == strlen(string) &&
           memcmp(text.data, string, text.bytes) == 0;
}

/* CloudEvents 1.0.2, type system, String: no U+0000–U+001F and no U+007F–U+009F. */
static bool is_control(const char *character, size_t character_bytes)
{
    uint32_t code_point = utf8_code_point(character, character_bytes);
    return code_point <= 0x1f || (code_point >= 0x7f && code_point <= 0x9f);
}

size_t text_printable_bytes(const char *bytes, size_t left)
{
    size_t length = utf8_sequence_bytes(bytes, left);
    return length > 0 && !is_control(bytes, length) ? length : 0;
}

/* Checks one value against the rules of strictness. */
static int check_value(const char *header, const char *value, size_t value_bytes,
                       struct error *error)
{
    if (value == NULL || value_bytes == 0)
        return error_set(error, ERR_INPUT, "header %s is empty", header);
    if (value_bytes > ENVELOPE_ATTRIBUTE_MAX_BYTES)
        return error_set(error, ERR_INPUT, "header %s has %zu bytes, more than the %d allowed",
                         header, value_bytes, ENVELOPE_ATTRIBUTE_MAX_BYTES);
    for (size_t at = 0; at < value_bytes;) {
        /* Nearly every value is plain ASCII. */
        if (value[at] >= ' ' && value[at] <= '~') {
            at++;
            continue;
        }
        size_t length = utf8_sequence_bytes(value + at, value_bytes - at);
        if (length == 0)
            return error_set(error, ERR_INPUT, "header %s is not valid UTF-8 at byte %zu", header,
                             at);
        if (is_control(value + at, length))
            return error_set(error, ERR_INPUT, "header %s has a control character at byte %zu",
                             header, at);
        at += length;
    }
    return 0;
}

static int check_required(const struct attribute *attribute, struct text text, struct error *error)
{
    if (attribute->required && text.data == NULL)
        return error_set(error, ERR_INPUT, "header %s is missing", attribute->header);
    return 0;
}

static struct text attribute_get(const struct event *event, const struct attribute *attribute)
{
    struct text text;
    memcpy(&text, (const char *)event + attribute->offset, sizeof(text));
    return text;
}

static void attribute_set(struct event *event, const struct attribute *attribute, struct text text)
{
    memcpy((char *)event + attribute->offset, &text, sizeof(text));
}

static void add_header(struct event_headers *headers, const char *name, struct text value)
{
    assert(headers->count < ENVELOPE_HEADERS_MAX);
    headers->items[headers->count++] =
        (struct event_header){.name = name, .value = value.data, .value_bytes = value.bytes};
}

/* Checks everything that envelope_encode is about to write. */
static int check_event(const struct event *event, struct error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(attributes); i++) {
        struct text text = attribute_get(event, &attributes[i]);
        int code = check_required(&attributes[i], text, error);
        if (code == 0 && text.data != NULL)
            code = check_value(attributes[i].header, text.data, text.bytes, error);
        if (code != 0)
            return code;
    }
    if (event->has_time && (event->time_ms < 0 || event->time_ms > TIME_MOST_MS))
        return error_set(error, ERR_INPUT, "header %s is out of the years 1970 to 9999",
                         HEADER_TIME);
    return 0;
}

int envelope_encode(const struct event *event, struct event_headers *ret_headers,
                    struct error *error)
{
    int code = check_event(event, error);
    if (code != 0)
        return code;
    ret_headers->count = 0;
    add_header(ret_headers, HEADER_SPECVERSION, text_of(ENVELOPE_SPECVERSION));
    for (size_t i = 0; i < ARRAY_COUNT(attributes); i++) {
        struct text text = attribute_get(event, &attributes[i]);
        if (text.data != NULL)
            add_header(ret_headers, attributes[i].header, text);
    }
    if (event->has_time) {
        time_to_text(event->time_ms, ret_headers->time_text);
        add_header(ret_headers, HEADER_TIME, text_of(ret_headers->time_text));
    }
    return 0;
}

/* Takes ce_time. */
static int decode_time(const struct event_header *header, struct event *event, struct error *error)
{
    if (event->has_time)
        return error_set(error, ERR_INPUT, "header %s stands twice", HEADER_TIME);
    int code = header->value_bytes < TIME_LEAST_BYTES
                   ? ERR_INPUT
                   : time_from_text(header->value, header->value_bytes, &event->time_ms);
    if (code != 0 || event->time_ms < 0 || event->time_ms > TIME_MOST_MS)
        return error_set(error, ERR_INPUT,
                         "header %s is not an RFC 3339 date and time from 1970 on", HEADER_TIME);
    event->has_time = true;
    return 0;
}

/* Takes ce_specversion. */
static int decode_specversion(const struct event_header *header, bool *seen, struct error *error)
{
    if (*seen)
        return error_set(error, ERR_INPUT, "header %s stands twice", HEADER_SPECVERSION);
    struct text value = {.data = header->value, .bytes = header->value_bytes};
    if (!text_equals(value, ENVELOPE_SPECVERSION))
        return error_set(error, ERR_INPUT, "header %s is not %s, the only version that is read",
                         HEADER_SPECVERSION, ENVELOPE_SPECVERSION);
    *seen = true;
    return 0;
}

/*
 * Takes one header of the table; one that the table does not have is left alone. `next` is the row to begin with:
 * headers stand in the table's order where nodag wrote them, so that the first look is nearly always right.
 */
static int decode_attribute(const struct event_header *header, size_t *next, struct event *event,
                            struct error *error)
{
    for (size_t k = 0; k < ARRAY_COUNT(attributes); k++) {
        size_t i = (*next + k) % ARRAY_COUNT(attributes);
        if (strcmp(header->name, attributes[i].header) != 0)
            continue;
        *next = i + 1;
        if (attribute_get(event, &attributes[i]).data != NULL)
            return error_set(error, ERR_INPUT, "header %s stands twice", header->name);
        int code = check_value(header->name, header->value, header->value_bytes, error);
        if (code == 0)
            attribute_set(event, &attributes[i],
                          (struct text){.data = header->value, .bytes = header->value_bytes});
        return code;
    }
    return 0;
}

int envelope_decode(const struct event_header *headers, size_t header_count,
                    struct event *ret_event, struct error *error)
{
    if (header_count > ENVELOPE_HEADERS_MAX)
        return error_set(error, ERR_INPUT, "the record has %zu headers, more than the %d allowed",
                         header_count, ENVELOPE_HEADERS_MAX);
    struct event event = {0};
    bool versioned = false;
    size_t next = 0;
    for (size_t i = 0; i < header_count; i++) {
        int code = 0;
        if (strcmp(headers[i].name, HEADER_SPECVERSION) == 0)
            code = decode_specversion(&headers[i], &versioned, error);
        else if (strcmp(headers[i].name, HEADER_TIME) == 0)
            code = decode_time(&headers[i], &event, error);
        else
            code = decode_attribute(&headers[i], &next, &event, error);
        if (code != 0)
            return code;
    }
    if (!versioned)
        return error_set(error, ERR_INPUT, "header %s is missing", HEADER_SPECVERSION);
    for (size_t i = 0; i < ARRAY_COUNT(attributes); i++) {
        int code = check_required(&attributes[i], attribute_get(&event, &attributes[i]), error);
        if (code != 0)
            return code;
    }
    *ret_event = event;
    return 0;
}
