/*
 * Small files: see file.h.
 *
 * Design of the watch: one timer for all paths; each tick stats every path and compares with what it saw last. The
 * callback is the last thing that a tick does, so that it may clear, refill or free the watch.
 *
 * Design of the write: a temporary file in the same folder (rename works within one file system only), fsync of the
 * file before the rename and of the folder after it: a crash leaves the old content or the new, never a part.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

/* Bytes of one read(). */
#define FILE_CHUNK_BYTES 16384

/* Mode of a file that did not exist before it was written. */
#define FILE_NEW_MODE 0644

/* Guards against a struct of another type that came through a timer. */
#define FILE_WATCH_MAGIC 0x66777463u

/* What identifies the content of a path without reading it. */
struct file_state {
    bool exists;         /* stat() worked */
    dev_t device;        /* these five are 0 unless it exists */
    ino_t inode;         /* changes with every rename over it */
    off_t size_bytes;    /* … */
    int64_t seconds;     /* modification time */
    int64_t nanoseconds; /* of it */
};

/* One watched path. */
struct file_watched {
    char *path;              /* owned */
    struct file_state state; /* as last seen */
};

struct file_watch {
    unsigned magic;             /* FILE_WATCH_MAGIC */
    struct loop_timer *timer;   /* owned */
    loop_fn function;           /* called after a change */
    void *argument;             /* its argument; borrowed */
    struct file_watched *items; /* owned */
    size_t count;               /* how many */
};

/* The code for an errno that a file operation left. */
static int file_code(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
        return ERR_INPUT;
    default:
        return ERR_IO;
    }
}

static int file_failed(const char *doing, const char *path, struct error *error)
{
    int errno_value = errno;
    return error_set(error, file_code(errno_value), "cannot %s %s: %s", doing, path,
                     strerrordesc_np(errno_value));
}

/* Reads until the end of the file; the chunk is wiped because it may have held a secret. */
static int file_read_open(int fd, const char *path, struct buffer *buffer, struct error *error)
{
    char chunk[FILE_CHUNK_BYTES];
    int code = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = file_failed("read", path, error);
        if (got <= 0)
            break;
        code = buffer_append(buffer, chunk, (size_t)got);
        if (code != 0) {
            code = error_set(error, code, "%s is larger than the %zu bytes that are read", path,
                             buffer->limit_bytes);
            break;
        }
    }
    explicit_bzero(chunk, sizeof(chunk));
    return code;
}

int file_read(const char *path, struct buffer *buffer, struct error *error)
{
    buffer_clear(buffer);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_failed("read", path, error);
    int code = file_read_open(fd, path, buffer, error);
    (void)close(fd);
    if (code != 0)
        buffer_clear(buffer);
    return code;
}

int file_read_secret(const char *path, struct buffer *buffer, struct error *error)
{
    int code = file_read(path, buffer, error);
    if (code != 0)
        return code;
    size_t size_bytes = buffer->size_bytes;
    if (size_bytes > 0 && buffer->data[size_bytes - 1] == '\n')
        size_bytes--;
    if (size_bytes < buffer->size_bytes && size_bytes > 0 && buffer->data[size_bytes - 1] == '\r')
        size_bytes--;
    if (size_bytes == 0) {
        buffer_clear(buffer);
        return error_set(error, ERR_INPUT, "%s is empty; put the secret into it", path);
    }
    buffer->data[size_bytes] = '\0';
    buffer->size_bytes = size_bytes;
    return 0;
}

static int file_write_open(int fd, const char *path, const void *bytes, size_t byte_count,
                           struct error *error)
{
    for (size_t written = 0; written < byte_count;) {
        ssize_t count = write(fd, (const char *)bytes + written, byte_count - written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return file_failed("write", path, error);
        written += (size_t)count;
    }
    return 0;
}

int file_make_folders(const char *path, mode_t mode, struct error *error)
{
    CLEANUP(mem_free) char *copy = mem_copy_text(path);
    char *slash = copy[0] != '\0' ? strchr(copy + 1, '/') : NULL;
    for (; slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST) {
            int number = errno;
            bool is_denied = number == EACCES || number == EPERM || number == EROFS;
            return error_set(error, is_denied ? ERR_DENIED : ERR_IO,
                             "cannot make the folder %s: %s", copy, strerrordesc_np(number));
        }
        *slash = '/';
    }
    return 0;
}

