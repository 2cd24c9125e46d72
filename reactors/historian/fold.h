/*
 * The fold: what an event says about an issue → the issue as it is now. Pure.
 *
 * Design: an issue is a set of registers (topics/issue_record.h), and each keeps what came last by
 * (time, offset). A register does not care in which order it is told: a late event changes what
 * nobody said later, a repetition changes nothing. So the record is the same whatever the order in
 * which events are delivered; what is left to offsets is only the order of events of one second.
 *
 *      change ─┬─ snapshot: text, state, names, list of labels ──▶ as_of
 *              ├─ actions:  somebody labeled or unlabeled      ──▶ labels[].added, removed
 *              ├─ gone:     deleted, transferred, withdrawn    ──▶ gone
 *              └─ erased:   at a person's request              ──▶ erased_at, names_erased_at
 *
 * An erasure is for good: once a record has the mark no change brings text or logins into it, whether it
 * happened before the request or after. Of two requests for the text the first counts, of two for names
 * the last, so that their order makes no difference. The kind of who did something (a person, a bot)
 * stays; the hash of an action without its login takes the place of the one with it.
 *
 * An owner that a snapshot does not tell (0) says nothing: the one that is known stays, and an older snapshot may
 * tell it.
 *
 * An action is known by what it says (label, what, when, who), not by the event that told of it: so a
 * webhook and a line of an imported timeline are the same action.
 *
 * Invariants: an erased record has no text and names nobody; fold_apply twice is fold_apply once; the order
 * of changes with different times makes no difference; no clock, no I/O.
 */
#ifndef NODAG_HISTORIAN_FOLD_H
#define NODAG_HISTORIAN_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "topics/issue_record.h"

/* Most actions of one change: a timeline that an importer read. */
#define FOLD_ACTIONS_MAX 10000

/* Stands for the repository's name where that is not to be kept. */
#define FOLD_STUB_REPOSITORY "erased/erased"

/* Somebody put a label there or took it away. */
struct fold_action {
    char *label;         /* owned */
    bool is_added;       /* put there; else taken away */
    enum issue_actor by; /* who */
    char *login;         /* owned; NULL: unknown */
    int64_t time_ms;     /* since 1970 */
};

/* What one event says about one issue. */
struct fold_change {
    int64_t time_ms; /* the event's ce_time */
    int64_t offset;  /* its offset in its partition */
    uint64_t id;     /* issue_hash_id of its ce_id */
    struct issue_record
        *snapshot;               /* owned; the issue as of then, labels `listed`; NULL: not told */
    struct fold_action *actions; /* owned; oldest first */
    size_t action_count;         /* of them */
    enum issue_gone gone;        /* the issue is gone since time_ms; ISSUE_LIVE: not told */
    struct issue_record
        *moved_to;            /* owned; ISSUE_TRANSFERRED: the issue at its new place, or NULL */
    int64_t erased_ms;        /* the text was erased at a request of then; 0: not told */
    int64_t names_erased_ms;  /* the names up to then were; 0: not told */
    struct fold_change *next; /* in a list of who holds it */
};

/* Frees a change (not those after it); NULL allowed. */
void fold_change_free(struct fold_change *change);
DEFINE_CLEANUP(struct fold_change *, fold_change_free)

/*
 * Applies a change to a record of the same issue. Texts are moved from the change. Returns true if
 * the record is not as it was. Any thread.
 */
bool fold_apply(struct issue_record *record, struct fold_change *change);

/* What fold_join found; a set of bits. */
enum fold_joined {
    FOLD_TOOK = 1, /* `from` had something newer */
    FOLD_KEPT = 2, /* `into` had something newer */
};

/*
 * Joins two records of one issue that stood on the topic, for example one that a former owner of the
 * partition wrote late: the newer of each register. Texts are moved from `from`. Any thread.
 */
unsigned fold_join(struct issue_record *into, struct issue_record *from);

/*
 * Makes an erased issue that is gone, and may come back, a record that holds nothing but the marks: a
 * tombstone is forgotten, and the text would come back with the issue. Any thread.
 */
void fold_make_stub(struct issue_record *record);

/* Returns what stands for an action in stamps: a hash of what it says. Any thread. */
uint64_t fold_hash_action(const char *label, bool is_added, int64_t time_ms, enum issue_actor by,
                          const char *login);

#endif
