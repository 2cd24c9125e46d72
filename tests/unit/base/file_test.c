/*
 * Tests of base/file.c: reading at the limit, secrets, atomic writing with its failures, and a watch on the fake clock.
 * Each test works in a folder of its own under the system's folder for temporary files.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

#include "base/memory.h"

/* Limit of the buffers below: small, so that its edge is near, but more than one read() of file.c would bring. */
#define TEST_LIMIT_BYTES 40000

/* A user who owns nothing: "nobody" on Debian. */
#define TEST_NOBODY 65534

/* The folder of the present test. */
static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/nodag-file-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *found, int what, struct FTW *place)
{
    (void)found;
    (void)what;
    (void)place;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    (void)chmod(folder, 0700);
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of `name` in the folder; static, one for each of the last four calls. */
static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % ARRAY_COUNT(paths)];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* Writes a file without the code under test. */
static void put(const char *path, const char *content, size_t content_bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, content_bytes), content_bytes);
    assert_int_equal(close(fd), 0);
}

static size_t count_entries(void)
{
    size_t count = 0;
    DIR *open_folder = opendir(folder);
    assert_non_null(open_folder);
    for (const struct dirent *entry = readdir(open_folder); entry != NULL;
         entry = readdir(open_folder))
        count += entry->d_name[0] != '.' ? 1 : 0;
    (void)closedir(open_folder);
    return count;
}

static void test_read(void **state)
{
    (void)state;
    static const struct {
        size_t file_bytes;
        int code;
    } cases[] = {
        {0, 0},
        {1, 0},
        {16383, 0},
        {16384, 0},
        {16385, 0},
        {TEST_LIMIT_BYTES, 0},
        {TEST_LIMIT_BYTES + 1, ERR_TOO_LARGE},
        {10 * TEST_LIMIT_BYTES, ERR_TOO_LARGE},
    };
    const char *path = in_folder("data");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *content = mem_alloc(cases[i].file_bytes);
        for (size_t j = 0; j < cases[i].file_bytes; j++)
            content[j] = (char)(j * 31);
        put(path, content, cases[i].file_bytes);
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
        struct error error = {0};
        assert_int_equal(buffer_append_text(&buffer, "from before"), 0);
        assert_int_equal(file_read(path, &buffer, &error), cases[i].code);
        assert_int_equal(buffer.size_bytes, cases[i].code == 0 ? cases[i].file_bytes : 0);
        if (cases[i].code == 0 && cases[i].file_bytes > 0)
            assert_memory_equal(buffer.data, content, cases[i].file_bytes);
        if (cases[i].code != 0) {
            CLEANUP(mem_free)
            char *expected = mem_format("%s is larger than the 40000 bytes that are read", path);
            assert_string_equal(error.text, expected);
        }
    }
}

static void test_read_failures(void **state)
{
    (void)state;
    put(in_folder("data"), "x", 1);
    assert_int_equal(symlink(in_folder("loop"), in_folder("loop")), 0);
    static const struct {
        const char *name;
        int code;
        const char *error; /* after the path */
    } cases[] = {
        {"gone", ERR_NOT_FOUND, "No such file or directory"},
        {"data/below", ERR_NOT_FOUND, "Not a directory"},
        {"", ERR_INPUT, "Is a directory"},
        {"loop", ERR_INPUT, "Too many levels of symbolic links"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
        struct error error = {0};
        const char *path = in_folder(cases[i].name);
        CLEANUP(mem_free) char *expected = mem_format("cannot read %s: %s", path, cases[i].error);
        assert_int_equal(file_read(path, &buffer, &error), cases[i].code);
        assert_string_equal(error.text, expected);
        assert_int_equal(file_read(path, &buffer, NULL), cases[i].code);
    }
}

static void test_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        const char *secret; /* NULL: refused */
    } cases[] = {
        {"abc", "abc"},     {"abc\n", "abc"},   {"abc\r\n", "abc"}, {"abc\n\n", "abc\n"},
        {" abc ", " abc "}, {"abc\r", "abc\r"}, {"\r\n\n", "\r\n"}, {"a\n", "a"},
        {"", NULL},         {"\n", NULL},       {"\r\n", NULL},
    };
    const char *path = in_folder("secret");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
        struct error error = {0};
        put(path, cases[i].content, strlen(cases[i].content));
        int code = file_read_secret(path, &buffer, &error);
        if (cases[i].secret == NULL) {
            CLEANUP(mem_free)
            char *expected = mem_format("%s is empty; put the secret into it", path);
            assert_int_equal(code, ERR_INPUT);
            assert_string_equal(error.text, expected);
            continue;
        }
        assert_int_equal(code, 0);
        assert_int_equal(buffer.size_bytes, strlen(cases[i].secret));
        assert_string_equal(buffer.data, cases[i].secret);
    }
}

