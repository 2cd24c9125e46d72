/*
 * Fuzz target: any bytes as a file of GH Archive, and any bytes as one line of it.
 *
 * Design: the bytes are read as a gzip file, whose lines are read as events; and, because a fuzzer seldom
 * makes a good checksum, also as plain lines. What is accepted as an issue can be written and read again. Asserted besides:
 * an error has a text, and a file that is damaged gives nothing more.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/importer/archive_event.h"
#include "reactors/importer/archive_reader.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What is accepted is written; what consumers accept of that is the same once more. */
static void check_issue(const struct history_issue *issue)
{
    struct history_issue again = {.memory = NULL};
    struct error error = {0};
    size_t bytes = 0;
    CLEANUP(mem_free) char *value = history_issue_write(issue, &bytes);
    require(!issue->has_timeline && issue->repository_id > 0 && issue->number > 0);
    int code = history_issue_read(value, bytes, &again, &error);
    if (code != 0) {
        require(error.text[0] != '\0');
        return;
    }
    size_t again_bytes = 0;
    CLEANUP(mem_free) char *again_value = history_issue_write(&again, &again_bytes);
    require(again_bytes == bytes && memcmp(again_value, value, bytes) == 0);
    history_issue_release(&again);
}

static void read_line(const char *line, size_t line_bytes)
{
    static const char *const globs[] = {"*/*"};
    struct history_issue issue = {.memory = NULL};
    enum archive_line kind = ARCHIVE_OTHER;
    struct error error = {0};
    int code = archive_event_read(line, line_bytes, globs, 1, &kind, &issue, &error);
    require(code == 0 || (error.code == code && error.text[0] != '\0'));
    if (code == 0 && kind == ARCHIVE_ISSUE)
        check_issue(&issue);
    history_issue_release(&issue);
}

static void read_file(const uint8_t *bytes, size_t byte_count)
{
    FILE *stream = fmemopen((void *)bytes, byte_count, "r");
    require(stream != NULL);
    CLEANUP(archive_reader_free) struct archive_reader *reader = archive_reader_new(stream, "fuzz");
    struct error error = {0};
    for (;;) {
        const char *line = NULL;
        size_t line_bytes = 0;
        int code = archive_reader_next(reader, &line, &line_bytes, &error);
        if (code == ERR_TOO_LARGE)
            continue;
        require(code == 0 || (code == ERR_CORRUPT && strncmp(error.text, "fuzz: ", 6) == 0));
        if (code != 0 || line == NULL)
            return;
        require(line_bytes <= ARCHIVE_LINE_MAX_BYTES);
        read_line(line, line_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    read_file(bytes, byte_count);
    CLEANUP(mem_free) char *text = mem_copy_bytes(bytes, byte_count);
    for (const char *line = text; line < text + byte_count;) {
        const char *end = memchr(line, '\n', (size_t)(text + byte_count - line));
        size_t line_bytes = end != NULL ? (size_t)(end - line) : (size_t)(text + byte_count - line);
        read_line(line, line_bytes);
        line += line_bytes + 1;
    }
    return 0;
}
