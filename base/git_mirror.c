/*
 * Bare mirrors: see git_mirror.h.
 *
 * Source: the libgit2 1.5 reference.
 */
#include "base/git_mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/git_command.h"
#include "base/git_mirror_private.h"
#include "base/memory.h"

/* How much of a digest names a folder, and how much of the URL stands before it for people. */
#define FOLDER_DIGEST_CHARACTERS 16
/* See above. */
#define FOLDER_NAME_CHARACTERS 60

/* Descriptors that a walk over folders may hold open. */
#define WALK_DESCRIPTORS 16

/* ---- libgit2 ---- */

int git_mirror_fail(int result, const char *what, struct error *error)
{
    const git_error *last = git_error_last();
    return error_set(error, result == GIT_ENOTFOUND ? ERR_NOT_FOUND : ERR_CORRUPT, "%s: %s", what,
                     last != NULL ? last->message : "libgit2 says nothing");
}

/* Once: nothing of the machine's or the user's configuration is read; the mirrors are ours whoever owns the files. */
static void library_begin(void)
{
    static const int levels[] = {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
                                 GIT_CONFIG_LEVEL_GLOBAL, GIT_CONFIG_LEVEL_PROGRAMDATA};
    (void)git_libgit2_init();
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++)
        (void)git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
    (void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    (void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
}

int git_mirror_open(const char *folder, struct git_mirror **ret_mirror, struct error *error)
{
    library_begin();
    CLEANUP(git_mirror_free) struct git_mirror *mirror = MEM_NEW(struct git_mirror);
    int result = git_repository_open_bare(&mirror->repository, folder);
    if (result == 0)
        result = git_repository_odb(&mirror->odb, mirror->repository);
    if (result != 0)
        return git_mirror_fail(result, folder, error);
    *ret_mirror = TAKE(mirror);
    return 0;
}

void git_mirror_free(struct git_mirror *mirror)
{
    if (mirror == NULL)
        return;
    git_odb_free(mirror->odb);
    git_repository_free(mirror->repository);
    (void)git_libgit2_shutdown();
    free(mirror);
}

int git_mirror_read_id(const char *text, git_oid *ret_id, struct error *error)
{
    if (!git_id_is_valid(text, strlen(text)))
        return error_set(error, ERR_INPUT, "no object's name");
    if (strlen(text) != GIT_OID_HEXSZ)
        return error_set(
            error, ERR_UNSUPPORTED,
            "the repository names objects by SHA-256, which this version does not read");
    return git_oid_fromstr(ret_id, text) == 0 ? 0 : ERR_INPUT;
}

int git_mirror_commit(struct git_mirror *mirror, const git_oid *id, git_commit **ret_commit,
                      struct error *error)
{
    CLEANUP(git_object_free) git_object *object = NULL;
    CLEANUP(git_object_free) git_object *peeled = NULL;
    int result = git_object_lookup(&object, mirror->repository, id, GIT_OBJECT_ANY);
    if (result != 0)
        return git_mirror_fail(result, "the object cannot be read", error);
    result = git_object_peel(&peeled, object, GIT_OBJECT_COMMIT);
    if (result == GIT_EPEEL || result == GIT_EINVALIDSPEC)
        return error_set(error, ERR_INPUT, "the object is no commit and leads to none");
    if (result != 0)
        return git_mirror_fail(result == GIT_ENOTFOUND ? GIT_ERROR : result,
                               "what the tag names cannot be read", error);
    *ret_commit = (git_commit *)TAKE(peeled);
    return 0;
}

/* ---- the folder ---- */

int git_state_lock(const char *state, int *ret_fd, struct error *error)
{
    if (mkdir(state, 0700) != 0 && errno != EEXIST)
        return error_set(error, errno == EACCES ? ERR_DENIED : ERR_IO,
                         "the state folder %s cannot be made: %s", state, strerror(errno));
    CLEANUP(mem_free) char *path = mem_format("%s/lock", state);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, errno == EACCES ? ERR_DENIED : ERR_IO, "%s cannot be opened: %s",
                         path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return error_set(error, ERR_CONFLICT,
                         "another process uses the state folder %s; give each its own", state);
    }
    *ret_fd = fd;
    return 0;
}

char *git_mirror_folder(const char *state, const struct git_url *url)
{
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    char name[FOLDER_NAME_CHARACTERS + 1];
    size_t count = 0;
    digest_sha256(url->text, strlen(url->text), digest);
    digest_to_text(digest, text);
    size_t path_bytes = strlen(url->path);
    const char *at = path_bytes > FOLDER_NAME_CHARACTERS
                         ? url->path + path_bytes - FOLDER_NAME_CHARACTERS
                         : url->path + 1;
    for (; *at != '\0' && count < FOLDER_NAME_CHARACTERS; at++)
        name[count++] =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9')
                ? *at
                : '-';
    name[count] = '\0';
    return mem_format("%s/%s-%.*s.git", state, name, FOLDER_DIGEST_CHARACTERS, text);
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_bytes = strlen(text);
    size_t end_bytes = strlen(end);
    return text_bytes >= end_bytes && strcmp(text + text_bytes - end_bytes, end) == 0;
}

