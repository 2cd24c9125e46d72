/*
 * How `nodag tail` shows a record: for people, or as one line of JSON. Pure; private to the
 * command.
 *
 * Design: a record is rendered into a buffer, so that the newest few can be kept and sorted without
 * their records.
 *
 * Invariant: what a stranger wrote cannot act on a terminal: control characters are written as \xNN
 * (JSON: as escapes), unless the raw payload was asked for and goes to a file or pipe.
 */
#ifndef NODAG_TOPICS_TAIL_PRINT_H
#define NODAG_TOPICS_TAIL_PRINT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "topics/bus.h"

/* Most bytes that one rendered record takes: the largest payload as base64 and JSON, or escaped. */
#define TAIL_RECORD_MAX_BYTES (192u << 20)

/* What is shown of a payload. */
enum tail_payload {
    TAIL_PAYLOAD_NONE,   /* its size */
    TAIL_PAYLOAD_RAW,    /* its bytes */
    TAIL_PAYLOAD_PRETTY, /* indented, if it is JSON */
};

/* How records are shown. */
struct tail_style {
    bool json;                 /* one object a line, always with the payload */
    enum tail_payload payload; /* for people */
    bool terminal;             /* the output is a terminal: escape payloads */
    bool colour;               /* and it may have colours */
};

/* Appends a rendered record, with its line end. ERR_TOO_LARGE. Any thread. */
int tail_render(const struct tail_style *style, const struct bus_record *record,
                struct buffer *buffer) MUST_CHECK;

#endif
