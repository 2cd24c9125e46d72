/*
 * Whose text `nodag erase` erases: a person's, a repository's, or that of one issue. Pure.
 *
 * | written | it is |
 * |---|---|
 * | LOGIN, @LOGIN | a person: issues that they opened; elsewhere only their login |
 * | OWNER/REPO | a repository by the newest name that `issues` has of it |
 * | DIGITS | a repository by its id (a person whose login is all digits: @DIGITS) |
 * | OWNER/REPO#NUMBER, DIGITS#NUMBER | one issue |
 *
 * GitHub's names do not tell capitals from small letters, nor does this.
 */
#ifndef NODAG_HISTORIAN_ERASE_TARGET_H
#define NODAG_HISTORIAN_ERASE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "topics/issue_record.h"

/* Most repositories that had one name one after the other. */
#define ERASE_IDS_MAX 16

/* Whose text it is. */
struct erase_target {
    const char *login;                         /* a person; else NULL */
    char repository[ISSUE_NAME_MAX_BYTES + 1]; /* OWNER/REPO; "": by id, or a person */
    int64_t ids[ERASE_IDS_MAX]; /* repositories; those of a name are added when they are known */
    size_t id_count;            /* of them */
    int64_t number;             /* one issue; 0: all */
};

/* What is to be erased of an issue. */
enum erase_what {
    ERASE_NOTHING, /* it is somebody else's */
    ERASE_NAMES,   /* logins of those who labeled */
    ERASE_TEXT,    /* title, body, and all logins */
};

/* Reads what a person wrote (borrowed). ERR_USAGE. Any thread. */
int erase_target_read(const char *text, struct erase_target *ret_target,
                      struct error *error) MUST_CHECK;

/* Adds a repository of the target's name; beyond ERASE_IDS_MAX it is left out. Any thread. */
void erase_target_add(struct erase_target *target, int64_t repository_id);

/* Says what of a record is to be erased; one whose text is erased has nothing left. Any thread. */
enum erase_what erase_target_wants(const struct erase_target *target,
                                   const struct issue_record *record);

/* Returns when the target last did something to a label of a record, in ms since 1970; 0: never. Any thread. */
int64_t erase_target_newest(const struct erase_target *target, const struct issue_record *record);

#endif
