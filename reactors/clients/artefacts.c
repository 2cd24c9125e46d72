/*
 * What both artefact stores use: choosing one by URL, names, copies: see artefacts.h.
 *
 * Design of a copy: a timer of zero delay does one slice and sets itself again, so that a gigabyte
 * never holds up the loop for longer than one slice takes.
 *
 * Invariant: what a copy says of digest and size is of the bytes that it wrote, even if somebody
 * changes the source meanwhile.
 */
#include "reactors/clients/artefacts.h"

#include <assert.h>
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

/* Bytes of one slice: a millisecond or two of hashing. */
#define COPY_SLICE_BYTES ((size_t)2 << 20)

/* Guards against a struct of another type. */
#define COPY_MAGIC 0x61636f70u

struct artefact_copy {
    unsigned magic;
    int from_fd;              /* borrowed */
    int to_fd;                /* borrowed; -1: none */
    int64_t size_bytes;       /* so far */
    struct digest *digest;    /* owned */
    char *slice;              /* owned; COPY_SLICE_BYTES */
    struct loop_timer *timer; /* owned; the next slice */
    artefact_copied_fn done;  /* called once */
    void *argument;           /* of done */
};

/* ---- names and files ---- */

int artefact_name(const char *sha256, char ret_name[ARTEFACT_NAME_BYTES], struct error *error)
{
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    if (digest_from_text(sha256, strlen(sha256), digest) != 0)
        return error_set(error, ERR_INPUT,
                         "\"%.80s\" is no SHA-256: expected 64 hexadecimal digits", sha256);
    digest_to_text(digest, text);
    (void)snprintf(ret_name, ARTEFACT_NAME_BYTES, "sha256/%.2s/%s", text, text);
    return 0;
}

static int io_failed(const char *doing, const char *path, struct error *error)
{
    int errno_value = errno;
    int code = errno_value == EACCES || errno_value == EROFS ? ERR_DENIED
               : errno_value == ENOENT                       ? ERR_NOT_FOUND
                                                             : ERR_IO;
    return error_set(error, code, "cannot %s %s: %s", doing, path, strerrordesc_np(errno_value));
}

int artefact_temporary(const char *path, char **ret_path, struct error *error)
{
    CLEANUP(mem_free) char *temporary = mem_format("%s.new-XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return io_failed("write", path, error);
    *ret_path = TAKE(temporary);
    return fd;
}

int artefact_place(int fd, const char *temporary, const char *path, struct error *error)
{
    int code = 0;
    if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        code = io_failed("write", path, error);
    if (close(fd) != 0 && code == 0)
        code = io_failed("write", path, error);
    if (code == 0 && rename(temporary, path) != 0)
        code = io_failed("replace", path, error);
    if (code != 0)
        (void)unlink(temporary);
    else
        file_sync_folder(path);
    return code;
}

/* ---- copies ---- */

static void copy_end(struct artefact_copy *copy, const struct error *error)
{
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES] = "";
    if (error->code == 0) {
        digest_finish(copy->digest, digest);
        digest_to_text(digest, text);
    }
    copy->done(copy->argument, error->code, text, copy->size_bytes, error);
}

static int copy_write(const struct artefact_copy *copy, size_t byte_count, struct error *error)
{
    for (size_t written = 0; copy->to_fd >= 0 && written < byte_count;) {
        ssize_t count = write(copy->to_fd, copy->slice + written, byte_count - written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return io_failed("write", "the artefact", error);
        written += (size_t)count;
    }
    return 0;
}

/* Reads, digests and writes a slice. Returns its size, 0 at the end, or a code. */
static int copy_slice(struct artefact_copy *copy, struct error *error)
{
    ssize_t got = pread(copy->from_fd, copy->slice, COPY_SLICE_BYTES, (off_t)copy->size_bytes);
    if (got < 0 && errno != EINTR)
        return io_failed("read", "the artefact", error);
    if (got <= 0)
        return got == 0 ? 0 : 1; /* interrupted: once more, with nothing done */
    copy->size_bytes += got;
    if (copy->size_bytes > ARTEFACT_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "the artefact is larger than %lld bytes",
                         (long long)ARTEFACT_MAX_BYTES);
    digest_update(copy->digest, copy->slice, (size_t)got);
    int code = copy_write(copy, (size_t)got, error);
    return code != 0 ? code : (int)got;
}

static void copy_on_timer(void *argument)
{
    struct artefact_copy *copy = CAST_CHECKED(struct artefact_copy, argument, COPY_MAGIC);
    struct error error = {0};
    struct stat state;
    if (fstat(copy->from_fd, &state) != 0 || !S_ISREG(state.st_mode)) {
        (void)error_set(&error, ERR_INPUT, "the artefact is not a regular file");
        copy_end(copy, &error);
        return;
    }
    int got = copy_slice(copy, &error);
    if (got > 0)
        loop_timer_set(copy->timer, 0);
    else
        copy_end(copy, &error);
}

struct artefact_copy *artefact_copy_new(struct loop *loop, int from_fd, int to_fd,
                                        artefact_copied_fn done, void *argument)
{
    struct artefact_copy *copy = MEM_NEW(struct artefact_copy);
    *copy = (struct artefact_copy){.magic = COPY_MAGIC,
                                   .from_fd = from_fd,
                                   .to_fd = to_fd,
                                   .digest = digest_new(),
                                   .slice = mem_alloc(COPY_SLICE_BYTES),
                                   .done = done,
                                   .argument = argument};
    copy->timer = loop_timer_new(loop, copy_on_timer, copy);
    loop_timer_set(copy->timer, 0);
    return copy;
}

void artefact_copy_free(struct artefact_copy *copy)
{
    if (copy == NULL)
        return;
    loop_timer_free(copy->timer);
    digest_free(copy->digest);
    free(copy->slice);
    copy->magic = 0;
    free(copy);
}

/* ---- choosing a store ---- */

int artefact_store_new(struct loop *loop, struct http_client *http,
                       const struct artefact_settings *settings, struct artefact_store **ret_store,
                       struct error *error)
{
    const char *url = settings->url;
    if (strncmp(url, "file:///", strlen("file:///")) == 0)
        return artefact_file_store_new(loop, url + strlen("file://"), ret_store, error);
    if (strncmp(url, "s3://", strlen("s3://")) == 0)
        return artefact_s3_store_new(loop, http, url + strlen("s3://"), settings, ret_store, error);
    return error_set(error, ERR_INPUT,
                     "artefact store \"%s\": expected file:///FOLDER or s3://BUCKET/PREFIX", url);
}

void artefact_store_free(struct artefact_store *store)
{
    if (store != NULL)
        store->free(store);
}
