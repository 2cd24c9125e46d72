/*
 * The record of `git.pushes`: one move of one head of one repository.
 *
 * {"repository":"https://h/o/r","ref":"refs/heads/main","old":"…"|null,"new":"…"|null,"move":7,
 *  "created":false,"deleted":false,"forced":false,"time":"2026-11-01T12:00:00Z"|null,
 *  "commits":[{"id":"…","author":"Ann","subject":"…","time":"…"|null}],"paths":["a/b"],
 *  "truncated":{"commits":false,"paths":false}}
 *
 * Design: `old` is the state that was last published, `new` the state seen: what happened between two looks
 * is one move. `move` counts the moves of the ref, so that A→B, B→A, A→B are three events and each
 * repetition of one of them is the same event. `time` and ce_time are the committer's time of the new
 * state, not of the look: a repetition makes the same bytes. A deleted ref has neither.
 *
 *      created   old is null: the ref was not known. Its past is not told: `commits` has the tip, `paths`
 *                is empty, both truncated
 *      deleted   new is null
 *      forced    old is no ancestor of new; `commits` are those that only new has
 *      paths     differ between old and new; a consumer that finds truncated.paths must compare by itself
 *
 * Invariants: git_push_read(git_push_write(p)) == p; created, deleted and the two states agree, and never
 * are both states absent.
 */
#ifndef NODAG_TOPICS_GIT_PUSH_H
#define NODAG_TOPICS_GIT_PUSH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "topics/envelope.h"
#include "topics/subject.h"

/* ce_type of the record. */
#define GIT_PUSH_TYPE "dev.nodag.git.push"

/* ce_dataschema of the record: a new meaning is a new number. */
#define GIT_PUSH_SCHEMA "urn:nodag:schema:git-push:1"

/* Most commits, … */
#define GIT_PUSH_COMMITS_MAX 250
/* … and most paths of a record. */
#define GIT_PUSH_PATHS_MAX 3000

/* Room for an event's id: repository, ref, both states and the number. */
#define GIT_PUSH_ID_BYTES (SUBJECT_KEY_BYTES + 2 * 65 + 24)

/* One commit; borrowed. */
struct git_push_commit {
    const char *id;      /* hexadecimal */
    const char *author;  /* name */
    const char *subject; /* first line of the message */
    bool has_time;       /* it lies within 1970..9999 */
    int64_t time_ms;     /* committer's */
};

/* One move. */
struct git_push {
    const char *repository;          /* URL in its one form; borrowed */
    const char *ref;                 /* borrowed */
    const char *old_id;              /* borrowed; NULL: created */
    const char *new_id;              /* borrowed; NULL: deleted */
    int64_t move;                    /* ≥ 1 */
    bool forced;                     /* see above */
    bool has_time;                   /* the new state has one */
    int64_t time_ms;                 /* of the new state */
    struct git_push_commit *commits; /* owned; newest first */
    size_t commit_count;             /* 0..GIT_PUSH_COMMITS_MAX */
    bool commits_truncated;          /* there are more */
    const char **paths;              /* owned array of borrowed texts */
    size_t path_count;               /* 0..GIT_PUSH_PATHS_MAX */
    bool paths_truncated;            /* likewise */
    json_t *memory; /* owned: what the texts of a record that was read are borrowed from */
};

/* Writes the record's key "REPOSITORY|REF". ERR_TOO_LARGE. Any thread. */
int git_push_key(const char *repository, const char *ref,
                 char ret_key[SUBJECT_KEY_BYTES]) MUST_CHECK;

/* Splits a key at its first `|`, which no URL holds; both parts are borrowed from it. ERR_INPUT. Any thread. */
int git_push_key_parse(const char *key, size_t key_bytes, struct text *ret_repository,
                       struct text *ret_ref) MUST_CHECK;

/* Writes the value; owned. Texts must be valid UTF-8 (asserted). Any thread. */
char *git_push_write(const struct git_push *push, size_t *ret_bytes)
    __attribute__((returns_nonnull));

/* Reads a value; to be released. ERR_INPUT with the member. Any thread. */
int git_push_read(const char *value, size_t value_bytes, struct git_push *ret_push,
                  struct error *error) MUST_CHECK;

/* Makes the envelope; its texts are borrowed from the push and from `id`, which it fills. Any thread. */
struct event git_push_envelope(const struct git_push *push, char id[GIT_PUSH_ID_BYTES]);

/* Frees what a push owns. */
void git_push_release(struct git_push *push);

/* The cleanup function behind CLEANUP(git_push_release). */
static inline __attribute__((unused)) void git_push_release_cleanup(struct git_push *push)
{
    git_push_release(push);
}

#endif
