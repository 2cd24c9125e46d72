/*
 * Issues that are to be erased, and their rows: see erase_found.h.
 *
 * Design of the rows: two sorted lists, by number and by time of creation, made when the first row is asked
 * for after an issue was added.
 */
#include "reactors/historian/erase_found.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "base/memory.h"
#include "topics/subject.h"

/* A name that a repository has or had. */
struct repository_name {
    UT_hash_handle hh; /* by key */
    int64_t id;        /* of the repository */
    int64_t time_ms;   /* of the newest record that has it */
    const char *name;  /* in key: small letters */
    char key[];        /* "ID/name" */
};

/* An issue. */
struct found_issue {
    char key[48];            /* ID#number */
    struct erase_issue said; /* its name is borrowed from `name` */
    int64_t created_ms;      /* -1: unknown */
    char *name;              /* owned */
    UT_hash_handle hh;       /* by key */
};

struct erase_found {
    const struct erase_target *target; /* borrowed */
    struct repository_name *names;     /* hash */
    struct found_issue *issues;        /* hash */
    uint64_t version;                  /* see erase_found_version */
    uint64_t sorted_version;           /* of the lists */
    struct found_issue **by_number;    /* owned; borrowed issues */
    struct found_issue **by_created;   /* owned; likewise */
    size_t sorted_count;               /* of each list */
};

struct erase_found *erase_found_new(const struct erase_target *target)
{
    struct erase_found *found = MEM_NEW(struct erase_found);
    found->target = target;
    found->version = 1;
    return found;
}

static void issue_drop(struct erase_found *found, struct found_issue *issue)
{
    HASH_DEL(found->issues, issue);
    mem_free(issue->name);
    mem_free(issue);
    found->sorted_version = 0; /* the lists may point at it */
}

void erase_found_free(struct erase_found *found)
{
    if (found == NULL)
        return;
    struct repository_name *name = NULL;
    struct repository_name *next_name = NULL;
    HASH_ITER(hh, found->names, name, next_name)
    {
        HASH_DEL(found->names, name);
        mem_free(name);
    }
    struct found_issue *issue = NULL;
    struct found_issue *next_issue = NULL;
    HASH_ITER(hh, found->issues, issue, next_issue)
    {
        issue_drop(found, issue);
    }
    mem_free(found->by_number);
    mem_free(found->by_created);
    mem_free(found);
}

/* ---- names ---- */

