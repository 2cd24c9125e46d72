/*
 * The issues that `nodag erase` has to do with, found on the topic `issues`; and which rows of a data set
 * are about them. Pure.
 *
 *      record ──▶ wanted (its text, its names) ──asked for──▶ erased
 *                    └── somebody else's now, or gone: forgotten
 *
 * Design: only issues that are wanted, and those that are erased already, are in memory, without their
 * texts. A row of a data set does not say who opened the issue. So it is told by the issue: by number and
 * time of creation, which no rename changes, or by the repository's name and number, where all names of
 * a repository count that any record has. Rows of every erased issue count, whoever asked for it: so
 * what a command that was cut off has not done is done by the next one, although nobody's name is there
 * to find it by.
 *
 * Invariants: what was asked for is counted as open until its record has the mark, or is gone; a function
 * of target and records.
 */
#ifndef NODAG_HISTORIAN_ERASE_FOUND_H
#define NODAG_HISTORIAN_ERASE_FOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "reactors/historian/erase_target.h"

/* One issue; borrowed until the next record. */
struct erase_issue {
    int64_t repository_id;  /* of the key */
    int64_t number;         /* of the key */
    const char *repository; /* borrowed; its name */
    int64_t owner_id;       /* 0: unknown */
    bool is_private;        /* the repository is */
    bool is_open;           /* its state */
    enum erase_what what;   /* what is wanted; ERASE_NOTHING: it is erased */
    int64_t newest_ms;      /* when the target last labeled it; clocks differ */
    bool is_asked;          /* the request was published */
};

/* How many there are. */
struct erase_counts {
    size_t text;   /* whose text is wanted */
    size_t names;  /* whose names are wanted */
    size_t erased; /* erased, by this request or an earlier one */
    size_t open;   /* of those wanted: asked for */
};

/* The issues. */
struct erase_found;

/* Makes an empty set for a target (borrowed; its repositories may be added later). Owned. */
struct erase_found *erase_found_new(const struct erase_target *target);

/* Frees it; NULL allowed. */
void erase_found_free(struct erase_found *found);
DEFINE_CLEANUP(struct erase_found *, erase_found_free)

/* Notes the name of a record's repository. Any thread. */
void erase_found_note(struct erase_found *found, const struct issue_record *record);

/* Adds the repositories to a target whose newest name is the target's. Any thread. */
void erase_found_resolve(const struct erase_found *found, struct erase_target *target);

/* Takes the newest record of an issue into account. Any thread. */
void erase_found_apply(struct erase_found *found, const struct issue_record *record);

/* An issue has a tombstone. Any thread. */
void erase_found_remove(struct erase_found *found, int64_t repository_id, int64_t number);

/* Counts. Any thread. */
struct erase_counts erase_found_count(const struct erase_found *found);

/*
 * Returns a number that rises whenever an issue is added: rows that were told before are to be told again.
 * Any thread.
 */
uint64_t erase_found_version(const struct erase_found *found);

/*
 * Calls `visit` for each wanted issue that was not asked for, until it returns false; what it was called for
 * and returned true counts as asked for. Any thread.
 */
void erase_found_ask(struct erase_found *found,
                     bool (*visit)(void *argument, const struct erase_issue *issue),
                     void *argument);

/*
 * Returns true if a row of a data set is to go. `repository` may be NULL, `number` 0, `created_ms` -1: the row
 * does not say. Any thread.
 */
bool erase_found_has_row(struct erase_found *found, const char *repository, int64_t number,
                         int64_t created_ms);

#endif
