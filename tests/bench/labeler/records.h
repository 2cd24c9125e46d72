/*
 * What the records of the labeler's benchmark look like: events that it skips by their headers,
 * events about issues, and decisions of its own. See records.c.
 */
#ifndef NODAG_TESTS_BENCH_LABELER_RECORDS_H
#define NODAG_TESTS_BENCH_LABELER_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "topics/envelope.h"
#include "topics/subject.h"

/* Longest value that is made. */
#define RECORD_VALUE_MAX_BYTES (1u << 20)

/* Room for each short text of a record. */
#define RECORD_TEXT_BYTES 128

/* A record in the making; the headers borrow from it, so it stays where it is. */
struct record {
    char key[SUBJECT_KEY_BYTES];        /* NUL-terminated */
    char id[RECORD_TEXT_BYTES];         /* ce_id */
    char source[RECORD_TEXT_BYTES];     /* ce_source */
    char subject[RECORD_TEXT_BYTES];    /* ce_subject */
    char repository[RECORD_TEXT_BYTES]; /* ce_githubrepository */
    struct event_headers headers;       /* borrow from the texts */
    char *value;                        /* owned buffer of RECORD_VALUE_MAX_BYTES */
    size_t value_bytes;                 /* of it, in use */
};

/* Makes event number `index`, one that the labeler skips: a mix of what organisations get. The value
 * has `value_bytes` ≤ RECORD_VALUE_MAX_BYTES. Any thread. */
void record_make_skipped(struct record *record, int64_t index, size_t value_bytes);

/* Makes the decision about issue number `index`, as the labeler writes it. Any thread. */
void record_make_prediction(struct record *record, int64_t index);

/* Makes `issues.opened` for an issue, now. Any thread. */
void record_make_opened(struct record *record, int64_t repository_id, int64_t number,
                        const char *repository);

#endif
