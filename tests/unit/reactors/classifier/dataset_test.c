/*
 * Tests of reactors/classifier/dataset*.c: every file of tests/cases/classifier/valid is read to
 * exactly the rows that FILE.expected says, every one of invalid is refused with its words; limits,
 * and cuts at every byte.
 */
#include "reactors/classifier/dataset.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Largest case. */
#define CASE_BYTES_MAX ((size_t)1 << 20)

/* The least number of cases that must be found, so that a moved folder is noticed. */
#define CASES_MIN 8

static void read_file(const char *path, struct buffer *buffer)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    char chunk[4096];
    size_t got = 0;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        assert_int_equal(buffer_append(buffer, chunk, got), 0);
    (void)fclose(file);
}

static void write_text(struct buffer *written, const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++) {
        const char *escaped = bytes[i] == '\n' ? "\\n" : bytes[i] == '\0' ? "\\0" : NULL;
        assert_int_equal(escaped == NULL ? buffer_append(written, bytes + i, 1)
                                         : buffer_append_text(written, escaped),
                         0);
    }
}

/* A data set as the .expected files write it. */
static void write_rows(const struct dataset *dataset, struct buffer *written)
{
    for (size_t r = 0; r < dataset->row_count; r++) {
        const struct dataset_row *row = &dataset->rows[r];
        assert_int_equal(buffer_append_format(written, "%zu %s %lld x%u [", row->line,
                                              row->repository, (long long)row->created_at_ms,
                                              row->copies),
                         0);
        for (size_t l = 0; l < row->label_count; l++)
            assert_int_equal(buffer_append_format(written, "%s%s", l == 0 ? "" : ";",
                                                  dataset->label_names[row->labels[l]]),
                             0);
        assert_int_equal(buffer_append_text(written, "] title="), 0);
        write_text(written, row->title, row->title_bytes);
        assert_int_equal(buffer_append_text(written, " body="), 0);
        write_text(written, row->body, row->body_bytes);
        assert_int_equal(buffer_append_text(written, "\n"), 0);
    }
}

static void check_case(const char *path, bool is_valid)
{
    char expected_path[512];
    (void)snprintf(expected_path, sizeof(expected_path), "%s.expected", path);
    CLEANUP(buffer_release) struct buffer expected = BUFFER_INIT(CASE_BYTES_MAX);
    CLEANUP(buffer_release) struct buffer written = BUFFER_INIT(CASE_BYTES_MAX);
    read_file(expected_path, &expected);
    struct error error = {0};
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    int result = dataset_read(path, &dataset, &error);
    if (is_valid) {
        if (result != 0)
            fail_msg("%s: %s", path, error.text);
        write_rows(dataset, &written);
        assert_string_equal(written.data, expected.data);
        return;
    }
    if (result != ERR_INPUT)
        fail_msg("%s is not refused", path);
    assert_null(dataset);
    expected.data[strcspn(expected.data, "\n")] = '\0';
    if (strncmp(error.text, path, strlen(path)) != 0 ||
        strncmp(error.text + strlen(path), expected.data, strlen(expected.data)) != 0)
        fail_msg("%s: \"%s\" does not begin with \"%s\"", path, error.text, expected.data);
}

static void check_folder(const char *folder, bool is_valid)
{
    DIR *directory = opendir(folder);
    size_t cases = 0;
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[512];
        if (entry->d_name[0] == '.' || strstr(entry->d_name, ".expected") != NULL)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        check_case(path, is_valid);
        cases++;
    }
    (void)closedir(directory);
    assert_true(cases >= CASES_MIN);
}

static void test_reads_valid_files(void **state)
{
    (void)state;
    check_folder("tests/cases/classifier/valid", true);
}

static void test_refuses_invalid_files(void **state)
{
    (void)state;
    check_folder("tests/cases/classifier/invalid", false);
}

static void test_label_numbers_follow_names(void **state)
{
    (void)state;
    static const char text[] = "repo,created_at,label,title,body\n"
                               "a/b,2024-05-01,z;m,T,B\n"
                               "a/b,2024-05-01,a;z,T,B\n";
    struct error error = {0};
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    assert_int_equal(dataset_read_bytes("x.csv", text, strlen(text), &dataset, &error), 0);
    assert_int_equal(dataset->label_count, 3);
    assert_string_equal(dataset->label_names[0], "a");
    assert_string_equal(dataset->label_names[1], "m");
    assert_string_equal(dataset->label_names[2], "z");
    assert_true(dataset_row_has(&dataset->rows[0], 1));
    assert_true(dataset_row_has(&dataset->rows[0], 2));
    assert_false(dataset_row_has(&dataset->rows[0], 0));
    assert_int_equal(strlen(dataset->sha256), 64);
}

static void test_missing_and_odd_files(void **state)
{
    (void)state;
    struct error error = {0};
    struct dataset *dataset = NULL;
    assert_int_equal(dataset_read("tests/cases/classifier/none.csv", &dataset, &error),
                     ERR_NOT_FOUND);
    assert_int_equal(dataset_read("tests/cases/classifier", &dataset, &error), ERR_INPUT);
    assert_null(dataset);
}

static void test_limits(void **state)
{
    (void)state;
    static const char head[] = "repo,created_at,label,title,body\na/b,2024-05-01,";
    size_t text_bytes = ((size_t)1 << 20) + 1;
    CLEANUP(mem_free) char *bytes = mem_alloc(text_bytes + 1024);
    struct error error = {0};
    struct dataset *dataset = NULL;
    memcpy(bytes, head, strlen(head));
    size_t used = strlen(head);
    memcpy(bytes + used, "x,T,", 4);
    memset(bytes + used + 4, 'b', text_bytes);
    assert_int_equal(dataset_read_bytes("x.csv", bytes, used + 4 + text_bytes, &dataset, &error),
                     ERR_TOO_LARGE);
    assert_string_equal(error.text, "x.csv:2: body of 1048577 bytes; the limit is 1048576");
    for (int l = 0; l < 101; l++)
        used += (size_t)snprintf(bytes + used, 16, "l%d;", l);
    used += (size_t)snprintf(bytes + used, 16, ",T,B\n");
    assert_int_equal(dataset_read_bytes("x.csv", bytes, used, &dataset, &error), ERR_TOO_LARGE);
    assert_string_equal(error.text, "x.csv:2: more than 100 labels in a row");
}

/* Whatever a file is cut to, it is read or refused with a text; ASan watches the rest. */
static void test_cuts_at_every_byte(void **state)
{
    (void)state;
    static const char *const files[] = {"tests/cases/classifier/valid/quoted.csv",
                                        "tests/cases/classifier/valid/lines.jsonl"};
    for (size_t f = 0; f < ARRAY_COUNT(files); f++) {
        CLEANUP(buffer_release) struct buffer whole = BUFFER_INIT(CASE_BYTES_MAX);
        read_file(files[f], &whole);
        for (size_t cut = 0; cut <= whole.size_bytes; cut++) {
            CLEANUP(mem_free)
            char *bytes = mem_alloc(cut); /* exactly, so that reading past it is seen */
            CLEANUP(dataset_free) struct dataset *dataset = NULL;
            struct error error = {0};
            memcpy(bytes, whole.data, cut);
            int result = dataset_read_bytes(files[f], bytes, cut, &dataset, &error);
            assert_true(result == 0 ? dataset != NULL : error.text[0] != '\0');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_valid_files),
        cmocka_unit_test(test_refuses_invalid_files),
        cmocka_unit_test(test_label_numbers_follow_names),
        cmocka_unit_test(test_missing_and_odd_files),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cuts_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
