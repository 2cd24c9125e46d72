/*
 * What moved in code repositories: see pushes.h.
 */
#include "reactors/trainer/pushes.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/memory.h"
#include "reactors/trainer/wish.h"
#include "topics/git_push.h"

/* One move of a head. */
struct move {
    char *old_id;      /* owned; NULL: created */
    char *new_id;      /* owned; NULL: deleted */
    char **paths;      /* owned */
    size_t path_count; /* of them */
    bool is_cut;       /* there are more paths */
    struct move *next; /* older */
};

/* One branch of one repository. */
struct head {
    struct move *moves; /* owned list, newest first; never empty */
    size_t move_count;  /* of it */
    size_t path_count;  /* of all moves */
    UT_hash_handle hh;  /* by key */
    char key[];         /* as in the topic */
};

struct pushes {
    struct head *heads; /* hash */
};

struct pushes *pushes_new(void)
{
    return MEM_NEW(struct pushes);
}

static void move_free(struct move *move)
{
    mem_free(move->old_id);
    mem_free(move->new_id);
    for (size_t i = 0; i < move->path_count; i++)
        mem_free(move->paths[i]);
    mem_free(move->paths);
    mem_free(move);
}

static void head_free(struct pushes *pushes, struct head *head)
{
    while (head->moves != NULL) {
        struct move *move = head->moves;
        LL_DELETE(head->moves, move);
        move_free(move);
    }
    HASH_DEL(pushes->heads, head);
    mem_free(head);
}

void pushes_free(struct pushes *pushes)
{
    struct head *head = NULL;
    struct head *rest = NULL;
    if (pushes == NULL)
        return;
    HASH_ITER(hh, pushes->heads, head, rest)
    head_free(pushes, head);
    mem_free(pushes);
}

static struct head *head_find(const struct pushes *pushes, const char *key, size_t key_bytes)
{
    struct head *head = NULL;
    HASH_FIND(hh, pushes->heads, key, key_bytes, head);
    return head;
}

/* Finds a head by its branch's short name. */
static struct head *head_of(const struct pushes *pushes, const char *repository, const char *branch)
{
    char key[SUBJECT_KEY_BYTES];
    CLEANUP(mem_free) char *ref = mem_format("refs/heads/%s", branch);
    if (git_push_key(repository, ref, key) != 0)
        return NULL;
    return head_find(pushes, key, strlen(key));
}

static struct head *head_open(struct pushes *pushes, const char *key, size_t key_bytes)
{
    struct head *head = head_find(pushes, key, key_bytes);
    if (head != NULL || HASH_COUNT(pushes->heads) >= PUSHES_HEADS_MAX)
        return head;
    head = mem_alloc(sizeof(*head) + key_bytes + 1);
    memcpy(head->key, key, key_bytes);
    HASH_ADD_KEYPTR(hh, pushes->heads, head->key, key_bytes, head);
    return head;
}

static struct move *move_new(const struct git_push *push)
{
    struct move *move = MEM_NEW(struct move);
    move->old_id = mem_copy_text(push->old_id);
    move->new_id = mem_copy_text(push->new_id);
    move->is_cut = push->paths_truncated;
    move->path_count = push->path_count;
    move->paths = mem_alloc_array(push->path_count, sizeof(*move->paths));
    for (size_t i = 0; i < push->path_count; i++)
        move->paths[i] = mem_copy_text(push->paths[i]);
    return move;
}

/* Forgets the oldest moves over the limits; the newest stays. */
static void head_trim(struct head *head)
{
    while (head->move_count > 1 &&
           (head->move_count > PUSHES_MOVES_MAX || head->path_count > PUSHES_PATHS_MAX)) {
        struct move *last = head->moves;
        while (last->next != NULL)
            last = last->next;
        head->move_count--;
        head->path_count -= last->path_count;
        LL_DELETE(head->moves, last);
        move_free(last);
    }
}

bool pushes_apply(struct pushes *pushes, const struct bus_record *record)
{
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    struct text repository;
    struct text ref;
    if (record->key == NULL ||
        git_push_key_parse(record->key, record->key_bytes, &repository, &ref) != 0)
        return false;
    struct head *head = head_find(pushes, record->key, record->key_bytes);
    if (record->value == NULL) {
        if (head != NULL)
            head_free(pushes, head);
        return head != NULL;
    }
    if (git_push_read(record->value, record->value_bytes, &push, NULL) != 0)
        return false;
    head = head_open(pushes, record->key, record->key_bytes);
    if (head == NULL)
        return false;
    struct move *move = move_new(&push);
    LL_PREPEND(head->moves, move);
    head->move_count++;
    head->path_count += move->path_count;
    head_trim(head);
    return true;
}

const char *pushes_head(const struct pushes *pushes, const char *repository, const char *branch)
{
    const struct head *head = head_of(pushes, repository, branch);
    return head != NULL ? head->moves->new_id : NULL;
}

static bool move_touches(const struct move *move, const json_t *globs)
{
    if (move->is_cut)
        return true;
    for (size_t i = 0; i < move->path_count; i++)
        if (wish_matches(globs, move->paths[i]))
            return true;
    return false;
}

bool pushes_differ(const struct pushes *pushes, const char *repository, const char *branch,
                   const char *commit, const json_t *globs)
{
    const struct head *head = head_of(pushes, repository, branch);
    const char *at = head != NULL ? head->moves->new_id : NULL;
    for (const struct move *move = head != NULL ? head->moves : NULL; move != NULL;
         move = move->next) {
        if (at == NULL || move->new_id == NULL || strcmp(move->new_id, at) != 0)
            return true; /* a move between is missing */
        if (strcmp(at, commit) == 0)
            return false;
        if (move_touches(move, globs))
            return true;
        at = move->old_id;
    }
    return at == NULL || strcmp(at, commit) != 0;
}
