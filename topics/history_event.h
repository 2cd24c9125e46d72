/*
 * Events of nodag's own on `github.events`: issues that an importer read, and issues that are gone.
 * Unsigned, beside the webhooks, in the same partitions, folded by the same rules.
 *
 * --- ce_type dev.nodag.github.issue.v1: an issue as it was read, with what is known of its labels ---
 *
 * Whoever knows an issue without a webhook (from REST with its timeline, from an archive of events)
 * publishes one event for it:
 *
 *   key            ID#NUMBER (topics/subject.h), partition by key
 *   ce_id          deterministic: the same thing read twice is the same event (history_event_envelope)
 *   ce_source      the repository's API URL, or the importer's name
 *   ce_subject     NUMBER
 *   ce_time        issue.updated_at: as of then the issue was so
 *   ce_dataschema  urn:nodag:schema:github-issue:1     content-type application/json
 *   ce_githubrepository  owner/name
 *
 *   {"repository":{"id":1,"name":"o/r","owner_id":2,"private":false},
 *    "issue":{"number":7,"title":"…","body":"…","state":"open","state_reason":null,
 *             "created_at":"…","updated_at":"…","closed_at":null,
 *             "author":{"login":"ann","type":"User"},"labels":["kind/bug"],"pull_request":false},
 *    "timeline":[{"action":"labeled","label":"kind/bug","at":"…","actor":{"login":"ann","type":"User"}},
 *                {"action":"unlabeled",…}]}
 *
 * `timeline` has the labelings in the order in which they happened; at is the timeline's created_at,
 * which is the updated_at of the webhook that told of it, so both are one action. `actor` and
 * `author` are null where unknown; login and type are GitHub's (User, Bot, …): whose bot it is, the
 * consumer decides. An empty timeline says that nobody ever labeled; where the importer does not know
 * that, `timeline` is null, and labels are there by an unknown hand. body, state_reason and closed_at
 * may be null, owner_id 0. Pull requests may be published; the historian passes them over.
 *
 * --- ce_type dev.nodag.github.withdrawn.v1: issues that are gone without an event of their own ---
 *
 * A repository's or an installation's webhook stands in the partition of its own key, its issues in
 * all partitions. Who owns that key publishes this event once into every partition:
 *
 *   key the original's, ce_id ORIGINAL-ID/PARTITION, ce_time when it happened
 *
 *   {"reason":"repository-deleted|uninstalled|private","repositories":[1,2],"owner_id":0}
 *
 * It is about the issues in its partition of these repositories and, where owner_id is not 0, of all
 * repositories of that owner.
 *
 * Design: as git_push.h: a struct with texts borrowed from the JSON that was read.
 */
#ifndef NODAG_TOPICS_HISTORY_EVENT_H
#define NODAG_TOPICS_HISTORY_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"
#include "topics/issue_record.h"

/* ce_type of an issue that was read. */
#define HISTORY_ISSUE_TYPE "dev.nodag.github.issue.v1"

/* Its schema, for ce_dataschema. */
#define HISTORY_ISSUE_SCHEMA "urn:nodag:schema:github-issue:1"

/* ce_type of issues that are gone. */
#define HISTORY_WITHDRAWN_TYPE "dev.nodag.github.withdrawn.v1"

/* Its schema, for ce_dataschema. */
#define HISTORY_WITHDRAWN_SCHEMA "urn:nodag:schema:github-withdrawn:1"

/* Most entries of a timeline. */
#define HISTORY_TIMELINE_MAX 10000

/* Most repositories of one withdrawal. */
#define HISTORY_REPOSITORIES_MAX 100000

/* Longest ce_id of an issue event. */
#define HISTORY_ID_BYTES (SUBJECT_KEY_BYTES + 80)

/* Somebody, as GitHub names them; borrowed. */
struct history_actor {
    const char *login; /* NULL: unknown */
    const char *type;  /* User, Bot, …; NULL: unknown */
};

/* One line of a timeline; borrowed. */
struct history_action {
    bool is_added;              /* labeled; else unlabeled */
    const char *label;          /* which */
    int64_t time_ms;            /* since 1970 */
    struct history_actor actor; /* who */
};

/* An issue that was read; texts are borrowed from `memory` or from who fills it in. */
struct history_issue {
    int64_t repository_id;           /* > 0 */
    const char *repository;          /* owner/name */
    int64_t owner_id;                /* 0: unknown */
    bool is_private;                 /* the repository is */
    int64_t number;                  /* > 0 */
    struct text title;               /* required */
    struct text body;                /* absent: none */
    const char *state;               /* open, closed */
    const char *state_reason;        /* NULL: none */
    int64_t created_ms;              /* since 1970 */
    int64_t updated_ms;              /* likewise */
    int64_t closed_ms;               /* likewise; -1: none */
    struct history_actor author;     /* who opened it */
    const char **labels;             /* owned array; what it carries */
    size_t label_count;              /* of them */
    bool is_pull_request;            /* it is one */
    bool has_timeline;               /* who labeled is known */
    struct history_action *timeline; /* owned array; oldest first */
    size_t timeline_count;           /* of them */
    json_t *memory;                  /* owned; NULL where texts are the caller's */
};

/* Writes the value of an issue event; owned, length in ret_bytes. Any thread. */
char *history_issue_write(const struct history_issue *issue, size_t *ret_bytes);

/* Reads one; release it by history_issue_release. ERR_INPUT with the member's name. Any thread. */
int history_issue_read(const char *value, size_t value_bytes, struct history_issue *ret_issue,
                       struct error *error) MUST_CHECK;

/* Frees what it owns; it is empty afterwards. Any thread. */
void history_issue_release(struct history_issue *issue);

/* The cleanup function behind CLEANUP(history_issue_release), for a variable. */
static inline __attribute__((unused)) void
history_issue_release_cleanup(struct history_issue *issue)
{
    history_issue_release(issue);
}

/*
 * Makes the envelope of an issue event: `value` as written, `source` who read it; `id` and `subject`
 * become ce_id and ce_subject. Texts are borrowed. Any thread.
 */
struct event history_issue_envelope(const struct history_issue *issue, const char *source,
                                    const char *value, size_t value_bytes,
                                    char id[HISTORY_ID_BYTES], char subject[HISTORY_ID_BYTES]);

/* A withdrawal. */
struct history_withdrawal {
    enum issue_gone reason;  /* why */
    int64_t *repositories;   /* owned; ids */
    size_t repository_count; /* of them */
    int64_t owner_id;        /* all repositories of this owner; 0: only those */
};

/* Writes the value of a withdrawal; owned, length in ret_bytes. Any thread. */
char *history_withdrawal_write(const struct history_withdrawal *withdrawal, size_t *ret_bytes);

/* Reads one; free its repositories with mem_free. ERR_INPUT. Any thread. */
int history_withdrawal_read(const char *value, size_t value_bytes,
                            struct history_withdrawal *ret_withdrawal,
                            struct error *error) MUST_CHECK;

#endif
