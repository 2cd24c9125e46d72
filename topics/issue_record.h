/*
 * The record of the topic `issues`: one issue as it is now, and who did what to its labels.
 *
 * {"repository":{"id":1,"name":"o/r","owner_id":2,"private":false},"number":7,
 *  "title":"…","body":"…","state":"open","state_reason":null,
 *  "created_at":"…","updated_at":"…","closed_at":null,"author":{"by":"person","login":"ann"},
 *  "labels":[{"name":"kind/bug","by":"person","listed":true,
 *             "added":{"by":"person","login":"ann","at":"…","offset":41,"ids":["…"]},"removed":null}],
 *  "removed":[{"name":"area/x","by":"person","listed":false,"added":{…},"removed":{…}}],
 *  "as_of":{"at":"…","offset":41,"ids":["…"]},"gone":null,
 *  "erased_at":null,"names_erased_at":null}
 *
 * `labels` are those that it carries; `by` says who put each there: person, this bot, other bot,
 * unknown. `removed` are those that it carried once; `by` says who took each away. body, state_reason,
 * closed_at and logins may be null. The key is "ID#number" and names the issue.
 *
 * Design: a record holds everything that its writer needs to go on, so that no other database is
 * needed. It is a set of registers, each with a stamp: when it was so (the event's ce_time), the
 * offset that the event had, and the hashes of the ids of all events of that very millisecond, by
 * which repetitions are told:
 *
 *      as_of          → text, state, names, and which labels were `listed` then
 *      labels[].added → who put the label there last        labels[].removed → who took it away last
 *      gone           → since when it is gone, and why; what came later made it live again
 *      erased_at      → since when title and body are empty and nobody is named, for good: the first request counts
 *      names_erased_at → who acted on labels up to then is not named: the last request counts
 *
 * A tombstone has the same envelope: its type (ISSUE_GONE_TYPE + reason) says why, its ce_time since
 * when.
 *
 * Invariants: decode(encode(r)) == r; equal records are equal bytes; labels are sorted by name, each
 * once; an erased record holds no text and names nobody; members are the ones above, a new meaning is a new schema version (ce_dataschema).
 */
#ifndef NODAG_TOPICS_ISSUE_RECORD_H
#define NODAG_TOPICS_ISSUE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"
#include "topics/subject.h"

/* Schema of the records, for ce_dataschema. */
#define ISSUE_RECORD_SCHEMA "urn:nodag:schema:issue:1"

/* ce_type of a record. */
#define ISSUE_RECORD_TYPE "dev.nodag.issue"

/* ce_type of a tombstone, before the reason's name. */
#define ISSUE_GONE_TYPE "dev.nodag.issue.gone."

/* Largest title or body. GitHub's bodies have at most 65,536 characters of up to 4 bytes. */
#define ISSUE_TEXT_MAX_BYTES ((size_t)1 << 20)

/* Longest name, login or state. GitHub's labels have at most 50 characters, repositories 140. */
#define ISSUE_NAME_MAX_BYTES 255

/* Most labels that an issue may ever have had; GitHub shows at most 100 at a time. */
#define ISSUE_LABELS_MAX 1000

/* Most events of one millisecond (GitHub's times are whole seconds) whose repetition is told. */
#define ISSUE_STAMP_IDS_MAX 16

/* Longest ce_id of a record. */
#define ISSUE_ID_BYTES (SUBJECT_KEY_BYTES + 40)

/* Who did something: enum name and the text in records. */
#define ISSUE_ACTOR_TABLE(X)                                                                       \
    X(ISSUE_UNKNOWN, "unknown")                                                                    \
    X(ISSUE_PERSON, "person")                                                                      \
    X(ISSUE_THIS_BOT, "this bot")                                                                  \
    X(ISSUE_OTHER_BOT, "other bot")

/* See ISSUE_ACTOR_TABLE. */
enum issue_actor {
#define ISSUE_ACTOR_ENUM(id, text) id, /* see ISSUE_ACTOR_TABLE */
    ISSUE_ACTOR_TABLE(ISSUE_ACTOR_ENUM)
#undef ISSUE_ACTOR_ENUM
};

/* Why an issue is gone: enum name, text, whether it is so for ever. */
#define ISSUE_GONE_TABLE(X)                                                                        \
    X(ISSUE_LIVE, "", false)                                                                       \
    X(ISSUE_DELETED, "deleted", true)                                                              \
    X(ISSUE_TRANSFERRED, "transferred", true)                                                      \
    X(ISSUE_REPOSITORY_DELETED, "repository-deleted", false)                                       \
    X(ISSUE_UNINSTALLED, "uninstalled", false)                                                     \
    X(ISSUE_PRIVATE, "private", false)

/* See ISSUE_GONE_TABLE. */
enum issue_gone {
#define ISSUE_GONE_ENUM(id, text, final) id, /* see ISSUE_GONE_TABLE */
    ISSUE_GONE_TABLE(ISSUE_GONE_ENUM)
#undef ISSUE_GONE_ENUM
        ISSUE_GONE_COUNT /* how many */
};

/* When something was so, and by which events. */
struct issue_stamp {
    int64_t time_ms;                   /* since 1970; -1: never */
    int64_t offset;                    /* of the event that said so, in its partition */
    size_t id_count;                   /* of ids */
    uint64_t ids[ISSUE_STAMP_IDS_MAX]; /* issue_hash_id of all events of time_ms; oldest first */
};

