/*
 * What nodag did before: see history.h. The round of history_next follows the hash's insertion
 * order; an entry that goes away while the cursor stands on it moves the cursor on.
 */
#include "reactors/labeler/history.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "topics/subject.h"

/* A repository's name, shared by its issues. */
struct history_name {
    size_t users;      /* entries that borrow it */
    UT_hash_handle hh; /* by text */
    char text[];       /* NUL-terminated */
};

/* One issue. */
struct history_issue {
    struct history_entry entry; /* entry.repository is borrowed from name */
    struct history_name *name;  /* shared */
    UT_hash_handle hh;          /* by key */
    char key[];                 /* NUL-terminated */
};

struct history {
    struct history_issue *issues; /* hash */
    struct history_name *names;   /* hash */
    struct history_issue *cursor; /* next of the round; NULL: start again */
};

struct history *history_new(void)
{
    return MEM_NEW(struct history);
}

static struct history_name *history_share_name(struct history *history, const char *text)
{
    struct history_name *name = NULL;
    HASH_FIND_STR(history->names, text, name);
    if (name == NULL) {
        size_t text_bytes = strlen(text);
        name = mem_alloc(sizeof(*name) + text_bytes + 1);
        memcpy(name->text, text, text_bytes);
        HASH_ADD_KEYPTR(hh, history->names, name->text, text_bytes, name);
    }
    name->users++;
    return name;
}

static void history_release_name(struct history *history, struct history_name *name)
{
    if (--name->users > 0)
        return;
    HASH_DEL(history->names, name);
    mem_free(name);
}

static void history_drop(struct history *history, struct history_issue *issue)
{
    if (history->cursor == issue)
        history->cursor = issue->hh.next;
    HASH_DEL(history->issues, issue);
    history_release_name(history, issue->name);
    mem_free(issue);
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    struct history_issue *issue = NULL;
    struct history_issue *rest = NULL;
    HASH_ITER(hh, history->issues, issue, rest)
    history_drop(history, issue);
    mem_free(history);
}

static struct history_issue *history_find_or_add(struct history *history, const char *key,
                                                 size_t key_bytes)
{
    struct history_issue *issue = NULL;
    HASH_FIND(hh, history->issues, key, key_bytes, issue);
    if (issue != NULL)
        return issue;
    issue = mem_alloc(sizeof(*issue) + key_bytes + 1);
    memcpy(issue->key, key, key_bytes);
    issue->name = history_share_name(history, "");
    issue->entry.repository = issue->name->text;
    HASH_ADD_KEYPTR(hh, history->issues, issue->key, key_bytes, issue);
    return issue;
}

uint64_t history_hash_model(const char *version)
{
    uint8_t digest[DIGEST_BYTES];
    uint64_t hash = 0;
    digest_sha256(version, strlen(version), digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

void history_apply(struct history *history, const struct bus_record *record)
{
    if (record->key == NULL || record->key_bytes == 0 || record->key_bytes >= SUBJECT_KEY_BYTES)
        return;
    struct history_issue *issue = NULL;
    if (record->value == NULL) {
        HASH_FIND(hh, history->issues, record->key, record->key_bytes, issue);
        if (issue != NULL)
            history_drop(history, issue);
        return;
    }
    CLEANUP(json_release) json_t *value = NULL;
    if (json_read(record->value, record->value_bytes, &value, NULL) != 0)
        return;
    issue = history_find_or_add(history, record->key, record->key_bytes);
    struct history_name *name = history_share_name(history, json_text_or(value, "repository", ""));
    history_release_name(history, issue->name);
    issue->name = name;
    issue->entry.repository = name->text;
    issue->entry.partition = record->partition;
    issue->entry.comment_id = json_int_or(value, "comment_id", 0);
    issue->entry.model_hash = history_hash_model(json_text_or(value, "model", ""));
}

void history_forget(struct history *history, int32_t partition)
{
    struct history_issue *issue = NULL;
    struct history_issue *rest = NULL;
    HASH_ITER(hh, history->issues, issue, rest)
    {
        if (issue->entry.partition == partition)
            history_drop(history, issue);
    }
}

const struct history_entry *history_find(const struct history *history, const char *key)
{
    struct history_issue *issue = NULL;
    HASH_FIND_STR(history->issues, key, issue);
    return issue != NULL ? &issue->entry : NULL;
}

bool history_next(struct history *history, char *ret_key, const struct history_entry **ret_entry)
{
    struct history_issue *issue = history->cursor != NULL ? history->cursor : history->issues;
    if (issue == NULL)
        return false;
    history->cursor = issue->hh.next;
    (void)snprintf(ret_key, SUBJECT_KEY_BYTES, "%s", issue->key);
    *ret_entry = &issue->entry;
    return true;
}

size_t history_count(const struct history *history)
{
    return HASH_COUNT(history->issues);
}
