/*
 * Opening and reading what a notebook leaves: see run_outputs.h.
 */
#include "reactors/trainer/run_outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/memory.h"

/* Read at once. */
#define PIECE_BYTES 65536

static int open_beneath(const char *folder, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    int base = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (base < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
    int number = errno;
    (void)close(base);
    errno = number;
    return fd;
}

int run_output_open(const char *folder, const char *path, int64_t size_max_bytes, int *ret_fd,
                    struct error *error)
{
    struct stat status;
    int fd = open_beneath(folder, path);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(error, ERR_NOT_FOUND, "%s was not written", path);
    if (fd < 0)
        return error_set(error, ERR_DENIED, "%s is not taken: %s", path,
                         errno == ELOOP || errno == EXDEV ? "it is a link" : strerror(errno));
    int code = 0;
    if (fstat(fd, &status) != 0)
        code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
        code =
            error_set(error, ERR_DENIED, "%s is not taken: it is not a file with one name", path);
    else if (status.st_size > size_max_bytes)
        code = error_set(error, ERR_TOO_LARGE, "%s is not taken: it has %lld bytes, more than %lld",
                         path, (long long)status.st_size, (long long)size_max_bytes);
    if (code != 0) {
        (void)close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

int run_output_read(const char *folder, const char *path, struct buffer *bytes, struct error *error)
{
    char piece[PIECE_BYTES];
    int fd = -1;
    buffer_clear(bytes);
    int code = run_output_open(folder, path, (int64_t)bytes->limit_bytes, &fd, error);
    while (code == 0) {
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
        else if (got == 0)
            break;
        else if (buffer_append(bytes, piece, (size_t)got) != 0)
            code = error_set(error, ERR_TOO_LARGE, "%s is too large", path);
    }
    if (fd >= 0)
        (void)close(fd);
    return code;
}

int run_output_metrics(const char *folder, const char *path, json_t **ret_metrics,
                       struct error *error)
{
    CLEANUP(buffer_release) struct buffer bytes = BUFFER_INIT(RUN_METRICS_MAX_BYTES);
    CLEANUP(json_release) json_t *metrics = NULL;
    int code = run_output_read(folder, path, &bytes, error);
    if (code != 0)
        return code;
    code = json_read(bytes.data != NULL ? bytes.data : "", bytes.size_bytes, &metrics, error);
    if (code != 0)
        return error_prefix(error, code, "%s", path);
    if (!json_is_object(metrics))
        return error_set(error, ERR_INPUT, "%s is not a JSON object", path);
    *ret_metrics = TAKE(metrics);
    return 0;
}

/* A text member of any object, cut. */
static void copy_text(const json_t *object, const char *name, const char *otherwise, char *ret_text,
                      size_t text_bytes)
{
    const char *text = json_string_value(json_object_get(object, name));
    (void)snprintf(ret_text, text_bytes, "%s", text != NULL && text[0] != '\0' ? text : otherwise);
    for (char *at = ret_text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = ' ';
}

static const json_t *find_error(const json_t *cell)
{
    size_t i = 0;
    json_t *output = NULL;
    json_array_foreach(json_object_get(cell, "outputs"), i,
                       output) if (strcmp(json_text_or(output, "output_type", ""), "error") ==
                                   0) return output;
    return NULL;
}

bool run_notebook_failure(const char *json, size_t json_bytes, char *ret_text, size_t text_bytes)
{
    CLEANUP(json_release) json_t *notebook = NULL;
    size_t i = 0;
    json_t *cell = NULL;
    struct error error = {0};
    if (json_read(json, json_bytes, &notebook, &error) != 0)
        return false;
    json_array_foreach(json_object_get(notebook, "cells"), i, cell)
    {
        const json_t *found = find_error(cell);
        char name[64];
        char text[RUN_EXCEPTION_BYTES];
        if (found == NULL)
            continue;
        copy_text(found, "ename", "an error", name, sizeof(name));
        copy_text(found, "evalue", "", text, sizeof(text));
        (void)error_set(&error, ERR_INPUT, "cell In [%lld] failed: %s%s%s",
                        (long long)json_int_or(cell, "execution_count", (int64_t)i + 1), name,
                        text[0] != '\0' ? ": " : "", text);
        (void)snprintf(ret_text, text_bytes, "%s", error.text);
        return true;
    }
    return false;
}
