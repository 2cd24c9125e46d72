/*
 * Lines of a compressed file: gzip (RFC 1952), one member or several, read as a stream.
 *
 * Design: a piece of the file is inflated at a time, and what stands before a line end is a line. The file may come
 * from anywhere, so that nothing in it decides about memory or time: a line has a limit and is
 * passed over beyond it, and a file that expands out of all proportion is refused.
 *
 * Invariants: memory is bounded by ARCHIVE_LINE_MAX_BYTES and two buffers; after ERR_CORRUPT or ERR_IO nothing
 * more comes of the file.
 */
#ifndef NODAG_IMPORTER_ARCHIVE_READER_H
#define NODAG_IMPORTER_ARCHIVE_READER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"

/*
 * Longest line: an issue's text has at most 65,536 characters, in JSON 6 bytes each at worst, and a
 * pull request's event is some 100 kB.
 */
#define ARCHIVE_LINE_MAX_BYTES ((size_t)8 << 20)

/* Most bytes that one compressed byte may become: dumps of JSON have about 8; deflate can do 1,032. */
#define ARCHIVE_RATIO_MAX 200

/* What a file may expand to in any case. */
#define ARCHIVE_RATIO_FREE_BYTES ((uint64_t)1 << 20)

/* A file that is read. */
struct archive_reader;

/* Opens a file; owned. ERR_NOT_FOUND, ERR_DENIED, ERR_IO with the path. Blocks. */
int archive_reader_open(const char *path, struct archive_reader **ret_reader,
                        struct error *error) MUST_CHECK;

/* Reads from an open stream (taken); `name` (copied) is for error texts. Owned. */
struct archive_reader *archive_reader_new(FILE *stream_taken, const char *name);

/* Closes and frees it; NULL allowed. */
void archive_reader_free(struct archive_reader *reader);
DEFINE_CLEANUP(struct archive_reader *, archive_reader_free)

/*
 * Reads the next line without its line end, borrowed until the next call; NULL at the end of the file.
 * ERR_TOO_LARGE: this line is too long and was passed over, what follows can be read; ERR_CORRUPT: damaged, cut off, or not gzip;
 * ERR_IO. The text names file and line. Blocks for at most one read.
 */
int archive_reader_next(struct archive_reader *reader, const char **ret_line,
                        size_t *ret_line_bytes, struct error *error) MUST_CHECK;

/* Returns the number of the last line that was read, from 1; 0 before the first. */
size_t archive_reader_line(const struct archive_reader *reader);

/* Returns how many compressed bytes were read. */
uint64_t archive_reader_bytes(const struct archive_reader *reader);

#endif
