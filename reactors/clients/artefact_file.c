/*
 * Artefacts in a folder: see artefacts.h.
 *
 * Design: FOLDER/sha256/ab/abcdef…, made by rename from a temporary file in the same folder, mode
 * 0644. A put copies and digests in one pass, because the source may change while it is read; where
 * the artefact is already there with the same size, the copy is dropped. A get copies back and
 * compares the digest.
 *
 * Invariant: a file under its final name is whole and on disk.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "reactors/clients/artefact_private.h"

/* Longest folder: what leaves room for the rest of the URI. */
#define FOLDER_MAX_BYTES 400

/* After this a temporary file's put is no longer under way: its process died. */
#define TEMPORARY_MAX_AGE_MS 86400000

/* Guard against structs of other types. */
#define FILE_STORE_MAGIC 0x61667374u
#define FILE_CALL_MAGIC 0x61666361u

struct file_store {
    struct artefact_store interface;
    unsigned magic;
    struct loop *loop; /* borrowed */
    char *folder;      /* owned; absolute, without a slash at its end */
    size_t calls;      /* under way */
};

/* What a call does. */
enum file_what { FILE_PUT, FILE_GET, FILE_REMOVE };

struct artefact_call {
    unsigned magic;
    struct file_store *store; /* borrowed */
    enum file_what what;
    int from_fd;                /* owned; -1: none */
    int to_fd;                  /* owned; -1: none */
    char *temporary;            /* owned; what to_fd writes */
    char *target;               /* owned; get: where it goes */
    struct artefact artefact;   /* the result */
    struct artefact_copy *copy; /* owned */
    struct loop_timer *timer;   /* owned; tells a result that is known at once */
    struct error error;         /* that result */
    artefact_done_fn done;
    void *argument;
};

static void call_free(struct artefact_call *call)
{
    artefact_copy_free(call->copy);
    loop_timer_free(call->timer);
    if (call->from_fd >= 0)
        (void)close(call->from_fd);
    if (call->to_fd >= 0) {
        (void)close(call->to_fd);
        (void)unlink(call->temporary);
    }
    free(call->temporary);
    free(call->target);
    call->store->calls--;
    call->magic = 0;
    free(call);
}

/* Tells the owner, and frees the call. */
static void call_end(struct artefact_call *call)
{
    int code = call->error.code;
    call->done(call->argument, code, code == 0 ? &call->artefact : NULL, &call->error);
    call_free(call);
}

static void call_on_timer(void *argument)
{
    call_end(CAST_CHECKED(struct artefact_call, argument, FILE_CALL_MAGIC));
}

static struct artefact_call *call_new(struct artefact_store *interface, enum file_what what,
                                      artefact_done_fn done, void *argument)
{
    struct file_store *store = (struct file_store *)interface;
    assert(store->magic == FILE_STORE_MAGIC);
    struct artefact_call *call = MEM_NEW(struct artefact_call);
    *call = (struct artefact_call){.magic = FILE_CALL_MAGIC,
                                   .store = store,
                                   .what = what,
                                   .from_fd = -1,
                                   .to_fd = -1,
                                   .done = done,
                                   .argument = argument};
    call->timer = loop_timer_new(store->loop, call_on_timer, call);
    store->calls++;
    return call;
}

/* Writes the path of an artefact (owned) and its URI. */
static int make_path(struct artefact_call *call, const char *sha256, char **ret_path,
                     struct error *error)
{
    char name[ARTEFACT_NAME_BYTES];
    int code = artefact_name(sha256, name, error);
    if (code != 0)
        return code;
    *ret_path = mem_format("%s/%s", call->store->folder, name);
    (void)snprintf(call->artefact.sha256, sizeof(call->artefact.sha256), "%s",
                   strrchr(name, '/') + 1);
    (void)snprintf(call->artefact.uri, sizeof(call->artefact.uri), "file://%s", *ret_path);
    return 0;
}

static int failed(const char *doing, const char *path, struct error *error)
{
    int errno_value = errno;
    int code = errno_value == ENOENT                           ? ERR_NOT_FOUND
               : errno_value == EACCES || errno_value == EROFS ? ERR_DENIED
                                                               : ERR_IO;
    return error_set(error, code, "artefact store: cannot %s %s: %s", doing, path,
                     strerrordesc_np(errno_value));
}

/* ---- put ---- */

/* The copy is complete: gives it its name, unless it is there already. */
static int put_place(struct artefact_call *call, const char *sha256, struct error *error)
{
    CLEANUP(mem_free) char *path = NULL;
    struct stat state;
    int code = make_path(call, sha256, &path, error);
    if (code == 0)
        code = file_make_folders(path, 0755, error);
    if (code != 0)
        return code;
    if (stat(path, &state) == 0 && S_ISREG(state.st_mode) &&
        state.st_size == call->artefact.size_bytes)
        return 0; /* the temporary copy goes with the call */
    int fd = call->to_fd;
    call->to_fd = -1;
    return artefact_place(fd, call->temporary, path, error);
}

