/*
 * Event of nodag's own on `github.events`: an issue whose text was erased at a person's request.
 *
 *   ce_type        dev.nodag.github.erased.v1
 *   key            ID#NUMBER, partition by key: in order with what else is heard of the issue
 *   ce_id          deterministic: the same request twice is the same event
 *   ce_time        when the request was made
 *
 *   {"what":"text","repository":{"id":1,"name":"o/r","owner_id":2,"private":false},"number":7,"state":"open"}
 *
 * | what | what it asks for |
 * |---|---|
 * | text | title, body and every login of the record go, and none comes back: not by an event of before, not by one of after |
 * | names | logins of those who put labels there or took them away up to ce_time go; text and labels stay |
 *
 * The event names nobody: it says which issue, not whose. State and names of the repository stand in it
 * so that a record with the mark can be made where there is none yet.
 *
 * Design: as history_event.h: a struct with texts borrowed from the JSON that was read.
 */
#ifndef NODAG_TOPICS_HISTORY_ERASURE_H
#define NODAG_TOPICS_HISTORY_ERASURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"
#include "topics/history_event.h"

/* ce_type of an erasure. */
#define HISTORY_ERASED_TYPE "dev.nodag.github.erased.v1"

/* Its schema, for ce_dataschema. */
#define HISTORY_ERASED_SCHEMA "urn:nodag:schema:github-erased:1"

/* One erasure; texts are borrowed from `memory` or from who fills it in. */
struct history_erasure {
    bool names_only;        /* `what` is names; else text */
    int64_t repository_id;  /* > 0 */
    const char *repository; /* owner/name */
    int64_t owner_id;       /* 0: unknown */
    bool is_private;        /* the repository is */
    int64_t number;         /* > 0 */
    const char *state;      /* open, closed */
    json_t *memory;         /* owned; NULL where texts are the caller's */
};

/* Writes the value of an erasure; owned, length in ret_bytes. Any thread. */
char *history_erasure_write(const struct history_erasure *erasure, size_t *ret_bytes);

/* Reads one; release it by history_erasure_release. ERR_INPUT with the member's name. Any thread. */
int history_erasure_read(const char *value, size_t value_bytes, struct history_erasure *ret_erasure,
                         struct error *error) MUST_CHECK;

/* Frees what it owns; it is empty afterwards. Any thread. */
void history_erasure_release(struct history_erasure *erasure);

/* The cleanup function behind CLEANUP(history_erasure_release), for a variable. */
static inline __attribute__((unused)) void
history_erasure_release_cleanup(struct history_erasure *erasure)
{
    history_erasure_release(erasure);
}

/*
 * Makes the envelope of an erasure that was asked for at `time_ms`, by `source`; `id` and `subject` become
 * ce_id and ce_subject. Texts are borrowed. Any thread.
 */
struct event history_erasure_envelope(const struct history_erasure *erasure, const char *source,
                                      int64_t time_ms, char id[HISTORY_ID_BYTES],
                                      char subject[HISTORY_ID_BYTES]);

#endif
