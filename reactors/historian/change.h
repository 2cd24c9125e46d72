/*
 * An event of `github.events` → what it says: about one issue, or about many.
 *
 * | event | what it is |
 * |---|---|
 * | issues.* , issue_comment.* | the issue as of then; labeled and unlabeled: who did it |
 * | issues.deleted, issues.transferred | it is gone; where to |
 * | dev.nodag.github.issue.v1 | as above, with a timeline (topics/history_event.h) |
 * | dev.nodag.github.erased.v1 | its text was erased at a request (topics/history_erasure.h) |
 * | repository.deleted, .privatized; installation.deleted; installation_repositories.removed | many are gone |
 * | dev.nodag.github.withdrawn.v1 | the same, in each partition |
 *
 * Design: `change_wants` looks at key and headers only; `change_read` reads the value. Pull requests
 * are not issues: their own events are passed over by the headers, comments on them by the payload.
 * A webhook that takes many issues away happened when it was received (Kafka's timestamp): the times
 * in those payloads are those of an earlier change.
 *
 * Invariant: pure.
 */
#ifndef NODAG_HISTORIAN_CHANGE_H
#define NODAG_HISTORIAN_CHANGE_H

#include "reactors/historian/fold.h"
#include "topics/bus.h"
#include "topics/history_erasure.h"
#include "topics/history_event.h"

/* What an event is about. */
enum change_scope {
    CHANGE_NOTHING,   /* nothing that concerns issues */
    CHANGE_ISSUE,     /* the issue of its key */
    CHANGE_SPREAD,    /* many: every partition must be told */
    CHANGE_WITHDRAWN, /* many, in this partition */
};

/* Says by key and headers what an event is about. Any thread. */
enum change_scope change_scope_of(const struct bus_record *record, const struct event *event);

/*
 * Reads an event of scope CHANGE_ISSUE. `own_login` is nodag's own account, NULL: not known. Owned
 * result; NULL for a pull request. ERR_INPUT for a value that is not what its headers say. Any
 * thread.
 */
int change_read(const struct bus_record *record, const struct event *event, const char *own_login,
                struct fold_change **ret_change, struct error *error) MUST_CHECK;

/*
 * Reads an event of scope CHANGE_SPREAD or CHANGE_WITHDRAWN; free its repositories with mem_free.
 * `ret_time_ms` becomes when it happened. ERR_INPUT. Any thread.
 */
int change_read_withdrawal(const struct bus_record *record, const struct event *event,
                           struct history_withdrawal *ret_withdrawal, int64_t *ret_time_ms,
                           struct error *error) MUST_CHECK;

/* Returns who somebody is, for nodag. `login` and `type` may be NULL. Any thread. */
enum issue_actor change_actor(const char *login, const char *type, const char *own_login);

#endif
