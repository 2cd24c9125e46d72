/*
 * Tests of base/memory.c and the ownership helpers of base/cleanup.h. What cannot be allocated must abort with one
 * line: that is watched in a child process.
 */
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* How often count_free was called, for CLEANUP. */
static int freed_count;

static void count_free(int *memory)
{
    assert_non_null(memory);
    freed_count++;
    free(memory);
}
DEFINE_CLEANUP(int *, count_free)

static void test_memory_is_zeroed(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 4096, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        CLEANUP(mem_free) char *memory = mem_alloc(sizes[i]);
        CLEANUP(mem_free) char *array = mem_alloc_array(sizes[i], 3);
        assert_non_null(memory);
        assert_non_null(array);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(memory[j], 0);
        for (size_t j = 0; j < 3 * sizes[i]; j++)
            assert_int_equal(array[j], 0);
    }
}

static void test_resize_keeps_content(void **state)
{
    (void)state;
    int *numbers = mem_resize_array(NULL, 2, sizeof(int));
    numbers[0] = 11;
    numbers[1] = 12;
    numbers = mem_resize_array(numbers, 1000, sizeof(int));
    assert_int_equal(numbers[0], 11);
    assert_int_equal(numbers[1], 12);
    numbers = mem_resize_array(numbers, 0, sizeof(int));
    assert_non_null(numbers);
    free(numbers);
}

static void test_copies(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *text = mem_copy_text("abc");
    CLEANUP(mem_free) char *bytes = mem_copy_bytes("a\0b", 3);
    CLEANUP(mem_free) char *nothing = mem_copy_bytes(NULL, 0);
    CLEANUP(mem_free) char *format = mem_format("%s-%d", "a", 5);
    assert_string_equal(text, "abc");
    assert_memory_equal(bytes, "a\0b", 4);
    assert_string_equal(nothing, "");
    assert_string_equal(format, "a-5");
    assert_null(mem_copy_text(NULL));
}

static void test_cleanup_and_take(void **state)
{
    (void)state;
    freed_count = 0;
    int *kept = NULL;
    {
        CLEANUP(count_free) int *left_alone = NULL;
        CLEANUP(count_free) int *freed = MEM_NEW(int);
        CLEANUP(count_free) int *taken = MEM_NEW(int);
        kept = TAKE(taken);
        assert_null(taken);
        assert_null(left_alone);
        assert_non_null(freed);
    }
    assert_int_equal(freed_count, 1);
    count_free(kept);
}

/* Runs `function` in a child and asserts that it aborted with a line that holds `text`. */
static void assert_aborts(void (*function)(void), const char *text)
{
    int ends[2];
    char said[512] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        function();
        _exit(0);
    }
    (void)close(ends[1]);
    for (size_t used = 0; used + 1 < sizeof(said);) {
        ssize_t got = read(ends[0], said + used, sizeof(said) - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, text));
}

static void resize_beyond_size_t(void)
{
    void *memory = mem_resize_array(NULL, SIZE_MAX / 2, 4);
    free(memory);
}

static void cast_wrong_magic(void)
{
    struct {
        unsigned magic;
    } thing = {.magic = 5};
    void *pointer = &thing;
    (void)CAST_CHECKED(__typeof__(thing), pointer, 6u);
}

static void test_impossible_requests_abort(void **state)
{
    (void)state;
    assert_aborts(resize_beyond_size_t, "nodag: out of memory");
#ifndef NDEBUG
    assert_aborts(cast_wrong_magic, "magic");
#else
    (void)cast_wrong_magic;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zeroed),
        cmocka_unit_test(test_resize_keeps_content),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_cleanup_and_take),
        cmocka_unit_test(test_impossible_requests_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
