/*
 * Archives: lines out of gzip files, good and bad, and issues out of lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/memory.h"
#include "reactors/importer/archive_event.h"
#include "reactors/importer/archive_reader.h"

/* Room for a compressed file. */
#define FILE_BYTES ((size_t)1 << 20)

/* A compressed file in memory. */
struct file {
    unsigned char bytes[FILE_BYTES];
    size_t size;
};

/* Appends a gzip member. */
static void file_add(struct file *file, const char *text, size_t text_bytes)
{
    z_stream deflater = {.next_in = (unsigned char *)text, .avail_in = (unsigned)text_bytes};
    assert_int_equal(deflateInit2(&deflater, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    deflater.next_out = file->bytes + file->size;
    deflater.avail_out = (unsigned)(FILE_BYTES - file->size);
    assert_int_equal(deflate(&deflater, Z_FINISH), Z_STREAM_END);
    file->size += deflater.total_out;
    (void)deflateEnd(&deflater);
}

static struct archive_reader *file_open(struct file *file)
{
    FILE *stream = fmemopen(file->bytes, file->size, "r");
    assert_non_null(stream);
    return archive_reader_new(stream, "x.gz");
}

/* Reads to the end; the code of the end, its text in `error`; lines into `ret_lines`, joined by '|'. */
static int file_read_lines(struct file *file, char *ret_lines, size_t room, size_t *ret_too_long,
                           struct error *error)
{
    struct archive_reader *reader = file_open(file);
    const char *line = NULL;
    size_t line_bytes = 0;
    int code = 0;
    ret_lines[0] = '\0';
    *ret_too_long = 0;
    for (;;) {
        code = archive_reader_next(reader, &line, &line_bytes, error);
        if (code == ERR_TOO_LARGE) {
            ++*ret_too_long;
            continue;
        }
        if (code != 0 || line == NULL)
            break;
        assert_int_equal(strlen(line), line_bytes);
        size_t used = strlen(ret_lines);
        (void)snprintf(ret_lines + used, room - used, "%s|", line);
    }
    archive_reader_free(reader);
    return code;
}

static void test_lines(void **state)
{
    static const struct {
        const char *members[4];
        const char *lines;
    } cases[] = {
        {{"a\nb\n"}, "a|b|"},  {{"a\nb"}, "a|b|"},    {{"a\n", "b\n", "c"}, "a|b|c|"},
        {{"a", "b\n"}, "ab|"}, {{"\n\na\n"}, "||a|"}, {{""}, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct file *file = MEM_NEW(struct file);
        char lines[64];
        size_t too_long = 0;
        struct error error = {0};
        for (size_t m = 0; cases[i].members[m] != NULL; m++)
            file_add(file, cases[i].members[m], strlen(cases[i].members[m]));
        assert_int_equal(file_read_lines(file, lines, sizeof(lines), &too_long, &error), 0);
        assert_string_equal(lines, cases[i].lines);
        mem_free(file);
    }
}

static void test_damaged(void **state)
{
    static const struct {
        size_t keep; /* bytes of the file; 0: all */
        size_t flip; /* this byte is another; 0: none */
        const char *tail;
        const char *text;
    } cases[] = {
        {10, 0, NULL, "x.gz: after line 0: the file is cut off"},
        {0, 1, NULL, "x.gz: after line 0: this is not gzip"},
        {0, 25, NULL, "damaged"},
        {0, 0, "garbage", "damaged"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct file *file = MEM_NEW(struct file);
        char lines[64];
        size_t too_long = 0;
        struct error error = {0};
        file_add(file, "first line\nsecond line\n", 23);
        if (cases[i].flip != 0)
            file->bytes[cases[i].flip] ^= 0xff;
        if (cases[i].tail != NULL) {
            memcpy(file->bytes + file->size, cases[i].tail, strlen(cases[i].tail));
            file->size += strlen(cases[i].tail);
        }
        file->size = cases[i].keep != 0 ? cases[i].keep : file->size;
        assert_int_equal(file_read_lines(file, lines, sizeof(lines), &too_long, &error),
                         ERR_CORRUPT);
        assert_non_null(strstr(error.text, cases[i].text));
        mem_free(file);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    struct file *file = MEM_NEW(struct file);
    size_t bytes = ARCHIVE_LINE_MAX_BYTES + 10;
    char *text = mem_alloc(bytes + 8);
    struct error error = {0};
    char lines[64];
    size_t too_long = 0;
    /* Without a pattern, so that the limit of the line is met and not that of the expansion. */
    uint32_t chance = 1;
    for (size_t i = 0; i < bytes; i++) {
        chance = chance * 1664525u + 1013904223u;
        text[i] = i % 64 == 0 ? (char)('a' + (chance >> 24) % 26) : 'x';
    }
    memcpy(text, "a\n", 2);
    memcpy(text + bytes, "xxxx\nb\n", 7);
    file_add(file, text, bytes + 7);
    assert_int_equal(file_read_lines(file, lines, sizeof(lines), &too_long, &error), 0);
    assert_string_equal(lines, "a|b|");
    assert_int_equal(too_long, 1);
    assert_non_null(strstr(error.text, "x.gz: line 2 has more than"));
    mem_free(text);
    mem_free(file);
}

static void test_bomb(void **state)
{
    (void)state;
    struct file *file = MEM_NEW(struct file);
    size_t bytes = (size_t)64 << 20;
    char *text = mem_alloc(bytes);
    struct error error = {0};
    char lines[64];
    size_t too_long = 0;
    memset(text, 'x', bytes);
    file_add(file, text, bytes);
    assert_int_equal(file_read_lines(file, lines, sizeof(lines), &too_long, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.text, "expands more than any archive"));
    mem_free(text);
    mem_free(file);
}

/* ---- lines ---- */

#define ISSUE_HEAD                                                                                 \
    "\"number\":7,\"title\":\"T\",\"body\":null,\"state\":\"open\",\"user\":{\"login\":\"ann\"},"
#define TIMES "\"created_at\":\"2024-01-01T00:00:00Z\",\"updated_at\":\"2024-01-02T00:00:00Z\""
#define EVENT(type, repo, issue)                                                                   \
    "{\"type\":\"" type "\",\"repo\":" repo                                                        \
    ",\"created_at\":\"2024-01-03T00:00:00Z\",\"payload\":{"                                       \
    "\"action\":\"opened\",\"issue\":" issue "}}"
#define REPO "{\"id\":5,\"name\":\"o/r\"}"

static void test_events(void **state)
{
    static const struct {
        const char *line;
        int code;
        enum archive_line kind;
        const char *text;
    } cases[] = {
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD TIMES "}"), 0, ARCHIVE_ISSUE, NULL},
        {EVENT("IssueCommentEvent", REPO, "{" ISSUE_HEAD TIMES ",\"labels\":[{\"name\":\"x\"}]}"),
         0, ARCHIVE_ISSUE, NULL},
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD "\"created_at\":\"2024-01-01T00:00:00Z\"}"), 0,
         ARCHIVE_ISSUE, NULL},
        {EVENT("IssueCommentEvent", REPO, "{" ISSUE_HEAD TIMES ",\"pull_request\":{}}"), 0,
         ARCHIVE_PULL_REQUEST, NULL},
        {EVENT("IssuesEvent", "{\"id\":5,\"name\":\"else/r\"}", "{}"), 0, ARCHIVE_UNWANTED, NULL},
        {EVENT("WatchEvent", REPO, "{}"), 0, ARCHIVE_OTHER, NULL},
        {EVENT("PushEvent", REPO, "\"IssuesEvent\""), 0, ARCHIVE_OTHER, NULL},
        {"{\"type\":\"IssuesEvent\",\"repository\":{\"id\":1},\"payload\":{\"issue\":3}}", 0,
         ARCHIVE_OLD, NULL},
        {EVENT("IssuesEvent", REPO, "3"), 0, ARCHIVE_OLD, NULL},
        {"", ERR_INPUT, ARCHIVE_OTHER, "not a JSON object"},
        {"{\"type\":\"WatchEvent\"", ERR_INPUT, ARCHIVE_OTHER, "not a JSON object"},
        {"{\"type\":\"IssuesEvent\",}", ERR_INPUT, ARCHIVE_OTHER, "column"},
        {EVENT("IssuesEvent", "{\"name\":\"o/r\"}", "{}"), ERR_INPUT, ARCHIVE_OTHER, "no id"},
        {EVENT("IssuesEvent", REPO, "{\"number\":7,\"state\":\"open\"," TIMES "}"), ERR_INPUT,
         ARCHIVE_OTHER, "no number, title or state"},
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD "\"created_at\":\"yesterday\"}"), ERR_INPUT,
         ARCHIVE_OTHER, "created_at is not a time"},
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD "\"updated_at\":\"2024-01-02T00:00:00Z\"}"),
         ERR_INPUT, ARCHIVE_OTHER, "no created_at"},
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD TIMES ",\"labels\":[{\"name\":\"a\\u0000b\"}]}"),
         ERR_INPUT, ARCHIVE_OTHER, "has no name"},
        {EVENT("IssuesEvent", REPO, "{" ISSUE_HEAD TIMES ",\"labels\":{}}"), ERR_INPUT,
         ARCHIVE_OTHER, "not a list"},
    };
    static const char *const globs[] = {"other/*", "O/*"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct history_issue issue = {.memory = NULL};
        enum archive_line kind = ARCHIVE_LINE_COUNT;
        struct error error = {0};
        int code = archive_event_read(cases[i].line, strlen(cases[i].line), globs, 2, &kind, &issue,
                                      &error);
        if (code != cases[i].code || (code == 0 && kind != cases[i].kind))
            fail_msg("case %zu: %d %d %s", i, code, (int)kind, error.text);
        if (code != 0)
            assert_non_null(strstr(error.text, cases[i].text));
        if (code == 0 && kind == ARCHIVE_ISSUE) {
            assert_int_equal(issue.repository_id, 5);
            assert_false(issue.has_timeline);
            assert_string_equal(issue.author.login, "ann");
            assert_null(issue.author.type);
        }
        history_issue_release(&issue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
