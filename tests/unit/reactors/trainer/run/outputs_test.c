/*
 * Tests of opening what a notebook leaves, with every kind of thing that can lie there, and of finding the cell that failed; and of
 * measuring a folder.
 */
#include "reactors/trainer/run_outputs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "reactors/trainer/run_watch.h"

/* Folder of the test. */
static char folder[] = "/tmp/run-outputs-XXXXXX";

static char *path_of(const char *name)
{
    return mem_format("%s/%s", folder, name);
}

static void put(const char *name, const char *text)
{
    struct error error = {0};
    CLEANUP(mem_free) char *path = path_of(name);
    assert_int_equal(file_write_atomically(path, text, strlen(text), &error), 0);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    put("file", "content");
    assert_int_equal(mkdir("inner", 0700), 0);
    put("inner/file", "content");
    assert_int_equal(symlink("file", "link"), 0);
    assert_int_equal(symlink("/etc/passwd", "outside"), 0);
    assert_int_equal(symlink("inner", "linked"), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    put("two", "content");
    assert_int_equal(link("two", "names"), 0);
    return 0;
}

static void test_open(void **state)
{
    static const struct {
        const char *path;
        int code;
    } rows[] = {
        {"file", 0},
        {"inner/file", 0},
        {"none", ERR_NOT_FOUND},
        {"file/none", ERR_NOT_FOUND},
        {"link", ERR_DENIED},
        {"outside", ERR_DENIED},
        {"linked/file", ERR_DENIED},
        {"../../etc/passwd", ERR_DENIED},
        {"/etc/passwd", ERR_DENIED},
        {"fifo", ERR_DENIED},
        {"inner", ERR_DENIED},
        {"names", ERR_DENIED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct error error = {0};
        int fd = -1;
        int code = run_output_open(folder, rows[i].path, 7, &fd, &error);
        if (code != rows[i].code)
            fail_msg("%s: %s, %s", rows[i].path, err_name(code), error.text);
        if (fd >= 0)
            (void)close(fd);
    }
    struct error error = {0};
    int fd = -1;
    assert_int_equal(run_output_open(folder, "file", 6, &fd, &error), ERR_TOO_LARGE);
    assert_int_equal(fd, -1);
}

static void test_metrics(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {{"{\"f1_macro\": 0.5}", 0}, {"[]", ERR_INPUT}, {"", ERR_INPUT}, {"{", ERR_INPUT}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct error error = {0};
        json_t *metrics = NULL;
        put("metrics", rows[i].text);
        assert_int_equal(run_output_metrics(folder, "metrics", &metrics, &error), rows[i].code);
        json_decref(metrics);
    }
}

static void test_failure(void **state)
{
    static const struct {
        const char *notebook;
        const char *says; /* NULL: no failure */
    } rows[] = {
        {"{\"cells\":[{\"outputs\":[{\"output_type\":\"stream\"}]}]}", NULL},
        {"{\"cells\":[{\"execution_count\":5,\"outputs\":[{\"output_type\":\"error\",\"ename\":"
         "\"ValueError\",\"evalue\":\"no\\ndata\"}]}]}",
         "cell In [5] failed: ValueError: no data"},
        {"{\"cells\":[{},{\"outputs\":[{\"output_type\":\"error\"}]}]}",
         "cell In [2] failed: an error"},
        {"{\"cells\":[{\"outputs\":[{\"output_type\":\"error\",\"ename\":7,\"evalue\":[]}]}]}",
         "cell In [1] failed: an error"},
        {"{\"cells\":{\"outputs\":1}}", NULL},
        {"{\"cells\":[[],7,null,{\"outputs\":{}}]}", NULL},
        {"no json", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[512] = "";
        bool found =
            run_notebook_failure(rows[i].notebook, strlen(rows[i].notebook), text, sizeof(text));
        if (found != (rows[i].says != NULL) || (found && strcmp(text, rows[i].says) != 0))
            fail_msg("%s: %s", rows[i].notebook, text);
    }
}

static void test_disk_bytes(void **state)
{
    (void)state;
    int64_t before = run_watch_disk_bytes(folder, INT64_MAX);
    char block[65536];
    memset(block, 'x', sizeof(block) - 1);
    block[sizeof(block) - 1] = '\0';
    put("inner/large", block);
    int fd = open("sparse", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    (void)close(fd);
    int64_t more = run_watch_disk_bytes(folder, INT64_MAX) - before;
    assert_in_range(more, 65536 - 4096, 262144); /* what a sparse file seems to have is not there */
    assert_int_equal(run_watch_disk_bytes("/nowhere", INT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_disk_bytes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
