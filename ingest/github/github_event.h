/*
 * One delivery → one event: envelope and key, by one table.
 *
 * Sources: the CloudEvents "GitHub CloudEvents Adapter" document (cloudevents/adapters/github.md) for the
 * events that it names; GitHub, "Webhook events and payloads" for the rest; the topics table for the key.
 *
 * Design: a row for each event (or each kind of action of one) names the payload members that make type,
 * source, subject, time and key; what the adapter document does not name follows one rule:
 *
 *      id       X-GitHub-Delivery
 *      type     com.github.EVENT, and .ACTION if the payload has an action made of letters, digits, `_`, `-` and `.`
 *      source   repository.url, else organization.url, installation.account.url, sender.url, hook.url, else github.com
 *      subject  number, else ref, else id; absent if none of them can stand in an attribute
 *      time     the named member; else the latest time in the payload; else the time of receipt
 *      key      ID#number for issues, pull requests and discussions; else the id of the repository, organisation,
 *               account or sender; else the event's name
 *
 * Where the document says "current time" (pushes, labels, stars, …) the latest time in the payload stands
 * instead, so that a redelivery makes the same event. `status` has the type com.github.status: the document
 * leaves open whether the state is added.
 *
 * Invariants: a pure function of its arguments; every envelope that it makes can be encoded; equal payload and head
 * give an equal event unless the payload has no time at all.
 */
#ifndef NODAG_INGEST_GITHUB_GITHUB_EVENT_H
#define NODAG_INGEST_GITHUB_GITHUB_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "ingest/github/head.h"
#include "ingest/github/payload.h"
#include "topics/envelope.h"
#include "topics/subject.h"

/* Longest action that becomes part of a type; repository_dispatch's are written by people, up to 100 characters. */
#define GITHUB_EVENT_SUFFIX_MAX_BYTES 100

/* Memory of a type: prefix, event, two suffixes, dots and a NUL. */
#define GITHUB_EVENT_TYPE_BYTES                                                                    \
    (16 + HEAD_EVENT_MAX_BYTES + 2 * (GITHUB_EVENT_SUFFIX_MAX_BYTES + 1))

/* One event, ready to be published. Texts of `envelope` are borrowed from head, payload and this struct itself. */
struct github_event {
    struct event envelope;                         /* everything but the value */
    size_t key_bytes;                              /* length of key */
    char key[SUBJECT_KEY_BYTES];                   /* the record's key, with a NUL */
    char type[GITHUB_EVENT_TYPE_BYTES];            /* memory of the type */
    char source[ENVELOPE_ATTRIBUTE_MAX_BYTES + 1]; /* memory of a source made of two members */
};

/*
 * Makes the event. `secret_id` is borrowed, `received_ms` the time of receipt since 1970. `ret_event` must stay
 * where it is while its envelope is used. Any thread.
 */
void github_event_make(const struct delivery_head *head, const struct payload *payload,
                       const char *secret_id, int64_t received_ms, struct github_event *ret_event);

/*
 * Returns `event` as a text of static storage if the table knows it, else "other": a bounded label for metrics.
 * Any thread.
 */
const char *github_event_label(struct text event);

#endif
