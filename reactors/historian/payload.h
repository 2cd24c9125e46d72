/*
 * What the historian needs of a webhook payload: a streaming extraction (yajl) that builds no tree.
 *
 * Design: one table of paths, sorted. A range of its rows stands for "where we are": a key of an
 * object narrows the range, and where it is empty nothing below is looked at.
 *
 *      {"issue": {"labels": [{"name": "bug"}]}}
 *       range of "issue." → of "issue.labels[]" → of "issue.labels[].name": one row, a leaf
 *
 * Of members with the same name the last one counts. Objects that are absent leave their members
 * empty: who reads the payload says what it needs.
 *
 * Invariants: what is not in the table costs no memory; names are not empty, at most
 * ISSUE_NAME_MAX_BYTES and without NUL; texts at most ISSUE_TEXT_MAX_BYTES.
 */
#ifndef NODAG_HISTORIAN_PAYLOAD_H
#define NODAG_HISTORIAN_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/issue_record.h"

/* Most entries of a list: repositories of an installation; labels are fewer. */
#define PAYLOAD_LIST_MAX 100000

/* An issue object. */
struct payload_issue {
    int64_t number;          /* 0: absent */
    struct issue_text title; /* owned */
    struct issue_text body;  /* owned; null is absent */
    char *state;             /* owned */
    char *state_reason;      /* owned; NULL: none */
    int64_t created_ms;      /* since 1970; -1: absent */
    int64_t updated_ms;      /* likewise */
    int64_t closed_ms;       /* likewise */
    char *author_login;      /* owned; NULL: unknown */
    char *author_type;       /* owned; User, Bot, …; NULL: unknown */
    char **labels;           /* owned, each */
    size_t label_count;      /* of them */
    bool is_pull_request;    /* it has the member pull_request */
};

/* A repository object. */
struct payload_repository {
    int64_t id;       /* 0: absent */
    char *name;       /* owned; owner/name */
    int64_t owner_id; /* 0: unknown */
    bool is_private;  /* it is */
};

/* A payload. */
struct payload {
    struct payload_issue issue;               /* of issues and issue_comment */
    struct payload_issue new_issue;           /* changes.new_issue: of a transfer */
    struct payload_repository repository;     /* where it happened */
    struct payload_repository new_repository; /* changes.new_repository: of a transfer */
    char *label;                              /* owned; label.name: what was labeled */
    char *sender_login;                       /* owned; NULL: unknown */
    char *sender_type;                        /* owned; NULL: unknown */
    int64_t account_id;                       /* installation.account.id; 0: absent */
    int64_t *repositories;                    /* owned; ids in repositories, repositories_removed */
    size_t repository_count;                  /* of them */
};

/* Reads a payload; free with payload_free. ERR_INPUT for what is no JSON or breaks a bound; the text
 * says where. Any thread. */
int payload_read(const char *value, size_t value_bytes, struct payload **ret_payload,
                 struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. */
void payload_free(struct payload *payload);
DEFINE_CLEANUP(struct payload *, payload_free)

#endif