static void test_write(void **state)
{
    (void)state;
    const char *path = in_folder("written");
    struct stat found;
    assert_int_equal(file_write_atomically(path, "one", 3, NULL), 0);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0644);
    assert_int_equal(chmod(path, 0640), 0);
    ino_t first_inode = found.st_ino;
    assert_int_equal(file_write_atomically(path, "two\0three", 9, NULL), 0);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0640);
    assert_int_not_equal(found.st_ino, first_inode); /* replaced, not overwritten */
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
    assert_int_equal(file_read(path, &buffer, NULL), 0);
    assert_int_equal(buffer.size_bytes, 9);
    assert_memory_equal(buffer.data, "two\0three", 9);
    assert_int_equal(file_write_atomically(path, NULL, 0, NULL), 0);
    assert_int_equal(file_read(path, &buffer, NULL), 0);
    assert_int_equal(buffer.size_bytes, 0);
    assert_int_equal(count_entries(), 1); /* nothing temporary is left */
}

static void test_write_failures(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(mkdir(in_folder("folder"), 0700), 0);
    put(in_folder("folder/file"), "x", 1);
    static const struct {
        const char *name;
        int code;
        const char *doing;
        const char *error;
    } cases[] = {
        {"gone/file", ERR_NOT_FOUND, "write", "No such file or directory"},
        {"folder/file/file", ERR_NOT_FOUND, "write", "Not a directory"},
        {"folder", ERR_INPUT, "replace", "Is a directory"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *path = in_folder(cases[i].name);
        CLEANUP(mem_free)
        char *expected = mem_format("cannot %s %s: %s", cases[i].doing, path, cases[i].error);
        assert_int_equal(file_write_atomically(path, "y", 1, &error), cases[i].code);
        assert_string_equal(error.text, expected);
        assert_int_equal(count_entries(), 1);
    }
}

/* All folders above the last slash, whether or not some are there; what stands in the way is named. */
static void test_make_folders(void **state)
{
    struct error error = {0};
    struct stat status;
    (void)state;
    assert_int_equal(file_make_folders(in_folder("a/b/c/file"), 0700, &error), 0);
    assert_int_equal(stat(in_folder("a/b/c"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(stat(in_folder("a/b/c/file"), &status), -1);
    assert_int_equal(file_make_folders(in_folder("a/b/d/"), 0700, &error), 0);
    assert_int_equal(stat(in_folder("a/b/d"), &status), 0);
    assert_int_equal(file_make_folders("file", 0700, &error), 0);
    assert_int_equal(file_make_folders("", 0700, &error), 0);
    put(in_folder("a/file"), "x", 1);
    assert_int_equal(file_make_folders(in_folder("a/file/inside/x"), 0700, &error), ERR_IO);
    assert_non_null(strstr(error.text, "a/file/inside"));
}

static void test_denied(void **state)
{
    (void)state;
    const uid_t own = geteuid();
    struct error error = {0};
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEST_LIMIT_BYTES);
    put(in_folder("data"), "x", 1);
    assert_int_equal(chmod(in_folder("data"), 0), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    /* Root may read and write everything, so that it becomes somebody else for a moment. */
    if (own == 0)
        assert_int_equal(seteuid(TEST_NOBODY), 0);
    int read_code = file_read(in_folder("data"), &buffer, &error);
    int write_code = file_write_atomically(in_folder("new"), "x", 1, &error);
    if (own == 0)
        assert_int_equal(seteuid(own), 0);
    assert_int_equal(read_code, ERR_DENIED);
    assert_int_equal(write_code, ERR_DENIED);
    CLEANUP(mem_free)
    char *expected = mem_format("cannot write %s: Permission denied", in_folder("new"));
    assert_string_equal(error.text, expected);
}

/* What the watch's callback did. */
struct watching {
    struct file_watch *watch;
    int calls;
    bool free_it;
};

static void on_change(void *argument)
{
    struct watching *watching = argument;
    watching->calls++;
    if (watching->free_it)
        file_watch_free(TAKE(watching->watch));
}

/* Lets one look happen and returns how often the callback has run in it. */
static int calls_in_one_look(struct loop *loop, struct watching *watching)
{
    int calls_before = watching->calls;
    loop_advance(loop, FILE_WATCH_INTERVAL_MS);
    return watching->calls - calls_before;
}

static void test_watch(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    struct watching watching = {0};
    watching.watch = file_watch_new(loop, on_change, &watching);
    put(in_folder("a"), "1", 1);
    file_watch_add(watching.watch, in_folder("a"));
    file_watch_add(watching.watch, in_folder("late"));
    assert_int_equal(calls_in_one_look(loop, &watching), 0); /* the base line */
    put(in_folder("a"), "12", 2);
    put(in_folder("late"), "x", 1);
    assert_int_equal(calls_in_one_look(loop, &watching), 1); /* once for both */
    assert_int_equal(calls_in_one_look(loop, &watching), 0);
    assert_int_equal(file_write_atomically(in_folder("a"), "34", 2, NULL), 0); /* same size */
    assert_int_equal(calls_in_one_look(loop, &watching), 1);
    assert_int_equal(unlink(in_folder("late")), 0);
    assert_int_equal(calls_in_one_look(loop, &watching), 0); /* vanished */
    put(in_folder("late"), "x", 1);
    assert_int_equal(calls_in_one_look(loop, &watching), 1); /* came back */
    const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 5, .tv_nsec = 7}};
    assert_int_equal(utimensat(AT_FDCWD, in_folder("a"), times, 0), 0);
    assert_int_equal(calls_in_one_look(loop, &watching), 1); /* the time alone */
    const struct timespec later[2] = {{.tv_sec = 5}, {.tv_sec = 5, .tv_nsec = 8}};
    assert_int_equal(utimensat(AT_FDCWD, in_folder("a"), later, 0), 0);
    assert_int_equal(calls_in_one_look(loop, &watching), 1); /* by a nanosecond */
    file_watch_clear(watching.watch);
    put(in_folder("a"), "12345", 5);
    assert_int_equal(calls_in_one_look(loop, &watching), 0);
    file_watch_add(watching.watch, in_folder("a"));
    put(in_folder("a"), "123456", 6);
    watching.free_it = true;
    assert_int_equal(calls_in_one_look(loop, &watching), 1);
    assert_null(watching.watch);
    assert_int_equal(calls_in_one_look(loop, &watching), 0);
    file_watch_free(NULL);
}

static void test_watch_sees_the_symlink_swap_of_kubernetes(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    struct watching watching = {0};
    assert_int_equal(mkdir(in_folder("v1"), 0700), 0);
    assert_int_equal(mkdir(in_folder("v2"), 0700), 0);
    put(in_folder("v1/secret"), "one", 3);
    put(in_folder("v2/secret"), "two", 3);
    assert_int_equal(symlink("v1", in_folder("..data")), 0);
    assert_int_equal(symlink("..data/secret", in_folder("secret")), 0);
    CLEANUP(file_watch_free) struct file_watch *watch = file_watch_new(loop, on_change, &watching);
    file_watch_add(watch, in_folder("secret"));
    assert_int_equal(symlink("v2", in_folder("..data_tmp")), 0);
    assert_int_equal(rename(in_folder("..data_tmp"), in_folder("..data")), 0);
    assert_int_equal(calls_in_one_look(loop, &watching), 1);
    assert_int_equal(calls_in_one_look(loop, &watching), 0);
    file_watch_free(TAKE(watch));
}

/* A test in a folder of its own. */
#define FOLDER_TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(test_read),
        FOLDER_TEST(test_read_failures),
        FOLDER_TEST(test_secrets),
        FOLDER_TEST(test_write),
        FOLDER_TEST(test_write_failures),
        FOLDER_TEST(test_make_folders),
        FOLDER_TEST(test_denied),
        FOLDER_TEST(test_watch),
        FOLDER_TEST(test_watch_sees_the_symlink_swap_of_kubernetes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