/* "ID/name" in small letters; owned. */
static char *name_key(int64_t id, const char *name)
{
    char *key = mem_format("%lld/%s", (long long)id, name);
    for (char *at = key; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    return key;
}

static struct repository_name *name_find(const struct erase_found *found, int64_t id,
                                         const char *name)
{
    struct repository_name *row = NULL;
    CLEANUP(mem_free) char *key = name_key(id, name);
    HASH_FIND_STR(found->names, key, row);
    return row;
}

void erase_found_note(struct erase_found *found, const struct issue_record *record)
{
    struct repository_name *row = name_find(found, record->repository_id, record->repository);
    if (row == NULL) {
        CLEANUP(mem_free) char *key = name_key(record->repository_id, record->repository);
        size_t bytes = strlen(key);
        row = mem_alloc(sizeof(*row) + bytes + 1);
        memcpy(row->key, key, bytes);
        row->id = record->repository_id;
        row->name = strchr(row->key, '/') + 1;
        row->time_ms = -1;
        HASH_ADD_STR(found->names, key, row);
    }
    if (record->as_of.time_ms > row->time_ms)
        row->time_ms = record->as_of.time_ms;
}

/* True if no other name of the repository is newer. */
static bool name_is_newest(const struct erase_found *found, const struct repository_name *name)
{
    for (const struct repository_name *row = found->names; row != NULL; row = row->hh.next)
        if (row->id == name->id && row->time_ms > name->time_ms)
            return false;
    return true;
}

void erase_found_resolve(const struct erase_found *found, struct erase_target *target)
{
    for (const struct repository_name *row = found->names; row != NULL; row = row->hh.next)
        if (strcasecmp(row->name, target->repository) == 0 && name_is_newest(found, row))
            erase_target_add(target, row->id);
}

/* ---- issues ---- */

static struct found_issue *issue_find(const struct erase_found *found, int64_t repository_id,
                                      int64_t number)
{
    struct found_issue *issue = NULL;
    char key[SUBJECT_KEY_BYTES];
    subject_key_issue(repository_id, number, key);
    HASH_FIND_STR(found->issues, key, issue);
    return issue;
}

void erase_found_remove(struct erase_found *found, int64_t repository_id, int64_t number)
{
    struct found_issue *issue = issue_find(found, repository_id, number);
    if (issue != NULL)
        issue_drop(found, issue);
}

static struct found_issue *issue_add(struct erase_found *found, const struct issue_record *record)
{
    char key[SUBJECT_KEY_BYTES];
    struct found_issue *issue = MEM_NEW(struct found_issue);
    subject_key_issue(record->repository_id, record->number, key);
    assert(strlen(key) < sizeof(issue->key)); /* two numbers */
    memcpy(issue->key, key, strlen(key) + 1);
    issue->created_ms = -1;
    HASH_ADD_STR(found->issues, key, issue);
    found->version++;
    return issue;
}

void erase_found_apply(struct erase_found *found, const struct issue_record *record)
{
    enum erase_what what = erase_target_wants(found->target, record);
    if (what == ERASE_NOTHING && record->erased_ms == 0) {
        erase_found_remove(found, record->repository_id, record->number);
        return;
    }
    erase_found_note(found, record);
    struct found_issue *issue = issue_find(found, record->repository_id, record->number);
    if (issue == NULL)
        issue = issue_add(found, record);
    else if (issue->said.what == ERASE_NAMES && what != ERASE_NAMES)
        found->version++; /* rows of it count now */
    bool is_asked = issue->said.is_asked && what != ERASE_NOTHING && what <= issue->said.what;
    if (record->created_ms >= 0)
        issue->created_ms = record->created_ms;
    mem_free(issue->name);
    issue->name = mem_copy_text(record->repository);
    issue->said =
        (struct erase_issue){.repository_id = record->repository_id,
                             .number = record->number,
                             .repository = issue->name,
                             .owner_id = record->owner_id,
                             .is_private = record->is_private,
                             .is_open = record->state == NULL || strcmp(record->state, "open") == 0,
                             .what = what,
                             .newest_ms = erase_target_newest(found->target, record),
                             .is_asked = is_asked};
}

struct erase_counts erase_found_count(const struct erase_found *found)
{
    struct erase_counts counts = {.text = 0};
    for (const struct found_issue *issue = found->issues; issue != NULL; issue = issue->hh.next) {
        counts.text += issue->said.what == ERASE_TEXT;
        counts.names += issue->said.what == ERASE_NAMES;
        counts.erased += issue->said.what == ERASE_NOTHING;
        counts.open += issue->said.is_asked;
    }
    return counts;
}

uint64_t erase_found_version(const struct erase_found *found)
{
    return found->version;
}

void erase_found_ask(struct erase_found *found,
                     bool (*visit)(void *argument, const struct erase_issue *issue), void *argument)
{
    for (struct found_issue *issue = found->issues; issue != NULL; issue = issue->hh.next) {
        if (issue->said.what == ERASE_NOTHING || issue->said.is_asked)
            continue;
        if (!visit(argument, &issue->said))
            return;
        issue->said.is_asked = true;
    }
}

/* ---- rows ---- */

static int compare_numbers(const void *left, const void *right)
{
    int64_t a = (*(struct found_issue *const *)left)->said.number;
    int64_t b = (*(struct found_issue *const *)right)->said.number;
    return (a > b) - (a < b);
}

static int compare_created(const void *left, const void *right)
{
    int64_t a = (*(struct found_issue *const *)left)->created_ms;
    int64_t b = (*(struct found_issue *const *)right)->created_ms;
    return (a > b) - (a < b);
}

static void found_sort(struct erase_found *found)
{
    size_t count = HASH_COUNT(found->issues);
    if (found->sorted_version == found->version)
        return;
    mem_free(found->by_number);
    mem_free(found->by_created);
    found->by_number = mem_alloc_array(count + 1, sizeof(struct found_issue *));
    found->by_created = mem_alloc_array(count + 1, sizeof(struct found_issue *));
    found->sorted_count = 0;
    for (struct found_issue *issue = found->issues; issue != NULL; issue = issue->hh.next)
        if (issue->said.what != ERASE_NAMES)
            found->by_number[found->sorted_count++] = issue;
    memcpy(found->by_created, found->by_number, found->sorted_count * sizeof(struct found_issue *));
    qsort(found->by_number, found->sorted_count, sizeof(struct found_issue *), compare_numbers);
    qsort(found->by_created, found->sorted_count, sizeof(struct found_issue *), compare_created);
    found->sorted_version = found->version;
}

/* The first of a sorted list that is not before `like`. */
static size_t list_begin(struct found_issue *const *list, size_t count,
                         const struct found_issue *like,
                         int (*compare)(const void *left, const void *right))
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&list[middle], &like) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What a row says of its issue. */
struct row_says {
    const char *repository; /* NULL: nothing */
    int64_t number;         /* 0: nothing */
    int64_t created_ms;     /* -1: nothing */
};

/* Both have one number, or were made in one second. */
static bool row_is_of(const struct erase_found *found, const struct row_says *row,
                      const struct found_issue *issue)
{
    bool has_name = row->repository != NULL &&
                    name_find(found, issue->said.repository_id, row->repository) != NULL;
    bool has_time = row->created_ms >= 0 && issue->created_ms >= 0;
    if (has_time && row->created_ms != issue->created_ms)
        return false;
    /* Number and second of creation are enough; a name may be an old one that nobody remembers. */
    return has_name || (has_time && row->number != 0);
}

static bool row_is_of_target(const struct erase_found *found, const struct row_says *row)
{
    const struct erase_target *target = found->target;
    if (target->login != NULL || row->repository == NULL ||
        (target->number != 0 && target->number != row->number))
        return false;
    if (strcasecmp(row->repository, target->repository) == 0)
        return true;
    for (size_t i = 0; i < target->id_count; i++)
        if (name_find(found, target->ids[i], row->repository) != NULL)
            return true;
    return false;
}

bool erase_found_has_row(struct erase_found *found, const char *repository, int64_t number,
                         int64_t created_ms)
{
    const struct row_says row = {
        .repository = repository, .number = number, .created_ms = created_ms};
    const struct found_issue like = {.said = {.number = number}, .created_ms = created_ms};
    found_sort(found);
    if (row_is_of_target(found, &row))
        return true;
    bool by_number = number != 0;
    if (!by_number && created_ms < 0)
        return false;
    struct found_issue **list = by_number ? found->by_number : found->by_created;
    int (*compare)(const void *left, const void *right) =
        by_number ? compare_numbers : compare_created;
    const struct found_issue *wanted = &like;
    for (size_t i = list_begin(list, found->sorted_count, &like, compare);
         i < found->sorted_count && compare(&list[i], &wanted) == 0; i++)
        if (row_is_of(found, &row, list[i]))
            return true;
    return false;
}