/* Removes locks, parts of packs and of objects: whoever made them has been ended. */
static int remove_leftover(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    const char *name = path + walk->base;
    bool is_part = strncmp(name, "tmp_", 4) == 0 || strncmp(name, "incoming-", 9) == 0;
    if (kind == FTW_F && (is_part || ends_with(name, ".lock")))
        (void)unlink(path);
    return 0;
}

static int make_repository(const char *folder, struct error *error)
{
    git_repository_init_options options;
    (void)git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
    options.mode = 0700;
    options.initial_head = "nodag"; /* a branch that does not exist: nothing here follows HEAD */
    git_repository *repository = NULL;
    library_begin();
    int result = git_repository_init_ext(&repository, folder, &options);
    int code = result != 0 ? git_mirror_fail(result, folder, error) : 0;
    git_repository_free(repository);
    (void)git_libgit2_shutdown();
    return code;
}

int git_mirror_prepare(const char *folder, const char *config_text, struct error *error)
{
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    CLEANUP(mem_free) char *head = mem_format("%s/HEAD", folder);
    CLEANUP(mem_free) char *config = mem_format("%s/%s", folder, GIT_MIRROR_CONFIG);
    if (access(folder, F_OK) == 0)
        (void)nftw(folder, remove_leftover, WALK_DESCRIPTORS, FTW_PHYS);
    if (access(head, F_OK) != 0) {
        int code = make_repository(folder, error);
        if (code != 0)
            return code;
    }
    int code = git_mirror_open(folder, &mirror, error);
    if (code == 0)
        code = file_write_atomically(config, config_text, strlen(config_text), error);
    return code == ERR_NOT_FOUND ? ERR_CORRUPT : code;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

int git_mirror_discard(const char *folder, struct error *error)
{
    if (nftw(folder, remove_one, WALK_DESCRIPTORS, FTW_PHYS | FTW_DEPTH) == 0 || errno == ENOENT)
        return 0;
    return error_set(error, ERR_IO, "%s cannot be deleted: %s", folder, strerror(errno));
}

/* nftw has no argument for its function; this is one process' only walk. */
static int64_t walked_bytes;

static int add_bytes(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)path;
    (void)walk;
    if (kind == FTW_F)
        walked_bytes += status->st_size;
    return 0;
}

int64_t git_mirror_bytes(const char *folder)
{
    walked_bytes = 0;
    (void)nftw(folder, add_bytes, WALK_DESCRIPTORS, FTW_PHYS);
    return walked_bytes;
}

/* ---- heads ---- */

int git_mirror_head(struct git_mirror *mirror, const char *ref, char ret_id[GIT_ID_BYTES],
                    struct error *error)
{
    char name[GIT_MIRROR_REF_BYTES];
    git_oid id;
    git_mirror_ref(ref, name);
    int result = git_reference_name_to_id(&id, mirror->repository, name);
    if (result != 0)
        return git_mirror_fail(result, ref, error);
    (void)git_oid_tostr(ret_id, GIT_ID_BYTES, &id);
    return 0;
}

int git_mirror_forget(struct git_mirror *mirror, const char *ref, struct error *error)
{
    char name[GIT_MIRROR_REF_BYTES];
    git_mirror_ref(ref, name);
    int result = git_reference_remove(mirror->repository, name);
    return result == 0 || result == GIT_ENOTFOUND ? 0 : git_mirror_fail(GIT_ERROR, ref, error);
}

/* ---- files ---- */

static int find_tree(struct git_mirror *mirror, const char *commit_text, git_tree **ret_tree,
                     struct error *error)
{
    CLEANUP(git_commit_free) git_commit *commit = NULL;
    git_oid id;
    int code = git_mirror_read_id(commit_text, &id, error);
    if (code == 0)
        code = git_mirror_commit(mirror, &id, &commit, error);
    if (code != 0)
        return code;
    int result = git_commit_tree(ret_tree, commit);
    return result == 0 ? 0 : git_mirror_fail(GIT_ERROR, "the commit's tree cannot be read", error);
}

/* A walk over the files of a commit. */
struct file_walk {
    struct git_mirror *mirror;
    git_walk_fn visit;
    void *argument;
    size_t count;       /* files and folders seen */
    bool is_stopped;    /* the visitor said so */
    struct buffer path; /* of what is being looked at */
    struct error *error;
};

