/*
 * Lines of a gzip file: see archive_reader.h.
 */
#include "reactors/importer/archive_reader.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Pieces that are read and inflated. */
#define PIECE_BYTES ((size_t)64 << 10)

/* For inflateInit2: the largest window, and a gzip header, nothing else (zlib.h). */
#define GZIP_WINDOW_BITS (15 + 16)

struct archive_reader {
    FILE *stream; /* owned */
    char *name;   /* owned */
    z_stream inflater;
    bool is_in_member; /* a gzip member has begun and not ended */
    bool is_over;      /* the end was reached, or something is wrong */
    uint64_t read_bytes;
    uint64_t inflated_bytes;

    unsigned char input[PIECE_BYTES];
    char output[PIECE_BYTES];
    size_t output_bytes; /* in use */
    size_t output_next;  /* first byte that is not taken */

    struct buffer line;   /* what was taken of the line at hand */
    bool is_passing_over; /* the line at hand is too long */
    size_t line_number;   /* lines that were read */
};

struct archive_reader *archive_reader_new(FILE *stream_taken, const char *name)
{
    struct archive_reader *reader = MEM_NEW(struct archive_reader);
    reader->stream = stream_taken;
    reader->name = mem_copy_text(name);
    reader->line = BUFFER_INIT(ARCHIVE_LINE_MAX_BYTES);
    int status = inflateInit2(&reader->inflater, GZIP_WINDOW_BITS);
    assert(status ==
           Z_OK); /* it fails for want of memory, or for another library than its header */
    (void)status;
    return reader;
}

int archive_reader_open(const char *path, struct archive_reader **ret_reader, struct error *error)
{
    FILE *stream = fopen(path, "rbe");
    if (stream == NULL) {
        int code = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                   : errno == EACCES                   ? ERR_DENIED
                                                       : ERR_IO;
        return error_set(error, code, "%s: %s", path, strerror(errno));
    }
    *ret_reader = archive_reader_new(stream, path);
    return 0;
}

void archive_reader_free(struct archive_reader *reader)
{
    if (reader == NULL)
        return;
    (void)inflateEnd(&reader->inflater);
    (void)fclose(reader->stream);
    buffer_release(&reader->line);
    mem_free(reader->name);
    mem_free(reader);
}

size_t archive_reader_line(const struct archive_reader *reader)
{
    return reader->line_number;
}

uint64_t archive_reader_bytes(const struct archive_reader *reader)
{
    return reader->read_bytes;
}

/* ---- inflating ---- */

static int reader_fail(struct archive_reader *reader, int code, const char *text,
                       struct error *error)
{
    reader->is_over = true;
    return error_set(error, code, "%s: after line %zu: %s", reader->name, reader->line_number,
                     text);
}

/* Reads a piece of the file where all of the last one is used. */
static int reader_fill(struct archive_reader *reader, struct error *error)
{
    if (reader->inflater.avail_in > 0)
        return 0;
    size_t bytes = fread(reader->input, 1, PIECE_BYTES, reader->stream);
    if (bytes == 0 && ferror(reader->stream))
        return reader_fail(reader, ERR_IO, "the file cannot be read", error);
    reader->read_bytes += bytes;
    reader->inflater.next_in = reader->input;
    reader->inflater.avail_in = (unsigned)bytes;
    return 0;
}

/* At the end of the file: was it one? */
static int reader_end(struct archive_reader *reader, struct error *error)
{
    if (reader->is_in_member || reader->read_bytes == 0)
        return reader_fail(reader, ERR_CORRUPT,
                           reader->read_bytes == 0 ? "the file is empty, which gzip files are not"
                                                   : "the file is cut off: download it again",
                           error);
    reader->is_over = true;
    return 0;
}

/* Inflates the next piece; none at the end. */
static int reader_inflate(struct archive_reader *reader, struct error *error)
{
    reader->output_bytes = 0;
    reader->output_next = 0;
    int code = reader_fill(reader, error);
    if (code != 0)
        return code;
    if (reader->inflater.avail_in == 0)
        return reader_end(reader, error);
    reader->inflater.next_out = (unsigned char *)reader->output;
    reader->inflater.avail_out = PIECE_BYTES;
    reader->is_in_member = true;
    int status = inflate(&reader->inflater, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return reader_fail(reader, ERR_CORRUPT,
                           reader->inflated_bytes == 0 && reader->inflater.total_out == 0
                               ? "this is not gzip, or damaged: download it again"
                               : "the file is damaged: download it again",
                           error);
    reader->output_bytes = PIECE_BYTES - reader->inflater.avail_out;
    reader->inflated_bytes += reader->output_bytes;
    if (reader->inflated_bytes > ARCHIVE_RATIO_FREE_BYTES + reader->read_bytes * ARCHIVE_RATIO_MAX)
        return reader_fail(
            reader, ERR_CORRUPT,
            "it expands more than any archive of events does; it is not read further", error);
    if (status == Z_STREAM_END) {
        reader->is_in_member = false;
        (void)inflateReset(&reader->inflater);
    }
    return 0;
}

/* ---- lines ---- */

/* Takes a part of the line at hand. */
static void reader_take(struct archive_reader *reader, const char *bytes, size_t byte_count)
{
    if (!reader->is_passing_over && buffer_append(&reader->line, bytes, byte_count) != 0) {
        reader->is_passing_over = true;
        buffer_clear(&reader->line);
    }
}

/* The line at hand is whole. */
static int reader_finish_line(struct archive_reader *reader, const char **ret_line,
                              size_t *ret_line_bytes, struct error *error)
{
    reader->line_number++;
    if (reader->is_passing_over) {
        reader->is_passing_over = false;
        return error_set(error, ERR_TOO_LARGE, "%s: line %zu has more than %zu bytes", reader->name,
                         reader->line_number, ARCHIVE_LINE_MAX_BYTES);
    }
    *ret_line = reader->line.data != NULL ? reader->line.data : "";
    *ret_line_bytes = reader->line.size_bytes;
    return 0;
}

int archive_reader_next(struct archive_reader *reader, const char **ret_line,
                        size_t *ret_line_bytes, struct error *error)
{
    buffer_clear(&reader->line);
    for (;;) {
        const char *rest = reader->output + reader->output_next;
        size_t rest_bytes = reader->output_bytes - reader->output_next;
        const char *end = memchr(rest, '\n', rest_bytes);
        size_t part_bytes = end != NULL ? (size_t)(end - rest) : rest_bytes;
        reader_take(reader, rest, part_bytes);
        reader->output_next += part_bytes + (end != NULL ? 1 : 0);
        if (end != NULL)
            return reader_finish_line(reader, ret_line, ret_line_bytes, error);
        bool has_part = reader->line.size_bytes > 0 || reader->is_passing_over;
        if (reader->is_over && has_part) {
            reader->output_bytes = reader->output_next;
            return reader_finish_line(reader, ret_line, ret_line_bytes, error);
        }
        if (reader->is_over) {
            *ret_line = NULL;
            *ret_line_bytes = 0;
            return 0;
        }
        int code = reader_inflate(reader, error);
        if (code != 0)
            return code;
    }
}
