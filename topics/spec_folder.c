/*
 * Documents from a folder: see spec_folder.h.
 */
#include "topics/spec_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "topics/spec_document.h"

static int folder_failed(const char *path, struct error *error)
{
    int code = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
               : errno == EACCES                   ? ERR_DENIED
                                                   : ERR_IO;
    return error_set(error, code, "cannot read %s: %s", path, strerrordesc_np(errno));
}

static void folder_watch(struct spec_folder *folder, const char *path)
{
    folder->watched =
        mem_resize_array(folder->watched, folder->watched_count + 1, sizeof(folder->watched[0]));
    folder->watched[folder->watched_count++] = mem_copy_text(path);
}

/* Reads one file; what is wrong with it becomes its fault. */
static int folder_read_file(struct spec_folder *folder, const char *path, const char *short_path,
                            struct error *error)
{
    if (folder->file_count == SPEC_FOLDER_FILES_MAX)
        return error_set(error, ERR_TOO_LARGE, "%s: more than %d files", folder->path,
                         SPEC_FOLDER_FILES_MAX);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(SPEC_FILE_MAX_BYTES);
    struct error reason = {0};
    struct spec_file file = {.path = mem_copy_text(short_path)};
    folder_watch(folder, path);
    if (file_read(path, &text, &reason) == 0) {
        file.text_bytes = text.size_bytes;
        file.text = buffer_take(&text);
    } else {
        file.fault = mem_copy_text(reason.text);
    }
    folder->bytes += file.text_bytes;
    folder->files =
        mem_resize_array(folder->files, folder->file_count + 1, sizeof(folder->files[0]));
    folder->files[folder->file_count++] = file;
    if (folder->bytes > SPEC_FOLDER_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "%s: more than %u bytes in all", folder->path,
                         SPEC_FOLDER_MAX_BYTES);
    return 0;
}

static int folder_is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool folder_is_yaml(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int folder_read_tree(struct spec_folder *folder, const char *path, const char *short_path,
                            int depth, struct error *error);

/* Reads one entry of a folder, if it is one that counts. */
static int folder_read_entry(struct spec_folder *folder, const char *path, const char *short_path,
                             const char *name, int depth, struct error *error)
{
    struct stat found;
    CLEANUP(mem_free) char *whole = mem_format("%s/%s", path, name);
    CLEANUP(mem_free)
    char *shorter = mem_format("%s%s%s", short_path, short_path[0] != '\0' ? "/" : "", name);
    if (stat(whole, &found) != 0)
        return 0; /* gone, or a link that leads nowhere */
    if (S_ISDIR(found.st_mode))
        return folder_read_tree(folder, whole, shorter, depth + 1, error);
    if (!S_ISREG(found.st_mode) || !folder_is_yaml(name))
        return 0;
    return folder_read_file(folder, whole, shorter, error);
}

static int folder_read_tree(struct spec_folder *folder, const char *path, const char *short_path,
                            int depth, struct error *error)
{
    struct dirent **entries = NULL;
    if (depth > SPEC_FOLDER_DEPTH_MAX)
        return error_set(error, ERR_TOO_LARGE, "%s: more than %d folders deep", path,
                         SPEC_FOLDER_DEPTH_MAX);
    int count = scandir(path, &entries, folder_is_visible, alphasort);
    if (count < 0)
        return folder_failed(path, error);
    folder_watch(folder, path);
    int code = 0;
    for (int i = 0; i < count; i++) {
        if (code == 0)
            code = folder_read_entry(folder, path, short_path, entries[i]->d_name, depth, error);
        free(entries[i]);
    }
    free(entries);
    return code;
}

int spec_folder_read(const char *path, struct spec_folder **ret_folder, struct error *error)
{
    struct stat found;
    CLEANUP(spec_folder_free) struct spec_folder *folder = MEM_NEW(struct spec_folder);
    folder->path = mem_copy_text(path);
    if (stat(path, &found) != 0)
        return folder_failed(path, error);
    int code = S_ISDIR(found.st_mode) ? folder_read_tree(folder, path, "", 0, error)
                                      : folder_read_file(folder, path, path, error);
    if (code == 0)
        *ret_folder = TAKE(folder);
    return code;
}

void spec_folder_free(struct spec_folder *folder)
{
    if (folder == NULL)
        return;
    for (size_t i = 0; i < folder->file_count; i++) {
        free((char *)(uintptr_t)folder->files[i].path); /* const for readers only */
        free((char *)(uintptr_t)folder->files[i].text);
        free((char *)(uintptr_t)folder->files[i].fault);
    }
    for (size_t i = 0; i < folder->watched_count; i++)
        mem_free(folder->watched[i]);
    mem_free(folder->watched);
    mem_free(folder->files);
    mem_free(folder->path);
    mem_free(folder);
}