/* A text of any characters, NUL among them, followed by a NUL that does not count. */
struct issue_text {
    char *data;   /* owned; NULL: absent */
    size_t bytes; /* length */
};

/* Who did something to a label, when. */
struct issue_action {
    struct issue_stamp stamp; /* never: nobody is known to have done it */
    enum issue_actor by;      /* who */
    char *login;              /* owned; NULL: unknown */
};

/* One label that the issue carries, or carried once. */
struct issue_label {
    char *name;                  /* owned */
    bool listed;                 /* the text's event listed it */
    struct issue_action added;   /* the newest time that it was put there */
    struct issue_action removed; /* the newest time that it was taken away */
};

/* One issue. All zero but the stamps' times, which are -1, is an empty one. */
struct issue_record {
    int64_t repository_id;         /* > 0 */
    int64_t number;                /* > 0 */
    struct issue_stamp as_of;      /* of the members up to author_login, and of `listed` */
    char *repository;              /* owned; owner/name */
    int64_t owner_id;              /* 0: unknown */
    bool is_private;               /* the repository is */
    struct issue_text title;       /* absent: not in memory */
    struct issue_text body;        /* absent: none, or not in memory */
    char *state;                   /* owned; open, closed */
    char *state_reason;            /* owned; NULL: none */
    int64_t created_ms;            /* since 1970; -1: unknown */
    int64_t updated_ms;            /* likewise */
    int64_t closed_ms;             /* likewise; -1 also while open */
    enum issue_actor author;       /* who opened it */
    char *author_login;            /* owned; NULL: unknown */
    struct issue_label *labels;    /* owned; by name */
    size_t label_count;            /* of them */
    struct issue_stamp gone_since; /* never: it never was gone */
    enum issue_gone gone;          /* why, at gone_since */
    int64_t erased_ms;             /* text and names were erased at a request, since 1970; 0: not */
    int64_t names_erased_ms;       /* of actions up to then nobody is named; 0: of all */
};

/* Makes an empty record of an issue; owned. Any thread. */
struct issue_record *issue_record_new(int64_t repository_id, int64_t number);

/* Frees it; NULL allowed. */
void issue_record_free(struct issue_record *record);
DEFINE_CLEANUP(struct issue_record *, issue_record_free)

/* Frees the title and body; both are absent afterwards. Any thread. */
void issue_record_drop_texts(struct issue_record *record);

/*
 * Returns true if the record may name who did something to a label at a time: neither its text nor such
 * names were erased. Any thread.
 */
bool issue_record_keeps_name(const struct issue_record *record, int64_t time_ms);

/* Returns what stands for a ce_id in stamps. Any thread. */
uint64_t issue_hash_id(const char *id, size_t id_bytes);

/* Returns an actor's text; static storage. Any thread. */
const char *issue_actor_name(enum issue_actor actor);

/* Returns a reason's text, "" for ISSUE_LIVE; static storage. Any thread. */
const char *issue_gone_name(enum issue_gone gone);

/* Returns true if what is gone for this reason never comes back. Any thread. */
bool issue_gone_is_final(enum issue_gone gone);

/* Returns true if the issue is not gone: never was, or something newer was heard of it. Any thread.
 */
bool issue_record_is_live(const struct issue_record *record);

/*
 * Returns true if the issue carries the label: what people and bots did last decides unless a newer
 * list of labels says otherwise. Any thread.
 */
bool issue_label_is_present(const struct issue_record *record, const struct issue_label *label);

/*
 * Returns who put a present label there, or took an absent one away; NULL where that is unknown.
 * Borrowed. Any thread.
 */
const struct issue_action *issue_label_last(const struct issue_record *record,
                                            const struct issue_label *label);

/* Returns an action's actor; ISSUE_UNKNOWN for NULL. Any thread. */
enum issue_actor issue_action_by(const struct issue_action *action);

/* Finds a label by name; NULL. Borrowed until labels are added. Any thread. */
struct issue_label *issue_record_find_label(const struct issue_record *record, const char *name);

/* Finds a label or adds it; NULL beyond ISSUE_LABELS_MAX. Borrowed likewise. Any thread. */
struct issue_label *issue_record_put_label(struct issue_record *record, const char *name);

/* Returns the record as JSON; its title must be there (asserted). Owned, length in ret_bytes. Any
 * thread. */
char *issue_record_encode(const struct issue_record *record, size_t *ret_bytes);

/*
 * Reads the record of a key; owned. ERR_INPUT where key or value is no such thing, with the member's
 * name. Any thread.
 */
int issue_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                        struct issue_record **ret_record, struct error *error) MUST_CHECK;

/*
 * Makes the envelope of a record (`value` as encoded) or, with `value` NULL, of a tombstone; texts
 * are borrowed from the record, `key` and `id`. Any thread.
 */
struct event issue_record_envelope(const struct issue_record *record, const char *key,
                                   const char *value, size_t value_bytes, char id[ISSUE_ID_BYTES]);

/* Reads why and since when from a tombstone's envelope. ERR_INPUT for another type. Any thread. */
int issue_gone_read(const struct event *event, enum issue_gone *ret_gone,
                    int64_t *ret_time_ms) MUST_CHECK;

#endif