static int walk_tree(struct file_walk *walk, const git_tree *tree, int depth);

static int walk_blob(struct file_walk *walk, const git_tree_entry *entry)
{
    size_t bytes = 0;
    git_object_t type = GIT_OBJECT_INVALID;
    int result = git_odb_read_header(&bytes, &type, walk->mirror->odb, git_tree_entry_id(entry));
    if (result != 0)
        return git_mirror_fail(GIT_ERROR, walk->path.data, walk->error);
    walk->is_stopped = !walk->visit(walk->argument, walk->path.data, (int64_t)bytes);
    return 0;
}

static int walk_folder(struct file_walk *walk, const git_tree_entry *entry, int depth)
{
    CLEANUP(git_tree_free) git_tree *tree = NULL;
    if (depth >= GIT_WALK_DEPTH_MAX)
        return error_set(walk->error, ERR_TOO_LARGE, "%s: folders nest deeper than %d",
                         walk->path.data, GIT_WALK_DEPTH_MAX);
    int result = git_tree_lookup(&tree, walk->mirror->repository, git_tree_entry_id(entry));
    if (result != 0)
        return git_mirror_fail(GIT_ERROR, walk->path.data, walk->error);
    return walk_tree(walk, tree, depth + 1);
}

static int walk_entry(struct file_walk *walk, const git_tree_entry *entry, int depth)
{
    size_t before = walk->path.size_bytes;
    if (++walk->count > GIT_WALK_MAX)
        return error_set(walk->error, ERR_TOO_LARGE,
                         "the commit has more than %d files and folders", GIT_WALK_MAX);
    if (buffer_append_format(&walk->path, "%s%s", before > 0 ? "/" : "",
                             git_tree_entry_name(entry)) != 0)
        return error_set(walk->error, ERR_TOO_LARGE, "a path is longer than %zu bytes",
                         walk->path.limit_bytes);
    git_filemode_t mode = git_tree_entry_filemode(entry);
    int code = 0;
    if (mode == GIT_FILEMODE_TREE)
        code = walk_folder(walk, entry, depth);
    else if (mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE)
        code = walk_blob(walk, entry);
    walk->path.size_bytes = before;
    walk->path.data[before] = '\0';
    return code;
}

static int walk_tree(struct file_walk *walk, const git_tree *tree, int depth)
{
    int code = 0;
    size_t count = git_tree_entrycount(tree);
    for (size_t i = 0; i < count && code == 0 && !walk->is_stopped; i++)
        code = walk_entry(walk, git_tree_entry_byindex(tree, i), depth);
    return code;
}

int git_mirror_walk(struct git_mirror *mirror, const char *commit, git_walk_fn visit,
                    void *argument, struct error *error)
{
    CLEANUP(git_tree_free) git_tree *tree = NULL;
    int code = find_tree(mirror, commit, &tree, error);
    if (code != 0)
        return code;
    struct file_walk walk = {.mirror = mirror,
                             .visit = visit,
                             .argument = argument,
                             .path = BUFFER_INIT(8192),
                             .error = error};
    code = buffer_reserve(&walk.path, 1);
    if (code == 0)
        code = walk_tree(&walk, tree, 0);
    buffer_release(&walk.path);
    return code;
}

int git_mirror_read(struct git_mirror *mirror, const char *commit, const char *path,
                    struct buffer *content, struct error *error)
{
    CLEANUP(git_tree_free) git_tree *tree = NULL;
    CLEANUP(git_tree_entry_free) git_tree_entry *entry = NULL;
    CLEANUP(git_blob_free) git_blob *blob = NULL;
    buffer_clear(content);
    int code = find_tree(mirror, commit, &tree, error);
    if (code != 0)
        return code;
    int result = git_tree_entry_bypath(&entry, tree, path);
    if (result != 0)
        return git_mirror_fail(result, path, error);
    git_filemode_t mode = git_tree_entry_filemode(entry);
    if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
        return error_set(error, ERR_INPUT, "%s is no plain file", path);
    size_t bytes = 0;
    git_object_t type = GIT_OBJECT_INVALID;
    result = git_odb_read_header(&bytes, &type, mirror->odb, git_tree_entry_id(entry));
    if (result == 0 && bytes > content->limit_bytes)
        return error_set(error, ERR_TOO_LARGE, "%s has %zu bytes, at most %zu", path, bytes,
                         content->limit_bytes);
    if (result == 0)
        result = git_blob_lookup(&blob, mirror->repository, git_tree_entry_id(entry));
    if (result != 0)
        return git_mirror_fail(GIT_ERROR, path, error);
    return buffer_append(content, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
}