static int get_place(struct artefact_call *call, const char *sha256, struct error *error)
{
    if (strcmp(sha256, call->artefact.sha256) != 0)
        return error_set(error, ERR_CORRUPT, "%s is damaged: its SHA-256 is %s", call->artefact.uri,
                         sha256);
    int fd = call->to_fd;
    call->to_fd = -1;
    return artefact_place(fd, call->temporary, call->target, error);
}

static void on_copied(void *argument, int code, const char *sha256, int64_t size_bytes,
                      const struct error *error)
{
    struct artefact_call *call = CAST_CHECKED(struct artefact_call, argument, FILE_CALL_MAGIC);
    call->artefact.size_bytes = size_bytes;
    if (code != 0)
        call->error = *error;
    else if (call->what == FILE_PUT)
        (void)put_place(call, sha256, &call->error);
    else
        (void)get_place(call, sha256, &call->error);
    call_end(call);
}

/* Starts the copy to a temporary file beside `path`; on an error tells it later. */
static void start_copy(struct artefact_call *call, const char *path)
{
    if (call->error.code == 0) {
        call->to_fd = artefact_temporary(path, &call->temporary, &call->error);
        if (call->to_fd < 0)
            call->to_fd = -1;
    }
    if (call->error.code != 0)
        loop_timer_set(call->timer, 0);
    else
        call->copy =
            artefact_copy_new(call->store->loop, call->from_fd, call->to_fd, on_copied, call);
}

static struct artefact_call *store_put(struct artefact_store *interface, int fd,
                                       artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, FILE_PUT, done, argument);
    call->from_fd = fd;
    CLEANUP(mem_free) char *path = mem_format("%s/put", call->store->folder);
    start_copy(call, path);
    return call;
}

static struct artefact_call *store_get(struct artefact_store *interface, const char *sha256,
                                       const char *path, artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, FILE_GET, done, argument);
    CLEANUP(mem_free) char *from = NULL;
    call->target = mem_copy_text(path);
    if (make_path(call, sha256, &from, &call->error) == 0) {
        call->from_fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (call->from_fd < 0)
            (void)failed("read", from, &call->error);
    }
    start_copy(call, path);
    return call;
}

static struct artefact_call *store_remove(struct artefact_store *interface, const char *sha256,
                                          artefact_done_fn done, void *argument)
{
    struct artefact_call *call = call_new(interface, FILE_REMOVE, done, argument);
    CLEANUP(mem_free) char *path = NULL;
    if (make_path(call, sha256, &path, &call->error) == 0 && unlink(path) != 0 && errno != ENOENT)
        (void)failed("remove", path, &call->error);
    loop_timer_set(call->timer, 0);
    return call;
}

static void store_cancel(struct artefact_store *interface, struct artefact_call *call)
{
    assert(call->magic == FILE_CALL_MAGIC && &call->store->interface == interface);
    call_free(call);
}

static void store_free(struct artefact_store *interface)
{
    struct file_store *store = (struct file_store *)interface;
    assert(store->magic == FILE_STORE_MAGIC && store->calls == 0);
    free(store->folder);
    store->magic = 0;
    free(store);
}

/* Removes what puts left that died. */
static void remove_leftovers(const struct loop *loop, const char *folder)
{
    DIR *entries = opendir(folder);
    if (entries == NULL)
        return;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        struct stat state;
        if (strncmp(entry->d_name, "put.new-", strlen("put.new-")) == 0 &&
            fstatat(dirfd(entries), entry->d_name, &state, AT_SYMLINK_NOFOLLOW) == 0 &&
            (int64_t)state.st_mtime * 1000 < loop_wall_ms(loop) - TEMPORARY_MAX_AGE_MS)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    }
    (void)closedir(entries);
}

int artefact_file_store_new(struct loop *loop, const char *folder,
                            struct artefact_store **ret_store, struct error *error)
{
    if (strlen(folder) > FOLDER_MAX_BYTES)
        return error_set(error, ERR_INPUT, "the artefact store's folder is longer than %d bytes",
                         FOLDER_MAX_BYTES);
    CLEANUP(mem_free) char *inside = mem_format("%s/sha256/", folder);
    int code = file_make_folders(inside, 0755, error);
    if (code != 0)
        return code;
    struct file_store *store = MEM_NEW(struct file_store);
    store->interface = (struct artefact_store){.put = store_put,
                                               .get = store_get,
                                               .remove = store_remove,
                                               .cancel = store_cancel,
                                               .free = store_free};
    store->magic = FILE_STORE_MAGIC;
    store->loop = loop;
    store->folder = mem_copy_text(folder);
    size_t length = strlen(store->folder);
    while (length > 1 && store->folder[length - 1] == '/')
        store->folder[--length] = '\0';
    remove_leftovers(loop, store->folder);
    *ret_store = &store->interface;
    return 0;
}
