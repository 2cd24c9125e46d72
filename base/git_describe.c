/*
 * What happened between two states of a head: see git_describe.h.
 *
 *      old ──?──▶ new      commit each (a tag is followed to its commit); one that leads to none is
 *      compared by name only
 *
 * Source: the libgit2 1.5 reference (revwalk, graph, diff).
 */
#include "base/git_describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/git_mirror_private.h"
#include "base/memory.h"
#include "base/utf8.h"

void git_move_release(struct git_move *move)
{
    for (size_t i = 0; i < move->path_count; i++)
        free(move->paths[i]);
    free(move->paths);
    free(move->commits);
    *move = (struct git_move){.paths = NULL};
}

/* ---- commits ---- */

static void copy_text(const char *text, char ret_text[GIT_MOVE_TEXT_BYTES])
{
    (void)snprintf(ret_text, GIT_MOVE_TEXT_BYTES, "%s", text != NULL ? text : "");
    utf8_clean(ret_text);
}

static void add_commit(struct git_move *move, git_commit *commit)
{
    struct git_move_commit *item = &move->commits[move->commit_count++];
    const git_signature *author = git_commit_author(commit);
    (void)git_oid_tostr(item->id, sizeof(item->id), git_commit_id(commit));
    copy_text(author != NULL ? author->name : NULL, item->author);
    copy_text(git_commit_summary(commit), item->subject);
    item->time_ms = (int64_t)git_commit_time(commit) * 1000;
}

/* Lists what is reachable from `new` and not from `old`. */
static int list_commits(struct git_mirror *mirror, const git_oid *old, const git_oid *new,
                        struct git_move *move, struct error *error)
{
    CLEANUP(git_revwalk_free) git_revwalk *walk = NULL;
    int result = git_revwalk_new(&walk, mirror->repository);
    if (result == 0)
        result = git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
    if (result == 0)
        result = git_revwalk_push(walk, new);
    if (result == 0)
        result = git_revwalk_hide(walk, old);
    git_oid id;
    while (result == 0) {
        CLEANUP(git_commit_free) git_commit *commit = NULL;
        result = git_revwalk_next(&id, walk);
        if (result == 0 && move->commit_count == GIT_MOVE_COMMITS_MAX) {
            move->commits_truncated = true;
            return 0;
        }
        if (result == 0)
            result = git_commit_lookup(&commit, mirror->repository, &id);
        if (result == 0)
            add_commit(move, commit);
    }
    return result == GIT_ITEROVER ? 0 : git_mirror_fail(GIT_ERROR, "history", error);
}

/* ---- paths ---- */

/* Paths being collected. */
struct path_list {
    struct git_move *move;
    size_t bytes; /* of the paths so far */
};

/* Called by libgit2 for each difference as it is found; below 0 ends the comparison. */
static int on_difference(const git_diff *diff, const git_diff_delta *delta, const char *matched,
                         void *argument)
{
    (void)diff;
    (void)matched;
    struct path_list *list = argument;
    struct git_move *move = list->move;
    const char *path = delta->new_file.path != NULL ? delta->new_file.path : delta->old_file.path;
    size_t bytes = strlen(path);
    if (move->path_count == GIT_MOVE_PATHS_MAX || list->bytes + bytes > GIT_MOVE_PATHS_MAX_BYTES) {
        move->paths_truncated = true;
        return GIT_EUSER;
    }
    list->bytes += bytes;
    char *copy = mem_copy_text(path);
    utf8_clean(copy);
    move->paths[move->path_count++] = copy;
    return 1; /* noted here; libgit2 need not keep it */
}

static int list_paths(struct git_mirror *mirror, git_commit *old, git_commit *new,
                      struct git_move *move, struct error *error)
{
    CLEANUP(git_tree_free) git_tree *old_tree = NULL;
    CLEANUP(git_tree_free) git_tree *new_tree = NULL;
    CLEANUP(git_diff_free) git_diff *diff = NULL;
    struct path_list list = {.move = move};
    git_diff_options options;
    (void)git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
    options.flags = GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SKIP_BINARY_CHECK;
    options.notify_cb = on_difference;
    options.payload = &list;
    int result = git_commit_tree(&old_tree, old);
    if (result == 0)
        result = git_commit_tree(&new_tree, new);
    if (result == 0)
        result = git_diff_tree_to_tree(&diff, mirror->repository, old_tree, new_tree, &options);
    if (result == 0 || move->paths_truncated)
        return 0;
    return git_mirror_fail(GIT_ERROR, "changed paths", error);
}

/* ---- the move ---- */

/* A state that leads to no commit is fine: then there is nothing to compare. */
static int find_commit(struct git_mirror *mirror, const char *id_text, git_commit **ret_commit,
                       struct error *error)
{
    git_oid id;
    int code = git_mirror_read_id(id_text, &id, error);
    if (code == 0)
        code = git_mirror_commit(mirror, &id, ret_commit, error);
    return code == ERR_INPUT ? 0 : code;
}

/* Tells of the tip only. */
static void describe_tip(git_commit *tip, struct git_move *move)
{
    if (tip == NULL)
        return;
    add_commit(move, tip);
    move->commits_truncated = git_commit_parentcount(tip) > 0;
    move->paths_truncated = true;
}

static int describe_between(struct git_mirror *mirror, git_commit *old, git_commit *new,
                            struct git_move *move, struct error *error)
{
    const git_oid *old_id = git_commit_id(old);
    const git_oid *new_id = git_commit_id(new);
    if (git_oid_equal(old_id, new_id))
        return 0; /* another tag of the same commit */
    int descends = git_graph_descendant_of(mirror->repository, new_id, old_id);
    if (descends < 0)
        return git_mirror_fail(GIT_ERROR, "history", error);
    move->forced = descends == 0;
    int code = list_commits(mirror, old_id, new_id, move, error);
    return code == 0 ? list_paths(mirror, old, new, move, error) : code;
}

static int describe(struct git_mirror *mirror, const char *old_id, git_commit *new,
                    struct git_move *move, struct error *error)
{
    CLEANUP(git_commit_free) git_commit *old = NULL;
    if (old_id[0] == '\0') {
        describe_tip(new, move);
        return 0;
    }
    int code = find_commit(mirror, old_id, &old, NULL);
    if (code == ERR_NOT_FOUND || (code == 0 && (old == NULL || new == NULL))) {
        /* Not in the whole history of the new state, or not comparable with it. */
        move->forced = true;
        describe_tip(new, move);
        return 0;
    }
    return code == 0 ? describe_between(mirror, old, new, move, error)
                     : error_set(error, code, "the old state %s cannot be read", old_id);
}

int git_describe_move(struct git_mirror *mirror, const char *ref, const char *old_id,
                      struct git_move *ret_move, struct error *error)
{
    CLEANUP(git_commit_free) git_commit *new = NULL;
    CLEANUP(git_move_release) struct git_move move = {.paths = NULL};
    int code = git_mirror_head(mirror, ref, move.new_id, error);
    if (code != 0)
        return code;
    code = find_commit(mirror, move.new_id, &new, error);
    if (code != 0)
        return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
    move.commits = mem_alloc_array(GIT_MOVE_COMMITS_MAX, sizeof(*move.commits));
    move.paths = mem_alloc_array(GIT_MOVE_PATHS_MAX, sizeof(*move.paths));
    move.has_time = new != NULL;
    move.time_ms = new != NULL ? (int64_t)git_commit_time(new) * 1000 : 0;
    code = describe(mirror, old_id, new, &move, error);
    if (code != 0)
        return code;
    *ret_move = move;
    move = (struct git_move){.paths = NULL};
    return 0;
}
