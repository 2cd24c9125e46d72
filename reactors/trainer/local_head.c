/*
 * The head of a folder's repository: see local_head.h.
 */
#include "reactors/trainer/local_head.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/memory.h"
#include "reactors/trainer/wish.h"

/* Longest time that git may take here, in milliseconds: it reads a repository of this machine. */
#define GIT_DEADLINE_MS 20000

/* Most bytes that git may print: names of files that differ. */
#define GIT_OUTPUT_MAX_BYTES ((size_t)16 << 20)

/* Most commits that are compared with the head: one for each model. */
#define COMPARED_MAX 1000

/* A commit that is compared with the head. */
struct compared {
    struct local_head *local; /* borrowed */
    struct child *child;      /* under way, or NULL */
    char *head;               /* owned; that `paths` belong to; NULL: not known yet */
    char *paths;              /* owned; lines; NULL: git could not tell */
    UT_hash_handle hh;        /* by commit */
    char commit[];            /* NUL-terminated */
};

struct local_head {
    struct loop *loop;         /* borrowed */
    struct children *children; /* borrowed */
    char *folder;              /* owned */
    loop_fn changed;           /* … */
    void *argument;            /* … */
    struct loop_timer *timer;  /* owned */
    struct child *child;       /* under way, or NULL */
    char *root;                /* owned, or NULL */
    char *commit;              /* owned, or NULL */
    char *fault;               /* owned, or NULL */
    struct compared *compared; /* hash */
};

/* Runs `git -C FOLDER …`. */
static struct child *run_git(struct local_head *local, const char *const *words, child_done_fn done,
                             void *argument)
{
    static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                      "LC_ALL=C",
                                      "GIT_CONFIG_NOSYSTEM=1",
                                      "GIT_CONFIG_GLOBAL=/dev/null",
                                      "GIT_OPTIONAL_LOCKS=0",
                                      "GIT_CONFIG_COUNT=1",
                                      "GIT_CONFIG_KEY_0=safe.directory",
                                      "GIT_CONFIG_VALUE_0=*",
                                      NULL};
    const char *argv[CHILD_WORDS_MAX] = {"git", "-c", "core.fsmonitor=false", "-C", local->folder};
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i + 5] = words[i];
    const struct child_spec spec = {.argv = argv,
                                    .env = env,
                                    .folder = "/",
                                    .deadline_ms = GIT_DEADLINE_MS,
                                    .output_max_bytes = GIT_OUTPUT_MAX_BYTES,
                                    .errors_max_bytes = 1024};
    return child_start(local->children, &spec, done, argument);
}

static bool set_text(char **text, const char *value)
{
    bool differs = (*text == NULL) != (value == NULL) ||
                   (*text != NULL && value != NULL && strcmp(*text, value) != 0);
    char *copy = mem_copy_text(value);
    mem_free(*text);
    *text = copy;
    return differs;
}

static void on_head(void *argument, const struct child_result *result)
{
    struct local_head *local = argument;
    bool changed = false;
    local->child = NULL;
    loop_timer_set(local->timer, LOCAL_HEAD_LOOK_MS);
    if (result->code == 0 && result->exit_status == 0) {
        CLEANUP(mem_free) char *root = mem_copy_text(result->output);
        char *commit = strchr(root, '\n');
        if (commit != NULL)
            *commit++ = '\0';
        if (commit != NULL)
            commit[strcspn(commit, "\n")] = '\0';
        changed = set_text(&local->root, root);
        changed |= set_text(&local->commit, commit);
        changed |= set_text(&local->fault, NULL);
    } else {
        CLEANUP(mem_free)
        char *fault = mem_format("%s is in no git repository with a commit: %.200s", local->folder,
                                 result->errors);
        fault[strcspn(fault, "\n")] = '\0';
        changed = set_text(&local->fault, fault);
    }
    if (changed)
        local->changed(local->argument);
}

static void look(void *argument)
{
    struct local_head *local = argument;
    static const char *const words[] = {"rev-parse", "--show-toplevel", "HEAD", NULL};
    local->child = run_git(local, words, on_head, local);
}

