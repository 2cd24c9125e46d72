/*
 * How often people changed labels: see labels.h.
 */
#include "reactors/trainer/labels.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/memory.h"
#include "reactors/trainer/wish.h"
#include "topics/issue_record.h"

/* A name, of a label or a repository. They are few and stay. */
struct name {
    uint32_t number;   /* index in names.list */
    UT_hash_handle hh; /* by text */
    char text[];       /* NUL-terminated */
};

/* Names by number. */
struct names {
    struct name *hash;  /* by text */
    struct name **list; /* owned array; by number */
    size_t count;       /* of them */
    size_t capacity;    /* of list */
};

/* One change by a person. */
struct change {
    uint32_t label;  /* name */
    uint32_t time_s; /* since 1970 */
};

/* One issue with changes. */
struct issue {
    uint64_t key;           /* hash of the topic's key */
    uint32_t repository;    /* name */
    uint32_t change_count;  /* 1..LABELS_CHANGES_MAX */
    struct change *changes; /* owned */
    UT_hash_handle hh;      /* by key */
};

struct labels {
    struct issue *issues;      /* hash */
    struct names repositories; /* … */
    struct names names;        /* of labels */
    size_t left_out;           /* see labels_left_out */
};

struct labels *labels_new(void)
{
    return MEM_NEW(struct labels);
}

/* ---- names ---- */

/* Finds a name or adds it; false beyond the limit. */
static bool names_put(struct names *names, const char *text, uint32_t *ret_number)
{
    struct name *name = NULL;
    HASH_FIND_STR(names->hash, text, name);
    if (name == NULL) {
        size_t bytes = strlen(text);
        if (names->count == LABELS_NAMES_MAX)
            return false;
        if (names->count == names->capacity) {
            names->capacity = names->capacity == 0 ? 64 : names->capacity * 2;
            names->list = mem_resize_array(names->list, names->capacity, sizeof(*names->list));
        }
        name = mem_alloc(sizeof(*name) + bytes + 1);
        memcpy(name->text, text, bytes);
        name->number = (uint32_t)names->count;
        names->list[names->count++] = name;
        HASH_ADD_KEYPTR(hh, names->hash, name->text, bytes, name);
    }
    *ret_number = name->number;
    return true;
}

static void names_release(struct names *names)
{
    HASH_CLEAR(hh, names->hash);
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->list[i]);
    mem_free(names->list);
}

/* Which names the globs match: a truth for each; owned. */
static bool *names_match(const struct names *names, const json_t *globs)
{
    bool *matches = mem_alloc_array(names->count, sizeof(bool));
    for (size_t i = 0; i < names->count; i++)
        matches[i] = wish_matches(globs, names->list[i]->text);
    return matches;
}

/* ---- issues ---- */

static void issue_drop(struct labels *labels, struct issue *issue)
{
    HASH_DEL(labels->issues, issue);
    mem_free(issue->changes);
    mem_free(issue);
}

void labels_free(struct labels *labels)
{
    struct issue *issue = NULL;
    struct issue *rest = NULL;
    if (labels == NULL)
        return;
    HASH_ITER(hh, labels->issues, issue, rest)
    issue_drop(labels, issue);
    names_release(&labels->repositories);
    names_release(&labels->names);
    mem_free(labels);
}

/* Puts a change in the place of the oldest where there is no room. */
static void put_change(struct labels *labels, struct change *changes, size_t *count,
                       struct change change)
{
    if (*count < LABELS_CHANGES_MAX) {
        changes[(*count)++] = change;
        return;
    }
    labels->left_out++;
    size_t oldest = 0;
    for (size_t i = 1; i < *count; i++)
        if (changes[i].time_s < changes[oldest].time_s)
            oldest = i;
    if (changes[oldest].time_s < change.time_s)
        changes[oldest] = change;
}

static void take_action(struct labels *labels, const struct issue_action *action, const char *label,
                        struct change *changes, size_t *count)
{
    struct change change = {0};
    if (action->stamp.time_ms < 0 || action->by != ISSUE_PERSON)
        return;
    change.time_s = (uint32_t)(action->stamp.time_ms / 1000);
    if (names_put(&labels->names, label, &change.label))
        put_change(labels, changes, count, change);
    else
        labels->left_out++;
}

/* Replaces what is known of an issue. */
static void put_issue(struct labels *labels, uint64_t key, const struct issue_record *record)
{
    struct change changes[LABELS_CHANGES_MAX];
    size_t count = 0;
    uint32_t repository = 0;
    struct issue *issue = NULL;
    for (size_t i = 0; i < record->label_count; i++) {
        const struct issue_label *label = &record->labels[i];
        take_action(labels, &label->added, label->name, changes, &count);
        take_action(labels, &label->removed, label->name, changes, &count);
    }
    HASH_FIND(hh, labels->issues, &key, sizeof(key), issue);
    if (issue != NULL)
        issue_drop(labels, issue);
    if (count == 0)
        return;
    if (HASH_COUNT(labels->issues) >= LABELS_ISSUES_MAX ||
        !names_put(&labels->repositories, record->repository, &repository)) {
        labels->left_out++;
        return;
    }
    issue = MEM_NEW(struct issue);
    issue->key = key;
    issue->repository = repository;
    issue->change_count = (uint32_t)count;
    issue->changes = mem_alloc_array(count, sizeof(*changes));
    memcpy(issue->changes, changes, count * sizeof(*changes));
    HASH_ADD(hh, labels->issues, key, sizeof(key), issue);
}

void labels_apply(struct labels *labels, const struct bus_record *message)
{
    CLEANUP(issue_record_free) struct issue_record *record = NULL;
    struct issue *issue = NULL;
    if (message->key == NULL)
        return;
    uint64_t key = issue_hash_id(message->key, message->key_bytes);
    if (message->value != NULL) {
        if (issue_record_decode(message->key, message->key_bytes, message->value,
                                message->value_bytes, &record, NULL) == 0)
            put_issue(labels, key, record);
        return;
    }
    HASH_FIND(hh, labels->issues, &key, sizeof(key), issue);
    if (issue != NULL)
        issue_drop(labels, issue);
}

uint64_t labels_count(const struct labels *labels, const json_t *repositories,
                      const json_t *label_globs, int64_t since_ms)
{
    CLEANUP(mem_free) bool *wanted = names_match(&labels->repositories, repositories);
    CLEANUP(mem_free) bool *learnt = names_match(&labels->names, label_globs);
    uint64_t count = 0;
    for (const struct issue *issue = labels->issues; issue != NULL; issue = issue->hh.next)
        for (size_t i = 0; wanted[issue->repository] && i < issue->change_count; i++)
            count += learnt[issue->changes[i].label] &&
                     (int64_t)issue->changes[i].time_s * 1000 > since_ms;
    return count;
}

size_t labels_left_out(const struct labels *labels)
{
    return labels->left_out;
}
