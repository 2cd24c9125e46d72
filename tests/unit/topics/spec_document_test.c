/*
 * Documents in files: every file of tests/cases/specs is read, and what comes of it compared with
 * the file NAME.expected beside it: the keys of the valid documents, one a line, then the errors as
 * people see them. Besides: what a valid document becomes is accepted again as a record, errors are
 * bounded, and a folder's documents are judged more strictly.
 */
#include "topics/spec_document.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"

/* Where the cases lie, from the root of the tree. */
#define CASES "tests/cases/specs"

/* Largest file of a case. */
#define CASE_MAX_BYTES (1u << 20)

/* Least number of cases in each folder: a moved folder must not pass. */
#define CASES_LEAST 6

static char *read_whole(const char *path)
{
    struct buffer text = BUFFER_INIT(CASE_MAX_BYTES);
    struct error error = {0};
    if (file_read(path, &text, &error) != 0)
        fail_msg("%s", error.text);
    return buffer_take(&text);
}

/* What came of a text, as .expected files have it. */
static char *describe(const char *name, const char *text, size_t text_bytes,
                      enum spec_strictness strictness)
{
    CLEANUP(spec_documents_free)
    struct spec_file_documents *file = spec_documents_read(text, text_bytes, strictness);
    struct buffer said = BUFFER_INIT(CASE_MAX_BYTES);
    for (size_t i = 0; i < file->count; i++) {
        const struct spec_document *document = &file->documents[i];
        struct error error = {0};
        assert_int_equal(document->value == NULL, document->errors.count > 0);
        if (document->value == NULL)
            continue;
        assert_int_equal(
            buffer_append_format(&said, "%s%s", said.size_bytes > 0 ? "\n" : "", document->key), 0);
        if (spec_check_value(document->kind, document->value, &error) != 0)
            fail_msg("%s: %s is refused as a record: %s", name, document->key, error.text);
    }
    for (size_t i = 0; i < file->count; i++)
        spec_errors_write(&file->documents[i].errors, name, &said);
    spec_errors_write(&file->faults, name, &said);
    assert_int_equal(buffer_append_text(&said, "\n"), 0);
    return buffer_take(&said);
}

static int is_case(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    return bytes > 5 && strcmp(entry->d_name + bytes - 5, ".yaml") == 0;
}

/* Compares a case with what is expected; NODAG_WRITE_EXPECTED=1 writes that instead. */
static void check_case(const char *folder, const char *name, bool is_valid)
{
    CLEANUP(mem_free) char *path = mem_format(CASES "/%s/%s", folder, name);
    CLEANUP(mem_free) char *expected_path = mem_format("%s.expected", path);
    CLEANUP(mem_free) char *text = read_whole(path);
    CLEANUP(mem_free) char *found = describe(name, text, strlen(text), SPEC_FROM_GIT);
    if (getenv("NODAG_WRITE_EXPECTED") != NULL)
        assert_int_equal(file_write_atomically(expected_path, found, strlen(found), NULL), 0);
    CLEANUP(mem_free) char *expected = read_whole(expected_path);
    if (strcmp(found, expected) != 0)
        fail_msg("%s:\n%swanted:\n%s", path, found, expected);
    if (is_valid != (strchr(found, ':') == NULL))
        fail_msg("%s is in the wrong folder", path);
}

static void check_folder(const char *folder, bool is_valid)
{
    CLEANUP(mem_free) char *path = mem_format(CASES "/%s", folder);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_case, alphasort);
    assert_true(count >= CASES_LEAST);
    for (int i = 0; i < count; i++) {
        check_case(folder, entries[i]->d_name, is_valid);
        free(entries[i]);
    }
    free(entries);
}

static void test_valid(void **state)
{
    (void)state;
    check_folder("valid", true);
}

static void test_invalid(void **state)
{
    (void)state;
    check_folder("invalid", false);
}

static const char least[] =
    "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: one}\nspec:\n"
    "  repositories: [o/r]\n  labels: {include: [x]}\n"
    "  models: [{file: m}]\n";

static void test_folder_needs_since(void **state)
{
    (void)state;
    CLEANUP(mem_free)
    char *without = describe("l.yaml", least, strlen(least), SPEC_FROM_FOLDER);
    assert_string_equal(
        without, "l.yaml:5:3: `since` is required in a document that is read from a folder: events "
                 "from before that day are not acted on (for example `since: 2026-11-01`)\n");
    CLEANUP(mem_free) char *text = mem_format("%s  since: 2026-11-01\n", least);
    CLEANUP(mem_free) char *with = describe("l.yaml", text, strlen(text), SPEC_FROM_FOLDER);
    assert_string_equal(with, "Labeler/one\n");
}

/* A file with far more errors than are kept says so, and how many there are. */
static void test_errors_are_bounded(void **state)
{
    (void)state;
    struct buffer text = BUFFER_INIT(CASE_MAX_BYTES);
    assert_int_equal(buffer_append_text(&text, least), 0);
    for (int i = 0; i < SPEC_ERRORS_MAX + 7; i++)
        assert_int_equal(buffer_append_format(&text, "  unknown%d: 1\n", i), 0);
    CLEANUP(spec_documents_free)
    struct spec_file_documents *file =
        spec_documents_read(text.data, text.size_bytes, SPEC_FROM_GIT);
    buffer_release(&text);
    assert_int_equal(file->count, 1);
    assert_int_equal(file->documents[0].errors.count, SPEC_ERRORS_MAX);
    assert_int_equal(file->documents[0].errors.left_out, 7);
    struct buffer said = BUFFER_INIT(CASE_MAX_BYTES);
    spec_errors_write(&file->documents[0].errors, "f", &said);
    assert_non_null(strstr(said.data, "\nf: and 7 more"));
    buffer_release(&said);
}

static void test_too_many_documents(void **state)
{
    (void)state;
    struct buffer text = BUFFER_INIT(CASE_MAX_BYTES);
    for (int i = 0; i <= SPEC_FILE_DOCUMENTS_MAX; i++)
        assert_int_equal(buffer_append_text(&text, "---\na: 1\n"), 0);
    CLEANUP(mem_free) char *said = describe("f", text.data, text.size_bytes, SPEC_FROM_GIT);
    buffer_release(&text);
    assert_string_equal(said, "f: more than 256 documents; split the file\n");
}

/* What is no document of this kind is refused as a record too. */
static void test_record_values(void **state)
{
    (void)state;
    static const char *const refused[] = {"[]", "{}", "{\"apiVersion\":\"nodag.dev/v1\"}", "null"};
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        json_t *value = json_loads(refused[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(spec_check_value(SPEC_LABELER, value, NULL), ERR_INPUT);
        json_decref(value);
    }
    CLEANUP(spec_documents_free)
    struct spec_file_documents *file = spec_documents_read(least, strlen(least), SPEC_FROM_GIT);
    assert_int_equal(spec_check_value(SPEC_MODEL, file->documents[0].value, NULL), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_folder_needs_since),
        cmocka_unit_test(test_errors_are_bounded),
        cmocka_unit_test(test_too_many_documents),
        cmocka_unit_test(test_record_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