struct local_head *local_head_new(struct loop *loop, struct children *children, const char *folder,
                                  loop_fn changed, void *argument)
{
    struct local_head *local = MEM_NEW(struct local_head);
    local->loop = loop;
    local->children = children;
    local->changed = changed;
    local->argument = argument;
    /* --specs may name one file: its folder counts */
    char *real = realpath(folder, NULL);
    local->folder = real != NULL ? real : mem_copy_text(folder);
    const char *dot = strrchr(local->folder, '.');
    char *slash = strrchr(local->folder, '/');
    if (slash != NULL && slash != local->folder && dot != NULL && dot > slash &&
        (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
        *slash = '\0';
    local->timer = loop_timer_new(loop, look, local);
    loop_timer_set(local->timer, 0);
    return local;
}

void local_head_free(struct local_head *local)
{
    struct compared *compared = NULL;
    struct compared *rest = NULL;
    if (local == NULL)
        return;
    if (local->child != NULL)
        child_abandon(local->children, local->child);
    HASH_ITER(hh, local->compared, compared, rest)
    {
        if (compared->child != NULL)
            child_abandon(local->children, compared->child);
        HASH_DEL(local->compared, compared);
        mem_free(compared->head);
        mem_free(compared->paths);
        mem_free(compared);
    }
    loop_timer_free(local->timer);
    mem_free(local->folder);
    mem_free(local->root);
    mem_free(local->commit);
    mem_free(local->fault);
    mem_free(local);
}

const char *local_head_root(const struct local_head *local)
{
    return local->root;
}

const char *local_head_commit(const struct local_head *local)
{
    return local->commit;
}

const char *local_head_fault(const struct local_head *local)
{
    return local->fault;
}

static void on_compared(void *argument, const struct child_result *result)
{
    struct compared *compared = argument;
    compared->child = NULL;
    mem_free(compared->paths);
    compared->paths = result->code == 0 && result->exit_status == 0
                          ? mem_copy_bytes(result->output, result->output_bytes)
                          : NULL;
    compared->local->changed(compared->local->argument);
}

/* Asks git which paths differ between a commit and the head. */
static void compare(struct local_head *local, struct compared *compared)
{
    const char *words[] = {"diff",           "--name-only", "--no-renames", "--no-ext-diff",
                           compared->commit, local->commit, "--",           NULL};
    (void)set_text(&compared->head, local->commit);
    compared->child = run_git(local, words, on_compared, compared);
}

/* Returns true if a line of `paths` is matched; quoted names (git's escapes) are compared as they stand. */
static bool any_matches(const char *paths, const json_t *globs)
{
    while (*paths != '\0') {
        size_t bytes = strcspn(paths, "\n");
        CLEANUP(mem_free) char *path = mem_copy_bytes(paths, bytes);
        if (wish_matches(globs, path))
            return true;
        paths += bytes + (paths[bytes] == '\n' ? 1 : 0);
    }
    return false;
}

bool local_head_differs(struct local_head *local, const char *commit, const json_t *globs,
                        bool *ret_differs)
{
    struct compared *compared = NULL;
    if (local->commit == NULL)
        return false;
    if (strcmp(commit, local->commit) == 0) {
        *ret_differs = false;
        return true;
    }
    HASH_FIND_STR(local->compared, commit, compared);
    /* What is no hash never reaches git's command line. */
    if (compared == NULL &&
        (commit[0] == '\0' || commit[strspn(commit, "0123456789abcdef")] != '\0' ||
         HASH_COUNT(local->compared) >= COMPARED_MAX)) {
        *ret_differs = true;
        return true;
    }
    if (compared == NULL) {
        size_t bytes = strlen(commit);
        compared = mem_alloc(sizeof(*compared) + bytes + 1);
        compared->local = local;
        memcpy(compared->commit, commit, bytes);
        HASH_ADD_KEYPTR(hh, local->compared, compared->commit, bytes, compared);
    }
    if (compared->child != NULL)
        return false;
    if (compared->head == NULL || strcmp(compared->head, local->commit) != 0) {
        compare(local, compared);
        return false;
    }
    *ret_differs = compared->paths == NULL || any_matches(compared->paths, globs);
    return true;
}
