/*
 * The event envelope: CloudEvents 1.0 in Kafka's binary content mode, encoded to and decoded
 * strictly from record headers. Sources: CloudEvents 1.0.2 "Kafka Protocol Binding" §3.2, the
 * CloudEvents GitHub adapter document.
 *
 * Design: attributes travel as headers `ce_NAME` with UTF-8 text, the value is the payload
 * untouched. Consumers route and skip by headers and key without parsing a payload. Decoding copies
 * nothing: a `struct event` points into the record.
 *
 * Strict means: specversion 1.0; id, source, type present, not empty, valid UTF-8 without control
 * characters, within ENVELOPE_ATTRIBUTE_MAX_BYTES; a known header twice is refused; time, if
 * present, is RFC 3339. Unknown ce_ headers are allowed (others may add extensions).
 *
 * Invariant: envelope_decode(envelope_encode(e)) == e.
 */
#ifndef NODAG_TOPICS_ENVELOPE_H
#define NODAG_TOPICS_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time_text.h"

/* Longest attribute value. */
#define ENVELOPE_ATTRIBUTE_MAX_BYTES 2048

/* Most headers of a record that are looked at; more is refused. */
#define ENVELOPE_HEADERS_MAX 64

/* A text with a length, borrowed; data NULL: absent. Not NUL-terminated when it comes from a
 * record. */
struct text {
    const char *data; /* borrowed */
    size_t bytes;     /* length */
};

/* Every attribute: struct member, header name, and whether an event without it is refused. */
#define ENVELOPE_TABLE(X)                                                                          \
    X(id, "ce_id", true)                                                                           \
    X(source, "ce_source", true)                                                                   \
    X(type, "ce_type", true)                                                                       \
    X(subject, "ce_subject", false)                                                                \
    X(data_schema, "ce_dataschema", false)                                                         \
    X(content_type, "content-type", false)                                                         \
    X(repository, "ce_githubrepository", false)                                                    \
    X(github_event, "ce_githubevent", false)                                                       \
    X(hook_id, "ce_githubhookid", false)                                                           \
    X(target_type, "ce_githubtargettype", false)                                                   \
    X(target_id, "ce_githubtargetid", false)                                                       \
    X(signature, "ce_githubsignature", false)                                                      \
    X(sender, "ce_githubsender", false)                                                            \
    X(sender_type, "ce_githubsendertype", false)                                                   \
    X(secret_id, "ce_githubsecretid", false)

/* One event's envelope. Members as in ENVELOPE_TABLE; time apart because it is a number here. */
struct event {
#define ENVELOPE_MEMBER(member, header, required) struct text member; /* see ENVELOPE_TABLE */
    ENVELOPE_TABLE(ENVELOPE_MEMBER)
#undef ENVELOPE_MEMBER
    bool has_time;   /* ce_time was there */
    int64_t time_ms; /* ce_time, since 1970 */
};

/* One record header; borrowed. */
struct event_header {
    const char *name;   /* NUL-terminated */
    const char *value;  /* NULL allowed */
    size_t value_bytes; /* length */
};

/* Headers made by envelope_encode; it borrows the event's texts. */
struct event_headers {
    struct event_header items[ENVELOPE_HEADERS_MAX]; /* first count are used */
    size_t count;                                    /* how many */
    char time_text[TIME_TEXT_BYTES];                 /* memory of ce_time */
};

/* Makes a text of a C string; NULL gives absent. Any thread. */
struct text text_of(const char *string);

/* Returns true if `text` is present and equals the C string. Any thread. */
bool text_equals(struct text text, const char *string);

/*
 * Returns the length (1..4) of the character at the start of `bytes`, `left` ≥ 1 of them:
 * well-formed UTF-8 and no control character (U+0000–U+001F, U+007F–U+009F). 0 if there is none.
 * Any thread.
 */
size_t text_printable_bytes(const char *bytes, size_t left);

/* Writes the headers of an event. ERR_INPUT if a rule of strictness is broken. Any thread. */
int envelope_encode(const struct event *event, struct event_headers *ret_headers,
                    struct error *error) MUST_CHECK;

/* Reads an event from headers; texts are borrowed from them. ERR_INPUT with the header's name. Any
 * thread. */
int envelope_decode(const struct event_header *headers, size_t header_count,
                    struct event *ret_event, struct error *error) MUST_CHECK;

#endif
