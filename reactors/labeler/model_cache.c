/*
 * The folder of fetched models: see model_cache.h.
 */
#include "reactors/labeler/model_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"

/* What a whole file's name ends with, and what the name of one being fetched goes on with. */
#define WHOLE_SUFFIX ".model"
#define PART_SUFFIX ".model.new-"

/* Digits of a content's name. */
#define NAME_DIGITS (DIGEST_TEXT_BYTES - 1)

/* One file of the folder. */
struct cached {
    char sha256[DIGEST_TEXT_BYTES]; /* of its name */
    bool is_part;                   /* being fetched, or the rest of a fetch */
    char *name;                     /* owned */
    int64_t used_ms;                /* when it was used or written last */
    int64_t size_bytes;             /* of it */
};

/* All of them. */
struct listing {
    struct cached *files; /* owned */
    size_t count;         /* of them */
    int64_t total_bytes;  /* their sum */
};

static void listing_release(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        mem_free(listing->files[i].name);
    mem_free(listing->files);
}

char *model_cache_path(const struct model_cache *cache, const char *sha256)
{
    return mem_format("%s/%s" WHOLE_SUFFIX, cache->folder, sha256);
}

int64_t model_cache_size(const struct model_cache *cache, const char *sha256)
{
    CLEANUP(mem_free) char *path = model_cache_path(cache, sha256);
    struct stat state;
    return stat(path, &state) == 0 && S_ISREG(state.st_mode) ? (int64_t)state.st_size : -1;
}

void model_cache_touch(const struct model_cache *cache, const char *sha256, int64_t now_ms)
{
    CLEANUP(mem_free) char *path = model_cache_path(cache, sha256);
    struct timespec now = {.tv_sec = now_ms / 1000, .tv_nsec = now_ms % 1000 * 1000000};
    struct timespec times[2] = {now, now};
    (void)utimensat(AT_FDCWD, path, times, 0);
}

void model_cache_drop(const struct model_cache *cache, const char *sha256)
{
    CLEANUP(mem_free) char *path = model_cache_path(cache, sha256);
    (void)unlink(path);
}

static int failed(const char *doing, const char *path, struct error *error)
{
    int errno_value = errno;
    int code = errno_value == EACCES || errno_value == EPERM || errno_value == EROFS ? ERR_DENIED
               : errno_value == ENOENT                                               ? ERR_NOT_FOUND
                                                                                     : ERR_IO;
    return error_set(error, code, "the cache of models: cannot %s %s: %s", doing, path,
                     strerrordesc_np(errno_value));
}

/* Reads what a name says; false: it is none of ours. */
static bool read_name(const char *name, struct cached *ret_file)
{
    size_t length = strlen(name);
    if (length < NAME_DIGITS || strspn(name, "0123456789abcdef") != NAME_DIGITS)
        return false;
    const char *rest = name + NAME_DIGITS;
    ret_file->is_part = strncmp(rest, PART_SUFFIX, strlen(PART_SUFFIX)) == 0;
    memcpy(ret_file->sha256, name, NAME_DIGITS);
    ret_file->sha256[NAME_DIGITS] = '\0';
    return ret_file->is_part || strcmp(rest, WHOLE_SUFFIX) == 0;
}

static int list_files(const char *folder, struct listing *listing, struct error *error)
{
    DIR *entries = opendir(folder);
    if (entries == NULL)
        return failed("read", folder, error);
    for (struct dirent *entry = readdir(entries);
         entry != NULL && listing->count < MODEL_CACHE_FILES_MAX; entry = readdir(entries)) {
        struct cached file = {.is_part = false};
        struct stat state;
        if (!read_name(entry->d_name, &file) ||
            fstatat(dirfd(entries), entry->d_name, &state, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(state.st_mode))
            continue;
        file.name = mem_copy_text(entry->d_name);
        file.used_ms = (int64_t)state.st_mtim.tv_sec * 1000 + state.st_mtim.tv_nsec / 1000000;
        file.size_bytes = (int64_t)state.st_size;
        listing->files =
            mem_resize_array(listing->files, listing->count + 1, sizeof(listing->files[0]));
        listing->files[listing->count++] = file;
        listing->total_bytes += file.size_bytes;
    }
    (void)closedir(entries);
    return 0;
}

static int compare_used(const void *left, const void *right)
{
    const struct cached *one = left;
    const struct cached *other = right;
    if (one->used_ms != other->used_ms)
        return one->used_ms < other->used_ms ? -1 : 1;
    return strcmp(one->name, other->name);
}

static bool is_kept(const struct cached *file, const char *const *kept, size_t kept_count)
{
    for (size_t i = 0; i < kept_count; i++)
        if (strcmp(kept[i], file->sha256) == 0)
            return true;
    return false;
}

static void remove_file(const char *folder, const struct cached *file, int64_t *total_bytes)
{
    CLEANUP(mem_free) char *path = mem_format("%s/%s", folder, file->name);
    if (unlink(path) == 0)
        *total_bytes -= file->size_bytes;
}

int model_cache_make_room(const struct model_cache *cache, int64_t size_bytes,
                          const char *const *kept, size_t kept_count, int64_t now_ms,
                          struct error *error)
{
    struct listing listing = {.files = NULL};
    CLEANUP(mem_free) char *inside = mem_format("%s/", cache->folder);
    int code = file_make_folders(inside, 0755, error);
    if (code == 0)
        code = list_files(cache->folder, &listing, error);
    if (listing.count > 0)
        qsort(listing.files, listing.count, sizeof(listing.files[0]), compare_used);
    for (size_t i = 0; i < listing.count; i++) {
        const struct cached *file = &listing.files[i];
        bool is_rest = file->is_part && file->used_ms < now_ms - MODEL_CACHE_REST_MS;
        bool is_over = listing.total_bytes + size_bytes > cache->most_bytes;
        if (is_rest || (is_over && !file->is_part && !is_kept(file, kept, kept_count)))
            remove_file(cache->folder, file, &listing.total_bytes);
    }
    int64_t total_bytes = listing.total_bytes;
    listing_release(&listing);
    if (code == 0 && total_bytes + size_bytes > cache->most_bytes)
        return error_set(error, ERR_TOO_LARGE,
                         "the cache of models in %s has no room for %lld bytes: the models in use "
                         "take %lld of %lld; allow it more",
                         cache->folder, (long long)size_bytes, (long long)total_bytes,
                         (long long)cache->most_bytes);
    return code;
}