void file_sync_folder(const char *path)
{
    CLEANUP(mem_free) char *copy = mem_copy_text(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Fills the open temporary file and makes it durable; the mode is that of the file it will replace. */
static int file_fill(int fd, const char *path, const void *bytes, size_t byte_count,
                     struct error *error)
{
    struct stat old;
    mode_t mode = stat(path, &old) == 0 ? old.st_mode & 07777 : FILE_NEW_MODE;
    int code = file_write_open(fd, path, bytes, byte_count, error);
    if (code == 0 && fchmod(fd, mode) != 0)
        code = file_failed("set the mode of", path, error);
    if (code == 0 && fsync(fd) != 0)
        code = file_failed("sync", path, error);
    return code;
}

int file_write_atomically(const char *path, const void *bytes, size_t byte_count,
                          struct error *error)
{
    CLEANUP(mem_free) char *temporary = mem_format("%s.new-XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return file_failed("write", path, error);
    int code = file_fill(fd, path, bytes, byte_count, error);
    if (close(fd) != 0 && code == 0)
        code = file_failed("write", path, error);
    if (code == 0 && rename(temporary, path) != 0)
        code = file_failed("replace", path, error);
    if (code != 0) {
        (void)unlink(temporary);
        return code;
    }
    file_sync_folder(path);
    return 0;
}

static struct file_state file_look(const char *path)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return (struct file_state){.exists = false};
    return (struct file_state){
        .exists = true,
        .device = found.st_dev,
        .inode = found.st_ino,
        .size_bytes = found.st_size,
        .seconds = found.st_mtim.tv_sec,
        .nanoseconds = found.st_mtim.tv_nsec,
    };
}

static bool file_state_equal(const struct file_state *left, const struct file_state *right)
{
    return left->exists == right->exists && left->device == right->device &&
           left->inode == right->inode && left->size_bytes == right->size_bytes &&
           left->seconds == right->seconds && left->nanoseconds == right->nanoseconds;
}

static void file_watch_tick(void *argument)
{
    struct file_watch *watch = CAST_CHECKED(struct file_watch, argument, FILE_WATCH_MAGIC);
    bool changed = false;
    for (size_t i = 0; i < watch->count; i++) {
        struct file_state state = file_look(watch->items[i].path);
        if (file_state_equal(&state, &watch->items[i].state))
            continue;
        watch->items[i].state = state;
        /* A file that is gone is most often about to be replaced: what replaces it will call. */
        changed = changed || state.exists;
    }
    loop_timer_set(watch->timer, FILE_WATCH_INTERVAL_MS);
    if (changed)
        watch->function(watch->argument);
}

struct file_watch *file_watch_new(struct loop *loop, loop_fn function, void *argument)
{
    struct file_watch *watch = MEM_NEW(struct file_watch);
    watch->magic = FILE_WATCH_MAGIC;
    watch->function = function;
    watch->argument = argument;
    watch->timer = loop_timer_new(loop, file_watch_tick, watch);
    loop_timer_set(watch->timer, FILE_WATCH_INTERVAL_MS);
    return watch;
}

void file_watch_add(struct file_watch *watch, const char *path)
{
    watch->items = mem_resize_array(watch->items, watch->count + 1, sizeof(*watch->items));
    watch->items[watch->count++] =
        (struct file_watched){.path = mem_copy_text(path), .state = file_look(path)};
}

void file_watch_clear(struct file_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        free(watch->items[i].path);
    watch->count = 0;
}

void file_watch_free(struct file_watch *watch)
{
    if (watch == NULL)
        return;
    assert(watch->magic == FILE_WATCH_MAGIC);
    file_watch_clear(watch);
    free(watch->items);
    loop_timer_free(watch->timer);
    watch->magic = 0;
    free(watch);
}
