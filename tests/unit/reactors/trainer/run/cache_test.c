/*
 * Tests of the cache of environments: what is used or being built stays, what nobody has used for long is retired.
 */
#include "reactors/trainer/run_cache.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/memory.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define NOW_MS 1800000000000

static int setup(void **state)
{
    char name[] = "/tmp/run-cache-XXXXXX";
    assert_non_null(mkdtemp(name));
    *state = mem_copy_text(name);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    CLEANUP(mem_free) char *cache = *state;
    return nftw(cache, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes an entry that was last used `age_ms` ago; its path, owned. */
static char *make(const char *cache, const char *name, int64_t age_ms)
{
    char *path = mem_format("%s/%s", cache, name);
    const struct timespec time = {.tv_sec = (NOW_MS - age_ms) / 1000};
    const struct timespec times[] = {time, time};
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    return path;
}

/* Retires; how many paths are to be deleted, and whether all have the ending .unused. */
static size_t retire(const char *cache)
{
    char *paths[RUN_CACHE_RETIRED_MAX];
    size_t count = run_cache_retire(cache, NOW_MS, paths);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(strstr(paths[i], ".unused"));
        assert_int_equal(access(paths[i], F_OK), 0);
        mem_free(paths[i]);
    }
    return count;
}

static void test_old_goes(void **state)
{
    const char *cache = *state;
    CLEANUP(mem_free) char *old = make(cache, KEY_A, RUN_CACHE_UNUSED_MS + 2000);
    CLEANUP(mem_free) char *young = make(cache, KEY_B, RUN_CACHE_UNUSED_MS - 2000);
    CLEANUP(mem_free) char *half = make(cache, KEY_C ".building", RUN_CACHE_UNUSED_MS + 2000);
    CLEANUP(mem_free) char *other = make(cache, "notes", RUN_CACHE_UNUSED_MS + 2000);
    assert_int_equal(retire(cache), 2);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
    assert_int_equal(access(half, F_OK), -1);
    assert_int_equal(access(other, F_OK), 0);
    /* Whoever renamed them may have died before they were deleted. */
    assert_int_equal(retire(cache), 2);
}

static void test_used_stays(void **state)
{
    const char *cache = *state;
    struct error error = {0};
    int user = -1;
    int builder = -1;
    CLEANUP(mem_free) char *used = make(cache, KEY_A, RUN_CACHE_UNUSED_MS * 2);
    CLEANUP(mem_free) char *built = make(cache, KEY_B ".building", RUN_CACHE_UNUSED_MS * 2);
    CLEANUP(mem_free) char *environment = mem_format("%s/" KEY_B, cache);
    assert_int_equal(run_cache_open_lock(used, &user, &error), 0);
    assert_true(run_cache_lock(user, false));
    assert_int_equal(run_cache_open_lock(environment, &builder, &error), 0);
    assert_true(run_cache_lock(builder, true));
    assert_int_equal(retire(cache), 0);
    run_cache_unlock(user);
    (void)close(builder); /* it died */
    assert_int_equal(retire(cache), 2);
    (void)close(user);
    assert_int_equal(access(built, F_OK), -1);
}

static void test_use_is_noted(void **state)
{
    const char *cache = *state;
    struct stat status;
    CLEANUP(mem_free) char *path = make(cache, KEY_A, NOW_MS - 1000000);
    run_cache_note_use(path);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_mtim.tv_sec > 1700000000);
    /* A link is no environment. */
    assert_int_equal(rmdir(path), 0);
    CLEANUP(mem_free) char *link = mem_format("%s/" KEY_B, cache);
    assert_int_equal(symlink("/tmp", link), 0);
    assert_int_equal(retire(cache), 0);
}

static void test_users_share_and_builders_do_not(void **state)
{
    const char *cache = *state;
    struct error error = {0};
    int fds[2] = {-1, -1};
    CLEANUP(mem_free) char *path = mem_format("%s/" KEY_A, cache);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(run_cache_open_lock(path, &fds[i], &error), 0);
    assert_true(run_cache_lock(fds[0], false));
    assert_true(run_cache_lock(fds[1], false));
    run_cache_unlock(fds[1]);
    assert_false(run_cache_lock(fds[1], true));
    assert_true(run_cache_lock(fds[0], true)); /* changed, not taken twice */
    assert_false(run_cache_lock(fds[1], false));
    assert_true(run_cache_lock(fds[0], false));
    assert_true(run_cache_lock(fds[1], false));
    for (size_t i = 0; i < 2; i++)
        (void)close(fds[i]);
    CLEANUP(mem_free) char *nowhere = mem_format("%s/nowhere/" KEY_A, cache);
    assert_int_equal(run_cache_open_lock(nowhere, &fds[0], &error), ERR_IO);
}

#define CACHE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_old_goes),
        CACHE_TEST(test_used_stays),
        CACHE_TEST(test_use_is_noted),
        CACHE_TEST(test_users_share_and_builders_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
